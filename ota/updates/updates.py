"""The OTA update: found, decided, made once for each content, waited for, and deleted together with its job.

CreateOTAUpdate answers before the work is done. What counts is that the update becomes CREATE_COMPLETE, which says that
its job exists. Deletion is the same the other way round: the job outlives the update by up to a minute, and its id
cannot be used again before it is gone. Every wait has a limit.

An update that a device is downloading is replaced only where the settings say so: the device would be left with half an
image, and some firmware does not report that.

An update and its job are one noun in this room.

Source: AWS IoT CreateOTAUpdate, GetOTAUpdate (OTAUpdateStatus), DeleteOTAUpdate, DescribeJob (JobStatus), DeleteJob,
ListJobExecutionsForJob.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from ota import ownership
from ota.aws_calls import answer_or_none, pages
from ota.errors import InTheWay, OtaError
from ota.messages import command
from ota.outcomes import Action, Change, Outcome, Verb, blocked
from ota.threads import side_by_side
from ota.updates.jobs import (
    IN_PROGRESS,
    JOB_BEING_DELETED,
    Execution,
    Job,
    Patience,
    find_job,
    job_id_of,
    list_things_at_work,
    request_job_deletion,
)
from ota.updates.refusals import deletion_problem, job_problem, lost_role_problem, not_ours, running_problem
from ota.updates.requests import (
    BEING_CREATED,
    BEING_DELETED,
    COMPLETE,
    CREATE_FAILED,
    Failure,
    Update,
    UpdateRequest,
    create_update_request,
    failed,
    failure_of,
    has_same_content,
    refused,
    update_from,
)
from ota.updates.rollout_rules import rollout_sentence, rules_from, sole_thing, targets_name

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

Find = Callable[[str], "Update | None"]

WITH_ALL = "with its job and stream"
FIRST_SETTLE_PAUSE_S = 1.0
LONGEST_SETTLE_PAUSE_S = 8.0
PAGE_SIZE = 250


@dataclass(frozen=True)
class ListedUpdate:
    """What a listing tells of an update."""

    update_id: str
    arn: str
    created_at: datetime


@dataclass(frozen=True)
class FoundUpdate:
    """The update by the wanted name, with all that decides what becomes of it. An error says why a look failed.

    Attributes:
        update: None where there is none.
        has_image: whether the image that it delivers is still in its bucket.
        execution: of an update for one thing, the device's execution of its job; None where there is none.
        job: of an update for more, its job with the counts of executions. Where the update has no job, one that has the
            id of the wanted update's job. The set-up does not look for that where there is no update: that saves a
            call, and :func:`make_update` looks for it where AWS cannot make the update.
    """

    update: Update | None = None
    has_image: bool | OtaError = False
    execution: Execution | OtaError | None = None
    job: Job | OtaError | None = None


def find_update(iot: IoTClient, update_id: str) -> Update | None:
    """The update by this name, in one call."""
    answer = answer_or_none(iot.get_ota_update, otaUpdateId=update_id)
    return update_from(answer["otaUpdateInfo"]) if answer else None


def decide_update(
    iot: IoTClient, found: FoundUpdate | OtaError, request: UpdateRequest, *, may_replace_running: bool = False
) -> Change:
    """What has to become of the update. Calls nothing; commands in messages need the client's region.

    An update that AWS is making counts as made, and one that AWS is deleting as deleted.

    Args:
        iot: the client.
        found: what is there, or why nobody could look.
        request: the update that is wanted; its version is not needed.
        may_replace_running: replace one that a device is downloading.
    """
    name, another = request.update_id, command("all", update_name=f"{request.update_id}-2")
    if isinstance(found, OtaError):
        return blocked("update", name, found)
    change = partial(Change, "update", name=name, found=found, wanted=request)
    update = found.update
    is_made = update is not None and update.status in {COMPLETE, *BEING_CREATED}
    if update is not None and is_made and has_same_content(update, request) and found.has_image:
        if isinstance(found.has_image, OtaError):
            return blocked("update", name, found.has_image, another)
        return change(Action.REUSE, detail=f"job {job_id_of(name)}")
    problem = _problem(iot, found, request, may_replace_running=may_replace_running)
    if problem:
        return blocked("update", name, problem, another)
    if update is None:
        return change(Action.CREATE, detail="once its leftover job is deleted" if isinstance(found.job, Job) else "")
    if update.status == BEING_DELETED:
        return change(Action.CREATE, detail="once the old one is gone")
    return change(Action.REPLACE, detail=_difference(found, update, request))


def make_update(
    iot: IoTClient, change: Change, *, may_replace_running: bool = False, patience: Patience | None = None
) -> Outcome[Update]:
    """Carry the change out: the wanted update, complete, in place of the one by its name.

    Args:
        iot: the client.
        change: from :func:`decide_update`, of an update at rest (:func:`wait_at_rest`). Where it creates one, the
            request in ``wanted`` must have the image's version, unless the bucket has none.
        may_replace_running: replace one that a device is downloading; looked at again right before.
        patience: the bounds of all waiting.

    Raises:
        OtaError: the change is blocked.
        InTheWay: a device is downloading the one that is to be replaced, or a job has the id.
        UpdateFailed: AWS could not make it, or could not delete the old one.
        WaitTimeout: it took longer than the bounds.
    """
    change.check()
    patience, request, update = patience or Patience(), change.wanted, change.found.update
    if change.action is Action.REUSE:
        return Outcome("update", Verb.REUSED, update.update_id, f"job {update.job_id}", update)
    if change.action is Action.CREATE:
        made = _create(iot, request, patience)
        return Outcome("update", Verb.CREATED, made.update_id, f"job {made.job_id}", made)
    if not may_replace_running:
        running = list_things_at_work(iot, update.job_id or job_id_of(update.update_id))
        if running:
            raise running_problem(update, running)
    if update.status == CREATE_FAILED:  # it has no job of its own
        _find_job_left(iot, request)
    _delete(iot, update.update_id, patience)
    made = _create(iot, request, patience)
    detail = f"job {made.job_id}, in place of {_replaced(update, request)}"
    return Outcome("update", Verb.CHANGED, made.update_id, detail, made)


def wait_at_rest(iot: IoTClient, update: Update, patience: Patience) -> Update | None:
    """The update once AWS neither makes nor deletes it; None when it is gone by then."""
    if update.status == BEING_DELETED:
        return _wait_deleted(iot, update.update_id, patience, may_delete_job=update.is_ours())
    if update.status in BEING_CREATED:
        return wait_at_rest(iot, _wait_created(iot, update.update_id, patience), patience)
    return update


def decide_update_deletion(
    found: Update | None,
    job: Job | None,
    update_id: str,
    owner: str | None,
    *,
    targets: Collection[str] = (),
    lost_role: str = "",
) -> Change:
    """Whether ``clean`` deletes the update with its stream and job, or the job that a cut-off deletion left.

    Args:
        found: from :func:`find_update`.
        job: the job with the update's id; None too where nobody has looked.
        update_id: the update's name.
        owner: the thing that it must be made for; None forces the deletion.
        targets: ARNs of those that a job without its update must be for; the owner by default.
        lost_role: the role that AWS would need and cannot assume; empty where it can.
    """
    if found is None:
        return _decide_job_deletion(job, update_id, owner, targets)
    if owner is not None and not found.is_ours(owner):
        return Change("update", Action.KEEP, update_id, ownership.reason_to_keep(found.marks or {}, owner), found=found)
    if owner is not None and (problem := deletion_problem(found, job)):
        return blocked("update", update_id, problem)
    has_job = found.status != CREATE_FAILED or job is not None
    if found.role_name and found.role_name == lost_role and has_job and found.status != BEING_DELETED:
        return blocked("update", update_id, lost_role_problem(update_id, lost_role))
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
    for one in pages(iot, "list_ota_updates", "otaUpdates", page_size=PAGE_SIZE):
        yield ListedUpdate(one["otaUpdateId"], one["otaUpdateArn"], one["creationDate"])


def _problem(
    iot: IoTClient, found: FoundUpdate, request: UpdateRequest, *, may_replace_running: bool
) -> OtaError | None:
    """Why the wanted update cannot be made, or the one by its name not be replaced."""
    update = found.update if found.update and found.update.status != BEING_DELETED else None
    if update and not update.is_ours(request.thing_name):
        return not_ours(update, request.thing_name)
    if update and not may_replace_running:
        if error := next((one for one in (found.execution, found.job) if isinstance(one, OtaError)), None):
            return error
        if isinstance(found.execution, Execution) and found.execution.status == IN_PROGRESS:
            return running_problem(update, [found.execution.thing_name])
        if at_work := found.job.counts.get(IN_PROGRESS) if isinstance(found.job, Job) else 0:
            return running_problem(update, [], at_work)
    has_own_job = found.update is not None and found.update.status != CREATE_FAILED
    return job_problem(iot, found.job, request) if isinstance(found.job, Job) and not has_own_job else None


def _difference(found: FoundUpdate, update: Update, request: UpdateRequest) -> str:
    """Why the update has to be replaced, for a plan."""
    if update.status not in {COMPLETE, *BEING_CREATED}:
        return ": ".join(filter(None, [f"it is {update.status}", update.error_message]))
    if update.image_sha256 != request.image_sha256:
        return f"image sha256 {update.image_sha256[:12] or 'unknown'}, wanted {request.image_sha256[:12]}"
    if not found.has_image:
        return "its image is no longer in the bucket"
    if set(update.targets) != set(request.targets):
        return f"for {targets_name(update.targets)}, wanted {targets_name(request.targets)}"
    if update.rollout_mark != request.rules.mark:
        return f"same image, other rollout: it {rollout_sentence(rules_from(update.rollout_mark))}"
    return "same image, other signature, name or protocol"


def _replaced(update: Update, request: UpdateRequest) -> str:
    """The update that was replaced, in words."""
    if update.status != COMPLETE:
        return f"the one with {update.status}"
    is_image_gone = has_same_content(update, replace(request, version_id=None))
    return "the one whose image was gone" if is_image_gone else "the one with other content"


def _wait_created(iot: IoTClient, update_id: str, patience: Patience) -> Update:
    """The update once AWS has made it, or failed to. IoT may not show it at first: that is waited for, too."""

    def look() -> Update | None:
        found = find_update(iot, update_id)
        return None if found is None or found.status in BEING_CREATED else found

    return patience.wait_until(look, patience.timeout_s, f"AWS to make the OTA update {update_id}")


def _wait_deleted(
    iot: IoTClient, update_id: str, patience: Patience, *, may_delete_job: bool, find: Find | None = None
) -> Update | None:
    """Wait until update and job are gone; the update, when its deletion failed.

    Args:
        iot: the client.
        update_id: the update's name.
        patience: the bounds.
        may_delete_job: delete a job that outlives its update. When not, such a job is left, and not waited for.
        find: finds an update by its name, in place of :func:`find_update`.
    """
    find = find or partial(find_update, iot)
    job_id = job_id_of(update_id)
    is_requested = False

    def look() -> tuple[Update | None] | None:
        nonlocal is_requested
        update, job = side_by_side(partial(find, update_id), partial(find_job, iot, job_id))
        if update is not None:
            return (update,) if update.status != BEING_DELETED else None
        if job is None or not (may_delete_job or job.status == JOB_BEING_DELETED):
            return (None,)
        if job.status != JOB_BEING_DELETED and not is_requested:
            request_job_deletion(iot, job_id)
            is_requested = True
        return None

    what = f"AWS to delete the OTA update {update_id} and its job {job_id}"
    return patience.wait_until(look, patience.delete_timeout_s, what)[0]


def _create(iot: IoTClient, request: UpdateRequest, patience: Patience) -> Update:
    """Ask until the update is complete, or fails for good."""
    settled_at = patience.clock() + patience.settle_timeout_s
    pause_s = FIRST_SETTLE_PAUSE_S
    has_cleared_job = False
    while True:
        update = _attempt(iot, request, patience)
        if update.status == COMPLETE:
            return update
        failure = failure_of(update)
        may_settle = failure.is_settling and patience.clock() + pause_s <= settled_at
        if not may_settle:
            if has_cleared_job or not _is_job_in_the_way(iot, request, failure):
                raise failed("create", update)
            has_cleared_job = True
        _delete(iot, request.update_id, patience)
        if may_settle:
            patience.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_SETTLE_PAUSE_S)


def _attempt(iot: IoTClient, request: UpdateRequest, patience: Patience) -> Update:
    """One CreateOTAUpdate and its result; a refusal of the call itself is returned as a failed update."""
    try:
        iot.create_ota_update(**create_update_request(request))
    except iot.exceptions.ResourceAlreadyExistsException as error:
        found = find_update(iot, request.update_id)
        if found is None or not has_same_content(found, request):
            raise InTheWay(
                f"The name {request.update_id} was taken by another update just now: another run is at work. "
                "Let it finish, then run the same command again."
            ) from error
    except (iot.exceptions.InvalidRequestException, iot.exceptions.ResourceNotFoundException) as error:
        return refused(request.update_id, error)
    return _wait_created(iot, request.update_id, patience)


def _delete(iot: IoTClient, update_id: str, patience: Patience, find: Find | None = None) -> None:
    """Delete an update that is at rest, with stream and job; return when all are gone."""
    settled_at = patience.clock() + patience.settle_timeout_s
    pause_s = FIRST_SETTLE_PAUSE_S
    while True:
        _request_deletion(iot, update_id)
        left = _wait_deleted(iot, update_id, patience, may_delete_job=True, find=find)
        if left is None:
            return
        failure = failure_of(left)
        if not failure.is_settling or patience.clock() + pause_s > settled_at:
            raise failed("delete", left)
        patience.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_SETTLE_PAUSE_S)


def _request_deletion(iot: IoTClient, update_id: str) -> None:
    """Absent is success: the update was never made, or is gone already. Its job may still exist."""
    answer_or_none(iot.delete_ota_update, otaUpdateId=update_id, deleteStream=True, forceDeleteAWSJob=True)


def _decide_job_deletion(job: Job | None, update_id: str, owner: str | None, targets: Collection[str]) -> Change:
    if job is None:
        return Change("update", Action.ABSENT, update_id)
    is_ours = set(job.targets) == set(targets) if targets else sole_thing(job.targets) == owner
    if job.status == JOB_BEING_DELETED or owner is None or is_ours:
        return Change("update", Action.DELETE, update_id, "only its job is left")
    who = targets_name(list(targets)) if targets else owner
    return Change("update", Action.ABSENT, update_id, f"the job {job.job_id} is not for {who} and stays")


def _delete_job_left(iot: IoTClient, update_id: str, patience: Patience) -> Outcome[None]:
    """Delete the job that a cut-off deletion may leave of an update."""
    if find_job(iot, job_id_of(update_id)) is None:
        return Outcome("update", Verb.ABSENT, update_id)
    _wait_deleted(iot, update_id, patience, may_delete_job=True)
    return Outcome("update", Verb.DELETED, update_id, "only its job was left")


def _is_job_in_the_way(iot: IoTClient, request: UpdateRequest, failure: Failure) -> bool:
    """Whether a job with the new job's id made the creation fail.

    AWS's message for this is not documented, so the job itself is looked for.
    """
    return _find_job_left(iot, request) is not None or failure.is_job_left


def _find_job_left(iot: IoTClient, request: UpdateRequest) -> Job | None:
    """A job that has the id which the update needs: a deletion that was cut off leaves one for a while.

    Raises:
        InTheWay: it was made for something else.
    """
    job = find_job(iot, job_id_of(request.update_id))
    problem = job_problem(iot, job, request) if job else None
    if problem:
        raise problem
    return job
