"""The two file locks of a sandbox's directory: one to start a sandbox, one to serve it.

They are ``flock`` locks on open files, so the system releases them when their holder ends, however it ends.
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
        yield lock if _take(lock) else None


def is_served(directory: Path) -> bool:
    """Whether a process holds the server lock."""
    path = directory / SERVER_LOCK_FILE
    if not path.exists():
        return False
    with path.open("a") as lock:
        return not _take(lock)


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
