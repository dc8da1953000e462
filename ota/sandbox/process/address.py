"""Where the sandbox of a directory listens: what its address file says, and whether that still holds.

The file is only believed after the sandbox itself has said over HTTP that it serves this directory under this process
number, so that a stale or damaged file never leads to a stranger; and it never leads off this machine.

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
    """What the address file of ``directory`` says, whether it still holds or not; None where it says nothing good."""
    path = Path(directory) / ADDRESS_FILE
    try:
        address = Address(**json.loads(path.read_text(encoding="utf-8")))
        return address if _is_on_this_machine(address.endpoint_url) and address.pid > 0 else None
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def write_address(directory: Path, address: Address) -> None:
    """Write the address file in one step, so that no reader sees half of it."""
    fresh = directory / f"{ADDRESS_FILE}.{address.pid}"
    fresh.write_text(json.dumps(asdict(address), indent=2) + "\n", encoding="utf-8")
    fresh.replace(directory / ADDRESS_FILE)


def find_serving(directory: Path) -> Address | None:
    """The address of the sandbox that answers for this directory by the number in the file."""
    address = read_address(directory)
    if address is None:
        return None
    health = ask(address, "GET", "health")
    if health is None or health.get("pid") != address.pid or health.get("directory") != str(directory):
        return None
    return address


def ask(address: Address, method: str, what: str) -> dict[str, Any] | None:
    """A control endpoint's answer; None when nobody, or somebody else, answers there."""
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
    """Whether the URL is of the form that a sandbox has; ValueError for a port that is none."""
    where = urlsplit(endpoint_url)
    return (where.scheme, where.hostname) == ("http", HOST) and where.port is not None
