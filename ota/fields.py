"""The table of settings: each one's name, meaning, default value, and how its text is checked and read.

This is the one place of default values; the shipped config.json shows them and a test holds it to the table. Default
values may refer to other settings, as any value may. The first 24 are those of Arm's settings file, in its order, so
that an existing file keeps its meaning.

Source: Arm's ``createIoTThings_settings.json`` and ``aws_tool.md``; ``AWSIoTHelpers.cmake`` for the signing key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from ota import names
from ota.names import NameProblem
from ota.profiles import CORSTONE, PROFILES
from ota.readers import (
    read_certificate,
    read_choice,
    read_clean_build,
    read_count,
    read_flag,
    read_optional,
    read_overwrite_header,
    read_seconds,
    split_names,
)
from ota.references import Filter


class Base(Enum):
    """Where a relative path starts."""

    ROOT = "the folder of tasks.py"
    FIRMWARE = "firmware_root"


@dataclass(frozen=True)
class Field:
    """One setting.

    Attributes:
        name: as in config.json.
        help: one line, for the README and for the flag of ``invoke with``.
        default: the built-in value, with references; empty where the setting is unset by default.
        shipped: the value in the shipped config.json; empty except for the placeholders.
        check: text to what is wrong with it, or None.
        read: text to the typed value; ValueError says what to write.
        tidy: makes a default name valid after its references are filled.
        base: for a path, where it starts when it is relative.
        by_profile: the default is the firmware profile's, in ``ota/profiles.py``.
        for_firmware: only the tasks that touch the firmware use it, so it may wait for ``target_application``.
        mending: filters that make a reference's value fit this setting, to suggest them.
    """

    name: str
    help: str
    default: str = ""
    shipped: str = ""
    check: Callable[[str], NameProblem | None] = lambda _text: None
    read: Callable[[str], object] = str
    tidy: Callable[[str], str] = lambda text: text
    base: Base | None = None
    by_profile: bool = False
    for_firmware: bool = False
    mending: tuple[Filter, ...] = ()

    @property
    def flag(self) -> str:
        """The flag of ``invoke with``: ``--thing-name``."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable: ``OTA_THING_NAME``."""
        return f"OTA_{self.name.upper()}"


_NO_COLON = (Filter("replace", ":", "-"),)
_BUCKET_FILTERS = (Filter("lower"), Filter("replace", "_", "-"), *_NO_COLON)

ARM_FIELDS = (
    Field(
        "thing_name",
        "name of the IoT thing, and of the device",
        shipped="<your_thing_name>",
        check=names.thing_name_problem,
    ),
    Field(
        "permissions_boundary",
        "ARN of the IAM policy that bounds the role, where the account demands one",
        shipped="arn:aws:iam::<account_no>:policy/<boundary_name>",
        check=names.boundary_problem,
        read=read_optional,
    ),
    Field(
        "role_prefix",
        "first part of the role's name, where the account demands one",
        shipped="<prefix>",
        check=names.role_prefix_problem,
    ),
    Field(
        "target_application",
        "firmware application: keyword-detection, object-detection, speech-recognition, or another of the tree",
        check=names.application_problem,
    ),
    Field("format_vars", "names that values may refer to, separated by ; (empty: all)", read=split_names),
    Field(
        "policy_name",
        "name of the IoT policy",
        "$<thing_name>_policy",
        check=names.policy_name_problem,
        tidy=names.tidy_policy_name,
        mending=_NO_COLON,
    ),
    Field(
        "bucket_name",
        "name of the S3 bucket for images, unique in the world",
        "$<thing_name>{lower}{replace _ with -}{replace : with -}-ota-$<account_id>",
        check=names.bucket_name_problem,
        tidy=names.tidy_bucket_name,
        mending=_BUCKET_FILTERS,
    ),
    Field(
        "iam_role_name",
        "name of the IAM role that the OTA service assumes",
        "$<role_prefix>-$<thing_name>_role",
        check=names.role_name_problem,
        tidy=names.tidy_role_name,
        mending=_NO_COLON,
    ),
    Field(
        "update_name",
        "name of the OTA update",
        "$<thing_name>_update",
        check=names.update_name_problem,
        tidy=names.tidy_update_name,
        mending=_NO_COLON,
    ),
    Field(
        "existing_certificate_arn",
        "CREATE_NEW_CERTIFICATE, or the ARN of a certificate to use instead",
        names.CREATE_NEW_CERTIFICATE,
        check=names.certificate_arn_problem,
        read=read_certificate,
    ),
    Field("credentials_path", "folder of the device's key and certificate", "certificates", base=Base.ROOT),
    Field("build_dir", "folder of the build, in firmware_root", "build", base=Base.FIRMWARE, for_firmware=True),
    Field(
        "ota_binary",
        "signed image of the update, in build_dir",
        "$<target_application>-update_signed.bin",
        for_firmware=True,
    ),
    Field("skip_build", "true: take the image that is there", "false", read=read_flag),
    Field(
        "build_script_path",
        "the firmware's build script, in firmware_root",
        "./tools/scripts/build.sh",
        base=Base.FIRMWARE,
        for_firmware=True,
    ),
    Field(
        "private_key_path",
        "device's private key",
        "$<credentials_path>/thing_private_key_$<thing_name>.pem.key",
        base=Base.ROOT,
    ),
    Field(
        "certificate_path",
        "device's certificate",
        "$<credentials_path>/thing_certificate_$<thing_name>.pem.crt",
        base=Base.ROOT,
    ),
    Field(
        "target_platform",
        "build script's --target: corstone300, corstone310, corstone315, corstone320",
        "corstone315",
        check=names.word_problem,
    ),
    Field(
        "inference",
        "build script's --inference: ETHOS or SOFTWARE",
        "SOFTWARE",
        check=names.word_problem,
    ),
    Field("audio", "build script's --audio: ROM or VSI", "ROM", check=names.word_problem),
    Field("toolchain", "build script's --toolchain: GNU or ARMCLANG", "GNU", check=names.word_problem),
    Field("clean_build", "build from clean: true, false, auto (only when needed)", "auto", read=read_clean_build),
    Field("max_listed", "how many objects a list shows", "25", read=read_count),
    Field("force_delete", "true: delete tasks act as if --force were given", "false", read=read_flag),
)

