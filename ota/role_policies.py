"""What hangs on a role: its policies, and whether they come to what an OTA update needs.

Roles.py makes and deletes roles; this module reads and removes what is attached to them. Documents come back from
IAM decoded; a managed policy is read at its default version, which is the one that counts.

Source: IAM ListRolePolicies, ListAttachedRolePolicies, GetRolePolicy, GetPolicyVersion, ListInstanceProfilesForRole;
DeleteRole (what must be gone first).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ota.command_lines import aws_command
from ota.errors import InTheWay
from ota.messages import command
from ota.policy_documents import POLICY_VERSION, Need, granting_document, missing_needs, needs_of, statements, trusts
from ota.threads import side_by_side

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

INLINE_POLICY = "ota-tasks"

Document = Mapping[str, Any]


def put_permissions(iam: IAMClient, role_name: str, permissions: Document) -> None:
    """Write our one inline policy."""
    iam.put_role_policy(RoleName=role_name, PolicyName=INLINE_POLICY, PolicyDocument=json.dumps(permissions))


def find_inline_document(iam: IAMClient, role_name: str, policy_name: str = INLINE_POLICY) -> dict[str, Any] | None:
    """An inline policy's document, decoded; None where there is no such policy."""
    try:
        answer = iam.get_role_policy(RoleName=role_name, PolicyName=policy_name)
    except iam.exceptions.NoSuchEntityException:
        return None
    return decoded(answer["PolicyDocument"])


def delete_inline(iam: IAMClient, role_name: str) -> bool:
    """Delete our one inline policy; whether there was one."""
    try:
        iam.delete_role_policy(RoleName=role_name, PolicyName=INLINE_POLICY)
    except iam.exceptions.NoSuchEntityException:
        return False
    return True


def detach_all(iam: IAMClient, role_name: str, *, force: bool) -> None:
    """Detach everything from the role, so that IAM can delete it.

    Raises:
        InTheWay: something is attached, and ``force`` is not given; the message names all of it.
    """
    attached, inline, profiles = _find_attached(iam, role_name)
    if not force:
        raise holds_foreign(role_name, _named(attached, inline, profiles))
    for arn in attached:
        iam.detach_role_policy(RoleName=role_name, PolicyArn=arn)
    for policy_name in inline:
        iam.delete_role_policy(RoleName=role_name, PolicyName=policy_name)
    for profile in profiles:
        iam.remove_role_from_instance_profile(InstanceProfileName=profile, RoleName=role_name)


def find_attached(iam: IAMClient, role_name: str) -> Attached:
    """What policies the role has; none where there is no such role. For ``policy_documents``, to look ahead."""
    try:
        names, arns = side_by_side(partial(_inline_names, iam, role_name), partial(_attached_arns, iam, role_name))
    except iam.exceptions.NoSuchEntityException:
        return Attached()
    return Attached(tuple(names), tuple(arns))


def holds_foreign(role_name: str, named: Sequence[str]) -> InTheWay:
    """Why a role with these policies and profiles cannot be deleted."""
    force = command("clean", "--force")
    return InTheWay(
        f"The role {role_name} cannot be deleted, because others attached to it: {', '.join(named)}. Detach that, or "
        "delete the role with all of it: ",
        force,
        ".",
        remedy=force,
    )


def list_foreign(iam: IAMClient, role_name: str) -> list[str]:
    """What is attached to the role and not by this tool, in words; nothing where there is no such role."""
    try:
        attached, inline, profiles = _find_attached(iam, role_name)
    except iam.exceptions.NoSuchEntityException:
        return []
    return _named(attached, [one for one in inline if one != INLINE_POLICY], profiles)


@dataclass(frozen=True)
class Attached:
    """Names of a role's inline policies and ARNs of its managed ones."""

    inline_names: tuple[str, ...] = ()
    policy_arns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shortcoming:
    """What a role lacks.

    Attributes:
        brief: in a few words.
        text: in words, with the statement to add.
        command: what adds it; empty where nothing that is added would help.
    """

    brief: str
    text: str
    command: str = ""


def trust_shortcomings(
    iam: IAMClient, role_name: str, trust: Document, wanted: Document, service: str
) -> list[Shortcoming]:
    """What keeps ``service`` from assuming the role, with the cure; empty where nothing does. Calls nothing.

    Args:
        iam: for the command to paste.
        role_name: for the command too.
        trust: the role's own trust document.
        wanted: the trust document that we would give it; its condition says what the service will send.
        service: the service principal.
    """
    statement = statements(wanted)[0]
    context = {key: value for tests in statement["Condition"].values() for key, value in tests.items()}
    if trusts(trust, service, context):
        return []
    document = {"Version": POLICY_VERSION, "Statement": [*statements(trust), statement]}
    command = aws_command(iam, "update-assume-role-policy", role_name=role_name, policy_document=json.dumps(document))
    what = f"It does not trust {service}. Add to its trust policy:"
    return [_shortcoming(f"does not trust {service}", what, statement, command)]


