"""The IoT policy: what the device's certificate allows it to do, and nothing more.

A policy by the wanted name with another document gets a new default version only where its tags say that this tool
made it for this thing; anything else may be in use by somebody. ``policy_documents`` has the document itself.

Source: AWS IoT CreatePolicyVersion (five versions), AttachPolicy (ten per principal), GetEffectivePolicies (every
policy of a principal with its document), DeletePolicy (up to five minutes after a detachment).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ota import ownership
from ota.aws_calls import pages, wait_until
from ota.errors import DENIED_CODES, InTheWay, NotOurs, WaitTimeout
from ota.messages import aws_command, command, message
from ota.outcomes import Action, Change, Outcome, Verb, blocked
from ota.policy_documents import difference, is_same_policy

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

NOUN = "policy"
PAGE_SIZE = 250
MOST_ATTACHED = 10
DELETE_TIMEOUT_S = 300.0
DELETE_POLL_S = 5.0
NEW_VERSION = "new default version"
ATTACHED = "attached to the certificate"


@dataclass(frozen=True)
class Policy:
    """An IoT policy; ``document`` is its default version's, parsed, and None when it comes from a listing."""

    name: str
    arn: str
    document: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class WantedPolicy:
    """What the policy has to be.

    Attributes:
        document: its default version.
        thing_name: the thing that its tags name.
    """

    document: Mapping[str, Any]
    thing_name: str


@dataclass(frozen=True)
class FoundPolicy:
    """The policy by the wanted name, as :func:`look_at_policy` found it.

    Attributes:
        policy: None where there is none.
        tags: its tags, looked for only where its document is not the wanted one.
        attached: names of the policies that the certificate has.
    """

    policy: Policy | None = None
    tags: Mapping[str, str] | None = None
    attached: Collection[str] = ()


@dataclass(frozen=True)
class PolicyUse:
    """What a policy is still attached to, besides what the teardown takes away.

    Attributes:
        targets: ARNs of what exists, mostly certificates.
        thing_names: the other things that these certificates are attached to.
        is_for_our_things: whether this tool made all of those things, so that ``clean`` can take them down.
    """

    targets: tuple[str, ...] = ()
    thing_names: tuple[str, ...] = ()
    is_for_our_things: bool = True


def policy_arn(partition: str, region: str, account_id: str, name: str) -> str:
    """The ARN that a policy of this name has, whether it exists or not."""
    return f"arn:{partition}:iot:{region}:{account_id}:policy/{name}"


def find_policy(iot: IoTClient, name: str) -> Policy | None:
    """The policy with the document of its default version, or None."""
    try:
        found = iot.get_policy(policyName=name)
    except iot.exceptions.ResourceNotFoundException:
        return None
    return Policy(name, found["policyArn"], json.loads(found["policyDocument"]))


def find_policy_tags(iot: IoTClient, arn: str) -> dict[str, str] | None:
    """The policy's tags; None where there is no such policy. For ``ownership.is_ours``."""
    try:
        return ownership.from_tags(pages(iot, "list_tags_for_resource", "tags", resourceArn=arn))
    except iot.exceptions.ResourceNotFoundException:
        return None


def find_effective_policies(iot: IoTClient, certificate_arn: str) -> dict[str, Policy]:
    """The policies attached to the certificate by name, with documents; none where there is no such certificate."""
    try:
        found = iot.get_effective_policies(principal=certificate_arn)["effectivePolicies"]
    except iot.exceptions.ResourceNotFoundException:
        return {}
    return {
        one["policyName"]: Policy(one["policyName"], one["policyArn"], json.loads(one["policyDocument"]))
        for one in found
    }


def look_at_policy(iot: IoTClient, name: str, wanted: WantedPolicy, certificate_arn: str | None) -> FoundPolicy:
    """The policy, and the policies of the certificate; ``certificate_arn`` is None for one that is new or not made.

    A repeat finds both in one call. Two looks follow only where they are needed, because a repeat has no budget for
    them: the policy by its name where the certificate does not have it, and its tags where its document is another.
    """
    attached = find_effective_policies(iot, certificate_arn) if certificate_arn else {}
    return _with_tags(iot, attached.get(name) or find_policy(iot, name), wanted, attached)


