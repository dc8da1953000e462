"""The IAM policy of whoever runs the tool, a person or a CI job: every call it makes, and none that it does not.

AWS's own page for this grants ``iot:*`` and all of S3 on every resource. Here each action stands for a call, on the
objects that bear this thing's names. Only listings, the endpoint, and the request for a certificate know no resource
to narrow them to. A certificate's id is not known beforehand, so that statement is for all certificates.

Whoever may make a role and write its permissions can give that role any power, and its trust as well. ``boundary_arn``
ends this: with it the policy lets no role be made or changed that is not bounded by it.

GetCallerIdentity is missing because AWS asks no permission for it, and so are CreateStream and CreateJob, which the OTA
service does with the update's role.

Source: Service Authorization Reference for AWS IoT, S3 and IAM (actions, resource types); S3 CreateBucket
(s3:TagResource for a bucket made with tags); FreeRTOS User Guide, "Create an OTA user policy"; IAM User Guide,
"Permissions boundaries" (delegating responsibility); IAM quotas (6,144 characters without whitespace).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ota.errors import permission_for
from ota.fields import FIELD_BY_NAME
from ota.formatter import format_text
from ota.grants import POLICY_VERSION
from ota.update_requests import job_id_of

OTA_SERVICE = "iot.amazonaws.com"
NEEDS_NO_PERMISSION = frozenset({("sts", "GetCallerIdentity")})
# What AWS asks for besides the action of the call's own name. For listing principals AWS's API pages name the action
# without V2 and its authorization reference names the one with it; both are granted, since either may be asked for.
ALSO_NEEDED = {
    ("iot", "CreatePolicy"): ("iot:TagResource",),
    ("iot", "CreateOTAUpdate"): ("iot:TagResource", "iam:PassRole"),
    ("iot", "ListThingPrincipalsV2"): ("iot:ListThingPrincipalsV2",),
    ("iot", "ListPrincipalThingsV2"): ("iot:ListPrincipalThingsV2",),
    ("s3", "CreateBucket"): ("s3:TagResource",),
    ("iam", "CreateRole"): ("iam:TagRole",),
}
LISTINGS = (
    "iot:ListThings",
    "iot:ListPolicies",
    "iot:ListCertificates",
    "iot:ListOTAUpdates",
    "iot:ListJobs",
    "iam:ListRoles",
    "iam:ListPolicies",
    "iam:GetAccountSummary",
    "s3:ListAllMyBuckets",
)
BOUNDED = ("CreateRole", "PutRolePolicy", "UpdateAssumeRolePolicy", "PutRolePermissionsBoundary")
WILDCARDS = "*?"


def permissions_of(service: str, operation: str) -> tuple[str, ...]:
    """The IAM actions that one call needs: ``("s3", "CreateBucket")`` gives s3:CreateBucket and s3:TagResource."""
    if (service, operation) in NEEDS_NO_PERMISSION:
        return ()
    return permission_for(service, operation), *ALSO_NEEDED.get((service, operation), ())


def names_for(thing_name: str, account_id: str, *, role_prefix: str = "") -> dict[str, str]:
    """Setting to the default name that it gets for this thing; ``thing_name`` may be a pattern such as ``lamp-*``.

    The default names of a very long thing name are cut and match no pattern: give that name itself.
    """
    values = {"thing_name": thing_name, "account_id": account_id, "role_prefix": role_prefix}
    settings = ("policy_name", "bucket_name", "iam_role_name", "update_name")
    return {setting: _default_name(setting, values) for setting in settings}


def operator_policy_document(
    partition: str,
    region: str,
    account_id: str,
    *,
    thing_name: str = "*",
    role_prefix: str = "",
    boundary_arn: str | None = None,
    names: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """All that the tool's tasks need, for the objects of the things by this name.

    Args:
        partition: ``aws``, ``aws-cn`` or ``aws-us-gov``.
        region: for example ``eu-west-1``.
        account_id: twelve digits.
        thing_name: a thing's name, or a pattern of names with ``*`` and ``?``.
        role_prefix: the setting of that name.
        boundary_arn: the boundary that every role must have which the operator makes or changes.
        names: ``policy_name``, ``bucket_name``, ``iam_role_name``, ``update_name``, where settings do not leave them to
            their defaults; patterns too.

    Returns:
        the policy document as a dict, each statement's purpose in its Sid.
    """
    all_names = {**names_for(thing_name, account_id, role_prefix=role_prefix), **(names or {})}
    iot, iam = f"arn:{partition}:iot:{region}:{account_id}", f"arn:{partition}:iam::{account_id}"
    bucket, role = f"arn:{partition}:s3:::{all_names['bucket_name']}", f"{iam}:role/{all_names['iam_role_name']}"
    policy, update = f"{iot}:policy/{all_names['policy_name']}", f"{iot}:otaupdate/{all_names['update_name']}"
    job, thing = f"{iot}:job/{job_id_of(all_names['update_name'])}", f"{iot}:thing/{thing_name}"
    statements = [
        _unscoped(),
        _thing(thing),
        _certificates(f"{iot}:cert/*"),
        _policy(policy),
        _update(update),
        _allow("Tags", ["iot:TagResource"], policy, update),
        _job(job),
        _allow("Execution", ["iot:DescribeJobExecution"], job, thing),
        _bucket(bucket),
        _images(f"{bucket}/*"),
        *_role(role, boundary_arn),
        _allow("PassRole", ["iam:PassRole"], role, condition={"StringEquals": {"iam:PassedToService": OTA_SERVICE}}),
        # Read only, and only where the role, or what is attached to it, is not of this tool's making.
        _allow(
            "ReadRole", ["iam:GetPolicy", "iam:GetPolicyVersion"], f"{iam}:policy/*", f"{_aws_managed(partition)}/*"
        ),
        _allow("FreeRole", ["iam:RemoveRoleFromInstanceProfile"], f"{iam}:instance-profile/*"),
        # Asked about the operator's own identity, whoever that is.
        _allow("Simulate", ["iam:SimulatePrincipalPolicy"], f"{iam}:user/*", f"{iam}:role/*"),
    ]
    return {"Version": POLICY_VERSION, "Statement": statements}


def actions_of(document: Mapping[str, Any]) -> list[str]:
    """Every action of the document, in its order."""
    return [action for statement in document["Statement"] for action in statement["Action"]]


def _unscoped() -> dict[str, Any]:
    """What AWS knows no resource for."""
    calls = ("DescribeEndpoint", "CreateCertificateFromCsr", "ListAttachedPolicies")
    return _allow("Everywhere", [*_iot(*calls), *LISTINGS], "*")


def _thing(arn: str) -> dict[str, Any]:
    calls = ("CreateThing", "DescribeThing", "DeleteThing", "ListJobExecutionsForThing")
    return _allow("Thing", _iot(*calls, "ListThingPrincipals", "ListThingPrincipalsV2"), arn)


def _certificates(arn: str) -> dict[str, Any]:
    """AWS checks attaching, to a thing or of a policy, on the certificate."""
    calls = ("DescribeCertificate", "UpdateCertificate", "DeleteCertificate")
    attaching = ("AttachThingPrincipal", "DetachThingPrincipal", "AttachPolicy", "DetachPolicy")
    looking = ("ListPrincipalThings", "ListPrincipalThingsV2")
    return _allow("Certificate", _iot(*calls, *attaching, *looking), arn)


def _policy(arn: str) -> dict[str, Any]:
    calls = ("CreatePolicy", "GetPolicy", "DeletePolicy", "ListTargetsForPolicy", "ListTagsForResource")
    versions = ("CreatePolicyVersion", "ListPolicyVersions", "DeletePolicyVersion")
    return _allow("Policy", _iot(*calls, *versions), arn)


def _update(arn: str) -> dict[str, Any]:
    return _allow("Update", _iot("CreateOTAUpdate", "GetOTAUpdate", "DeleteOTAUpdate"), arn)


def _job(arn: str) -> dict[str, Any]:
    return _allow("Job", _iot("DescribeJob", "DeleteJob", "ListJobExecutionsForJob"), arn)


def _bucket(arn: str) -> dict[str, Any]:
    calls = ("CreateBucket", "TagResource", "DeleteBucket")
    looking = ("ListBucket", "ListBucketVersions", "ListBucketMultipartUploads")
    properties = ("GetBucketVersioning", "PutBucketVersioning", "GetBucketTagging", "PutBucketTagging")
    closing = ("GetBucketPublicAccessBlock", "PutBucketPublicAccessBlock", "GetBucketPolicy", "PutBucketPolicy")
    names = (*calls, *looking, *properties, *closing)
    return _allow("Bucket", [f"s3:{name}" for name in names], arn)


def _images(arn: str) -> dict[str, Any]:
    names = ("PutObject", "GetObject", "DeleteObjectVersion", "AbortMultipartUpload")
    return _allow("Image", [f"s3:{name}" for name in names], arn)


def _role(arn: str, boundary_arn: str | None) -> list[dict[str, Any]]:
    calls = ("GetRole", "TagRole", "DeleteRole")
    policies = ("GetRolePolicy", "DeleteRolePolicy", "DetachRolePolicy")
    looking = ("ListRolePolicies", "ListAttachedRolePolicies", "ListInstanceProfilesForRole")
    actions = [f"iam:{name}" for name in (*calls, *policies, *looking)]
    powers = [f"iam:{name}" for name in BOUNDED]
    if boundary_arn is None:
        return [_allow("Role", [*powers, *actions], arn)]
    bounded = {"StringEquals": {"iam:PermissionsBoundary": boundary_arn}}
    return [_allow("Role", actions, arn), _allow("BoundedRole", powers, arn, condition=bounded)]


def _allow(sid: str, actions: list[str], *arns: str, condition: dict[str, Any] | None = None) -> dict[str, Any]:
    statement: dict[str, Any] = {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": list(arns)}
    return {**statement, "Condition": condition} if condition else statement


def _iot(*names: str) -> list[str]:
    return [f"iot:{name}" for name in names]


def _aws_managed(partition: str) -> str:
    return f"arn:{partition}:iam::aws:policy"


def _default_name(setting: str, values: Mapping[str, str]) -> str:
    """The name that the tool would give; a pattern's wildcards stay, which no name may hold."""
    field = FIELD_BY_NAME[setting]
    name = format_text(field.default, values, setting=setting)
    is_pattern = any(wildcard in values["thing_name"] for wildcard in WILDCARDS)
    return name.replace(":", "-").lstrip("-") if is_pattern else field.tidy(name)
