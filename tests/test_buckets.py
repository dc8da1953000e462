from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from ota.buckets import contents as bucket_contents
from ota.buckets.access import BLOCK, Access
from ota.buckets.buckets import (
    Bucket,
    WantedBucket,
    create_bucket_request,
    decide_bucket,
    find_bucket,
    find_bucket_tags,
    is_leftover,
    list_buckets,
    make_bucket,
)
from ota.buckets.contents import Others, Owned, decide_bucket_deletion, delete_bucket, delete_images, find_others
from ota.cloud import open_sandbox
from ota.errors import CloudError, InTheWay, NotOurs, OtaError, WaitTimeout
from ota.messages import PLAIN, Command, Shell
from ota.outcomes import Action, Change, Outcome, Verb
from ota.ownership import marks
from ota.settings.table import default_text
from tests.conftest import client
from tests.interruptions import repeated_after_every_kill
from tests.sandbox_control import Control

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ACCOUNT = "123456789012"
REGION = "eu-west-1"
THING = "Lamp:1"
NAME = f"lamp-1-ota-{ACCOUNT}"
CHOSEN = "my-own-bucket"  # a name that a user gave, so that nothing tells it from a user's own bucket
PREFIX = "ota-tasks/Lamp:1/"
IMAGE = f"{PREFIX}abc/app.bin"
TLS_ONLY = {
    "Sid": "OtaTasksTlsOnly",
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:*",
    "Resource": [f"arn:aws:s3:::{NAME}", f"arn:aws:s3:::{NAME}/*"],
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}
THEIRS = {
    "Sid": "Backup",
    "Effect": "Allow",
    "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
    "Action": "s3:GetObject",
    "Resource": f"arn:aws:s3:::{NAME}/*",
}


class Sleeps(list[float]):
    """Stands in for ``time.sleep`` and keeps what it was asked."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


class Answered:
    """The part of an HTTP response that botocore looks at."""

    def __init__(self, status: int) -> None:
        self.status_code = status


@contextmanager
def answering(s3: Any, operation: str, status: int, parsed: dict[str, Any]) -> Iterator[None]:
    """Have botocore take this for what S3 said, where the stand-in cannot be brought to say it."""

    def answer(**_: object) -> tuple[Answered, dict[str, Any]]:
        return Answered(status), parsed

    s3.meta.events.register(f"before-call.s3.{operation}", answer)
    try:
        yield
    finally:
        s3.meta.events.unregister(f"before-call.s3.{operation}", answer)


def ensure(
    s3: S3Client, name: str = NAME, sleep: Any = None, *, thing_name: str = THING, account_id: str = ACCOUNT
) -> Outcome[Bucket]:
    """What a run does: look, decide, make."""
    default_name = default_text("bucket_name", {"thing_name": thing_name, "account_id": account_id})
    wanted = WantedBucket(name, account_id, thing_name, default_name)
    found = find_bucket(s3, name, account_id, default_name)
    return make_bucket(s3, decide_bucket(s3, found, wanted), sleep=Sleeps() if sleep is None else sleep)


def delete(s3: S3Client, name: str = NAME, **options: Any) -> Outcome[None]:
    return delete_bucket(s3, name, ACCOUNT, **{"key_prefix": PREFIX, "sleep": Sleeps(), **options})


def decide(s3: S3Client, name: str = NAME, owner: str | None = THING, **options: Any) -> Change:
    """What clean decides after its look."""
    tags = find_bucket_tags(s3, name, ACCOUNT)
    owned = Owned(Bucket=name, ExpectedBucketOwner=ACCOUNT)
    default_name = default_text("bucket_name", {"thing_name": owner or THING, "account_id": ACCOUNT})
    is_cut_off = tags is not None and is_leftover(s3, owned, tags, default_name)
    return decide_bucket_deletion(tags, name, owner, is_cut_off=is_cut_off, **options)


def make(s3: Any, name: str = CHOSEN, *, versioned: bool = True, tags: dict[str, str] | None = None) -> None:
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    if versioned:
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    if tags:
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [{"Key": key, "Value": tags[key]} for key in tags]})


def put(s3: S3Client, key: str, name: str = NAME) -> str:
    return s3.put_object(Bucket=name, Key=key, Body=b"x")["VersionId"]


def keys(s3: S3Client, name: str) -> list[str]:
    answer = s3.list_object_versions(Bucket=name)
    return [one["Key"] for one in [*answer.get("Versions", []), *answer.get("DeleteMarkers", [])]]


def policy_of(s3: S3Client, name: str = NAME) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])
    except ClientError:
        return None
    return found


def exists(s3: S3Client, name: str = NAME) -> bool:
    return any(one["Name"] == name for one in s3.list_buckets()["Buckets"])


def line_of(error: OtaError) -> str:
    """The command of the error's remedy."""
    assert isinstance(error.remedy, Shell)
    return error.remedy.line


