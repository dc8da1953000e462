"""What a device may ask about its jobs: the pending list, the next one, one of them, and to update one.

Free of transport: each function takes the thing's region and a parsed request and returns a reply and the events it
causes. HTTP and MQTT differ in the envelope (``clientToken``, timestamps, error names), which is theirs.

Source: AWS IoT Developer Guide, "Jobs device MQTT and HTTPS APIs", and "Job execution states".
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ota.sandbox.moto.registry_view import has_thing

from . import job_progress
from .job_queues import delivered_document, describe_execution, find_next, pending, summarize, watched
from .job_types import IN_PROGRESS, QUEUED, Execution, Reply
from .jobs_requests import JobsError, read_details, read_flag, read_number, read_status, read_step_minutes
from .state import Event, Region

NEXT = "$next"


def get_pending(region: Region, thing_name: str) -> Reply:
    """The thing's pending executions: ``{"inProgressJobs": […], "queuedJobs": […]}``."""
    _check_thing(region, thing_name)
    found = pending(region, thing_name)
    return Reply(
        {
            "inProgressJobs": [summarize(one) for one in found if one.status == IN_PROGRESS],
            "queuedJobs": [summarize(one) for one in found if one.status == QUEUED],
        }
    )


def start_next(region: Region, thing_name: str, request: Mapping[str, Any]) -> Reply:
    """Start the front of the queue; one in progress comes back unchanged, and no ``execution`` when none is pending."""
    _check_thing(region, thing_name)
    details, minutes = read_details(request), read_step_minutes(request, cancels=False)
    execution = find_next(region, thing_name)
    if execution is None:
        return Reply()
    with watched(region, [thing_name]) as events:
        if execution.status == QUEUED:
            if details is not None:
                execution.details = details
            _start(region, execution, minutes)
    return Reply({"execution": describe_execution(region, execution)}, events)


def describe(region: Region, thing_name: str, job_id: str, request: Mapping[str, Any]) -> Reply:
    """One pending execution, or with ``$next`` the front of the queue; nothing changes."""
    _check_thing(region, thing_name)
    document = read_flag(request, "includeJobDocument", default=True)
    if job_id == NEXT:
        execution = find_next(region, thing_name)
        if execution is None:
            return Reply()
    else:
        execution = _find(region, thing_name, job_id, read_number(request, "executionNumber"))
        if execution.is_over:
            raise JobsError("TerminalStateReached", f"Job execution is in terminal state {execution.status}")
    return Reply({"execution": describe_execution(region, execution, document=document, thing_name=True)})


def update(region: Region, thing_name: str, job_id: str, request: Mapping[str, Any]) -> Reply:
    """Set an execution's status and details; the version rises by one.

    The reply carries ``executionState`` and ``jobDocument`` only where asked for.
    """
    _check_thing(region, thing_name)
    status, details = read_status(request), read_details(request)
    minutes = read_step_minutes(request, cancels=True)
    with_state = read_flag(request, "includeJobExecutionState", default=False)
    with_document = read_flag(request, "includeJobDocument", default=False)
    execution = _find(region, thing_name, job_id, read_number(request, "executionNumber"))
    _check_version(execution, read_number(request, "expectedVersion"))
    _check_transition(execution, status)
    with watched(region, [thing_name]) as events:
        if details is not None:
            execution.details = details
        _apply(region, execution, status, minutes)
    reply: dict[str, Any] = {"executionState": execution_state(execution)} if with_state else {}
    if with_document:
        reply["jobDocument"] = delivered_document(region, region.jobs[job_id])
    return Reply(reply, [*events, *job_progress.after_change(region, execution)])


def execution_state(execution: Execution) -> dict[str, Any]:
    """Status, details where there are any, and version."""
    details = {"statusDetails": dict(execution.details)} if execution.details else {}
    return {"status": execution.status, **details, "versionNumber": execution.version}


def _start(region: Region, execution: Execution, minutes: int | None) -> None:
    now = region.now()
    execution.started_at = execution.started_at or now
    execution.change(IN_PROGRESS, now)
    limit = region.jobs[execution.job_id].config.get("timeoutConfig", {}).get("inProgressTimeoutInMinutes")
    if limit:
        execution.deadline = now + limit * 60
        region.later(limit * 60, partial(_time_out, region, execution))
    _set_step_timer(region, execution, minutes)


def _apply(region: Region, execution: Execution, status: str, minutes: int | None) -> None:
    if status == IN_PROGRESS and execution.status == QUEUED:
        _start(region, execution, minutes)
        return
    if execution.started_at is None:
        execution.started_at = region.now()
    execution.change(status, region.now())
    if not execution.is_over:
        _set_step_timer(region, execution, minutes)


def _set_step_timer(region: Region, execution: Execution, minutes: int | None) -> None:
    if minutes is None:
        return
    if minutes == -1:
        execution.step_deadline = None
        return
    execution.step_deadline = region.now() + minutes * 60
    region.later(minutes * 60, partial(_time_out, region, execution))


def _time_out(region: Region, execution: Execution) -> list[Event]:
    """An entry of the agenda: nothing happens when the timer has been replaced or the execution is over."""
    ends_at = execution.times_out_at
    if execution.status != IN_PROGRESS or ends_at is None or ends_at > region.now():
        return []
    with watched(region, [execution.thing_name]) as events:
        execution.change("TIMED_OUT", region.now())
    return [*events, *job_progress.after_change(region, execution)]


def _check_thing(region: Region, thing_name: str) -> None:
    if not has_thing(region, thing_name):
        raise JobsError("ResourceNotFound", f"Thing {thing_name} does not exist")


def _find(region: Region, thing_name: str, job_id: str, number: int | None) -> Execution:
    job = region.jobs.get(job_id)
    execution = job.find(thing_name, number) if job else None
    if execution is None:
        raise JobsError("ResourceNotFound", f"Job execution of {job_id} on {thing_name} does not exist")
    return execution


def _check_version(execution: Execution, expected: int | None) -> None:
    if expected is not None and expected != execution.version:
        message = f"Expected version {expected} but found version {execution.version}"
        raise JobsError("VersionMismatch", message, execution_state(execution))


def _check_transition(execution: Execution, status: str) -> None:
    started = execution.status == IN_PROGRESS
    if execution.is_over or (started and status == "REJECTED"):
        message = f"Transition from {execution.status} to {status} is not allowed"
        raise JobsError("InvalidStateTransition", message, execution_state(execution))
