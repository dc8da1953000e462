"""Reads the fields of a device's requests to its jobs, and refuses what AWS refuses.

Source: AWS IoT Developer Guide, "Jobs device MQTT and HTTPS APIs"; AWS IoT Device Management quotas for jobs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .job_types import IN_PROGRESS

MAX_DETAILS = 10
MAX_VALUE = 1024
MAX_STEP_MINUTES = 10080
_DETAIL_KEY = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
_DEVICE_STATUSES = (IN_PROGRESS, "SUCCEEDED", "FAILED", "REJECTED")


class JobsError(Exception):
    """A refusal of the jobs data plane, by its MQTT code.

    Args:
        code: InvalidRequest, ResourceNotFound, VersionMismatch, InvalidStateTransition or TerminalStateReached.
        message: the sentence for the log.
        state: ``executionState``, with VersionMismatch and InvalidStateTransition.
    """

    def __init__(self, code: str, message: str, state: dict[str, Any] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.state = state


def read_status(request: Mapping[str, Any]) -> str:
    """The status that a device may set."""
    status = request.get("status")
    if status not in _DEVICE_STATUSES:
        raise JobsError("InvalidRequest", f"status must be one of {', '.join(_DEVICE_STATUSES)}")
    return str(status)


def read_details(request: Mapping[str, Any]) -> dict[str, str] | None:
    """``statusDetails``, None where there are none."""
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
    """``stepTimeoutInMinutes``; -1 only where it cancels a timer that runs."""
    minutes = read_number(request, "stepTimeoutInMinutes")
    if minutes is None or 1 <= minutes <= MAX_STEP_MINUTES or (cancels and minutes == -1):
        return minutes
    raise JobsError("InvalidRequest", f"stepTimeoutInMinutes must be from 1 to {MAX_STEP_MINUTES}")


def read_number(request: Mapping[str, Any], name: str) -> int | None:
    """A whole number; devices in C send it as text."""
    value = request.get(name)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,19}", value):
        return int(value)
    raise JobsError("InvalidRequest", f"{name} must be a number")


def read_flag(request: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """True or false."""
    value = request.get(name, default)
    if not isinstance(value, bool):
        raise JobsError("InvalidRequest", f"{name} must be true or false")
    return value