def state(s3: S3Client, name: str = NAME) -> dict[str, Any]:
    return {
        "versioning": s3.get_bucket_versioning(Bucket=name)["Status"],
        "tags": find_bucket_tags(s3, name, ACCOUNT),
        "access": s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"],
        "policy": policy_of(s3, name),
        "uploads": s3.list_multipart_uploads(Bucket=name).get("Uploads", []),
        "keys": keys(s3, name),
    }


CLOSED = Access(True, None, True)
WANTED = WantedBucket(CHOSEN, ACCOUNT, THING, other_name=f"{CHOSEN}-2")
OURS = Bucket(CHOSEN, REGION, True, marks(THING), CLOSED)
DECISIONS: dict[str, tuple[Bucket | OtaError | None, Action, str]] = {
    "a free name": (None, Action.CREATE, "versioned, closed to the public, TLS only"),
    "a failed look": (NotOurs("of another account"), Action.BLOCKED, "of another account"),
    "ours": (OURS, Action.REUSE, "versioned, closed to the public, TLS only"),
    "another thing's": (replace(OURS, tags=marks("other")), Action.REUSE, "versioned, made for another thing"),
    "ours without versions": (replace(OURS, is_versioned=False), Action.CHANGE, "versioning put right"),
    "ours, not looked into": (
        replace(OURS, access=None),
        Action.CHANGE,
        "public access block, TLS-only policy put right",
    ),
    "left by a cut-off run": (replace(OURS, tags={}, is_leftover=True), Action.CHANGE, "tags put right"),
    "somebody's": (replace(OURS, tags={}), Action.REUSE, "versioned, not made by this tool"),
    "somebody's without versions": (replace(OURS, tags={}, is_versioned=False), Action.BLOCKED, "keeps no versions"),
}


@pytest.mark.parametrize(("found", "action", "words"), DECISIONS.values(), ids=DECISIONS)
def test_what_becomes_of_a_bucket_is_decided_from_what_is_there(
    s3: S3Client, control: Control, found: Bucket | OtaError | None, action: Action, words: str
) -> None:
    control.clear_calls()
    change = decide_bucket(s3, found, WANTED)
    assert (change.action, bool(change.problem)) == (action, action is Action.BLOCKED)
    assert words in str(change.detail)
    if change.problem:
        with pytest.raises(type(change.problem)):
            make_bucket(s3, change)
    assert control.operations() == []


def test_a_name_that_cannot_be_used_comes_with_the_command_for_another_one(s3: S3Client) -> None:
    change = decide_bucket(s3, NotOurs("of another account"), WANTED)
    assert isinstance(change.command, Command)
    assert PLAIN.render(change.command) == f"invoke with --bucket-name {CHOSEN}-2 all"


def test_us_east_1_is_the_one_region_that_is_not_named() -> None:
    tags = [{"Key": "managed-by", "Value": "ota-tasks"}, {"Key": "ota-thing", "Value": "lamp"}]
    assert create_bucket_request("b", "us-east-1", "lamp") == {
        "Bucket": "b",
        "CreateBucketConfiguration": {"Tags": tags},
    }
    named = create_bucket_request("b", "eu-west-1", "lamp")["CreateBucketConfiguration"]
    assert named == {"Tags": tags, "LocationConstraint": "eu-west-1"}


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "ap-southeast-2"])
def test_a_bucket_is_made_in_every_region(control: Control, region: str) -> None:
    s3 = client("s3", control.address, region_name=region)
    outcome = ensure(s3)
    assert (outcome.verb, outcome.get().region) == (Verb.CREATED, region)
    assert find_bucket(s3, NAME, ACCOUNT) == outcome.get()


