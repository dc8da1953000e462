"""The documents of the role, the policies attached to it, and whether they grant what an OTA update needs.

Part of the noun in ``roles``. Documents are returned decoded. A managed policy is read at its default version, which is
the one in force.

Source: IAM ListRolePolicies, ListAttachedRolePolicies, GetRolePolicy, GetPolicyVersion, ListInstanceProfilesForRole;
DeleteRole (what must be gone first).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ota.aws_calls import answer_or_none, pages
from ota.errors import InTheWay
from ota.messages import Shell, Text, aws_command, command, joined, message
from ota.policy_documents import POLICY_VERSION, Need, granting_document, missing_needs, needs_of, statements, trusts
from ota.threads import side_by_side

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

OTA_SERVICE = "iot.amazonaws.com"
INLINE_POLICY = "ota-tasks"

Document = Mapping[str, Any]


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
        text: in full, with the statement to add and the command that adds it.
        command: that command; None where adding a statement does not help.
    """

    brief: str
    text: Text
    command: Shell | None = None


def role_arn(partition: str, account_id: str, name: str) -> str:
    """The ARN of a role by this name, also before it is made."""
    return f"arn:{partition}:iam::{account_id}:role/{name}"


def role_trust_document(account_id: str, region: str, partition: str) -> dict[str, Any]:
    """Who may assume the role: AWS IoT, acting for this account in this region."""
    return {
        "Version": POLICY_VERSION,
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": OTA_SERVICE},
                "Action": "sts:AssumeRole",
                "Condition": {
                    "StringEquals": {"aws:SourceAccount": account_id},
                    "ArnLike": {"aws:SourceArn": f"arn:{partition}:iot:{region}:{account_id}:*"},
                },
            }
        ],
    }


def role_permissions_document(
    partition: str, region: str, account_id: str, bucket: str, role_arn: str
) -> dict[str, Any]:
    """What the role may do: read images of one bucket, make and delete the update's stream and job, pass itself."""
    iot = f"arn:{partition}:iot:{region}:{account_id}"
    job, stream = f"{iot}:job/AFR_OTA*", f"{iot}:stream/AFR_OTA*"  # the prefix is the service's own
    return {
        "Version": POLICY_VERSION,
        "Statement": [
            _allow(["s3:GetObject", "s3:GetObjectVersion"], [f"arn:{partition}:s3:::{bucket}/*"]),
            _allow(
                ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketVersions"], [f"arn:{partition}:s3:::{bucket}"]
            ),
            _allow(["iot:CreateStream", "iot:DeleteStream"], [stream]),
            _allow(["iot:DeleteJob", "iot:DescribeJob"], [job]),
            # CreateJob is asked for the job and for each of its targets.
            _allow(["iot:CreateJob"], [job, f"{iot}:thing/*", f"{iot}:thinggroup/*"]),
            _allow(["iam:GetRole", "iam:PassRole"], [role_arn]),
        ],
    }


def registration_permissions_document(
    place: str, account_id: str, *, input_arn: str, policy_name: str, group_name: str
) -> dict[str, Any]:
    """What the role of the registration service may do: read its one input, and what the template declares.

    The actions are those of AWS's managed policy AWSIoTThingsRegistration that such a template needs. A certificate's
    id is not known before it is made. UNVERIFIED: which of the reading actions, and which of the two names of
    attaching a policy, the service asks for.

    Args:
        place: the beginning of IoT's ARNs, ``arn:aws:iot:eu-west-1``.
        account_id: twelve digits.
        input_arn: the object with the devices.
        policy_name: the IoT policy that each certificate gets.
        group_name: the thing group that each thing gets into; empty for none.
    """
    iot = f"{place}:{account_id}"
    thing, certificate, group = f"{iot}:thing/*", f"{iot}:cert/*", f"{iot}:thinggroup/{group_name}"
    joining = [
        _allow(["iot:AddThingToThingGroup"], [group, thing]),
        _allow(["iot:DescribeThingGroup"], [group]),
    ]
    return {
        "Version": POLICY_VERSION,
        "Statement": [
            _allow(["s3:GetObject"], [input_arn]),
            _allow(["iot:CreateThing", "iot:DescribeThing", "iot:UpdateThing", "iot:ListThingGroupsForThing"], [thing]),
            _allow(["iot:CreateCertificateFromCsr"], ["*"]),  # AWS cannot narrow it
            _allow(
                [
                    "iot:DescribeCertificate",
                    "iot:AttachThingPrincipal",
                    "iot:AttachPolicy",
                    "iot:AttachPrincipalPolicy",
                ],
                [certificate],
            ),
            _allow(["iot:GetPolicy"], [f"{iot}:policy/{policy_name}"]),
            *(joining if group_name else []),
        ],
    }


def put_permissions(iam: IAMClient, role_name: str, permissions: Document) -> None:
    """Write our one inline policy."""
    iam.put_role_policy(RoleName=role_name, PolicyName=INLINE_POLICY, PolicyDocument=json.dumps(permissions))


