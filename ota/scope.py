"""What one command line is about: its settings, its cloud, and the sandbox.

``sandbox`` and ``with`` change the scope before the first task that does something. After that the scope is fixed, so
that no command line does half of its work in one account and half in another. In the sandbox the user's files do not
change: every setting that is a path says in its row what it is there (``ota/settings/table.py``), and a firmware tree
of the user's is copied. Calls go to the local stand-in for AWS with dummy keys.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ota import cloud, environment, platforms
from ota.errors import OtaError, Problem, SettingsError
from ota.firmware.repositories import CEILING_VARIABLE
from ota.firmware.tree_copies import refresh_copy
from ota.folders import make_private_folder
from ota.messages import PLAIN, Command, CommandLine, command
from ota.outcomes import Outcome, Verb
from ota.settings.sandbox_paths import BUILD_FOLDER, COPIES_FOLDER
from ota.settings.setting import SANDBOX_FOLDER
from ota.settings.settings import load_settings

if TYPE_CHECKING:
    from ota.report import Report
    from ota.sandbox.process import Address
    from ota.settings.settings import Settings

OWN_FOLDER = ".ota"
HEADER_NOTES = "headers.json"
LOCK_FILE = "run.lock"
GROUPS_FOLDER = "groups"
SANDBOX_PARTS = ("certificates", "firmware", COPIES_FOLDER, BUILD_FOLDER, "device", "lists", GROUPS_FOLDER)
SANDBOX_GROUP = "$<thing_name>-fleet"
ENDPOINT_PREFIX = "AWS_ENDPOINT_URL_"
SERVICES = ("IAM", "IOT", "IOT_DATA_PLANE", "IOT_JOBS_DATA_PLANE", "S3", "STS")
OVERRIDES = (
    "AWS_DEFAULT_PROFILE",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_PROFILE",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
)
PROXIES = ("http_proxy", "all_proxy")
LAST_PORT = 65535
YES = {"1", "true", "yes", "on"}
NO = {"", "0", "false", "no", "off"}


class Scope:
    """Settings and cloud of one command line.

    Attributes:
        root_path: the project's folder, with ``.env`` and the files that this tool keeps for itself.
        environ: the environment, with what ``.env`` adds.
    """

    def __init__(self, root_path: Path, environ: Mapping[str, str], report: Report, line: CommandLine = PLAIN) -> None:
        self._from_file = environment.load_environment(root_path)
        self.root_path = root_path
        self.environ = environ
        self._report = report
        self._set_command_line(replace(line, is_sandbox=_is_yes("OTA_SANDBOX", environ)))

    @property
    def sandbox_path(self) -> Path:
        """The folder of everything that the sandbox makes."""
        return self.root_path / SANDBOX_FOLDER

    @property
    def is_sandbox(self) -> bool:
        """Whether the command line is about the local stand-in."""
        return self.command_line.is_sandbox

    def _set_command_line(self, line: CommandLine) -> None:
        self.command_line = line
        self._report.command_line = line

    @property
    def own_path(self) -> Path:
        """The folder for this tool's own files, such as the log of a build; git does not see it."""
        return self.sandbox_path if self.is_sandbox else self.root_path / OWN_FOLDER

    def build_environment(self, passed_on: Collection[str]) -> dict[str, str]:
        """The variables that the build script gets; ``passed_on`` names more that it gets."""
        given = environment.build_environment(self.environ, from_file=self._from_file, passed_on=passed_on)
        return {**given, **self._git_ceiling} if self.is_sandbox else given

    @property
    def _git_ceiling(self) -> dict[str, str]:
        """Keeps git in a build of the sandbox from the repository that the sandbox's folder lies in."""
        folders = (self.sandbox_path, self.sandbox_path / COPIES_FOLDER)
        return {CEILING_VARIABLE: os.pathsep.join(os.path.realpath(folder) for folder in folders)}

    @property
    def lock_path(self) -> Path:
        """The file that a run locks while it changes something, so that two runs from one folder take turns."""
        return self.own_path / LOCK_FILE

    @property
    def header_notes_paths(self) -> tuple[Path, ...]:
        """The notes of what was written into firmware headers; the headers in the sandbox have notes of their own."""
        users = self.root_path / OWN_FOLDER / HEADER_NOTES
        return (users, self.own_path / HEADER_NOTES) if self.is_sandbox else (users,)

    def header_notes_path(self, firmware_root: Path) -> Path:
        """The notes of the headers in this firmware tree."""
        return self.header_notes_paths[-1 if self.owns(firmware_root) else 0]

    @property
    def device_path(self) -> Path:
        """The folder of the virtual devices' images, with a folder for each thing."""
        return self.sandbox_path / "device" if self.is_sandbox else self.root_path / ".device"

    def owns(self, path: Path) -> bool:
        """Whether this path is in the sandbox's folder, where the user has no files to lose."""
        return self.is_sandbox and path.resolve().is_relative_to(self.sandbox_path.resolve())

    def use_sandbox(self) -> None:
        """Use the local stand-in for the rest of the command line; starts it.

        Raises:
            OtaError: a task has used AWS already.
        """
        if not self.is_sandbox:
            self._check_open("sandbox", command("sandbox").then("all"))
        self._set_command_line(replace(self.command_line, is_sandbox=True))
        self._named_address  # noqa: B018 - starts it

    def override(self, values: Mapping[str, str], config_file: str | None = None) -> None:
        """Settings for the rest of the command line; ``config_file`` is relative to the current folder.

        Raises:
            OtaError: a task has used other settings already.
        """
        self._check_open("with", command("all", thing_name="lamp-2"))
        line = self.command_line.with_settings(**values)
        if config_file:
            line = replace(line, config_file=str(Path(config_file).expanduser()))
            self._report.note(f"with settings from {line.config_file}")
        for name, value in values.items():
            self._report.note(f"with {name} = {value}")
        self._set_command_line(line)

    def _check_open(self, task_name: str, example: Command) -> None:
        if {"settings", "loose_settings"} & vars(self).keys():
            typed = f"{self.command_line.namespace}{task_name}"
            raise OtaError(f"`{typed}` comes first: put it before the tasks that are to use it (", example, ").")

    @cached_property
    def address(self) -> Address:
        """Where the local stand-in listens; starts it where it does not run."""
        from ota.sandbox.firmware import lay_out

        with _sandbox_process() as process:
            make_private_folder(self.sandbox_path)
            address: Address = process.start(self.sandbox_path, pause_s=self._pause_s(), https_port=self._https_port())
            lay_out(self.sandbox_path / "firmware")
        return address

    @cached_property
    def _named_address(self) -> Address:
        """The same; prints it in one line."""
        self._report.note(f"sandbox at {self.address.endpoint_url}, {self.address.region}; no AWS account is touched")
        return self.address

    def _pause_s(self) -> float | None:
        text = self.environ.get("OTA_SANDBOX_PAUSE_S", "").strip()
        try:
            return float(text) if text else None
        except ValueError:
            raise OtaError(f"OTA_SANDBOX_PAUSE_S is {text!r}: write seconds, such as 0.3, or unset it.") from None

    def _https_port(self) -> int | None:
        text = self.environ.get("OTA_SANDBOX_HTTPS_PORT", "").strip()
        if text and not (text.isascii() and text.isdecimal() and 0 < int(text) <= LAST_PORT):
            raise OtaError(f"OTA_SANDBOX_HTTPS_PORT is {text!r}: write a port, such as 8443, or unset it.")
        return int(text) if text else None

    def stop_sandbox(self) -> None:
        """Stop the local stand-in's process, if it runs."""
        with _sandbox_process() as process:
            was_running = process.stop(self.sandbox_path)
        self._forget_address()
        verb, detail = (Verb.DELETED, "what it held is gone, its files stay") if was_running else (Verb.ABSENT, "")
        self._report.outcome(Outcome("sandbox", verb, SANDBOX_FOLDER, detail))

    def reset_sandbox(self) -> None:
        """Empty the local stand-in and delete what the tasks made under ``.sandbox/``."""
        with _sandbox_process() as process:
            if process.stop(self.sandbox_path):
                self._report.outcome(Outcome("sandbox", Verb.DELETED, SANDBOX_FOLDER))
            self._forget_address()
            found = [part for part in SANDBOX_PARTS if (self.sandbox_path / part).exists()]
            for part in found:
                shutil.rmtree(self.sandbox_path / part)
        verb = Verb.DELETED if found else Verb.ABSENT
        self._report.outcome(Outcome("files", verb, SANDBOX_FOLDER, ", ".join(found)))

    def _forget_address(self) -> None:
        for name in ("address", "_named_address"):
            vars(self).pop(name, None)

    def show_sandbox_environment(self) -> None:
        """Print ``export`` and ``unset`` lines for a shell; starts the local stand-in, so that they hold."""
        address = self.address
        values = {
            "AWS_ENDPOINT_URL": address.endpoint_url,
            "AWS_REGION": address.region,
            "AWS_DEFAULT_REGION": address.region,
            "AWS_ACCESS_KEY_ID": "sandbox",
            "AWS_SECRET_ACCESS_KEY": "sandbox",
            "AWS_SESSION_TOKEN": "sandbox",
            "OTA_SANDBOX_MQTT_HOST": address.mqtt_host or "",
            "OTA_SANDBOX_MQTT_PORT": str(address.mqtt_port or ""),
            "OTA_SANDBOX_CA": address.ca_path,
            **_without_proxy(self.environ),
        }
        for name, value in values.items():
            self._report.verbatim(f"export {name}={shlex.quote(value)}")
        for name in _overriding(self.environ):
            self._report.verbatim(f"unset {name}")

    @cached_property
    def settings(self) -> Settings:
        """The settings, before the account is known."""
        return self._load(("thing_name",))

    @cached_property
    def loose_settings(self) -> Settings:
        """The settings for tasks that name their objects themselves: no setting is required, names may be empty."""
        return self._load(())

    def settings_with(self, values: Mapping[str, str]) -> Settings:
        """The settings as they would be with these values too."""
        return self._load(("thing_name",), values)

    def choose_group(self) -> None:
        """In the running sandbox settings that name no thing group have THING-fleet from now on, in later runs too."""
        path = self._group_path(self.settings)
        make_private_folder(path.parent)
        path.write_text(str(self.address.pid), encoding="utf-8")
        self._forget_settings()

    def forget_group(self, settings: Settings) -> None:
        """In the sandbox settings that name no thing group have none again."""
        if self.is_sandbox:
            self._group_path(settings).unlink(missing_ok=True)
            self._forget_settings()

    def _group_path(self, settings: Settings) -> Path:
        """The file that says in which sandbox the thing has a group of registered devices: the process's id."""
        return self.sandbox_path / GROUPS_FOLDER / settings.thing_name

    def _has_group(self, settings: Settings) -> bool:
        """Whether a group was chosen for the thing in the sandbox that runs now; one that has ended lost it."""
        if not (self.is_sandbox and settings.thing_name and self._group_path(settings).exists()):
            return False
        with _sandbox_process() as process:
            address = process.read_address(self.sandbox_path)
        return address is not None and self._group_path(settings).read_text(encoding="utf-8") == str(address.pid)

    def _forget_settings(self) -> None:
        for name in ("settings", "loose_settings"):
            vars(self).pop(name, None)

    def _load(self, required: tuple[str, ...], also: Mapping[str, str] | None = None) -> Settings:
        found = self._load_with(required, also, {})
        if self._has_group(found):
            return self._load_with(required, also, {"thing_group_name": SANDBOX_GROUP})
        return found

    def _load_with(
        self, required: tuple[str, ...], also: Mapping[str, str] | None, stand_ins: Mapping[str, str]
    ) -> Settings:
        config_file = self.command_line.config_file
        return load_settings(
            self.root_path,
            environ=self.environ,
            config_path=Path(config_file).absolute() if config_file else None,
            overrides={**self.command_line.settings, **(also or {})},
            is_sandbox=self.is_sandbox,
            stand_ins=stand_ins,
            required=required,
        )

    def show_settings(self, *, as_json: bool) -> None:
        """Every setting: its value, where that comes from, and how it is written there where that differs."""
        origins = self.settings.origins
        if as_json:
            self._report.document(
                {name: {"value": o.formatted, "written": o.raw, "source": o.source} for name, o in origins.items()}
            )
            return
        rows = [(name, o.formatted, o.source, o.raw if o.raw != o.formatted else "") for name, o in origins.items()]
        self._report.table(("setting", "value", "from", "written as"), rows, wide_only=["written as"])

    def open_cloud(self) -> cloud.Cloud:
        """The cloud of this command line; prints it in one line, and the warnings about the settings."""
        settings = self.settings if "settings" in vars(self) else self.loose_settings
        opened = self.connect()
        for warning in settings.warnings:
            self._report.note(f"note: {warning}")
        self.copy_firmware(settings)
        return opened

    def copy_firmware(self, settings: Settings) -> None:
        """Bring the sandbox's copy of the user's firmware tree up to date, where there is one."""
        if settings.tree_copy:
            with self._report.live_line(f"copying {settings.tree_copy.source_path}"):
                refresh_copy(settings.tree_copy)

    def connect(self) -> cloud.Cloud:
        """The cloud of this command line, without reading the settings; prints it in one line."""
        if self.is_sandbox:
            return cloud.open_sandbox(self._named_address.endpoint_url, self._named_address.region)
        opened = cloud.open_cloud(self.environ)
        at = f" at {opened.endpoint_url}" if opened.endpoint_url else ""
        self._report.note(f"AWS account {opened.account_id} in {opened.region}{at}, as {opened.caller_arn}")
        return opened


