"""Roles and their policies as strict as IAM: trust documents, boundaries, quotas, order of deletion.

Each function here stands in for the method of the same name of moto's ``IAMBackend``; ``stand_ins`` wraps those that
call moto's own method once their checks are done.

Source: IAM API reference (CreateRole, AttachRolePolicy, PutRolePolicy, UpdateAssumeRolePolicy, DeletePolicy);
IAM and STS quotas; IAM User Guide, "AWS JSON policy elements: Principal".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from moto.iam.exceptions import (
    DeleteConflictException,
    EntityAlreadyExists,
    LimitExceededException,
    MalformedPolicyDocument,
    NoSuchEntity,
    NotFoundException,
)
from moto.iam.models import IAMBackend
from moto.iam.policy_validation import IAMTrustPolicyDocumentValidator

from ota.sandbox.policy.evaluation import read_document

_TRUST_CHARACTERS = 2048
_INLINE_CHARACTERS = 10240
_POLICIES_PER_ROLE = 10
_SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com(\.cn)?")
_AWS_PRINCIPAL = re.compile(r"\*|\d{12}|arn:aws:(iam|sts)::\d{12}:(root|(user|role|assumed-role|federated-user)/.+)")
_ENTITY = re.compile(r"arn:aws:iam::(\d{12}):(user|role)/(?:.*/)?(.+)")
CALLER_NAME = "moto"  # the user that dummy credentials stand for

Method = Callable[..., Any]


def stand_ins() -> dict[str, Method]:
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
    """The role of this name, or NoSuchEntity in AWS's words, as the class that moto itself expects here."""
    for role in self.get_roles():
        if role.name == role_name:
            return role
    raise NotFoundException(f"The role with name {role_name} cannot be found.")


def attach_role_policy(self: Any, policy_arn: str, role_name: str) -> None:
    """Repeatable; ten managed policies for a role."""
    role = self.get_role(role_name)
    policy = self.managed_policies.get(policy_arn)
    if policy is None:
        raise NoSuchEntity(f"Policy {policy_arn} does not exist or is not attachable.")
    if policy_arn in role.managed_policies:
        return
    if len(role.managed_policies) >= _POLICIES_PER_ROLE:
        raise LimitExceededException(f"Cannot exceed quota for PoliciesPerRole: {_POLICIES_PER_ROLE}")
    policy.attach_to(role)


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
    """What IAM says of a permissions boundary that does not exist. UNVERIFIED: code and text are from memory."""
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
    """A user or role of this account must exist; what other accounts have cannot be seen."""
    found = _ENTITY.fullmatch(arn)
    if found is None or found.group(1) != self.account_id:
        return True
    if found.group(2) == "user":
        return found.group(3) in {CALLER_NAME, *(user.name for user in self.users.values())}
    return any(role.arn == arn for role in self.get_roles())


def _size(document: str) -> int:
    return len(re.sub(r"\s", "", document))
