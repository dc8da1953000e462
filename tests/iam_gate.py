"""IAM in front of the sandbox: each call of a command line in this process is granted by a policy, or refused.

The sandbox lets its caller do everything. Here every call is turned into what AWS asks IAM (actions, the object's ARN,
condition keys) and decided by the sandbox's own evaluation, before it is sent.

Source: Service Authorization Reference (resource types and condition keys of each action); IAM User Guide, "Permissions
boundaries": for a role that exists ``iam:PermissionsBoundary`` is its own boundary, for one that is made and for
PutRolePermissionsBoundary the one in the request.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from ota.cloud import Cloud
from ota.look.operator_policy import permissions_of
from ota.sandbox.moto.iam import CALLER_NAME
from ota.sandbox.policy import evaluation
from tests import account
from tests.conftest import ACCOUNT, REGION

IOT, IAM = f"arn:aws:iot:{REGION}:{ACCOUNT}:", f"arn:aws:iam::{ACCOUNT}:"
THING, CERTIFICATE, POLICY = f"{IOT}thing/{{thingName}}", f"{IOT}cert/{{certificateId}}", f"{IOT}policy/{{policyName}}"
UPDATE, JOB = f"{IOT}otaupdate/{{otaUpdateId}}", f"{IOT}job/{{jobId}}"
BUCKET, OBJECT, ROLE = "arn:aws:s3:::{Bucket}", "arn:aws:s3:::{Bucket}/{Key}", f"{IAM}role/{{RoleName}}"
LOOKS = ("Get", "List", "Describe")
OWN_RESOURCES = {
    f"thing/{account.THING}", f"policy/{account.POLICY}", f"otaupdate/{account.UPDATE}", f"job/{account.JOB}",
    f"role/{account.ROLE}", account.BUCKET,
}  # fmt: skip
# What each action is checked on; "*" where AWS knows no resource for it.
RESOURCES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            "iot:DescribeEndpoint", "iot:CreateCertificateFromCsr", "iot:GetEffectivePolicies",
            "iot:ListAttachedPolicies", "iot:ListThings", "iot:ListPolicies", "iot:ListCertificates",
            "iot:ListOTAUpdates", "iot:ListJobs", "iam:ListRoles", "iam:ListPolicies", "iam:GetAccountSummary",
            "s3:ListAllMyBuckets",
        ),
        ("*",),
    ),
    **dict.fromkeys(
        (
            "iot:CreateThing", "iot:DescribeThing", "iot:DeleteThing", "iot:ListJobExecutionsForThing",
            "iot:ListThingPrincipals", "iot:ListThingPrincipalsV2",
        ),
        (THING,),
    ),
    **dict.fromkeys(("iot:DescribeCertificate", "iot:UpdateCertificate", "iot:DeleteCertificate"), (CERTIFICATE,)),
    **dict.fromkeys(
        (
            "iot:AttachThingPrincipal", "iot:DetachThingPrincipal", "iot:ListPrincipalThings",
            "iot:ListPrincipalThingsV2",
        ),
        ("{principal}",),
    ),
    **dict.fromkeys(("iot:AttachPolicy", "iot:DetachPolicy"), ("{target}",)),
    **dict.fromkeys(
        (
            "iot:CreatePolicy", "iot:GetPolicy", "iot:DeletePolicy", "iot:ListTargetsForPolicy",
            "iot:CreatePolicyVersion", "iot:ListPolicyVersions", "iot:DeletePolicyVersion",
        ),
        (POLICY,),
    ),
    "iot:ListTagsForResource": ("{resourceArn}",),
    **dict.fromkeys(("iot:CreateOTAUpdate", "iot:GetOTAUpdate", "iot:DeleteOTAUpdate"), (UPDATE,)),
    "iot:TagResource": (POLICY, UPDATE),
    **dict.fromkeys(("iot:DescribeJob", "iot:DeleteJob", "iot:ListJobExecutionsForJob"), (JOB,)),
    "iot:DescribeJobExecution": (JOB, THING),
    **dict.fromkeys(
        (
            "s3:CreateBucket", "s3:TagResource", "s3:DeleteBucket", "s3:ListBucket", "s3:ListBucketVersions",
            "s3:ListBucketMultipartUploads", "s3:GetBucketVersioning", "s3:PutBucketVersioning",
            "s3:GetBucketPublicAccessBlock", "s3:GetBucketPolicy", "s3:PutBucketPolicy",
            "s3:GetBucketTagging", "s3:PutBucketTagging", "s3:PutBucketPublicAccessBlock",
        ),
        (BUCKET,),
    ),
    **dict.fromkeys(
        ("s3:PutObject", "s3:GetObject", "s3:DeleteObjectVersion", "s3:AbortMultipartUpload"), (OBJECT,)
    ),
    **dict.fromkeys(
        (
            "iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:UpdateAssumeRolePolicy",
            "iam:PutRolePermissionsBoundary", "iam:DeleteRolePermissionsBoundary", "iam:DeleteRolePolicy",
            "iam:DetachRolePolicy", "iam:GetRole", "iam:TagRole", "iam:DeleteRole", "iam:GetRolePolicy",
            "iam:ListRolePolicies", "iam:ListAttachedRolePolicies", "iam:ListInstanceProfilesForRole",
        ),
        (ROLE,),
    ),
    "iam:PassRole": ("{roleArn}",),
    **dict.fromkeys(("iam:GetPolicy", "iam:GetPolicyVersion", "iam:CreatePolicyVersion"), ("{PolicyArn}",)),
    "iam:RemoveRoleFromInstanceProfile": (f"{IAM}instance-profile/{{InstanceProfileName}}",),
    "iam:SimulatePrincipalPolicy": ("{PolicySourceArn}",),
}  # fmt: skip
# AWS sends iam:PermissionsBoundary with these; the reference names UpdateAssumeRolePolicy among them only of late.
BOUNDED = frozenset(
    f"iam:{name}"
    for name in (
        "CreateRole", "PutRolePolicy", "AttachRolePolicy", "DetachRolePolicy", "DeleteRolePolicy",
        "PutRolePermissionsBoundary", "DeleteRolePermissionsBoundary", "UpdateAssumeRolePolicy",
    )
)  # fmt: skip
OF_THE_REQUEST = ("iam:CreateRole", "iam:PutRolePermissionsBoundary")


def is_look_at_others(action: str, arn: str) -> bool:
    """Whether the action only reads an object that has none of the project's own names."""
    resource = arn.rpartition(":")[2]
    is_look = action.partition(":")[2].startswith(LOOKS)
    return is_look and resource not in {"*", *OWN_RESOURCES} and "cert/" not in resource


