"""Messages that are kept for subscribers to come, for each account and region.

Source: AWS IoT Developer Guide, "MQTT retained messages"; AWS IoT quotas.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from moto.iot.models import iot_backends

from ota.sandbox.policy.callers import Caller

from .mqtt_packets import Message
from .mqtt_topics import matches

MAX_RETAINED = 500


def keep(caller: Caller, message: Message) -> None:
    """Keep the message in the place of an earlier one on its topic; an empty one only takes that away."""
    kept = _kept(caller)
    kept.pop(message.topic, None)
    if message.payload and len(kept) < MAX_RETAINED:
        kept[message.topic] = replace(message, packet_id=0)


def find(caller: Caller, filters: list[tuple[str, int]]) -> Iterator[Message]:
    """The kept messages that these filters with their QoS meet, each with the QoS it is to be sent with."""
    for message in list(_kept(caller).values()):
        qos = [qos for wanted, qos in filters if matches(wanted, message.topic)]
        if qos:
            yield replace(message, qos=min(message.qos, max(qos)))


def _kept(caller: Caller) -> dict[str, Message]:
    """On moto's backend, so that a reset forgets them too."""
    backend = iot_backends[caller.account_id][caller.region]
    kept: dict[str, Message] = vars(backend).setdefault("retained_messages", {})
    return kept
