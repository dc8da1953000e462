"""Cutting a step off after any one of its AWS calls, and doing it again."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Killed(BaseException):
    """What stands for the end of the process."""


@contextmanager
def killed_after(client: Any, nth: int) -> Iterator[list[str]]:
    """Every call from the nth on is answered by AWS and the answer is lost; yields the names of the calls made."""
    made: list[str] = []
    lock = threading.Lock()

    def lose(model: Any, **_: object) -> None:
        with lock:
            made.append(model.name)
            if len(made) >= nth:
                raise Killed(model.name)

    client.meta.events.register("after-call", lose)
    try:
        yield made
    finally:
        client.meta.events.unregister("after-call", lose)


def repeated_after_every_kill(
    client: Any, prepare: Callable[[], object], act: Callable[[], object], state: Callable[[], object]
) -> list[tuple[int, object]]:
    """For each n: prepare, be killed after the nth call of ``act``, do it again; the state after that."""
    states: list[tuple[int, object]] = []
    for nth in itertools.count(1):
        prepare()
        with killed_after(client, nth):
            try:
                act()
            except Killed:
                pass
            else:
                return states
        act()
        states.append((nth, state()))
    raise AssertionError
