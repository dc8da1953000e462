"""A threaded WSGI server with keep-alive connections, bounded in all that a client can make it hold.

Werkzeug's own handler closes every connection and writes headers and body separately, which on a keep-alive connection
costs a client 40 ms of delayed acknowledgement for each call. It also waits for a slow client without end. Here the
request is read completely first, within a time and a size; the number of connections, each of which is a thread, has
a limit.

Source: moto's ``MotoRequestHandler`` (which headers an application gets); RFC 9112 sections 6 and 9; RFC 6585 (431).
"""

from __future__ import annotations

import io
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import responses as reasons
from typing import TYPE_CHECKING, Any

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import BaseWSGIServer, ThreadedWSGIServer

from . import answers, bodies
from .calls import is_for_s3
from .origins import find_foreign

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

    from .answers import Answer

log = logging.getLogger(__name__)

_ONE_WRITE_BYTES = 64 * 1024
_SLOWEST_BYTES_PER_S = 64 * 1024
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True)
class Limits:
    """What one client may hold.

    Attributes:
        connections: open at the same time; the next one gets 503, which SDKs retry.
        idle_s: how long a connection stays open without a request.
        head_s: how long a request's line and headers may take, and the beginning of its body.
        head_bytes: of line and headers together.
        answer_s: how long a client may take to read an answer.
    """

    connections: int = 256
    idle_s: float = 60.0
    head_s: float = 20.0
    head_bytes: int = 64 * 1024
    answer_s: float = 300.0


class DropConnection(Exception):
    """Raised by the application to close the connection without an answer."""


class HeadTooLarge(Exception):
    """Request line and headers have more bytes than the limit."""


