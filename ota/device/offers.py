"""What a job document offers: the image that it names, or the member that the firmware cannot use.

Pure. A job document is judged as the firmware's parser judges it: what that cannot use is refused here with the
member's name, where the firmware would go quiet.

Source: ``job_parser.c`` of aws/Jobs-for-AWS-IoT-embedded-sdk; ``ota_orchestrator.c`` of
FreeRTOS/iot-reference-arm-corstone3xx.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ota.device.messages import Execution
from ota.errors import DeviceFailed, SignatureError
from ota.firmware.signatures import decode_signature
from ota.profiles import HTTP, MQTT, Profile

SIGNATURE_KEY_START = "sig-"


class BadDocument(DeviceFailed):
    """The job document lacks something that the firmware wants, or has it in a way that it cannot use.

    Attributes:
        member: the member of the document: ``files[0].filesize``.
    """

    def __init__(self, member: str, why: str) -> None:
        self.member = member
        super().__init__(f"the job document's {member} {why}")


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
