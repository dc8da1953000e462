"""The firmware's ``aws_clientcredential.h``: which endpoint and which thing the device will connect as.

Only the two values change; every other byte of the file stays, whatever its line ends, tabs or encoding, because
the file is the firmware project's and its diff is read by people. Hence all work is on bytes: comments are blanked
out in a copy of the same length, the defines are looked for there, and the offsets hold for the original.
Values that somebody put there by hand are never lost unasked.

Source: C11 5.1.1.2 (line splices, then comments, then directives); FreeRTOS/iot-reference-arm-corstone3xx
``aws_clientcredential.h`` for the two names and their dummy values.
"""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ota.errors import FirmwareError
from ota.firmware import check_application, has_firmware_tree, header_path, missing_tree_text
from ota.outcomes import Outcome, Verb

ENDPOINT_DEFINE = "clientcredentialMQTT_BROKER_ENDPOINT"
THING_NAME_DEFINE = "clientcredentialIOT_THING_NAME"
# What the file holds before anybody has set it; an empty string holds nothing that could be lost either.
DUMMIES = {
    ENDPOINT_DEFINE: ("dummy.endpointid.amazonaws.com", ""),
    THING_NAME_DEFINE: ("dummy_thingname", ""),
}

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
# A line that goes on from the one before is no line of its own.
_LINE_START = rb"(?:\A(?:\xef\xbb\xbf)?|(?<=[\r\n])(?<!\\\n)(?<!\\\r\n))"


@dataclass(frozen=True)
class Header:
    """An application's header and the two values it holds."""

    path: Path
    endpoint: str
    thing_name: str


def find_header(firmware_root: Path, target_application: str) -> Header | None:
    """The header of this application as it is now; None where there is no firmware tree.

    Raises:
        FirmwareError: the tree has no such application, or the header cannot be read or understood.
    """
    if not has_firmware_tree(firmware_root):
        return None
    path = check_application(firmware_root, target_application)
    return _parse(path, _read(path))


def ensure_header(
    firmware_root: Path,
    target_application: str,
    endpoint: str,
    thing_name: str,
    *,
    confirm: Callable[[str], bool],
) -> Outcome[Header]:
    """Make the header name this endpoint and this thing.

    The file's dummy values are replaced without asking. For other values ``confirm`` is asked with a text that
    shows the old and the new ones; where nobody can answer, it returns False. Without a firmware tree the outcome
    is *skipped* and says where it looked.

    Raises:
        FirmwareError: as :func:`find_header`; the answer was no; the file could not be written.
    """
    if not has_firmware_tree(firmware_root):
        name = header_path(firmware_root, target_application).name
        return Outcome("header", Verb.SKIPPED, name, missing_tree_text(firmware_root))
    path = check_application(firmware_root, target_application)
    data = _read(path)
    found, wanted = _parse(path, data), Header(path, endpoint, thing_name)
    if found == wanted:
        return Outcome("header", Verb.REUSED, path.name, f"{thing_name} at {endpoint}", found)
    new_data = set_values(data, endpoint, thing_name)
    if is_by_hand(found, wanted) and not confirm(f"{path} was set by hand. Replace {changes(found, wanted)}?"):
        raise kept_by_hand(found, wanted)
    _write(path, new_data)
    return Outcome("header", Verb.CHANGED, path.name, f"{thing_name} at {endpoint}", wanted)


def read_values(data: bytes) -> tuple[str, str]:
    """Endpoint and thing name that this text defines, without their quotes.

    Raises:
        FirmwareError: a define is missing, stands there twice, or is not one string literal.
    """
    places = _places(data)
    endpoint, thing_name = places[ENDPOINT_DEFINE], places[THING_NAME_DEFINE]
    return _text(data[slice(*endpoint)]), _text(data[slice(*thing_name)])


def set_values(data: bytes, endpoint: str, thing_name: str) -> bytes:
    """The same text with these two values and not another byte changed.

    Raises:
        FirmwareError: as :func:`read_values`, or a value that cannot stand between the quotes.
    """
    values = {ENDPOINT_DEFINE: _literal(endpoint), THING_NAME_DEFINE: _literal(thing_name)}
    places = _places(data)
    for name, (start, end) in sorted(places.items(), key=lambda item: item[1], reverse=True):
        data = data[:start] + values[name] + data[end:]
    return data


