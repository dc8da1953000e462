"""The process that serves: puts the parts of a sandbox together, and ends when it is told to or is idle."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING

from moto.core.routing import get_service_router

from ota.sandbox.http.application import Application
from ota.sandbox.http.control import Control
from ota.sandbox.http.faults import Faults
from ota.sandbox.http.server import listen
from ota.sandbox.jobs.operations import install, reset_clouds
from ota.sandbox.jobs.state import Sandbox
from ota.sandbox.moto.authority import CA_NAME, open_authority
from ota.sandbox.mqtt.broker import Broker

from . import locks
from .address import ADDRESS_FILE, HOST, Address, read_address, write_address

if TYPE_CHECKING:
    from werkzeug.serving import BaseWSGIServer

_POLL_S = 0.25  # between two checks of the address file and of the time since the last call


def serve(directory: Path, lock: IO[str], *, port: int, pause_s: float, idle_s: float, region: str) -> None:
    """Serve ``directory``, whose server lock this process holds, until a signal, ``stop`` or ``idle_s``."""
    server, control, broker = open_sandbox(directory, port=port, pause_s=pause_s, region=region)
    signal.signal(signal.SIGTERM, lambda *_: control.stopping.set())
    signal.signal(signal.SIGINT, lambda *_: control.stopping.set())
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    address = Address(
        endpoint_url=f"http://{HOST}:{server.port}",
        region=region,
        mqtt_host=HOST,
        mqtt_port=broker.start(),
        ca_path=str(directory / CA_NAME),
        pid=os.getpid(),
    )
    write_address(directory, address)
    threading.Thread(target=_read_models, daemon=True).start()
    try:
        while not control.stopping.wait(min(_POLL_S, idle_s / 4)):
            if control.idle_s() >= idle_s or not _holds_place(directory, lock, address):
                break
    finally:
        if read_address(directory) == address:
            (directory / ADDRESS_FILE).unlink(missing_ok=True)
        server.shutdown()
        broker.stop()


def open_sandbox(directory: Path, *, port: int, pause_s: float, region: str) -> tuple[BaseWSGIServer, Control, Broker]:
    """A server that is bound and ready to serve, the control that tells when to end it, and the MQTT broker."""
    sandbox = Sandbox(pause_s=pause_s)
    broker = Broker(sandbox, open_authority(directory))
    install(sandbox, directory)
    faults = Faults()
    control = Control(sandbox, faults, broker, directory, reset_clouds)
    server = listen(Application(sandbox, faults, control, region=region), port)
    sandbox.endpoint_url = f"http://{HOST}:{server.port}"
    threading.Thread(target=sandbox.tick_forever, daemon=True).start()
    return server, control, broker


def _holds_place(directory: Path, lock: IO[str], address: Address) -> bool:
    """Whether this process is still the directory's; a lost or damaged address file is written again."""
    if not locks.holds_place(directory, lock):
        return False
    if read_address(directory) != address:
        write_address(directory, address)
    return True


def _read_models() -> None:
    """Load the service models while the first client is still starting, so that its first calls do not wait."""
    for service in ("iot", "s3", "iam", "sts"):
        get_service_router(service)
