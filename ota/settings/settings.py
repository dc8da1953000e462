"""File, environment and flags become one frozen, checked :class:`Settings`.

Everything wrong is found here and reported together, before the first call to AWS. The account id is known only after
asking AWS, yet the default bucket name carries it; so settings are settled once with a stand-in of the same
length, which is enough for every check, and again by :meth:`Settings.with_account`.

Source: Arm's ``aws_tool.md`` for the meaning of the fields it knows; :mod:`ota.settings.table` for all of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ota.errors import SettingsError
from ota.profiles import PROFILE_BY_NAME, Profile
from ota.settings.file import read_config
from ota.settings.names import thing_name_warning
from ota.settings.readers import CleanBuild, OverwriteHeader
from ota.settings.resolution import Resolved, missing_text, resolve
from ota.settings.sources import BUILT_IN, BY_PROFILE, UNSET, Sources, Value
from ota.settings.table import FIELD_BY_NAME, FIELDS, Base

CONFIG_NAME = "config.json"
ARMS_FOLDER = ("tools", "scripts")
APPLICATIONS = "applications"


@dataclass(frozen=True)
class Origin:
    """Where one value came from: as written, as filled in, and who said it ("unset" where nobody did)."""

    raw: str
    formatted: str
    source: str


@dataclass(frozen=True)
class _Frame:
    """What settings are settled in, besides what was said about them."""

    root_path: Path
    account_id: str | None
    region: str | None
    required: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting, typed and checked; see ``ota/settings/table.py`` for their meaning.

    Paths are absolute. ``permissions_boundary`` is None for a role without one, ``existing_certificate_arn`` is None
    where a certificate is to be made, ``role_prefix`` and ``target_application`` are empty where they are unset.

    Attributes:
        origins: name of each setting to where its value came from.
        warnings: sentences about values that AWS takes and a device may not.
        account_id: None until :meth:`with_account`; names that carry it then hold twelve zeros.
        region: the AWS region, None until it is known.
        config_path: the file that was read.
    """

    thing_name: str
    permissions_boundary: str | None
    role_prefix: str
    target_application: str
    format_vars: tuple[str, ...]
    policy_name: str
    bucket_name: str
    iam_role_name: str
    update_name: str
    existing_certificate_arn: str | None
    credentials_path: Path
    build_dir: Path
    ota_binary: str
    skip_build: bool
    build_script_path: Path
    private_key_path: Path
    certificate_path: Path
    target_platform: str
    inference: str
    audio: str
    toolchain: str
    clean_build: CleanBuild
    max_listed: int
    force_delete: bool
    firmware_root: Path
    build_environment: tuple[str, ...]
    public_key_path: Path
    firmware_profile: str
    protocols: tuple[str, ...]
    image_file_name: str
    certificate_file_on_device: str
    signature_file: str
    hash_algorithm: str
    signature_algorithm: str
    code_signing_public_key: Path
    update_timeout_s: float
    delete_timeout_s: float
    role_settle_timeout_s: float
    lock_timeout_s: float
    replace_running_update: bool
    overwrite_header: OverwriteHeader
    origins: Mapping[str, Origin] = dataclasses.field(repr=False, compare=False)
    warnings: tuple[str, ...] = dataclasses.field(repr=False)
    _sources: Sources = dataclasses.field(repr=False, compare=False)
    _frame: _Frame = dataclasses.field(repr=False)
    _needs_application: bool = dataclasses.field(repr=False)

    @property
    def account_id(self) -> str | None:
        """The AWS account these settings were settled for."""
        return self._frame.account_id

    @property
    def region(self) -> str | None:
        """The AWS region these settings were settled for."""
        return self._frame.region

    @property
    def is_account_known(self) -> bool:
        """Whether names that carry the account id hold the real one."""
        return self.account_id is not None

    @property
    def config_path(self) -> Path:
        """The settings file."""
        return self._sources.file.path

    @property
    def profile(self) -> Profile:
        """What the device's firmware parses."""
        return PROFILE_BY_NAME[self.firmware_profile]

    @property
    def image_path(self) -> Path:
        """The signed image of the update. Raises SettingsError where its name waits for target_application."""
        return self._in_build(self.ota_binary)

    @property
    def signature_path(self) -> Path:
        """The image's signature. Raises SettingsError where its name waits for target_application."""
        return self._in_build(self.signature_file)

    def require_application(self) -> str:
        """The target application, for the tasks that touch the firmware.

        Raises:
            SettingsError: it is not set.
        """
        if self.target_application:
            return self.target_application
        raise SettingsError([missing_text("target_application", self._sources)])

    def is_chosen(self, name: str) -> bool:
        """Whether somebody set this setting; False where its value is a default or it has none."""
        source = self.origins[name].source
        return source not in (BUILT_IN, BY_PROFILE, UNSET, f"{self.config_path.name} default")

    def with_account(self, account_id: str, region: str | None = None) -> Settings:
        """The same settings with the real account id and region in them.

        Raises:
            SettingsError: a value does not pass its check with them.
        """
        frame = dataclasses.replace(self._frame, account_id=account_id, region=region or self.region)
        return _settle(self._sources, frame)

    def with_values(self, values: Mapping[str, Value]) -> Settings:
        """The same settings as if these values had been given as flags too; all that refers to them follows.

        Raises:
            SettingsError: a name is no setting, or a value does not pass its check.
        """
        overrides = {**self._sources.overrides, **values}
        return _settle(dataclasses.replace(self._sources, overrides=overrides), self._frame)

    def _in_build(self, name: str) -> Path:
        if self._needs_application:
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
    scope_overrides: Mapping[str, str] | None = None,
    stand_ins: Mapping[str, str] | None = None,
    required: Collection[str] = ("thing_name",),
) -> Settings:
    """Read, fill in and check all settings.

    Args:
        root_path: folder of tasks.py, where relative paths start, unless the file is in a firmware tree's
            ``tools/scripts``, as Arm's is: then at the root of that tree, where Arm's script is started.
        environ: the environment, ``.env`` included: ``OTA_<SETTING>`` and ``OTA_CONFIG``.
        config_path: the settings file; without it ``OTA_CONFIG``, without that config.json.
        overrides: setting to value, from flags; they win over everything.
        account_id: 12 digits, where it is known already.
        region: AWS region, where it is known already.
        scope_overrides: setting to text; only flags win over them, and with them paths start at ``root_path``.
        stand_ins: setting to text, for settings that are otherwise unset.
        required: settings that must be set; without ``thing_name`` here the names made from it may be empty.

    Raises:
        SettingsError: one line for each problem.
    """
    root_path = root_path.absolute()
    named = config_path or environ.get("OTA_CONFIG", "").strip() or CONFIG_NAME
    file = read_config(_absolute(root_path, str(named)), FIELD_BY_NAME)
    sources = Sources(file, environ, overrides or {}, scope_overrides or {}, stand_ins or {})
    base_path = root_path if scope_overrides else _base_path(file.path, root_path)
    return _settle(sources, _Frame(base_path, account_id, region, tuple(required)))