def test_a_new_bucket_is_versioned_closed_and_marked_in_six_calls(s3: S3Client, control: Control) -> None:
    outcome = ensure(s3)
    calls = control.operations()
    assert calls[:2] == ["GetBucketTagging", "CreateBucket"]
    assert sorted(calls[2:]) == ["PutBucketPolicy", "PutBucketTagging", "PutBucketVersioning", "PutPublicAccessBlock"]
    access = Access(True, {"Version": "2012-10-17", "Statement": [TLS_ONLY]}, True)
    made = Bucket(NAME, REGION, True, marks(THING), access)
    assert outcome == Outcome("bucket", Verb.CREATED, NAME, "versioned, closed to the public, TLS only", made)
    found = state(s3)
    assert found["versioning"] == "Enabled"
    assert found["tags"] == marks(THING)
    assert set(found["access"].values()) == {True}
    assert found["policy"] == access.policy


def test_a_repeat_reuses_it_in_four_calls(s3: S3Client, control: Control) -> None:
    made = ensure(s3)
    put(s3, IMAGE)
    control.clear_calls()
    again = ensure(s3)
    calls = control.operations()
    assert (again.verb, again.get()) == (Verb.REUSED, made.get())
    assert calls[0] == "GetBucketTagging"
    assert sorted(calls[1:]) == ["GetBucketPolicy", "GetBucketVersioning", "GetPublicAccessBlock"]
    assert keys(s3, NAME) == [IMAGE]


def test_another_thing_of_ours_shares_the_bucket(s3: S3Client) -> None:
    ensure(s3, CHOSEN, thing_name="another-thing")
    assert ensure(s3, CHOSEN).verb is Verb.REUSED
    assert find_bucket_tags(s3, CHOSEN, ACCOUNT) == marks("another-thing")


def test_our_bucket_gets_its_versioning_back(s3: S3Client) -> None:
    ensure(s3)
    s3.put_bucket_versioning(Bucket=NAME, VersioningConfiguration={"Status": "Suspended"})
    outcome = ensure(s3)
    assert outcome.verb is Verb.CHANGED
    assert outcome.get().is_versioned
    assert state(s3)["versioning"] == "Enabled"


def test_our_bucket_that_was_opened_to_the_public_is_closed_again(s3: S3Client) -> None:
    undisturbed = ensure(s3).get()
    s3.delete_public_access_block(Bucket=NAME)
    assert ensure(s3).detail == "public access block put right; versioned, closed to the public, TLS only"
    for name in BLOCK:
        s3.put_public_access_block(Bucket=NAME, PublicAccessBlockConfiguration={**BLOCK, name: False})  # type: ignore[misc]
        assert ensure(s3).verb is Verb.CHANGED, name
    assert set(state(s3)["access"].values()) == {True}
    assert find_bucket(s3, NAME, ACCOUNT) == undisturbed


@pytest.mark.parametrize(
    "statements",
    [
        [],
        [THEIRS],
        [THEIRS, {**TLS_ONLY, "Action": "s3:GetObject"}],
        [{**TLS_ONLY, "Effect": "Allow", "Condition": {"Bool": {"aws:SecureTransport": "true"}}}],
        [{**TLS_ONLY, "Resource": f"arn:aws:s3:::{NAME}"}],
    ],
    ids=["none", "theirs", "theirs and ours changed", "the other way round", "not for objects"],
)
def test_our_bucket_gets_its_statement_back_and_every_other_statement_stays(
    s3: S3Client, statements: list[dict[str, Any]]
) -> None:
    ensure(s3)
    s3.delete_bucket_policy(Bucket=NAME)
    if statements:
        s3.put_bucket_policy(Bucket=NAME, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))
    outcome = ensure(s3)
    assert (outcome.verb, outcome.detail.partition(" put right")[0]) == (Verb.CHANGED, "TLS-only policy")
    kept = [one for one in statements if one == THEIRS]
    assert policy_of(s3) == {"Version": "2012-10-17", "Statement": [*kept, TLS_ONLY]}
    assert ensure(s3).verb is Verb.REUSED


