"""Starts, resets and stops the sandbox of a directory: one process, found by its address file.

Two starts at the same time yield one process: starters take turns by a lock file, and a serving process holds another
lock for as long as it lives. A sandbox is told to end over HTTP. No process is signalled by a number in a file, because
the number may have become another process's.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from . import locks
from .address import ADDRESS_FILE, Address, ask, find_serving, read_address

DEFAULT_REGION = "eu-west-1"
DEFAULT_PAUSE_S = 0.3
DEFAULT_IDLE_S = 1800.0
LOG_FILE = "sandbox.log"
NO_MOTO_STATUS = 3  # exit statuses of ``python -m ota.sandbox``
ALREADY_SERVED_STATUS = 4
NO_PORT_STATUS = 5
_SHOWN_LINES = 15
_PACKAGE_PARENT = Path(__file__).resolve().parents[3]


class SandboxError(Exception):
    """The sandbox cannot be started, reached or stopped. ``str(error)`` says why and what to do."""


def start(
    directory: Path | str,
    *,
    pause_s: float | None = None,
    idle_s: float | None = None,
    region: str | None = None,
    https_port: int | None = None,
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
        https_port: port of S3 over TLS of a new process; None is 443, or a free one where that is refused.
        timeout_s: how long to wait for a new process to serve.
        poll_s: pause between two looks.
        sleep: waits; replaced in tests.

    Raises:
        SandboxError: moto is not installed, the directory cannot be used, or the process did not start to serve; with
            the end of its log.
    """
    directory = Path(directory).resolve()
    with _as_sandbox_error(directory):
        directory.mkdir(parents=True, exist_ok=True)
        with locks.starting(directory):
            address = find_serving(directory)
            if address is not None:
                return address
            return _spawn_and_wait(directory, _arguments(pause_s, idle_s, region, https_port), timeout_s, poll_s, sleep)


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
        ask(address, "POST", "stop")
        for _ in range(max(1, round(timeout_s / poll_s))):
            if read_address(directory) != address and not locks.is_served(directory):
                return True
            sleep(poll_s)
    raise SandboxError(f"The sandbox (process {address.pid}) was told to end and still runs after {timeout_s:g} s.")


def reset(directory: Path | str) -> None:
    """Delete all state of the running sandbox.

    Raises:
        SandboxError: none is running, or it does not answer.
    """
    address = find_serving(Path(directory).resolve())
    if address is None:
        raise SandboxError(f"No sandbox is running in {directory}. Start one with: python -m ota.sandbox --directory …")
    if ask(address, "POST", "reset") is None:
        raise SandboxError(f"The sandbox (process {address.pid}) did not answer. Its log: {Path(directory) / LOG_FILE}")


def _find_to_stop(directory: Path, timeout_s: float, poll_s: float, sleep: Callable[[float], None]) -> Address | None:
    """The serving sandbox; waits for one whose address file was lost or damaged, because it writes the file again."""
    ends_at = time.monotonic() + timeout_s
    address = find_serving(directory)
    while address is None and locks.is_served(directory):
        if time.monotonic() > ends_at:
            holder = f"A process holds {directory / locks.SERVER_LOCK_FILE} and does not answer"
            raise SandboxError(f"{holder}: end it by hand (fuser {directory / locks.SERVER_LOCK_FILE} names it).")
        sleep(poll_s)
        address = find_serving(directory)
    return address


def _arguments(pause_s: float | None, idle_s: float | None, region: str | None, https_port: int | None) -> list[str]:
    given = {"--pause-s": pause_s, "--idle-s": idle_s, "--region": region, "--https-port": https_port}
    return [text for name, value in given.items() if value is not None for text in (name, str(value))]


@contextmanager
def _as_sandbox_error(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"{error.filename or directory}: {error.strerror}"
        message = f"The sandbox cannot use its folder {directory} ({what}). It needs a folder that it may write to."
        raise SandboxError(message) from error


def _spawn_and_wait(
    directory: Path, arguments: list[str], timeout_s: float, poll_s: float, sleep: Callable[[float], None]
) -> Address:
    """A new process for ``directory`` with these arguments, serving.

    Raises:
        SandboxError: moto is not installed, or the process did not start to serve; with the end of its log.
        OSError: the log cannot be written.
    """
    child = None
    for _ in range(max(1, round(timeout_s / poll_s))):
        address = find_serving(directory)
        if address is not None:
            _let_go(child, address)
            return address
        if child is None or child.poll() == ALREADY_SERVED_STATUS:
            # The holder of the server lock is about to end, or to write its address again.
            child = child if locks.is_served(directory) else _spawn(directory, arguments)
        elif child.returncode is not None:
            raise SandboxError(_why_not(directory, f"ended at once with status {child.returncode}", child.returncode))
        sleep(poll_s)
    if child is not None:
        child.kill()
        child.wait()
    raise SandboxError(_why_not(directory, f"did not serve within {timeout_s:g} s", None))


def _spawn(directory: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
    (directory / ADDRESS_FILE).unlink(missing_ok=True)  # of one that ended without a chance to delete it
    with (directory / LOG_FILE).open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - this interpreter, this package, our own arguments
            [sys.executable, "-m", "ota.sandbox", "--directory", str(directory), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=_PACKAGE_PARENT,
            env=_child_environment(),
        )


def _child_environment() -> dict[str, str]:
    """The user's environment without the variables that configure boto3 or moto."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_", "BOTO"))}
    paths = [str(_PACKAGE_PARENT), *filter(None, [env.get("PYTHONPATH")])]
    env["PYTHONPATH"] = os.pathsep.join(paths)
    env["AWS_CONFIG_FILE"] = env["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    env["AWS_EC2_METADATA_DISABLED"] = "true"
    return env


def _let_go(child: subprocess.Popen[bytes] | None, address: Address) -> None:
    """Detach the serving child; end one that is not needed, so that it does not serve after the other has ended."""
    if child is None:
        return
    if child.pid != address.pid:
        child.kill()
        child.wait()
    elif child.poll() is None:
        child.returncode = 0  # it outlives its starter on purpose: no ResourceWarning


def _why_not(directory: Path, what: str, status: int | None) -> str:
    log_path = directory / LOG_FILE
    text = log_path.read_text(encoding="utf-8", errors="replace") if log_path.exists() else ""
    tail = text.splitlines()[-_SHOWN_LINES:]
    if status == NO_MOTO_STATUS:
        install = "Install it with: pip install 'ota-tasks[sandbox]', or '.[sandbox]' in a clone"
        return f"The sandbox needs moto: {''.join(tail[-1:])}. {install}"
    if status == NO_PORT_STATUS:
        way_out = "Set OTA_SANDBOX_HTTPS_PORT to another one, or unset it."
        return f"The sandbox cannot listen. {''.join(tail[-1:])} {way_out}"
    if not tail:
        return f"The sandbox {what}, and {log_path} is empty: is there room on the disk?"
    return "\n".join([f"The sandbox {what}. The end of {log_path}:", *tail])
