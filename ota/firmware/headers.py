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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ota.errors import FirmwareError
from ota.firmware.header_notes import NOTHING, Note, Written, changing_notes, read_notes, write_notes
from ota.firmware.tree import check_application, has_firmware_tree
from ota.messages import command
from ota.outcomes import Action, Change, Outcome, Verb, blocked

NOUN = "header"
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


def decide_header(found: Header, wanted: Header, note: Note, *, may_replace: bool | None) -> Change:
    """What has to become of the header.

    The file's dummy values are replaced without asking, and so are those that this tool wrote by its note. For other
    values ``may_replace`` decides; None where somebody at a terminal is asked.
    """
    name = found.path.name
    if found == wanted:
        return Change(NOUN, Action.REUSE, name, _values(found), found=found, wanted=wanted)
    is_theirs = is_by_hand(found, wanted, note)
    if is_theirs and may_replace is False:
        return replace(blocked(NOUN, name, kept_by_hand(found, wanted)), found=found, wanted=wanted)
    asks = is_theirs and may_replace is None
    detail = "was set by hand: all asks before it replaces these values" if asks else _values(wanted)
    action = Action.ASK if asks else Action.CHANGE
    return Change(NOUN, action, name, detail, _difference(found, wanted), found=found, wanted=wanted)


def make_header(change: Change, account: str, *, notes_path: Path, confirm: Callable[[str], bool]) -> Outcome[Header]:
    """Carry out the change: the header names this endpoint and this thing.

    ``account`` is whose endpoint that is, for the note (see ``Written``). ``confirm`` is asked with a text that shows
    the old and the new values, where the change says so. A header that somebody changes after the look keeps values
    that were set by hand.

    Raises:
        FirmwareError: the change is blocked; the answer was no; a value cannot stand in the header; the file or its
            note could not be written.
    """
    change.check()
    found, wanted = change.found, change.wanted
    if change.action is Action.SKIP:
        return Outcome(NOUN, Verb.SKIPPED, change.name, change.detail)
    if change.action is Action.REUSE:
        return Outcome(NOUN, Verb.REUSED, change.name, change.detail, found)
    path = wanted.path
    set_values(_read(path), wanted.endpoint, wanted.thing_name)  # fails before anybody is asked
    if change.action is Action.ASK and not confirm(f"{path} was set by hand. Replace {changes(found, wanted)}?"):
        raise kept_by_hand(found, wanted)
    with changing_notes(notes_path) as notes:
        data, note = _read(path), notes.get(path.resolve(), NOTHING)
        now = _parse(path, data)
        if now != found and is_by_hand(now, wanted, note):
            raise kept_by_hand(now, wanted)
        written = Written(wanted.endpoint, wanted.thing_name, account)
        write_notes(notes_path, {**notes, path.resolve(): _note_of(data, now, note, written)})
        _write(path, set_values(data, wanted.endpoint, wanted.thing_name))
    return Outcome(NOUN, Verb.CHANGED, path.name, _values(wanted), wanted)


def judge_return(path: Path, note: Note, thing_name: str, account: str) -> Outcome[bytes] | None:
    """What becomes of a noted header when this thing is torn down in this account; None where that is not its affair.

    *changed* carries the file's new content, with the original values; *skipped* where the values were changed by hand
    since, or cannot be read; *absent* where the original values are there already, or the header is gone.
    """
    is_ours = (thing_name, account) == (note.written[-1].thing_name, note.written[-1].account)
    try:
        data = path.read_bytes()
        found = _parse(path, data)
    except FileNotFoundError:
        return Outcome("header", Verb.ABSENT, path.name, f"{path} is gone") if is_ours else None
    except (OSError, FirmwareError) as error:
        return Outcome("header", Verb.SKIPPED, path.name, f"{path} stays: {error}") if is_ours else None
    if holders := note.holders(found.endpoint, found.thing_name):
        if (thing_name, account) not in {(one.thing_name, one.account) for one in holders}:
            return None
        values = {ENDPOINT_DEFINE: note.endpoint, THING_NAME_DEFINE: note.thing_name}
        new_data = _set_literals(data, {name: value.encode("latin-1") for name, value in values.items()})
        return Outcome("header", Verb.CHANGED, path.name, "original values put back", new_data)
    if not is_ours:
        return None
    if _originals(data) == (note.endpoint, note.thing_name):
        return Outcome("header", Verb.ABSENT, path.name, f"the original values are in {path} already")
    return Outcome("header", Verb.SKIPPED, path.name, f"{path} was changed by hand since, stays")


def put_back(notes_path: Path, thing_name: str, account: str) -> list[Outcome[Any]]:
    """Put the original values back into every noted header that is still as this tool wrote it for this thing.

    Raises:
        FirmwareError: a header or the notes cannot be written.
    """
    if not read_notes(notes_path):
        return []
    outcomes: list[Outcome[Any]] = []
    with changing_notes(notes_path) as notes:
        for path, note in list(notes.items()):
            outcome = judge_return(path, note, thing_name, account)
            if outcome is None:
                continue
            if outcome.verb is Verb.CHANGED:
                _write(path, outcome.get())
            if outcome.verb is not Verb.SKIPPED:
                del notes[path]
                write_notes(notes_path, notes)
            outcomes.append(outcome)
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


def _values(header: Header) -> str:
    return f"{header.thing_name} at {header.endpoint}"


def _difference(found: Header, wanted: Header) -> str:
    rows = (
        (ENDPOINT_DEFINE, found.endpoint, wanted.endpoint),
        (THING_NAME_DEFINE, found.thing_name, wanted.thing_name),
    )
    return "\n".join(f'-#define {define} "{old}"\n+#define {define} "{new}"' for define, old, new in rows if old != new)


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
        remedy=command("thing", overwrite_header="true"),
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
