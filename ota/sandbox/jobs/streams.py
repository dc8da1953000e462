"""Streams: files of S3 that a device reads block by block over MQTT.

A stream is bound to the versions that its objects had when it was made. That version and its ETag are kept, so that a
later upload to the same key is not taken for the file that was meant. Requests and answers of devices carry the short
names of the protocol with Python's own bytes; JSON and CBOR are the envelope of MQTT.

Source: AWS IoT API reference, CreateStream, UpdateStream, DescribeStream, ListStreams, DeleteStream; AWS IoT Developer
Guide, "Using AWS IoT MQTT-based file delivery in devices" and its error codes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ota.sandbox.moto import tags
from ota.sandbox.moto.lookups import find_object, has_bucket
from ota.sandbox.moto.responses import AwsError, already_exists, cut_page, invalid_request, not_found
from ota.sandbox.policy.permissions import check_assume, is_allowed

from .model import IN_PROGRESS, Reply, Stream, StreamFile
from .state import Region

MAX_FILE_BYTES = 24 * 1024 * 1024
MAX_VERSION = 65535
SERVICE = "iot.amazonaws.com"
MAX_BYTES = 131072
MIN_BLOCK, MAX_BLOCK = 256, 131072
MAX_OFFSET = 98304
MAX_BLOCKS = 98304
MAX_BITMAP = 12288
MAX_FILE_ID = 255
MAX_TOKEN_BYTES = 64


class StreamError(Exception):
    """A refusal of a device's request, with its code (``VersionMismatch`` …) and message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def create_stream(region: Region, params: dict[str, Any]) -> Reply:
    """CreateStream."""
    stream_id = params["streamId"]
    arn = region.arn(f"stream/{stream_id}")
    if stream_id in region.streams:
        raise already_exists(f"Stream {stream_id} already exists.", stream_id, arn)
    files = bind_files(region, params["files"], params["roleArn"], arn)
    tags.set_tags(region.account_id, region.name, arn, params.get("tags") or [])
    stream = add_stream(region, stream_id, params["roleArn"], files, params.get("description"))
    return Reply(_brief(stream))


def update_stream(region: Region, params: dict[str, Any]) -> Reply:
    """UpdateStream: replaces the given members; the version rises by one."""
    stream = find_stream(region, params["streamId"])
    role_arn = params.get("roleArn") or stream.role_arn
    if params.get("files"):
        stream.files = bind_files(region, params["files"], role_arn, stream.arn)
    stream.role_arn = role_arn
    stream.description = params.get("description", stream.description)
    stream.version = stream.version % MAX_VERSION + 1
    stream.last_updated_at = region.now()
    return Reply(_brief(stream))


def describe_stream(region: Region, params: dict[str, Any]) -> Reply:
    """DescribeStream."""
    stream = find_stream(region, params["streamId"])
    info = {
        "streamId": stream.stream_id,
        "streamArn": stream.arn,
        "streamVersion": stream.version,
        "description": stream.description,
        "files": [{"fileId": one.file_id, "s3Location": one.location} for one in stream.files],
        "createdAt": stream.created_at,
        "lastUpdatedAt": stream.last_updated_at,
        "roleArn": stream.role_arn,
    }
    return Reply({"streamInfo": {name: value for name, value in info.items() if value is not None}})


def list_streams(region: Region, params: dict[str, Any]) -> Reply:
    """ListStreams, newest first unless ``ascendingOrder``."""
    found = sorted(region.streams.values(), key=lambda one: one.created_at, reverse=not params.get("ascendingOrder"))
    page, token = cut_page(found, params.get("maxResults"), params.get("nextToken"))
    return Reply({"streams": [_brief(stream) for stream in page], "nextToken": token})


def delete_stream(region: Region, params: dict[str, Any]) -> Reply:
    """DeleteStream: refused while an OTA update in progress uses it."""
    stream = find_stream(region, params["streamId"])
    user = _user_of(region, stream.stream_id)
    if user is not None:
        raise AwsError("DeleteConflictException", f"Stream {stream.stream_id} is used by OTA update {user}.")
    remove_stream(region, stream.stream_id)
    return Reply()


