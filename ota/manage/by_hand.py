"""Deletes objects that the user names.

First the command is resolved to objects, and where a pattern matched some of them, they are shown and confirmed. Then
they are deleted, several side by side; one that has to stay does not keep the others. Then ``--prune`` deletes what
they were attached to, where that is attached to nothing else. That is looked up once all of them are gone, so that two
things that share a certificate can go with it. AWS lists deleted objects for a while: those are not counted.

Source: AWS IoT quotas (most operations that delete: ten calls a second for an account).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ota.errors import InTheWay, OtaError
from ota.manage.removals import Deletion, Named, Removed, short, spoken
from ota.manage.selections import (
    Selection,
    counted,
    default_name,
    delete_command,
    list_command,
    select,
    shortened,
    split_names,
)
from ota.messages import Message, joined
from ota.nouns import NOUN_BY_NAME
from ota.outcomes import Outcome, Verb
from ota.records import Deleted, Noun
from ota.threads import side_by_side_map

if TYPE_CHECKING:
    from ota.report import Report
    from ota.settings.settings import Settings

MOST_SHOWN = 100


def delete_objects(deletion: Deletion, report: Report, noun: Noun, given: Sequence[str]) -> None:
    """Delete what ``given`` names, or what the settings name, and print a line for each object.

    Raises:
        OtaError: nothing is named, or a name cannot be one.
        InTheWay: some stay; the message says why and how to delete them anyway.
    """
    names = split_names(given) or _default_names(deletion.settings, report, noun)
    with report.live_line(f"looking for {noun.plural}"):
        chosen = select(deletion.cloud, noun, names, is_forced=deletion.is_forced)
    for name in chosen.unmatched:
        report.outcome(Outcome(noun.name, Verb.ABSENT, name))
    if chosen.spared:
        report.note(f"note: not made by this tool, so left: {shortened(chosen.spared)}; --force deletes them too.")
    if chosen.matched and not deletion.is_confirmed:
        _confirm(deletion, report, noun, names, chosen)
    with report.live_line("deleting"):
        refusals = remove(deletion, noun, chosen.names, report.outcome)
    if refusals:
        raise InTheWay(joined("\n", list(dict.fromkeys(refusals))))


def remove(deletion: Deletion, noun: Noun, names: Iterable[str], show: Callable[[Outcome[Any]], None]) -> list[Message]:
    """Delete these, and what pruning takes. ``show`` gets a line for each; returns why some of them stay."""
    refusals: list[Message] = []

    def run(work: Callable[[Any], Attempt], items: Iterable[Any]) -> list[Removed]:
        outcomes = []
        for outcome, refusal in side_by_side_map(work, items):
            show(outcome)
            outcomes.append(outcome)
            refusals.extend([refusal] if refusal else [])
        return outcomes

    removed = run(partial(_remove_one, deletion, noun), names)
    if deletion.prunes:
        gone = {(one.noun, one.name) for one in removed if one.verb is Verb.DELETED}
        run(partial(_prune_one, deletion, gone), sorted({named for one in removed for named in one.value or ()}))
    return refusals


Attempt = tuple[Removed, "Message | None"]
"""The outcome, and why the object has to stay."""


def _attempt(noun: str, name: str, work: Callable[[], Removed]) -> Attempt:
    try:
        return work(), None
    except OtaError as refusal:
        return Outcome(noun, Verb.SKIPPED, name, "stays"), refusal.message


def _remove_one(deletion: Deletion, noun: Noun, name: str) -> Attempt:
    outcome, refusal = _attempt(noun.name, name, partial(_deletion_of(noun).remove.load(), deletion, name))
    if outcome.value and not deletion.prunes:
        stay = "stay" if len(outcome.value) > 1 else "stays"
        outcome = replace(outcome, detail=f"{spoken(outcome.value)} {stay}")
    return outcome, refusal


def _prune_one(deletion: Deletion, gone: Collection[Named], named: Named) -> Attempt:
    return _attempt(named[0], short(named[1]), partial(_prune, deletion, gone, named))


def _prune(deletion: Deletion, gone: Collection[Named], named: Named) -> Removed:
    """Delete this object, if it is attached to nothing but what is ``gone``.

    Raises:
        OtaError: AWS does not delete it.
    """
    noun, name = named
    if name == deletion.settings.existing_certificate_arn:
        return Outcome(noun, Verb.SKIPPED, short(name), "named by existing_certificate_arn, stays")
    how = _deletion_of(NOUN_BY_NAME[noun])
    if how.attached_to is None or how.prune is None:
        raise LookupError(f"a {noun} cannot be pruned")
    attached: list[Named] = how.attached_to(deletion.cloud, name)
    others = [(kind, one) for kind, one in attached if (kind, short(one)) not in gone]
    if others:
        return Outcome(noun, Verb.SKIPPED, short(name), f"is attached to {spoken(others)} too, stays")
    outcome: Removed = how.prune(deletion.cloud, name)
    return outcome


def _deletion_of(noun: Noun) -> Deleted:
    if noun.deleted is None:
        raise LookupError(f"a {noun.name} cannot be deleted by name")
    return noun.deleted


def _confirm(deletion: Deletion, report: Report, noun: Noun, names: Sequence[str], chosen: Selection) -> None:
    """Show what the patterns match, and go on only when somebody confirms it.

    Raises:
        InTheWay: nobody did.
    """
    report.say(f"{', '.join(name for name in names if '*' in name)} matches {counted(noun, len(chosen.matched))}:")
    for name in chosen.matched[:MOST_SHOWN]:
        report.say(f"  {name}")
    if len(chosen.matched) > MOST_SHOWN:
        report.say(f"  and {len(chosen.matched) - MOST_SHOWN:,} more")
    count = counted(noun, len(chosen.names))
    if report.ask(f"Delete {count}?"):
        return
    if report.can_ask:
        raise InTheWay("Nothing was deleted.")
    flags = ["--force"] * deletion.is_forced + ["--prune"] * deletion.prunes + ["--yes"]
    delete = delete_command(noun.name, names, *flags)
    raise InTheWay(
        "Nothing was deleted: a pattern has to be confirmed, and there is no terminal to ask on. To delete "
        f"{count} without being asked: ",
        delete,
        ".",
        remedy=delete,
    )


def _default_names(settings: Settings, report: Report, noun: Noun) -> list[str]:
    """The object that the settings name, else the one that the user types at the terminal.

    Raises:
        OtaError: there is neither.
    """
    name = default_name(settings, noun) or report.ask_for(f"Name of the {noun.name} to delete:")
    if not name:
        raise OtaError(
            f"Which {noun.name}? Say ",
            delete_command(noun.name, ["NAME"]),
            " (",
            list_command(noun),
            " shows what there is), or set thing_name in config.json.",
        )
    return split_names([name])
