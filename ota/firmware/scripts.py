"""Run the firmware project's own script: output to a log and to the eye, and nothing left running when it ends early.

The script gets a session of its own, so that Ctrl-C reaches this program alone, which then ends the script's whole
process group: a compiler that outlives its build would still write to the build folder. A closed terminal and the
request to end, which is how CI cancels a job, count as Ctrl-C while a script runs.

Source: POSIX ``setsid``, ``killpg``, ``SIGHUP``, ``SIGTERM``; Python's ``subprocess`` documentation.


The file that keeps what a build script prints: for the eyes of its owner only, and never longer than it may be.

A compiler's output names paths, licence servers and whatever a build script echoes, so the file has mode 0600 from
the moment it is there. A link in its place is not followed: it could lead to a file that somebody else needs.
A script that prints without end must not fill the disk. The first lines tell how the build began and the last ones why
it failed, so these are kept and the middle is left out.

Source: POSIX ``open`` (O_NOFOLLOW, O_NONBLOCK), ``fchmod``.
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

LAST_LINES = 15
MOST_SHOWN = 400
PIECE_BYTES = 64 << 10
# Of a line, what is shown is taken from so much, since some of it may be for the terminal.
FRONT_CHARS = 10 * MOST_SHOWN
LEAVE_TAKING = (signal.SIGTERM, signal.SIGHUP)
# Colours and the like, and any other byte that a terminal would obey instead of showing.
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
    """Run this command in ``folder`` with these variables until it ends; no input, output and errors in one stream.

    All of it goes to ``log_path`` (UTF-8, mode 0600, written anew, the command in its first line; the middle is left
    out where it is too long) and, line by line without its end and whatever else a terminal would obey, to ``on_line``.
    When this call is left early its processes are asked to end and killed after ``grace_s`` seconds. The script
    gets the descriptors ``held_locks``.

    Raises:
        FirmwareError: it could not be started, or failed: with its last 15 lines and the log's path.
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


def _lines(output: IO[bytes] | None, on_text: Callable[[str], object]) -> Iterator[str]:
    """The front of each line, without its end; all of the output goes to ``on_text`` in pieces as it comes.

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
        process = subprocess.Popen(  # noqa: S603 - the script that the settings name is what is asked for
            command,
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,  # what is there is read at once, and never more than one piece
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
    """Of a script that is there, a missing file is the program that its first line names."""
    if error.errno not in {errno.ENOENT, errno.ENOEXEC} or not Path(script).is_file():
        return error.strerror or str(error)
    with Path(script).open("rb") as file:
        first = file.readline(MOST_SHOWN).decode(errors="replace").rstrip("\n")
    return (
        f"its first line, {first!r}, names no program of this machine (a Windows line end counts as part of the name)"
    )


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let a request to end, unless somebody has a say on it already, be what Ctrl-C is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    changed = [number for number in LEAVE_TAKING if signal.getsignal(number) is signal.SIG_DFL]
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