def _is_yes(name: str, environ: Mapping[str, str]) -> bool:
    """Whether the variable says yes. Other words are refused, because the wrong choice may be a real account.

    Raises:
        SettingsError: it says neither yes nor no.
    """
    value = environ.get(name, "").strip().lower()
    if value not in YES | NO:
        raise SettingsError([Problem(f"{name} is {environ[name]!r}: write 1 for the local stand-in, or 0 for AWS")])
    return value in YES


def _overriding(environ: Mapping[str, str]) -> list[str]:
    """The variables that come before an SDK's ``AWS_ENDPOINT_URL`` or its keys, or keep it from using them.

    Source: AWS SDKs and Tools Reference Guide, "Service-specific endpoints", "Dual-stack and FIPS endpoints".
    """
    services = {f"{ENDPOINT_PREFIX}{name}" for name in SERVICES}
    return sorted({*OVERRIDES, *services, *(name for name in environ if name.startswith(ENDPOINT_PREFIX))})


def _without_proxy(environ: Mapping[str, str]) -> dict[str, str]:
    """What keeps an SDK from asking a proxy for 127.0.0.1; nothing where there is no proxy."""
    if not any(name.lower() in PROXIES and environ[name] for name in environ):
        return {}
    kept = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    hosts = ",".join(filter(None, [kept, "127.0.0.1,localhost"]))
    return {"NO_PROXY": hosts, "no_proxy": hosts}


@contextmanager
def _sandbox_process() -> Iterator[ModuleType]:
    """The module that starts and stops the sandbox; its errors, and a system without it, are turned into ours."""
    platforms.check_sandbox()
    from ota.sandbox import process

    try:
        yield process
    except process.SandboxError as error:
        raise OtaError(str(error)) from error
    except OSError as error:
        raise OtaError(f"The sandbox cannot use {error.filename or SANDBOX_FOLDER}: {error.strerror}.") from error
