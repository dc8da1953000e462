"""What can go wrong with a device, to be played on purpose: ``--fault NAME``.

Each fault is something that happens to real devices, and the point is what the cloud then shows, which is all that
somebody far away has to go by.

Source: FreeRTOS/iot-reference-arm-corstone3xx ``ota_orchestrator.c`` (nothing is sent when a download or a signature
fails); AWS IoT Developer Guide, "Jobs" (timeouts, statuses that a device may set).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ota.errors import OtaError

LOST_OF = 7


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        name: as given to ``--fault``.
        happens: what goes wrong, a clause.
        shows: what the cloud shows then.
        succeeds: whether the device comes to run the update all the same, and the exit status is 0.
    """

    name: str
    happens: str
    shows: str
    succeeds: bool = False


BAD_SIGNATURE = Fault(
    "bad-signature",
    "one byte of the image is spoilt in the device's flash, so the signature does not match",
    "IN_PROGRESS for ever: the firmware drops the image and says nothing",
)
LOST_BLOCKS = Fault(
    "lost-blocks",
    f"one block in {LOST_OF} is lost on its way; the device asks for the missing ones again, a --faithful one cannot",
    "SUCCEEDED; of a --faithful device IN_PROGRESS for ever, for the firmware has no timer to ask again",
    succeeds=True,
)
CONNECTION_LOST = Fault(
    "connection-lost",
    "the connection breaks in the middle of the download; the device connects again and goes on where it was",
    "SUCCEEDED",
    succeeds=True,
)
POWER_CUT = Fault(
    "power-cut",
    "the power goes between the download and the restart; the next run goes on from there",
    "IN_PROGRESS with updatedBy; SUCCEEDED after the next run",
)
SAME_VERSION = Fault(
    "same-version",
    "the device runs the version already that the image carries",
    "FAILED with updatedBy: the firmware goes back to the image it had",
)
REJECTS = Fault(
    "rejects",
    "the device does not want the job",
    "REJECTED; FAILED where the job was begun already, for then AWS takes no REJECTED",
)
TIMES_OUT = Fault(
    "times-out",
    "the device takes the job, gives itself one minute for it and goes silent",
    "IN_PROGRESS, and after a minute TIMED_OUT",
)
FAULTS = (BAD_SIGNATURE, LOST_BLOCKS, CONNECTION_LOST, POWER_CUT, SAME_VERSION, REJECTS, TIMES_OUT)


def read_fault(name: str) -> Fault | None:
    """The fault of this name; None for an empty one.

    Raises:
        OtaError: there is none of this name.
    """
    found = next((fault for fault in FAULTS if fault.name == name), None)
    if found is None and name:
        raise OtaError(f"--fault {name}: choose one of {', '.join(fault.name for fault in FAULTS)}.")
    return found


def spoil(path: Path) -> None:
    """Turn one byte in the middle of the file over."""
    with path.open("r+b") as file:
        middle = path.stat().st_size // 2
        file.seek(middle)
        byte = file.read(1)
        file.seek(middle)
        file.write(bytes([byte[0] ^ 0xFF]))


class Trouble:
    """Plays a fault, or none. What happens once is remembered, so that the device can get over it."""

    def __init__(self, fault: Fault | None) -> None:
        self.fault = fault
        self._lost: set[int] = set()
        self._has_cut = False

    def has(self, fault: Fault) -> bool:
        """Whether this is the fault that is played."""
        return self.fault is fault

    def loses(self, index: int) -> bool:
        """Whether this block is lost on its way; each only the first time."""
        if not self.has(LOST_BLOCKS) or index % LOST_OF != LOST_OF - 1 or index in self._lost:
            return False
        self._lost.add(index)
        return True

    def cuts(self, done_bytes: int, size_bytes: int) -> bool:
        """Whether the connection breaks now; once, half-way."""
        if not self.has(CONNECTION_LOST) or self._has_cut or 2 * done_bytes < size_bytes:
            return False
        self._has_cut = True
        return True
