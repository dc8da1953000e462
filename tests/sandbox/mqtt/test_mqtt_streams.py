"""A device reads its image over MQTT as against AWS: description, blocks in JSON and CBOR, every rejection."""

from __future__ import annotations

import base64
import json
import random
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ota.sandbox.process import Address
from tests import raw_mqtt
from tests.mqtt_world import Device, make_device
from tests.raw_mqtt import RawClient, Received
from tests.sandbox_control import Control
from tests.sandbox_world import BUCKET, IMAGE, KEY, ROLE_ARN, Kept, World, make_world

cbor2 = pytest.importorskip("cbor2")

BLOCK = 4096
BLOCKS = [IMAGE[begin : begin + BLOCK] for begin in range(0, len(IMAGE), BLOCK)]


@pytest.fixture
def lamp(world: World, clean_sandbox: Address, tmp_path: Path) -> Device:
    """A device, and a stream called s with one file, number 0."""
    make_stream(world, "s", KEY)
    return make_device(world.iot, clean_sandbox, tmp_path)


@pytest.fixture
def client(lamp: Device) -> Iterator[RawClient]:
    with lamp.connect() as connected:
        yield connected


@pytest.fixture(scope="module")
def kept_lamp(
    sandbox: Address, kept_clients: Callable[[str], Any], tmp_path_factory: pytest.TempPathFactory
) -> Kept[Device]:
    """Such a device, for tests that change nothing."""

    def make() -> Device:
        world = make_world(kept_clients)
        make_stream(world, "s", KEY)
        return make_device(world.iot, sandbox, tmp_path_factory.mktemp("lamp"))

    return Kept(Control(sandbox), make)


@pytest.fixture
def reader(kept_lamp: Kept[Device]) -> Iterator[RawClient]:
    """A connection that changes nothing."""
    with kept_lamp.get().connect() as connected:
        yield connected


def make_stream(world: World, stream_id: str, key: str) -> None:
    files = [{"fileId": 0, "s3Location": {"bucket": BUCKET, "key": key}}]
    world.iot.create_stream(streamId=stream_id, files=files, roleArn=ROLE_ARN, description="the lamp's image")


def ask(
    client: RawClient, request: Any, form: str = "json", stream: str = "s", operation: str = "get"
) -> list[Received]:
    """Publish a request and take all that comes of it."""
    encode = cbor2.dumps if form == "cbor" else lambda body: json.dumps(body).encode()
    payload = request if isinstance(request, bytes) else encode(request)
    client.publish(f"$aws/things/lamp/streams/{stream}/{operation}/{form}", payload)
    return client.messages()


def test_a_stream_is_described_in_both_formats(reader: RawClient) -> None:
    expected = {"c": "x", "s": 1, "d": "the lamp's image", "r": [{"f": 0, "z": len(IMAGE)}]}
    (found,) = ask(reader, {"c": "x"}, operation="describe")
    assert (found.topic, found.json()) == ("$aws/things/lamp/streams/s/description/json", expected)
    (found,) = ask(reader, {"c": "x"}, "cbor", operation="describe")
    assert (found.topic, cbor2.loads(found.payload)) == ("$aws/things/lamp/streams/s/description/cbor", expected)


def test_the_reference_firmware_reads_block_after_block(lamp: Device) -> None:
    """SUBSCRIBE and the first request leave together; each next block is asked for when the last has come."""
    with lamp.connect() as client:
        request = b'{"s": 1,"f": 0,"l": 4096,"o": 0,"n": 1}'
        client.send(
            raw_mqtt.subscribe_packet(f"{lamp.streams}/s/data/json"),
            raw_mqtt.publish_packet(f"{lamp.streams}/s/get/json", request),
        )
        assert client.read() == (0x90, b"\x00\x07\x00")
        found = [client.receive()]
        for number in range(1, len(BLOCKS)):
            body = b'{"s": 1,"f": 0,"l": 4096,"o": %d,"n": 1}' % number
            found.append(client.request(f"{lamp.streams}/s/get/json", body))
        assert client.messages() == []
    assert {one.topic for one in found} == {f"{lamp.streams}/s/data/json"}
    assert found[0].payload.startswith(b'{"f":0,"l":4096,"i":0,"p":"')
    assert len(found[0].payload) == 29 + 5464
    assert [one.json()["l"] for one in found] == [4096, 4096, 2048]
    assert b"".join(base64.b64decode(one.json()["p"]) for one in found) == IMAGE


