"""Makes this Python as poor as one on Windows, before anything else is imported.

Modules and functions that only POSIX has are gone, a folder cannot be opened, ``os.kill`` must not be called, and
``msvcrt`` locks. What the standard library and invoke need of POSIX to run on this system they have imported before.

Source: Python's documentation of ``os``, ``signal`` and ``msvcrt`` (availability); Microsoft's ``_locking``.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import types
from typing import Any

import invoke  # noqa: F401 - it asks for the name of the system, which is not changed here

MODULES = {"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"}
OF_OS = (
    *("O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "chown", "fchdir", "fchmod", "fchown", "fork", "getegid"),
    *("geteuid", "getgid", "getpgid", "getuid", "killpg", "lchown", "mkfifo", "pread", "pwrite", "setsid", "uname"),
)
OF_SIGNAL = ("SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2", "alarm", "pthread_sigmask", "setitimer")
FAR = 1 << 20
_open, _os_kill = os.open, os.kill
_flock, _lock_flags = fcntl.flock, fcntl.LOCK_EX | fcntl.LOCK_NB
_unlock_flag = fcntl.LOCK_UN


class _Missing:
    """Finds none of the modules."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        if name in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def _open_files(path: Any, *rest: Any, **options: Any) -> int:
    if os.path.isdir(path):  # noqa: PTH112 - as in os.open, it may be a descriptor
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    return _open(path, *rest, **options)


def _kill(*_: object) -> None:
    raise AssertionError("os.kill ends the process on Windows, whatever the signal")


def _end(process: subprocess.Popen[Any]) -> None:
    if process.poll() is None:
        _os_kill(process.pid, signal.SIGTERM)


def _locking(descriptor: int, mode: int, _bytes: int) -> None:
    assert os.lseek(descriptor, 0, os.SEEK_CUR) > FAR, "nobody else can read a byte that is locked"
    try:
        _flock(descriptor, _unlock_flag if mode == 0 else _lock_flags)
    except BlockingIOError as error:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from error


msvcrt: Any = types.ModuleType("msvcrt")
msvcrt.LK_UNLCK, msvcrt.LK_NBLCK, msvcrt.locking = 0, 2, _locking
for _name in MODULES:
    sys.modules.pop(_name, None)
for _name in OF_OS:
    delattr(os, _name)
for _name in OF_SIGNAL:
    delattr(signal, _name)
sys.modules["msvcrt"] = msvcrt
sys.meta_path.insert(0, _Missing)  # type: ignore[arg-type]
subprocess.Popen.kill = _end  # type: ignore[method-assign]
shutil._use_fd_functions = False  # type: ignore[attr-defined]
os.open, os.kill = _open_files, _kill
