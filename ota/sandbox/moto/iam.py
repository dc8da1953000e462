"""IAM as strict as AWS: trust documents, boundaries, quotas, order of deletion; and the policy simulator.

``replacements`` gives the methods for moto's ``IAMBackend``; those that call moto's own method check first.
Of the AWS managed policies only the four that an OTA role may use are loaded: moto parses either all of them, four
megabytes of text, or none. In the policy simulator the sandbox's own caller, the user that dummy credentials stand for,
may do everything, as if AdministratorAccess were attached; policies of a user of that name are added to it.

Source: IAM API reference (CreateRole, AttachRolePolicy, PutRolePolicy, UpdateAssumeRolePolicy, DeletePolicy,
SimulatePrincipalPolicy); IAM and STS quotas; IAM User Guide, "AWS JSON policy elements: Principal", "IAM policy testing
with the IAM policy simulator"; AWS managed policy reference; moto's ``aws_managed_policies`` data.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from moto.core.responses import ActionResult
from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.exceptions import (
    DeleteConflictException,
    EntityAlreadyExists,
    LimitExceededException,
    MalformedPolicyDocument,
    NoSuchEntity,
    NotFoundException,
)
from moto.iam.models import AWSManagedPolicy, IAMBackend
from moto.iam.policy_validation import IAMPolicyDocumentValidator, IAMTrustPolicyDocumentValidator

from ota.sandbox.policy import evaluation
from ota.sandbox.policy.evaluation import read_document
from ota.sandbox.policy.identities import groups_of
from ota.sandbox.policy.permissions import boundary_of, policies_of

from .responses import AwsError

_TRUST_CHARACTERS = 2048
_INLINE_CHARACTERS = 10240
_POLICIES_PER_ROLE = 10
_SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com(\.cn)?")
_AWS_PRINCIPAL = re.compile(r"\*|\d{12}|arn:aws:(iam|sts)::\d{12}:(root|(user|role|assumed-role|federated-user)/.+)")
_ENTITY = re.compile(r"arn:aws:iam::(\d{12}):(user|role)/(?:.*/)?(.+)")
CALLER_NAME = "moto"  # the user that dummy credentials stand for
Method = Callable[..., Any]
MANAGED_POLICIES = ("AmazonFreeRTOSOTAUpdate", "AWSIoTRuleActions", "AWSIoTLogging", "AWSIoTThingsRegistration")
_SIMULATED = re.compile(r"arn:[a-z-]+:iam::(\d{12}):(user|role|group)/(?:.*/)?(.+)")
_ACTION = re.compile(r"[A-Za-z0-9-]+:[A-Za-z0-9]+")
_EVERYTHING = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}})


@dataclass(frozen=True)
class Principal:
    """The entity whose policies are simulated: their documents, and those of its boundary; None for no boundary."""

    arn: str
    documents: list[str]
    boundary: list[str] | None


def replacements() -> dict[str, Method]:
    """The methods for ``IAMBackend``, by name."""
    own: dict[str, Method] = {"get_role": get_role, "attach_role_policy": attach_role_policy}
    checks: dict[str, Method] = {
        "create_role": _check_new_role,
        "update_assume_role_policy": _check_new_trust,
        "put_role_permissions_boundary": _check_new_boundary,
        "put_role_policy": _check_inline_size,
        "delete_policy": _check_policy_unused,
    }
    return {**own, **{name: _checked(getattr(IAMBackend, name), check) for name, check in checks.items()}}


def get_role(self: Any, role_name: str) -> Any:
    """The role of this name, or NoSuchEntity with AWS's message, as the exception class that moto expects here."""
    for role in self.get_roles():
        if role.name == role_name:
            return role
    raise NotFoundException(f"The role with name {role_name} cannot be found.")


def attach_role_policy(self: Any, policy_arn: str, role_name: str) -> None:
    """Attach a managed policy: repeatable; ten for a role."""
    role = self.get_role(role_name)
    policy = self.managed_policies.get(policy_arn)
    if policy is None:
        raise NoSuchEntity(f"Policy {policy_arn} does not exist or is not attachable.")
    if policy_arn in role.managed_policies:
        return
    if len(role.managed_policies) >= _POLICIES_PER_ROLE:
        raise LimitExceededException(f"Cannot exceed quota for PoliciesPerRole: {_POLICIES_PER_ROLE}")
    policy.attach_to(role)