@dataclass
class Gate:
    """One operator's policies, and what they were asked.

    Attributes:
        documents: the policies.
        iam: a client that may do everything, to look a role's boundary up.
        bounded: the actions with which AWS sends ``iam:PermissionsBoundary``.
        sends_thing_arn: whether AWS sends ``iot:thingArn``.
        allowed: the calls that were let through: ``("iot", "CreateThing")``.
        refused: the actions that were not granted; but for looks at what others have in the account, which the tool has
            to do without.
    """

    documents: tuple[Mapping[str, Any], ...]
    iam: Any
    bounded: Collection[str] = BOUNDED
    sends_thing_arn: bool = True
    allowed: set[tuple[str, str]] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)

    def lacking(self, service: str, operation: str, params: Mapping[str, Any]) -> tuple[str, str] | None:
        """Action and ARN that the policies do not grant; None where the call is allowed."""
        texts = [json.dumps(one) for one in self.documents]
        for action in permissions_of(service, operation):
            found = [arn for one in RESOURCES[action] for arn in _filled(one, params)]
            assert found, f"{operation} names no object that {action} is checked on: {params}"
            context = self._context(action, params)
            for arn in found:
                if not evaluation.is_granted(texts, evaluation.Request(action, arn, context)):
                    return action, arn
        return None

    @contextlib.contextmanager
    def at_work(self) -> Iterator[Gate]:
        """Every client that the tool makes in this process goes through here."""
        make_client = Cloud._make_client

        def make_guarded(cloud: Cloud, service: str) -> Any:
            client = make_client(cloud, service)
            client.meta.events.register("before-parameter-build", _note_params)
            client.meta.events.register("before-call", self._check)
            return client

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Cloud, "_make_client", make_guarded)
            yield self

    def _check(self, model: Any, context: dict[str, Any], **_: object) -> tuple[AWSResponse, dict[str, Any]] | None:
        service = model.service_model.service_name
        lacking = self.lacking(service, model.name, context["operator_params"])
        if lacking is None:
            self.allowed.add((service, model.name))
            return None
        action, arn = lacking
        if not is_look_at_others(action, arn):
            self.refused.append(action)
        message = f"User: {IAM}user/{CALLER_NAME} is not authorized to perform: {action} on resource: {arn}"
        error = {"Error": {"Code": "AccessDenied", "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 403}}
        return AWSResponse("", 403, {}, None), error

    def _context(self, action: str, params: Mapping[str, Any]) -> dict[str, str]:
        context = {"aws:username": CALLER_NAME}
        if action == "iam:PassRole":
            context["iam:PassedToService"] = "iot.amazonaws.com"
        if action.endswith("ThingPrincipal") and self.sends_thing_arn:
            (context["iot:thingArn"],) = _filled(THING, params)
        if action in self.bounded:
            own = action in OF_THE_REQUEST
            boundary = params.get("PermissionsBoundary") if own else self._boundary(params["RoleName"])
            context |= {"iam:PermissionsBoundary": boundary} if boundary else {}
        return context

    def _boundary(self, role_name: str) -> str:
        try:
            role = self.iam.get_role(RoleName=role_name)["Role"]
        except self.iam.exceptions.NoSuchEntityException:
            return ""
        return str(role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", ""))


def _note_params(params: dict[str, Any], context: dict[str, Any], **_: object) -> None:
    context["operator_params"] = dict(params)


def _filled(template: str, params: Mapping[str, Any]) -> list[str]:
    """The ARNs; none where the call does not name this kind of object, several where it deletes many."""
    many = params.get("Delete", {}).get("Objects", [{}])
    try:
        return [template.format_map({**params, **one}) for one in many]
    except KeyError:
        return []
