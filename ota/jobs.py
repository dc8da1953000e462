"""AWS IoT jobs: the job that delivers an update, one that somebody made without an update, and their executions.

A job has one execution for each thing. A listing tells the status of each; what a device reported is in the description
of each. Those are read side by side, for as many as fit a screen: the unfinished ones and the failed ones.

An update is deleted together with its job, in ``updates``. Here is the job that somebody names. AWS runs at most ten
deletions of jobs at a time, so a deletion returns only when the job is gone.

An update and its job are one noun in three files: ``update_requests``, ``updates`` and this one.

Source: AWS IoT DescribeJob, DeleteJob, ListJobs, ListJobExecutionsForJob, ListJobExecutionsForThing,
DescribeJobExecution (statusDetails.detailsMap); AWS IoT quotas (concurrent DeleteJob).
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ota.aws_calls import answer_or_none, pages, wait_until
from ota.errors import InTheWay, WaitTimeout
from ota.outcomes import Outcome, Verb
from ota.threads import side_by_side, side_by_side_map

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

T = TypeVar("T")

JOB_ID_PREFIX = "AFR_OTA-"  # of the jobs that the OTA service makes
JOB_BEING_DELETED = "DELETION_IN_PROGRESS"
UNFINISHED_JOB = frozenset({"IN_PROGRESS", "SCHEDULED"})
QUEUED = "QUEUED"
IN_PROGRESS = "IN_PROGRESS"
SUCCEEDED = "SUCCEEDED"
UNFINISHED = frozenset({QUEUED, IN_PROGRESS})
ENDED_JOB = frozenset({"COMPLETED", "CANCELED"})
MOST_DESCRIBED = 25
RECEIVED = re.compile(r"(\d+)/(\d+)")
PAGE_SIZE = 250
LONGEST_POLL_S = 4.0


@dataclass(frozen=True)
class Patience:
    """How long to wait for what.

    Attributes:
        timeout_s: until AWS has made an update.
        delete_timeout_s: until update and job are gone.
        settle_timeout_s: for how long a failure that may come from a new role is retried; 0 when the role is old.
        poll_s: the first pause between two looks; each is twice the one before, up to four seconds.
        sleep: waits so many seconds.
        clock: a count of seconds that never goes back.
    """

    timeout_s: float = 60.0
    delete_timeout_s: float = 120.0
    settle_timeout_s: float = 0.0
    poll_s: float = 0.5
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def wait_until(self, look: Callable[[], T | None], timeout_s: float, what: str) -> T:
        """The first answer of ``look`` that is not None; ``what`` is waited for, in words."""
        return wait_until(
            look,
            lambda: WaitTimeout(
                f"Waited {timeout_s:g} seconds for {what}, and it is not done. Run the same command again to go on "
                "waiting, or raise update_timeout_s and delete_timeout_s in config.json."
            ),
            timeout_s=timeout_s,
            poll_s=self.poll_s,
            longest_poll_s=LONGEST_POLL_S,
            sleep=self.sleep,
            clock=self.clock,
        )


@dataclass(frozen=True)
class Job:
    """The job that delivers an update.

    Attributes:
        job_id: its id.
        status: IN_PROGRESS, SCHEDULED, CANCELED, COMPLETED or DELETION_IN_PROGRESS.
        targets: ARNs of things and thing groups.
    """

    job_id: str
    status: str
    targets: tuple[str, ...]


@dataclass(frozen=True)
class ListedJob:
    """What a listing tells of a job."""

    job_id: str
    arn: str
    status: str
    created_at: datetime


@dataclass(frozen=True)
class Execution:
    """One thing's execution of a job.

    Attributes:
        thing_name: the device's thing.
        status: QUEUED, IN_PROGRESS, SUCCEEDED, FAILED, TIMED_OUT, REJECTED, REMOVED or CANCELED.
        queued_at: when AWS offered it.
        started_at: when the device took it; None before.
        updated_at: when its status or details last changed, to the second.
        version: counts the changes; 0 where it comes from a listing.
        details: what the device reported with its status.
    """

    thing_name: str
    status: str
    queued_at: datetime | None = None
    started_at: datetime | None = None
    updated_at: datetime | None = None
    version: int = 0
    details: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether nothing can change any more."""
        return self.status not in UNFINISHED

    @property
    def has_succeeded(self) -> bool:
        """Whether the device reports that it runs the update."""
        return self.status == SUCCEEDED

    @property
    def received(self) -> tuple[int, int] | None:
        """Blocks that the device has, and how many there are, where it reports them."""
        found = RECEIVED.fullmatch(self.details.get("receive", ""))
        return (int(found[1]), int(found[2])) if found and int(found[2]) else None

    @property
    def words(self) -> str:
        """Everything that the device reported except its progress: ``reason: 0x…, updatedBy: 0``."""
        return ", ".join(f"{key}: {value}" for key, value in self.details.items() if key != "receive")

    def as_json(self) -> dict[str, Any]:
        """The execution as plain values; times in ISO 8601."""
        times = {"queued_at": self.queued_at, "started_at": self.started_at, "updated_at": self.updated_at}
        return {
            "thing": self.thing_name,
            "status": self.status,
            **{name: time.isoformat() if time else None for name, time in times.items()},
            "received": list(self.received) if self.received else None,
            "details": dict(self.details),
        }


