"""The documents of IoT policies, checked as AWS IoT checks them when they are stored.

A document that AWS would refuse, or that means nothing there, must not be found out on the device.

Source: AWS IoT quotas (2048 characters without whitespace); Developer Guide, "AWS IoT Core policies".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ota.sandbox.policy.conditions import is_operator

from .refusals import Refusal

_LONGEST = 2048
_VERSIONS = ("2012-10-17", "2008-10-17")
_ACTION = re.compile(r"\*|[a-z0-9-]+:[A-Za-z*?]+")
_RESOURCE = re.compile(r"\*|arn:[a-z*-]+:[a-z0-9*-]+:[^:]*:[^:]*:.+")
_STATEMENT_KEYS = {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"}


def check_document(text: str) -> None:
    """Refuse a policy document that AWS IoT would refuse.

    Raises:
        Refusal: MalformedPolicyException; its message says what is wrong.
    """
    problem = next(_problems(text), None)
    if problem:
        raise _malformed(problem)


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


def _malformed(problem: str) -> Refusal:
    """MalformedPolicyException. UNVERIFIED: AWS's words after "Malformed:" are its own."""
    return Refusal("MalformedPolicyException", f"Policy document is Malformed: {problem}")
