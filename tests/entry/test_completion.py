"""Completion in the shell: the words that come when somebody presses TAB, asked of the shells themselves."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ota.nouns import LISTED, NOUNS
from ota.settings.table import SETTINGS
from tests.project import REPOSITORY_PATH, Project

READS_SCRIPT = {
    "bash": "source <(invoke --print-completion-script bash)",
    "zsh": "source <(invoke --print-completion-script zsh)",
    "fish": "invoke --print-completion-script fish | source",
}
ASKS_FOR_EACH_LINE = {
    "bash": """
        complete -p invoke | grep -q _complete_invoke || exit 3
        while IFS= read -r line; do
            read -ra COMP_WORDS <<< "$line"
            [[ $line == *" " ]] && COMP_WORDS+=("")
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            COMPREPLY=()
            _complete_invoke invoke "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
            echo "${COMPREPLY[*]}"
        done
    """,
    "zsh": """
        while IFS= read -r line; do
            words=(${(z)line})
            _complete_invoke
            [[ $line == *" " ]] && part="" || part=$words[-1]
            print -r -- ${(M)reply:#$part*}
        done
    """,
    "fish": """
        while read --local line
            complete --do-complete $line | string split --fields 1 \\t | string join " "
        end
    """,
}
FLAGS = {"bash": ("--norc", "-c"), "zsh": ("-f", "-c"), "fish": ("--no-config", "-c")}
DELETING = {f"delete.{noun.delete_task}" for noun in NOUNS if noun.deleted}
LISTING = {f"list.{noun.list_task}" for noun in LISTED}
CASES = {
    "invoke sandbox ": {"all", "thing", "clean", "device", "with", "list", *DELETING},
    "invoke list.": {"list.all", *LISTING},
    "invoke with --thing-n": {"--thing-name"},
    "invoke sandbox with --thing-name lamp --role-": {"--role-prefix", "--role-settle-timeout-s"},
    "invoke delete.thing --": {"--force", "--name", "--prune", "--yes"},
}
EXACT = {line for line in CASES if not line.endswith(" ")}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A user's project, with the ``invoke`` of this Python first on the PATH."""
    project = Project(tmp_path_factory.mktemp("completion") / "project", {}, has_firmware=False)
    project.environ["PATH"] = f"{Path(sys.executable).parent}:{project.environ['PATH']}"
    return project


@pytest.mark.parametrize("shell", list(READS_SCRIPT))
def test_a_shell_completes_tasks_namespaces_and_flags(project: Project, shell: str) -> None:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run(
        [path, *FLAGS[shell], f"{READS_SCRIPT[shell]}\n{ASKS_FOR_EACH_LINE[shell]}"],
        input="".join(f"{line}\n" for line in CASES),
        cwd=project.root_path,
        env=project.environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    offered = dict(zip(CASES, (set(line.split()) for line in done.stdout.splitlines()), strict=True))
    for line, words in CASES.items():
        assert offered[line] >= words, line
        assert line not in EXACT or offered[line] == words, line


@pytest.mark.parametrize("line", READS_SCRIPT.values(), ids=list(READS_SCRIPT))
def test_the_page_of_the_tasks_has_the_line_for_each_shell(line: str) -> None:
    assert line in (REPOSITORY_PATH / "docs/tasks.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("shell", list(READS_SCRIPT))
def test_there_is_a_script_for_each_shell(project: Project, shell: str) -> None:
    script = project.run_here("--print-completion-script", shell).done().out
    assert "invoke --complete -- " in script or "--complete -- ${words}" in script


def completed(project: Project, *words: str) -> set[str]:
    """What the scripts ask invoke for."""
    return set(project.run_here("--complete", "--", "invoke", *words).done().out.split())


def test_every_setting_is_a_flag_that_completes(project: Project) -> None:
    flags = {f"--{name.replace('_', '-')}" for name in SETTINGS}
    assert completed(project, "with", "--") == {*flags, "--config-file"}


def test_after_a_flag_with_a_value_come_files(project: Project) -> None:
    """An empty answer is the shells' sign for the names of files."""
    assert completed(project, "with", "--config-file") == set()
    assert completed(project, "delete.thing", "--name") == set()


def test_after_a_flag_without_one_come_tasks(project: Project) -> None:
    assert completed(project, "delete.thing", "--yes") >= {"all", "list.things"}


def test_completing_needs_neither_settings_nor_credentials(project: Project) -> None:
    (project.root_path / "config.json").write_text("no JSON")
    assert completed(project, "thing", "clean", "--") == {
        "--all-certificates",
        "--force",
        "--json",
        "--local",
        "--plan",
    }
