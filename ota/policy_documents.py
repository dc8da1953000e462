"""Policy documents of IoT and IAM: the device's document, comparing two, and what a role's documents grant.

Nothing here calls AWS. The device's document names no thing: AWS fills in the name of the thing that the certificate
is attached to, and refuses a connection under any other name, so that no device can act as another with the same
policy.

A role that somebody else made may grant what is needed in many ways: ``s3:Get*``, a managed policy, ``NotAction``. So
:func:`missing_needs` evaluates the documents; IAM's simulator would need a permission that few operators have. A
condition that is not known here grants nothing. It denies nothing either, because AWS itself refuses what it denies.

Source: AWS IoT Core developer guide, thing policy variables; Device Defender's check "IoT policies overly permissive";
AWS IoT quotas (2,048 characters without whitespace); IAM User Guide, "Policy evaluation logic" and "IAM JSON policy
elements: Action / NotAction / Resource / NotResource / Condition operators" (one value and a list of it are the same).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import unified_diff
from functools import lru_cache
from typing import Any

THING = "${iot:Connection.Thing.ThingName}"


def device_policy_document(partition: str, region: str, account_id: str) -> dict[str, Any]:
    """What a device needs for OTA jobs and streams, and for the inference results that the applications publish.

    Takes for example ``("aws", "eu-west-1", "123456789012")``; returns the document as a dict, below AWS's 2,048
    characters in every region.
    """
    prefix = f"arn:{partition}:iot:{region}:{account_id}"
    topics = [f"$aws/things/{THING}/jobs/*", f"$aws/things/{THING}/streams/*"]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "iot:Connect",
                "Resource": f"{prefix}:client/{THING}",
                "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": ["true"]}},
            },
            {
                "Effect": "Allow",
                "Action": "iot:Subscribe",
                "Resource": [f"{prefix}:topicfilter/{topic}" for topic in topics],
            },
            {
                "Effect": "Allow",
                "Action": ["iot:Publish", "iot:Receive"],
                "Resource": [f"{prefix}:topic/{topic}" for topic in topics],
            },
            {
                "Effect": "Allow",
                "Action": "iot:Publish",
                "Resource": f"{prefix}:topic/{THING}/ml/inference",
            },
        ],
    }


def difference(found: Mapping[str, Any], wanted: Mapping[str, Any], name: str) -> str:
    """A unified diff from ``found`` to ``wanted``, both laid out the same."""
    lines = unified_diff(_lines(found), _lines(wanted), f"{name} on AWS", f"{name} as wanted", lineterm="")
    return "\n".join(lines)


def _lines(document: Mapping[str, Any]) -> list[str]:
    return json.dumps(document, indent=2, sort_keys=True).splitlines()


POLICY_VERSION = "2012-10-17"
ASSUME_ROLE = "sts:AssumeRole"

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Need:
    """One action on one resource. A ``*`` in the resource asks for all that it covers.

    Attributes:
        action: ``service:Operation``.
        resource: an ARN, or the pattern of one.
    """

    action: str
    resource: str


def needs_of(document: Document) -> tuple[Need, ...]:
    """What a policy document of ours allows, as single needs, in its order."""
    return tuple(
        Need(action, resource)
        for statement in statements(document)
        for action in _listed(statement["Action"])
        for resource in _listed(statement["Resource"])
    )


def missing_needs(
    needs: Iterable[Need], documents: Iterable[Document], context: Mapping[str, str] | None = None
) -> tuple[Need, ...]:
    """Those of the needs that the policy documents together do not grant.

    Args:
        needs: what has to be allowed.
        documents: the identity policies of one role, decoded.
        context: condition keys and the values that AWS would send.
    """
    found = [statement for document in documents for statement in statements(document)]
    keys = _lowered(context)
    return tuple(need for need in needs if not _is_granted(found, need, keys))


def trusts(trust: Document, service: str, context: Mapping[str, str]) -> bool:
    """Whether a role's trust document lets this service (``iot.amazonaws.com``) assume the role.

    Args:
        trust: the decoded trust document.
        service: the service principal.
        context: what the service sends: ``aws:SourceAccount`` and ``aws:SourceArn``.
    """
    named = [one for one in statements(trust) if _names_service(one, service) and _covers_action(one, ASSUME_ROLE)]
    return _decide(named, _lowered(context))


def granting_document(needs: Iterable[Need]) -> dict[str, Any]:
    """The policy document that grants these needs: one statement for each set of resources."""
    actions: dict[str, list[str]] = {}
    for need in needs:
        actions.setdefault(need.resource, []).append(need.action)
    resources: dict[tuple[str, ...], list[str]] = {}
    for resource, names in actions.items():
        resources.setdefault(tuple(sorted(names)), []).append(resource)
    return {
        "Version": POLICY_VERSION,
        "Statement": [
            {"Effect": "Allow", "Action": list(names), "Resource": found} for names, found in resources.items()
        ],
    }


def is_same_policy(one: Document, other: Document) -> bool:
    """Whether two documents mean the same to AWS.

    The order of keys and lists makes no difference, nor one value for a list of it, nor ``true`` for ``"true"``.
    """
    return bool(_normal(one) == _normal(other))


def statements(document: Document) -> list[dict[str, Any]]:
    """The statements of a document as a list, also where it holds a single one."""
    found = document.get("Statement", [])
    return list(found) if isinstance(found, list) else [found]


def _is_granted(found: Iterable[dict[str, Any]], need: Need, keys: Mapping[str, str]) -> bool:
    return _decide([one for one in found if _covers(one, need)], keys)


def _decide(found: Iterable[Document], keys: Mapping[str, str]) -> bool:
    """One Allow that surely holds, and no Deny that surely holds."""
    effects = {one.get("Effect") for one in found if _holds(one.get("Condition", {}), keys)}
    return "Allow" in effects and "Deny" not in effects


def _covers(statement: Document, need: Need) -> bool:
    if not _covers_action(statement, need.action):
        return False
    if "NotResource" in statement:
        return not any(_matches(one, need.resource) for one in _listed(statement["NotResource"]))
    return any(_matches(one, need.resource) for one in _listed(statement.get("Resource", [])))


def _covers_action(statement: Document, action: str) -> bool:
    name = action.lower()
    if "NotAction" in statement:
        return not any(_matches(one.lower(), name) for one in _listed(statement["NotAction"]))
    return any(_matches(one.lower(), name) for one in _listed(statement.get("Action", [])))


def _names_service(statement: Document, service: str) -> bool:
    principal = statement.get("Principal", {})
    if principal == "*":
        return True
    return service in _listed(principal.get("Service", [])) or "*" in _listed(principal.get("AWS", []))


def _holds(condition: Mapping[str, Mapping[str, Any]], keys: Mapping[str, str]) -> bool:
    """Whether every operator surely holds; one that is not known here does not."""
    return all(
        _operator_holds(operator, keys.get(key.lower()), _listed(values))
        for operator, tests in condition.items()
        for key, values in tests.items()
    )


def _operator_holds(operator: str, actual: str | None, expected: list[str]) -> bool:
    if_exists = operator.endswith("IfExists")
    holds = OPERATORS.get(operator.removesuffix("IfExists"))
    if actual is None:
        return holds is not None and if_exists
    return holds is not None and any(holds(actual, one) for one in expected)


def _arn_like(actual: str, pattern: str) -> bool:
    """Part by part: a wildcard does not cross a colon, except in the last of the six parts."""
    theirs, wanted = actual.split(":", 5), pattern.split(":", 5)
    return len(theirs) == len(wanted) and all(_matches(one, part) for one, part in zip(wanted, theirs, strict=True))


OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda actual, expected: actual == expected,
    "StringEqualsIgnoreCase": lambda actual, expected: actual.lower() == expected.lower(),
    "StringLike": lambda actual, expected: _matches(expected, actual),
    "ArnEquals": _arn_like,
    "ArnLike": _arn_like,
    "Bool": lambda actual, expected: actual.lower() == expected.lower(),
}


def _matches(pattern: str, text: str) -> bool:
    return _wildcard(pattern).fullmatch(text) is not None


@lru_cache(maxsize=512)
def _wildcard(pattern: str) -> re.Pattern[str]:
    return re.compile("".join({"*": ".*", "?": "."}.get(one, re.escape(one)) for one in pattern), re.DOTALL)


def _listed(value: Any) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return [str(item).lower() if isinstance(item, bool) else str(item) for item in items]


def _lowered(context: Mapping[str, str] | None) -> dict[str, str]:
    return {key.lower(): value for key, value in (context or {}).items()}


def _normal(value: Any) -> Any:
    items = value if isinstance(value, list) else [value]
    return tuple(sorted(map(_normal_item, items), key=repr))


def _normal_item(item: Any) -> Any:
    if isinstance(item, Mapping):
        return tuple(sorted((key, _normal(value)) for key, value in item.items()))
    return _listed(item)[0]
