"""Forms that calls to AWS share: every page of a listing, None for what is absent, waiting for a state, and retries.

botocore retries throttling, broken connections and errors of the server. AWS has two more kinds of refusal after
which the same call succeeds a moment later, and :class:`Retries` retries them for every call of every client:

- Another change to the same object is under way. Nothing was done.
- The object does not exist yet where the call arrived, though its creation was answered. So a "not found" is retried
  for an object that this process has created and not deleted. For all other objects it is the answer, also where the
  call names a new object too and the refusal names the other.

The answer to a HEAD has no body and so no reason: its 404 may mean the bucket or the object, and is never retried.
CreateBucket and DeleteBucket wait much longer for S3 to let go of a name, in ``ota/buckets/buckets.py``.

Source: botocore (paginators, ``ClientError``, the event ``needs-retry``); S3 error responses (OperationAborted,
ConditionalRequestConflict); IAM common errors (ConcurrentModification), "Changes that I make are not always immediately
visible"; AWS IoT error ResourceNotFoundException.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from ota.errors import WaitTimeout

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.exceptions import ClientError
    from botocore.model import OperationModel


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


MAX_TRIES = 8
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 4.0
# The answer to a HEAD has its status alone.
CONFLICT_CODES = frozenset({"OperationAborted", "ConditionalRequestConflict", "ConcurrentModification", "409"})
NOT_FOUND_CODES = frozenset({"NoSuchBucket", "NoSuchEntity", "ResourceNotFoundException"})
WAITED_FOR_ELSEWHERE = frozenset({"CreateBucket", "DeleteBucket"})
# A call that creates an object names it in its first required parameter; of a certificate AWS's answer has the name.
NAMES_IN_ANSWERS = {"CreateCertificateFromCsr": "certificateId"}
CREATE_NO_OBJECT = frozenset({"CreatePolicyVersion", "CreateMultipartUpload"})


class Retries:
    """The retries of one account's clients. They share what was created: a role is made by IAM and used by IoT."""

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep
        self._created: set[str] = set()
        self._lock = threading.Lock()

    def attach(self, client: BaseClient) -> None:
        """Retry the calls of this client."""
        events = client.meta.events
        events.register("before-parameter-build", self._note_parameters)
        events.register("needs-retry", self._pause)  # type: ignore[arg-type] # the stub knows of no answer
        events.register("after-call", self._note_created)

    def _note_parameters(
        self, params: Mapping[str, Any], model: OperationModel, context: dict[str, Any], **_: object
    ) -> None:
        context["ota_parameters"] = params
        if model.name.startswith("Delete"):
            with self._lock:
                self._created.difference_update(_names(params))

    def _note_created(
        self, parsed: Mapping[str, Any], model: OperationModel, context: Mapping[str, Any], **_: object
    ) -> None:
        if "Error" in parsed or not model.name.startswith("Create") or model.name in CREATE_NO_OBJECT:
            return
        member = NAMES_IN_ANSWERS.get(model.name)
        required = model.input_shape.required_members if model.input_shape else []
        names = [parsed[member]] if member else _names(context["ota_parameters"], required[:1])
        with self._lock:
            self._created.update(names)

    def _pause(
        self, response: Any, operation: OperationModel, attempts: int, request_dict: Mapping[str, Any], **_: object
    ) -> int | None:
        """Whether botocore sends the call again: 0 for at once, since the pause is made here; None for no."""
        if response is None or attempts >= MAX_TRIES or operation.name in WAITED_FOR_ELSEWHERE:
            return None
        error, params = response[1].get("Error", {}), request_dict["context"]["ota_parameters"]
        is_too_early = error.get("Code") in NOT_FOUND_CODES and self._may_come(params, error.get("Message") or "")
        if error.get("Code") not in CONFLICT_CODES and not is_too_early:
            return None
        self._sleep(min(FIRST_PAUSE_S * 2 ** (attempts - 1), LONGEST_PAUSE_S))
        return 0

    def _may_come(self, params: Mapping[str, Any], refusal: str) -> bool:
        """Whether what was not found has just been created: what the refusal names, else anything in the call."""
        names = set(_names(params))
        missing = {name for name in names if name in refusal} or names
        with self._lock:
            return not self._created.isdisjoint(missing)


def _names(params: Mapping[str, Any], members: Iterable[str] | None = None) -> Iterator[str]:
    """What a call names, by name or by ARN, in these parameters or in all: texts and lists of texts."""
    for value in (params[member] for member in (params if members is None else members)):
        for text in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(text, str):
                yield text.rpartition("/")[2]
