"""Prints what setting up, repeating and cleaning cost in calls and in round trips, beside Arm's script.

Run it as ``python tests/measure_round_trips.py``. It starts a sandbox of its own and runs the real command line in a
project of its own, with the image built before, once for each of two latencies that the sandbox adds to every call.
The slope of the time over the latency is the number of calls that wait for one another: whatever else a run does takes
equally long at both and falls out. Greater latencies take longer and are more accurate on a busy machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ota.sandbox import process
from tests.project import Project, aws_project, built_tree
from tests.sandbox_control import Control


@dataclass(frozen=True)
class Step:
    """One command line, and what the same takes with Arm's script: so many calls, each after the one before."""

    name: str
    command: str
    arms_calls: int


@dataclass
class Measured:
    """What was seen of one step: its calls, and its seconds at each latency."""

    calls: int = 0
    spent_s: list[float] = field(default_factory=list)

    def round_trips(self, latencies_s: tuple[float, float]) -> float:
        return (self.spent_s[1] - self.spent_s[0]) / (latencies_s[1] - latencies_s[0])


# Counted with the same method against the same sandbox.
STEPS = (Step("from nothing", "all", 37), Step("again", "all", 32), Step("clean", "clean --local", 31))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latencies", nargs=2, type=float, default=(0.1, 1.1), metavar="SECONDS")
    latencies_s = tuple(parser.parse_args().latencies)
    with tempfile.TemporaryDirectory() as folder, _site(Path(folder)) as (project, control):
        measured = measure(project, control, latencies_s)
    sys.stdout.write(table(measured, latencies_s) + "\n")


def measure(project: Project, control: Control, latencies_s: tuple[float, float]) -> list[Measured]:
    """Run every step in order, once for each latency."""
    measured = [Measured() for _ in STEPS]
    for latency_s in latencies_s:
        control.latency(latency_s)
        for step, found in zip(STEPS, measured, strict=True):
            control.clear_calls()
            start = time.perf_counter()
            project.run(*step.command.split()).done()
            found.spent_s.append(time.perf_counter() - start)
            found.calls = len(control.calls())
    return measured


def table(measured: list[Measured], latencies_s: tuple[float, float]) -> str:
    """Calls and round trips of every step, ours and Arm's."""
    lines = [
        "              this tool             Arm's script",
        "              calls  round trips    calls  round trips",
    ]
    lines += [
        f"{step.name:<13} {found.calls:>5}  {found.round_trips(latencies_s):>11.1f}    "
        f"{step.arms_calls:>5}  {step.arms_calls:>11}"
        for step, found in zip(STEPS, measured, strict=True)
    ]
    return "\n".join(lines)


@contextmanager
def _site(folder: Path) -> Iterator[tuple[Project, Control]]:
    """A sandbox and a project with an image, both new."""
    address = process.start(folder / "sandbox", pause_s=0)
    try:
        project = aws_project(folder / "project", address)
        project.put_image(built_tree(folder))
        yield project, Control(address)
    finally:
        process.stop(folder / "sandbox")


if __name__ == "__main__":
    main()
