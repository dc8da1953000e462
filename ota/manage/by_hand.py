"""The tasks for any object by hand: lists of what there is, and deletions of what somebody names.

Looking and choosing come first: which objects a command means is settled, shown and, where a pattern named them,
confirmed before the first of them is deleted.

Source: ``ota/manage/listings.py`` and ``ota/manage/removals.py`` for what is asked of AWS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ota.certificate_files import find_certificate_file
from ota.errors import InTheWay, OtaError, PermissionDenied
from ota.jobs import job_id_of
from ota.manage.listed import NOUN_BY_NAME, NOUN_BY_PLURAL, NOUNS
from ota.manage.listings import Query, as_document, cells, heading, make_listings, notes, titles
from ota.manage.removals import Request, remove
from ota.manage.selections import Selection, counted, delete_command, select, shortened, split_names
from ota.outcomes import Outcome, Verb
from ota.settings.readers import read_count

if TYPE_CHECKING:
    from ota.cloud import Cloud
    from ota.jobs import Patience
    from ota.report import Report
    from ota.settings.settings import Settings

ALL = "all"
MOST_SHOWN = 100


@dataclass(frozen=True)
class Wish:
    """What a delete task was told.

    Attributes:
        names: as given; empty for the one that the settings name.
        force: also what is in use, and by pattern what this tool did not make.
        prune: also what then hangs on nothing else.
        yes: the answer, where a pattern is to be confirmed.
    """

    names: tuple[str, ...]
    force: bool
    prune: bool
    yes: bool


def read_limit(text: str, default: int) -> int:
    """How many rows to show.

    Raises:
        OtaError: it is no number from 1.
    """
    try:
        return read_count(text) if text else default
    except ValueError as error:
        raise OtaError(f"--limit {text}: {error}.") from error


def show_lists(cloud: Cloud, report: Report, plural: str, query: Query, *, as_json: bool) -> None:
    """Print the lists of one noun, or of ``all``.

    Raises:
        PermissionDenied: AWS refused some of them; the others are printed before.
    """
    nouns = NOUNS if plural == ALL else (NOUN_BY_PLURAL[plural],)
    with report.live_line("looking"):
        listings = make_listings(cloud, nouns, query)
    refusals = [one for one in listings if isinstance(one, OtaError)]
    made = [one for one in listings if not isinstance(one, OtaError)]
    if as_json:
        report.document({one.noun.plural: as_document(one) for one in made})
    else:
        now = datetime.now(timezone.utc)
        for number, listing in enumerate(made):
            is_apart = number > 0 and bool(listing.rows or made[number - 1].rows)
            report.say(("\n" if is_apart else "") + heading(listing, query))
            if listing.rows:
                report.table(titles(listing.noun), [cells(listing.noun, row, now) for row in listing.rows])
    for note in (note for listing in made for note in notes(listing)):
        report.note(note)
    if refusals:
        raise PermissionDenied("\n".join(dict.fromkeys(str(one) for one in refusals)))


def delete_objects(cloud: Cloud, settings: Settings, report: Report, noun: str, wish: Wish, patience: Patience) -> None:
    """Delete what the wish names, and print a line for each object.

    Raises:
        OtaError: nothing is named, or a name cannot be one.
        InTheWay: some stay; the message says why and how to delete them all the same.
    """
    names = split_names(wish.names) or _default_names(settings, report, noun)
    with report.live_line(f"looking for {NOUN_BY_NAME[noun].plural}"):
        chosen = select(cloud, noun, names, is_forced=wish.force)
    for name in chosen.unmatched:
        report.outcome(Outcome(noun, Verb.ABSENT, name))
    if chosen.spared:
        report.note(f"note: not made by this tool, so left: {shortened(chosen.spared)}; --force deletes such, too.")
    if chosen.matched and not wish.yes:
        _confirm(report, noun, names, chosen, wish)
    request = Request(
        cloud,
        settings,
        is_forced=wish.force,
        prunes=wish.prune,
        patience=patience,
        note=report.note,
    )
    with report.live_line("deleting"):
        refusals = remove(request, noun, chosen.names, report.outcome)
    if refusals:
        raise InTheWay("\n".join(dict.fromkeys(refusals)))


def _confirm(report: Report, noun: str, names: Sequence[str], chosen: Selection, wish: Wish) -> None:
    """Show what a pattern matches, and go on only when somebody says yes.

    Raises:
        InTheWay: nobody did.
    """
    report.say(f"{', '.join(name for name in names if '*' in name)} matches {counted(noun, len(chosen.matched))}:")
    for name in chosen.matched[:MOST_SHOWN]:
        report.say(f"  {name}")
    if len(chosen.matched) > MOST_SHOWN:
        report.say(f"  and {len(chosen.matched) - MOST_SHOWN:,} more")
    if report.ask(f"Delete {counted(noun, len(chosen.names))}?"):
        return
    if report.can_ask:
        raise InTheWay("Nothing was deleted.")
    flags = ["--force"] * wish.force + ["--prune"] * wish.prune + ["--yes"]
    raise InTheWay(
        "Nothing was deleted: a pattern is to be confirmed, and without a terminal nobody can be asked. To delete "
        f"{counted(noun, len(chosen.names))} all the same: {delete_command(noun, names, *flags)}."
    )


def _default_names(settings: Settings, report: Report, noun: str) -> list[str]:
    """The one that the settings name, else what somebody at the terminal answers.

    Raises:
        OtaError: there is neither.
    """
    name = _named_in_settings(settings, noun) or report.ask_for(f"Name of the {noun} to delete:")
    if not name:
        raise OtaError(
            f"Which {noun}? Say `invoke delete.{noun} --name NAME` (`invoke list.{NOUN_BY_NAME[noun].plural}` "
            "shows what there is), or set thing_name in config.json."
        )
    return split_names([name])


def _named_in_settings(settings: Settings, noun: str) -> str:
    if noun == "certificate":
        path = settings.certificate_path
        local = find_certificate_file(path) if path.is_file() and not settings.existing_certificate_arn else None
        return settings.existing_certificate_arn or (local.id if local else "")
    if not settings.thing_name:
        return ""
    return {
        "thing": settings.thing_name,
        "policy": settings.policy_name,
        "role": settings.iam_role_name,
        "bucket": settings.bucket_name,
        "update": settings.update_name,
        "job": job_id_of(settings.update_name),
    }[noun]
