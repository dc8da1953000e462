"""Make the file from which a firmware's build takes endpoint and thing name, from a template of the user's.

For firmware whose file is not a header with two defines: a fragment of ``sdkconfig``, a JSON with the endpoint and the
paths of key and certificate. The template may refer to every setting, and to ``endpoint``, ``account_id`` and
``region``. The whole file is this tool's. One that somebody else wrote in its place is not replaced without asking, and
``clean`` puts that back, or deletes the file where there was none.

The notes of what was written, and of what was there before, are in a file beside those of the headers. A note is
written before its file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ota.errors import FirmwareError, SettingsError
from ota.firmware.header_notes import PRIVATE_MODE, cannot_write, locked_notes, replace_file
from ota.messages import command
from ota.outcomes import Action, Change, Outcome, Verb, blocked
from ota.settings.formatter import format_text
from ota.settings.settings import Settings

NOUN = "header"
NOTES_NAME = "made-headers.json"
NEW_FILE_MODE = 0o644
VERBS = {
    Action.CREATE: Verb.CREATED,
    Action.CHANGE: Verb.CHANGED,
    Action.ASK: Verb.CHANGED,
    Action.DELETE: Verb.DELETED,
    Action.KEEP: Verb.SKIPPED,
    Action.ABSENT: Verb.ABSENT,
}


@dataclass(frozen=True)
class MadeHeader:
    """A file that is made from a template; ``account`` is whose endpoint is in it, for the note."""

    path: Path
    data: bytes
    thing_name: str


@dataclass(frozen=True)
class WrittenFile:
    """A content that this tool wrote: its SHA-256, for which thing, and in whose account."""

    sha256: str
    thing_name: str
    account: str


@dataclass(frozen=True)
class FileNote:
    """What is known of one file.

    Attributes:
        original: the content from before this tool's, as Latin-1; None where there was no file.
        written: the contents of this tool that the file may hold, the newest last.
    """

    original: str | None
    written: tuple[WrittenFile, ...]

    def holders(self, data: bytes) -> tuple[WrittenFile, ...]:
        """The entries with this content."""
        return tuple(one for one in self.written if one.sha256 == _sha256(data))


NOTHING = FileNote(None, ())


def wanted_header(settings: Settings, endpoint: str) -> MadeHeader:
    """The file as the template gives it.

    Raises:
        FirmwareError: the template cannot be read, or refers to something unknown.
    """
    template, path = settings.header_template, settings.header_path
    if template is None or path is None:  # settings with a template have both
        raise ValueError("no template")
    try:
        text = template.read_bytes().decode()
    except OSError as error:
        raise FirmwareError(f"the template {template} (header_template) cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FirmwareError(f"the template {template} is not UTF-8 (byte {error.start + 1})") from error
    try:
        filled = format_text(text, {**settings.references, "endpoint": endpoint}, setting="header_template")
    except SettingsError as error:
        raise FirmwareError(f"the template {template}: ", error.message) from error
    return MadeHeader(path, filled.encode(), settings.thing_name)


def find_data(path: Path) -> bytes | None:
    """The content of the file; None where there is none.

    Raises:
        FirmwareError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FirmwareError(f"{path} cannot be read: {error.strerror}") from error


def find_note(notes_path: Path, path: Path) -> FileNote:
    """The note of this file; one that knows nothing where there is none."""
    return _read_notes(notes_path).get(path.resolve(), NOTHING)


def decide_header(found: bytes | None, wanted: MadeHeader, note: FileNote, *, may_replace: bool | None) -> Change:
    """What has to become of the file.

    A file that somebody else wrote is replaced where ``may_replace``; None where somebody at a terminal is asked.
    """
    name, detail = wanted.path.name, f"{wanted.thing_name}, from its template"
    if found == wanted.data:
        return Change(NOUN, Action.REUSE, name, detail, found=found, wanted=wanted)
    if found is None:
        return Change(NOUN, Action.CREATE, name, detail, wanted=wanted)
    is_theirs = not note.holders(found)
    if is_theirs and may_replace is False:
        return replace(blocked(NOUN, name, _kept(wanted.path)), found=found, wanted=wanted)
    asks = is_theirs and may_replace is None
    said = "was written by somebody else: all asks before it replaces it" if asks else detail
    return Change(NOUN, Action.ASK if asks else Action.CHANGE, name, said, found=found, wanted=wanted)


