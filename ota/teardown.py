"""Takes down what the tasks made, in the one safe order, and proves that nothing is left.

The update goes first, with its job and stream, because AWS deletes them with the role's permissions: while an update
still needs the role, the role stays, and so does the bucket with its image. Then three chains run side by side, for
nothing in one waits for another: the bucket; the role; certificate, policy and thing. What this tool did not make is
reported and stays, unless forced. The proof looks everything up again, at AWS and not in memory.

Works from names alone; local files only help to find a certificate that a cut-off run left unattached.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from ota import buckets, certificates, images, ownership, policies, roles, things, updates
from ota.certificate_records import other_things
from ota.cloud import Cloud, side_by_side
from ota.errors import CertificateError, InTheWay, NotOurs
from ota.outcomes import Outcome, Verb
from ota.update_waits import Patience, find_update

if TYPE_CHECKING:
    from ota.settings import Settings
    from ota.update_requests import Update

GONE = {Verb.DELETED, Verb.ABSENT}
NOT_OURS = "not made by this tool, stays; --force deletes it"
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


@dataclass
class Chain:
    """Deletions that follow one another: a line for each, and why something of ours stays."""

    outcomes: list[Outcome[Any]] = field(default_factory=list)
    remains: list[str] = field(default_factory=list)

    def delete(self, noun: str, name: str, work: Callable[[], Outcome[None]]) -> bool:
        """Do one deletion; whether the object is gone now. What is not ours is skipped, and no failure."""
        try:
            self.outcomes.append(work())
        except NotOurs as refusal:
            self.outcomes.append(Outcome(noun, Verb.SKIPPED, name, str(refusal)))
            return False
        except InTheWay as refusal:
            self.outcomes.append(Outcome(noun, Verb.SKIPPED, name, "in use, stays"))
            self.remains.append(str(refusal))
            return False
        return True


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
        is_update_gone = first.delete("update", self._settings.update_name, partial(self._delete_update, found))
        chains = [first, Chain(), Chain(), Chain()]
        for outcome in first.outcomes:
            show(outcome)
        try:
            side_by_side(
                partial(self._take_bucket, chains[1], found, is_update_gone),
                partial(self._take_role, chains[2], found, is_update_gone),
                partial(self._take_identity, chains[3], found),
            )
        finally:
            for outcome in (outcome for chain in chains[1:] for outcome in chain.outcomes):
                show(outcome)
        gone = {(outcome.noun, outcome.name) for chain in chains for outcome in chain.outcomes if outcome.verb in GONE}
        return [reason for chain in chains for reason in chain.remains] + self._still_there(gone)

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

    def _find_bucket_tags(self) -> tuple[Mapping[str, str] | None, str]:
        """The bucket's tags, and where another account has its name, the sentence that says so."""
        cloud, name = self._cloud, self._settings.bucket_name
        try:
            return buckets.find_bucket_tags(cloud.s3, name, cloud.account_id), ""
        except NotOurs as refusal:
            if any(one.name == name for one in buckets.list_buckets(cloud.s3)):
                raise  # it is this account's after all, and a permission is missing
            return None, str(refusal)

    def _delete_update(self, found: Found) -> Outcome[None]:
        settings = self._settings
        return updates.delete_update(
            self._cloud.iot,
            settings.update_name,
            thing_name=self._owner,
            force=True,
            known=found.update,
            patience=Patience(delete_timeout_s=settings.delete_timeout_s),
        )

    def _take_bucket(self, chain: Chain, found: Found, is_update_gone: bool) -> None:
        name = self._settings.bucket_name
        if found.bucket_refusal:
            chain.outcomes.append(Outcome("bucket", Verb.SKIPPED, name, found.bucket_refusal))
        elif found.bucket_tags is None:
            chain.outcomes.append(Outcome("bucket", Verb.ABSENT, name))
        elif is_update_gone:
            chain.delete("bucket", name, partial(self._delete_bucket, found))
        else:
            self._keep(chain, "bucket", name)

    def _delete_bucket(self, found: Found) -> Outcome[None]:
        settings = self._settings
        is_image_here = found.update is not None and found.update.bucket == settings.bucket_name
        return buckets.delete_bucket(
            self._cloud.s3,
            settings.bucket_name,
            self._cloud.account_id,
            thing_name=self._owner,
            image=found.update.image if found.update and is_image_here else None,
            key_prefix=images.image_prefix(settings.thing_name),
            force=self._is_forced,
            known_tags=found.bucket_tags,
        )

    def _take_role(self, chain: Chain, found: Found, is_update_gone: bool) -> None:
        name = self._settings.iam_role_name
        if found.role is None:
            chain.outcomes.append(Outcome("role", Verb.ABSENT, name))
        elif is_update_gone:
            delete = partial(roles.delete_role, self._cloud.iam, name, known=found.role)
            chain.delete("role", name, partial(delete, thing_name=self._owner, force=self._is_forced))
        else:
            self._keep(chain, "role", name)

    def _keep(self, chain: Chain, noun: str, name: str) -> None:
        update_name = self._settings.update_name
        chain.outcomes.append(Outcome(noun, Verb.SKIPPED, name, f"the update {update_name} still needs it, stays"))
        chain.remains.append(
            f"The {noun} {name} stays while the update {update_name} is there, for AWS needs it to delete that."
        )

    def _take_identity(self, chain: Chain, found: Found) -> None:
        """Certificates first, then policy and thing, which nothing of ours hangs on any more."""
        iot, thing = self._cloud.iot, found.thing
        doomed, kept = self.judge_certificates(chain, found)
        self.keeps_certificate = bool(kept)
        # Inactive before detached: where a run is cut off in between, an inactive one can still be told as ours.
        side_by_side(*(partial(certificates.deactivate_certificate, iot, one) for one in doomed))
        if thing is not None and self.may_delete_thing(thing):
            thing = things.detach_principals(iot, thing)
        for certificate_id in doomed:
            delete = partial(
                certificates.delete_certificate, iot, certificate_id, detached_from=self._settings.thing_name
            )
            chain.delete("certificate", certificate_id, delete)
        if not (doomed or kept):
            chain.outcomes.append(Outcome("certificate", Verb.ABSENT, f"of {self._settings.thing_name}"))
        policy, registered = Chain(), Chain()
        side_by_side(
            partial(self._take_policy, policy, found, kept),
            partial(registered.delete, "thing", self._settings.thing_name, partial(self._delete_thing, thing)),
        )
        chain.outcomes += policy.outcomes + registered.outcomes
        chain.remains += policy.remains + registered.remains

    def judge_certificates(self, chain: Chain, found: Found) -> tuple[list[str], list[str]]:
        """Ids of the certificates to delete, and ARNs of those that hang on the thing and stay; only looks."""
        thing = found.thing
        doomed: list[str] = []
        kept: list[str] = []
        for principal in thing.principals if thing else ():
            if ":cert/" not in principal.arn:
                continue
            certificate_id = principal.arn.rpartition("/")[2]
            if reason := self._reason_to_keep(principal, thing):
                kept.append(principal.arn)
                chain.outcomes.append(Outcome("certificate", Verb.SKIPPED, certificate_id, reason))
            else:
                doomed.append(certificate_id)
        return doomed + self._orphans(chain, found, is_known=bool(doomed)), kept

    def _orphans(self, chain: Chain, found: Found, *, is_known: bool) -> list[str]:
        """Ids of certificates that a cut-off run left unattached. ``is_known``: the thing's own one was found."""
        try:
            orphans = certificates.find_orphans(
                self._cloud.iot,
                self._files,
                thing_name=self._settings.thing_name,
                attached=found.thing.principals if found.thing else (),
                policy_targets=() if is_known else self._policy_targets(found),
                existing_arn=self._settings.existing_certificate_arn,
            )
        except CertificateError as error:
            chain.remains.append(f"{error} Without it, a certificate that hangs on no thing cannot be found.")
            return []
        return [orphan.id for orphan in orphans]

    def _reason_to_keep(self, principal: things.Principal, thing: things.Thing | None) -> str:
        if principal.arn == self._settings.existing_certificate_arn:
            return "named by existing_certificate_arn, stays"
        if thing is not None and not self.may_delete_thing(thing):
            return "hangs on a thing that this tool did not make, stays"
        if principal.is_exclusive:
            return ""
        others = other_things(self._cloud.iot, principal.arn, self._settings.thing_name)
        return f"hangs on {', '.join(others)} too, stays" if others else ""

    def may_delete_thing(self, thing: things.Thing) -> bool:
        """Whether the thing is one that this teardown deletes."""
        return self._is_forced or thing.is_ours

    def is_policy_ours(self, found: Found) -> bool:
        """Whether the policy is one that this teardown deletes."""
        tags = found.policy_tags
        return tags is not None and (self._is_forced or ownership.is_ours(tags, self._settings.thing_name))

    def _policy_targets(self, found: Found) -> list[str]:
        if not self.is_policy_ours(found):
            return []
        return list(policies.list_policy_targets(self._cloud.iot, self._settings.policy_name))

    def _take_policy(self, chain: Chain, found: Found, kept: list[str]) -> None:
        name = self._settings.policy_name
        if found.policy_tags is None:
            chain.outcomes.append(Outcome("policy", Verb.ABSENT, name))
        elif not self.is_policy_ours(found):
            chain.outcomes.append(Outcome("policy", Verb.SKIPPED, name, NOT_OURS))
        else:
            for arn in kept:
                policies.detach_policy(self._cloud.iot, name, arn)
            chain.delete("policy", name, partial(policies.delete_policy, self._cloud.iot, name, force=self._is_forced))

    def _delete_thing(self, thing: things.Thing | None) -> Outcome[None]:
        name = self._settings.thing_name
        if thing is not None and not self.may_delete_thing(thing):
            return Outcome("thing", Verb.SKIPPED, name, NOT_OURS)
        return things.delete_thing(self._cloud.iot, name, thing)

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
