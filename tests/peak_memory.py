"""The most memory that a command takes.

The kernel counts a process from its fork on, so that a child of the tests begins with what the tests themselves take. A
small process in between starts the command and measures it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.project import Result

MEASURE = (
    "import resource, subprocess, sys\n"
    "status = subprocess.run(sys.argv[2:]).returncode\n"
    "open(sys.argv[1], 'w').write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))\n"
    "sys.exit(status)\n"
)
UNIT_BYTES = 1 if sys.platform == "darwin" else 1024


def run_measured(folder_path: Path, environ: dict[str, str], *arguments: str) -> tuple[Result, int]:
    """Run ``invoke`` in this folder; how it ended, and the most bytes that one of its processes had at a time."""
    peak_path = folder_path / "peak-memory"
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(peak_path), sys.executable, "-m", "invoke", *arguments],
        cwd=folder_path,
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    peak_bytes = int(peak_path.read_text()) * UNIT_BYTES
    peak_path.unlink()
    return Result(done.returncode, done.stdout, done.stderr), peak_bytes
