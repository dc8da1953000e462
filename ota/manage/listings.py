"""What is in the account: a table for each noun, one row an object.

A list takes three steps, so that thousands of objects cost few calls. *Find* pages through all of them without
asking for details. Then the list is cut to what is shown, and only for that *mark* tells what is ours and *fill* asks
for the rest, side by side. For what this tool made alone (``is_ours``) the marks are needed before the cut, so there
*mark* sees every row that the name filter leaves. Which noun has which columns and needs which calls stands in
``listed_nouns``, how rows read in ``listing_texts``; here is what all lists share.

Source: AWS IoT quotas (most Describe and List operations: ten calls a second for an account).


How a list reads: as a table on the screen, and as a JSON document.

A cell says what matters in few characters and leaves open what was not asked; JSON has the whole of it, with null for
what is not known.

Source: ISO 8601 for dates, which sort as they stand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

from ota.errors import DENIED_CODES, NotOurs, OtaError, PermissionDenied, from_boto
from ota.threads import side_by_side, side_by_side_map

if TYPE_CHECKING:
    from ota.cloud import Cloud


MOST_FILLED = 200
NUMBER = re.compile(r"(\d+)")

Rows = list["Row"]


@dataclass(frozen=True)
class Row:
    """One object.

    Attributes:
        name: its name; a certificate's or job's id.
        created: when it was made, where AWS tells.
        is_ours: whether this tool made it; None while that is not known, or cannot be.
        facts: what else there is to say, by its key in ``Noun.columns``.
        arn: where *mark* or *fill* need it.
    """

    name: str
    created: datetime | None = None
    is_ours: bool | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    arn: str = ""

    def with_facts(self, **facts: Any) -> Row:
        """The same row with more facts."""
        return replace(self, facts={**self.facts, **facts})


@dataclass(frozen=True)
class Noun:
    """One kind of object: how to find all of them, and what to tell of each.

    Attributes:
        name: in the singular: ``thing``.
        plural: as the list is called: ``things``.
        columns: key of a fact to its title, between the name and what all lists end with.
        find: all objects, in the order in which they are shown.
        mark: the same rows with ``is_ours``.
        fill: the same rows with their facts.
        id_title: the title of the first column.
        is_dated: whether AWS tells when they were made.
        shows_date: whether the table has room for that; JSON has it anyway.
    """

    name: str
    plural: str
    columns: Mapping[str, str]
    find: Callable[[Cloud], Iterable[Row]]
    mark: Callable[[Cloud, Rows], Rows]
    fill: Callable[[Cloud, Rows], Rows]
    id_title: str = "name"
    is_dated: bool = True
    shows_date: bool = True

    @property
    def has_date_column(self) -> bool:
        """Whether the table tells when they were made."""
        return self.is_dated and self.shows_date


@dataclass(frozen=True)
class Query:
    """What of a noun is wanted.

    Attributes:
        limit: how many rows to show at most.
        pattern: names with ``*`` for anything; empty for all.
        is_ours: only what this tool made.
    """

    limit: int
    pattern: str = ""
    is_ours: bool = False


@dataclass(frozen=True)
class Listing:
    """The rows that are shown of a noun, how many there are, and of how many nobody may know whether they are ours."""

    noun: Noun
    rows: tuple[Row, ...]
    total: int
    unknown: int = 0

    @property
    def is_cut(self) -> bool:
        """Whether there are more than are shown."""
        return self.total > len(self.rows)


def matches(name: str, pattern: str) -> bool:
    """Whether the whole name is like the pattern, in which only ``*`` means something: any characters, or none."""
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), name) is not None


def find_rows(cloud: Cloud, noun: Noun, pattern: str) -> Rows:
    """All objects with names like the pattern, or all where that is empty; not marked and not filled."""
    return [row for row in noun.find(cloud) if not pattern or matches(row.name, pattern)]


def make_listing(cloud: Cloud, noun: Noun, query: Query) -> Listing:
    """Everything to show of a noun."""
    found = find_rows(cloud, noun, query.pattern)
    marked = noun.mark(cloud, found if query.is_ours else found[: query.limit])
    unknown = sum(row.is_ours is None for row in marked)
    if query.is_ours:
        found = marked = [row for row in marked if row.is_ours]
    rows = marked[: query.limit]
    rows = [*noun.fill(cloud, rows[:MOST_FILLED]), *rows[MOST_FILLED:]]
    return Listing(noun, tuple(rows), len(found), unknown)


def make_listings(cloud: Cloud, nouns: Sequence[Noun], query: Query) -> list[Listing | OtaError]:
    """The listings of all these nouns, made side by side; in the place of one that AWS refuses, its refusal."""
    return list(side_by_side(*(partial(_attempt, cloud, noun, query) for noun in nouns)))


def by_name(rows: Iterable[Row]) -> Rows:
    """The rows by name, numbers in it as numbers: lamp-2 before lamp-10."""

    def key(row: Row) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdigit() else (0, part) for part in NUMBER.split(row.name)]

    return sorted(rows, key=key)


def newest_first(rows: Iterable[Row]) -> Rows:
    """The rows by the time they were made; those without one last."""
    beginning = datetime.min.replace(tzinfo=timezone.utc)
    return sorted(rows, key=lambda row: row.created or beginning, reverse=True)


def each(work: Callable[[Cloud, Row], Row]) -> Callable[[Cloud, Rows], Rows]:
    """The same for many rows, side by side; a row that these credentials may not ask about stays as it is."""

    def one(cloud: Cloud, row: Row) -> Row:
        from botocore.exceptions import ClientError

        try:
            return work(cloud, row)
        except NotOurs:
            return row
        except ClientError as error:
            if error.response["Error"]["Code"] not in DENIED_CODES:
                raise
            return row

    return lambda cloud, rows: list(side_by_side_map(partial(one, cloud), rows))


def as_they_are(_cloud: Cloud, rows: Rows) -> Rows:
    """The same rows: what was found tells all there is to tell."""
    return rows


def names_of(arns: Iterable[str]) -> list[str]:
    """The last part of each ARN: a thing's name, a certificate's id."""
    return [arn.rpartition("/")[2] for arn in arns]


def _attempt(cloud: Cloud, noun: Noun, query: Query) -> Listing | OtaError:
    from botocore.exceptions import ClientError

    try:
        return make_listing(cloud, noun, query)
    except ClientError as error:
        refusal = from_boto(error)
        if not isinstance(refusal, PermissionDenied):
            raise
        return refusal


SHOWN_IN_CELL = 2
DAY_IS_ENOUGH_MIN = 48 * 60


def titles(noun: Noun) -> tuple[str, ...]:
    """The titles of the columns."""
    return (noun.id_title, *noun.columns.values(), *(["created"] if noun.has_date_column else []), "ours")


def cells(noun: Noun, row: Row, now: datetime) -> tuple[str, ...]:
    """A row as text, one cell for each title."""
    facts = (_text(row.facts.get(key)) for key in noun.columns)
    made = [ago(row.created, now)] if noun.has_date_column else []
    return (row.name, *facts, *made, _text(row.is_ours, unknown="?"))


def ago(then: datetime | None, now: datetime) -> str:
    """How long ago, as long as that says more than the day does: ``12 min ago``, ``5 h ago``, ``2026-01-31``."""
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
        said.append(f"note: these credentials may not ask AWS about {listing.unknown:,} of the {plural}, so it says ?.")
    if len(listing.rows) > MOST_FILLED and listing.noun.columns:
        said.append(
            f"note: details were asked for the first {MOST_FILLED} {plural} only, since each takes calls; --filter "
            "shows those of others."
        )
    return said


def as_document(listing: Listing) -> dict[str, Any]:
    """The listing for JSON: ``total`` and ``rows``, in which null stands for what was not asked or is not known."""
    return {"total": listing.total, "rows": [_as_object(listing.noun, row) for row in listing.rows]}


def _as_object(noun: Noun, row: Row) -> dict[str, Any]:
    created = {"created": row.created.isoformat() if row.created else None} if noun.is_dated else {}
    facts = {key: _plain(row.facts.get(key)) for key in noun.columns}
    return {noun.id_title: row.name, **facts, **created, "ours": row.is_ours}


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
