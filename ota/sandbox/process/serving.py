"""The process that serves: puts the parts of a sandbox together, and ends when it is told to or is idle."""

from __future__ import annotations

import gc
import os
import signal
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from moto.core.routing import get_service_router

from ota.sandbox.http import s3_hosts
from ota.sandbox.http.application import Application
from ota.sandbox.http.control import Control
from ota.sandbox.http.faults import Faults
from ota.sandbox.http.s3_hosts import PortError
from ota.sandbox.http.server import listen
from ota.sandbox.jobs.operations import install, reset_clouds
from ota.sandbox.jobs.state import Sandbox
from ota.sandbox.moto.authority import CA_NAME, open_authority
from ota.sandbox.mqtt.broker import Broker
from ota.sandbox.registration import tasks as registration

from . import locks
from .address import ADDRESS_FILE, HOST, Address, read_address, write_address
from .lifecycle import LOG_FILE

if TYPE_CHECKING:
    from werkzeug.serving import BaseWSGIServer

__all__ = ["PortError", "open_sandbox", "serve"]
MAX_LOG_BYTES = 1_000_000
GARBAGE_THRESHOLDS = (20_000, 20, 20)
_POLL_S = 0.25  # between two checks of the address file and of the time since the last call


def serve(
    directory: Path, lock: IO[str], *, port: int, https_port: int | None, pause_s: float, idle_s: float, region: str
) -> None:
    """Serve ``directory``, whose server lock this process holds, until a signal, ``stop`` or ``idle_s``.

    Raises:
        PortError: ``https_port`` is not available.
    """
    servers, control, broker = open_sandbox(directory, port=port, https_port=https_port, pause_s=pause_s, region=region)
    signal.signal(signal.SIGTERM, lambda *_: control.stopping.set())
    signal.signal(signal.SIGINT, lambda *_: control.stopping.set())
    for server in servers:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    address = Address(
        endpoint_url=f"http://{HOST}:{servers[0].port}",
        region=region,
        mqtt_host=HOST,
        mqtt_port=broker.start(),
        ca_path=str(directory / CA_NAME),
        pid=os.getpid(),
        secret=control.secret,
    )
    write_address(directory, address)
    _settle_memory()
    threading.Thread(target=_read_models, daemon=True).start()
    try:
        while not control.stopping.wait(min(_POLL_S, idle_s / 4)):
            if control.idle_s() >= idle_s or not _holds_place(directory, lock, address):
                break
            _bound_log(directory / LOG_FILE)
    finally:
        if read_address(directory) == address:
            (directory / ADDRESS_FILE).unlink(missing_ok=True)
        for server in servers:
            server.shutdown()
        broker.stop()


def open_sandbox(
    directory: Path, *, port: int, https_port: int | None, pause_s: float, region: str
) -> tuple[list[BaseWSGIServer], Control, Broker]:
    """The servers, bound and ready to serve, the control that tells when to end them, and the MQTT broker.

    The first server answers every call; the second is S3 by AWS's host names over TLS.
    """
    sandbox, authority = Sandbox(pause_s=pause_s), open_authority(directory)
    broker = Broker(sandbox, authority)
    install(sandbox, directory, registration.OPERATIONS)
    faults = Faults()
    control = Control(sandbox, faults, broker, directory, reset_clouds)
    application = Application(sandbox, faults, control, region=region)
    server = listen(application, port)
    secured = s3_hosts.listen(s3_hosts.S3Hosts(application, f"{HOST}:{server.port}"), authority, https_port)
    sandbox.endpoint_url, sandbox.https_port = f"http://{HOST}:{server.port}", secured.port
    threading.Thread(target=sandbox.tick_forever, daemon=True).start()
    return [server, secured], control, broker


def _settle_memory() -> None:
    """What is imported by now stays, so looking through it for garbage again and again only takes time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)


def _holds_place(directory: Path, lock: IO[str], address: Address) -> bool:
    """Whether this process is still the directory's; a lost or damaged address file is written again."""
    if not locks.holds_place(directory, lock):
        return False
    if read_address(directory) != address:
        write_address(directory, address)
    return True


def _bound_log(path: Path) -> None:
    """Keep the end of a log that has grown too long. Who writes to it appends, so it continues behind what is kept."""
    with suppress(FileNotFoundError):
        if path.stat().st_size <= MAX_LOG_BYTES:
            return
        with path.open("r+b") as log:
            log.seek(-MAX_LOG_BYTES // 2, os.SEEK_END)
            end = log.read(MAX_LOG_BYTES)
            log.seek(0)
            log.write(end)
            log.truncate()


def _read_models() -> None:
    """Load the service models while the first client is still starting, so that its first calls do not wait."""
    for service in ("iot", "s3", "iam", "sts"):
        get_service_router(service)
