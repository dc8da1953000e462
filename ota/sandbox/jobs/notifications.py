"""What is published when jobs change: to the device of the thing, and to the account.

A thing has a queue of pending executions. ``notify`` is published when an execution enters or leaves the queue,
``notify-next`` when another one comes to its front. Starting the first execution, or new details of it, publishes
neither: a classic OTA agent starts over at each ``notify-next``, so one too many would keep it from ever finishing.

An account that has enabled the kinds JOB and JOB_EXECUTION by UpdateEventConfigurations gets a message on
``$aws/events/job/…`` and ``$aws/events/jobExecution/…`` when a job or an execution ends.

Source: AWS IoT Developer Guide, "Jobs device MQTT API" (JobExecution, JobExecutionSummary, notify, notify-next), "Jobs
events"; API reference, UpdateEventConfigurations.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from . import presigned_urls
from .execution_store import pending
from .model import IN_PROGRESS, QUEUED, Event, Execution, Job, Reply
from .state import Region

MAX_LISTED = 10
_PLACEHOLDER = re.compile(r"\$\{aws:iot:s3-presigned-url(?:-v2)?:(https?://[^}]+)\}")
_ENDED = {
    "numberOfCanceledThings": "CANCELED",
    "numberOfRejectedThings": "REJECTED",
    "numberOfFailedThings": "FAILED",
    "numberOfRemovedThings": "REMOVED",
    "numberOfSucceededThings": "SUCCEEDED",
    "numberOfTimedOutThings": "TIMED_OUT",
}


@dataclass(frozen=True)
class Queue:
    """The pending executions, as (job id, number), and the next of them."""

    members: frozenset[tuple[str, int]]
    front: tuple[str, int] | None


def find_next(region: Region, thing_name: str) -> Execution | None:
    """The first pending execution, or None."""
    return next(iter(pending(region, thing_name)), None)


@contextmanager
def collect_notifications(region: Region, thing_names: Iterable[str]) -> Iterator[list[Event]]:
    """Collect the notifications about changes to these things' queues inside the ``with`` block."""
    before = {name: _current_queue(region, name) for name in thing_names}
    events: list[Event] = []
    yield events
    for name, queue in before.items():
        events.extend(_queue_notifications(region, name, queue))


def describe_execution(
    region: Region, execution: Execution, *, document: bool = True, thing_name: bool = False
) -> dict[str, Any]:
    """An execution for the device: times in whole seconds, the document as an object, empty members left out."""
    seen: dict[str, Any] = {"jobId": execution.job_id}
    if thing_name:
        seen["thingName"] = execution.thing_name
    seen["status"] = execution.status
    if execution.details:
        seen["statusDetails"] = dict(execution.details)
    seen["queuedAt"] = int(execution.queued_at)
    if execution.started_at is not None:
        seen["startedAt"] = int(execution.started_at)
    seen["lastUpdatedAt"] = int(execution.last_updated_at)
    seconds = seconds_left(region, execution)
    if seconds is not None:
        seen["approximateSecondsBeforeTimedOut"] = seconds
    seen["versionNumber"] = execution.version
    seen["executionNumber"] = execution.number
    if document:
        seen["jobDocument"] = delivered_document(region, region.jobs[execution.job_id])
    return seen


def summarize(execution: Execution) -> dict[str, Any]:
    """An execution in a list."""
    seen: dict[str, Any] = {
        "jobId": execution.job_id,
        "queuedAt": int(execution.queued_at),
        "lastUpdatedAt": int(execution.last_updated_at),
    }
    if execution.started_at is not None:
        seen["startedAt"] = int(execution.started_at)
    return {**seen, "executionNumber": execution.number, "versionNumber": execution.version}


def delivered_document(region: Region, job: Job) -> Any:
    """The job's document as an object, each presigned-URL placeholder replaced by a URL that works now."""
    seconds = job.config.get("presignedUrlConfig", {}).get("expiresInSec", presigned_urls.DEFAULT_SECONDS)

    def resolve(match: re.Match[str]) -> str:
        return presigned_urls.presign(region, match.group(1), seconds)

    return json.loads(_PLACEHOLDER.sub(resolve, job.document))


def seconds_left(region: Region, execution: Execution) -> int | None:
    """Seconds until the execution times out, None when no timer runs."""
    ends_at = execution.times_out_at
    return None if ends_at is None else max(0, int(ends_at - region.now()))


def update_event_configurations(region: Region, params: dict[str, Any]) -> Reply:
    """UpdateEventConfigurations: kinds that are not listed keep their value."""
    for kind, wanted in (params.get("eventConfigurations") or {}).items():
        region.event_kinds[kind] = bool(wanted.get("Enabled"))
    region.events_changed_at = region.now()
    return Reply()


def describe_event_configurations(region: Region, params: dict[str, Any]) -> Reply:
    """DescribeEventConfigurations: every kind of the model."""
    del params
    found = {kind: {"Enabled": enabled} for kind, enabled in region.event_kinds.items()}
    return Reply({"eventConfigurations": found, "lastModifiedDate": region.events_changed_at})


def tell_job(region: Region, job: Job, operation: str) -> list[Event]:
    """The event for ``operation``: completed, canceled, deleted, cancellation_in_progress or deletion_in_progress."""
    if not region.event_kinds.get("JOB"):
        return []
    seen = {
        "status": operation.upper(),
        "targetSelection": job.selection,
        "targets": job.targets,
        "description": job.config.get("description"),
        "completedAt": _milliseconds(job.completed_at),
        "createdAt": _milliseconds(job.created_at),
        "lastUpdatedAt": _milliseconds(job.last_updated_at),
        "comment": job.comment,
        "jobProcessDetails": {name: job.counts[status] for name, status in _ENDED.items()}
        if operation == "completed"
        else None,
    }
    return [_event(region, "JOB", f"job/{job.job_id}/{operation}", operation, job.job_id, seen)]


def tell_execution(region: Region, execution: Execution, operation: str | None = None) -> list[Event]:
    """The event for an execution that ended, or whose ``operation`` is ``deleted``."""
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


def _current_queue(region: Region, thing_name: str) -> Queue:
    keys = [(execution.job_id, execution.number) for execution in pending(region, thing_name)]
    return Queue(frozenset(keys), keys[0] if keys else None)


def _queue_notifications(region: Region, thing_name: str, before: Queue) -> list[Event]:
    after = _current_queue(region, thing_name)
    base, stamp = f"$aws/things/{thing_name}/jobs", {"timestamp": int(region.now())}
    events = []
    if after.members != before.members:
        events.append(Event(f"{base}/notify", {**stamp, "jobs": _listing(region, thing_name)}))
    if after.front != before.front:
        first = find_next(region, thing_name)
        execution = {"execution": describe_execution(region, first)} if first else {}
        events.append(Event(f"{base}/notify-next", {**stamp, **execution}))
    return events


def _listing(region: Region, thing_name: str) -> dict[str, list[dict[str, Any]]]:
    listing: dict[str, list[dict[str, Any]]] = {}
    for execution in pending(region, thing_name)[:MAX_LISTED]:
        listing.setdefault(execution.status, []).append(summarize(execution))
    return {status: listing[status] for status in (QUEUED, IN_PROGRESS) if status in listing}


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
