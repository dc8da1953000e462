"""The names of the updates that send an update again to those that did not take it; nothing here calls AWS.

The first retry of ``lamp_update`` is ``lamp_update-retry-1``, the next one ``lamp_update-retry-2``. So a listing of the
account's updates says which retries there are. A retry of a retry counts on.

Source: AWS IoT CreateOTAUpdate (characters of a name); ``ota/settings/names.py`` for its length.
"""

from __future__ import annotations

import re

from ota.settings.names import UPDATE_NAME_CHARS, fit

MARK = "-retry-"
LONGEST_NUMBER = 3
_RETRY = re.compile(rf"(?P<first>.+){MARK}(?P<number>[1-9][0-9]{{0,{LONGEST_NUMBER - 1}}})")


def retry_name(update_id: str, number: int) -> str:
    """The name of the so many-th retry of an update, or of one of its retries."""
    return f"{retry_prefix(update_id)}{number}"


def retry_prefix(update_id: str) -> str:
    """What the names of all retries of an update begin with; a long name is cut, and a hash marks that."""
    found = _RETRY.fullmatch(update_id)
    return fit(found["first"] if found else update_id, UPDATE_NAME_CHARS - len(MARK) - LONGEST_NUMBER) + MARK


def retry_number(name: str, update_id: str) -> int:
    """Which retry of the update has this name: 0 for the update itself, -1 for one that is neither.

    Where ``update_id`` is a retry itself, that and those after it are meant.
    """
    own = _RETRY.fullmatch(update_id)
    if name == update_id:
        return int(own["number"]) if own else 0
    found = _RETRY.fullmatch(name)
    is_one = found is not None and retry_prefix(name) == name[: -len(found["number"])] == retry_prefix(update_id)
    if found is None or not is_one:
        return -1
    return int(found["number"]) if not own or int(found["number"]) > int(own["number"]) else -1


def is_retry_of(name: str, update_id: str) -> bool:
    """Whether an update or a thing group has the name of a retry of this update."""
    return retry_number(name, update_id) > 0
