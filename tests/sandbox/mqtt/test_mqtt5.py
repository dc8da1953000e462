"""The broker serves MQTT 5 as AWS documents it: limits, properties, reason codes, sessions, and what it refuses."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ota.sandbox.mqtt.parser import Parser
from ota.sandbox.mqtt.reasons import MalformedPacketError
from ota.sandbox.process import Address
from tests.mqtt_world import ALLOW_ALL, Device, make_device, refusals, replace_policy
from tests.raw_mqtt import CONNACK, PUBACK, PUBLISH, packet, text
from tests.raw_mqtt5 import (
    DISCONNECT,
    Client5,
    Told,
    connect5,
    connected5,
    disconnect5,
    open5,
    properties,
    publish5,
    subscribe5,
    unsubscribe5,
    will5,
)
from tests.sandbox_control import Control

Make = Callable[[str], Device]
NO_LOCAL, AS_PUBLISHED, RETAINED_IF_NEW, NEVER_RETAINED = 4, 8, 0x10, 0x20
# As captured from AWS, but for shared subscriptions, which the sandbox does not have.
CONNACK_OF_AWS = {
    "receive_maximum": 100,
    "maximum_qos": 1,
    "retain_available": 1,
    "maximum_packet_size": 149504,
    "topic_alias_maximum": 8,
    "wildcards_available": 1,
    "subscription_ids_available": 0,
    "shared_available": 0,
}


@pytest.fixture
def make(iot: Any, clean_sandbox: Address, tmp_path: Path) -> Make:
    return lambda name: make_device(iot, clean_sandbox, tmp_path, name, policy=ALLOW_ALL)


@pytest.fixture
def lamp(make: Make) -> Device:
    return make("lamp")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        pytest.param({}, {"server_keep_alive": 60}, id="nothing"),
        pytest.param({"keep_alive": 5}, {"server_keep_alive": 30}, id="short-keep-alive"),
        pytest.param({"keep_alive": 0}, {"server_keep_alive": 1200}, id="no-keep-alive"),
        pytest.param({"session_expiry": 3600}, {"server_keep_alive": 60}, id="an-hour"),
        pytest.param(
            {"session_expiry": 0xFFFFFFFF}, {"server_keep_alive": 60, "session_expiry": 3600}, id="more-than-an-hour"
        ),
    ],
)
def test_connack_has_the_limits_of_aws(lamp: Device, asked: dict[str, Any], told: dict[str, Any]) -> None:
    client, found = open5(lamp, user=[("a", "b"), ("a", "c")], **asked)
    with client:
        assert (found.codes, found.is_resumed) == ([0], False)
        assert found.values == {**CONNACK_OF_AWS, **told}


def test_an_empty_client_id_is_given_one(lamp: Device) -> None:
    for clean in (True, False):
        client, told = open5(lamp, "", clean=clean)
        with client:
            assert told.codes == [0]
            assert len(told.values["assigned_client_id"]) >= 20


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        pytest.param(connect5("x" * 129), 0x85, id="long-client-id"),
        pytest.param(connect5("denied"), 0x87, id="policy"),
        pytest.param(connect5("lamp", authentication_method="SCRAM"), 0x8C, id="enhanced-authentication"),
        pytest.param(connect5("lamp", will=will5("a", b"x", qos=2)), 0x9B, id="will-qos-2"),
        pytest.param(connect5("lamp", will=will5("$SYS/x", b"x")), 0x90, id="will-topic"),
        pytest.param(connect5("lamp", will=will5("a/#", b"x")), 0x81, id="will-wildcard"),
        pytest.param(connect5("lamp", receive_maximum=0), 0x82, id="receive-maximum-0"),
        pytest.param(connect5("lamp", maximum_packet_size=0), 0x82, id="packet-size-0"),
        pytest.param(connect5("lamp", topic_alias=1), 0x81, id="property-of-another-packet"),
        pytest.param(connect5("lamp", request_problem_information=2), 0x82, id="flag-2"),
        pytest.param(packet(0x10, text("MQTT") + b"\x05\x03\x00\x3c\x00" + text("a")), 0x81, id="reserved-flag"),
    ],
)
def test_a_connect_that_is_refused_is_told_why(lamp: Device, iot: Any, raw: bytes, code: int) -> None:
    denial = {"Effect": "Deny", "Action": "iot:Connect", "Resource": "arn:aws:iot:*:*:client/denied"}
    replace_policy(iot, "lamp", {**ALLOW_ALL, "Statement": [*ALLOW_ALL["Statement"], denial]})
    with Client5(lamp.open()) as client:
        told = client.ask(raw)
        assert (told.kind, told.codes) == (CONNACK, [code])
        assert bool(told.values.get("reason_string")) is (code != 0x87)
        assert client.is_closed()


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        pytest.param(connect5("lamp"), 0x82, id="connect-twice"),
        pytest.param(b"\xf0\x00", 0x82, id="auth"),
        pytest.param(b"\x62\x02\x00\x01", 0x82, id="pubrel"),
        pytest.param(b"\x00\x00", 0x81, id="type-0"),
        pytest.param(packet(0x30, text("a")), 0x81, id="publish-without-properties"),
        pytest.param(publish5("a", topic_alias=0), 0x94, id="alias-0"),
        pytest.param(publish5("a", topic_alias=9), 0x94, id="alias-above-8"),
        pytest.param(publish5("", topic_alias=3), 0x82, id="alias-never-set"),
        pytest.param(publish5(""), 0x82, id="no-topic"),
        pytest.param(publish5("a/#"), 0x81, id="wildcard"),
        pytest.param(publish5("a", response_topic="a/+"), 0x82, id="response-topic-wildcard"),
        pytest.param(publish5("a", qos=2), 0x9B, id="publish-qos-2"),
        pytest.param(publish5("a", subscription_id=1), 0x81, id="publish-subscription-id"),
        pytest.param(packet(0x30, text("a") + b"\x04\x01\x01\x01\x01"), 0x82, id="property-twice"),
        pytest.param(publish5("$SYS/x"), 0x90, id="reserved-topic"),
        pytest.param(publish5("denied"), 0x87, id="publish-denied"),
        pytest.param(publish5("a", b"x" * 131073), 0x97, id="payload-above-128-kib"),
        pytest.param(packet(0x30, b"x" * 149504)[:5], 0x95, id="packet-above-the-maximum"),
        pytest.param(b"".join(publish5("a", qos=1) for _ in range(101)), 0x93, id="receive-maximum"),
        pytest.param(subscribe5("a", options=2), 0x9B, id="subscribe-qos-2"),
        pytest.param(subscribe5("a", options=0x30), 0x82, id="retain-handling-3"),
        pytest.param(subscribe5("a", options=0x40), 0x81, id="reserved-option"),
        pytest.param(subscribe5("$share/g/a", options=NO_LOCAL), 0x82, id="shared-no-local"),
        pytest.param(subscribe5("a", subscription_id=5), 0xA1, id="subscription-id"),
        pytest.param(subscribe5(*"abcdefghi"), 0x97, id="nine-filters"),
        pytest.param(disconnect5(session_expiry=10), 0x82, id="expiry-at-the-end-only"),
    ],
)
def test_a_client_is_told_why_its_connection_ends(lamp: Device, iot: Any, raw: bytes, code: int) -> None:
    denial = {"Effect": "Deny", "Action": "iot:Publish", "Resource": "arn:aws:iot:*:*:topic/denied"}
    replace_policy(iot, "lamp", {**ALLOW_ALL, "Statement": [*ALLOW_ALL["Statement"], denial]})
    with connected5(lamp) as client:
        told = client.ask(raw)
        while told.kind == PUBACK:
            told = client.next()
        assert (told.kind, told.codes) == (DISCONNECT, [code])
        assert bool(told.values.get("reason_string")) is (code != 0x87)
        assert client.is_closed()


def test_a_message_of_qos_1_is_refused_in_its_acknowledgement(lamp: Device, iot: Any) -> None:
    denial = {"Effect": "Deny", "Action": "iot:Publish", "Resource": "arn:aws:iot:*:*:topic/denied"}
    replace_policy(iot, "lamp", {**ALLOW_ALL, "Statement": [*ALLOW_ALL["Statement"], denial]})
    with connected5(lamp) as client:
        client.subscribe("#")
        assert client.ask(publish5("a", qos=1)) == Told(PUBACK, [0], packet_id=9)
        told = client.ask(publish5("denied", qos=1))
        assert (told.kind, told.codes) == (PUBLISH, [])
        assert client.next() == Told(PUBACK, [0x87], packet_id=9)
        told = client.ask(publish5("$SYS/x", qos=1))
        assert (told.kind, told.codes, told.values) == (PUBACK, [0x90], {"reason_string": "the topic is reserved"})
        assert client.messages() == []


def test_who_does_not_want_reasons_gets_codes_only(lamp: Device) -> None:
    with connected5(lamp, request_problem_information=0) as client:
        told = client.ask(subscribe5("a", "$SYS/#", "$share/g/a", "/" * 8))
        assert (told.codes, told.values) == ([0, 0x8F, 0x9E, 0x8F], {})
        assert client.ask(publish5("$SYS/x", qos=1)) == Told(PUBACK, [0x90], packet_id=9)
    with connected5(lamp, maximum_packet_size=20) as client:
        told = client.ask(subscribe5("$SYS/#"))
        assert (told.codes, told.values) == ([0x8F], {})


def test_subscriptions_are_granted_refused_and_given_up_by_code(lamp: Device, iot: Any) -> None:
    denial = {"Effect": "Deny", "Action": "iot:Subscribe", "Resource": "arn:aws:iot:*:*:topicfilter/denied"}
    replace_policy(iot, "lamp", {**ALLOW_ALL, "Statement": [*ALLOW_ALL["Statement"], denial]})
    with connected5(lamp) as client:
        assert client.subscribe("a", "denied", "b/+", options=1) == [1, 0x87, 1]
        assert client.ask(unsubscribe5("a", "never")).codes == [0, 0x11]
        for number in range(49):
            assert client.subscribe(f"c/{number}") == [0]
        assert client.subscribe("c/50") == [0x97]


def test_a_message_keeps_its_properties(lamp: Device, make: Make) -> None:
    values = {
        "payload_format": 1,
        "content_type": "text/plain",
        "response_topic": "answers/lamp",
        "correlation_data": b"\x00\xff",
        "user": [("b", "1"), ("a", "2"), ("b", "")],
    }
    other = make("other")
    with connected5(other) as receiver, other.connect("older") as older, connected5(lamp) as sender:
        receiver.subscribe("a")
        older.subscribe("a")
        sender.send(publish5("a", "é".encode(), topic_alias=8, **values))
        assert receiver.next() == Told(PUBLISH, values=values, topic="a", payload="é".encode())
        assert older.receive().payload == "é".encode()
        older.publish("a", b"from 3.1.1")
        assert receiver.next() == Told(PUBLISH, topic="a", payload=b"from 3.1.1")


def test_topic_aliases_stand_for_topics_in_both_directions(lamp: Device) -> None:
    with connected5(lamp, topic_alias_maximum=1) as client:
        client.subscribe("#")
        client.send(publish5("a", b"1", topic_alias=2), publish5("", b"2", topic_alias=2), publish5("b", b"3"))
        client.send(publish5("c", b"4", topic_alias=2), publish5("", b"5", topic_alias=2))
        found = [(one.topic, one.payload, one.values.get("topic_alias")) for one in client.messages()]
        assert found == [("a", b"1", 1), ("", b"2", 1), ("b", b"3", None), ("c", b"4", None), ("c", b"5", None)]


def test_the_clients_receive_maximum_holds_messages_back(lamp: Device) -> None:
    with connected5(lamp, receive_maximum=2) as client:
        client.subscribe("a", options=1)
        client.send(*(publish5("a", str(number).encode(), qos=1) for number in range(4)))
        client.send(publish5("a", b"now"), b"\xc0\x00")
        arrived = []
        while (told := client.next()).kind != 13:
            arrived += [told] if told.kind == PUBLISH else []
        assert [one.payload for one in arrived] == [b"0", b"1", b"now"]
        client.acknowledge(arrived[0])
        assert client.next().payload == b"2"
        client.acknowledge(arrived[1])
        assert client.next().payload == b"3"


def test_what_is_larger_than_the_clients_packets_is_not_sent(lamp: Device) -> None:
    with connected5(lamp, maximum_packet_size=100, topic_alias_maximum=1) as client:
        client.subscribe("a", options=1)
        client.send(publish5("a", b"x" * 100, qos=1), publish5("a", b"fits", qos=1))
        assert [(one.topic, one.payload) for one in client.messages()] == [("a", b"fits")]


@pytest.mark.parametrize(("given", "left"), [(30, 20), (11, 1), (700_000, 604_790), (10, None), (0, None)])
def test_a_message_expires(lamp: Device, control: Control, given: int, left: int | None) -> None:
    with connected5(lamp) as client:
        client.subscribe("now")
        client.send(publish5("kept", retain=True, message_expiry=given), publish5("now", message_expiry=given))
        assert client.next().values["message_expiry"] >= min(max(given, 1), 604_800) - 1
        control.advance_clock(10)
        client.subscribe("kept")
        found = [one.values["message_expiry"] for one in client.messages()]
        assert len(found) == (left is not None)
        assert all(left is not None and left - 1 <= one <= left for one in found)
    with lamp.connect() as older:
        older.subscribe("kept")
        assert len(older.messages()) == (left is not None)


def test_subscription_options(lamp: Device, make: Make) -> None:
    other = make("other")
    with connected5(lamp) as client, connected5(other) as sender:
        sender.send(publish5("kept", b"old", retain=True))
        assert sender.messages() == []
        assert client.subscribe("kept", options=NEVER_RETAINED) == [0]
        assert client.messages() == []
        client.subscribe("kept", options=RETAINED_IF_NEW)
        assert client.messages() == []
        client.subscribe("kept", options=AS_PUBLISHED)
        assert [(one.payload, one.retain) for one in client.messages()] == [(b"old", True)]
        sender.send(publish5("kept", b"new", retain=True), publish5("kept", b"plain"))
        assert [(one.payload, one.retain) for one in (client.next(), client.next())] == [
            (b"new", True),
            (b"plain", False),
        ]
        client.ask(unsubscribe5("kept"))
        client.subscribe("kept", options=RETAINED_IF_NEW | NO_LOCAL)
        assert [one.payload for one in client.messages()] == [b"new"]
        client.send(publish5("kept", b"own"))
        assert client.messages() == []
        sender.send(publish5("kept", b"others", retain=True))
        assert (told := client.next()).payload == b"others"
        assert not told.retain


def test_a_session_outlives_its_connection(lamp: Device, make: Make, control: Control) -> None:
    other = make("other")
    with connected5(lamp, session_expiry=100, receive_maximum=1) as client, connected5(other) as sender:
        client.subscribe("a", "b", options=1)
        sender.ask(publish5("a", b"unacknowledged", qos=1))
        sender.ask(publish5("a", b"waiting", qos=1))
        assert client.next().payload == b"unacknowledged"
        client.send(disconnect5())
        assert client.is_closed()
        sender.ask(publish5("b", b"stored", qos=1))
        sender.ask(publish5("b", b"too late", qos=1, message_expiry=5))
        sender.send(publish5("b", b"of QoS 0"))
        assert sender.messages() == []
        control.advance_clock(50)
        client, told = open5(lamp, clean=False, session_expiry=100)
        with client:
            assert told.is_resumed
            assert [one.payload for one in client.messages()] == [b"unacknowledged", b"waiting", b"stored"]
            sender.ask(publish5("a", b"live", qos=1))
            assert [one.payload for one in client.messages()] == [b"live"]


@pytest.mark.parametrize(
    ("first", "end", "again", "wait_s", "is_resumed"),
    [
        pytest.param({"session_expiry": 100}, disconnect5(), {"clean": False}, 99, True, id="in time"),
        pytest.param({"session_expiry": 100}, disconnect5(), {"clean": False}, 101, False, id="expired"),
        pytest.param({"session_expiry": 100}, disconnect5(), {"clean": True}, 0, False, id="clean start"),
        pytest.param({}, disconnect5(), {"clean": False}, 0, False, id="no expiry interval"),
        pytest.param({"session_expiry": 100}, disconnect5(session_expiry=0), {"clean": False}, 0, False, id="given up"),
        pytest.param(
            {"session_expiry": 9},
            disconnect5(session_expiry=99),
            {"clean": False},
            50,
            True,
            id="made longer at the end",
        ),
        pytest.param({"session_expiry": 0xFFFFFFFF}, disconnect5(), {"clean": False}, 3601, False, id="never"),
        pytest.param({"session_expiry": 100}, b"", {"clean": False}, 0, True, id="vanished or taken over"),
    ],
)
def test_when_a_session_is_resumed(
    lamp: Device, control: Control, first: Any, end: bytes, again: Any, wait_s: int, is_resumed: bool
) -> None:
    with connected5(lamp, **first) as client:
        client.subscribe("a")
        client.send(end)
        if end:
            assert client.is_closed()
        control.advance_clock(wait_s)
        newer, told = open5(lamp, **again)
        with newer:
            assert told.is_resumed is is_resumed
            newer.send(publish5("a"))
            assert len(newer.messages()) == is_resumed


def test_a_session_of_mqtt_5_is_not_one_of_3_1_1(lamp: Device) -> None:
    with connected5(lamp, session_expiry=100) as client:
        client.subscribe("a")
    with lamp.connect(clean=False) as older:
        older.publish("a", b"x")
        assert older.messages() == []
    client, told = open5(lamp, clean=False)
    with client:
        assert not told.is_resumed


def test_the_server_says_who_took_the_place_and_that_the_certificate_is_off(lamp: Device, iot: Any) -> None:
    with connected5(lamp) as older, connected5(lamp) as newer:
        told = older.next()
        assert (told.kind, told.codes) == (DISCONNECT, [0x8E])
        iot.update_certificate(certificateId=lamp.certificate_id, newStatus="INACTIVE")
        told = newer.next()
        assert (told.kind, told.codes) == (DISCONNECT, [0x87])
        assert newer.is_closed()


def test_a_reset_is_an_administrators_and_forgets_sessions(
    lamp: Device, iot: Any, control: Control, tmp_path: Path
) -> None:
    with connected5(lamp, session_expiry=100) as client:
        client.send(disconnect5())
        assert client.is_closed()
    with connected5(lamp, "other", session_expiry=100) as client:
        control.reset()
        told = client.next()
        assert (told.kind, told.codes) == (DISCONNECT, [0x98])
    (tmp_path / "again").mkdir()
    again = make_device(iot, control.address, tmp_path / "again", policy=ALLOW_ALL)
    for client_id in ("lamp", "other"):
        client, told = open5(again, client_id, clean=False)
        with client:
            assert not told.is_resumed


@pytest.mark.parametrize(("end", "is_published"), [(0x00, False), (0x04, True), (None, True)])
def test_the_will_and_its_properties(lamp: Device, make: Make, end: int | None, is_published: bool) -> None:
    will = will5("gone", b"bye", qos=1, content_type="text/plain", message_expiry=60, user=[("a", "b")])
    with connected5(make("other")) as watcher:
        watcher.subscribe("gone", "here", options=1)
        with connected5(lamp, will=will) as client:
            if end is not None:
                client.send(disconnect5(end))
                assert client.is_closed()
        with connected5(lamp) as client:
            client.ask(publish5("here", qos=1))
        told = watcher.next()
        assert (told.topic == "gone") is is_published
        if is_published:
            assert (told.payload, told.values["content_type"], told.values["user"]) == (
                b"bye",
                "text/plain",
                [("a", "b")],
            )
            assert told.values["message_expiry"] in (59, 60)


def test_refusals_are_logged_as_for_every_client(lamp: Device, control: Control) -> None:
    with connected5(lamp) as client:
        client.ask(publish5("", topic_alias=3))
    assert refusals(control, "mqtt")[-1]["why"].startswith("malformed MQTT: PUBLISH with neither a topic nor an alias")


def test_damaged_packets_leave_the_broker_serving(make: Make) -> None:
    lamp, other = make("lamp"), make("other")
    source = random.Random(5)  # noqa: S311 - the same damage in every run
    good = [
        connect5("lamp", session_expiry=9, user=[("a", "b")], will=will5("gone", b"x", content_type="c")),
        publish5("a/b", b"{}", qos=1, topic_alias=1, user=[("a", "b")], response_topic="r", correlation_data=b"1"),
        subscribe5("a/#", options=1, user=[("a", "b")]),
        unsubscribe5("a"),
        disconnect5(0, session_expiry=1, reason_string="why"),
        packet(0x40, b"\x00\x01\x10" + properties(reason_string="no")),
    ]
    with connected5(other) as bystander:
        for _ in range(50):
            with connected5(lamp, session_expiry=9) as client, contextlib.suppress(OSError):
                client.send(*(damaged(source, good) for _ in range(10)))
        assert bystander.messages() == []
    with connected5(lamp) as client:
        assert client.subscribe("a") == [0]
    for _ in range(2_000):
        parser = Parser()
        list(parser.feed(connect5("lamp")))
        with contextlib.suppress(MalformedPacketError):
            list(parser.feed(damaged(source, good)))


def damaged(source: random.Random, good: list[bytes]) -> bytes:
    raw = bytearray(source.choice(good))
    raw[source.randrange(2, len(raw))] = source.randrange(256)
    return bytes(raw)


def test_a_client_of_mqtt_5_takes_jobs_as_one_of_3_1_1(lamp: Device) -> None:
    topic = "$aws/things/lamp/jobs/start-next"
    with connected5(lamp, topic_alias_maximum=8) as client:
        client.send(publish5(topic, b"{}", topic_alias=1, user=[("a", "b")]))
        told = client.next()
        assert (told.topic, told.values) == (f"{topic}/accepted", {"topic_alias": 1})
        client.send(publish5("", b"{}", topic_alias=1))
        assert client.next().values == {"topic_alias": 1}
