"""The address file of a sandbox: read, written, and verified against the process that answers there.

An address counts only while the process that it names holds the directory's lock, and after the sandbox itself has said
over HTTP that it serves this directory. So a stale or damaged file never leads to another process, though that answers
on the port and uses the process id of old; and it never leads to another machine.

``address.json`` holds exactly endpoint_url, region, mqtt_host, mqtt_port, ca_path, pid and secret. Only its owner can
read it: whoever knows the secret may use the control endpoints.
"""

from __future__ import annotations

import http.client
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from . import locks

ADDRESS_FILE = "address.json"
HOST = "127.0.0.1"
SECRET_HEADER = "x-sandbox-secret"  # noqa: S105 - the header's name
_ANSWER_TIMEOUT_S = 5.0
_MODE = 0o600


@dataclass(frozen=True)
class Address:
    """Where a sandbox listens, and the secret that opens its control endpoints.

    ``mqtt_host`` and ``mqtt_port`` are None while it has no broker.
    """

    endpoint_url: str
    region: str
    mqtt_host: str | None
    mqtt_port: int | None
    ca_path: str
    pid: int
    secret: str = field(repr=False)


def read_address(directory: Path | str) -> Address | None:
    """The address in the file of ``directory``, not verified; None when the file is missing or invalid."""
    path = Path(directory) / ADDRESS_FILE
    try:
        address = Address(**json.loads(path.read_text(encoding="utf-8")))
        is_good = _is_on_this_machine(address.endpoint_url) and address.pid > 0 and address.secret.isalnum()
        return address if is_good else None
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def write_address(directory: Path, address: Address) -> None:
    """Write the address file atomically, for its owner's eyes."""
    fresh = directory / f"{ADDRESS_FILE}.{address.pid}"
    with suppress(FileNotFoundError):
        fresh.unlink()
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(json.dumps(asdict(address), indent=2) + "\n")
    fresh.replace(directory / ADDRESS_FILE)


def find_serving(directory: Path) -> Address | None:
    """The address of the sandbox that serves this directory; None when none does, whoever answers at the address."""
    address = read_address(directory)
    if address is None or locks.find_holder(directory) != address.pid:
        return None
    health = ask(address, "GET", "health")
    if health is None or health.get("pid") != address.pid or health.get("directory") != str(directory):
        return None
    return address


def ask(address: Address, method: str, what: str) -> dict[str, Any] | None:
    """A control endpoint's answer; None when no sandbox answers there, or it refuses."""
    connection = http.client.HTTPConnection(HOST, urlsplit(address.endpoint_url).port, timeout=_ANSWER_TIMEOUT_S)
    try:
        connection.request(method, f"/_sandbox/{what}", headers={SECRET_HEADER: address.secret})
        response = connection.getresponse()
        answer = json.loads(response.read()) if response.status == HTTPStatus.OK else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return answer if isinstance(answer, dict) else None


def _is_on_this_machine(endpoint_url: str) -> bool:
    """Whether the URL has the form of a sandbox's; ValueError for an invalid port."""
    where = urlsplit(endpoint_url)
    return (where.scheme, where.hostname) == ("http", HOST) and where.port is not None