class Server(ThreadedWSGIServer):
    """A server with a limited number of connections.

    Args:
        port: 0 picks a free one.
        application: answers the requests.
        limits: what one client may hold.
        listener: a listening socket to use instead of ``port``.
        tls: the context of its connections; None for plain HTTP.
    """

    def __init__(
        self,
        port: int,
        application: WSGIApplication,
        limits: Limits,
        *,
        listener: socket.socket | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.limits = limits
        self._free = threading.BoundedSemaphore(limits.connections)
        descriptor = None if listener is None else listener.fileno()
        super().__init__("127.0.0.1", port, application, handler=Handler, ssl_context=tls, fd=descriptor)
        if isinstance(self.socket, ssl.SSLSocket):
            # The first read does it, in the connection's thread.
            self.socket.do_handshake_on_connect = False  # type: ignore[attr-defined]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own; say that there is none left, where that takes no handshake."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
            return
        if self.ssl_context is None:
            with suppress(OSError):
                request.sendall(_BUSY)
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()


class TimedReader(io.RawIOBase):
    """Reads from a connection: waits for a request, then takes it within a time and a size."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._ends_at: float | None = None
        self._wait_s = self._then_s = 0.0
        self._left_bytes: int | None = None

    def await_request(self, limits: Limits) -> None:
        """Wait for the next request; its head's time and size count from its first byte."""
        self._ends_at, self._wait_s, self._then_s = None, limits.idle_s, limits.head_s
        self._left_bytes = limits.head_bytes

    def await_body(self, seconds: float) -> None:
        """What comes next has to be there in so many seconds; the application limits its size."""
        self._ends_at, self._left_bytes = time.monotonic() + seconds, None

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """The next bytes. Raises: TimeoutError, HeadTooLarge."""
        wait_s = self._wait_s if self._ends_at is None else self._ends_at - time.monotonic()
        if wait_s <= 0:
            raise TimeoutError
        self._connection.settimeout(wait_s)
        count = self._connection.recv_into(buffer)
        if self._ends_at is None:
            self._ends_at = time.monotonic() + self._then_s
        if self._left_bytes is not None:
            self._left_bytes -= count
            if self._left_bytes < 0:
                raise HeadTooLarge
        return count


class Handler(MotoRequestHandler):
    """One connection: reads whole requests, writes whole answers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def setup(self) -> None:
        """Read through a reader with limits."""
        super().setup()
        self.rfile.close()
        self._reader = TimedReader(self.connection)
        self.rfile = io.BufferedReader(self._reader)

    def handle_one_request(self) -> None:
        """Serve one request; a client that is too slow or silent is left, one with too long a head is told."""
        self._reader.await_request(self.server.limits)
        self.command = ""
        self.close_connection = True  # unless the request says otherwise
        try:
            super().handle_one_request()
        except HeadTooLarge:
            self._refuse(431, "RequestHeaderSectionTooLarge", "The request's line and headers are too long.")
        except TimeoutError:
            self.close_connection = True

    def run_wsgi(self) -> None:
        """Serve one request whose head has been read."""
        environ = self.make_environ()
        foreign = find_foreign(environ)
        if foreign:
            self._refuse(403, "AccessDeniedException", foreign)
            return
        refusal = self._read_body(environ)
        if refusal is not None:
            self.close_connection = True
            self._answer(*refusal)
            return
        with closing(environ["wsgi.input"]):
            self._serve(environ)

    def log_request(self, *_: Any) -> None:
        """Log nothing; the application records calls."""

    def log_error(self, *_: Any) -> None:
        """Log nothing; a client learns by its answer that it sent no HTTP, or was silent for too long."""

    def _serve(self, environ: WSGIEnvironment) -> None:
        try:
            answer = run_application(self.server.app, environ)
        except DropConnection:
            self.close_connection = True
            return
        except Exception:
            log.exception("%s %s failed inside the sandbox", self.command, self.path)
            answer = answers.refusal_in_json("InternalFailureException", 500, answers.FAILED)
        self._answer(*answer)

    def _read_body(self, environ: WSGIEnvironment) -> Answer | None:
        """Put the body into ``environ``; else the refusal, after which the connection has to be closed."""
        is_upload = is_for_s3(environ)
        try:
            length = bodies.length_of(environ)
            if length > (bodies.MAX_UPLOAD_BYTES if is_upload else bodies.MAX_BODY_BYTES):
                raise bodies.BodyTooLarge
            if self.headers.get("Expect", "").strip().lower() == "100-continue":
                self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._reader.await_body(self.server.limits.head_s + length / _SLOWEST_BYTES_PER_S)
            bodies.read_body(environ, is_upload=is_upload)
        except bodies.BodyTooLarge:
            return answers.body_too_large(is_upload=is_upload)
        except bodies.BrokenBody:
            return answers.incomplete_body(is_upload=is_upload)
        return None

    def _refuse(self, status: int, code: str, message: str) -> None:
        self.close_connection = True
        self._answer(*answers.refusal_in_json(code, status, message))

    def _answer(self, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        code = int(status.split(None, 1)[0])
        head = [f"HTTP/1.1 {code} {reasons.get(code, 'Unknown')}"]
        kept = [(name, value) for name, value in headers if not _is_left_out(name)]
        head += [f"{name}: {value}" for name, value in kept]
        if code not in {204, 304} and "content-length" not in {name.lower() for name, _ in kept}:
            head.append(f"Content-Length: {len(body)}")
        if self.close_connection:
            head.append("Connection: close")
        text = ("\r\n".join(head) + "\r\n\r\n").encode("latin-1")
        body = b"" if self.command == "HEAD" else body
        self.connection.settimeout(self.server.limits.answer_s)
        if len(body) <= _ONE_WRITE_BYTES:
            self.wfile.write(text + body)
        else:
            self.wfile.write(text)
            self.wfile.write(body)


def listen(application: WSGIApplication, port: int, limits: Limits | None = None) -> BaseWSGIServer:
    """A server on 127.0.0.1, bound and not yet serving; port 0 picks a free one."""
    return Server(port, application, limits or Limits())


def run_application(app: WSGIApplication, environ: WSGIEnvironment) -> Answer:
    """Call a WSGI application and collect its answer: status line, headers, whole body."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> Any:
        started[:] = [(status, headers)]
        return lambda _data: None

    chunks: Iterable[bytes] = app(environ, start_response)
    body = b"".join(chunks)
    close = getattr(chunks, "close", None)
    if close is not None:
        close()
    status, headers = started[0]
    return status, list(headers), body


def _is_left_out(name: str) -> bool:
    """Moto lets every web page read its answers; and an answer is sent whole, not in chunks."""
    return name.lower() == "transfer-encoding" or name.lower().startswith("access-control-")
