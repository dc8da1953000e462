"""MQTT 3.1.1 packets as data, and the encoding of those that a server sends.

Independent of sockets and AWS; ``parser`` reads packets. Of MQTT 5 there is only the refusal in its own form, because a
client of that version cannot read the older one.

Source: OASIS MQTT 3.1.1 (sections 2.2, 3.1 to 3.14); MQTT 5.0 section 3.2 (CONNACK, reason code 0x84).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

CONNECT, CONNACK, PUBLISH, PUBACK = 1, 2, 3, 4
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = 8, 9, 10, 11
PINGREQ, PINGRESP, DISCONNECT = 12, 13, 14
MAX_PAYLOAD_BYTES = 128 * 1024
ACCEPTED, BAD_VERSION, BAD_CLIENT_ID = 0, 1, 2
SUBSCRIPTION_REFUSED = 0x80
PINGRESP_BYTES = bytes([PINGRESP << 4, 0])
_MQTT_5 = 5
LEVEL = 4


class MalformedPacketError(ValueError):
    """Bytes that MQTT 3.1.1 does not allow; the connection has to be closed. ``str(error)`` says what is wrong."""


class UnsupportedVersionError(MalformedPacketError):
    """A CONNECT of another version of MQTT. ``refusal`` holds the CONNACK in that version's form."""

    def __init__(self, level: int) -> None:
        super().__init__(f"MQTT protocol level {level} is not served, only {LEVEL} (MQTT 3.1.1)")
        self.refusal = b"\x20\x03\x00\x84\x00" if level == _MQTT_5 else encode_connack(BAD_VERSION)


@dataclass(frozen=True)
class Message:
    """Something to publish. ``packet_id`` is 0 with QoS 0."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    packet_id: int = 0


@dataclass(frozen=True)
class Connect:
    """A client's first packet. ``keep_alive_s`` 0 means none; ``will`` is published on an unexpected end."""

    client_id: str
    clean_session: bool
    keep_alive_s: int
    will: Message | None = None


@dataclass(frozen=True)
class Acknowledge:
    """PUBACK: the client has received the QoS 1 message with this packet identifier."""

    packet_id: int


@dataclass(frozen=True)
class Subscribe:
    """Topic filters with the requested QoS of each."""

    packet_id: int
    filters: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Unsubscribe:
    """Topic filters to unsubscribe from."""

    packet_id: int
    filters: tuple[str, ...]


@dataclass(frozen=True)
class Ping:
    """PINGREQ."""


@dataclass(frozen=True)
class Disconnect:
    """DISCONNECT: the will is not published."""


Packet = Connect | Message | Acknowledge | Subscribe | Unsubscribe | Ping | Disconnect


def encode_connack(code: int) -> bytes:
    """CONNACK. The session-present flag is never set: no session outlives its connection here."""
    return bytes([CONNACK << 4, 2, 0, code])


def encode_publish(message: Message) -> bytes:
    """PUBLISH from server to client."""
    topic = message.topic.encode()
    number = struct.pack("!H", message.packet_id) if message.qos else b""
    body = struct.pack("!H", len(topic)) + topic + number + message.payload
    return bytes([PUBLISH << 4 | message.qos << 1 | message.retain]) + encode_length(len(body)) + body


def encode_puback(packet_id: int) -> bytes:
    """PUBACK."""
    return struct.pack("!BBH", PUBACK << 4, 2, packet_id)


def encode_suback(packet_id: int, codes: list[int]) -> bytes:
    """SUBACK: for each filter the QoS granted, or ``SUBSCRIPTION_REFUSED``."""
    return bytes([SUBACK << 4]) + encode_length(2 + len(codes)) + struct.pack("!H", packet_id) + bytes(codes)


def encode_unsuback(packet_id: int) -> bytes:
    """UNSUBACK."""
    return struct.pack("!BBH", UNSUBACK << 4, 2, packet_id)


def encode_length(length: int) -> bytes:
    """A remaining length: seven bits in each byte, lowest first."""
    digits = bytearray()
    while length > 0x7F:
        digits.append(length & 0x7F | 0x80)
        length >>= 7
    digits.append(length)
    return bytes(digits)
