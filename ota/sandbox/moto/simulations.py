"""IAM's policy simulator, which tells a caller what a user or role may do without doing it.

The sandbox's own caller, the user that dummy credentials stand for, is not in IAM and may do everything, as if
AdministratorAccess were attached; policies given to a user of that name count beside it.

Source: IAM API reference, SimulatePrincipalPolicy; IAM User Guide, "IAM policy testing with the IAM policy simulator".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from moto.core.responses import ActionResult
from moto.iam.exceptions import NoSuchEntity

from ota.sandbox.policy import evaluation
from ota.sandbox.policy.permissions import boundary_of, policies_of

from .iamroles import CALLER_NAME
from .refusals import Refusal

_ENTITY = re.compile(r"arn:[a-z-]+:iam::(\d{12}):(user|role|group)/(?:.*/)?(.+)")
_ACTION = re.compile(r"[A-Za-z0-9-]+:[A-Za-z0-9]+")
_EVERYTHING = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}})


@dataclass(frozen=True)
class Principal:
    """Whose policies are asked: their documents, and those of the boundary; None for no boundary."""

    arn: str
    documents: list[str]
    boundary: list[str] | None


def simulate_principal_policy(self: Any) -> ActionResult:
    """``IamResponse.simulate_principal_policy``: a decision for each action on each resource."""
    params = self.params
    principal = _find_principal(self.backend, params["PolicySourceArn"])
    context = {
        "aws:PrincipalArn": principal.arn,
        "aws:PrincipalAccount": self.current_account,
        **{one["ContextKeyName"]: ",".join(one["ContextKeyValues"]) for one in params.get("ContextEntries") or []},
    }
    documents = [*principal.documents, *(params.get("PolicyInputList") or [])]
    boundary = params.get("PermissionsBoundaryPolicyInputList") or principal.boundary
    results = [
        _result(documents, boundary, evaluation.Request(_checked(action), resource, context))
        for action in params["ActionNames"]
        for resource in params.get("ResourceArns") or ["*"]
    ]
    return ActionResult({"EvaluationResults": results, "IsTruncated": False})


def _find_principal(backend: Any, arn: str) -> Principal:
    found = _ENTITY.fullmatch(arn)
    if found is None or found.group(1) != backend.account_id:
        raise Refusal("InvalidInput", f"Invalid Entity Arn: {arn} does not clearly define entity type and name.")
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
    users = _named(backend.users, name)
    return [*users, *(group for group in backend.groups.values() if any(user in group.users for user in users))]


def _named(found: Mapping[str, Any], name: str) -> list[Any]:
    return [one for one in found.values() if one.name == name]


def _checked(action: str) -> str:
    if not _ACTION.fullmatch(action):
        raise Refusal("InvalidInput", f"{action} is not the name of an action: service:Operation.")
    return action


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
