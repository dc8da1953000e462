"""An MQTT client of the tests' own, byte by byte over TLS, so that any order of packets can be sent and seen.

It shares no code with the broker: what both sides misread in the same way would otherwise go unnoticed.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONNACK, PUBLISH, PUBACK, SUBACK, UNSUBACK, PINGRESP = 2, 3, 4, 9, 11, 13
PING = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("!H", len(raw)) + raw


def packet(first: int, body: bytes = b"") -> bytes:
    length, digits = len(body), bytearray()
    while True:
        length, digit = divmod(length, 128)
        digits.append(digit | (128 if length else 0))
        if not length:
            return bytes([first]) + bytes(digits) + body


def connect_packet(
    client_id: str,
    *,
    keep_alive: int = 60,
    clean: bool = True,
    will: tuple[str, bytes, int] | None = None,
) -> bytes:
    flags = 2 * clean
    payload = text(client_id)
    if will is not None:
        flags |= 0x04 | will[2] << 3
        payload += text(will[0]) + text(will[1])
    return packet(0x10, text("MQTT") + struct.pack("!BBH", 4, flags, keep_alive) + payload)


def publish_packet(topic: str, payload: bytes, *, qos: int = 0, retain: bool = False, packet_id: int = 1) -> bytes:
    number = struct.pack("!H", packet_id) if qos else b""
    return packet(0x30 | qos << 1 | retain, text(topic) + number + payload)


def subscribe_packet(*filters: str, qos: int = 0, packet_id: int = 7) -> bytes:
    return packet(0x82, struct.pack("!H", packet_id) + b"".join(text(one) + bytes([qos]) for one in filters))


def unsubscribe_packet(*filters: str, packet_id: int = 8) -> bytes:
    return packet(0xA2, struct.pack("!H", packet_id) + b"".join(text(one) for one in filters))


@dataclass(frozen=True)
class Received:
    """A PUBLISH as it arrived."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    packet_id: int

    def json(self) -> Any:
        return json.loads(self.payload)


@dataclass(frozen=True)
class Files:
    """Certificate and key of a device, and the CA that it trusts."""

    certificate: Path
    key: Path
    ca: Path


def tls_context(ca: Path, files: Files | None, *, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca))
    if files is not None:
        context.load_cert_chain(files.certificate, files.key)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


class RawClient:
    """One connection. Everything that waits gives up after ten seconds."""

    def __init__(self, port: int, context: ssl.SSLContext, server_name: str = "localhost") -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=10)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.tls = context.wrap_socket(plain, server_hostname=server_name)
        except OSError:
            plain.close()
            raise
        self._buffer = bytearray()
        self._place = 0

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.tls.close()

    def send(self, *raw: bytes) -> None:
        self.tls.sendall(b"".join(raw))

    def connect(self, client_id: str, **options: Any) -> int:
        """The code of CONNACK; its other byte has to be 0, for no session is ever present."""
        self.send(connect_packet(client_id, **options))
        first, body = self.read()
        assert (first, body[0]) == (CONNACK << 4, 0)
        return body[1]

    def subscribe(self, *filters: str, qos: int = 0) -> list[int]:
        """The codes of SUBACK."""
        self.send(subscribe_packet(*filters, qos=qos))
        first, body = self.read()
        assert (first, body[:2]) == (SUBACK << 4, b"\x00\x07")
        return list(body[2:])

    def publish(self, topic: str, payload: bytes | dict[str, Any], **options: Any) -> None:
        raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.send(publish_packet(topic, raw, **options))

    def receive(self) -> Received:
        """The next packet, which has to be a PUBLISH."""
        first, body = self.read()
        assert first >> 4 == PUBLISH, f"packet type {first >> 4} instead of PUBLISH"
        return _received(first, body)

    def request(self, topic: str, payload: bytes | dict[str, Any], **options: Any) -> Received:
        """Publish and take the next message."""
        self.publish(topic, payload, **options)
        return self.receive()

    def messages(self) -> list[Received]:
        """Everything that has come by the time the broker answers a ping."""
        self.send(PING)
        found = []
        while True:
            first, body = self.read()
            if first >> 4 == PINGRESP:
                return found
            if first >> 4 == PUBLISH:
                found.append(_received(first, body))

    def read(self) -> tuple[int, bytes]:
        """First byte and body of the next packet. EOFError when the broker has closed the connection."""
        first = self._take(1)[0]
        length = shift = 0
        while True:
            digit = self._take(1)[0]
            length |= (digit & 127) << shift
            shift += 7
            if digit < 128:
                return first, self._take(length)

    def is_closed(self) -> bool:
        """Whether the broker ends the connection without another packet."""
        try:
            self.read()
        except EOFError:
            return True
        return False

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < self._place + count:
            del self._buffer[: self._place]
            self._place = 0
            self._buffer += self._more()
        taken = bytes(self._buffer[self._place : self._place + count])
        self._place += count
        return taken

    def _more(self) -> bytes:
        try:
            more = self.tls.recv(65536)
        except (ConnectionError, ssl.SSLError) as error:
            raise EOFError(str(error)) from error
        if not more:
            raise EOFError
        return more


def _received(first: int, body: bytes) -> Received:
    size = int.from_bytes(body[:2], "big")
    rest, qos = body[2 + size :], first >> 1 & 3
    number = int.from_bytes(rest[:2], "big") if qos else 0
    return Received(body[2 : 2 + size].decode(), rest[2:] if qos else rest, qos, bool(first & 1), number)
