"""How a job runs: schedule, rollout, retry, abort, cancellation, completion.

Source: AWS IoT Developer Guide, "Job configurations work" (rollout, abort, timeout, retry), "Job scheduling"; API
reference, SchedulingConfig.
"""

from __future__ import annotations

from datetime import datetime, timezone
from functools import partial
from typing import Any

from ota.sandbox.moto.lookups import has_thing, is_group, things_of
from ota.sandbox.moto.responses import invalid_request

from .model import CANCELED, COMPLETED, CONTINUOUS, IN_PROGRESS, QUEUED, SCHEDULED, SNAPSHOT, Event, Execution, Job
from .notifications import collect_notifications, tell_execution, tell_job
from .state import Region

ROLLOUT_STEP_S = 60.0
Schedule = tuple[float | None, float | None]


def roll_out(region: Region, job: Job) -> list[Event]:
    """Create executions for as many waiting things as the rate allows for a minute; repeat each minute for the rest."""
    if job.status != IN_PROGRESS:
        return []
    rate = _rate(job)
    batch, job.waiting = job.waiting[:rate], job.waiting[rate:]
    with collect_notifications(region, batch) as events:
        for thing_name in batch:
            _add_execution(region, job, thing_name)
    if job.waiting:
        region.later(ROLLOUT_STEP_S, partial(roll_out, region, job))
    return [*events, *_complete(region, job)]


def after_change(region: Region, execution: Execution) -> list[Event]:
    """The consequences of an execution's change for its job: retry, abort, completion."""
    job = region.jobs.get(execution.job_id)
    if job is None or not execution.is_over:
        return []
    events = [*tell_execution(region, execution), *_retry(region, job, execution)]
    if job.status == IN_PROGRESS and _is_to_abort(job):
        events += cancel(region, job, comment="The abort criteria of the job were met.", force=False)
    return [*events, *_complete(region, job)]


def cancel(region: Region, job: Job, *, comment: str | None, force: bool) -> list[Event]:
    """Cancel queued executions; with ``force`` also those in progress."""
    ends = {QUEUED, IN_PROGRESS} if force else {QUEUED}
    concerned = [one for one in job.latest() if one.status in ends]
    with collect_notifications(region, [one.thing_name for one in concerned]) as events:
        for execution in concerned:
            execution.force_canceled = force
            execution.change(CANCELED, region.now())
    job.comment, job.waiting, job.force_canceled = comment or job.comment, [], force
    events += tell_job(region, job, "cancellation_in_progress")
    events += [event for one in concerned for event in tell_execution(region, one)]
    job.status = CANCELED
    job.last_updated_at = job.completed_at = region.now()
    return [*events, *tell_job(region, job, "canceled")]


def follow_registry(region: Region) -> list[Event]:
    """Add things that joined a group to continuous jobs; executions of things that left or are gone become REMOVED."""
    events: list[Event] = []
    for job in list(region.jobs.values()):
        if job.status == IN_PROGRESS:
            events += _update_targets(region, job)
    return events


def read_schedule(region: Region, config: dict[str, Any]) -> Schedule:
    """Seconds until the job starts and until it ends, None where not scheduled."""
    if config.get("maintenanceWindows"):
        raise invalid_request("The sandbox does not have maintenance windows.")
    return _seconds_until(region, config.get("startTime")), _seconds_until(region, config.get("endTime"))


def begin(region: Region, job: Job, schedule: Schedule) -> list[Event]:
    """Roll the job out now, or schedule its start and its end."""
    start_s, end_s = schedule
    if end_s is not None:
        behaviour = job.config["schedulingConfig"].get("endBehavior", "STOP_ROLLOUT")
        region.later(end_s, partial(_end_job, region, job, behaviour))
    if start_s:
        job.status = SCHEDULED
        region.later(start_s, partial(_start_job, region, job))
        return []
    return _start_job(region, job)


