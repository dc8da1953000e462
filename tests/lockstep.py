"""Counts the round trips of a process exactly, however busy the machine is.

A proxy stands before the sandbox and withholds every call until the client can do nothing more without an answer; then
all withheld calls go through together, and that was one round. So the rounds are what a run costs where every call
takes equally long and nothing else takes any time: the slope of its time over the calls' latency, without a clock.

That the client waits is read from the state of its threads (Linux: ``/proc``), where one that only waits for a
processor counts as busy. So does a thread of the proxy, which may have a call in its hands that it has not counted yet.
"""

from __future__ import annotations

import http.client
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from ota.sandbox.process import Address
from tests.project import Begun

THREADS_PATH = Path("/proc/self/task")
QUIET_LOOKS = 4
LOOK_EVERY_S = 0.002
TIMEOUT_S = 60


class Gate:
    """Where calls wait for their round."""

    def __init__(self) -> None:
        self.rounds = 0
        self._changed = threading.Condition()
        self._waiting = 0
        self._under_way = 0

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Wait for the next round, and be under way until the block ends."""
        with self._changed:
            self._waiting += 1
            round_ = self.rounds
            self._changed.wait_for(lambda: self.rounds > round_, timeout=TIMEOUT_S)
        try:
            yield
        finally:
            with self._changed:
                self._under_way -= 1

    @property
    def is_full(self) -> bool:
        """Whether calls wait and none is under way."""
        with self._changed:
            return self._waiting > 0 and self._under_way == 0

    def open(self) -> None:
        """Let all go that wait: one round."""
        with self._changed:
            self.rounds += 1
            self._under_way, self._waiting = self._waiting, 0
            self._changed.notify_all()


def count_rounds(process: Begun, gate: Gate) -> int:
    """The rounds until the process ends."""
    quiet = 0
    deadline = time.monotonic() + TIMEOUT_S
    while process.poll() is None:
        assert time.monotonic() < deadline, f"no end after {gate.rounds} rounds"
        quiet = quiet + 1 if gate.is_full and _is_waiting(process.pid) and _is_waiting(os.getpid()) else 0
        if quiet == QUIET_LOOKS:
            gate.open()
            quiet = 0
        time.sleep(LOOK_EVERY_S)
    return gate.rounds


@contextmanager
def gated(address: Address) -> Iterator[tuple[str, Gate]]:
    """The address of a proxy before the sandbox, and its gate."""
    gate = Gate()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(address, gate))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", gate
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _is_waiting(pid: int) -> bool:
    """Whether every thread of the process but this one sleeps: none runs, waits for a processor, or for the disk."""
    this = str(threading.get_native_id())
    try:
        stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat") if path.parent.name != this]
    except (FileNotFoundError, ProcessLookupError):  # a thread ended between the two looks
        return False
    return all(stat.rpartition(")")[2].split()[0] == "S" for stat in stats)


def _handler(address: Address, gate: Gate) -> type[BaseHTTPRequestHandler]:
    where = urlsplit(address.endpoint_url)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            """Nothing to say."""

        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with gate.passing():
                status, headers, answer = self._ask(body)
                self.send_response_only(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)
                self.wfile.flush()

        def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            connection = http.client.HTTPConnection(where.hostname or "127.0.0.1", where.port, timeout=TIMEOUT_S)
            headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            answer = response.read()
            connection.close()
            kept = [(name, value) for name, value in response.getheaders() if name.lower() != "connection"]
            return response.status, kept, answer

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _forward  # noqa: N815 - the base class's names

    return Handler
