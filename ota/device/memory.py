"""What a virtual device remembers over a restart: what runs, and how far an update has come.

It is one small file that is replaced in one step, so that whenever the power goes, the device starts again at the last
step that was finished.

Source: MCUboot's design (test, confirm, revert).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path


class Phase(str, Enum):
    """How far an update has come."""

    DOWNLOADING = "downloading"
    INSTALLED = "installed"  # verified and in the other slot; the device has not restarted yet
    TRIAL = "trial"  # the new image runs, and is not confirmed
    CONFIRMED = "confirmed"  # it stays; the cloud may not know yet
    REVERTED = "reverted"  # the old one runs again; the cloud may not know yet


@dataclass(frozen=True)
class Running:
    """What runs: in which slot, and its version as text; empty where the image tells none."""

    slot: str
    version: str


@dataclass(frozen=True)
class Pending:
    """An update on its way.

    Attributes:
        offer_id: tells it from any other.
        job_id: its job.
        image_name: what the image is on the device.
        size_bytes: the image's length.
        phase: how far it has come.
        before: the version that ran when it was installed, as text.
        updated_by: the same as a number, as the device has reported it.
        version: the new image's version as text; empty before it is known, and where the image tells none.
    """

    offer_id: str
    job_id: str
    image_name: str
    size_bytes: int
    phase: Phase = Phase.DOWNLOADING
    before: str = ""
    updated_by: int = 0
    version: str = ""


@dataclass(frozen=True)
class State:
    """What the device remembers over a restart.

    Attributes:
        running: what runs of each image.
        pending: the update on its way.
        certificate_id: the certificate that is built into its firmware; empty before one is known.
    """

    running: Mapping[str, Running] = field(default_factory=dict)
    pending: Pending | None = None
    certificate_id: str = ""


def to_json(state: State) -> bytes:
    """The state as a file holds it."""
    return json.dumps(asdict(state), indent=2).encode()


def from_json(content: bytes) -> State:
    """The state that a file holds.

    Raises:
        ValueError, KeyError, TypeError: it is none of ours.
    """
    told = json.loads(content)
    pending = told["pending"]
    return State(
        {name: Running(**one) for name, one in told["running"].items()},
        Pending(**{**pending, "phase": Phase(pending["phase"])}) if pending else None,
        str(told["certificate_id"]),
    )


def replace_file(path: Path, content: bytes, *, is_synced: bool = False) -> None:
    """Put the content there in one step."""
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("wb") as file:
        file.write(content)
        if is_synced:
            file.flush()
            os.fsync(file.fileno())
    fresh.replace(path)
