"""Encodes the packets that a server sends, in the form of MQTT 3.1.1 or of MQTT 5.

The broker decides with MQTT 5's reasons; 3.1.1 has few codes for them, and no packet by which a server ends a
connection.

Source: OASIS MQTT 3.1.1 and MQTT 5.0, sections 3.2 to 3.14.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from .fields import encode_length, encode_number, encode_text
from .packets import (
    CONNACK,
    DISCONNECT,
    MQTT_5,
    NO_PROPERTIES,
    PINGRESP,
    PUBACK,
    PUBLISH,
    SUBACK,
    UNSUBACK,
    Message,
)
from .properties import Properties, encode_properties
from .reasons import FIRST_FAILURE, Outcome, Reason

PINGRESP_BYTES = bytes([PINGRESP << 4, 0])
_CONNACK_CODES = {Reason.SUCCESS: 0, Reason.BAD_VERSION: 1, Reason.BAD_CLIENT_ID: 2}
_REFUSED = 7  # AWS's own code: the policies do not allow the connection


class Encoder(Protocol):
    """Encodes packets for a client of one version."""

    def connack(self, outcome: Outcome, properties: Properties, *, is_resumed: bool = False) -> bytes:
        """CONNACK; ``is_resumed`` is the session-present flag."""

    def publish(self, message: Message) -> bytes:
        """PUBLISH."""

    def puback(self, packet_id: int, outcome: Outcome) -> bytes:
        """PUBACK."""

    def suback(self, packet_id: int, outcomes: Sequence[Outcome]) -> bytes:
        """SUBACK: for each filter the QoS granted, or why it is refused."""

    def unsuback(self, packet_id: int, reasons: Sequence[Reason]) -> bytes:
        """UNSUBACK."""

    def disconnect(self, outcome: Outcome) -> bytes:
        """DISCONNECT; nothing in a version without one from a server."""


class Mqtt3Encoder:
    """The form of MQTT 3.1.1, which has no properties."""

    def connack(self, outcome: Outcome, _properties: Properties, *, is_resumed: bool = False) -> bytes:
        """CONNACK; no session outlives its connection in this version here."""
        return bytes([CONNACK << 4, 2, is_resumed, _CONNACK_CODES.get(outcome.reason, _REFUSED)])

    def publish(self, message: Message) -> bytes:
        """PUBLISH."""
        return _publish(message, b"")

    def puback(self, packet_id: int, _outcome: Outcome) -> bytes:
        """PUBACK, which has no code."""
        return _packet(PUBACK, encode_number(packet_id))

    def suback(self, packet_id: int, outcomes: Sequence[Outcome]) -> bytes:
        """SUBACK."""
        return _packet(SUBACK, encode_number(packet_id) + bytes(min(one.reason, FIRST_FAILURE) for one in outcomes))

    def unsuback(self, packet_id: int, _reasons: Sequence[Reason]) -> bytes:
        """UNSUBACK, which has no codes."""
        return _packet(UNSUBACK, encode_number(packet_id))

    def disconnect(self, _outcome: Outcome) -> bytes:
        """Nothing: only a client of this version sends DISCONNECT."""
        return b""


class Mqtt5Encoder:
    """The form of MQTT 5.

    Args:
        tells_problems: whether PUBACK and SUBACK may have a reason string (the client's Request Problem Information).
        max_bytes: the largest packet that the client accepts; a reason string that does not fit is left out.
    """

    def __init__(self, *, tells_problems: bool = True, max_bytes: int | None = None) -> None:
        self._tells_problems = tells_problems
        self._max_bytes = max_bytes or math.inf

    def connack(self, outcome: Outcome, properties: Properties, *, is_resumed: bool = False) -> bytes:
        """CONNACK."""
        head = bytes([is_resumed, outcome.reason])
        return self._explained(CONNACK, head, replace(properties, reason_string=outcome.why or None))

    def publish(self, message: Message) -> bytes:
        """PUBLISH."""
        return _publish(message, encode_properties(message.properties))

    def puback(self, packet_id: int, outcome: Outcome) -> bytes:
        """PUBACK, in its short form where the message is accepted."""
        number = encode_number(packet_id)
        if outcome.reason == Reason.SUCCESS:
            return _packet(PUBACK, number)
        return self._explained(PUBACK, number + bytes([outcome.reason]), self._problem(outcome.why))

    def suback(self, packet_id: int, outcomes: Sequence[Outcome]) -> bytes:
        """SUBACK, with the sentence of the first refusal."""
        why = next((one.why for one in outcomes if one.why), "")
        codes = bytes(one.reason for one in outcomes)
        return self._explained(SUBACK, encode_number(packet_id), self._problem(why), codes)

    def unsuback(self, packet_id: int, reasons: Sequence[Reason]) -> bytes:
        """UNSUBACK."""
        return _packet(UNSUBACK, encode_number(packet_id) + encode_properties(NO_PROPERTIES) + bytes(reasons))

    def disconnect(self, outcome: Outcome) -> bytes:
        """DISCONNECT."""
        return self._explained(DISCONNECT, bytes([outcome.reason]), Properties(reason_string=outcome.why or None))

    def _problem(self, why: str) -> Properties:
        return Properties(reason_string=(why or None) if self._tells_problems else None)

    def _explained(self, kind: int, head: bytes, properties: Properties, tail: bytes = b"") -> bytes:
        packet = _packet(kind, head + encode_properties(properties) + tail)
        if len(packet) <= self._max_bytes:
            return packet
        return _packet(kind, head + encode_properties(replace(properties, reason_string=None)) + tail)


def encoder_of(level: int | None) -> Encoder:
    """The encoder for a client of this protocol level; that of 3.1.1 for any level but 5."""
    return Mqtt5Encoder() if level == MQTT_5 else Mqtt3Encoder()


def _publish(message: Message, properties: bytes) -> bytes:
    number = encode_number(message.packet_id) if message.qos else b""
    body = encode_text(message.topic) + number + properties + message.payload
    return _packet(PUBLISH, body, message.qos << 1 | message.retain)


def _packet(kind: int, body: bytes, flags: int = 0) -> bytes:
    return bytes([kind << 4 | flags]) + encode_length(len(body)) + body
