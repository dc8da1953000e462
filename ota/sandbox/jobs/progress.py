"""How a job runs: schedule, rollout, retry, abort, cancellation, completion.

A rollout goes in minutes of the sandbox's clock. At the start of each, the rate for it is decided, and as many waiting
things get an execution at once; a thing that joins later gets one in the same minute while the rate allows. When the
clock was moved ahead, the minutes in between are made up one after the other.

Source: AWS IoT Developer Guide, "Job configurations work" (rollout, abort, timeout, retry), "Job scheduling"; API
reference, SchedulingConfig, AbortCriteria, ExponentialRolloutRate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from itertools import islice
from typing import Any

from ota.sandbox.moto.lookups import has_thing, is_target, take_changed_things, things_of
from ota.sandbox.moto.responses import invalid_request

from .execution_store import add_execution, change_execution
from .model import CANCELED, COMPLETED, CONTINUOUS, IN_PROGRESS, QUEUED, SCHEDULED, SNAPSHOT, Event, Execution, Job
from .notifications import collect_notifications, tell_execution, tell_job
from .state import Region

ROLLOUT_STEP_S = 60.0
MAX_PER_MINUTE = 1000  # of an exponential rollout that names no maximum
REMOVED = "REMOVED"
_FAILURES = ("FAILED", "REJECTED", "TIMED_OUT")
Schedule = tuple[float | None, float | None]


@dataclass(frozen=True)
class Reason:
    """Why a job was cancelled: a code in capitals, and a sentence."""

    code: str | None = None
    comment: str | None = None


def roll_out(region: Region, job: Job) -> list[Event]:
    """Create executions for as many waiting things as this minute still allows; the others get theirs later."""
    if job.status != IN_PROGRESS:
        return []
    now = region.now()
    if job.waiting and not job.is_rolling and now >= job.minute_at + ROLLOUT_STEP_S:
        _begin_minute(job, now)
    events = _queue_next(region, job)
    if job.waiting and not job.is_rolling:
        job.is_rolling = True
        region.later(job.minute_at + ROLLOUT_STEP_S - now, partial(_next_minute, region, job))
    return [*events, *_complete(region, job)]


def after_change(region: Region, execution: Execution) -> list[Event]:
    """The consequences of an execution's change for its job: retry, abort, completion."""
    job = region.jobs.get(execution.job_id)
    if job is None or not execution.is_over:
        return []
    events = [*tell_execution(region, execution), *_retry(region, job, execution)]
    if job.status == IN_PROGRESS and _is_to_abort(job):
        events += cancel(region, job, _abort_reason(), force=False)
    return [*events, *_complete(region, job)]


def cancel(region: Region, job: Job, why: Reason, *, force: bool) -> list[Event]:
    """Cancel queued executions; with ``force`` also those in progress."""
    ends = {QUEUED, IN_PROGRESS} if force else {QUEUED}
    concerned = [one for one in job.latest() if one.status in ends]
    with collect_notifications(region, [one.thing_name for one in concerned]) as events:
        for execution in concerned:
            execution.force_canceled = force
            change_execution(region, execution, CANCELED)
    job.comment, job.reason_code = why.comment or job.comment, why.code
    job.waiting, job.force_canceled = {}, force
    events += tell_job(region, job, "cancellation_in_progress")
    events += [event for one in concerned for event in tell_execution(region, one)]
    job.status = CANCELED
    job.last_updated_at = job.completed_at = region.now()
    return [*events, *tell_job(region, job, "canceled")]


def follow_registry(region: Region) -> list[Event]:
    """Follow the things that changed in the registry: those that joined or left a group, and those that are gone."""
    names = take_changed_things(region)
    running = [job for job in region.jobs.values() if job.status == IN_PROGRESS] if names else []
    return [event for job in running for event in _follow_things(region, job, names)]


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


def _follow_things(region: Region, job: Job, names: list[str]) -> list[Event]:
    gone = [one for one in (_follow_thing(region, job, name) for name in names) if one is not None]
    with collect_notifications(region, [one.thing_name for one in gone]) as events:
        for execution in gone:
            change_execution(region, execution, REMOVED)
    events += [event for one in gone for event in tell_execution(region, one)]
    return [*events, *roll_out(region, job)]


