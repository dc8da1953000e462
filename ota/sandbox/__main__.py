"""``python -m ota.sandbox --directory D``: serve until stopped, or until no request has come for a while.

The address file appears when the sandbox serves and is deleted when it has ended. A second process for the same
directory exits at once.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from .process import locks
from .process.lifecycle import (
    ALREADY_SERVED_STATUS,
    DEFAULT_IDLE_S,
    DEFAULT_PAUSE_S,
    DEFAULT_REGION,
    NO_MOTO_STATUS,
    NO_PORT_STATUS,
)


def main(argv: list[str] | None = None) -> int:
    """Serve; the exit status."""
    options = _parser().parse_args(argv)
    directory = options.directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with locks.serving(directory) as lock:
        if lock is None:
            sys.stderr.write(f"Another sandbox serves {directory}.\n")
            return ALREADY_SERVED_STATUS
        try:
            import moto.server  # noqa: F401 - the one import that tells whether the extra is installed
        except ImportError as error:
            sys.stderr.write(f"{error}\n")
            return NO_MOTO_STATUS
        from .process import serving

        try:
            serving.serve(
                directory,
                lock,
                port=options.port,
                https_port=options.https_port,
                pause_s=options.pause_s,
                idle_s=options.idle_s,
                region=options.region,
            )
        except serving.PortError as error:
            sys.stderr.write(f"{error}\n")
            return NO_PORT_STATUS
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ota.sandbox", description="A stand-in for AWS on 127.0.0.1.")
    parser.add_argument("--directory", type=Path, required=True, help="where its address file and log are kept")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--https-port", type=int, help="of S3 over TLS; else 443, or a free one where that is refused")
    parser.add_argument("--pause-s", type=float, default=DEFAULT_PAUSE_S, help="length of asynchronous states")
    parser.add_argument("--idle-s", type=float, default=DEFAULT_IDLE_S, help="ends after so long without a call")
    parser.add_argument("--region", default=DEFAULT_REGION, help="region of requests that name none")
    return parser


if __name__ == "__main__":
    sys.exit(main())
