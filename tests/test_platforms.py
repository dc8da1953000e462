"""On a system without POSIX every task works that needs neither the sandbox nor a POSIX shell; those two name WSL."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ota.sandbox.process import Address
from tests.project import REPOSITORY_PATH, TIMEOUT_S, Project, aws_project, built_tree

WINDOWS_PATH = Path(__file__).with_name("windows")
LINES = {
    "": (0, "delete.thing"),
    "--list": (0, "Show the tasks"),
    "init": (0, "config.json .*stays as it is"),
    "settings": (0, "thing_name +lamp"),
    "explain 0x000000e3": (0, "OtaPalSignatureCheckFailed"),
    "permissions": (0, '"Statement"'),
    "doctor": (0, "the sandbox does not run on this system: use WSL"),
    "plan": (0, "update +create"),
    "thing policy bucket role": (0, "certificate +created"),
    "all": (0, "update +created"),
    "all status": (3, "update +reused"),
    "verify": (0, "ok"),
    "watch --timeout=0.1": (3, "lamp +QUEUED"),
    "list list.things list.jobs": (0, "lamp"),
    "clean --plan": (0, "delete"),
    "delete.update --name lamp_update --force delete.role --name lamp_role": (0, "role +deleted"),
    "delete.bucket --name lamp-ota-123456789012 --force": (0, "bucket +deleted"),
    "delete.thing --name lamp --prune": (0, "deleted"),
    "clean --local": (0, "Proven"),
    "sandbox device": (1, "The sandbox needs Linux or macOS. On Windows, run it in WSL: `wsl --install`"),
    "sandbox.stop": (1, "WSL"),
    "sandbox.reset": (1, "WSL"),
    "with --skip-build false build": (1, "needs a POSIX shell: on Windows, run it in WSL"),
}


@pytest.fixture
def project(tmp_path: Path, clean_sandbox: Address, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = aws_project(tmp_path / "project", clean_sandbox, iam_role_name="lamp_role", overwrite_header="true")
    project.put_image(built_tree(tmp_path_factory.getbasetemp()))
    return project


def on_windows(project: Project, *words: str) -> str:
    """What Python prints with these arguments."""
    environ = {**project.environ, "PYTHONPATH": f"{WINDOWS_PATH}{os.pathsep}{REPOSITORY_PATH}"}
    done = subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", *words],
        cwd=project.root_path, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout, done.stdout
    return done.stdout


def test_every_task_works_without_posix_or_names_wsl(project: Project) -> None:
    shown = on_windows(project, str(WINDOWS_PATH / "run_lines.py"), str(REPOSITORY_PATH / "tasks.py"), *LINES)
    found = re.findall(r"^=== (.*)\n((?:(?!=== ).*\n)*)=== exit (.*)$", shown, re.MULTILINE)
    assert [line for line, _, _ in found] == list(LINES)
    for line, text, status in found:
        expected_status, words = LINES[line]
        assert (int(status), bool(re.search(words, text))) == (expected_status, True), f"{line}\n{text}"
    assert not re.findall(rf"{re.escape(str(REPOSITORY_PATH))}\S+EncodingWarning.*", shown)


LOCKS = """
from pathlib import Path

from ota.device.flash import Flash, is_in_use
from ota.errors import DeviceFailed
from ota.locks import StillHeld, is_locked, take_lock_file

path = Path("lock")
lock = take_lock_file(path, print, 0)
assert lock.descriptors and not lock.inheritable
assert is_locked(path)
try:
    take_lock_file(path, lambda _: None, 0)
except StillHeld as held:
    assert held.holder.pid and held.holder.is_alive
else:
    raise AssertionError("two have it")
lock.release()
assert not is_locked(path)
take_lock_file(path, print, 0).release()

with Flash(Path(".device/lamp")) as flash:
    flash.assign_certificate("c", is_fresh=True)
    assert is_in_use(flash.folder_path)
    try:
        Flash(flash.folder_path).__enter__()
    except DeviceFailed:
        pass
    else:
        raise AssertionError("two devices are one")
assert not is_in_use(flash.folder_path)
"""


def test_a_lock_is_held_without_posix(project: Project) -> None:
    on_windows(project, "-c", LOCKS)


SCRIPT_ENDS = """
import sys
import time
from pathlib import Path

from ota.firmware.scripts import run_script

begun = time.monotonic()


def interrupt(line):
    raise KeyboardInterrupt


program = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(60)"]
try:
    run_script(program, Path(), {}, log_path=Path("build.log"), on_line=interrupt)
except KeyboardInterrupt:
    assert time.monotonic() - begun < 30
else:
    raise AssertionError("not interrupted")
assert "(ended early)" in Path("build.log").read_text(encoding="utf-8")
"""


def test_an_interrupted_build_ends_without_process_groups(project: Project) -> None:
    on_windows(project, "-c", SCRIPT_ENDS)
