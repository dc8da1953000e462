"""TestAuthorization and GetEffectivePolicies: what the policies of a device allow, without connecting it.

Each function is a method for moto's ``IoTResponse``, which has neither.

Source: AWS IoT API reference (TestAuthorization, GetEffectivePolicies, AuthResult); AWS IoT Developer Guide, "AWS IoT
Core policies".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from moto.core.responses import ActionResult

from ota.sandbox.policy import device_policy, evaluation
from ota.sandbox.policy.callers import Caller, group_arns

from .responses import invalid_request, not_found

_ACTIONS = {
    "CONNECT": device_policy.CONNECT,
    "PUBLISH": device_policy.PUBLISH,
    "RECEIVE": device_policy.RECEIVE,
    "SUBSCRIBE": device_policy.SUBSCRIBE,
}
_DECISIONS = {
    evaluation.ALLOWED: "ALLOWED",
    evaluation.DENIED: "EXPLICIT_DENY",
    evaluation.NOT_ALLOWED: "IMPLICIT_DENY",
}


def get_effective_policies(self: Any) -> ActionResult:
    """GetEffectivePolicies: the policies of a principal and of a thing's groups, with their documents.

    Policies of Cognito identity pools are not looked for: the sandbox attaches none to them.
    """
    backend, principal, thing_name = self.iot_backend, self.params.get("principal"), self.params.get("thingName")
    if not principal and not thing_name:
        raise invalid_request("A principal or a thing is required.")
    targets = set()
    if principal:
        backend._get_principal(principal)
        targets.add(principal)
    if thing_name:
        thing = backend.describe_thing(thing_name)
        targets.update(group_arns(_caller(backend, "", ""), thing))
    found = {name: policy for (target, name), policy in _attached(backend) if target in targets}
    return ActionResult({"effectivePolicies": [policy.to_get_dict() for policy in found.values()]})


def test_authorization(self: Any) -> ActionResult:
    """TestAuthorization: a decision for each of the actions, with policies added or left out on trial."""
    backend, params = self.iot_backend, self.params
    principal = params.get("principal")
    if not principal:
        raise invalid_request("A principal is required.")
    backend._get_principal(principal)
    caller = _caller(backend, principal.rpartition("/")[2], params.get("clientId") or "")
    policies = device_policy.attached_policies(caller)
    for name in params.get("policyNamesToAdd") or []:
        policies[name] = str(_policy(backend, name).document)
    for name in params.get("policyNamesToSkip") or []:
        policies.pop(name, None)
    return ActionResult({"authResults": [_result(backend, caller, info, policies) for info in params["authInfos"]]})


def _result(backend: Any, caller: Caller, info: Mapping[str, Any], policies: Mapping[str, str]) -> dict[str, Any]:
    if not info.get("actionType"):
        raise invalid_request("Each of authInfos needs an actionType.")
    judged = [device_policy.judge(caller, _ACTIONS[info["actionType"]], one, policies) for one in info["resources"]]
    decisions = {one.decision for one in judged}
    decision = next(one for one in (evaluation.DENIED, evaluation.NOT_ALLOWED, evaluation.ALLOWED) if one in decisions)
    implicit = policies if decision == evaluation.NOT_ALLOWED else ()
    return {
        "authInfo": dict(info),
        "allowed": {"policies": _named(backend, (name for one in judged for name in one.allowing))},
        "denied": {
            "implicitDeny": {"policies": _named(backend, implicit)},
            "explicitDeny": {"policies": _named(backend, (name for one in judged for name in one.denying))},
        },
        "authDecision": _DECISIONS[decision],
        "missingContextValues": sorted({name for one in judged for name in one.missing}),
    }


def _named(backend: Any, names: Iterable[str]) -> list[dict[str, str]]:
    return [{"policyName": name, "policyArn": backend.policies[name].arn} for name in dict.fromkeys(names)]


def _policy(backend: Any, name: str) -> Any:
    if name not in backend.policies:
        raise not_found(f"Policy {name} does not exist.")
    return backend.policies[name]


def _attached(backend: Any) -> list[tuple[tuple[str, str], Any]]:
    return [(pair, policy) for pair, (_, policy) in backend.principal_policies.items()]


def _caller(backend: Any, certificate_id: str, client_id: str) -> Caller:
    return Caller(backend.account_id, backend.region_name, certificate_id, client_id)
