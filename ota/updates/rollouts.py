"""How far a job is on all its things: the executions of a few, the counts of many.

Of up to ten things every execution is listed, and described where it can tell something new. Of more, the description
of the job has the counts, so a look is one call. Of those that ended without success the first of each status are
listed, until there are enough for a screen; what a device reported is described for these alone.

How many things there are is known once all executions exist. While AWS is still making them, and in a continuous job,
the members of the target groups are counted, once.

Source: AWS IoT DescribeJob (jobProcessDetails, isConcurrent), ListJobExecutionsForJob (status), DescribeJobExecution
(statusDetails.detailsMap).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from ota.threads import side_by_side, side_by_side_map
from ota.updates.jobs import ENDED_JOB, SUCCEEDED, UNFINISHED, Execution, Job, find_execution, find_job, list_executions

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

FEW = 10  # things; the executions of more are not all listed
SAMPLE = 25  # executions of each status without success that are listed for a screen
MOST_DESCRIBED = 25
UNSUCCESSFUL = ("FAILED", "TIMED_OUT", "REJECTED", "CANCELED")  # what an update can be sent to again
TELLING = ("FAILED", "REJECTED")  # a device reports these itself, and may say why
ANY_FAILURE = "ALL"
CountThings = Callable[[Sequence[str]], int]


@dataclass(frozen=True)
class Rollout:
    """A job with executions of its things, in the order of their names.

    Attributes:
        job_id: the job's id.
        status: the job's.
        executions: all of them where there are few things, else the first of those that ended without success.
        job: the job; its counts count where there are many things.
        size: how many things the job goes to, as far as that is known.
        is_large: whether there are many things.
    """

    job_id: str
    status: str
    executions: tuple[Execution, ...]
    job: Job | None = None
    size: int = 0
    is_large: bool = False

    @property
    def is_over(self) -> bool:
        """Whether every device has finished; a job without executions is over only when AWS has ended it."""
        if self.job and self.is_large:
            has_all = self.finished_count >= self.size and not self.job.is_rolling_out
            return not self.unfinished_count and (self.job.has_ended or has_all)
        is_done = all(one.is_over for one in self.executions) and not self.waiting_count
        return is_done and bool(self.executions or self.status in ENDED_JOB)

    @property
    def failed(self) -> tuple[Execution, ...]:
        """The executions that are known here, are over and did not succeed."""
        return tuple(one for one in self.executions if one.is_over and not one.has_succeeded)

    @property
    def finished_count(self) -> int:
        """How many devices have finished, with success or without."""
        return sum(count for status, count in self.counts().items() if status not in UNFINISHED)

    @property
    def unfinished_count(self) -> int:
        """How many devices have been offered the update and have not finished."""
        return sum(count for status, count in self.counts().items() if status in UNFINISHED)

    @property
    def failed_count(self) -> int:
        """How many devices have finished without success."""
        return self.finished_count - self.counts().get(SUCCEEDED, 0)

    @property
    def waiting_count(self) -> int:
        """How many things the job has not been offered to yet; none where it is ended."""
        if self.job is None or self.job.has_ended:
            return 0
        return max(self.size - self.finished_count - self.unfinished_count, 0)

    @property
    def has_succeeded(self) -> bool:
        """Whether every device runs the update, and there is at least one."""
        counts = self.counts()
        return bool(counts) and not self.waiting_count and set(counts) == {SUCCEEDED}

    def counts(self) -> Mapping[str, int]:
        """How many executions there are in each status."""
        if self.job and self.is_large:
            return self.job.counts
        return Counter(one.status for one in self.executions)

    def as_json(self) -> dict[str, Any]:
        """The rollout as plain values."""
        return {
            "job": self.job_id,
            "status": self.status,
            "things": max(self.size, len(self.executions)),
            "counts": dict(self.counts()),
            "reason": self.job.reason_code if self.job else "",
            "executions": [one.as_json() for one in self.executions],
        }


@dataclass(frozen=True)
class AbortCriterion:
    """One of the thresholds at which AWS ends a job, with the counts that it goes by.

    Attributes:
        failure_type: FAILED, REJECTED, TIMED_OUT or ALL.
        percent: of the finished executions.
        minimum: how many executions have to be finished.
        failed: how many executions ended this way.
        finished: how many executions AWS counts as finished: those with success, and the three kinds of failure.
    """

    failure_type: str
    percent: float
    minimum: int
    failed: int
    finished: int

    @property
    def share(self) -> float:
        """The failed ones in percent of the finished ones."""
        return 100 * self.failed / self.finished if self.finished else 0.0


def is_aborted(job: Job) -> bool:
    """Whether AWS ended the job by one of its abort criteria. UNVERIFIED: the reason code's text."""
    return job.status == "CANCELED" and "ABORT" in job.reason_code.upper()