def test_the_librarys_cbor_request_is_answered_without_subscription(reader: RawClient) -> None:
    """A definite map of six in its order, with a bitmap that is four letters of base64."""
    for number, block in enumerate(BLOCKS):
        head = bytes.fromhex("a6 6163 63726479 6166 00 616c 191000 616f") + bytes([number])
        (found,) = ask(reader, head + bytes.fromhex("6162 44 4d513d3d 616e 01"), "cbor")
        assert found.topic == "$aws/things/lamp/streams/s/data/cbor"
        body = cbor2.loads(found.payload)
        assert body == {"c": "rdy", "f": 0, "l": len(block), "i": number, "p": block}
    assert len(found.payload) < 4120


def test_all_blocks_come_when_no_number_is_given(reader: RawClient) -> None:
    found = [one.json() for one in ask(reader, {"f": 0, "l": BLOCK, "c": "t"})]
    assert [(one["i"], one["c"]) for one in found] == [(0, "t"), (1, "t"), (2, "t")]
    assert b"".join(base64.b64decode(one["p"]) for one in found) == IMAGE


@pytest.mark.parametrize(
    ("request_body", "indexes"),
    [
        pytest.param({"b": "0x05"}, [0, 2], id="low-bit-first"),
        pytest.param({"b": "05"}, [0, 2], id="without-0x"),
        pytest.param({"b": "0x0001", "l": 256}, [8], id="second-byte"),
        pytest.param({"b": "0x03", "o": 1}, [1, 2], id="from-the-offset"),
        pytest.param({"b": "0xff", "n": 2}, [0, 1], id="no-more-than-asked"),
        pytest.param({"b": "0x130080", "l": 256}, [0, 1, 4, 23], id="the-documentations-own"),
        pytest.param({"o": 1}, [1, 2], id="offset"),
        pytest.param({"o": 1, "n": 1}, [1], id="offset-and-number"),
        pytest.param({"n": 98304}, [0, 1, 2], id="more-than-there-are"),
        pytest.param({"s": 1, "n": 1}, [0], id="version"),
    ],
)
def test_a_request_says_which_blocks(reader: RawClient, request_body: dict[str, Any], indexes: list[int]) -> None:
    found = [one.json() for one in ask(reader, {"f": 0, "l": BLOCK, **request_body})]
    assert [one["i"] for one in found] == indexes


def test_one_request_yields_no_more_than_128_kib(client: RawClient, world: World) -> None:
    world.s3.put_object(Bucket=BUCKET, Key="large", Body=b"x" * 300_000)
    make_stream(world, "large", "large")
    for size, count in ((4096, 32), (100_000, 1), (131072, 1), (256, 512)):
        found = ask(client, {"f": 0, "l": size, "n": 98304}, "cbor", "large")
        assert len(found) == count
        assert len(ask(client, {"f": 0, "l": size}, "cbor", "large")) == count


@pytest.mark.parametrize(
    ("request_body", "code"),
    [
        pytest.param(b"[]", "InvalidJson", id="array"),
        pytest.param(b"{", "InvalidJson", id="cut"),
        pytest.param(b"", "InvalidJson", id="empty"),
        pytest.param(b"\xff", "InvalidJson", id="not-utf8"),
        pytest.param({"l": BLOCK}, "InvalidRequest", id="no-file"),
        pytest.param({"f": 0}, "InvalidRequest", id="no-size"),
        pytest.param({"f": 0, "l": "256"}, "InvalidRequest", id="size-as-text"),
        pytest.param({"f": 0, "l": True}, "InvalidRequest", id="size-true"),
        pytest.param({"f": 0, "l": 255}, "BlockSizeOutOfBounds", id="size-255"),
        pytest.param({"f": 0, "l": 131073}, "BlockSizeOutOfBounds", id="size-131073"),
        pytest.param({"f": 0, "l": BLOCK, "o": 98305}, "OffsetOutOfBounds", id="offset-98305"),
        pytest.param({"f": 0, "l": BLOCK, "n": 98305}, "BlockCountLimitExceeded", id="number-98305"),
        pytest.param({"f": 0, "l": BLOCK, "b": "00" * 12289}, "BlockBitmapLimitExceeded", id="bitmap-12289"),
        pytest.param({"f": 0, "l": BLOCK, "b": "xyz"}, "InvalidRequest", id="bitmap-no-hex"),
        pytest.param({"f": 7, "l": BLOCK}, "ResourceNotFound", id="unknown-file"),
        pytest.param({"f": 256, "l": BLOCK}, "InvalidRequest", id="file-256"),
        pytest.param({"f": 0, "l": BLOCK, "s": 2}, "VersionMismatch", id="version"),
        pytest.param({"f": 0, "l": BLOCK, "c": "x" * 65}, "InvalidRequest", id="token-of-65-bytes"),
    ],
)
def test_a_bad_request_is_rejected_and_the_connection_stays(reader: RawClient, request_body: Any, code: str) -> None:
    (found,) = ask(reader, request_body)
    assert found.topic == "$aws/things/lamp/streams/s/rejected/json"
    body = found.json()
    assert (body["code"], body["o"], body["m"]) == (code, code, body["message"])
    assert reader.messages() == []


