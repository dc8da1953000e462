"""Topics: AWS's limits on them, the subscriptions that a topic matches, and retained messages.

A trie of levels holds the filters, so that a message costs the depth of its topic and not the number of subscribers:
twenty devices that download at once would otherwise compare each block with every filter of the fleet.

Source: OASIS MQTT 3.1.1 section 4.7 (a wildcard at the front does not match topics that begin with ``$``); AWS IoT
quotas (256 bytes, seven slashes; the prefix of ``$aws/rules/…`` and ``$share/…`` is not counted); AWS IoT Developer
Guide, "Reserved topics", "MQTT retained messages".
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from moto.iot.models import iot_backends

from ota.sandbox.policy.callers import Caller

from .device_requests import is_request
from .packets import MAX_PAYLOAD_BYTES, Message, Options
from .reasons import Outcome, Reason

MAX_TOPIC_BYTES = 256
MAX_SLASHES = 7
T = TypeVar("T")
MAX_CLIENT_ID_BYTES = 128
MAX_FILTERS = 8
MAX_SUBSCRIPTIONS = 50
RULES, THINGS = "$aws/rules/", "$aws/things/"
MAX_RETAINED = 500


@dataclass
class _Node(Generic[T]):
    children: dict[str, _Node[T]] = field(default_factory=dict)
    holders: dict[T, Options] = field(default_factory=dict)


class Subscriptions(Generic[T]):
    """Topic filters with their subscribers and the options of each."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, wanted: str, holder: T, options: Options) -> None:
        """Subscribe ``holder``; the same filter again replaces the options."""
        node = self._root
        for level in wanted.split("/"):
            node = node.children.setdefault(level, _Node())
        node.holders[holder] = options

    def discard(self, wanted: str, holder: T) -> None:
        """Unsubscribe ``holder``; nothing happens when it was not subscribed."""
        path = [self._root]
        levels = wanted.split("/")
        for level in levels:
            if level not in path[-1].children:
                return
            path.append(path[-1].children[level])
        path[-1].holders.pop(holder, None)
        for level, parent, node in zip(reversed(levels), reversed(path[:-1]), reversed(path[1:]), strict=True):
            if not node.holders and not node.children:
                del parent.children[level]

    def holders(self, topic: str, publisher: T | None = None) -> dict[T, Options]:
        """All holders with a filter that matches the topic, each once.

        The options are the most that those filters give together. A filter with No Local does not count for messages of
        its own holder, ``publisher``.
        """
        found: dict[T, Options] = {}
        for node in _matching(self._root, topic.split("/"), is_first=True):
            for holder, options in node.holders.items():
                if not (options.no_local and holder == publisher):
                    found[holder] = _join(options, found.get(holder, options))
        return found


def find_size_problem(topic: str) -> str | None:
    """Why AWS IoT refuses a topic or filter of this size, or None."""
    if len(topic.encode()) > MAX_TOPIC_BYTES:
        return f"it is longer than {MAX_TOPIC_BYTES} bytes"
    if topic.count("/") > MAX_SLASHES:
        return f"it has more than {MAX_SLASHES} slashes"
    return None


def matches(wanted: str, topic: str) -> bool:
    """Whether ``topic`` matches the filter ``wanted``."""
    one: Subscriptions[str] = Subscriptions()
    one.add(wanted, "", Options())
    return bool(one.holders(topic))


def find_publish_problem(message: Message) -> Outcome | None:
    """Why no client may publish this, or None."""
    if len(message.payload) > MAX_PAYLOAD_BYTES:
        return Outcome(Reason.QUOTA_EXCEEDED, f"a message has at most {MAX_PAYLOAD_BYTES} bytes")
    problem = None if message.topic.startswith(RULES) else find_size_problem(message.topic)
    if problem is None and message.topic.startswith("$") and not _is_for_clients(message.topic):
        problem = "the topic is reserved"
    return Outcome(Reason.BAD_TOPIC, problem) if problem else None


def find_subscribe_problem(wanted: str, present: Collection[str]) -> Outcome | None:
    """Why a client with the subscriptions ``present`` must not subscribe to this filter, or None."""
    if wanted.startswith("$share/"):
        return Outcome(Reason.NO_SHARED_SUBSCRIPTIONS, "the sandbox does not have shared subscriptions")
    if wanted.startswith("$") and not wanted.startswith("$aws/"):
        return Outcome(Reason.BAD_FILTER, "of the reserved topics only those under $aws/ are served")
    if wanted not in present and len(present) >= MAX_SUBSCRIPTIONS:
        return Outcome(Reason.QUOTA_EXCEEDED, f"a connection has at most {MAX_SUBSCRIPTIONS} subscriptions")
    problem = find_size_problem(wanted)
    return Outcome(Reason.BAD_FILTER, problem) if problem else None


def keep_retained(caller: Caller, message: Message) -> None:
    """Retain the message, replacing an earlier one on its topic; an empty one only deletes that."""
    kept = _kept(caller)
    kept.pop(message.topic, None)
    if message.payload and len(kept) < MAX_RETAINED:
        kept[message.topic] = replace(message, packet_id=0)


def find_retained(caller: Caller, filters: list[tuple[str, Options]], now: float) -> Iterator[Message]:
    """The retained messages that match these filters and have not expired, each with the QoS to send it with."""
    for message in list(_kept(caller).values()):
        if message.expires_at is not None and message.expires_at <= now:
            _kept(caller).pop(message.topic, None)
            continue
        qos = [options.qos for wanted, options in filters if matches(wanted, message.topic)]
        if qos:
            yield replace(message, qos=min(message.qos, max(qos)))


def _join(one: Options, other: Options) -> Options:
    return Options(max(one.qos, other.qos), as_published=one.as_published or other.as_published)


def _matching(node: _Node[T], levels: list[str], *, is_first: bool) -> Iterator[_Node[T]]:
    wildcards = not (is_first and levels and levels[0].startswith("$"))
    if wildcards and "#" in node.children:
        yield node.children["#"]
    if not levels:
        yield node
        return
    for name in {levels[0], "+"} if wildcards else {levels[0]}:
        if name in node.children:
            yield from _matching(node.children[name], levels[1:], is_first=False)


def _is_for_clients(topic: str) -> bool:
    """Whether a client may publish on this topic under ``$``: jobs, streams, shadows and rules."""
    return topic.startswith(RULES) or is_request(topic) or _is_shadow(topic)


def _is_shadow(topic: str) -> bool:
    parts = topic.split("/")
    return topic.startswith(THINGS) and len(parts) > 3 and parts[3] == "shadow"


def _kept(caller: Caller) -> dict[str, Message]:
    """Stored on moto's backend, so that a reset of moto deletes them too."""
    backend = iot_backends[caller.account_id][caller.region]
    kept: dict[str, Message] = vars(backend).setdefault("retained_messages", {})
    return kept
