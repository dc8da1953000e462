"""Listing and explaining the tasks: complete, and as quick as invoke itself."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from ota.nouns import LISTED, NOUNS
from tests.project import Project

HEAVY = ("boto3", "botocore", "moto", "rich", "cryptography", "dotenv", "ota.run", "ota.scope", "ota.sandbox")
TASKS = {
    "all", "clean", "sandbox.start", "sandbox.stop", "sandbox.reset", "sandbox.env",
    *(noun.task for noun in NOUNS if noun.task),
    *(f"list.{noun.list_task}" for noun in LISTED),
    *(f"delete.{noun.delete_task}" for noun in NOUNS if noun.deleted),
}  # fmt: skip
MOST_TIMES_BARE_INVOKE = 1.2
BARE_TASKS = 'from invoke import task\n\n\n@task\ndef nothing(c):\n    """Do nothing."""\n'
LEAST_ROUNDS = 2
MOST_ROUNDS = 24


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("listing") / "project", {}, has_firmware=False)


@pytest.fixture(scope="module")
def listed(project: Project) -> dict[str, str]:
    """Task to sentence, as ``invoke --list -F json`` tells them."""
    tree: dict[str, Any] = json.loads(project.run("--list", "-F", "json").done().out)
    found = {task["name"]: task["help"] for task in tree["tasks"]}
    for collection in tree["collections"]:
        found |= {f"{collection['name']}.{task['name']}": task["help"] for task in collection["tasks"]}
    return found


def test_every_task_is_listed_with_one_sentence(listed: dict[str, str]) -> None:
    assert listed.keys() >= TASKS
    for name, sentence in listed.items():
        assert re.fullmatch(r"[A-Z][^\n]{20,150}(\.|:[^\n]+)", sentence), f"{name}: {sentence!r}"
        # Something is said after the sentence's own first words, and it is one sentence.
        assert ". " not in sentence, f"{name}: {sentence!r}"


def test_the_plain_list_shows_the_same(project: Project, listed: dict[str, str]) -> None:
    shown = project.run("--list", COLUMNS="200").done().out
    rows = dict(re.findall(r"^  (\S+)(?: \(\S+\))? {2,}(\S.*)$", shown, re.MULTILINE))
    assert set(rows) == set(listed)
    plain = re.sub(r"\s+", "", shown)
    assert [name for name, sentence in listed.items() if re.sub(r"\s+", "", sentence) not in plain] == []


def test_no_step_that_nobody_asks_for_by_name_is_listed(listed: dict[str, str]) -> None:
    assert "head-start" not in listed


def test_every_task_explains_itself(project: Project, listed: dict[str, str]) -> None:
    for name, sentence in listed.items():
        shown = project.run_here("--help", name).done().out
        assert re.match(rf"Usage: \S+ \[--core-opts\] {re.escape(name)} ", shown)
        assert re.sub(r"\s+", "", sentence) in re.sub(r"\s+", "", shown)


def test_flags_of_clean_are_explained(project: Project) -> None:
    shown = project.run_here("--help", "clean").done().out
    assert re.search(r"--force\s+\S", shown)
    assert re.search(r"--local\s+\S", shown)


@pytest.mark.parametrize("arguments", [("--list",), ("--list", "-F", "json"), ("--help", "all")], ids=" ".join)
def test_looking_at_the_tasks_imports_nothing_heavy(project: Project, arguments: tuple[str, ...]) -> None:
    program = (
        "import sys\nfrom invoke.main import program\n"
        f"try:\n    program.run(['invoke', *{arguments!r}])\nexcept SystemExit as end:\n    assert not end.code\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)\n"
        "assert not sys.dont_write_bytecode, 'the next run would compile everything anew'"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=project.root_path, env=project.environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    imported = done.stderr.split()
    assert "ota.nouns" in imported
    assert [name for name in imported if name.startswith(HEAVY)] == []


def test_listing_leaves_no_trace(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", {}, has_firmware=False)
    before = sorted(project.root_path.iterdir())
    project.run("--list").done()
    assert [path for path in sorted(project.root_path.iterdir()) if path.name != "__pycache__"] == before


def test_listing_costs_little_more_than_invoke_itself(project: Project, tmp_path: Path) -> None:
    listing = [sys.executable, "-m", "invoke", "--list"]
    check_cost(listing, project.root_path, listing, tmp_path, project.environ)


def check_cost(
    command: list[str], folder: Path, bare_command: list[str], bare_folder: Path, environ: dict[str, str]
) -> None:
    """Processor time of a list beside that of invoke's with one task; the clock also counts what else goes on here.

    The best of some rounds each, for what disturbs a round only ever makes it longer; or what most rounds say where the
    machine itself was faster for a while. Rounds go on while the limit is missed, and a list that is really slower
    misses it both ways in all of them.
    """
    (bare_folder / "tasks.py").write_text(BARE_TASKS)
    environ = {**environ, "PYTHONPYCACHEPREFIX": str(bare_folder / "compiled")}  # the checkout may be read-only
    _cpu_s(bare_command, bare_folder, environ), _cpu_s(command, folder, environ)  # these compile
    ours, bare = [], []
    for round_ in range(MOST_ROUNDS):
        bare.append(_cpu_s(bare_command, bare_folder, environ))
        ours.append(_cpu_s(command, folder, environ))
        if round_ + 1 >= LEAST_ROUNDS and min(ours) <= MOST_TIMES_BARE_INVOKE * min(bare):
            return
    if median(one / other for one, other in zip(ours, bare, strict=True)) <= MOST_TIMES_BARE_INVOKE:
        return
    pytest.fail(f"listing takes {min(ours):.3f} s, bare invoke {min(bare):.3f} s")


def _cpu_s(command: list[str], folder: Path, environ: dict[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, env=environ, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
