"""The jobs data plane: what a device may ask about its jobs, and how it updates one.

Independent of transport: each function takes the thing's region and a parsed request and returns a reply and the events
it causes. HTTP and MQTT differ in the envelope (``clientToken``, timestamps, error names), which is theirs.

Source: AWS IoT Developer Guide, "Jobs device MQTT and HTTPS APIs", and "Job execution states"; AWS IoT Device
Management quotas for jobs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from ota.sandbox.moto.lookups import has_thing

from . import progress
from .execution_store import change_execution, pending
from .model import IN_PROGRESS, QUEUED, Event, Execution, Reply
from .notifications import collect_notifications, delivered_document, describe_execution, find_next, summarize
from .state import Region

NEXT = "$next"
MAX_DETAILS = 10
MAX_VALUE = 1024
MAX_STEP_MINUTES = 10080
_DETAIL_KEY = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
_DEVICE_STATUSES = (IN_PROGRESS, "SUCCEEDED", "FAILED", "REJECTED")


class JobsError(Exception):
    """A refusal of the jobs data plane, by its MQTT code.

    Args:
        code: InvalidRequest, ResourceNotFound, VersionMismatch, InvalidStateTransition or TerminalStateReached.
        message: a sentence for the device's log.
        state: ``executionState``, with VersionMismatch and InvalidStateTransition.
    """

    def __init__(self, code: str, message: str, state: dict[str, Any] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.state = state


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
    """Start the next pending execution; one in progress is unchanged; no ``execution`` when none is pending."""
    _check_thing(region, thing_name)
    details, minutes = read_details(request), read_step_minutes(request, cancels=False)
    execution = find_next(region, thing_name)
    if execution is None:
        return Reply()
    with collect_notifications(region, [thing_name]) as events:
        if execution.status == QUEUED:
            if details is not None:
                execution.details = details
            _start(region, execution, minutes)
    return Reply({"execution": describe_execution(region, execution)}, events)


def describe(region: Region, thing_name: str, job_id: str, request: Mapping[str, Any]) -> Reply:
    """One pending execution, or the next one for ``$next``; changes nothing."""
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

    The reply has ``executionState`` and ``jobDocument`` only when requested.
    """
    _check_thing(region, thing_name)
    status, details = read_status(request), read_details(request)
    minutes = read_step_minutes(request, cancels=True)
    with_state = read_flag(request, "includeJobExecutionState", default=False)
    with_document = read_flag(request, "includeJobDocument", default=False)
    execution = _find(region, thing_name, job_id, read_number(request, "executionNumber"))
    _check_version(execution, read_number(request, "expectedVersion"))
    _check_transition(execution, status)
    with collect_notifications(region, [thing_name]) as events:
        if details is not None:
            execution.details = details
        _apply(region, execution, status, minutes)
    reply: dict[str, Any] = {"executionState": execution_state(execution)} if with_state else {}
    if with_document:
        reply["jobDocument"] = delivered_document(region, region.jobs[job_id])
    return Reply(reply, [*events, *progress.after_change(region, execution)])


def execution_state(execution: Execution) -> dict[str, Any]:
    """Status, version, and details if any."""
    details = {"statusDetails": dict(execution.details)} if execution.details else {}
    return {"status": execution.status, **details, "versionNumber": execution.version}


def read_status(request: Mapping[str, Any]) -> str:
    """The requested status, which must be one that a device may set."""
    status = request.get("status")
    if status not in _DEVICE_STATUSES:
        raise JobsError("InvalidRequest", f"status must be one of {', '.join(_DEVICE_STATUSES)}")
    return str(status)


def read_details(request: Mapping[str, Any]) -> dict[str, str] | None:
    """``statusDetails``, or None."""
    details = request.get("statusDetails")
    if details is None:
        return None
    if not isinstance(details, Mapping) or len(details) > MAX_DETAILS:
        raise JobsError("InvalidRequest", f"statusDetails must be an object with at most {MAX_DETAILS} members")
    for key, value in details.items():
        if not _DETAIL_KEY.fullmatch(key) or not isinstance(value, str) or not 1 <= len(value) <= MAX_VALUE:
            raise JobsError("InvalidRequest", f"statusDetails has a key or value that is not allowed: {key[:128]}")
    return dict(details)


def read_step_minutes(request: Mapping[str, Any], *, cancels: bool) -> int | None:
    """``stepTimeoutInMinutes``; -1, which cancels a running timer, only where ``cancels``."""
    minutes = read_number(request, "stepTimeoutInMinutes")
    if minutes is None or 1 <= minutes <= MAX_STEP_MINUTES or (cancels and minutes == -1):
        return minutes
    raise JobsError("InvalidRequest", f"stepTimeoutInMinutes must be from 1 to {MAX_STEP_MINUTES}")


def read_number(request: Mapping[str, Any], name: str) -> int | None:
    """An integer, which devices in C send as text."""
    value = request.get(name)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,19}", value):
        return int(value)
    raise JobsError("InvalidRequest", f"{name} must be a number")


def read_flag(request: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """A boolean."""
    value = request.get(name, default)
    if not isinstance(value, bool):
        raise JobsError("InvalidRequest", f"{name} must be true or false")
    return value


def _start(region: Region, execution: Execution, minutes: int | None) -> None:
    now = region.now()
    execution.started_at = execution.started_at or now
    change_execution(region, execution, IN_PROGRESS)
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
    change_execution(region, execution, status)
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
    """Scheduled; does nothing when the timer has been replaced, or the execution has ended or been deleted."""
    ends_at, job = execution.times_out_at, region.jobs.get(execution.job_id)
    is_there = job is not None and job.find(execution.thing_name, execution.number) is execution
    if not is_there or execution.status != IN_PROGRESS or ends_at is None or ends_at > region.now():
        return []
    with collect_notifications(region, [execution.thing_name]) as events:
        change_execution(region, execution, "TIMED_OUT")
    return [*events, *progress.after_change(region, execution)]


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
