"""The firmware's rules: which job document, image, signature and version it accepts.

Each rule is one of the real firmware. Where the firmware would stop without a report, the virtual device reports here
what is wrong, and for a job document which member.

Source: ``job_parser.c`` of aws/Jobs-for-AWS-IoT-embedded-sdk; ``ota_orchestrator.c`` and the update agent of
FreeRTOS/iot-reference-arm-corstone3xx (buffers, version rule); ``ota/profiles.py`` for the other kinds of firmware.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ota.device.messages import BLOCK_BYTES, OfferedJob
from ota.errors import DeviceFailed, SignatureError
from ota.firmware.image_versions import ImageVersion, find_header, read_version, version_problem
from ota.firmware.signatures import decode_signature, verify_signature
from ota.images import read_image
from ota.profiles import CORSTONE, HTTP, MQTT, Padding, Profile, VersionRule

SIGNATURE_KEY_START = "sig-"
JOB_MESSAGE_BYTES = 2048
MOST_BLOCKS = 1 << 16  # a block's index has 16 bits
NO_REPORT = "The firmware reports nothing then: the cloud shows IN_PROGRESS until the job times out or is deleted."


class BadDocument(DeviceFailed):
    """The job document lacks a member that the firmware needs, or has a value that the firmware cannot use.

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
        file_path: the image's name on the device.
        size_bytes: the image's length.
        file_id: the image's number in the stream.
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
class Firmware:
    """One device's firmware.

    Attributes:
        profile: the kind of firmware.
        public_key_path: the key that verifies images.
        has_model: whether the build has a machine-learning model, which leaves less room for the application.
        is_faithful: whether the buffers and counters of Arm's firmware limit it.
    """

    profile: Profile
    public_key_path: Path
    has_model: bool = False
    is_faithful: bool = False

    @property
    def publishes_inference(self) -> bool:
        """Whether its application publishes inference results."""
        return self.profile is CORSTONE

    def check_message(self, size_bytes: int) -> None:
        """Check that the message with the job fits into the firmware's buffer.

        Raises:
            DeviceFailed: it does not.
        """
        buffer_bytes = self.profile.job_message_bytes or JOB_MESSAGE_BYTES
        if self.is_faithful and size_bytes > buffer_bytes:
            raise DeviceFailed(
                f"the message with the job has {size_bytes:,} bytes, and the firmware copies it unchecked into a "
                f"buffer of {buffer_bytes:,}: the device would crash. Shorten update_name and thing_name."
            )

    def check_offer(self, offer: Offer) -> None:
        """Check that the firmware can load this image.

        Raises:
            DeviceFailed: it cannot.
        """
        if not offer.size_bytes:
            raise BadDocument("files[0].filesize", "is 0")
        room = self.profile.largest_image_bytes(offer.file_path, has_model=self.has_model)
        if room is not None and offer.size_bytes > room:
            raise DeviceFailed(
                f"the image has {offer.size_bytes:,} bytes, and the flash for {offer.file_path!r} takes {room:,}. "
                f"{NO_REPORT}"
            )
        if self.is_faithful:
            self._check_limits(offer)

    def verify(self, image_path: Path, offer: Offer) -> str:
        """Verify the image's signature; returns how, as text.

        Raises:
            SignatureError: the signature does not match this image.
        """
        try:
            proof = verify_signature(
                read_image(image_path),
                offer.signature,
                self.public_key_path,
                signature_algorithm=offer.signature_algorithm,
                rsa_padding=self.profile.rsa_padding or Padding.PSS,
                curves=self.profile.curves,
            )
        except SignatureError as error:
            raise SignatureError(
                "the signature does not match: ", error.message, f"\n{NO_REPORT}", remedy=error.remedy
            ) from error
        return str(proof)

    def number_of(self, version: str) -> int:
        """A version as the number that the firmware reports as ``updatedBy``; 0 where it cannot read the version."""
        parsed = self._parse(version)
        if parsed is None:
            return 0
        return parsed.packed if self.profile.version_rule is VersionRule.CORSTONE else _with_revision(parsed)

    def self_test(self, version: str, running: str, updated_by: int) -> str | None:
        """Why the started image is not kept; None where it is.

        Args:
            version: the new image's version; empty where it has none.
            running: the version of the image before; empty where it has none.
            updated_by: the number that was reported for ``running``.
        """
        new, old, rule = self._parse(version), self._parse(running), self.profile.version_rule
        if new is None:
            has_header = self.profile.has_mcuboot_header
            return "it has no MCUboot header, so the boot loader does not start it" if has_header else None
        if rule is VersionRule.CORSTONE:
            is_newer = updated_by & 0xFFFF < new.packed
        else:
            is_newer = rule is VersionRule.NONE or old is None or new > old
        return None if is_newer else version_problem(new, old, rule)

    def _check_limits(self, offer: Offer) -> None:
        if offer.protocol not in self.profile.protocols:
            raise DeviceFailed(
                f"the job offers {offer.protocol}, and {self.profile.firmware} loads over "
                f"{' and '.join(self.profile.protocols)} only. {NO_REPORT}"
            )
        if offer.size_bytes > MOST_BLOCKS * BLOCK_BYTES:
            raise DeviceFailed(f"the image has more than {MOST_BLOCKS:,} blocks, and the firmware counts no further")

    def _parse(self, version: str) -> ImageVersion | None:
        return read_version(version, self.profile.version_rule) if version else None


