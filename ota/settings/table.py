"""The table of settings: one row for each setting.

A row is both the description of a setting and the typed attribute of :class:`ota.settings.settings.Settings`:
``Settings.bucket_name`` is the row, ``settings.bucket_name`` is the value. A new setting is its row here, its line in
config.json and the code that uses it. The rows of Arm's settings file come first, in its order.

A row is the only place of a default. Defaults may refer to other settings, as any value may.

Listing the tasks reads this module, for the flags of ``with``. So it imports nothing that takes time.

Source: Arm's ``createIoTThings_settings.json`` and ``aws_tool.md``; ``AWSIoTHelpers.cmake`` for the signing key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, overload

from ota.settings import names
from ota.settings.names import NameProblem
from ota.settings.readers import (
    CREATE_NEW_CERTIFICATE,
    read_certificate,
    read_choice,
    read_clean_build,
    read_count,
    read_flag,
    read_optional,
    read_overwrite_header,
    read_profile,
    read_protocols,
    read_seconds,
    read_variables,
    split_names,
)

SANDBOX_FOLDER = ".sandbox"

T = TypeVar("T")
_NO_COLON = "{replace : with -}"


class Base(Enum):
    """Where a relative path starts."""

    ROOT = "the folder of tasks.py"
    FIRMWARE = "firmware_root"
    BUILD = "build_dir"


class SandboxRule(NamedTuple):
    """What a setting is in the sandbox; one of the four has a value.

    Attributes:
        moved_to: the value there, which only a flag overrides.
        is_reset: there the value is the default, which only a flag overrides. Its references lead into the sandbox.
        stand_in: the value there where the user set none.
        kept_because: why the user's value is safe there.
    """

    moved_to: str = ""
    is_reset: bool = False
    stand_in: str = ""
    kept_because: str = ""

    @property
    def guards_a_path(self) -> bool:
        """Whether a path of the user's is replaced in the sandbox, or is stated to be safe there."""
        return bool(self.moved_to or self.is_reset or self.kept_because)


def moved_to(folder: str) -> SandboxRule:
    """In the sandbox the path is this folder under ``.sandbox/``."""
    return SandboxRule(moved_to=f"{SANDBOX_FOLDER}/{folder}")


RESET = SandboxRule(is_reset=True)


def stand_in(text: str) -> SandboxRule:
    """In the sandbox this value is used where the user set none."""
    return SandboxRule(stand_in=text)


def kept(because: str) -> SandboxRule:
    """In the sandbox the user's value is used too."""
    return SandboxRule(kept_because=because)


class Setting(Generic[T]):
    """The row of one setting, and the attribute that holds its value.

    Attributes:
        name: as in config.json.
        read: text to the typed value; :class:`ota.settings.readers.Unreadable` says what to write.
        meaning: one line, for the README and for the flag of ``invoke with``.
        default: the built-in value, with references; empty where the setting is unset by default.
        shipped: the placeholder in the shipped config.json; empty where it has none.
        example: a value to show where the setting must be set; empty where it never must.
        check: text to what is wrong with it, or None.
        tidy: makes a default name valid after its references are filled.
        filters: filters that make the value of a reference valid here, to suggest them.
        base: for a path on this machine, where it starts when it is relative.
        sandbox: what it is in the sandbox. A path must say so, or a sandbox run could change the user's files.
        by_profile: the default is the firmware profile's, in ``ota/profiles.py``.
        for_firmware: only the tasks that use the firmware need it, so it may refer to ``target_application``.
    """

    name: str

    def __init__(
        self,
        read: Callable[[str], T],
        meaning: str,
        default: str = "",
        *,
        shipped: str = "",
        example: str = "",
        check: Callable[[str], NameProblem | None] = lambda _text: None,
        tidy: Callable[[str], str] = lambda text: text,
        filters: str = "",
        base: Base | None = None,
        sandbox: SandboxRule | None = None,
        by_profile: bool = False,
        for_firmware: bool = False,
    ) -> None:
        if (read is Path or base) and not (base and sandbox and sandbox.guards_a_path):
            raise TypeError(f"a path needs its base and what it is in the sandbox: {meaning}")
        self.read, self.meaning, self.default, self.shipped, self.example = read, meaning, default, shipped, example
        self.check, self.tidy, self.filters = check, tidy, filters
        self.base, self.sandbox = base, sandbox or SandboxRule()
        self.by_profile, self.for_firmware = by_profile, for_firmware

    def __set_name__(self, _owner: type, name: str) -> None:
        """The name of the attribute is the name of the setting."""
        self.name = name

    @overload
    def __get__(self, settings: None, owner: type) -> Setting[T]: ...
    @overload
    def __get__(self, settings: ArmSettings, owner: type) -> T: ...
    def __get__(self, settings: ArmSettings | None, owner: type) -> Setting[T] | T:
        """The row of the class, the value of an instance."""
        if settings is None:
            return self
        value: T = settings._values[self.name]
        return value

    def __set__(self, settings: object, value: object) -> None:
        """Refuse: settings do not change."""
        raise AttributeError(f"{self.name} cannot be set; settings do not change")

    @property
    def flag(self) -> str:
        """The flag of ``invoke with``: ``--thing-name``."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable: ``OTA_THING_NAME``."""
        return f"OTA_{self.name.upper()}"

    @property
    def sandbox_text(self) -> str:
        """The value in the sandbox that only a flag overrides; empty where the user's counts."""
        return self.default if self.sandbox.is_reset else self.sandbox.moved_to