def decide_policy(
    iot: IoTClient, name: str, found: FoundPolicy, wanted: WantedPolicy, certificate_arn: str | None, *, attaches: bool
) -> Change:
    """What has to become of the policy.

    Args:
        iot: for the commands in messages; nothing is called.
        name: the policy's name.
        found: as :func:`look_at_policy` returns it.
        wanted: what it has to be.
        certificate_arn: of the certificate that it has to be attached to; None for one that is not made yet.
        attaches: False where no certificate can be used, so that nothing is attached.
    """
    policy = found.policy
    is_other = policy is not None and not is_same_policy(policy.document or {}, wanted.document)
    attaches = attaches and name not in found.attached
    if policy and is_other and not ownership.is_ours(found.tags or {}, wanted.thing_name):
        return _blocked(name, found, wanted, _not_ours(policy, wanted))
    if attaches and certificate_arn and len(found.attached) >= MOST_ATTACHED:
        return _blocked(name, found, wanted, _too_many_policies(iot, name, certificate_arn, found.attached))
    return Change(
        NOUN,
        Action.CREATE if policy is None else Action.CHANGE if is_other or attaches else Action.REUSE,
        name,
        ", ".join([*([f"other document: a {NEW_VERSION}"] if is_other else []), *([ATTACHED] if attaches else [])]),
        difference(policy.document or {}, wanted.document, name) if policy and is_other else "",
        found=found,
        wanted=wanted,
    )


def decide_field_policy(name: str, found: FoundPolicy, wanted: WantedPolicy) -> Change:
    """Whether the policies of a device in the field let it take an update; none of them is made or changed.

    With the wanted document the answer is certain. What other documents allow is for their owner to judge.
    """
    if not found.attached:
        problem = InTheWay(
            f"The certificate of the thing {wanted.thing_name} has no policy, so its device may not connect, and "
            "existing_device is true, so none is made. Set it to false to attach the policy: ",
            command("policy", existing_device="false"),
            ".",
            remedy=command("policy", existing_device="false"),
        )
        return _blocked(name, found, wanted, problem)
    names = ", ".join(sorted(found.attached))
    is_wanted = name in found.attached and found.policy is not None
    if is_wanted and found.policy and is_same_policy(found.policy.document or {}, wanted.document):
        return Change(NOUN, Action.REUSE, name, "of the device in the field", found=found, wanted=wanted)
    detail = "of the device in the field; not checked whether it allows jobs and streams"
    return Change(NOUN, Action.REUSE, names, detail, found=found, wanted=wanted)


def make_policy(iot: IoTClient, change: Change, certificate_arn: str | None) -> Outcome[Policy]:
    """Carry out the change: the policy has the wanted document, and is attached to the certificate, if any.

    Where somebody else makes the policy after the look, it is looked at and decided again.

    Raises:
        NotOurs: a policy by this name has another document and was not made by this tool for this thing.
        InTheWay: the certificate has as many policies as AWS allows.
    """
    change.check()
    found: FoundPolicy = change.found
    outcome = _update(iot, change) if found.policy else _create(iot, change)
    if certificate_arn is None or change.name in found.attached:
        return outcome
    _attach(iot, change.name, certificate_arn)
    verb = Verb.CHANGED if outcome.verb is Verb.REUSED else outcome.verb
    detail = ", ".join(filter(None, [str(outcome.detail), ATTACHED]))
    return replace(outcome, verb=verb, detail=detail)


def _too_many_policies(iot: IoTClient, name: str, certificate_arn: str, attached: Collection[str]) -> InTheWay:
    """Why the policy cannot be attached to a certificate that has as many as AWS allows."""
    names = ", ".join(sorted(attached))
    detach = aws_command(iot, "detach-policy", policy_name=min(attached), target=certificate_arn)
    return InTheWay(
        f"The policy {name} cannot be attached to the certificate {certificate_arn}: it has {len(attached)} "
        f"policies, as many as AWS allows ({names}). Detach one that the device does not need, for example with ",
        detach,
        ", and run the same command again.",
        remedy=detach,
        brief=f"the certificate has {len(attached)} policies, as many as AWS allows: {names}",
    )


def decide_policy_deletion(
    iot: IoTClient, tags: Mapping[str, str] | None, name: str, owner: str | None, use: PolicyUse | None = None
) -> Change:
    """Whether ``clean`` deletes the policy with these tags. Calls nothing.

    Args:
        iot: for the region in the command that detaches it.
        tags: the policy's; None where there is no such policy.
        name: its name.
        owner: the thing that it must be made for; None forces the deletion.
        use: what still needs it; None where nobody has looked, and AWS will refuse the deletion.
    """
    if tags is None:
        return Change(NOUN, Action.ABSENT, name)
    if owner is not None and not ownership.is_ours(tags, owner):
        return Change(NOUN, Action.KEEP, name, ownership.reason_to_keep(tags, owner), found=tags)
    if owner is not None and use is not None and use.targets:
        return blocked(NOUN, name, _still_needed(iot, name, use))
    return Change(NOUN, Action.DELETE, name, "with all its versions", found=tags)


