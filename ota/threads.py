"""Work beside the main thread, by threads that never keep a command line from ending.

Those of ``concurrent.futures`` are joined when Python exits. After Ctrl-C that would keep the command line until AWS
has answered the last call, or has been given up on: minutes, on a network that hangs. Daemon threads are left behind;
what they were at is found by the next run, as after any other cut.

Source: ``threading`` (daemon threads), ``concurrent.futures`` (``Future``, and its threads being joined at exit).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from functools import partial
from typing import Any, TypeVar

S = TypeVar("S")
T = TypeVar("T")
Job = tuple[Callable[[], T], "Future[T]"]

MAX_SIDE_BY_SIDE = 8


def begin(works: Iterable[Callable[[], T]], most_at_once: int) -> list[Future[T]]:
    """Start these, in order and no more than so many at the same time; what each comes to, in order.

    A future that is cancelled before its turn is not begun.
    """
    jobs: list[Job[T]] = [(work, Future()) for work in works]
    waiting = deque(jobs)
    for _ in range(min(len(jobs), most_at_once)):
        threading.Thread(target=_work_off, args=(waiting,), daemon=True).start()
    return [future for _, future in jobs]


def side_by_side(*calls: Callable[[], Any]) -> tuple[Any, ...]:
    """Run independent calls at the same time; their results, in order.

    All of them finish before this returns. When any fails, the first failure in order is raised. Only Ctrl-C is not
    kept waiting.
    """
    if len(calls) < 2:
        return tuple(call() for call in calls)
    futures = begin(calls, MAX_SIDE_BY_SIDE)
    wait(futures)
    return tuple(future.result() for future in futures)


def side_by_side_map(work: Callable[[S], T], items: Iterable[S]) -> Iterator[T]:
    """What ``work`` makes of each item, in order and as soon as it is there, a few items at the same time.

    When one fails, that is raised in its place; what was not begun by then is not begun any more.
    """
    futures = begin([partial(work, item) for item in items], MAX_SIDE_BY_SIDE)
    try:
        for future in futures:
            yield future.result()
    except Exception:
        _cancel(futures)
        wait(futures)
        raise
    finally:
        _cancel(futures)


def _cancel(futures: Iterable[Future[Any]]) -> None:
    for future in futures:
        future.cancel()


def _work_off(waiting: deque[Job[T]]) -> None:
    while True:
        try:
            work, future = waiting.popleft()
        except IndexError:
            return
        if future.set_running_or_notify_cancel():
            _settle(future, work)


def _settle(future: Future[T], work: Callable[[], T]) -> None:
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - raised again for whoever asks for the result
        future.set_exception(error)
    else:
        future.set_result(result)
