"""What virtual devices tell on the command line: each step of one device, and how every one of them ended."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ota.device.jobs import FAILED, SUCCEEDED
from ota.device.manners import Result
from ota.firmware.image_versions import version_words
from ota.outcomes import Outcome, Verb

if TYPE_CHECKING:
    from ota.report import Report

PLAIN_STEPS = 4


class Lines:
    """What a device does, line by line; its progress as a bar on a terminal, else as a line now and then.

    Of many devices at once only the ends are told.
    """

    def __init__(self, report: Report, thing_name: str, *, has_bar: bool) -> None:
        self._report = report
        self._thing_name = thing_name
        self._has_bar = has_bar and report.is_terminal
        self._has_lines = has_bar

    def say(self, text: str) -> None:
        """One line."""
        if self._has_lines:
            self._report.say(f"{self._thing_name}: {text}")

    @contextlib.contextmanager
    def bar(self, label: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
        """Progress over bytes."""
        if self._has_bar:
            with self._report.bytes_bar(label, total_bytes) as show:
                yield show
            return
        begun, told = time.monotonic(), [0]

        def show_line(done_bytes: int) -> None:
            step = PLAIN_STEPS * done_bytes // total_bytes
            if step > told[0]:
                told[0] = step
                rate = done_bytes / max(time.monotonic() - begun, 1e-3) / 1e6
                self.say(f"loaded {done_bytes:,} of {total_bytes:,} bytes, {rate:.1f} MB/s")

        yield show_line


def tell_end(report: Report, result: Result) -> None:
    """The device's line; one that failed before it could tell the cloud has its words in the error alone."""
    if not result.status:
        detail = "no job is offered to it (`invoke all` offers one, or tells why not); it runs what it ran"
        report.outcome(Outcome("device", Verb.SKIPPED, result.thing_name, detail))
    elif result.status == SUCCEEDED:
        where = f", image {result.image_path}" if result.image_path else ""
        rate = f" in {result.load_s:.1f} s" if result.load_s else ""
        detail = f"{version_words(result.before)} -> {version_words(result.now)}, job {result.job_id} {result.status}, "
        report.outcome(
            Outcome("device", Verb.CHANGED, result.thing_name, f"{detail}{result.size_bytes:,} bytes{rate}{where}")
        )
    elif result.job_id:
        detail = f"runs {version_words(result.now)} as before, job {result.job_id} {result.status}"
        report.outcome(Outcome("device", Verb.REUSED, result.thing_name, detail))


def as_json(result: Result) -> dict[str, Any]:
    """The end of a device as plain values."""
    return {
        "thing": result.thing_name,
        "status": result.status or "NOTHING_OFFERED",
        "job": result.job_id or None,
        "before": result.before or None,
        "now": result.now or None,
        "why": result.why or None,
        "image": str(result.image_path) if result.image_path else None,
        "bytes": result.size_bytes,
        "seconds": round(result.load_s, 3),
    }


def with_advice(result: Result) -> Result:
    """Of an image that was not kept, also what to do: its version is the one thing that the desk can change."""
    if result.status != FAILED or not result.job_id or not result.now or result.size_bytes == 0:
        return result
    advice = (
        f"The image was not kept. `invoke verify --running-version {result.now}` tells which version it needs; build "
        f"and update with that. Or begin as from the factory: `invoke device --fresh`, with a new update."
    )
    return replace(result, why=f"{result.why}\n{advice}")
