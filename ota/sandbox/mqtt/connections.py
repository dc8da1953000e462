"""One client's MQTT connection: keep-alive, packet order, back pressure.

A connection reads packets one by one and stops reading while its unsent answers accumulate, so that a client that sends
faster than it reads slows down itself and not the sandbox. An error of a client ends its own connection only; a client
of MQTT 5 is told why.

AWS names the codes of PUBACK and DISCONNECT without saying which of the two it sends for a refused message. Here a
message of QoS 1 is refused in its PUBACK and the connection stays, and any other refusal ends it: UNVERIFIED.

Source: OASIS MQTT 3.1.1 sections 3.1.2.10 (keep-alive), 3.1.4, 4.8 and 4.13; MQTT 5.0 sections 3.1.2.11, 3.2.2.3,
3.14.4 and 4.13; AWS IoT quotas (keep-alive from 30 to 1200 seconds, disconnection after one and a half times as long);
the properties of CONNACK as captured from AWS.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from uuid import uuid4

from ota.sandbox.policy.callers import Caller

from . import packets, sessions
from .encoding import PINGRESP_BYTES, Encoder, Mqtt3Encoder, Mqtt5Encoder, encoder_of
from .outbox import MAX_UNACKNOWLEDGED, Outbox
from .packets import MQTT_5, NO_PROPERTIES, Message
from .parser import MAX_PACKET_BYTES, MAX_TOPIC_ALIAS, Parser
from .properties import Properties
from .reasons import ACCEPTED, MalformedPacketError, Outcome, ProtocolError, Reason, UnsupportedVersionError
from .router import Router
from .sessions import Client

log = logging.getLogger(__name__)

KEEP_ALIVE_FACTOR = 1.5
_READ_BYTES = 64 * 1024


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
        self._parser = Parser()
        self._encoder: Encoder = Mqtt3Encoder()
        self._outbox = Outbox()
        self._unanswered = 0
        self.is_connected = False

    @property
    def unacknowledged(self) -> list[Message]:
        """The messages of QoS 1 that the client may not have, in order."""
        return self._outbox.unacknowledged

    async def serve(self) -> None:
        """Handle the client's packets until the connection ends."""
        try:
            await self._serve()
        except MalformedPacketError as error:
            self.end_reason = sessions.CLIENT_ERROR
            self.refuse("mqtt", "packet", f"malformed MQTT: {error}")
            self._tell_error(error)
        except OSError as error:
            log.debug("%s: %s", self.caller.client_id, error)
        finally:
            self._router.leave(self)
            self.close()

    def send(self, messages: list[Message]) -> None:
        """Send messages in one piece, as far as the client's window allows."""
        encoded = self._outbox.encode(messages, self._router.now())
        if self._writer.is_closing():
            return
        self._writer.write(encoded)
        unsent = max(self._writer.transport.get_write_buffer_size(), self._outbox.waiting_bytes)
        if unsent > self._limits.unsent_bytes:
            self.drop("mqtt", "connection", "the client does not read what it is sent", sessions.BY_SERVER)

    def refuse(self, action: str, resource: str, why: str) -> None:
        """Record that something of this client's was not allowed."""
        self._router.note(self.caller, action, resource, why)

    def drop(self, action: str, resource: str, why: str, reason: str) -> None:
        """Record why, and end the connection at once; ``reason`` is one of ``sessions``."""
        self.refuse(action, resource, why)
        self.end_reason = reason
        self._abort(Outcome(sessions.disconnect_reason(reason), why))

    def forget(self, reason: Reason) -> None:
        """End the connection at once: no recorded reason, no last will, no events, no stored session."""
        self.will = self.session = None
        self.session_expiry_s = 0
        self._abort(Outcome(reason))

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
        while data := await self._reader.read(_READ_BYTES):
            self._unanswered = 0
            for packet in self._parser.feed(data):
                self._postpone()
                if self._writer.is_closing() or not self._handle(packet):
                    return
                await self._writer.drain()

    def _abort(self, outcome: Outcome) -> None:
        if self.is_connected:
            self._writer.write(self._encoder.disconnect(outcome))
        self._writer.transport.abort()

    def _tell_error(self, error: MalformedPacketError) -> None:
        """Tell the client before the connection ends, as far as its version can."""
        outcome = Outcome(error.reason, str(error))
        if self.is_connected:
            self._writer.write(self._encoder.disconnect(outcome))
        elif self._parser.level == MQTT_5 or isinstance(error, UnsupportedVersionError):
            self._writer.write(encoder_of(self._parser.level).connack(outcome, NO_PROPERTIES))

    def _postpone(self) -> None:
        if self._patience_s is not None:
            self._deadline = self._clock() + self._patience_s

    def _handle(self, packet: packets.Packet) -> bool:
        """Handle the packet; False when the connection ends."""
        if isinstance(packet, packets.Connect):
            return self._connect(packet)
        if not self.is_connected:
            raise ProtocolError("a packet before CONNECT")
        if isinstance(packet, Message):
            return self._publish(packet)
        if isinstance(packet, packets.Subscribe):
            return self._subscribe(packet)
        self._answer(packet)
        return not isinstance(packet, packets.Disconnect)

    def _answer(self, packet: packets.Packet) -> None:
        if isinstance(packet, packets.Unsubscribe):
            self._writer.write(self._encoder.unsuback(packet.packet_id, self._router.unsubscribe(self, packet.filters)))
        elif isinstance(packet, packets.Ping):
            self._writer.write(PINGRESP_BYTES)
        elif isinstance(packet, packets.Acknowledge):
            self._writer.write(self._outbox.acknowledge(packet.packet_id, self._router.now()))
        elif isinstance(packet, packets.Disconnect):
            self._disconnect(packet)

    def _connect(self, packet: packets.Connect) -> bool:
        if self.is_connected:
            raise ProtocolError("a second CONNECT")
        self.caller = replace(self.caller, client_id=packet.client_id or str(uuid4()))
        if packet.level == MQTT_5:
            wishes = packet.properties
            tells = wishes.request_problem_information != 0
            self._encoder = Mqtt5Encoder(tells_problems=tells, max_bytes=wishes.maximum_packet_bytes)
            self._outbox = Outbox(self._encoder, wishes)
        outcome = self._router.admit(self, packet)
        if outcome.is_failure:
            self._writer.write(self._encoder.connack(outcome, NO_PROPERTIES))
            return False
        self._accept(packet)
        return True

    def _accept(self, packet: packets.Connect) -> None:
        self.is_connected, self.will = True, packet.will
        keep_alive_s = self._keep_alive_s(packet.keep_alive_s)
        self._patience_s = KEEP_ALIVE_FACTOR * keep_alive_s
        self._postpone()
        self.session_expiry_s = min(packet.properties.session_expiry_s or 0, sessions.MAX_EXPIRY_S)
        stored = self._router.enter(self, resumes=packet.level == MQTT_5 and not packet.clean_start)
        properties = self._connack_properties(packet, keep_alive_s)
        self._writer.write(self._encoder.connack(ACCEPTED, properties, is_resumed=stored is not None))
        if stored is not None:
            self._router.resume(self, stored)

    def _connack_properties(self, packet: packets.Connect, keep_alive_s: int) -> Properties:
        """What AWS tells a client of MQTT 5; it has shared subscriptions, which the sandbox has not."""
        is_adjusted = (packet.properties.session_expiry_s or 0) != self.session_expiry_s
        return Properties(
            session_expiry_s=self.session_expiry_s if is_adjusted else None,
            receive_maximum=MAX_UNACKNOWLEDGED,
            maximum_qos=1,
            retain_available=1,
            maximum_packet_bytes=MAX_PACKET_BYTES,
            assigned_client_id=None if packet.client_id else self.caller.client_id,
            topic_alias_maximum=MAX_TOPIC_ALIAS,
            wildcards_available=1,
            subscription_ids_available=0,
            shared_subscriptions_available=0,
            server_keep_alive_s=keep_alive_s,
        )

    def _keep_alive_s(self, wished_s: int) -> int:
        least, most = self._limits.keep_alive_least_s, self._limits.keep_alive_most_s
        return min(max(wished_s, least), most) if wished_s else most

    def _disconnect(self, packet: packets.Disconnect) -> None:
        expiry_s = packet.properties.session_expiry_s
        if expiry_s and not self.session_expiry_s:
            raise ProtocolError("DISCONNECT with a session expiry interval, where CONNECT has none")
        if expiry_s is not None:
            self.session_expiry_s = min(expiry_s, sessions.MAX_EXPIRY_S)
        self.end_reason = sessions.BY_CLIENT
        if packet.reason != Reason.WITH_WILL:
            self.will = None

    def _publish(self, message: Message) -> bool:
        if message.qos == 2:
            why = "QoS 2 is not served: the message is ignored and not acknowledged"
            self.refuse("mqtt", message.topic, why)
            return self._refuse_qos_2()
        self._count_unanswered(message)
        outcome = self._router.find_refusal(self, message) or ACCEPTED
        if message.qos and (self._parser.level == MQTT_5 or not outcome.is_failure):
            self._writer.write(self._encoder.puback(message.packet_id, outcome))
        elif outcome.is_failure:
            return self._fail(outcome)
        if not outcome.is_failure:
            self._router.publish(self, message)
        return True

    def _count_unanswered(self, message: Message) -> None:
        """Refuse more messages in one piece than may be unacknowledged: none of them can have been acknowledged yet."""
        self._unanswered += message.qos
        if self._parser.level == MQTT_5 and self._unanswered > MAX_UNACKNOWLEDGED:
            why = f"more than {MAX_UNACKNOWLEDGED} messages of QoS 1 without an acknowledgement"
            raise ProtocolError(why, Reason.RECEIVE_MAXIMUM_EXCEEDED)

    def _subscribe(self, packet: packets.Subscribe) -> bool:
        outcome = self._router.find_subscribe_refusal(self, packet)
        if outcome.reason == Reason.QOS_NOT_SERVED:
            return self._refuse_qos_2()
        if outcome.is_failure:
            return self._fail(outcome)
        earlier = set(self.filters)
        outcomes = self._router.subscribe(self, packet.filters)
        self._writer.write(self._encoder.suback(packet.packet_id, outcomes))
        granted = [one for one, outcome in zip(packet.filters, outcomes, strict=True) if not outcome.is_failure]
        self._router.follow_subscribe(self, granted, earlier)
        return True

    def _refuse_qos_2(self) -> bool:
        """AWS gives a client of 3.1.1 no answer; one of MQTT 5 was told the highest QoS and is disconnected."""
        why = "QoS 2 is not served"
        return self._parser.level != MQTT_5 or self._fail(Outcome(Reason.QOS_NOT_SERVED, why))

    def _fail(self, outcome: Outcome) -> bool:
        """Tell the client why its connection ends; False."""
        is_denied = outcome.reason == Reason.NOT_AUTHORIZED
        self.end_reason = sessions.NOT_AUTHORIZED if is_denied else sessions.CLIENT_ERROR
        self._writer.write(self._encoder.disconnect(outcome))
        return False
