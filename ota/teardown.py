"""Takes down what the tasks made, in the one safe order, and proves that nothing is left.

The updates go first, with their jobs and streams, because AWS deletes them with the role's permissions: while an update
that stays needs the role, the role stays, and so does the bucket with its image (``shared_use``). Then three chains run
side by side, for nothing in one waits for another: the bucket; the role; certificate, policy and thing. What this tool
did not make is reported and stays, unless forced. The proof looks everything up again, at AWS and not in memory.

Works from names alone; local files only help to find a certificate that a cut-off run left unattached.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ota import buckets, certificates, images, ownership, policies, roles, things, updates
from ota.cloud import Cloud
from ota.deletions import Chain
from ota.errors import NotOurs
from ota.further_updates import Register
from ota.identity_teardown import IdentityTeardown
from ota.nouns import in_teardown_order
from ota.outcomes import Outcome, Verb
from ota.shared_use import may_share_role, needing_bucket, needing_role, still_needed
from ota.threads import side_by_side, side_by_side_map
from ota.update_waits import Patience, find_update

if TYPE_CHECKING:
    from ota.settings.settings import Settings
    from ota.update_requests import Update

GONE = {Verb.DELETED, Verb.ABSENT}
CERTIFICATE_ID = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Found:
    """What is there by our names; None where it is not. ``bucket_refusal`` says that another account has the bucket."""

    update: Update | None
    role: roles.Role | None
    thing: things.Thing | None
    policy_tags: Mapping[str, str] | None
    bucket_tags: Mapping[str, str] | None
    bucket_refusal: str = ""


class Teardown:
    """One teardown; ``run`` does it.

    Attributes:
        keeps_certificate: after it, whether a certificate of the thing stays, so that its key must stay too.
    """

    def __init__(
        self, cloud: Cloud, settings: Settings, files: certificates.CertificateFiles, *, is_forced: bool
    ) -> None:
        self._cloud = cloud
        self._settings = settings
        self._files = files
        self._is_forced = is_forced
        self._owner = None if is_forced else settings.thing_name
        self.keeps_certificate = False

    def run(self, show: Callable[[Outcome[Any]], None]) -> list[str]:
        """Delete and prove. ``show`` gets a line for each object; returns what of ours remains and why."""
        found = self.look()
        first = Chain()
        try:
            others = self._take_updates(first, found)
        finally:
            for outcome in first.outcomes:
                show(outcome)
        staying = self.staying(found, others)
        chains = [Chain(), Chain(), Chain()]
        identity = self.identity(found)
        try:
            side_by_side(
                partial(self._take_bucket, chains[0], found, staying),
                partial(self._take_role, chains[1], found, staying),
                partial(identity.take, chains[2]),
            )
        finally:
            for outcome in in_teardown_order(outcome for chain in chains for outcome in chain.outcomes):
                show(outcome)
        self.keeps_certificate = identity.keeps_certificate
        gone = {(outcome.noun, outcome.name) for chain in chains for outcome in chain.outcomes if outcome.verb in GONE}
        return [reason for chain in [first, *chains] for reason in chain.remains] + self._still_there(gone)

    def look(self) -> Found:
        """What is there by our names."""
        cloud, settings = self._cloud, self._settings
        policy_arn = policies.policy_arn(cloud.partition, cloud.region, cloud.account_id, settings.policy_name)
        found: tuple[Any, ...] = side_by_side(
            partial(find_update, cloud.iot, settings.update_name),
            partial(roles.find_role, cloud.iam, settings.iam_role_name),
            partial(things.find_thing, cloud.iot, settings.thing_name),
            partial(policies.find_policy_tags, cloud.iot, policy_arn),
            self._find_bucket_tags,
        )
        return Found(*found[:-1], *found[-1])

    def identity(self, found: Found) -> IdentityTeardown:
        """The part that is about thing, certificates and policy."""
        return IdentityTeardown(
            self._cloud.iot, self._settings, self._files, found.thing, found.policy_tags, self._is_forced
        )

    def _find_bucket_tags(self) -> tuple[Mapping[str, str] | None, str]:
        """The bucket's tags, and where another account has its name, the sentence that says so."""
        cloud, name = self._cloud, self._settings.bucket_name
        try:
            return buckets.find_bucket_tags(cloud.s3, name, cloud.account_id), ""
        except NotOurs as refusal:
            if any(one.name == name for one in buckets.list_buckets(cloud.s3)):
                raise  # it is this account's after all, and a permission is missing
            return None, str(refusal)

    def staying(self, found: Found, others: Iterable[Update]) -> list[Update]:
        """The updates, the one of the settings and ``others``, that this teardown leaves; none where it is forced."""
        if self._is_forced:
            return []
        there = [found.update, *others] if found.update else list(others)
        return [one for one in there if not one.is_ours(self._settings.thing_name)]

    def _take_updates(self, chain: Chain, found: Found) -> list[Update]:
        """Delete the update that the settings name, and every other that this tool made for the thing.

        Returns:
            the updates of others.
        """
        settings = self._settings
        register = Register(self._cloud.iot)
        patience = Patience(delete_timeout_s=settings.delete_timeout_s)
        delete = partial(updates.delete_update, self._cloud.iot, force=True, patience=patience)
        named = partial(delete, settings.update_name, thing_name=self._owner, known=found.update, find=register.find)
        chain.delete("update", settings.update_name, named)
        others = register.find_others(
            settings.thing_name, settings.update_name, of_all_things=not self._is_forced and may_share_role(settings)
        )
        ours = [one for one in others if one.is_ours(settings.thing_name)]
        chain.outcomes += side_by_side_map(
            lambda one: delete(one.update_id, thing_name=settings.thing_name, known=one), ours
        )
        return [one for one in others if one not in ours]

    def _take_bucket(self, chain: Chain, found: Found, staying: list[Update]) -> None:
        name = self._settings.bucket_name
        is_ours = self.may_delete(found.bucket_tags or {})
        needing = needing_bucket(staying, self._settings, is_bucket_ours=is_ours)
        if found.bucket_refusal:
            chain.outcomes.append(Outcome("bucket", Verb.SKIPPED, name, found.bucket_refusal))
        elif found.bucket_tags is None:
            chain.outcomes.append(Outcome("bucket", Verb.ABSENT, name))
        elif needing:
            _keep(chain, "bucket", name, needing)
        else:
            chain.delete("bucket", name, partial(self._delete_bucket, found))

    def _delete_bucket(self, found: Found) -> Outcome[None]:
        settings = self._settings
        return buckets.delete_bucket(
            self._cloud.s3,
            settings.bucket_name,
            self._cloud.account_id,
            thing_name=self._owner,
            image=self._own_image(found.update),
            key_prefix=images.image_prefix(settings.thing_name),
            force=self._is_forced,
            known_tags=found.bucket_tags,
        )

    def _own_image(self, update: Update | None) -> tuple[str, str | None] | None:
        """Key and version of the update's image, where this tool uploaded it for the thing into our bucket."""
        settings = self._settings
        if update is None or update.bucket != settings.bucket_name or not update.is_ours(settings.thing_name):
            return None
        return update.image if update.key.startswith(images.image_prefix(settings.thing_name)) else None

    def _take_role(self, chain: Chain, found: Found, staying: list[Update]) -> None:
        name = self._settings.iam_role_name
        needing = needing_role(staying, self._settings)
        if found.role is None:
            chain.outcomes.append(Outcome("role", Verb.ABSENT, name))
        elif needing and self.may_delete(found.role.tags):
            _keep(chain, "role", name, needing)
        else:
            delete = partial(roles.delete_role, self._cloud.iam, name, known=found.role)
            chain.delete("role", name, partial(delete, thing_name=self._owner, force=self._is_forced))

    def may_delete(self, tags: Mapping[str, str]) -> bool:
        """Whether an object with these tags is one that this teardown deletes."""
        return self._is_forced or ownership.is_ours(tags, self._settings.thing_name)

    def _still_there(self, gone: set[tuple[str, str]]) -> list[str]:
        """Look everything up again that is said to be gone; a sentence for each that is not."""
        cloud, settings = self._cloud, self._settings
        looks: dict[tuple[str, str], Callable[[], object]] = {
            ("bucket", settings.bucket_name): partial(
                buckets.find_bucket, cloud.s3, settings.bucket_name, cloud.account_id
            ),
            ("role", settings.iam_role_name): partial(roles.find_role, cloud.iam, settings.iam_role_name),
            ("policy", settings.policy_name): partial(policies.find_policy, cloud.iot, settings.policy_name),
            ("thing", settings.thing_name): partial(things.find_thing, cloud.iot, settings.thing_name),
        }
        for noun, name in gone:
            if noun == "certificate" and CERTIFICATE_ID.fullmatch(name):
                looks[noun, name] = partial(certificates.find_certificate, cloud.iot, name)
        wanted = [one for one in looks if one in gone]
        answers = side_by_side(*(looks[one] for one in wanted)) if wanted else ()
        return [
            f"The {noun} {name} is still there, though AWS took its deletion: run `invoke clean` again in a minute."
            for (noun, name), answer in zip(wanted, answers, strict=True)
            if answer is not None
        ]


def _keep(chain: Chain, noun: str, name: str, needing: Sequence[Update]) -> None:
    reason = still_needed(noun, name, needing)
    chain.outcomes.append(Outcome(noun, Verb.SKIPPED, name, reason.brief))
    chain.remains.append(str(reason))