@dataclass(frozen=True)
class Rollout:
    """A job with the executions of all its things, in the order of their names."""

    job_id: str
    status: str
    executions: tuple[Execution, ...]

    @property
    def is_over(self) -> bool:
        """Whether every device has finished; a job without executions is over only when AWS has ended it."""
        return all(one.is_over for one in self.executions) and bool(self.executions or self.status in ENDED_JOB)

    @property
    def failed(self) -> tuple[Execution, ...]:
        """The executions that are over and did not succeed."""
        return tuple(one for one in self.executions if one.is_over and not one.has_succeeded)

    @property
    def has_succeeded(self) -> bool:
        """Whether every device runs the update, and there is at least one."""
        return bool(self.executions) and all(one.has_succeeded for one in self.executions)

    def counts(self) -> dict[str, int]:
        """How many executions there are in each status."""
        return dict(Counter(one.status for one in self.executions))

    def as_json(self) -> dict[str, Any]:
        """The rollout as plain values."""
        return {
            "job": self.job_id,
            "status": self.status,
            "counts": self.counts(),
            "executions": [one.as_json() for one in self.executions],
        }


def job_id_of(update_id: str) -> str:
    """The id that AWS gives the job of an update."""
    return f"{JOB_ID_PREFIX}{update_id}"


def find_job(iot: IoTClient, job_id: str) -> Job | None:
    """The job by this id, in one call."""
    answer = answer_or_none(iot.describe_job, jobId=job_id)
    if answer is None:
        return None
    return Job(job_id, answer["job"]["status"], tuple(answer["job"].get("targets", [])))


def delete_job(iot: IoTClient, job_id: str, *, force: bool = False, patience: Patience | None = None) -> Outcome[None]:
    """Delete the job with its executions, and wait until it is gone; absent is success.

    ``force``: though its devices have not finished.

    Raises:
        InTheWay: its devices have not finished, and ``force`` is not given.
        WaitTimeout: it took longer than the bounds.
    """
    patience = patience or Patience()
    job = find_job(iot, job_id)
    if job is None:
        return Outcome("job", Verb.ABSENT, job_id)
    if job.status in UNFINISHED_JOB and not force:
        raise InTheWay(f"The job {job_id} is {job.status}: its devices have not finished.")
    if job.status != JOB_BEING_DELETED:
        request_job_deletion(iot, job_id, force=force)
    patience.wait_until(
        lambda: True if find_job(iot, job_id) is None else None,
        patience.delete_timeout_s,
        f"AWS to delete the job {job_id}",
    )
    return Outcome("job", Verb.DELETED, job_id)


def request_job_deletion(iot: IoTClient, job_id: str, *, force: bool = True) -> None:
    """Ask AWS to delete the job, and do not wait; absent is success."""
    answer_or_none(iot.delete_job, jobId=job_id, force=force)


def list_jobs(iot: IoTClient) -> Iterator[ListedJob]:
    """All jobs of the account in this region, of updates or not, page by page."""
    for one in pages(iot, "list_jobs", "jobs", page_size=PAGE_SIZE):
        yield ListedJob(one["jobId"], one["jobArn"], one["status"], one["createdAt"])


