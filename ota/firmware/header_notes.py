"""Notes of what this tool wrote into firmware headers, and of the values that were there before.

The header belongs to the firmware project, so nothing in it tells who wrote its values. The note does: a value that it
names is replaced without asking, and ``clean`` puts the original back. Where a note is lost or cannot be read, every
value counts as set by hand.

A note is written before the header. It names the header's current values as well as the new ones, so that it is right
whether or not the header's write succeeds.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from ota import locks
from ota.errors import FirmwareError
from ota.folders import make_private_folder
from ota.profiles import HeaderFormat, HeaderValue

PRIVATE_MODE = 0o600


@dataclass(frozen=True)
class Written:
    """Values that this tool wrote.

    Attributes:
        endpoint: as the header has it, without quotes.
        thing_name: the same.
        account: whose endpoint that is: ``123456789012 eu-west-1``, with ``sandbox`` before it for the sandbox's.
    """

    endpoint: str
    thing_name: str
    account: str


@dataclass(frozen=True)
class Note:
    """What is known of one header.

    Attributes:
        endpoint: the original value, byte for byte as Latin-1.
        thing_name: the same.
        written: the values of this tool that the header may hold, the newest last.
        line: how the header defines a value, as in ``HeaderFormat``.
        defines: the names under which it defines the endpoint and the thing name.
    """

    endpoint: str
    thing_name: str
    written: tuple[Written, ...]
    line: str
    defines: tuple[str, str]

    @property
    def header_format(self) -> HeaderFormat:
        """The format of the header, as it was when this tool wrote it."""
        endpoint, thing_name = (HeaderValue(define, ("",)) for define in self.defines)
        return HeaderFormat(PurePosixPath(), endpoint, thing_name, self.line)

    def holders(self, endpoint: str, thing_name: str) -> tuple[Written, ...]:
        """The entries with exactly this pair of values."""
        return tuple(one for one in self.written if (one.endpoint, one.thing_name) == (endpoint, thing_name))

    def has_written(self, endpoint: str, thing_name: str) -> tuple[bool, bool]:
        """Whether each of these values is one that this tool wrote."""
        return (
            any(one.endpoint == endpoint for one in self.written),
            any(one.thing_name == thing_name for one in self.written),
        )


NOTHING = Note("", "", (), "", ("", ""))


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
    """The notes, locked for this run (two runs at once); call ``write_notes`` before the header is changed.

    Raises:
        FirmwareError: the file's folder cannot be made or written.
    """
    with locked_notes(path):
        yield read_notes(path)


@contextmanager
def locked_notes(path: Path) -> Iterator[None]:
    """The folder of this file, made where it is missing and locked for this run.

    Raises:
        FirmwareError: it cannot be made or written.
    """
    try:
        make_private_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    lock = locks.take_lock_file(path.with_suffix(".lock"), lambda _: None, timeout_s=math.inf)
    try:
        yield
    finally:
        lock.release()


def write_notes(path: Path, notes: Mapping[Path, Note]) -> None:
    """Replace the file in one step, mode 0600; delete it where no notes are left.

    Raises:
        FirmwareError: it cannot be written.
    """
    try:
        if notes:
            text = json.dumps({str(header): asdict(note) for header, note in notes.items()}, indent=4)
            replace_file(path, text.encode(), PRIVATE_MODE)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def replace_file(path: Path, data: bytes, mode: int) -> None:
    """Write the file in one step, so that a crash leaves the old one or the new one."""
    # mkstemp opens with 0600.
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _note(values: Mapping[str, object]) -> Note:
    written = values["written"]
    if not (isinstance(written, list) and written):
        raise TypeError("no list of values")
    defines = values["defines"]
    if not (isinstance(defines, list) and len(defines) == len(NOTHING.defines)):
        raise TypeError("not two names")
    return Note(
        str(values["endpoint"]),
        str(values["thing_name"]),
        tuple(Written(**one) for one in written),
        str(values["line"]),
        (str(defines[0]), str(defines[1])),
    )


def cannot_write(path: Path, error: OSError) -> FirmwareError:
    """That the notes cannot be written, so that the header is not changed either."""
    return FirmwareError(
        f"{path} cannot be written ({error.strerror}), and without that note the header's values would be lost: make "
        f"{path.parent} writable. The header is unchanged."
    )
