"""The task ``clean``: tears down one thing and proves it, or every thing that has a certificate on this machine.

All names follow from the thing's name, so each thing is cleaned with the settings for it: the same file, environment
and flags, and another ``thing_name``. Its messages and their commands are about it too. A thing that cannot be cleaned
does not stop the others.

Source: Arm's ``aws_tool.md`` for the names of the files in ``credentials_path``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ota import certificate_files, desired_state
from ota.errors import InTheWay, OtaError
from ota.firmware import headers
from ota.outcomes import Outcome, Verb
from ota.settings.names import thing_name_problem
from ota.teardown import Teardown

if TYPE_CHECKING:
    from ota.cloud import Cloud
    from ota.report import Report
    from ota.run import Run
    from ota.settings.settings import Settings

TakeDown = Callable[["Cloud", "Settings", Callable[[Outcome[Any]], None]], list[str]]

CERTIFICATE_NAME = re.compile(r"thing_certificate_(?P<thing>.+)\.pem\.crt")
KEPT_NAME = re.compile(r"thing_certificate_.+\.pem\.[0-9a-f]{8}\.crt")


def clean(run: Run, *, force: bool, local: bool, all_certificates: bool, take_down_rehearsals: TakeDown) -> None:
    """Delete everything that this tool made for the thing, or for every thing with a certificate here.

    ``take_down_rehearsals`` deletes the things of rehearsals, which only the sandbox has; it returns what remains.

    Raises:
        InTheWay: something remains; the message says what and why.
    """
    run.take_turn()
    run.steps.forget()  # later tasks of this command line make it again
    clean_one = partial(_clean_one, run, force=force, local=local, take_down_rehearsals=take_down_rehearsals)
    if all_certificates:
        clean_every(run.loose_settings, run.report, clean_one)
    else:
        clean_one(run.settings)


def _clean_one(run: Run, settings: Settings, *, force: bool, local: bool, take_down_rehearsals: TakeDown) -> None:
    cloud, show = run.cloud, run.report.outcome
    with run.report.live_line("deleting"):
        teardown = Teardown(cloud, settings, desired_state.certificate_files(settings), is_forced=force)
        rehearsed = take_down_rehearsals(cloud, settings, show) if cloud.is_sandbox else []
        remains = rehearsed + teardown.run(show)
    if remains:
        raise InTheWay("Not everything is gone.\n" + "\n".join(remains))
    for path in run.header_notes_paths:
        for outcome in headers.put_back(path, settings.thing_name, cloud.account_name):
            show(outcome)
    if local:
        show(_delete_local(settings, is_needed=teardown.keeps_certificate))
    run.report.say(f"Proven: nothing that this tool made for {settings.thing_name} is left.")


def _delete_local(settings: Settings, *, is_needed: bool) -> Outcome[None]:
    if is_needed or settings.existing_certificate_arn:
        return Outcome("files", Verb.SKIPPED, settings.private_key_path.name, "of a certificate that stays")
    return certificate_files.delete_local(desired_state.certificate_files(settings))


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
    for thing_name in thing_names:
        report.say(f"\n{thing_name}")
        with report.about(**{} if thing_name == settings.thing_name else {"thing_name": thing_name}):
            try:
                clean(settings_of(settings, thing_name, found.get(thing_name)))
            except OtaError as error:
                problems.append(f"{thing_name}: {report.text(error.message)}")
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
