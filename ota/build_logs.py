"""The file that keeps what a build script prints: for the eyes of its owner only, and never longer than it may be.

A compiler's output names paths, licence servers and whatever a build script echoes, so the file has mode 0600 from
the moment it is there. A link in its place is not followed: it could lead to a file that somebody else needs.
A script that prints without end must not fill the disk. The first lines tell how the build began and the last ones why
it failed, so these are kept and the middle is left out.

Source: POSIX ``open`` (O_NOFOLLOW, O_NONBLOCK), ``fchmod``.
"""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path
from typing import BinaryIO

from ota.errors import FirmwareError

PRIVATE_MODE = 0o600
FIRST_BYTES = 4 << 20
LAST_BYTES = 4 << 20
# The bytes of a UTF-8 character after its first.
_CONTINUED = bytes(range(0x80, 0xC0))


class BuildLog:
    """An open log: at most its first 4 MiB, a line that says what is left out, and the last 4 to 8 MiB.

    What was written is in the file at once, so that it is there though this program is killed.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._first_end = 0
        self._last_begin = 0
        self._left_out_bytes = 0

    def __enter__(self) -> BuildLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, text: str) -> None:
        """Add this text; UTF-8."""
        self._file.write(text.encode())
        self._file.flush()
        end = self._file.tell()
        if end < FIRST_BYTES or not self._first_end:
            self._first_end = self._last_begin = end
        elif end > self._last_begin + 2 * LAST_BYTES:
            self._leave_out_the_middle(end)

    def _leave_out_the_middle(self, end: int) -> None:
        self._file.seek(end - LAST_BYTES)
        last = self._file.read().lstrip(_CONTINUED)
        self._left_out_bytes += end - len(last) - self._last_begin
        self._file.seek(self._first_end)
        self._file.truncate()
        self._file.write(f"\n(… {self._left_out_bytes:,} bytes are left out here …)\n".encode())
        self._last_begin = self._file.tell()
        self._file.write(last)
        self._file.flush()


def open_log(path: Path) -> BuildLog:
    """An empty log at ``path``, mode 0600; its folder is made where there is none.

    Raises:
        FirmwareError: it cannot be written, or something else than a file is there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return BuildLog(os.fdopen(_open(path), "w+b"))
    except OSError as error:
        what = _what_else(path)
        if what:
            message = f"the build log {path} is {what}, and the log is written to a file of its own; move it away"
            raise FirmwareError(message, remedy=f"mv {shlex.quote(str(path))} {shlex.quote(str(path))}.old") from error
        raise FirmwareError(f"the build log {path} cannot be written: {error.strerror}") from error


def _open(path: Path) -> int:
    # Without O_NONBLOCK, a pipe that nobody reads would be waited for.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, flags, PRIVATE_MODE)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("not a file")
        os.fchmod(descriptor, PRIVATE_MODE)
        os.ftruncate(descriptor, 0)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _what_else(path: Path) -> str:
    """What is at ``path`` where no file is; empty where one is, or nothing."""
    if path.is_symlink():
        return "a link"
    if path.is_dir():
        return "a folder"
    return "" if path.is_file() or not path.exists() else "no file"
