"""What the flags of ``device`` say, checked: values that cannot be, and two that exclude each other, are refused."""

from __future__ import annotations

from dataclasses import dataclass

from ota.device.faults import Fault, read_fault
from ota.device.messages import Encoding
from ota.errors import OtaError
from ota.settings.readers import read_seconds

MOST_DEVICES = 100
DEFAULT_TIMEOUT_S = 900.0


@dataclass(frozen=True)
class Wish:
    """What the flags of ``device`` say.

    Attributes:
        encoding: of stream messages.
        fault: what goes wrong; None for nothing.
        is_faithful: the firmware's limits hold.
        is_forever: stay for updates to come.
        is_fresh: begin as from the factory.
        count: how many devices at once; 1 for the thing of the settings itself.
        timeout_s: how long all may take; None for ever.
        as_json: one JSON document on stdout.
    """

    encoding: Encoding = Encoding.JSON
    fault: Fault | None = None
    is_faithful: bool = False
    is_forever: bool = False
    is_fresh: bool = False
    count: int = 1
    timeout_s: float | None = DEFAULT_TIMEOUT_S
    as_json: bool = False


def read_wish(
    *, encoding: str, fault: str, faithful: bool, forever: bool, fresh: bool, count: int, timeout: str, as_json: bool
) -> Wish:
    """The flags, checked.

    Raises:
        OtaError: a value that cannot be, or two that exclude each other.
    """
    if encoding not in [one.value for one in Encoding]:
        raise OtaError(f"--encoding {encoding}: choose json or cbor.")
    if faithful and encoding != Encoding.JSON.value:
        raise OtaError("--faithful is Arm's firmware, which asks for JSON only: leave --encoding out.")
    if not 1 <= count <= MOST_DEVICES:
        raise OtaError(f"--count {count}: from 1 to {MOST_DEVICES} devices run at once.")
    if forever and (fault or count > 1):
        raise OtaError("--forever is for one device without a fault: leave --fault and --count out.")
    limit = read_timeout(timeout) if timeout else (None if forever else DEFAULT_TIMEOUT_S)
    return Wish(Encoding(encoding), read_fault(fault), faithful, forever, fresh, count, limit, as_json)


def read_timeout(text: str) -> float:
    """What ``--timeout`` says, in seconds.

    Raises:
        OtaError: it is no number from 0.
    """
    try:
        return read_seconds(text)
    except ValueError as error:
        raise OtaError(f"--timeout {text}: {error}.") from error
