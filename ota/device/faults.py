"""Faults that a virtual device can inject with ``--fault NAME``, and what the cloud shows for each of them.

Each fault is one that real devices have. Somebody who is not near the device sees only what the cloud shows.

Source: FreeRTOS/iot-reference-arm-corstone3xx ``ota_orchestrator.c`` (the firmware sends nothing when a download or a
signature fails); AWS IoT Developer Guide, "Jobs" (timeouts, and the statuses that a device may set).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ota.errors import OtaError

LOST_OF = 7
PERCENT = re.compile(r"\d+(\.\d+)?%")


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        name: the value of ``--fault``.
        happens: what goes wrong, as a clause.
        shows: what the cloud shows as a result.
        succeeds: whether the device runs the update all the same, and the exit status is 0.
    """

    name: str
    happens: str
    shows: str
    succeeds: bool = False


BAD_SIGNATURE = Fault(
    "bad-signature",
    "one byte of the image is corrupted in the device's flash, so the signature does not match",
    "IN_PROGRESS for ever: the firmware drops the image and reports nothing",
)
LOST_BLOCKS = Fault(
    "lost-blocks",
    f"one block in {LOST_OF} is lost in transit; the device requests the missing ones again, a --faithful one cannot",
    "SUCCEEDED; for a --faithful device IN_PROGRESS for ever, because the firmware has no retry timer",
    succeeds=True,
)
CONNECTION_LOST = Fault(
    "connection-lost",
    "the connection breaks in the middle of the download; the device reconnects and resumes the download",
    "SUCCEEDED",
    succeeds=True,
)
POWER_CUT = Fault(
    "power-cut",
    "the power fails between the download and the restart; the next run continues from there",
    "IN_PROGRESS with updatedBy; SUCCEEDED after the next run",
)
SAME_VERSION = Fault(
    "same-version",
    "the device already runs the version of the image",
    "FAILED with updatedBy: the firmware goes back to the old image",
)
REJECTS = Fault(
    "rejects",
    "the device refuses the job",
    "REJECTED; FAILED where the job was already in progress, because AWS then accepts no REJECTED",
)
TIMES_OUT = Fault(
    "times-out",
    "the device takes the job, sets its step timeout to one minute and sends nothing more",
    "IN_PROGRESS, and after a minute TIMED_OUT",
)
MOST_PERCENT = 100.0
FAULTS = (BAD_SIGNATURE, LOST_BLOCKS, CONNECTION_LOST, POWER_CUT, SAME_VERSION, REJECTS, TIMES_OUT)


@dataclass(frozen=True)
class FaultShare:
    """A fault, and how many percent of the devices inject it: above 0, 100 at most."""

    fault: Fault
    percent: float = MOST_PERCENT


def read_fault_shares(texts: Sequence[str]) -> tuple[FaultShare, ...]:
    """What each ``--fault`` says: ``NAME`` for every device, ``NAME:5%`` for a share of them.

    Raises:
        OtaError: no fault has the name, the share is no percentage, or together they are more than all devices.
    """
    shares = tuple(_read_fault_share(text) for text in texts if text)
    if sum(share.percent for share in shares) > MOST_PERCENT:
        raise OtaError("--fault: together these are more than 100 % of the devices; name smaller shares.")
    return shares


def assign_faults(thing_names: Sequence[str], shares: Sequence[FaultShare]) -> dict[str, Fault]:
    """Which of these devices inject which fault, by name. The same devices get the same faults every time.

    The devices are ranked by the hash of their names, so that the faulty ones are spread over them.
    """
    ranked = sorted(thing_names, key=lambda name: hashlib.sha256(name.encode()).digest())
    assigned: dict[str, Fault] = {}
    begun = 0.0
    for share in shares:
        ended = begun + share.percent
        first, last = (round(len(ranked) * percent / MOST_PERCENT) for percent in (begun, ended))
        assigned |= dict.fromkeys(ranked[first:last], share.fault)
        begun = ended
    return assigned


def _read_fault_share(text: str) -> FaultShare:
    name, separator, percent = text.partition(":")
    found = next((fault for fault in FAULTS if fault.name == name), None)
    if found is None:
        raise OtaError(f"--fault {text}: choose one of {', '.join(fault.name for fault in FAULTS)}.")
    if not separator:
        return FaultShare(found)
    if not PERCENT.fullmatch(percent) or not 0 < float(percent[:-1]) <= MOST_PERCENT:
        raise OtaError(f"--fault {text}: write the share of the devices as a percentage, such as {name}:5%.")
    return FaultShare(found, float(percent[:-1]))


def corrupt(path: Path) -> None:
    """Invert one byte in the middle of the file."""
    with path.open("r+b") as file:
        middle = path.stat().st_size // 2
        file.seek(middle)
        byte = file.read(1)
        file.seek(middle)
        file.write(bytes([byte[0] ^ 0xFF]))


class FaultInjector:
    """Injects a fault, or none. It remembers what it has done, because a lost block or connection is lost only once."""

    def __init__(self, fault: Fault | None) -> None:
        self._fault = fault
        self._lost: set[int] = set()
        self._has_cut = False

    def injects(self, fault: Fault) -> bool:
        """Whether this is the fault that is injected."""
        return self._fault is fault

    def loses_block(self, index: int) -> bool:
        """Whether this block is lost in transit; each one only the first time."""
        if not self.injects(LOST_BLOCKS) or index % LOST_OF != LOST_OF - 1 or index in self._lost:
            return False
        self._lost.add(index)
        return True

    def cuts_connection(self, done_bytes: int, size_bytes: int) -> bool:
        """Whether the connection breaks now: once, half-way through the image."""
        if not self.injects(CONNECTION_LOST) or self._has_cut or 2 * done_bytes < size_bytes:
            return False
        self._has_cut = True
        return True
