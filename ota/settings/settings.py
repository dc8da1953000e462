"""One frozen, checked :class:`Settings` from the settings file, the environment and the flags.

Every problem is found here and reported together, before the first call to AWS. The account id and the region may be
referred to like settings, but are known only after asking AWS. Until then stand-ins of the same form are used, so that
every name is as long as it will be and every check can be made. :meth:`Settings.with_account` makes the settings again.

Source: Arm's ``aws_tool.md`` for the meaning of its fields; :mod:`ota.settings.table` for all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ota.errors import SettingsError
from ota.profiles import HeaderFormat
from ota.settings.command_words import command_words
from ota.settings.names import thing_name_warning
from ota.settings.readers import read_words
from ota.settings.sources import SANDBOX, Sources, Value, read_config
from ota.settings.table import SETTINGS, DeclaredSettings
from ota.settings.texts import PATHS, Frame, Texts, absolute, missing_problem, typed_paths
from ota.settings.users_firmware import APPLICATIONS, UsersFirmware, find_users_firmware

CONFIG_NAME = "config.json"
ARMS_FOLDER = ("tools", "scripts")
CERTIFICATE_SETTINGS = frozenset({"certificate_path", "private_key_path", "public_key_path", "credentials_path"})


@dataclass(frozen=True)
class Origin:
    """Where one value comes from.

    Attributes:
        raw: as written.
        formatted: with its references filled.
        source: as a user knows it: "with flag", "config.json default", …; "unset" without one.
        is_default: the user did not choose it for this setting.
    """

    raw: str
    formatted: str
    source: str
    is_default: bool = False


class Settings(DeclaredSettings):
    """Every setting, typed and checked; see ``ota/settings/table.py`` for their meaning.

    Paths are absolute. ``permissions_boundary`` is None for a role without one, ``existing_certificate_arn`` is None
    where the tool makes a certificate, ``role_prefix`` and ``target_application`` are empty where they are unset.

    Attributes:
        profile: what the device's firmware parses.
        origins: name of each setting to where its value comes from.
        references: what a reference to each setting gives, paths absolute, and ``account_id`` and ``region``.
        tree_copy: the copy of the user's firmware tree that the sandbox works on; None where there is none.
        warnings: sentences about values that AWS accepts and a device may not, and about what the sandbox uses.
    """

    def __init__(self, sources: Sources, frame: Frame) -> None:
        """Read and check everything.

        Raises:
            SettingsError: with every problem.
        """
        self._sources, self._frame = sources, frame
        firmware = find_users_firmware(sources, frame) if sources.is_sandbox else UsersFirmware()
        texts = Texts(replace(sources, users=firmware.names), frame)
        problems = tuple(texts.problems())
        if problems or texts.profile is None:
            raise SettingsError(problems)
        self.profile = texts.profile
        self.tree_copy = firmware.copy
        self._waiting, self._used = texts.waiting_for_application, texts.uses("build_command")
        paths = {**typed_paths(texts.values, frame.root_path, frame.users_path), **firmware.paths}
        self.references: Mapping[str, str] = texts.references | {name: str(path or "") for name, path in paths.items()}
        self._values = _typed(texts, self.references) | paths
        self.origins: Mapping[str, Origin] = {
            name: Origin(choice.raw, self.references[name], SANDBOX, choice.is_default)
            if name in firmware.moved
            else Origin(choice.raw, texts.values[name], choice.source, choice.is_default)
            for name, choice in texts.choices.items()
        }
        warning = thing_name_warning(self.thing_name) if self.profile.thing_name_chars else None
        self.warnings: tuple[str, ...] = (*((warning,) if warning else ()), *firmware.notes)

    @property
    def account_id(self) -> str | None:
        """The AWS account; None until :meth:`with_account`, and names that carry it then hold twelve zeros."""
        return self._frame.account_id

    @property
    def region(self) -> str | None:
        """The AWS region; None until it is known."""
        return self._frame.region

    @property
    def config_path(self) -> Path:
        """The settings file."""
        return self._sources.file.path

    @property
    def has_own_build(self) -> bool:
        """Whether ``build_command`` builds the firmware, and not Arm's script."""
        return bool(self.build_command)

    @property
    def has_own_layout(self) -> bool:
        """Whether the firmware tree is laid out in its own way, and not as Arm's with its applications."""
        return self.has_own_build or self.header_path is not None

    @property
    def needs_application(self) -> bool:
        """Whether the build is told which application of the tree it builds."""
        return not self.has_own_build or bool(self._waiting & {"build_command", "clean_command", "header_path"})

    @property
    def has_certificate_in_image(self) -> bool:
        """Whether the image depends on the device's certificate; so it does where the build is told of one."""
        return not self.has_own_build or self.header_template is not None or bool(self._used & CERTIFICATE_SETTINGS)

    @property
    def build_name(self) -> str:
        """What is built, in a word: the application, or the folder of the firmware.

        Raises:
            SettingsError: target_application is not set, and the build needs it.
        """
        return self.require_application() if self.needs_application else self.firmware_root.name

    @property
    def names_image(self) -> bool:
        """Whether the image of the update has a name."""
        return "ota_binary" not in self._waiting

    @cached_property
    def header_format(self) -> HeaderFormat:
        """How the firmware's header defines endpoint and thing name."""
        names = self.header_endpoint_define, self.header_thing_define
        return self.profile.header_format.named(*names, self.header_path)

    @property
    def build_lock_path(self) -> Path:
        """The file or folder that a build locks, so that two runs do not build in one tree at once."""
        return self.firmware_root if self.has_own_build else self.build_script_path

    @property
    def image_path(self) -> Path:
        """The signed image of the update. Raises SettingsError where its name needs target_application."""
        return self._in_build(self.ota_binary)

    @property
    def signature_path(self) -> Path:
        """The image's signature. Raises SettingsError where its name needs target_application."""
        return self._in_build(self.signature_file)

    def require_application(self) -> str:
        """The target application, for the tasks that use the firmware.

        Raises:
            SettingsError: it is not set.
        """
        if self.target_application:
            return self.target_application
        raise SettingsError([missing_problem("target_application", self._sources)])

    def is_chosen(self, name: str) -> bool:
        """Whether the user set this setting; False where its value is a default or it has none."""
        return not self.origins[name].is_default

    def with_account(self, account_id: str, region: str | None = None) -> Settings:
        """The same settings with the real account id and region in them.

        Raises:
            SettingsError: a value does not pass its check with them.
        """
        frame = replace(self._frame, account_id=account_id, region=region or self.region)
        return Settings(self._sources, frame)

    def with_values(self, values: Mapping[str, Value]) -> Settings:
        """The settings as if these values were given as flags too; whatever refers to them changes with them.

        Raises:
            SettingsError: a name is not a setting, or a value does not pass its check.
        """
        overrides = {**self._sources.overrides, **values}
        return Settings(replace(self._sources, overrides=overrides), self._frame)

    def _in_build(self, name: str) -> Path:
        if self._waiting and self.has_own_build and not self.names_image:
            raise SettingsError([missing_problem("ota_binary", self._sources)])
        if self._waiting:
            self.require_application()
        return self.build_dir / name