def test_a_statement_of_the_user_s_that_says_the_same_is_enough(s3: S3Client) -> None:
    ensure(s3)
    same = {**TLS_ONLY, "Sid": "CompanyRule", "Principal": {"AWS": "*"}, "Action": ["s3:*"]}
    same["Condition"] = {"Bool": {"aws:SecureTransport": False}}
    s3.put_bucket_policy(Bucket=NAME, Policy=json.dumps({"Version": "2012-10-17", "Statement": [same]}))
    assert ensure(s3).verb is Verb.REUSED


def test_a_policy_that_lets_everybody_in_is_refused_before_s3_refuses_it(s3: S3Client, control: Control) -> None:
    ensure(s3)
    s3.delete_public_access_block(Bucket=NAME)
    public = {**THEIRS, "Sid": "Everybody", "Principal": "*"}
    s3.put_bucket_policy(Bucket=NAME, Policy=json.dumps({"Version": "2012-10-17", "Statement": [THEIRS, public]}))
    control.clear_calls()
    with pytest.raises(InTheWay, match=r"lets everybody in \(statement Everybody\)") as caught:
        ensure(s3)
    assert not any(name.startswith("Put") for name in control.operations())
    policy = line_of(caught.value).partition("--policy ")[2].partition(" --region")[0]
    s3.put_bucket_policy(Bucket=NAME, Policy=shlex.split(policy)[0])
    assert ensure(s3).verb is Verb.CHANGED
    assert policy_of(s3) == {"Version": "2012-10-17", "Statement": [THEIRS, TLS_ONLY]}


def test_a_foreign_bucket_that_is_open_is_told_of_and_left_as_it_is(s3: S3Client) -> None:
    make(s3)
    s3.delete_public_access_block(Bucket=CHOSEN)
    outcome = ensure(s3, CHOSEN)
    assert outcome.verb is Verb.REUSED
    assert outcome.detail.endswith("; public access is not blocked, access without TLS is not refused")
    with pytest.raises(ClientError, match="NoSuchPublicAccessBlockConfiguration"):
        s3.get_public_access_block(Bucket=CHOSEN)
    assert policy_of(s3, CHOSEN) is None


@pytest.mark.parametrize("operation", ["GetPublicAccessBlock", "GetBucketPolicy"])
def test_a_foreign_bucket_s_access_need_not_be_seen_and_ours_must(
    s3: S3Client, control: Control, operation: str
) -> None:
    make(s3)
    ensure(s3)
    control.fail(operation, "access-denied", times=2)
    assert ensure(s3, CHOSEN).detail == "versioned, not made by this tool"
    with pytest.raises(ClientError, match=operation):
        ensure(s3)


def test_a_bucket_that_is_completed_keeps_the_tags_it_has(s3: S3Client) -> None:
    tags = {**marks(THING), "team": "lighting"}
    make(s3, versioned=False, tags=tags)
    assert ensure(s3, CHOSEN).get().tags == tags
    assert find_bucket_tags(s3, CHOSEN, ACCOUNT) == tags


def test_an_empty_bucket_of_our_name_without_marks_is_taken_for_a_cut_off_creation(s3: S3Client) -> None:
    make(s3, NAME, versioned=False)
    outcome = ensure(s3)
    assert outcome.verb is Verb.CHANGED
    assert "versioning, TLS-only policy, tags put right" in outcome.detail
    assert state(s3)["tags"] == marks(THING)


LOOK_ALIKES = {
    "something before": f"my-{NAME}",
    "something behind": f"{NAME}-backup",
    "something between": f"lamp-1-test-ota-{ACCOUNT}",
    "a longer thing": f"lamp-12-ota-{ACCOUNT}",
    "no account": "lamp-1-ota",
    "the account alone": f"archive-{ACCOUNT}",
}


