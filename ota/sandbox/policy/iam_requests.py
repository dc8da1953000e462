"""Says what IAM is asked about one call of the API: the actions, the ARNs that they work on, and the condition keys.

An operation may need several permissions, for example CreateOTAUpdate with tags: ``iot:CreateOTAUpdate``,
``iot:TagResource`` and ``iam:PassRole``. What the parameters name is the object; where AWS knows no resource for an
action, or the sandbox finds none in the parameters, the action is checked on ``*``.

For listing principals AWS's API pages name the action without V2 and its authorization reference names the one with it;
both are needed here. GetCallerIdentity needs no permission, and who may assume a role is said by the role's trust
policy, so calls of STS are not checked.

Source: Service Authorization Reference for AWS IoT, AWS IoT jobs data, S3 and IAM (actions, resource types, condition
keys); S3 API reference, "Permissions" of each operation; IAM User Guide, "Permissions boundaries": for a role that
exists ``iam:PermissionsBoundary`` is its own boundary, for one that is made and for PutRolePermissionsBoundary the one
in the request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from moto.iam.models import iam_backends
from moto.utilities.utils import get_partition

from .evaluation import Request

ANYTHING = "*"
_THING, _JOB, _GROUP = "{iot}:thing/{thingName}", "{iot}:job/{jobId}", "{iot}:thinggroup/{thingGroupName}"
# The first of these that the parameters fill in is the object. An attachment is checked on what is attached to.
_OBJECTS: Mapping[str, tuple[str, ...]] = {
    "iot": (
        "{resourceArn}",
        "{target}",
        "{principal}",
        "{iot}:otaupdate/{otaUpdateId}",
        _JOB,
        _GROUP,
        _THING,
        "{iot}:policy/{policyName}",
        "{iot}:cert/{certificateId}",
        "{iot}:stream/{streamId}",
    ),
    "iot-jobs-data": (_THING,),
    "iam": (
        "{PolicySourceArn}",
        "{iam}:instance-profile/{InstanceProfileName}",
        "{iam}:role/{RoleName}",
        "{iam}:user/{UserName}",
        "{iam}:group/{GroupName}",
        "{PolicyArn}",
        "{iam}:policy/{PolicyName}",
    ),
    "s3": ("{s3}:::{Bucket}/{Key}", "{s3}:::{Bucket}"),
}
_SEVERAL_OBJECTS = {
    **dict.fromkeys(("DescribeJobExecution", "CancelJobExecution", "DeleteJobExecution"), (_JOB, _THING)),
    **dict.fromkeys(("AddThingToThingGroup", "RemoveThingFromThingGroup"), (_GROUP, _THING)),
}
# Their parameters name an object, but AWS knows no resource for them.
_WITHOUT_OBJECT = frozenset({"GetEffectivePolicies", "ListAttachedPolicies", "ListJobs"})
_PREFIXES = {"iot-jobs-data": "iotjobsdata"}
# Operations whose actions have other names.
_ACTIONS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("iot", "ListThingPrincipalsV2"): ("ListThingPrincipals", "ListThingPrincipalsV2"),
    ("iot", "ListPrincipalThingsV2"): ("ListPrincipalThings", "ListPrincipalThingsV2"),
    ("s3", "HeadBucket"): ("ListBucket",),
    ("s3", "ListObjects"): ("ListBucket",),
    ("s3", "ListObjectsV2"): ("ListBucket",),
    ("s3", "ListObjectVersions"): ("ListBucketVersions",),
    ("s3", "ListBuckets"): ("ListAllMyBuckets",),
    ("s3", "ListMultipartUploads"): ("ListBucketMultipartUploads",),
    ("s3", "ListParts"): ("ListMultipartUploadParts",),
    ("s3", "HeadObject"): ("GetObject",),
    ("s3", "DeleteObjects"): ("DeleteObject",),
    ("s3", "CreateMultipartUpload"): ("PutObject",),
    ("s3", "UploadPart"): ("PutObject",),
    ("s3", "CompleteMultipartUpload"): ("PutObject",),
    ("s3", "PutPublicAccessBlock"): ("PutBucketPublicAccessBlock",),
    ("s3", "GetPublicAccessBlock"): ("GetBucketPublicAccessBlock",),
    ("s3", "DeletePublicAccessBlock"): ("PutBucketPublicAccessBlock",),
    ("s3", "DeleteBucketTagging"): ("PutBucketTagging",),
    ("s3", "PutBucketEncryption"): ("PutEncryptionConfiguration",),
    ("s3", "GetBucketEncryption"): ("GetEncryptionConfiguration",),
}
_OF_A_VERSION = {"s3:GetObject": "s3:GetObjectVersion", "s3:DeleteObject": "s3:DeleteObjectVersion"}
_TAG_ACTIONS = {"iot": "iot:TagResource", "s3": "s3:TagResource", "iam": "iam:TagRole"}
_CHECKED_ON_BOUNDARY = frozenset(
    f"iam:{name}"
    for name in (
        *("CreateRole", "PutRolePermissionsBoundary", "DeleteRolePermissionsBoundary", "UpdateAssumeRolePolicy"),
        *("PutRolePolicy", "DeleteRolePolicy", "AttachRolePolicy", "DetachRolePolicy"),
    )
)
_WITH_BOUNDARY_IN_REQUEST = frozenset({"iam:CreateRole", "iam:PutRolePermissionsBoundary"})


@dataclass(frozen=True)
class Operation:
    """One call of the API.

    Attributes:
        service: botocore's name of the service.
        name: AWS's name of the operation.
        params: the parameters by the names of the service's model.
        account_id: of the caller, who owns what the parameters name.
        region: that the call is signed for.
    """

    service: str
    name: str
    params: Mapping[str, Any]
    account_id: str
    region: str


def requests_of(operation: Operation) -> tuple[Request, ...]:
    """The requests that IAM has to allow, all of them; none for a call of STS."""
    return () if operation.service == "sts" else tuple(_requests(operation))


def _requests(operation: Operation) -> Iterator[Request]:
    prefix = _PREFIXES.get(operation.service, operation.service)
    names = _ACTIONS.get((operation.service, operation.name), (operation.name,))
    for params in _each_object(operation.params):
        values = {**params, **_arn_prefixes(operation)}
        arns = _arns(operation, values)
        for action in (f"{prefix}:{name}" for name in names):
            of_version = _OF_A_VERSION.get(action, action) if params.get("VersionId") else action
            context = _context(operation, of_version, values)
            yield from (Request(of_version, arn, context) for arn in arns)
        if _has_tags(operation):
            yield Request(_TAG_ACTIONS[operation.service], arns[0])
        if role_arn := _passed_role(operation):
            yield Request("iam:PassRole", role_arn, {"iam:PassedToService": "iot.amazonaws.com"})


def _each_object(params: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The parameters for each object of DeleteObjects; of any other operation as they are."""
    many = params.get("Delete")
    yield from ({**params, **one} for one in many["Objects"]) if many else (params,)


