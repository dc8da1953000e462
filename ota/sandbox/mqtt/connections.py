"""One client's MQTT connection: keep-alive, packet order, back pressure.

A connection reads packets one by one and stops reading while its unsent answers accumulate, so that a client that sends
faster than it reads slows down itself and not the sandbox. An error of a client ends its own connection only.

Source: OASIS MQTT 3.1.1 sections 3.1.2.10 (keep-alive), 3.1.4, 4.8 and 4.13; AWS IoT quotas (keep-alive from 30 to 1200
seconds, disconnection after one and a half times as long).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from uuid import uuid4

from ota.sandbox.policy.callers import Caller

from . import packets, sessions
from .packets import MalformedPacketError, Message, UnsupportedVersionError
from .parser import Parser
from .router import Router
from .sessions import Client

log = logging.getLogger(__name__)

KEEP_ALIVE_FACTOR = 1.5
_READ_BYTES = 64 * 1024
_LAST_PACKET_ID = 0xFFFF


@dataclass(frozen=True)
class Limits:
    """The broker's timeouts in seconds, and how many unsent bytes it keeps for a client that does not read."""

    connect_s: float = 10.0
    keep_alive_least_s: int = 30
    keep_alive_most_s: int = 1200
    close_s: float = 2.0
    sweep_s: float = 0.25
    unsent_bytes: int = 8 * 1024 * 1024


class Connection(Client):
    """A client's connection. Every method runs in the broker's thread."""

    def __init__(
        self,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        caller: Caller,
        router: Router,
        limits: Limits,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(caller)
        self._reader, self._writer = streams
        self._router = router
        self._limits = limits
        self._clock = clock
        self._deadline: float = clock() + limits.connect_s
        self._patience_s: float | None = None
        self._packet_ids: set[int] = set()
        self._last_packet_id = 0
        self.is_connected = False

    async def serve(self) -> None:
        """Handle the client's packets until the connection ends."""
        try:
            await self._serve()
        except MalformedPacketError as error:
            if isinstance(error, UnsupportedVersionError):
                self._writer.write(error.refusal)
            self.end_reason = sessions.CLIENT_ERROR
            self.refuse("mqtt", "packet", f"malformed MQTT: {error}")
        except OSError as error:
            log.debug("%s: %s", self.caller.client_id, error)
        finally:
            self._router.leave(self)
            self.close()

    def send(self, messages: list[Message]) -> None:
        """Send messages in one piece, with packet identifiers of this connection where their QoS needs one."""
        if self._writer.is_closing():
            return
        numbered = (replace(one, packet_id=self._take_packet_id()) if one.qos else one for one in messages)
        self._writer.write(b"".join(packets.encode_publish(one) for one in numbered))
        if self._writer.transport.get_write_buffer_size() > self._limits.unsent_bytes:
            self.drop("mqtt", "connection", "the client does not read what it is sent", sessions.BY_SERVER)

    def refuse(self, action: str, resource: str, why: str) -> None:
        """Record that something of this client's was not allowed."""
        self._router.note(self.caller, action, resource, why)

    def drop(self, action: str, resource: str, why: str, reason: str) -> None:
        """Record why, and end the connection at once; ``reason`` is one of ``sessions``."""
        self.refuse(action, resource, why)
        self.end_reason = reason
        self._writer.transport.abort()

    def forget(self) -> None:
        """End the connection at once: no recorded reason, no last will, no events."""
        self.will = self.session = None
        self._writer.transport.abort()

    def close(self) -> None:
        """End the connection when everything written has been sent, or after ``close_s``."""
        self._writer.close()
        asyncio.get_running_loop().call_later(self._limits.close_s, self._writer.transport.abort)

    def drop_if_silent(self) -> None:
        """End the connection when its keep-alive, or the time for its CONNECT, has expired."""
        if self._clock() > self._deadline:
            missing = "packet within one and a half times the keep-alive" if self.is_connected else "CONNECT in time"
            self.drop("mqtt", "connection", f"no {missing}", sessions.SILENT)

    async def _serve(self) -> None:
        parser = Parser()
        while data := await self._reader.read(_READ_BYTES):
            for packet in parser.feed(data):
                self._postpone()
                if self._writer.is_closing() or not self._handle(packet):
                    return
                await self._writer.drain()

    def _postpone(self) -> None:
        if self._patience_s is not None:
            self._deadline = self._clock() + self._patience_s

    def _handle(self, packet: packets.Packet) -> bool:
        """Handle the packet; False when the connection ends."""
        if isinstance(packet, packets.Connect):
            return self._connect(packet)
        if not self.is_connected:
            raise MalformedPacketError("a packet before CONNECT")
        if isinstance(packet, Message):
            return self._publish(packet)
        if isinstance(packet, packets.Subscribe):
            return self._subscribe(packet)
        self._answer(packet)
        return not isinstance(packet, packets.Disconnect)

    def _answer(self, packet: packets.Packet) -> None:
        if isinstance(packet, packets.Unsubscribe):
            self._router.unsubscribe(self, packet.filters)
            self._writer.write(packets.encode_unsuback(packet.packet_id))
        elif isinstance(packet, packets.Ping):
            self._writer.write(packets.PINGRESP_BYTES)
        elif isinstance(packet, packets.Acknowledge):
            self._packet_ids.discard(packet.packet_id)
        else:
            self.will, self.end_reason = None, sessions.BY_CLIENT

    def _connect(self, packet: packets.Connect) -> bool:
        if self.is_connected:
            raise MalformedPacketError("a second CONNECT")
        self.caller = replace(self.caller, client_id=packet.client_id or str(uuid4()))
        code = self._router.admit(self, packet)
        if code == packets.ACCEPTED:
            self.is_connected, self.will = True, packet.will
            self._patience_s = KEEP_ALIVE_FACTOR * self._keep_alive_s(packet.keep_alive_s)
            self._postpone()
            self._router.enter(self)
        self._writer.write(packets.encode_connack(code))
        return self.is_connected

    def _keep_alive_s(self, wished_s: int) -> int:
        least, most = self._limits.keep_alive_least_s, self._limits.keep_alive_most_s
        return min(max(wished_s, least), most) if wished_s else most

    def _publish(self, message: Message) -> bool:
        if message.qos == 2:
            self.refuse("mqtt", message.topic, "QoS 2 is not served: the message is ignored and not acknowledged")
            return True
        refusal = self._router.find_refusal(self, message)
        if refusal is not None:
            self.end_reason = refusal
            return False
        if message.qos:
            self._writer.write(packets.encode_puback(message.packet_id))
        self._router.publish(self, message)
        return True

    def _subscribe(self, packet: packets.Subscribe) -> bool:
        codes = self._router.subscribe(self, packet.filters)
        if codes:
            self._writer.write(packets.encode_suback(packet.packet_id, codes))
            granted = [one for one, code in zip(packet.filters, codes, strict=True) if code < 2]
            self._router.follow_subscribe(self, granted)
        if codes is None:
            self.end_reason = sessions.CLIENT_ERROR
        return codes is not None

    def _take_packet_id(self) -> int:
        for _ in range(_LAST_PACKET_ID):
            self._last_packet_id = self._last_packet_id % _LAST_PACKET_ID + 1
            if self._last_packet_id not in self._packet_ids:
                break
        self._packet_ids.add(self._last_packet_id)
        return self._last_packet_id
