"""Prints the fault matrix: for each command and each fault, how many of its calls keep every promise.

    python -m tests.fault_matrix
    python -m tests.fault_matrix --command clean --fault denied --call DeleteBucket

Each worker has a sandbox and a project of its own, and brings both back to the beginning before every case. Cases that
fail are printed behind the table, with the command line that runs them alone; the exit status is 1 then.
``docs/reliability.md`` says what is promised and has the table of a whole run.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import NamedTuple

from ota.sandbox import process
from ota.sandbox.process import Address
from tests.fault_cases import COMMANDS, FAULTS, Case, Command, Fault, Site
from tests.neighbours import make_neighbours
from tests.project import build_tree

PROGRESS_S = 10
Cell = tuple[str, str]


class Place(NamedTuple):
    """Where a worker works: its sandbox, its folder, and the images that all workers share."""

    address: Address
    folder: Path
    images: tuple[Path, Path]


class Ended(NamedTuple):
    """A case by the names of its command, fault and call, and why it failed, if it did."""

    command: str
    fault: str
    call: str
    why: str


class Which(NamedTuple):
    """A case as one process tells it to another: its command and its fault by name, and its place in their cell."""

    command: str
    fault: str
    number: int


class Worker:
    """What a worker process has: its site."""

    site: Site


def main() -> int:
    choice = _parser().parse_args()
    commands = [one for one in COMMANDS if choice.command in {"", one.name}]
    faults = [one for one in FAULTS if choice.fault in {"", one.name}]
    begun_s = time.monotonic()
    ended = list(run(commands, faults, call=choice.call, workers=choice.workers))
    sys.stdout.write(f"{table(ended, commands, faults)}\n\n{totals(ended)}, {time.monotonic() - begun_s:.0f} s\n")
    for one in ended:
        if one.why:
            alone = f"python -m tests.fault_matrix --command {one.command} --fault {one.fault} --call {one.call}"
            sys.stdout.write(f"\n{alone}\n    {one.why.strip()}\n")
    return int(any(one.why for one in ended))


def run(commands: list[Command], faults: list[Fault], *, call: str = "", workers: int = 1) -> Iterator[Ended]:
    """The cases of these rows and columns, as they end; ``call`` leaves those of one call."""
    context = multiprocessing.get_context("spawn")
    with _places(workers) as places:
        waiting: SimpleQueue[Place] = context.SimpleQueue()
        for place in places:
            waiting.put(place)
        with ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(waiting,)) as pool:
            cells = pool.map(_cell, [(command.name, fault.name, call) for command in commands for fault in faults])
            cases = [pool.submit(_end, which) for cell in cells for which in cell]
            told_s = time.monotonic()
            for number, future in enumerate(as_completed(cases), 1):
                ended = future.result()
                if ended.why:
                    sys.stderr.write(f"failed: {ended.command} {ended.fault} {ended.call}\n{ended.why}\n")
                yield ended
                if time.monotonic() - told_s > PROGRESS_S:
                    told_s = time.monotonic()
                    sys.stderr.write(f"{number} of {len(cases)} cases\n")


def table(ended: list[Ended], commands: list[Command], faults: list[Fault]) -> str:
    """A Markdown table of how many cases of each cell passed, of how many."""
    count = Counter((one.command, one.fault) for one in ended)
    passed = Counter((one.command, one.fault) for one in ended if not one.why)

    def told(cells: list[Cell]) -> str:
        asked = sum(count[cell] for cell in cells)
        return f"{sum(passed[cell] for cell in cells)}/{asked}" if asked else ""

    names = [fault.name for fault in faults]
    rows = [["", *names, "all"], ["---", *["--:"] * (len(names) + 1)]]
    for command in commands:
        cells = [(command.name, name) for name in names]
        rows.append([command.name, *(told([cell]) for cell in cells), told(cells)])
    columns = [[(command.name, name) for command in commands] for name in names]
    rows.append(["all", *map(told, columns), told([cell for column in columns for cell in column])])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def totals(ended: list[Ended]) -> str:
    """How many cases passed, in a sentence."""
    passed = sum(not one.why for one in ended)
    return f"{passed} of {len(ended)} cases keep every promise"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fault_matrix", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--command", default="", choices=[one.name for one in COMMANDS], help="one row")
    parser.add_argument("--fault", default="", choices=[one.name for one in FAULTS], help="one column")
    parser.add_argument("--call", default="", metavar="CALL", help="one call, such as GetOTAUpdate-2")
    parser.add_argument("--workers", type=int, default=2, metavar="COUNT", help="processes (default: %(default)s)")
    return parser


@contextmanager
def _places(count: int) -> Iterator[list[Place]]:
    """A sandbox and a folder for each worker, and the images."""
    with ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        images = base / "first", base / "second"
        for image in images:
            build_tree(image, certificate=image.name)
        places = []
        for number in range(count):
            folder = base / str(number)
            stack.callback(process.stop, folder / "sandbox")
            places.append(Place(process.start(folder / "sandbox", pause_s=0), folder, images))
        yield places


def _begin(waiting: SimpleQueue[Place]) -> None:
    place = waiting.get()
    Worker.site = Site(make_neighbours(place.address), place.folder, place.images)


def _cell(wanted: tuple[str, str, str]) -> list[Which]:
    command, fault, call = wanted
    cases = enumerate(_cases(command, fault))
    return [Which(command, fault, number) for number, case in cases if call in {"", str(case.call)}]


def _end(which: Which) -> Ended:
    case = _cases(which.command, which.fault)[which.number]
    return Ended(which.command, which.fault, str(case.call), Worker.site.why_broken(case))


def _cases(command: str, fault: str) -> list[Case]:
    named = {one.name: one for one in COMMANDS}[command], {one.name: one for one in FAULTS}[fault]
    return Worker.site.cases(*named)


if __name__ == "__main__":
    sys.exit(main())
