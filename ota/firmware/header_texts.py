"""Read and set the two values in the text of a header, and change no other byte of it.

Line ends, tabs and encoding stay as they are, because the file is the firmware project's and its diff is read by
people. So all work is on bytes: comments are blanked out in a copy of the same length, the defines are found there,
and the offsets hold for the original.

Source: C11 5.1.1.2 (line splices, then comments, then directives).
"""

from __future__ import annotations

import re
from functools import cache

from ota.errors import FirmwareError
from ota.profiles import HeaderFormat

Values = tuple[str, str]

_GAP = rb"(?:[ \t]|\\\r?\n)"
_LITERAL = rb'"((?:\\.|[^"\\\r\n])*)"'
# Strings come first, so that a comment mark inside one opens no comment; an open one takes the rest of its line.
_TOKEN = re.compile(
    rb"""
    "(?:\\(?:\r\n|.)|[^"\\\r\n])*"?   | '(?:\\(?:\r\n|.)|[^'\\\r\n])*'?
    | /\*.*?(?:\*/|\Z)                  | //(?:\\\r?\n|[^\r\n])*
    """,
    re.DOTALL | re.VERBOSE,
)
# A line that continues the one before is no line of its own.
_LINE_START = rb"(?:\A(?:\xef\xbb\xbf)?|(?<=[\r\n])(?<!\\\n)(?<!\\\r\n))"
_LINE_PARTS = re.compile(r'"\{value\}"|\{name\}|\w+|\S')


def read_values(data: bytes, header_format: HeaderFormat) -> Values:
    """Endpoint and thing name that this text defines, without their quotes.

    Raises:
        FirmwareError: a define is missing, is there twice, or is not one string literal.
    """
    endpoint, thing_name = (data[slice(*place)] for place in _places(data, header_format))
    return endpoint.decode("ascii", "backslashreplace"), thing_name.decode("ascii", "backslashreplace")


def set_values(data: bytes, header_format: HeaderFormat, values: Values) -> bytes:
    """The same text with this endpoint and this thing name.

    Raises:
        FirmwareError: as :func:`read_values`, or a value cannot be written between quotes.
    """
    endpoint, thing_name = values
    return _replace_values(data, header_format, (_literal(endpoint), _literal(thing_name)))


def read_bytes(data: bytes, header_format: HeaderFormat) -> Values:
    """Endpoint and thing name byte for byte, as Latin-1; :func:`restore_bytes` writes them again.

    Raises:
        FirmwareError: as :func:`read_values`.
    """
    endpoint, thing_name = (data[slice(*place)] for place in _places(data, header_format))
    return endpoint.decode("latin-1"), thing_name.decode("latin-1")


def restore_bytes(data: bytes, header_format: HeaderFormat, values: Values) -> bytes:
    """The same text with these values, which :func:`read_bytes` has read.

    Raises:
        FirmwareError: as :func:`read_values`.
    """
    endpoint, thing_name = values
    return _replace_values(data, header_format, (endpoint.encode("latin-1"), thing_name.encode("latin-1")))


def _replace_values(data: bytes, header_format: HeaderFormat, values: tuple[bytes, bytes]) -> bytes:
    places = zip(_places(data, header_format), values, strict=True)
    for (start, end), value in sorted(places, reverse=True):
        data = data[:start] + value + data[end:]
    return data


def _places(data: bytes, header_format: HeaderFormat) -> tuple[tuple[int, int], tuple[int, int]]:
    """Begin and end of the two values, endpoint first."""
    code = _TOKEN.sub(_blank_comment, data)
    endpoint, thing_name = (_place(data, code, header_format, value.define) for value in header_format.values)
    return endpoint, thing_name


def _place(data: bytes, code: bytes, header_format: HeaderFormat, define: str) -> tuple[int, int]:
    before, after = _line_patterns(header_format.line, define)
    found = list(before.finditer(code))
    if not found:
        what = header_format.line.partition("{name}")[0] + define
        raise FirmwareError(f"it has no {what}; restore the file, or add: {header_format.in_line(define)}")
    if len(found) > 1:
        lines = " and ".join(str(_line_number(data, match.start())) for match in found)
        raise FirmwareError(f"it defines {define} more than once (lines {lines}); leave one of them")
    value = after.match(code, found[0].end())
    if value is None:
        line, wanted = _line_number(data, found[0].start()), header_format.in_line(define)
        raise FirmwareError(f"line {line} defines {define}, but not as one string in quotes; write: {wanted}")
    return value.span(1)


@cache
def _line_patterns(line: str, define: str) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """What matches a format's line up to the define's name, and from there to the line's end with the value in it."""
    patterns, previous = [_LINE_START + _GAP + b"*"], ""
    for part in _LINE_PARTS.findall(line):
        is_between_words = previous[-1:].isalnum() and (part == "{name}" or part.isalnum())
        patterns[-1] += _GAP + (b"+" if is_between_words else b"*") if previous else b""
        if part == "{name}":
            patterns[-1] += define.encode() + rb"(?![A-Za-z0-9_])"
            patterns.append(b"")
        else:
            patterns[-1] += _LITERAL if "{value}" in part else re.escape(part.encode())
        previous = part
    before, after = patterns
    return re.compile(before), re.compile(after + _GAP + rb"*(?=[\r\n]|\Z)")


def _blank_comment(token: re.Match[bytes]) -> bytes:
    text = token.group()
    # A carriage return or newline inside a comment does not end the directive's line (C11 5.1.1.2, phase 3).
    return b" " * len(text) if text.startswith(b"/") else text


def _line_number(data: bytes, offset: int) -> int:
    return data.count(b"\n", 0, offset) + 1


def _literal(value: str) -> bytes:
    if not (value.isascii() and value.isprintable()) or '"' in value or "\\" in value:
        raise FirmwareError(f"{value!r} cannot be in a C string; write printable ASCII without quote and backslash")
    return value.encode("ascii")
