"""Gathers what a report of a rollout tells: how it went, why devices failed, and what was sent to whom.

The curve is made from the times that AWS keeps of each execution, so it is the same whether the rollout was watched
from its beginning or not. That takes one listing of all executions, 250 in a call.

Source: AWS IoT ListJobExecutionsForJob (queuedAt, lastUpdatedAt), DescribeJob (rollout, abort and timeout).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ota import images
from ota.certificates import keys
from ota.errors import OtaError, attempt
from ota.look.failures import FailureGroup, group_failures, listed_failures, why_it_was_ended
from ota.look.forms import list_devices
from ota.look.rollout_screens import in_order
from ota.look.statuses import Verdict, judge_rollout
from ota.updates.jobs import Execution, Job
from ota.updates.rollouts import Rollout

if TYPE_CHECKING:
    from ota.run import Run
    from ota.updates.requests import Update

MOST_POINTS = 240  # of a curve
VERDICTS = {
    Verdict.DONE: "Every device runs the update",
    Verdict.FAILED: "Not every device runs the update",
    Verdict.IN_PROGRESS: "Under way",
}


@dataclass(frozen=True)
class Point:
    """How many devices there were at one time; each number includes those before it in time.

    Attributes:
        after_s: seconds since the beginning of the curve.
        offered: had been offered the update.
        succeeded: ran it.
        failed: had ended without success.
    """

    after_s: float
    offered: int
    succeeded: int
    failed: int


@dataclass(frozen=True)
class RolloutReport:
    """What the page shows.

    Attributes:
        title: the update's name.
        verdict: how it stands; ``headline`` says it in a sentence.
        headline: the sentence.
        ended: why it was stopped; empty where it was not.
        size: how many devices it goes to.
        counts: how many are in each state, in the order of the bar.
        curve: from the job's beginning to the last change.
        begun_at: the curve's beginning.
        failures: by status and cause.
        failed: name, status and time of every device without success.
        sent: what was sent to whom: labels and values.
        settings: how it was sent: labels and values.
        times: labels and times.
        made_at: when the report was made.
    """

    title: str
    verdict: Verdict
    headline: str
    ended: str
    size: int
    counts: Sequence[tuple[str, int]]
    curve: Sequence[Point]
    begun_at: datetime
    failures: Sequence[tuple[FailureGroup, str]]
    failed: Sequence[tuple[str, str, datetime | None]]
    sent: Mapping[str, str]
    settings: Mapping[str, str]
    times: Mapping[str, datetime | None]
    made_at: datetime


def gather_report(run: Run, update: Update, rollout: Rollout) -> RolloutReport:
    """The report of a rollout as it is now; lists every execution."""
    cloud, now, job = run.cloud, datetime.now(timezone.utc), rollout.job
    listed = attempt(lambda: list(list_devices(cloud.iot, rollout)))
    devices = list(rollout.executions) if isinstance(listed, OtaError) else listed
    begun_at = _begin(job, devices, now)
    size_bytes = attempt(
        partial(images.find_size_bytes, cloud.s3, update.bucket, update.key, account_id=cloud.account_id)
    )
    failures = [(group, run.report.text(group.remedy)) for group in group_failures(rollout)]
    verdict = judge_rollout(rollout)
    return RolloutReport(
        update.update_id,
        verdict,
        VERDICTS.get(verdict, "Not known"),
        run.report.text(why_it_was_ended(job)) if job else "",
        max(rollout.size, len(devices)),
        in_order(rollout.counts()),
        curve_of(devices, begun_at),
        begun_at,
        failures,
        [(one.thing_name, one.status, one.updated_at) for one in listed_failures(devices)],
        _sent(update, size_bytes if isinstance(size_bytes, int) else None, cloud.account_name),
        describe_configuration(job),
        _times(job, devices),
        now,
    )


def curve_of(executions: Iterable[Execution], begun_at: datetime, most: int = MOST_POINTS) -> list[Point]:
    """The curve: a point for each moment at which something changed, at most so many; the last one has it all."""
    events = sorted(_events(executions), key=lambda one: one[0])
    points = [Point(0.0, 0, 0, 0)]
    counts = {"offered": 0, "succeeded": 0, "failed": 0}
    for at, what in events:
        counts[what] += 1
        after_s = max((at - begun_at).total_seconds(), 0.0)
        if points[-1].after_s == after_s:
            points.pop()
        points.append(Point(after_s, **counts))
    step = -(-len(points) // most)
    return points if step == 1 else [*points[:-1:step], points[-1]]


def describe_configuration(job: Job | None) -> dict[str, str]:
    """How the job is rolled out, when AWS stops it, and how long a device may take, in words."""
    if job is None:
        return {}
    told = job.configuration
    return {
        "Devices": "those that join the group later, too" if job.is_continuous else "those at the start",
        "Speed": _speed(told.get("jobExecutionsRolloutConfig", {})),
        "Stops at": "; ".join(_threshold(one) for one in told.get("abortConfig", {}).get("criteriaList", []))
        or "never",
        "Time for a device": _minutes(told.get("timeoutConfig", {}).get("inProgressTimeoutInMinutes")),
    }


def write_report(path: Path, text: str) -> None:
    """Write the page; one that is there stays whole until the new one is."""
    keys.write_atomically(path, text.encode(), mode=0o644)


def _events(executions: Iterable[Execution]) -> Iterator[tuple[datetime, str]]:
    for one in executions:
        if one.queued_at:
            yield one.queued_at, "offered"
        if one.is_over and one.updated_at:
            yield one.updated_at, "succeeded" if one.has_succeeded else "failed"


def _begin(job: Job | None, executions: Iterable[Execution], now: datetime) -> datetime:
    queued = [one.queued_at for one in executions if one.queued_at]
    made = [job.created_at] if job and job.created_at else []
    return min([*queued, *made], default=now)


def _times(job: Job | None, executions: Sequence[Execution]) -> dict[str, datetime | None]:
    started = [one.started_at for one in executions if one.started_at]
    ended = [one.updated_at for one in executions if one.is_over and one.updated_at]
    return {
        "Job made": job.created_at if job else None,
        "First device began": min(started, default=None),
        "Last device finished": max(ended, default=None),
        "Job ended": job.completed_at if job else None,
    }


def _sent(update: Update, size_bytes: int | None, account_name: str) -> dict[str, str]:
    targets = [
        target.rpartition(":")[2].replace("thinggroup/", "group ").replace("/", " ") for target in update.targets
    ]
    told = {
        "Image": update.key.rpartition("/")[2],
        "SHA-256": update.image_sha256,
        "Size": f"{size_bytes:,} bytes" if size_bytes is not None else "",
        "On the device": update.file_name,
        "Signature": f"{update.signature_algorithm} with {update.hash_algorithm}",
        "Update": update.update_id,
        "Job": update.job_id,
        "Targets": ", ".join(targets),
        "Sent over": " or ".join(update.protocols),
        "Account": account_name,
    }
    return {label: value for label, value in told.items() if value}


def _speed(rollout: Mapping[str, Any]) -> str:
    most, growing = rollout.get("maximumPerMinute"), rollout.get("exponentialRate")
    if not growing:
        return f"at most {most:,} devices a minute" if most else "all devices at once"
    criteria = growing["rateIncreaseCriteria"]
    kind = "successes" if "numberOfSucceededThings" in criteria else "devices"
    limit = f", at most {most:,}" if most else ""
    return (
        f"{growing['baseRatePerMinute']:,} devices a minute, times {growing['incrementFactor']:g} after each "
        f"{next(iter(criteria.values())):,} {kind}{limit}"
    )


def _threshold(criterion: Mapping[str, Any]) -> str:
    minimum = criterion["minNumberOfExecutedThings"]
    return f"{criterion['failureType']} {criterion['thresholdPercentage']:g} % of at least {minimum:,}"


def _minutes(minutes: int | None) -> str:
    return f"{minutes:,} min" if minutes else "no limit"
