"""Which OTA updates could not be deleted any more without a role.

AWS deletes an update with the rights of the role that it was made with, and tells nobody which one that is. So a role
counts as needed by the update of the same settings, and by every update that this tool made for the thing that the role
was made for.

Source: AWS IoT DeleteOTAUpdate, GetOTAUpdate (which has no role).
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from ota import ownership, updates
from ota.errors import DENIED_CODES
from ota.threads import side_by_side_map
from ota.update_waits import find_update

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

    from ota.roles import Role
    from ota.settings import Settings
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
        needing = []
        if role.name == settings.iam_role_name and find_update(self._iot, settings.update_name):
            needing.append(settings.update_name)
        thing_name = role.tags.get(ownership.OTA_THING_KEY, "")
        if ownership.is_ours(role.tags, thing_name):
            needing += [one.update_id for one in self._our_updates() if one.is_ours(thing_name)]
        return sorted(set(needing))

    def _our_updates(self) -> list[Update]:
        """Every update that this tool made; asked for once, though several roles are looked at side by side."""
        with self._lock:
            if self._found is None:
                listed = updates.list_updates(self._iot)
                found = side_by_side_map(lambda one: _find_if_allowed(self._iot, one.update_id), listed)
                self._found = [update for update in found if update is not None and update.is_ours()]
            return self._found


def _find_if_allowed(iot: IoTClient, update_id: str) -> Update | None:
    """The update; None too where these credentials are for other names than this."""
    from botocore.exceptions import ClientError

    try:
        return find_update(iot, update_id)
    except ClientError as error:
        if error.response["Error"]["Code"] in DENIED_CODES:
            return None
        raise
