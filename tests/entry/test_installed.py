"""The built wheel in an empty environment: with `ota`, with `invoke ota.…`, and what both need around them.

The wheel is built as pip does, without network, and installed into a folder of its own. Python runs isolated from this
repository; the other packages come from the environment of the tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.entry.test_listing import check_cost
from tests.project import REPOSITORY_PATH, TIMEOUT_S, Result, shared_folder

VERSION = "0.1.0"
BUILT_FROM = ("setup.py", "MANIFEST.in", "pyproject.toml", "README.md", "LICENSE", "tasks.py", "env.example")
OWN_TASKS = """
from invoke import Collection, task
from ota.tasks import namespace


@task
def deploy(c):
    \"\"\"Something of the user's.\"\"\"


ns = Collection(deploy)
ns.add_collection(namespace, name="ota")
"""


@dataclass(frozen=True)
class Installed:
    """Programs of an environment with the wheel in it, run in a user's own repository."""

    programs_path: Path
    repository_path: Path
    environ: dict[str, str]

    def run(self, line: str, folder: str = ".") -> Result:
        program, *words = line.split()
        done = subprocess.run(
            [self.programs_path / program, *words],
            cwd=self.repository_path / folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def write(self, name: str, text: str) -> None:
        (self.repository_path / name).write_text(text, encoding="utf-8")

    def untracked(self) -> set[str]:
        """What git would add."""
        done = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=all"],
            cwd=self.repository_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return {line[3:] for line in done.stdout.splitlines()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``source``, a copy of what the wheel is built from, ``dist`` and the environment ``installed``."""
    return shared_folder(tmp_path_factory.getbasetemp(), "installed", build)


def build(folder: Path) -> None:
    source = folder / "source"
    source.mkdir(parents=True)
    for name in BUILT_FROM:
        shutil.copy(REPOSITORY_PATH / name, source / name)
    shutil.copytree(REPOSITORY_PATH / "ota", source / "ota", ignore=shutil.ignore_patterns("__pycache__"))
    pip("wheel", "--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", str(folder / "dist"), str(source))
    make_environment(folder / "installed", wheel_in(folder))


def wheel_in(folder: Path) -> Path:
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


@pytest.fixture
def installed(built: Path, tmp_path: Path) -> Iterator[Installed]:
    """The programs, and a repository that has nothing of this tool but what it needs."""
    programs, repository_path = built / "installed/bin", tmp_path / "firmware"
    (repository_path / "src/drivers").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(repository_path)], check=True)
    environ = {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "AWS_EC2_METADATA_DISABLED": "true",
        "OTA_SANDBOX_PAUSE_S": "0",
    }
    made = Installed(programs, repository_path, environ)
    yield made
    if (repository_path / ".sandbox").exists():
        made.run("ota sandbox.stop").done()


def make_environment(folder: Path, requirement: Path, *flags: str) -> Path:
    """A new environment with this installed and with the packages of this one; its folder of programs."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin/python"
    (packages,) = folder.glob("lib/python3*/site-packages")
    for name in ("invoke", "inv"):
        script = Path(sysconfig.get_path("scripts")) / name
        (folder / "bin" / name).write_text(f"#!{python}\n{script.read_text().partition(chr(10))[2]}")
        (folder / "bin" / name).chmod(0o755)
    # No .pth files are read from there, so an editable install of this tool is not found.
    (packages / "packages.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    pip("--python", str(python), "install", "--no-deps", "--no-index", "--no-build-isolation", *flags, str(requirement))
    return folder / "bin"


def pip(*words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *words],
        capture_output=True, text=True, check=False, timeout=TIMEOUT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_wheel_has_the_tasks_in_the_package_alone(built: Path) -> None:
    names = set(zipfile.ZipFile(wheel_in(built)).namelist())
    assert {"ota/tasks.py", "ota/env.example"} <= names
    assert {name.partition("/")[0] for name in names} == {"ota", f"ota_tasks-{VERSION}.dist-info"}


def test_all_three_ways_lead_to_the_same_project(installed: Installed) -> None:
    """And what the messages name begins as it was typed."""
    installed.run("ota init --thing-name lamp").done()
    first = installed.run("ota sandbox all", "src/drivers").done()
    assert ("update", "created") in first.verbs
    assert "`ota sandbox device`" in first.out
    assert "invoke" not in first.text
    installed.write("tasks.py", OWN_TASKS)
    again = installed.run("invoke deploy ota.sandbox ota.all", "src/drivers").done()
    assert {verb for _, verb in again.verbs} == {"reused"}
    assert "`invoke ota.sandbox ota.device`" in again.out
    assert installed.untracked() == {"config.json", ".env", "tasks.py"}, "keys are not for git"
    installed.write("tasks.py", (REPOSITORY_PATH / "tasks.py").read_text(encoding="utf-8"))
    again = installed.run("invoke sandbox all", "src/drivers").done()
    assert {verb for _, verb in again.verbs} == {"reused"}
    assert "`invoke sandbox device`" in again.out


@pytest.mark.parametrize(
    ("tasks", "line", "words"),
    [
        ("", "ota bucket", ["firmware/config.json does not exist", "`ota init`"]),
        (OWN_TASKS, "invoke ota.bucket", ["firmware/config.json does not exist", "`invoke ota.init`"]),
        ("", "ota bucket sandbox", ["`sandbox` comes first", "right order: `ota sandbox bucket`"]),
        (OWN_TASKS, "invoke ota.bucket deploy ota.with --bucket-name b-2",
         ["`ota.with` comes first", "right order: `invoke ota.with --bucket-name=b-2 ota.bucket deploy`"]),
        (OWN_TASKS, "invoke ota.delete", ["`invoke ota.delete.bucket`", "`invoke --help ota.delete.thing`"]),
        ("", "ota delete", ["`ota delete.bucket`", "`ota --help delete.thing`"]),
    ],
    ids=lambda one: one if isinstance(one, str) and "\n" not in one else None,
)  # fmt: skip
def test_a_command_in_a_message_is_the_users(installed: Installed, tasks: str, line: str, words: list[str]) -> None:
    if tasks:
        installed.write("tasks.py", tasks)
    installed.run(line, "src" if tasks else ".").failed(*words)


def test_the_namespace_shows_its_tasks(installed: Installed) -> None:
    installed.write("tasks.py", OWN_TASKS)
    shown = installed.run("invoke ota").done().out
    assert "\nota.delete.thing " in shown
    assert "\nota.sandbox " in shown


def test_the_program_tells_about_itself(installed: Installed) -> None:
    assert installed.run("ota --version").done().out == f"ota {VERSION}\n"
    tasks = installed.run("ota").done().out
    assert "\nsandbox.stop " in tasks
    assert "invoke" not in tasks
    assert "invoke" not in installed.run("ota --list").done().out
    assert "Usage: ota [--core-opts]" in installed.run("ota --help").done().out
    assert "Usage: ota [--core-opts] with" in installed.run("ota --help with").done().out
    assert "complete -F _complete_ota" in installed.run("ota --print-completion-script bash").done().out
    assert {"all", "sandbox.env"} <= set(installed.run("ota --complete -- ota sandbox").done().out.split())


def test_listing_with_the_program_costs_little_more_than_invoke_itself(installed: Installed, tmp_path: Path) -> None:
    ours = [str(installed.programs_path / "ota"), "--list"]
    bare = [str(installed.programs_path / "invoke"), "--list"]
    check_cost(ours, installed.repository_path, bare, tmp_path, installed.environ)


def test_an_editable_install_imports_the_tasks_where_they_are(built: Path, tmp_path: Path) -> None:
    source = built / "source"
    programs = make_environment(tmp_path / "editable", source, "-e")
    shown = subprocess.run(
        [programs / "python", "-c", "import ota, ota.tasks; print(ota.__file__, ota.tasks.__file__)"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert shown.stdout.split() == [str(source / "ota/__init__.py"), str(source / "tasks.py")]
    done = subprocess.run([programs / "ota", "--version"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"ota {VERSION}\n"
