"""The marks on every object that this tool makes, so that it deletes no other.

``clean`` deletes only what has both marks. Buckets, roles, policies, updates and streams have them as tags; a thing,
which has no tags, as attributes; an OTA update also in its ``additionalParameters``, which AWS returns with the update
and never sends to a device, so that reading them takes no second call.

A registered device has both marks in one attribute, because AWS allows a thing without a type three attributes, and its
owner wants some of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ota.messages import Message, Text, command, joined, message

MANAGED_BY_KEY = "managed-by"
MANAGED_BY = "ota-tasks"
OTA_THING_KEY = "ota-thing"
BETWEEN = "/"  # the two values in the one mark of a registered device; no thing's name has it


def marks(thing_name: str) -> dict[str, str]:
    """The two marks for objects of this thing, as a mapping."""
    return {MANAGED_BY_KEY: MANAGED_BY, OTA_THING_KEY: thing_name}


def registered_marks(owner: str) -> dict[str, str]:
    """The one mark of a thing that was registered in bulk; ``owner`` is the thing of the settings."""
    return {MANAGED_BY_KEY: f"{MANAGED_BY}{BETWEEN}{owner}"}


def registered_for(found: Mapping[str, str]) -> str:
    """The thing of the settings that a thing with these attributes was registered for; empty for any other thing."""
    maker, _, owner = found.get(MANAGED_BY_KEY, "").partition(BETWEEN)
    return owner if maker == MANAGED_BY else ""


def mark_tags(thing_name: str) -> list[dict[str, str]]:
    """The marks as AWS's tag list: ``[{"Key": …, "Value": …}, …]``."""
    return [{"Key": key, "Value": value} for key, value in marks(thing_name).items()]


def from_tags(tags: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """AWS's tag list ``[{"Key": …, "Value": …}]`` as a mapping."""
    return {tag["Key"]: tag.get("Value", "") for tag in tags}


def other_thing(found: Mapping[str, str], thing_name: str) -> str:
    """The other thing that this tool made an object with these tags for; empty where there is none."""
    owner = registered_for(found) or (found.get(OTA_THING_KEY, "") if is_ours(found) else "")
    return owner if owner != thing_name else ""


def reason_to_keep(found: Mapping[str, str], thing_name: str) -> Message:
    """Why ``clean`` keeps an object with these tags, and the command that deletes it."""
    owner = other_thing(found, thing_name)
    if owner:
        return message(f"made for the thing {owner}, stays; ", command("clean", thing_name=owner), " deletes it")
    return message("not made by this tool, stays; ", command("clean", "--force"), " deletes it")


def once_unused(thing_names: Iterable[str], update_ids: Iterable[str] = ()) -> Message:
    """The commands that delete other things and updates which still need an object, and that this one comes after."""
    commands = [command("clean", thing_name=name) for name in thing_names]
    words = [word for one in update_ids for word in ("--name", one)]
    commands += [command("delete.update", *words)] if words else []
    spoken: list[Text] = [message(one) for one in commands]
    return message("Once nobody needs that any more: ", joined(", ", spoken), ", then run the same command again.")


def is_ours(found: Mapping[str, str], thing_name: str | None = None) -> bool:
    """Whether these tags or attributes are our marks, for ``thing_name`` where that is given."""
    registrar = registered_for(found)
    if not registrar and found.get(MANAGED_BY_KEY) != MANAGED_BY:
        return False
    return thing_name is None or (registrar or found.get(OTA_THING_KEY)) == thing_name
