"""The sandbox's process: one for a directory, found by its address file, ended without harm to others."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ota.sandbox import process
from ota.sandbox.errors import SandboxError
from ota.sandbox.process import Address
from tests.conftest import client
from tests.sandbox_control import Control

ROOT = Path(process.__file__).resolve().parents[2]


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory whose sandbox, if any, is ended after the test."""
    where = tmp_path / "a folder" / ".sandbox"
    yield where
    if where.exists():
        process.stop(where)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition: Callable[[], bool], timeout_s: float = 15.0) -> bool:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_start_writes_an_address_that_works_and_stop_ends_it(directory: Path) -> None:
    address = process.start(directory, pause_s=0, region="us-west-2")
    written = json.loads((directory / "address.json").read_text())
    assert list(written) == ["endpoint_url", "region", "mqtt_host", "mqtt_port", "ca_path", "pid"]
    assert Address(**written) == address == process.read_address(directory)
    assert address.endpoint_url.startswith("http://127.0.0.1:")
    assert address.region == "us-west-2"
    assert Path(address.ca_path).read_text().startswith("-----BEGIN CERTIFICATE-----")
    assert client("iot", address).list_things()["things"] == []
    assert process.stop(directory) is True
    assert wait_until(lambda: not is_alive(address.pid))
    assert process.read_address(directory) is None
    assert process.stop(directory) is False


def test_key_of_the_ca_is_private(directory: Path) -> None:
    process.start(directory)
    assert stat.S_IMODE((directory / "ca.key").stat().st_mode) == 0o600


def test_second_start_reuses_the_running_process(directory: Path) -> None:
    first = process.start(directory)
    client("iot", first).create_thing(thingName="a")
    assert process.start(directory, pause_s=9) == first
    assert len(client("iot", first).list_things()["things"]) == 1


def test_starts_at_once_yield_one_process(directory: Path) -> None:
    script = f"from ota.sandbox import process; print(process.start({str(directory)!r}).pid)"
    run = lambda _: subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)  # noqa: E731
    with ThreadPoolExecutor(3) as pool:
        pids = {done.stdout.strip() for done in pool.map(run, range(3))}
    assert len(pids) == 1


def test_second_process_for_a_directory_gives_way(directory: Path) -> None:
    process.start(directory)
    command = [sys.executable, "-m", "ota.sandbox", "--directory", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=30)
    assert done.returncode == process.GAVE_WAY_STATUS
    assert "Another sandbox serves" in done.stderr


def test_start_works_from_any_folder_and_whatever_lies_in_it(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "ota").mkdir()
    (tmp_path / "ota" / "__init__.py").write_text("raise SystemExit('the wrong package')")
    (tmp_path / "flask.py").write_text("raise SystemExit('the wrong module')")
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        f"from ota.sandbox import process; print(process.start({str(directory)!r}).pid)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stdout.strip() == str(process.read_address(directory).pid), done.stderr  # type: ignore[union-attr]


def test_settings_of_the_user_do_not_reach_the_process(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    monkeypatch.setenv("MOTO_ACCOUNT_ID", "999999999999")
    address = process.start(directory)
    monkeypatch.delenv("AWS_PROFILE")
    assert client("sts", address).get_caller_identity()["Account"] == "123456789012"


def test_start_takes_under_two_seconds_of_work(directory: Path) -> None:
    """Processor time, for the machine may have other work."""
    assert Control(process.start(directory)).health()["cpu_s"] < 2.0


def test_importing_the_starter_is_light() -> None:
    script = (
        "import sys, ota.sandbox.process\n"
        "print([name for name in ('moto', 'boto3', 'botocore', 'flask', 'werkzeug', 'cryptography') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_process_ends_by_itself_when_nobody_calls(directory: Path) -> None:
    address = process.start(directory, idle_s=0.5)
    assert wait_until(lambda: not is_alive(address.pid))
    assert process.read_address(directory) is None
    assert process.start(directory).pid != address.pid


def test_process_stays_while_it_is_called(directory: Path) -> None:
    address = process.start(directory, idle_s=1.0)
    control = Control(address)
    for _ in range(8):
        control.health()
        time.sleep(0.25)
    assert is_alive(address.pid)


def test_killed_process_is_replaced(directory: Path) -> None:
    address = process.start(directory)
    os.kill(address.pid, signal.SIGKILL)
    assert wait_until(lambda: not is_alive(address.pid))
    assert process.start(directory).pid != address.pid


def test_lost_address_file_comes_back(directory: Path) -> None:
    address = process.start(directory, idle_s=60)
    (directory / "address.json").unlink()
    assert process.start(directory) == address


def test_process_ends_when_its_folder_is_gone(directory: Path) -> None:
    address = process.start(directory)
    shutil.rmtree(directory)
    assert wait_until(lambda: not is_alive(address.pid))


def test_stop_ends_nobody_else_when_the_number_in_the_file_is_a_strangers(directory: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        address = process.start(directory)
        process.write_address(directory, Address(**{**address.__dict__, "pid": stranger.pid}))
        assert process.stop(directory) is False
        assert stranger.poll() is None
        os.kill(address.pid, signal.SIGTERM)
    finally:
        stranger.kill()
        stranger.wait()


def test_stop_leaves_the_sandbox_of_another_directory_alone(directory: Path, tmp_path: Path) -> None:
    address = process.start(directory)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    process.write_address(elsewhere, address)
    assert process.stop(elsewhere) is False
    assert is_alive(address.pid)


@pytest.mark.parametrize("content", ["", "{", "{}", "[1]", '{"pid": 1}'])
def test_broken_address_file_counts_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "address.json").write_text(content)
    assert process.read_address(tmp_path) is None


def test_reset_forgets_everything(directory: Path) -> None:
    address = process.start(directory)
    client("iot", address).create_thing(thingName="a")
    process.reset(directory)
    assert client("iot", address).list_things()["things"] == []


def test_reset_without_a_sandbox_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="No sandbox is running"):
        process.reset(tmp_path)


def test_missing_moto_is_said_with_the_remedy(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "moto.py").write_text("raise ModuleNotFoundError(\"No module named 'moto'\")")
    start_from(broken, monkeypatch)
    with pytest.raises(SandboxError, match=r"pip install '\.\[sandbox\]'"):
        process.start(directory)


def test_failed_start_shows_the_end_of_the_log(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "flask.py").write_text("raise ValueError('flask is broken here')")
    start_from(broken, monkeypatch)
    with pytest.raises(SandboxError, match="flask is broken here"):
        process.start(directory)


def test_start_that_never_serves_is_given_up(directory: Path) -> None:
    with pytest.raises(SandboxError, match=r"did not serve within 0\.05 s"):
        process.start(directory, timeout_s=0.05, poll_s=0.01)


def start_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let modules of ``folder`` hide the installed ones from the sandbox's process."""
    (folder / "sitecustomize.py").write_text(f"import sys; sys.path.insert(0, {str(folder)!r})")
    monkeypatch.setenv("PYTHONPATH", str(folder))
