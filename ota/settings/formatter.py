"""Fill references such as ``$<thing_name>{lower}`` in texts.

========================================  =====================================================
written                                   gives, for thing_name = myTestThing
========================================  =====================================================
``$<thing_name>`` or ``${thing_name}``    ``myTestThing``
``$<thing_name>{lower}``, ``{upper}``     ``mytestthing``, ``MYTESTTHING``
``$<thing_name>{replace my with some}``   ``someTestThing`` (also ``{replace{my with some}}``)
========================================  =====================================================

    text       = { literal | "$$<" | "$${" | reference }
    reference  = ( "$<" name ">" | "${" name "}" ) { filter }
    filter     = "{lower}" | "{upper}" | "{replace A with B}" | "{replace{A with B}}"

Filters chain from left to right. A brace right behind a reference or a filter always opens a filter. A and B are plain
text without braces; B may be empty. ``$$<`` and ``$${`` give a literal ``$<`` and ``${``; any other ``$`` is itself.
No value is formatted twice: a finished value that contains ``$<`` keeps it.

A text is first read into pieces, because only a tokenizer can say where a text is wrong, and gives the same result in
whatever order the texts come. All problems of all texts are found in one pass, so that a user corrects a file once.

Source: the formatter section of Arm's ``aws_tool.md``, for the replace forms and the meaning of ``format_vars``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from ota.errors import Problem, SettingsError

_OPENING = re.compile(r"\$\$[<{]|\$[<{]")
_NAME = re.compile(r"[^<>{}$]*")
_FILTER = re.compile(r"\{([^{}]*)(?:\{([^{}]*)\}\}|\})")
_FILTER_CUT_SHORT = re.compile(r"\{[^{}]*(?:\{[^{}]*\}?)?")
_CLOSING = {"<": ">", "{": "}"}
_FILTER_NAMES = ("lower", "upper", "replace")
_LEAST_RATIO = 0.6
_EXCERPT_CHARS = 60
_QUOTED_CHARS = 300


@dataclass(frozen=True)
class Literal:
    """Text without a reference."""

    text: str


@dataclass(frozen=True)
class Filter:
    """One change to a value; ``find`` and ``put`` are for replace."""

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
    """A text as pieces, and what is wrong with its form; the pieces are complete only without ``complaints``."""

    pieces: tuple[Literal | Reference, ...]
    complaints: tuple[str, ...]

    def references(self) -> Iterator[Reference]:
        """The references, from left to right."""
        return (piece for piece in self.pieces if isinstance(piece, Reference))


@dataclass(frozen=True)
class Formatted:
    """What :func:`format_all` found.

    Attributes:
        values: the finished value of every text that has no problem and refers to none that has.
        problems: in the order of the texts; a cycle of references once.
        uses: for each finished value the names it was made of, directly and through others.
    """

    values: Mapping[str, str]
    problems: tuple[Problem, ...]
    uses: Mapping[str, frozenset[str]]


def format_text(text: str, values: Mapping[str, str], *, setting: str = "value") -> str:
    """Fill the references of one text from finished values.

    Raises:
        SettingsError: one problem each, about ``setting``.
    """
    done = format_all({setting: text}, finished=values)
    if done.problems:
        raise SettingsError(done.problems)
    return done.values[setting]


def format_all(
    texts: Mapping[str, str],
    *,
    finished: Mapping[str, str] | None = None,
    allowed: Collection[str] | None = None,
    exempt: Collection[str] = (),
    finish: Callable[[str, str], str] = lambda _name, value: value,
) -> Formatted:
    """Fill the references among these texts, in whichever order they come.

    Args:
        texts: name to text; may refer to each other and to ``finished``.
        finished: name to value; never formatted, always allowed.
        allowed: the names of ``texts`` that may be referred to; None for all.
        exempt: the names of texts that ``allowed`` does not bind.
        finish: name and filled value to the value that the others see.

    Returns:
        Formatted values and every problem; nothing is raised.
    """
    finished = finished or {}
    parsed = {name: parse(text) for name, text in texts.items()}
    known = {*texts, *finished}
    problems: dict[str, list[Problem]] = {}
    for name, parts in parsed.items():
        permitted = known if allowed is None or name in exempt else {*allowed, *finished}
        misuses = (_misuse(name, one, texts[name], known, permitted) for one in parts.references())
        problems[name] = [*(Problem(said, name, name) for said in parts.complaints), *filter(None, misuses)]
    graph = {name: [ref.name for ref in parts.references() if ref.name in texts] for name, parts in parsed.items()}
    cycles, order = _find_order(graph)
    for cycle in cycles:
        problems[cycle[0]].append(_cycle_problem(cycle))
    broken = {name for name, found in problems.items() if found}.union(*cycles)
    values, uses = _fill(order, parsed, finished, broken, finish)
    return Formatted(values, tuple(problem for found in problems.values() for problem in found), uses)


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


def parse_filters(text: str) -> tuple[Filter, ...]:
    """The filters of a text that holds nothing else: ``{lower}{replace _ with -}``."""
    return _read_filters(text, 0)[0]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that this one was probably meant to be, or None."""
    by_lower = {each.lower(): each for each in known}
    asked = name.strip().lower().replace("-", "_").replace(" ", "_")
    # What shares all letters of the longest known name and is longer than this is no match; comparing may take seconds.
    if len(asked) * _LEAST_RATIO > (2 - _LEAST_RATIO) * max(map(len, by_lower), default=0):
        return None
    found = difflib.get_close_matches(asked, by_lower, n=1, cutoff=_LEAST_RATIO)
    return by_lower[found[0]] if found else None


