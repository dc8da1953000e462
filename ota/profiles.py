"""What each kind of device firmware parses: signature, names, sizes, versions; one profile each.

The job document that AWS makes of an OTA update fits one firmware and not another, and a firmware that cannot read
it says nothing: the job stays in progress. So the firmware's rules stand here as data, and settings that this
firmware would not parse are refused before anything is uploaded.

Source: FreeRTOS/iot-reference-arm-corstone3xx (``ota_orchestrator.c``, ``ota_types_definitions.h``, patch 0001 of its
Jobs library, flash layout); ``populateJobDocFields`` of aws/Jobs-for-AWS-IoT-embedded-sdk; ``ota.c``,
``ota_private.h`` and ``ota_config_defaults.h`` of aws/ota-for-aws-iot-embedded-sdk; ``ota_pal_posix.c`` of
aws/aws-iot-device-sdk-embedded-C.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

HASH_ALGORITHM = "SHA256"
MQTT, HTTP = "MQTT", "HTTP"
IGNORED_CERTIFICATE = "0"
MODEL_FILE_NAME = "ml_model image"
APPLICATION_FILE_NAME = "non_secure image"


class Padding(str, Enum):
    """How an RSA signature is padded."""

    PSS = "PSS"
    PKCS1 = "PKCS#1 v1.5"


class VersionRule(Enum):
    """How the firmware decides whether a new image is newer."""

    CORSTONE = "the build number of the running image against the whole packed version of the new one"
    HIGHER = "the whole version"
    NONE = "the application's own affair"


@dataclass(frozen=True)
class Profile:
    """One kind of firmware.

    Attributes:
        name: as the setting ``firmware_profile`` has it.
        firmware: as a sentence has it.
        signature_algorithms: what it parses; the first is the default.
        why: why it parses these and no others.
        doubts: of an algorithm among these, why a device may not parse it all the same.
        rsa_padding: for RSA; None where it parses none.
        protocols: how it can load an image.
        protocols_why: why in these ways and no others.
        image_file_names: what the image may be on the device, the default first; empty for any name.
        default_file_name: the name where nobody chose one.
        certificate_file: what the job document says as ``certfile`` where nobody chose it; None where one must.
        is_certificate_opened: whether the device opens ``certfile``, to verify with the certificate in it.
        signature_bytes: the longest decoded signature; None for no limit of its own.
        job_message_bytes: the buffer that takes the whole message with the job.
        thing_name_chars: the longest thing name of which it gets an answer; None for AWS's own limit.
        slot_bytes: by name on the device, the flash that takes the image.
        slot_bytes_with_model: the same in a build that has a machine-learning model beside the application.
        trackable_bytes: the largest image in its default configuration, which a build may raise.
        has_mcuboot_header: whether its boot loader is MCUboot.
        version_rule: how it decides what is newer.
    """

    name: str
    firmware: str
    signature_algorithms: tuple[str, ...]
    why: str
    rsa_padding: Padding | None
    version_rule: VersionRule
    doubts: Mapping[str, str] = field(default_factory=dict)
    protocols: tuple[str, ...] = (MQTT, HTTP)
    protocols_why: str = ""
    image_file_names: tuple[str, ...] = ()
    default_file_name: str = "firmware.bin"
    certificate_file: str | None = IGNORED_CERTIFICATE
    is_certificate_opened: bool = False
    signature_bytes: int | None = None
    job_message_bytes: int | None = None
    thing_name_chars: int | None = None
    slot_bytes: Mapping[str, int] = field(default_factory=dict)
    slot_bytes_with_model: Mapping[str, int] = field(default_factory=dict)
    trackable_bytes: int | None = None
    has_mcuboot_header: bool = False

    @property
    def signature_keys(self) -> tuple[str, ...]:
        """The job document's keys in which it looks for the signature: ``sig-sha256-rsa``."""
        return tuple(f"sig-{HASH_ALGORITHM.lower()}-{algorithm.lower()}" for algorithm in self.signature_algorithms)

    @property
    def defaults(self) -> Mapping[str, str]:
        """Settings to what they are with this firmware where nobody chose."""
        return {
            "hash_algorithm": HASH_ALGORITHM,
            "signature_algorithm": self.signature_algorithms[0],
            "image_file_name": self.default_file_name,
            "certificate_file_on_device": self.certificate_file or "",
        }

    def largest_image_bytes(self, file_name: str, *, has_model: bool) -> int | None:
        """The flash that takes an image of this name; None where that is not known."""
        with_model = self.slot_bytes_with_model.get(file_name) if has_model else None
        return with_model or self.slot_bytes.get(file_name)


CORSTONE = Profile(
    name="corstone",
    firmware="Arm's Corstone firmware",
    signature_algorithms=("RSA",),
    why="a patch in its tree replaces the ECDSA key by this one in every build, EC builds too",
    rsa_padding=Padding.PSS,
    version_rule=VersionRule.CORSTONE,
    protocols=(MQTT,),
    protocols_why="it has no HTTP client, and the URL of a job that offers both does not fit its buffer for the job",
    image_file_names=(APPLICATION_FILE_NAME, "secure image", MODEL_FILE_NAME, "combined image"),
    default_file_name=APPLICATION_FILE_NAME,
    signature_bytes=384,
    job_message_bytes=2048,
    thing_name_chars=64,
    slot_bytes={APPLICATION_FILE_NAME: 0x340000, MODEL_FILE_NAME: 0x100000},
    slot_bytes_with_model={APPLICATION_FILE_NAME: 0x240000},
    has_mcuboot_header=True,
)
JOBS_LIBRARY = Profile(
    name="jobs-library",
    firmware="firmware on AWS's Jobs library",
    signature_algorithms=("ECDSA",),
    why="its parser has no other key",
    rsa_padding=None,
    version_rule=VersionRule.NONE,
    job_message_bytes=2048,
)
CLASSIC_AGENT = Profile(
    name="classic-agent",
    firmware="the classic OTA agent",
    signature_algorithms=("RSA", "ECDSA"),
    why="its port names one of them at compile time",
    doubts={
        "RSA": "AWS's own port for POSIX and most ports for boards name sig-sha256-ecdsa, and then sig-sha256-rsa is "
        "not read (OTA_JsonFileSignatureKey in the port's ota_pal.c)"
    },
    rsa_padding=Padding.PKCS1,
    version_rule=VersionRule.HIGHER,
    certificate_file=None,
    is_certificate_opened=True,
    signature_bytes=384,
    trackable_bytes=128 * 8 * 4096,
)
PROFILES = (CORSTONE, JOBS_LIBRARY, CLASSIC_AGENT)
PROFILE_BY_NAME = {profile.name: profile for profile in PROFILES}


def find_profile(name: str) -> Profile | None:
    """The profile of this name; None where there is none."""
    return PROFILE_BY_NAME.get(name)