def aws_policies(self: Any) -> list[AWSManagedPolicy]:
    """Replaces ``IAMBackend._init_aws_policies``: the four policies, for one account."""
    return [
        AWSManagedPolicy.from_data(name, self.account_id, self.region_name, _policy_data(name))
        for name in MANAGED_POLICIES
    ]


def simulate_principal_policy(self: Any) -> ActionResult:
    """``IamResponse.simulate_principal_policy``: a decision for each action on each resource."""
    principal = _find_principal(self.backend, self.params["PolicySourceArn"])
    documents = [*principal.documents, *(self.params.get("PolicyInputList") or [])]
    boundary = self.params.get("PermissionsBoundaryPolicyInputList") or principal.boundary
    known = {"aws:PrincipalArn": principal.arn, "aws:PrincipalAccount": self.current_account}
    return _simulated(self.params, documents, boundary, known)


def simulate_custom_policy(self: Any) -> ActionResult:
    """``IamResponse.simulate_custom_policy``: the same for the documents of the request alone."""
    for document in self.params["PolicyInputList"]:
        IAMPolicyDocumentValidator(document).validate()
    boundary = self.params.get("PermissionsBoundaryPolicyInputList") or None
    return _simulated(self.params, self.params["PolicyInputList"], boundary, {})


def _checked(original: Method, check: Method) -> Method:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        check(self, *args, **kwargs)
        return original(self, *args, **kwargs)

    return method


def _check_new_role(
    self: Any,
    role_name: str,
    assume_role_policy_document: str,
    path: str | None = None,
    permissions_boundary: str | None = None,
    *_: Any,
    **__: Any,
) -> None:
    del path
    if any(role.name.lower() == role_name.lower() for role in self.get_roles()):
        raise EntityAlreadyExists(f"Role with name {role_name} already exists.")
    _check_trust_document(self, assume_role_policy_document)
    _check_boundary(self, permissions_boundary)


def _check_new_trust(self: Any, role_name: str, policy_document: str) -> None:
    self.get_role(role_name)
    _check_trust_document(self, policy_document)


def _check_new_boundary(self: Any, role_name: str, permissions_boundary: str) -> None:
    self.get_role(role_name)
    _check_boundary(self, permissions_boundary)


def _check_boundary(self: Any, policy_arn: str | None) -> None:
    if policy_arn and self.policy_arn_regex.match(policy_arn) and policy_arn not in self.managed_policies:
        raise _no_such_boundary(policy_arn)


def _no_such_boundary(policy_arn: str) -> NoSuchEntity:
    """The refusal of a permissions boundary that does not exist. UNVERIFIED: code and text are from memory."""
    return NoSuchEntity(f"Scope ARN: {policy_arn} does not exist or is not attachable.")


def _check_inline_size(self: Any, role_name: str, policy_name: str, policy_json: str) -> None:
    present = {**self.get_role(role_name).policies, policy_name: policy_json}
    if sum(_size(document) for document in present.values()) > _INLINE_CHARACTERS:
        raise LimitExceededException(f"Maximum policy size of {_INLINE_CHARACTERS} bytes exceeded for role {role_name}")


def _check_policy_unused(self: Any, policy_arn: str) -> None:
    policy = self.get_policy(policy_arn)
    if policy.attachment_count or any(role.permissions_boundary_arn == policy_arn for role in self.get_roles()):
        raise DeleteConflictException("Cannot delete a policy attached to entities.")
    if len(policy.versions) > 1:
        raise DeleteConflictException(
            "This policy has more than one version. Before you delete a policy, you must delete the policy's "
            "versions. The default version is deleted with the policy."
        )


def _check_trust_document(self: Any, document: str) -> None:
    IAMTrustPolicyDocumentValidator(document).validate()
    if _size(document) > _TRUST_CHARACTERS:
        raise LimitExceededException(f"Cannot exceed quota for ACLSizePerRole: {_TRUST_CHARACTERS}")
    for statement in read_document(document).statements:
        if "Principal" not in statement and "NotPrincipal" not in statement:
            raise MalformedPolicyDocument("Missing required field Principal")
        for kind, name in _principals(statement.get("Principal", statement.get("NotPrincipal"))):
            if not _is_principal(self, kind, name):
                raise MalformedPolicyDocument(f'Invalid principal in policy: "{kind.upper()}":"{name}"')