def delete_policy(
    iot: IoTClient,
    name: str,
    *,
    force: bool = False,
    timeout_s: float = DELETE_TIMEOUT_S,
    poll_s: float = DELETE_POLL_S,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome[None]:
    """Delete the policy with all its versions; absent is success. ``force`` detaches it from everything first.

    AWS may notice a detachment only minutes later, so once the policy is attached to nothing the deletion is retried
    every ``poll_s`` for ``timeout_s``.

    Raises:
        InTheWay: it is attached to something that exists, and ``force`` is not given.
        WaitTimeout: it is attached to nothing, and AWS still refuses after ``timeout_s``.
    """
    try:
        if not _is_deleted(iot, name):
            _clear_the_way(iot, name, force=force)
            wait_until(
                lambda: _is_deleted(iot, name) or None,
                lambda: _still_refused(name, timeout_s),
                timeout_s=timeout_s,
                poll_s=poll_s,
                sleep=sleep,
            )
    except iot.exceptions.ResourceNotFoundException:
        return Outcome(NOUN, Verb.ABSENT, name)
    return Outcome(NOUN, Verb.DELETED, name)


def detach_policy(iot: IoTClient, name: str, certificate_arn: str) -> None:
    """Take the policy off the certificate; not attached is success."""
    try:
        iot.detach_policy(policyName=name, target=certificate_arn)
    except iot.exceptions.ResourceNotFoundException:
        return


def list_policies(iot: IoTClient) -> Iterator[Policy]:
    """Every policy of the account in this region, newest first, without documents."""
    for found in pages(iot, "list_policies", "policies", page_size=PAGE_SIZE, ascendingOrder=False):
        yield Policy(found["policyName"], found["policyArn"])


def list_policy_targets(iot: IoTClient, name: str) -> Iterator[str]:
    """ARNs of everything the policy is attached to, mostly certificates; nothing where there is no such policy."""
    try:
        yield from pages(iot, "list_targets_for_policy", "targets", page_size=PAGE_SIZE, policyName=name)
    except iot.exceptions.ResourceNotFoundException:
        return


def list_attached_policies(iot: IoTClient, certificate_arn: str) -> Iterator[str]:
    """Names of the policies that the certificate has; none where there is no such certificate."""
    try:
        yield from _list_attached(iot, certificate_arn)
    except iot.exceptions.ResourceNotFoundException:
        return


def _list_attached(iot: IoTClient, certificate_arn: str) -> Iterator[str]:
    for policy in pages(iot, "list_attached_policies", "policies", page_size=PAGE_SIZE, target=certificate_arn):
        yield policy["policyName"]


def _create_version(iot: IoTClient, name: str, document: str) -> None:
    try:
        iot.create_policy_version(policyName=name, policyDocument=document, setAsDefault=True)
    except iot.exceptions.VersionsLimitExceededException:
        _delete_version(iot, name, _list_old_versions(iot, name)[0])
        iot.create_policy_version(policyName=name, policyDocument=document, setAsDefault=True)


def _list_old_versions(iot: IoTClient, name: str) -> list[str]:
    """Version ids other than the default's, oldest first. AWS's ids are numbers that only grow."""
    versions = iot.list_policy_versions(policyName=name)["policyVersions"]
    return sorted((version["versionId"] for version in versions if not version["isDefaultVersion"]), key=int)


def _delete_version(iot: IoTClient, name: str, version_id: str) -> None:
    try:
        iot.delete_policy_version(policyName=name, policyVersionId=version_id)
    except iot.exceptions.ResourceNotFoundException:
        return


def _attach(iot: IoTClient, name: str, certificate_arn: str) -> None:
    try:
        iot.attach_policy(policyName=name, target=certificate_arn)
    except iot.exceptions.LimitExceededException as error:
        attached = sorted(_list_attached(iot, certificate_arn))
        if not attached:
            raise
        raise _too_many_policies(iot, name, certificate_arn, attached) from error


def _is_deleted(iot: IoTClient, name: str) -> bool:
    try:
        iot.delete_policy(policyName=name)
    except iot.exceptions.DeleteConflictException:
        return False
    return True


def _clear_the_way(iot: IoTClient, name: str, *, force: bool) -> None:
    """Remove the reasons for which AWS refuses the deletion; what is left after that is AWS's own delay."""
    targets = [target for target in list_policy_targets(iot, name) if target_exists(iot, target)]
    if targets and not force:
        raise _still_needed(iot, name, PolicyUse(tuple(targets)))
    for version_id in _list_old_versions(iot, name):
        _delete_version(iot, name, version_id)
    for target in targets:
        detach_policy(iot, name, target)


def target_exists(iot: IoTClient, target: str) -> bool:
    """Whether a policy's target is still there: AWS may list a certificate for a while after its deletion."""
    _, is_certificate, certificate_id = target.partition(":cert/")
    if not is_certificate:
        return True
    try:
        iot.describe_certificate(certificateId=certificate_id)
    except iot.exceptions.ResourceNotFoundException:
        return False
    return True


def _still_needed(iot: IoTClient, name: str, use: PolicyUse) -> InTheWay:
    detach = aws_command(iot, "detach-policy", policy_name=name, target=use.targets[0])
    if not use.thing_names:
        return InTheWay(
            f"The policy {name} is still attached to {', '.join(use.targets)}: deleting it would take their rights. "
            "Detach it first (",
            detach,
            ").",
            remedy=detach,
        )
    things = ", ".join(use.thing_names)
    by_hand = message("If its device has other rights, detach it: ", detach, ", then run this command again.")
    return InTheWay(
        f"The policy {name} stays: it is attached to a certificate of the thing {things}, which could not connect "
        "without it. ",
        ownership.once_unused(use.thing_names) if use.is_for_our_things else by_hand,
        brief=f"the certificate of the thing {things} still needs it, stays",
    )


def _still_refused(name: str, timeout_s: float) -> WaitTimeout:
    return WaitTimeout(
        f"AWS still counts the policy {name} as attached, {timeout_s:g} s after it was detached from everything. "
        "Run the same command again in a few minutes."
    )


def _with_tags(
    iot: IoTClient, policy: Policy | None, wanted: WantedPolicy, attached: Collection[str] = ()
) -> FoundPolicy:
    if policy is None or is_same_policy(policy.document or {}, wanted.document):
        return FoundPolicy(policy, attached=tuple(attached))
    return FoundPolicy(policy, find_policy_tags(iot, policy.arn), tuple(attached))


def _create(iot: IoTClient, change: Change) -> Outcome[Policy]:
    from botocore.exceptions import ClientError

    name, wanted = change.name, change.wanted
    try:
        created = iot.create_policy(
            policyName=name,
            policyDocument=json.dumps(wanted.document, separators=(",", ":")),
            tags=ownership.mark_tags(wanted.thing_name),  # type: ignore[arg-type]
        )
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"ResourceAlreadyExistsException", *DENIED_CODES}:
            raise
        # Also where AWS denies it: a policy that exists serves an operator who may make none.
        policy = find_policy(iot, name)
        if policy is None:
            raise
        return _update(iot, decide_policy(iot, name, _with_tags(iot, policy, wanted), wanted, None, attaches=True))
    return Outcome(NOUN, Verb.CREATED, name, value=Policy(name, created["policyArn"], wanted.document))


