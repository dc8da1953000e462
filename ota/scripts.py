"""Run the firmware project's own script: output to a log and to the eye, and nothing left running when it ends early.

The script gets a session of its own, so that Ctrl-C reaches this program alone, which then ends the script's whole
process group: a compiler that outlives its build would still write to the build folder. A closed terminal and the
request to end, which is how CI cancels a job, count as Ctrl-C while a script runs.

Source: POSIX ``setsid``, ``killpg``, ``SIGHUP``, ``SIGTERM``; Python's ``subprocess`` documentation.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import re
import shlex
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn

from ota.build_logs import open_log
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