def bind_files(region: Region, files: list[dict[str, Any]], role_arn: str, source_arn: str) -> tuple[StreamFile, ...]:
    """Bind the files to their objects, checked with the role.

    Raises:
        AwsError: InvalidRequestException for a duplicate fileId, a role that cannot be assumed or must not read the
            object, or an object that does not exist.
    """
    if len({one.get("fileId") for one in files} - {None}) < len(files):
        raise invalid_request("The files of a stream must have fileIds, each another one.")
    refusal = check_assume(region.account_id, role_arn, SERVICE, region.account_id, source_arn)
    if refusal:
        raise invalid_request(f"Cannot assume role {role_arn}: {refusal}")
    return tuple(_bind(region, one, role_arn) for one in files)


def add_stream(
    region: Region, stream_id: str, role_arn: str, files: tuple[StreamFile, ...], description: str | None = None
) -> Stream:
    """Store a new stream."""
    now = region.now()
    stream = Stream(stream_id, region.arn(f"stream/{stream_id}"), role_arn, files, now, now, description)
    region.streams[stream_id] = stream
    return stream


def remove_stream(region: Region, stream_id: str) -> None:
    """Delete a stream and its tags; nothing happens when it does not exist."""
    stream = region.streams.pop(stream_id, None)
    if stream is not None:
        tags.drop(region.account_id, region.name, stream.arn)


def find_stream(region: Region, stream_id: str) -> Stream:
    """The stream, or ResourceNotFoundException."""
    stream = region.streams.get(stream_id)
    if stream is None:
        raise not_found(f"Stream {stream_id} does not exist.")
    return stream


def check_readable(region: Region, role_arn: str, location: dict[str, str]) -> str | None:
    """Why the role cannot read the object of ``location``; None when it can."""
    bucket, key, version_id = location["bucket"], location["key"], location.get("version")
    action = "s3:GetObjectVersion" if version_id else "s3:GetObject"
    if not has_bucket(region.account_id, bucket):
        return f"bucket {bucket} does not exist"
    if not is_allowed(region.account_id, role_arn, action, f"arn:aws:s3:::{bucket}/{key}"):
        return f"the role is not allowed {action} on arn:aws:s3:::{bucket}/{key}"
    if find_object(region.account_id, bucket, key, version_id) is None:
        which = f"{key} (version {version_id})" if version_id else key
        return f"bucket {bucket} has no object {which}"
    return None


def bind(region: Region, file_id: int, location: dict[str, str]) -> StreamFile:
    """Bind a file to its object, which must exist."""
    found = find_object(region.account_id, location["bucket"], location["key"], location.get("version"))
    if found is None:
        raise not_found(f"S3 object {location['key']} does not exist in bucket {location['bucket']}.")
    if found.size_bytes > MAX_FILE_BYTES:
        raise invalid_request(f"S3 object {location['key']} is larger than {MAX_FILE_BYTES} bytes.")
    return StreamFile(file_id, dict(location), found.version_id, found.etag, found.size_bytes)


def describe(region: Region, stream_id: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """``{"c"?, "s": version, "d"?, "r": [{"f": file id, "z": bytes}]}``."""
    token = _token(request)
    stream = _find(region, stream_id)
    description = {"d": stream.description} if stream.description else {}
    files = [{"f": one.file_id, "z": one.size_bytes} for one in stream.files]
    return {**token, "s": stream.version, **description, "r": files}


def get_blocks(region: Region, stream_id: str, request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The requested blocks, one answer each: ``{"c"?, "f", "l": payload bytes, "i": block index, "p": bytes}``.

    ``b`` in the request is the bitmap as bytes. At most 128 KiB for one request. Blocks that tests have declared lost
    are left out.
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


def _bind(region: Region, given: dict[str, Any], role_arn: str) -> StreamFile:
    location = given.get("s3Location") or {}
    if not location.get("bucket") or not location.get("key"):
        raise invalid_request("Each file of a stream needs an s3Location with bucket and key.")
    problem = check_readable(region, role_arn, location)
    if problem:
        raise invalid_request(f"S3 object {location['key']} not accessible: {problem}.")
    return bind(region, given["fileId"], location)


def _user_of(region: Region, stream_id: str) -> str | None:
    for update in region.updates.values():
        job = region.jobs.get(update.job_id)
        if stream_id in update.stream_ids and job is not None and job.status == IN_PROGRESS:
            return update.update_id
    return None


def _brief(stream: Stream) -> dict[str, Any]:
    return {
        "streamId": stream.stream_id,
        "streamArn": stream.arn,
        "streamVersion": stream.version,
        "description": stream.description,
    }


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
