"""What nobody may publish or subscribe to, whatever the policies say: sizes, slashes, reserved topics.

Source: AWS IoT quotas; AWS IoT Developer Guide, "Reserved topics".
"""

from __future__ import annotations

from . import device_topics, mqtt_packets
from .mqtt_packets import Message
from .mqtt_topics import find_problem

MAX_CLIENT_ID_BYTES = 128
MAX_FILTERS = 8
MAX_SUBSCRIPTIONS = 50
RULES, THINGS = "$aws/rules/", "$aws/things/"


def find_publish_problem(message: Message) -> str | None:
    """Why no client may publish this, or None."""
    if len(message.payload) > mqtt_packets.MAX_PAYLOAD_BYTES:
        return f"a message has at most {mqtt_packets.MAX_PAYLOAD_BYTES} bytes"
    problem = None if message.topic.startswith(RULES) else find_problem(message.topic)
    if problem is None and message.topic.startswith("$") and not _is_for_clients(message.topic):
        return "the topic is reserved"
    return problem


def find_subscribe_problem(wanted: str, present: set[str]) -> str | None:
    """Why a client that has the subscriptions ``present`` gets no further one to this filter, or None."""
    if wanted.startswith("$") and not wanted.startswith("$aws/"):
        return "of the reserved topics only those under $aws/ are served"
    if wanted not in present and len(present) >= MAX_SUBSCRIPTIONS:
        return f"a connection has at most {MAX_SUBSCRIPTIONS} subscriptions"
    return find_problem(wanted)


def _is_for_clients(topic: str) -> bool:
    """Whether a client may publish on this topic under ``$``: jobs, streams, shadows and rules."""
    return topic.startswith(RULES) or device_topics.is_request(topic) or _is_shadow(topic)


def _is_shadow(topic: str) -> bool:
    parts = topic.split("/")
    return topic.startswith(THINGS) and len(parts) > 3 and parts[3] == "shadow"
