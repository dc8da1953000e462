"""The task ``clean``: tears down one thing and proves it, or every thing that has a certificate on this machine.

All names follow from the thing's name, so each thing is cleaned with the settings for it: the same file, environment
and flags, and another ``thing_name``. The commands in its messages have that name too.

Source: Arm's ``aws_tool.md`` for the names of the files in ``credentials_path``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ota import certificate_files
from ota.errors import InTheWay, OtaError
from ota.messages import Text, joined
from ota.outcomes import Outcome, Verb
from ota.teardown.teardown import Teardown

if TYPE_CHECKING:
    from ota.cloud import Cloud
    from ota.report import Report
    from ota.run import Run
    from ota.settings.settings import Settings

TakeDown = Callable[["Cloud", "Settings", Callable[[Outcome[Any]], None]], list[Text]]


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
    teardown = Teardown(cloud, settings, is_forced=force, local=local, header_notes_paths=run.header_notes_paths)
    with run.report.live_line("deleting"):
        rehearsed = take_down_rehearsals(cloud, settings, show) if cloud.is_sandbox else []
        remains = teardown.run(show, rehearsed)
    if remains:
        raise InTheWay("Not everything is gone.\n", joined("\n", remains))
    run.report.say(f"Proven: nothing that this tool made for {settings.thing_name} is left.")


def clean_every(settings: Settings, report: Report, clean: Callable[[Settings], None]) -> None:
    """Clean the thing of the settings, and every thing that has a certificate file in ``credentials_path``.

    The names of all objects of a thing are made from its name, so each thing is cleaned with the same settings and
    another ``thing_name``; the commands in its messages have that name too. ``clean`` cleans one thing. A thing that
    cannot be cleaned does not stop the others.

    Raises:
        InTheWay: some things could not be cleaned; the message says which and why.
    """
    found, others = certificate_files.find_certificate_files(settings.credentials_path)
    for path in others:
        report.outcome(Outcome("files", Verb.SKIPPED, str(path), "not named thing_certificate_THING.pem.crt"))
    thing_names = list(dict.fromkeys([*filter(None, [settings.thing_name]), *found]))
    if not thing_names:
        report.say(f"Nothing to clean: no thing_certificate_THING.pem.crt is in {settings.credentials_path}.")
    problems: list[str] = []
    for thing_name in thing_names:
        report.say(f"\n{thing_name}")
        changed = {} if thing_name == settings.thing_name else {"thing_name": thing_name}
        with report.about(**changed):
            try:
                clean(_settings_of(settings, thing_name, found.get(thing_name)))
            except OtaError as error:
                problems.append(f"{thing_name}: {report.text(error.message)}")
    if problems:
        raise InTheWay("\n".join(problems))


def _settings_of(settings: Settings, thing_name: str, certificate_path: Path | None) -> Settings:
    """The settings for another thing, with the certificate file that was found for it and the keys beside it.

    Raises:
        SettingsError: a name that is made from the thing's name cannot be used.
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
