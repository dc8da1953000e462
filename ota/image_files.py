"""Reads a signed image's file once, for all that is told of its content.

The file may change at any moment: another build runs, or somebody copies another image over it. So one read gives all
that is told of the image: its size, its version, whose signature it has. The upload reads it again, and S3 gets the
last byte only where all bytes have the hash of this read (``images``). No more than one chunk is held in memory.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from ota.errors import FirmwareError

CHUNK_BYTES = 1 << 20
# Longer than every header that is parsed.
FRONT_BYTES = 64


@dataclass(frozen=True)
class ImageFile:
    """The result of one read.

    Attributes:
        path: the file.
        size_bytes: how many bytes were read.
        sha256: their SHA-256, in hexadecimal.
        sha1: their SHA-1, in hexadecimal; it shows that a signature was made with the wrong hash.
        front: the first 64 of them, or all where there are fewer.
        modified_ns: when the file was last written, in nanoseconds.
    """

    path: Path
    size_bytes: int
    sha256: str
    sha1: str
    front: bytes
    modified_ns: int

    def digest(self, hash_algorithm: str) -> bytes:
        """The digest by ``SHA256`` or ``SHA1``."""
        return bytes.fromhex({"SHA256": self.sha256, "SHA1": self.sha1}[hash_algorithm])


def read_image(path: Path) -> ImageFile:
    """Read the file once, from front to end.

    Raises:
        FirmwareError: it cannot be read.
    """
    sha256, sha1 = hashlib.sha256(), hashlib.sha1(usedforsecurity=False)
    size_bytes, front = 0, b""
    try:
        with path.open("rb") as file:
            modified_ns = os.fstat(file.fileno()).st_mtime_ns
            while chunk := file.read(CHUNK_BYTES):
                sha256.update(chunk)
                sha1.update(chunk)
                front = front or chunk[:FRONT_BYTES]
                size_bytes += len(chunk)
    except OSError as error:
        raise FirmwareError(f"the image {path} cannot be read: {error.strerror}") from error
    return ImageFile(path, size_bytes, sha256.hexdigest(), sha1.hexdigest(), front, modified_ns)
