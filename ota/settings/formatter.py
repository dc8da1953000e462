"""Fill references such as ``$<thing_name>{lower}`` in texts; text in, text out.

========================================  =====================================================
written                                   gives, for thing_name = myTestThing
========================================  =====================================================
``$<thing_name>`` or ``${thing_name}``    ``myTestThing``
``$<thing_name>{lower}``, ``{upper}``     ``mytestthing``, ``MYTESTTHING``
``$<thing_name>{replace my with some}``   ``someTestThing`` (also ``{replace{my with some}}``)
========================================  =====================================================

Filters chain from left to right. A brace right behind a reference or a filter always opens a filter, and what stands
in a filter is plain text without braces. ``$$<`` and ``$${`` give a literal ``$<`` and ``${``; any other ``$`` is
itself. Nothing is formatted twice: a value that shows ``$<`` when it is finished keeps it.

Every problem of every text is found in one go, since a user would rather mend a file once than line by line.

Source: the formatter section of Arm's ``aws_tool.md``, for the meaning of ``format_vars`` too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from ota.errors import SettingsError
from ota.settings.references import Literal, Parsed, Reference, nearest, parse, place


@dataclass(frozen=True)
class Problem:
    """What is wrong in one setting: the place quoted, and what to write instead."""

    setting: str
    text: str

    def __str__(self) -> str:
        return f"{self.setting}: {self.text}"


@dataclass(frozen=True)
class Formatted:
    """What :func:`format_all` found.

    Attributes:
        values: the finished value of every text that has no problem and refers to none that has.
        problems: in the order of the texts; a ring of references once.
        uses: for each finished value the names it was made of, directly and through others.
    """

    values: Mapping[str, str]
    problems: tuple[Problem, ...]
    uses: Mapping[str, frozenset[str]]


def format_text(text: str, values: Mapping[str, str], *, setting: str = "value") -> str:
    """Fill the references of one text from finished values.

    Raises:
        SettingsError: one line for each problem, each starting with ``setting``.
    """
    done = format_all({setting: text}, finished=values)
    if done.problems:
        raise SettingsError(map(str, done.problems))
    return done.values[setting]


def format_all(
    texts: Mapping[str, str],
    *,
    finished: Mapping[str, str] | None = None,
    allowed: Collection[str] | None = None,
    exempt: Collection[str] = (),
    finish: Callable[[str, str], str] = lambda _name, value: value,
) -> Formatted:
    """Fill the references among these texts, whichever order they stand in.

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
    complaints: dict[str, list[str]] = {}
    for name, parts in parsed.items():
        permitted = known if allowed is None or name in exempt else {*allowed, *finished}
        misuses = (_complain_of(reference, texts[name], known, permitted) for reference in parts.references())
        complaints[name] = [*parts.complaints, *filter(None, misuses)]
    graph = {name: [ref.name for ref in parts.references() if ref.name in texts] for name, parts in parsed.items()}
    rings, order = _untangle(graph)
    for ring in rings:
        complaints[ring[0]].append(_ring_complaint(ring))
    broken = {name for name, found in complaints.items() if found}.union(*rings)
    values, uses = _fill(order, parsed, finished, broken, finish)
    problems = tuple(Problem(name, text) for name, found in complaints.items() for text in found)
    return Formatted(values, problems, uses)


def _complain_of(reference: Reference, text: str, known: Collection[str], permitted: Collection[str]) -> str:
    """What is wrong with referring to this name; empty where nothing is."""
    name = reference.name
    where = place(reference.text, text, reference.start)
    if name not in known:
        close = nearest(name, known)
        fix = f'write "$<{close}>"' if close else 'name a setting, or write "$$" for a literal "$"'
        return f"{where} refers to no setting; {fix}"
    if name not in permitted:
        return f'{where} is not allowed by format_vars; add ";{name}" to format_vars'
    return ""


def _untangle(graph: Mapping[str, list[str]]) -> tuple[list[tuple[str, ...]], list[str]]:
    """Every ring of references (as "refers to" chains, first name not repeated), and an order for the rest."""
    edges = {name: list(targets) for name, targets in graph.items()}
    rings: list[tuple[str, ...]] = []
    while ring := _find_ring(edges):
        rings.append(ring)
        edges[ring[0]] = [name for name in edges[ring[0]] if name != ring[1 % len(ring)]]
    return rings, list(TopologicalSorter(edges).static_order())


def _find_ring(edges: Mapping[str, list[str]]) -> tuple[str, ...]:
    """One ring, starting with its first name in the order of the texts; empty where there is none."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        # graphlib gives each name before the one that refers to it, and the first name twice.
        ring = tuple(reversed(error.args[1][1:]))
        first = min(range(len(ring)), key=lambda index: list(edges).index(ring[index]))
        return ring[first:] + ring[:first]
    return ()


def _ring_complaint(ring: tuple[str, ...]) -> str:
    chain = " -> ".join((*ring, ring[0]))
    return f"the references go in a ring, {chain}; write one of them without a reference to the next"


def _fill(
    order: Iterable[str],
    parsed: Mapping[str, Parsed],
    finished: Mapping[str, str],
    broken: Collection[str],
    finish: Callable[[str, str], str],
) -> tuple[dict[str, str], dict[str, frozenset[str]]]:
    """Values and their origins, in an order in which all that a text refers to comes before it."""
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
