"""Deletes roles, buckets, updates and jobs by their names.

Without force a bucket must be empty, an update and a job must have finished, and a role must be needed by nothing
(``role_needs``) and have nothing attached that others attached.

Source: AWS IoT DeleteOTAUpdate, DeleteJob; IAM DeleteRole; S3 DeleteBucket.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ota import buckets, contents, jobs, role_policies, roles, updates
from ota.errors import InTheWay, UpdateFailed
from ota.outcomes import Outcome, Verb
from ota.pruning import spoken
from ota.removals import Removal, Request
from ota.role_needs import RoleNeeds
from ota.selections import delete_command
from ota.threads import side_by_side
from ota.update_requests import JOB_ID_PREFIX, Update, job_id_of
from ota.update_waits import BEING_CREATED, BEING_DELETED, UNFINISHED_JOB, find_job, find_update

DELETION_ASKED = {BEING_DELETED, "DELETE_FAILED"}


def remove_role(request: Request, needs: RoleNeeds, name: str) -> Removal:
    """Delete an IAM role; ``needs`` knows what cannot be deleted without it.

    Raises:
        InTheWay: an OTA update needs it, or others attached something to it, and nobody forces it.
    """
    iam = request.cloud.iam
    found = roles.find_role(iam, name)
    if found is None:
        return Removal(Outcome("role", Verb.ABSENT, name))
    needing = needs.updates_needing(found)
    if needing and not request.is_forced:
        it, verb = ("it", "needs") if len(needing) == 1 else ("them", "need")
        raise InTheWay(
            f"The OTA {spoken([('update', one) for one in needing], article='')} still {verb} the role {name}: AWS "
            f"deletes an update with the rights of its role, so without it that would fail. Delete {it} first: "
            f"{delete_command('update', needing)}. Or the role all the same: "
            f"{request.forced('role', name)}."
        )
    attached = [] if request.is_forced else role_policies.list_foreign(iam, name)
    if attached:
        raise InTheWay(
            f"The role {name} has attached to it what this tool did not attach: {', '.join(attached)}. To delete "
            f"it with all of that: {request.forced('role', name)}."
        )
    outcome = roles.delete_role(iam, name, thing_name=None, force=request.is_forced, known=found)
    if needing:
        request.note(
            f"note: AWS cannot delete the OTA update {', '.join(needing)} without the role {name}; the way out is to "
            f"make the role again and delete both: {_way_out(request, needing, name, '--force')}."
        )
    return Removal(outcome)


def remove_bucket(request: Request, name: str) -> Removal:
    """Delete a bucket.

    Raises:
        InTheWay: something is in it, and nobody forces it.
    """
    s3, account_id = request.cloud.s3, request.cloud.account_id
    tags = buckets.find_bucket_tags(s3, name, account_id)
    if tags is None:
        return Removal(Outcome("bucket", Verb.ABSENT, name))
    owned = contents.Owned(Bucket=name, ExpectedBucketOwner=account_id)
    keys = () if request.is_forced else contents.first_keys(s3, owned)
    if keys:
        in_it = f"{', '.join(keys)} {'are' if len(keys) > 1 else 'is'} in it"
        raise InTheWay(
            f"The bucket {name} is not empty: {in_it}. To delete it with every version of everything in it: "
            f"{request.forced('bucket', name)}."
        )
    delete = partial(buckets.delete_bucket, s3, name, account_id, thing_name=None, known_tags=tags)
    return Removal(delete(force=request.is_forced))


def remove_update(request: Request, name: str) -> Removal:
    """Delete an OTA update with its job and stream.

    Raises:
        InTheWay: its devices may still take it, and nobody forces it.
        UpdateFailed: AWS cannot, for its role is gone; the message has the way out.
    """
    iot = request.cloud.iot
    found, job = side_by_side(partial(find_update, iot, name), partial(find_job, iot, job_id_of(name)))
    if not request.is_forced:
        _check_finished(request, name, found, job.status if job else "")
    try:
        outcome = updates.delete_update(iot, name, thing_name=None, force=True, known=found, patience=request.patience)
    except UpdateFailed as failure:
        raise UpdateFailed(f"{failure} Both in one: {_way_out(request, [name])}.") from failure
    return Removal(outcome)


def remove_job(request: Request, job_id: str) -> Removal:
    """Delete a job, by its id.

    Raises:
        InTheWay: its devices may still take it, and nobody forces it.
    """
    try:
        outcome = jobs.delete_job(request.cloud.iot, job_id, force=request.is_forced, patience=request.patience)
    except InTheWay as refusal:
        raise InTheWay(
            f"{refusal} Let them finish, or delete it all the same: {request.forced('job', job_id)}."
        ) from refusal
    update_id = job_id.removeprefix(JOB_ID_PREFIX)
    if outcome.verb is Verb.DELETED and update_id != job_id and find_update(request.cloud.iot, update_id):
        detail = f"its update stays: {delete_command('update', [update_id])}"
        outcome = Outcome("job", Verb.DELETED, job_id, detail)
    return Removal(outcome)


def _check_finished(request: Request, name: str, found: Update | None, job_status: str) -> None:
    """Refuse while devices may take the update; one whose deletion was asked for before is past that."""
    if found is not None and found.status in BEING_CREATED:
        state = f"AWS is still making it ({found.status})"
    elif job_status in UNFINISHED_JOB and not (found and found.status in DELETION_ASKED):
        state = f"its job {job_id_of(name)} is {job_status}, so devices may still take it"
    else:
        return
    raise InTheWay(
        f"The OTA update {name} has not finished: {state}. Let it finish, or delete it all the same: "
        f"{request.forced('update', name)}."
    )


def _way_out(request: Request, updates_stuck: Sequence[str], role: str = "", *flags: str) -> str:
    """The command that makes the role of these updates again and deletes them; ``role`` where its name is known."""
    settings, words = request.settings, ["role", "delete.update", *flags]
    if list(updates_stuck) != [settings.update_name]:
        role = role or "<its role>"
        words += [word for one in updates_stuck for word in ("--name", one)]
    chosen = f"with --iam-role-name {role} " if role and role != settings.iam_role_name else ""
    return f"`invoke {chosen}{' '.join(words)}`"