def permission_shortcomings(
    iam: IAMClient, role_name: str, boundary_arn: str | None, wanted: Document, attached: Attached | None = None
) -> list[Shortcoming]:
    """What the role, or its boundary, does not allow of ``wanted``, with the cure; empty where all is allowed."""
    needs = needs_of(wanted)
    granted, bounds = side_by_side(
        partial(policy_documents, iam, role_name, attached),
        lambda: [managed_document(iam, boundary_arn)] if boundary_arn else None,
    )
    lacking = missing_needs(needs, granted)
    bounded = missing_needs(needs, bounds) if bounds is not None else ()
    problems = []
    if lacking:
        document = granting_document(lacking)
        command = aws_command(
            iam,
            "put-role-policy",
            role_name=role_name,
            policy_name=f"{INLINE_POLICY}-additions",
            policy_document=json.dumps(document),
        )
        is_denied = missing_needs(lacking, [*granted, document])  # no Allow helps against a Deny
        brief = f"lacks {_actions(lacking)}"
        what = "It lacks permissions. Add to it:"
        problems.append(_shortcoming(brief, what, document, "" if is_denied else command))
    if bounded:
        missing = json.dumps(granting_document(bounded), indent=2)
        problems.append(
            Shortcoming(
                f"its boundary does not allow {_actions(bounded)}",
                f"Its boundary {boundary_arn} does not allow all of that. Have added to it:\n{missing}",
            )
        )
    return problems


def policy_documents(iam: IAMClient, role_name: str, attached: Attached | None = None) -> list[dict[str, Any]]:
    """Every policy document of the role, decoded: inline ones, and attached ones at their default version."""
    attached = attached or find_attached(iam, role_name)
    looks: list[Callable[[], dict[str, Any] | None]] = [
        *(partial(find_inline_document, iam, role_name, one) for one in attached.inline_names),
        *(partial(managed_document, iam, arn) for arn in attached.policy_arns),
    ]
    documents = side_by_side(*looks) if looks else ()
    return [document for document in documents if document is not None]


def managed_document(iam: IAMClient, arn: str) -> dict[str, Any]:
    """A managed policy's document at its default version, decoded."""
    version_id = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    return decoded(iam.get_policy_version(PolicyArn=arn, VersionId=version_id)["PolicyVersion"]["Document"])


def decoded(document: Any) -> dict[str, Any]:
    """A policy document as a mapping. IAM sends text; botocore decodes it where it knows the field."""
    return dict(json.loads(document)) if isinstance(document, str) else dict(document)


def _find_attached(iam: IAMClient, role_name: str) -> tuple[list[str], list[str], list[str]]:
    """ARNs of managed policies, names of inline policies and of instance profiles."""
    attached, inline, profiles = side_by_side(
        partial(_attached_arns, iam, role_name),
        partial(_inline_names, iam, role_name),
        partial(_profile_names, iam, role_name),
    )
    return attached, inline, profiles


def _named(attached: list[str], inline: list[str], profiles: list[str]) -> list[str]:
    return [*attached, *(f"inline policy {one}" for one in inline), *(f"instance profile {one}" for one in profiles)]


def _shortcoming(brief: str, what: str, shown: Document, command: str) -> Shortcoming:
    return Shortcoming(brief, "\n".join(filter(None, [what, json.dumps(shown, indent=2), command])), command)


def _actions(needs: Sequence[Need]) -> str:
    return ", ".join(sorted({need.action for need in needs}))


def _inline_names(iam: IAMClient, role_name: str) -> list[str]:
    pages = iam.get_paginator("list_role_policies").paginate(RoleName=role_name)
    return [one for page in pages for one in page["PolicyNames"]]


def _attached_arns(iam: IAMClient, role_name: str) -> list[str]:
    pages = iam.get_paginator("list_attached_role_policies").paginate(RoleName=role_name)
    return [one["PolicyArn"] for page in pages for one in page["AttachedPolicies"]]


def _profile_names(iam: IAMClient, role_name: str) -> list[str]:
    pages = iam.get_paginator("list_instance_profiles_for_role").paginate(RoleName=role_name)
    return [one["InstanceProfileName"] for page in pages for one in page["InstanceProfiles"]]
