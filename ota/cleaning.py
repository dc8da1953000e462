"""Cleans every thing whose certificate lies on this machine.

Everything that belongs to a thing has a name made from the thing's, so each is cleaned with the settings as they are
for that thing: the same file, environment and flags, and another ``thing_name``; and so are the commands in its
messages. One that cannot be cleaned does not keep the others.

Source: Arm's ``aws_tool.md`` for the names of the files in ``credentials_path``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ota.command_lines import aim
from ota.errors import InTheWay, OtaError
from ota.outcomes import Outcome, Verb
from ota.settings.names import thing_name_problem

if TYPE_CHECKING:
    from ota.report import Report
    from ota.settings.settings import Settings

CERTIFICATE_NAME = re.compile(r"thing_certificate_(?P<thing>.+)\.pem\.crt")
KEPT_NAME = re.compile(r"thing_certificate_.+\.pem\.[0-9a-f]{8}\.crt")


def clean_every(settings: Settings, report: Report, clean: Callable[[Settings], None]) -> None:
    """Clean the thing that the settings name, and every one that has a certificate in ``credentials_path``.

    ``clean`` cleans one, and raises where it cannot.

    Raises:
        InTheWay: some could not be cleaned; the message says which and why.
    """
    found, others = find_certificate_files(settings.credentials_path)
    for path in others:
        report.outcome(Outcome("files", Verb.SKIPPED, str(path), "not named thing_certificate_THING.pem.crt"))
    problems: list[str] = []
    thing_names = list(dict.fromkeys([*filter(None, [settings.thing_name]), *found]))
    if not thing_names:
        report.say(f"Nothing to clean: no thing_certificate_THING.pem.crt is in {settings.credentials_path}.")
    usual_prefix = report.prefix
    for thing_name in thing_names:
        report.say(f"\n{thing_name}")
        if thing_name != settings.thing_name:
            report.prefix = aim(f"invoke with --thing-name {shlex.quote(thing_name)}", usual_prefix)
        try:
            clean(settings_of(settings, thing_name, found.get(thing_name)))
        except OtaError as error:
            problems.append(f"{thing_name}: {report.aimed(str(error))}")
        finally:
            report.prefix = usual_prefix
    if problems:
        raise InTheWay("\n".join(problems))


def find_certificate_files(folder_path: Path) -> tuple[dict[str, Path], list[Path]]:
    """Name of each thing to its certificate file in the folder, and the certificates there that are named otherwise.

    A certificate that was put aside for a newer one belongs to its thing and is among neither.
    """
    found: dict[str, Path] = {}
    others: list[Path] = []
    for path in sorted(folder_path.glob("*")):
        if path.suffix not in {".crt", ".pem"} or KEPT_NAME.fullmatch(path.name):
            continue
        named = CERTIFICATE_NAME.fullmatch(path.name)
        if named and thing_name_problem(named["thing"]) is None:
            found[named["thing"]] = path
        else:
            others.append(path)
    return found, others


def settings_of(settings: Settings, thing_name: str, certificate_path: Path | None) -> Settings:
    """The settings for another thing, with the certificate file that was found for it and the keys beside that.

    Raises:
        SettingsError: a name made from the thing's does not pass its check.
    """
    changed = settings.with_values({"thing_name": thing_name})
    if certificate_path is None or changed.certificate_path == certificate_path:
        return changed
    folder_path = certificate_path.parent
    return changed.with_values(
        {
            "certificate_path": str(certificate_path),
            "private_key_path": str(folder_path / f"thing_private_key_{thing_name}.pem.key"),
            "public_key_path": str(folder_path / f"thing_public_key_{thing_name}.pem.key"),
        }
    )
