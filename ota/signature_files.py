"""Read the file that holds an image's signature: base64 text in one line, as the job document will carry it.

The text is copied into the job document as it stands, so whatever else may be in such a file (the raw bytes, a
digest, a wrapped text, a web page that was downloaded instead) is refused here with the name of what it is.

Source: RFC 4648 section 4 (base64); RFC 3279 section 2.2.3 (ECDSA-Sig-Value); ``openssl base64 -A``.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from ota.errors import SignatureError

# RSA-2048, RSA-3072, RSA-4096.
RSA_SIGNATURE_BYTES = (256, 384, 512)
# The sizes of r and s of the two curves: P-256, P-384.
EC_NUMBER_BYTES = (32, 48)
_READ_BYTES = 16_384
_KNOWN_LENGTHS = {
    20: "that is a SHA-1 digest",
    32: "that is a SHA-256 digest",
    64: "that may be r and s of P-256 side by side where DER is wanted",
    96: "that may be r and s of P-384 side by side where DER is wanted",
    128: "RSA-1024 is not used",
}
_HEX = rb"\s*(?:[^\s=]+=\s*)?(?:[0-9A-Fa-f]{2}[:\s]*){16,}\Z"
# What a file may be instead, the sharper guesses first, and what to do about it.
_LOOKS: tuple[tuple[Callable[[bytes], object], str], ...] = (
    (lambda data: not data.strip(), "it is empty; build again"),
    (re.compile(rb".*-----BEGIN ", re.DOTALL).match, "it holds a PEM (a key or a certificate)"),
    (re.compile(rb"\s*<").match, "it holds a web page or XML; download the file itself"),
    (re.compile(rb"\s*[{\[]").match, "it holds JSON; save the signature alone"),
    (re.compile(rb"\xff\xfe|\xfe\xff|\xef\xbb\xbf").match, "it starts with a byte order mark; save it as ASCII"),
    (re.compile(rb"[^\t\n\r -~]").search, "it holds raw bytes; write them as text with: openssl base64 -A"),
    (re.compile(_HEX).match, "it is hexadecimal; write it as text with: xxd -r -p | openssl base64 -A"),
    (re.compile(rb"\S\s+\S").search, "it has spaces or line breaks inside; write it with: openssl base64 -A"),
    (re.compile(rb"\s*[A-Za-z0-9+/]*[-_]").match, "it has - or _, as in URLs, where base64 has + and /"),
)


@dataclass(frozen=True)
class SignatureFile:
    """What one reading of a signature's file gave.

    Attributes:
        path: the file.
        data: its first 16 KiB, far more than a signature has.
        modified_ns: when the file was written last, in nanoseconds.
    """

    path: Path
    data: bytes
    modified_ns: int


def read_signature(path: Path) -> SignatureFile:
    """Read the file once, whatever it holds.

    Raises:
        SignatureError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return SignatureFile(path, file.read(_READ_BYTES), os.fstat(file.fileno()).st_mtime_ns)
    except OSError as error:
        raise SignatureError(f"the signature {path} cannot be read: {error.strerror}") from error


def signature_text(file: SignatureFile) -> str:
    """The base64 text of a signature, without the white space around it.

    The text stands for 256, 384 or 512 bytes (RSA) or a DER pair of numbers of P-256 or P-384 (ECDSA).

    Raises:
        SignatureError: the file holds something else; says what, as far as it can be told.
    """
    path, data = file.path, file.data
    for is_so, what in _LOOKS:
        if is_so(data):
            raise SignatureError(f"{path} is not a signature in base64: {what}")
    text = data.decode("ascii").strip()
    try:
        decode_signature(text)
    except SignatureError as error:
        raise SignatureError(f"{path} is not a signature in base64: {error}") from error
    return text


def holds_raw_bytes(file: SignatureFile) -> bool:
    """Whether the file holds a signature's bytes as they are, where their base64 text belongs."""
    try:
        decode_signature(base64.b64encode(file.data).decode("ascii"))
    except SignatureError:
        return False
    return True


def decode_signature(signature_text: str) -> bytes:
    """The bytes that a signature's base64 text stands for.

    Raises:
        SignatureError: not base64, or not as long as any signature that a device verifies.
    """
    try:
        signature = base64.b64decode(signature_text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SignatureError(f"its {len(signature_text)} characters are not valid base64") from error
    if len(signature) not in RSA_SIGNATURE_BYTES and not _is_ecdsa(signature):
        hint = _KNOWN_LENGTHS.get(len(signature), "no RSA or ECDSA signature looks so")
        raise SignatureError(f"it stands for {len(signature)} bytes; {hint}")
    return signature


def _is_ecdsa(signature: bytes) -> bool:
    try:
        number_bytes = (max(decode_dss_signature(signature)).bit_length() + 7) // 8
    except ValueError:
        return False
    # A few leading zero bytes happen; many never do.
    return any(size - 4 < number_bytes <= size for size in EC_NUMBER_BYTES)
