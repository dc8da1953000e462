"""How one object of each noun is deleted by its name, and what it is attached to.

Without ``--force`` nothing is deleted that something else still needs: a thing whose device works on an update, an
attached policy or certificate, a bucket that is not empty, an update or job that has not finished, a role that an
update needs or to which others attached something. The error says what that is, and which command deletes the object
anyway.

Each ``remove_*`` returns an Outcome whose value lists what the deleted object was attached to, for ``--prune``.

Source: AWS IoT DeleteThing, DeletePolicy, DeleteCertificate (``forceDelete``), DeleteOTAUpdate, DeleteJob,
ListJobExecutionsForThing, ListPrincipalThingsV2, ListAttachedPolicies, ListTargetsForPolicy; IAM DeleteRole; S3
DeleteBucket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any

from ota import groups, policies, things
from ota.buckets import buckets
from ota.buckets import contents as bucket_contents
from ota.certificates import certificates
from ota.errors import InTheWay, UpdateFailed
from ota.manage.selections import delete_command, delete_words
from ota.messages import Command, Text, command, message
from ota.outcomes import Outcome, Verb
from ota.roles import permissions as role_policies
from ota.roles import roles
from ota.shared_use import RoleNeeds
from ota.threads import side_by_side
from ota.updates import jobs, updates
from ota.updates.jobs import JOB_ID_PREFIX, UNFINISHED_JOB, find_job, job_id_of
from ota.updates.refusals import deletion_problem
from ota.updates.requests import BEING_CREATED, BEING_DELETED, Update
from ota.updates.updates import find_update

if TYPE_CHECKING:
    from ota.cloud import Cloud
    from ota.settings.settings import Settings
    from ota.updates.jobs import Patience

Named = tuple[str, str]
"""Noun and name; of a certificate its ARN."""
Removed = Outcome[tuple[Named, ...]]

DELETION_REQUESTED = {BEING_DELETED, "DELETE_FAILED"}


@dataclass(frozen=True)
class Deletion:
    """What one delete command works with.

    Attributes:
        cloud: the account.
        settings: they name the update that needs a role, and the certificate that stays.
        patience: how long to wait until an update or a job is gone.
        note: takes a message beside the lines.
        is_forced: also what is in use; by pattern also what this tool did not make.
        prunes: also what the deleted objects were attached to, where that is attached to nothing else.
        is_confirmed: patterns need no confirmation.
    """

    cloud: Cloud
    settings: Settings
    patience: Patience
    note: Callable[[Text], None]
    is_forced: bool = False
    prunes: bool = False
    is_confirmed: bool = False
    _needs: list[RoleNeeds] = field(default_factory=list, init=False)
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)

    @property
    def role_needs(self) -> RoleNeeds:
        """What needs the account's roles; one for all roles, because it looks at every update."""
        with self._lock:
            if not self._needs:
                self._needs.append(RoleNeeds(self.cloud.iot, self.settings))
            return self._needs[0]


def remove_thing(deletion: Deletion, name: str) -> Removed:
    """Delete a thing, detached from its certificates.

    Raises:
        InTheWay: its device works on an update, and nobody forces it.
    """
    iot = deletion.cloud.iot
    found = things.find_thing(iot, name)
    at_work = jobs.list_jobs_at_work(iot, name) if found and not deletion.is_forced else []
    if at_work:
        raise _stays(
            f"The device of the thing {name} is at work on {', '.join(at_work)} right now, and deleting the thing "
            "would interrupt it. Let it finish. To delete the thing anyway: ",
            delete_command("thing", [name], "--force"),
        )
    attached = _certificates_among(principal.arn for principal in found.principals) if found else []
    return _removed(things.delete_thing(iot, name, found), attached)


def remove_policy(deletion: Deletion, name: str) -> Removed:
    """Delete an IoT policy with all its versions.

    Raises:
        InTheWay: it is attached to something, and is neither forced nor pruned.
    """
    iot = deletion.cloud.iot
    targets = list(policies.list_policy_targets(iot, name))
    attached = _certificates_among(targets)
    try:
        outcome = policies.delete_policy(iot, name, force=deletion.is_forced or deletion.prunes)
    except InTheWay as refusal:
        raise _stays(
            f"The policy {name} is attached to {spoken([('certificate', arn) for arn in targets])}, which could not "
            "connect without it. To detach and delete it: ",
            delete_command("policy", [name], "--force"),
            "; with --prune as well, certificates that are attached to nothing else are deleted too.",
        ) from refusal
    return _removed(outcome, attached)


