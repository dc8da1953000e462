"""Request bodies of bounded size: read into a file where they are large, and out of S3's chunked encoding.

An upload may be as large as S3 takes in one request. It goes to a temporary file, and moto gets it as a mapping of that
file, so that the process does not grow with it. Every other request of AWS's APIs is small.

Source: S3 User Guide, "Uploading objects" (5 GB in one request), "Signature calculations: transferring payload in
multiple chunks" and "… including trailing headers"; RFC 9112 section 7 (chunked transfer coding).
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MAX_UPLOAD_BYTES = 5 * 1024**3
MAX_BODY_BYTES = 1024**2
_IN_MEMORY_BYTES = 1024**2
_MAPPED_BYTES = 8 * 1024**2  # larger ones are objects' contents; other bodies have to be bytes
_PIECE_BYTES = 64 * 1024
_MAX_LINE_BYTES = 8 * 1024
_MAX_TRAILERS = 32


class BodyTooLarge(Exception):
    """The body has more bytes than the service takes."""


class BrokenBody(Exception):
    """The body ends early, or its chunks cannot be read."""


class Body:
    """A request's whole body, as a WSGI input that can be read again."""

    def __init__(self, limit_bytes: int) -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115 - lives as long as the request
        self._limit_bytes = limit_bytes
        self.size_bytes = 0

    def write(self, piece: bytes) -> None:
        """Add a piece. Raises: BodyTooLarge."""
        self.size_bytes += len(piece)
        if self.size_bytes > self._limit_bytes:
            raise BodyTooLarge
        self._file.write(piece)

    def read(self, size: int = -1) -> Any:
        """The next ``size`` bytes; the whole of a large body is a view of its file, in the place of bytes."""
        if size < 0 and self._file.tell() == 0 and self.size_bytes > _MAPPED_BYTES:
            self._file.flush()
            return memoryview(mmap.mmap(self._file.fileno(), self.size_bytes, access=mmap.ACCESS_READ))
        return self._file.read(size)

    def readline(self, size: int = -1) -> bytes:
        """The next line."""
        return self._file.readline(size)

    def seek(self, position: int) -> None:
        """Continue at ``position``."""
        self._file.seek(position)

    def close(self) -> None:
        """Delete the file; views of it stay valid."""
        self._file.close()


def read_body(environ: WSGIEnvironment, *, is_upload: bool) -> None:
    """Read the request's body and put it into ``environ`` as one that is there whole.

    Args:
        environ: of a request whose body has not been read.
        is_upload: whether the service is S3.

    Raises:
        BodyTooLarge: more than the service takes; nothing of it is kept.
        BrokenBody: it ends early, or its chunks cannot be read.
    """
    if not is_upload and "gzip" in environ.get("HTTP_CONTENT_ENCODING", "").lower():
        raise BodyTooLarge  # a small one may become a huge one, and no operation of the sandbox's takes it
    with _closed_on_error(Body(MAX_UPLOAD_BYTES if is_upload else MAX_BODY_BYTES)) as body:
        _copy(environ, body)
    if environ.get("HTTP_X_AMZ_CONTENT_SHA256", "").startswith("STREAMING-"):
        with closing(body) as encoded, _closed_on_error(Body(MAX_UPLOAD_BYTES)) as body:
            _copy_chunks(encoded, body, environ)
    body.seek(0)
    environ["wsgi.input"] = body
    environ["wsgi.input_terminated"] = True
    environ["CONTENT_LENGTH"] = str(body.size_bytes)
    environ.pop("HTTP_TRANSFER_ENCODING", None)


def length_of(environ: WSGIEnvironment) -> int:
    """The body's announced length in bytes; 0 where none is. Raises: BrokenBody."""
    text = environ.get("CONTENT_LENGTH") or "0"
    if not (text.isascii() and text.isdecimal()):
        raise BrokenBody
    return int(text)


@contextmanager
def _closed_on_error(body: Body) -> Iterator[Body]:
    try:
        yield body
    except BaseException:
        body.close()
        raise


def _copy(environ: WSGIEnvironment, body: Body) -> None:
    stream: IO[bytes] = environ["wsgi.input"]
    if environ.get("wsgi.input_terminated"):
        while piece := _dechunked(stream):
            body.write(piece)
        return
    left = length_of(environ)
    while left:
        piece = stream.read(min(left, _PIECE_BYTES))
        if not piece:
            raise BrokenBody
        body.write(piece)
        left -= len(piece)


def _dechunked(stream: IO[bytes]) -> bytes:
    try:
        return stream.read(_PIECE_BYTES)
    except (OSError, ValueError) as error:
        if isinstance(error, TimeoutError):
            raise
        raise BrokenBody from error


def _copy_chunks(encoded: Body, content: Body, environ: WSGIEnvironment) -> None:
    """Copy the content of an ``aws-chunked`` body; its trailers become headers of the request."""
    encoded.seek(0)
    while size := _chunk_size(encoded):
        while size:
            piece = encoded.read(min(size, _PIECE_BYTES))
            if not piece:
                raise BrokenBody
            content.write(piece)
            size -= len(piece)
        encoded.readline(_MAX_LINE_BYTES)
    for name, value in _trailers(encoded):
        environ["HTTP_" + name.upper().replace("-", "_")] = value
    if content.size_bytes != int(environ.get("HTTP_X_AMZ_DECODED_CONTENT_LENGTH") or content.size_bytes):
        raise BrokenBody
    environ["HTTP_X_AMZ_CONTENT_SHA256"] = "UNSIGNED-PAYLOAD"
    environ.pop("HTTP_X_AMZ_TRAILER", None)


def _chunk_size(encoded: Body) -> int:
    """The number in ``10000;chunk-signature=…``."""
    try:
        return int(encoded.readline(_MAX_LINE_BYTES).split(b";")[0], 16)
    except ValueError as error:
        raise BrokenBody from error


def _trailers(encoded: Body) -> list[tuple[str, str]]:
    found = []
    for _ in range(_MAX_TRAILERS):
        name, _, value = encoded.readline(_MAX_LINE_BYTES).decode("latin-1").partition(":")
        if not value:
            break
        if name.lower().startswith("x-amz-checksum-"):
            found.append((name, value.strip()))
    return found
