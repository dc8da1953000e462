"""Work in threads: in order, some at a time, and never in the way of a command line that has to end."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import wait
from pathlib import Path

import pytest

from ota.threads import MAX_SIDE_BY_SIDE, begin, side_by_side, side_by_side_map

HANGING = """
import os, time
from ota.threads import side_by_side

def hang():
    os.write(1, b"hangs\\n")
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


def test_independent_calls_run_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=5)
    assert side_by_side(lambda: both.wait() >= 0, lambda: both.wait() >= 0) == (True, True)


def test_the_first_failure_is_raised_after_all_have_finished() -> None:
    finished = []

    def fail(message: str) -> None:
        raise ValueError(message)

    def slow() -> None:
        time.sleep(0.02)
        finished.append(1)

    with pytest.raises(ValueError, match="first"):
        side_by_side(lambda: fail("first"), slow, lambda: fail("second"))
    assert finished == [1]


def test_a_single_call_needs_no_thread() -> None:
    assert side_by_side(threading.current_thread) == (threading.current_thread(),)


def test_many_items_run_some_at_a_time_and_come_in_order() -> None:
    both = threading.Barrier(2, timeout=5)
    at_work: list[int] = []
    most: list[int] = []

    def work(number: int) -> int:
        at_work.append(number)
        most.append(len(at_work))
        if number < 2:
            both.wait()
        at_work.remove(number)
        return 10 * number

    assert list(side_by_side_map(work, range(100))) == [10 * number for number in range(100)]
    assert max(most) <= MAX_SIDE_BY_SIDE


def test_after_a_failure_the_rest_of_many_is_not_begun() -> None:
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 3:
            raise ValueError("third")
        time.sleep(0.005)
        return number

    seen: list[int] = []
    with pytest.raises(ValueError, match="third"):
        seen.extend(side_by_side_map(work, range(500)))
    assert seen == [0, 1, 2]
    assert len(begun) < 100