def _update(iot: IoTClient, change: Change) -> Outcome[Policy]:
    """Give the policy the wanted document, where it has another."""
    change.check()
    policy, document = change.found.policy, change.wanted.document
    if is_same_policy(policy.document, document):
        return Outcome(NOUN, Verb.REUSED, policy.name, value=policy)
    _create_version(iot, policy.name, json.dumps(document, separators=(",", ":")))
    return Outcome(NOUN, Verb.CHANGED, policy.name, detail=NEW_VERSION, value=replace(policy, document=document))


def _blocked(name: str, found: FoundPolicy, wanted: WantedPolicy, problem: NotOurs | InTheWay) -> Change:
    return replace(blocked(NOUN, name, problem), found=found, wanted=wanted)


def _not_ours(policy: Policy, wanted: WantedPolicy) -> NotOurs:
    return NotOurs(
        f"The policy {policy.name} exists with another document, and its tags do not say that this tool made it for "
        f"the thing {wanted.thing_name}, so it is left as it is. Set another policy_name in config.json, or delete "
        "that policy if nothing needs it, and run the same command again. The difference:\n"
        + difference(policy.document or {}, wanted.document, policy.name),
        brief="it exists with another document, and was not made by this tool for this thing",
        remedy=command("all", policy_name=f"{policy.name}-ota"),
    )
