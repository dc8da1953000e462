"""The marks that tell what this tool made from what it found.

``clean`` deletes only what carries both marks. Buckets, roles, policies, updates and streams carry them as tags;
a thing, which has no tags, as attributes; an OTA update also in its ``additionalParameters``, which AWS returns
with the update and never sends to a device, so that reading them costs no second call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

MANAGED_BY_KEY = "managed-by"
MANAGED_BY = "ota-tasks"
OTA_THING_KEY = "ota-thing"


def marks(thing_name: str) -> dict[str, str]:
    """The two marks for objects of this thing, as a plain mapping."""
    return {MANAGED_BY_KEY: MANAGED_BY, OTA_THING_KEY: thing_name}


def mark_tags(thing_name: str) -> list[dict[str, str]]:
    """The marks in the form of AWS's tags: ``[{"Key": …, "Value": …}, …]``."""
    return [{"Key": key, "Value": value} for key, value in marks(thing_name).items()]


def from_tags(tags: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """AWS's tag list ``[{"Key": …, "Value": …}]`` as a mapping."""
    return {tag["Key"]: tag.get("Value", "") for tag in tags}


def is_ours(found: Mapping[str, str], thing_name: str | None = None) -> bool:
    """Whether these tags or attributes carry our marks; for ``thing_name``, that thing's."""
    if found.get(MANAGED_BY_KEY) != MANAGED_BY:
        return False
    return thing_name is None or found.get(OTA_THING_KEY) == thing_name
