"""Patterns in policy documents: wildcards, and policy variables that are replaced by values of the request.

The value of a variable is taken literally, so that a client or user whose name contains ``*`` gains nothing by it. A
document of version 2008-10-17, or without a version, has no variables.

Source: IAM User Guide, "IAM policy elements: Variables and tags" and "IAM JSON policy elements: Version".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

WITH_VARIABLES = "2012-10-17"
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_PARTS = re.compile(r"\s*(?P<name>.*?)\s*(?:,\s*'(?P<default>[^']*)'\s*)?", re.DOTALL)
_LITERALS = ("*", "?", "$")
# A wildcard character in a variable's value is literal; these two stand for it until patterns are compiled.
_SHIELDED = str.maketrans({"*": "\ue000", "?": "\ue001"})
_UNSHIELDED = str.maketrans({"\ue000": "*", "\ue001": "?"})


def listed(value: Any) -> list[str]:
    """One value or several, as a list of strings; numbers and booleans in JSON form."""
    items = value if isinstance(value, list) else [value]
    return [json.dumps(one) if isinstance(one, (bool, int, float)) else str(one) for one in items]


def expand(patterns: Iterable[str], keys: Mapping[str, str]) -> Iterator[str]:
    """The patterns with their variables replaced from ``keys`` (lower case).

    A pattern with a variable that has neither value nor default matches nothing and is left out.
    """
    for pattern in patterns:
        texts, names = _VARIABLE.split(pattern)[::2], _VARIABLE.findall(pattern)
        values = [_value(name, keys) for name in names]
        if None not in values:
            yield texts[0] + "".join(f"{value}{text}" for value, text in zip(values, texts[1:], strict=True))


def variable_names(pattern: str) -> Iterator[str]:
    """The condition keys that a pattern needs a value for."""
    for text in _VARIABLE.findall(pattern):
        name, default = _split(text)
        if name not in _LITERALS and default is None:
            yield name


def matches(pattern: str, text: str) -> bool:
    """Whether ``text`` matches a pattern with ``*`` and ``?``."""
    return _compiled(pattern).fullmatch(text) is not None


def literal(pattern: str) -> str:
    """An expanded pattern as plain text, for operators without wildcards."""
    return pattern.translate(_UNSHIELDED)


def _value(text: str, keys: Mapping[str, str]) -> str | None:
    name, default = _split(text)
    found = name if name in _LITERALS else keys.get(name.lower(), default)
    return None if found is None else found.translate(_SHIELDED)


def _split(text: str) -> tuple[str, str | None]:
    """Name and default of ``aws:username, 'nobody'``."""
    found = _PARTS.fullmatch(text)
    return (found["name"], found["default"]) if found else (text, None)


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    signs = {"*": ".*", "?": "."}
    return re.compile("".join(signs.get(one) or re.escape(literal(one)) for one in pattern), re.DOTALL)
