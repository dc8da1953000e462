"""The broker's reading of MQTT: what is a packet, what is malformed, and what it sends."""

from __future__ import annotations

import contextlib
import random
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ota.sandbox.mqtt.encoding import PINGRESP_BYTES, Mqtt3Encoder, encoder_of
from ota.sandbox.mqtt.fields import encode_length
from ota.sandbox.mqtt.packets import (
    NO_PROPERTIES,
    Acknowledge,
    Connect,
    Disconnect,
    Message,
    Options,
    Ping,
    Subscribe,
    Unsubscribe,
)
from ota.sandbox.mqtt.parser import MAX_REMAINING_BYTES, Parser
from ota.sandbox.mqtt.reasons import ACCEPTED, MalformedPacketError, Outcome, Reason, UnsupportedVersionError
from ota.sandbox.mqtt.topics import Subscriptions, find_size_problem, matches
from tests import raw_mqtt
from tests.raw_mqtt import connect_packet, packet, publish_packet, subscribe_packet, text, unsubscribe_packet

MQTT_3 = Mqtt3Encoder()


def parse(raw: bytes) -> list[Any]:
    return list(Parser().feed(raw))


def connect_body(flags: int, *fields: bytes, name: bytes = b"MQTT", level: int = 4) -> bytes:
    return packet(0x10, text(name) + struct.pack("!BBH", level, flags, 60) + b"".join(fields))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(connect_packet("lamp"), Connect("lamp", True, 60), id="connect"),
        pytest.param(connect_packet("", clean=False, keep_alive=0), Connect("", False, 0), id="connect-bare"),
        pytest.param(
            connect_packet("lamp", will=("gone", b"\xff\x00", 1)),
            Connect("lamp", True, 60, Message("gone", b"\xff\x00", 1)),
            id="connect-will",
        ),
        pytest.param(
            connect_body(0xC2, text("lamp"), text("?SDK=C"), text(b"\xff")),
            Connect("lamp", True, 60),
            id="connect-user",
        ),
        pytest.param(publish_packet("a/b", b"\x00x"), Message("a/b", b"\x00x"), id="publish-0"),
        pytest.param(
            publish_packet("a", b"", qos=1, retain=True, packet_id=513), Message("a", b"", 1, True, 513), id="publish-1"
        ),
        pytest.param(packet(0x3A, text("a") + b"\x00\x09"), Message("a", b"", 1, False, 9), id="publish-again"),
        pytest.param(
            subscribe_packet("a/+", "#", qos=1), Subscribe(7, (("a/+", Options(1)), ("#", Options(1)))), id="subscribe"
        ),
        pytest.param(unsubscribe_packet("a/#"), Unsubscribe(8, ("a/#",)), id="unsubscribe"),
        pytest.param(packet(0x40, b"\x01\x02"), Acknowledge(258), id="puback"),
        pytest.param(raw_mqtt.PING, Ping(), id="pingreq"),
        pytest.param(raw_mqtt.DISCONNECT, Disconnect(), id="disconnect"),
        pytest.param(b"\xc0\x80\x80\x00", Ping(), id="length-in-more-bytes-than-needed"),
        pytest.param(
            publish_packet("t" * 300, b"x" * 131072), Message("t" * 300, b"x" * 131072), id="the-largest-payload"
        ),
    ],
)
def test_a_packet_is_read_as_it_was_meant(raw: bytes, expected: object) -> None:
    assert parse(raw) == [expected]


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"\x00\x00", id="type-0"),
        pytest.param(b"\xf0\x00", id="type-15"),
        pytest.param(b"\x20\x02\x00\x00", id="connack-from-a-client"),
        pytest.param(b"\x90\x03\x00\x01\x00", id="suback-from-a-client"),
        pytest.param(b"\xd0\x00", id="pingresp-from-a-client"),
        pytest.param(b"\x62\x02\x00\x01", id="pubrel"),
        pytest.param(b"\xc1", id="ping-flags-before-the-length"),
        pytest.param(b"\xc0\x01\x00", id="ping-with-a-body"),
        pytest.param(b"\xe0\x01\x00", id="disconnect-with-a-body"),
        pytest.param(b"\x80\x06\x00\x07\x00\x01a\x00", id="subscribe-flags"),
        pytest.param(b"\x11\x00", id="connect-flags"),
        pytest.param(b"\x36", id="publish-qos-3"),
        pytest.param(b"\x38", id="dup-without-qos"),
        pytest.param(b"\x30\xff\xff\xff\xff", id="length-of-five-bytes"),
        pytest.param(b"\x30\xff\xff\xff\x7f", id="length-beyond-any-message"),
        pytest.param(packet(0x30, b"\x00"), id="publish-cut"),
        pytest.param(packet(0x30, text("")), id="publish-no-topic"),
        pytest.param(packet(0x30, text("a/+")), id="publish-plus"),
        pytest.param(packet(0x30, text("a#")), id="publish-hash"),
        pytest.param(packet(0x30, text(b"\xc3\x28")), id="publish-bad-utf8"),
        pytest.param(packet(0x30, text(b"\xed\xa0\x80")), id="publish-surrogate"),
        pytest.param(packet(0x30, text(b"a\x00b")), id="publish-nul"),
        pytest.param(packet(0x30, b"\x00\x09a"), id="publish-topic-longer-than-the-packet"),
        pytest.param(packet(0x32, text("a") + b"\x00\x00"), id="publish-id-0"),
        pytest.param(packet(0x32, text("a")), id="publish-no-id"),
        pytest.param(packet(0x40, b"\x00\x00"), id="puback-id-0"),
        pytest.param(packet(0x40, b"\x00\x01\x00"), id="puback-long"),
        pytest.param(packet(0x82, b"\x00\x07"), id="subscribe-nothing"),
        pytest.param(packet(0x82, b"\x00\x00" + text("a") + b"\x00"), id="subscribe-id-0"),
        pytest.param(packet(0x82, b"\x00\x07" + text("a")), id="subscribe-no-qos"),
        pytest.param(packet(0x82, b"\x00\x07" + text("a") + b"\x03"), id="subscribe-qos-3"),
        pytest.param(packet(0x82, b"\x00\x07" + text("a") + b"\x04"), id="subscribe-reserved-bits"),
        pytest.param(packet(0x82, b"\x00\x07" + text("") + b"\x00"), id="subscribe-empty"),
        pytest.param(packet(0x82, b"\x00\x07" + text("a/#/b") + b"\x00"), id="subscribe-hash-inside"),
        pytest.param(packet(0x82, b"\x00\x07" + text("a+/b") + b"\x00"), id="subscribe-plus-in-a-level"),
        pytest.param(packet(0x82, b"\x00\x07" + text("a#") + b"\x00"), id="subscribe-hash-in-a-level"),
        pytest.param(packet(0xA2, b"\x00\x07"), id="unsubscribe-nothing"),
        pytest.param(connect_body(0x03, text("a")), id="connect-reserved-flag"),
        pytest.param(connect_body(0x0A, text("a")), id="connect-will-qos-without-will"),
        pytest.param(connect_body(0x22, text("a")), id="connect-will-retain-without-will"),
        pytest.param(connect_body(0x1E, text("a"), text("w"), text("")), id="connect-will-qos-3"),
        pytest.param(connect_body(0x06, text("a"), text("w/#"), text("")), id="connect-will-wildcard"),
        pytest.param(connect_body(0x42, text("a"), text("p")), id="connect-password-alone"),
        pytest.param(connect_body(0x82, text("a")), id="connect-no-user-name"),
        pytest.param(connect_body(0x02, text("a"), b"x"), id="connect-more-than-it-says"),
        pytest.param(connect_body(0x02), id="connect-no-client-id"),
        pytest.param(connect_body(0x02, text("a"), name=b"HTTP"), id="connect-another-protocol"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="http"),
    ],
)
def test_a_malformed_packet_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedPacketError):
        parse(raw)


