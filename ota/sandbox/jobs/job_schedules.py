"""When a job starts and ends: at once, or at the times its schedule tells.

Source: AWS IoT API reference, SchedulingConfig; AWS IoT Developer Guide, "Job scheduling".
"""

from __future__ import annotations

from datetime import datetime, timezone
from functools import partial
from typing import Any

from ota.sandbox.moto.errors import invalid_request
from ota.sandbox.moto.registry_view import things_of

from . import job_progress
from .job_types import IN_PROGRESS, SCHEDULED, Job
from .state import Event, Region

Schedule = tuple[float | None, float | None]


def read_schedule(region: Region, config: dict[str, Any]) -> Schedule:
    """Seconds until the job starts and until it ends, where it has a schedule."""
    if config.get("maintenanceWindows"):
        raise invalid_request("The sandbox does not have maintenance windows.")
    return _seconds_until(region, config.get("startTime")), _seconds_until(region, config.get("endTime"))


def begin(region: Region, job: Job, schedule: Schedule) -> list[Event]:
    """Roll the job out now, or put its start and its end on the agenda."""
    start_s, end_s = schedule
    if end_s is not None:
        behaviour = job.config["schedulingConfig"].get("endBehavior", "STOP_ROLLOUT")
        region.later(end_s, partial(_end, region, job, behaviour))
    if start_s:
        job.status = SCHEDULED
        region.later(start_s, partial(_open, region, job))
        return []
    return _open(region, job)


def _open(region: Region, job: Job) -> list[Event]:
    if region.jobs.get(job.job_id) is not job or job.status not in {IN_PROGRESS, SCHEDULED}:
        return []
    job.status = IN_PROGRESS
    job.waiting = things_of(region, job.targets)
    return job_progress.roll_out(region, job)


def _end(region: Region, job: Job, behaviour: str) -> list[Event]:
    if region.jobs.get(job.job_id) is not job or job.status != IN_PROGRESS:
        return []
    if behaviour == "STOP_ROLLOUT":
        job.waiting = []
        return []
    return job_progress.cancel(region, job, comment="The job's end time has come.", force=behaviour == "FORCE_CANCEL")


def _seconds_until(region: Region, text: str | None) -> float | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise invalid_request(f"{text} is not a date and time.") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0.0, moment.timestamp() - region.now())
