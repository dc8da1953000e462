"""What a device may ask about a stream: its description, and blocks of its files.

Free of transport: requests and answers carry the short names of the protocol with Python's own bytes; JSON and CBOR
are the envelope of MQTT.

Source: AWS IoT Developer Guide, "Using AWS IoT MQTT-based file delivery in devices" and its error codes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ota.sandbox.moto.registry_view import find_object

from .state import Region
from .streams import Stream, StreamFile

MAX_BYTES = 131072
MIN_BLOCK, MAX_BLOCK = 256, 131072
MAX_OFFSET = 98304
MAX_BLOCKS = 98304
MAX_BITMAP = 12288
MAX_FILE_ID = 255
MAX_TOKEN_BYTES = 64


class StreamError(Exception):
    """A refusal, by its code (``VersionMismatch`` …) and sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def describe(region: Region, stream_id: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """``{"c"?, "s": version, "d"?, "r": [{"f": file id, "z": bytes}]}``."""
    token = _token(request)
    stream = _find(region, stream_id)
    description = {"d": stream.description} if stream.description else {}
    files = [{"f": one.file_id, "z": one.size_bytes} for one in stream.files]
    return {**token, "s": stream.version, **description, "r": files}


def get_blocks(region: Region, stream_id: str, request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The blocks asked for, one answer each: ``{"c"?, "f", "l": payload bytes, "i": block index, "p": bytes}``.

    ``b`` in the request is the bitmap as bytes. At most 128 KiB come of one request. Blocks that tests have declared
    lost are left out.
    """
    token = _token(request)
    stream = _find(region, stream_id)
    _check_version(stream, request.get("s"))
    file = _file(stream, request)
    size = _whole(request, "l", MIN_BLOCK, MAX_BLOCK, "BlockSizeOutOfBounds", "The block size is out of bounds")
    wanted = _wanted(request, size)
    content = _content(region, file)
    count = -(-len(content) // size)
    present = [index for index in wanted if index < count]
    if not present:
        raise StreamError("OffsetOutOfBounds", "The data requested is out of the range of data available.")
    parts = ((index, content[index * size : (index + 1) * size]) for index in present)
    return [
        {**token, "f": file.file_id, "l": len(part), "i": index, "p": part}
        for index, part in _capped(parts)
        if not _is_lost(region, index)
    ]


def _wanted(request: Mapping[str, Any], size: int) -> list[int]:
    offset = _whole(request, "o", 0, MAX_OFFSET, "OffsetOutOfBounds", "The block offset is out of bounds", default=0)
    most = MAX_BYTES // size
    number = _whole(
        request, "n", 0, MAX_BLOCKS, "BlockCountLimitExceeded", "The number of blocks is out of bounds", default=most
    )
    bitmap = request.get("b")
    if bitmap is None:
        return list(range(offset, offset + number))
    if not isinstance(bitmap, bytes) or len(bitmap) > MAX_BITMAP:
        raise StreamError("BlockBitmapLimitExceeded", "The block bitmap is out of bounds")
    bits = [8 * byte + bit for byte in range(len(bitmap)) for bit in range(8) if bitmap[byte] >> bit & 1]
    return [offset + bit for bit in bits][:number]


def _capped(parts: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    total = 0
    for index, part in parts:
        total += len(part)
        if total > MAX_BYTES:
            return
        yield index, part


def _content(region: Region, file: StreamFile) -> bytes:
    bucket, key = file.location["bucket"], file.location["key"]
    latest = find_object(region.account_id, bucket, key)
    if latest is None:
        raise StreamError("ResourceNotFound", f"The file {file.file_id} of the stream can not be read")
    if latest.etag != file.etag:
        raise StreamError("ETagMismatch", "The ETag of the stream is not that of the latest version of the object")
    name = (region.account_id, bucket, key, latest.version_id, latest.etag)
    return region.sandbox.contents.get(name, latest.read)


def _find(region: Region, stream_id: str) -> Stream:
    stream = region.streams.get(stream_id)
    if stream is None:
        raise StreamError("ResourceNotFound", f"Stream {stream_id} does not exist")
    return stream


def _file(stream: Stream, request: Mapping[str, Any]) -> StreamFile:
    number = _whole(request, "f", 0, MAX_FILE_ID, "InvalidRequest", "The file id is out of bounds")
    file = stream.find(number)
    if file is None:
        raise StreamError("ResourceNotFound", f"Stream {stream.stream_id} has no file {number}")
    return file


def _check_version(stream: Stream, version: object) -> None:
    if version is not None and version != stream.version:
        raise StreamError("VersionMismatch", f"Stream version {version} is not the current version {stream.version}")


def _token(request: Mapping[str, Any]) -> dict[str, str]:
    token = request.get("c")
    if token is None:
        return {}
    if not isinstance(token, str) or len(token.encode()) > MAX_TOKEN_BYTES:
        raise StreamError("InvalidRequest", f"The client token must be text of at most {MAX_TOKEN_BYTES} bytes")
    return {"c": token}


def _whole(
    request: Mapping[str, Any], name: str, least: int, most: int, code: str, message: str, default: int | None = None
) -> int:
    value = request.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise StreamError("InvalidRequest", f"{name} must be a whole number")
    if not least <= value <= most:
        raise StreamError(code, message)
    return value


def _is_lost(region: Region, index: int) -> bool:
    lost = region.sandbox.lost_blocks
    if not lost.get(index):
        return False
    lost[index] -= 1
    return True