def test_a_request_past_the_end_is_rejected(reader: RawClient) -> None:
    (found,) = ask(reader, {"f": 0, "l": BLOCK, "o": 3, "c": "rdy"})
    body = found.json()
    assert body["code"] in {"OffsetOutOfBounds", "InvalidRequest"}
    assert (body["clientToken"], body["c"]) == ("rdy", "rdy")
    assert body["m"] == "The data requested is out of the range of data available."


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xff", b"\x80", b"\x01", b"{}", b"\xa1\x01\x02", b"\xa1", b"\x81" * 100_000, b"\xbb" + b"\xff" * 8],
    ids=["empty", "break", "array", "number", "json", "number-key", "cut", "deep", "huge-map"],
)
def test_bad_cbor_is_rejected_in_cbor(reader: RawClient, payload: bytes) -> None:
    (found,) = ask(reader, payload, "cbor")
    assert found.topic == "$aws/things/lamp/streams/s/rejected/cbor"
    assert (found.payload[0], found.payload[-1]) == (0xBF, 0xFF)
    assert cbor2.loads(found.payload) == {
        "code": "InvalidCbor",
        "o": "InvalidCbor",
        "message": "Invalid CBOR message",
        "m": "Invalid CBOR message",
    }


def test_an_unknown_stream_is_not_found(reader: RawClient) -> None:
    for operation in ("get", "describe"):
        (found,) = ask(reader, {"f": 0, "l": BLOCK}, stream="nothing", operation=operation)
        assert found.topic == "$aws/things/lamp/streams/nothing/rejected/json"
        assert found.json()["code"] == "ResourceNotFound"


@pytest.mark.parametrize("end", ["s/get/xml", "s/create/json", "s/get", "s/get/json/x"])
def test_an_unknown_operation_is_rejected(reader: RawClient, end: str) -> None:
    found = reader.request(f"$aws/things/lamp/streams/{end}", {})
    assert (found.topic, found.json()["code"]) == ("$aws/things/lamp/streams/s/rejected/json", "InvalidTopic")


def test_a_new_upload_under_the_same_key_spoils_the_stream(client: RawClient, world: World) -> None:
    world.s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"another image")
    (found,) = ask(client, {"f": 0, "l": BLOCK})
    assert found.json()["code"] == "ETagMismatch"


def test_a_lost_block_does_not_come_until_it_is_asked_for_again(client: RawClient, control: Control) -> None:
    control.ask("POST", "lost-blocks", block=1, times=1)
    request = {"f": 0, "l": BLOCK}
    assert [one.json()["i"] for one in ask(client, request)] == [0, 2]
    assert [one.json()["i"] for one in ask(client, request)] == [0, 1, 2]


def test_the_stream_of_an_update_serves_its_image(lamp: Device, world: World) -> None:
    world.create()
    with lamp.connect() as client:
        execution = client.request(f"{lamp.jobs}/start-next", {}).json()["execution"]
        document = execution["jobDocument"]["afr_ota"]
        (file,) = document["files"]
        found = ask(client, {"f": file["fileid"], "l": BLOCK}, stream=document["streamname"])
    image = b"".join(base64.b64decode(one.json()["p"]) for one in found)
    assert (len(image), image) == (file["filesize"], IMAGE)


