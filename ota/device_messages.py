"""What device and cloud write to each other: topics and payloads of jobs and streams, and what a job document offers.

Pure. Requests have the members that Arm's firmware sends, in its order; answers are looked up by name. A job document
is judged as the firmware's parser judges it: what that cannot use is refused here with the member's name, where the
firmware would go quiet.

Source: AWS IoT Developer Guide, "Jobs device MQTT API" and "Using AWS IoT MQTT-based file delivery in devices";
``job_parser.c`` of aws/Jobs-for-AWS-IoT-embedded-sdk; ``ota_orchestrator.c`` of
FreeRTOS/iot-reference-arm-corstone3xx.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ota.errors import DeviceFailed, SignatureError
from ota.profiles import Profile
from ota.signature_files import decode_signature

BLOCK_BYTES = 4096
MQTT, HTTP = "MQTT", "HTTP"
SIGNATURE_KEY_START = "sig-"


class Encoding(str, Enum):
    """How stream messages are written."""

    JSON = "json"
    CBOR = "cbor"


class BadDocument(DeviceFailed):
    """The job document lacks something that the firmware wants, or has it in a way that it cannot use.

    Attributes:
        member: the member of the document: ``files[0].filesize``.
    """

    def __init__(self, member: str, why: str) -> None:
        self.member = member
        super().__init__(f"the job document's {member} {why}")


@dataclass(frozen=True)
class Topics:
    """A thing's topics."""

    thing_name: str

    @property
    def start_next(self) -> str:
        """Take the next job."""
        return f"{self._jobs}/start-next"

    @property
    def peek(self) -> str:
        """Look at the next job without taking it."""
        return f"{self._jobs}/$next/get"

    @property
    def notify_next(self) -> str:
        """Where the cloud tells of another next job."""
        return f"{self._jobs}/notify-next"

    @property
    def inference(self) -> str:
        """Where the application publishes what it has understood."""
        return f"{self.thing_name}/ml/inference"

    def update(self, job_id: str) -> str:
        """Report on a job."""
        return f"{self._jobs}/{job_id}/update"

    def stream(self, name: str, what: str, encoding: Encoding) -> str:
        """``get`` asks for blocks, which come on ``data``, or a refusal on ``rejected``."""
        return f"$aws/things/{self.thing_name}/streams/{name}/{what}/{encoding.value}"

    @property
    def _jobs(self) -> str:
        return f"$aws/things/{self.thing_name}/jobs"


@dataclass(frozen=True)
class Execution:
    """A job as this device is given it.

    Attributes:
        job_id: the job's id.
        status: QUEUED or IN_PROGRESS.
        version: counts the changes; every report names the one it expects.
        details: what the device wrote with its last report.
        document: the job document.
        queued_at: epoch seconds; another job by the same id has another one.
    """

    job_id: str
    status: str
    version: int
    details: Mapping[str, str]
    document: Mapping[str, Any] = field(repr=False)
    queued_at: int = 0


@dataclass(frozen=True)
class Offer:
    """The image that a job offers.

    Attributes:
        protocol: MQTT or HTTP.
        stream: the stream's name, for MQTT.
        url: a presigned URL, for HTTP; a secret while it is valid.
        file_path: what the image is on the device.
        size_bytes: its length.
        file_id: its number in the stream.
        signature: base64 text.
        signature_algorithm: RSA or ECDSA.
    """

    protocol: str
    stream: str
    url: str = field(repr=False)
    file_path: str
    size_bytes: int
    file_id: int
    signature: str
    signature_algorithm: str


@dataclass(frozen=True)
class Block:
    """One block of a stream's file."""

    index: int
    data: bytes = field(repr=False)


def start_next_request(thing_name: str) -> bytes:
    """The payload that asks for the next job."""
    return _json({"clientToken": thing_name})


def update_request(
    status: str, details: Mapping[str, str] | None, expected_version: int, *, step_minutes: int | None = None
) -> bytes:
    """The payload that reports on a job; the version goes as text, as the firmware sends it."""
    body: dict[str, Any] = {"status": status, "expectedVersion": str(expected_version)}
    if details:
        body["statusDetails"] = dict(details)
    if step_minutes is not None:
        body["stepTimeoutInMinutes"] = step_minutes
    return _json(body)


def blocks_request(offer: Offer, indexes: Iterable[int], encoding: Encoding) -> bytes:
    """The payload that asks for these blocks: by offset and number, and a bitmap where there are gaps between them.

    Bit k of byte j, counted from the low end, stands for block ``offset + 8 j + k``.
    """
    wanted = sorted(indexes)
    body: dict[str, Any] = {"s": 1, "f": offer.file_id, "l": BLOCK_BYTES, "o": wanted[0], "n": len(wanted)}
    if wanted[-1] - wanted[0] >= len(wanted):
        bitmap = _bitmap(wanted)
        body["b"] = bitmap if encoding is Encoding.CBOR else f"0x{bitmap.hex()}"
    if encoding is Encoding.CBOR:
        import cbor2

        return cbor2.dumps(body)
    return json.dumps(body, separators=(",", ": ")).encode()