def _arn_prefixes(operation: Operation) -> dict[str, str]:
    partition = get_partition(operation.region)
    return {
        "iot": f"arn:{partition}:iot:{operation.region}:{operation.account_id}",
        "iam": f"arn:{partition}:iam::{operation.account_id}",
        "s3": f"arn:{partition}:s3",
    }


def _arns(operation: Operation, values: Mapping[str, Any]) -> list[str]:
    if operation.name in _SEVERAL_OBJECTS and operation.service == "iot":
        return [_filled(template, values) or ANYTHING for template in _SEVERAL_OBJECTS[operation.name]]
    if operation.name in _WITHOUT_OBJECT:
        return [ANYTHING]
    found = (_filled(template, values) for template in _OBJECTS.get(operation.service, ()))
    return [next(filter(None, found), ANYTHING)]


def _filled(template: str, values: Mapping[str, Any]) -> str:
    """The ARN; empty where the parameters do not name such an object."""
    try:
        return template.format_map(values)
    except KeyError:
        return ""


def _has_tags(operation: Operation) -> bool:
    params = operation.params
    given = params.get("tags") or params.get("Tags") or (params.get("CreateBucketConfiguration") or {}).get("Tags")
    return bool(given) and operation.name.startswith("Create") and operation.service in _TAG_ACTIONS


def _passed_role(operation: Operation) -> str:
    """The role that the call hands to AWS IoT."""
    is_passing = operation.service == "iot" and operation.name.startswith(("Create", "Start", "Update"))
    return str(operation.params.get("roleArn") or "") if is_passing else ""


def _context(operation: Operation, action: str, values: Mapping[str, Any]) -> dict[str, str]:
    """The condition keys that AWS sends with this action; see :class:`Identity` for those of the caller."""
    if action in ("iot:AttachThingPrincipal", "iot:DetachThingPrincipal"):
        return {"iot:thingArn": _filled(_THING, values)}
    if action in _CHECKED_ON_BOUNDARY:
        boundary = _boundary(operation, in_request=action in _WITH_BOUNDARY_IN_REQUEST)
        return {"iam:PermissionsBoundary": boundary} if boundary else {}
    return {}


def _boundary(operation: Operation, *, in_request: bool) -> str:
    if in_request:
        return str(operation.params.get("PermissionsBoundary") or "")
    roles = iam_backends[operation.account_id]["aws"].roles.values()
    found = (role.permissions_boundary_arn for role in roles if role.name == operation.params.get("RoleName"))
    return str(next(found, None) or "")