class ArmSettings:
    """The settings of Arm's file, in its order."""

    _values: Mapping[str, Any]

    thing_name = Setting(
        str,
        "name of the IoT thing, and of the device",
        shipped="<your_thing_name>",
        example="my-thing",
        check=names.thing_name_problem,
        sandbox=stand_in("sandbox-thing"),
    )
    permissions_boundary = Setting(
        read_optional,
        "ARN of the IAM policy that bounds the role, where the account demands one",
        shipped="arn:aws:iam::<account_no>:policy/<boundary_name>",
        check=names.boundary_problem,
    )
    role_prefix = Setting(
        str,
        "first part of the role's name, where the account demands one",
        shipped="<prefix>",
        check=names.role_prefix_problem,
    )
    target_application = Setting(
        str,
        "firmware application: keyword-detection, object-detection, speech-recognition, or another of the tree",
        example="keyword-detection",
        check=names.application_problem,
        sandbox=stand_in("keyword-detection"),
    )
    format_vars = Setting(split_names, "names that values may refer to, separated by ; (empty: all)")
    policy_name = Setting(
        str,
        "name of the IoT policy",
        "$<thing_name>_policy",
        check=names.policy_name_problem,
        tidy=names.tidy_policy_name,
        filters=_NO_COLON,
    )
    bucket_name = Setting(
        str,
        "name of the S3 bucket for images, unique in the world",
        "$<thing_name>{lower}{replace _ with -}{replace : with -}-ota-$<account_id>",
        check=names.bucket_name_problem,
        tidy=names.tidy_bucket_name,
        filters="{lower}{replace _ with -}" + _NO_COLON,
    )
    iam_role_name = Setting(
        str,
        "name of the IAM role that the OTA service assumes",
        "$<role_prefix>-$<thing_name>_role",
        check=names.role_name_problem,
        tidy=names.tidy_role_name,
        filters=_NO_COLON,
    )
    update_name = Setting(
        str,
        "name of the OTA update",
        "$<thing_name>_update",
        check=names.update_name_problem,
        tidy=names.tidy_update_name,
        filters=_NO_COLON,
    )
    existing_certificate_arn = Setting(
        read_certificate,
        "CREATE_NEW_CERTIFICATE, or the ARN of a certificate to use instead",
        CREATE_NEW_CERTIFICATE,
        check=names.certificate_arn_problem,
        sandbox=RESET,
    )
    credentials_path = Setting(
        Path,
        "folder of the device's key and certificate",
        "certificates",
        base=Base.ROOT,
        sandbox=moved_to("certificates"),
    )
    build_dir = Setting(
        Path, "folder of the build, in firmware_root", "build", base=Base.FIRMWARE, sandbox=RESET, for_firmware=True
    )
    ota_binary = Setting(
        str,
        "signed image of the update, in build_dir",
        "$<target_application>-update_signed.bin",
        base=Base.BUILD,
        sandbox=kept("it is only read, and a relative name is in the sandbox's own build_dir"),
        for_firmware=True,
    )
    skip_build = Setting(read_flag, "true: take the image that is there", "false")
    build_script_path = Setting(
        Path,
        "the firmware's build script, in firmware_root",
        "./tools/scripts/build.sh",
        base=Base.FIRMWARE,
        sandbox=RESET,
        for_firmware=True,
    )
    private_key_path = Setting(
        Path,
        "device's private key",
        "$<credentials_path>/thing_private_key_$<thing_name>.pem.key",
        base=Base.ROOT,
        sandbox=RESET,
    )
    certificate_path = Setting(
        Path,
        "device's certificate",
        "$<credentials_path>/thing_certificate_$<thing_name>.pem.crt",
        base=Base.ROOT,
        sandbox=RESET,
    )
    target_platform = Setting(
        str,
        "build script's --target: corstone300, corstone310, corstone315, corstone320",
        "corstone315",
        check=names.word_problem,
    )
    inference = Setting(str, "build script's --inference: ETHOS or SOFTWARE", "SOFTWARE", check=names.word_problem)
    audio = Setting(str, "build script's --audio: ROM or VSI", "ROM", check=names.word_problem)
    toolchain = Setting(str, "build script's --toolchain: GNU or ARMCLANG", "GNU", check=names.word_problem)
    clean_build = Setting(read_clean_build, "build from clean: true, false, auto (only when needed)", "auto")
    max_listed = Setting(read_count, "how many objects a list shows", "25")
    force_delete = Setting(read_flag, "true: delete tasks act as if --force were given", "false")


