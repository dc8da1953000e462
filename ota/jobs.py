"""A job by itself: what is left of an update, or what somebody made without one; and who is at work on one.

The job of an update goes with its update, which is ``updates``' matter. Here is the job that somebody names. AWS lets
no more than ten be deleted at a time, so a deletion returns only when the job is gone.

Source: AWS IoT DeleteJob, DescribeJob, ListJobExecutionsForThing; AWS IoT quotas (concurrent DeleteJob).


What devices have made of a job so far: one execution for each thing.

AWS lists executions with their status only; what a device said stands in the description of each. Those are asked for
side by side, for as many as fit a screen: the ones that are not over yet, and the ones that failed.

Source: AWS IoT DescribeJob, ListJobExecutionsForJob, DescribeJobExecution (statusDetails.detailsMap).


How long the message is in which a device gets its job; exact to the byte, before there is a job.

Firmware copies that message into a buffer of fixed size, and some of it does so unchecked. Everything that decides
its length is known beforehand: the names from settings, the signature's text, and the service's own parts, which
have fixed lengths; over MQTT, that is. For HTTP the message also has a presigned URL, and in it a session token, of
which AWS says that its length may change: then the length without the token is the least that it can be.

Source: AWS IoT Developer Guide, "StartNextPendingJobExecution"; captured job documents of the OTA service; Amazon S3
API Reference, "Authenticating requests: using query parameters"; logs in
``docs/applications`` of FreeRTOS/iot-reference-arm-corstone3xx (1046 bytes at first, 1080 after the reboot).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ota.errors import InTheWay
from ota.outcomes import Outcome, Verb
from ota.profiles import HTTP, MQTT
from ota.threads import side_by_side, side_by_side_map
from ota.update_requests import job_id_of
from ota.update_waits import JOB_BEING_DELETED, UNFINISHED_JOB, Patience, find_job, wait_job_deleted

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient


PAGE_SIZE = 250


def delete_job(iot: IoTClient, job_id: str, *, force: bool = False, patience: Patience | None = None) -> Outcome[None]:
    """Delete the job with its executions, and wait until it is gone; absent is success.

    ``force``: though its devices have not finished.

    Raises:
        InTheWay: its devices have not finished, and ``force`` is not given.
        WaitTimeout: it took longer than the bounds.
    """
    job = find_job(iot, job_id)
    if job is None:
        return Outcome("job", Verb.ABSENT, job_id)
    if job.status in UNFINISHED_JOB and not force:
        raise InTheWay(f"The job {job_id} is {job.status}: its devices have not finished.")
    if job.status != JOB_BEING_DELETED:
        _request_deletion(iot, job_id, force=force)
    wait_job_deleted(iot, job_id, patience or Patience())
    return Outcome("job", Verb.DELETED, job_id)


def list_jobs_at_work(iot: IoTClient, thing_name: str) -> list[str]:
    """Ids of the jobs that the thing's device is at work on right now."""
    return _list_ids(iot, thingName=thing_name, status="IN_PROGRESS")


def list_job_ids(iot: IoTClient, thing_name: str) -> list[str]:
    """Ids of the jobs that the thing has or had, as far back as AWS keeps their executions."""
    return _list_ids(iot, thingName=thing_name)


def _list_ids(iot: IoTClient, **query: Any) -> list[str]:
    paginator = iot.get_paginator("list_job_executions_for_thing")
    pages = paginator.paginate(**query, PaginationConfig={"PageSize": PAGE_SIZE})
    try:
        return [one["jobId"] for page in pages for one in page.get("executionSummaries", [])]
    except iot.exceptions.ResourceNotFoundException:
        return []


def _request_deletion(iot: IoTClient, job_id: str, *, force: bool) -> None:
    try:
        iot.delete_job(jobId=job_id, force=force)
    except iot.exceptions.ResourceNotFoundException:
        return


QUEUED = "QUEUED"
IN_PROGRESS = "IN_PROGRESS"
SUCCEEDED = "SUCCEEDED"
UNFINISHED = frozenset({QUEUED, IN_PROGRESS})
ENDED_JOB = frozenset({"COMPLETED", "CANCELED"})
MOST_DESCRIBED = 25
RECEIVED = re.compile(r"(\d+)/(\d+)")


