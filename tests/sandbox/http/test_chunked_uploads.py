"""Uploads in S3's chunked encoding, as the JavaScript SDK and the AWS CLI send streams: content, checksum, length."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import pytest

from ota.sandbox.process import Address
from tests.conftest import REGION
from tests.sandbox.http.test_foreign_requests import send
from tests.sandbox_world import BUCKET

SCOPE = f"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260101/{REGION}/s3/aws4_request, Signature=x"
CONTENT = bytes(range(256)) * 300
CRC32 = base64.b64encode(binascii.crc32(CONTENT).to_bytes(4, "big")).decode()
UNSIGNED, SIGNED = "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"


def encoded(*, extension: bytes = b"", trailer: str = "") -> bytes:
    pieces = [CONTENT[start : start + 65536] for start in range(0, len(CONTENT), 65536)]
    chunks = b"".join(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in pieces)
    return chunks + b"0" + extension + b"\r\n" + trailer.encode() + b"\r\n"


def put(address: Address, form: str, body: bytes, **headers: str) -> tuple[int, bytes]:
    sent: dict[str, str | None] = {
        "Authorization": SCOPE,
        "Content-Encoding": "aws-chunked",
        "x-amz-content-sha256": form,
        "x-amz-decoded-content-length": str(len(CONTENT)),
        "x-amz-meta-kind": "image",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return send(address, "PUT", f"/{BUCKET}/k", sent, body)[:2]


@pytest.mark.parametrize(
    ("form", "body"),
    [
        pytest.param(UNSIGNED, encoded(trailer=f"x-amz-checksum-crc32:{CRC32}\r\n"), id="unsigned with a trailer"),
        pytest.param(SIGNED, encoded(extension=b";chunk-signature=" + b"0" * 64), id="signed"),
        pytest.param(
            SIGNED + "-TRAILER",
            encoded(
                extension=b";chunk-signature=" + b"0" * 64,
                trailer=f"x-amz-checksum-crc32:{CRC32}\r\nx-amz-trailer-signature:{'0' * 64}\r\n",
            ),
            id="signed with a trailer",
        ),
    ],
)
def test_the_object_is_what_was_in_the_chunks(world: Any, clean_sandbox: Address, form: str, body: bytes) -> None:
    assert put(clean_sandbox, form, body, x_amz_trailer="x-amz-checksum-crc32") == (200, b"")
    found = world.s3.get_object(Bucket=BUCKET, Key="k", ChecksumMode="ENABLED")
    assert found["Body"].read() == CONTENT
    assert found["Metadata"] == {"kind": "image"}
    assert "ContentEncoding" not in found
    assert found.get("ChecksumCRC32") == (CRC32 if "TRAILER" in form else None)


@pytest.mark.parametrize(
    ("body", "length", "code"),
    [
        pytest.param(encoded(trailer="x-amz-checksum-crc32:AAAAAA==\r\n"), len(CONTENT), b"BadDigest", id="checksum"),
        pytest.param(encoded(), len(CONTENT) + 1, b"IncompleteBody", id="length"),
        pytest.param(encoded()[:5000], len(CONTENT), b"IncompleteBody", id="cut off"),
        pytest.param(b"no chunk", len(CONTENT), b"IncompleteBody", id="no chunks"),
        pytest.param(b"", len(CONTENT), b"IncompleteBody", id="nothing"),
    ],
)
def test_what_arrives_damaged_is_not_stored(
    world: Any, clean_sandbox: Address, body: bytes, length: int, code: bytes
) -> None:
    status, told = put(clean_sandbox, UNSIGNED, body, x_amz_decoded_content_length=str(length))
    assert (status, b"<Code>" + code + b"</Code>" in told) == (400, True)
    listed = world.s3.list_objects_v2(Bucket=BUCKET)["Contents"]
    assert "k" not in [one["Key"] for one in listed]
