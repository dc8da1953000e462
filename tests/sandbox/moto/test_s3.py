"""Buckets and objects, as strict as S3."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.conftest import ACCOUNT, REGION, client
from tests.sandbox.iot_calls import refused

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from ota.sandbox.process import Address
    from tests.sandbox_control import Control

NAME = "lamp-bucket"
HERE: Any = {"LocationConstraint": REGION}
STRANGER = "999999999999"


@pytest.fixture
def bucket(s3: S3Client) -> str:
    s3.create_bucket(Bucket=NAME, CreateBucketConfiguration=HERE)
    return NAME


@pytest.fixture
def stranger(clean_sandbox: Address) -> S3Client:
    """A client of another account."""
    s3 = client("s3", clean_sandbox)

    def name_account(params: dict[str, Any], **_: Any) -> None:
        params["headers"]["x-moto-account-id"] = STRANGER

    s3.meta.events.register("before-call", name_account)
    return s3


def sha256(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


@pytest.mark.parametrize("name", ["Lamp-Bucket", "lamp_bucket", "192.168.1.1", "xn--lamp", "lamp-s3alias", "a..b"])
def test_illegal_bucket_names_are_refused(s3: S3Client, name: str) -> None:
    found = refused(s3.create_bucket, Bucket=name, CreateBucketConfiguration=HERE)
    assert found == ("InvalidBucketName", 400)


def test_a_new_bucket_is_closed_owned_and_encrypted(s3: S3Client, bucket: str) -> None:
    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert list(block.values()) == [True] * 4
    rules = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    for _ in range(2):
        found = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
        assert found["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
        s3.delete_bucket_encryption(Bucket=bucket)
    assert s3.put_object(Bucket=bucket, Key="k", Body=b"1")["ServerSideEncryption"] == "AES256"


def test_the_location_must_fit_the_region(s3: S3Client, clean_sandbox: Address) -> None:
    elsewhere: Any = {"LocationConstraint": "us-west-2"}
    assert refused(s3.create_bucket, Bucket=NAME) == ("IllegalLocationConstraintException", 400)
    found = refused(s3.create_bucket, Bucket=NAME, CreateBucketConfiguration=elsewhere)
    assert found == ("IllegalLocationConstraintException", 400)
    virginia = client("s3", clean_sandbox, region_name="us-east-1")
    itself: Any = {"LocationConstraint": "us-east-1"}
    found = refused(virginia.create_bucket, Bucket=NAME, CreateBucketConfiguration=itself)
    assert found == ("InvalidLocationConstraint", 400)


def test_ones_own_bucket_again(s3: S3Client, bucket: str, clean_sandbox: Address) -> None:
    found = refused(s3.create_bucket, Bucket=bucket, CreateBucketConfiguration=HERE)
    assert found == ("BucketAlreadyOwnedByYou", 409)
    virginia = client("s3", clean_sandbox, region_name="us-east-1")
    for _ in range(2):
        virginia.create_bucket(Bucket="old-bucket")


def test_a_bucket_of_another_account_is_taken_and_shut(s3: S3Client, stranger: S3Client) -> None:
    stranger.create_bucket(Bucket=NAME, CreateBucketConfiguration=HERE)
    stranger.put_object(Bucket=NAME, Key="k", Body=b"1")
    found = refused(s3.create_bucket, Bucket=NAME, CreateBucketConfiguration=HERE)
    assert found == ("BucketAlreadyExists", 409)
    assert refused(s3.head_bucket, Bucket=NAME) == ("403", 403)
    assert refused(s3.get_object, Bucket=NAME, Key="k") == ("AccessDenied", 403)
    assert refused(s3.put_object, Bucket=NAME, Key="k", Body=b"2") == ("AccessDenied", 403)
    assert refused(s3.delete_bucket, Bucket=NAME) == ("AccessDenied", 403)
    assert s3.list_buckets()["Buckets"] == []
    assert stranger.get_object(Bucket=NAME, Key="k")["Body"].read() == b"1"


def test_a_missing_bucket_is_a_bare_404_for_head(s3: S3Client) -> None:
    assert refused(s3.head_bucket, Bucket=NAME) == ("404", 404)
    with pytest.raises(s3.exceptions.NoSuchBucket):
        s3.list_objects_v2(Bucket=NAME)


def test_the_expected_owner_must_be_the_owner(s3: S3Client, bucket: str) -> None:
    s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=ACCOUNT)
    s3.put_object(Bucket=bucket, Key="k", Body=b"1", ExpectedBucketOwner=ACCOUNT)
    assert refused(s3.head_bucket, Bucket=bucket, ExpectedBucketOwner=STRANGER) == ("403", 403)
    put: dict[str, Any] = {"Bucket": bucket, "Key": "k", "Body": b"2", "ExpectedBucketOwner": STRANGER}
    assert refused(s3.put_object, **put) == ("AccessDenied", 403)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"1"


def test_acls_that_open_anything_are_refused(s3: S3Client, bucket: str) -> None:
    no_acls = ("AccessControlListNotSupported", 400)
    s3.create_bucket(Bucket="private-bucket", ACL="private", CreateBucketConfiguration=HERE)
    create: dict[str, Any] = {"Bucket": "public-bucket", "CreateBucketConfiguration": HERE}
    assert refused(s3.create_bucket, ACL="public-read", **create) == no_acls
    assert refused(s3.put_bucket_acl, Bucket=bucket, ACL="public-read") == no_acls
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"1", ACL="public-read") == no_acls
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"1", GrantRead="id=x") == no_acls
    s3.put_object(Bucket=bucket, Key="k", Body=b"1", ACL="bucket-owner-full-control")
    assert "public-bucket" not in [one["Name"] for one in s3.list_buckets()["Buckets"]]


def policy(**fields: Any) -> str:
    one = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{NAME}/*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [{**one, **fields}]})


def test_a_public_policy_is_blocked_and_a_tls_only_policy_is_not(s3: S3Client, bucket: str) -> None:
    assert refused(s3.put_bucket_policy, Bucket=bucket, Policy=policy()) == ("AccessDenied", 403)
    insecure = {"Bool": {"aws:SecureTransport": "false"}}
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(Effect="Deny", Action="s3:PutBucketAcl", Condition=insecure))
    s3.delete_public_access_block(Bucket=bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=policy())


def test_a_checksum_is_compared_and_kept(s3: S3Client, bucket: str) -> None:
    put: dict[str, Any] = {"Bucket": bucket, "Key": "k", "ChecksumSHA256": sha256(b"image")}
    assert s3.put_object(**put, Body=b"image")["ChecksumSHA256"] == sha256(b"image")
    assert refused(s3.put_object, **put, Body=b"other") == ("BadDigest", 400)
    found = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (found["ChecksumSHA256"], found["ContentLength"]) == (sha256(b"image"), 5)


@pytest.mark.parametrize("algorithm", ["SHA256", "SHA1", "CRC32"])
def test_the_client_computes_a_checksum_when_asked(s3: S3Client, bucket: str, algorithm: Any) -> None:
    made: Any = s3.put_object(Bucket=bucket, Key="k", Body=b"image", ChecksumAlgorithm=algorithm)
    found: Any = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert made[f"Checksum{algorithm}"] == found[f"Checksum{algorithm}"]


def test_a_wrong_md5_is_refused(s3: S3Client, bucket: str) -> None:
    wrong = base64.b64encode(hashlib.md5(b"other", usedforsecurity=False).digest()).decode()
    found = refused(s3.put_object, Bucket=bucket, Key="k", Body=b"image", ContentMD5=wrong)
    assert found == ("BadDigest", 400)


def test_a_bucket_goes_when_every_version_and_marker_is_gone(s3: S3Client, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    marker = s3.delete_object(Bucket=bucket, Key="k")["VersionId"]
    assert refused(s3.delete_bucket, Bucket=bucket) == ("BucketNotEmpty", 409)
    s3.delete_object(Bucket=bucket, Key="k", VersionId=version)
    assert refused(s3.delete_bucket, Bucket=bucket) == ("BucketNotEmpty", 409)
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k", "VersionId": marker}]})
    s3.delete_bucket(Bucket=bucket)
    assert refused(s3.head_bucket, Bucket=bucket) == ("404", 404)


def test_a_new_bucket_has_nothing_of_the_one_before_it(s3: S3Client, bucket: str) -> None:
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "managed-by", "Value": "ota-tasks"}]})
    s3.delete_bucket(Bucket=bucket)
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=HERE)
    assert refused(s3.get_bucket_tagging, Bucket=bucket) == ("NoSuchTagSet", 404)


def test_an_unfinished_upload_goes_with_its_bucket(s3: S3Client, bucket: str) -> None:
    """Of moto's tests that are verified against AWS, one begins an upload and deletes the bucket."""
    s3.create_multipart_upload(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=HERE)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({}, "InvalidRequest", id="nothing"),
        pytest.param({"Metadata": {"a": "b"}}, "InvalidRequest", id="metadata without the directive"),
        pytest.param({"MetadataDirective": "REPLACE"}, "", id="directive"),
        pytest.param({"StorageClass": "STANDARD"}, "", id="storage class"),
        pytest.param({"ServerSideEncryption": "AES256"}, "", id="encryption"),
        pytest.param({"WebsiteRedirectLocation": "/k2"}, "", id="redirection"),
    ],
)
def test_a_copy_onto_itself_must_change_something(
    s3: S3Client, bucket: str, changes: dict[str, Any], code: str
) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    where = {"Bucket": bucket, "Key": "k", "CopySource": {"Bucket": bucket, "Key": "k"}, **changes}
    if code:
        assert refused(s3.copy_object, **where) == (code, 400)
    else:
        s3.copy_object(**where)
    s3.copy_object(**{**where, "Key": "other"})


