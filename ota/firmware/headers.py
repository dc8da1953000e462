"""The firmware's header: find it, write the endpoint and the thing name into it, put the original values back.

Values that somebody wrote by hand are not replaced without asking; ``header_notes.py`` tells them from our own.
``header_texts.py`` reads and changes the text, ``ota/profiles.py`` describes the file. A header that is made as a whole
from a template is in ``header_templates.py``.

Source: FreeRTOS/iot-reference-arm-corstone3xx, whose applications include this header.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ota.errors import FirmwareError
from ota.firmware import header_templates
from ota.firmware.header_notes import (
    NOTHING,
    Note,
    Written,
    changing_notes,
    read_notes,
    replace_file,
    write_notes,
)
from ota.firmware.header_texts import read_bytes, read_values, restore_bytes, set_values
from ota.messages import Message, command, joined, message, shell
from ota.outcomes import Action, Change, Outcome, Verb, blocked
from ota.profiles import HeaderFormat

NOUN = "header"
RETURNED = {Action.CHANGE: Verb.CHANGED, Action.KEEP: Verb.SKIPPED, Action.ABSENT: Verb.ABSENT}


@dataclass(frozen=True)
class Header:
    """An application's header and the two values in it."""

    path: Path
    format: HeaderFormat
    endpoint: str
    thing_name: str


def read_header(path: Path, header_format: HeaderFormat) -> Header:
    """The header at this path.

    Raises:
        FirmwareError: it cannot be read or understood.
    """
    return _parse(path, header_format, _read(path))


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
    return Change(NOUN, action, name, detail, difference(found, wanted), found=found, wanted=wanted)


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
    set_values(_read(path), wanted.format, (wanted.endpoint, wanted.thing_name))  # fails before anybody is asked
    if change.action is Action.ASK and not confirm(f"{path} was set by hand. Replace {changes(found, wanted)}?"):
        raise kept_by_hand(found, wanted)
    with changing_notes(notes_path) as notes:
        data, note = _read(path), notes.get(path.resolve(), NOTHING)
        now = _parse(path, wanted.format, data)
        if now != found and is_by_hand(now, wanted, note):
            raise kept_by_hand(now, wanted)
        written = Written(wanted.endpoint, wanted.thing_name, account)
        write_notes(notes_path, {**notes, path.resolve(): _note_of(data, now, note, written)})
        _write(path, set_values(data, wanted.format, (wanted.endpoint, wanted.thing_name)))
    return Outcome(NOUN, Verb.CHANGED, path.name, _values(wanted), wanted)


def decide_return(path: Path, data: bytes | OSError, note: Note, thing_name: str, account: str) -> Change | None:
    """What happens to a noted header when this thing is torn down in this account; None where it is another thing's.

    ``data`` is the header's content, or why it cannot be read. The values go back only where the header still has
    exactly what this tool wrote for the thing; ``wanted`` of that change is the new content.
    """
    is_ours = (thing_name, account) == (note.written[-1].thing_name, note.written[-1].account)
    if isinstance(data, FileNotFoundError):
        return Change(NOUN, Action.ABSENT, path.name, f"{path} is gone") if is_ours else None
    if isinstance(data, OSError):
        return Change(NOUN, Action.KEEP, path.name, f"{path} stays: {data}") if is_ours else None
    header_format = note.header_format
    try:
        found = _parse(path, header_format, data)
    except FirmwareError as error:
        return Change(NOUN, Action.KEEP, path.name, message(f"{path} stays: ", error.message)) if is_ours else None
    original = (note.endpoint, note.thing_name)
    if holders := note.holders(found.endpoint, found.thing_name):
        if (thing_name, account) not in {(one.thing_name, one.account) for one in holders}:
            return None
        new_data = restore_bytes(data, header_format, original)
        return Change(NOUN, Action.CHANGE, path.name, "original values put back", found=found, wanted=new_data)
    if not is_ours:
        return None
    if read_bytes(data, header_format) == original:
        return Change(NOUN, Action.ABSENT, path.name, f"the original values are in {path} already")
    return Change(NOUN, Action.KEEP, path.name, f"{path} was changed by hand since, stays")


def find_returns(notes_path: Path, thing_name: str, account: str) -> dict[Path, Change]:
    """What becomes of each noted header that is concerned when this thing is torn down in this account."""
    made = header_templates.find_returns(notes_path, thing_name, account)
    return {**_decide_returns(read_notes(notes_path), thing_name, account), **made}


