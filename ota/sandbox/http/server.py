"""A threaded WSGI server with keep-alive connections that sends each answer in one write.

Werkzeug's own handler closes every connection and writes headers and body separately, which on a keep-alive connection
costs a client 40 ms of delayed acknowledgement for each call. Here the request's body is read completely first.

Source: moto's ``MotoRequestHandler`` (which headers an application gets); RFC 9112 sections 6 and 9.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable
from http.client import responses as reasons
from typing import TYPE_CHECKING, Any

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import BaseWSGIServer, make_server

from .answers import new_request_id

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)


class DropConnection(Exception):
    """Raised by the application to close the connection without an answer."""


class Handler(MotoRequestHandler):
    """One connection: reads whole requests, writes whole answers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        """Serve one request."""
        if self.headers.get("Expect", "").strip().lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        environ = self.make_environ()
        _read_body(environ)
        try:
            status, headers, body = run_application(self.server.app, environ)
        except DropConnection:
            self.close_connection = True
            return
        except Exception:
            log.exception("%s %s failed inside the sandbox", self.command, self.path)
            status, headers, body = _internal_failure()
        self._answer(status, headers, body)

    def log_request(self, *_: Any) -> None:
        """Log nothing; the application records calls."""

    def _answer(self, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        code = int(status.split(None, 1)[0])
        head = [f"HTTP/1.1 {code} {reasons.get(code, 'Unknown')}"]
        names = {name.lower() for name, _ in headers}
        head += [f"{name}: {value}" for name, value in headers if name.lower() != "transfer-encoding"]
        if "content-length" not in names and code not in {204, 304}:
            head.append(f"Content-Length: {len(body)}")
        if self.close_connection:
            head.append("Connection: close")
        text = "\r\n".join(head) + "\r\n\r\n"
        self.wfile.write(text.encode("latin-1") + (b"" if self.command == "HEAD" else body))


def listen(application: WSGIApplication, port: int) -> BaseWSGIServer:
    """A server on 127.0.0.1, bound and not yet serving; port 0 picks a free one."""
    return make_server("127.0.0.1", port, application, threaded=True, request_handler=Handler)


def run_application(app: WSGIApplication, environ: WSGIEnvironment) -> tuple[str, list[tuple[str, str]], bytes]:
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


def _read_body(environ: WSGIEnvironment) -> None:
    stream = environ["wsgi.input"]
    if environ.get("wsgi.input_terminated"):
        body = stream.read()
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ["CONTENT_LENGTH"] = str(len(body))
    else:
        body = stream.read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)


def _internal_failure() -> tuple[str, list[tuple[str, str]], bytes]:
    body = b'{"message":"The sandbox failed on this call; its log, sandbox.log, has the traceback."}'
    return (
        "500 Internal Server Error",
        [
            ("Content-Type", "application/json"),
            ("x-amzn-ErrorType", "InternalFailureException"),
            ("x-amzn-RequestId", new_request_id()),
        ],
        body,
    )
