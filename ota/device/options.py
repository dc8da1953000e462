"""The options of a virtual device: what the flags of ``invoke device`` set, and the limits and pace of its messages."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ota.device.faults import MOST_PERCENT, Fault, FaultShare, read_fault_shares
from ota.device.messages import BLOCK_BYTES, Encoding
from ota.errors import OtaError
from ota.settings.readers import read_seconds

MOST_DEVICES = 10_000
DEFAULT_TIMEOUT_S = 900.0


@dataclass(frozen=True)
class DeviceOptions:
    """The flags of ``invoke device``.

    Attributes:
        encoding: encoding of stream messages.
        fault: the fault that the device injects; None for none.
        shares: of many devices, which part injects which fault.
        is_faithful: apply the limits of Arm's firmware.
        is_forever: stay connected and take later updates too.
        is_fresh: reset the device to its factory state first.
        count: number of devices; 1 is the thing of the settings itself, more are registered ones.
        timeout_s: limit of the whole run; None for no limit.
        as_json: print one JSON document on stdout.
    """

    encoding: Encoding = Encoding.JSON
    fault: Fault | None = None
    is_faithful: bool = False
    is_forever: bool = False
    is_fresh: bool = False
    count: int = 1
    timeout_s: float | None = None
    as_json: bool = False
    shares: tuple[FaultShare, ...] = ()

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Every fault that some device injects."""
        return tuple(share.fault for share in self.shares)


@dataclass(frozen=True)
class Pace:
    """How a device requests blocks over MQTT.

    Attributes:
        request_blocks: blocks in one request; AWS sends at most 128 KiB for one.
        requests_ahead: how many requests may be unanswered.
        quiet_s: time without a block after which the missing blocks are requested again.
        tries: number of such periods in a row after which the download fails.
    """

    request_blocks: int = 131072 // BLOCK_BYTES
    requests_ahead: int = 3
    quiet_s: float = 1.0
    tries: int = 5


# Arm's firmware requests no block twice; the wait only has to be long enough to tell silence from a slow answer.
FAITHFUL_PACE = Pace(request_blocks=1, requests_ahead=1, quiet_s=5.0, tries=1)


@dataclass(frozen=True)
class Timing:
    """The clock of a device and how long it waits.

    Attributes:
        pace: how blocks are requested; None for the pace of the device's firmware.
        answer_timeout_s: how long the device waits for one answer.
        clock: monotonic seconds.
        sleep: waits for this number of seconds.
    """

    pace: Pace | None = None
    answer_timeout_s: float = 10.0
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)


def read_options(
    *,
    encoding: str,
    faults: Sequence[str],
    faithful: bool,
    forever: bool,
    fresh: bool,
    count: int,
    timeout: str,
    as_json: bool,
) -> DeviceOptions:
    """The options that the flags set.

    Raises:
        OtaError: a value cannot be used, or two flags exclude each other.
    """
    if encoding not in [one.value for one in Encoding]:
        raise OtaError(f"--encoding {encoding}: choose json or cbor.")
    if faithful and encoding != Encoding.JSON.value:
        raise OtaError("--faithful is Arm's firmware, which requests blocks in JSON only: leave --encoding out.")
    if not 1 <= count <= MOST_DEVICES:
        raise OtaError(f"--count {count}: from 1 to {MOST_DEVICES:,} devices can be played.")
    shares = read_fault_shares(faults)
    if count == 1 and any(share.percent < MOST_PERCENT for share in shares):
        raise OtaError("--fault NAME:5% is a share of many devices: add --count, or leave the share out.")
    if forever and (shares or count > 1):
        raise OtaError("--forever is for one device without a fault: leave --fault and --count out.")
    default_s = None if forever else DEFAULT_TIMEOUT_S
    timeout_s = read_timeout(timeout) if timeout else default_s
    fault = shares[0].fault if count == 1 and shares else None
    return DeviceOptions(Encoding(encoding), fault, faithful, forever, fresh, count, timeout_s, as_json, shares)


def read_timeout(text: str) -> float:
    """The value of ``--timeout`` in seconds.

    Raises:
        OtaError: it is not a number from 0.
    """
    try:
        return read_seconds(text)
    except ValueError as error:
        raise OtaError(f"--timeout {text}: {error}.") from error
