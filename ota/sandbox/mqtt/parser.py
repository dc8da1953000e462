"""Reads what MQTT 3.1.1 clients send, strictly: bytes in any portions go in, packets come out.

What the standard calls malformed is refused, so that a device that builds bad packets fails here as it fails against
AWS. A packet's length is checked before any of its body is kept.

Source: OASIS MQTT 3.1.1 (sections 1.5.3, 2.2, 2.3, 3.1 to 3.14, 4.7.1 and 4.8).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .packets import (
    CONNECT,
    DISCONNECT,
    LEVEL,
    MAX_PAYLOAD_BYTES,
    PINGREQ,
    PUBACK,
    PUBLISH,
    SUBSCRIBE,
    UNSUBSCRIBE,
    Acknowledge,
    Connect,
    Disconnect,
    MalformedPacketError,
    Message,
    Packet,
    Ping,
    Subscribe,
    Unsubscribe,
    UnsupportedVersionError,
)

MAX_REMAINING_BYTES = MAX_PAYLOAD_BYTES + 1024
_FIXED_FLAGS = {CONNECT: 0, PUBACK: 0, SUBSCRIBE: 2, UNSUBSCRIBE: 2, PINGREQ: 0, DISCONNECT: 0}


class Parser:
    """Turns one connection's bytes into packets."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Packet]:
        """The packets that ``data`` completes, in order.

        Raises:
            MalformedPacketError: at the first packet that is not allowed; the parser must not be used any more.
        """
        self._buffer += data
        begin = 0
        try:
            while (head := read_header(self._buffer, begin)) is not None:
                first, start, length = head
                if len(self._buffer) < start + length:
                    return
                begin = start + length
                yield _parse(first, bytes(self._buffer[start:begin]))
        finally:
            del self._buffer[:begin]


