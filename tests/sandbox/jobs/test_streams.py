"""Streams: bound to their objects, versioned, refused when unreadable; and the blocks a device gets of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ota.sandbox.jobs.model import StreamFile
from ota.sandbox.jobs.state import Region, Sandbox
from ota.sandbox.jobs.streams import StreamError, add_stream, describe, get_blocks
from ota.sandbox.process import Address
from tests.sandbox_control import Control
from tests.sandbox_world import BUCKET, IMAGE, KEY, ROLE, ROLE_ARN, Kept, World, make_world, role_document

LOCATION = {"bucket": BUCKET, "key": KEY}
FILES = [{"fileId": 1, "s3Location": LOCATION}]


@pytest.fixture(scope="module")
def kept_world(sandbox: Address, kept_clients: Callable[[str], Any]) -> Kept[World]:
    return Kept(Control(sandbox), lambda: make_world(kept_clients))


@pytest.fixture
def same_world(kept_world: Kept[World]) -> World:
    """The world that tests share which change nothing."""
    return kept_world.get()


def refusal(call: Any, **params: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    error = caught.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Message"]


def test_stream_is_made_described_listed_and_deleted(world: World) -> None:
    made = world.iot.create_stream(streamId="s1", files=FILES, roleArn=ROLE_ARN, description="an image")
    assert made["streamVersion"] == 1
    info = world.iot.describe_stream(streamId="s1")["streamInfo"]
    assert info["files"] == FILES
    assert info["description"] == "an image"
    assert info["streamArn"] == made["streamArn"]
    assert [one["streamId"] for one in world.iot.list_streams()["streams"]] == ["s1"]
    world.iot.delete_stream(streamId="s1")
    assert refusal(world.iot.describe_stream, streamId="s1")[:2] == ("ResourceNotFoundException", 404)


def test_update_raises_the_version(world: World) -> None:
    world.iot.create_stream(streamId="s1", files=FILES, roleArn=ROLE_ARN)
    changed = world.iot.update_stream(streamId="s1", description="other", files=[{"fileId": 2, "s3Location": LOCATION}])
    assert changed["streamVersion"] == 2
    info = world.iot.describe_stream(streamId="s1")["streamInfo"]
    assert (info["description"], info["files"][0]["fileId"]) == ("other", 2)


@pytest.mark.parametrize(
    ("changes", "code", "status", "word"),
    [
        ({"streamId": "a:b"}, "InvalidRequestException", 400, "streamId"),
        ({"files": FILES * 51}, "InvalidRequestException", 400, "50"),
        ({"files": FILES * 2}, "InvalidRequestException", 400, "fileId"),
        ({"files": [{"fileId": 256, "s3Location": LOCATION}]}, "InvalidRequestException", 400, "255"),
        ({"files": [{"fileId": 1, "s3Location": {"bucket": BUCKET}}]}, "InvalidRequestException", 400, "key"),
        ({"files": [{"fileId": 1, "s3Location": {**LOCATION, "key": "none"}}]}, "InvalidRequestException", 400, "none"),
        ({"roleArn": ROLE_ARN + "-gone"}, "InvalidRequestException", 400, "assume"),
    ],
    ids=["bad id", "too many files", "file id twice", "file id too large", "no key", "missing object", "missing role"],
)
def test_wrong_streams_are_refused(
    same_world: World, changes: dict[str, Any], code: str, status: int, word: str
) -> None:
    found = refusal(same_world.iot.create_stream, **{"streamId": "s1", "files": FILES, "roleArn": ROLE_ARN, **changes})
    assert found[:2] == (code, status)
    assert word in found[2]


def test_role_must_be_allowed_to_read(world: World) -> None:
    document = role_document(leave_out="s3:GetObject")
    world.iam.put_role_policy(RoleName=ROLE, PolicyName="ota", PolicyDocument=document)
    found = refusal(world.iot.create_stream, streamId="s1", files=FILES, roleArn=ROLE_ARN)
    assert "s3:GetObject" in found[2]


def test_id_in_use_is_a_conflict(world: World) -> None:
    world.iot.create_stream(streamId="s1", files=FILES, roleArn=ROLE_ARN)
    found = refusal(world.iot.create_stream, streamId="s1", files=FILES, roleArn=ROLE_ARN)
    assert found[:2] == ("ResourceAlreadyExistsException", 409)


def test_stream_of_a_running_update_can_not_be_deleted(world: World) -> None:
    world.create()
    stream = world.iot.list_streams()["streams"][0]["streamId"]
    assert refusal(world.iot.delete_stream, streamId=stream)[:2] == ("DeleteConflictException", 409)


def test_list_streams_goes_either_way(world: World) -> None:
    for stream in ("s1", "s2"):
        world.iot.create_stream(streamId=stream, files=FILES, roleArn=ROLE_ARN)
    ids = [[one["streamId"] for one in world.iot.list_streams(ascendingOrder=up)["streams"]] for up in (True, False)]
    assert ids == [["s1", "s2"], ["s2", "s1"]]


@pytest.mark.parametrize("operation", ["describe_stream", "update_stream", "delete_stream"])
def test_unknown_stream_is_not_found(world: World, operation: str) -> None:
    assert refusal(getattr(world.iot, operation), streamId="nobody")[:2] == ("ResourceNotFoundException", 404)


# What a device gets, asked of the functions that every transport shares.


@pytest.fixture
def region() -> Region:
    """A region with stream ``s1`` of one stored file, number 0."""
    from moto.s3.models import s3_backends

    backend = s3_backends["111122223333"]["aws"]
    backend.reset()
    backend.create_bucket(BUCKET, "us-east-1")
    key = backend.put_object(BUCKET, KEY, IMAGE)
    region = Sandbox().region("111122223333", "us-east-1")
    add_stream(region, "s1", ROLE_ARN, (StreamFile(0, dict(LOCATION), None, key.etag, len(IMAGE)),), "an image")
    return region


def put_again(region: Region) -> None:
    from moto.s3.models import s3_backends

    s3_backends[region.account_id]["aws"].put_object(BUCKET, KEY, b"something else")


def test_description_names_version_and_sizes(region: Region) -> None:
    answer = describe(region, "s1", {"c": "token"})
    assert answer == {"c": "token", "s": 1, "d": "an image", "r": [{"f": 0, "z": len(IMAGE)}]}


def test_blocks_are_cut_at_the_block_size_and_the_last_one_is_short(region: Region) -> None:
    blocks = get_blocks(region, "s1", {"f": 0, "l": 4096})
    assert [(one["i"], one["l"]) for one in blocks] == [(0, 4096), (1, 4096), (2, len(IMAGE) - 8192)]
    assert b"".join(one["p"] for one in blocks) == IMAGE
    assert list(blocks[0]) == ["f", "l", "i", "p"]


@pytest.mark.parametrize(
    ("request_", "indexes"),
    [
        ({"l": 1024, "o": 2, "n": 3}, [2, 3, 4]),
        ({"l": 1024, "b": bytes([0b101])}, [0, 2]),
        ({"l": 1024, "o": 3, "b": bytes([0b10, 0b1])}, [4]),
        ({"l": 1024, "b": b"MQ==", "n": 1}, [0]),
        ({"l": 1024, "o": 8, "n": 100}, [8, 9]),
        ({"l": 1024, "s": 1}, list(range(10))),
    ],
    ids=["offset and count", "bitmap", "bitmap past the end", "bitmap and count", "cut at the end", "right version"],
)
def test_offset_count_and_bitmap_choose_the_blocks(
    region: Region, request_: dict[str, Any], indexes: list[int]
) -> None:
    assert [one["i"] for one in get_blocks(region, "s1", {"f": 0, **request_})] == indexes


@pytest.mark.parametrize(
    ("stream", "request_", "code"),
    [
        ("none", {"f": 0, "l": 4096}, "ResourceNotFound"),
        ("s1", {"f": 5, "l": 4096}, "ResourceNotFound"),
        ("s1", {"f": 0, "l": 4096, "s": 2}, "VersionMismatch"),
        ("s1", {"f": 0, "l": 255}, "BlockSizeOutOfBounds"),
        ("s1", {"f": 0, "l": 131073}, "BlockSizeOutOfBounds"),
        ("s1", {"f": 0, "l": "256"}, "InvalidRequest"),
        ("s1", {"l": 4096}, "InvalidRequest"),
        ("s1", {"f": 0, "l": 4096, "o": 3}, "OffsetOutOfBounds"),
        ("s1", {"f": 0, "l": 4096, "o": 98305}, "OffsetOutOfBounds"),
        ("s1", {"f": 0, "l": 4096, "n": 98305}, "BlockCountLimitExceeded"),
        ("s1", {"f": 0, "l": 4096, "b": bytes(12289)}, "BlockBitmapLimitExceeded"),
        ("s1", {"f": 0, "l": 4096, "c": "x" * 65}, "InvalidRequest"),
    ],
)
def test_wrong_requests_have_their_own_codes(region: Region, stream: str, request_: dict[str, Any], code: str) -> None:
    with pytest.raises(StreamError) as caught:
        get_blocks(region, stream, request_)
    assert caught.value.code == code


def test_no_more_than_128_kib_come_of_one_request(region: Region) -> None:
    from moto.s3.models import s3_backends

    key = s3_backends[region.account_id]["aws"].put_object(BUCKET, "big", bytes(300_000))
    file = StreamFile(0, {"bucket": BUCKET, "key": "big"}, None, key.etag, 300_000)
    add_stream(region, "big", ROLE_ARN, (file,))
    assert sum(one["l"] for one in get_blocks(region, "big", {"f": 0, "l": 4096, "n": 1000})) == 131072


def test_another_upload_to_the_same_key_is_told_from_the_file_that_was_meant(region: Region) -> None:
    put_again(region)
    with pytest.raises(StreamError) as caught:
        get_blocks(region, "s1", {"f": 0, "l": 4096})
    assert caught.value.code == "ETagMismatch"


def test_a_block_declared_lost_is_left_out_that_often(region: Region) -> None:
    region.sandbox.lost_blocks[1] = 1
    asked = [[one["i"] for one in get_blocks(region, "s1", {"f": 0, "l": 4096})] for _ in range(2)]
    assert asked == [[0, 2], [0, 1, 2]]
