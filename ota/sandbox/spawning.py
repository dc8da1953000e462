"""Makes a sandbox process, waits until it serves, and says why when it does not.

Source: exit statuses of ``python -m ota.sandbox`` (``__main__``).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from . import locks
from .address import Address, find_serving
from .errors import SandboxError

LOG_FILE = "sandbox.log"
NO_MOTO_STATUS = 3
GAVE_WAY_STATUS = 4
_MAX_LOG_BYTES = 1_000_000
_SHOWN_LINES = 15
_PACKAGE_PARENT = Path(__file__).resolve().parents[2]


def spawn_and_wait(
    directory: Path, arguments: list[str], timeout_s: float, poll_s: float, sleep: Callable[[float], None]
) -> Address:
    """A new process for ``directory`` with these arguments, serving.

    Raises:
        SandboxError: moto is not installed, or the process did not come to serve; with the end of its log.
        OSError: the log cannot be written.
    """
    child = None
    for _ in range(max(1, round(timeout_s / poll_s))):
        address = find_serving(directory)
        if address is not None:
            _let_go(child, address)
            return address
        if child is None or child.poll() == GAVE_WAY_STATUS:
            # Whoever holds the place is about to end, or to write its address anew.
            child = child if locks.is_served(directory) else _spawn(directory, arguments)
        elif child.returncode is not None:
            raise SandboxError(_why_not(directory, f"ended at once with status {child.returncode}", child.returncode))
        sleep(poll_s)
    if child is not None:
        child.kill()
        child.wait()
    raise SandboxError(_why_not(directory, f"did not serve within {timeout_s:g} s", None))


def _spawn(directory: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
    path = directory / LOG_FILE
    if path.exists() and path.stat().st_size > _MAX_LOG_BYTES:
        path.unlink()
    with path.open("ab") as log:
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
    """The user's environment without anything that would steer boto3 or moto inside the sandbox."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_", "BOTO"))}
    paths = [str(_PACKAGE_PARENT), *filter(None, [env.get("PYTHONPATH")])]
    env["PYTHONPATH"] = os.pathsep.join(paths)
    env["AWS_CONFIG_FILE"] = env["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    env["AWS_EC2_METADATA_DISABLED"] = "true"
    return env


def _let_go(child: subprocess.Popen[bytes] | None, address: Address) -> None:
    """Leave the serving child to itself; one that is not needed must not come to serve after the other has ended."""
    if child is None:
        return
    if child.pid != address.pid:
        child.kill()
        child.wait()
    elif child.poll() is None:
        child.returncode = 0  # it outlives its starter, which is no mistake to warn of


def _why_not(directory: Path, what: str, status: int | None) -> str:
    log_path = directory / LOG_FILE
    text = log_path.read_text(encoding="utf-8", errors="replace") if log_path.exists() else ""
    tail = text.splitlines()[-_SHOWN_LINES:]
    if status == NO_MOTO_STATUS:
        return f"The sandbox needs moto: {''.join(tail[-1:])}. Install it with: pip install '.[sandbox]'"
    if not tail:
        return f"The sandbox {what}, and {log_path} is empty: is there room on the disk?"
    return "\n".join([f"The sandbox {what}. The end of {log_path}:", *tail])
