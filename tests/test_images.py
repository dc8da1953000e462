from __future__ import annotations

import base64
import hashlib
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from ota.errors import FirmwareError
from ota.images import (
    MAX_IMAGE_BYTES,
    ImageFile,
    ImageLocation,
    WantedImage,
    decide_image,
    image_key,
    image_prefix,
    is_uploaded,
    make_image,
    read_image,
)
from ota.outcomes import Action, Outcome, Verb
from tests.interruptions import repeated_after_every_kill
from tests.sandbox_control import Control

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ACCOUNT = "123456789012"
BUCKET = "lamp-ota-123456789012"
CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
KEY = image_key("lamp", SHA256, "app-update_signed.bin")


@pytest.fixture
def image_path(tmp_path: Path) -> Path:
    path = tmp_path / "app-update_signed.bin"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def bucket(s3: S3Client) -> str:
    make_bucket(s3)
    return BUCKET


def make_bucket(s3: S3Client, *, status: Any = "Enabled") -> None:
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    if status:
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": status})


def upload(s3: S3Client, path: Path, progress: list[int] | None = None) -> Outcome[ImageLocation]:
    told = progress if progress is not None else []
    return upload_file(s3, read_image(path), told.append)


def upload_file(
    s3: S3Client, file: ImageFile, on_progress: Callable[[int], None], account_id: str = ACCOUNT
) -> Outcome[ImageLocation]:
    """What a run does: decide and make, without a look."""
    change = decide_image(WantedImage(BUCKET, KEY, account_id, file), is_uploaded=False)
    return make_image(s3, change, on_progress)


def versions(s3: S3Client) -> list[str]:
    return [one["VersionId"] for one in s3.list_object_versions(Bucket=BUCKET).get("Versions", [])]


def test_the_key_carries_thing_hash_and_file_name() -> None:
    assert image_key("lamp", "AB" * 32, "app.bin") == f"ota-tasks/lamp/{'ab' * 32}/app.bin"
    assert image_key("lamp", SHA256, "my app (1).bin").endswith("/my-app-1-.bin")
    assert KEY.startswith(image_prefix("lamp"))


@pytest.mark.usefixtures("bucket")
def test_an_image_is_uploaded_with_one_call_and_its_version_pinned(
    s3: S3Client, image_path: Path, control: Control
) -> None:
    control.clear_calls()
    outcome = upload(s3, image_path)
    assert control.operations() == ["PutObject"]
    assert outcome.verb is Verb.CREATED
    assert outcome.get() == ImageLocation(BUCKET, KEY, versions(s3)[0], len(CONTENT))
    assert s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == CONTENT


@pytest.mark.usefixtures("bucket")
def test_the_same_content_is_not_uploaded_twice(s3: S3Client, image_path: Path) -> None:
    first = upload(s3, image_path)
    again = upload(s3, image_path)
    assert again.verb is Verb.REUSED
    assert again.get() == first.get()
    assert len(versions(s3)) == 1


@pytest.mark.usefixtures("bucket")
def test_an_object_is_reused_only_where_it_has_the_wanted_content(s3: S3Client, image_path: Path) -> None:
    wanted = WantedImage(BUCKET, KEY, ACCOUNT, read_image(image_path))
    decided = [decide_image(wanted, is_uploaded=is_uploaded(s3, wanted))]
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"other", ChecksumAlgorithm="SHA256")
    decided.append(decide_image(wanted, is_uploaded=is_uploaded(s3, wanted)))
    upload(s3, image_path)
    decided.append(decide_image(wanted, is_uploaded=is_uploaded(s3, wanted)))
    assert [change.action for change in decided] == [Action.UPLOAD, Action.UPLOAD, Action.REUSE]


@pytest.mark.usefixtures("bucket")
def test_other_content_under_our_key_is_overlaid_by_the_image(s3: S3Client, image_path: Path) -> None:
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"other", ChecksumAlgorithm="SHA256")
    outcome = upload(s3, image_path)
    assert outcome.verb is Verb.CREATED
    assert s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == CONTENT
    assert s3.head_object(Bucket=BUCKET, Key=KEY)["VersionId"] == outcome.get().version_id


@pytest.mark.parametrize("status", [None, "Suspended"])
def test_a_bucket_without_versions_gives_no_version(s3: S3Client, image_path: Path, status: str | None) -> None:
    make_bucket(s3, status=status)
    assert upload(s3, image_path).get().version_id is None


@pytest.mark.usefixtures("bucket")
def test_progress_counts_from_the_start_of_the_file_and_reaches_its_end(s3: S3Client, image_path: Path) -> None:
    progress: list[int] = []
    upload(s3, image_path, progress=progress)
    assert max(progress) == progress[-1] == len(CONTENT)
    assert len(progress) > 1


