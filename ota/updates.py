"""The OTA update: made once for each content, waited for, replaced with care, and deleted together with its job.

CreateOTAUpdate answers before the work is done; what counts is that the update reaches CREATE_COMPLETE, which says
that its job exists. Deleting is the same the other way round, and the job outlives the update by up to a minute;
until it is gone its id cannot be used again. All waiting is bounded and goes through one clock that is passed in.

An update that a device is downloading right now is not replaced unless that is asked for: the device would be left
with half an image, and on some firmware with no way to say so.

Source: AWS IoT CreateOTAUpdate, GetOTAUpdate, DeleteOTAUpdate, DescribeJob, DeleteJob, ListJobExecutionsForJob.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from ota import ownership
from ota.errors import InTheWay, NotOurs, UpdateFailed
from ota.messages import command
from ota.outcomes import Action, Change, Outcome, Verb, blocked
from ota.update_failures import Failure, failure_of
from ota.update_requests import Update, UpdateRequest, create_update_request, has_same_content, job_id_of
from ota.update_waits import (
    BEING_DELETED,
    JOB_BEING_DELETED,
    Find,
    Job,
    Patience,
    find_job,
    find_update,
    wait_at_rest,
    wait_created,
    wait_deleted,
)

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from mypy_boto3_iot import IoTClient

COMPLETE = "CREATE_COMPLETE"
CREATE_FAILED = "CREATE_FAILED"
WITH_ALL = "with its job and stream"
FIRST_SETTLE_PAUSE_S = 1.0
LONGEST_SETTLE_PAUSE_S = 8.0
PAGE_SIZE = 250


@dataclass(frozen=True)
class ListedUpdate:
    """What a listing says of an update."""

    update_id: str
    arn: str
    created_at: datetime


@dataclass(frozen=True)
class ListedJob:
    """What a listing says of a job."""

    job_id: str
    arn: str
    status: str
    created_at: datetime


def ensure_update(
    iot: IoTClient,
    request: UpdateRequest,
    *,
    existing: Update | None,
    may_replace_running: bool = False,
    may_replace_foreign: bool = False,
    patience: Patience | None = None,
) -> Outcome[Update]:
    """The wanted update, complete, in place of whatever is there by its name.

    Args:
        iot: the client.
        request: the update that is wanted; with the image's version, unless ``existing`` has the same content.
        existing: from :func:`find_update`.
        may_replace_running: replace one that a device is downloading.
        may_replace_foreign: replace one that this tool did not make for this thing.
        patience: the bounds of all waiting.

    Raises:
        NotOurs: somebody else's update has the name.
        InTheWay: a device is downloading the one that is to be replaced, or a job has the id.
        UpdateFailed: AWS could not make it, or could not delete the old one.
        WaitTimeout: it took longer than the bounds.
    """
    patience = patience or Patience()
    found = wait_at_rest(iot, existing, patience) if existing else None
    verb = judge_update(found, request, may_replace_foreign=may_replace_foreign)
    if found is None:
        made = _create(iot, request, patience)
        return Outcome("update", verb, made.update_id, f"job {made.job_id}", made)
    if verb is Verb.REUSED:
        return Outcome("update", verb, found.update_id, f"job {found.job_id}", found)
    if not may_replace_running:
        check_not_running(iot, found)
    if found.status == CREATE_FAILED:  # it has no job of its own
        _find_job_left(iot, request)
    _delete(iot, found.update_id, patience)
    made = _create(iot, request, patience)
    return Outcome("update", verb, made.update_id, f"job {made.job_id}, in place of {_spoken(found, request)}", made)


def judge_update(found: Update | None, request: UpdateRequest, *, may_replace_foreign: bool = False) -> Verb:
    """What becomes of the update that is at rest: created, reused, or changed for another one. Calls nothing.

    Raises:
        NotOurs: somebody else's update has the name.
    """
    if found is None:
        return Verb.CREATED
    if found.status == COMPLETE and has_same_content(found, request):
        return Verb.REUSED
    if not (may_replace_foreign or found.is_ours(request.thing_name)):
        raise _not_ours(found, request.thing_name)
    return Verb.CHANGED


def check_not_running(iot: IoTClient, update: Update) -> None:
    """Refuse while a device is downloading the update; only looks.

    Raises:
        InTheWay: one is.
    """
    try:
        pages = iot.get_paginator("list_job_executions_for_job").paginate(
            jobId=update.job_id or job_id_of(update.update_id), status="IN_PROGRESS"
        )
        running = [one["thingArn"].rpartition("/")[2] for page in pages for one in page.get("executionSummaries", [])]
    except iot.exceptions.ResourceNotFoundException:
        return
    if running:
        raise InTheWay(
            f"{', '.join(running)} is downloading {update.update_id} right now, and that has other content than is "
            "wanted. Let the device finish, or replace it all the same: replace_running_update true in config.json, "
            "or OTA_REPLACE_RUNNING_UPDATE=true.",
            remedy="invoke with --replace-running-update true update",
        )


def check_job(job: Job, request: UpdateRequest) -> None:
    """Refuse a job that has the id which the update needs, and was made for something else. Calls nothing.

    Raises:
        InTheWay: it was.
    """
    if job.targets != (request.thing_arn,):
        raise InTheWay(
            f"The job {job.job_id} was not made for the thing {request.thing_name}, and the update "
            f"{request.update_id} needs its id: delete it (`aws iot delete-job --job-id {job.job_id} --force`), or "
            "write another update_name in config.json."
        )


def decide_update_deletion(
    found: Update | None, job: Job | None, update_id: str, owner: str | None, *, lost_role: str = ""
) -> Change:
    """Whether ``clean`` deletes the update with its stream and job, or the job that a cut-off deletion left.

    Args:
        found: from :func:`find_update`.
        job: the job with the update's id; None too where nobody has looked.
        update_id: the update's name.
        owner: the thing that it must be made for; None forces the deletion.
        lost_role: the role that AWS would need and cannot assume; empty where it can.
    """
    if found is None:
        return _decide_job_deletion(job, update_id, owner)
    if owner is not None and not found.is_ours(owner):
        return Change("update", Action.KEEP, update_id, ownership.reason_to_keep(found.marks or {}, owner), found=found)
    has_job = found.status != CREATE_FAILED or job is not None
    if found.role_name and found.role_name == lost_role and has_job and found.status != BEING_DELETED:
        return blocked("update", update_id, _lost_role(update_id, lost_role))
    return Change("update", Action.DELETE, update_id, WITH_ALL, found=found)


def delete_update(
    iot: IoTClient,
    update_id: str,
    *,
    known: Update | None = None,
    find: Find | None = None,
    patience: Patience | None = None,
) -> Outcome[None]:
    """Delete the update with its stream and its job, and wait until all are gone; absent is success.

    Args:
        iot: the client.
        update_id: the update's name.
        known: the update from :func:`find_update`, to save the look.
        find: looks for an update by its name, in place of :func:`find_update`.
        patience: the bounds of all waiting.

    Raises:
        UpdateFailed: AWS could not delete it; most often because its role is gone.
        WaitTimeout: it took longer than the bounds.
    """
    patience = patience or Patience()
    find = find or partial(find_update, iot)
    found = known or find(update_id)
    if found is None:
        return _delete_job_left(iot, update_id, patience)
    found = wait_at_rest(iot, found, patience)
    if found is not None:
        _delete(iot, update_id, patience, find)
    return Outcome("update", Verb.DELETED, update_id, WITH_ALL)


def list_updates(iot: IoTClient) -> Iterator[ListedUpdate]:
    """All updates of the account in this region, page by page."""
    for page in iot.get_paginator("list_ota_updates").paginate(PaginationConfig={"PageSize": PAGE_SIZE}):
        for one in page.get("otaUpdates", []):
            yield ListedUpdate(one["otaUpdateId"], one["otaUpdateArn"], one["creationDate"])


def list_jobs(iot: IoTClient) -> Iterator[ListedJob]:
    """All jobs of the account in this region, of updates or not, page by page."""
    for page in iot.get_paginator("list_jobs").paginate(PaginationConfig={"PageSize": PAGE_SIZE}):
        for one in page.get("jobs", []):
            yield ListedJob(one["jobId"], one["jobArn"], one["status"], one["createdAt"])


def _spoken(found: Update, request: UpdateRequest) -> str:
    """What was wrong with the update that was there."""
    if found.status != COMPLETE:
        return f"the one with {found.status}"
    is_image_gone = has_same_content(found, replace(request, version_id=None))
    return "the one whose image was gone" if is_image_gone else "the one with other content"


def _create(iot: IoTClient, request: UpdateRequest, patience: Patience) -> Update:
    """Ask until the update is complete, or fails for good."""
    settled_at = patience.clock() + patience.settle_timeout_s
    pause_s = FIRST_SETTLE_PAUSE_S
    has_cleared_job = False
    while True:
        update = _attempt(iot, request, patience)
        if update.status == COMPLETE:
            return update
        failure = failure_of(update.error_code, update.error_message)
        may_settle = failure.is_settling and patience.clock() + pause_s <= settled_at
        if not may_settle:
            if has_cleared_job or not _is_job_in_the_way(iot, request, failure):
                raise _failed("create", update)
            has_cleared_job = True
        _delete(iot, request.update_id, patience)
        if may_settle:
            patience.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_SETTLE_PAUSE_S)


def _attempt(iot: IoTClient, request: UpdateRequest, patience: Patience) -> Update:
    """One CreateOTAUpdate and what came of it; a refusal of the call itself looks like a failed update."""
    try:
        iot.create_ota_update(**create_update_request(request))
    except iot.exceptions.ResourceAlreadyExistsException as error:
        found = find_update(iot, request.update_id)
        if found is None or not has_same_content(found, request):
            raise InTheWay(
                f"The name {request.update_id} was taken by another update just now: another run is at work. "
                "Let it finish, then run the same command again."
            ) from error
    except iot.exceptions.InvalidRequestException as error:
        return _refused(request, error)
    return wait_created(iot, request.update_id, patience)


def _refused(request: UpdateRequest, error: ClientError) -> Update:
    answer = error.response["Error"]
    return Update(
        request.update_id, "", CREATE_FAILED, error_code=answer["Code"], error_message=answer.get("Message", "")
    )


def _delete(iot: IoTClient, update_id: str, patience: Patience, find: Find | None = None) -> None:
    """Delete an update that is at rest, with stream and job; return when all are gone."""
    settled_at = patience.clock() + patience.settle_timeout_s
    pause_s = FIRST_SETTLE_PAUSE_S
    while True:
        _request_deletion(iot, update_id)
        left = wait_deleted(iot, update_id, patience, may_delete_job=True, find=find)
        if left is None:
            return
        failure = failure_of(left.error_code, left.error_message)
        if not failure.is_settling or patience.clock() + pause_s > settled_at:
            raise _failed("delete", left)
        patience.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_SETTLE_PAUSE_S)


def _request_deletion(iot: IoTClient, update_id: str) -> None:
    try:
        iot.delete_ota_update(otaUpdateId=update_id, deleteStream=True, forceDeleteAWSJob=True)
    except iot.exceptions.ResourceNotFoundException:
        return  # never made, or gone already; its job may not be


def _decide_job_deletion(job: Job | None, update_id: str, owner: str | None) -> Change:
    if job is None:
        return Change("update", Action.ABSENT, update_id)
    if job.status == JOB_BEING_DELETED or _is_for(job, owner):
        return Change("update", Action.DELETE, update_id, "only its job is left")
    return Change("update", Action.ABSENT, update_id, f"the job {job.job_id} is not for {owner} and stays")


def _lost_role(update_id: str, role_name: str) -> UpdateFailed:
    make_role = command("role")
    return UpdateFailed(
        f"AWS could not delete the OTA update {update_id}: it uses the update's own role for that, and {role_name} "
        "does not exist or does not trust AWS IoT. Make it again: ",
        make_role,
        ", then run the same command.",
        remedy=make_role,
    )


def _delete_job_left(iot: IoTClient, update_id: str, patience: Patience) -> Outcome[None]:
    """Delete the job that a cut-off deletion may leave of an update."""
    if find_job(iot, job_id_of(update_id)) is None:
        return Outcome("update", Verb.ABSENT, update_id)
    wait_deleted(iot, update_id, patience, may_delete_job=True)
    return Outcome("update", Verb.DELETED, update_id, "only its job was left")


def _is_job_in_the_way(iot: IoTClient, request: UpdateRequest, failure: Failure) -> bool:
    """Whether a job by the new one's id made the creation fail.

    AWS's words for this are not documented, so the job itself is asked for.
    """
    return _find_job_left(iot, request) is not None or failure.is_job_left


def _find_job_left(iot: IoTClient, request: UpdateRequest) -> Job | None:
    """A job that has the id which the update needs; what a deletion that was cut off leaves for a while.

    Raises:
        InTheWay: it was made for something else.
    """
    job = find_job(iot, job_id_of(request.update_id))
    if job is not None:
        check_job(job, request)
    return job


def _is_for(job: Job, thing_name: str | None) -> bool:
    if thing_name is None:
        return True
    return len(job.targets) == 1 and job.targets[0].endswith(f":thing/{thing_name}")


def _not_ours(update: Update, thing_name: str) -> NotOurs:
    delete = f"`invoke delete.update --name {update.update_id} --force`"
    way_out = f"delete that one ({delete}) and run the same command again"
    if update.thing_name:  # its device may be about to take it
        way_out = f"take that thing down first (`invoke with --thing-name {update.thing_name} clean`)"
    made_for = f", but for {update.thing_name}" if update.thing_name else ""
    return NotOurs(
        f"The OTA update {update.update_id} was not made by this tool for the thing {thing_name}{made_for}, so it "
        f"stays. Write another update_name in config.json, or {way_out}."
    )


def _failed(what: str, update: Update) -> UpdateFailed:
    advice = failure_of(update.error_code, update.error_message).advice
    if what == "delete":
        advice = (
            "AWS deletes an update with the update's own role: if that role is gone or has changed, make it again "
            "(`invoke role`), then run the same command."
        )
    return UpdateFailed(
        f"AWS could not {what} the OTA update {update.update_id}: "
        f"{update.error_message or 'it gave no reason'} ({update.error_code or update.status}). {advice}"
    )
