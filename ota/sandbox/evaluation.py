"""Decides what IAM policy documents say about one request, as IAM's own evaluation does.

Pure: documents and a request go in, a decision comes out; where the documents come from is another module's
business. moto's own enforcement asks about the resource ``*`` only and ignores most conditions, so that
statements scoped to an ARN, which are the good ones, would always be refused.

Source: IAM User Guide, "Policy evaluation logic", "IAM JSON policy elements: Condition operators" and
"IAM policy elements: Variables and tags".
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_LITERALS = ("*", "?", "$")
# A wildcard sign that came out of a variable means itself; these two stand for it until patterns are compiled.
_SHIELDED = str.maketrans({"*": "\ue000", "?": "\ue001"})
_UNSHIELDED = str.maketrans({"\ue000": "*", "\ue001": "?"})


@dataclass(frozen=True)
class Request:
    """One action on one resource, with the condition keys that come with it.

    Attributes:
        action: ``service:Operation``.
        resource: the ARN it works on.
        context: condition keys (any case) to values.
        principals: for a trust policy: the names under which the caller may stand in ``Principal``, by type:
            ``{"Service": {"iot.amazonaws.com"}}`` or ``{"AWS": {"arn:…", "123456789012"}}``.
    """

    action: str
    resource: str = "*"
    context: Mapping[str, str] = field(default_factory=dict)
    principals: Mapping[str, frozenset[str]] = field(default_factory=dict)


def is_granted(documents: Iterable[str], request: Request) -> bool:
    """Whether the documents (JSON texts) together allow the request: one Allow, and no Deny."""
    effects = {
        statement.get("Effect")
        for document in documents
        for statement in statements(document)
        if _covers_request(statement, request) and meets_condition(statement, request.context)
    }
    return "Allow" in effects and "Deny" not in effects


def statements(document: str) -> list[dict[str, Any]]:
    """The statements of a policy document (a JSON text) as a list, also where it holds a single object."""
    found = json.loads(document).get("Statement", [])
    return found if isinstance(found, list) else [found]


def names_principal(statement: Mapping[str, Any], principals: Mapping[str, frozenset[str]]) -> bool:
    """Whether a trust statement's ``Principal`` (or ``NotPrincipal``) covers one of these callers."""
    if "NotPrincipal" in statement:
        return not _principal_matches(statement["NotPrincipal"], principals)
    return _principal_matches(statement.get("Principal", {}), principals)


def covers_action(statement: Mapping[str, Any], action: str) -> bool:
    """Whether the statement's ``Action`` or ``NotAction`` covers ``service:Operation``, in any case."""
    if "NotAction" in statement:
        return not any(_matches(one.lower(), action.lower()) for one in _listed(statement["NotAction"]))
    return any(_matches(one.lower(), action.lower()) for one in _listed(statement.get("Action", [])))


def meets_condition(statement: Mapping[str, Any], context: Mapping[str, str]) -> bool:
    """Whether every operator and key of the statement's ``Condition`` holds for these condition keys."""
    keys = {key.lower(): value for key, value in context.items()}
    return all(
        _operator_holds(operator, keys.get(key.lower()), _expand(_listed(expected), keys))
        for operator, wanted in statement.get("Condition", {}).items()
        for key, expected in wanted.items()
    )


def _covers_request(statement: Mapping[str, Any], request: Request) -> bool:
    if not covers_action(statement, request.action):
        return False
    keys = {key.lower(): value for key, value in request.context.items()}
    if "NotResource" in statement:
        return not any(_matches(one, request.resource) for one in _expand(_listed(statement["NotResource"]), keys))
    if "Resource" in statement:
        return any(_matches(one, request.resource) for one in _expand(_listed(statement["Resource"]), keys))
    return names_principal(statement, request.principals)


def _principal_matches(written: Any, principals: Mapping[str, frozenset[str]]) -> bool:
    if written == "*":
        return True
    return any(
        one == "*" or one in principals.get(kind, frozenset())
        for kind, names in written.items()
        for one in _listed(names)
    )


