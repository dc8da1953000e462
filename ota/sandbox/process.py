"""The starter's side: one sandbox process for a directory, found by its address file.

Light to import (no moto, no boto3), so that a task may ask for the address at no cost. Two starts at once yield one
process: starters take turns by a lock file, and a serving process holds another one for as long as it lives. A process
is only ever signalled after it has said over HTTP that it is this directory's sandbox, so that a recycled number in a
stale file never ends a stranger.

``address.json`` holds exactly endpoint_url, region, mqtt_host, mqtt_port, ca_path and pid.
"""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .errors import SandboxError

DEFAULT_REGION = "eu-west-1"
DEFAULT_PAUSE_S = 0.3
DEFAULT_IDLE_S = 1800.0
ADDRESS_FILE = "address.json"
LOG_FILE = "sandbox.log"
START_LOCK_FILE = "start.lock"
SERVER_LOCK_FILE = "server.lock"
NO_MOTO_STATUS = 3
GAVE_WAY_STATUS = 4
_MAX_LOG_BYTES = 1_000_000
_PACKAGE_PARENT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Address:
    """Where a sandbox listens. ``mqtt_host`` and ``mqtt_port`` are None while it has no broker."""

    endpoint_url: str
    region: str
    mqtt_host: str | None
    mqtt_port: int | None
    ca_path: str
    pid: int


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
        SandboxError: moto is not installed, or the process did not come to serve; with the end of its log.
    """
    directory = Path(directory).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    with _turn(directory / START_LOCK_FILE):
        address = _serving(directory)
        if address is not None:
            return address
        return _start_and_wait(directory, _arguments(directory, pause_s, idle_s, region), timeout_s, poll_s, sleep)


def stop(
    directory: Path | str, *, timeout_s: float = 10.0, poll_s: float = 0.02, sleep: Callable[[float], None] = time.sleep
) -> bool:
    """End the sandbox of ``directory``; False when none is running.

    Raises:
        SandboxError: it was told to end and still answers after ``timeout_s``.
    """
    directory = Path(directory).resolve()
    address = _serving(directory)
    if address is None:
        (directory / ADDRESS_FILE).unlink(missing_ok=True)
        return False
    os.kill(address.pid, signal.SIGTERM)
    for _ in range(max(1, round(timeout_s / poll_s))):
        if read_address(directory) != address and not _holds_lock(directory):
            return True
        sleep(poll_s)
    raise SandboxError(f"The sandbox (process {address.pid}) was told to end and still runs after {timeout_s:g} s.")


def reset(directory: Path | str) -> None:
    """Make the running sandbox forget everything in it.

    Raises:
        SandboxError: none is running.
    """
    address = _serving(Path(directory).resolve())
    if address is None:
        raise SandboxError(f"No sandbox is running in {directory}. Start one with: invoke sandbox")
    _ask(address, "POST", "reset")


def read_address(directory: Path | str) -> Address | None:
    """What the address file of ``directory`` says, without asking whether it still holds."""
    path = Path(directory) / ADDRESS_FILE
    try:
        return Address(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return None


def write_address(directory: Path, address: Address) -> None:
    """Write the address file in one step, so that no reader sees half of it."""
    fresh = directory / f"{ADDRESS_FILE}.{address.pid}"
    fresh.write_text(json.dumps(asdict(address), indent=2) + "\n", encoding="utf-8")
    fresh.replace(directory / ADDRESS_FILE)


def _serving(directory: Path) -> Address | None:
    """The address of the sandbox that answers for this directory by the number in the file."""
    address = read_address(directory)
    if address is None:
        return None
    health = _ask(address, "GET", "health")
    if health is None or health.get("pid") != address.pid or health.get("directory") != str(directory):
        return None
    return address


def _ask(address: Address, method: str, what: str) -> dict[str, Any] | None:
    """A control endpoint's answer; None when nobody, or somebody else, answers there."""
    where = urlsplit(address.endpoint_url)
    connection = http.client.HTTPConnection(where.hostname or "127.0.0.1", where.port, timeout=5)
    try:
        connection.request(method, f"/_sandbox/{what}")
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return answer if isinstance(answer, dict) else None


def _arguments(directory: Path, pause_s: float | None, idle_s: float | None, region: str | None) -> list[str]:
    arguments = ["--directory", str(directory)]
    for name, value in (("--pause-s", pause_s), ("--idle-s", idle_s), ("--region", region)):
        if value is not None:
            arguments += [name, str(value)]
    return arguments


def _spawn(directory: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
    path = directory / LOG_FILE
    if path.exists() and path.stat().st_size > _MAX_LOG_BYTES:
        path.unlink()
    with path.open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - this interpreter, this package, our own arguments
            [sys.executable, "-m", "ota.sandbox", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=_PACKAGE_PARENT,
            env=_child_environment(),
        )


def _child_environment() -> dict[str, str]:
    """The user's environment without anything that would steer boto3 or moto inside the sandbox."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_", "BOTO"))}
    paths = [str(_PACKAGE_PARENT), *filter(None, [env.get("PYTHONPATH")])]
    env["PYTHONPATH"] = os.pathsep.join(paths)
    env["AWS_CONFIG_FILE"] = env["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    env["AWS_EC2_METADATA_DISABLED"] = "true"
    return env


def _start_and_wait(
    directory: Path, arguments: list[str], timeout_s: float, poll_s: float, sleep: Callable[[float], None]
) -> Address:
    child = _spawn(directory, arguments)
    for _ in range(max(1, round(timeout_s / poll_s))):
        address = _serving(directory)
        if address is not None:
            _let_go(child, address)
            return address
        if child.poll() == GAVE_WAY_STATUS:  # to one that is about to end, or to write its address anew
            child = _spawn(directory, arguments)
        elif child.returncode is not None:
            raise SandboxError(_why_not(directory, f"ended at once with status {child.returncode}", child.returncode))
        sleep(poll_s)
    child.kill()
    child.wait()
    raise SandboxError(_why_not(directory, f"did not serve within {timeout_s:g} s", None))


def _let_go(child: subprocess.Popen[bytes], address: Address) -> None:
    """Leave the serving child to itself; one that is not needed must not come to serve after the other has ended."""
    if child.pid != address.pid:
        child.kill()
        child.wait()
    elif child.poll() is None:
        child.returncode = 0  # it outlives its starter, which is no mistake to warn of


def _why_not(directory: Path, what: str, status: int | None) -> str:
    log_path = directory / LOG_FILE
    tail = log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
    if status == NO_MOTO_STATUS:
        return f"The sandbox needs moto: {tail[-1]}. Install it with: pip install '.[sandbox]'"
    return "\n".join([f"The sandbox {what}. The end of {log_path}:", *tail])


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Wait for the lock and hold it; the system frees it when the holder dies."""
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _holds_lock(directory: Path) -> bool:
    """Whether a serving process still holds this directory."""
    with (directory / SERVER_LOCK_FILE).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
