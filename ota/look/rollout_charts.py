"""Draws the curve of a rollout as SVG: how many devices ran the update, failed, and had been offered it, over time.

The chart is in a page that has the colours for its classes (``rollout_page.css``).

Source: SVG 2, "Paths".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ota.look.rollout_reports import Point

WIDTH, HEIGHT = 980, 320
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 30
MOST_TICKS = 7
STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400)
DAY_S = 86_400


@dataclass(frozen=True)
class _Scale:
    """Where a time and a number of devices are in the drawing."""

    longest_s: float
    most: int

    def x(self, after_s: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * after_s / self.longest_s

    def y(self, count: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * count / self.most


def curve_svg(points: Sequence[Point], size: int) -> str:
    """The chart of a curve; ``size`` is how many devices there are."""
    scale = _Scale(max(points[-1].after_s if points else 0.0, 1.0), max(size, 1))
    succeeded = _steps(scale, points, lambda one: one.succeeded)
    finished = _steps(scale, points, lambda one: one.succeeded + one.failed)
    offered = _steps(scale, points, lambda one: one.offered)
    floor = f"V{scale.y(0):.1f}H{scale.x(0):.1f}Z"
    parts = [
        *_count_ticks(scale),
        *_time_ticks(scale),
        f'<path class="failed" d="{_path(finished)}L{_back(succeeded)}Z"/>',
        f'<path class="succeeded" d="{_path(succeeded)}{floor}"/>',
        f'<path class="edge" d="{_path(succeeded)}"/>',
        f'<path class="offered" d="{_path(offered)}"/>',
    ]
    last = points[-1] if points else Point(0.0, 0, 0, 0)
    words = f"{last.succeeded:,} of {size:,} devices ran the update in the end, {last.failed:,} ended without success."
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{words}">{"".join(parts)}</svg>'


def tick_step_s(longest_s: float) -> int:
    """Seconds between two marks on the time axis: a round number, with a handful of marks."""
    return next((step for step in STEPS_S if longest_s / step <= MOST_TICKS), _days(longest_s) * DAY_S)


def count_step(most: int) -> int:
    """Devices between two lines: 1, 2 or 5 times a power of ten, with about five lines."""
    step = 1
    while most / step > 6:
        step = step * 5 // 2 if str(step).startswith("2") else step * 2
    return step


def _days(longest_s: float) -> int:
    return -(-int(longest_s) // (MOST_TICKS * DAY_S))


def _steps(scale: _Scale, points: Iterable[Point], count: Callable[[Point], int]) -> list[tuple[float, float]]:
    """The corners of a line that rises where something changes."""
    corners: list[tuple[float, float]] = []
    for point in points:
        x, y = scale.x(point.after_s), scale.y(count(point))
        corners += [(x, corners[-1][1]), (x, y)] if corners else [(x, y)]
    return corners


def _path(corners: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in corners)


def _back(corners: Sequence[tuple[float, float]]) -> str:
    return "L".join(f"{x:.1f} {y:.1f}" for x, y in reversed(corners))


def _count_ticks(scale: _Scale) -> Iterable[str]:
    for count in range(0, scale.most + 1, count_step(scale.most)):
        y = scale.y(count)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{count:,}</text>'


def _time_ticks(scale: _Scale) -> Iterable[str]:
    step = tick_step_s(scale.longest_s)
    for seconds in range(0, int(scale.longest_s) + 1, step):
        anchor = "start" if not seconds else "middle"
        text = _time_words(seconds, step)
        yield f'<text x="{scale.x(seconds):.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{text}</text>'


def _time_words(seconds: int, step: int) -> str:
    """A time on the axis in the unit of its marks."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if step >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds} s"
