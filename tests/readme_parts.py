"""The parts of README.md and docs/ that are made from the code and from real runs, and the program that writes them.

``python -m tests.readme_parts`` rewrites every part that is stale, in each page that has it, between two comments:
``<!-- begin NAME -->`` and ``<!-- end NAME -->``. ``tests/test_readme.py`` fails while a part is stale. What differs
from run to run (a port, an id, a hash) is masked for the comparison, so that a new run alone changes nothing.
The operator's policy and the role's boundary are files of their own, ready to be pasted, beside the page that explains
them.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import tasks
from ota.device.faults import FAULTS
from ota.device.refusals import CAUSES
from ota.look.operator_policy import EXTRAS, GRANTS, PolicyScope, boundary_document, operator_policy_document
from ota.settings.table import ArmSettings, DeclaredSettings, rows_of
from tests.project import REPOSITORY_PATH, TIMEOUT_S, Project

if TYPE_CHECKING:
    from invoke.collection import Collection
    from invoke.tasks import Task

Shell: TypeAlias = Callable[[Project, str], tuple[int, str]]

README_PATH = REPOSITORY_PATH / "README.md"
DEVICE_PAGE_PATH = REPOSITORY_PATH / "docs/device.md"
POLICY_PATH = REPOSITORY_PATH / "docs/operator-policy.json"
BOUNDARY_PATH = REPOSITORY_PATH / "docs/boundary-policy.json"
PAGE_PATHS = (README_PATH, *sorted((REPOSITORY_PATH / "docs").glob("*.md")))
BEGIN = re.compile(r"^<!-- begin ([\w-]+) -->$", re.MULTILINE)
EXAMPLE_SCOPE = PolicyScope("aws", "eu-west-1", "123456789012", thing_name="lamp-*")
MARKS = ("<!-- begin {name} -->\n", "<!-- end {name} -->")
CHAIN = ("thing", "policy", "bucket", "role", "build", "update", "all", "clean")
LINE_CHARS = 110
MASKS = (
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:PORT"),
    (re.compile(r"\b[0-9a-f]{12}…"), "ID…"),
    (re.compile(r"\bsha256 [0-9a-f]{12}"), "sha256 HASH"),
    (re.compile(r"\b[a-z0-9]{14}-ats\."), "ENDPOINT-ats."),
    (re.compile(r"(?:^\S+: loaded [\d,]+ of .*\n)+", re.MULTILINE), "LOADED\n"),
    (re.compile(r"\bin \d+\.\d s\b"), "in SECONDS"),
    (re.compile(r"\b[\d.]+ a second\b"), "RATE a second"),
    (re.compile(r"^playing devices, \d+ s.*\n", re.MULTILINE), ""),
    (re.compile(r"\b(?:just now|\d+ s ago)\b"), "AGO"),
)
TYPED = {
    "run": ("sandbox all", "sandbox all", "sandbox clean"),
    "chain": ("sandbox bucket role list.roles --mine",),
    "plan": ("sandbox plan",),
    "device": ("sandbox device", "sandbox status"),
    "fleet": ("sandbox device --count 20", "sandbox watch --report rollout.html"),
}
BEFORE = {"device": "sandbox all", "fleet": "sandbox with --device-key-type EC-P256 register --count 20 all"}
MISTAKES = (
    "all",
    "sandbox with --hash-algorithm SHA-256 update",
    "sandbox with --bucket-name My_Images bucket",
    "sandbox with --policy-name '$<thing>_policy' policy",
)


def main() -> None:
    POLICY_PATH.parent.mkdir(exist_ok=True)
    for path, text in policy_files().items():
        path.write_text(f"{text}\n", encoding="utf-8")
    parts = fresh_parts()
    for path in PAGE_PATHS:
        page = path.read_text(encoding="utf-8")
        for name in BEGIN.findall(page):
            if is_stale(part_of(page, name), parts[name]):
                page = with_part(page, name, parts[name])
                sys.stdout.write(f"{path.name}: {name}\n")
        path.write_text(page, encoding="utf-8")


def fresh_parts() -> dict[str, str]:
    """Every part by its name, as it has to be now."""
    return {name: make() for name, make in QUICK_PARTS.items()} | run_parts()


def run_parts(run: Shell | None = None) -> dict[str, str]:
    """The parts that show real command lines with all that they print; run in a project of its own.

    ``run`` types a line, all but the first steps', which only a real shell does.
    """
    run = run or run_shell
    with tempfile.TemporaryDirectory() as folder, _project(Path(folder) / "ota-tasks") as project:
        shown = {}
        for name, commands in TYPED.items():
            if name in BEFORE:
                run(project, f"invoke {BEFORE[name]}")
            shown[name] = _session(project, commands, 0, run_shell if name == "run" else run)
        return {**shown, "mistakes": _session(project, MISTAKES, 1, run)}


def part_of(page: str, name: str) -> str:
    """The text that stands between the marks; ValueError where they are not there once."""
    begin, end = MARKS[0].format(name=name), MARKS[1].format(name=name)
    if (page.count(begin), page.count(end)) != (1, 1):
        raise ValueError(f"the page must have {begin.strip()} and {end} once each")
    return page.partition(begin)[2].partition(end)[0].rstrip("\n")


def with_part(page: str, name: str, text: str) -> str:
    """The page with this text in that part."""
    begin, end = MARKS[0].format(name=name), MARKS[1].format(name=name)
    before, _, rest = page.partition(begin)
    return f"{before}{begin}{text}\n{end}{rest.partition(end)[2]}"


def is_stale(written: str, fresh: str) -> bool:
    """Whether the two differ in more than what differs from run to run."""
    return masked(written) != masked(fresh)


def masked(text: str) -> str:
    """The text with a word in place of each port, id and hash."""
    for pattern, word in MASKS:
        text = pattern.sub(word, text)
    return text


def run_shell(project: Project, line: str) -> tuple[int, str]:
    """Exit status of one line typed into a shell in the project, and all that it shows."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{project.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=project.root_path,
        env={**project.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert "Traceback" not in done.stdout, done.stdout
    return done.returncode, done.stdout


def run_here(project: Project, line: str) -> tuple[int, str]:
    """The same of a line that only calls invoke, in this process."""
    out = io.StringIO()
    status = project.run_into(out, out, *shlex.split(line)[1:])
    assert "Traceback" not in out.getvalue(), out.getvalue()
    return status, out.getvalue()


def chain_table() -> str:
    """The tasks that set up and take down, in their order."""
    listed = tasks.namespace.task_names
    assert set(CHAIN) <= set(listed)
    rows = [(f"`{name}`", _needs(tasks.namespace[name]), _sentence(tasks.namespace[name])) for name in CHAIN]
    return _table(("task", "needs first", "does"), rows)


def other_table() -> str:
    """All other tasks, with the name by which one is also known."""
    names = [name for name in tasks.namespace.task_names if name not in CHAIN]
    rows = [(_spoken(name), _sentence(tasks.namespace[name])) for name in names]
    return _table(("task", "does"), sorted(rows))


def settings_table() -> str:
    """Every setting with its default and its meaning."""
    return "\n\n".join(
        [
            "Those of Arm's settings file:",
            _settings_rows(ArmSettings),
            "And those that are new here:",
            _settings_rows(DeclaredSettings),
        ]
    )


def policy_files() -> dict[Path, str]:
    """The documents for things by the name lamp-…, one line for each list."""
    return {
        POLICY_PATH: _compact(operator_policy_document(EXAMPLE_SCOPE)),
        BOUNDARY_PATH: _compact(boundary_document(EXAMPLE_SCOPE)),
    }


def grants_table() -> str:
    """Every statement with its actions."""
    rows = [(f"`{one.sid}`", " ".join(f"`{action}`" for action in one.actions)) for one in GRANTS]
    return _table(("statement", "actions"), rows)


def extras_table() -> str:
    """What ``--also`` adds, and what it comes to."""
    rows = [(f"`{one.name}`", one.for_, f"{one.reach}") for one in EXTRAS]
    return _table(("`--also`", "needed for", "its holder"), rows)


def _settings_rows(declared: type) -> str:
    rows = [(f"`{row.name}`", f"`{row.default}`" if row.default else "", row.meaning) for row in rows_of(declared)]
    return _table(("setting", "default", "meaning"), rows)


def _needs(task: Task[Any]) -> str:
    listed = set(tasks.namespace.task_names)
    return " ".join(f"`{one.name}`" for one in task.pre if one.name in listed)


def _sentence(task: Task[Any]) -> str:
    return (task.__doc__ or "").splitlines()[0]


def _spoken(name: str) -> str:
    """``sandbox.start`` is what ``sandbox`` alone means, too."""
    folder, _, last = name.partition(".")
    collections: dict[str, Collection] = tasks.namespace.collections
    if folder in collections and collections[folder].default == last:
        return f"`{folder}`"
    return f"`{name}`"


def _table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(titles), *(list(row) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _fenced(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"


def _compact(document: dict[str, Any]) -> str:
    """JSON with a line for each member of a statement, and lists on as few lines as fit."""
    statements = ",\n".join(_statement(one) for one in document["Statement"])
    return f'{{"Version": "{document["Version"]}", "Statement": [\n{statements}\n]}}'


def _statement(statement: dict[str, Any]) -> str:
    members = [f'"{key}": {_value(value)}' for key, value in statement.items()]
    head = ", ".join(members[:2])
    return " {" + ",\n  ".join([head, *members[2:]]) + "}"


def _value(value: Any) -> str:
    whole = json.dumps(value)
    if not isinstance(value, list) or len(whole) <= LINE_CHARS:
        return whole
    lines = [""]
    for item in (json.dumps(one) for one in value):
        if len(lines[-1]) + len(item) > LINE_CHARS:
            lines.append("")
        lines[-1] += f"{item}, "
    return "[" + "\n    ".join(line.rstrip() for line in lines).rstrip(",") + "]"


def _session(project: Project, commands: Iterable[str], wanted_status: int, run: Shell) -> str:
    """What a terminal shows of these commands, each of which must end with this exit status."""
    shown = []
    for command in commands:
        status, text = run(project, f"invoke {command}")
        assert status == wanted_status, text
        shown.append(f"$ invoke {command}\n{text.replace(str(project.root_path), '~/ota-tasks').rstrip()}")
    return _fenced("", "\n".join(shown))


@contextmanager
def _project(folder: Path) -> Iterator[Project]:
    project = Project(folder, {}, has_firmware=False)
    try:
        yield project
    finally:
        project.run("sandbox.stop")


def refusals_table() -> str:
    """What is missing, where a device meets it, and what it notices."""
    rows = [(_missing(row.missing), row.stage.value, row.symptom.value) for row in CAUSES]
    return _table(("missing", "the device is", "it notices"), rows)


def _missing(text: str) -> str:
    action, on, resource = text.partition(" on ")
    return f"`{action}` on `{resource}`" if on else text


def faults_table() -> str:
    """What ``--fault`` plays, and what the cloud shows then."""
    return _table(("fault", "what happens", "the cloud shows"), [(f"`{f.name}`", f.happens, f.shows) for f in FAULTS])


QUICK_PARTS: dict[str, Callable[[], str]] = {
    "refusals-table": refusals_table,
    "faults-table": faults_table,
    "chain-table": chain_table,
    "other-table": other_table,
    "settings-table": settings_table,
    "extras-table": extras_table,
    "grants-table": grants_table,
}

if __name__ == "__main__":
    main()
