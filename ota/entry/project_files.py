"""Writes the files that a new project starts with: ``config.json`` and ``.env``.

A file that is there stays as it is. ``.env`` is for keys, so only its owner may read it, and where git would see it the
next steps say how to keep it out of the repository.

Source: gitignore(5), ``git check-ignore``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from ota.errors import OtaError
from ota.firmware.tree import has_firmware_tree
from ota.messages import Message, Shell, command, message, shell
from ota.outcomes import Outcome, Verb
from ota.platforms import HAS_PROCESS_GROUPS
from ota.report import Report
from ota.settings.settings import CONFIG_NAME
from ota.settings.sources import DEFAULT_SUFFIX, is_placeholder, read_config
from ota.settings.table import SETTINGS, ArmSettings, rows_of

ENVIRONMENT_NAME = ".env"
PUBLIC_MODE = 0o644
PRIVATE_MODE = 0o600
NOT_IGNORED_STATUS = 1  # of git check-ignore; 128 where there is no repository
QUESTIONS = {
    "thing_name": "Name of the thing, as the device will call itself (empty: later):",
    "firmware_root": "Folder of the firmware tree (empty: this folder):",
}


def start_project(report: Report, example_path: Path, folder_path: Path, given: Mapping[str, str]) -> None:
    """Write the files that are missing in ``folder_path``, and say what to do next.

    Args:
        report: asks on a terminal for what is not given.
        example_path: the example of ``.env``.
        folder_path: the new project's folder.
        given: ``thing_name`` and ``firmware_root``, empty where they were not given; a path as it is from the current
            folder.

    Raises:
        OtaError: a value cannot be used, or the settings file is there with another one; nothing is written.
    """
    config_path = folder_path / CONFIG_NAME
    is_new = not os.path.lexists(config_path)
    values = _complete(report, given, folder_path) if is_new else _checked(given, folder_path)
    if not is_new:
        _check_same(config_path, values)
    report.outcome(_write("settings", config_path, settings_example(values), PUBLIC_MODE))
    report.outcome(_write("environment", folder_path / ENVIRONMENT_NAME, _read_example(example_path), PRIVATE_MODE))
    for step in _next_steps(config_path):
        report.say(message("Next: ", step))


def settings_example(values: Mapping[str, str]) -> str:
    """The text of a settings file with every setting and its default: Arm's settings, then the others."""
    arms = rows_of(ArmSettings)
    groups = (arms, [row for row in SETTINGS.values() if row not in arms])
    given = [[(row.name, values.get(row.name, row.shipped)) for row in group] for group in groups]
    defaults = [[(row.name + DEFAULT_SUFFIX, row.default) for row in group if row.default] for group in groups]
    blocks = [",\n".join(f"    {_json(name)}: {_json(text)}" for name, text in pairs) for pairs in given + defaults]
    return "{\n" + ",\n\n".join(blocks) + "\n}\n"


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _complete(report: Report, given: Mapping[str, str], folder_path: Path) -> dict[str, str]:
    """The values, those that are missing from a user at a terminal; only those that are set."""
    values = {name: text or report.ask_for(QUESTIONS[name]) for name, text in given.items()}
    return _checked(values, folder_path)


def _checked(values: Mapping[str, str], folder_path: Path) -> dict[str, str]:
    """Those that are set, the path as it is from the settings file."""
    for name, text in values.items():
        problem = SETTINGS[name].check(text) if text else None
        if problem:
            raise OtaError(f"{text!r} cannot be the {name}: {problem}. Nothing was written.")
    found = {name: text for name, text in values.items() if text}
    if "firmware_root" in found:
        found["firmware_root"] = _from_folder(found["firmware_root"], folder_path)
    return found


def _from_folder(text: str, folder_path: Path) -> str:
    """A path that was typed in the current folder, as it is from the settings file's folder."""
    typed = Path(text)
    if typed.is_absolute() or text.startswith("~") or folder_path == Path.cwd():
        return text
    return os.path.relpath(typed.absolute(), folder_path)


def _check_same(config_path: Path, values: Mapping[str, str]) -> None:
    """Refuse values that an existing file does not have."""
    written = read_config(config_path).values if values else {}
    if different := [name for name, text in values.items() if written.get(name) != text]:
        raise OtaError(
            f"{config_path} is there already and stays as it is: write {' and '.join(different)} into it yourself. "
            "Nothing was written."
        )


def _read_example(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        restore = shell("git", "-C", path.parent, "checkout", path.name)
        raise OtaError(f"The example {path} is not there: bring it back with ", restore, remedy=restore) from error


def _write(noun: str, path: Path, text: str, mode: int) -> Outcome[None]:
    """Write a new file; one that is there, or a link in its place, stays."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        return Outcome(noun, Verb.REUSED, path.name, "is there already and stays as it is")
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
    return Outcome(noun, Verb.CREATED, path.name, f"in {path.parent}")


def _next_steps(config_path: Path) -> Iterator[Message]:
    """What is still to be done, the first thing first."""
    written = read_config(config_path).values
    if not written.get("thing_name") or is_placeholder(written["thing_name"]):
        yield message(f"write thing_name into {config_path.name}.")
    root_path = config_path.parent / Path(written.get("firmware_root") or ".").expanduser()
    if not root_path.is_dir():
        yield message(f"put the firmware tree into {root_path}, or write another firmware_root.")
    elif not written.get("firmware_root") and not has_firmware_tree(root_path):
        yield message(f"write into {config_path.name} where the firmware tree is (firmware_root).")
    if not _is_ignored(config_path.parent / ENVIRONMENT_NAME):
        yield message("keep your keys out of the repository: ", Shell("echo .env >> .gitignore"), ".")
    if HAS_PROCESS_GROUPS:
        yield message(command("sandbox").then("all"), " tries everything on this machine, without an AWS account.")
    yield message(command("doctor"), " says what AWS still needs.")


def _is_ignored(path: Path) -> bool:
    """Whether git does not see this file; also where there is no git, or no repository."""
    git = shutil.which("git")
    if git is None:
        return True
    check = [git, "-C", str(path.parent), "check-ignore", "--quiet", path.name]
    done = subprocess.run(check, capture_output=True, check=False)  # noqa: S603 - the program that was found
    return done.returncode != NOT_IGNORED_STATUS
