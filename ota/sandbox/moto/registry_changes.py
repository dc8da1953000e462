"""Which things have changed in the registry since the last look, so that jobs follow them without looking at all.

Whatever adds, changes or deletes a thing, or its membership in a group, notes the thing here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def note(backend: Any, thing_names: Iterable[str]) -> None:
    """Remember that these things have changed."""
    _changed(backend).update(thing_names)


def take(backend: Any) -> list[str]:
    """The names of the things that have changed since the last call."""
    changed = _changed(backend)
    names = sorted(changed)
    changed.clear()
    return names


def _changed(backend: Any) -> set[str]:
    """Stored on moto's backend, so that a reset of moto empties it too."""
    changed: set[str] = vars(backend).setdefault("changed_things", set())
    return changed
