"""The properties of MQTT 5 packets: which there are, in which packets a client may send them, read and written.

Source: OASIS MQTT 5.0 section 2.2.2 (identifiers and types), 3.1 to 3.15 (which packet has which, and the values that
are a protocol error); AWS IoT Developer Guide, "MQTT 5 properties".
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from .fields import Reader, encode_binary, encode_length, encode_number, encode_text
from .reasons import MalformedPacketError, ProtocolError, Reason

CONNECT, WILL, PUBLISH, PUBACK = "CONNECT", "the will", "PUBLISH", "PUBACK"
SUBSCRIBE, UNSUBSCRIBE, DISCONNECT = "SUBSCRIBE", "UNSUBSCRIBE", "DISCONNECT"
_USER = 0x26


@dataclass(frozen=True)
class Properties:
    """The properties of one packet; None where one is absent. ``user`` keeps its order and may repeat a name."""

    payload_format: int | None = None
    message_expiry_s: int | None = None
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    subscription_id: int | None = None
    session_expiry_s: int | None = None
    assigned_client_id: str | None = None
    server_keep_alive_s: int | None = None
    authentication_method: str | None = None
    authentication_data: bytes | None = None
    request_problem_information: int | None = None
    will_delay_s: int | None = None
    request_response_information: int | None = None
    reason_string: str | None = None
    receive_maximum: int | None = None
    topic_alias_maximum: int | None = None
    topic_alias: int | None = None
    maximum_qos: int | None = None
    retain_available: int | None = None
    maximum_packet_bytes: int | None = None
    wildcards_available: int | None = None
    subscription_ids_available: int | None = None
    shared_subscriptions_available: int | None = None
    user: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _Type:
    read: Callable[[Reader], Any]
    encode: Callable[[Any], bytes]


_BYTE = _Type(Reader.byte, lambda value: bytes([value]))
_FLAG = _Type(lambda reader: _read_flag(reader), lambda value: bytes([value]))
_NUMBER = _Type(Reader.number, encode_number)
_LONG = _Type(Reader.long, lambda value: struct.pack("!L", value))
_LENGTH = _Type(Reader.length, encode_length)
_TEXT = _Type(Reader.text, encode_text)
_BINARY = _Type(Reader.binary, encode_binary)
_PAIR = _Type(
    lambda reader: (reader.text(), reader.text()), lambda value: encode_text(value[0]) + encode_text(value[1])
)

_MESSAGES = (PUBLISH, WILL)
_ALL = (CONNECT, WILL, PUBLISH, PUBACK, SUBSCRIBE, UNSUBSCRIBE, DISCONNECT)
# Identifier: field, type, packets in which a client may send it.
_TABLE: dict[int, tuple[str, _Type, tuple[str, ...]]] = {
    0x01: ("payload_format", _FLAG, _MESSAGES),
    0x02: ("message_expiry_s", _LONG, _MESSAGES),
    0x03: ("content_type", _TEXT, _MESSAGES),
    0x08: ("response_topic", _TEXT, _MESSAGES),
    0x09: ("correlation_data", _BINARY, _MESSAGES),
    0x0B: ("subscription_id", _LENGTH, (SUBSCRIBE,)),
    0x11: ("session_expiry_s", _LONG, (CONNECT, DISCONNECT)),
    0x12: ("assigned_client_id", _TEXT, ()),
    0x13: ("server_keep_alive_s", _NUMBER, ()),
    0x15: ("authentication_method", _TEXT, (CONNECT,)),
    0x16: ("authentication_data", _BINARY, (CONNECT,)),
    0x17: ("request_problem_information", _FLAG, (CONNECT,)),
    0x18: ("will_delay_s", _LONG, (WILL,)),
    0x19: ("request_response_information", _FLAG, (CONNECT,)),
    0x1F: ("reason_string", _TEXT, (PUBACK, DISCONNECT)),
    0x21: ("receive_maximum", _NUMBER, (CONNECT,)),
    0x22: ("topic_alias_maximum", _NUMBER, (CONNECT,)),
    0x23: ("topic_alias", _NUMBER, (PUBLISH,)),
    0x24: ("maximum_qos", _BYTE, ()),
    0x25: ("retain_available", _BYTE, ()),
    _USER: ("user", _PAIR, _ALL),
    0x27: ("maximum_packet_bytes", _LONG, (CONNECT,)),
    0x28: ("wildcards_available", _BYTE, ()),
    0x29: ("subscription_ids_available", _BYTE, ()),
    0x2A: ("shared_subscriptions_available", _BYTE, ()),
}
_IDENTIFIERS = {name: (identifier, kind) for identifier, (name, kind, _) in _TABLE.items()}
_NOT_ZERO = ("receive_maximum", "maximum_packet_bytes", "subscription_id")


def read_properties(reader: Reader, packet: str) -> Properties:
    """The properties at the reader's place, in a client's ``packet`` of this kind.

    Raises:
        MalformedPacketError: one that this packet does not have, or a value of the wrong type.
        ProtocolError: one that is there twice, or has a value that is not allowed.
    """
    inner = Reader(reader.take(reader.length()))
    found: dict[str, Any] = {}
    user: list[tuple[str, str]] = []
    while not inner.is_at_end():
        name, kind, packets = _TABLE.get(identifier := inner.length(), ("", _BYTE, ()))
        if packet not in packets:
            raise MalformedPacketError(f"property {identifier:#04x}, which {packet} of a client does not have")
        if name in found:
            raise ProtocolError(f"property {identifier:#04x} twice")
        value = kind.read(inner)
        if identifier == _USER:
            user.append(value)
        else:
            found[name] = value
    _check(found)
    return Properties(**found, user=tuple(user))


def encode_properties(properties: Properties) -> bytes:
    """All properties that are there, prefixed by their length."""
    encoded = bytearray()
    for one in fields(Properties):
        identifier, kind = _IDENTIFIERS[one.name]
        value = getattr(properties, one.name)
        for each in value if one.name == "user" else (value,) if value is not None else ():
            encoded += bytes([identifier]) + kind.encode(each)
    return encode_length(len(encoded)) + bytes(encoded)


def _read_flag(reader: Reader) -> int:
    found = reader.byte()
    if found > 1:
        raise ProtocolError(f"a property that is 0 or 1 has the value {found}")
    return found


def _check(found: dict[str, Any]) -> None:
    """What is a protocol error by its value alone."""
    for name in _NOT_ZERO:
        if found.get(name) == 0:
            raise ProtocolError(f"the property {name} is 0")
    if found.get("topic_alias") == 0:
        raise ProtocolError("topic alias 0", Reason.BAD_TOPIC_ALIAS)
    topic = found.get("response_topic", "-")
    if not topic or "+" in topic or "#" in topic:
        raise ProtocolError("a response topic that is empty or holds a wildcard")
    if "authentication_data" in found and "authentication_method" not in found:
        raise ProtocolError("authentication data without a method")
