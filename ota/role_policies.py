"""What hangs on a role: its policies, and whether they come to what an OTA update needs.

Roles.py makes and deletes roles; this module reads and removes what is attached to them. Documents come back from
IAM decoded; a managed policy is read at its default version, which is the one that counts.

Source: IAM ListRolePolicies, ListAttachedRolePolicies, GetRolePolicy, GetPolicyVersion, ListInstanceProfilesForRole;
DeleteRole (what must be gone first).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ota.cloud import side_by_side
from ota.errors import InTheWay
from ota.grants import POLICY_VERSION, Need, granting_document, missing_needs, needs_of, statements, trusts

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


def delete_inline(iam: IAMClient, role_name: str) -> None:
    """Delete our one inline policy; absent is fine."""
    try:
        iam.delete_role_policy(RoleName=role_name, PolicyName=INLINE_POLICY)
    except iam.exceptions.NoSuchEntityException:
        return


def detach_all(iam: IAMClient, role_name: str, *, force: bool) -> None:
    """Take off everything that keeps the role from being deleted.

    Raises:
        InTheWay: there is something, and ``force`` is not given; names all of it.
    """
    attached, inline, profiles = side_by_side(
        partial(_attached_arns, iam, role_name),
        partial(_inline_names, iam, role_name),
        partial(_profile_names, iam, role_name),
    )
    if not force:
        also = [f"inline policy {one}" for one in inline] + [f"instance profile {one}" for one in profiles]
        raise InTheWay(
            f"The role {role_name} cannot be deleted: attached to it is what this tool did not attach: "
            f"{', '.join([*attached, *also])}. Detach that, or delete the role with all of it: `invoke clean --force`."
        )
    for arn in attached:
        iam.detach_role_policy(RoleName=role_name, PolicyArn=arn)
    for policy_name in inline:
        iam.delete_role_policy(RoleName=role_name, PolicyName=policy_name)
    for profile in profiles:
        iam.remove_role_from_instance_profile(InstanceProfileName=profile, RoleName=role_name)


def trust_shortcomings(role_name: str, trust: Document, wanted: Document, service: str) -> list[str]:
    """What keeps ``service`` from assuming the role, with the cure; empty where nothing does.

    Args:
        role_name: for the command to paste.
        trust: the role's own trust document.
        wanted: the trust document that we would give it; its condition says what the service will send.
        service: the service principal.
    """
    statement = statements(wanted)[0]
    context = {key: value for tests in statement["Condition"].values() for key, value in tests.items()}
    if trusts(trust, service, context):
        return []
    document = {"Version": POLICY_VERSION, "Statement": [*statements(trust), statement]}
    command = f"aws iam update-assume-role-policy --role-name {role_name} --policy-document"
    return [f"It does not trust {service}. Add to its trust policy:\n{_advice(statement, command, document)}"]


def permission_shortcomings(iam: IAMClient, role_name: str, boundary_arn: str | None, wanted: Document) -> list[str]:
    """What the role, or its boundary, does not allow of ``wanted``, with the cure; empty where all is allowed."""
    needs = needs_of(wanted)
    lacking = missing_needs(needs, policy_documents(iam, role_name))
    bounded = missing_needs(needs, [managed_document(iam, boundary_arn)]) if boundary_arn else ()
    problems = []
    if lacking:
        problems.append(f"It lacks permissions. Add to it:\n{_permissions_advice(role_name, lacking)}")
    if bounded:
        document = json.dumps(granting_document(bounded), indent=2)
        problems.append(f"Its boundary {boundary_arn} does not allow all of that. Have added to it:\n{document}")
    return problems


def policy_documents(iam: IAMClient, role_name: str) -> list[dict[str, Any]]:
    """Every policy document of the role, decoded: inline ones, and attached ones at their default version."""
    inline, attached = side_by_side(partial(_inline_names, iam, role_name), partial(_attached_arns, iam, role_name))
    looks: list[Callable[[], dict[str, Any] | None]] = [
        *(partial(find_inline_document, iam, role_name, one) for one in inline),
        *(partial(managed_document, iam, arn) for arn in attached),
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


def _permissions_advice(role_name: str, lacking: tuple[Need, ...]) -> str:
    document = granting_document(lacking)
    command = f"aws iam put-role-policy --role-name {role_name} --policy-name {INLINE_POLICY}-additions"
    return _advice(document, f"{command} --policy-document", document)


def _advice(shown: Document, command: str, document: Document) -> str:
    return f"{json.dumps(shown, indent=2)}\n{command} '{json.dumps(document)}'"


def _inline_names(iam: IAMClient, role_name: str) -> list[str]:
    pages = iam.get_paginator("list_role_policies").paginate(RoleName=role_name)
    return [one for page in pages for one in page["PolicyNames"]]


def _attached_arns(iam: IAMClient, role_name: str) -> list[str]:
    pages = iam.get_paginator("list_attached_role_policies").paginate(RoleName=role_name)
    return [one["PolicyArn"] for page in pages for one in page["AttachedPolicies"]]


def _profile_names(iam: IAMClient, role_name: str) -> list[str]:
    pages = iam.get_paginator("list_instance_profiles_for_role").paginate(RoleName=role_name)
    return [one["InstanceProfileName"] for page in pages for one in page["InstanceProfiles"]]
