"""IoT policies as strict as AWS: checked documents, five versions, ten policies for a principal, tags.

Each public function but ``check_document`` replaces the method of the same name of moto's ``IoTResponse``.

Source: AWS IoT API reference (CreatePolicy, CreatePolicyVersion, DeletePolicy, AttachPolicy, DetachPolicy, and the
deprecated …PrincipalPolicy operations); AWS IoT quotas (2048 characters without
whitespace, five versions, ten policies); Developer Guide, "AWS IoT Core policies".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.iot.exceptions import IoTClientError

from ota.sandbox.policy.conditions import is_operator

from . import tags
from .responses import AwsError, cut_page, invalid_request

_MOST_POLICIES = 10
_LONGEST = 2048
_VERSIONS = ("2012-10-17", "2008-10-17")
_ACTION = re.compile(r"\*|[a-z0-9-]+:[A-Za-z*?]+")
_RESOURCE = re.compile(r"\*|arn:[a-z*-]+:[a-z0-9*-]+:[^:]*:[^:]*:.+")
_STATEMENT_KEYS = {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"}


def create_policy(self: Any) -> ActionResult:
    """CreatePolicy: checks the document; tags go to the common tag store."""
    name, document, backend = self.params["policyName"], self.params["policyDocument"], self.iot_backend
    check_document(document)
    policy = backend.create_policy(name, document)
    try:
        tags.set_tags(backend.account_id, backend.region_name, policy.arn, self.params.get("tags") or [])
    except AwsError:
        backend.delete_policy(name)
        raise
    return ActionResult(policy.to_dict_at_creation())


def get_policy(self: Any) -> ActionResult:
    """GetPolicy, with the dates of the policy and of its default version."""
    policy = self.iot_backend.get_policy(self.params["policyName"])
    default = next(one for one in policy.versions if one.is_default)
    first = policy.versions[0]
    dates = {"creationDate": first.create_datetime, "lastModifiedDate": default.last_modified_datetime}
    return ActionResult({**policy.to_get_dict(), **dates, "generationId": default.version_id})


def create_policy_version(self: Any) -> ActionResult:
    """CreatePolicyVersion: checks the document; moto counts the versions."""
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
    """DeletePolicy: refused while attached or with further versions; deletes its tags too."""
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

    Source: the Terraform AWS provider, which gets no error for a missing policy and "Invalid Target" for a
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


def check_document(text: str) -> None:
    """Refuse a policy document that AWS IoT would refuse.

    Raises:
        AwsError: MalformedPolicyException; its message says what is wrong.
    """
    problem = next(_problems(text), None)
    if problem:
        raise _malformed(problem)


def _attach(backend: Any, name: str, target: str) -> None:
    present = [policy for one, policy in backend.principal_policies if one == target]
    if name not in present and len(present) >= _MOST_POLICIES:
        raise AwsError("LimitExceededException", f"{target} has {_MOST_POLICIES} policies attached, the maximum.")
    backend.attach_policy(name, target)


def _policy_page(self: Any, policies: list[Any]) -> ActionResult:
    rows = [policy.to_dict() for policy in policies]
    if self.params.get("ascendingOrder") is False:
        rows.reverse()
    page, marker = cut_page(rows, self.params.get("pageSize"), self.params.get("marker"))
    return ActionResult({"policies": page, "nextMarker": marker})


def _problems(text: str) -> Iterator[str]:
    size = len(re.sub(r"\s", "", text))
    if size > _LONGEST:
        yield f"the document has {size} characters without whitespace, the maximum is {_LONGEST}"
    try:
        document = json.loads(text)
    except ValueError as error:
        yield f"not valid JSON: {error}"
        return
    if not isinstance(document, dict) or set(document) - {"Version", "Id", "Statement"}:
        yield "the document must be an object of Version, Id and Statement"
        return
    if document.get("Version", _VERSIONS[1]) not in _VERSIONS:
        yield f"the version must be one of {', '.join(_VERSIONS)}"
    statements = document.get("Statement")
    listed = [statements] if isinstance(statements, dict) else statements
    if not isinstance(listed, list) or not listed:
        yield "the document must have at least one statement"
        return
    for statement in listed:
        yield from _statement_problems(statement)


def _statement_problems(statement: Any) -> Iterator[str]:
    if not isinstance(statement, dict):
        yield "a statement must be an object"
        return
    unknown = sorted(set(statement) - _STATEMENT_KEYS)
    if unknown:
        yield f"a statement has unknown elements: {', '.join(unknown)}"
    if statement.get("Effect") not in ("Allow", "Deny"):
        yield "a statement's Effect must be Allow or Deny"
    yield from _pattern_problems(statement, "Action", lambda one: bool(_ACTION.fullmatch(one)))
    yield from _pattern_problems(statement, "Resource", lambda one: bool(_RESOURCE.fullmatch(one)))
    condition = statement.get("Condition", {})
    if not isinstance(condition, dict) or not all(isinstance(one, dict) for one in condition.values()):
        yield "a statement's Condition must be an object of objects"
        return
    yield from (f"unknown condition operator: {one}" for one in condition if not is_operator(one))


def _pattern_problems(statement: Mapping[str, Any], element: str, accepts: Callable[[str], bool]) -> Iterator[str]:
    present = [key for key in (element, f"Not{element}") if key in statement]
    if len(present) != 1:
        yield f"a statement must have {element}"
        return
    value = statement[present[0]]
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(one, str) for one in values):
        yield f"a statement's {present[0]} must be a string or a list of strings"
        return
    yield from (f"invalid {present[0]}: {one}" for one in values if not accepts(one))


def _malformed(problem: str) -> AwsError:
    """MalformedPolicyException. UNVERIFIED: AWS's words after "Malformed:" are its own."""
    return AwsError("MalformedPolicyException", f"Policy document is Malformed: {problem}")
