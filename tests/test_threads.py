"""Work in threads: in order, some at a time, and never in the way of a command line that has to end."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from concurrent.futures import wait
from pathlib import Path

import pytest

from ota.threads import begin

HANGING = """
import threading, time
from ota.cloud import side_by_side

def hang():
    print("hangs", flush=True)
    time.sleep(60)

try:
    side_by_side(hang, hang)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_results_come_in_order_and_a_failure_in_its_place() -> None:
    def fail() -> int:
        raise ValueError("mine")

    first, second, third = begin([lambda: 1, fail, lambda: 3], 2)
    assert (first.result(5), third.result(5)) == (1, 3)
    with pytest.raises(ValueError, match="mine"):
        second.result(5)


def test_what_is_cancelled_before_its_turn_is_not_begun() -> None:
    gate, begun = threading.Event(), []
    futures = begin([lambda: gate.wait(5), lambda: begun.append(1)], 1)
    futures[1].cancel()
    gate.set()
    wait(futures, timeout=5)
    assert begun == []


def test_ctrl_c_ends_a_command_line_whose_calls_hang() -> None:
    command, root = [sys.executable, "-c", HANGING], Path(__file__).parents[1]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["hangs\n"] * 2
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
    assert (out, process.returncode) == ("interrupted\n", 0)