@pytest.mark.parametrize(
    ("level", "name"), [pytest.param(3, b"MQIsdp", id="mqtt-3.1"), pytest.param(6, b"MQTT", id="mqtt-of-the-future")]
)
def test_another_version_is_refused(level: int, name: bytes) -> None:
    with pytest.raises(UnsupportedVersionError) as caught:
        parse(connect_body(0x02, b"\x00", text("lamp"), name=name, level=level))
    outcome = Outcome(caught.value.reason, str(caught.value))
    assert encoder_of(level).connack(outcome, NO_PROPERTIES).hex() == "20020001"


def test_a_packet_that_is_too_large_is_refused_by_its_header() -> None:
    header = raw_mqtt.packet(0x30, b"x" * (MAX_REMAINING_BYTES + 1))[:4]
    with pytest.raises(MalformedPacketError):
        parse(header)


def test_packets_before_a_malformed_one_are_delivered() -> None:
    feed = Parser().feed(raw_mqtt.PING + b"\xf0\x00")
    assert next(feed) == Ping()
    with pytest.raises(MalformedPacketError):
        next(feed)


@given(st.lists(st.integers(1, 40), max_size=30))
def test_packets_are_the_same_in_whatever_portions_they_come(sizes: list[int]) -> None:
    raw = connect_packet("lamp") + publish_packet("a/b", b"x" * 200, qos=1) + raw_mqtt.PING + subscribe_packet("a")
    parser, found, begin = Parser(), [], 0
    for size in [*sizes, len(raw)]:
        found += list(parser.feed(raw[begin : begin + size]))
        begin += size
    assert found == parse(raw)
    assert len(found) == 4


