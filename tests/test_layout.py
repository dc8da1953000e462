"""Text in columns: nothing is lost, nothing is wider than it may be, no word breaks but where it has to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota import layout

WORDS = st.lists(st.text("abc/-_.`", min_size=1, max_size=30), max_size=30)
WIDTHS = st.integers(1, 120)


@given(WORDS, WIDTHS)
def test_a_wrapped_text_has_the_same_words(words: list[str], width: int) -> None:
    lines = layout.wrap(" ".join(words), width)
    assert [word for line in lines for word in line.split()] == words
    assert all(len(line) <= width or " " not in line for line in lines)


@given(WORDS, WIDTHS)
def test_with_cuts_no_line_is_too_wide(words: list[str], width: int) -> None:
    assert all(len(line) <= max(width, 2) for line in layout.wrap(" ".join(words), width, cuts=True))


def test_an_indented_line_keeps_its_indent() -> None:
    assert layout.wrap("  one two\n  three", 6) == ["  one", "  two", "  three"]


@pytest.mark.parametrize(
    ("word", "width", "shown"),
    [
        ("lamp", 4, "lamp"),
        ("certificates/lamp-1.pem.crt", 12, "certi…em.crt"),
        ("abcdef", 1, "…f"),
        (f"invoke{layout.HARD_SPACE}clean", 5, f"invoke{layout.HARD_SPACE}clean"),
    ],
    ids=["fits", "middle", "no room", "command"],
)
def test_a_long_word_is_cut_in_its_middle(word: str, width: int, shown: str) -> None:
    assert layout.cut(word, width) == shown


@given(st.lists(st.integers(0, 200), min_size=1, max_size=6), st.integers(60, 200))
def test_columns_share_the_width_and_the_first_is_narrowed_last(natural: list[int], width: int) -> None:
    widths = layout.shared_widths(natural, width)
    fits = sum(widths) + len(layout.GAP) * (len(widths) - 1) <= width
    assert fits or max(widths[1:]) <= layout.NARROWEST
    assert widths[0] == min(natural[0], width // 2)
    assert all(one <= whole for one, whole in zip(widths, natural, strict=True))
    if sum(natural[1:]) + widths[0] + len(layout.GAP) * (len(widths) - 1) <= width:
        assert widths[1:] == natural[1:]


def test_a_row_is_as_high_as_its_highest_cell() -> None:
    assert layout.table_row(["lamp-1", "one two three", "x"], [6, 7, 1]) == ["lamp-1  one two  x", "        three"]
