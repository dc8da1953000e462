"""The task ``group``: makes the thing group of the settings, and adds things to it or takes some out.

A pattern that adds means things that this tool made, one that removes means members. An exact name is the user's own
choice, whoever made the thing. Adding and removing can be repeated, so a run that was cut off is run again.

Source: AWS IoT AddThingToThingGroup, RemoveThingFromThingGroup (one thing a call, both idempotent; a hundred calls a
second).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ota import groups, things
from ota.errors import InTheWay, OtaError, attempt
from ota.fleet.device_lists import read_device_list
from ota.manage.listings import matches
from ota.manage.selections import split_names
from ota.messages import Text, command, joined, message
from ota.outcomes import Outcome, Verb
from ota.settings.names import thing_name_problem
from ota.threads import side_by_side_map

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

    from ota.report import Report
    from ota.run import Run

MOST_TOLD = 20


@dataclass
class Changes:
    """What became of the members.

    Attributes:
        added: names of things that joined.
        kept: names of things that were to join and were members already.
        removed: names of things that left.
        absent: names of things that were to leave and were no members.
        refused: names of things that were to join or leave, and why they did not.
    """

    added: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    refused: dict[str, Text] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The counts in words; empty where nobody was to join or leave."""
        counts = {
            "added": self.added,
            "in it already": self.kept,
            "taken out": self.removed,
            "not in it": self.absent,
        }
        return ", ".join(f"{len(names):,} {what}" for what, names in counts.items() if names)


def change_group(run: Run, *, add: Sequence[str], remove: Sequence[str], file: str, as_json: bool) -> None:
    """Make the group where there is none, then add and remove things.

    Args:
        run: the command line.
        add: names, and patterns with ``*`` of things that this tool made.
        remove: names, and patterns with ``*`` of members.
        file: a list of things that join; relative to the current folder.
        as_json: print one JSON document.

    Raises:
        OtaError: thing_group_name is not set, a name cannot be one, or the list has mistakes; nothing was done.
        InTheWay: the group chooses its members by a query, or some things could not be added or removed.
    """
    name = run.scope.settings.thing_group_name
    if not name:
        example = command("group", thing_group_name="lamps")
        raise OtaError("thing_group_name is not set, so there is no group to make: ", example, ".", remedy=example)
    joining, leaving = split_names(add), split_names(remove)
    _check_names([*joining, *leaving])
    listed = [one.name for one in read_device_list(Path(file).expanduser().absolute()).devices] if file else []
    run.take_turn()
    iot = run.cloud.iot
    outcome = groups.make_group(iot, groups.decide_group(groups.find_group(iot, name), name, run.settings.thing_name))
    is_new = outcome.verb is Verb.CREATED
    changes = Changes()
    if joining or leaving or listed:
        groups.check_static(outcome.get())
        members = set() if is_new else set(groups.list_members(iot, name))
        _add(iot, name, [*listed, *joining], members, changes, run.report)
        _remove(iot, name, leaving, {*members, *changes.added}, changes, run.report)
    verb = Verb.CHANGED if not is_new and (changes.added or changes.removed) else outcome.verb
    run.report.outcome(Outcome(groups.NOUN, verb, name, changes.text or outcome.detail))
    if changes.refused:
        raise _refusal(name, changes)
    if as_json:
        run.report.success(group=name, added=changes.added, kept=changes.kept, removed=changes.removed)


def fill_group(
    iot: IoTClient, name: str, thing_names: Iterable[str], report: Report, label: str
) -> dict[str, OtaError]:
    """Put these things into the group, several at the same time; names of those that could not be, and why."""
    return _each(partial(groups.add_member, iot, name), list(thing_names), report, label)


def _add(
    iot: IoTClient, name: str, given: Sequence[str], members: Collection[str], changes: Changes, report: Report
) -> None:
    wanted = list(_chosen(given, lambda: _our_things(iot), "this tool made no thing", changes))
    changes.kept += [one for one in wanted if one in members]
    new = [one for one in wanted if one not in members]
    failed = fill_group(iot, name, new, report, f"adding to {name}")
    changes.added += [one for one in new if one not in failed]
    changes.refused.update({one: error.message for one, error in failed.items()})


def _remove(
    iot: IoTClient, name: str, given: Sequence[str], members: Collection[str], changes: Changes, report: Report
) -> None:
    wanted = list(_chosen(given, lambda: sorted(members), "no member is called so", changes))
    leaving = [one for one in wanted if one in members]
    failed = _each(partial(groups.remove_member, iot, name), leaving, report, f"taking out of {name}")
    changes.removed += [one for one in leaving if one not in failed]
    changes.refused.update({one: error.message for one, error in failed.items()})
    changes.absent += [one for one in wanted if one not in members]


def _chosen(
    given: Sequence[str], list_all: Callable[[], Sequence[str]], none_text: str, changes: Changes
) -> Iterator[str]:
    """The names that names and patterns mean, each once; a pattern that matches nothing is a refusal."""
    known = list_all() if any("*" in one for one in given) else ()
    told: set[str] = set()
    for one in given:
        found = [name for name in known if matches(name, one)] if "*" in one else [one]
        if not found:
            changes.refused[one] = none_text
        yield from (name for name in found if name not in told)
        told.update(found)


def _our_things(iot: IoTClient) -> list[str]:
    found = things.list_things(iot, only_ours=True)
    return sorted(one.name for one in found if one.is_ours or one.is_registered)


def _each(change: Callable[[str], None], thing_names: Sequence[str], report: Report, label: str) -> dict[str, OtaError]:
    failed: dict[str, OtaError] = {}
    if not thing_names:
        return failed
    with report.count_bar(label, len(thing_names)) as on_progress:
        results = side_by_side_map(lambda one: attempt(partial(change, one)), thing_names)
        for number, (name, error) in enumerate(zip(thing_names, results, strict=True), 1):
            if error is not None:
                failed[name] = error
            on_progress(number)
    return failed


def _check_names(given: Sequence[str]) -> None:
    for one in given:
        problem = thing_name_problem(one.replace("*", "-"))
        if problem:
            raise OtaError(f"{one!r} cannot be the name of a thing, or a pattern of names: {problem.reason}.")


def _refusal(name: str, changes: Changes) -> InTheWay:
    told: list[Text] = [message(f"{one}: ", cause) for one, cause in list(changes.refused.items())[:MOST_TOLD]]
    more = len(changes.refused) - len(told)
    return InTheWay(
        f"Not every change of the group {name} was made:\n  ",
        joined("\n  ", [*told, *([f"and {more:,} more"] if more else [])]),
        "\n",
        command("list.things"),
        " shows what there is.",
    )
