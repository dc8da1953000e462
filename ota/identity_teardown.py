"""Takes down what the device is known by: the thing's certificates first, then policy and thing.

A certificate is ours when it hangs on our thing and on nothing else. One that a run left unattached when it was cut off
is found by its key, or by the policy that it still hangs on.

Source: AWS IoT DetachThingPrincipal, DeleteCertificate, DeletePolicy, DeleteThing: each refuses while the one before
hangs on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from ota import certificates, ownership, policies, things
from ota.certificate_files import CertificateFiles
from ota.certificates import other_things
from ota.deletions import Chain, not_ours
from ota.errors import CertificateError, InTheWay
from ota.outcomes import Outcome, Verb
from ota.shared_use import then_again
from ota.threads import side_by_side

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

    from ota.settings.settings import Settings


@dataclass
class IdentityTeardown:
    """One teardown of a device's identity; ``take`` does it, everything else only looks.

    Attributes:
        iot: the client.
        settings: what the objects are called.
        files: the certificate's files on this machine; they need not be there.
        thing: the thing as it was found; None where there is none.
        policy_tags: the tags of the policy; None where there is none.
        is_forced: also what this tool did not make.
        keeps_certificate: after ``take``, whether a certificate of the thing stays, so that its key must stay too.
    """

    iot: IoTClient
    settings: Settings
    files: CertificateFiles
    thing: things.Thing | None
    policy_tags: Mapping[str, str] | None
    is_forced: bool
    keeps_certificate: bool = field(default=False, init=False)

    def take(self, chain: Chain) -> None:
        """Certificates first, then policy and thing, which nothing of ours hangs on any more."""
        iot, thing = self.iot, self.thing
        doomed, kept = self.judge_certificates(chain)
        self.keeps_certificate = bool(kept)
        spared = self.spared_by_policy(kept)
        # Inactive before detached: where a run is cut off in between, an inactive one can still be told as ours.
        side_by_side(*(partial(certificates.deactivate_certificate, iot, one) for one in doomed))
        if thing is not None and self.may_delete_thing:
            thing = things.detach_principals(iot, thing)
        for certificate_id in doomed:
            delete = partial(
                certificates.delete_certificate, iot, certificate_id, detached_from=self.settings.thing_name
            )
            chain.delete("certificate", certificate_id, delete)
        if not (doomed or kept):
            chain.outcomes.append(Outcome("certificate", Verb.ABSENT, f"of {self.settings.thing_name}"))
        policy, registered = Chain(), Chain()
        side_by_side(
            partial(self._take_policy, policy, spared),
            partial(registered.delete, "thing", self.settings.thing_name, partial(self._delete_thing, thing)),
        )
        chain.outcomes += policy.outcomes + registered.outcomes
        chain.remains += policy.remains + registered.remains

    def judge_certificates(self, chain: Chain) -> tuple[list[str], list[str]]:
        """Ids of the certificates to delete, and ARNs of those that hang on the thing and stay; only looks."""
        doomed: list[str] = []
        kept: list[str] = []
        for principal in self._principals:
            if ":cert/" not in principal.arn:
                continue
            certificate_id = principal.arn.rpartition("/")[2]
            if reason := self._reason_to_keep(principal):
                kept.append(principal.arn)
                chain.outcomes.append(Outcome("certificate", Verb.SKIPPED, certificate_id, reason))
            else:
                doomed.append(certificate_id)
        return doomed + self._orphans(chain, is_known=bool(doomed)), kept

    def _orphans(self, chain: Chain, *, is_known: bool) -> list[str]:
        """Ids of certificates that a cut-off run left unattached. ``is_known``: the thing's own one was found."""
        try:
            orphans = certificates.find_orphans(
                self.iot,
                self.files,
                thing_name=self.settings.thing_name,
                attached=self._principals,
                policy_targets=() if is_known else self._policy_targets(),
                existing_arn=self.settings.existing_certificate_arn,
            )
        except CertificateError as error:
            chain.remains.append(f"{error} Without it, a certificate that hangs on no thing cannot be found.")
            return []
        return [orphan.id for orphan in orphans]

    def _reason_to_keep(self, principal: things.Principal) -> str:
        if principal.arn == self.settings.existing_certificate_arn:
            return "named by existing_certificate_arn, stays"
        if not self.may_delete_thing:
            return "hangs on a thing that this tool did not make, stays"
        if principal.is_exclusive:
            return ""
        others = other_things(self.iot, principal.arn, self.settings.thing_name)
        return f"hangs on {', '.join(others)} too, stays" if others else ""

    @property
    def may_delete_thing(self) -> bool:
        """Whether the thing, where it is there, is one that this teardown deletes."""
        return self.thing is None or self.is_forced or self.thing.is_ours

    @property
    def may_delete_policy(self) -> bool:
        """Whether the policy is there and one that this teardown deletes."""
        tags = self.policy_tags
        return tags is not None and (self.is_forced or ownership.is_ours(tags, self.settings.thing_name))

    @property
    def _principals(self) -> tuple[things.Principal, ...]:
        return self.thing.principals if self.thing else ()

    def _policy_targets(self) -> list[str]:
        if not self.may_delete_policy:
            return []
        return list(policies.list_policy_targets(self.iot, self.settings.policy_name))

    def spared_by_policy(self, kept: list[str]) -> list[str]:
        """Those of the certificates that stay from which the policy is taken: no other thing needs it on them."""
        return [arn for arn in kept if self.may_delete_policy and self._may_detach_policy(arn)]

    def _may_detach_policy(self, certificate_arn: str) -> bool:
        if self.is_forced or not other_things(self.iot, certificate_arn, self.settings.thing_name):
            return True
        # Two things with one certificate may each have a policy of their own on it; each tool run attached its own.
        is_existing = certificate_arn == self.settings.existing_certificate_arn
        return is_existing and len(list(policies.list_attached_policies(self.iot, certificate_arn))) > 1

    def policy_needed(self, targets: Sequence[str]) -> InTheWay:
        """Why the policy stays that is attached to these targets."""
        name = self.settings.policy_name
        certificate_arns = [arn for arn in targets if ":cert/" in arn]
        thing_names = sorted(
            {one for arn in certificate_arns for one in other_things(self.iot, arn, self.settings.thing_name)}
        )
        generic = policies.still_attached(self.iot, name, targets)
        if not thing_names:
            return generic
        spoken = ", ".join(thing_names)
        return InTheWay(
            f"The policy {name} stays, for it is attached to a certificate of the thing {spoken}, which could not "
            f"connect without it. {self._way_out(thing_names, str(generic.remedy))}",
            brief=f"the certificate of the thing {spoken} still needs it, stays",
        )

    def _way_out(self, thing_names: Sequence[str], detach: str) -> str:
        found = [things.find_thing(self.iot, one) for one in thing_names]
        if all(thing is None or thing.is_ours for thing in found):
            return f"Once nobody wants that any more: {then_again(thing_names)}."
        return f"Where its device has other rights, detach it: `{detach}`, then run the same command again."

    def _delete_policy(self) -> Outcome[None]:
        name = self.settings.policy_name
        try:
            return policies.delete_policy(self.iot, name, force=self.is_forced)
        except InTheWay as refusal:
            targets = list(policies.list_policy_targets(self.iot, name))
            still = [one for one in targets if policies.target_exists(self.iot, one)]
            raise (self.policy_needed(still) if still else refusal) from None

    def _take_policy(self, chain: Chain, spared: list[str]) -> None:
        name = self.settings.policy_name
        if self.policy_tags is None:
            chain.outcomes.append(Outcome("policy", Verb.ABSENT, name))
        elif not self.may_delete_policy:
            chain.outcomes.append(
                Outcome("policy", Verb.SKIPPED, name, not_ours(self.policy_tags, self.settings.thing_name))
            )
        else:
            for arn in spared:
                policies.detach_policy(self.iot, name, arn)
            chain.delete("policy", name, self._delete_policy)

    def _delete_thing(self, thing: things.Thing | None) -> Outcome[None]:
        name = self.settings.thing_name
        if not self.may_delete_thing:
            return Outcome("thing", Verb.SKIPPED, name, not_ours(thing.attributes if thing else {}, name))
        return things.delete_thing(self.iot, name, thing)
