"""Serves S3 by the host names of AWS over TLS, for devices that download an image from a presigned URL.

A device that trusts the sandbox's CA, and whose system finds ``<bucket>.s3.<region>.amazonaws.com`` on this machine,
needs nothing else: its TLS client asks for that name by SNI and gets a certificate for it. AWS's port is 443, which
not every user may listen on; then any free port is taken, and the URLs in job documents name it.

The application behind serves S3 in path style. Here a request for a bucket's host becomes one of that style, and what
its signature covers is kept in the environ. Nothing but S3 is reached this way, and nothing without a signature.

Source: "Virtual hosting of buckets" of the S3 API reference; ``ota_demo_core_http.c`` of
aws-iot-device-sdk-embedded-C (connects to port 443 of the URL's host, whatever port the URL has).
"""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ota.sandbox.jobs.presigned_urls import HTTPS_PORT, UrlRequest
from ota.sandbox.moto.authority import Authority
from ota.sandbox.mqtt.tls import issue_server_certificate, load_pair

from . import answers
from .calls import Call, is_for_s3
from .server import Limits, Server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from werkzeug.serving import BaseWSGIServer

HOST = "127.0.0.1"
SIGNED_REQUEST = "ota.sandbox.signed_request"  # the key in the environ
_REFUSED_PORTS = (errno.EADDRINUSE, errno.EACCES, errno.EPERM)
_S3_HOST = re.compile(
    r"(?:(?P<bucket>[a-z0-9][a-z0-9.-]*)\.)?s3[.-](?P<region>[a-z]{2}(?:-[a-z]+)+-\d)\.amazonaws\.com"
)
_REGIONS_KEPT = 64


class PortError(Exception):
    """The requested port is not available. ``str(error)`` says which and why."""


class S3Hosts:
    """The WSGI application that makes requests for S3's hosts path-style requests for another application.

    Args:
        application: serves S3 in path style.
        host: the host with the port that it is called by.
    """

    def __init__(self, application: WSGIApplication, host: str) -> None:
        self._application = application
        self._host = host

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        host = str(environ.get("HTTP_HOST", "")).partition(":")[0].lower()
        found = _S3_HOST.fullmatch(host)
        bucket = f"/{found['bucket']}" if found and found["bucket"] else ""
        if found is None or not _is_signed(environ) or (not bucket and environ["PATH_INFO"].startswith("/_")):
            call = Call("s3", "", "", "", environ["REQUEST_METHOD"])
            status, headers, body = answers.refusal(call, answers.NOT_SIGNED)
            start_response(status, headers)
            return [body]
        uri = urlsplit(str(environ["RAW_URI"]))
        raw = f"{bucket}{uri.path}?{uri.query}"
        rewritten = {
            "HTTP_HOST": self._host,
            "PATH_INFO": bucket + environ["PATH_INFO"],
            "RAW_URI": raw,
            "REQUEST_URI": raw,
            "wsgi.url_scheme": "http",
            SIGNED_REQUEST: UrlRequest(environ["REQUEST_METHOD"], host, uri.path, uri.query),
        }
        return self._application({**environ, **rewritten}, start_response)


def signed_request(environ: WSGIEnvironment) -> UrlRequest:
    """What the signature of this request covers, whichever way it came."""
    kept: UrlRequest | None = environ.get(SIGNED_REQUEST)
    if kept is not None:
        return kept
    uri = urlsplit(str(environ.get("RAW_URI", environ["PATH_INFO"])))
    host = environ.get("HTTP_HOST", "").partition(":")[0]
    return UrlRequest(environ["REQUEST_METHOD"], host, uri.path, environ.get("QUERY_STRING", ""))


def listen(application: WSGIApplication, authority: Authority, port: int | None) -> BaseWSGIServer:
    """A TLS server on 127.0.0.1, bound and not yet serving.

    Args:
        application: answers the requests.
        authority: signs the certificates.
        port: None is 443, or any free one where that is refused.

    Raises:
        PortError: the requested port is not available.
    """
    with _bind(port) as listener:
        return Server(0, application, Limits(), listener=listener, tls=_context(_region_contexts(authority)))


def _is_signed(environ: WSGIEnvironment) -> bool:
    """Whether the request is signed, and for S3."""
    has_signature = "X-Amz-Signature=" in environ.get("QUERY_STRING", "") or "HTTP_AUTHORIZATION" in environ
    return has_signature and is_for_s3(environ)


def _bind(port: int | None) -> socket.socket:
    try:
        return socket.create_server((HOST, port or HTTPS_PORT))
    except OSError as error:
        if error.errno not in _REFUSED_PORTS:
            raise
        if port is not None:
            raise PortError(f"Port {port} for S3 over TLS: {os.strerror(error.errno)}.") from error
        return socket.create_server((HOST, 0))


def _context(context_of: Callable[[str], ssl.SSLContext]) -> ssl.SSLContext:
    """The context of a connection before its client has named a host."""

    def choose(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _context: ssl.SSLContext) -> None:
        found = _S3_HOST.fullmatch((name or "").lower())
        if found is not None:
            connection.context = context_of(found["region"])

    context = context_of("")
    context.sni_callback = choose
    return context


def _region_contexts(authority: Authority) -> Callable[[str], ssl.SSLContext]:
    """Makes the context for the hosts of a region; for the region "" one that names this machine only."""

    @lru_cache(maxsize=_REGIONS_KEPT)
    def make(region: str) -> ssl.SSLContext:
        names = [f"*.s3.{region}.amazonaws.com", f"s3.{region}.amazonaws.com"] if region else []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        load_pair(context, *issue_server_certificate(authority, *names))
        return context

    return make