@given(st.binary(max_size=300))
@settings(max_examples=300)
def test_any_bytes_are_packets_or_malformed(raw: bytes) -> None:
    with contextlib.suppress(MalformedPacketError):
        parse(raw)


def test_ten_thousand_damaged_packets_are_packets_or_malformed() -> None:
    source = random.Random(20260)  # noqa: S311 - the same damage in every run
    good = [
        connect_packet("lamp", will=("gone", b"x", 1)),
        publish_packet("a/b", b"payload", qos=1),
        subscribe_packet("a/+", "b/#"),
        unsubscribe_packet("a"),
    ]
    refused = 0
    for _ in range(10_000):
        raw = bytearray(source.choice(good))
        for _ in range(source.randint(1, 4)):
            raw[source.randrange(len(raw))] = source.randrange(256)
        try:
            parse(bytes(raw))
        except MalformedPacketError:
            refused += 1
    assert 1000 < refused < 10_000


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(MQTT_3.connack(Outcome(Reason.NOT_AUTHORIZED), NO_PROPERTIES), "20020007", id="connack"),
        pytest.param(MQTT_3.puback(258, ACCEPTED), "40020102", id="puback"),
        pytest.param(
            MQTT_3.suback(7, [ACCEPTED, Outcome(Reason.GRANTED_QOS_1), Outcome(Reason.BAD_FILTER)]),
            "90050007000180",
            id="suback",
        ),
        pytest.param(MQTT_3.unsuback(8, [Reason.SUCCESS]), "b0020008", id="unsuback"),
        pytest.param(MQTT_3.disconnect(Outcome(Reason.TAKEN_OVER)), "", id="disconnect"),
        pytest.param(PINGRESP_BYTES, "d000", id="pingresp"),
        pytest.param(MQTT_3.publish(Message("é", b"x")), "30050002c3a978", id="publish-0"),
        pytest.param(MQTT_3.publish(Message("a", b"", 1, True, 9)), "33050001610009", id="publish-1"),
    ],
)
def test_an_answer_has_the_bytes_of_the_standard(raw: bytes, expected: str) -> None:
    assert raw.hex() == expected


@pytest.mark.parametrize("length", [0, 127, 128, 16383, 16384, 2097151, 2097152])
def test_a_length_is_written_as_it_is_read(length: int) -> None:
    digits = encode_length(length)
    assert sum((digit & 127) << 7 * place for place, digit in enumerate(digits)) == length
    assert [digit > 127 for digit in digits] == [True] * (len(digits) - 1) + [False]


@pytest.mark.parametrize(
    ("wanted", "topic", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("a/b/c", "a/b", False),
        ("a/+", "a/b", True),
        ("a/+", "a/", True),
        ("a/+", "a", False),
        ("+/b", "a/b", True),
        ("+", "a/b", False),
        ("a/#", "a/b/c", True),
        ("a/#", "a", True),
        ("#", "a/b", True),
        ("/+", "/a", True),
        ("+/+", "/a", True),
        ("#", "$aws/things", False),
        ("+/things", "$aws/things", False),
        ("$aws/#", "$aws/things", True),
        ("$aws/+", "$aws/things", True),
        ("a/+/$x", "a/b/$x", True),
    ],
)
def test_a_filter_matches_as_the_standard_says(wanted: str, topic: str, expected: bool) -> None:
    assert matches(wanted, topic) is expected


def test_overlapping_subscriptions_count_once_with_the_highest_qos() -> None:
    subscriptions: Subscriptions[str] = Subscriptions()
    subscriptions.add("a/+", "lamp", Options(0))
    subscriptions.add("a/b", "lamp", Options(1))
    subscriptions.add("#", "lamp", Options(0))
    assert subscriptions.holders("a/b") == {"lamp": Options(1)}


@given(st.lists(st.tuples(st.sampled_from(["a", "a/b", "a/#", "+/b", "#", "$aws/x"]), st.sampled_from("xyz"))))
def test_nothing_is_left_of_subscriptions_that_were_given_up(pairs: list[tuple[str, str]]) -> None:
    subscriptions: Subscriptions[str] = Subscriptions()
    for wanted, holder in pairs:
        subscriptions.add(wanted, holder, Options())
    for wanted, holder in pairs:
        subscriptions.discard(wanted, holder)
    assert vars(subscriptions)["_root"].children == {}


@pytest.mark.parametrize(
    ("topic", "fits"),
    [
        pytest.param("a" * 256, True, id="256-bytes"),
        pytest.param("a" * 257, False, id="257-bytes"),
        pytest.param("é" * 129, False, id="bytes-not-characters"),
        pytest.param("/" * 7, True, id="7-slashes"),
        pytest.param("/" * 8, False, id="8-slashes"),
    ],
)
def test_topics_have_the_sizes_of_aws(topic: str, fits: bool) -> None:
    assert (find_size_problem(topic) is None) is fits
