"""What the virtual device runs: the firmware's rules about an offered image, a verified one and a started one.

Each rule is one that the real firmware has, and where that goes quiet instead of saying what is wrong, the words are
here.

Source: ``ota_orchestrator.c`` and the update agent of FreeRTOS/iot-reference-arm-corstone3xx (buffers, version rule);
``ota/profiles.py`` for the other kinds of firmware.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ota.device.messages import BLOCK_BYTES
from ota.device.offers import BadDocument, Offer
from ota.errors import DeviceFailed, SignatureError
from ota.firmware.image_versions import ImageVersion, find_header, read_version, version_problem
from ota.firmware.signatures import verify_signature
from ota.image_files import read_image
from ota.profiles import CORSTONE, Padding, Profile, VersionRule

JOB_MESSAGE_BYTES = 2048
MOST_BLOCKS = 1 << 16  # a block's index has 16 bits
SAYS_NOTHING = "The firmware says nothing then: the cloud shows IN_PROGRESS until the job times out or is deleted."


@dataclass(frozen=True)
class Firmware:
    """One device's firmware.

    Attributes:
        profile: which kind it is.
        public_key_path: the key that it verifies images with.
        has_model: whether its build has a machine-learning model beside the application, and less room therefore.
        is_faithful: whether the buffers and counters of Arm's firmware bound it.
    """

    profile: Profile
    public_key_path: Path
    has_model: bool = False
    is_faithful: bool = False

    @property
    def publishes_inference(self) -> bool:
        """Whether its application publishes what it has understood."""
        return self.profile is CORSTONE

    @property
    def job_message_bytes(self) -> int:
        """The buffer for the message that brings a job."""
        return self.profile.job_message_bytes or JOB_MESSAGE_BYTES

    def check_message(self, size_bytes: int) -> None:
        """Whether the message with the job fits.

        Raises:
            DeviceFailed: it does not.
        """
        if self.is_faithful and size_bytes > self.job_message_bytes:
            raise DeviceFailed(
                f"the message with the job has {size_bytes:,} bytes, and the firmware copies it unchecked into a "
                f"buffer of {self.job_message_bytes:,}: the device would crash. Shorten update_name and thing_name."
            )

    def check_offer(self, offer: Offer) -> None:
        """Whether the firmware can load this image.

        Raises:
            DeviceFailed: it cannot.
        """
        if not offer.size_bytes:
            raise BadDocument("files[0].filesize", "is 0")
        room = self.profile.largest_image_bytes(offer.file_path, has_model=self.has_model)
        if room is not None and offer.size_bytes > room:
            raise DeviceFailed(
                f"the image has {offer.size_bytes:,} bytes, and the flash for {offer.file_path!r} takes {room:,}. "
                f"{SAYS_NOTHING}"
            )
        if not self.is_faithful:
            return
        if offer.protocol not in self.profile.protocols:
            raise DeviceFailed(
                f"the job offers {offer.protocol}, and {self.profile.firmware} loads over "
                f"{' and '.join(self.profile.protocols)} only. {SAYS_NOTHING}"
            )
        if offer.size_bytes > MOST_BLOCKS * BLOCK_BYTES:
            raise DeviceFailed(f"the image has more than {MOST_BLOCKS:,} blocks, and the firmware counts no further")

    def verify(self, image_path: Path, offer: Offer) -> str:
        """Prove the image's signature; how, in words.

        Raises:
            SignatureError: it is not this image's, with what it is instead.
        """
        try:
            proof = verify_signature(
                read_image(image_path),
                offer.signature,
                self.public_key_path,
                signature_algorithm=offer.signature_algorithm,
                rsa_padding=self.profile.rsa_padding or Padding.PSS,
            )
        except SignatureError as error:
            raise SignatureError(f"the signature does not hold: {error}\n{SAYS_NOTHING}") from error
        return str(proof)

    def number_of(self, version: str) -> int:
        """A version as the number that the firmware reports as ``updatedBy``; 0 for one that it cannot tell."""
        parsed = self._parse(version)
        if parsed is None:
            return 0
        return parsed.packed if self.profile.version_rule is VersionRule.CORSTONE else _with_revision(parsed)

    def self_test(self, version: str, running: str, updated_by: int) -> str | None:
        """Why the started image is not kept; None where it is.

        Args:
            version: the new image's; empty where it tells none.
            running: that of the image before; empty likewise.
            updated_by: the number that was reported for it.
        """
        new, old, rule = self._parse(version), self._parse(running), self.profile.version_rule
        if new is None:
            return "it has no MCUboot header, so the boot loader does not start it" if self._needs_header else None
        if rule is VersionRule.CORSTONE:
            is_taken = updated_by & 0xFFFF < new.packed
        else:
            is_taken = rule is VersionRule.NONE or old is None or new > old
        return None if is_taken else version_problem(new, old, rule)

    @property
    def _needs_header(self) -> bool:
        return self.profile.has_mcuboot_header

    def _parse(self, version: str) -> ImageVersion | None:
        return read_version(version, self.profile.version_rule) if version else None


def version_of(image_path: Path) -> str:
    """The version in the image's header as text; empty where it has no header.

    Raises:
        FirmwareError: the image cannot be read.
    """
    header = find_header(read_image(image_path))
    return str(header.version) if header else ""


def _with_revision(version: ImageVersion) -> int:
    return version.major << 24 | version.minor << 16 | version.revision & 0xFFFF
