"""The sandbox's clock: moved ahead, run faster, and what is due by it."""

from __future__ import annotations

import threading

import pytest

from ota.sandbox.jobs.state import Sandbox
from tests.sandbox_control import Control

THOUSAND = 1000.0


def test_a_faster_clock_brings_forward_what_is_scheduled() -> None:
    real = [THOUSAND]
    sandbox = Sandbox(clock=lambda: real[0])
    done: list[str] = []
    sandbox.schedule(sandbox.region("1", "eu-west-1"), 60, lambda: done.append("x") or [])
    sandbox.set_speed(30)
    assert sandbox.now() == THOUSAND
    real[0] += 1.9
    sandbox.run_due()
    assert done == []
    real[0] += 0.1
    sandbox.run_due()
    assert (done, sandbox.now()) == (["x"], THOUSAND + 60)
    sandbox.set_speed(1)
    real[0] += 1
    assert sandbox.now() == THOUSAND + 61
    sandbox.move_clock(9)
    assert sandbox.now() == THOUSAND + 70
    sandbox.reset()
    assert sandbox.now() == real[0]


def test_the_thread_that_waits_wakes_by_the_faster_clock() -> None:
    sandbox, done = Sandbox(), threading.Event()
    threading.Thread(target=sandbox.tick_forever, daemon=True).start()
    sandbox.schedule(sandbox.region("1", "eu-west-1"), 3600, lambda: done.set() or [])
    assert not done.is_set()
    sandbox.set_speed(36_000)  # what was an hour away is a tenth of a second away
    assert done.wait(timeout=30)


@pytest.mark.parametrize("factor", [0, -1])
def test_the_clock_does_not_stop_or_run_back(control: Control, factor: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        control.speed(factor)
