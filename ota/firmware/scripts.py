"""Run the firmware project's build script: its output goes to a log and to the screen, and no process outlives it.

The script gets its own session, so that Ctrl-C reaches only this program, which then ends the script's whole process
group: a compiler that outlives its build would still write to the build folder. While a script runs, a closed terminal
(SIGHUP) and a request to end (SIGTERM, with which CI cancels a job) count as Ctrl-C. Windows has neither groups nor
these signals; there the script's own process is ended.

The log has mode 0600 from the start, because a compiler's output names paths, licence servers and whatever the script
prints. A link in its place is not followed: it could lead to a file that somebody else needs. A script that prints
without end must not fill the disk. The first lines tell how the build began and the last ones why it failed, so the
log keeps these and leaves out the middle.

Source: POSIX ``setsid``, ``killpg``, ``SIGHUP``, ``SIGTERM``, ``open`` (O_NOFOLLOW, O_NONBLOCK), ``fchmod``; Python's
``subprocess`` documentation.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import re
import shlex
import signal
import stat
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO, BinaryIO, NoReturn

from ota.errors import FirmwareError
from ota.folders import make_private_folder
from ota.messages import shell
from ota.platforms import HAS_FILE_MODES, HAS_PROCESS_GROUPS

PRIVATE_MODE = 0o600
FIRST_BYTES = 4 << 20
LAST_BYTES = 4 << 20
LAST_LINES = 15
MOST_SHOWN = 400
PIECE_BYTES = 64 << 10
# So much of a line is kept for showing it, because control characters are removed from it first.
FRONT_CHARS = 10 * MOST_SHOWN
ENDING_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
# The bytes of a UTF-8 character after its first.
_CONTINUED = bytes(range(0x80, 0xC0))
# Escape sequences, such as colours, and the other control characters.
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def run_script(
    command: Sequence[str],
    folder: Path,
    environ: Mapping[str, str],
    *,
    log_path: Path,
    on_line: Callable[[str], None],
    held_locks: Sequence[int] = (),
    grace_s: float = 5.0,
) -> None:
    """Run this command in ``folder`` with these variables until it ends; it gets no input.

    Output and errors go to ``log_path`` (UTF-8, mode 0600, replaced, with the command in its first line and without its
    middle where it is too long) and, line by line without line end and control characters, to ``on_line``. When this
    call ends early, its processes get SIGTERM, and SIGKILL after ``grace_s`` seconds. The script gets the descriptors
    ``held_locks``.

    Raises:
        FirmwareError: it could not be started, or it failed: with its last 15 lines and the log's path.
    """
    last_lines: deque[str] = deque(maxlen=LAST_LINES)
    status = None
    with open_log(log_path) as log:
        log.write(f"$ {shlex.join(command)}\n")
        try:
            with _interruptible(), _process(command, folder, environ, held_locks, grace_s) as process:
                for line in _lines(process.stdout, log.write):
                    last_lines.append(_CONTROL.sub("", line)[:MOST_SHOWN])
                    on_line(last_lines[-1])
                status = process.wait()
        finally:
            log.write("(ended early)\n" if status is None else f"({_ending(status)})\n")
    if status != 0:
        raise FirmwareError("\n".join([f"the build {_ending(status)}; its output is in {log_path}", *last_lines]))


class BuildLog:
    """An open log: at most its first 4 MiB, a line that says how much is left out, and the last 4 to 8 MiB.

    Each write is in the file at once, so that it is kept where this program is killed.
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
    """An empty log at ``path``, mode 0600; its folder is created where it is missing.

    Raises:
        FirmwareError: it cannot be written, or ``path`` is not a file.
    """
    try:
        make_private_folder(path.parent)
        return BuildLog(os.fdopen(_open(path), "w+b"))
    except OSError as error:
        what = _what_else(path)
        if what:
            problem = f"the build log {path} is {what}, and the log is written to a file of its own; move it away"
            raise FirmwareError(problem, remedy=shell("mv", path, f"{path}.old")) from error
        raise FirmwareError(f"the build log {path} cannot be written: {error.strerror}") from error


def _lines(output: IO[bytes] | None, on_text: Callable[[str], object]) -> Iterator[str]:
    """The beginning of each line, without its end; all of the output goes to ``on_text`` in pieces as it arrives.

    A line ends with a line feed, a carriage return or both, and the output may have no line ends at all.
    """
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")("replace"), translate=True)
    front = ""
    while output and (piece := output.read(PIECE_BYTES)):
        on_text(text := decoder.decode(piece))
        *ended, rest = text.split("\n")
        for line in ended:
            yield (front + line)[:FRONT_CHARS]
            front = ""
        front = (front + rest)[:FRONT_CHARS]
    on_text(text := decoder.decode(b"", final=True))
    if front := (front + text.rstrip("\n")):
        yield front[:FRONT_CHARS]


@contextmanager
def _process(
    command: Sequence[str], folder: Path, environ: Mapping[str, str], held_locks: Sequence[int], grace_s: float
) -> Iterator[subprocess.Popen[bytes]]:
    try:
        process = subprocess.Popen(  # noqa: S603 - the settings name the script
            command,
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,  # output is read as soon as there is some, one piece at most
            pass_fds=held_locks,
            start_new_session=True,  # so that its whole group can be ended
        )
    except OSError as error:
        raise FirmwareError(
            f"the build script {command[0]} cannot be started: {_why_not(error, command[0])}"
        ) from error
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                _end_group(process, grace_s)


def _why_not(error: OSError, script: str) -> str:
    """Why it cannot be started; where the script exists, the missing file is the program in its first line."""
    if error.errno not in {errno.ENOENT, errno.ENOEXEC} or not Path(script).is_file():
        return error.strerror or str(error)
    with Path(script).open("rb") as file:
        first = file.readline(MOST_SHOWN).decode(errors="replace").rstrip("\n")
    return (
        f"its first line, {first!r}, names no program of this machine (a Windows line end counts as part of the name)"
    )


@contextmanager
def _interruptible() -> Iterator[None]:
    """Treat the ending signals as Ctrl-C, except those that have a handler already."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    changed = [number for number in ENDING_SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _end_group(process: subprocess.Popen[bytes], grace_s: float) -> None:
    if not HAS_PROCESS_GROUPS:
        process.kill()
        return
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=grace_s)
    except subprocess.TimeoutExpired:
        pass
    finally:
        # The group outlives its leader while a member ignores SIGTERM. An empty group: ESRCH, on macOS EPERM.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _ending(status: int) -> str:
    if status == 0:
        return "succeeded"
    if status > 0:
        return f"failed with exit status {status}"
    return f"was ended by signal {-status} ({signal.strsignal(-status)})"


def _open(path: Path) -> int:
    # Without O_NONBLOCK, opening a pipe waits until somebody reads from it.
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags, PRIVATE_MODE)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("not a file")
        if HAS_FILE_MODES:
            os.fchmod(descriptor, PRIVATE_MODE)
        os.ftruncate(descriptor, 0)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _what_else(path: Path) -> str:
    """What ``path`` is where it is no file; empty where it is one, or is missing."""
    if path.is_symlink():
        return "a link"
    if path.is_dir():
        return "a folder"
    return "" if path.is_file() or not path.exists() else "no file"
