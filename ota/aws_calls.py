"""Forms that calls to AWS share: every page of a listing, None for what is absent, and waiting for a state.

Source: botocore (paginators, ``ClientError``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from ota.errors import WaitTimeout

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.exceptions import ClientError

T = TypeVar("T")

ABSENT_CODES = frozenset({"ResourceNotFoundException", "NoSuchEntity"})


def pages(
    client: BaseClient, operation: str, key: str, *, page_size: int | None = None, **request: Any
) -> Iterator[Any]:
    """The entries of every page of a listing: ``pages(iot, "list_jobs", "jobs")``.

    Args:
        client: the client.
        operation: the client's method.
        key: where a page has its entries; a page without it has none.
        page_size: entries for each call; AWS's own number by default.
        request: parameters of the call.
    """
    config = {"PageSize": page_size} if page_size else {}
    for page in client.get_paginator(operation).paginate(**request, PaginationConfig=config):
        yield from page.get(key, [])


def answer_or_none(call: Callable[..., T], codes: Collection[str] = ABSENT_CODES, **request: Any) -> T | None:
    """The answer to the call; None where AWS refuses it with one of ``codes``, because the object is absent."""
    from botocore.exceptions import ClientError

    try:
        return call(**request)
    except ClientError as error:
        if code_of(error) in codes:
            return None
        raise


def code_of(error: ClientError) -> str:
    """AWS's error code; for HEAD, whose answer has no body, the HTTP status as text."""
    return str(error.response["Error"]["Code"])


def wait_until(
    look: Callable[[], T | None],
    late: Callable[[], WaitTimeout],
    *,
    timeout_s: float,
    poll_s: float,
    longest_poll_s: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Look at once, then after each pause, until there is an answer.

    Args:
        look: returns None as long as there is no answer.
        late: the error at the end of the time, which says what was waited for.
        timeout_s: how long to wait at most, by the clock or by the sum of all pauses, whichever is more.
        poll_s: the first pause.
        longest_poll_s: each pause is twice the one before, up to this; by default all are ``poll_s``.
        sleep: waits so many seconds.
        clock: a count of seconds that never goes back.
    """
    begun_s, paused_s, pause_s = clock(), 0.0, poll_s
    while True:
        answer = look()
        if answer is not None:
            return answer
        left_s = timeout_s - max(paused_s, clock() - begun_s)
        if left_s <= 0:
            raise late()
        pause_s = min(pause_s, left_s)
        sleep(pause_s)
        paused_s += pause_s
        pause_s = min(2 * pause_s, longest_poll_s or poll_s)