@pytest.mark.parametrize("form", ["json", "cbor"])
def test_two_megabytes_arrive_within_a_second(lamp: Device, world: World, form: str) -> None:
    """The best of five, for other work on the machine is not the broker's."""
    image = random.Random(3).randbytes(2 * 1024 * 1024)  # noqa: S311 - any bytes
    world.s3.put_object(Bucket=BUCKET, Key="two", Body=image)
    make_stream(world, "two", "two")
    with lamp.connect() as client:
        for _ in range(5):
            begin = time.perf_counter()
            found = [one for offset in range(0, 512, 32) for one in ask(client, request_for(offset), form, "two")]
            seconds = time.perf_counter() - begin
            assert b"".join(block_of(one, form) for one in found) == image
            if seconds < 1:
                return
    pytest.fail(f"{seconds:.2f} s")


def request_for(offset: int) -> dict[str, int]:
    return {"f": 0, "l": BLOCK, "o": offset, "n": 32}


def block_of(message: Received, form: str) -> bytes:
    """The block's bytes; blocks of one request come in their order."""
    block: bytes = cbor2.loads(message.payload)["p"] if form == "cbor" else base64.b64decode(message.json()["p"])
    return block


def test_thousands_of_damaged_requests_are_answered_and_memory_stays(lamp: Device, clean_sandbox: Address) -> None:
    source = random.Random(8)  # noqa: S311 - the same damage in every run
    good = {
        "json": json.dumps({"s": 1, "f": 0, "l": 4096, "o": 0, "n": 1, "b": "0x01"}).encode(),
        "cbor": cbor2.dumps({"c": "rdy", "f": 0, "l": 4096, "o": 0, "b": b"MQ==", "n": 1}),
    }
    with lamp.connect() as client:
        sizes = []
        for _ in range(10):
            for form, raw in good.items():
                topic = f"{lamp.streams}/s/get/{form}"
                client.send(*(raw_mqtt.publish_packet(topic, damaged(source, raw)) for _ in range(150)))
                assert len(client.messages()) >= 150
            sizes.append(resident_bytes(clean_sandbox.pid))
        assert len(ask(client, good["json"])) == 1
    assert sizes[-1] - sizes[4] < 4 * 1024 * 1024


def damaged(source: random.Random, good: bytes) -> bytes:
    raw = bytearray(good)
    raw[source.randrange(len(raw))] = source.randrange(256)
    return bytes(raw)


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * 4096


def test_a_block_of_the_classic_agent_is_found_by_its_bitmap(reader: RawClient) -> None:
    """Eight blocks at a time, a bitmap of those still missing, the low bit first."""
    missing = struct.pack("B", 0b110)
    found = ask(reader, {"c": "rdy", "f": 0, "l": BLOCK, "o": 0, "b": missing, "n": 8}, "cbor")
    assert [cbor2.loads(one.payload)["i"] for one in found] == [1, 2]


def test_twenty_devices_at_once_stay_correct(world: World, clean_sandbox: Address, tmp_path: Path) -> None:
    make_stream(world, "s", KEY)
    devices = [make_device(world.iot, clean_sandbox, tmp_path, f"lamp-{number}") for number in range(20)]
    targets = [world.iot.describe_thing(thingName=one.name)["thingArn"] for one in devices]
    world.iot.create_job(jobId="all", targets=targets, document="{}")
    with ThreadPoolExecutor(max_workers=20) as pool:
        images = list(pool.map(take_update, devices))
    assert images == [IMAGE] * 20
    found = world.iot.list_job_executions_for_job(jobId="all")["executionSummaries"]
    assert [one["jobExecutionSummary"]["status"] for one in found] == ["SUCCEEDED"] * 20
    assert world.iot.describe_job(jobId="all")["job"]["status"] == "COMPLETED"


def take_update(device: Device) -> bytes:
    """One device's whole download, block by block; the image that came."""
    with device.connect() as client:
        client.request(f"{device.jobs}/start-next", {})
        found = [
            client.request(f"{device.streams}/s/get/json", {"f": 0, "l": 1024, "o": number, "n": 1}).json()
            for number in range(len(IMAGE) // 1024)
        ]
        client.request(f"{device.jobs}/all/update", {"status": "SUCCEEDED"})
    return b"".join(base64.b64decode(one["p"]) for one in found)
