"""The MQTT topics and payloads of AWS IoT Jobs and streams, as a device writes and reads them.

Pure functions. Requests have the members that Arm's firmware sends, in its order; answers are read by member name.

Source: AWS IoT Developer Guide, "Jobs device MQTT API" and "Using AWS IoT MQTT-based file delivery in devices";
``ota_orchestrator.c`` of FreeRTOS/iot-reference-arm-corstone3xx.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

BLOCK_BYTES = 4096


class Encoding(str, Enum):
    """The encoding of stream messages."""

    JSON = "json"
    CBOR = "cbor"


@dataclass(frozen=True)
class Topics:
    """The topics of one thing."""

    thing_name: str

    @property
    def start_next(self) -> str:
        """Start the next job."""
        return f"{self._jobs}/start-next"

    @property
    def peek(self) -> str:
        """Read the next job without starting it."""
        return f"{self._jobs}/$next/get"

    @property
    def notify_next(self) -> str:
        """The cloud publishes here when the next job changes."""
        return f"{self._jobs}/notify-next"

    @property
    def inference(self) -> str:
        """The application publishes its inference results here."""
        return f"{self.thing_name}/ml/inference"

    def update(self, job_id: str) -> str:
        """Report on a job."""
        return f"{self._jobs}/{job_id}/update"

    def stream(self, name: str, what: str, encoding: Encoding) -> str:
        """``get`` requests blocks, which arrive on ``data``; ``rejected`` carries a refusal."""
        return f"$aws/things/{self.thing_name}/streams/{name}/{what}/{encoding.value}"

    @property
    def _jobs(self) -> str:
        return f"$aws/things/{self.thing_name}/jobs"


@dataclass(frozen=True)
class OfferedJob:
    """A job execution as the device receives it.

    Attributes:
        job_id: the job's id.
        status: QUEUED or IN_PROGRESS.
        version: increases with each change; a report names the version that it expects.
        details: the status details of the device's last report.
        document: the job document.
        queued_at: epoch seconds; it distinguishes a later job with the same id.
    """

    job_id: str
    status: str
    version: int
    details: Mapping[str, str]
    document: Mapping[str, Any] = field(repr=False)
    queued_at: int = 0


@dataclass(frozen=True)
class Block:
    """One block of a stream's file."""

    index: int
    data: bytes = field(repr=False)


def start_next_request(thing_name: str) -> bytes:
    """The payload that requests the next job."""
    return _json({"clientToken": thing_name})


def update_request(
    status: str, details: Mapping[str, str] | None, expected_version: int, *, step_minutes: int | None = None
) -> bytes:
    """The payload that reports a job's status; the version is text, as the firmware sends it."""
    body: dict[str, Any] = {"status": status, "expectedVersion": str(expected_version)}
    if details:
        body["statusDetails"] = dict(details)
    if step_minutes is not None:
        body["stepTimeoutInMinutes"] = step_minutes
    return _json(body)


def blocks_request(file_id: int, indexes: Iterable[int], encoding: Encoding) -> bytes:
    """The payload that requests these blocks of a file: offset and number, and a bitmap where there are gaps.

    Bit k of byte j, counted from the low end, is block ``offset + 8 j + k``.
    """
    wanted = sorted(indexes)
    body: dict[str, Any] = {"s": 1, "f": file_id, "l": BLOCK_BYTES, "o": wanted[0], "n": len(wanted)}
    if wanted[-1] - wanted[0] >= len(wanted):
        bitmap = _bitmap(wanted)
        body["b"] = bitmap if encoding is Encoding.CBOR else f"0x{bitmap.hex()}"
    if encoding is Encoding.CBOR:
        import cbor2

        return cbor2.dumps(body)
    return json.dumps(body, separators=(",", ": ")).encode()


def read_job(answer: Mapping[str, Any]) -> OfferedJob | None:
    """The job in an answer of start-next or get; None where there is none."""
    told = answer.get("execution")
    if not told:
        return None
    return OfferedJob(
        str(told["jobId"]),
        str(told["status"]),
        int(told["versionNumber"]),
        dict(told.get("statusDetails", {})),
        told.get("jobDocument", {}),
        int(told.get("queuedAt", 0)),
    )


def read_answer(payload: bytes) -> dict[str, Any]:
    """The members of a JSON answer; empty where it is not a JSON object."""
    try:
        found = json.loads(payload)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def read_stream_message(payload: bytes, encoding: Encoding) -> dict[str, Any]:
    """The members of a stream's message; empty where it cannot be read."""
    if encoding is Encoding.JSON:
        return read_answer(payload)
    import cbor2

    try:
        found = cbor2.loads(payload)
    except (cbor2.CBORDecodeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def read_block(payload: bytes, encoding: Encoding) -> Block | None:
    """The block in a data message; None where it cannot be read or its length is wrong."""
    told = read_stream_message(payload, encoding)
    try:
        data = told["p"] if encoding is Encoding.CBOR else base64.b64decode(told["p"], validate=True)
        index = told["i"]
        is_whole = len(data) == told["l"]
    except (KeyError, TypeError, binascii.Error):
        return None
    return Block(index, data) if is_whole and isinstance(index, int) and isinstance(data, bytes) else None


def _bitmap(wanted: list[int]) -> bytes:
    bits = bytearray((wanted[-1] - wanted[0]) // 8 + 1)
    for index in wanted:
        bits[(index - wanted[0]) // 8] |= 1 << (index - wanted[0]) % 8
    return bytes(bits)


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
