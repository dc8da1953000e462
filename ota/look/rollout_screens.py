"""The screen of a rollout to many devices: one bar, how fast it goes, how many in each state, why devices failed.

Everything fits one screen of 80 columns, however many devices there are. ``picture_of`` is drawn in place on a
terminal; ``line_of`` says the same in one line elsewhere.

Source: rich's documentation of the console protocol (``__rich_console__``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ota import layout
from ota.look.failures import FailureGroup, first_names, group_failures, listed_failures, why_it_was_ended
from ota.report import printable
from ota.updates.jobs import IN_PROGRESS, QUEUED, SUCCEEDED, Execution
from ota.updates.rollouts import Rollout

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from ota.report import Report

# In the order of the bar: what is done, what went wrong, what is at work, what waits.
STATE_STYLES = {
    SUCCEEDED: "green",
    "FAILED": "red",
    "TIMED_OUT": "magenta",
    "REJECTED": "yellow",
    "CANCELED": "bright_black",
    "REMOVED": "bright_black",
    IN_PROGRESS: "blue",
    QUEUED: "white",
}
FULL, EMPTY = "█", "░"
COLUMNS = 4
COLUMN_WIDTH = 20
MOST_GROUPS = 4
MOST_NAMES = 3
WIDEST_BAR = 70


@dataclass(frozen=True)
class Picture:
    """A rollout as rich draws it, as wide as the terminal at most.

    Attributes:
        rollout: to many devices.
        rate: devices that finish in a minute; None where that is not known.
        has_failures: whether the failures are part of it.
    """

    rollout: Rollout
    rate: float | None
    has_failures: bool = True

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        """The lines: the job, the bar, the progress in words, the states, the failures."""
        from rich.text import Text

        width = options.max_width
        yield Text(layout.cut(printable(self.rollout.job_id), width), "bold")
        yield Text.assemble(*_bar(self.rollout, min(width - 7, WIDEST_BAR)), no_wrap=True)
        yield from (Text(line) for line in layout.wrap(progress_words(self.rollout, self.rate), width))
        for row in _state_rows(self.rollout, columns=max(min(COLUMNS, width // COLUMN_WIDTH), 1)):
            yield Text("   ").join(Text(*cell) for cell in row)
        for group in group_failures(self.rollout)[:MOST_GROUPS] if self.has_failures else ():
            title, lines = describe_group(group)
            yield Text(title, f"bold {STATE_STYLES[group.status]}")
            for line in lines:
                yield from (Text(part) for part in layout.wrap(layout.GAP + printable(line), width, cuts=True))


def line_of(rollout: Rollout, rate: float | None) -> str:
    """The rollout in one line: progress, and how many in each state."""
    counts = ", ".join(f"{count:,} {status}" for status, count in in_order(rollout.counts()))
    return f"{progress_words(rollout, rate)}: {counts or 'none'}"


def progress_words(rollout: Rollout, rate: float | None) -> str:
    """How far it is: ``6,213 of 10,000 finished, 62 %, 1,020 a minute, 4 min left``."""
    done, total = rollout.finished_count, rollout.size
    parts = [f"{done:,} of {total:,} finished", f"{100 * done // max(total, 1)} %"]
    if rate and not rollout.is_over:
        parts += [f"{rate:,.0f} a minute" if rate >= 1 else "less than one a minute"]
        parts += [f"{duration_words(60 * (total - done) / rate)} left"] if total > done else []
    if rollout.waiting_count:
        parts.append(f"{rollout.waiting_count:,} not offered yet")
    return ", ".join(parts)


def duration_words(seconds: float) -> str:
    """A duration in its largest unit: ``40 s``, ``4 min``, ``3.2 h``, ``2.5 d``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} d"


def average_rate(rollout: Rollout, now: datetime) -> float | None:
    """Devices a minute since the job was made; None where none has finished."""
    made_at = rollout.job.created_at if rollout.job else None
    if made_at is None or not rollout.finished_count or now <= made_at:
        return None
    return 60 * rollout.finished_count / (now - made_at).total_seconds()


def in_order(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """The statuses that there are, in the order of the bar; one that AWS adds later comes last."""
    return [(status, counts[status]) for status in dict.fromkeys([*STATE_STYLES, *counts]) if counts.get(status)]


def segments(counts: Mapping[str, int], total: int, width: int) -> list[tuple[str, int]]:
    """Each status with its share of a bar; one that there is has a character at least.

    What rounding leaves over or takes too much is the largest one's.
    """
    shares = {status: max(1, width * count // max(total, 1)) for status, count in in_order(counts)}
    if shares:
        filled = min(width, round(width * sum(counts.values()) / max(total, 1)))
        shares[max(shares, key=lambda status: shares[status])] += filled - sum(shares.values())
    return list(shares.items())


def describe_group(group: FailureGroup) -> tuple[str, list[str]]:
    """A title with the number and the status, and under it the cause and the first names."""
    names = first_names(group.names, MOST_NAMES, group.likely_count)
    return f"{group.size} {group.status}", [group.cause or "the device gave no reason", *([names] if names else [])]


def show_rollout(report: Report, rollout: Rollout, rate: float | None) -> None:
    """The rollout as it is now: the picture on a terminal, elsewhere a line and the groups of failures."""
    if report.is_terminal:
        with report.live() as draw:
            draw(Picture(rollout, rate, has_failures=False))
    else:
        report.say(line_of(rollout, rate))
    show_failures(report, rollout)


def show_failures(report: Report, rollout: Rollout) -> None:
    """Each group of failures with its cause, its remedy and its first names, and why the job was ended."""
    for group in group_failures(rollout):
        title, (cause, *names) = describe_group(group)
        report.entry("devices", "failed", f"bold {STATE_STYLES[group.status]}", title, cause)
        for line in (*names, group.remedy):
            if line:
                report.prose(line)
    why = why_it_was_ended(rollout.job) if rollout.job else ""
    if why:
        report.styled(why, "bold yellow")


def show_failed(report: Report, executions: Iterable[Execution]) -> None:
    """A line for every device that ended without success."""
    for one in listed_failures(executions):
        style = STATE_STYLES.get(one.status, "red")
        report.entry("device", one.status.lower().replace("_", " "), style, one.thing_name, _when(one))


def _when(execution: Execution) -> str:
    return execution.updated_at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if execution.updated_at else ""


def _bar(rollout: Rollout, width: int) -> Iterator[tuple[str, str]]:
    used = 0
    for status, share in segments(rollout.counts(), rollout.size, width):
        is_open = status in (QUEUED, IN_PROGRESS)
        yield (EMPTY if status == QUEUED else "▒" if is_open else FULL) * share, STATE_STYLES.get(status, "red")
        used += share
    yield EMPTY * (width - used), "bright_black"
    yield f" {100 * rollout.finished_count // max(rollout.size, 1):>3} %", "bold"


def _state_rows(rollout: Rollout, columns: int) -> Iterator[list[tuple[str, str]]]:
    counts = rollout.counts()
    cells = [(status, counts.get(status, 0)) for status in dict.fromkeys([*STATE_STYLES, *counts])]
    for begin in range(0, len(cells), columns):
        row = cells[begin : begin + columns]
        yield [
            (f"{status.lower().replace('_', ' '):<11}{count:>6,}", STATE_STYLES.get(status, "red") if count else "dim")
            for status, count in row
        ]
