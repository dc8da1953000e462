"""The kinds of device firmware: what each parses (signature, names, sizes, versions), and the header that it reads.

The job document that AWS makes of an OTA update fits one firmware and not another, and a firmware that cannot read
it reports nothing: the job stays in progress. So each firmware's rules are data here, and settings that the firmware
would not parse are refused before anything is uploaded (``settings/profile_checks.py``).

Source: FreeRTOS/iot-reference-arm-corstone3xx (``ota_orchestrator.c``, ``ota_types_definitions.h``, patch 0001 of its
Jobs library, flash layout); ``populateJobDocFields`` of aws/Jobs-for-AWS-IoT-embedded-sdk; ``ota.c``,
``ota_private.h`` and ``ota_config_defaults.h`` of aws/ota-for-aws-iot-embedded-sdk; ``ota_pal_posix.c`` of
aws/aws-iot-device-sdk-embedded-C. ``aws_clientcredential.h`` of Arm's tree for the header's defines and dummy values.
FreeRTOS/iot-reference-esp32 (``ota_over_mqtt_demo.c``, ``Kconfig.projbuild``, ``partitions.csv``) and the flash driver
``ota_pal.c`` of espressif/esp-aws-iot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path, PurePosixPath

HASH_ALGORITHM = "SHA256"
MQTT, HTTP = "MQTT", "HTTP"
P256, P384 = "P-256", "P-384"
IGNORED_CERTIFICATE = "0"
DEFINE, ASSIGNMENT = '#define {name} "{value}"', '{name}="{value}"'
ASSIGNING_SUFFIXES = (".conf", ".config", ".env")
ANY_NAME = ""
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
    NONE = "the application decides"


@dataclass(frozen=True)
class HeaderValue:
    """One value in a header.

    Attributes:
        define: the name of its define.
        dummies: what the file holds before anybody has set it; an empty string holds nothing that could be lost.
    """

    define: str
    dummies: tuple[str, ...]


@dataclass(frozen=True)
class HeaderFormat:
    """The file from which the firmware's build takes its endpoint and its thing name, usually a C header.

    Attributes:
        path: the file; for Arm's firmware in the application's folder.
        endpoint: the host of AWS IoT's data endpoint.
        thing_name: the name under which the device connects.
        line: how a value is defined; the value is a string literal.
    """

    path: PurePosixPath
    endpoint: HeaderValue
    thing_name: HeaderValue
    line: str = DEFINE

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    def named(self, endpoint: str, thing_name: str, path: Path | None) -> HeaderFormat:
        """The format of the header at ``path`` with defines of these names; None is for this format's own path.

        A C header has ``#define NAME "value"``; ``sdkconfig`` and ``.conf`` files have ``NAME="value"``.
        """
        values = replace(self.endpoint, define=endpoint), replace(self.thing_name, define=thing_name)
        if path is None or path.name == self.name:
            return HeaderFormat(self.path, *values, self.line)
        is_assigned = path.name.startswith("sdkconfig") or path.suffix in ASSIGNING_SUFFIXES
        return HeaderFormat(PurePosixPath(path.name), *values, ASSIGNMENT if is_assigned else DEFINE)

    @property
    def values(self) -> tuple[HeaderValue, HeaderValue]:
        """Endpoint and thing name, in this order."""
        return self.endpoint, self.thing_name

    def in_line(self, define: str, value: str = "") -> str:
        """The line that defines this value."""
        return self.line.format(name=define, value=value)


AWS_CLIENT_CREDENTIAL = HeaderFormat(
    path=PurePosixPath("configs/aws_configs/aws_clientcredential.h"),
    endpoint=HeaderValue("clientcredentialMQTT_BROKER_ENDPOINT", ("dummy.endpointid.amazonaws.com", "")),
    thing_name=HeaderValue("clientcredentialIOT_THING_NAME", ("dummy_thingname", "")),
)
ESP32_SDKCONFIG = HeaderFormat(
    path=PurePosixPath("sdkconfig"),
    endpoint=HeaderValue("CONFIG_GRI_MQTT_ENDPOINT", ("",)),
    thing_name=HeaderValue("CONFIG_GRI_THING_NAME", ("",)),
    line=ASSIGNMENT,
)


@dataclass(frozen=True)
class Profile:
    """One kind of firmware.

    Attributes:
        name: the value of the setting ``firmware_profile``.
        firmware: its name in a sentence.
        header_format: the header that its applications are built with.
        settings: defaults of settings for this firmware, such as its build_command.
        signature_algorithms: what it parses; the first is the default.
        why: why it parses these and no others.
        doubts: an algorithm among these to why a device may not parse it.
        rsa_padding: for RSA; None where it parses none.
        curves: for ECDSA, the curves that it verifies with.
        protocols: the protocols over which it can download an image.
        protocols_why: why over these and no others.
        image_file_names: the names that the image may have on the device, the default first; empty for any name.
        default_file_name: the name where the setting has none.
        certificate_file: ``certfile`` in the job document where the setting has none; None where it must have one.
        is_certificate_opened: whether the device opens ``certfile``, to verify with the certificate in it.
        signature_bytes: the longest decoded signature; None for no limit of its own.
        job_message_bytes: the size of its buffer for the message with the job.
        thing_name_chars: the longest thing name with which it gets an answer; None for AWS's own limit.
        slot_bytes: the image's name on the device to the size of its flash slot; the empty name stands for any.
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
    header_format: HeaderFormat = AWS_CLIENT_CREDENTIAL
    settings: Mapping[str, str] = field(default_factory=dict)
    doubts: Mapping[str, str] = field(default_factory=dict)
    curves: tuple[str, ...] = (P256, P384)
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
        """The job document's keys under which it finds the signature: ``sig-sha256-rsa``."""
        return tuple(f"sig-{HASH_ALGORITHM.lower()}-{algorithm.lower()}" for algorithm in self.signature_algorithms)

    @property
    def defaults(self) -> Mapping[str, str]:
        """The defaults of the settings that depend on the firmware."""
        return {
            "hash_algorithm": HASH_ALGORITHM,
            "signature_algorithm": self.signature_algorithms[0],
            "image_file_name": self.default_file_name,
            "certificate_file_on_device": self.certificate_file or "",
            "header_endpoint_define": self.header_format.endpoint.define,
            "header_thing_define": self.header_format.thing_name.define,
            **dict.fromkeys(("build_command", "clean_command", "header_path"), ""),
            **self.settings,
        }

    def largest_image_bytes(self, file_name: str, *, has_model: bool) -> int | None:
        """The size of the flash slot for an image of this name; None where it is not known."""
        with_model = self.slot_bytes_with_model.get(file_name) if has_model else None
        return with_model or self.slot_bytes.get(file_name) or self.slot_bytes.get(ANY_NAME)


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
ESP32 = Profile(
    name="esp32",
    firmware="AWS's reference firmware for the ESP32",
    signature_algorithms=("ECDSA",),
    why="its parser has no other key, and its flash driver verifies ECDSA on P-256",
    rsa_padding=None,
    curves=(P256,),
    version_rule=VersionRule.NONE,
    header_format=ESP32_SDKCONFIG,
    settings={"build_command": "idf.py build", "clean_command": "idf.py fullclean", "header_path": "sdkconfig"},
    protocols=(MQTT,),
    protocols_why="it asks for the blocks of a stream and has no HTTP download",
    job_message_bytes=2048,
    slot_bytes={ANY_NAME: 0x190000},
)
PROFILES = (CORSTONE, JOBS_LIBRARY, CLASSIC_AGENT, ESP32)
PROFILE_BY_NAME = {profile.name: profile for profile in PROFILES}


def find_profile(name: str) -> Profile | None:
    """The profile of this name; None where there is none."""
    return PROFILE_BY_NAME.get(name)