def _places(data: bytes) -> dict[str, tuple[int, int]]:
    code = _TOKEN.sub(_blank_comment, data)
    return {name: _place(data, code, name) for name in (ENDPOINT_DEFINE, THING_NAME_DEFINE)}


def _place(data: bytes, code: bytes, name: str) -> tuple[int, int]:
    define = _LINE_START + rb"%b*#%b*define%b+%b(?![A-Za-z0-9_])" % (_GAP, _GAP, _GAP, name.encode())
    found = list(re.finditer(define, code))
    if not found:
        raise FirmwareError(f'it has no #define {name}; restore the file, or add: #define {name} ""')
    if len(found) > 1:
        lines = " and ".join(str(_line_number(data, match.start())) for match in found)
        raise FirmwareError(f"it defines {name} more than once (lines {lines}); leave one of them")
    value = re.compile(_GAP + b"*" + _LITERAL + _GAP + rb"*(?=[\r\n]|\Z)").match(code, found[0].end())
    if value is None:
        line = _line_number(data, found[0].start())
        raise FirmwareError(f'line {line} defines {name}, but not as one string in quotes; write: #define {name} ""')
    return value.span(1)


def _blank_comment(token: re.Match[bytes]) -> bytes:
    text = token.group()
    # A carriage return or newline inside a comment does not end the directive's line (C11 5.1.1.2, phase 3).
    return b" " * len(text) if text.startswith(b"/") else text


def _line_number(data: bytes, offset: int) -> int:
    return data.count(b"\n", 0, offset) + 1


def _literal(value: str) -> bytes:
    if not (value.isascii() and value.isprintable()) or '"' in value or "\\" in value:
        raise FirmwareError(f"{value!r} cannot stand in a C string; only printable ASCII without quote or backslash")
    return value.encode("ascii")


def _text(value: bytes) -> str:
    return value.decode("ascii", "backslashreplace")


def is_by_hand(found: Header, wanted: Header) -> bool:
    """Whether a value that is to be replaced was put there by somebody."""
    return any(
        old != new and old not in DUMMIES[name]
        for name, old, new in (
            (ENDPOINT_DEFINE, found.endpoint, wanted.endpoint),
            (THING_NAME_DEFINE, found.thing_name, wanted.thing_name),
        )
    )


def changes(found: Header, wanted: Header) -> str:
    """The values that differ, old and new, in words."""
    rows = [("endpoint", found.endpoint, wanted.endpoint), ("thing name", found.thing_name, wanted.thing_name)]
    return ", ".join(f"{what} {old!r} by {new!r}" for what, old, new in rows if old != new)


def kept_by_hand(found: Header, wanted: Header) -> FirmwareError:
    """Why the header stays as somebody made it, and every way out."""
    ways = ["answer yes on a terminal", f"edit it to {wanted.endpoint!r} and {wanted.thing_name!r}"]
    if found.thing_name not in (wanted.thing_name, *DUMMIES[THING_NAME_DEFINE]):
        ways.append(f"set thing_name to {found.thing_name!r}")
    ways += ["set overwrite_header to true", f"bring its dummies back: {_checkout(found.path)}"]
    return FirmwareError(
        f"{found.path} was set by hand and is kept; not replaced: {changes(found, wanted)}\n"
        f"To go on: {'; or '.join(ways)}",
        remedy="invoke with --overwrite-header true thing",
        brief=f"it was set by hand and is kept; not replaced: {changes(found, wanted)}",
    )


def _checkout(path: Path) -> str:
    return shlex.join(["git", "-C", str(path.parent), "checkout", "--", path.name])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FirmwareError(f"{path} cannot be read: {error.strerror}") from error


def _parse(path: Path, data: bytes) -> Header:
    try:
        endpoint, thing_name = read_values(data)
    except FirmwareError as error:
        raise FirmwareError(f"{path} cannot be used: {error}") from error
    return Header(path, endpoint, thing_name)


def _write(path: Path, data: bytes) -> None:
    """Replace the file in one step, so that a crash leaves the old one or the new one; a symlink stays a symlink."""
    target = path.resolve()
    try:
        _replace(target, data)
    except OSError as error:
        raise FirmwareError(f"{path} could not be written: {error.strerror}; it is as it was") from error


def _replace(target: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(target.stat().st_mode & 0o7777)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