def _follow_thing(region: Region, job: Job, name: str) -> Execution | None:
    """Let a thing that joined wait for its turn; the execution of one that left, before it began, or is gone."""
    latest, exists = job.find(name), has_thing(region, name)
    if exists and job.selection != CONTINUOUS:
        return None
    if is_target(region, job.targets, name):
        if latest is None or latest.status == REMOVED:
            job.waiting.setdefault(name)
        return None
    job.waiting.pop(name, None)
    is_dropped = latest is not None and not latest.is_over and (not exists or latest.status == QUEUED)
    return latest if is_dropped else None


def _begin_minute(job: Job, moment: float) -> None:
    job.minute_at, job.minute_rate, job.minute_count = moment, _rate(job), 0


def _next_minute(region: Region, job: Job) -> list[Event]:
    """Scheduled while things wait; late by whole minutes when the clock was moved."""
    _begin_minute(job, job.minute_at + ROLLOUT_STEP_S)
    events = _queue_next(region, job)
    job.is_rolling = bool(job.waiting)
    if job.is_rolling:
        region.later(job.minute_at + ROLLOUT_STEP_S - region.now(), partial(_next_minute, region, job))
    return [*events, *_complete(region, job)]


def _queue_next(region: Region, job: Job) -> list[Event]:
    room = min(len(job.waiting), job.minute_rate - job.minute_count)
    batch = list(islice(job.waiting, max(0, int(room))))
    with collect_notifications(region, batch) as events:
        for thing_name in batch:
            del job.waiting[thing_name]
            add_execution(region, job, thing_name)
    job.minute_count += len(batch)
    return events


def _rate(job: Job) -> float:
    """How many things get an execution in the minute that begins; infinite without a limit."""
    rollout = job.config.get("jobExecutionsRolloutConfig", {})
    most, exponential = rollout.get("maximumPerMinute"), rollout.get("exponentialRate")
    if not exponential:
        return most or math.inf
    criteria = exponential["rateIncreaseCriteria"]
    steps = _steps(len(job.executions), criteria.get("numberOfNotifiedThings"))
    steps += _steps(job.counts["SUCCEEDED"], criteria.get("numberOfSucceededThings"))
    rate, most = float(exponential["baseRatePerMinute"]), most or MAX_PER_MINUTE
    for _ in range(steps):
        rate *= exponential["incrementFactor"]
        if rate >= most:
            break
    return min(most, int(rate))


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
        add_execution(region, job, execution.thing_name, execution.retry_attempt + 1)
    return events


def _is_to_abort(job: Job) -> bool:
    """Whether one of the criteria is met. UNVERIFIED: that both numbers are about executions that have ended."""
    executed = job.counts["SUCCEEDED"] + sum(job.counts[status] for status in _FAILURES)
    for criteria in job.config.get("abortConfig", {}).get("criteriaList", []):
        kinds = _FAILURES if criteria["failureType"] == "ALL" else (criteria["failureType"],)
        failed = sum(job.counts[status] for status in kinds)
        is_enough = failed > 0 and executed >= criteria["minNumberOfExecutedThings"]
        if is_enough and 100 * failed >= criteria["thresholdPercentage"] * executed:
            return True
    return False


def _abort_reason() -> Reason:
    """What DescribeJob says of an aborted job. UNVERIFIED: AWS's own words."""
    return Reason("ABORT_CRITERIA_MET", "The abort criteria of the job were met.")


def _complete(region: Region, job: Job) -> list[Event]:
    if job.selection != SNAPSHOT or job.status != IN_PROGRESS or job.waiting or job.open_count:
        return []
    job.status = COMPLETED
    job.last_updated_at = job.completed_at = region.now()
    return tell_job(region, job, "completed")


def _start_job(region: Region, job: Job) -> list[Event]:
    if region.jobs.get(job.job_id) is not job or job.status not in {IN_PROGRESS, SCHEDULED}:
        return []
    job.status = IN_PROGRESS
    job.waiting = dict.fromkeys(things_of(region, job.targets))
    return roll_out(region, job)


def _end_job(region: Region, job: Job, behaviour: str) -> list[Event]:
    if region.jobs.get(job.job_id) is not job or job.status != IN_PROGRESS:
        return []
    if behaviour == "STOP_ROLLOUT":
        job.waiting = {}
        return _complete(region, job)
    return cancel(region, job, Reason(comment="The job's end time has come."), force=behaviour == "FORCE_CANCEL")


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
