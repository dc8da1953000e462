"""The marks on every object that this tool makes, so that it deletes no other.

``clean`` deletes only what has both marks. Buckets, roles, policies, updates and streams have them as tags; a thing,
which has no tags, as attributes; an OTA update also in its ``additionalParameters``, which AWS returns with the update
and never sends to a device, so that reading them takes no second call.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping

MANAGED_BY_KEY = "managed-by"
MANAGED_BY = "ota-tasks"
OTA_THING_KEY = "ota-thing"


def marks(thing_name: str) -> dict[str, str]:
    """The two marks for objects of this thing, as a mapping."""
    return {MANAGED_BY_KEY: MANAGED_BY, OTA_THING_KEY: thing_name}


def mark_tags(thing_name: str) -> list[dict[str, str]]:
    """The marks as AWS's tag list: ``[{"Key": …, "Value": …}, …]``."""
    return [{"Key": key, "Value": value} for key, value in marks(thing_name).items()]


def from_tags(tags: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """AWS's tag list ``[{"Key": …, "Value": …}]`` as a mapping."""
    return {tag["Key"]: tag.get("Value", "") for tag in tags}


def other_thing(found: Mapping[str, str], thing_name: str) -> str:
    """The other thing that this tool made an object with these tags for; empty where there is none."""
    owner = found.get(OTA_THING_KEY, "") if is_ours(found) else ""
    return owner if owner != thing_name else ""


def way_out(found: Mapping[str, str], thing_name: str, otherwise: str) -> str:
    """The sentence on how an object with these tags goes, which is not ours for the thing; ``otherwise`` by force."""
    owner = other_thing(found, thing_name)
    if owner:
        return f"It goes with the thing {owner}: `invoke with --thing-name {shlex.quote(owner)} clean`."
    return f"{otherwise}: `invoke clean --force`."


def is_ours(found: Mapping[str, str], thing_name: str | None = None) -> bool:
    """Whether these tags or attributes are our marks, for ``thing_name`` where that is given."""
    if found.get(MANAGED_BY_KEY) != MANAGED_BY:
        return False
    return thing_name is None or found.get(OTA_THING_KEY) == thing_name