def read_execution(answer: Mapping[str, Any]) -> Execution | None:
    """The job in an answer of start-next, get or notify-next; None where there is none."""
    told = answer.get("execution")
    if not told:
        return None
    return Execution(
        str(told["jobId"]),
        str(told["status"]),
        int(told["versionNumber"]),
        dict(told.get("statusDetails", {})),
        told.get("jobDocument", {}),
        int(told.get("queuedAt", 0)),
    )


def read_answer(payload: bytes) -> dict[str, Any]:
    """A JSON answer's members; none where it is no JSON object."""
    try:
        found = json.loads(payload)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def read_stream_message(payload: bytes, encoding: Encoding) -> dict[str, Any]:
    """The members of a message of a stream; none where it cannot be read."""
    if encoding is Encoding.JSON:
        return read_answer(payload)
    import cbor2

    try:
        found = cbor2.loads(payload)
    except (cbor2.CBORDecodeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def read_block(payload: bytes, encoding: Encoding) -> Block | None:
    """The block in a data message; None where it cannot be read or is not as long as it says."""
    told = read_stream_message(payload, encoding)
    try:
        data = told["p"] if encoding is Encoding.CBOR else base64.b64decode(told["p"], validate=True)
        index = told["i"]
        is_whole = len(data) == told["l"]
    except (KeyError, TypeError, binascii.Error):
        return None
    return Block(index, data) if is_whole and isinstance(index, int) and isinstance(data, bytes) else None


def read_offer(document: Mapping[str, Any], profile: Profile) -> Offer:
    """The image that this document offers to this kind of firmware.

    Of several files the last one counts, as the firmware's own loop has it; of several protocols the first.

    Raises:
        BadDocument: the firmware cannot use the document.
    """
    body = _member(document, "afr_ota", dict)
    files = _member(body, "files", list)
    place = f"files[{len(files) - 1}]"
    if not files or not isinstance(files[-1], dict):
        raise BadDocument("files", "names no file")
    file = files[-1]
    protocols = _member(body, "protocols", list) or [""]
    protocol = MQTT if protocols[0] == MQTT else HTTP
    _text(file, "certfile", place)
    signature, algorithm = _signature(file, place, profile)
    if "fileType" in file:
        _number(file, "fileType", place)
    return Offer(
        protocol,
        _text(body, "streamname") if protocol == MQTT else "",
        _url(file, place) if protocol == HTTP else "",
        _checked_path(_text(file, "filepath", place), place, profile),
        _number(file, "filesize", place),
        _number(file, "fileid", place),
        signature,
        algorithm,
    )


def offer_id(execution: Execution, offer: Offer) -> str:
    """Tells this offer from any other, one in a later job of the same name too; 64 hex digits."""
    parts = (execution.job_id, execution.queued_at, offer.file_path, offer.size_bytes, offer.signature)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _signature(file: Mapping[str, Any], place: str, profile: Profile) -> tuple[str, str]:
    keys = dict(zip(profile.signature_keys, profile.signature_algorithms, strict=True))
    found = next((key for key in keys if key in file), None)
    if found is None:
        others = ", ".join(sorted(key for key in file if key.startswith(SIGNATURE_KEY_START))) or "none"
        raise BadDocument(
            f"{place}.{' or '.join(keys)}",
            f"is missing (it has {others}): {profile.firmware} parses no other signature, because {profile.why}; "
            "set signature_algorithm and firmware_profile to what the device runs",
        )
    text = _text(file, found, place)
    try:
        length = len(decode_signature(text))
    except SignatureError as error:
        raise BadDocument(f"{place}.{found}", f"is no signature: {error}") from error
    if profile.signature_bytes and length > profile.signature_bytes:
        room = f"{profile.firmware} has room for {profile.signature_bytes}"
        raise BadDocument(f"{place}.{found}", f"stands for {length} bytes, and {room}")
    return text, keys[found]


def _checked_path(text: str, place: str, profile: Profile) -> str:
    if not profile.image_file_names or text.startswith(profile.image_file_names):
        return text
    known = ", ".join(profile.image_file_names)
    raise BadDocument(
        f"{place}.filepath", f"is {text!r}, and {profile.firmware} knows only {known}: set image_file_name"
    )


def _url(file: Mapping[str, Any], place: str) -> str:
    _text(file, "auth_scheme", place)
    return _text(file, "update_data_url", place)


def _text(body: Mapping[str, Any], name: str, place: str = "") -> str:
    text: str = _member(body, name, str, place)
    if not text:
        raise BadDocument(_full_name(name, place), "is empty")
    return text


def _number(body: Mapping[str, Any], name: str, place: str) -> int:
    number: int = _member(body, name, int, place)
    if isinstance(number, bool) or not 0 <= number < 1 << 32:
        raise BadDocument(_full_name(name, place), f"is {number}, which is no number of 32 bits without a sign")
    return number


def _member(body: Mapping[str, Any], name: str, kind: type, place: str = "") -> Any:
    value = body.get(name)
    if not isinstance(value, kind):
        raise BadDocument(
            _full_name(name, place), "is missing" if value is None else "is of another type than it must be"
        )
    return value


def _full_name(name: str, place: str) -> str:
    return f"{place}.{name}" if place else name


def _bitmap(wanted: list[int]) -> bytes:
    bits = bytearray((wanted[-1] - wanted[0]) // 8 + 1)
    for index in wanted:
        bits[(index - wanted[0]) // 8] |= 1 << (index - wanted[0]) % 8
    return bytes(bits)


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
