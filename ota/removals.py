"""Deletes single objects by their names, with what is to go with them and never more.

Each name is taken for itself: what is in the way of one does not keep the others. Without force nothing is deleted
that something else still needs; the refusal says what that is and which command deletes all the same. What a pruning
may take, certificates, policies or things that hang on nothing else any more, is looked at once everything named is
gone, so that two things that share a certificate can go together.

A role is special: AWS deletes an OTA update with the rights of the role it was made with, and tells nobody which one
that is. So a role counts as needed by the update of the same settings, and by every update that this tool made for the
thing that the role was made for.

Source: AWS IoT DeleteOTAUpdate, DeleteCertificate (``forceDelete``), DeletePolicy, DeleteThing; IAM DeleteRole; S3
DeleteBucket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from ota import buckets, certificates, contents, jobs, ownership, policies, role_policies, roles, things, updates
from ota.cloud import side_by_side, side_by_side_map
from ota.errors import DENIED_CODES, InTheWay, OtaError, UpdateFailed
from ota.outcomes import Outcome, Verb
from ota.pruning import Named, certificates_among, hung_on, prune, short, spoken
from ota.selections import delete_command, shortened
from ota.update_requests import JOB_ID_PREFIX, Update, job_id_of
from ota.update_waits import BEING_CREATED, BEING_DELETED, UNFINISHED_JOB, Patience, find_job, find_update

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

    from ota.cloud import Cloud
    from ota.settings import Settings

DELETION_ASKED = {BEING_DELETED, "DELETE_FAILED"}


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


class Removals:
    """Deletes objects of one noun; ``run`` does it. ``prefix`` is how the command line began: ``invoke sandbox``."""

    def __init__(
        self,
        cloud: Cloud,
        settings: Settings,
        *,
        is_forced: bool,
        prunes: bool,
        patience: Patience,
        note: Callable[[str], None],
        prefix: str = "invoke",
    ) -> None:
        self._cloud = cloud
        self._settings = settings
        self._is_forced = is_forced
        self._prunes = prunes
        self._patience = patience
        self._note = note
        self._prefix = prefix
        self._gone: set[Named] = set()

    def run(self, noun: str, names: Sequence[str], show: Callable[[Outcome[Any]], None]) -> list[str]:
        """Delete them, a few side by side. ``show`` gets a line for each; returns why some of them stay."""
        deletions: dict[str, Callable[[str], Removal]] = {
            "thing": self._thing,
            "policy": self._policy,
            "certificate": self._certificate,
            "role": self._role,
            "bucket": self._bucket,
            "update": self._update,
            "job": self._job,
        }
        removals = self._run(partial(_attempt, noun, deletions[noun]), names, show)
        loosened = sorted({one for removal in removals for one in removal.loosened}) if self._prunes else []
        pruned = self._run(self._prune, loosened, show)
        return [removal.refusal for removal in [*removals, *pruned] if removal.refusal]

    def _run(
        self, work: Callable[[Any], Removal], items: Iterable[Any], show: Callable[[Outcome[Any]], None]
    ) -> list[Removal]:
        removals = []
        for removal in side_by_side_map(work, items):
            outcome = removal.outcome
            show(outcome)
            if outcome.verb is Verb.DELETED:
                self._gone.add((outcome.noun, outcome.name))
            removals.append(removal)
        return removals

    def _thing(self, name: str) -> Removal:
        iot = self._cloud.iot
        found = things.find_thing(iot, name)
        at_work = jobs.list_jobs_at_work(iot, name) if found and not self._is_forced else []
        if at_work:
            raise InTheWay(
                f"The device of the thing {name} is at work on {', '.join(at_work)} right now, and would be cut off in "
                f"the middle of it. Let it finish, or delete the thing all the same: {self._forced('thing', name)}."
            )
        outcome = things.delete_thing(iot, name, found)
        arns = [principal.arn for principal in found.principals] if found else []
        return self._loosen(outcome, certificates_among(arns))

    def _policy(self, name: str) -> Removal:
        iot = self._cloud.iot
        targets = list(policies.list_policy_targets(iot, name))
        try:
            outcome = policies.delete_policy(iot, name, force=self._is_forced or self._prunes)
        except InTheWay as refusal:
            raise InTheWay(
                f"The policy {name} hangs on {spoken([('certificate', arn) for arn in targets])}, and deleting it "
                f"would take that the right to connect. To detach it first and delete it: "
                f"{self._forced('policy', name)}; with --prune as well, certificates that then hang on nothing else "
                "go too."
            ) from refusal
        return self._loosen(outcome, certificates_among(targets))

    def _certificate(self, certificate_id: str) -> Removal:
        iot = self._cloud.iot
        found = certificates.find_certificate(iot, certificate_id)
        if found is None:
            return Removal(Outcome("certificate", Verb.ABSENT, certificate_id))
        attached = hung_on(iot, found.arn)
        if attached and not self._is_forced:
            raise InTheWay(
                f"The certificate {certificate_id} hangs on {spoken(attached)}, so deleting it would cut a device off. "
                f"To detach it first and delete it: {self._forced('certificate', certificate_id)}; with --prune as "
                "well, what then has no other certificate goes too."
            )
        outcome = certificates.delete_certificate(iot, found.arn, force=True)
        return self._loosen(outcome, attached)

    def _role(self, name: str) -> Removal:
        iam = self._cloud.iam
        found = roles.find_role(iam, name)
        if found is None:
            return Removal(Outcome("role", Verb.ABSENT, name))
        needing = self._updates_needing(found)
        if needing and not self._is_forced:
            raise InTheWay(
                f"The OTA {spoken([('update', one) for one in needing], article='')} still needs the role {name}: AWS "
                "deletes an update with the rights of its role, so it could not be deleted any more. Delete it first: "
                f"{delete_command(self._prefix, 'update', needing)}. Or the role all the same: "
                f"{self._forced('role', name)}."
            )
        attached = [] if self._is_forced else role_policies.list_foreign(iam, name)
        if attached:
            raise InTheWay(
                f"The role {name} has attached to it what this tool did not attach: {', '.join(attached)}. To delete "
                f"it with all of that: {self._forced('role', name)}."
            )
        outcome = roles.delete_role(iam, name, thing_name=None, force=self._is_forced, known=found)
        if needing:
            self._note(
                f"note: AWS cannot delete the OTA update {', '.join(needing)} without the role {name}; to get rid of "
                f"it, make the role again and delete both: {self._way_out(needing[0], '--force')}."
            )
        return Removal(outcome)

    def _bucket(self, name: str) -> Removal:
        s3, account_id = self._cloud.s3, self._cloud.account_id
        tags = buckets.find_bucket_tags(s3, name, account_id)
        if tags is None:
            return Removal(Outcome("bucket", Verb.ABSENT, name))
        owned = contents.Owned(Bucket=name, ExpectedBucketOwner=account_id)
        keys = () if self._is_forced else contents.first_keys(s3, owned)
        if keys:
            raise InTheWay(
                f"The bucket {name} is not empty; in it are {shortened(keys)} …. To delete it with every version of "
                f"everything in it: {self._forced('bucket', name)}."
            )
        delete = partial(buckets.delete_bucket, s3, name, account_id, thing_name=None, known_tags=tags)
        return Removal(delete(force=self._is_forced))

    def _update(self, name: str) -> Removal:
        iot = self._cloud.iot
        found, job = side_by_side(partial(find_update, iot, name), partial(find_job, iot, job_id_of(name)))
        if not self._is_forced:
            self._check_finished(name, found, job.status if job else "")
        try:
            outcome = updates.delete_update(
                iot, name, thing_name=None, force=True, known=found, patience=self._patience
            )
        except UpdateFailed as failure:
            raise UpdateFailed(f"{failure} Both in one: {self._way_out(name)}.") from failure
        return Removal(outcome)

    def _check_finished(self, name: str, found: Update | None, job_status: str) -> None:
        """Refuse while devices may take the update; one whose deletion was asked for before is past that."""
        if found is not None and found.status in BEING_CREATED:
            state = f"AWS is still making it ({found.status})"
        elif job_status in UNFINISHED_JOB and not (found and found.status in DELETION_ASKED):
            state = f"its job {job_id_of(name)} is {job_status}, so devices may still take it"
        else:
            return
        raise InTheWay(
            f"The OTA update {name} has not finished: {state}. Let it finish, or delete it all the same: "
            f"{self._forced('update', name)}."
        )

    def _job(self, job_id: str) -> Removal:
        try:
            outcome = jobs.delete_job(self._cloud.iot, job_id, force=self._is_forced, patience=self._patience)
        except InTheWay as refusal:
            raise InTheWay(
                f"{refusal} Let them finish, or delete it all the same: {self._forced('job', job_id)}."
            ) from refusal
        update_id = job_id.removeprefix(JOB_ID_PREFIX)
        if outcome.verb is Verb.DELETED and update_id != job_id and find_update(self._cloud.iot, update_id):
            detail = f"its update stays: {delete_command(self._prefix, 'update', [update_id])}"
            outcome = Outcome("job", Verb.DELETED, job_id, detail)
        return Removal(outcome)

    def _loosen(self, outcome: Outcome[None], was_on: list[Named]) -> Removal:
        """The line of what is gone, which tells what stays of that which hung on it."""
        if outcome.verb is not Verb.DELETED or not was_on:
            return Removal(outcome)
        detail = "" if self._prunes else f"{spoken(was_on)} {'stay' if len(was_on) > 1 else 'stays'}"
        return Removal(Outcome(outcome.noun, outcome.verb, outcome.name, detail), loosened=tuple(was_on))

    def _prune(self, loosened: Named) -> Removal:
        kept_arn = self._settings.existing_certificate_arn
        prune_one = partial(prune, self._cloud.iot, loosened, self._gone, kept_arn)
        return _attempt(loosened[0], lambda _: Removal(prune_one()), short(loosened[1]))

    def _updates_needing(self, role: roles.Role) -> list[str]:
        """Names of the OTA updates that could not be deleted any more without this role, as far as can be told."""
        settings = self._settings
        needing = []
        if role.name == settings.iam_role_name and find_update(self._cloud.iot, settings.update_name):
            needing.append(settings.update_name)
        thing_name = role.tags.get(ownership.OTA_THING_KEY, "")
        if ownership.is_ours(role.tags, thing_name):
            needing += [one.update_id for one in self._our_updates if one.is_ours(thing_name)]
        return sorted(set(needing))

    @cached_property
    def _our_updates(self) -> list[Update]:
        iot = self._cloud.iot
        found = side_by_side_map(lambda one: _find_update_if_allowed(iot, one.update_id), updates.list_updates(iot))
        return [update for update in found if update is not None and update.is_ours()]

    def _forced(self, noun: str, name: str) -> str:
        return delete_command(self._prefix, noun, [name], "--force")

    def _way_out(self, update_name: str, *flags: str) -> str:
        """How to delete an update whose role is gone."""
        task = " ".join(["delete.update", *flags])
        if update_name == self._settings.update_name:
            return f"`{self._prefix} role {task}`"
        return f"`{self._prefix} with --iam-role-name <its role> role {task} --name {update_name}`"


def _find_update_if_allowed(iot: IoTClient, update_id: str) -> Update | None:
    """The update; None too where these credentials are for other names than this."""
    from botocore.exceptions import ClientError

    try:
        return find_update(iot, update_id)
    except ClientError as error:
        if error.response["Error"]["Code"] in DENIED_CODES:
            return None
        raise


def _attempt(noun: str, delete: Callable[[str], Removal], name: str) -> Removal:
    """One deletion; what is in its way becomes words, so that it does not keep the others."""
    try:
        return delete(name)
    except OtaError as refusal:
        return Removal(Outcome(noun, Verb.SKIPPED, name, "stays"), str(refusal))
