"""Sorts names as people count: ``lamp-9`` before ``lamp-10``."""

from __future__ import annotations

import re

DIGITS = re.compile(r"(\d+)")


def natural(name: str) -> list[tuple[int, str]]:
    """A key for ``sorted``."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in DIGITS.split(name)]
