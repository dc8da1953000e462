"""How a virtual device is told to behave, where it tells what it does, and what it came to."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ota.device.connection import ANSWER_TIMEOUT_S
from ota.device.download import Pace
from ota.device.faults import Fault
from ota.device.messages import Encoding


class Talk(Protocol):
    """Where a device tells what it does."""

    def say(self, text: str) -> None:
        """One line."""

    def bar(self, label: str, total_bytes: int) -> AbstractContextManager[Callable[[int], None]]:
        """Progress; what to call with the bytes done so far."""


@dataclass(frozen=True)
class Manners:
    """How a device behaves.

    Attributes:
        encoding: of stream messages.
        fault: what goes wrong; None for nothing.
        is_forever: whether it listens for jobs that come later.
        pace: how it asks for blocks; None for its firmware's own.
        answer_timeout_s: how long it waits for one answer.
        timeout_s: how long all may take; None for ever.
        clock: a count of seconds that never goes back.
        sleep: waits so many seconds.
    """

    encoding: Encoding = Encoding.JSON
    fault: Fault | None = None
    is_forever: bool = False
    pace: Pace | None = None
    answer_timeout_s: float = ANSWER_TIMEOUT_S
    timeout_s: float | None = None
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)


@dataclass(frozen=True)
class Result:
    """What a device came to.

    Attributes:
        thing_name: which device.
        status: SUCCEEDED, FAILED or REJECTED, as it told the cloud; empty where it was offered nothing.
        job_id: the job.
        before: the version that ran.
        now: the version that runs.
        why: why it failed, in words.
        image_path: the image that runs; None where no file holds it.
        size_bytes: the image's length.
        load_s: how long loading it took.
    """

    thing_name: str
    status: str = ""
    job_id: str = ""
    before: str = ""
    now: str = ""
    why: str = ""
    image_path: Path | None = None
    size_bytes: int = 0
    load_s: float = 0.0
