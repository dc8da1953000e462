"""The signed firmware image as an object in S3: uploaded once for each content, and pinned to one version.

The key carries the content's SHA-256, because a stream refuses the device when the newest version under its key
changes (ETagMismatch): the same key must never hold other content. The upload asks S3 to refuse it where the key
exists (``If-None-Match``), so that looking first costs nothing and a run cut off after its upload leaves one
version, not two. The bytes are hashed while they are sent, and the last one is held back unless they are the proven
ones; S3 checks the SHA-256 on arrival, too.

Source: S3 PutObject (ChecksumSHA256, If-None-Match), HeadObject (ChecksumMode); AWS IoT MQTT file delivery errors;
OTA file limit of the FreeRTOS quotas.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ota.errors import FirmwareError
from ota.image_files import ImageFile
from ota.outcomes import Outcome, Verb

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MAX_IMAGE_BYTES = 16 * 1024 * 1024
KEY_FOLDER = "ota-tasks"


@dataclass(frozen=True)
class ImageLocation:
    """One version of one object.

    Attributes:
        bucket: the bucket's name.
        key: the object's key; it carries the SHA-256 of the content.
        version_id: the version in a versioned bucket; None in a bucket without versions.
        size_bytes: the object's length.
    """

    bucket: str
    key: str
    version_id: str | None
    size_bytes: int


def image_prefix(thing_name: str) -> str:
    """What the keys of all images of a thing begin with, and no other keys do."""
    return f"{KEY_FOLDER}/{thing_name}/"


def image_key(thing_name: str, sha256: str, file_name: str) -> str:
    """The key for an image: ``ota-tasks/<thing>/<sha256>/<file name>``, unique for its content.

    Args:
        thing_name: the device's thing.
        sha256: 64 hex digits, the hash of the whole image.
        file_name: the name of the image's file, without folders.
    """
    return f"{image_prefix(thing_name)}{sha256.lower()}/{re.sub(r'[^A-Za-z0-9._-]+', '-', file_name)}"


def upload_image(
    s3: S3Client,
    bucket: str,
    image: ImageFile,
    key: str,
    on_progress: Callable[[int], None],
    *,
    account_id: str,
) -> Outcome[ImageLocation]:
    """Make the image an object in the bucket, unless it is there already.

    Args:
        s3: the client.
        bucket: the bucket's name; it must be this account's.
        image: the signed image as it was proven.
        key: from :func:`image_key`.
        on_progress: is told how many bytes are read so far, counted from the file's start; the count goes back
            when botocore rewinds (to sign, or to send again).
        account_id: twelve digits.

    Returns:
        created: it was uploaded; reused: the same content was there.

    Raises:
        FirmwareError: the image is empty, too big, or its file no longer holds what was proven; then nothing is stored.
    """
    _check_size(image)
    request = {"Bucket": bucket, "Key": key, "ExpectedBucketOwner": account_id}
    version_id, is_new = _put(s3, request, image, on_progress)
    location = ImageLocation(bucket, key, version_id, image.size_bytes)
    verb = Verb.CREATED if is_new else Verb.REUSED
    return Outcome("object", verb, image.path.name, f"in s3://{bucket}", location)


def is_uploaded(s3: S3Client, bucket: str, key: str, sha256: str, *, account_id: str) -> bool:
    """Whether the object is there with this content, so that :func:`upload_image` reuses it."""
    there = _head(s3, Bucket=bucket, Key=key, ExpectedBucketOwner=account_id, ChecksumMode="ENABLED")
    return there is not None and there.get("ChecksumSHA256") == _checksum(sha256)


def is_there(s3: S3Client, bucket: str, key: str, version_id: str | None, *, account_id: str) -> bool:
    """Whether the object is there, and still in this version: a stream of another refuses every block."""
    there = _head(s3, Bucket=bucket, Key=key, ExpectedBucketOwner=account_id)
    return there is not None and version_id in (None, there.get("VersionId"))


def _check_size(image: ImageFile) -> None:
    if not image.size_bytes:
        raise FirmwareError(f"The image {image.path} is empty: build it again (`invoke build`).")
    if image.size_bytes > MAX_IMAGE_BYTES:
        raise FirmwareError(
            f"The image {image.path} has {image.size_bytes:,} bytes, and an AWS IoT OTA update carries at most "
            f"{MAX_IMAGE_BYTES:,} (16 MB): build a smaller one, or check that ota_binary names the update image."
        )


def _head(s3: S3Client, **where: Any) -> Any:
    """What S3 tells of an object; None where it is not there."""
    from botocore.exceptions import ClientError

    try:
        return s3.head_object(**where)
    except ClientError as error:
        if error.response["Error"]["Code"] in {"404", "NoSuchKey", "NoSuchBucket"}:
            return None
        raise


def _put(
    s3: S3Client, request: dict[str, str], image: ImageFile, on_progress: Callable[[int], None]
) -> tuple[str | None, bool]:
    """Upload if the key is free; the version, and whether it is new."""
    from botocore.exceptions import ClientError

    try:
        return _send(s3, request, image, on_progress, IfNoneMatch="*"), True
    except ClientError as error:
        if error.response["Error"]["Code"] != "PreconditionFailed":
            raise
    there = s3.head_object(**request, ChecksumMode="ENABLED")  # type: ignore[arg-type]
    if there.get("ChecksumSHA256") == _checksum(image.sha256):
        return _version(there), False
    # Something else wrote to our key: AWS IoT would deliver that to the device. Ours becomes the newest version.
    return _send(s3, request, image, on_progress), True


def _send(
    s3: S3Client, request: dict[str, str], image: ImageFile, on_progress: Callable[[int], None], **condition: str
) -> str | None:
    from botocore.exceptions import BotoCoreError

    checksum = _checksum(image.sha256)
    with _open(image, on_progress) as body:
        try:
            answer = s3.put_object(**request, Body=body, ChecksumSHA256=checksum, **condition)  # type: ignore[arg-type]
        except BotoCoreError as error:
            if body.is_changed:  # what the reader raised, wrapped
                raise _changed(image) from error
            raise
    return _version(answer)


def _open(image: ImageFile, on_progress: Callable[[int], None]) -> _ProvenReader:
    try:
        return _ProvenReader(image, on_progress)
    except FileNotFoundError as error:
        raise _changed(image) from error


def _changed(image: ImageFile) -> FirmwareError:
    return FirmwareError(
        f"The image {image.path} changed after it was proven, and nothing was uploaded: let the build finish, "
        "then run the same command again."
    )


def _checksum(sha256: str) -> str:
    """Hex digits in the form in which S3 has a checksum."""
    return base64.b64encode(bytes.fromhex(sha256)).decode("ascii")


def _version(answer: Any) -> str | None:
    """The version id; S3 says ``null`` for one that was written while versioning was suspended."""
    found: str | None = answer.get("VersionId")
    return None if found == "null" else found


class _ProvenReader(io.BufferedReader):
    """The image's file, whose last byte is handed out only where all of them have the hash that was proven.

    So whoever takes the body takes the proven image or never gets it whole, whatever happens to the file meanwhile.
    After each read it tells how far it has come; that is asked of the file and not added up, so that seeking back, as
    botocore does to sign and to send again, needs no attention.
    """

    def __init__(self, image: ImageFile, on_progress: Callable[[int], None]) -> None:
        super().__init__(io.FileIO(image.path))
        self._image = image
        self._on_progress = on_progress
        self._digest = hashlib.sha256()
        self.is_changed = False

    def read(self, size: int | None = -1, /) -> bytes:
        begin = self.tell()
        room = self._image.size_bytes - begin
        wanted = room if size is None or size < 0 else min(size, room)
        data = super().read(wanted)
        if begin == 0:
            self._digest = hashlib.sha256()
        self._digest.update(data)
        is_end = begin + len(data) == self._image.size_bytes
        if len(data) < wanted or (is_end and self._digest.hexdigest() != self._image.sha256):
            self.is_changed = True
            raise _changed(self._image)
        self._on_progress(self.tell())
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if self.is_changed:  # an upload that is sent again would fail again
            raise _changed(self._image)
        if whence == os.SEEK_END:  # of what was proven, for the file may have grown
            return super().seek(self._image.size_bytes + offset)
        return super().seek(offset, whence)
