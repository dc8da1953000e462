"""The versioned S3 bucket that holds the firmware images.

Bucket names are shared by all AWS accounts, so every call says which account must own the bucket, and a name that
another account holds is told apart from one that is free. The marks of ownership go into the CreateBucket call
itself, so that a run cut off right after it leaves no bucket that nobody knows; they are put again with the rest of
the configuration, for S3s that ignore them there. A bucket without marks is somebody else's, with one exception: one
that has exactly the default name for this thing and account, and holds nothing, is what such a cut-off leaves.

The look begins with the tags: they tell whether the bucket is there and whose it is, and botocore follows a bucket to
its region, which is then the one that the call is signed for. So no HeadBucket is needed.

Source: S3 CreateBucket (tags, LocationConstraint), GetBucketTagging, HeadBucket, PutBucketVersioning,
ListObjectVersions, DeleteObjects, DeleteBucket; S3 User Guide, "Deleting a bucket".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from ota import bucket_access, ownership
from ota.bucket_access import Access
from ota.bucket_contents import (
    Owned,
    code_of,
    first_keys,
    prove_writable,
    until_free,
)
from ota.cloud import SIGNING_REGION
from ota.command_lines import aws_command
from ota.errors import InTheWay, NotOurs
from ota.outcomes import Outcome, Verb
from ota.settings.table import default_text
from ota.threads import side_by_side

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# The one region whose buckets are made without naming it: sending its name is refused (InvalidLocationConstraint).
REGION_WITHOUT_CONSTRAINT = "us-east-1"
VERSIONS, PUBLIC_ACCESS, TLS_ONLY, MARKS = "versioning", "public access block", "TLS-only policy", "tags"
CLOSED = "versioned, closed to the public, TLS only"
# What GetBucketTagging is refused with where HeadBucket knows more: by S3 itself, or by an S3 that was not followed.
REFUSED = frozenset({"AccessDenied", "PermanentRedirect"})


@dataclass(frozen=True)
class Bucket:
    """A bucket of this account, as it is now.

    Attributes:
        name: its name.
        region: where it is.
        is_versioned: whether versioning is switched on, not just suspended.
        tags: its tags, among them the marks of ownership where it is ours.
        access: who may reach it; None for somebody else's that these credentials may not look at.
    """

    name: str
    region: str
    is_versioned: bool
    tags: Mapping[str, str] = field(default_factory=dict)
    access: Access | None = None


@dataclass(frozen=True)
class ListedBucket:
    """What a listing says of a bucket: no tags and no versioning."""

    name: str
    region: str
    created_at: datetime | None


def find_bucket(s3: S3Client, name: str, account_id: str) -> Bucket | None:
    """The bucket, or None where the name is free: one call then, four where it exists.

    Raises:
        NotOurs: another account has this name, or these credentials may not look.
        InTheWay: the bucket is in another region than the client.
    """
    tags, region = _find_tags(s3, name, account_id)
    if tags is None:
        return None
    if region != s3.meta.region_name:
        raise _in_other_region(name, region, s3.meta.region_name)
    owned = Owned(Bucket=name, ExpectedBucketOwner=account_id)
    versioning, access = side_by_side(
        partial(s3.get_bucket_versioning, **owned),
        partial(bucket_access.find_access, s3, owned, must_see=ownership.is_ours(tags)),
    )
    return Bucket(name, region, versioning.get("Status") == "Enabled", tags, access)


def find_bucket_tags(s3: S3Client, name: str, account_id: str) -> dict[str, str] | None:
    """The bucket's tags in one call: empty where it has none, None where there is no bucket.

    Raises:
        NotOurs: another account has this name.
    """
    return _find_tags(s3, name, account_id)[0]


def ensure_bucket(
    s3: S3Client,
    name: str,
    region: str,
    account_id: str,
    thing_name: str,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome[Bucket]:
    """A versioned bucket, closed to the public and without TLS, which we may write to. Never empties one that exists.

    Args:
        s3: the client, in ``region``.
        name: the bucket's name, already checked against S3's rules.
        region: where to make it.
        account_id: twelve digits.
        thing_name: whose bucket it is.
        sleep: waits between tries while S3 still holds the name of a bucket deleted just now.

    Raises:
        NotOurs: another account has this name.
        InTheWay: it is in another region, or somebody else's and not versioned, or its policy lets everybody in.
        WaitTimeout: S3 went on holding the name.
    """
    found = find_bucket(s3, name, account_id)
    if found is None:
        is_new = _create(s3, name, region, thing_name, sleep)
        if is_new:
            return _configured(s3, Bucket(name, region, is_versioned=False), account_id, thing_name, Verb.CREATED)
        found = find_bucket(s3, name, account_id) or Bucket(name, region, is_versioned=False)
    return _ensure_found(s3, found, account_id, thing_name)


def judge_bucket(s3: S3Client, found: Bucket | None, account_id: str, thing_name: str) -> Verb:
    """What :func:`ensure_bucket` does about what :func:`find_bucket` said; only looks.

    Raises:
        InTheWay: somebody else's, and not versioned; or ours, and with a policy that S3 would not take back.
    """
    if found is None:
        return Verb.CREATED
    if _is_ours(s3, found, account_id, thing_name):
        repairs = needed_repairs(found)
        if TLS_ONLY in repairs and found.access:
            bucket_access.check_can_add(s3, found.name, found.access.policy)
        return Verb.CHANGED if repairs else Verb.REUSED
    if not found.is_versioned:
        enabled = {"bucket": found.name, "versioning_configuration": "Status=Enabled"}
        command = aws_command(s3, "put-bucket-versioning", **enabled)
        raise InTheWay(
            f"The bucket {found.name} was not made by this tool and keeps no versions, which an OTA update needs. "
            f"Switch them on: `{command}`, or write another bucket_name in config.json.",
            remedy=command,
        )
    return Verb.REUSED


def needed_repairs(found: Bucket) -> tuple[str, ...]:
    """What of our own bucket differs from what is wanted, in words."""
    access = found.access or Access()
    is_right = {
        VERSIONS: found.is_versioned,
        PUBLIC_ACCESS: access.is_blocked,
        TLS_ONLY: access.is_tls_only,
        MARKS: ownership.is_ours(found.tags),
    }
    return tuple(what for what, holds in is_right.items() if not holds)


def foreign_detail(found: Bucket) -> str:
    """What there is to say of somebody else's bucket that is used."""
    return "; ".join(filter(None, ["versioned, not made by this tool", bucket_access.shortcomings(found.access)]))