def put_back(notes_path: Path, thing_name: str, account: str) -> list[Outcome[Any]]:
    """Put the original values back into every noted header that is still as this tool wrote it for this thing.

    Raises:
        FirmwareError: a header or the notes cannot be written.
    """
    outcomes = header_templates.put_back(notes_path, thing_name, account)
    if not read_notes(notes_path):
        return outcomes
    with changing_notes(notes_path) as notes:
        for path, change in _decide_returns(notes, thing_name, account).items():
            if change.action is Action.CHANGE:
                _write(path, change.wanted)
            if change.action is not Action.KEEP:
                del notes[path]
                write_notes(notes_path, notes)
            outcomes.append(Outcome(NOUN, RETURNED[change.action], change.name, change.detail))
    return outcomes


def is_by_hand(found: Header, wanted: Header, note: Note) -> bool:
    """Whether a value that is to be replaced was written by somebody else than this tool."""
    return any(
        old != new and not is_ours and old not in dummies
        for (_, dummies, old, new), is_ours in zip(
            _rows(found, wanted), note.has_written(found.endpoint, found.thing_name), strict=True
        )
    )


def _values(header: Header) -> str:
    return f"{header.thing_name} at {header.endpoint}"


def changes(found: Header, wanted: Header) -> str:
    """The values that differ, old and new, in words."""
    rows = [("endpoint", found.endpoint, wanted.endpoint), ("thing name", found.thing_name, wanted.thing_name)]
    return ", ".join(f"{what} {old!r} by {new!r}" for what, old, new in rows if old != new)


def difference(found: Header, wanted: Header) -> str:
    """The lines that differ, as a diff."""
    in_line = found.format.in_line
    rows = _rows(found, wanted)
    return "\n".join(f"-{in_line(name, old)}\n+{in_line(name, new)}" for name, _, old, new in rows if old != new)


def kept_by_hand(found: Header, wanted: Header) -> FirmwareError:
    """Why the header stays as somebody wrote it, and the ways to go on."""
    ways: list[str | Message] = [
        "answer yes on a terminal",
        f"edit it to {wanted.endpoint!r} and {wanted.thing_name!r}",
    ]
    if found.thing_name not in (wanted.thing_name, *found.format.thing_name.dummies):
        ways.append(f"set thing_name to {found.thing_name!r}")
    checkout = shell("git", "-C", found.path.parent, "checkout", "--", found.path.name)
    ways += ["set overwrite_header to true", message("restore its dummy values: ", checkout)]
    kept = f"was set by hand and is kept; not replaced: {changes(found, wanted)}"
    return FirmwareError(
        f"{found.path} {kept}\nTo go on: ",
        joined("; or ", ways),
        remedy=command("thing", overwrite_header="true"),
        brief=f"it {kept}",
    )


def _rows(found: Header, wanted: Header) -> list[tuple[str, tuple[str, ...], str, str]]:
    """For each value its define and dummies, what is there and what is wanted."""
    endpoint, thing_name = found.format.values
    return [
        (endpoint.define, endpoint.dummies, found.endpoint, wanted.endpoint),
        (thing_name.define, thing_name.dummies, found.thing_name, wanted.thing_name),
    ]


def _note_of(data: bytes, found: Header, note: Note, wanted: Written) -> Note:
    """The note for a header that is about to hold the wanted values.

    Originals are the values from before the first write of this tool. Of what it wrote, the note keeps what the header
    may still hold.
    """
    is_ours = note.has_written(found.endpoint, found.thing_name)
    before = ((note.endpoint, note.thing_name), read_bytes(data, found.format))
    endpoint, thing_name = (before[not ours][place] for place, ours in enumerate(is_ours))
    either = [one for one in note.written if found.endpoint == one.endpoint or found.thing_name == one.thing_name]
    still = note.holders(found.endpoint, found.thing_name) or either
    endpoint_value, thing_value = found.format.values
    defines = endpoint_value.define, thing_value.define
    return Note(endpoint, thing_name, tuple(dict.fromkeys([*still, wanted])), found.format.line, defines)


def _decide_returns(notes: Mapping[Path, Note], thing_name: str, account: str) -> dict[Path, Change]:
    decided = {path: decide_return(path, _data_of(path), note, thing_name, account) for path, note in notes.items()}
    return {path: change for path, change in decided.items() if change}


def _data_of(path: Path) -> bytes | OSError:
    try:
        return path.read_bytes()
    except OSError as error:
        return error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FirmwareError(f"{path} cannot be read: {error.strerror}") from error


def _parse(path: Path, header_format: HeaderFormat, data: bytes) -> Header:
    try:
        return Header(path, header_format, *read_values(data, header_format))
    except FirmwareError as error:
        raise FirmwareError(f"{path} cannot be used: ", error.message) from error


def _write(path: Path, data: bytes) -> None:
    """Replace the file in one step, so that a crash leaves the old one or the new one; a symlink stays a symlink."""
    target = path.resolve()
    try:
        replace_file(target, data, target.stat().st_mode & 0o7777)
    except OSError as error:
        raise FirmwareError(f"{path} could not be written: {error.strerror}; it is as it was") from error