def find_inline_document(iam: IAMClient, role_name: str, policy_name: str = INLINE_POLICY) -> dict[str, Any] | None:
    """An inline policy's document, decoded; None where there is no such policy."""
    answer = answer_or_none(iam.get_role_policy, RoleName=role_name, PolicyName=policy_name)
    return decoded(answer["PolicyDocument"]) if answer else None


def delete_inline(iam: IAMClient, role_name: str) -> bool:
    """Delete our one inline policy; whether there was one."""
    answer = answer_or_none(iam.delete_role_policy, RoleName=role_name, PolicyName=INLINE_POLICY)
    return answer is not None


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
    """Which policies the role has; none where there is no such role."""
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


def trust_shortcomings(
    iam: IAMClient, role_name: str, trust: Document, wanted: Document, service: str
) -> list[Shortcoming]:
    """What keeps ``service`` from assuming the role, with the remedy; empty where nothing does. Calls nothing.

    Args:
        iam: for the command to paste.
        role_name: for the command to paste.
        trust: the role's own trust document.
        wanted: the trust document of our own role; its condition says what the service will send.
        service: the service principal.
    """
    statement = statements(wanted)[0]
    context = {key: value for tests in statement["Condition"].values() for key, value in tests.items()}
    if trusts(trust, service, context):
        return []
    document = {"Version": POLICY_VERSION, "Statement": [*statements(trust), statement]}
    add = aws_command(iam, "update-assume-role-policy", role_name=role_name, policy_document=json.dumps(document))
    what = f"It does not trust {service}. Add to its trust policy:"
    return [_shortcoming(f"does not trust {service}", what, statement, add)]


def permission_shortcomings(
    iam: IAMClient,
    role_name: str,
    boundary_arn: str | None,
    wanted: Document,
    granted: Sequence[Document],
    bounds: Sequence[Document] | None,
) -> list[Shortcoming]:
    """What the role or its boundary does not allow of ``wanted``, with the remedy; empty where all is allowed.

    Args:
        iam: for the command to paste. Nothing is called.
        role_name: for the command to paste.
        boundary_arn: for the text.
        wanted: a policy document with all that the role must be allowed.
        granted: every policy document of the role.
        bounds: the documents of its boundary; None where it has none.
    """
    needs = needs_of(wanted)
    lacking = missing_needs(needs, granted)
    bounded = missing_needs(needs, bounds) if bounds is not None else ()
    problems = []
    if lacking:
        document = granting_document(lacking)
        name, text = f"{INLINE_POLICY}-additions", json.dumps(document)
        add = aws_command(iam, "put-role-policy", role_name=role_name, policy_name=name, policy_document=text)
        is_denied = missing_needs(lacking, [*granted, document])  # an Allow does not help against a Deny
        what = "It lacks permissions. Add to it:"
        problems.append(_shortcoming(f"lacks {_actions(lacking)}", what, document, None if is_denied else add))
    if bounded:
        missing = json.dumps(granting_document(bounded), indent=2)
        problems.append(
            Shortcoming(
                f"its boundary does not allow {_actions(bounded)}",
                f"Its boundary {boundary_arn} does not allow all of that. Have added to it:\n{missing}",
            )
        )
    return problems


def policy_documents(iam: IAMClient, role_name: str, attached: Attached) -> list[dict[str, Any]]:
    """Every policy document of the role, decoded: inline ones, and attached ones at their default version."""
    looks: list[Callable[[], dict[str, Any] | None]] = [
        *(partial(find_inline_document, iam, role_name, one) for one in attached.inline_names),
        *(partial(managed_document, iam, arn) for arn in attached.policy_arns),
    ]
    return [document for document in side_by_side(*looks) if document is not None]


def managed_document(iam: IAMClient, arn: str) -> dict[str, Any]:
    """A managed policy's document at its default version, decoded."""
    version_id = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    return decoded(iam.get_policy_version(PolicyArn=arn, VersionId=version_id)["PolicyVersion"]["Document"])


def decoded(document: Any) -> dict[str, Any]:
    """A policy document as a mapping. IAM sends text; botocore decodes it where it knows the field."""
    return dict(json.loads(document)) if isinstance(document, str) else dict(document)


def _allow(actions: list[str], resources: list[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources}


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


def _shortcoming(brief: str, what: str, shown: Document, add: Shell | None) -> Shortcoming:
    lines: list[Text] = [what, json.dumps(shown, indent=2)]
    return Shortcoming(brief, joined("\n", [*lines, message(add)] if add else lines), add)


def _actions(needs: Sequence[Need]) -> str:
    return ", ".join(sorted({need.action for need in needs}))


def _inline_names(iam: IAMClient, role_name: str) -> list[str]:
    return list(pages(iam, "list_role_policies", "PolicyNames", RoleName=role_name))


def _attached_arns(iam: IAMClient, role_name: str) -> list[str]:
    found = pages(iam, "list_attached_role_policies", "AttachedPolicies", RoleName=role_name)
    return [one["PolicyArn"] for one in found]


def _profile_names(iam: IAMClient, role_name: str) -> list[str]:
    found = pages(iam, "list_instance_profiles_for_role", "InstanceProfiles", RoleName=role_name)
    return [one["InstanceProfileName"] for one in found]
