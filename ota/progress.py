"""How far a long step is: the bar of a program that counts its steps, and the lines of a log.

Source: rich's documentation of ``Progress``.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

TICK_S = 10.0
STEPS_DONE = re.compile(r"^\[(\d+)/(\d+)\]")  # as ninja and make-like tools begin a line


def show_line(progress: Progress, task: TaskID, line: str, room: int) -> None:
    """Show the newest line of a program beside its bar, and move the bar where the line counts steps."""
    from rich.markup import escape

    counted = STEPS_DONE.match(line)
    if counted:
        progress.update(task, completed=int(counted[1]), total=int(counted[2]))
    progress.update(task, newest=escape(line[:room]))


class Ticker:
    """Says every few seconds, from a thread of its own, what is being done and the newest line about it."""

    def __init__(self, note: Callable[[str], None], label: str, tick_s: float) -> None:
        self._note, self._label, self._tick_s = note, label, tick_s
        self._newest = ""
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def take(self, text: str) -> None:
        """The newest line."""
        self._newest = text.strip() or self._newest

    def __enter__(self) -> Ticker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        since_s = time.monotonic()
        while not self._is_over.wait(self._tick_s):
            newest = f": {self._newest}" if self._newest else ""
            self._note(f"{self._label}, {time.monotonic() - since_s:.0f} s{newest}")
