"""The version in an image's header, and whether a device takes it for a newer one.

A device compares versions only after it has downloaded the image and rebooted into it, and its rules differ from the
usual order of versions. An image that it does not take for a newer one is discarded then.

Source: ``struct image_header`` of MCUboot's ``image.h``; ``ota_orchestrator.c`` and the update agent's version function
of FreeRTOS/iot-reference-arm-corstone3xx; ``ota.c`` of aws/ota-for-aws-iot-embedded-sdk.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, replace

from ota.errors import FirmwareError
from ota.images import ImageFile
from ota.profiles import VersionRule

MCUBOOT_MAGIC = 0x96F3B83D
# Magic, load address, sizes of header, protected TLVs and image, flags, and the version's four numbers.
_HEADER = struct.Struct("<IIHHIIBBHI")
_WRITTEN = re.compile(r"\s*v?(\d{1,3})\.(\d{1,3})\.(\d{1,5})(?:\+(\d{1,10}))?\s*")
_NONE = "an image without a version"
_BYTE, _HALF_WORD, _WORD = 0xFF, 0xFFFF, 0xFFFFFFFF
_HIGHER = "the classic agent takes only a higher version"
_CORSTONE = (
    "this firmware compares major, minor and the build number after the + (not the third number) of the new image "
    "with the build number alone of the running one"
)


@dataclass(frozen=True, order=True)
class ImageVersion:
    """``major.minor.revision+build``, as MCUboot has it: 8, 8, 16 and 32 bits."""

    major: int
    minor: int
    revision: int
    build: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.revision}+{self.build}"

    @property
    def packed(self) -> int:
        """The number that Arm's firmware compares: 8 bits major, 8 bits minor, 16 bits build; the revision is lost."""
        return self.major << 24 | self.minor << 16 | self.build & _HALF_WORD


@dataclass(frozen=True)
class ImageHeader:
    """The header at an image's start: its version, and the least size of the whole image."""

    version: ImageVersion
    least_bytes: int


def find_header(image: ImageFile) -> ImageHeader | None:
    """The image's MCUboot header; None where it has none."""
    if len(image.front) < _HEADER.size:
        return None
    magic, _, header_bytes, _, payload_bytes, _, *numbers = _HEADER.unpack_from(image.front)
    return ImageHeader(ImageVersion(*numbers), header_bytes + payload_bytes) if magic == MCUBOOT_MAGIC else None


def read_version(text: str, rule: VersionRule) -> ImageVersion:
    """The version in a text: ``0.0.10+0``, ``v0.9.2``, or the number that a device reports as ``updatedBy``.

    Such a number holds major, minor and, in its lower half, a third number: for Arm's firmware the build number, for
    the classic agent the third one.

    Raises:
        FirmwareError: it is none of these.
    """
    written = _WRITTEN.fullmatch(text)
    if written:
        version = ImageVersion(*(int(number or 0) for number in written.groups()))
        if max(version.major, version.minor) <= _BYTE and version.revision <= _HALF_WORD and version.build <= _WORD:
            return version
    elif (number := _whole_number(text)) is not None and number <= _WORD:
        major, minor, last = number >> 24, number >> 16 & _BYTE, number & _HALF_WORD
        is_build = rule is VersionRule.CORSTONE
        return ImageVersion(major, minor, 0 if is_build else last, last if is_build else 0)
    raise FirmwareError(f"{text!r} is no version; write it as 0.0.10+0, or as the number in updatedBy")


def version_words(version: str) -> str:
    """A version in a sentence; an image without an MCUboot header has none."""
    return version or _NONE


def _whole_number(text: str) -> int | None:
    plain = text.strip().lower()
    if re.fullmatch(r"0x[0-9a-f]{1,8}", plain):
        return int(plain, 16)
    return int(plain) if re.fullmatch(r"[0-9]{1,10}", plain) else None


def version_problem(new: ImageVersion, running: ImageVersion | None, rule: VersionRule) -> str | None:
    """Why the device would not take the new image for a newer one; None where it would, or where that is unknown."""
    if rule is VersionRule.CORSTONE:
        return _corstone_problem(new, running)
    if rule is VersionRule.NONE or running is None or new > running:
        return None
    if new == running:
        return f"{new} is the version that runs already: {_HIGHER} (the device would report rejected: 0x00000010)"
    return f"{new} is lower than the running {running}: {_HIGHER} (the device would report rejected: 0x0000000f)"


def next_version(new: ImageVersion, running: ImageVersion | None, rule: VersionRule) -> ImageVersion:
    """The nearest version to the new image's that the device would take for a newer one."""
    if running and replace(new, build=0) <= replace(running, build=0):
        new = replace(running, revision=running.revision + 1, build=0)
    if rule is not VersionRule.CORSTONE:
        return new
    build = max(new.revision, (running.build & _HALF_WORD if running else 0) + 1)
    if build > _HALF_WORD:
        return replace(new, minor=new.minor + 1, revision=0, build=1)
    return replace(new, build=build)


def _corstone_problem(new: ImageVersion, running: ImageVersion | None) -> str | None:
    if new.packed == 0:
        return f"{new} counts as 0, which is higher than no running version: {_CORSTONE}"
    if running is None:
        return None
    if running.build & _HALF_WORD >= new.packed:
        return f"{new} does not count as higher than the running {running}: {_CORSTONE}"
    if new <= running:
        return f"{new} is not higher than the running {running}, but the device would take it: {_CORSTONE}"
    return None