@pytest.mark.parametrize("thing_name", [THING, "_"])
@pytest.mark.parametrize("name", LOOK_ALIKES.values(), ids=LOOK_ALIKES)
def test_an_empty_bucket_of_nearly_our_name_is_somebody_s(s3: S3Client, name: str, thing_name: str) -> None:
    """Neither marked by a run nor deleted by a clean."""
    make(s3, name)
    assert ensure(s3, name, thing_name=thing_name).verb is Verb.REUSED
    assert find_bucket_tags(s3, name, ACCOUNT) == {}
    assert decide(s3, name, thing_name).action is Action.KEEP


@pytest.mark.parametrize("versioned", [True, False])
def test_a_bucket_of_our_name_that_holds_something_is_not_claimed(s3: S3Client, versioned: bool) -> None:
    make(s3, NAME, versioned=versioned)
    s3.put_object(Bucket=NAME, Key="holiday.jpg", Body=b"x")
    if versioned:
        assert ensure(s3).verb is Verb.REUSED
    else:
        with pytest.raises(InTheWay, match="keeps no versions"):
            ensure(s3)
    assert find_bucket_tags(s3, NAME, ACCOUNT) == {}


def test_a_bucket_of_our_name_with_other_tags_is_not_claimed(s3: S3Client) -> None:
    make(s3, NAME, tags={"team": "lighting"})
    assert ensure(s3).verb is Verb.REUSED
    assert find_bucket_tags(s3, NAME, ACCOUNT) == {"team": "lighting"}


def test_a_foreign_bucket_is_reused_when_it_can_be_written(s3: S3Client, control: Control) -> None:
    make(s3)
    before = state(s3, CHOSEN) | {"tags": {}}
    outcome = ensure(s3, CHOSEN)
    assert outcome.verb is Verb.REUSED
    assert "not made by this tool" in outcome.detail
    assert "CreateMultipartUpload" in control.operations()
    assert state(s3, CHOSEN) == before


def test_a_foreign_bucket_that_cannot_be_written_is_refused(s3: S3Client, control: Control) -> None:
    make(s3)
    control.fail("CreateMultipartUpload", "access-denied")
    with pytest.raises(ClientError, match="AccessDenied"):
        ensure(s3, CHOSEN)


def test_a_write_check_that_another_run_has_dropped_already_is_fine(s3: S3Client, control: Control) -> None:
    make(s3)
    control.fail("AbortMultipartUpload", code="NoSuchUpload", status=404)
    assert ensure(s3, CHOSEN).verb is Verb.REUSED


def test_a_foreign_bucket_without_versions_is_refused_with_the_command_that_helps(s3: S3Client) -> None:
    make(s3, versioned=False)
    with pytest.raises(InTheWay) as caught:
        ensure(s3, CHOSEN)
    command = line_of(caught.value)
    assert command.startswith(
        f"aws s3api put-bucket-versioning --bucket {CHOSEN} --versioning-configuration Status=Enabled "
    )
    assert f"`{command}`" in str(caught.value)
    s3.put_bucket_versioning(Bucket=CHOSEN, VersioningConfiguration={"Status": "Enabled"})
    assert ensure(s3, CHOSEN).verb is Verb.REUSED


@pytest.mark.parametrize("has_asked_before", [False, True], ids=["followed", "known to be elsewhere"])
def test_a_bucket_in_another_region_is_refused_by_name_of_the_region(control: Control, has_asked_before: bool) -> None:
    elsewhere = client("s3", control.address, region_name="us-west-2")
    ensure(elsewhere)
    s3 = open_sandbox(control.address.endpoint_url, REGION).s3
    if has_asked_before:
        assert find_bucket_tags(s3, NAME, ACCOUNT) == marks(THING)
    with pytest.raises(InTheWay, match=r"is in us-west-2, and this run works in eu-west-1.*AWS_REGION=us-west-2"):
        ensure(s3)


def test_a_redirect_that_botocore_could_not_follow_is_refused_the_same_way(s3: S3Client) -> None:
    headers = {"x-amz-bucket-region": "us-west-2"}
    refused = {"Error": {"Code": "PermanentRedirect"}, "ResponseMetadata": {}}
    parsed = {"Error": {"Code": "301"}, "ResponseMetadata": {"HTTPHeaders": headers}}
    problem = pytest.raises(InTheWay, match="is in us-west-2, and this run works in eu-west-1")
    with answering(s3, "GetBucketTagging", 301, refused), answering(s3, "HeadBucket", 301, parsed), problem:
        find_bucket(s3, NAME, ACCOUNT)


