"""The versioned S3 bucket that holds the firmware images: found, decided, made, listed.

All AWS accounts share the bucket names, so every call says which account must own the bucket, and a name that another
account holds is told apart from a free one. CreateBucket carries the marks of ownership, so that a run that is cut off
right after it leaves a bucket that the next run knows. They are written again with the rest of the configuration,
because some S3 stand-ins ignore them there. A bucket without marks belongs to somebody else, with one exception: an
empty one that has exactly the default name for this thing and account is what such a run leaves.

The look begins with the tags: they say whether the bucket exists and whose it is. botocore follows a bucket to its
region and signs the call for that region. So no HeadBucket is needed.

The bucket is one noun in three files: ``bucket_access`` has who may reach it, ``bucket_contents`` what is in it and
the deletion.

Source: S3 CreateBucket (tags, LocationConstraint), GetBucketTagging, HeadBucket, PutBucketVersioning,
ListObjectVersions, DeleteObjects, DeleteBucket; S3 User Guide, "Deleting a bucket".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from ota import ownership
from ota.aws_calls import code_of, pages
from ota.buckets import access as bucket_access
from ota.buckets.access import Access
from ota.buckets.contents import Owned, first_keys, prove_writable, until_free
from ota.errors import InTheWay, OtaError
from ota.messages import aws_command, command
from ota.outcomes import Action, Change, Outcome, Verb, blocked
from ota.threads import side_by_side

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# S3 refuses the name of this one region in CreateBucket (InvalidLocationConstraint).
REGION_WITHOUT_CONSTRAINT = "us-east-1"
VERSIONS, PUBLIC_ACCESS, TLS_ONLY, MARKS = "versioning", "public access block", "TLS-only policy", "tags"
CLOSED = "versioned, closed to the public, TLS only"


@dataclass(frozen=True)
class WantedBucket:
    """The bucket that is wanted.

    Attributes:
        name: its name, already checked against S3's rules.
        account_id: the account that must own it, twelve digits.
        thing_name: the thing that it is made for.
        default_name: the name that the settings give by default to the bucket of this thing and account.
        other_name: a name to suggest where this one cannot be used.
    """

    name: str
    account_id: str
    thing_name: str
    default_name: str = ""
    other_name: str = ""


@dataclass(frozen=True)
class Bucket:
    """A bucket of this account, as it is now.

    Attributes:
        name: its name.
        region: where it is.
        is_versioned: whether versioning is on, and not suspended.
        tags: its tags; they include the marks of ownership where it is ours.
        access: who may reach it; None for somebody else's that these credentials may not look at.
        is_leftover: whether it is empty, has no tags and has the default name, as after a run that was cut off.
    """

    name: str
    region: str
    is_versioned: bool
    tags: Mapping[str, str] = field(default_factory=dict)
    access: Access | None = None
    is_leftover: bool = False

    def is_for(self, thing_name: str) -> bool:
        """Whether this tool made it for the thing; only then it is changed."""
        return self.is_leftover or ownership.is_ours(self.tags, thing_name)


@dataclass(frozen=True)
class ListedBucket:
    """What a listing tells of a bucket: neither tags nor versioning."""

    name: str
    region: str
    created_at: datetime | None


def find_bucket(s3: S3Client, name: str, account_id: str, default_name: str = "") -> Bucket | None:
    """The bucket, or None where the name is free: one call then, four where it exists.

    A bucket by ``default_name`` that has no tags costs one call more: whether it is empty.

    Raises:
        NotOurs: another account has this name, or these credentials may not look.
        InTheWay: the bucket is in another region than the client.
    """
    tags, region = bucket_access.find_tags(s3, name, account_id)
    if tags is None:
        return None
    if region != s3.meta.region_name:
        raise bucket_access.in_other_region(name, region, s3.meta.region_name)
    owned = Owned(Bucket=name, ExpectedBucketOwner=account_id)
    versioning, access, leftover = side_by_side(
        partial(s3.get_bucket_versioning, **owned),
        partial(bucket_access.find_access, s3, owned, must_see=ownership.is_ours(tags)),
        partial(is_leftover, s3, owned, tags, default_name),
    )
    return Bucket(name, region, versioning.get("Status") == "Enabled", tags, access, leftover)


def find_bucket_tags(s3: S3Client, name: str, account_id: str) -> dict[str, str] | None:
    """The bucket's tags in one call: empty where it has none, None where there is no bucket.

    Raises:
        NotOurs: another account has this name.
    """
    return bucket_access.find_tags(s3, name, account_id)[0]


def decide_bucket(s3: S3Client, found: Bucket | OtaError | None, wanted: WantedBucket) -> Change:
    """What has to become of the bucket. Calls nothing; commands in messages need the client's region.

    ``found`` is from :func:`find_bucket`, or the error that it raised.
    """
    another = command("all", bucket_name=wanted.other_name)
    problem = found if isinstance(found, OtaError) else _problem(s3, found, wanted.thing_name) if found else None
    if problem:
        return replace(blocked("bucket", wanted.name, problem, another), wanted=wanted)
    change = partial(Change, "bucket", name=wanted.name, found=found, wanted=wanted)
    if not isinstance(found, Bucket):
        return change(Action.CREATE, detail=CLOSED)
    if not found.is_for(wanted.thing_name):
        lacks = bucket_access.shortcomings(found.access)
        maker = "made for another thing" if ownership.is_ours(found.tags) else "not made by this tool"
        detail = "; ".join(filter(None, [f"versioned, {maker}", lacks]))
        closing = bucket_access.closing_commands(s3, found.name, found.access)
        return change(Action.REUSE, detail=detail, brief=detail if closing else "", command=closing)
    if repairs := _repairs(found):
        return change(Action.CHANGE, detail=f"{', '.join(repairs)} put right")
    return change(Action.REUSE, detail=CLOSED)


def make_bucket(s3: S3Client, change: Change, *, sleep: Callable[[float], None] = time.sleep) -> Outcome[Bucket]:
    """Carry the change out: a versioned bucket, closed to the public, TLS only, to which we may write.

    Nothing in a bucket that exists is deleted.

    Args:
        s3: the client, in the region where the bucket is wanted.
        change: from :func:`decide_bucket`.
        sleep: waits between tries while S3 still holds the name of a deleted bucket.

    Raises:
        OtaError: the change is blocked.
        NotOurs: another account has taken the name since the look.
        WaitTimeout: S3 held the name for too long.
    """
    change.check()
    wanted: WantedBucket = change.wanted
    if change.action is Action.CREATE:
        if _create(s3, wanted, sleep):
            new = Bucket(wanted.name, s3.meta.region_name, is_versioned=False)
            return Outcome("bucket", Verb.CREATED, wanted.name, CLOSED, _configure(s3, new, wanted))
        return make_bucket(s3, decide_bucket(s3, _made_by_another_run(s3, wanted), wanted), sleep=sleep)
    found: Bucket = change.found
    if change.action is Action.CHANGE:
        detail = f"{change.detail}; {CLOSED}"
        return Outcome("bucket", Verb.CHANGED, wanted.name, detail, _configure(s3, found, wanted))
    if not found.is_for(wanted.thing_name):
        prove_writable(s3, Owned(Bucket=found.name, ExpectedBucketOwner=wanted.account_id))
    return Outcome("bucket", Verb.REUSED, found.name, change.detail, found)


def is_leftover(s3: S3Client, owned: Owned, tags: Mapping[str, str], default_name: str) -> bool:
    """Whether the bucket is empty, has no tags and has the default name, as after a run that was cut off."""
    return not tags and owned["Bucket"] == default_name and not first_keys(s3, owned)


def list_buckets(s3: S3Client) -> Iterator[ListedBucket]:
    """All buckets of the account, in all regions, page by page."""
    for one in pages(s3, "list_buckets", "Buckets", page_size=1000):
        yield ListedBucket(one["Name"], one.get("BucketRegion", ""), one.get("CreationDate"))


def is_versioned(s3: S3Client, name: str, account_id: str) -> bool:
    """Whether versioning is switched on, not just suspended, in a bucket that exists."""
    answer = s3.get_bucket_versioning(Bucket=name, ExpectedBucketOwner=account_id)
    return answer.get("Status") == "Enabled"


def create_bucket_request(name: str, region: str, thing_name: str) -> dict[str, Any]:
    """The parameters of CreateBucket: the region, unless it is us-east-1, and the marks of ownership."""
    configuration: dict[str, Any] = {"Tags": ownership.mark_tags(thing_name)}
    if region != REGION_WITHOUT_CONSTRAINT:
        configuration["LocationConstraint"] = region
    return {"Bucket": name, "CreateBucketConfiguration": configuration}


def _problem(s3: S3Client, found: Bucket, thing_name: str) -> InTheWay | None:
    """What keeps the bucket from being used, with the command that helps."""
    if found.is_for(thing_name):
        policy = found.access.policy if found.access else None
        return bucket_access.public_policy_problem(s3, found.name, policy) if TLS_ONLY in _repairs(found) else None
    if found.is_versioned:
        return None
    switch_on = aws_command(s3, "put-bucket-versioning", bucket=found.name, versioning_configuration="Status=Enabled")
    return InTheWay(
        f"The bucket {found.name} was not made by this tool for {thing_name} and keeps no versions, which an OTA "
        "update needs. Switch versioning on: ",
        switch_on,
        ", or write another bucket_name in config.json.",
        remedy=switch_on,
    )


def _repairs(found: Bucket) -> tuple[str, ...]:
    """What of our own bucket differs from what is wanted, in words."""
    access = found.access or Access()
    is_right = {
        VERSIONS: found.is_versioned,
        PUBLIC_ACCESS: access.is_blocked,
        TLS_ONLY: access.is_tls_only,
        MARKS: ownership.is_ours(found.tags),
    }
    return tuple(what for what, holds in is_right.items() if not holds)


def _create(s3: S3Client, wanted: WantedBucket, sleep: Callable[[float], None]) -> bool:
    """Whether the bucket was made now; False where another run of ours was quicker."""
    from botocore.exceptions import ClientError

    def create() -> bool | None:
        try:
            s3.create_bucket(**create_bucket_request(wanted.name, s3.meta.region_name, wanted.thing_name))
        except ClientError as error:
            if code_of(error) == "BucketAlreadyOwnedByYou":
                return False
            if code_of(error) == "BucketAlreadyExists":
                raise bucket_access.not_our_account(wanted.name) from error
            if code_of(error) == "OperationAborted":
                return None
            raise
        return True

    return until_free(create, f"S3 still holds the name {wanted.name}", sleep)


def _made_by_another_run(s3: S3Client, wanted: WantedBucket) -> Bucket:
    """The bucket that another run has made since the look; S3 may not show it yet."""
    found = find_bucket(s3, wanted.name, wanted.account_id, wanted.default_name)
    if found is not None:
        return found
    owned = Owned(Bucket=wanted.name, ExpectedBucketOwner=wanted.account_id)
    leftover = is_leftover(s3, owned, {}, wanted.default_name)
    return Bucket(wanted.name, s3.meta.region_name, is_versioned=False, is_leftover=leftover)


def _configure(s3: S3Client, found: Bucket, wanted: WantedBucket) -> Bucket:
    """Repair what differs, side by side; the tags and statements of others stay. Returns the bucket as it is then."""
    owned = Owned(Bucket=found.name, ExpectedBucketOwner=wanted.account_id)
    tags = {**ownership.marks(wanted.thing_name), **found.tags}
    repairs = _repairs(found)
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
    return Bucket(found.name, found.region, True, tags, Access(True, policy, True))
