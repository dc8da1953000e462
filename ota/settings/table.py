"""The table of settings: each one's name, meaning, default value, and how its text is checked and read.

This is the one place of default values; the shipped config.json shows them and a test holds it to the table. Default
values may refer to other settings, as any value may. The first 24 are those of Arm's settings file, in its order, so
that an existing file keeps its meaning.

Source: Arm's ``createIoTThings_settings.json`` and ``aws_tool.md``; ``AWSIoTHelpers.cmake`` for the signing key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from ota.profiles import CORSTONE, PROFILES
from ota.settings import names
from ota.settings.formatter import format_text
from ota.settings.meanings import MEANINGS
from ota.settings.names import NameProblem
from ota.settings.readers import (
    read_certificate,
    read_choice,
    read_clean_build,
    read_count,
    read_flag,
    read_optional,
    read_overwrite_header,
    read_protocols,
    read_seconds,
    read_variables,
    split_names,
)
from ota.settings.references import Filter


class Base(Enum):
    """Where a relative path starts."""

    ROOT = "the folder of tasks.py"
    FIRMWARE = "firmware_root"


@dataclass(frozen=True)
class Field:
    """One setting.

    Attributes:
        name: as in config.json.
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
    def help(self) -> str:
        """What it means: one line, for the README and for the flag of ``invoke with``."""
        return MEANINGS[self.name]

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
        shipped="<your_thing_name>",
        check=names.thing_name_problem,
    ),
    Field(
        "permissions_boundary",
        shipped="arn:aws:iam::<account_no>:policy/<boundary_name>",
        check=names.boundary_problem,
        read=read_optional,
    ),
    Field(
        "role_prefix",
        shipped="<prefix>",
        check=names.role_prefix_problem,
    ),
    Field(
        "target_application",
        check=names.application_problem,
    ),
    Field("format_vars", read=split_names),
    Field(
        "policy_name",
        "$<thing_name>_policy",
        check=names.policy_name_problem,
        tidy=names.tidy_policy_name,
        mending=_NO_COLON,
    ),
    Field(
        "bucket_name",
        "$<thing_name>{lower}{replace _ with -}{replace : with -}-ota-$<account_id>",
        check=names.bucket_name_problem,
        tidy=names.tidy_bucket_name,
        mending=_BUCKET_FILTERS,
    ),
    Field(
        "iam_role_name",
        "$<role_prefix>-$<thing_name>_role",
        check=names.role_name_problem,
        tidy=names.tidy_role_name,
        mending=_NO_COLON,
    ),
    Field(
        "update_name",
        "$<thing_name>_update",
        check=names.update_name_problem,
        tidy=names.tidy_update_name,
        mending=_NO_COLON,
    ),
    Field(
        "existing_certificate_arn",
        names.CREATE_NEW_CERTIFICATE,
        check=names.certificate_arn_problem,
        read=read_certificate,
    ),
    Field("credentials_path", "certificates", base=Base.ROOT),
    Field("build_dir", "build", base=Base.FIRMWARE, for_firmware=True),
    Field(
        "ota_binary",
        "$<target_application>-update_signed.bin",
        check=names.path_problem,
        for_firmware=True,
    ),
    Field("skip_build", "false", read=read_flag),
    Field(
        "build_script_path",
        "./tools/scripts/build.sh",
        base=Base.FIRMWARE,
        for_firmware=True,
    ),
    Field(
        "private_key_path",
        "$<credentials_path>/thing_private_key_$<thing_name>.pem.key",
        base=Base.ROOT,
    ),
    Field(
        "certificate_path",
        "$<credentials_path>/thing_certificate_$<thing_name>.pem.crt",
        base=Base.ROOT,
    ),
    Field(
        "target_platform",
        "corstone315",
        check=names.word_problem,
    ),
    Field(
        "inference",
        "SOFTWARE",
        check=names.word_problem,
    ),
    Field("audio", "ROM", check=names.word_problem),
    Field("toolchain", "GNU", check=names.word_problem),
    Field("clean_build", "auto", read=read_clean_build),
    Field("max_listed", "25", read=read_count),
    Field("force_delete", "false", read=read_flag),
)

OUR_FIELDS = (
    Field("firmware_root", ".", base=Base.ROOT),
    Field("build_environment", read=read_variables),
    Field(
        "public_key_path",
        "$<credentials_path>/thing_public_key_$<thing_name>.pem.key",
        base=Base.ROOT,
    ),
    Field(
        "firmware_profile",
        CORSTONE.name,
        read=read_choice(*(profile.name for profile in PROFILES)),
    ),
    Field(
        "protocols",
        "MQTT",
        read=read_protocols,
    ),
    Field(
        "image_file_name",
        by_profile=True,
    ),
    Field(
        "certificate_file_on_device",
        by_profile=True,
    ),
    Field(
        "signature_file",
        "update-signature.txt",
        check=names.path_problem,
        for_firmware=True,
    ),
    Field(
        "hash_algorithm",
        by_profile=True,
        read=read_choice("SHA256"),
    ),
    Field(
        "signature_algorithm",
        by_profile=True,
        read=read_choice("RSA", "ECDSA"),
    ),
    Field(
        "code_signing_public_key",
        "certs/public_key.pem",
        base=Base.FIRMWARE,
        for_firmware=True,
    ),
    Field("update_timeout_s", "60", read=read_seconds),
    Field("delete_timeout_s", "120", read=read_seconds),
    Field("role_settle_timeout_s", "60", read=read_seconds),
    Field("lock_timeout_s", "900", read=read_seconds),
    Field(
        "replace_running_update",
        "false",
        read=read_flag,
    ),
    Field(
        "overwrite_header",
        "ask",
        read=read_overwrite_header,
    ),
)

FIELDS = ARM_FIELDS + OUR_FIELDS
FIELD_BY_NAME = {field.name: field for field in FIELDS}


def default_text(name: str, values: Mapping[str, str]) -> str:
    """What a setting is by default, its references filled from ``values`` and the text made to fit."""
    field = FIELD_BY_NAME[name]
    return field.tidy(format_text(field.default, values))
