"""What AWS IoT tells the account, and not the device, about jobs: for those who asked for it.

An account that has enabled the kinds JOB and JOB_EXECUTION by UpdateEventConfigurations hears on
``$aws/events/job/…`` and ``$aws/events/jobExecution/…`` when a job or an execution comes to an end, so that a dashboard
need not poll.

Source: AWS IoT Developer Guide, "Jobs events"; API reference, UpdateEventConfigurations.
"""

from __future__ import annotations

import uuid
from typing import Any

from .job_types import Execution, Job, Reply
from .state import Event, Region

_ENDED = {
    "numberOfCanceledThings": "CANCELED",
    "numberOfRejectedThings": "REJECTED",
    "numberOfFailedThings": "FAILED",
    "numberOfRemovedThings": "REMOVED",
    "numberOfSucceededThings": "SUCCEEDED",
    "numberOfTimedOutThings": "TIMED_OUT",
}


def update_event_configurations(region: Region, params: dict[str, Any]) -> Reply:
    """UpdateEventConfigurations: kinds that are not named stay as they are."""
    for kind, wanted in (params.get("eventConfigurations") or {}).items():
        region.event_kinds[kind] = bool(wanted.get("Enabled"))
    region.events_changed_at = region.now()
    return Reply()


def describe_event_configurations(region: Region, params: dict[str, Any]) -> Reply:
    """DescribeEventConfigurations: every kind that the model knows."""
    del params
    found = {kind: {"Enabled": enabled} for kind, enabled in region.event_kinds.items()}
    return Reply({"eventConfigurations": found, "lastModifiedDate": region.events_changed_at})


def tell_job(region: Region, job: Job, operation: str) -> list[Event]:
    """The job was ``completed``, ``canceled``, ``deleted``, or one of the latter two has begun (``…_in_progress``)."""
    if not region.event_kinds.get("JOB"):
        return []
    statuses = [one.status for one in job.latest()]
    seen = {
        "status": operation.upper(),
        "targetSelection": job.selection,
        "targets": job.targets,
        "description": job.config.get("description"),
        "completedAt": _milliseconds(job.completed_at),
        "createdAt": _milliseconds(job.created_at),
        "lastUpdatedAt": _milliseconds(job.last_updated_at),
        "comment": job.comment,
        "jobProcessDetails": {name: statuses.count(status) for name, status in _ENDED.items()}
        if operation == "completed"
        else None,
    }
    return [_event(region, "JOB", f"job/{job.job_id}/{operation}", operation, job.job_id, seen)]


def tell_execution(region: Region, execution: Execution, operation: str | None = None) -> list[Event]:
    """The execution came to its end, or is deleted."""
    if not region.event_kinds.get("JOB_EXECUTION"):
        return []
    done = operation or execution.status.lower()
    seen = {
        "thingArn": region.arn(f"thing/{execution.thing_name}"),
        "status": done.upper(),
        "statusDetails": dict(execution.details),
    }
    topic = f"jobExecution/{execution.job_id}/{done}"
    return [_event(region, "JOB_EXECUTION", topic, done, execution.job_id, seen)]


def _event(region: Region, kind: str, topic: str, operation: str, job_id: str, seen: dict[str, Any]) -> Event:
    head = {
        "eventType": kind,
        "eventId": str(uuid.uuid4()),
        "timestamp": int(region.now()),
        "operation": operation,
        "jobId": job_id,
    }
    return Event(f"$aws/events/{topic}", {**head, **{name: one for name, one in seen.items() if one is not None}})


def _milliseconds(moment: float | None) -> int | None:
    return None if moment is None else int(moment * 1000)