def remove_certificate(deletion: Deletion, certificate_id: str) -> Removed:
    """Delete a certificate, by its id.

    Raises:
        InTheWay: it is attached to a thing or a policy, and nobody forces it.
    """
    iot = deletion.cloud.iot
    found = certificates.find_certificate(iot, certificate_id)
    if found is None:
        return Outcome("certificate", Verb.ABSENT, certificate_id)
    attached = attachments_of_certificate(deletion.cloud, found.arn)
    if attached and not deletion.is_forced:
        raise _stays(
            f"The certificate {certificate_id} is attached to {spoken(attached)}, and its device could not connect "
            "without it. To detach and delete it: ",
            delete_command("certificate", [certificate_id], "--force"),
            "; with --prune as well, things and policies that have no other certificate are deleted too.",
        )
    return _removed(certificates.delete_certificate(iot, found.arn, force=True), attached)


def remove_bucket(deletion: Deletion, name: str) -> Removed:
    """Delete a bucket.

    Raises:
        InTheWay: it is not empty, and nobody forces it.
    """
    s3, account_id = deletion.cloud.s3, deletion.cloud.account_id
    tags = buckets.find_bucket_tags(s3, name, account_id)
    if tags is None:
        return Outcome("bucket", Verb.ABSENT, name)
    owned = bucket_contents.Owned(Bucket=name, ExpectedBucketOwner=account_id)
    keys = () if deletion.is_forced else bucket_contents.first_keys(s3, owned)
    if keys:
        raise _stays(
            f"The bucket {name} is not empty: {', '.join(keys)} {'are' if len(keys) > 1 else 'is'} in it. To delete "
            "it with every version of everything in it: ",
            delete_command("bucket", [name], "--force"),
        )
    return _removed(bucket_contents.delete_bucket(s3, name, account_id, force=deletion.is_forced))


def remove_role(deletion: Deletion, name: str) -> Removed:
    """Delete an IAM role.

    Raises:
        InTheWay: an OTA update needs it, or others attached something to it, and nobody forces it.
    """
    iam = deletion.cloud.iam
    found = roles.find_role(iam, name)
    if found is None:
        return Outcome("role", Verb.ABSENT, name)
    needing = deletion.role_needs.updates_needing(found)
    force = delete_command("role", [name], "--force")
    if needing and not deletion.is_forced:
        it, verb = ("it", "needs") if len(needing) == 1 else ("them", "need")
        raise _stays(
            f"The OTA {spoken([('update', one) for one in needing], article='')} still {verb} the role {name}: AWS "
            f"deletes an update with its role's permissions, and could not without the role. Delete {it} first: ",
            delete_command("update", needing),
            ". To delete the role anyway: ",
            force,
        )
    attached = [] if deletion.is_forced else role_policies.list_foreign(iam, name)
    if attached:
        raise _stays(
            f"The role {name} has attached to it what this tool did not attach: {', '.join(attached)}. To delete it "
            "with all of that: ",
            force,
        )
    outcome = roles.delete_role(iam, name, force=deletion.is_forced)
    if needing:
        deletion.note(
            message(
                f"note: AWS cannot delete the OTA update {', '.join(needing)} without the role {name}. To make the "
                "role again and delete both: ",
                _remake_role(deletion, needing, name, "--force"),
                ".",
            )
        )
    return _removed(outcome)


def remove_update(deletion: Deletion, name: str) -> Removed:
    """Delete an OTA update with its job and stream.

    Raises:
        InTheWay: devices may still take it, or a job of somebody else would go with it, and nobody forces it.
        UpdateFailed: AWS cannot, because its role is gone; the message says how to go on.
    """
    iot = deletion.cloud.iot
    found, job = side_by_side(partial(find_update, iot, name), partial(find_job, iot, job_id_of(name)))
    if not deletion.is_forced:
        if found and (problem := deletion_problem(found, job)):
            raise problem
        _check_finished(name, found, job.status if job else "")
    delete = partial(updates.delete_update, iot, name, known=found)
    try:
        return _removed(delete(patience=deletion.patience))
    except UpdateFailed as failure:
        remake = _remake_role(deletion, [name])
        raise UpdateFailed(failure.message, " Both in one: ", remake, ".", remedy=remake) from failure


def remove_job(deletion: Deletion, job_id: str) -> Removed:
    """Delete a job, by its id.

    Raises:
        InTheWay: devices may still take it, and nobody forces it.
    """
    iot = deletion.cloud.iot
    try:
        outcome = jobs.delete_job(iot, job_id, force=deletion.is_forced, patience=deletion.patience)
    except InTheWay as refusal:
        force = delete_command("job", [job_id], "--force")
        raise InTheWay(
            refusal.message, " Let them finish. To delete it anyway: ", force, ".", remedy=force
        ) from refusal
    update_id = job_id.removeprefix(JOB_ID_PREFIX)
    if outcome.verb is Verb.DELETED and update_id != job_id and find_update(iot, update_id):
        outcome = replace(outcome, detail=message("its update stays: ", delete_command("update", [update_id])))
    return _removed(outcome)