def find_met_criterion(job: Job) -> AbortCriterion | None:
    """The abort criterion that ended the job; None where the job has none.

    Devices that were at work go on after the end, so the share may have changed since: then it is the nearest one.
    """
    finished = sum(job.counts.get(status, 0) for status in (SUCCEEDED, "FAILED", "REJECTED", "TIMED_OUT"))
    found = [_criterion(one, job, finished) for one in job.configuration.get("abortConfig", {}).get("criteriaList", [])]
    return max(found, key=lambda one: (one.finished >= one.minimum, one.share - one.percent), default=None)


def find_rollout(
    iot: IoTClient, job_id: str, before: Rollout | None = None, count_things: CountThings = len
) -> Rollout | None:
    """The job and how far it is; None where there is no such job.

    Args:
        iot: the client.
        job_id: the job's id.
        before: the result of the last look: what was over then is not described again.
        count_things: counts the things of targets; asked once, where the job does not tell yet.
    """
    job, listed = _look(iot, job_id, before)
    if job is None:
        return None
    size = max(job.execution_count, (before.size if before else 0) or _count(job, count_things))
    if max(size, len(listed or ())) > FEW:
        return Rollout(job_id, job.status, _sample(iot, job, before), job, size, is_large=True)
    found = _list(iot, job_id) if listed is None else listed
    return Rollout(job_id, job.status, _described(iot, job_id, found, _known(before)), job, size)


def _look(iot: IoTClient, job_id: str, before: Rollout | None) -> tuple[Job | None, list[Execution] | None]:
    """The job; beside it the executions where they are known to be few, else None."""
    if before is None or before.is_large or not before.executions:
        return find_job(iot, job_id), None
    job, listed = side_by_side(partial(find_job, iot, job_id), partial(_list, iot, job_id))
    return job, listed


def _count(job: Job, count_things: CountThings) -> int:
    """How many things the job goes to; its executions tell where all of them exist."""
    has_group = any(":thinggroup/" in target for target in job.targets)
    is_open = job.is_rolling_out or job.is_continuous or not job.counts
    return count_things(job.targets) if has_group and is_open and not job.has_ended else job.execution_count


def _list(iot: IoTClient, job_id: str) -> list[Execution]:
    return sorted(list_executions(iot, job_id), key=lambda one: one.thing_name)


def _known(before: Rollout | None) -> dict[str, Execution]:
    return {one.thing_name: one for one in before.executions} if before else {}


def _sample(iot: IoTClient, job: Job, before: Rollout | None) -> tuple[Execution, ...]:
    """The first executions of each status without success; listed only where there are more than were known."""
    known = _known(before)
    found = list(known.values())
    for status in UNSUCCESSFUL:
        count = sum(one.status == status for one in found)
        if count < min(job.counts.get(status, 0), SAMPLE):
            listed = list(islice(list_executions(iot, job.job_id, status=status), SAMPLE))
            found = [one for one in found if one.status != status] + listed
    telling = [one for one in found if one.status in TELLING]
    told = {one.thing_name: one for one in _described(iot, job.job_id, telling, known, most=2 * SAMPLE)}
    return tuple(sorted((told.get(one.thing_name, one) for one in found), key=lambda one: one.thing_name))


def _described(
    iot: IoTClient, job_id: str, listed: list[Execution], known: Mapping[str, Execution], most: int = MOST_DESCRIBED
) -> tuple[Execution, ...]:
    wanted = {one.thing_name for one in _worth_describing(listed, known, most)}
    return tuple(
        side_by_side_map(
            lambda one: _describe(iot, job_id, one) if one.thing_name in wanted else known.get(one.thing_name, one),
            listed,
        )
    )


def _worth_describing(listed: Iterable[Execution], known: Mapping[str, Execution], most: int) -> list[Execution]:
    """The executions to describe: failures first, because a user wants to read them."""
    news = [one for one in listed if not _is_known(one, known.get(one.thing_name))]
    return sorted(news, key=lambda one: (not one.is_over or one.has_succeeded, one.has_succeeded))[:most]


def _is_known(one: Execution, before: Execution | None) -> bool:
    return before is not None and one.is_over and before.status == one.status and before.version > 0


def _describe(iot: IoTClient, job_id: str, listed: Execution) -> Execution:
    """The execution with its details; as listed where it was deleted between the two looks."""
    return find_execution(iot, job_id, listed.thing_name) or listed


def _criterion(told: Mapping[str, Any], job: Job, finished: int) -> AbortCriterion:
    kind = told["failureType"]
    kinds = ("FAILED", "REJECTED", "TIMED_OUT") if kind == ANY_FAILURE else (kind,)
    failed = sum(job.counts.get(status, 0) for status in kinds)
    return AbortCriterion(kind, told["thresholdPercentage"], told["minNumberOfExecutedThings"], failed, finished)