def test_a_version_is_copied_onto_its_object(s3: S3Client, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    s3.copy_object(Bucket=bucket, Key="k", CopySource={"Bucket": bucket, "Key": "k", "VersionId": version})
    assert len(s3.list_object_versions(Bucket=bucket)["Versions"]) == 2
    same = {"Bucket": bucket, "Key": "k"}
    assert refused(s3.copy_object, **same, CopySource=same) == ("InvalidRequest", 400)


def test_a_large_file_arrives_whole(s3: S3Client, bucket: str, tmp_path: Any) -> None:
    content = bytes(range(256)) * 40_000
    path = tmp_path / "image.bin"
    path.write_bytes(content)
    s3.upload_file(str(path), bucket, "image")
    assert s3.get_object(Bucket=bucket, Key="image")["Body"].read() == content


@pytest.mark.parametrize("status", ["Off", "enabled"])
def test_versioning_is_enabled_or_suspended(s3: S3Client, bucket: str, status: Any) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    found = refused(s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration={"Status": status})
    assert found == ("MalformedXML", 400)
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"


def test_a_policy_that_is_no_json_is_refused(s3: S3Client, bucket: str) -> None:
    assert refused(s3.put_bucket_policy, Bucket=bucket, Policy="{") == ("MalformedPolicy", 400)


def test_a_key_has_at_most_1024_bytes(s3: S3Client, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="ä" * 512, Body=b"")
    assert refused(s3.put_object, Bucket=bucket, Key="ä" * 512 + "k", Body=b"") == ("KeyTooLongError", 400)


def test_a_list_goes_on_only_where_it_ended(s3: S3Client, bucket: str) -> None:
    for key in ("a", "b"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    token = s3.list_objects_v2(Bucket=bucket, MaxKeys=1)["NextContinuationToken"]
    rest = s3.list_objects_v2(Bucket=bucket, ContinuationToken=token)["Contents"]
    assert [one["Key"] for one in rest] == ["b"]
    assert refused(s3.list_objects_v2, Bucket=bucket, ContinuationToken="x") == ("InvalidArgument", 400)


def test_a_failure_of_the_sandbox_itself_is_an_internal_failure_of_the_service(
    clean_sandbox: Address, bucket: str
) -> None:
    """An object without a name: moto fails on it, and only a client that checks nothing asks for it."""
    config = Config(parameter_validation=False, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    careless = client("s3", clean_sandbox, config=config)
    assert refused(careless.put_object, Bucket=bucket, Key="", Body=b"x") == ("InternalFailure", 500)


def test_a_bucket_policy_is_answered_with_nothing_and_its_conditions_count(s3: S3Client, bucket: str) -> None:
    everything = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [f"arn:aws:s3:::{bucket}/*"]}
    for secure, is_refused in (("false", False), ("true", True)):
        statement = {**everything, "Condition": {"Bool": {"aws:SecureTransport": secure}}}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        answer = s3.put_bucket_policy(Bucket=bucket, Policy=policy)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
        if is_refused:
            with pytest.raises(ClientError, match="403"):
                s3.head_object(Bucket=bucket, Key="k")
        else:
            s3.put_object(Bucket=bucket, Key="k", Body=b"x")


def test_a_policy_for_others_says_nothing_of_this_account(s3: S3Client, bucket: str) -> None:
    other = {"Effect": "Deny", "Principal": {"AWS": "arn:aws:iam::999999999999:root"}, "Action": "s3:*"}
    statement = {**other, "Resource": [f"arn:aws:s3:::{bucket}/*"]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")


def test_a_bucket_in_another_region_sends_its_callers_there(control: Control) -> None:
    elsewhere = client("s3", control.address, region_name="us-west-2")
    elsewhere.create_bucket(Bucket=NAME, CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    followed = client("s3", control.address)
    followed.put_object(Bucket=NAME, Key="k", Body=b"x")
    statuses = [(call["operation"], call["status"]) for call in control.calls()]
    assert statuses[1:] == [("PutObject", 301), ("PutObject", 200)]
