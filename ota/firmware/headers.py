"""The firmware's ``aws_clientcredential.h``: which endpoint and which thing the device will connect as.

Only the two values change; every other byte of the file stays, whatever its line ends, tabs or encoding, because
the file is the firmware project's and its diff is read by people. Hence all work is on bytes: comments are blanked
out in a copy of the same length, the defines are looked for there, and the offsets hold for the original.
Values that somebody put there by hand are never lost unasked; ``header_notes.py`` tells them from our own.

Source: C11 5.1.1.2 (line splices, then comments, then directives); FreeRTOS/iot-reference-arm-corstone3xx
``aws_clientcredential.h`` for the two names and their dummy values.
"""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ota.errors import FirmwareError
from ota.firmware.header_notes import NOTHING, Note, Written, changing_notes, find_note, read_notes, write_notes
from ota.firmware.tree import check_application, has_firmware_tree, header_path, missing_tree_text
from ota.outcomes import Action, Change, Outcome, Verb

NOUN = "header"
RETURNED = {Action.CHANGE: Verb.CHANGED, Action.KEEP: Verb.SKIPPED, Action.ABSENT: Verb.ABSENT}
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
    wanted: Written,
    *,
    notes_path: Path,
    confirm: Callable[[str], bool],
) -> Outcome[Header]:
    """Make the header name this endpoint and this thing.

    The file's dummy values are replaced without asking, and so are those that this tool wrote by its notes. For other
    values ``confirm`` is asked with a text that shows the old and the new ones; where nobody can answer, it returns
    False. Without a firmware tree the outcome is *skipped* and says where it looked.

    Raises:
        FirmwareError: as :func:`find_header`; the answer was no; the file or its note could not be written.
    """
    if not has_firmware_tree(firmware_root):
        name = header_path(firmware_root, target_application).name
        return Outcome("header", Verb.SKIPPED, name, missing_tree_text(firmware_root))
    path = check_application(firmware_root, target_application)
    header, detail = Header(path, wanted.endpoint, wanted.thing_name), f"{wanted.thing_name} at {wanted.endpoint}"
    asked = _parse(path, _read(path))
    if asked == header:
        return Outcome("header", Verb.REUSED, path.name, detail, asked)
    set_values(
        _read(path), wanted.endpoint, wanted.thing_name
    )  # refuses what cannot be written, before anybody is asked
    question = f"{path} was set by hand. Replace {changes(asked, header)}?"
    if is_by_hand(asked, header, find_note(notes_path, path)) and not confirm(question):
        raise kept_by_hand(asked, header)
    with changing_notes(notes_path) as notes:
        data, note = _read(path), notes.get(path.resolve(), NOTHING)
        found = _parse(path, data)
        if found != asked and is_by_hand(found, header, note):
            raise kept_by_hand(found, header)
        write_notes(notes_path, {**notes, path.resolve(): _note_of(data, found, note, wanted)})
        _write(path, set_values(data, wanted.endpoint, wanted.thing_name))
    return Outcome("header", Verb.CHANGED, path.name, detail, header)


def decide_return(path: Path, data: bytes | OSError, note: Note, thing_name: str, account: str) -> Change | None:
    """What becomes of a noted header when this thing is torn down in this account; None where it is not concerned.

    ``data`` is the header's content, or why it cannot be read. The values go back only where the header still has
    exactly what this tool wrote for the thing; ``wanted`` of that change is the new content.
    """
    is_ours = (thing_name, account) == (note.written[-1].thing_name, note.written[-1].account)
    if isinstance(data, FileNotFoundError):
        return Change(NOUN, Action.ABSENT, path.name, f"{path} is gone") if is_ours else None
    if isinstance(data, OSError):
        return Change(NOUN, Action.KEEP, path.name, f"{path} stays: {data}") if is_ours else None
    try:
        found = _parse(path, data)
    except FirmwareError as error:
        return Change(NOUN, Action.KEEP, path.name, f"{path} stays: {error}") if is_ours else None
    if holders := note.holders(found.endpoint, found.thing_name):
        if (thing_name, account) not in {(one.thing_name, one.account) for one in holders}:
            return None
        values = {ENDPOINT_DEFINE: note.endpoint, THING_NAME_DEFINE: note.thing_name}
        original = _set_literals(data, {name: value.encode("latin-1") for name, value in values.items()})
        return Change(NOUN, Action.CHANGE, path.name, "original values put back", found=found, wanted=original)
    if not is_ours:
        return None
    if _originals(data) == (note.endpoint, note.thing_name):
        return Change(NOUN, Action.ABSENT, path.name, f"the original values are in {path} already")
    return Change(NOUN, Action.KEEP, path.name, f"{path} was changed by hand since, stays")


