"""Which OTA updates could not be deleted any more without a role.

AWS deletes an update with the rights of the role that it was made with, and tells nobody which one that is. This tool
notes it in its own updates; one of somebody else's counts as needing the role where both have the settings' names.

Source: AWS IoT DeleteOTAUpdate, GetOTAUpdate (which has no role).
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from ota import ownership, updates
from ota.further_updates import find_all
from ota.updates import find_update

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

    from ota.roles import Role
    from ota.settings.settings import Settings
    from ota.update_requests import Update


class RoleNeeds:
    """Knows the updates of an account, as far as the credentials may see them."""

    def __init__(self, iot: IoTClient, settings: Settings) -> None:
        self._iot = iot
        self._settings = settings
        self._lock = Lock()
        self._found: list[Update] | None = None

    def updates_needing(self, role: Role) -> list[str]:
        """Names of the OTA updates that could not be deleted any more without this role, as far as can be told."""
        settings = self._settings
        needing = [one for one in self._our_updates() if self._needs(one, role)]
        if role.name == settings.iam_role_name:
            named = find_update(self._iot, settings.update_name)
            needing += [named] if named and not named.is_ours() else []
        return sorted({one.update_id for one in needing})

    def _needs(self, update: Update, role: Role) -> bool:
        return update.role_name == role.name or (
            not update.role_name and ownership.is_ours(role.tags, update.thing_name)
        )

    def _our_updates(self) -> list[Update]:
        """Every update that this tool made; asked for once, though several roles are looked at side by side."""
        with self._lock:
            if self._found is None:
                listed = updates.list_updates(self._iot)
                found = find_all(self._iot, (one.update_id for one in listed))
                self._found = [one for one in found if one.is_ours()]
            return self._found
