"""Which OTA updates of the account still need a bucket or a role.

Two things may share a bucket or a role by name, and so may somebody else's update. AWS tells where an update's image
is. It does not tell which role an update has, and it deletes an update with the permissions of that role. So this tool
writes the role's name into its own updates. The role of any other update is unknown: one with the settings' name, or
with its image in the settings' bucket, counts as needing the role.

AWS has no query for the updates of one thing, so the account's updates are listed and each is looked up. Where there
are too many for that, as in an account with a fleet, the thing's job executions tell which updates it ever had; this
misses an update that AWS could not create. Retries may be for other things, and are known by their names. Where other
things may share the role, every update is looked up anyway.

Source: AWS IoT ListOTAUpdates, GetOTAUpdate (``s3Location``, ``additionalParameters``, no role), DeleteOTAUpdate,
ListJobExecutionsForThing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

from ota import ownership
from ota.aws_calls import answer_or_none
from ota.errors import DENIED_CODES, InTheWay
from ota.images import image_prefix
from ota.settings.table import default_text
from ota.threads import side_by_side_map
from ota.updates.jobs import job_id_of, list_job_ids
from ota.updates.requests import Update
from ota.updates.retries import is_retry_of
from ota.updates.updates import find_update, list_updates

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

    from ota.roles.roles import Role
    from ota.settings.settings import Settings

MOST_ASKED = 50


class Register:
    """The names of the account's updates, as last listed: one call proves an update gone and names all the others."""

    def __init__(self, iot: IoTClient) -> None:
        self._iot = iot
        self._names: list[str] | None = None

    def find(self, update_id: str) -> Update | None:
        """The update with this name; one call where it is gone."""
        return find_update(self._iot, update_id) if update_id in self._list() else None

    def find_others(self, thing_name: str, update_id: str, *, of_all_things: bool) -> list[Update]:
        """The updates that concern the thing, whoever made them, without the one with this name.

        ``of_all_things`` includes the updates of other things, however many there are; without it, where they are few.
        """
        names = self._list() if self._names is None else self._names
        asked = [name for name in names if name != update_id]
        if len(asked) > MOST_ASKED and not of_all_things:
            job_ids = set(list_job_ids(self._iot, thing_name))
            asked = [name for name in asked if job_id_of(name) in job_ids or is_retry_of(name, update_id)]
        return _find_all(self._iot, asked)

    def _list(self) -> list[str]:
        self._names = [one.update_id for one in list_updates(self._iot)]
        return self._names


class RoleNeeds:
    """Tells which updates of the account need a role; cached, because several roles are looked at side by side."""

    def __init__(self, iot: IoTClient, settings: Settings) -> None:
        self._iot = iot
        self._settings = settings
        self._lock = Lock()
        self._found: list[Update] | None = None

    def updates_needing(self, role: Role) -> list[str]:
        """Names of the OTA updates that AWS could not delete without this role, as far as known."""
        settings = self._settings
        needing = [one for one in self._our_updates() if _was_made_with(one, role)]
        if role.name == settings.iam_role_name:
            named = find_update(self._iot, settings.update_name)
            needing += [named] if named and not named.is_ours() else []
        return sorted({one.update_id for one in needing})

    def _our_updates(self) -> list[Update]:
        """Every update that this tool made."""
        with self._lock:
            if self._found is None:
                found = _find_all(self._iot, (one.update_id for one in list_updates(self._iot)))
                self._found = [one for one in found if one.is_ours()]
            return self._found


def find_bucket_need(updates: Iterable[Update], settings: Settings, *, is_bucket_ours: bool) -> InTheWay | None:
    """Why the bucket must stay: one of the updates has its image where ``clean`` would delete it.

    That is anywhere in our own bucket, and under the thing's prefix in somebody else's.
    """
    prefix = "" if is_bucket_ours else image_prefix(settings.thing_name)
    needing = [one for one in updates if one.bucket == settings.bucket_name and one.key.startswith(prefix)]
    return _needed("bucket", settings.bucket_name, needing) if needing else None


def find_role_need(updates: Iterable[Update], settings: Settings) -> InTheWay | None:
    """Why the role must stay: AWS may not be able to delete one of the updates without it."""
    needing = [one for one in updates if _may_need_role(one, settings)]
    return _needed("role", settings.iam_role_name, needing) if needing else None


def may_share_role(settings: Settings) -> bool:
    """Whether other things may use the role: its name is not the default, which contains the thing's name."""
    values = {"thing_name": settings.thing_name, "role_prefix": settings.role_prefix}
    return settings.iam_role_name != default_text("iam_role_name", values)


def _find_all(iot: IoTClient, names: Iterable[str]) -> list[Update]:
    """The updates with these names that still exist and that the credentials may look at."""
    found = side_by_side_map(partial(_find_if_allowed, iot), names)
    return [update for update in found if update is not None]


def _find_if_allowed(iot: IoTClient, update_id: str) -> Update | None:
    """The update; None too where the credentials are for other names."""
    return answer_or_none(partial(find_update, iot, update_id), DENIED_CODES)


def _was_made_with(update: Update, role: Role) -> bool:
    return update.role_name == role.name or (not update.role_name and ownership.is_ours(role.tags, update.thing_name))


def _may_need_role(update: Update, settings: Settings) -> bool:
    if update.is_ours():
        return update.role_name in ("", settings.iam_role_name)
    return update.update_id == settings.update_name or update.bucket == settings.bucket_name


def _needed(noun: str, name: str, needing: Sequence[Update]) -> InTheWay:
    """Why the bucket or role stays; no remedy, because the commands delete what somebody may still need."""
    things = sorted({one.thing_name for one in needing if one.thing_name})
    foreign = [one.update_id for one in needing if not one.thing_name]
    owners = f" of the thing {', '.join(things)}" if things and not foreign else ""
    verb = "needs" if len(needing) == 1 else "need"
    reason = f"the update {', '.join(one.update_id for one in needing)}{owners} still {verb} it"
    return InTheWay(
        f"The {noun} {name} stays, because {reason}. ",
        ownership.once_unused(things, foreign),
        brief=f"{reason}, stays",
    )
