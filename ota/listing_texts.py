"""How a list reads: as a table on the screen, and as a JSON document.

A cell says what matters in few characters and leaves open what was not asked; JSON has the whole of it, with null for
what is not known.

Source: ISO 8601 for dates, which sort as they stand.
"""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Any

from ota.listings import MOST_FILLED, Listing, Noun, Query, Row

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
