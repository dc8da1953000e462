"""The names of retries: short enough for the firmware, counted on, and told from names of other updates."""

from __future__ import annotations

import pytest

from ota.settings.names import UPDATE_NAME_CHARS, update_name_problem
from ota.updates.retries import is_retry_of, retry_name, retry_number, retry_prefix

LONG = "x" * UPDATE_NAME_CHARS


@pytest.mark.parametrize("first", ["lamp_update", LONG, LONG[:-1] + "y", "lamp-retry", "a"])
def test_a_retry_has_a_name_that_is_taken_and_known_again(first: str) -> None:
    names = [retry_name(first, number) for number in (1, 2, 10, 999)]
    assert [update_name_problem(name) for name in names] == [None] * 4
    assert [retry_number(name, first) for name in (first, *names)] == [0, 1, 2, 10, 999]
    assert retry_name(names[1], 3) == retry_name(first, 3)
    assert [retry_number(name, names[1]) for name in (first, *names)] == [-1, -1, 2, 10, 999]


def test_the_retries_of_two_long_names_differ() -> None:
    assert retry_prefix(LONG) != retry_prefix(LONG[:-1] + "y")


@pytest.mark.parametrize(
    "name",
    [
        "lamp_update",
        *(f"lamp_update-retry-{number}" for number in ("", "0", "01", "1000", "1b", "1-retry-2")),
        "lamp_update_2-retry-1",
        "xlamp_update-retry-1",
    ],
)
def test_other_updates_are_no_retries(name: str) -> None:
    assert not is_retry_of(name, "lamp_update")
