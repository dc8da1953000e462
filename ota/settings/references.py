"""Read a text with references and filters into pieces; the grammar that :mod:`ota.settings.formatter` fills.

A tokenizer and not a chain of ``str.replace``, because only a tokenizer can say where a text is wrong, keeps a
filled-in value from being read again, and gives the same result in whatever order the texts stand.

    text       = { literal | "$$<" | "$${" | reference }
    reference  = ( "$<" name ">" | "${" name "}" ) { filter }
    filter     = "{lower}" | "{upper}" | "{replace A with B}" | "{replace{A with B}}"

A and B are plain text without braces; B may be empty.

Source: the formatter section of Arm's ``aws_tool.md`` for the two replace forms.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_OPENING = re.compile(r"\$\$[<{]|\$[<{]")
_NAME = re.compile(r"[^<>{}$]*")
_FILTER = re.compile(r"\{([^{}]*)(?:\{([^{}]*)\}\}|\})")
_FILTER_CUT_SHORT = re.compile(r"\{[^{}]*(?:\{[^{}]*\}?)?")
_CLOSING = {"<": ">", "{": "}"}
_FILTER_NAMES = ("lower", "upper", "replace")
_EXCERPT_CHARS = 60


@dataclass(frozen=True)
class Literal:
    """Text that stands for itself."""

    text: str


@dataclass(frozen=True)
class Filter:
    """One change to a referred value; ``find`` and ``put`` are for replace."""

    name: str
    find: str = ""
    put: str = ""

    def __str__(self) -> str:
        return f"{{replace {self.find} with {self.put}}}" if self.name == "replace" else f"{{{self.name}}}"

    def apply(self, value: str) -> str:
        """The value after this filter."""
        if self.name == "replace":
            return value.replace(self.find, self.put)
        return value.lower() if self.name == "lower" else value.upper()


@dataclass(frozen=True)
class Reference:
    """A name to look up, its filters in order, both as they were written, and where they start in the text."""

    name: str
    filters: tuple[Filter, ...]
    text: str
    start: int = 0

    def apply(self, value: str) -> str:
        """The value after all filters, left to right."""
        for filter_ in self.filters:
            value = filter_.apply(value)
        return value


@dataclass(frozen=True)
class Parsed:
    """A text as pieces, and what is wrong with its form; the pieces count only where ``complaints`` is empty."""

    pieces: tuple[Literal | Reference, ...]
    complaints: tuple[str, ...]

    def references(self) -> Iterator[Reference]:
        """The references, from left to right."""
        return (piece for piece in self.pieces if isinstance(piece, Reference))


def parse(text: str) -> Parsed:
    """Split a text into literals and references; never raises."""
    pieces: list[Literal | Reference] = []
    complaints: list[str] = []
    at = 0
    while opening := _OPENING.search(text, at):
        pieces.append(Literal(text[at : opening.start()]))
        at = opening.end()
        if opening[0].startswith("$$"):
            pieces.append(Literal(opening[0][1:]))
            continue
        reference, at, found = _read_reference(text, opening)
        complaints += found
        if reference:
            pieces.append(reference)
    pieces.append(Literal(text[at:]))
    return Parsed(tuple(piece for piece in pieces if piece.text), tuple(complaints))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that this one was probably meant to be, or None."""
    by_lower = {each.lower(): each for each in known}
    asked = name.strip().lower().replace("-", "_").replace(" ", "_")
    found = difflib.get_close_matches(asked, by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def place(written: str, text: str, start: int) -> str:
    """The wrong part in quotes and, where it is not the whole text, the place (from 1) at which it starts."""
    short = written if len(written) <= _EXCERPT_CHARS else written[:_EXCERPT_CHARS] + "…"
    if written == text:
        return f'"{short}"'
    return f'"{short}" (character {start + 1} of "{around(text, start)}")'


def _read_reference(text: str, opening: re.Match[str]) -> tuple[Reference | None, int, list[str]]:
    """The reference that opens here (None where it cannot be read), where it ends, and what is wrong."""
    start = opening.start()
    closing = _CLOSING[opening[0][1]]
    end = _NAME.match(text, opening.end()).end()  # type: ignore[union-attr]  # the pattern also matches nothing
    name = text[opening.end() : end]
    written = text[start:end]
    if text[end : end + 1] != closing:
        fix = f'end the name with "{closing}", or write "${opening[0]}" for a literal "{opening[0]}"'
        return None, end, [f"{place(written, text, start)} is not closed; {fix}"]
    if not name:
        where = place(written + closing, text, start)
        return None, end + 1, [f'{where} names nothing; write a setting\'s name between "$<" and ">"']
    filters, at, complaints = _read_filters(text, end + 1)
    return Reference(name, filters, text[start:at], start), at, complaints


def _read_filters(text: str, at: int) -> tuple[tuple[Filter, ...], int, list[str]]:
    """The filters that follow directly on ``at``, where they end, and what is wrong with them."""
    filters: list[Filter] = []
    complaints: list[str] = []
    while text[at : at + 1] == "{":
        match = _FILTER.match(text, at)
        if match is None:
            cut = _FILTER_CUT_SHORT.match(text, at)[0]  # type: ignore[index]  # it starts with the brace seen above
            end = "}}" if "{" in cut[1:] else "}"
            where = place(cut, text, at)
            return (), at + len(cut), [*complaints, f'{where} is not closed; end the filter with "{end}"']
        try:
            filters.append(_read_filter(match))
        except ValueError as error:
            complaints.append(f"{place(match[0], text, at)} {error}")
        at = match.end()
    return tuple(filters), at, complaints


def _read_filter(match: re.Match[str]) -> Filter:
    """One filter from its brackets; ValueError says what is wrong with it and what to write."""
    word, _, rest = match[1].lstrip().partition(" ")
    arguments = rest if match[2] is None else match[2]
    if word not in _FILTER_NAMES:
        close = nearest(word, _FILTER_NAMES)
        fix = f"write {{{close}}}" if close in ("lower", "upper") else "write {replace A with B}"
        known = "filters are {lower}, {upper} and {replace A with B}"
        raise ValueError(f"is not a filter; {f'{fix}: ' if close else ''}{known}")
    if word != "replace":
        if match[2] is not None or rest.strip():
            raise ValueError(f"takes nothing more; write {{{word}}}")
        return Filter(word)
    find, separator, put = f"{arguments} ".partition(" with ")
    if not separator or not find:
        raise ValueError("does not say what to replace with what; write {replace A with B}")
    return Filter("replace", find, put[:-1])


def around(text: str, start: int) -> str:
    """The text, or where it is long the part around ``start``."""
    if len(text) <= 2 * _EXCERPT_CHARS:
        return text
    left, right = max(0, start - _EXCERPT_CHARS), start + _EXCERPT_CHARS
    return ("…" if left else "") + text[left:right] + ("…" if right < len(text) else "")
