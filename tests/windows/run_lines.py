"""Runs command lines of invoke one after the other in one process: ``python run_lines.py TASKS_PATH LINE…``.

Before each line's output there is a line ``=== LINE``, and after it ``=== exit STATUS``.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys

from invoke.program import Program


def main(tasks_path: str, *lines: str) -> None:
    os.dup2(1, 2)
    for line in lines:
        sys.stdout.write(f"=== {line}\n")
        sys.stdout.flush()
        sys.stdout.write(f"=== exit {run(tasks_path, shlex.split(line))}\n")
        sys.stdout.flush()


def run(tasks_path: str, words: list[str]) -> object:
    """The exit status; the tasks are loaded anew, for invoke uses them up."""
    spec = importlib.util.spec_from_file_location("tasks_of_this_line", tasks_path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    program = Program(namespace=module.namespace)
    try:
        program.run(["invoke", *words])
    except SystemExit as end:
        return end.code or 0
    finally:
        if "ota_run" in program.config:
            program.config["ota_run"].end_turn()
    return 0


main(*sys.argv[1:])
