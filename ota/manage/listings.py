"""Lists what is in the account: a table for each noun, one row an object.

A list takes three steps, so that thousands of objects cost few calls. First all objects are listed, page by page and
without details. Then the list is cut to what is shown, and only for that *mark* tells what is ours and *fill* asks for
the rest, side by side. With ``--mine`` the marks are needed before the cut, so *mark* sees every row that matches the
name pattern. A noun's record (``ota/nouns.py``) says which columns it has and which functions make its rows.

A cell shows what matters in few characters and is empty where nothing is known; JSON has everything, with null there.

Source: AWS IoT quotas (most Describe and List operations: ten calls a second for an account); ISO 8601 for dates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

from ota.errors import DENIED_CODES, NotOurs, OtaError, PermissionDenied, from_boto
from ota.messages import joined
from ota.nouns import LISTED, NOUN_BY_NAME
from ota.records import Lazy, Listed, Noun, Row
from ota.settings.readers import read_count
from ota.threads import side_by_side, side_by_side_map

if TYPE_CHECKING:
    from ota.cloud import Cloud
    from ota.report import Report

ALL = "all"
MOST_FILLED = 200
NUMBER = re.compile(r"(\d+)")
SHOWN_IN_CELL = 2
DAY_IS_ENOUGH_MIN = 48 * 60


@dataclass(frozen=True)
class Query:
    """Which objects of a noun to list.

    Attributes:
        limit: how many rows to show at most.
        pattern: names with ``*`` for any characters; empty for all.
        is_ours: only what this tool made.
    """

    limit: int
    pattern: str = ""
    is_ours: bool = False


@dataclass(frozen=True)
class Listing:
    """The rows that are shown of a noun.

    Attributes:
        noun: the noun.
        rows: what is shown.
        total: how many objects match the query.
        unknown: the number of objects of which these credentials may not ask whether they are ours.
    """

    noun: Noun
    rows: tuple[Row, ...]
    total: int
    unknown: int = 0

    @property
    def is_cut(self) -> bool:
        """Whether there are more than are shown."""
        return self.total > len(self.rows)


def read_limit(text: str, default: int) -> int:
    """How many rows ``--limit`` asks for; the default where it is not given.

    Raises:
        OtaError: it is no whole number from 1.
    """
    try:
        return read_count(text) if text else default
    except ValueError as error:
        raise OtaError(f"--limit {text}: {error}.") from error


def show_lists(cloud: Cloud, report: Report, noun: str, query: Query, *, as_json: bool) -> None:
    """Print the list of one noun, or the lists of ``all``.

    Raises:
        PermissionDenied: AWS refused some of them; the others are printed before.
    """
    nouns = LISTED if noun == ALL else (NOUN_BY_NAME[noun],)
    with report.live_line("looking"):
        found = make_listings(cloud, nouns, query)
    listings = [one for one in found if isinstance(one, Listing)]
    if as_json:
        report.document({one.noun.key: as_document(one) for one in listings})
    else:
        _print(report, listings, query)
    for note in (note for listing in listings for note in notes(listing)):
        report.note(note)
    refusals = [one.message for one in found if isinstance(one, PermissionDenied)]
    if refusals:
        raise PermissionDenied(joined("\n", list(dict.fromkeys(refusals))))


def _print(report: Report, listings: Sequence[Listing], query: Query) -> None:
    now = datetime.now(timezone.utc)
    for number, listing in enumerate(listings):
        is_apart = number > 0 and bool(listing.rows or listings[number - 1].rows)
        report.say(("\n" if is_apart else "") + heading(listing, query))
        if listing.rows:
            report.table(titles(listing.noun), [cells(listing.noun, row, now) for row in listing.rows])


def matches(name: str, pattern: str) -> bool:
    """Whether the whole name matches the pattern, in which only ``*`` is special: any characters, or none."""
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), name) is not None


def find_rows(cloud: Cloud, noun: Noun, pattern: str) -> list[Row]:
    """All objects whose names match the pattern, or all where that is empty, in order; not marked and not filled."""
    listed = listing_of(noun)
    rows = [row for row in listed.rows(cloud) if not pattern or matches(row.name, pattern)]
    orders = {"name": by_name, "newest": newest_first}
    return orders[listed.order](rows) if listed.order else rows


def mark_rows(cloud: Cloud, noun: Noun, rows: list[Row]) -> list[Row]:
    """The same rows, each with whether it is ours."""
    listed = listing_of(noun)
    if listed.mark_all:
        marked: list[Row] = listed.mark_all(cloud, rows)
        return marked
    return _each(listed.mark, cloud, rows)


def make_listings(cloud: Cloud, nouns: Sequence[Noun], query: Query) -> list[Listing | PermissionDenied]:
    """The listings of all these nouns, made side by side; in the place of one that AWS refuses, its refusal."""
    return list(side_by_side(*(partial(_attempt, cloud, noun, query) for noun in nouns)))


def _attempt(cloud: Cloud, noun: Noun, query: Query) -> Listing | PermissionDenied:
    from botocore.exceptions import ClientError

    try:
        return make_listing(cloud, noun, query)
    except ClientError as error:
        refusal = from_boto(error)
        if not isinstance(refusal, PermissionDenied):
            raise
        return refusal


def make_listing(cloud: Cloud, noun: Noun, query: Query) -> Listing:
    """Everything to show of a noun."""
    found = find_rows(cloud, noun, query.pattern)
    asked = [row for row in found if row.is_ours is not False] if query.is_ours else found[: query.limit]
    marked = mark_rows(cloud, noun, asked)
    unknown = sum(row.is_ours is None for row in marked)
    if query.is_ours:
        found = marked = [row for row in marked if row.is_ours]
    rows = marked[: query.limit]
    rows = [*_each(listing_of(noun).fill, cloud, rows[:MOST_FILLED]), *rows[MOST_FILLED:]]
    return Listing(noun, tuple(rows), len(found), unknown)


def listing_of(noun: Noun) -> Listed:
    """How this noun is listed; it has a list."""
    if noun.listed is None:
        raise LookupError(f"the {noun.name} has no list")
    return noun.listed


def by_name(rows: Iterable[Row]) -> list[Row]:
    """The rows by name, numbers in it as numbers: lamp-2 before lamp-10."""

    def key(row: Row) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdigit() else (0, part) for part in NUMBER.split(row.name)]

    return sorted(rows, key=key)


def newest_first(rows: Iterable[Row]) -> list[Row]:
    """The rows by their dates; those without one last."""
    beginning = datetime.min.replace(tzinfo=timezone.utc)
    return sorted(rows, key=lambda row: row.created or beginning, reverse=True)


def _each(work: Lazy | None, cloud: Cloud, rows: list[Row]) -> list[Row]:
    """The work on each row, side by side; a row that these credentials may not ask about stays as it is."""
    from botocore.exceptions import ClientError

    def one(row: Row) -> Row:
        try:
            done: Row = work(cloud, row) if work else row
        except NotOurs:
            return row
        except ClientError as error:
            if error.response["Error"]["Code"] not in DENIED_CODES:
                raise
            return row
        return done

    return list(side_by_side_map(one, rows)) if work else rows


def titles(noun: Noun) -> tuple[str, ...]:
    """The titles of the columns."""
    listed = listing_of(noun)
    return (listed.id_title, *listed.columns.values(), *(["created"] if listed.has_date_column else []), "ours")


def cells(noun: Noun, row: Row, now: datetime) -> tuple[str, ...]:
    """A row as text, one cell for each title."""
    listed = listing_of(noun)
    facts = (_text(row.facts.get(key)) for key in listed.columns)
    created = [ago(row.created, now)] if listed.has_date_column else []
    return (row.name, *facts, *created, _text(row.is_ours, unknown="?"))


def ago(then: datetime | None, now: datetime) -> str:
    """How long ago, or the day where that says as much: ``12 min ago``, ``5 h ago``, ``2026-01-31``."""
    if then is None:
        return ""
    minutes = int((now - then).total_seconds() // 60)
    if minutes >= DAY_IS_ENOUGH_MIN:
        return f"{then.astimezone(timezone.utc):%Y-%m-%d}"
    if minutes >= 60:
        return f"{minutes // 60} h ago"
    return f"{minutes} min ago" if minutes > 0 else "just now"


def heading(listing: Listing, query: Query) -> str:
    """The line above the table: how many there are, and how to see more where it is cut."""
    plural, total = listing.noun.plural, listing.total
    which = " that this tool made" if query.is_ours else ""
    which += f" like {query.pattern}" if query.pattern else ""
    if not total:
        return f"no {plural}{which}"
    if listing.is_cut:
        return f"{plural}{which}: {len(listing.rows):,} of {total:,}; --limit {total} shows all"
    return f"{plural}{which}: {total:,}"


def notes(listing: Listing) -> list[str]:
    """Sentences on what the table leaves open."""
    plural, said = listing.noun.plural, []
    if listing.unknown:
        said.append(f"note: these credentials may not ask AWS about {listing.unknown:,} of the {plural}, shown as ?.")
    if len(listing.rows) > MOST_FILLED and listing_of(listing.noun).columns:
        said.append(
            f"note: details are shown for the first {MOST_FILLED} {plural} only, because each takes calls; --filter "
            "picks others."
        )
    return said


def as_document(listing: Listing) -> dict[str, Any]:
    """The listing for JSON: ``total`` and ``rows``, in which null stands for what was not asked or is not known."""
    return {"total": listing.total, "rows": [_as_object(listing.noun, row) for row in listing.rows]}


def _as_object(noun: Noun, row: Row) -> dict[str, Any]:
    listed = listing_of(noun)
    created = {"created": row.created.isoformat() if row.created else None} if listed.is_dated else {}
    facts = {key: _plain(row.facts.get(key)) for key in listed.columns}
    return {listed.id_title: row.name, **facts, **created, "ours": row.is_ours}


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def _text(value: Any, unknown: str = "") -> str:
    if value is None:
        return unknown
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        more = f" +{len(value) - SHOWN_IN_CELL}" if len(value) > SHOWN_IN_CELL else ""
        return (", ".join(str(one) for one in value[:SHOWN_IN_CELL]) or "none") + more
    return str(value)
