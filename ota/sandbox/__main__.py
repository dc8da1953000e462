"""``python -m ota.sandbox --directory D``: serve until stopped, or until nobody has called for a while.

The address file appears when the sandbox serves and is gone when it has ended. A second process for the same
directory gives way at once.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import IO

from . import locks, process

_LOOK_S = 0.25  # between two looks at the address file and at the time since the last call


def main(argv: list[str] | None = None) -> int:
    """Serve; the exit status."""
    options = _parser().parse_args(argv)
    directory = options.directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with locks.serving(directory) as place:
        if place is None:
            sys.stderr.write(f"Another sandbox serves {directory}.\n")
            return process.GAVE_WAY_STATUS
        try:
            import moto.server  # noqa: F401 - the one import that tells whether the extra is installed
        except ImportError as error:
            sys.stderr.write(f"{error}\n")
            return process.NO_MOTO_STATUS
        return _serve(directory, place, options)


def _serve(directory: Path, place: IO[str], options: argparse.Namespace) -> int:
    from .serving import ca_path, open_sandbox, read_models

    server, control, broker = open_sandbox(directory, port=options.port, pause_s=options.pause_s, region=options.region)
    signal.signal(signal.SIGTERM, lambda *_: control.stopping.set())
    signal.signal(signal.SIGINT, lambda *_: control.stopping.set())
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    address = process.Address(
        endpoint_url=f"http://127.0.0.1:{server.port}",
        region=options.region,
        mqtt_host="127.0.0.1",
        mqtt_port=broker.start(),
        ca_path=str(ca_path(directory)),
        pid=os.getpid(),
    )
    process.write_address(directory, address)
    threading.Thread(target=read_models, daemon=True).start()
    try:
        while not control.stopping.wait(min(_LOOK_S, options.idle_s / 4)):
            if control.idle_s() >= options.idle_s or not _holds_place(directory, place, address):
                break
    finally:
        if process.read_address(directory) == address:
            (directory / process.ADDRESS_FILE).unlink(missing_ok=True)
        server.shutdown()
        broker.stop()
    return 0


def _holds_place(directory: Path, place: IO[str], address: process.Address) -> bool:
    """Whether this process is still the directory's; a lost or damaged address file is written anew."""
    if not locks.holds_place(directory, place):
        return False
    if process.read_address(directory) != address:
        process.write_address(directory, address)
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ota.sandbox", description="A stand-in for AWS on 127.0.0.1.")
    parser.add_argument("--directory", type=Path, required=True, help="where its address file and log are kept")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--pause-s", type=float, default=process.DEFAULT_PAUSE_S, help="length of asynchronous states")
    parser.add_argument(
        "--idle-s", type=float, default=process.DEFAULT_IDLE_S, help="ends after so long without a call"
    )
    parser.add_argument("--region", default=process.DEFAULT_REGION, help="region of requests that name none")
    return parser


if __name__ == "__main__":
    sys.exit(main())
