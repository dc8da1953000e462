"""What is in a bucket, and the deletion of the bucket with it.

A versioned bucket can be deleted only without versions and delete markers. A plain delete of an object removes
none of them: it adds a delete marker.

In a bucket of somebody else's only the thing's own images are deleted. Part of the noun in ``buckets``.

Source: S3 ListObjectVersions, DeleteObjects (answers 200 even when it deleted nothing), AbortMultipartUpload,
DeleteBucket; S3 User Guide, "Deleting object versions", "Deleting a bucket".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from ota import ownership
from ota.aws_calls import answer_or_none, code_of, pages, wait_until
from ota.errors import CloudError, InTheWay, OtaError, WaitTimeout
from ota.messages import command, message
from ota.outcomes import Action, Change, Outcome, Verb, blocked

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

NOUN = "bucket"
WRITE_CHECK_KEY = "ota-tasks/write-check"
SHOWN_KEYS = 3
SETTLE_TIMEOUT_S = 60.0
POLL_S = 2.0
EMPTYING_ROUNDS = 3


class Owned(TypedDict):
    """The bucket and the account that must own it: two parameters of every call about a bucket."""

    Bucket: str
    ExpectedBucketOwner: str


@dataclass(frozen=True)
class Others:
    """What a bucket holds besides the thing's own images.

    Attributes:
        keys: the keys of some of it; empty where there is nothing else.
        thing_names: the other things that have images there.
    """

    keys: tuple[str, ...] = ()
    thing_names: tuple[str, ...] = ()


def find_others(s3: S3Client, name: str, account_id: str, key_prefix: str | None) -> Others:
    """What the bucket holds that is not under the thing's prefix.

    A key prefix ends with the thing's name, as in ``ota-tasks/lamp/``; the folders beside it are other things'.
    """
    owned = Owned(Bucket=name, ExpectedBucketOwner=account_id)
    keys = _other_keys(s3, owned, key_prefix)
    beside = key_prefix.rstrip("/").rpartition("/")[0] if key_prefix else ""
    if not (keys and beside):
        return Others(keys)
    folders = [one for one in _folders_in(s3, owned, f"{beside}/") if one != key_prefix]
    return Others(keys, tuple(folder.rstrip("/").rpartition("/")[2] for folder in folders))


def decide_bucket_deletion(
    tags: Mapping[str, str] | None,
    name: str,
    owner: str | None,
    *,
    is_cut_off: bool = False,
    need: OtaError | None = None,
    others: Others | None = None,
) -> Change:
    """Whether ``clean`` deletes the bucket with these tags.

    Args:
        tags: the bucket's; None where there is no such bucket.
        name: its name.
        owner: the thing that it must be made for; None forces the deletion.
        is_cut_off: whether it is what a cut-off creation leaves, without tags.
        need: why something that stays still needs it.
        others: what else it holds; None where nobody has looked, and S3 will refuse the deletion.
    """
    if tags is None:
        return Change(NOUN, Action.ABSENT, name)
    if need is not None:
        return blocked(NOUN, name, need)
    if owner is not None and not (ownership.is_ours(tags, owner) or is_cut_off):
        reason = message("without our images; ", ownership.reason_to_keep(tags, owner))
        return Change(NOUN, Action.KEEP, name, reason, found=tags)
    if owner is not None and others is not None and others.keys:
        return blocked(NOUN, name, _holds_others(name, others))
    return Change(NOUN, Action.DELETE, name, "with every version of every image", found=tags)


def delete_bucket(
    s3: S3Client,
    name: str,
    account_id: str,
    *,
    image: tuple[str, str | None] | None = None,
    key_prefix: str | None = None,
    force: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome[None]:
    """Delete the bucket with the thing's images in it; absent is success.

    Args:
        s3: the client.
        name: the bucket's name.
        account_id: twelve digits.
        image: key and version id of the update's image. It is deleted first, because most often it is all there is.
        key_prefix: what the keys of the thing's own objects begin with.
        force: delete everything else in it too, every version.
        sleep: waits between tries.

    Raises:
        InTheWay: it holds objects that are not under the prefix, and ``force`` is not given.
        WaitTimeout: S3 goes on refusing.
    """
    owned = Owned(Bucket=name, ExpectedBucketOwner=account_id)
    if image:
        _delete_version(s3, owned, *image)
    for _ in range(EMPTYING_ROUNDS):
        verb = _try_to_delete(s3, owned, sleep)
        if verb is not Verb.SKIPPED:
            return Outcome(NOUN, verb, name)
        if force or key_prefix:
            _empty(s3, owned, "" if force else key_prefix or "")
        others = find_others(s3, name, account_id, key_prefix)
        if others.keys and not force:
            raise _holds_others(name, others)
        abort_uploads(s3, owned, "")
    raise InTheWay(
        f"The bucket {name} fills up again while it is being emptied: stop what writes to it, "
        "then run the same command again."
    )


def delete_images(s3: S3Client, name: str, account_id: str, key_prefix: str) -> None:
    """Delete the thing's images from a bucket that stays."""
    _empty(s3, Owned(Bucket=name, ExpectedBucketOwner=account_id), key_prefix)


