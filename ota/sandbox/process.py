"""The starter's side: one sandbox process for a directory, found by its address file.

Light to import (no moto, no boto3), so that a task may ask for the address at no cost. Two starts at once yield one
process: starters take turns by a lock file, and a serving process holds another one for as long as it lives. A process
is only ever signalled after it has said over HTTP that it is this directory's sandbox, so that a recycled number in a
stale file never ends a stranger.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from . import locks
from .address import ADDRESS_FILE, Address, ask, find_serving, read_address, write_address
from .errors import SandboxError
from .spawning import GAVE_WAY_STATUS, LOG_FILE, NO_MOTO_STATUS, spawn_and_wait

__all__ = [
    "ADDRESS_FILE",
    "DEFAULT_IDLE_S",
    "DEFAULT_PAUSE_S",
    "DEFAULT_REGION",
    "GAVE_WAY_STATUS",
    "LOG_FILE",
    "NO_MOTO_STATUS",
    "Address",
    "read_address",
    "reset",
    "start",
    "stop",
    "write_address",
]

DEFAULT_REGION = "eu-west-1"
DEFAULT_PAUSE_S = 0.3
DEFAULT_IDLE_S = 1800.0


def start(
    directory: Path | str,
    *,
    pause_s: float | None = None,
    idle_s: float | None = None,
    region: str | None = None,
    timeout_s: float = 30.0,
    poll_s: float = 0.02,
    sleep: Callable[[float], None] = time.sleep,
) -> Address:
    """The sandbox of ``directory``: the running one, else a new process that serves when this returns.

    Args:
        directory: where address file, log and CA certificate are kept; made when missing.
        pause_s: length of the asynchronous states of a new process.
        idle_s: seconds without a request after which a new process ends by itself.
        region: region of requests that name none.
        timeout_s: how long to wait for a new process to serve.
        poll_s: pause between two looks.
        sleep: waits; replaced in tests.

    Raises:
        SandboxError: moto is not installed, the directory cannot be used, or the process did not come to serve; with
            the end of its log.
    """
    directory = Path(directory).resolve()
    with _as_sandbox_error(directory):
        directory.mkdir(parents=True, exist_ok=True)
        with locks.starting(directory):
            address = find_serving(directory)
            if address is not None:
                return address
            return spawn_and_wait(directory, _arguments(pause_s, idle_s, region), timeout_s, poll_s, sleep)


def stop(
    directory: Path | str, *, timeout_s: float = 10.0, poll_s: float = 0.02, sleep: Callable[[float], None] = time.sleep
) -> bool:
    """End the sandbox of ``directory``; False when none is running.

    Raises:
        SandboxError: it was told to end and still answers after ``timeout_s``, or the directory cannot be used.
    """
    directory = Path(directory).resolve()
    with _as_sandbox_error(directory):
        address = _find_to_stop(directory, timeout_s, poll_s, sleep)
        if address is None:
            (directory / ADDRESS_FILE).unlink(missing_ok=True)
            return False
        with suppress(ProcessLookupError):
            os.kill(address.pid, signal.SIGTERM)
        for _ in range(max(1, round(timeout_s / poll_s))):
            if read_address(directory) != address and not locks.is_served(directory):
                return True
            sleep(poll_s)
    raise SandboxError(f"The sandbox (process {address.pid}) was told to end and still runs after {timeout_s:g} s.")


def reset(directory: Path | str) -> None:
    """Make the running sandbox forget everything in it.

    Raises:
        SandboxError: none is running, or it does not answer.
    """
    address = find_serving(Path(directory).resolve())
    if address is None:
        raise SandboxError(f"No sandbox is running in {directory}. Start one with: invoke sandbox")
    if ask(address, "POST", "reset") is None:
        raise SandboxError(f"The sandbox (process {address.pid}) did not answer. Its log: {Path(directory) / LOG_FILE}")


def _find_to_stop(directory: Path, timeout_s: float, poll_s: float, sleep: Callable[[float], None]) -> Address | None:
    """The serving sandbox; one whose address file was lost or damaged writes it anew, which is waited for."""
    ends_at = time.monotonic() + timeout_s
    address = find_serving(directory)
    while address is None and locks.is_served(directory):
        if time.monotonic() > ends_at:
            holder = f"A process holds {directory / locks.SERVER_LOCK_FILE} and does not answer"
            raise SandboxError(f"{holder}: end it by hand (fuser {directory / locks.SERVER_LOCK_FILE} names it).")
        sleep(poll_s)
        address = find_serving(directory)
    return address


def _arguments(pause_s: float | None, idle_s: float | None, region: str | None) -> list[str]:
    given = {"--pause-s": pause_s, "--idle-s": idle_s, "--region": region}
    return [text for name, value in given.items() if value is not None for text in (name, str(value))]


@contextmanager
def _as_sandbox_error(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"{error.filename or directory}: {error.strerror}"
        message = f"The sandbox cannot use its folder {directory} ({what}). It needs a folder that it may write to."
        raise SandboxError(message) from error
