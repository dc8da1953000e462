"""What a deletion by name was asked for, and what came of each name.

Each name is taken for itself: what is in the way of one does not keep the others. Without force nothing is deleted
that something else still needs; the refusal says what that is and which command deletes all the same. How each noun is
deleted stands in ``identity_removals`` and ``delivery_removals``, and in which order, in ``removal_runs``.

Source: the issue of a deletion is an ``Outcome`` as everywhere; see ``ota/outcomes.py``.


Deletes roles, buckets, updates and jobs by their names.

Without force a bucket must be empty, an update and a job must have finished, and a role must be needed by nothing
(``shared_use``) and have nothing attached that others attached.

Source: AWS IoT DeleteOTAUpdate, DeleteJob; IAM DeleteRole; S3 DeleteBucket.


Deletes things, policies and certificates by their names.

They hang on one another, so each deletion detaches first and tells what stays. A thing whose device is at work on an
update, and whatever still gives a device the right to connect, go with force only.

Source: AWS IoT DeleteThing, DeletePolicy, DeleteCertificate (``forceDelete``), ListJobExecutionsForThing.


What hangs on what, and what may go once the last thing that it hung on is gone.

Certificates hang on things and on policies; a thing or a policy that only had the certificate which is gone now hangs
on nothing either. AWS lists what was deleted for a while after, so what is known to be gone does not count.

Source: AWS IoT ListPrincipalThingsV2, ListAttachedPolicies, ListTargetsForPolicy, ListThingPrincipalsV2.


Deletes what was named, then what a pruning may take with it.

What a pruning may take, certificates, policies or things that hang on nothing else any more, is looked at once
everything named is gone, so that two things that share a certificate can go together.

Source: AWS IoT quotas (most operations that delete: ten calls a second for an account), hence a few side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ota import bucket_contents, buckets, certificates, jobs, policies, role_policies, roles, things, updates
from ota.errors import InTheWay, OtaError, UpdateFailed
from ota.manage.selections import delete_command
from ota.outcomes import Outcome, Verb
from ota.shared_use import RoleNeeds
from ota.threads import side_by_side, side_by_side_map
from ota.update_requests import JOB_ID_PREFIX, Update, job_id_of
from ota.update_waits import BEING_CREATED, BEING_DELETED, UNFINISHED_JOB, Patience, find_job, find_update

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

    from ota.cloud import Cloud
    from ota.settings.settings import Settings


@dataclass(frozen=True)
class Removal:
    """What came of one name.

    Attributes:
        outcome: its line.
        refusal: why it stays, and the way out; empty where it is gone.
        loosened: noun and name of what hung on it, which a pruning may take.
    """

    outcome: Outcome[None]
    refusal: str = ""
    loosened: tuple[Named, ...] = ()


@dataclass(frozen=True)
class Request:
    """How names are to be deleted.

    Attributes:
        cloud: where.
        settings: they name the update that needs a role, and the certificate that stays.
        is_forced: also what is in use.
        prunes: also what then hangs on nothing else.
        patience: the bounds of waiting for an update or a job to be gone.
        note: takes a sentence beside the lines.
    """

    cloud: Cloud
    settings: Settings
    is_forced: bool
    prunes: bool
    patience: Patience
    note: Callable[[str], None]

    def forced(self, noun: str, name: str) -> str:
        """The command that deletes this all the same, in backquotes."""
        return delete_command(noun, [name], "--force")

    def loosen(self, outcome: Outcome[None], was_on: list[Named]) -> Removal:
        """The line of what is gone, which tells what stays of that which hung on it."""
        if outcome.verb is not Verb.DELETED or not was_on:
            return Removal(outcome)
        detail = "" if self.prunes else f"{spoken(was_on)} {'stay' if len(was_on) > 1 else 'stays'}"
        return Removal(Outcome(outcome.noun, outcome.verb, outcome.name, detail), loosened=tuple(was_on))


def attempt(noun: str, delete: Callable[[str], Removal], name: str) -> Removal:
    """One deletion; what is in its way becomes words, so that it does not keep the others."""
    try:
        return delete(name)
    except OtaError as refusal:
        return Removal(Outcome(noun, Verb.SKIPPED, name, "stays"), str(refusal))


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
    outcome = roles.delete_role(iam, name, force=request.is_forced)
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
    owned = bucket_contents.Owned(Bucket=name, ExpectedBucketOwner=account_id)
    keys = () if request.is_forced else bucket_contents.first_keys(s3, owned)
    if keys:
        in_it = f"{', '.join(keys)} {'are' if len(keys) > 1 else 'is'} in it"
        raise InTheWay(
            f"The bucket {name} is not empty: {in_it}. To delete it with every version of everything in it: "
            f"{request.forced('bucket', name)}."
        )
    return Removal(bucket_contents.delete_bucket(s3, name, account_id, force=request.is_forced))


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
        outcome = updates.delete_update(iot, name, known=found, patience=request.patience)
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


def remove_thing(request: Request, name: str) -> Removal:
    """Delete a thing; its certificates stay, unless pruned.

    Raises:
        InTheWay: its device is at work on an update right now, and nobody forces it.
    """
    iot = request.cloud.iot
    found = things.find_thing(iot, name)
    at_work = jobs.list_jobs_at_work(iot, name) if found and not request.is_forced else []
    if at_work:
        raise InTheWay(
            f"The device of the thing {name} is at work on {', '.join(at_work)} right now, and would be cut off in "
            f"the middle of it. Let it finish, or delete the thing all the same: {request.forced('thing', name)}."
        )
    outcome = things.delete_thing(iot, name, found)
    arns = [principal.arn for principal in found.principals] if found else []
    return request.loosen(outcome, certificates_among(arns))


def remove_policy(request: Request, name: str) -> Removal:
    """Delete an IoT policy with all its versions.

    Raises:
        InTheWay: it hangs on something, and is neither forced nor pruned.
    """
    iot = request.cloud.iot
    targets = list(policies.list_policy_targets(iot, name))
    try:
        outcome = policies.delete_policy(iot, name, force=request.is_forced or request.prunes)
    except InTheWay as refusal:
        raise InTheWay(
            f"The policy {name} hangs on {spoken([('certificate', arn) for arn in targets])}, and deleting it "
            f"would take that the right to connect. To detach it first and delete it: "
            f"{request.forced('policy', name)}; with --prune as well, certificates that then hang on nothing else "
            "go too."
        ) from refusal
    return request.loosen(outcome, certificates_among(targets))


def remove_certificate(request: Request, certificate_id: str) -> Removal:
    """Delete a certificate, by its id.

    Raises:
        InTheWay: it hangs on a thing or a policy, and nobody forces it.
    """
    iot = request.cloud.iot
    found = certificates.find_certificate(iot, certificate_id)
    if found is None:
        return Removal(Outcome("certificate", Verb.ABSENT, certificate_id))
    attached = hung_on(iot, found.arn)
    if attached and not request.is_forced:
        raise InTheWay(
            f"The certificate {certificate_id} hangs on {spoken(attached)}, so deleting it would cut a device off. "
            f"To detach it first and delete it: {request.forced('certificate', certificate_id)}; with --prune as "
            "well, what then has no other certificate goes too."
        )
    outcome = certificates.delete_certificate(iot, found.arn, force=True)
    return request.loosen(outcome, attached)


Named = tuple[str, str]
"""Noun and name; of a certificate its ARN."""


def prune(iot: IoTClient, loosened: Named, gone: Collection[Named], kept_arn: str | None) -> Outcome[None]:
    """Delete what has lost what it hung on, if it hangs on nothing else.

    ``gone`` is what was deleted just now, certificates by id; ``kept_arn`` is a certificate that stays in any case.

    Raises:
        OtaError: AWS does not let it go.
    """
    noun, name = loosened
    if name == kept_arn:
        return Outcome(noun, Verb.SKIPPED, short(name), "named by existing_certificate_arn, stays")
    looks = {"certificate": hung_on, "policy": _targets_of, "thing": _principals_of}
    others = [(kind, one) for kind, one in looks[noun](iot, name) if (kind, short(one)) not in gone]
    if others:
        return Outcome(noun, Verb.SKIPPED, short(name), f"hangs on {spoken(others)} too, stays")
    deletions: dict[str, Callable[[], Outcome[None]]] = {
        "certificate": lambda: certificates.delete_certificate(iot, name),
        "policy": lambda: policies.delete_policy(iot, name),
        "thing": lambda: things.delete_thing(iot, name, things.find_thing(iot, name)),
    }
    return deletions[noun]()


def hung_on(iot: IoTClient, certificate_arn: str) -> list[Named]:
    """The things and policies that the certificate hangs on."""
    on_things, on_policies = side_by_side(
        lambda: list(certificates.list_things_of(iot, certificate_arn)),
        lambda: list(policies.list_attached_policies(iot, certificate_arn)),
    )
    return [*(("thing", name) for name in on_things), *(("policy", name) for name in on_policies)]


def certificates_among(arns: Sequence[str]) -> list[Named]:
    """The certificates among these principals or targets."""
    return [("certificate", arn) for arn in arns if ":cert/" in arn]


def short(name: str) -> str:
    """The name itself; a certificate's id."""
    return name.rpartition("/")[2]


