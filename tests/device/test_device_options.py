"""The flags of ``device``: what is refused, and when it all has to end."""

from __future__ import annotations

from typing import Any

import pytest

from ota.device.options import MOST_DEVICES, read_options
from ota.errors import OtaError

FLAGS = {
    "encoding": "json",
    "faults": (),
    "faithful": False,
    "forever": False,
    "fresh": False,
    "count": 1,
    "timeout": "",
    "as_json": False,
}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"encoding": "xml"}, "json or cbor"),
        ({"encoding": "cbor", "faithful": True}, "leave --encoding out"),
        ({"faults": ["fire"]}, "choose one of bad-signature"),
        ({"count": 0}, f"from 1 to {MOST_DEVICES:,}"),
        ({"count": MOST_DEVICES + 1}, f"from 1 to {MOST_DEVICES:,}"),
        ({"faults": ["rejects:5%"]}, "add --count"),
        ({"forever": True, "count": 2}, "for one device"),
        ({"forever": True, "faults": ["rejects"]}, "without a fault"),
        ({"timeout": "soon"}, "write a number of seconds, 0 or more"),
        ({"timeout": "-1"}, "write a number of seconds, 0 or more"),
        ({"timeout": "nan"}, "write a number of seconds, 0 or more"),
    ],
)
def test_flags_that_cannot_be_are_refused(flags: dict[str, Any], words: str) -> None:
    with pytest.raises(OtaError, match=words):
        read_options(**{**FLAGS, **flags})


@pytest.mark.parametrize(
    ("flags", "timeout_s"), [({}, 900), ({"timeout": "5"}, 5), ({"forever": True}, None)], ids=["", "5", "forever"]
)
def test_all_has_an_end_but_for_one_that_stays(flags: dict[str, Any], timeout_s: float | None) -> None:
    assert read_options(**{**FLAGS, **flags}).timeout_s == timeout_s