def _base_path(config_path: Path, root_path: Path) -> Path:
    """Where relative paths start that this settings file and its flags give."""
    folder_path = config_path.resolve().parent
    if folder_path.parts[-len(ARMS_FOLDER) :] != ARMS_FOLDER:
        return root_path
    tree_path = folder_path.parents[len(ARMS_FOLDER) - 1]
    return tree_path if (tree_path / APPLICATIONS).is_dir() else root_path


def _settle(sources: Sources, frame: _Frame) -> Settings:
    """Settings from everything that was said; raises all problems together."""
    done = resolve(sources, account_id=frame.account_id, region=frame.region, required=frame.required)
    if done.problems:
        raise SettingsError(done.problems)
    typed = _read(done.values, frame.root_path)
    is_bounded = PROFILE_BY_NAME[done.values["firmware_profile"]].thing_name_chars
    warning = thing_name_warning(done.values["thing_name"]) if is_bounded else None
    return Settings(
        **typed,
        origins={name: _origin(done, name) for name in FIELD_BY_NAME},
        warnings=(warning,) if warning else (),
        _sources=sources,
        _frame=frame,
        _needs_application=done.needs_application,
    )


def _read(texts: Mapping[str, str], root_path: Path) -> dict[str, Any]:
    """Each setting's typed value; paths made absolute."""
    bases = {None: root_path, Base.ROOT: root_path, Base.FIRMWARE: _absolute(root_path, texts["firmware_root"])}
    return {
        field.name: _absolute(bases[field.base], texts[field.name]) if field.base else field.read(texts[field.name])
        for field in FIELDS
    }


def _origin(done: Resolved, name: str) -> Origin:
    choice = done.choices[name]
    return Origin(choice.raw, done.values[name], choice.source)


def _absolute(base: Path, text: str) -> Path:
    """The path from its base; a leading ``~`` is the home folder, as in a shell."""
    path = Path(text)
    return base / (path.expanduser() if path.parts[:1] == ("~",) else path)
