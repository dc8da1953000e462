"""The file that keeps what a build script prints, for the eyes of its owner only.

A compiler's output names paths, licence servers and whatever a build script echoes, so the file has mode 0600 from
the moment it is there. A link in its place is not followed: it could lead to a file that somebody else needs.

Source: POSIX ``open`` (O_NOFOLLOW, O_NONBLOCK), ``fchmod``.
"""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path
from typing import TextIO

from ota.errors import FirmwareError

PRIVATE_MODE = 0o600


def open_log(path: Path) -> TextIO:
    """An empty log at ``path``, mode 0600, written line by line; its folder is made where there is none.

    Raises:
        FirmwareError: it cannot be written, or something else than a file is there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.fdopen(_open(path), "w", encoding="utf-8", buffering=1)
    except OSError as error:
        what = _what_else(path)
        if what:
            message = f"the build log {path} is {what}, and the log is written to a file of its own; move it away"
            raise FirmwareError(message, remedy=f"mv {shlex.quote(str(path))} {shlex.quote(str(path))}.old") from error
        raise FirmwareError(f"the build log {path} cannot be written: {error.strerror}") from error


def _open(path: Path) -> int:
    # Without O_NONBLOCK, a pipe that nobody reads would be waited for.
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
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