OUR_FIELDS = (
    Field("firmware_root", "root of the firmware tree", ".", base=Base.ROOT),
    Field(
        "public_key_path",
        "device's public key",
        "$<credentials_path>/thing_public_key_$<thing_name>.pem.key",
        base=Base.ROOT,
    ),
    Field(
        "firmware_profile",
        f"what the device's firmware parses: {', '.join(profile.name for profile in PROFILES)}",
        CORSTONE.name,
        read=read_choice(*(profile.name for profile in PROFILES)),
    ),
    Field(
        "image_file_name",
        "what the image is on the device; for Arm's firmware non_secure image, secure image, ml_model image, "
        "combined image (empty: as firmware_profile has it)",
        by_profile=True,
    ),
    Field(
        "certificate_file_on_device",
        "path of the signer's certificate on the device, where its firmware opens one (empty: as firmware_profile "
        "has it)",
        by_profile=True,
    ),
    Field(
        "signature_file",
        "image's signature as base64 text, in build_dir",
        "update-signature.txt",
        for_firmware=True,
    ),
    Field(
        "hash_algorithm",
        "hash that the signature signs: SHA256",
        by_profile=True,
        read=read_choice("SHA256"),
    ),
    Field(
        "signature_algorithm",
        "kind of the signing key: RSA or ECDSA (empty: as firmware_profile has it)",
        by_profile=True,
        read=read_choice("RSA", "ECDSA"),
    ),
    Field(
        "code_signing_public_key",
        "public key that proves the signature, in firmware_root",
        "certs/public_key.pem",
        base=Base.FIRMWARE,
        for_firmware=True,
    ),
    Field("update_timeout_s", "seconds to wait until AWS has made the update", "60", read=read_seconds),
    Field("delete_timeout_s", "seconds to wait until AWS has deleted the update", "120", read=read_seconds),
    Field("role_settle_timeout_s", "seconds to let a new role settle in IAM", "60", read=read_seconds),
    Field(
        "replace_running_update",
        "true: replace even an update that a device is downloading right now",
        "false",
        read=read_flag,
    ),
    Field(
        "overwrite_header",
        "values put into the firmware's header by hand: ask, true (overwrite), false (keep)",
        "ask",
        read=read_overwrite_header,
    ),
)

FIELDS = ARM_FIELDS + OUR_FIELDS
FIELD_BY_NAME = {field.name: field for field in FIELDS}
