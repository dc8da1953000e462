"""Reads what MQTT clients send, strictly: bytes in any portions go in, packets come out.

CONNECT says which version the packets after it have. What the standard calls malformed is refused, so that a device
that builds bad packets fails here as it fails against AWS. A packet's length is checked before any of its body is kept.

Source: OASIS MQTT 3.1.1 (sections 1.5.3, 2.2, 2.3, 3.1 to 3.14, 4.7.1 and 4.8); MQTT 5.0 (sections 2.1 and 3.1 to
3.15); AWS IoT Developer Guide, "AWS IoT differences from MQTT specifications" (no AUTH, no packets of QoS 2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from . import properties
from .fields import Reader
from .packets import (
    CONNECT,
    DISCONNECT,
    MAX_PAYLOAD_BYTES,
    MQTT_3,
    MQTT_5,
    NO_PROPERTIES,
    PINGREQ,
    PUBACK,
    PUBLISH,
    SUBSCRIBE,
    UNSUBSCRIBE,
    Acknowledge,
    Connect,
    Disconnect,
    Message,
    Options,
    Packet,
    Ping,
    Subscribe,
    Unsubscribe,
)
from .properties import Properties, read_properties
from .reasons import MalformedPacketError, ProtocolError, Reason, UnsupportedVersionError

MAX_REMAINING_BYTES = MAX_PAYLOAD_BYTES + 1024
MAX_PACKET_BYTES = 149_504  # of MQTT 5; as captured in AWS's CONNACK
MAX_TOPIC_ALIAS = 8
_FIXED_FLAGS = {CONNECT: 0, PUBACK: 0, SUBSCRIBE: 2, UNSUBSCRIBE: 2, PINGREQ: 0, DISCONNECT: 0}
_NOT_SERVED = {5: "PUBREC", 6: "PUBREL", 7: "PUBCOMP", 15: "AUTH"}
_SHARED = "$share/"


class Parser:
    """Turns one connection's bytes into packets.

    Attributes:
        level: the protocol level that CONNECT names, even where that CONNECT is refused; None before.
    """

    def __init__(self) -> None:
        self.level: int | None = None
        self._buffer = bytearray()
        self._aliases: dict[int, str] = {}

    def feed(self, data: bytes) -> Iterator[Packet]:
        """The packets that ``data`` completes, in order.

        Raises:
            MalformedPacketError: at the first packet that is not allowed; the parser must not be used any more.
        """
        self._buffer += data
        begin = 0
        try:
            while (head := self._read_header(begin)) is not None:
                first, start, length = head
                if len(self._buffer) < start + length:
                    return
                begin = start + length
                yield self._parse(first, bytes(self._buffer[start:begin]))
        finally:
            del self._buffer[:begin]

    def _read_header(self, begin: int) -> tuple[int, int, int] | None:
        """First byte, where the body starts and how long it is; None while the header is incomplete."""
        buffer, length, shift = self._buffer, 0, 0
        if len(buffer) > begin:
            self._check_first_byte(buffer[begin])
        for place in range(begin + 1, min(begin + 5, len(buffer))):
            length |= (buffer[place] & 0x7F) << shift
            shift += 7
            if buffer[place] < 0x80:
                self._check_length(length, place + 1 - begin)
                return buffer[begin], place + 1, length
        if len(buffer) - begin >= 5:
            raise MalformedPacketError("a remaining length of more than four bytes")
        return None

    def _check_length(self, length: int, header_bytes: int) -> None:
        if self.level == MQTT_5 and header_bytes + length > MAX_PACKET_BYTES:
            why = f"a packet of {header_bytes + length} bytes is larger than {MAX_PACKET_BYTES}"
            raise ProtocolError(why, Reason.TOO_LARGE)
        if self.level != MQTT_5 and length > MAX_REMAINING_BYTES:
            raise MalformedPacketError(f"a packet of {length} bytes is larger than {MAX_REMAINING_BYTES}")

    def _check_first_byte(self, first: int) -> None:
        kind, flags = first >> 4, first & 0x0F
        if kind == PUBLISH:
            qos = flags >> 1 & 3
            if qos == 3 or (qos == 0 and flags & 8):
                raise MalformedPacketError("PUBLISH with QoS 3, or DUP with QoS 0")
        elif self.level == MQTT_5 and kind in _NOT_SERVED:
            raise ProtocolError(f"{_NOT_SERVED[kind]}, which AWS IoT does not serve")
        elif kind not in _FIXED_FLAGS:
            raise MalformedPacketError(f"packet type {kind}, which a client of this server never sends")
        elif flags != _FIXED_FLAGS[kind]:
            raise MalformedPacketError(f"packet type {kind} with the flags {flags:#x}")

    def _parse(self, first: int, body: bytes) -> Packet:
        kind, reader = first >> 4, Reader(body)
        if kind == CONNECT:
            packet: Packet = self._parse_connect(reader)
        elif kind == PUBLISH:
            return self._parse_publish(first, reader)
        else:
            packet = _PARSERS[kind](reader, self.level == MQTT_5)
        reader.expect_end()
        return packet

    def _parse_connect(self, reader: Reader) -> Connect:
        name, level = reader.binary(), reader.byte()
        if name not in (b"MQTT", b"MQIsdp") or (level == MQTT_5 and name != b"MQTT"):
            raise MalformedPacketError("a protocol name other than MQTT")
        if self.level is None:
            self.level = level
        if level not in (MQTT_3, MQTT_5):
            raise UnsupportedVersionError(level)
        return _parse_connect(reader, level)

    def _parse_publish(self, first: int, reader: Reader) -> Message:
        qos = first >> 1 & 3
        topic = reader.text()
        if topic or self.level != MQTT_5:
            _check_topic(topic)
        packet_id = reader.packet_id() if qos else 0
        found = read_properties(reader, properties.PUBLISH) if self.level == MQTT_5 else NO_PROPERTIES
        if self.level == MQTT_5:
            topic = self._resolve(topic, found.topic_alias)
        return Message(topic, reader.rest(), qos, bool(first & 1), packet_id, found)

    def _resolve(self, topic: str, alias: int | None) -> str:
        """The topic of a PUBLISH with this alias, which a topic sets anew."""
        if alias is not None and alias > MAX_TOPIC_ALIAS:
            raise ProtocolError(f"topic alias {alias} is above {MAX_TOPIC_ALIAS}", Reason.BAD_TOPIC_ALIAS)
        if alias is not None and topic:
            self._aliases[alias] = topic
        found = topic or self._aliases.get(alias or 0)
        if not found:
            raise ProtocolError("PUBLISH with neither a topic nor an alias that was set before")
        return found


def _parse_connect(reader: Reader, level: int) -> Connect:
    flags = reader.byte()
    _check_connect_flags(flags, level)
    keep_alive_s = reader.number()
    found = read_properties(reader, properties.CONNECT) if level == MQTT_5 else NO_PROPERTIES
    client_id = reader.text()
    will = _parse_will(reader, flags, level) if flags & 0x04 else None
    if flags & 0x80:
        reader.text()
    if flags & 0x40:
        reader.binary()
    return Connect(client_id, bool(flags & 0x02), keep_alive_s, will, level, found)


def _check_connect_flags(flags: int, level: int) -> None:
    if flags & 0x01:
        raise MalformedPacketError("CONNECT with its reserved flag set")
    if flags & 0x18 == 0x18 or (flags & 0x38 and not flags & 0x04):
        raise MalformedPacketError("CONNECT with will flags that contradict each other")
    if level == MQTT_3 and flags & 0x40 and not flags & 0x80:
        raise MalformedPacketError("CONNECT with a password and no user name")


def _parse_will(reader: Reader, flags: int, level: int) -> Message:
    found = read_properties(reader, properties.WILL) if level == MQTT_5 else NO_PROPERTIES
    topic = _check_topic(reader.text())
    return Message(topic, reader.binary(), qos=flags >> 3 & 3, retain=bool(flags & 0x20), properties=found)


def _check_topic(topic: str) -> str:
    if not topic or "+" in topic or "#" in topic:
        raise MalformedPacketError("a topic to publish on that is empty or holds a wildcard")
    return topic


def _parse_puback(reader: Reader, is_mqtt_5: bool) -> Acknowledge:
    packet_id = reader.packet_id()
    if is_mqtt_5:
        _parse_reason(reader, properties.PUBACK)
    return Acknowledge(packet_id)


def _parse_reason(reader: Reader, packet: str) -> tuple[int, Properties]:
    """A reason code and properties, which a client of MQTT 5 leaves out from the end on."""
    reason = Reason.SUCCESS if reader.is_at_end() else reader.byte()
    return reason, NO_PROPERTIES if reader.is_at_end() else read_properties(reader, packet)


def _parse_subscribe(reader: Reader, is_mqtt_5: bool) -> Subscribe:
    packet_id = reader.packet_id()
    found = read_properties(reader, properties.SUBSCRIBE) if is_mqtt_5 else NO_PROPERTIES
    filters: list[tuple[str, Options]] = []
    while not filters or not reader.is_at_end():
        wanted = _check_filter(reader.text())
        options = _read_options(reader.byte(), is_mqtt_5)
        if options.no_local and wanted.startswith(_SHARED):
            raise ProtocolError("a shared subscription with No Local")
        filters.append((wanted, options))
    return Subscribe(packet_id, tuple(filters), found)


def _read_options(octet: int, is_mqtt_5: bool) -> Options:
    qos, retain_handling = octet & 3, octet >> 4 & 3
    if qos == 3 or octet & (0xC0 if is_mqtt_5 else 0xFC):
        raise MalformedPacketError("SUBSCRIBE with a QoS above 2 or a reserved bit")
    if retain_handling == 3:
        raise ProtocolError("SUBSCRIBE with Retain Handling 3")
    return Options(qos, bool(octet & 4), bool(octet & 8), retain_handling)


def _parse_unsubscribe(reader: Reader, is_mqtt_5: bool) -> Unsubscribe:
    packet_id = reader.packet_id()
    if is_mqtt_5:
        read_properties(reader, properties.UNSUBSCRIBE)
    filters: list[str] = []
    while not filters or not reader.is_at_end():
        filters.append(_check_filter(reader.text()))
    return Unsubscribe(packet_id, tuple(filters))


def _check_filter(wanted: str) -> str:
    levels = wanted.split("/")
    if not wanted or "#" in levels[:-1] or any(len(one) > 1 and ("+" in one or "#" in one) for one in levels):
        raise MalformedPacketError("a topic filter that is empty or has a wildcard within a level")
    return wanted


def _parse_disconnect(reader: Reader, is_mqtt_5: bool) -> Disconnect:
    return Disconnect(*_parse_reason(reader, properties.DISCONNECT)) if is_mqtt_5 else Disconnect()


_PARSERS: dict[int, Callable[[Reader, bool], Packet]] = {
    PUBACK: _parse_puback,
    SUBSCRIBE: _parse_subscribe,
    UNSUBSCRIBE: _parse_unsubscribe,
    PINGREQ: lambda _reader, _is_mqtt_5: Ping(),
    DISCONNECT: _parse_disconnect,
}