def _update_targets(region: Region, job: Job) -> list[Event]:
    members = set(things_of(region, job.targets)) if job.selection == CONTINUOUS else None
    gone = [one for one in job.latest() if not one.is_over and not _still_target(region, one.thing_name, members)]
    with collect_notifications(region, [one.thing_name for one in gone]) as events:
        for execution in gone:
            execution.change("REMOVED", region.now())
    events += [event for one in gone for event in tell_execution(region, one)]
    if members is not None and any(is_group(target) for target in job.targets):
        joined = members - set(job.executions) - set(job.waiting)
        if joined:
            job.waiting += sorted(joined)
            events += roll_out(region, job)
    return [*events, *_complete(region, job)] if gone else events


def _still_target(region: Region, thing_name: str, members: set[str] | None) -> bool:
    return has_thing(region, thing_name) and (members is None or thing_name in members)


def _add_execution(region: Region, job: Job, thing_name: str, retry_attempt: int = 0) -> None:
    tries = job.executions.setdefault(thing_name, [])
    now = region.now()
    tries.append(Execution(job.job_id, thing_name, len(tries) + 1, now, now, retry_attempt=retry_attempt))


def _rate(job: Job) -> int:
    rollout = job.config.get("jobExecutionsRolloutConfig", {})
    most = rollout.get("maximumPerMinute") or len(job.waiting)
    exponential = rollout.get("exponentialRate")
    if not exponential:
        return int(most)
    criteria = exponential["rateIncreaseCriteria"]
    done = len([one for one in job.latest() if one.status == "SUCCEEDED"])
    steps = _steps(len(job.executions), criteria.get("numberOfNotifiedThings"))
    steps += _steps(done, criteria.get("numberOfSucceededThings"))
    return int(min(most, exponential["baseRatePerMinute"] * exponential["incrementFactor"] ** steps))


def _steps(count: int, each: int | None) -> int:
    return count // each if each else 0


def _retry(region: Region, job: Job, execution: Execution) -> list[Event]:
    criteria = job.config.get("jobExecutionsRetryConfig", {}).get("criteriaList", [])
    allowed = [
        one["numberOfRetries"]
        for one in criteria
        if execution.status in {"FAILED", "TIMED_OUT"} and one["failureType"] in {"ALL", execution.status}
    ]
    if job.status != IN_PROGRESS or execution.retry_attempt >= max(allowed, default=0):
        return []
    with collect_notifications(region, [execution.thing_name]) as events:
        _add_execution(region, job, execution.thing_name, execution.retry_attempt + 1)
    return events


def _is_to_abort(job: Job) -> bool:
    over = [one for one in job.latest() if one.is_over]
    for criteria in job.config.get("abortConfig", {}).get("criteriaList", []):
        kinds = {"FAILED", "REJECTED", "TIMED_OUT"} if criteria["failureType"] == "ALL" else {criteria["failureType"]}
        failed = len([one for one in over if one.status in kinds])
        enough = bool(over) and len(over) >= criteria["minNumberOfExecutedThings"]
        if enough and 100 * failed / len(over) >= criteria["thresholdPercentage"]:
            return True
    return False


def _complete(region: Region, job: Job) -> list[Event]:
    is_done = not job.waiting and all(execution.is_over for execution in job.latest())
    if job.selection != SNAPSHOT or job.status != IN_PROGRESS or not is_done:
        return []
    job.status = COMPLETED
    job.last_updated_at = job.completed_at = region.now()
    return tell_job(region, job, "completed")


def _start_job(region: Region, job: Job) -> list[Event]:
    if region.jobs.get(job.job_id) is not job or job.status not in {IN_PROGRESS, SCHEDULED}:
        return []
    job.status = IN_PROGRESS
    job.waiting = things_of(region, job.targets)
    return roll_out(region, job)


def _end_job(region: Region, job: Job, behaviour: str) -> list[Event]:
    if region.jobs.get(job.job_id) is not job or job.status != IN_PROGRESS:
        return []
    if behaviour == "STOP_ROLLOUT":
        job.waiting = []
        return []
    return cancel(region, job, comment="The job's end time has come.", force=behaviour == "FORCE_CANCEL")


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