def list_buckets(s3: S3Client) -> Iterator[ListedBucket]:
    """All buckets of the account, in all regions, page by page."""
    for page in s3.get_paginator("list_buckets").paginate(PaginationConfig={"PageSize": 1000}):
        for one in page.get("Buckets", []):
            yield ListedBucket(one["Name"], one.get("BucketRegion", ""), one.get("CreationDate"))


def is_versioned(s3: S3Client, name: str, account_id: str) -> bool:
    """Whether versioning is switched on, not just suspended, in a bucket that exists."""
    answer = s3.get_bucket_versioning(Bucket=name, ExpectedBucketOwner=account_id)
    return answer.get("Status") == "Enabled"


def find_region(s3: S3Client, name: str, account_id: str) -> str | None:
    """Where the bucket is; None where there is none.

    Raises:
        NotOurs: another account has this name, or these credentials may not look.
        InTheWay: it is in another region than the client; the message says which.
    """
    from botocore.exceptions import ClientError

    try:
        answer = s3.head_bucket(Bucket=name, ExpectedBucketOwner=account_id)
    except ClientError as error:
        if code_of(error) in {"404", "NoSuchBucket"}:
            return None
        if code_of(error) == "403":
            raise _not_our_account(name, "s3:ListBucket") from error
        headers = error.response["ResponseMetadata"].get("HTTPHeaders", {})
        if code_of(error) == "301":
            elsewhere = str(headers.get("x-amz-bucket-region", "another region"))
            raise _in_other_region(name, elsewhere, s3.meta.region_name) from error
        raise
    return answer.get("BucketRegion") or s3.meta.region_name


def create_bucket_request(name: str, region: str, thing_name: str) -> dict[str, Any]:
    """What CreateBucket is sent: region, unless it is us-east-1, and the marks of ownership."""
    configuration: dict[str, Any] = {"Tags": ownership.mark_tags(thing_name)}
    if region != REGION_WITHOUT_CONSTRAINT:
        configuration["LocationConstraint"] = region
    return {"Bucket": name, "CreateBucketConfiguration": configuration}