def quoted(text: str) -> str:
    """The text in quotes; of a long one only its two ends."""
    half = _QUOTED_CHARS // 2
    return f'"{text}"' if len(text) <= _QUOTED_CHARS else f'"{text[:half]}…{text[-half:]}"'


def around(text: str, start: int) -> str:
    """The text, or where it is long the part around ``start``."""
    if len(text) <= 2 * _EXCERPT_CHARS:
        return text
    left, right = max(0, start - _EXCERPT_CHARS), start + _EXCERPT_CHARS
    return ("…" if left else "") + text[left:right] + ("…" if right < len(text) else "")


def _misuse(
    setting: str, reference: Reference, text: str, known: Collection[str], permitted: Collection[str]
) -> Problem | None:
    """What is wrong with referring to this name; None where nothing is."""
    name = reference.name
    where = _place(reference.text, text, reference.start)
    if name not in known:
        close = nearest(name, known)
        if close is None:
            return Problem(
                f'{where} refers to no setting; name a setting, or write "$$" for a literal "$"', setting, setting
            )
        better = reference.text.replace(name, close, 1)
        corrected = text[: reference.start] + better + text[reference.start + len(reference.text) :]
        said = f'{where} refers to no setting; write "$<{close}>"'
        return Problem(said, setting, setting, suggestion=corrected)
    if name not in permitted:
        return Problem(f'{where} is not allowed by format_vars; add ";{name}" to format_vars', setting, setting)
    return None


def _find_order(graph: Mapping[str, list[str]]) -> tuple[list[tuple[str, ...]], list[str]]:
    """Every cycle of references (each name refers to the next, the last to the first), and an order for the rest."""
    edges = {name: list(targets) for name, targets in graph.items()}
    cycles: list[tuple[str, ...]] = []
    while cycle := _find_cycle(edges):
        cycles.append(cycle)
        edges[cycle[0]] = [name for name in edges[cycle[0]] if name != cycle[1 % len(cycle)]]
    return cycles, list(TopologicalSorter(edges).static_order())


def _find_cycle(edges: Mapping[str, list[str]]) -> tuple[str, ...]:
    """One cycle, from its first name in the order of the texts; empty where there is none."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        # graphlib gives each name before the one that refers to it, and the first name twice.
        cycle = tuple(reversed(error.args[1][1:]))
        first = min(range(len(cycle)), key=lambda index: list(edges).index(cycle[index]))
        return cycle[first:] + cycle[:first]
    return ()


def _cycle_problem(cycle: tuple[str, ...]) -> Problem:
    chain = " -> ".join((*cycle, cycle[0]))
    said = f"the references form a cycle, {chain}; write one of them without a reference to the next"
    return Problem(said, cycle[0], cycle[0])


def _fill(
    order: Iterable[str],
    parsed: Mapping[str, Parsed],
    finished: Mapping[str, str],
    broken: Collection[str],
    finish: Callable[[str, str], str],
) -> tuple[dict[str, str], dict[str, frozenset[str]]]:
    """Values and what they use, in an order in which all that a text refers to comes before it."""
    values: dict[str, str] = {}
    uses: dict[str, frozenset[str]] = {}
    for name in order:
        names = {reference.name for reference in parsed[name].references()}
        if name in broken or not names <= {*values, *finished}:
            continue
        seen = {**finished, **values}
        filled = (
            piece.text if isinstance(piece, Literal) else piece.apply(seen[piece.name]) for piece in parsed[name].pieces
        )
        values[name] = finish(name, "".join(filled))
        uses[name] = frozenset(names).union(*(uses.get(each, frozenset()) for each in names))
    return values, uses


def _place(written: str, text: str, start: int) -> str:
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
        return None, end, [f"{_place(written, text, start)} is not closed; {fix}"]
    if not name:
        where = _place(written + closing, text, start)
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
            where = _place(cut, text, at)
            return (), at + len(cut), [*complaints, f'{where} is not closed; end the filter with "{end}"']
        try:
            filters.append(_read_filter(match))
        except ValueError as error:
            complaints.append(f"{_place(match[0], text, at)} {error}")
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