def test_another_account_s_bucket_is_told_apart_from_a_free_name(s3: S3Client) -> None:
    make(s3)
    with pytest.raises(NotOurs, match=r"another AWS account, or these credentials lack the permission s3:ListBucket"):
        ensure(s3, CHOSEN, account_id="999999999999")
    with pytest.raises(NotOurs, match="shared by all accounts"):
        find_bucket_tags(s3, CHOSEN, "999999999999")


def test_a_name_that_another_account_takes_in_between_is_refused(s3: S3Client, control: Control) -> None:
    control.fail("CreateBucket", code="BucketAlreadyExists", status=409)
    with pytest.raises(NotOurs, match=r"belongs to another AWS account\. "):
        ensure(s3)


@pytest.mark.parametrize("name", [NAME, CHOSEN])
def test_a_bucket_that_another_run_makes_in_between_is_found(s3: S3Client, control: Control, name: str) -> None:
    ensure(s3, name)
    control.fail("GetBucketTagging", code="NoSuchBucket", status=404)
    assert ensure(s3, name).verb is Verb.REUSED


def test_a_name_that_s3_still_holds_after_a_delete_is_waited_for(s3: S3Client, control: Control) -> None:
    sleeps = Sleeps()
    control.fail("CreateBucket", code="OperationAborted", status=409, times=3)
    assert ensure(s3, sleep=sleeps).verb is Verb.CREATED
    assert sleeps == [2.0, 2.0, 2.0]


def test_waiting_for_a_name_has_an_end(s3: S3Client, control: Control) -> None:
    sleeps = Sleeps()
    control.fail("CreateBucket", code="OperationAborted", status=409, times=0)
    with pytest.raises(WaitTimeout, match=f"S3 still holds the name {NAME}, after 60 seconds"):
        ensure(s3, sleep=sleeps)
    assert sum(sleeps) == 60


@pytest.mark.parametrize("operation", ["GetBucketPolicy", "GetBucketTagging", "GetBucketVersioning", "DeleteBucket"])
def test_a_call_that_is_refused_says_so_itself(s3: S3Client, control: Control, operation: str) -> None:
    ensure(s3)
    control.fail(operation, code="InternalError", status=500)
    with pytest.raises(ClientError, match=operation):
        delete(s3) if operation == "DeleteBucket" else ensure(s3)


def test_creating_that_is_refused_says_so_itself(s3: S3Client, control: Control) -> None:
    control.fail("CreateBucket", "access-denied")
    with pytest.raises(ClientError, match="CreateBucket"):
        ensure(s3)


def test_a_refused_look_at_the_tags_of_our_own_account_s_bucket_names_that_permission(
    s3: S3Client, control: Control
) -> None:
    ensure(s3)
    control.fail("GetBucketTagging", "access-denied")
    with pytest.raises(ClientError, match="GetBucketTagging"):
        decide(s3)


def test_deleting_takes_the_known_image_and_the_bucket_in_two_calls(s3: S3Client, control: Control) -> None:
    ensure(s3)
    version = put(s3, IMAGE)
    control.clear_calls()
    assert delete(s3, image=(IMAGE, version)) == Outcome("bucket", Verb.DELETED, NAME)
    assert control.operations() == ["DeleteObject", "DeleteBucket"]
    assert not exists(s3)


@pytest.mark.parametrize("image", [None, (IMAGE, "v")])
def test_deleting_an_absent_bucket_is_a_success(s3: S3Client, image: tuple[str, str] | None) -> None:
    assert decide(s3).action is Action.ABSENT
    assert delete(s3, image=image) == Outcome("bucket", Verb.ABSENT, NAME)


def test_delete_bucket_removes_every_version_marker_and_upload_of_ours(s3: S3Client) -> None:
    ensure(s3)
    for _ in range(2):
        put(s3, IMAGE)
    s3.delete_object(Bucket=NAME, Key=IMAGE)
    s3.create_multipart_upload(Bucket=NAME, Key=f"{PREFIX}begun")
    s3.create_multipart_upload(Bucket=NAME, Key=bucket_contents.WRITE_CHECK_KEY)
    assert delete(s3).verb is Verb.DELETED
    assert not exists(s3)


