"""Puts the parts of a sandbox together and binds its port."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from moto.core.routing import get_service_router

from .authority import CA_NAME, open_authority
from .broker import Broker
from .extension import install, reset_clouds
from .http.control import Control
from .http.faults import Faults
from .http_server import listen
from .server import Application
from .state import Sandbox

if TYPE_CHECKING:
    from werkzeug.serving import BaseWSGIServer


def ca_path(directory: Path) -> Path:
    """The certificate of the CA that signs device certificates."""
    return directory / CA_NAME


def open_sandbox(directory: Path, *, port: int, pause_s: float, region: str) -> tuple[BaseWSGIServer, Control, Broker]:
    """A server that is bound and ready to serve, the control that tells when to end it, and the MQTT broker."""
    sandbox = Sandbox(pause_s=pause_s)
    broker = Broker(sandbox, open_authority(directory))
    install(sandbox, directory)
    faults = Faults()
    control = Control(sandbox, faults, broker, directory, reset_clouds)
    server = listen(Application(sandbox, faults, control, region=region), port)
    sandbox.endpoint_url = f"http://127.0.0.1:{server.port}"
    threading.Thread(target=sandbox.tick_forever, daemon=True).start()
    return server, control, broker


def read_models() -> None:
    """Read the service models while the first client is still getting ready, so that its first calls do not wait."""
    for service in ("iot", "s3", "iam", "sts"):
        get_service_router(service)