class Reader:
    """Reads the fields of a packet's body in order."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._place = 0

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        end = self._place + count
        if end > len(self._body):
            raise MalformedPacketError("a packet that ends within a field")
        taken, self._place = self._body[self._place : end], end
        return taken

    def byte(self) -> int:
        """A number of one byte."""
        return self.take(1)[0]

    def number(self) -> int:
        """A number of two bytes."""
        return int.from_bytes(self.take(2), "big")

    def packet_id(self) -> int:
        """A packet identifier, which is never 0."""
        found = self.number()
        if found == 0:
            raise MalformedPacketError("packet identifier 0")
        return found

    def binary(self) -> bytes:
        """Bytes, prefixed by their length."""
        return self.take(self.number())

    def text(self) -> str:
        """A string, prefixed by its length."""
        try:
            found = self.binary().decode("utf-8")
        except UnicodeDecodeError as error:
            raise MalformedPacketError("a string that is not valid UTF-8") from error
        if "\0" in found:
            raise MalformedPacketError("a string with the character U+0000")
        return found

    def rest(self) -> bytes:
        """The remaining bytes."""
        return self.take(len(self._body) - self._place)

    def is_at_end(self) -> bool:
        """Whether no bytes remain."""
        return self._place == len(self._body)

    def expect_end(self) -> None:
        """MalformedPacketError when bytes remain."""
        if not self.is_at_end():
            raise MalformedPacketError("bytes after a packet's last field")


def read_header(buffer: bytearray, begin: int) -> tuple[int, int, int] | None:
    """First byte, where the body starts and how long it is; None while the header is incomplete."""
    length, shift = 0, 0
    if len(buffer) > begin:
        _check_flags(buffer[begin])
    for place in range(begin + 1, min(begin + 5, len(buffer))):
        length |= (buffer[place] & 0x7F) << shift
        shift += 7
        if buffer[place] < 0x80:
            if length > MAX_REMAINING_BYTES:
                raise MalformedPacketError(f"a packet of {length} bytes is larger than {MAX_REMAINING_BYTES}")
            return buffer[begin], place + 1, length
    if len(buffer) - begin >= 5:
        raise MalformedPacketError("a remaining length of more than four bytes")
    return None


def _parse(first: int, body: bytes) -> Packet:
    kind, reader = first >> 4, Reader(body)
    if kind == PUBLISH:
        return _parse_publish(first, reader)
    packet = _PARSERS[kind](reader)
    reader.expect_end()
    return packet


def _parse_connect(reader: Reader) -> Connect:
    if reader.binary() not in (b"MQTT", b"MQIsdp"):
        raise MalformedPacketError("a protocol name other than MQTT")
    level = reader.byte()
    if level != LEVEL:
        reader.rest()
        raise UnsupportedVersionError(level)
    flags = reader.byte()
    _check_connect_flags(flags)
    keep_alive_s, client_id = reader.number(), reader.text()
    will = _parse_will(reader, flags) if flags & 0x04 else None
    if flags & 0x80:
        reader.text()
    if flags & 0x40:
        reader.binary()
    return Connect(client_id, bool(flags & 0x02), keep_alive_s, will)


def _check_connect_flags(flags: int) -> None:
    if flags & 0x01:
        raise MalformedPacketError("CONNECT with its reserved flag set")
    if flags & 0x18 == 0x18 or (flags & 0x38 and not flags & 0x04):
        raise MalformedPacketError("CONNECT with will flags that contradict each other")
    if flags & 0x40 and not flags & 0x80:
        raise MalformedPacketError("CONNECT with a password and no user name")


def _parse_will(reader: Reader, flags: int) -> Message:
    topic = _check_topic(reader.text())
    return Message(topic, reader.binary(), qos=flags >> 3 & 3, retain=bool(flags & 0x20))


def _parse_publish(first: int, reader: Reader) -> Message:
    qos = first >> 1 & 3
    topic = _check_topic(reader.text())
    packet_id = reader.packet_id() if qos else 0
    return Message(topic, reader.rest(), qos, bool(first & 1), packet_id)


def _check_topic(topic: str) -> str:
    if not topic or "+" in topic or "#" in topic:
        raise MalformedPacketError("a topic to publish on that is empty or holds a wildcard")
    return topic


def _parse_subscribe(reader: Reader) -> Subscribe:
    packet_id = reader.packet_id()
    filters: list[tuple[str, int]] = []
    while not filters or not reader.is_at_end():
        wanted, qos = _check_filter(reader.text()), reader.byte()
        if qos > 2:
            raise MalformedPacketError("SUBSCRIBE with a QoS above 2")
        filters.append((wanted, qos))
    return Subscribe(packet_id, tuple(filters))


def _parse_unsubscribe(reader: Reader) -> Unsubscribe:
    packet_id = reader.packet_id()
    filters: list[str] = []
    while not filters or not reader.is_at_end():
        filters.append(_check_filter(reader.text()))
    return Unsubscribe(packet_id, tuple(filters))


def _check_filter(wanted: str) -> str:
    levels = wanted.split("/")
    if not wanted or "#" in levels[:-1] or any(len(one) > 1 and ("+" in one or "#" in one) for one in levels):
        raise MalformedPacketError("a topic filter that is empty or has a wildcard within a level")
    return wanted


def _check_flags(first: int) -> None:
    kind, flags = first >> 4, first & 0x0F
    if kind == PUBLISH:
        qos = flags >> 1 & 3
        if qos == 3 or (qos == 0 and flags & 8):
            raise MalformedPacketError("PUBLISH with QoS 3, or DUP with QoS 0")
    elif kind not in _FIXED_FLAGS:
        raise MalformedPacketError(f"packet type {kind}, which a client of this server never sends")
    elif flags != _FIXED_FLAGS[kind]:
        raise MalformedPacketError(f"packet type {kind} with the flags {flags:#x}")


_PARSERS: dict[int, Callable[[Reader], Packet]] = {
    CONNECT: _parse_connect,
    PUBACK: lambda reader: Acknowledge(reader.packet_id()),
    SUBSCRIBE: _parse_subscribe,
    UNSUBSCRIBE: _parse_unsubscribe,
    PINGREQ: lambda _reader: Ping(),
    DISCONNECT: lambda _reader: Disconnect(),
}
