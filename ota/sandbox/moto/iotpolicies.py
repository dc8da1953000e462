"""IoT policies as strict as AWS: checked documents, five versions, ten policies for a principal, tags.

Each function here stands in for the method of the same name of moto's ``IoTResponse``.

Source: AWS IoT API reference (CreatePolicy, CreatePolicyVersion, DeletePolicy, AttachPolicy, DetachPolicy and the
deprecated …PrincipalPolicy operations); AWS IoT quotas (2048 characters without whitespace, five versions, ten
policies); Developer Guide, "AWS IoT Core policies".
"""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.iot.exceptions import IoTClientError

from . import tags
from .errors import AwsError
from .iot_policy_documents import check_document
from .pages import cut_page
from .refusals import Refusal, invalid_request

_MOST_POLICIES = 10


def create_policy(self: Any) -> ActionResult:
    """CreatePolicy: the document must be well formed; tags go to the common store."""
    name, document, backend = self.params["policyName"], self.params["policyDocument"], self.iot_backend
    check_document(document)
    policy = backend.create_policy(name, document)
    try:
        tags.set_tags(backend.account_id, backend.region_name, policy.arn, self.params.get("tags") or [])
    except AwsError as error:
        backend.delete_policy(name)
        raise Refusal(error.code, error.message) from error
    return ActionResult(policy.to_dict_at_creation())


def get_policy(self: Any) -> ActionResult:
    """GetPolicy, with the dates of the policy and of its default version."""
    policy = self.iot_backend.get_policy(self.params["policyName"])
    default = next(one for one in policy.versions if one.is_default)
    first = policy.versions[0]
    dates = {"creationDate": first.create_datetime, "lastModifiedDate": default.last_modified_datetime}
    return ActionResult({**policy.to_get_dict(), **dates, "generationId": default.version_id})


def create_policy_version(self: Any) -> ActionResult:
    """CreatePolicyVersion: the document must be well formed; moto counts the versions."""
    check_document(self.params["policyDocument"])
    version = self.iot_backend.create_policy_version(
        self.params["policyName"], self.params["policyDocument"], bool(self.params.get("setAsDefault"))
    )
    return ActionResult(version.to_dict_at_creation())


def set_default_policy_version(self: Any) -> ActionResult:
    """SetDefaultPolicyVersion: the version must exist."""
    name, version_id = self.params["policyName"], self.params["policyVersionId"]
    self.iot_backend.get_policy_version(name, version_id)
    self.iot_backend.set_default_policy_version(name, version_id)
    return EmptyResult()


def delete_policy(self: Any) -> ActionResult:
    """DeletePolicy: refused while attached or with further versions; the tags go with it."""
    name, backend = self.params["policyName"], self.iot_backend
    arn = backend.get_policy(name).arn
    backend.delete_policy(name)
    tags.drop(backend.account_id, backend.region_name, arn)
    return EmptyResult()


def attach_policy(self: Any) -> ActionResult:
    """AttachPolicy: repeatable; ten policies for a target."""
    _attach(self.iot_backend, self.params["policyName"], self.params["target"])
    return EmptyResult()


def attach_principal_policy(self: Any) -> ActionResult:
    """AttachPrincipalPolicy (deprecated): as AttachPolicy."""
    _attach(self.iot_backend, self.params["policyName"], self.params["principal"])
    return EmptyResult()


def detach_policy(self: Any) -> ActionResult:
    """DetachPolicy: success when there is nothing to detach; the target must exist.

    Source: the Terraform AWS provider, which meets no error for a missing policy and "Invalid Target" for a
    missing target (``aws_iot_policy_attachment``, delete).
    """
    name, target, backend = self.params["policyName"], self.params["target"], self.iot_backend
    try:
        backend._get_principal(target)
    except IoTClientError as error:
        raise invalid_request("Invalid Target") from error
    backend.principal_policies.pop((target, name), None)
    return EmptyResult()


def list_policies(self: Any) -> ActionResult:
    """ListPolicies, in pages."""
    return _policy_page(self, list(self.iot_backend.list_policies()))


def list_attached_policies(self: Any) -> ActionResult:
    """ListAttachedPolicies, in pages."""
    return _policy_page(self, self.iot_backend.list_attached_policies(self.params["target"]))


def list_principal_policies(self: Any) -> ActionResult:
    """ListPrincipalPolicies (deprecated), in pages."""
    return _policy_page(self, self.iot_backend.list_principal_policies(self.params["principal"]))


def list_policy_principals(self: Any) -> ActionResult:
    """ListPolicyPrincipals (deprecated), in pages."""
    rows = self.iot_backend.list_policy_principals(self.params["policyName"])
    page, marker = cut_page(rows, self.params.get("pageSize"), self.params.get("marker"))
    return ActionResult({"principals": page, "nextMarker": marker})


def list_targets_for_policy(self: Any) -> ActionResult:
    """ListTargetsForPolicy, in pages; the policy must exist."""
    rows = self.iot_backend.list_targets_for_policy(self.params["policyName"])
    page, marker = cut_page(rows, self.params.get("pageSize"), self.params.get("marker"))
    return ActionResult({"targets": page, "nextMarker": marker})


def _attach(backend: Any, name: str, target: str) -> None:
    present = [policy for one, policy in backend.principal_policies if one == target]
    if name not in present and len(present) >= _MOST_POLICIES:
        raise Refusal("LimitExceededException", f"{target} has {_MOST_POLICIES} policies attached, the maximum.")
    backend.attach_policy(name, target)


def _policy_page(self: Any, policies: list[Any]) -> ActionResult:
    rows = [policy.to_dict() for policy in policies]
    if self.params.get("ascendingOrder") is False:
        rows.reverse()
    page, marker = cut_page(rows, self.params.get("pageSize"), self.params.get("marker"))
    return ActionResult({"policies": page, "nextMarker": marker})
