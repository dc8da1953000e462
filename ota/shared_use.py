"""What updates that stay still need of the bucket and the role that a teardown is about to delete.

Two things may share a bucket or a role by name, and so may somebody else's update. AWS tells where an update's image
is, but not which role it has, and it deletes an update with the rights of that role. So this tool notes the role's name
in its own updates. Of somebody else's the role is not known: one by our own name, or with its image in our bucket,
counts as needing ours.

Source: AWS IoT GetOTAUpdate (``s3Location``, ``additionalParameters``, no role), DeleteOTAUpdate.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ota.errors import InTheWay
from ota.images import image_prefix
from ota.settings.table import default_text

if TYPE_CHECKING:
    from ota.settings.settings import Settings
    from ota.update_requests import Update


def needing_bucket(updates: Iterable[Update], settings: Settings, *, is_bucket_ours: bool) -> list[Update]:
    """Those whose image is where this teardown deletes: in our bucket, or under our prefix in somebody else's."""
    prefix = "" if is_bucket_ours else image_prefix(settings.thing_name)
    return [one for one in updates if one.bucket == settings.bucket_name and one.key.startswith(prefix)]


def needing_role(updates: Iterable[Update], settings: Settings) -> list[Update]:
    """Those that AWS may not be able to delete without the role of the settings."""
    return [one for one in updates if _may_need_role(one, settings)]


def may_share_role(settings: Settings) -> bool:
    """Whether other things may use the role: its name is not the default one, which has the thing's name in it."""
    values = {"thing_name": settings.thing_name, "role_prefix": settings.role_prefix}
    return settings.iam_role_name != default_text("iam_role_name", values)


def still_needed(noun: str, name: str, needing: Sequence[Update]) -> InTheWay:
    """Why the bucket or role stays. The way out takes down nothing that somebody may still want without saying so."""
    spoken = ", ".join(one.update_id for one in needing)
    things = sorted({one.thing_name for one in needing if one.thing_name})
    foreign = [one.update_id for one in needing if not one.thing_name]
    owners = f" of the thing {', '.join(things)}" if things and not foreign else ""
    verb = "needs" if len(needing) == 1 else "need"
    return InTheWay(
        f"The {noun} {name} stays, for the update {spoken}{owners} still {verb} it. Once nobody wants that any more: "
        f"{then_again(things, foreign)}.",
        brief=f"the update {spoken}{owners} still {verb} it, stays",
    )


def then_again(thing_names: Iterable[str], update_ids: Sequence[str] = ()) -> str:
    """The commands that take down other things and updates, and that this one comes after them."""
    commands = [f"`invoke with --thing-name {shlex.quote(name)} clean`" for name in thing_names]
    if update_ids:
        names = " ".join(f"--name {shlex.quote(one)}" for one in update_ids)
        commands.append(f"`invoke delete.update {names}`")
    return f"{', '.join(commands)}, then run the same command again"


def _may_need_role(update: Update, settings: Settings) -> bool:
    if update.is_ours():
        return update.role_name in ("", settings.iam_role_name)
    return update.update_id == settings.update_name or update.bucket == settings.bucket_name