def spoken(objects: Sequence[Named], article: str = "the ") -> str:
    """``the thing lamp, the policy lamp_policy``."""
    return ", ".join(f"{article}{noun} {short(name)}" for noun, name in objects)


def _targets_of(iot: IoTClient, policy_name: str) -> list[Named]:
    return [("certificate", arn) for arn in policies.list_policy_targets(iot, policy_name)]


def _principals_of(iot: IoTClient, thing_name: str) -> list[Named]:
    return [("certificate", principal.arn) for principal in things.list_principals(iot, thing_name)]


Show = Callable[[Outcome[Any]], None]
REMOVALS: Mapping[str, Callable[[Request, str], Removal]] = {
    "thing": remove_thing,
    "policy": remove_policy,
    "certificate": remove_certificate,
    "bucket": remove_bucket,
    "update": remove_update,
    "job": remove_job,
}


def remove(request: Request, noun: str, names: Sequence[str], show: Show) -> list[str]:
    """Delete them, a few side by side. ``show`` gets a line for each; returns why some of them stay."""
    gone: set[Named] = set()
    removals = _run(partial(attempt, noun, _deletion_of(noun, request)), names, show, gone)
    loosened = sorted({one for removal in removals for one in removal.loosened}) if request.prunes else []
    pruned = _run(partial(_prune, request, gone), loosened, show, gone)
    return [removal.refusal for removal in [*removals, *pruned] if removal.refusal]


def _deletion_of(noun: str, request: Request) -> Callable[[str], Removal]:
    if noun == "role":
        return partial(remove_role, request, RoleNeeds(request.cloud.iot, request.settings))
    return partial(REMOVALS[noun], request)


def _run(work: Callable[[Any], Removal], items: Iterable[Any], show: Show, gone: set[Named]) -> list[Removal]:
    """The work on each item; ``gone`` gets what is deleted, as soon as it is."""
    removals = []
    for removal in side_by_side_map(work, items):
        show(removal.outcome)
        if removal.outcome.verb is Verb.DELETED:
            gone.add((removal.outcome.noun, removal.outcome.name))
        removals.append(removal)
    return removals


def _prune(request: Request, gone: set[Named], loosened: Named) -> Removal:
    prune_one = partial(prune, request.cloud.iot, loosened, gone, request.settings.existing_certificate_arn)
    return attempt(loosened[0], lambda _: Removal(prune_one()), short(loosened[1]))
