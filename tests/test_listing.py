"""Listing and explaining the tasks: complete, and as quick as invoke itself."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.project import Project

HEAVY = ("boto3", "botocore", "moto", "rich", "cryptography", "dotenv", "ota.run", "ota.scope", "ota.sandbox")
TASKS = {
    "all", "bucket", "build", "clean", "policy", "role", "thing", "update",
    "sandbox.start", "sandbox.stop", "sandbox.reset", "sandbox.env",
}  # fmt: skip
MOST_TIMES_BARE_INVOKE = 1.2
BARE_TASKS = 'from invoke import task\n\n\n@task\ndef nothing(c):\n    """Do nothing."""\n'
LEAST_ROUNDS = 2
MOST_ROUNDS = 16


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
    """Processor time, for the clock on the wall also counts what else the machine does.

    The best of some rounds each: what disturbs a round only ever makes it longer. So rounds go on while the limit is
    missed, and a list that is really slower misses it in all of them.
    """
    (tmp_path / "tasks.py").write_text(BARE_TASKS)
    ours, bare = [], []
    for round_ in range(MOST_ROUNDS):
        bare.append(_listing_s(tmp_path, project.environ))
        ours.append(_listing_s(project.root_path, project.environ))
        if round_ + 1 >= LEAST_ROUNDS and min(ours) <= MOST_TIMES_BARE_INVOKE * min(bare):
            return
    pytest.fail(f"listing takes {min(ours):.3f} s, bare invoke {min(bare):.3f} s")


def _listing_s(folder: Path, environ: dict[str, str]) -> float:
    """Seconds of processor time of one ``invoke --list``."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "invoke", "--list"],
        cwd=folder,
        env=environ,
        check=True,
        capture_output=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