def _expand(patterns: list[str], keys: Mapping[str, str]) -> Iterator[str]:
    """The patterns with their policy variables filled in; one that refers to an absent key matches nothing."""
    for pattern in patterns:
        names = [name for name in _VARIABLE.findall(pattern) if name not in _LITERALS]
        if all(name.lower() in keys for name in names):
            yield _VARIABLE.sub(lambda found: _value(found.group(1), keys), pattern)


def _value(name: str, keys: Mapping[str, str]) -> str:
    return (name if name in _LITERALS else keys[name.lower()]).translate(_SHIELDED)


def _operator_holds(operator: str, actual: str | None, expected: Iterable[str]) -> bool:
    name = operator.rpartition(":")[2]  # ForAnyValue: and ForAllValues: say the same of a single value
    if name == "Null":
        return (actual is None) == ("true" in [one.lower() for one in expected])
    if actual is None:
        return name.endswith("IfExists") or "Not" in name or operator.startswith("ForAllValues:")
    name = name.removesuffix("IfExists")
    positive = name.replace("Not", "")
    holds = _OPERATORS[positive]
    wanted = expected if positive in _PATTERN_OPERATORS else (one.translate(_UNSHIELDED) for one in expected)
    return any(holds(actual, one) for one in wanted) != ("Not" in name)


def _listed(value: Any) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return [json.dumps(one) if isinstance(one, (bool, int, float)) else str(one) for one in items]


def _matches(pattern: str, text: str) -> bool:
    return _wildcard(pattern).fullmatch(text) is not None


@lru_cache(maxsize=1024)
def _wildcard(pattern: str) -> re.Pattern[str]:
    signs = {"*": ".*", "?": "."}
    return re.compile("".join(signs.get(one) or re.escape(one.translate(_UNSHIELDED)) for one in pattern), re.DOTALL)


def _arn_matches(actual: str, pattern: str) -> bool:
    """Each of the six parts by itself: a wildcard does not cross a colon, except in the last part."""
    theirs, ours = actual.split(":", 5), pattern.split(":", 5)
    return len(theirs) == len(ours) and all(_matches(one, other) for one, other in zip(ours, theirs, strict=True))


def _time(text: str) -> datetime:
    if text.isdigit():
        return datetime.fromtimestamp(int(text), timezone.utc)
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def _is_in_network(actual: str, expected: str) -> bool:
    return ipaddress.ip_address(actual) in ipaddress.ip_network(expected, strict=False)


_PATTERN_OPERATORS = ("StringLike", "ArnEquals", "ArnLike")
_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda actual, expected: actual == expected,
    "StringEqualsIgnoreCase": lambda actual, expected: actual.lower() == expected.lower(),
    "StringLike": lambda actual, expected: _matches(expected, actual),
    "ArnEquals": _arn_matches,
    "ArnLike": _arn_matches,
    "Bool": lambda actual, expected: actual.lower() == expected.lower(),
    "BinaryEquals": lambda actual, expected: actual == expected,
    "IpAddress": _is_in_network,
    "NumericEquals": lambda actual, expected: float(actual) == float(expected),
    "NumericLessThan": lambda actual, expected: float(actual) < float(expected),
    "NumericLessThanEquals": lambda actual, expected: float(actual) <= float(expected),
    "NumericGreaterThan": lambda actual, expected: float(actual) > float(expected),
    "NumericGreaterThanEquals": lambda actual, expected: float(actual) >= float(expected),
    "DateEquals": lambda actual, expected: _time(actual) == _time(expected),
    "DateLessThan": lambda actual, expected: _time(actual) < _time(expected),
    "DateLessThanEquals": lambda actual, expected: _time(actual) <= _time(expected),
    "DateGreaterThan": lambda actual, expected: _time(actual) > _time(expected),
    "DateGreaterThanEquals": lambda actual, expected: _time(actual) >= _time(expected),
}