def test_more_versions_than_one_page_holds_are_all_removed(s3: S3Client, control: Control) -> None:
    def small_pages(params: dict[str, Any], **_: object) -> None:
        params["MaxKeys"] = 2

    ensure(s3)
    for number in range(5):
        put(s3, f"{PREFIX}{number}")
    control.clear_calls()
    s3.meta.events.register("before-parameter-build.s3.ListObjectVersions", small_pages)
    try:
        assert delete(s3).verb is Verb.DELETED
    finally:
        s3.meta.events.unregister("before-parameter-build.s3.ListObjectVersions", small_pages)
    assert control.operations().count("DeleteObjects") == 3


def test_objects_that_are_not_ours_keep_our_bucket(s3: S3Client) -> None:
    ensure(s3)
    put(s3, IMAGE)
    put(s3, "holiday.jpg")
    others = find_others(s3, NAME, ACCOUNT, PREFIX)
    assert others == Others(("holiday.jpg",))
    decided = decide(s3, others=others)
    with pytest.raises(InTheWay, match=r"are no images of this thing, so it stays: holiday.jpg") as refused:
        delete(s3)
    assert decided.detail == refused.value.message
    assert keys(s3, NAME) == ["holiday.jpg"]


def test_without_a_prefix_anything_in_the_bucket_keeps_it(s3: S3Client) -> None:
    ensure(s3)
    put(s3, IMAGE)
    with pytest.raises(InTheWay, match=r"abc/app\.bin"):
        delete(s3, key_prefix=None)
    assert keys(s3, NAME) == [IMAGE]


def test_force_deletes_whatever_is_in_it(s3: S3Client) -> None:
    ensure(s3)
    put(s3, "holiday.jpg")
    s3.create_multipart_upload(Bucket=NAME, Key="begun")
    assert delete(s3, force=True).verb is Verb.DELETED
    assert not exists(s3)


@pytest.mark.parametrize(
    ("name", "tags"),
    [(CHOSEN, None), (CHOSEN, {"team": "lighting"}), (CHOSEN, marks("another-thing")), (NAME, marks("another-thing"))],
    ids=["untagged", "tagged", "another thing's", "our name, another thing's"],
)
def test_a_bucket_that_is_not_ours_stays_and_only_our_images_go(
    s3: S3Client, name: str, tags: dict[str, str] | None
) -> None:
    make(s3, name, tags=tags)
    put(s3, "holiday.jpg", name)
    put(s3, IMAGE, name)
    put(s3, IMAGE, name)
    for key in ("theirs", f"{PREFIX}begun"):
        s3.create_multipart_upload(Bucket=name, Key=key)
    way_out = "with --thing-name another-thing clean" if tags == marks("another-thing") else "clean --force"
    decided = decide(s3, name)
    assert (decided.action, f"`invoke {way_out}`" in str(decided.detail)) == (Action.KEEP, True)
    delete_images(s3, name, ACCOUNT, PREFIX)
    assert keys(s3, name) == ["holiday.jpg"]
    assert [one["Key"] for one in s3.list_multipart_uploads(Bucket=name)["Uploads"]] == ["theirs"]


def test_whoever_made_it_it_goes_when_no_thing_is_named(s3: S3Client) -> None:
    make(s3)
    put(s3, "holiday.jpg", CHOSEN)
    assert decide(s3, CHOSEN, owner=None, others=Others(("holiday.jpg",))).action is Action.DELETE
    assert delete(s3, CHOSEN, force=True).verb is Verb.DELETED


def test_a_cut_off_creation_is_cleaned_up(s3: S3Client) -> None:
    make(s3, NAME, versioned=False)
    assert decide(s3).action is Action.DELETE
    assert delete(s3).verb is Verb.DELETED


def test_a_bucket_that_something_still_needs_stays_whoever_made_it(s3: S3Client) -> None:
    need = InTheWay("an update needs it")
    ensure(s3)
    make(s3)
    assert [decide(s3, name, need=need).problem for name in (NAME, CHOSEN)] == [need, need]


