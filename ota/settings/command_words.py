"""The words of a command in the settings: split first, and then its references are filled.

In this order a value with a blank or a quote in it, such as a path, stays one word, and a filter such as
``{replace _ with -}`` needs no quotes around it.
"""

from __future__ import annotations

from collections.abc import Mapping

from ota.settings.formatter import Literal, parse
from ota.settings.readers import read_words

# Stands for a reference while the text is split; settings hold no control characters.
_MARK = "\x00{}\x00"


def command_words(text: str, values: Mapping[str, str]) -> tuple[str, ...]:
    """The words of this command, its references filled from ``values``, which has all of them.

    Raises:
        Unreadable: a quote is not closed.
    """
    pieces = parse(text).pieces
    plain, filled = "", {}
    for index, piece in enumerate(pieces):
        if isinstance(piece, Literal):
            plain += piece.text
        else:
            plain += _MARK.format(index)
            filled[_MARK.format(index)] = piece.apply(values[piece.name])
    return tuple(_fill(word, filled) for word in read_words(plain))


def _fill(word: str, filled: Mapping[str, str]) -> str:
    for mark, value in filled.items():
        word = word.replace(mark, value)
    return word
