"""What device and cloud write to each other."""

from __future__ import annotations

import json
from typing import Any

import cbor2
import pytest

from ota.device.messages import (
    Block,
    Encoding,
    blocks_request,
    read_answer,
    read_block,
    read_job,
    read_stream_message,
    update_request,
)


@pytest.mark.parametrize(
    ("indexes", "expected"),
    [
        ([0], {"o": 0, "n": 1}),
        ([5, 6, 7], {"o": 5, "n": 3}),
        ([3, 5], {"o": 3, "n": 2, "b": "0x05"}),
        ([9, 2, 10], {"o": 2, "n": 3, "b": "0x8101"}),
    ],
)
def test_blocks_are_asked_for_by_offset_number_and_bitmap(indexes: list[int], expected: dict[str, Any]) -> None:
    asked = json.loads(blocks_request(0, indexes, Encoding.JSON))
    assert asked == {"s": 1, "f": 0, "l": 4096, **expected}
    as_bytes = cbor2.loads(blocks_request(0, indexes, Encoding.CBOR))
    bitmap = {"b": bytes.fromhex(expected["b"][2:])} if "b" in expected else {}
    assert as_bytes == {"s": 1, "f": 0, "l": 4096, **expected, **bitmap}


@pytest.mark.parametrize(
    ("payload", "encoding"),
    [
        (b'{"f":0,"l":2,"i":3,"p":"eHg="}', Encoding.JSON),
        (cbor2.dumps({"f": 0, "l": 2, "i": 3, "p": b"xx"}), Encoding.CBOR),
    ],
)
def test_a_block_is_read_in_either_encoding(payload: bytes, encoding: Encoding) -> None:
    assert read_block(payload, encoding) == Block(3, b"xx")


@pytest.mark.parametrize(
    ("payload", "encoding"),
    [
        (b"", Encoding.JSON),
        (b"[]", Encoding.JSON),
        (b'{"l":2,"i":3,"p":"!!"}', Encoding.JSON),
        (b'{"l":3,"i":3,"p":"eHg="}', Encoding.JSON),
        (b'{"l":2,"i":"3","p":"eHg="}', Encoding.JSON),
        (b'{"l":2,"i":3,"p":5}', Encoding.JSON),
        (b"\xff", Encoding.CBOR),
        (b"", Encoding.CBOR),
        (cbor2.dumps([]), Encoding.CBOR),
        (cbor2.dumps({"l": 2, "i": 3, "p": "xx"}), Encoding.CBOR),
    ],
)
def test_what_is_no_block_is_none(payload: bytes, encoding: Encoding) -> None:
    assert read_block(payload, encoding) is None


def test_a_refusal_is_read_in_either_encoding() -> None:
    assert read_stream_message(b'{"o":"A","m":"B"}', Encoding.JSON) == {"o": "A", "m": "B"}
    assert read_stream_message(b"\xbf\x61o\x61A\xff", Encoding.CBOR) == {"o": "A"}


def test_an_answer_that_is_no_json_object_has_no_members() -> None:
    assert [read_answer(payload) for payload in (b"", b"[]", b"\xff", b'{"a":1}')] == [{}, {}, {}, {"a": 1}]


def test_a_report_is_short_and_its_version_is_text() -> None:
    payload = update_request("IN_PROGRESS", {"updatedBy": "4294967295"}, 2)
    assert payload == b'{"status":"IN_PROGRESS","expectedVersion":"2","statusDetails":{"updatedBy":"4294967295"}}'
    assert len(payload) <= 128  # the firmware's buffer


def test_an_answer_without_a_job_offers_none() -> None:
    assert read_job({"timestamp": 1}) is None
    assert read_job({"execution": {}}) is None
