"""The signed firmware image: read once on this machine, uploaded once for each content, and pinned to one version.

The file may change at any moment: another build runs, or somebody copies another image over it. So its content is read
once, and size, version and signature are checked on that one reading. The upload reads the file again, hashes the bytes
while they are sent, and sends the last one only where they are the checked ones. Only one chunk is in memory at a time.

The key has the content's SHA-256 in it. A stream fails with ETagMismatch when the newest version under its key changes,
so the same key must never hold other content. The upload asks S3 to refuse it where the key exists (``If-None-Match``):
that needs no look first, and a run that is cut off after its upload leaves one version, not two.

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
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ota.aws_calls import answer_or_none, code_of
from ota.errors import FirmwareError
from ota.messages import command
from ota.outcomes import Action, Change, Outcome, Verb, blocked

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


MAX_IMAGE_BYTES = 16 * 1024 * 1024
KEY_FOLDER = "ota-tasks"


@dataclass(frozen=True)
class WantedImage:
    """The object that is wanted.

    Attributes:
        bucket: the bucket's name; it must be this account's.
        key: from :func:`image_key`.
        account_id: twelve digits.
        file: the signed image as it was proven.
    """

    bucket: str
    key: str
    account_id: str
    file: ImageFile

    @property
    def where(self) -> dict[str, str]:
        """The parameters of every call about the object."""
        return {"Bucket": self.bucket, "Key": self.key, "ExpectedBucketOwner": self.account_id}


@dataclass(frozen=True)
class ImageLocation:
    """One version of one object.

    Attributes:
        bucket: the bucket's name.
        key: the object's key; it has the SHA-256 of the content in it.
        version_id: the version in a versioned bucket; None in a bucket without versions.
        size_bytes: the object's length.
    """

    bucket: str
    key: str
    version_id: str | None
    size_bytes: int


def image_prefix(thing_name: str) -> str:
    """The beginning of the keys of all images of a thing, and of no other keys."""
    return f"{KEY_FOLDER}/{thing_name}/"


def image_key(thing_name: str, sha256: str, file_name: str) -> str:
    """The key for an image: ``ota-tasks/<thing>/<sha256>/<file name>``, unique for its content.

    Args:
        thing_name: the device's thing.
        sha256: 64 hex digits, the hash of the whole image.
        file_name: the name of the image's file, without folders.
    """
    return f"{image_prefix(thing_name)}{sha256.lower()}/{re.sub(r'[^A-Za-z0-9._-]+', '-', file_name)}"


def decide_image(wanted: WantedImage, *, is_uploaded: bool) -> Change:
    """What has to become of the object. Calls nothing and reads no file.

    ``is_uploaded`` is from :func:`is_uploaded`. The set-up passes False: its upload is refused by S3 where the object
    exists, so a look first would cost a call and prove nothing about the moment of the upload.
    """
    file = wanted.file
    change = partial(Change, "object", name=file.path.name, wanted=wanted)
    problem = _size_problem(file)
    if problem:
        return blocked("object", file.path.name, problem)
    if is_uploaded:
        return change(Action.REUSE, detail=f"in s3://{wanted.bucket}")
    return change(Action.UPLOAD, detail=f"{file.size_bytes:,} bytes, to s3://{wanted.bucket}")


def make_image(s3: S3Client, change: Change, on_progress: Callable[[int], None]) -> Outcome[ImageLocation]:
    """Carry the change out: the image as an object in the bucket.

    Args:
        s3: the client.
        change: from :func:`decide_image`.
        on_progress: is called with the bytes read so far, counted from the file's start; the count goes back
            when botocore rewinds (to sign, or to send again).

    Returns:
        created: it was uploaded; reused: the same content was there.

    Raises:
        FirmwareError: the image is empty, too big, or its file no longer has the proven content; nothing is stored.
    """
    change.check()
    wanted: WantedImage = change.wanted
    version_id, is_new = _put(s3, wanted, on_progress)
    location = ImageLocation(wanted.bucket, wanted.key, version_id, wanted.file.size_bytes)
    verb = Verb.CREATED if is_new else Verb.REUSED
    return Outcome("object", verb, wanted.file.path.name, f"in s3://{wanted.bucket}", location)


def is_uploaded(s3: S3Client, wanted: WantedImage) -> bool:
    """Whether the object exists with the wanted content, so that :func:`make_image` reuses it."""
    there = _head(s3, **wanted.where, ChecksumMode="ENABLED")
    return there is not None and there.get("ChecksumSHA256") == _checksum(wanted.file.sha256)


def is_there(s3: S3Client, bucket: str, key: str, version_id: str | None, *, account_id: str) -> bool:
    """Whether the object exists, in this version: a stream delivers no block of another one."""
    there = _head(s3, Bucket=bucket, Key=key, ExpectedBucketOwner=account_id)
    return there is not None and version_id in (None, there.get("VersionId"))


def find_size_bytes(s3: S3Client, bucket: str, key: str, *, account_id: str) -> int | None:
    """The length of an image in the bucket, of any version, for its key has its hash; None where it is not there."""
    there = _head(s3, Bucket=bucket, Key=key, ExpectedBucketOwner=account_id)
    return int(there["ContentLength"]) if there else None


def _size_problem(image: ImageFile) -> FirmwareError | None:
    build = command("build")
    if not image.size_bytes:
        return FirmwareError(f"The image {image.path} is empty: build it again (", build, ").", remedy=build)
    if image.size_bytes <= MAX_IMAGE_BYTES:
        return None
    return FirmwareError(
        f"The image {image.path} has {image.size_bytes:,} bytes, and an AWS IoT OTA update carries at most "
        f"{MAX_IMAGE_BYTES:,} (16 MB): build a smaller one, or check that ota_binary names the update image."
    )


def _head(s3: S3Client, **where: Any) -> Any:
    """What S3 tells of an object; None where there is none."""
    return answer_or_none(s3.head_object, {"404", "NoSuchKey", "NoSuchBucket"}, **where)


def _put(s3: S3Client, wanted: WantedImage, on_progress: Callable[[int], None]) -> tuple[str | None, bool]:
    """Upload if the key is free; the version, and whether it is new."""
    from botocore.exceptions import ClientError

    try:
        return _send(s3, wanted, on_progress, IfNoneMatch="*"), True
    except ClientError as error:
        if code_of(error) != "PreconditionFailed":
            raise
    there = s3.head_object(**wanted.where, ChecksumMode="ENABLED")  # type: ignore[arg-type]
    if there.get("ChecksumSHA256") == _checksum(wanted.file.sha256):
        return _version(there), False
    # Something else wrote to our key: AWS IoT would deliver that to the device. Ours becomes the newest version.
    return _send(s3, wanted, on_progress), True


def _send(s3: S3Client, wanted: WantedImage, on_progress: Callable[[int], None], **condition: str) -> str | None:
    from botocore.exceptions import BotoCoreError

    checksum = _checksum(wanted.file.sha256)
    with _open(wanted.file, on_progress) as body:
        try:
            answer = s3.put_object(**wanted.where, Body=body, ChecksumSHA256=checksum, **condition)  # type: ignore[arg-type]
        except BotoCoreError as error:
            if body.is_changed:  # botocore has wrapped the reader's error
                raise _changed(wanted.file) from error
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
    """The hash in base64, as S3 writes it."""
    return base64.b64encode(bytes.fromhex(sha256)).decode("ascii")


def _version(answer: Any) -> str | None:
    """The version id; S3 returns ``null`` for one that was written while versioning was suspended."""
    found: str | None = answer.get("VersionId")
    return None if found == "null" else found


class _ProvenReader(io.BufferedReader):
    """The image's file; its last byte is returned only where all bytes have the proven hash.

    So whoever reads the body gets the proven image or an incomplete one, whatever happens to the file meanwhile. After
    each read it reports the file's position, not a sum, because botocore seeks back to sign and to send again.
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
        if self.is_changed:  # sending the upload again would fail again
            raise _changed(self._image)
        if whence == os.SEEK_END:  # of the proven image: the file may have grown
            return super().seek(self._image.size_bytes + offset)
        return super().seek(offset, whence)


CHUNK_BYTES = 1 << 20
# More than any header that is read.
FRONT_BYTES = 64


@dataclass(frozen=True)
class ImageFile:
    """One reading of an image's file.

    Attributes:
        path: the file.
        size_bytes: how many bytes were read.
        sha256: their SHA-256, in hexadecimal.
        sha1: their SHA-1, in hexadecimal; it identifies a signature that was made with the wrong hash.
        front: the first 64 of them, or all where there are fewer.
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
