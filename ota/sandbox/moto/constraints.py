"""Checks the parameters of a request against the constraints of the service model, as AWS does.

botocore's client checks types, required members and minimum lengths only. The same service models also carry the
maximum lengths, patterns, ranges and enumerations that AWS enforces on its side, so they are read from there: one
walk over the parsed parameters covers every operation, and the constraints follow the installed botocore. S3's model
has no pattern for bucket names, so that rule is here.

Source: botocore's service models (iot, iam, sts); S3 User Guide, "General purpose bucket naming rules".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_IPV4_SHAPE = re.compile(r"\d+\.\d+\.\d+\.\d+")
_BUCKET_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_BUCKET_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")

# The Java character classes of the models, as parts of a Python character class. The letters are a superset.
_JAVA_CLASSES = {
    r"\p{Cntrl}": r"\x00-\x1f\x7f",
    r"\p{C}": r"\x00-\x1f\x7f-\x9f",
    r"\p{Graph}": r"!-~",
    r"\p{Upper}": r"A-Z",
    r"\p{Digit}": r"0-9",
    r"\p{L}": r"\w",
    r"\p{N}": r"\d",
    r"\p{Z}": r"\s",
}


def is_bucket_name(name: str) -> bool:
    """Whether S3 would accept ``name`` for a new general purpose bucket."""
    if not _BUCKET_NAME.fullmatch(name) or ".." in name or _IPV4_SHAPE.fullmatch(name):
        return False
    return not name.startswith(_BUCKET_PREFIXES) and not name.endswith(_BUCKET_SUFFIXES)


def find_violations(shape: Any, params: Mapping[str, Any]) -> str | None:
    """AWS's message about all parameters that violate the model's constraints, or None.

    Args:
        shape: the operation's input shape (``botocore.model.StructureShape``).
        params: the parsed parameters, under the model's member names.
    """
    found = list(_violations(shape, params, ""))
    if not found:
        return None
    plural = "s" if len(found) > 1 else ""
    return f"{len(found)} validation error{plural} detected: " + "; ".join(found)


def _violations(shape: Any, value: Any, path: str) -> Iterator[str]:
    if value is None:
        return
    if shape.type_name == "structure" and isinstance(value, Mapping):
        yield from _structure_violations(shape, value, path)
    elif shape.type_name == "list" and isinstance(value, list):
        yield from _size_violations(shape, value, path, len(value))
        for number, item in enumerate(value, start=1):
            yield from _violations(shape.member, item, f"{path}.{number}.member")
    elif shape.type_name == "map" and isinstance(value, Mapping):
        yield from _size_violations(shape, value, path, len(value))
        for key, item in value.items():
            yield from _violations(shape.key, key, f"{path}.key")
            yield from _violations(shape.value, item, f"{path}.{key}.member")
    elif isinstance(value, str):
        yield from _string_violations(shape, value, path)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield from _number_violations(shape, value, path)


def _structure_violations(shape: Any, value: Mapping[str, Any], path: str) -> Iterator[str]:
    for name in shape.required_members:
        if value.get(name) is None:
            yield _sentence(None, _join(path, name), "not be null")
    for name, member in shape.members.items():
        yield from _violations(member, value.get(name), _join(path, name))


def _string_violations(shape: Any, value: str, path: str) -> Iterator[str]:
    yield from _size_violations(shape, value, path, len(value))
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        yield _sentence(value, path, f"satisfy enum value set: [{', '.join(allowed)}]")
    pattern = shape.metadata.get("pattern")
    if pattern and not _compiled(pattern).fullmatch(value):
        yield _sentence(value, path, f"satisfy regular expression pattern: {pattern}")


def _size_violations(shape: Any, value: object, path: str, size: int) -> Iterator[str]:
    if size > shape.metadata.get("max", size):
        yield _sentence(value, path, f"have length less than or equal to {shape.metadata['max']}")
    if size < shape.metadata.get("min", size):
        yield _sentence(value, path, f"have length greater than or equal to {shape.metadata['min']}")


def _number_violations(shape: Any, value: float, path: str) -> Iterator[str]:
    if value > shape.metadata.get("max", value):
        yield _sentence(value, path, f"have value less than or equal to {shape.metadata['max']}")
    if value < shape.metadata.get("min", value):
        yield _sentence(value, path, f"have value greater than or equal to {shape.metadata['min']}")


def _sentence(value: object, path: str, constraint: str) -> str:
    shown = "null" if value is None else f"'{value}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: Member must {constraint}"


def _join(path: str, name: str) -> str:
    own = name[0].lower() + name[1:]
    return f"{path}.{own}" if path else own


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    if r"\p{" not in pattern:
        return re.compile(pattern, re.ASCII)  # AWS's \w is ASCII
    for java, python in _JAVA_CLASSES.items():
        pattern = pattern.replace(java, python)
    return re.compile(pattern)
