"""Deletes what identifies the device: the certificates of its thing first, then the IoT policy and the thing.

A certificate is ours when it is attached to our thing and to nothing else. A certificate that a cut-off run left
unattached is found by its key, or by the policy that is still attached to it.

Source: AWS IoT DetachThingPrincipal, DeleteCertificate, DeletePolicy, DeleteThing: each refuses while the one before
is attached.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ota import desired_state, policies, things
from ota.certificates import certificates
from ota.certificates.certificates import other_things
from ota.certificates.decisions import decide_certificate_deletion
from ota.errors import CertificateError, InTheWay
from ota.messages import Text
from ota.outcomes import Action, Change, Outcome, Verb, blocked
from ota.threads import side_by_side, side_by_side_map

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

    from ota.settings.settings import Settings

IN_FIELD = "of a device in the field (existing_device), stays"
VERBS = {Action.KEEP: Verb.SKIPPED, Action.BLOCKED: Verb.SKIPPED, Action.ABSENT: Verb.ABSENT}


@dataclass
class Chain:
    """Deletions that follow one another: a line for each, and why something of ours stays.

    What somebody else made stays and is no failure. What is ours and cannot be deleted is a failure, but does not stop
    the other deletions.
    """

    outcomes: list[Outcome[Any]] = field(default_factory=list)
    remains: list[Text] = field(default_factory=list)

    def take(
        self, change: Change, delete: Callable[[], Outcome[None]], decide_again: Callable[[], Change] | None = None
    ) -> None:
        """Carry out one change.

        ``decide_again`` decides with a closer look what to say where AWS refused the deletion.
        """
        if change.action is Action.DELETE:
            try:
                self.outcomes.append(delete())
            except InTheWay as refusal:
                again = decide_again() if decide_again else change
                change = again if again.problem else blocked(change.noun, change.name, refusal)
            else:
                return
        detail = "in use, stays" if change.problem and change.brief == change.detail else change.brief or change.detail
        self.outcomes.append(Outcome(change.noun, VERBS[change.action], change.name, detail))
        if change.problem:
            self.remains.append(change.detail)

    def extend(self, *others: Chain) -> None:
        """Append other chains, one after the other."""
        for other in others:
            self.outcomes += other.outcomes
            self.remains += other.remains


@dataclass(frozen=True)
class ThingCertificate:
    """A certificate of the thing.

    Attributes:
        arn: its ARN.
        is_attached: whether it is attached to the thing; else a cut-off run left it.
        others: the other things that it is attached to.
        policy_count: how many policies are attached to it; 0 where that does not matter.
    """

    arn: str
    is_attached: bool = True
    others: tuple[str, ...] = ()
    policy_count: int = 0


@dataclass(frozen=True)
class Identity:
    """What was found of one device's identity; decides and deletes.

    Attributes:
        iot: the client.
        settings: the names of the objects.
        owner: the thing that everything must be made for; None forces the deletion.
        thing: from ``things.find_thing``.
        policy_tags: the tags of the policy; None where there is no policy, or it is not to be deleted.
        found: the certificates.
        problem: why a certificate that a cut-off run left cannot be looked for.
        use: what else needs the policy; None where nobody has looked.
    """

    iot: IoTClient
    settings: Settings
    owner: str | None
    thing: things.Thing | None
    policy_tags: Mapping[str, str] | None
    found: tuple[ThingCertificate, ...] = ()
    problem: CertificateError | None = None
    use: policies.PolicyUse | None = None

    def look(self) -> Identity:
        """The same with the certificates; no call where the thing has just the one that this tool attached.

        Of a device in the field nothing is deleted, so nothing is looked for.
        """
        if self.settings.existing_device:
            return self
        attached = [one for one in self._principals if ":cert/" in one.arn]
        known = replace(self, found=tuple(side_by_side_map(self._look_at, attached)))
        try:
            orphans = certificates.find_orphans(
                self.iot,
                desired_state.certificate_files(self.settings),
                thing_name=self.settings.thing_name,
                attached=self._principals,
                policy_targets=() if known.going else self._policy_targets(),
                existing_arn=self.settings.existing_certificate_arn,
            )
        except CertificateError as error:
            return replace(known, problem=error)
        unattached = [ThingCertificate(one.arn, is_attached=False) for one in orphans]
        return replace(known, found=(*known.found, *unattached))

    def look_at_policy(self) -> Identity:
        """The same with what else the policy is attached to.

        ``clean`` does this only after AWS refused to delete the policy, because the look takes a call more.
        """
        if not self._may_delete_policy or self.owner is None:
            return self
        handled = {*self.going, *self.losing_policy}
        targets = [arn for arn in self._policy_targets() if arn not in handled]
        users = dict(zip(targets, side_by_side_map(self._things_with, targets), strict=True))
        needing = {arn: names for arn, names in users.items() if names is not None}
        thing_names = sorted({name for names in needing.values() for name in names})
        found = side_by_side_map(partial(things.find_thing, self.iot), thing_names)
        is_ours = all(thing is None or thing.is_ours for thing in found)
        return replace(self, use=policies.PolicyUse(tuple(needing), tuple(thing_names), is_ours))

    def decide(self) -> list[Change]:
        """What becomes of certificates, policy and thing, in the order in which they are deleted."""
        settings = self.settings
        changes = self._decide_certificates()
        if self.problem:
            unfound = ". Without it, a certificate that is attached to no thing cannot be found."
            changes.append(blocked("certificate", "unattached", CertificateError(self.problem.message, unfound)))
        if not self.found and not self.settings.existing_device:
            changes.append(Change("certificate", Action.ABSENT, f"of {settings.thing_name}"))
        return [*changes, self._decide_policy(), self._decide_thing()]

    def delete(self, chain: Chain) -> None:
        """Carry out what :meth:`decide` says."""
        iot, thing, name = self.iot, self.thing, self.settings.thing_name
        *of_certificates, of_policy, of_thing = self.decide()
        # Inactive before detached: after a cut in between, this tool still knows an inactive one as its own.
        side_by_side(*(partial(certificates.deactivate_certificate, iot, arn.rpartition("/")[2]) for arn in self.going))
        if thing is not None and of_thing.action is Action.DELETE:
            thing = things.detach_principals(iot, thing)
        for change in of_certificates:
            chain.take(change, partial(certificates.delete_certificate, iot, change.name, detached_from=name))
        policy, registered = Chain(), Chain()
        side_by_side(
            partial(self._take_policy, policy, of_policy),
            partial(registered.take, of_thing, partial(things.delete_thing, iot, name, thing)),
        )
        chain.extend(policy, registered)

    @property
    def going(self) -> list[str]:
        """ARNs of the certificates that are deleted."""
        return [change.found for change in self._decide_certificates() if change.action is Action.DELETE]

    @property
    def losing_policy(self) -> list[str]:
        """ARNs of the certificates that stay and lose the policy, because no other thing needs it on them."""
        staying = [one for one in self.found if one.arn not in self.going]
        return [one.arn for one in staying if self._may_delete_policy and self._may_detach_policy(one)]

    @property
    def _principals(self) -> tuple[things.Principal, ...]:
        return self.thing.principals if self.thing else ()

    @property
    def _may_delete_policy(self) -> bool:
        return self._decide_policy().action in {Action.DELETE, Action.BLOCKED}

    def _look_at(self, principal: things.Principal) -> ThingCertificate:
        arn = principal.arn
        if principal.is_exclusive:
            return ThingCertificate(arn)
        others = tuple(other_things(self.iot, arn, self.settings.thing_name))
        is_existing = arn == self.settings.existing_certificate_arn
        attached = list(policies.list_attached_policies(self.iot, arn)) if is_existing and others else []
        return ThingCertificate(arn, others=others, policy_count=len(attached))

    def _policy_targets(self) -> list[str]:
        if not self._may_delete_policy:
            return []
        return list(policies.list_policy_targets(self.iot, self.settings.policy_name))

    def _things_with(self, target: str) -> list[str] | None:
        """The other things that a target of the policy is attached to; None where the target is gone."""
        if not policies.target_exists(self.iot, target):
            return None
        return other_things(self.iot, target, self.settings.thing_name) if ":cert/" in target else []

    def _decide_certificates(self) -> list[Change]:
        is_thing_ours = self._decide_thing().action is not Action.KEEP
        return [
            decide_certificate_deletion(
                one.arn,
                self.settings.thing_name,
                is_thing_ours=is_thing_ours or not one.is_attached,
                others=one.others,
                existing_arn=self.settings.existing_certificate_arn,
            )
            for one in self.found
        ]

    def _decide_policy(self) -> Change:
        name = self.settings.policy_name
        if self.settings.existing_device:
            return Change(policies.NOUN, Action.KEEP, name, IN_FIELD)
        return policies.decide_policy_deletion(self.iot, self.policy_tags, name, self.owner, self.use)

    def _decide_thing(self) -> Change:
        if self.settings.existing_device:
            return Change(things.NOUN, Action.KEEP, self.settings.thing_name, IN_FIELD)
        return things.decide_thing_deletion(self.thing, self.settings.thing_name, self.owner)

    def _may_detach_policy(self, certificate: ThingCertificate) -> bool:
        if self.owner is None or not certificate.others:
            return True
        # Two things with one certificate may each have a policy of their own on it; each run attached its own.
        return certificate.policy_count > 1

    def _take_policy(self, chain: Chain, change: Change) -> None:
        name = self.settings.policy_name
        if change.action is Action.DELETE:
            for arn in self.losing_policy:
                policies.detach_policy(self.iot, name, arn)
        delete = partial(policies.delete_policy, self.iot, name, force=self.owner is None)
        chain.take(change, delete, lambda: self.look_at_policy()._decide_policy())