def load_settings(
    root_path: Path,
    *,
    environ: Mapping[str, str],
    config_path: str | Path | None = None,
    overrides: Mapping[str, Value] | None = None,
    account_id: str | None = None,
    region: str | None = None,
    is_sandbox: bool = False,
    stand_ins: Mapping[str, str] | None = None,
    required: Collection[str] = ("thing_name",),
) -> Settings:
    """Read, fill in and check all settings.

    Relative paths start at the settings file. Where that is in a firmware tree's ``tools/scripts``, as Arm's is, they
    start at the root of that tree, where Arm's script is started.

    Args:
        root_path: the project's folder, where the settings file is looked for.
        environ: the environment, ``.env`` included: ``OTA_<SETTING>`` and ``OTA_CONFIG``.
        config_path: the settings file; without it ``OTA_CONFIG``, without that config.json.
        overrides: setting to value, from flags; they win over everything.
        account_id: 12 digits, where it is known already.
        region: AWS region, where it is known already.
        is_sandbox: each setting is what its row says for the sandbox, and paths start at ``root_path``.
        stand_ins: setting to value, for settings that have none anywhere.
        required: settings that must be set; without ``thing_name`` here the names made from it may be empty.

    Raises:
        SettingsError: with every problem.
    """
    root_path = root_path.absolute()
    named = config_path or environ.get("OTA_CONFIG", "").strip() or CONFIG_NAME
    file = read_config(absolute(root_path, str(named)))
    users_path = _base_path(file.path)
    base_path = root_path if is_sandbox else users_path
    return Settings(
        Sources(file, environ, overrides or {}, is_sandbox, stand_ins=stand_ins or {}),
        Frame(base_path, users_path, account_id, region, tuple(required)),
    )


def _base_path(config_path: Path) -> Path:
    """Where the relative paths of this settings file and of flags start."""
    folder_path = config_path.resolve().parent
    if folder_path.parts[-len(ARMS_FOLDER) :] == ARMS_FOLDER:
        tree_path = folder_path.parents[len(ARMS_FOLDER) - 1]
        if (tree_path / APPLICATIONS).is_dir():
            return tree_path
    return config_path.parent


def _typed(texts: Texts, references: Mapping[str, str]) -> dict[str, Any]:
    """Each setting's typed value, but for paths; commands are split and then filled, with absolute paths."""
    return {
        name: command_words(texts.choices[name].raw, references)
        if row.read is read_words
        else row.read(texts.values[name])
        for name, row in SETTINGS.items()
        if name not in PATHS
    }
