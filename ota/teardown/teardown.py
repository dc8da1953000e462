"""Deletes what the tasks made, in the one safe order, and proves that nothing is left.

A teardown looks, decides what becomes of each object, and carries the decisions out. ``clean --plan`` shows the same
decisions. It looks closer first: at what is in the bucket, at what others attached to the role, and at what else the
policy is attached to. ``clean`` does not, to save calls: it looks at these only where AWS refuses a deletion, and then
decides again with the same function.

The updates go first, with their jobs and streams, because AWS deletes them with the role's permissions. While an update
that stays needs the role or an image in the bucket, that stays too (``shared_use``). Then three chains run side by
side, because none needs another: the bucket; the role; certificates, policy and thing. What this tool did not make is
reported and stays, unless forced. The proof looks every object up again in AWS.

The names come from the settings. Local files only help to find a certificate that a cut-off run left unattached.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ota import desired_state, images, policies, things
from ota.buckets import buckets
from ota.buckets import contents as bucket_contents
from ota.buckets.contents import Others
from ota.certificates import certificates
from ota.certificates import files as certificate_files
from ota.cloud import Cloud
from ota.errors import NotOurs
from ota.firmware import headers
from ota.messages import Text, command, message
from ota.nouns import NOUNS, THING, UPDATE, in_teardown_order
from ota.outcomes import Action, Change, Outcome, Verb
from ota.roles import roles
from ota.roles.permissions import OTA_SERVICE, list_foreign, trust_shortcomings
from ota.shared_use import Register, find_bucket_need, find_role_need, may_share_role
from ota.teardown.identity import Chain, Identity
from ota.threads import side_by_side, side_by_side_map
from ota.updates.jobs import Job, Patience, find_job, job_id_of
from ota.updates.requests import WITHOUT_JOB, Update
from ota.updates.updates import decide_update_deletion, delete_update, find_update

if TYPE_CHECKING:
    from ota.records import Noun
    from ota.settings.settings import Settings

GONE = {Verb.DELETED, Verb.ABSENT}
CERTIFICATE_ID = re.compile("[0-9a-f]{64}")
Show = Callable[[Outcome[Any]], None]


@dataclass(frozen=True)
class FoundBucket:
    """What is known of the bucket.

    Attributes:
        tags: its tags; None where there is none.
        is_cut_off: whether it is what a cut-off creation leaves.
        refusal: why it cannot be looked at: another account has it.
        others: what it holds besides our images; None without a closer look.
    """

    tags: Mapping[str, str] | None
    is_cut_off: bool = False
    refusal: Text = ""
    others: Others | None = None


@dataclass(frozen=True)
class Found:
    """What exists by the settings' names.

    Attributes:
        update: the update of the settings; None where there is none, as everywhere here.
        job: the job with the update's id; looked for where there is no update, and in a closer look.
        others: the account's other updates that matter to this teardown, each with the job as above.
        role: the role.
        foreign: what others attached to the role; empty without a closer look.
        bucket: the bucket.
        identity: thing, policy and certificates.
    """

    update: Update | None
    job: Job | None
    others: tuple[tuple[Update, Job | None], ...]
    role: roles.Role | None
    foreign: tuple[str, ...]
    bucket: FoundBucket
    identity: Identity


class Teardown:
    """The teardown of one thing's objects.

    Attributes:
        cloud: the account.
        settings: the names of the objects.
        owner: the thing that the objects must be made for; None where the deletion is forced.
        local: whether the key and certificate files here are deleted too.
        header_notes_paths: the notes of what was written into firmware headers.
        independent: the records of the nouns that need nothing of another one, in the order in which they are deleted;
            their records say how.
    """

    def __init__(
        self,
        cloud: Cloud,
        settings: Settings,
        *,
        is_forced: bool,
        local: bool = False,
        header_notes_paths: Sequence[Path] = (),
        nouns: Sequence[Noun] = NOUNS,
    ) -> None:
        self.cloud = cloud
        self.settings = settings
        self.owner = None if is_forced else settings.thing_name
        self.local = local
        self.header_notes_paths = header_notes_paths
        independent = (noun for noun in nouns if noun.decide_deletion and noun.is_wanted(settings))
        self.independent = sorted(independent, key=lambda noun: noun.teardown or 0)

    def plan(self, *, has_fleet: bool = False) -> list[Change]:
        """What :meth:`run` would do, in the order of its lines; only looks.

        ``has_fleet`` says that there are registered devices, which are deleted before these objects; the look at what
        has their policy would take a call for each.
        """
        found, *independent = side_by_side(
            lambda: self._look_closer(self._look(closely=True), has_fleet=has_fleet),
            *(partial(self._decide_independent, noun) for noun in self.independent),
        )
        changes = [*self.decide(found), *independent]
        if any(change.action is Action.BLOCKED for change in changes):
            return changes
        return [*changes, *self._decide_headers(), *self._decide_files(changes)]

    def run(
        self,
        show: Show,
        delete_fleet: Callable[[], list[Text]] | None = None,
    ) -> list[Text]:
        """Delete and prove.

        Args:
            show: gets a line for each object.
            delete_fleet: deletes the registered devices, after the updates that they may be working on and before the
                policy that they have; returns why something of them remains.

        Returns:
            why something of ours remains.

        Raises:
            UpdateFailed: AWS cannot delete an update; everything that it needs stays.
        """
        found = self._look()
        first, beside, last = self._independent_by_turn()
        before, after = Chain(), Chain()
        with _shown(show, before):
            self._delete_independent(before, first)
        found = self._delete_updates(found, show)
        reasons = delete_fleet() if delete_fleet else []
        found = replace(found, identity=found.identity.look())
        changes = self.decide(found)
        chains = (before, *self._delete_rest(found, changes, beside, show), after)
        with _shown(show, after):
            self._delete_independent(after, last)
        gone = {(one.noun, one.name) for chain in chains for one in chain.outcomes if one.verb in GONE}
        reasons += [*(reason for chain in chains for reason in chain.remains), *self._still_there(gone)]
        if not reasons:
            self._finish(changes, show)
        return reasons

    def decide(self, found: Found) -> list[Change]:
        """What becomes of each object that was found, in the order of deletion; calls nothing."""
        updates = self._decide_updates(found)
        staying = self._staying(found, updates)
        return [
            *updates,
            self._decide_bucket(found, staying),
            self._decide_role(found, staying),
            *found.identity.decide(),
        ]

    def _look(self, *, closely: bool = False) -> Found:
        """What exists, in calls that need only the names; ``closely`` looks at job, other updates and role too."""
        cloud, settings = self.cloud, self.settings
        policy_arn = policies.policy_arn(cloud.partition, cloud.region, cloud.account_id, settings.policy_name)
        (update, job), role, thing, policy_tags, bucket, others, foreign = side_by_side(
            partial(self._find_update, closely),
            partial(roles.find_role, cloud.iam, settings.iam_role_name),
            partial(things.find_likely_thing, cloud.iot, settings.thing_name),
            partial(policies.find_policy_tags, cloud.iot, policy_arn),
            self._find_bucket,
            lambda: self._find_others(Register(cloud.iot)) if closely else (),
            lambda: list_foreign(cloud.iam, settings.iam_role_name) if closely else (),
        )
        identity = Identity(cloud.iot, settings, self.owner, thing, policy_tags)
        return Found(update, job, tuple(others), role, tuple(foreign), bucket, identity)

    def _look_closer(self, found: Found, *, has_fleet: bool) -> Found:
        """The same with what is in the bucket, the certificates, and what else the policy is attached to."""
        bucket, identity = side_by_side(
            lambda: self._look_into(found.bucket) if found.bucket.tags is not None else found.bucket,
            lambda: found.identity.look() if has_fleet else found.identity.look().look_at_policy(),
        )
        return replace(found, bucket=bucket, identity=identity)

    def _find_update(self, closely: bool) -> tuple[Update | None, Job | None]:
        iot, name = self.cloud.iot, self.settings.update_name
        if closely:
            update, job = side_by_side(partial(find_update, iot, name), partial(self._find_job, name))
            return update, job
        update = find_update(iot, name)
        return update, self._find_job(name) if update is None else self._find_job_beside(update)

    def _find_job(self, update_id: str) -> Job | None:
        return find_job(self.cloud.iot, job_id_of(update_id))

    def _find_job_beside(self, update: Update) -> Job | None:
        """A job with the id that an update's own would have; looked for only where the update may have none."""
        return self._find_job(update.update_id) if update.status in WITHOUT_JOB else None

    def _find_others(self, register: Register) -> list[tuple[Update, Job | None]]:
        settings, thing_name = self.settings, self.settings.thing_name
        of_all_things = self.owner is not None and may_share_role(settings)
        found = register.find_others(thing_name, settings.update_name, of_all_things=of_all_things)
        return [(one, self._find_job_beside(one) if one.is_ours(thing_name) else None) for one in found]

    def _find_bucket(self) -> FoundBucket:
        cloud, name = self.cloud, self.settings.bucket_name
        try:
            tags = buckets.find_bucket_tags(cloud.s3, name, cloud.account_id)
        except NotOurs as refusal:
            if any(one.name == name for one in buckets.list_buckets(cloud.s3)):
                raise  # it is this account's bucket, and a permission is missing
            return FoundBucket(None, refusal=refusal.message)
        owned = bucket_contents.Owned(Bucket=name, ExpectedBucketOwner=cloud.account_id)
        default_name = desired_state.default_bucket_name(cloud, self.settings)
        is_cut_off = tags is not None and buckets.is_leftover(cloud.s3, owned, tags, default_name)
        return FoundBucket(tags, is_cut_off)

    def _look_into(self, bucket: FoundBucket) -> FoundBucket:
        cloud, prefix = self.cloud, images.image_prefix(self.settings.thing_name)
        others = bucket_contents.find_others(cloud.s3, self.settings.bucket_name, cloud.account_id, prefix)
        return replace(bucket, others=others)

    def _decide_updates(self, found: Found) -> list[Change]:
        """The update of the settings, and every other update that this tool made for the thing."""
        settings = self.settings
        lost_role = "" if self._is_role_usable(found.role) else settings.iam_role_name
        decide = partial(decide_update_deletion, lost_role=lost_role)
        targets = desired_state.target_arns(self.cloud, settings)
        ours = [(one, job) for one, job in found.others if one.is_ours(settings.thing_name)]
        return [
            decide(found.update, found.job, settings.update_name, self.owner, targets=targets),
            *(decide(one, job, one.update_id, settings.thing_name) for one, job in ours),
        ]

    def _is_role_usable(self, role: roles.Role | None) -> bool:
        """Whether AWS IoT can assume the role, to delete an update with its permissions."""
        if role is None:
            return False
        trust, _ = desired_state.role_documents(self.cloud, self.settings)
        return not trust_shortcomings(self.cloud.iam, role.name, role.trust, trust, OTA_SERVICE)

    def _staying(self, found: Found, updates: Sequence[Change]) -> list[Update]:
        """The updates that are there after this teardown; of a forced one only those that cannot be deleted."""
        going = {change.name for change in updates if change.action is Action.DELETE}
        stuck = {change.name for change in updates if change.action is Action.BLOCKED}
        there = [*([found.update] if found.update else []), *(one for one, _ in found.others)]
        return [one for one in there if one.update_id in stuck or (self.owner and one.update_id not in going)]

    def _decide_bucket(self, found: Found, staying: Iterable[Update]) -> Change:
        decide = partial(
            bucket_contents.decide_bucket_deletion,
            found.bucket.tags,
            self.settings.bucket_name,
            self.owner,
            is_cut_off=found.bucket.is_cut_off,
            others=found.bucket.others,
        )
        if found.bucket.refusal:
            return Change("bucket", Action.KEEP, self.settings.bucket_name, found.bucket.refusal)
        is_ours = decide().action is not Action.KEEP
        return decide(need=find_bucket_need(staying, self.settings, is_bucket_ours=is_ours))

    def _decide_role(self, found: Found, staying: Iterable[Update]) -> Change:
        need, name = find_role_need(staying, self.settings), self.settings.iam_role_name
        return roles.decide_role_deletion(found.role, name, self.owner, need=need, foreign=found.foreign)

    def _delete_updates(self, found: Found, show: Show) -> Found:
        """Delete the updates; the same as was found, with the account's other updates.

        The list that proves the first update gone also names the others, so they are looked at only now.
        """
        register = Register(self.cloud.iot)
        patience = Patience(delete_timeout_s=self.settings.delete_timeout_s)
        delete = partial(self._delete_update, patience)
        show(delete(self._decide_updates(found)[0], find=register.find))
        found = replace(found, others=tuple(self._find_others(register)))
        for outcome in side_by_side_map(delete, self._decide_updates(found)[1:]):
            show(outcome)
        return found

    def _delete_update(self, patience: Patience, change: Change, **options: Any) -> Outcome[None]:
        change.check()
        if change.action is Action.DELETE:
            return delete_update(self.cloud.iot, change.name, known=change.found, patience=patience, **options)
        verb = Verb.ABSENT if change.action is Action.ABSENT else Verb.SKIPPED
        return Outcome(change.noun, verb, change.name, change.detail)

    def _independent_by_turn(self) -> tuple[list[Noun], list[Noun], list[Noun]]:
        """The independent nouns that go before the updates, beside bucket, role and thing, and after the thing."""
        places = [(noun, noun.teardown or 0) for noun in self.independent]
        first, last = UPDATE.teardown or 0, THING.teardown or 0
        return (
            [noun for noun, place in places if place < first],
            [noun for noun, place in places if first <= place <= last],
            [noun for noun, place in places if place > last],
        )

    def _delete_rest(
        self,
        found: Found,
        changes: Sequence[Change],
        beside: Sequence[Noun],
        show: Show,
    ) -> tuple[Chain, ...]:
        by_noun = {change.noun: change for change in changes}
        bucket, role, identity, independent = chains = Chain(), Chain(), Chain(), Chain()
        with _shown(show, *chains):
            side_by_side(
                partial(self._delete_bucket, bucket, found, by_noun["bucket"]),
                partial(self._delete_role, role, found, by_noun["role"]),
                partial(found.identity.delete, identity),
                partial(self._delete_independent, independent, beside),
            )
        return chains

    def _decide_independent(self, noun: Noun) -> Change:
        assert noun.find  # noqa: S101 - only such nouns come here
        assert noun.decide_deletion  # noqa: S101
        change: Change = noun.decide_deletion(noun.find(self.cloud, self.settings), self.settings, self.owner)
        return change

    def _delete_independent(self, chain: Chain, nouns: Sequence[Noun]) -> None:
        for noun, change in zip(nouns, side_by_side_map(self._decide_independent, nouns), strict=True):
            assert noun.delete  # noqa: S101
            chain.take(change, partial(noun.delete.load(), self.cloud, change))

    def _delete_bucket(self, chain: Chain, found: Found, change: Change) -> None:
        cloud, settings = self.cloud, self.settings
        prefix = images.image_prefix(settings.thing_name)
        bucket = (cloud.s3, settings.bucket_name, cloud.account_id)
        if change.action is Action.KEEP and not found.bucket.refusal:
            bucket_contents.delete_images(*bucket, prefix)
        image, is_forced = self._own_image(found.update), self.owner is None
        chain.take(
            change,
            partial(bucket_contents.delete_bucket, *bucket, image=image, key_prefix=prefix, force=is_forced),
            lambda: self._decide_bucket(replace(found, bucket=self._look_into(found.bucket)), ()),
        )

    def _own_image(self, update: Update | None) -> tuple[str, str | None] | None:
        """Key and version of the update's image, where this tool uploaded it for the thing into this bucket."""
        settings = self.settings
        if update is None or update.bucket != settings.bucket_name or not update.is_ours(settings.thing_name):
            return None
        return update.image if update.key.startswith(images.image_prefix(settings.thing_name)) else None

    def _delete_role(self, chain: Chain, found: Found, change: Change) -> None:
        iam, name = self.cloud.iam, self.settings.iam_role_name
        chain.take(
            change,
            partial(roles.delete_role, iam, name, force=self.owner is None),
            lambda: self._decide_role(replace(found, foreign=tuple(list_foreign(iam, name))), ()),
        )

    def _still_there(self, gone: set[tuple[str, str]]) -> list[Text]:
        """Look everything up again that is said to be gone; a sentence for each object that is not."""
        cloud, settings = self.cloud, self.settings
        looks: dict[tuple[str, str], Callable[[], object]] = {
            ("bucket", settings.bucket_name): partial(
                buckets.find_bucket, cloud.s3, settings.bucket_name, cloud.account_id
            ),
            ("role", settings.iam_role_name): partial(roles.find_role, cloud.iam, settings.iam_role_name),
            ("policy", settings.policy_name): partial(policies.find_policy, cloud.iot, settings.policy_name),
            ("thing", settings.thing_name): partial(things.find_thing, cloud.iot, settings.thing_name),
        }
        for one in self.independent:
            looks.update(
                {key: partial(one.find.load(), cloud, settings) for key in gone if one.find and key[0] == one.name}
            )
        for noun, name in gone:
            if noun == "certificate" and CERTIFICATE_ID.fullmatch(name):
                looks[noun, name] = partial(certificates.find_certificate, cloud.iot, name)
        wanted = [one for one in looks if one in gone]
        answers = side_by_side(*(looks[one] for one in wanted))
        return [
            message(
                f"The {noun} {name} is still there, though AWS accepted its deletion: run ",
                command("clean"),
                " again in a minute.",
            )
            for (noun, name), answer in zip(wanted, answers, strict=True)
            if answer is not None
        ]

    def _finish(self, changes: Sequence[Change], show: Show) -> None:
        """Put the headers' original values back, and delete the files here where that is asked for."""
        for path in self.header_notes_paths:
            for outcome in headers.put_back(path, self.settings.thing_name, self.cloud.account_name):
                show(outcome)
        for change in self._decide_files(changes):
            show(certificate_files.delete_local(desired_state.certificate_files(self.settings), change))

    def _decide_headers(self) -> list[Change]:
        name, account = self.settings.thing_name, self.cloud.account_name
        return [one for path in self.header_notes_paths for one in headers.find_returns(path, name, account).values()]

    def _decide_files(self, changes: Sequence[Change]) -> list[Change]:
        """The key and certificate files; they stay with a certificate that stays."""
        files = desired_state.certificate_files(self.settings)
        is_needed = any(one.noun == "certificate" and one.action is Action.KEEP for one in changes)
        is_needed = is_needed or bool(self.settings.existing_certificate_arn)
        return [certificate_files.decide_files_deletion(files, is_needed=is_needed)] if self.local else []


@contextlib.contextmanager
def _shown(show: Show, *chains: Chain) -> Iterator[None]:
    """Show what the chains come to, even where one of them fails."""
    try:
        yield
    finally:
        for outcome in in_teardown_order(outcome for chain in chains for outcome in chain.outcomes):
            show(outcome)
