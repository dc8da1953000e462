"""Which IAM actions the tool's tasks need, and on what: the table behind ``invoke permissions``.

Each action stands once, with the uses that need it. A task has one use or several; those that only look share one.

GetCallerIdentity is missing because AWS asks no permission for it, and so are CreateStream and CreateJob, which the OTA
service does with the update's role.

Source: Service Authorization Reference for AWS IoT, S3 and IAM (actions, resource types); S3 CreateBucket
(s3:TagResource for a bucket made with tags); FreeRTOS User Guide, "Create an OTA user policy".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ota.errors import permission_for

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

_SET_UP = ("thing", "policy", "bucket", "role", "update")
USES_OF_TASK: Mapping[str, tuple[str, ...]] = {
    "thing": ("thing",),
    "policy": ("thing", "policy"),
    "bucket": ("bucket",),
    "role": ("role",),
    "build": ("thing",),
    "update": _SET_UP,
    "all": _SET_UP,
    "clean": ("clean",),
    "plan": ("look",),
    "status": ("look",),
    "watch": ("look",),
    "doctor": ("look",),
    "device": ("look",),
    "list": ("list",),
    "delete": ("delete",),
}


@dataclass(frozen=True)
class Grant:
    """One statement of the policy.

    Attributes:
        sid: what it is about.
        resources: keys of the objects' ARNs; see ``operator_policy``.
        actions: action to the uses that need it, separated by spaces.
        condition: which condition it stands under; see ``operator_policy``.
    """

    sid: str
    resources: tuple[str, ...]
    actions: Mapping[str, str]
    condition: str = ""

    def actions_for(self, uses: Collection[str]) -> list[str]:
        """The actions that these uses need."""
        return [action for action, needing in self.actions.items() if not set(needing.split()).isdisjoint(uses)]


GRANTS = (
    # AWS knows no resource to narrow these to: calls that only read, and what makes an object without a name.
    Grant(
        "Everywhere",
        ("any",),
        {
            "iot:DescribeEndpoint": "thing look",
            "iot:CreateCertificateFromCsr": "thing",
            "iot:GetEffectivePolicies": "policy look",
            "iot:ListAttachedPolicies": "policy look clean list delete",
            "iot:ListThings": "list delete",
            "iot:ListPolicies": "list delete",
            "iot:ListCertificates": "thing look clean list delete",
            "iot:ListOTAUpdates": "look clean list delete",
            "iot:ListJobs": "list delete",
            "iam:ListRoles": "list delete",
            "iam:ListPolicies": "look",
            "iam:GetAccountSummary": "look",
            "s3:ListAllMyBuckets": "look list delete",
        },
    ),
    Grant(
        "Thing",
        ("thing",),
        {
            "iot:CreateThing": "thing",
            "iot:DescribeThing": "thing look clean list delete",
            "iot:DeleteThing": "clean delete",
            "iot:ListJobExecutionsForThing": "look clean delete",
            "iot:ListThingPrincipals": "thing look clean list delete",
            "iot:ListThingPrincipalsV2": "thing look clean list delete",
        },
    ),
    Grant(
        "Certificate",
        ("certificate",),
        {
            "iot:DescribeCertificate": "thing look clean list delete",
            "iot:UpdateCertificate": "clean delete",
            "iot:DeleteCertificate": "clean delete",
            "iot:AttachPolicy": "policy",
            "iot:DetachPolicy": "clean delete",
            "iot:ListPrincipalThings": "thing look clean list delete",
            "iot:ListPrincipalThingsV2": "thing look clean list delete",
        },
    ),
    Grant(
        "CertificateOfThing",
        ("certificate",),
        {"iot:AttachThingPrincipal": "thing", "iot:DetachThingPrincipal": "clean delete"},
        condition="thing",
    ),
    Grant(
        "Policy",
        ("policy",),
        {
            "iot:CreatePolicy": "policy",
            "iot:GetPolicy": "policy look clean list delete",
            "iot:DeletePolicy": "clean delete",
            "iot:ListTargetsForPolicy": "look clean list delete",
            "iot:ListTagsForResource": "policy look clean list delete",
            "iot:CreatePolicyVersion": "policy",
            "iot:ListPolicyVersions": "policy clean delete",
            "iot:DeletePolicyVersion": "policy clean delete",
        },
    ),
    Grant(
        "Update",
        ("update",),
        {
            "iot:CreateOTAUpdate": "update",
            "iot:GetOTAUpdate": "update look clean list delete",
            "iot:DeleteOTAUpdate": "update clean delete",
        },
    ),
    Grant("Tags", ("policy", "update"), {"iot:TagResource": "policy update"}),
    Grant(
        "Job",
        ("job",),
        {
            "iot:DescribeJob": "update look clean list delete",
            "iot:DeleteJob": "update clean delete",
            "iot:ListJobExecutionsForJob": "update look clean delete",
        },
    ),
    Grant("Execution", ("job", "thing"), {"iot:DescribeJobExecution": "update look clean"}),
    Grant(
        "Bucket",
        ("bucket",),
        {
            "s3:CreateBucket": "bucket",
            "s3:TagResource": "bucket",
            "s3:DeleteBucket": "clean delete",
            "s3:ListBucket": "bucket update look clean list delete",
            "s3:ListBucketVersions": "look clean delete",
            "s3:ListBucketMultipartUploads": "look clean delete",
            "s3:GetBucketVersioning": "bucket look clean list",
            "s3:PutBucketVersioning": "bucket",
            "s3:GetBucketTagging": "bucket look clean list delete",
            "s3:PutBucketTagging": "bucket",
            "s3:GetBucketPublicAccessBlock": "bucket look",
            "s3:PutBucketPublicAccessBlock": "bucket",
            "s3:GetBucketPolicy": "bucket look",
            "s3:PutBucketPolicy": "bucket",
        },
    ),
    Grant(
        "Image",
        ("image",),
        {
            "s3:PutObject": "update",
            "s3:GetObject": "update look clean",
            "s3:DeleteObjectVersion": "update clean delete",
            "s3:AbortMultipartUpload": "update clean delete",
        },
    ),
    Grant(
        "Role",
        ("role",),
        {
            "iam:GetRole": "role look clean list delete",
            "iam:TagRole": "role",
            "iam:DeleteRole": "clean delete",
            "iam:GetRolePolicy": "role look clean",
            "iam:ListRolePolicies": "role look clean delete",
            "iam:ListAttachedRolePolicies": "role look clean delete",
            "iam:ListInstanceProfilesForRole": "look clean delete",
        },
    ),
    # What gives a role its power, or takes some of it: a policy that is deleted may be one that denies.
    Grant(
        "BoundedRole",
        ("role",),
        {
            "iam:CreateRole": "role",
            "iam:PutRolePolicy": "role",
            "iam:UpdateAssumeRolePolicy": "role",
            "iam:PutRolePermissionsBoundary": "role",
            "iam:DeleteRolePolicy": "clean delete",
            "iam:DetachRolePolicy": "clean delete",
        },
        condition="boundary",
    ),
    Grant("PassRole", ("role",), {"iam:PassRole": "update"}, condition="service"),
    # Read only: the boundary, and what is attached to a role that this tool did not make.
    Grant("ReadPolicies", ("iam_policies",), {"iam:GetPolicy": "role look", "iam:GetPolicyVersion": "role look"}),
    # Of a user, that user alone. Of a role's session there is no such ARN, so `doctor` leaves that look out.
    Grant("OwnPermissions", ("own_user",), {"iam:SimulatePrincipalPolicy": "look"}),
)


@dataclass(frozen=True)
class Extra:
    """What only ``--also`` grants, because AWS offers nothing that would bound it.

    Attributes:
        name: as ``--also`` takes it.
        for_: when it is needed.
        reach: what its holder can do with it.
        grant: the statement.
        replaces: the Sid of the statement that it stands for.
    """

    name: str
    for_: str
    reach: str
    grant: Grant
    replaces: str = ""


_BOUNDED = next(grant for grant in GRANTS if grant.sid == "BoundedRole")
EXTRAS = (
    Extra(
        "instance-profiles",
        "`clean --force` and `delete.role --force` on a role that is in an instance profile",
        "takes the role out of any instance profile of the account, so that its instances lose their permissions",
        Grant("AnyInstanceProfile", ("instance_profiles",), {"iam:RemoveRoleFromInstanceProfile": "clean delete"}),
    ),
    Extra(
        "unbounded-roles",
        "`role` where permissions_boundary is not set",
        "makes a role with any power and assumes it: as good as an administrator",
        Grant("UnboundedRole", ("role",), _BOUNDED.actions),
        replaces="BoundedRole",
    ),
    Extra(
        "any-identity",
        "the check of iam:PassRole by `doctor`, for an operator who is a role",
        "reads what any user or role of the account may do",
        Grant("AnyIdentity", ("identities",), {"iam:SimulatePrincipalPolicy": "look"}),
        replaces="OwnPermissions",
    ),
)
EXTRA_BY_NAME = {extra.name: extra for extra in EXTRAS}


def permissions_of(service: str, operation: str) -> tuple[str, ...]:
    """The IAM actions that one call needs: ``("s3", "CreateBucket")`` gives s3:CreateBucket and s3:TagResource."""
    if (service, operation) in NEEDS_NO_PERMISSION:
        return ()
    return permission_for(service, operation), *ALSO_NEEDED.get((service, operation), ())


def uses_of(tasks: Collection[str]) -> set[str]:
    """The uses of these tasks; of all tasks where none is named."""
    return {use for task in tasks or USES_OF_TASK for use in USES_OF_TASK[task]}
