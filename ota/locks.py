"""One at a time: a lock on a file, between processes, that ends with the process however that ends.

A process that a holder starts may be given the lock's descriptor. It then holds the lock as well, which matters once
the holder has been killed: a build that goes on keeps its place. Releasing a lock releases it for all who have it.
A lock file tells who holds it, and is never deleted: whoever opened it before would lock a file that nobody sees.
Where the file system knows no locks, or the file cannot be made, everything goes on as without.

Windows has no ``flock``. There one byte is locked that is far behind the end of the file, because nobody else can read
a locked byte. Such a lock is not passed on to other processes.

Source: ``flock(2)``, through ``fcntl``; ``_locking`` of Microsoft's C library, through ``msvcrt``.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ota.folders import make_private_folder

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

MOST_TOLD = 200
POLL_S = 0.2
LOCKED_BYTE = 1 << 30  # on Windows


@dataclass(frozen=True)
class Holder:
    """Who has a lock: the process that took it, and its command line. Both empty where nobody has written it down."""

    pid: int = 0
    command: str = ""

    @property
    def is_alive(self) -> bool:
        """Whether the process is there; else one that it started has the lock, which only ``flock`` allows."""
        if fcntl is None:  # and os.kill with 0 would be Ctrl-C for the process
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def __str__(self) -> str:
        if not self.pid:
            return "another run"
        named = f"process {self.pid} ({self.command})"
        return named if self.is_alive else f"a build that was started by {named}, which has ended,"


class StillHeld(Exception):
    """The time for waiting is up.

    Attributes:
        holder: who has the lock.
    """

    def __init__(self, holder: Holder) -> None:
        super().__init__(str(holder))
        self.holder = holder


class Lock:
    """A lock that is held, or none where there can be none.

    Attributes:
        descriptors: the file that is locked; nothing or one.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptors: Sequence[int] = () if descriptor is None else (descriptor,)

    @property
    def inheritable(self) -> Sequence[int]:
        """What a process is given that is to hold the lock, too; nothing on Windows."""
        return self.descriptors if fcntl else ()

    def release(self) -> None:
        """Let the next one in; a second time does nothing."""
        held, self.descriptors = self.descriptors, ()
        for descriptor in held:
            _unlock(descriptor)  # closing it would leave it with the processes that were given it
            os.close(descriptor)


def take_lock_file(
    path: Path,
    on_wait: Callable[[Holder], None],
    timeout_s: float,
    sleep: Callable[[float], None] = time.sleep,
    program: str = "invoke",
) -> Lock:
    """Hold the lock file at ``path``, which is made where it is missing, and write into it who has it.

    ``on_wait`` is called with the holder before the first wait; ``program`` is how the user started this process.

    Raises:
        StillHeld: somebody has it after ``timeout_s``.
    """
    try:
        make_private_folder(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    except OSError:
        return Lock()
    lock = _take(descriptor, lambda: _read_holder(path), on_wait, timeout_s, sleep)
    for held in lock.descriptors:
        _write_holder(held, program)
    return lock


def take_lock_on(
    path: Path, on_wait: Callable[[Holder], None], timeout_s: float, sleep: Callable[[float], None] = time.sleep
) -> Lock:
    """Hold a lock on a file that is there for something else, and is only read.

    Raises:
        StillHeld: somebody has it after ``timeout_s``.
    """
    return _take(os.open(path, os.O_RDONLY), Holder, on_wait, timeout_s, sleep)


def is_locked(path: Path) -> bool:
    """Whether somebody holds a lock on this file; False where there is no such file, or no locks."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        is_free = _try(descriptor, is_shared=True)
        if is_free:
            _unlock(descriptor)
    finally:
        os.close(descriptor)
    return is_free is False


def _take(
    descriptor: int,
    find_holder: Callable[[], Holder],
    on_wait: Callable[[Holder], None],
    timeout_s: float,
    sleep: Callable[[float], None],
) -> Lock:
    """The lock on this open file, which is closed where it cannot be had."""
    waited_s, is_held = 0.0, False
    try:
        while (is_free := _try(descriptor)) is False:
            if waited_s >= timeout_s:
                raise StillHeld(find_holder())
            if not waited_s:
                on_wait(find_holder())
            sleep(POLL_S)
            waited_s += POLL_S
        is_held = is_free is True
    finally:
        if not is_held:
            os.close(descriptor)
    return Lock(descriptor) if is_held else Lock()


def _try(descriptor: int, *, is_shared: bool = False) -> bool | None:
    """Whether the lock is ours now; None where there are no locks. Whoever only looks takes a shared one."""
    try:
        if fcntl:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        else:
            _lock_byte(descriptor, "LK_NBLCK")
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return None
    return True


def _unlock(descriptor: int) -> None:
    if fcntl:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    else:
        _lock_byte(descriptor, "LK_UNLCK")


def _lock_byte(descriptor: int, mode: str) -> None:
    """Lock or unlock with Windows' means; PermissionError where another process has the lock."""
    import msvcrt

    windows: Any = msvcrt  # its functions are known on Windows only
    os.lseek(descriptor, LOCKED_BYTE, os.SEEK_SET)
    windows.locking(descriptor, getattr(windows, mode), 1)


def _write_holder(descriptor: int, program: str) -> None:
    told = f"{os.getpid()} {shlex.join([program, *sys.argv[1:]])}"
    try:
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, told.encode(errors="replace"))
    except OSError:  # a full disk: the lock holds all the same
        return


def _read_holder(path: Path) -> Holder:
    try:
        with path.open("rb") as file:
            told = file.read(MOST_TOLD).decode(errors="replace")
    except OSError:
        return Holder()
    pid, _, command = told.partition(" ")
    if not (pid.isascii() and pid.isdigit()):
        return Holder()
    return Holder(int(pid), "".join(one for one in command if one.isprintable()))
