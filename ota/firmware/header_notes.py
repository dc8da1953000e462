"""Notes of what this tool wrote into firmware headers, and of what stood there before.

The header belongs to the firmware project, so nothing in it tells who wrote its values. The note does: a value that it
names is replaced without asking, and ``clean`` puts the original back. Where a note is lost or cannot be read, every
value counts as set by hand.

A note is written before the header. It names what the header holds now as well as what is about to be written, so that
it is right whether or not the header's write happened.

Source: ``flock(2)``, through ``fcntl``, for two runs at once.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ota.errors import FirmwareError

FOLDER_MODE = 0o700


@dataclass(frozen=True)
class Written:
    """Values that this tool wrote.

    Attributes:
        endpoint: as the header has it, without quotes.
        thing_name: the same.
        account: whose endpoint that is: ``123456789012 eu-west-1``, with ``sandbox`` before it for the stand-in's.
    """

    endpoint: str
    thing_name: str
    account: str


@dataclass(frozen=True)
class Note:
    """What is known of one header.

    Attributes:
        endpoint: what stood there before, byte for byte as Latin-1.
        thing_name: the same.
        written: what the header may hold of ours, the newest last.
    """

    endpoint: str
    thing_name: str
    written: tuple[Written, ...]

    def holders(self, endpoint: str, thing_name: str) -> tuple[Written, ...]:
        """Those that are exactly this pair of values."""
        return tuple(one for one in self.written if (one.endpoint, one.thing_name) == (endpoint, thing_name))

    def has_written(self, endpoint: str, thing_name: str) -> tuple[bool, bool]:
        """Whether each of these values is one that this tool wrote."""
        return (
            any(one.endpoint == endpoint for one in self.written),
            any(one.thing_name == thing_name for one in self.written),
        )


NOTHING = Note("", "", ())


def read_notes(path: Path) -> dict[Path, Note]:
    """The notes in this file, by the header's real path; none where there is no such file, or a damaged one."""
    try:
        found = json.loads(path.read_bytes())
        return {Path(header): _note(values) for header, values in found.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def find_note(path: Path, header_path: Path) -> Note:
    """The note of this header; one that knows nothing where there is none."""
    return read_notes(path).get(header_path.resolve(), NOTHING)


@contextmanager
def changing_notes(path: Path) -> Iterator[dict[Path, Note]]:
    """The notes, for this run alone; call ``write_notes`` with them before the header is touched.

    Raises:
        FirmwareError: the file's folder cannot be made or written.
    """
    try:
        path.parent.mkdir(mode=FOLDER_MODE, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        with suppress(OSError):  # on a file system without locks the runs are as they were without
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield read_notes(path)
    finally:
        os.close(folder)


def write_notes(path: Path, notes: Mapping[Path, Note]) -> None:
    """Replace the file in one step, mode 0600; delete it where no notes are left.

    Raises:
        FirmwareError: it cannot be written.
    """
    try:
        if notes:
            _replace(path, json.dumps({str(header): asdict(note) for header, note in notes.items()}, indent=4))
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _note(values: Mapping[str, object]) -> Note:
    written = values["written"]
    if not (isinstance(written, list) and written):
        raise TypeError("no list of values")
    return Note(str(values["endpoint"]), str(values["thing_name"]), tuple(Written(**one) for one in written))


def _replace(path: Path, text: str) -> None:
    # mkstemp opens with 0600.
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _cannot_write(path: Path, error: OSError) -> FirmwareError:
    return FirmwareError(
        f"{path} cannot be written ({error.strerror}), and without that note a header's values would be lost: see "
        f"to it that {path.parent} can be written to. The header is as it was."
    )