def version_of(image_path: Path) -> str:
    """The version in the image's header as text; empty where it has no header.

    Raises:
        FirmwareError: the image cannot be read.
    """
    header = find_header(read_image(image_path))
    return str(header.version) if header else ""


def read_offer(document: Mapping[str, Any], profile: Profile) -> Offer:
    """The image that this job document offers to this kind of firmware.

    Of several files the last one counts, as in the firmware's own loop; of several protocols the first.

    Raises:
        BadDocument: the firmware cannot use the document.
    """
    body = _member(document, "afr_ota", dict)
    files = _member(body, "files", list)
    path = f"files[{len(files) - 1}]"
    if not files or not isinstance(files[-1], dict):
        raise BadDocument("files", "names no file")
    file = files[-1]
    protocols = _member(body, "protocols", list) or [""]
    protocol = MQTT if protocols[0] == MQTT else HTTP
    _text(file, "certfile", path)
    signature, algorithm = _signature(file, path, profile)
    if "fileType" in file:
        _number(file, "fileType", path)
    return Offer(
        protocol,
        _text(body, "streamname") if protocol == MQTT else "",
        _url(file, path) if protocol == HTTP else "",
        _image_name(file, path, profile),
        _number(file, "filesize", path),
        _number(file, "fileid", path),
        signature,
        algorithm,
    )


def offer_id(job: OfferedJob, offer: Offer) -> str:
    """Distinguishes this offer from every other, also from one of a later job with the same id; 64 hex digits."""
    parts = (job.job_id, job.queued_at, offer.file_path, offer.size_bytes, offer.signature)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _with_revision(version: ImageVersion) -> int:
    return version.major << 24 | version.minor << 16 | version.revision & 0xFFFF


def _signature(file: Mapping[str, Any], path: str, profile: Profile) -> tuple[str, str]:
    keys = dict(zip(profile.signature_keys, profile.signature_algorithms, strict=True))
    found = next((key for key in keys if key in file), None)
    if found is None:
        others = ", ".join(sorted(key for key in file if key.startswith(SIGNATURE_KEY_START))) or "none"
        raise BadDocument(
            f"{path}.{' or '.join(keys)}",
            f"is missing (it has {others}): {profile.firmware} parses no other signature, because {profile.why}; "
            "set signature_algorithm and firmware_profile to what the device runs",
        )
    text = _text(file, found, path)
    try:
        length = len(decode_signature(text))
    except SignatureError as error:
        raise BadDocument(f"{path}.{found}", f"is no signature: {error}") from error
    if profile.signature_bytes and length > profile.signature_bytes:
        room = f"{profile.firmware} has room for {profile.signature_bytes}"
        raise BadDocument(f"{path}.{found}", f"has {length} bytes, and {room}")
    return text, keys[found]


def _image_name(file: Mapping[str, Any], path: str, profile: Profile) -> str:
    name = _text(file, "filepath", path)
    if not profile.image_file_names or name.startswith(profile.image_file_names):
        return name
    known = ", ".join(profile.image_file_names)
    raise BadDocument(
        f"{path}.filepath", f"is {name!r}, and {profile.firmware} knows only {known}: set image_file_name"
    )


def _url(file: Mapping[str, Any], path: str) -> str:
    _text(file, "auth_scheme", path)
    return _text(file, "update_data_url", path)


def _text(body: Mapping[str, Any], name: str, path: str = "") -> str:
    text: str = _member(body, name, str, path)
    if not text:
        raise BadDocument(_full_name(name, path), "is empty")
    return text


def _number(body: Mapping[str, Any], name: str, path: str) -> int:
    number: int = _member(body, name, int, path)
    if isinstance(number, bool) or not 0 <= number < 1 << 32:
        raise BadDocument(_full_name(name, path), f"is {number}, which is not an unsigned 32-bit number")
    return number


def _member(body: Mapping[str, Any], name: str, kind: type, path: str = "") -> Any:
    value = body.get(name)
    if not isinstance(value, kind):
        raise BadDocument(_full_name(name, path), "is missing" if value is None else "has the wrong type")
    return value


def _full_name(name: str, path: str) -> str:
    return f"{path}.{name}" if path else name
