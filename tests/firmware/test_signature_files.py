"""What may stand in a signature file, and what is said about anything else."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from ota.errors import SignatureError
from ota.firmware.signatures import decode_signature, read_signature, signature_text

RAW = bytes(range(256)) + bytes(range(128))
TEXT = base64.b64encode(RAW)
HEX = RAW.hex().encode()
WRAPPED = b"\n".join(TEXT[start : start + 64] for start in range(0, len(TEXT), 64)) + b"\n"
# r and s with their highest bit clear and set: the shortest and the longest usual DER form.
P256 = [encode_dss_signature(1 << bits, 1 << bits) for bits in (250, 255)]
P384 = [encode_dss_signature(1 << bits, 1 << bits) for bits in (380, 383)]


def written(folder: Path, data: bytes) -> Path:
    path = folder / "update-signature.txt"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(os.urandom(256), id="RSA-2048"),
        pytest.param(RAW, id="RSA-3072"),
        pytest.param(os.urandom(512), id="RSA-4096"),
        *(pytest.param(der, id=f"P-256 {len(der)} bytes") for der in P256),
        *(pytest.param(der, id=f"P-384 {len(der)} bytes") for der in P384),
    ],
)
@pytest.mark.parametrize("around", ["%s", "%s\n", "  %s\r\n\n"])
def test_a_signature_is_read_without_the_space_around_it(tmp_path: Path, raw: bytes, around: str) -> None:
    text = base64.b64encode(raw).decode()
    assert signature_text(read_signature(written(tmp_path, (around % text).encode()))) == text
    assert decode_signature(text) == raw


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(b" \n", "it is empty", id="white space"),
        pytest.param(RAW, "it holds raw bytes; write them as text with: `openssl base64 -A`", id="raw RSA"),
        pytest.param(P256[1], "it holds raw bytes", id="raw ECDSA"),
        pytest.param(b"{" + RAW[1:], "it holds raw bytes", id="raw that begins as JSON does"),
        pytest.param(b"\n<" + RAW[2:], "it holds raw bytes", id="raw that begins as a web page does"),
        pytest.param(b"\xff\xfe\x80" + RAW[3:], "it holds raw bytes", id="raw that begins with a byte order mark"),
        pytest.param(HEX, "it is hexadecimal", id="hex"),
        pytest.param(HEX[:512], "it is hexadecimal", id="hex as long as base64 of RSA-3072"),
        pytest.param(b"RSA-SHA2-256(image.bin)= " + HEX + b"\n", "it is hexadecimal", id="openssl dgst -hex"),
        pytest.param(RAW.hex(":").encode(), "it is hexadecimal", id="hex with colons"),
        pytest.param(hashlib.sha256(b"").hexdigest().encode(), "it is hexadecimal", id="hex digest"),
        pytest.param(b"\n-----BEGIN SIGNATURE-----\n" + TEXT, "it holds a PEM", id="PEM"),
        pytest.param(b"<!DOCTYPE html><html>", "it holds a web page", id="HTML"),
        pytest.param(b'{"signature": "' + TEXT + b'"}', "it holds JSON", id="JSON"),
        pytest.param(b"\xef\xbb\xbf" + TEXT, "byte order mark", id="UTF-8 mark"),
        pytest.param(TEXT.decode().encode("utf-16"), "byte order mark", id="UTF-16"),
        pytest.param(WRAPPED, "line breaks inside", id="wrapped"),
        pytest.param(TEXT[:100] + b" " + TEXT[100:], "spaces or line breaks inside", id="space"),
        pytest.param(base64.urlsafe_b64encode(b"\xff" * 384), "as in URLs", id="URL alphabet"),
        pytest.param(base64.b64encode(RAW[:256])[:-2], "its 342 characters are not valid base64", id="no padding"),
        pytest.param(TEXT[:-1] + b"!", "are not valid base64", id="other character"),
        pytest.param(TEXT[:100] + b"!" + TEXT[100:], "are not valid base64", id="character too many"),
        pytest.param(TEXT[:-4], "stands for 381 bytes; no RSA or ECDSA signature", id="cut off"),
        pytest.param(TEXT * 100, "no RSA or ECDSA signature looks so", id="much too long"),
        pytest.param(base64.b64encode(RAW[:32]), "a SHA-256 digest", id="digest"),
        pytest.param(base64.b64encode(RAW[:20]), "a SHA-1 digest", id="SHA-1 digest"),
        pytest.param(base64.b64encode(RAW[:64]), "r and s of P-256 side by side", id="P-256 pair"),
        pytest.param(base64.b64encode(RAW[:96]), "r and s of P-384 side by side", id="P-384 pair"),
        pytest.param(base64.b64encode(RAW[:128]), "RSA-1024 is not used", id="RSA-1024"),
        pytest.param(base64.b64encode(encode_dss_signature(1 << 520, 1)), "stands for 7[0-9] bytes", id="P-521"),
        pytest.param(base64.b64encode(encode_dss_signature(1, 1)), "stands for 8 bytes", id="tiny DER"),
        pytest.param(base64.b64encode(encode_dss_signature(1 << 300, 1)), "stands for", id="no curve's numbers"),
    ],
)
def test_anything_else_is_named_for_what_it_is(tmp_path: Path, data: bytes, words: str) -> None:
    path = written(tmp_path, data)
    with pytest.raises(SignatureError, match=words) as error:
        signature_text(read_signature(path))
    assert str(error.value).startswith(f"{path} is not a signature in base64: ")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SignatureError, match=r"the signature .*/none\.txt cannot be read: No such file"):
        read_signature(tmp_path / "none.txt")


def test_a_large_file_by_mistake_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "image.bin"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # sparse: a reader of the whole would run out of memory
    with pytest.raises(SignatureError, match="raw bytes"):
        signature_text(read_signature(path))
