"""Checksums of S3 that are compared with what arrived; moto echoes what it is told.

Source: S3 User Guide, "Checking object integrity"; S3 API reference, PutObject.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from moto.s3.exceptions import S3ClientError

_TRAILER = re.compile(rb"x-amz-checksum-(\w+):([A-Za-z0-9+/]+={0,2})\r?\n")


def read_checksum(self: Any, response_headers: dict[str, Any]) -> tuple[str, str | None]:
    """``S3Response._get_checksum``: the algorithm and the base64 value that was sent, else computed.

    Raises:
        S3ClientError: BadDigest, when what was sent is not the checksum of the body.
    """
    body = self.body or b""
    _check_md5(self.headers.get("Content-MD5"), body)
    algorithm, sent = _sent_checksum(self.headers, self.raw_body or b"")
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


def _sent_checksum(headers: Mapping[str, str], raw_body: bytes) -> tuple[str, str | None]:
    """The algorithm, in capitals or empty, and the value from the headers or the trailer of a chunked body."""
    for name, value in headers.items():
        kind = name.lower().removeprefix("x-amz-checksum-")
        if kind != name.lower() and kind not in ("type", "mode", "algorithm"):
            return kind.upper(), value
    trailer = _TRAILER.search(raw_body) if headers.get("x-amz-trailer") else None
    if trailer:
        return trailer.group(1).decode().upper(), trailer.group(2).decode()
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
