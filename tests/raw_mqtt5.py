"""MQTT 5 for ``raw_mqtt``: properties and reason codes, byte by byte, sharing no code with the broker."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

from tests.mqtt_world import Device
from tests.raw_mqtt import CONNACK, PUBACK, PUBLISH, SUBACK, UNSUBACK, RawClient, packet, text

DISCONNECT = 14
Values = dict[str, Any]

# Name: identifier and form; "pairs" is a list of pairs of texts.
_FORMS = {
    "payload_format": (0x01, "B"),
    "message_expiry": (0x02, "L"),
    "content_type": (0x03, "text"),
    "response_topic": (0x08, "text"),
    "correlation_data": (0x09, "binary"),
    "subscription_id": (0x0B, "B"),
    "session_expiry": (0x11, "L"),
    "assigned_client_id": (0x12, "text"),
    "server_keep_alive": (0x13, "H"),
    "authentication_method": (0x15, "text"),
    "request_problem_information": (0x17, "B"),
    "reason_string": (0x1F, "text"),
    "receive_maximum": (0x21, "H"),
    "topic_alias_maximum": (0x22, "H"),
    "topic_alias": (0x23, "H"),
    "maximum_qos": (0x24, "B"),
    "retain_available": (0x25, "B"),
    "user": (0x26, "pairs"),
    "maximum_packet_size": (0x27, "L"),
    "wildcards_available": (0x28, "B"),
    "subscription_ids_available": (0x29, "B"),
    "shared_available": (0x2A, "B"),
}
_NAMES = {identifier: (name, form) for name, (identifier, form) in _FORMS.items()}


def properties(**values: Any) -> bytes:
    """These properties with their length before them."""
    encoded = b""
    for name, value in values.items():
        identifier, form = _FORMS[name]
        for one in value if form == "pairs" else [value]:
            encoded += bytes([identifier]) + _encode(form, one)
    return packet(0, encoded)[1:]


def _encode(form: str, value: Any) -> bytes:
    if form == "pairs":
        return text(value[0]) + text(value[1])
    return text(value) if form in ("text", "binary") else struct.pack(f"!{form}", value)


def connect5(client_id: str, *, clean: bool = True, keep_alive: int = 60, will: bytes = b"", **values: Any) -> bytes:
    """CONNECT; ``will`` is will properties, topic and payload as ``will5`` makes them."""
    flags = 2 * clean | (0x04 | will[0] if will else 0)
    head = text("MQTT") + struct.pack("!BBH", 5, flags, keep_alive)
    return packet(0x10, head + properties(**values) + text(client_id) + will[1:])


def will5(topic: str, payload: bytes, *, qos: int = 0, **values: Any) -> bytes:
    return bytes([qos << 3]) + properties(**values) + text(topic) + text(payload)


def publish5(topic: str, payload: bytes = b"x", *, qos: int = 0, retain: bool = False, **values: Any) -> bytes:
    packet_id = struct.pack("!H", 9) if qos else b""
    return packet(0x30 | qos << 1 | retain, text(topic) + packet_id + properties(**values) + payload)


def subscribe5(*filters: str, options: int = 0, **values: Any) -> bytes:
    return packet(0x82, b"\x00\x07" + properties(**values) + b"".join(text(one) + bytes([options]) for one in filters))


def unsubscribe5(*filters: str) -> bytes:
    return packet(0xA2, b"\x00\x08\x00" + b"".join(text(one) for one in filters))


def disconnect5(reason: int = 0, **values: Any) -> bytes:
    return packet(0xE0, bytes([reason]) + properties(**values))


@dataclass(frozen=True)
class Told:
    """A packet of the server: its type, its reason codes, its properties, and what a PUBLISH has."""

    kind: int
    codes: list[int] = field(default_factory=list)
    values: Values = field(default_factory=dict)
    topic: str = ""
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    packet_id: int = 0
    is_resumed: bool = False


class Client5:
    """A connection of MQTT 5."""

    def __init__(self, raw: RawClient) -> None:
        self.raw = raw

    def __enter__(self) -> Client5:
        return self

    def __exit__(self, *_: object) -> None:
        self.raw.tls.close()

    def send(self, *raw: bytes) -> None:
        self.raw.send(*raw)

    def ask(self, *raw: bytes) -> Told:
        """Send, and take the next packet."""
        self.send(*raw)
        return self.next()

    def next(self) -> Told:
        return _read(*self.raw.read())

    def subscribe(self, *filters: str, options: int = 0) -> list[int]:
        return self.ask(subscribe5(*filters, options=options)).codes

    def messages(self) -> list[Told]:
        """Every PUBLISH that has come by the time the broker answers a ping; those of QoS 1 are acknowledged."""
        self.send(b"\xc0\x00")
        found = []
        while (told := self.next()).kind != 13:
            if told.kind == PUBLISH:
                found.append(told)
                self.acknowledge(told)
        return found

    def acknowledge(self, told: Told) -> None:
        if told.qos:
            self.send(packet(0x40, struct.pack("!H", told.packet_id)))

    def is_closed(self) -> bool:
        return self.raw.is_closed()


def open5(device: Device, client_id: str | None = None, **options: Any) -> tuple[Client5, Told]:
    """A connection and the answer to its CONNECT."""
    client = Client5(device.open())
    return client, client.ask(connect5(device.name if client_id is None else client_id, **options))


def connected5(device: Device, client_id: str | None = None, **options: Any) -> Client5:
    """A connection whose CONNECT was accepted."""
    client, told = open5(device, client_id, **options)
    assert (told.kind, told.codes) == (CONNACK, [0])
    return client


def _read(first: int, body: bytes) -> Told:
    kind = first >> 4
    if kind == PUBLISH:
        return _read_publish(first, body)
    if kind == CONNACK:
        values, rest = _values(body[2:])
        assert not rest
        return Told(kind, [body[1]], values, is_resumed=bool(body[0]))
    if kind == DISCONNECT:
        return Told(kind, [body[0]], _values(body[1:])[0])
    if kind == PUBACK:
        values = _values(body[3:])[0] if len(body) > 3 else {}
        return Told(kind, [body[2] if len(body) > 2 else 0], values, packet_id=int.from_bytes(body[:2], "big"))
    if kind in (SUBACK, UNSUBACK):
        values, codes = _values(body[2:])
        return Told(kind, list(codes), values)
    return Told(kind)


def _read_publish(first: int, body: bytes) -> Told:
    size, qos = int.from_bytes(body[:2], "big"), first >> 1 & 3
    topic, rest = body[2 : 2 + size].decode(), body[2 + size :]
    packet_id = int.from_bytes(rest[:2], "big") if qos else 0
    values, payload = _values(rest[2:] if qos else rest)
    return Told(
        PUBLISH, values=values, topic=topic, payload=payload, qos=qos, retain=bool(first & 1), packet_id=packet_id
    )


def _values(raw: bytes) -> tuple[Values, bytes]:
    """The properties at the front, and what is behind them."""
    length, begin = raw[0] & 127, 1
    if raw[0] > 127:
        length, begin = length | raw[1] << 7, 2
    inner, rest = raw[begin : begin + length], raw[begin + length :]
    found: Values = {}
    while inner:
        name, form = _NAMES[inner[0]]
        value, inner = _value(form, inner[1:])
        if form == "pairs":
            found.setdefault(name, []).append(value)
        else:
            assert name not in found
            found[name] = value
    return found, rest


def _value(form: str, raw: bytes) -> tuple[Any, bytes]:
    if form in ("text", "binary"):
        end = 2 + int.from_bytes(raw[:2], "big")
        return (raw[2:end].decode() if form == "text" else raw[2:end]), raw[end:]
    if form == "pairs":
        name, raw = _value("text", raw)
        value, raw = _value("text", raw)
        return (name, value), raw
    size = struct.calcsize(f"!{form}")
    return struct.unpack(f"!{form}", raw[:size])[0], raw[size:]
