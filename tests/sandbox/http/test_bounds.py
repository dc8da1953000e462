"""What one client can make the sandbox hold: connections, requests, time, memory, its log and its record."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from ota.sandbox.http.faults import MAX_RECORDED, Faults
from ota.sandbox.http.server import Limits, listen
from ota.sandbox.process import Address
from ota.sandbox.process.serving import MAX_LOG_BYTES
from tests.conftest import REGION
from tests.sandbox_control import Control
from tests.sandbox_world import BUCKET

FEW = Limits(connections=3, idle_s=0.3, head_s=0.3, head_bytes=4096, answer_s=1.0)
LARGE_BYTES = 200 * 1024**2
SIGNED = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260101/{}/{}/aws4_request, Signature=x"


def echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answers with the request's body."""
    start_response("200 OK", [])
    return [environ["wsgi.input"].read()]


@contextmanager
def serving(limits: Limits = FEW) -> Iterator[int]:
    """The port of a server with these limits."""
    server = listen(echo, 0, limits)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.port
    finally:
        server.shutdown()
        thread.join()


def read_all(connection: socket.socket) -> bytes:
    """What comes until the server closes; what has come when it resets the connection."""
    received = b""
    try:
        while piece := connection.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def test_connections_beyond_the_limit_are_told_to_come_back() -> None:
    with serving(Limits(connections=3)) as port, ExitStack() as open_ones:
        for _ in range(3):
            one = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            open_ones.callback(one.close)
            one.request("GET", "/")
            assert one.getresponse().read() == b""
        with socket.create_connection(("127.0.0.1", port), timeout=5) as one_more:
            assert status_of(read_all(one_more)) == 503
        open_ones.close()
        assert any(_is_answered(port) for _ in range(200))


def _is_answered(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        pytest.param([], 0, id="silent from the beginning"),
        pytest.param([b"GET / HTTP/1.1\r\n"], 0, id="silent in the head"),
        pytest.param([b"G", b"E", b"T", b" ", b"/"] + [b"/"] * 40, 0, id="a byte at a time"),
        pytest.param(
            [b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc"], 0, id="silent in the body"
        ),
        pytest.param([b"GET /", b"x" * 5000, b"\r\n\r\n"], 431, id="long line"),
        pytest.param([b"GET / HTTP/1.1\r\n", *([b"a: " + b"x" * 1000 + b"\r\n"] * 20)], 431, id="long headers"),
        pytest.param([b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n"], 400, id="no length"),
        pytest.param(
            [b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999999999\r\n\r\n"],
            400,
            id="announced too long",
        ),
        pytest.param(
            [b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"], 400, id="broken chunks"
        ),
    ],
)
def test_a_slow_silent_or_excessive_client_is_let_go(pieces: list[bytes], status: int) -> None:
    with serving() as port, socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        begun = time.monotonic()
        for piece in pieces:
            try:
                connection.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                break
            if len(piece) == 1:
                time.sleep(0.02)
        assert status_of(read_all(connection)) == status
        assert time.monotonic() - begun < 3


def test_a_connection_is_kept_for_the_next_request_only_so_long() -> None:
    with serving() as port, socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        for _ in range(2):
            connection.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc")
            assert connection.recv(65536).endswith(b"abc")
        assert read_all(connection) == b""


@pytest.mark.parametrize("service", ["iot", "iam"])
@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "gzip"}], ids=["large", "packed"])
def test_a_request_that_no_operation_takes_is_refused_before_it_is_read(
    clean_sandbox: Address, service: str, headers: dict[str, str]
) -> None:
    size = 10 if headers else 2 * 1024**2
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(clean_sandbox.endpoint_url).port, timeout=10)
    signed = {"Authorization": SIGNED.format(REGION, service), "Content-Length": str(size), **headers}
    connection.request("POST", "/things/lamp", headers=signed)
    assert connection.getresponse().status == 413
    connection.close()


def test_a_large_upload_is_stored_without_growing_the_process(world: Any, clean_sandbox: Address) -> None:
    """Nothing but the memory that the process has for itself counts: what is mapped of a file the system takes back."""
    assert world.version_id
    before, largest, done = own_memory(clean_sandbox.pid), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            largest[0] = max(largest[0], own_memory(clean_sandbox.pid))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        status = upload(clean_sandbox, LARGE_BYTES)
    finally:
        done.set()
        watching.join()
    assert status == 200
    assert world.s3.head_object(Bucket=BUCKET, Key="large")["ContentLength"] == LARGE_BYTES
    assert largest[0] - before < 60 * 1024**2


def test_listing_versions_copies_no_contents(world: Any, clean_sandbox: Address) -> None:
    for _ in range(10):
        world.s3.put_object(Bucket=BUCKET, Key="many", Body=bytes(1024**2))
    before = own_memory(clean_sandbox.pid)
    for _ in range(20):
        found = world.s3.list_object_versions(Bucket=BUCKET, Prefix="many")["Versions"]
    assert [one["Size"] for one in found] == 10 * [1024**2]
    assert {one["ETag"] for one in found} == {world.s3.head_object(Bucket=BUCKET, Key="many")["ETag"]}
    assert own_memory(clean_sandbox.pid) - before < 60 * 1024**2


def upload(address: Address, size: int) -> int:
    piece = bytes(1024**2)
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(address.endpoint_url).port, timeout=60)
    connection.putrequest("PUT", f"/{BUCKET}/large")
    connection.putheader("Authorization", SIGNED.format(REGION, "s3"))
    connection.putheader("Content-Length", str(size))
    connection.endheaders()
    for _ in range(size // len(piece)):
        connection.send(piece)
    status = connection.getresponse().status
    connection.close()
    return status


def own_memory(pid: int) -> int:
    """Bytes of memory of a process that are not the content of a file."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def test_an_upload_beyond_what_s3_takes_is_refused_before_it_is_sent(world: Any, clean_sandbox: Address) -> None:
    assert world.version_id
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(clean_sandbox.endpoint_url).port, timeout=10)
    headers = {"Authorization": SIGNED.format(REGION, "s3"), "Content-Length": str(5 * 1024**3 + 1)}
    connection.request("PUT", f"/{BUCKET}/larger", headers=headers)
    answer = connection.getresponse()
    assert (answer.status, b"<Code>EntityTooLarge</Code>" in answer.read()) == (400, True)
    connection.close()


def test_the_record_of_calls_forgets_the_oldest() -> None:
    faults = Faults()
    for number in range(MAX_RECORDED + 5):
        faults.record("iot", str(number))
    assert len(faults.calls()) == MAX_RECORDED
    assert faults.calls()[0]["operation"] == "5"


def test_the_log_keeps_its_end(control: Control) -> None:
    path = Path(control.address.ca_path).parent / "sandbox.log"
    with path.open("ab") as log:
        log.write(b"line\n" * (MAX_LOG_BYTES // 5 + 1) + b"the last\n")
    for _ in range(200):
        if path.stat().st_size <= MAX_LOG_BYTES:
            break
        time.sleep(0.02)
    assert MAX_LOG_BYTES // 4 < path.stat().st_size <= MAX_LOG_BYTES
    assert path.read_bytes().endswith(b"the last\n")