def make_header(change: Change, account: str, *, notes_path: Path, confirm: Callable[[str], bool]) -> Outcome[Any]:
    """Carry out the change: the file is what the template gives.

    ``confirm`` is asked where the change says so.

    Raises:
        FirmwareError: the change is blocked; the answer was no; somebody else wrote the file since the look; the file
            or its note cannot be written.
    """
    change.check()
    wanted: MadeHeader = change.wanted
    if change.action is Action.REUSE:
        return Outcome(NOUN, Verb.REUSED, change.name, change.detail, wanted)
    if change.action is Action.ASK and not confirm(f"{wanted.path} was written by somebody else. Replace it?"):
        raise _kept(wanted.path)
    with locked_notes(notes_path):
        notes, now = _read_notes(notes_path), find_data(wanted.path)
        note = notes.get(wanted.path.resolve(), NOTHING)
        if now != change.found and now is not None and not note.holders(now):
            raise _kept(wanted.path)
        written = WrittenFile(_sha256(wanted.data), wanted.thing_name, account)
        _write_notes(notes_path, {**notes, wanted.path.resolve(): _note_of(now, note, written)})
        _write(wanted.path, wanted.data)
    return Outcome(NOUN, VERBS[change.action], change.name, change.detail, wanted)


def decide_return(path: Path, note: FileNote, thing_name: str, account: str) -> Change | None:
    """What happens to a noted file when this thing is torn down in this account; None where it is another thing's."""
    newest = note.written[-1]
    is_ours = (thing_name, account) == (newest.thing_name, newest.account)
    found = find_data(path)
    if found is None:
        return Change(NOUN, Action.ABSENT, path.name, f"{path} is gone") if is_ours else None
    if holders := note.holders(found):
        if (thing_name, account) not in {(one.thing_name, one.account) for one in holders}:
            return None
        if note.original is None:
            return Change(NOUN, Action.DELETE, path.name, "there was none before", found=found)
        return Change(NOUN, Action.CHANGE, path.name, "original put back", found=found, wanted=note.original)
    return Change(NOUN, Action.KEEP, path.name, f"{path} was changed by hand since, stays") if is_ours else None


def find_returns(notes_path: Path, thing_name: str, account: str) -> dict[Path, Change]:
    """What becomes of each noted file that is concerned when this thing is torn down in this account."""
    decided = {path: decide_return(path, note, thing_name, account) for path, note in _read_notes(notes_path).items()}
    return {path: change for path, change in decided.items() if change}


def put_back(notes_path: Path, thing_name: str, account: str) -> list[Outcome[Any]]:
    """Put back what was there before, for every noted file that is still as this tool wrote it for this thing.

    Raises:
        FirmwareError: a file or the notes cannot be written.
    """
    if not _read_notes(notes_path):
        return []
    outcomes: list[Outcome[Any]] = []
    with locked_notes(notes_path):
        notes = _read_notes(notes_path)
        for path, change in find_returns(notes_path, thing_name, account).items():
            if change.action is Action.CHANGE:
                _write(path, change.wanted.encode("latin-1"))
            if change.action is Action.DELETE:
                path.unlink(missing_ok=True)
            if change.action is not Action.KEEP:
                del notes[path]
                _write_notes(notes_path, notes)
            outcomes.append(Outcome(NOUN, VERBS[change.action], change.name, change.detail))
    return outcomes


def _kept(path: Path) -> FirmwareError:
    return FirmwareError(
        f"{path} was written by somebody else and is kept; it would be made from header_template. To go on: answer yes "
        "on a terminal, move it away, or set overwrite_header to true",
        remedy=command("thing", overwrite_header="true"),
        brief="it was written by somebody else and is kept",
    )


def _note_of(now: bytes | None, note: FileNote, wanted: WrittenFile) -> FileNote:
    """The note for a file that is about to hold the wanted content: that, and what it may still hold of this tool's."""
    still = note.holders(now) if now is not None else ()
    is_theirs = not still
    original = (now.decode("latin-1") if now is not None else None) if is_theirs else note.original
    return FileNote(original, tuple(dict.fromkeys([*still, wanted])))


def _write(path: Path, data: bytes) -> None:
    """Replace the file in one step; its folder is made where it is missing, and a symlink stays a symlink."""
    target = path.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_file(target, data, target.stat().st_mode & 0o7777 if target.exists() else NEW_FILE_MODE)
    except OSError as error:
        raise FirmwareError(f"{path} could not be written: {error.strerror}; it is as it was") from error


def _read_notes(notes_path: Path) -> dict[Path, FileNote]:
    """The notes by the file's real path; none where there is no such file, or a damaged one."""
    try:
        found = json.loads(notes_path.with_name(NOTES_NAME).read_bytes())
        return {Path(path): _note(values) for path, values in found.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _note(values: Mapping[str, Any]) -> FileNote:
    written = tuple(WrittenFile(**one) for one in values["written"])
    if not written:
        raise ValueError("no content")
    return FileNote(values["original"], written)


def _write_notes(notes_path: Path, notes: Mapping[Path, FileNote]) -> None:
    """Replace the file in one step, mode 0600; delete it where no notes are left."""
    path = notes_path.with_name(NOTES_NAME)
    try:
        if notes:
            text = json.dumps({str(made): asdict(note) for made, note in notes.items()}, indent=4)
            replace_file(path, text.encode(), PRIVATE_MODE)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
