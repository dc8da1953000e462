"""Streams: files of S3 that a device reads block by block over MQTT.

A stream is bound to what its objects were when it was made. Which version that was, and its ETag, is kept, so that a
later upload to the same key is told from the file that was meant.

Source: AWS IoT API reference, CreateStream and its neighbours; AWS IoT Developer Guide, "MQTT-based file delivery".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ota.sandbox.moto import tags
from ota.sandbox.moto.errors import AwsError, already_exists, invalid_request, not_found
from ota.sandbox.moto.pages import cut_page
from ota.sandbox.moto.registry_view import find_object, has_bucket
from ota.sandbox.policy.permissions import check_assume, is_allowed

from .job_types import IN_PROGRESS, Reply
from .state import Region

MAX_FILE_BYTES = 24 * 1024 * 1024
MAX_VERSION = 65535
SERVICE = "iot.amazonaws.com"


@dataclass(frozen=True)
class StreamFile:
    """One file: the location as it was given, and the object it stood for then."""

    file_id: int
    location: dict[str, str]
    version_id: str | None
    etag: str
    size_bytes: int


@dataclass
class Stream:
    """A stream as it is now; ``version`` counts its changes from 1."""

    stream_id: str
    arn: str
    role_arn: str
    files: tuple[StreamFile, ...]
    created_at: float
    last_updated_at: float
    description: str | None = None
    version: int = 1

    def find(self, file_id: int) -> StreamFile | None:
        """The file with this number."""
        return next((one for one in self.files if one.file_id == file_id), None)


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
    """UpdateStream: what is given replaces what was; the version rises by one."""
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
    """DeleteStream: not while an OTA update in progress sends it."""
    stream = find_stream(region, params["streamId"])
    user = _user_of(region, stream.stream_id)
    if user is not None:
        raise AwsError("DeleteConflictException", f"Stream {stream.stream_id} is used by OTA update {user}.")
    remove_stream(region, stream.stream_id)
    return Reply()


def bind_files(region: Region, files: list[dict[str, Any]], role_arn: str, source_arn: str) -> tuple[StreamFile, ...]:
    """The files bound to their objects, read with the role.

    Raises:
        AwsError: InvalidRequestException for a number used twice, a role that can not be assumed or may not read,
            ResourceNotFoundException for an object that is not there.
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
    """Keep a new stream."""
    now = region.now()
    stream = Stream(stream_id, region.arn(f"stream/{stream_id}"), role_arn, files, now, now, description)
    region.streams[stream_id] = stream
    return stream


def remove_stream(region: Region, stream_id: str) -> None:
    """Forget a stream and its tags; absent is fine."""
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
    """A file bound to its object, which must be there."""
    found = find_object(region.account_id, location["bucket"], location["key"], location.get("version"))
    if found is None:
        raise not_found(f"S3 object {location['key']} does not exist in bucket {location['bucket']}.")
    if found.size_bytes > MAX_FILE_BYTES:
        raise invalid_request(f"S3 object {location['key']} is larger than {MAX_FILE_BYTES} bytes.")
    return StreamFile(file_id, dict(location), found.version_id, found.etag, found.size_bytes)


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
