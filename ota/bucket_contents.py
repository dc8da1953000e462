"""What lies in a bucket: every version, every delete marker, every upload that was begun and never finished.

A versioned bucket can be deleted only when all three are gone, and a plain delete of an object removes none of them:
it adds a delete marker.

Source: S3 ListObjectVersions, DeleteObjects (answers 200 even when it deleted nothing), AbortMultipartUpload;
S3 User Guide, "Deleting object versions".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from ota.errors import CloudError

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from mypy_boto3_s3 import S3Client

WRITE_CHECK_KEY = "ota-tasks/write-check"
SHOWN_KEYS = 3


class Owned(TypedDict):
    """Which bucket, and whose it must be: the two that every call about a bucket takes."""

    Bucket: str
    ExpectedBucketOwner: str


def first_keys(s3: S3Client, owned: Owned) -> tuple[str, ...]:
    """The keys of some of what is in the bucket, delete markers among it; none when it is empty. One call."""
    answer = s3.list_object_versions(**owned, MaxKeys=SHOWN_KEYS)
    return tuple(dict.fromkeys(one["Key"] for one in _versions(answer)))


def other_keys(s3: S3Client, owned: Owned, prefix: str) -> tuple[str, ...]:
    """The keys of some of what is in the bucket and not under the prefix; none when there is nothing else."""
    for page in s3.get_paginator("list_object_versions").paginate(**owned):
        keys = [one["Key"] for one in _versions(page) if not one["Key"].startswith(prefix)]
        if keys:
            return tuple(dict.fromkeys(keys))[:SHOWN_KEYS]
    return ()


def folders_in(s3: S3Client, owned: Owned, prefix: str) -> tuple[str, ...]:
    """What the keys under the prefix begin with, up to the next slash: ``ota-tasks/lamp/``."""
    pages = s3.get_paginator("list_object_versions").paginate(**owned, Prefix=prefix, Delimiter="/")
    return tuple(one["Prefix"] for page in pages for one in page.get("CommonPrefixes", []))


def prove_writable(s3: S3Client, owned: Owned) -> None:
    """Begin an upload and drop it: that needs the right to write and leaves nothing, not even a delete marker."""
    s3.create_multipart_upload(**owned, Key=WRITE_CHECK_KEY)
    abort_uploads(s3, owned, WRITE_CHECK_KEY)


def empty(s3: S3Client, owned: Owned, prefix: str) -> None:
    """Delete every version, delete marker and begun upload under the prefix, a thousand at a time (S3's limit).

    Raises:
        CloudError: S3 kept some of them; says which and why.
    """
    is_more = True
    while is_more:
        page = s3.list_object_versions(**owned, Prefix=prefix)  # from the start, for what was listed is gone by then
        is_more = page["IsTruncated"]
        found = _versions(page)
        if found:
            _delete_versions(s3, owned, [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found])
    abort_uploads(s3, owned, prefix)


def delete_version(s3: S3Client, owned: Owned, key: str, version_id: str | None) -> None:
    """Delete one version for good, or the object where the bucket has no versions; gone already is fine."""
    from botocore.exceptions import ClientError

    try:
        s3.delete_object(**owned, Key=key, VersionId=version_id or "null")
    except ClientError as error:
        if code_of(error) not in {"NoSuchBucket", "NoSuchVersion", "NoSuchKey"}:
            raise


def abort_uploads(s3: S3Client, owned: Owned, prefix: str) -> None:
    """Drop the uploads under the prefix that were begun and never finished: they too hold the bucket."""
    for page in s3.get_paginator("list_multipart_uploads").paginate(**owned, Prefix=prefix):
        for upload in page.get("Uploads", []):
            _abort(s3, owned, upload["Key"], upload["UploadId"])


def code_of(error: ClientError) -> str:
    """AWS's error code; for HEAD, which has no body, the HTTP status as text."""
    return str(error.response["Error"]["Code"])


def _versions(page: Any) -> Sequence[Any]:
    return [*page.get("Versions", []), *page.get("DeleteMarkers", [])]


def _delete_versions(s3: S3Client, owned: Owned, objects: list[Any]) -> None:
    answer = s3.delete_objects(**owned, Delete={"Objects": objects, "Quiet": True})
    errors = answer.get("Errors", [])
    if errors:
        first = errors[0]
        raise CloudError(
            f"S3 could not delete {len(errors)} of {len(objects)} objects in the bucket {owned['Bucket']}; the "
            f"first: {first.get('Key')}: {first.get('Message')} ({first.get('Code')}). "
            "Remove the cause (a bucket policy, an object lock, a permission), then run the same command again."
        )


def _abort(s3: S3Client, owned: Owned, key: str, upload_id: str) -> None:
    try:
        s3.abort_multipart_upload(**owned, Key=key, UploadId=upload_id)
    except s3.exceptions.NoSuchUpload:
        return