class DeclaredSettings(ArmSettings):
    """Every setting: those of Arm's file, and those that are new here."""

    firmware_root = Setting(Path, "root of the firmware tree", ".", base=Base.ROOT, sandbox=moved_to("firmware"))
    build_environment = Setting(
        read_variables,
        "variables that the build script gets too, separated by ;, of AWS_…, OTA_… and those in .env (empty: none)",
    )
    public_key_path = Setting(
        Path,
        "device's public key",
        "$<credentials_path>/thing_public_key_$<thing_name>.pem.key",
        base=Base.ROOT,
        sandbox=RESET,
    )
    firmware_profile = Setting(
        read_profile, "what the device's firmware parses: corstone, jobs-library or classic-agent", "corstone"
    )
    protocols = Setting(
        read_protocols, "how the device may load the image: MQTT, HTTP or MQTT,HTTP (the device chooses)", "MQTT"
    )
    image_file_name = Setting(
        str,
        "what the image is on the device; for Arm's firmware non_secure image, secure image, ml_model image, "
        "combined image (empty: as firmware_profile has it)",
        by_profile=True,
    )
    certificate_file_on_device = Setting(
        str,
        "path of the signer's certificate on the device, where its firmware opens one (empty: as firmware_profile "
        "has it)",
        by_profile=True,
    )
    signature_file = Setting(
        str,
        "image's signature as base64 text, in build_dir",
        "update-signature.txt",
        base=Base.BUILD,
        sandbox=kept("it is only read, and a relative name is in the sandbox's own build_dir"),
        for_firmware=True,
    )
    hash_algorithm = Setting(read_choice("SHA256"), "hash that the signature signs: SHA256", by_profile=True)
    signature_algorithm = Setting(
        read_choice("RSA", "ECDSA"),
        "kind of the signing key: RSA or ECDSA (empty: as firmware_profile has it)",
        by_profile=True,
    )
    code_signing_public_key = Setting(
        Path,
        "public key that proves the signature, in firmware_root",
        "certs/public_key.pem",
        base=Base.FIRMWARE,
        sandbox=RESET,
        for_firmware=True,
    )
    update_timeout_s = Setting(read_seconds, "seconds to wait until AWS has made the update", "60")
    delete_timeout_s = Setting(read_seconds, "seconds to wait until AWS has deleted the update", "120")
    role_settle_timeout_s = Setting(read_seconds, "seconds to let a new role settle in IAM", "60")
    lock_timeout_s = Setting(
        read_seconds, "seconds to wait for another run from this folder or in this firmware tree", "900"
    )
    replace_running_update = Setting(
        read_flag, "true: replace even an update that a device is downloading right now", "false"
    )
    overwrite_header = Setting(
        read_overwrite_header,
        "values put into the firmware's header by hand: ask, true (overwrite), false (keep)",
        "ask",
    )


def rows_of(declared: type) -> tuple[Setting[Any], ...]:
    """The rows that this class declares itself, in their order."""
    return tuple(row for row in vars(declared).values() if isinstance(row, Setting))


SETTINGS = {row.name: row for row in (*rows_of(ArmSettings), *rows_of(DeclaredSettings))}


def default_text(name: str, values: Mapping[str, str]) -> str:
    """The default of a setting, its references filled from ``values`` and the text made valid."""
    from ota.settings.formatter import format_text

    row = SETTINGS[name]
    return row.tidy(format_text(row.default, values))
