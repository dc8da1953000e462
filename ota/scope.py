"""What a command line is about: which settings, which cloud, and whose files.

``sandbox`` and ``with`` change the scope before the first task that does something; after that it is fixed, because
half a command line in one account and half in another is never meant. In sandbox scope nothing of the user's is
touched: certificates, firmware and build stand under ``.sandbox/``, required settings that are unset get stand-ins,
and calls go to the local stand-in with dummy keys.
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ota import cloud, environment
from ota.errors import OtaError, SettingsError
from ota.messages import CommandLine
from ota.outcomes import Outcome, Verb
from ota.settings.settings import load_settings
from ota.settings.table import FIELD_BY_NAME

if TYPE_CHECKING:
    from ota.report import Report
    from ota.sandbox.process import Address
    from ota.settings.settings import Settings

SANDBOX_FOLDER = ".sandbox"
HEADER_NOTES = Path(".ota/headers.json")
# Whatever could lead to something of the user's: moved under .sandbox/, or back to the default that follows from there.
SANDBOX_OVERRIDES = {
    "credentials_path": f"{SANDBOX_FOLDER}/certificates",
    "firmware_root": f"{SANDBOX_FOLDER}/firmware",
    **{
        name: FIELD_BY_NAME[name].default
        for name in (
            "private_key_path",
            "certificate_path",
            "public_key_path",
            "build_dir",
            "build_script_path",
            "code_signing_public_key",
            "existing_certificate_arn",
        )
    },
}
SANDBOX_STAND_INS = {"thing_name": "sandbox-thing", "target_application": "keyword-detection"}
LOCK_FILE = ".ota.lock"
SANDBOX_PARTS = ("certificates", "firmware", "device")
YES = {"1", "true", "yes", "on"}
NO = {"", "0", "false", "no", "off"}


class Scope:
    """Settings and cloud of one command line.

    Attributes:
        root_path: the folder of tasks.py, where relative paths start.
        environ: the environment, with what ``.env`` adds.
    """

    def __init__(self, root_path: Path, environ: Mapping[str, str], report: Report) -> None:
        self._from_file = environment.load_environment(root_path)
        self.root_path = root_path
        self.environ = environ
        self._report = report
        self._wants_sandbox = _is_yes("OTA_SANDBOX", environ)
        self._overrides: dict[str, str] = {}
        self._config_path: Path | None = None
        self._aim_report()

    @property
    def sandbox_path(self) -> Path:
        """The folder that holds all that the sandbox makes."""
        return self.root_path / SANDBOX_FOLDER

    @property
    def is_sandbox(self) -> bool:
        """Whether the command line is about the local stand-in."""
        return self._wants_sandbox

    @property
    def prefix(self) -> str:
        """How a command line about the same things begins: ``invoke sandbox with --thing-name lamp-2``."""
        flags = [f"{FIELD_BY_NAME[name].flag} {shlex.quote(value)}" for name, value in self._overrides.items()]
        if self._config_path:
            flags.append(f"--config-file {shlex.quote(str(self._config_path))}")
        words = ["invoke", *(["sandbox"] if self.is_sandbox else []), *(["with", *flags] if flags else [])]
        return " ".join(words)

    @property
    def command_line(self) -> CommandLine:
        """How this command line began, for the commands in messages."""
        config_file = str(self._config_path) if self._config_path else ""
        return CommandLine(is_sandbox=self.is_sandbox, settings=dict(self._overrides), config_file=config_file)

    def _aim_report(self) -> None:
        self._report.prefix = self.prefix
        self._report.command_line = self.command_line

    @property
    def own_path(self) -> Path:
        """Where this tool keeps what it writes for itself, a build's log for one."""
        return self.sandbox_path if self.is_sandbox else self.root_path

    def build_environment(self, passed_on: Collection[str]) -> dict[str, str]:
        """The variables that the build script gets; ``passed_on`` names some that it would else not get."""
        return environment.build_environment(self.environ, from_file=self._from_file, passed_on=passed_on)

    @property
    def lock_path(self) -> Path:
        """What a run locks while it changes something, so that two from one folder take turns."""
        return self.own_path / LOCK_FILE

    @property
    def header_notes_paths(self) -> tuple[Path, ...]:
        """Where the notes of what was written into firmware headers are; the sandbox's own headers have their own."""
        users = self.root_path / HEADER_NOTES
        return (users, self.sandbox_path / HEADER_NOTES.name) if self.is_sandbox else (users,)

    def header_notes_path(self, firmware_root: Path) -> Path:
        """Where the notes of the headers in this firmware tree are."""
        return self.header_notes_paths[-1 if self.owns(firmware_root) else 0]

    @property
    def device_path(self) -> Path:
        """Where the virtual devices keep their images, a folder for each thing."""
        return self.sandbox_path / "device" if self.is_sandbox else self.root_path / ".device"

    def owns(self, path: Path) -> bool:
        """Whether this path is the sandbox's, so that nothing of the user's can be lost there."""
        return self.is_sandbox and path.resolve().is_relative_to(self.sandbox_path.resolve())

    def use_sandbox(self) -> None:
        """Turn to the local stand-in, for the rest of the command line.

        Raises:
            OtaError: something was done elsewhere already.
        """
        if not self._wants_sandbox:
            self._check_open("sandbox", "invoke sandbox all")
        self._wants_sandbox = True
        self._aim_report()
        self._named_address  # noqa: B018 - starts it

    def override(self, values: Mapping[str, str], config_file: str | None = None) -> None:
        """Settings for the rest of the command line; ``config_file`` is taken from the current folder.

        Raises:
            OtaError: something was done with other settings already.
        """
        self._check_open("with", "invoke with --thing-name lamp-2 all")
        self._overrides.update(values)
        if config_file:
            self._config_path = Path(config_file).expanduser()
            self._report.note(f"with settings from {self._config_path}")
        for name, value in values.items():
            self._report.note(f"with {name} = {value}")
        self._aim_report()

    def _check_open(self, task_name: str, example: str) -> None:
        if {"settings", "loose_settings"} & vars(self).keys():
            raise OtaError(f"`{task_name}` comes first: put it before the tasks that are to use it (`{example}`).")

    @cached_property
    def address(self) -> Address:
        """Where the local stand-in listens; it is started when it does not run."""
        from ota.sandbox import process
        from ota.sandbox.firmware import lay_out

        with _as_ota_error():
            address = process.start(self.sandbox_path, pause_s=self._pause_s())
            lay_out(self.sandbox_path / "firmware")
        return address

    @cached_property
    def _named_address(self) -> Address:
        """The same, named in one line."""
        self._report.note(f"sandbox at {self.address.endpoint_url}, {self.address.region}; no AWS account is touched")
        return self.address

    def _pause_s(self) -> float | None:
        text = self.environ.get("OTA_SANDBOX_PAUSE_S", "").strip()
        try:
            return float(text) if text else None
        except ValueError:
            raise OtaError(f"OTA_SANDBOX_PAUSE_S is {text!r}: write seconds, such as 0.3, or unset it.") from None

    def stop_sandbox(self) -> None:
        """End the local stand-in's process, if it runs."""
        from ota.sandbox import process

        with _as_ota_error():
            was_running = process.stop(self.sandbox_path)
        self._forget_address()
        verb, detail = (Verb.DELETED, "what it held is gone, its files stay") if was_running else (Verb.ABSENT, "")
        self._report.outcome(Outcome("sandbox", verb, SANDBOX_FOLDER, detail))

    def reset_sandbox(self) -> None:
        """Empty the local stand-in and delete what the tasks made under ``.sandbox/``."""
        from ota.sandbox import process

        with _as_ota_error():
            if process.stop(self.sandbox_path):
                self._report.outcome(Outcome("sandbox", Verb.DELETED, SANDBOX_FOLDER))
        self._forget_address()
        found = [part for part in SANDBOX_PARTS if (self.sandbox_path / part).exists()]
        with _as_ota_error():
            for part in found:
                shutil.rmtree(self.sandbox_path / part)
        verb = Verb.DELETED if found else Verb.ABSENT
        self._report.outcome(Outcome("files", verb, SANDBOX_FOLDER, ", ".join(found)))

    def _forget_address(self) -> None:
        for name in ("address", "_named_address"):
            vars(self).pop(name, None)

    def show_sandbox_environment(self) -> None:
        """Print ``export`` lines for a shell; starts the local stand-in, so that they hold."""
        values = {
            "AWS_ENDPOINT_URL": self.address.endpoint_url,
            "AWS_REGION": self.address.region,
            "AWS_DEFAULT_REGION": self.address.region,
            "AWS_ACCESS_KEY_ID": "sandbox",
            "AWS_SECRET_ACCESS_KEY": "sandbox",
            "AWS_SESSION_TOKEN": "sandbox",
        }
        for name, value in values.items():
            self._report.say(f"export {name}={shlex.quote(value)}")
        self._report.say("unset AWS_PROFILE")

    @cached_property
    def settings(self) -> Settings:
        """The settings, before the account is known."""
        return self._load(("thing_name",))

    @cached_property
    def loose_settings(self) -> Settings:
        """The settings for tasks that name their objects themselves: nothing has to be set, names may be empty."""
        return self._load(())

    def settings_with(self, values: Mapping[str, str]) -> Settings:
        """The settings as they would be with these values too; for a look at what else is wrong."""
        return self._load(("thing_name",), values)

    def _load(self, required: tuple[str, ...], also: Mapping[str, str] | None = None) -> Settings:
        return load_settings(
            self.root_path,
            environ=self.environ,
            config_path=self._config_path and self._config_path.absolute(),
            overrides={**self._overrides, **(also or {})},
            scope_overrides=SANDBOX_OVERRIDES if self.is_sandbox else {},
            stand_ins=SANDBOX_STAND_INS if self.is_sandbox else {},
            required=required,
        )

    def show_settings(self, *, as_json: bool) -> None:
        """Every setting: its value, who said so, and how it is written there where that differs."""
        origins = self.settings.origins
        if as_json:
            said = {name: {"value": o.formatted, "written": o.raw, "source": o.source} for name, o in origins.items()}
            self._report.say(json.dumps(said, indent=2))
            return
        rows = [(name, o.formatted, o.source, o.raw if o.raw != o.formatted else "") for name, o in origins.items()]
        self._report.table(("setting", "value", "from", "written as"), rows)

    def open_cloud(self) -> cloud.Cloud:
        """The cloud that this command line talks to, named in one line."""
        settings = self.settings if "settings" in vars(self) else self.loose_settings
        opened = self.connect()
        for warning in settings.warnings:
            self._report.note(f"note: {warning}")
        return opened

    def connect(self) -> cloud.Cloud:
        """The same, whatever the settings are."""
        if self.is_sandbox:
            return cloud.open_sandbox(self._named_address.endpoint_url, self._named_address.region)
        opened = cloud.open_cloud(self.environ)
        at = f" at {opened.endpoint_url}" if opened.endpoint_url else ""
        self._report.note(f"AWS account {opened.account_id} in {opened.region}{at}, as {opened.caller_arn}")
        return opened


def _is_yes(name: str, environ: Mapping[str, str]) -> bool:
    """Whether the variable says yes; what is neither yes nor no is refused, for the other choice may be a real account.

    Raises:
        SettingsError: it says something else.
    """
    said = environ.get(name, "").strip().lower()
    if said not in YES | NO:
        raise SettingsError([f"{name} is {environ[name]!r}: write 1 for the local stand-in, or 0 for AWS"])
    return said in YES


@contextmanager
def _as_ota_error() -> Iterator[None]:
    """The sandbox is a sealed room with errors of its own; outside they are ours."""
    from ota.sandbox.process import SandboxError

    try:
        yield
    except SandboxError as error:
        raise OtaError(str(error)) from error
    except OSError as error:
        raise OtaError(f"The sandbox cannot use {error.filename or SANDBOX_FOLDER}: {error.strerror}.") from error