def test_an_image_in_a_bucket_without_versions_is_deleted(s3: S3Client) -> None:
    make(s3, versioned=False)
    s3.put_object(Bucket=CHOSEN, Key=IMAGE, Body=b"x")
    assert delete(s3, CHOSEN, image=(IMAGE, None), key_prefix=None).verb is Verb.DELETED


def test_a_refused_delete_of_the_image_says_so_itself(s3: S3Client, control: Control) -> None:
    ensure(s3)
    control.fail("DeleteObject", "access-denied")
    with pytest.raises(ClientError, match="DeleteObject"):
        delete(s3, image=(IMAGE, "v"))


def test_objects_that_s3_keeps_back_are_named(s3: S3Client) -> None:
    ensure(s3)
    put(s3, IMAGE)
    error = {"Key": IMAGE, "Code": "AccessDenied", "Message": "Access Denied because object protected by object lock."}
    problem = pytest.raises(CloudError, match=rf"1 of 1 objects in the bucket {NAME}.*{IMAGE}.*object lock")
    with answering(s3, "DeleteObjects", 200, {"Errors": [error], "ResponseMetadata": {}}), problem:
        delete(s3)


def test_a_bucket_that_fills_up_again_is_given_up(s3: S3Client, control: Control) -> None:
    ensure(s3)
    control.fail("DeleteBucket", code="BucketNotEmpty", status=409, times=0)
    with pytest.raises(InTheWay, match="fills up again"):
        delete(s3)


def test_deleting_waits_while_s3_is_busy_with_the_bucket(s3: S3Client, control: Control) -> None:
    sleeps = Sleeps()
    ensure(s3)
    control.fail("DeleteBucket", code="OperationAborted", status=409, times=2)
    assert delete(s3, sleep=sleeps).verb is Verb.DELETED
    assert len(sleeps) == 2


def test_all_buckets_are_listed(s3: S3Client, control: Control) -> None:
    for number in range(3):
        make(s3, f"bucket-{number}")
    elsewhere = client("s3", control.address, region_name="us-west-2")
    ensure(elsewhere, "bucket-elsewhere")
    found = list(list_buckets(s3))
    assert sorted(one.name for one in found) == ["bucket-0", "bucket-1", "bucket-2", "bucket-elsewhere"]
    assert all(one.created_at for one in found)


def test_a_creation_cut_off_after_any_call_and_repeated_ends_the_same(s3: S3Client, control: Control) -> None:
    ensure(s3)
    undisturbed = state(s3)
    states = repeated_after_every_kill(s3, control.reset, lambda: ensure(s3), lambda: state(s3))
    assert states == [(nth, undisturbed) for nth in range(1, 7)]


def test_cleaning_after_a_creation_cut_off_after_any_call_leaves_nothing(s3: S3Client, control: Control) -> None:
    from tests.interruptions import Killed, killed_after

    for nth in range(1, 7):
        control.reset()
        with killed_after(s3, nth), pytest.raises(Killed):
            ensure(s3)
        if decide(s3).action is Action.DELETE:
            delete(s3)
        assert not exists(s3)


def test_a_deletion_cut_off_after_any_call_and_repeated_leaves_nothing(s3: S3Client, control: Control) -> None:
    def prepare() -> None:
        control.reset()
        ensure(s3)
        put(s3, IMAGE)
        s3.create_multipart_upload(Bucket=NAME, Key=f"{PREFIX}begun")

    states = repeated_after_every_kill(s3, prepare, lambda: delete(s3), lambda: exists(s3))
    assert len(states) > 5
    assert not any(there for _, there in states)


def test_a_reuse_cut_off_after_any_call_and_repeated_leaves_no_trace(s3: S3Client, control: Control) -> None:
    def prepare() -> None:
        control.reset()
        make(s3)

    prepare()
    untouched = state(s3, CHOSEN)
    states = repeated_after_every_kill(s3, prepare, lambda: ensure(s3, CHOSEN), lambda: state(s3, CHOSEN))
    assert len(states) == 7
    assert [found for _, found in states] == [untouched] * 7
