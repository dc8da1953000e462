"""Fits text into the columns of a terminal: wraps between words, cuts a long word in its middle, shares out a width.

Pure functions over text; ``report`` prints what they return. A command in a text has ``HARD_SPACE`` between its words:
it is never wrapped and never cut, so that it can be pasted. Names are sorted as people count.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

HARD_SPACE = "\ue000"  # a private character, which no name and no message has
GAP = "  "
CUT = "…"
NARROWEST = 8
DIGITS = re.compile(r"(\d+)")


def wrap(text: str, width: int, *, cuts: bool = False) -> list[str]:
    """The lines of a text, each at most ``width`` characters where its words allow it.

    An indented line keeps its indent on every line that it becomes. ``cuts``: a word longer than a line is cut, or else
    it stays whole and sticks out.
    """
    return [part for line in text.split("\n") for part in _wrap_line(line, width, cuts=cuts)]


def cut(word: str, width: int) -> str:
    """A word of at most ``width`` characters, with an ellipsis for its middle; a command stays whole."""
    if len(word) <= width or HARD_SPACE in word:
        return word
    kept = max(width - len(CUT), 1)
    tail = (kept + 1) // 2
    return f"{word[: kept - tail]}{CUT}{word[-tail:]}"


def soft(text: str) -> str:
    """The text as it is printed."""
    return text.replace(HARD_SPACE, " ")


def beside_or_under(name: str, detail: str, width: int, name_width: int) -> tuple[str, list[str]]:
    """Where an object's detail goes: beside its name where one line holds it, or else wrapped under the name.

    Returns:
        The first line, and the lines under it, which the caller indents like the name.
    """
    beside = f"{name:<{name_width}}{GAP}{detail}".rstrip()
    if not detail or (len(name) <= name_width and len(beside) <= width and "\n" not in detail):
        return beside, []
    return cut(name, width), [GAP + line for line in wrap(detail, width - len(GAP), cuts=True)]


def shared_widths(natural: Sequence[int], width: int) -> list[int]:
    """The widths of a table's columns: the natural ones, with the widest narrowed until the table fits ``width``.

    The first column has the objects' names and keeps up to half of the width.
    """
    first, rest = min(natural[0], width // 2), natural[1:]
    room = width - first - len(GAP) * len(rest)
    caps = range(max(rest, default=0), NARROWEST, -1)
    cap = next((cap for cap in caps if sum(min(one, cap) for one in rest) <= room), NARROWEST)
    return [first, *(min(one, cap) for one in rest)]


def table_row(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    """The lines of one row of a table, each cell wrapped in its column."""
    columns = [wrap(cell, width, cuts=True) for cell, width in zip(cells, widths, strict=True)]
    height = max(len(column) for column in columns)
    filled = [column + [""] * (height - len(column)) for column in columns]
    return [
        GAP.join(f"{part:<{width}}" for part, width in zip(line, widths, strict=True)).rstrip()
        for line in zip(*filled, strict=True)
    ]


def natural_order(name: str) -> list[tuple[int, str]]:
    """A key for ``sorted`` that has ``lamp-9`` before ``lamp-10``."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in DIGITS.split(name)]


def _wrap_line(line: str, width: int, *, cuts: bool) -> list[str]:
    if len(line) <= width:
        return [line]
    indent = line[: len(line) - len(line.lstrip(" "))]
    room = max(width - len(indent), 1)
    lines = [""]
    for word in line.split():
        whole = cut(word, room) if cuts else word
        if lines[-1] and len(lines[-1]) + 1 + len(whole) > room:
            lines.append("")
        lines[-1] += f" {whole}" if lines[-1] else whole
    return [indent + one for one in lines]
