"""The bytes of MQTT packets, taken apart from the front: header, numbers, strings.

A packet's length is judged before any of it is kept.

Source: OASIS MQTT 3.1.1 (sections 1.5.3, 2.2 and 2.3).
"""

from __future__ import annotations

from .mqtt_packets import (
    CONNECT,
    DISCONNECT,
    MAX_PAYLOAD_BYTES,
    PINGREQ,
    PUBACK,
    PUBLISH,
    SUBSCRIBE,
    UNSUBSCRIBE,
    MalformedPacketError,
)

MAX_REMAINING_BYTES = MAX_PAYLOAD_BYTES + 1024
_FIXED_FLAGS = {CONNECT: 0, PUBACK: 0, SUBSCRIBE: 2, UNSUBSCRIBE: 2, PINGREQ: 0, DISCONNECT: 0}


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


class Reader:
    """Takes a packet's body apart from the front."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._place = 0

    def take(self, count: int) -> bytes:
        """The next bytes, as many as asked for."""
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
        """Bytes with their length before them."""
        return self.take(self.number())

    def text(self) -> str:
        """A string with its length before it."""
        try:
            found = self.binary().decode("utf-8")
        except UnicodeDecodeError as error:
            raise MalformedPacketError("a string that is not valid UTF-8") from error
        if "\0" in found:
            raise MalformedPacketError("a string with the character U+0000")
        return found

    def rest(self) -> bytes:
        """Everything that is left."""
        return self.take(len(self._body) - self._place)

    def is_at_end(self) -> bool:
        """Whether nothing is left."""
        return self._place == len(self._body)

    def expect_end(self) -> None:
        """MalformedPacketError when something is left."""
        if not self.is_at_end():
            raise MalformedPacketError("bytes after a packet's last field")
