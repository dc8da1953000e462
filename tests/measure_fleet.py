"""Prints what registering, updating, watching and cleaning many devices cost in seconds and in memory.

Run it as ``python tests/measure_fleet.py --count 10000``. It starts a sandbox of its own and runs the real command line
in a project of its own, with EC keys and with the image built before. The seconds are mostly the sandbox's, which signs
a certificate for each device; the memory is the most that the command's largest process had.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ota.sandbox import process
from tests.fleet.fleet_world import GROUP, rows
from tests.peak_memory import run_measured
from tests.project import Project, aws_project, built_tree

AGAIN = " again"
# Each with the exit status that it ends with; 3 says that devices still work on the update.
STEPS = {
    "register --file devices.csv": 0,
    f"register --file devices.csv{AGAIN}": 0,
    "all": 0,
    "watch --timeout 5": 3,
    "clean --local": 0,
}
MEGABYTE = 1_000_000


class Measured(NamedTuple):
    """What one command line cost."""

    line: str
    spent_s: float
    peak_bytes: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2_000, metavar="DEVICES")
    count = parser.parse_args().count
    sys.stdout.write(f"| {count:,} devices | seconds | memory |\n| --- | --: | --: |\n")
    with tempfile.TemporaryDirectory() as folder:
        address = process.start(Path(folder) / "sandbox", pause_s=0)
        try:
            project = aws_project(Path(folder) / "project", address, thing_group_name=GROUP, device_key_type="EC-P256")
            project.put_image(built_tree(Path(folder)))
            (project.root_path / "devices.csv").write_text("\n".join(["thing_name", *rows(count), ""]))
            for line, status in STEPS.items():
                one = measure(project, line, status)
                words, again, _ = one.line.partition(AGAIN)
                row = f"| `{words}`{again} | {one.spent_s:.0f} | {one.peak_bytes / MEGABYTE:.0f} MB |\n"
                sys.stdout.write(row)
                sys.stdout.flush()
        finally:
            process.stop(Path(folder) / "sandbox")


def measure(project: Project, line: str, status: int) -> Measured:
    """Run it; it must end with this exit status."""
    begun_s = time.monotonic()
    words = line.removesuffix(AGAIN).split()
    result, peak_bytes = run_measured(project.root_path, project.environ, *words)
    spent_s = time.monotonic() - begun_s
    assert result.status == status, result.text
    return Measured(line, spent_s, peak_bytes)


if __name__ == "__main__":
    main()
