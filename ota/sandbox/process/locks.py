"""The two file locks of a sandbox's directory: one to start a sandbox, one to serve it.

They are ``flock`` locks on open files, so the system releases them when their holder ends, however it ends. The file of
the server lock has its holder's process id in it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

START_LOCK_FILE = "start.lock"
SERVER_LOCK_FILE = "server.lock"


@contextmanager
def starting(directory: Path) -> Iterator[None]:
    """Wait for the start lock, and hold it."""
    with (directory / START_LOCK_FILE).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def serving(directory: Path) -> Iterator[IO[str] | None]:
    """Hold the server lock; None when another process holds it."""
    with (directory / SERVER_LOCK_FILE).open("a") as lock:
        if not _take(lock):
            yield None
            return
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield lock


def is_served(directory: Path) -> bool:
    """Whether a process holds the server lock."""
    try:
        with (directory / SERVER_LOCK_FILE).open("r+") as lock:
            return not _take(lock)
    except FileNotFoundError:
        return False


def find_holder(directory: Path) -> int | None:
    """The id of the process that holds the server lock; None when none does."""
    if not is_served(directory):
        return None
    text = (directory / SERVER_LOCK_FILE).read_text(encoding="ascii", errors="replace")
    return int(text) if text.isdecimal() else None


def holds_place(directory: Path, lock: IO[str]) -> bool:
    """Whether this lock is still the directory's, which it is not when the directory has been deleted or recreated."""
    try:
        found = (directory / SERVER_LOCK_FILE).stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(lock.fileno()))


def _take(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
