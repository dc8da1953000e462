"""What is in a bucket: every version, every delete marker and every unfinished upload.

A versioned bucket can be deleted only when all three are gone. Deleting an object without naming a version removes none
of them: it adds a delete marker.

Part of the noun in ``buckets``.

Source: S3 ListObjectVersions, DeleteObjects (answers 200 even when it deleted nothing), AbortMultipartUpload;
S3 User Guide, "Deleting object versions".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from ota.aws_calls import answer_or_none, pages
from ota.errors import CloudError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

WRITE_CHECK_KEY = "ota-tasks/write-check"
SHOWN_KEYS = 3


class Owned(TypedDict):
    """The bucket and the account that must own it: two parameters of every call about a bucket."""

    Bucket: str
    ExpectedBucketOwner: str


def first_keys(s3: S3Client, owned: Owned) -> tuple[str, ...]:
    """Some keys of what is in the bucket, delete markers included; none when it is empty. One call."""
    answer = s3.list_object_versions(**owned, MaxKeys=SHOWN_KEYS)
    return tuple(dict.fromkeys(one["Key"] for one in _versions(answer)))


def other_keys(s3: S3Client, owned: Owned, prefix: str) -> tuple[str, ...]:
    """Some keys of what is in the bucket and not under the prefix; none when there is nothing else."""
    for page in s3.get_paginator("list_object_versions").paginate(**owned):
        keys = [one["Key"] for one in _versions(page) if not one["Key"].startswith(prefix)]
        if keys:
            return tuple(dict.fromkeys(keys))[:SHOWN_KEYS]
    return ()


def folders_in(s3: S3Client, owned: Owned, prefix: str) -> tuple[str, ...]:
    """The beginnings of the keys under the prefix, up to the next slash: ``ota-tasks/lamp/``."""
    found = pages(s3, "list_object_versions", "CommonPrefixes", **owned, Prefix=prefix, Delimiter="/")
    return tuple(one["Prefix"] for one in found)


def prove_writable(s3: S3Client, owned: Owned) -> None:
    """Begin an upload and abort it: that needs the right to write and leaves nothing, not even a delete marker."""
    s3.create_multipart_upload(**owned, Key=WRITE_CHECK_KEY)
    abort_uploads(s3, owned, WRITE_CHECK_KEY)


def empty(s3: S3Client, owned: Owned, prefix: str) -> None:
    """Delete every version, delete marker and begun upload under the prefix, a thousand at a time (S3's limit).

    Raises:
        CloudError: S3 kept some of them; the message names the first and S3's reason.
    """
    is_more = True
    while is_more:
        page = s3.list_object_versions(**owned, Prefix=prefix)  # from the start: what was listed is deleted by then
        is_more = page["IsTruncated"]
        found = _versions(page)
        if found:
            _delete_versions(s3, owned, [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found])
    abort_uploads(s3, owned, prefix)


def delete_version(s3: S3Client, owned: Owned, key: str, version_id: str | None) -> None:
    """Delete one version for good, or the object where the bucket has no versions; absent is success."""
    absent = {"NoSuchBucket", "NoSuchVersion", "NoSuchKey"}
    answer_or_none(s3.delete_object, absent, **owned, Key=key, VersionId=version_id or "null")


def abort_uploads(s3: S3Client, owned: Owned, prefix: str) -> None:
    """Abort the unfinished uploads under the prefix: they too keep the bucket from being deleted."""
    for upload in pages(s3, "list_multipart_uploads", "Uploads", **owned, Prefix=prefix):
        where = {"Key": upload["Key"], "UploadId": upload["UploadId"]}
        answer_or_none(s3.abort_multipart_upload, {"NoSuchUpload"}, **owned, **where)


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
