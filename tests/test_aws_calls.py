from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ota.aws_calls import answer_or_none, pages, wait_until
from ota.errors import WaitTimeout
from tests.sandbox_control import Control


class Clock:
    """A clock that only the test moves; it remembers the pauses."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.pauses_s: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.pauses_s.append(seconds)


def wait(clock: Clock, look: Callable[[], str | None], **bounds: Any) -> str:
    def late() -> WaitTimeout:
        return WaitTimeout("Waited for the lamp.")

    return wait_until(look, late, **{"timeout_s": 10, "poll_s": 1, "sleep": clock.sleep, "clock": clock, **bounds})


def test_an_answer_that_is_there_costs_no_pause() -> None:
    clock = Clock()
    assert wait(clock, lambda: "lit") == "lit"
    assert clock.pauses_s == []


@pytest.mark.parametrize(
    ("bounds", "pauses_s"),
    [
        ({}, [1] * 10),
        ({"longest_poll_s": 4}, [1, 2, 4, 3]),
        ({"poll_s": 20}, [10]),
    ],
    ids=["all the same", "each twice the one before", "longer than the time"],
)
def test_waiting_ends_by_the_sum_of_the_pauses(bounds: dict[str, float], pauses_s: list[float]) -> None:
    clock = Clock()
    with pytest.raises(WaitTimeout, match="Waited for the lamp"):
        wait(clock, lambda: None, **bounds)
    assert clock.pauses_s == pauses_s


def test_the_time_that_the_looks_take_counts() -> None:
    clock = Clock()

    def look() -> None:
        clock.now_s += 4

    with pytest.raises(WaitTimeout):
        wait(clock, look)
    assert clock.pauses_s == [1, 1]


def test_only_the_codes_that_say_absent_give_none(iot: Any, s3: Any, control: Control) -> None:
    assert answer_or_none(iot.describe_thing, thingName="lamp") is None
    assert answer_or_none(s3.head_bucket, {"404"}, Bucket="lamp") is None
    control.fail("DescribeThing", "access-denied")
    with pytest.raises(ClientError, match="DescribeThing"):
        answer_or_none(iot.describe_thing, thingName="lamp")


def test_every_page_is_read(iot: Any, control: Control) -> None:
    for number in range(5):
        iot.create_thing(thingName=f"lamp-{number}")
    control.clear_calls()
    names = [one["thingName"] for one in pages(iot, "list_things", "things", page_size=2)]
    assert sorted(names) == [f"lamp-{number}" for number in range(5)]
    assert control.operations() == ["ListThings"] * 3