@pytest.mark.usefixtures("bucket")
def test_an_upload_that_botocore_sends_again_is_whole_and_counted_anew(
    s3: S3Client, image_path: Path, control: Control
) -> None:
    from tests.conftest import client

    control.fail("PutObject", code="SlowDown", status=503)
    progress: list[int] = []
    retrying = client("s3", control.address, config=None)
    outcome = upload(retrying, image_path, progress=progress)
    assert outcome.verb is Verb.CREATED
    assert control.operations().count("PutObject") == 2
    assert max(progress) == progress[-1] == len(CONTENT)
    assert any(later < earlier for earlier, later in itertools.pairwise(progress))
    assert s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == CONTENT


def flip(path: Path) -> None:
    """Another image of the same size, differing in its first byte: what was sent already by the time of a swap."""
    path.write_bytes(bytes([CONTENT[0] ^ 1]) + CONTENT[1:])


def flip_end(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"?")


def cut(path: Path) -> None:
    os.truncate(path, len(CONTENT) // 2)


CHANGES = [flip, flip_end, cut, Path.unlink]


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("change", CHANGES)
def test_an_image_that_changed_since_it_was_proven_is_not_stored(
    s3: S3Client, image_path: Path, change: Callable[[Path], None]
) -> None:
    image = read_image(image_path)
    change(image_path)
    with pytest.raises(FirmwareError, match=r"changed after it was proven, and nothing was uploaded"):
        upload_file(s3, image, lambda _: None)
    assert versions(s3) == []


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("change", [flip_end, cut])
@pytest.mark.parametrize("share", [0, 0.9, 1], ids=["as it begins", "near its end", "before it is sent again"])
def test_an_image_that_changes_during_its_upload_is_not_stored(
    s3: S3Client, image_path: Path, control: Control, change: Callable[[Path], None], share: float
) -> None:
    from tests.conftest import client

    image_path.write_bytes(CONTENT * 12)
    image = read_image(image_path)
    if share == 1:
        control.fail("PutObject", code="SlowDown", status=503)
    changes: list[int] = []

    def on_progress(done: int) -> None:
        if done >= share * image.size_bytes and not changes:
            change(image_path)
            changes.append(done)

    retrying = client("s3", control.address, config=None)
    with pytest.raises(FirmwareError, match=r"changed after it was proven"):
        upload_file(retrying, image, on_progress)
    assert len(changes) == 1
    assert versions(s3) == []


@pytest.mark.usefixtures("bucket")
def test_a_file_that_grows_and_an_image_that_comes_back_are_the_proven_one(s3: S3Client, image_path: Path) -> None:
    image = read_image(image_path)
    flip(image_path)
    image_path.write_bytes(CONTENT + b"more")
    location = upload_file(s3, image, lambda _: None).get()
    assert location.size_bytes == len(CONTENT)
    assert s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == CONTENT


@pytest.mark.parametrize(("size_bytes", "message"), [(0, "is empty"), (MAX_IMAGE_BYTES + 1, "at most 16,777,216")])
def test_an_image_of_a_size_that_cannot_be_delivered_is_refused_before_any_call(
    s3: S3Client, image_path: Path, control: Control, size_bytes: int, message: str
) -> None:
    with image_path.open("wb") as file:
        file.truncate(size_bytes)
    control.clear_calls()
    with pytest.raises(FirmwareError, match=message):
        upload(s3, image_path)
    assert control.operations() == []


@pytest.mark.usefixtures("bucket")
def test_another_account_s_bucket_gets_nothing(s3: S3Client, image_path: Path) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        upload_file(s3, read_image(image_path), lambda _: None, account_id="999999999999")
    assert versions(s3) == []


def test_an_upload_cut_off_anywhere_and_repeated_leaves_one_version(
    s3: S3Client, image_path: Path, control: Control
) -> None:
    def prepare() -> None:
        control.reset()
        make_bucket(s3)

    states = repeated_after_every_kill(s3, prepare, lambda: upload(s3, image_path), lambda: len(versions(s3)))
    assert states == [(1, 1)]


@pytest.mark.usefixtures("bucket")
def test_s3_is_told_the_hash_that_was_proven(s3: S3Client, image_path: Path) -> None:
    upload(s3, image_path)
    stored = s3.head_object(Bucket=BUCKET, Key=KEY, ChecksumMode="ENABLED")["ChecksumSHA256"]
    assert base64.b64decode(stored).hex() == SHA256