def first_keys(s3: S3Client, owned: Owned) -> tuple[str, ...]:
    """Some keys of what is in the bucket, delete markers included; none when it is empty. One call."""
    answer = s3.list_object_versions(**owned, MaxKeys=SHOWN_KEYS)
    return tuple(dict.fromkeys(one["Key"] for one in _versions(answer)))


def prove_writable(s3: S3Client, owned: Owned) -> None:
    """Begin an upload and abort it: that needs the right to write and leaves nothing, not even a delete marker."""
    s3.create_multipart_upload(**owned, Key=WRITE_CHECK_KEY)
    abort_uploads(s3, owned, WRITE_CHECK_KEY)


def abort_uploads(s3: S3Client, owned: Owned, prefix: str) -> None:
    """Abort the unfinished uploads under the prefix: where the bucket stays, their parts are stored and paid for."""
    for upload in pages(s3, "list_multipart_uploads", "Uploads", **owned, Prefix=prefix):
        where = {"Key": upload["Key"], "UploadId": upload["UploadId"]}
        answer_or_none(s3.abort_multipart_upload, {"NoSuchUpload"}, **owned, **where)


def until_free(attempt: Callable[[], T | None], what: str, sleep: Callable[[float], None]) -> T:
    """Try until the attempt answers. S3 holds a bucket's name for a while after a deletion (OperationAborted)."""
    return wait_until(
        attempt,
        lambda: WaitTimeout(
            f"{what}, after {SETTLE_TIMEOUT_S:g} seconds of waiting: it was deleted a short while ago. Run the same "
            "command again in some minutes; it carries on where it stopped."
        ),
        timeout_s=SETTLE_TIMEOUT_S,
        poll_s=POLL_S,
        sleep=sleep,
    )


def _empty(s3: S3Client, owned: Owned, prefix: str) -> None:
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


def _other_keys(s3: S3Client, owned: Owned, prefix: str | None) -> tuple[str, ...]:
    for page in s3.get_paginator("list_object_versions").paginate(**owned):
        keys = [one["Key"] for one in _versions(page) if not (prefix and one["Key"].startswith(prefix))]
        if keys:
            return tuple(dict.fromkeys(keys))[:SHOWN_KEYS]
    return ()


def _folders_in(s3: S3Client, owned: Owned, prefix: str) -> tuple[str, ...]:
    """The beginnings of the keys under the prefix, up to the next slash: ``ota-tasks/lamp/``."""
    found = pages(s3, "list_object_versions", "CommonPrefixes", **owned, Prefix=prefix, Delimiter="/")
    return tuple(one["Prefix"] for one in found)


def _delete_version(s3: S3Client, owned: Owned, key: str, version_id: str | None) -> None:
    """Delete one version for good, or the object where the bucket has no versions; absent is success."""
    absent = {"NoSuchBucket", "NoSuchVersion", "NoSuchKey"}
    answer_or_none(s3.delete_object, absent, **owned, Key=key, VersionId=version_id or "null")


def _try_to_delete(s3: S3Client, owned: Owned, sleep: Callable[[float], None]) -> Verb:
    """Delete the bucket; *skipped* where S3 says that it holds something."""
    from botocore.exceptions import ClientError

    def attempt() -> Verb | None:
        try:
            s3.delete_bucket(**owned)
        except ClientError as error:
            answers = {"BucketNotEmpty": Verb.SKIPPED, "OperationAborted": None, "NoSuchBucket": Verb.ABSENT}
            if code_of(error) not in answers:
                raise
            return answers[code_of(error)]
        return Verb.DELETED

    return until_free(attempt, f"S3 is still busy with the bucket {owned['Bucket']}", sleep)


def _holds_others(name: str, others: Others) -> InTheWay:
    holds = f"The bucket {name} holds objects that are no images of this thing, so it stays: "
    if others.thing_names:
        images = f"images of the thing {', '.join(others.thing_names)}. "
        return InTheWay(holds, images, ownership.once_unused(others.thing_names))
    force = command("clean", "--force")
    return InTheWay(
        f"{holds}{', '.join(others.keys)} …. To delete it with every version of everything in it: ",
        force,
        ".",
        remedy=force,
    )