def _find_tags(s3: S3Client, name: str, account_id: str) -> tuple[dict[str, str] | None, str]:
    """The bucket's tags, None where there is no bucket, and the region that answered."""
    from botocore.exceptions import ClientError

    try:
        answer: Any = s3.get_bucket_tagging(Bucket=name, ExpectedBucketOwner=account_id)
    except ClientError as error:
        answer = {**error.response, "TagSet": []}
        if code_of(error) == "NoSuchBucket":
            return None, s3.meta.region_name
        if code_of(error) != "NoSuchTagSet":
            if code_of(error) in REFUSED:
                # Refused to us, not our account's, or elsewhere: asking for the bucket itself tells them apart.
                find_region(s3, name, account_id)
            raise
    region = answer["ResponseMetadata"].get(SIGNING_REGION) or s3.meta.region_name
    return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}, region


def _create(s3: S3Client, name: str, region: str, thing_name: str, sleep: Callable[[float], None]) -> bool:
    """Whether the bucket was made just now; False where another run of ours was quicker."""
    from botocore.exceptions import ClientError

    def attempt() -> bool | None:
        try:
            s3.create_bucket(**create_bucket_request(name, region, thing_name))
        except ClientError as error:
            if code_of(error) == "BucketAlreadyOwnedByYou":
                return False
            if code_of(error) == "BucketAlreadyExists":
                raise _not_our_account(name) from error
            if code_of(error) == "OperationAborted":
                return None
            raise
        return True

    return until_free(attempt, f"S3 still holds the name {name}", sleep)


def _ensure_found(s3: S3Client, found: Bucket, account_id: str, thing_name: str) -> Outcome[Bucket]:
    if judge_bucket(s3, found, account_id, thing_name) is Verb.CHANGED:
        return _configured(s3, found, account_id, thing_name, Verb.CHANGED)
    if ownership.is_ours(found.tags):
        return Outcome("bucket", Verb.REUSED, found.name, CLOSED, found)
    prove_writable(s3, Owned(Bucket=found.name, ExpectedBucketOwner=account_id))
    return Outcome("bucket", Verb.REUSED, found.name, foreign_detail(found), found)


def _configured(s3: S3Client, found: Bucket, account_id: str, thing_name: str, verb: Verb) -> Outcome[Bucket]:
    """Whatever is not as wanted put right, side by side; what tags and statements there are stay."""
    owned = Owned(Bucket=found.name, ExpectedBucketOwner=account_id)
    tags = {**ownership.marks(thing_name), **found.tags}
    repairs = needed_repairs(found)
    policy = found.access.policy if found.access else None
    if TLS_ONLY in repairs:
        policy = bucket_access.wanted_policy(s3.meta.partition, found.name, policy)
    acts: dict[str, Callable[[], object]] = {
        VERSIONS: partial(s3.put_bucket_versioning, **owned, VersioningConfiguration={"Status": "Enabled"}),
        PUBLIC_ACCESS: partial(bucket_access.block_public_access, s3, owned),
        TLS_ONLY: partial(bucket_access.put_policy, s3, owned, policy),
        MARKS: partial(
            s3.put_bucket_tagging, **owned, Tagging={"TagSet": [{"Key": key, "Value": tags[key]} for key in tags]}
        ),
    }
    side_by_side(*(acts[what] for what in repairs))
    detail = CLOSED if verb is Verb.CREATED else f"{', '.join(repairs)} put right; {CLOSED}"
    now = Bucket(found.name, found.region, True, tags, Access(True, policy, True))
    return Outcome("bucket", verb, found.name, detail, now)


def is_cut_off_creation(s3: S3Client, name: str, account_id: str, thing_name: str, tags: Mapping[str, str]) -> bool:
    """Whether the bucket is what a run leaves that was cut off before it could mark it: default name, empty."""
    default_name = default_text("bucket_name", {"thing_name": thing_name, "account_id": account_id})
    return not tags and name == default_name and not first_keys(s3, Owned(Bucket=name, ExpectedBucketOwner=account_id))


def _is_ours(s3: S3Client, bucket: Bucket, account_id: str, thing_name: str) -> bool:
    if bucket.tags:
        return ownership.is_ours(bucket.tags)
    return is_cut_off_creation(s3, bucket.name, account_id, thing_name, bucket.tags)


def _not_our_account(name: str, permission: str | None = None) -> NotOurs:
    lacking = f", or these credentials lack the permission {permission}" if permission else ""
    return NotOurs(
        f"The bucket {name} belongs to another AWS account{lacking}. Bucket names are shared by all accounts: write "
        "a bucket_name in config.json that nobody else has, for example one with ${account_id} in it."
    )


def _in_other_region(name: str, region: str, ours: str) -> InTheWay:
    return InTheWay(
        f"The bucket {name} is in {region}, and this run works in {ours}; AWS IoT takes images from its own region "
        f"only. Write another bucket_name in config.json, or set AWS_REGION={region}."
    )
