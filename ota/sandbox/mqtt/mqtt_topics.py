"""Topics: AWS's limits on them, and which subscriptions a topic meets.

A trie of levels holds the filters, so that a message costs the depth of its topic and not the number of subscribers:
twenty devices that download at once would otherwise compare each block with every filter of the fleet.

Source: OASIS MQTT 3.1.1 section 4.7 (wildcards; those at the front leave out topics that begin with ``$``); AWS IoT
quotas (256 bytes, seven slashes; what comes before the topic itself of ``$aws/rules/…`` and ``$share/…`` not counted).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

MAX_TOPIC_BYTES = 256
MAX_SLASHES = 7

T = TypeVar("T")


def find_problem(topic: str) -> str | None:
    """Why AWS IoT takes no topic or filter of this size, or None."""
    if len(topic.encode()) > MAX_TOPIC_BYTES:
        return f"it is longer than {MAX_TOPIC_BYTES} bytes"
    if topic.count("/") > MAX_SLASHES:
        return f"it has more than {MAX_SLASHES} slashes"
    return None


@dataclass
class _Node(Generic[T]):
    children: dict[str, _Node[T]] = field(default_factory=dict)
    holders: dict[T, int] = field(default_factory=dict)


class Subscriptions(Generic[T]):
    """Who subscribed to which filter with which QoS."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, wanted: str, holder: T, qos: int) -> None:
        """Subscribe ``holder``; the same filter again replaces the QoS."""
        node = self._root
        for level in wanted.split("/"):
            node = node.children.setdefault(level, _Node())
        node.holders[holder] = qos

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

    def holders(self, topic: str) -> dict[T, int]:
        """Everyone whose filters the topic meets, each once, with the highest QoS of those filters."""
        found: dict[T, int] = {}
        for node in _matching(self._root, topic.split("/"), is_first=True):
            for holder, qos in node.holders.items():
                found[holder] = max(qos, found.get(holder, 0))
        return found

    def is_empty(self) -> bool:
        """Whether nobody is subscribed to anything."""
        return not self._root.children


def matches(wanted: str, topic: str) -> bool:
    """Whether ``topic`` meets the filter ``wanted``."""
    one: Subscriptions[str] = Subscriptions()
    one.add(wanted, "", 0)
    return bool(one.holders(topic))


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
