"""The address file of a sandbox: read, written, and verified against the process that answers there.

An address counts only after the sandbox itself has said over HTTP that it serves this directory with this process id,
so that a stale or damaged file never leads to another process; and it never leads to another machine.

``address.json`` holds exactly endpoint_url, region, mqtt_host, mqtt_port, ca_path and pid.
"""

from __future__ import annotations

import http.client
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ADDRESS_FILE = "address.json"
HOST = "127.0.0.1"
_ANSWER_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Address:
    """Where a sandbox listens. ``mqtt_host`` and ``mqtt_port`` are None while it has no broker."""

    endpoint_url: str
    region: str
    mqtt_host: str | None
    mqtt_port: int | None
    ca_path: str
    pid: int


def read_address(directory: Path | str) -> Address | None:
    """The address in the file of ``directory``, not verified; None when the file is missing or invalid."""
    path = Path(directory) / ADDRESS_FILE
    try:
        address = Address(**json.loads(path.read_text(encoding="utf-8")))
        return address if _is_on_this_machine(address.endpoint_url) and address.pid > 0 else None
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def write_address(directory: Path, address: Address) -> None:
    """Write the address file atomically."""
    fresh = directory / f"{ADDRESS_FILE}.{address.pid}"
    fresh.write_text(json.dumps(asdict(address), indent=2) + "\n", encoding="utf-8")
    fresh.replace(directory / ADDRESS_FILE)


def find_serving(directory: Path) -> Address | None:
    """The address of the sandbox that serves this directory, verified by its process id; None when none does."""
    address = read_address(directory)
    if address is None:
        return None
    health = ask(address, "GET", "health")
    if health is None or health.get("pid") != address.pid or health.get("directory") != str(directory):
        return None
    return address


def ask(address: Address, method: str, what: str) -> dict[str, Any] | None:
    """A control endpoint's answer; None when no sandbox answers there."""
    connection = http.client.HTTPConnection(HOST, urlsplit(address.endpoint_url).port, timeout=_ANSWER_TIMEOUT_S)
    try:
        connection.request(method, f"/_sandbox/{what}")
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return answer if isinstance(answer, dict) else None


def _is_on_this_machine(endpoint_url: str) -> bool:
    """Whether the URL has the form of a sandbox's; ValueError for an invalid port."""
    where = urlsplit(endpoint_url)
    return (where.scheme, where.hostname) == ("http", HOST) and where.port is not None
