"""What one client is sent: packet identifiers, the window of unacknowledged messages, topic aliases, packet sizes.

A client of MQTT 5 limits all of them in its CONNECT. A message that would exceed its window waits until an earlier one
is acknowledged; one that is larger than its largest packet is not sent, as the standard says.

Source: OASIS MQTT 3.1.1 sections 2.3.1 and 4.4; MQTT 5.0 sections 3.1.2.11 and 4.9; AWS IoT quotas (100 unacknowledged
messages of QoS 1 in each direction; what AWS does to 3.1.1 is not limited here).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace

from .encoding import Encoder, Mqtt3Encoder
from .packets import NO_PROPERTIES, Message
from .properties import Properties

MAX_UNACKNOWLEDGED = 100
MAX_ALIASES = 8
_LAST_PACKET_ID = 0xFFFF


class Outbox:
    """Encodes messages for one client and keeps those of QoS 1 that it has not acknowledged.

    Attributes:
        waiting_bytes: how many bytes of payload wait for the window.
    """

    def __init__(self, encoder: Encoder | None = None, wishes: Properties | None = None) -> None:
        """``wishes`` are the properties of an MQTT 5 client's CONNECT; None for 3.1.1."""
        limits = wishes or NO_PROPERTIES
        self._encoder = encoder or Mqtt3Encoder()
        self._window: float = (
            _LAST_PACKET_ID - 1 if wishes is None else min(limits.receive_maximum or math.inf, MAX_UNACKNOWLEDGED)
        )
        self._max_bytes = limits.maximum_packet_bytes or math.inf
        self._max_aliases = min(limits.topic_alias_maximum or 0, MAX_ALIASES)
        self._aliases: dict[str, int] = {}
        self._sent: dict[int, Message] = {}
        self._waiting: deque[Message] = deque()
        self._last_packet_id = 0
        self.waiting_bytes = 0

    @property
    def unacknowledged(self) -> list[Message]:
        """The messages that the client may not have, in order."""
        return [*self._sent.values(), *self._waiting]

    def encode(self, messages: list[Message], now: float) -> bytes:
        """The packets to send now; ``now`` in epoch seconds."""
        packets = bytearray()
        for message in messages:
            if message.qos:
                self._waiting.append(message)
                self.waiting_bytes += len(message.payload)
            else:
                packets += self._encode(message, now)
        return bytes(packets) + self._encode_waiting(now)

    def acknowledge(self, packet_id: int, now: float) -> bytes:
        """The client has this message; the packets that may be sent now."""
        self._sent.pop(packet_id, None)
        return self._encode_waiting(now)

    def _encode_waiting(self, now: float) -> bytes:
        packets = bytearray()
        while self._waiting and len(self._sent) < self._window:
            message = self._waiting.popleft()
            self.waiting_bytes -= len(message.payload)
            packet_id = self._next_packet_id()
            packet = self._encode(replace(message, packet_id=packet_id), now)
            if packet:
                self._sent[packet_id] = message
                packets += packet
        return bytes(packets)

    def _encode(self, message: Message, now: float) -> bytes:
        """The packet; nothing for a message that has expired or is too large for the client."""
        if message.expires_at is not None:
            if message.expires_at <= now:
                return b""
            left_s = int(message.expires_at - now)
            message = replace(message, properties=replace(message.properties, message_expiry_s=left_s))
        alias = self._aliases.get(message.topic)
        if alias is None and len(self._aliases) < self._max_aliases:
            alias = len(self._aliases) + 1
        packet = self._encoder.publish(self._aliased(message, alias))
        if len(packet) > self._max_bytes:
            return b""
        if alias is not None:
            self._aliases[message.topic] = alias
        return packet

    def _aliased(self, message: Message, alias: int | None) -> Message:
        if alias is None:
            return message
        topic = "" if message.topic in self._aliases else message.topic
        return replace(message, topic=topic, properties=replace(message.properties, topic_alias=alias))

    def _next_packet_id(self) -> int:
        """The next number that no unacknowledged message has; the window leaves one free."""
        while True:
            self._last_packet_id = self._last_packet_id % _LAST_PACKET_ID + 1
            if self._last_packet_id not in self._sent:
                return self._last_packet_id