@dataclass(frozen=True)
class Execution:
    """One thing's part of a job.

    Attributes:
        thing_name: the device's thing.
        status: QUEUED, IN_PROGRESS, SUCCEEDED, FAILED, TIMED_OUT, REJECTED, REMOVED or CANCELED.
        queued_at: when AWS offered it.
        started_at: when the device took it; None before.
        updated_at: when its status or details last changed, to the second.
        version: counts the changes; 0 where only a listing told of it.
        details: what the device wrote with its status.
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
        """Whether the device says that it runs the update."""
        return self.status == SUCCEEDED

    @property
    def received(self) -> tuple[int, int] | None:
        """Blocks that the device has, and how many there are, where it tells."""
        found = RECEIVED.fullmatch(self.details.get("receive", ""))
        return (int(found[1]), int(found[2])) if found and int(found[2]) else None

    @property
    def words(self) -> str:
        """Everything that the device wrote, but for its progress: ``reason: 0x…, updatedBy: 0``."""
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
        """Whether every device has finished; a job that has reached none yet is over only when AWS ended it."""
        return all(one.is_over for one in self.executions) and bool(self.executions or self.status in ENDED_JOB)

    @property
    def failed(self) -> tuple[Execution, ...]:
        """The executions that are over and did not succeed."""
        return tuple(one for one in self.executions if one.is_over and not one.has_succeeded)

    @property
    def has_succeeded(self) -> bool:
        """Whether every device runs the update, and there is one at least."""
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


def find_rollout(iot: IoTClient, job_id: str, before: Rollout | None = None) -> Rollout | None:
    """The job with its executions; None where there is no such job.

    ``before`` is what was found the last time: what was over then is not described again.
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
    """One thing's part of a job, in one call; None where there is none."""
    try:
        return _from_description(
            iot.describe_job_execution(jobId=job_id, thingName=thing_name)["execution"], thing_name
        )
    except iot.exceptions.ResourceNotFoundException:
        return None


def _list_executions(iot: IoTClient, job_id: str) -> list[Execution]:
    try:
        pages = list(iot.get_paginator("list_job_executions_for_job").paginate(jobId=job_id))
    except iot.exceptions.ResourceNotFoundException:
        return []
    found = [_from_listing(one) for page in pages for one in page.get("executionSummaries", [])]
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
    """Failures first: they are what somebody wants to read."""
    news = [one for one in listed if not _is_known(one, known.get(one.thing_name))]
    return sorted(news, key=lambda one: (not one.is_over or one.has_succeeded, one.has_succeeded))[:MOST_DESCRIBED]


def _is_known(one: Execution, before: Execution | None) -> bool:
    return before is not None and one.is_over and before.status == one.status and before.version > 0


def _describe(iot: IoTClient, job_id: str, listed: Execution) -> Execution:
    """The execution with its details; as it was listed where it was deleted between the two looks."""
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


STREAM_NAME = "AFR_OTA-00000000-0000-0000-0000-000000000000"
# Ten digits until the year 2286.
TIMESTAMP_S = 1_700_000_000
LARGEST_UPDATED_BY = str(0xFFFFFFFF)
AUTH_SCHEME = "aws.s3.presigned"
ACCESS_KEY_CHARS = 20
VERSION_CHARS = 32


@dataclass(frozen=True)
class JobFile:
    """The one file of an update, as its job document tells it."""

    file_path: str
    size_bytes: int
    certificate_file: str
    signature_key: str
    signature: str
    protocols: tuple[str, ...] = (MQTT,)
    url: str = ""


def job_document(file: JobFile) -> dict[str, Any]:
    """The job document as a device gets it; keys in the service's order."""
    location = {"update_data_url": file.url, "auth_scheme": AUTH_SCHEME} if HTTP in file.protocols else {}
    entry = {
        "filepath": file.file_path,
        "filesize": file.size_bytes,
        "fileid": 0,
        "certfile": file.certificate_file,
        **location,
        file.signature_key: file.signature,
    }
    stream = {"streamname": STREAM_NAME} if MQTT in file.protocols else {}
    return {"afr_ota": {"protocols": list(file.protocols), **stream, "files": [entry]}}


def least_url(bucket: str, region: str, key: str) -> str:
    """A presigned URL of this object, but for the session token in it."""
    scope = f"{'A' * ACCESS_KEY_CHARS}%2F20300101%2F{region}%2Fs3%2Faws4_request"
    signing = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20300101T000000Z&X-Amz-SignedHeaders=host&X-Amz-Expires=1800"
    secret = f"X-Amz-Security-Token=&X-Amz-Credential={scope}&X-Amz-Signature={'0' * 64}"
    return f"https://{bucket}.s3.{region}.amazonaws.com/{quote(key)}?{secret}&{signing}&versionId={'v' * VERSION_CHARS}"


def message_bytes(thing_name: str, update_name: str, file: JobFile, updated_by: str | None = None) -> int:
    """The length of ``start-next/accepted``.

    Args:
        thing_name: the device's thing, which it sends as its client token.
        update_name: the OTA update.
        file: what is offered.
        updated_by: what the device has reported before it rebooted; None the first time.
    """
    details = {"statusDetails": {"updatedBy": updated_by}} if updated_by is not None else {}
    execution = {
        "jobId": job_id_of(update_name),
        "status": "IN_PROGRESS",
        **details,
        "queuedAt": TIMESTAMP_S,
        "startedAt": TIMESTAMP_S,
        "lastUpdatedAt": TIMESTAMP_S,
        "versionNumber": 2,
        "executionNumber": 1,
        "jobDocument": job_document(file),
    }
    message = {"clientToken": thing_name, "timestamp": TIMESTAMP_S, "execution": execution}
    return len(json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode())


def largest_message_bytes(thing_name: str, update_name: str, file: JobFile) -> int:
    """The length of the longest message that brings this job: the one after the reboot."""
    return message_bytes(thing_name, update_name, file, LARGEST_UPDATED_BY)
