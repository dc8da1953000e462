"""Decides whether a caller may assume a role, and what a role may do, from the roles that moto holds.

A role that trusts the wrong service or lacks one statement makes AWS fail the update minutes later, with a
message in ``errorInfo``. The OTA updates of the sandbox fail for the same reasons.

Source: IAM User Guide, "Policy evaluation logic", "Permissions boundaries", "The confused deputy problem".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.iam.exceptions import IAMException
from moto.iam.models import iam_backends

from . import evaluation

ASSUME_ROLE = "sts:AssumeRole"


def check_assume(account_id: str, role_arn: str, service: str, source_account: str, source_arn: str) -> str | None:
    """Why ``service`` may not assume the role; None when it may.

    Args:
        account_id: the account of the role.
        role_arn: the role's full ARN.
        service: the service principal, ``iot.amazonaws.com``.
        source_account: what the service sends as ``aws:SourceAccount``.
        source_arn: what it sends as ``aws:SourceArn``.
    """
    role = find_role(account_id, role_arn)
    if role is None:
        return f"role {role_arn} does not exist"
    context = {"aws:SourceAccount": source_account, "aws:SourceArn": source_arn}
    refusal = check_trust(role, {"Service": frozenset({service})}, context)
    return refusal and f"{service} {refusal}"


def is_allowed(
    account_id: str, role_arn: str, action: str, resource: str, context: Mapping[str, str] | None = None
) -> bool:
    """Whether the role may do ``action`` on ``resource``: its policies allow it, and its boundary too.

    Args:
        account_id: the account of the role.
        role_arn: the role's full ARN; a role that does not exist may do nothing.
        action: ``service:Operation``.
        resource: the ARN of what it works on.
        context: condition keys to values; ``aws:PrincipalArn`` and ``aws:PrincipalAccount`` are added.
    """
    role = find_role(account_id, role_arn)
    if role is None:
        return False
    known = {"aws:PrincipalArn": role_arn, "aws:PrincipalAccount": account_id, **(context or {})}
    request = evaluation.Request(action=action, resource=resource, context=known)
    if not evaluation.is_granted(policies_of(role), request):
        return False
    boundary = boundary_of(iam_backends[account_id]["aws"], role)
    return boundary is None or evaluation.is_granted(boundary, request)


def check_trust(
    role: Any, principals: Mapping[str, frozenset[str]], context: Mapping[str, str], action: str = ASSUME_ROLE
) -> str | None:
    """Why the role's trust policy does not let these callers assume it by ``action``; None when it does."""
    document = role.assume_role_policy_document
    named = [
        statement
        for statement in evaluation.read_document(document).statements
        if evaluation.covers_action(statement, action) and evaluation.names_principal(statement, principals)
    ]
    if not any(statement.get("Effect") == "Allow" for statement in named):
        return f"is not named by the trust policy of role {role.arn}"
    request = evaluation.Request(action=action, context=context, principals=principals)
    if evaluation.is_granted([document], request):
        return None
    keys = ", ".join(f"{key}={value}" for key, value in sorted(context.items())) or "no condition keys"
    return f"is named by the trust policy of role {role.arn}, but its condition is not met ({keys})"


def find_role(account_id: str, role_arn: str) -> Any | None:
    """Moto's role by its full ARN, or None."""
    try:
        return iam_backends[account_id]["aws"].get_role_by_arn(role_arn)
    except IAMException:
        return None


def policies_of(holder: Any) -> list[str]:
    """The documents of a role, user or group: its inline policies, and the default versions of the attached ones."""
    return [*holder.policies.values(), *(_default_document(policy) for policy in holder.managed_policies.values())]


def boundary_of(iam_backend: Any, role: Any) -> list[str] | None:
    """The document of the role's permissions boundary; an empty list, which allows nothing, when it was deleted."""
    if not role.permissions_boundary_arn:
        return None
    policy = iam_backend.managed_policies.get(role.permissions_boundary_arn)
    return [_default_document(policy)] if policy else []


def _default_document(policy: Any) -> str:
    return str(next(one.document for one in policy.versions if one.version_id == policy.default_version_id))
