"""The content of uploads: checksums that are verified, and objects that are stored and listed without a copy in memory.

moto echoes the checksum that it is sent, and fills a buffer in memory with the whole object before it writes that to a
file. Each time it lists a bucket's versions it copies all of them with their contents, and keeps the copies.

Source: S3 User Guide, "Checking object integrity"; moto 5.2.5, ``FakeKey.value``, ``S3Response._get_checksum`` and
``S3Backend.list_object_versions``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
from collections.abc import Mapping
from typing import Any

from moto.s3.exceptions import S3ClientError
from moto.s3.models import FakeKey

_PIECE_BYTES = 1024**2
_LARGE_BYTES = 4 * _PIECE_BYTES


def stored_value() -> property:
    """``FakeKey.value``, whose large contents go to a file piece by piece; call it before the class is changed."""
    original: Any = FakeKey.value

    def store(self: Any, content: Any) -> None:
        if len(content) < _LARGE_BYTES:
            original.fset(self, content)
            return
        original.fset(self, b"")
        self._value_buffer.rollover()
        for start in range(0, len(content), _PIECE_BYTES):
            self._value_buffer.write(content[start : start + _PIECE_BYTES])
        self.contentsize = len(content)

    return property(original.fget, store)


def copy_for_listing(self: Any, _: dict[int, Any]) -> Any:
    """``FakeKey.__deepcopy__``: all that is told of an object in a list, without its content."""
    self.etag  # noqa: B018 - computed from the content the first time
    twin = object.__new__(type(self))  # moto keeps what it makes by the class itself
    vars(twin).update(vars(self), _value_buffer=io.BytesIO(), multipart=None, disposed=True)
    return twin


def read_checksum(self: Any, response_headers: dict[str, Any]) -> tuple[str, str | None]:
    """``S3Response._get_checksum``: the algorithm and the base64 value, sent by the client or computed.

    Raises:
        S3ClientError: BadDigest, when the value sent is not the checksum of the body.
    """
    body = self.body or b""
    _check_md5(self.headers.get("Content-MD5"), body)
    algorithm, sent = _sent_checksum(self.headers)
    computed = _compute(algorithm, body)
    if sent and computed and sent != computed:
        raise S3ClientError("BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")
    value = sent or computed
    if algorithm and value:
        response_headers[f"x-amz-checksum-{algorithm.lower()}"] = value
        response_headers["x-amz-checksum-type"] = "FULL_OBJECT"
    return (algorithm, value) if value else ("", None)


def _check_md5(sent: str | None, body: bytes) -> None:
    if sent and sent != _base64(hashlib.md5(body, usedforsecurity=False).digest()):
        raise S3ClientError("BadDigest", "The Content-MD5 you specified did not match what we received.")


def _sent_checksum(headers: Mapping[str, str]) -> tuple[str, str | None]:
    """The algorithm, in capitals or empty, and the value; the trailers of a chunked body are among the headers."""
    for name, value in headers.items():
        kind = name.lower().removeprefix("x-amz-checksum-")
        if kind != name.lower() and kind not in ("type", "mode", "algorithm"):
            return kind.upper(), value
    return headers.get("x-amz-sdk-checksum-algorithm", "").upper(), None


def _compute(algorithm: str, body: bytes) -> str | None:
    """The checksum in base64; None for an algorithm that Python's standard library does not have."""
    if algorithm == "SHA256":
        return _base64(hashlib.sha256(body).digest())
    if algorithm == "SHA1":
        return _base64(hashlib.sha1(body, usedforsecurity=False).digest())
    if algorithm == "CRC32":
        return _base64(binascii.crc32(body).to_bytes(4, "big"))
    return None


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