def list_jobs_at_work(iot: IoTClient, thing_name: str) -> list[str]:
    """Ids of the jobs that the thing's device is executing."""
    return [one["jobId"] for one in _executions_of_thing(iot, thingName=thing_name, status=IN_PROGRESS)]


def list_job_ids(iot: IoTClient, thing_name: str) -> list[str]:
    """Ids of the jobs that the thing has or had, as far back as AWS keeps their executions."""
    return [one["jobId"] for one in _executions_of_thing(iot, thingName=thing_name)]


def list_things_at_work(iot: IoTClient, job_id: str) -> list[str]:
    """Names of the things whose devices are executing the job."""
    found = _executions_of_job(iot, jobId=job_id, status=IN_PROGRESS)
    return [one["thingArn"].rpartition("/")[2] for one in found]


def find_rollout(iot: IoTClient, job_id: str, before: Rollout | None = None) -> Rollout | None:
    """The job with its executions; None where there is no such job.

    ``before`` is the result of the last look: executions that were over then are not described again.
    """
    job, listed = side_by_side(partial(find_job, iot, job_id), partial(_list_executions, iot, job_id))
    if job is None:
        return None
    known = {one.thing_name: one for one in before.executions} if before else {}
    wanted = {one.thing_name for one in _worth_describing(listed, known)}
    described = side_by_side_map(
        lambda one: _describe(iot, job_id, one) if one.thing_name in wanted else known.get(one.thing_name, one), listed
    )
    return Rollout(job_id, job.status, tuple(described))


def find_execution(iot: IoTClient, job_id: str, thing_name: str) -> Execution | None:
    """One thing's execution of a job, in one call; None where there is none."""
    answer = answer_or_none(iot.describe_job_execution, jobId=job_id, thingName=thing_name)
    return _from_description(answer["execution"], thing_name) if answer else None


def _executions_of_thing(iot: IoTClient, **request: Any) -> list[Any]:
    """The executions of a thing; none where there is no such thing."""
    found = pages(iot, "list_job_executions_for_thing", "executionSummaries", page_size=PAGE_SIZE, **request)
    return answer_or_none(lambda: list(found)) or []


def _executions_of_job(iot: IoTClient, **request: Any) -> list[Any]:
    """The executions of a job; none where there is no such job."""
    found = pages(iot, "list_job_executions_for_job", "executionSummaries", **request)
    return answer_or_none(lambda: list(found)) or []


def _list_executions(iot: IoTClient, job_id: str) -> list[Execution]:
    found = [_from_listing(one) for one in _executions_of_job(iot, jobId=job_id)]
    return sorted(found, key=lambda one: one.thing_name)


def _from_listing(listed: Any) -> Execution:
    told = listed["jobExecutionSummary"]
    return Execution(
        listed["thingArn"].rpartition("/")[2],
        told["status"],
        told.get("queuedAt"),
        told.get("startedAt"),
        told.get("lastUpdatedAt"),
    )


def _worth_describing(listed: Iterable[Execution], known: Mapping[str, Execution]) -> list[Execution]:
    """The executions to describe: failures first, because a user wants to read them."""
    news = [one for one in listed if not _is_known(one, known.get(one.thing_name))]
    return sorted(news, key=lambda one: (not one.is_over or one.has_succeeded, one.has_succeeded))[:MOST_DESCRIBED]


def _is_known(one: Execution, before: Execution | None) -> bool:
    return before is not None and one.is_over and before.status == one.status and before.version > 0


def _describe(iot: IoTClient, job_id: str, listed: Execution) -> Execution:
    """The execution with its details; as listed where it was deleted between the two looks."""
    return find_execution(iot, job_id, listed.thing_name) or listed


def _from_description(told: Any, thing_name: str) -> Execution:
    return Execution(
        thing_name,
        told["status"],
        told.get("queuedAt"),
        told.get("startedAt"),
        told.get("lastUpdatedAt"),
        told.get("versionNumber", 0),
        dict(told.get("statusDetails", {}).get("detailsMap", {})),
    )
