"""The account's updates besides the one that the settings name: the thing's go with it, others may need its role.

AWS has no question for "whose updates are there", so the account's updates are listed and each is asked for its marks.
Where there are too many for that, as in an account with a fleet in production, the thing's job executions tell which of
them the thing ever had; one that could not be made has none, and is missed then. Where other things may share what the
thing has, all are asked for all the same.

Source: AWS IoT ListOTAUpdates, GetOTAUpdate, ListJobExecutionsForThing.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from ota.errors import DENIED_CODES
from ota.jobs import job_id_of, list_job_ids
from ota.threads import side_by_side_map
from ota.update_requests import Update
from ota.updates import find_update, list_updates

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

MOST_ASKED = 50


class Register:
    """The names of the account's updates, as last listed: one call that tells of one update what it tells of all."""

    def __init__(self, iot: IoTClient) -> None:
        self._iot = iot
        self._names: list[str] | None = None

    def find(self, update_id: str) -> Update | None:
        """The update by this name, in one call where it is gone."""
        return find_update(self._iot, update_id) if update_id in self._list() else None

    def find_others(self, thing_name: str, update_id: str, *, of_all_things: bool) -> list[Update]:
        """The updates that concern the thing, whoever made them, but for the one by this name.

        ``of_all_things``: those of other things too, however many there are; without it, where they are few.
        """
        names = self._list() if self._names is None else self._names
        asked = [name for name in names if name != update_id]
        if len(asked) > MOST_ASKED and not of_all_things:
            job_ids = set(list_job_ids(self._iot, thing_name))
            asked = [name for name in asked if job_id_of(name) in job_ids]
        return find_all(self._iot, asked)

    def _list(self) -> list[str]:
        self._names = [one.update_id for one in list_updates(self._iot)]
        return self._names


def find_all(iot: IoTClient, names: Iterable[str]) -> list[Update]:
    """The updates by these names that are still there, as far as the credentials may see them."""
    found = side_by_side_map(partial(_find_if_allowed, iot), names)
    return [update for update in found if update is not None]


def _find_if_allowed(iot: IoTClient, update_id: str) -> Update | None:
    """The update; None too where these credentials are for other names than this."""
    from botocore.exceptions import ClientError

    try:
        return find_update(iot, update_id)
    except ClientError as error:
        if error.response["Error"]["Code"] in DENIED_CODES:
            return None
        raise