def _principals(written: Any) -> Iterator[tuple[str, str]]:
    if written == "*":
        return
    if not isinstance(written, Mapping):
        raise MalformedPolicyDocument("Syntax errors in policy.")
    for kind, names in written.items():
        yield from ((kind, str(name)) for name in (names if isinstance(names, list) else [names]))


def _is_principal(self: Any, kind: str, name: str) -> bool:
    if kind == "Service":
        return _SERVICE.fullmatch(name) is not None
    if kind == "AWS":
        return _AWS_PRINCIPAL.fullmatch(name) is not None and _exists(self, name)
    return kind in ("Federated", "CanonicalUser")


def _exists(self: Any, arn: str) -> bool:
    """Whether a user or role of this account exists; principals of other accounts are assumed to exist."""
    found = _ENTITY.fullmatch(arn)
    if found is None or found.group(1) != self.account_id:
        return True
    if found.group(2) == "user":
        return found.group(3) in {CALLER_NAME, *(user.name for user in self.users.values())}
    return any(role.arn == arn for role in self.get_roles())


def _size(document: str) -> int:
    return len(re.sub(r"\s", "", document))


@lru_cache(maxsize=len(MANAGED_POLICIES))
def _policy_data(name: str) -> Any:
    marker = f'"{name}":'
    data, _ = json.JSONDecoder().raw_decode(
        aws_managed_policies_data, aws_managed_policies_data.index(marker) + len(marker)
    )
    return data


def _find_principal(backend: Any, arn: str) -> Principal:
    found = _SIMULATED.fullmatch(arn)
    if found is None or found.group(1) != backend.account_id:
        raise AwsError("InvalidInput", f"Invalid Entity Arn: {arn} does not clearly define entity type and name.")
    kind, name = found.group(2), found.group(3)
    if kind == "role":
        role = backend.get_role(name)
        return Principal(arn, policies_of(role), boundary_of(backend, role))
    holders = _user_and_groups(backend, name) if kind == "user" else _named(backend.groups, name)
    everything = [_EVERYTHING] if (kind, name) == ("user", CALLER_NAME) else []
    if not holders and not everything:
        raise NoSuchEntity(f"The {kind} with name {name} cannot be found.")
    return Principal(arn, [*everything, *(text for one in holders for text in policies_of(one))], None)


def _user_and_groups(backend: Any, name: str) -> list[Any]:
    return [one for user in _named(backend.users, name) for one in (user, *groups_of(backend, user))]


def _named(found: Mapping[str, Any], name: str) -> list[Any]:
    return [one for one in found.values() if one.name == name]


def _action_name(action: str) -> str:
    if not _ACTION.fullmatch(action):
        raise AwsError("InvalidInput", f"{action} is not the name of an action: service:Operation.")
    return action


def _simulated(
    params: Mapping[str, Any], documents: list[str], boundary: list[str] | None, known: Mapping[str, str]
) -> ActionResult:
    given = {one["ContextKeyName"]: ",".join(one["ContextKeyValues"]) for one in params.get("ContextEntries") or []}
    results = [
        _result(documents, boundary, evaluation.Request(_action_name(action), resource, {**known, **given}))
        for action in params["ActionNames"]
        for resource in params.get("ResourceArns") or ["*"]
    ]
    return ActionResult({"EvaluationResults": results, "IsTruncated": False})


def _result(documents: Iterable[str], boundary: list[str] | None, request: evaluation.Request) -> dict[str, Any]:
    decision = evaluation.decide(documents, request)
    result: dict[str, Any] = {
        "EvalActionName": request.action,
        "EvalResourceName": request.resource,
        "EvalDecision": decision,
        "MatchedStatements": [],
        "MissingContextValues": [],
    }
    if boundary is None:
        return result
    limit = evaluation.decide(boundary, request)
    if limit != evaluation.ALLOWED and decision == evaluation.ALLOWED:
        result["EvalDecision"] = limit
    return {
        **result,
        "PermissionsBoundaryDecisionDetail": {"AllowedByPermissionsBoundary": limit == evaluation.ALLOWED},
    }
