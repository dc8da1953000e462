"""Keeps the contents that devices are reading, so that a block does not cost a reading of the whole object.

An entry is found by all that tells one content from another (bucket, key, version, ETag), so it never has to be
invalidated: a new upload has another ETag, and what nobody asks for any more makes room for what is asked for now.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

MAX_BYTES = 64 * 1024 * 1024


class Contents:
    """The contents read last, up to ``max_bytes`` together. The caller holds the sandbox's lock."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()
        self._total_bytes = 0

    def get(self, name: Hashable, read: Callable[[], bytes]) -> bytes:
        """The content of this name, read where it is not kept."""
        if name in self._kept:
            self._kept.move_to_end(name)
            return self._kept[name]
        content = read()
        if len(content) <= self._max_bytes:
            self._kept[name] = content
            self._total_bytes += len(content)
        while self._total_bytes > self._max_bytes:
            _, dropped = self._kept.popitem(last=False)
            self._total_bytes -= len(dropped)
        return content

    def clear(self) -> None:
        """Keep nothing."""
        self._kept.clear()
        self._total_bytes = 0
