"""Looking at an OTA update and its job, and waiting for AWS to be done with them.

The service works on after it has answered, in both directions, and a job outlives its update by up to a minute.
Every wait here looks first, then pauses ever longer, is bounded, and goes by a clock that is passed in, so that tests
do not wait.

Source: AWS IoT GetOTAUpdate (OTAUpdateStatus), DescribeJob (JobStatus), DeleteJob.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ota.errors import WaitTimeout
from ota.threads import side_by_side
from ota.update_requests import Update, job_id_of, update_from

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

T = TypeVar("T")
Find = Callable[[str], "Update | None"]

BEING_CREATED = frozenset({"CREATE_PENDING", "CREATE_IN_PROGRESS"})
BEING_DELETED = "DELETE_IN_PROGRESS"
JOB_BEING_DELETED = "DELETION_IN_PROGRESS"
UNFINISHED_JOB = frozenset({"IN_PROGRESS", "SCHEDULED"})
LONGEST_POLL_S = 4.0


@dataclass(frozen=True)
class Patience:
    """How long to wait for what.

    Attributes:
        timeout_s: until AWS has made an update.
        delete_timeout_s: until update and job are gone.
        settle_timeout_s: for how long a failure that looks like IAM settling is tried again; 0 when the role has not
            changed for long.
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


def find_update(iot: IoTClient, update_id: str) -> Update | None:
    """The update by this name, in one call."""
    try:
        return update_from(iot.get_ota_update(otaUpdateId=update_id)["otaUpdateInfo"])
    except iot.exceptions.ResourceNotFoundException:
        return None


def find_job(iot: IoTClient, job_id: str) -> Job | None:
    """The job by this id, in one call."""
    try:
        described = iot.describe_job(jobId=job_id)["job"]
    except iot.exceptions.ResourceNotFoundException:
        return None
    return Job(job_id, described["status"], tuple(described.get("targets", [])))


def wait_at_rest(iot: IoTClient, update: Update, patience: Patience) -> Update | None:
    """The update once AWS has done with it; None when it is gone by then."""
    if update.status == BEING_DELETED:
        return wait_deleted(iot, update.update_id, patience, may_delete_job=update.is_ours())
    if update.status in BEING_CREATED:
        return wait_at_rest(iot, wait_created(iot, update.update_id, patience), patience)
    return update


def wait_created(iot: IoTClient, update_id: str, patience: Patience) -> Update:
    """The update once AWS has made it, or failed to. One that is not there yet will be: IoT may answer late."""

    def look() -> Update | None:
        found = find_update(iot, update_id)
        return None if found is None or found.status in BEING_CREATED else found

    return _poll(look, patience, patience.timeout_s, f"AWS to make the OTA update {update_id}")


def wait_deleted(
    iot: IoTClient, update_id: str, patience: Patience, *, may_delete_job: bool, find: Find | None = None
) -> Update | None:
    """Wait until update and job are gone; the update, when its deletion failed.

    Args:
        iot: the client.
        update_id: the update's name.
        patience: the bounds.
        may_delete_job: delete a job that outlives its update. When not, such a job is left, and not waited for.
        find: looks for an update by its name, in place of :func:`find_update`.
    """
    find = find or partial(find_update, iot)
    job_id = job_id_of(update_id)
    asked = False

    def look() -> tuple[Update | None] | None:
        nonlocal asked
        update, job = side_by_side(partial(find, update_id), partial(find_job, iot, job_id))
        if update is not None:
            return (update,) if update.status != BEING_DELETED else None
        if job is None or not (may_delete_job or job.status == JOB_BEING_DELETED):
            return (None,)
        if job.status != JOB_BEING_DELETED and not asked:
            _delete_job(iot, job_id)
            asked = True
        return None

    what = f"AWS to delete the OTA update {update_id} and its job {job_id}"
    return _poll(look, patience, patience.delete_timeout_s, what)[0]


def wait_job_deleted(iot: IoTClient, job_id: str, patience: Patience) -> None:
    """Wait until a job that is being deleted is gone."""
    _poll(
        lambda: True if find_job(iot, job_id) is None else None,
        patience,
        patience.delete_timeout_s,
        f"AWS to delete the job {job_id}",
    )


def _delete_job(iot: IoTClient, job_id: str) -> None:
    try:
        iot.delete_job(jobId=job_id, force=True)
    except iot.exceptions.ResourceNotFoundException:
        return


def _poll(look: Callable[[], T | None], patience: Patience, timeout_s: float, what: str) -> T:
    """Look at once, then after ever longer pauses, until there is an answer."""
    deadline = patience.clock() + timeout_s
    pause_s = patience.poll_s
    while True:
        answer = look()
        if answer is not None:
            return answer
        left_s = deadline - patience.clock()
        if left_s <= 0:
            raise WaitTimeout(
                f"Waited {timeout_s:g} seconds for {what}, and it is not done. Run the same command again to go on "
                "waiting, or raise update_timeout_s and delete_timeout_s in config.json."
            )
        patience.sleep(min(pause_s, left_s))
        pause_s = min(2 * pause_s, LONGEST_POLL_S)
