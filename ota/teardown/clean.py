"""The task ``clean``: tears down one thing and proves it, or every thing that has a certificate on this machine.

All names follow from the thing's name, so each thing is cleaned with the settings for it: the same file, environment
and flags, and another ``thing_name``. The commands in its messages have that name too.

Source: Arm's ``aws_tool.md`` for the names of the files in ``credentials_path``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ota.certificates import files as certificate_files
from ota.errors import InTheWay, OtaError
from ota.messages import Text, joined
from ota.outcomes import Outcome, Verb
from ota.teardown.teardown import Teardown

if TYPE_CHECKING:
    from ota.cloud import Cloud
    from ota.report import Report
    from ota.run import Run
    from ota.settings.settings import Settings


class Fleet(Protocol):
    """The registered devices of some settings, which a higher room deletes."""

    def has_traces(self) -> bool:
        """Whether there may be some, as far as can be told without a call."""

    def has_devices(self) -> bool:
        """Whether there are some; one call."""

    def run(self) -> list[Text]:
        """Delete them, and what was made with them; why something remains."""


class MakeFleet(Protocol):
    """Makes the :class:`Fleet` of some settings; arguments as those of ``ota.fleet.cleaning.Cleaning``."""

    def __call__(self, cloud: Cloud, settings: Settings, report: Report, *, is_forced: bool, local: bool) -> Fleet:
        """The fleet; calls nothing."""


def clean(
    run: Run,
    *,
    force: bool,
    local: bool,
    all_certificates: bool,
    make_fleet: MakeFleet,
) -> None:
    """Delete everything that this tool made for the thing, or for every thing with a certificate here.

    ``make_fleet`` gives the registered devices of some settings.

    Raises:
        InTheWay: something remains; the message says what and why.
    """
    run.take_turn()
    run.steps.forget()  # later tasks of this command line make it again
    clean_one = partial(_clean_one, run, force=force, local=local, make_fleet=make_fleet)
    if all_certificates:
        clean_every(run.loose_settings, run.report, clean_one)
    else:
        clean_one(run.settings)


def _clean_one(
    run: Run,
    settings: Settings,
    *,
    force: bool,
    local: bool,
    make_fleet: MakeFleet,
) -> None:
    cloud, show = run.cloud, run.report.outcome
    fleet = make_fleet(cloud, settings, run.report, is_forced=force, local=local)
    teardown = Teardown(cloud, settings, is_forced=force, local=local, header_notes_paths=run.header_notes_paths)
    with run.report.live_line("deleting"):
        remains = _tear_down(teardown, show, fleet)
    if remains:
        raise InTheWay("Not everything is gone.\n", joined("\n", remains))
    run.forget_group(settings)
    run.report.say(f"Proven: nothing that this tool made for {settings.thing_name} is left.")


def _tear_down(teardown: Teardown, show: Callable[[Outcome[Any]], None], fleet: Fleet) -> list[Text]:
    """Why something remains. Devices without a trace here are looked for only where something does."""
    if fleet.has_traces():
        return teardown.run(show, fleet.run)
    remains = teardown.run(show)
    return teardown.run(show, fleet.run) if remains and fleet.has_devices() else remains


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
