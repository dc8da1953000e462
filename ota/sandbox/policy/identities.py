"""Finds the user or role behind an access key, and decides what it may call.

Keys that the sandbox did not give out, such as the dummy ones, stand for an administrator. A user's key
(CreateAccessKey) and a role's session (AssumeRole) may do what their policies allow: those of the user, of its groups
and of the role; within the role's permissions boundary and the session's policy.

Source: IAM User Guide, "Policy evaluation logic", "Permissions boundaries", "Session policies", "Troubleshoot access
denied error messages"; IAM JSON policy reference, "AWS global condition context keys".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

from . import evaluation
from .permissions import boundary_of, find_role, policies_of

_BOUNDARY, _SESSION = "a permissions boundary", "a session policy"


@dataclass(frozen=True)
class Identity:
    """Who calls.

    Attributes:
        arn: as AWS names the caller in a refusal.
        documents: the identity-based policies, as JSON texts.
        limits: what else has to allow a request: the kind of policy, as a refusal names it, to its documents.
        context: the condition keys that come with each request of this caller.
    """

    arn: str
    documents: tuple[str, ...] = ()
    limits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Denial:
    """A request that the caller's policies do not allow, and AWS's sentence about it."""

    action: str
    resource: str
    message: str


def find_identity(account_id: str, access_key_id: str) -> Identity | None:
    """The user or role session that has this access key; None for a key that the sandbox did not give out."""
    backend = iam_backends[account_id]["aws"]
    key = backend.access_keys.get(access_key_id)
    if key is None:
        return None
    if key.role_arn is None:
        user = backend.users[str(key.user_name)]
        documents = tuple(text for holder in (user, *groups_of(backend, user)) for text in policies_of(holder))
        return Identity(user.arn, documents, context=_caller_context(user.arn, account_id, {"aws:username": user.name}))
    return _session(account_id, access_key_id, key.role_arn)


def find_denial(identity: Identity, requests: Iterable[evaluation.Request]) -> Denial | None:
    """The first request that is not allowed; None when all are."""
    for request in requests:
        asked = replace(request, context={**identity.context, **request.context})
        why = _why_not(identity, asked)
        if why is not None:
            return Denial(request.action, request.resource, denied_message(identity.arn, request, why))
    return None


def denied_message(caller_arn: str, request: evaluation.Request, why: str = "") -> str:
    """AWS's sentence about a request that is refused; without a reason, no policy allows it."""
    why = why or f"because no identity-based policy allows the {request.action} action"
    resource = f'"{request.resource}"' if request.action.startswith("s3:") else request.resource
    return f"User: {caller_arn} is not authorized to perform: {request.action} on resource: {resource} {why}"


def groups_of(iam_backend: Any, user: Any) -> list[Any]:
    """The IAM groups that the user is in."""
    return [group for group in iam_backend.groups.values() if user in group.users]


def _session(account_id: str, access_key_id: str, role_arn: str) -> Identity:
    role = find_role(account_id, role_arn)
    session = sts_backends[account_id]["aws"].get_assumed_role_from_access_key(access_key_id)
    boundary = boundary_of(iam_backends[account_id]["aws"], role) if role else None
    limits = {} if boundary is None else {_BOUNDARY: tuple(boundary)}
    if session and session.policy:
        limits[_SESSION] = (session.policy,)
    arn = session.arn if session else role_arn
    return Identity(arn, tuple(policies_of(role)) if role else (), limits, _caller_context(role_arn, account_id, {}))


def _caller_context(arn: str, account_id: str, more: Mapping[str, str]) -> dict[str, str]:
    """The sandbox stands in for AWS over TLS, so every request counts as a secure one."""
    return {"aws:PrincipalArn": arn, "aws:PrincipalAccount": account_id, "aws:SecureTransport": "true", **more}


def _why_not(identity: Identity, request: evaluation.Request) -> str | None:
    policies = {"an identity-based policy": identity.documents, **identity.limits}
    decisions = {kind: evaluation.decide(documents, request) for kind, documents in policies.items()}
    for kind, decision in decisions.items():
        if decision == evaluation.DENIED:
            return f"with an explicit deny in {kind}"
    for kind, decision in decisions.items():
        if decision != evaluation.ALLOWED:
            return f"because no {kind.split(' ', 1)[1]} allows the {request.action} action"
    return None
