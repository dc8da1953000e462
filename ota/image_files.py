"""One reading of a signed image's file: everything that is ever asked of its content.

The file may change at any moment: another build runs, or somebody copies another image over it. So its content is read
once, and all that is said of the image (its size, its version, whose signature it has) is said of that one reading. An
upload reads it again, and S3 gets the last byte only where the bytes before it and this one have the hash that was
proven. Nothing here holds more of the file in memory than one chunk.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from ota.errors import FirmwareError

CHUNK_BYTES = 1 << 20
# More than any header that is read here.
FRONT_BYTES = 64


@dataclass(frozen=True)
class ImageFile:
    """What one reading gave.

    Attributes:
        path: the file.
        size_bytes: how many bytes were read.
        sha256: their SHA-256, in hexadecimal.
        sha1: their SHA-1, in hexadecimal; it tells a signature that was made with the wrong hash.
        front: the first 64 of them, or fewer where there are no more.
        modified_ns: when the file was written last, in nanoseconds.
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
