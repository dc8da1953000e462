"""The fields that MQTT packets are made of, read and written: numbers, texts, bytes and lengths.

Source: OASIS MQTT 3.1.1 sections 1.5 and 2.2.3; MQTT 5.0 section 1.5.
"""

from __future__ import annotations

import struct

from .reasons import MalformedPacketError


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

    def long(self) -> int:
        """A number of four bytes."""
        return int.from_bytes(self.take(4), "big")

    def length(self) -> int:
        """A number of one to four bytes, seven bits in each, lowest first."""
        found = 0
        for shift in (0, 7, 14, 21):
            digit = self.byte()
            found |= (digit & 0x7F) << shift
            if digit < 0x80:
                return found
        raise MalformedPacketError("a length of more than four bytes")

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


def encode_number(number: int) -> bytes:
    """A number of two bytes."""
    return struct.pack("!H", number)


def encode_binary(value: bytes) -> bytes:
    """Bytes, prefixed by their length."""
    return encode_number(len(value)) + value


def encode_text(value: str) -> bytes:
    """A string, prefixed by its length."""
    return encode_binary(value.encode())


def encode_length(length: int) -> bytes:
    """A length: seven bits in each byte, lowest first."""
    digits = bytearray()
    while length > 0x7F:
        digits.append(length & 0x7F | 0x80)
        length >>= 7
    digits.append(length)
    return bytes(digits)
