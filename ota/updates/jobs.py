"""AWS IoT jobs: the job that delivers an update, one that somebody made without an update, and their executions.

A job has one execution for each thing. The description of the job has how many there are in each status, a listing has
the status of each, and what a device reported is in the description of its execution. ``rollouts`` puts them together.

An update is deleted together with its job, in ``updates``. Here is the job that somebody names. AWS runs at most ten
deletions of jobs at a time, so a deletion returns only when the job is gone.

An update and its job are one noun in this room.

Source: AWS IoT DescribeJob, CancelJob, CancelJobExecution, DeleteJob, ListJobs, ListJobExecutionsForJob,
ListJobExecutionsForThing, DescribeJobExecution (statusDetails.detailsMap); AWS IoT quotas (concurrent DeleteJob).
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from ota.aws_calls import answer_or_none, pages, wait_until
from ota.errors import InTheWay, WaitTimeout
from ota.outcomes import Outcome, Verb

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
CANCELED_BY_HAND = "CANCELED_BY_HAND"
ENDED_JOB = frozenset({"COMPLETED", "CANCELED"})
CONTINUOUS = "CONTINUOUS"
COUNT_NAMES = {
    SUCCEEDED: "numberOfSucceededThings",
    "FAILED": "numberOfFailedThings",
    "TIMED_OUT": "numberOfTimedOutThings",
    "REJECTED": "numberOfRejectedThings",
    "CANCELED": "numberOfCanceledThings",
    "REMOVED": "numberOfRemovedThings",
    IN_PROGRESS: "numberOfInProgressThings",
    QUEUED: "numberOfQueuedThings",
}
CONFIGURATION = ("jobExecutionsRolloutConfig", "abortConfig", "timeoutConfig", "schedulingConfig")
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
        counts: how many executions there are in each status; statuses without any are left out.
        is_rolling_out: whether AWS is still making or cancelling executions.
        is_continuous: whether things that join a target later get the job too.
        reason_code: why it was cancelled; empty where it was not.
        comment: the same in a sentence.
        created_at: when it was made.
        completed_at: when it ended; None before.
        configuration: rollout, abort and timeout as DescribeJob has them, each by AWS's own name.
    """

    job_id: str
    status: str
    targets: tuple[str, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    is_rolling_out: bool = False
    is_continuous: bool = False
    reason_code: str = ""
    comment: str = ""
    created_at: datetime | None = None
    completed_at: datetime | None = None
    configuration: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_ended(self) -> bool:
        """Whether AWS has ended it: no execution is made any more."""
        return self.status in ENDED_JOB

    @property
    def execution_count(self) -> int:
        """How many executions there are."""
        return sum(self.counts.values())


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


def job_id_of(update_id: str) -> str:
    """The id that AWS gives the job of an update."""
    return f"{JOB_ID_PREFIX}{update_id}"


def find_job(iot: IoTClient, job_id: str) -> Job | None:
    """The job by this id, in one call."""
    answer = answer_or_none(iot.describe_job, jobId=job_id)
    if answer is None:
        return None
    return _job_from_description(job_id, answer["job"])


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


def cancel_job(iot: IoTClient, job_id: str, *, force: bool) -> None:
    """Offer the job to nobody any more; ``force`` takes it away from the devices that are at work on it too.

    A job that has ended meanwhile counts as cancelled.
    """
    try:
        iot.cancel_job(jobId=job_id, force=force, reasonCode=CANCELED_BY_HAND, comment="cancelled by ota-tasks")
    except iot.exceptions.InvalidRequestException:
        found = find_job(iot, job_id)
        if found is not None and not found.has_ended:
            raise


def cancel_execution(iot: IoTClient, job_id: str, thing_name: str) -> None:
    """Take the job away from one device that is at work on it; one that has finished meanwhile stays as it is."""
    with contextlib.suppress(iot.exceptions.InvalidStateTransitionException):
        answer_or_none(iot.cancel_job_execution, jobId=job_id, thingName=thing_name, force=True)


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


def list_jobs_of_group(iot: IoTClient, group_name: str) -> list[str]:
    """Ids of the jobs that have this thing group as a target and are not over."""
    listed = pages(iot, "list_jobs", "jobs", page_size=PAGE_SIZE, thingGroupName=group_name, status=IN_PROGRESS)
    return [one["jobId"] for one in listed]


def list_job_ids(iot: IoTClient, thing_name: str) -> list[str]:
    """Ids of the jobs that the thing has or had, as far back as AWS keeps their executions."""
    return [one["jobId"] for one in _executions_of_thing(iot, thingName=thing_name)]


def list_things_at_work(iot: IoTClient, job_id: str) -> list[str]:
    """Names of the things whose devices are executing the job."""
    return [one.thing_name for one in list_executions(iot, job_id, status=IN_PROGRESS)]


def list_executions(iot: IoTClient, job_id: str, *, status: str = "") -> Iterator[Execution]:
    """The job's executions without their details, page by page; ``status``: only those in this one.

    None where there is no such job.
    """
    wanted: Any = {"jobId": job_id, **({"status": status} if status else {})}
    listed = pages(iot, "list_job_executions_for_job", "executionSummaries", page_size=PAGE_SIZE, **wanted)
    try:
        for one in listed:
            yield _from_listing(one)
    except iot.exceptions.ResourceNotFoundException:
        return


def find_execution(iot: IoTClient, job_id: str, thing_name: str) -> Execution | None:
    """One thing's execution of a job, in one call; None where there is none."""
    answer = answer_or_none(iot.describe_job_execution, jobId=job_id, thingName=thing_name)
    return _from_description(answer["execution"], thing_name) if answer else None


def _executions_of_thing(iot: IoTClient, **request: Any) -> list[Any]:
    """The executions of a thing; none where there is no such thing."""
    found = pages(iot, "list_job_executions_for_thing", "executionSummaries", page_size=PAGE_SIZE, **request)
    return answer_or_none(lambda: list(found)) or []


def _job_from_description(job_id: str, told: Any) -> Job:
    details = told.get("jobProcessDetails", {})
    return Job(
        job_id,
        told["status"],
        tuple(told.get("targets", [])),
        counts={status: details[name] for status, name in COUNT_NAMES.items() if details.get(name)},
        is_rolling_out=bool(told.get("isConcurrent") or details.get("processingTargets")),
        is_continuous=told.get("targetSelection") == CONTINUOUS,
        reason_code=told.get("reasonCode", ""),
        comment=told.get("comment", ""),
        created_at=told.get("createdAt"),
        completed_at=told.get("completedAt"),
        configuration={name: told[name] for name in CONFIGURATION if told.get(name)},
    )


def _from_listing(listed: Any) -> Execution:
    told = listed["jobExecutionSummary"]
    return Execution(
        listed["thingArn"].rpartition("/")[2],
        told["status"],
        told.get("queuedAt"),
        told.get("startedAt"),
        told.get("lastUpdatedAt"),
    )


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
