"""Decides whether the ``Condition`` of a policy statement holds for the condition keys of a request.

Source: IAM User Guide, "IAM JSON policy elements: Condition operators" and "Condition operators with multiple keys or
values".
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from .patterns import expand, listed, literal, matches


def meets_condition(statement: Mapping[str, Any], context: Mapping[str, str], *, variables: bool = True) -> bool:
    """Whether every operator and key of the statement's ``Condition`` holds for these condition keys.

    Args:
        statement: of a policy document.
        context: condition keys (any case) to values.
        variables: whether the document supports policy variables.
    """
    conditions = statement.get("Condition")
    if not conditions:
        return True
    keys = {key.lower(): value for key, value in context.items()}
    return all(
        _operator_holds(operator, keys.get(key.lower()), _filled(expected, keys if variables else None))
        for operator, wanted in conditions.items()
        for key, expected in wanted.items()
    )


def is_operator(text: str) -> bool:
    """Whether this is a condition operator, with or without its prefix and ``IfExists``."""
    name = _bare(text)
    return name == "Null" or name in _OPERATORS or name in _NEGATED


def _filled(expected: Any, keys: Mapping[str, str] | None) -> list[str]:
    return listed(expected) if keys is None else list(expand(listed(expected), keys))


def _operator_holds(operator: str, actual: str | None, expected: list[str]) -> bool:
    name = _bare(operator)
    if name == "Null":
        return (actual is None) == ("true" in [one.lower() for one in expected])
    if actual is None:
        return operator.endswith("IfExists") or name in _NEGATED or operator.startswith("ForAllValues:")
    positive = _NEGATED.get(name, name)
    texts = expected if positive in _PATTERN_OPERATORS else [literal(one) for one in expected]
    return any(_holds(positive, actual, one) for one in texts) != (name in _NEGATED)


def _holds(operator: str, actual: str, expected: str) -> bool:
    """False also for values of another type than the operator's, and for an unknown operator."""
    try:
        return operator in _OPERATORS and _OPERATORS[operator](actual, expected)
    except ValueError:
        return False


def _bare(operator: str) -> str:
    """The operator without prefix (``ForAnyValue:``, ``ForAllValues:``: equal for a single value) and ``IfExists``."""
    return operator.rpartition(":")[2].removesuffix("IfExists")


def _arn_matches(actual: str, pattern: str) -> bool:
    """Compares each of the six parts: a wildcard does not cross a colon, except in the last part."""
    theirs, ours = actual.split(":", 5), pattern.split(":", 5)
    return len(theirs) == len(ours) and all(matches(one, other) for one, other in zip(ours, theirs, strict=True))


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
    "StringLike": lambda actual, expected: matches(expected, actual),
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
_NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NotIpAddress": "IpAddress",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
}