def find_returns(notes_path: Path, thing_name: str, account: str) -> dict[Path, Change]:
    """What becomes of each noted header that is concerned when this thing is torn down in this account."""
    return _decide_returns(read_notes(notes_path), thing_name, account)


def put_back(notes_path: Path, thing_name: str, account: str) -> list[Outcome[Any]]:
    """Put the original values back into every noted header that is still as this tool wrote it for this thing.

    Raises:
        FirmwareError: a header or the notes cannot be written.
    """
    if not read_notes(notes_path):
        return []
    outcomes: list[Outcome[Any]] = []
    with changing_notes(notes_path) as notes:
        for path, change in _decide_returns(notes, thing_name, account).items():
            if change.action is Action.CHANGE:
                _write(path, change.wanted)
            if change.action is not Action.KEEP:
                del notes[path]
                write_notes(notes_path, notes)
            outcomes.append(Outcome(NOUN, RETURNED[change.action], change.name, change.detail))
    return outcomes


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
    return _set_literals(data, {ENDPOINT_DEFINE: _literal(endpoint), THING_NAME_DEFINE: _literal(thing_name)})


def _decide_returns(notes: Mapping[Path, Note], thing_name: str, account: str) -> dict[Path, Change]:
    decided = {path: decide_return(path, _data_of(path), note, thing_name, account) for path, note in notes.items()}
    return {path: change for path, change in decided.items() if change}


def _data_of(path: Path) -> bytes | OSError:
    try:
        return path.read_bytes()
    except OSError as error:
        return error


def _set_literals(data: bytes, values: Mapping[str, bytes]) -> bytes:
    places = _places(data)
    for name, (start, end) in sorted(places.items(), key=lambda item: item[1], reverse=True):
        data = data[:start] + values[name] + data[end:]
    return data


def _originals(data: bytes) -> tuple[str, str]:
    """Endpoint and thing name byte for byte, as a note keeps them."""
    places = _places(data)
    endpoint, thing_name = (data[slice(*places[name])] for name in (ENDPOINT_DEFINE, THING_NAME_DEFINE))
    return endpoint.decode("latin-1"), thing_name.decode("latin-1")


def _note_of(data: bytes, found: Header, note: Note, wanted: Written) -> Note:
    """The note for a header that is about to hold the wanted values.

    Originals are what stood there before the first value of ours. Of what was written, only what the header may still
    hold is kept.
    """
    is_ours = note.has_written(found.endpoint, found.thing_name)
    before = ((note.endpoint, note.thing_name), _originals(data))
    endpoint, thing_name = (before[not ours][place] for place, ours in enumerate(is_ours))
    either = [one for one in note.written if found.endpoint == one.endpoint or found.thing_name == one.thing_name]
    still = note.holders(found.endpoint, found.thing_name) or either
    return Note(endpoint, thing_name, tuple(dict.fromkeys([*still, wanted])))


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


def is_by_hand(found: Header, wanted: Header, note: Note) -> bool:
    """Whether a value that is to be replaced was put there by somebody else than this tool."""
    is_endpoint_ours, is_name_ours = note.has_written(found.endpoint, found.thing_name)
    return any(
        old != new and not is_ours and old not in DUMMIES[name]
        for name, old, new, is_ours in (
            (ENDPOINT_DEFINE, found.endpoint, wanted.endpoint, is_endpoint_ours),
            (THING_NAME_DEFINE, found.thing_name, wanted.thing_name, is_name_ours),
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