def remove_group(deletion: Deletion, name: str) -> Removed:
    """Delete a thing group; its things stay.

    Raises:
        InTheWay: it has child groups, or an update or another job for it runs and nobody forces it.
        NotOurs: it chooses its members by a query.
    """
    iot = deletion.cloud.iot
    if groups.find_group(iot, name) is None:  # AWS answers the deletion of an absent group as that of any other
        return _removed(Outcome(groups.NOUN, Verb.ABSENT, name))
    running = [] if deletion.is_forced else jobs.list_jobs_of_group(iot, name)
    if running:
        raise _stays(
            f"The job {', '.join(running)} for the thing group {name} has not finished, and things that join would not "
            "get it any more. Let it finish. To delete the group anyway: ",
            delete_command("group", [name], "--force"),
        )
    return _removed(groups.delete_group(iot, name))


def prune_thing(cloud: Cloud, name: str) -> Outcome[None]:
    """Delete a thing that has no certificate any more."""
    return things.delete_thing(cloud.iot, name, things.find_thing(cloud.iot, name))


def prune_policy(cloud: Cloud, name: str) -> Outcome[None]:
    """Delete a policy that is attached to nothing any more."""
    return policies.delete_policy(cloud.iot, name)


def prune_certificate(cloud: Cloud, arn: str) -> Outcome[None]:
    """Delete a certificate that is attached to nothing any more."""
    return certificates.delete_certificate(cloud.iot, arn)


def certificates_of_thing(cloud: Cloud, name: str) -> list[Named]:
    """Everything attached to the thing."""
    return [("certificate", principal.arn) for principal in things.list_principals(cloud.iot, name)]


def certificates_of_policy(cloud: Cloud, name: str) -> list[Named]:
    """Everything that the policy is attached to."""
    return [("certificate", arn) for arn in policies.list_policy_targets(cloud.iot, name)]


def attachments_of_certificate(cloud: Cloud, arn: str) -> list[Named]:
    """The things and policies that the certificate is attached to."""
    on_things, on_policies = side_by_side(
        lambda: list(certificates.list_things_of(cloud.iot, arn)),
        lambda: list(policies.list_attached_policies(cloud.iot, arn)),
    )
    return [*(("thing", name) for name in on_things), *(("policy", name) for name in on_policies)]


def short(name: str) -> str:
    """The name itself; a certificate's id."""
    return name.rpartition("/")[2]


def spoken(objects: Sequence[Named], article: str = "the ") -> str:
    """``the thing lamp, the policy lamp_policy``."""
    return ", ".join(f"{article}{noun} {short(name)}" for noun, name in objects)


def _removed(outcome: Outcome[Any], attached: Sequence[Named] = ()) -> Removed:
    """The outcome; of a deleted object with what it was attached to."""
    return replace(outcome, value=tuple(attached) if outcome.verb is Verb.DELETED else ())


def _stays(why: str, *rest: str | Command) -> InTheWay:
    """Why the object stays; the last command in ``rest`` is the remedy, and a full stop is put where none is."""
    commands = [piece for piece in rest if isinstance(piece, Command)]
    end = [] if isinstance(rest[-1], str) else ["."]
    return InTheWay(why, *rest, *end, remedy=commands[-1])


def _certificates_among(arns: Iterable[str]) -> list[Named]:
    return [("certificate", arn) for arn in arns if ":cert/" in arn]


def _check_finished(name: str, found: Update | None, job_status: str) -> None:
    """Refuse while devices may take the update; an update that is already being deleted may go on."""
    if found is not None and found.status in BEING_CREATED:
        state = f"AWS is still making it ({found.status})"
    elif job_status in UNFINISHED_JOB and not (found and found.status in DELETION_REQUESTED):
        state = f"its job {job_id_of(name)} is {job_status}, so devices may still take it"
    else:
        return
    raise _stays(
        f"The OTA update {name} has not finished: {state}. Let it finish. To delete it anyway: ",
        delete_command("update", [name], "--force"),
    )


def _remake_role(deletion: Deletion, update_ids: Sequence[str], role: str = "", *flags: str) -> Command:
    """The command that makes the role of these updates again and deletes them; ``role`` where its name is known."""
    settings = deletion.settings
    names: Sequence[str] = []
    if list(update_ids) != [settings.update_name]:
        role, names = role or "<its role>", update_ids
    chosen = {"iam_role_name": role} if role and role != settings.iam_role_name else {}
    return command("role", **chosen).then("delete.update", *flags, *delete_words(names))
