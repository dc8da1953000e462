"""The packets of MQTT as data, the same for 3.1.1 and 5; independent of sockets and AWS.

``parser`` reads packets, ``encoding`` writes them. What only MQTT 5 has is empty in a packet of 3.1.1.

Source: OASIS MQTT 3.1.1 (sections 2.2, 3.1 to 3.14); MQTT 5.0 (sections 3.1 to 3.15).
"""

from __future__ import annotations

from dataclasses import dataclass

from .properties import Properties
from .reasons import Reason

CONNECT, CONNACK, PUBLISH, PUBACK = 1, 2, 3, 4
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = 8, 9, 10, 11
PINGREQ, PINGRESP, DISCONNECT = 12, 13, 14
MQTT_3, MQTT_5 = 4, 5  # protocol levels
MAX_PAYLOAD_BYTES = 128 * 1024
NO_PROPERTIES = Properties()


@dataclass(frozen=True)
class Message:
    """Something to publish. ``packet_id`` is 0 with QoS 0; ``expires_at`` is in epoch seconds."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    packet_id: int = 0
    properties: Properties = NO_PROPERTIES
    expires_at: float | None = None


@dataclass(frozen=True)
class Connect:
    """A client's first packet.

    ``clean_start`` is what 3.1.1 calls clean session. ``keep_alive_s`` 0 means none. ``will`` is published on an
    unexpected end.
    """

    client_id: str
    clean_start: bool
    keep_alive_s: int
    will: Message | None = None
    level: int = MQTT_3
    properties: Properties = NO_PROPERTIES


@dataclass(frozen=True)
class Acknowledge:
    """PUBACK: the client has received the QoS 1 message with this packet identifier."""

    packet_id: int


@dataclass(frozen=True)
class Options:
    """How a client subscribes to a filter; all but ``qos`` are MQTT 5's.

    Attributes:
        qos: the highest QoS to deliver with.
        no_local: whether its own messages are not delivered to it.
        as_published: whether messages keep the retain flag they were published with.
        retain_handling: retained messages are sent 0 at each SUBSCRIBE, 1 at the first one, 2 never.
    """

    qos: int = 0
    no_local: bool = False
    as_published: bool = False
    retain_handling: int = 0


@dataclass(frozen=True)
class Subscribe:
    """Topic filters with the options of each."""

    packet_id: int
    filters: tuple[tuple[str, Options], ...]
    properties: Properties = NO_PROPERTIES


@dataclass(frozen=True)
class Unsubscribe:
    """Topic filters to unsubscribe from."""

    packet_id: int
    filters: tuple[str, ...]


@dataclass(frozen=True)
class Ping:
    """PINGREQ."""


@dataclass(frozen=True)
class Disconnect:
    """DISCONNECT: the will is not published, except for the reason ``WITH_WILL``."""

    reason: int = Reason.SUCCESS
    properties: Properties = NO_PROPERTIES


Packet = Connect | Message | Acknowledge | Subscribe | Unsubscribe | Ping | Disconnect
