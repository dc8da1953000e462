"""The sandbox's process: one for a directory, found by its address file, ended without harm to others.

Starting one is most of what these tests cost, so they share a directory: ``running`` is its sandbox, started where the
test before has ended it.
"""

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
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from ota.sandbox import process
from ota.sandbox.moto import authority
from ota.sandbox.process import Address, SandboxError, locks
from ota.sandbox.process.lifecycle import ALREADY_SERVED_STATUS
from tests.conftest import client
from tests.sandbox_control import Control

ROOT = Path(process.__file__).resolve().parents[3]
PRINT_PID = "from ota.sandbox import process; print(process.start({!r}).pid)"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory that these tests share."""
    where = tmp_path_factory.mktemp("a folder") / ".sandbox"
    yield where
    process.stop(where)


@pytest.fixture
def running(place: Path) -> Address:
    """Its sandbox; a test may end or damage it."""
    return process.start(place, pause_s=0, region="us-west-2")


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory of the test's own, whose sandbox, if any, is ended after the test."""
    where = tmp_path / ".sandbox"
    yield where
    process.stop(where)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent, whoever that is, does not."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return not Path("/proc/self").exists()  # gone meanwhile; or a system without /proc


def wait_until(condition: Callable[[], bool], timeout_s: float = 15.0) -> bool:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def run_python(script: str, **options: Any) -> subprocess.CompletedProcess[str]:
    options = {"cwd": ROOT, **options}
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, **options)


# One process for a directory


def test_the_address_file_says_where_it_serves(running: Address, place: Path) -> None:
    written = json.loads((place / "address.json").read_text())
    assert list(written) == ["endpoint_url", "region", "mqtt_host", "mqtt_port", "ca_path", "pid", "secret"]
    assert stat.S_IMODE((place / "address.json").stat().st_mode) == 0o600
    assert running.secret not in repr(running)
    assert Address(**written) == running == process.read_address(place)
    assert running.endpoint_url.startswith("http://127.0.0.1:")
    assert running.region == "us-west-2"
    assert Path(running.ca_path).read_text().startswith("-----BEGIN CERTIFICATE-----")
    assert client("iot", running).list_things()["things"] == []


def test_key_of_the_ca_is_private(running: Address, place: Path) -> None:
    assert running.ca_path == str(place / "ca.pem")
    assert stat.S_IMODE((place / "ca.key").stat().st_mode) == 0o600


def test_second_start_reuses_the_running_process_and_reset_empties_it(running: Address, place: Path) -> None:
    iot = client("iot", running)
    iot.create_thing(thingName="a")
    assert process.start(place, pause_s=9) == running
    assert len(iot.list_things()["things"]) == 1
    process.reset(place)
    assert iot.list_things()["things"] == []


def test_second_process_for_a_directory_gives_way(running: Address, place: Path) -> None:
    command = [sys.executable, "-m", "ota.sandbox", "--directory", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=30)
    assert done.returncode == ALREADY_SERVED_STATUS
    assert "Another sandbox serves" in done.stderr
    assert process.read_address(place) == running


def test_start_takes_under_two_seconds_of_work(running: Address) -> None:
    """Processor time, for the machine may have other work; whatever the tests before have asked is in it."""
    assert Control(running).health()["started_cpu_s"] < 2.0


def test_starts_at_once_replace_a_killed_process_by_one(running: Address, place: Path) -> None:
    os.kill(running.pid, signal.SIGKILL)
    assert wait_until(lambda: not is_alive(running.pid))
    with ThreadPoolExecutor(3) as pool:
        runs = list(pool.map(run_python, [PRINT_PID.format(str(place))] * 3))
    pids = {int(done.stdout) for done in runs}
    assert len(pids) == 1
    assert running.pid not in pids


def test_importing_the_starter_is_light() -> None:
    done = run_python(
        "import sys, ota.sandbox.process\n"
        "print([name for name in ('moto', 'boto3', 'botocore', 'flask', 'werkzeug', 'cryptography') "
        "if name in sys.modules])"
    )
    assert done.stdout.strip() == "[]"


# Its end


def test_stop_ends_it_once(running: Address, place: Path) -> None:
    assert process.stop(place) is True
    assert wait_until(lambda: not is_alive(running.pid))
    assert process.read_address(place) is None
    assert process.stop(place) is False


def test_neither_the_users_folder_nor_his_settings_reach_the_process(place: Path, tmp_path: Path) -> None:
    process.stop(place)
    (tmp_path / "ota").mkdir()
    (tmp_path / "ota" / "__init__.py").write_text("raise SystemExit('the wrong package')")
    (tmp_path / "flask.py").write_text("raise SystemExit('the wrong module')")
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{PRINT_PID.format(str(place))}"
    env = {**os.environ, "AWS_PROFILE": "no-such-profile", "MOTO_ACCOUNT_ID": "999999999999"}
    done = run_python(script, cwd=tmp_path, env=env)
    address = process.read_address(place)
    assert address is not None, done.stderr
    assert int(done.stdout) == address.pid
    assert client("sts", address).get_caller_identity()["Account"] == "123456789012"


def test_stop_where_there_never_was_one_makes_nothing(tmp_path: Path) -> None:
    assert process.stop(tmp_path / "nowhere") is False
    assert list(tmp_path.iterdir()) == []


def test_process_stays_while_it_is_called_and_ends_by_itself_when_nobody_calls(directory: Path) -> None:
    address = process.start(directory, idle_s=0.6)
    control = Control(address)
    for _ in range(6):
        control.health()
        time.sleep(0.15)
    assert is_alive(address.pid)
    assert wait_until(lambda: not is_alive(address.pid))
    assert process.read_address(directory) is None


def test_stop_leaves_the_sandbox_of_another_directory_alone(running: Address, tmp_path: Path) -> None:
    process.write_address(tmp_path, running)
    assert process.stop(tmp_path) is False
    assert is_alive(running.pid)


# Damage


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(None, id="lost"),
        pytest.param('{"endpoint_url": "http://127', id="cut off"),
    ],
)
def test_damaged_address_file_is_written_anew_and_nothing_lost(
    running: Address, place: Path, content: str | None
) -> None:
    client("iot", running).create_thing(thingName="kept")
    (place / "address.json").unlink() if content is None else (place / "address.json").write_text(content)
    assert process.start(place) == running
    assert [one["thingName"] for one in client("iot", running).list_things()["things"]] == ["kept"]
    process.reset(place)


def test_a_strangers_number_in_the_file_ends_the_sandbox_and_not_the_stranger(running: Address, place: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        process.write_address(place, Address(**{**vars(running), "pid": stranger.pid}))
        assert process.stop(place) is True
        assert stranger.poll() is None
        assert wait_until(lambda: not is_alive(running.pid))
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"endpoint_url": "http://192.0.2.1:80"}, id="another machine"),
        pytest.param({"endpoint_url": "https://127.0.0.1:80"}, id="another scheme"),
        pytest.param({"endpoint_url": "http://127.0.0.1:99999"}, id="no such port"),
        pytest.param({"endpoint_url": "http://127.0.0.1"}, id="no port"),
        pytest.param({"endpoint_url": 7}, id="no text"),
        pytest.param({"pid": 0}, id="every process"),
        pytest.param({"pid": "7"}, id="text for a number"),
        pytest.param({"more": 1}, id="unknown member"),
    ],
)
def test_an_address_that_cannot_be_a_sandboxs_counts_as_none(tmp_path: Path, changes: dict[str, Any]) -> None:
    good = Address("http://127.0.0.1:80", "eu-west-1", "127.0.0.1", 8883, "ca.pem", 7, "s3cret")
    (tmp_path / "address.json").write_text(json.dumps(vars(good)))
    assert process.read_address(tmp_path) == good
    (tmp_path / "address.json").write_text(json.dumps({**vars(good), **changes}))
    assert process.read_address(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{", "{}", "[1]", '{"pid": 1}', "null", "\x00\xff"])
def test_broken_address_file_counts_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "address.json").write_text(content)
    assert process.read_address(tmp_path) is None


@dataclass
class Impostor:
    """A stranger's process, and a stranger's server that says of itself that it is this directory's sandbox."""

    address: Address
    stranger: subprocess.Popen[bytes]
    asked: list[str]


@pytest.fixture
def impostor(directory: Path) -> Iterator[Impostor]:
    """What a sandbox that was killed leaves: its address file, whose port and process id others have now."""
    asked: list[str] = []
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])

    class Answering(BaseHTTPRequestHandler):
        def answer(self) -> None:
            asked.append(self.path)
            told = json.dumps({"pid": stranger.pid, "directory": str(directory)}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        do_GET = do_POST = answer  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: Any) -> None:
            pass

    directory.mkdir()
    with HTTPServer(("127.0.0.1", 0), Answering) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(server.serve_forever, 0.01)
        url = f"http://127.0.0.1:{server.server_port}"
        address = Address(url, "eu-west-1", "127.0.0.1", 1, "ca.pem", stranger.pid, "s3cret")
        process.write_address(directory, address)
        try:
            yield Impostor(address, stranger, asked)
        finally:
            server.shutdown()
            stranger.kill()
            stranger.wait()


def test_a_stale_address_leads_to_no_impostor(impostor: Impostor, directory: Path) -> None:
    with pytest.raises(SandboxError, match="No sandbox is running"):
        process.reset(directory)
    started = process.start(directory, pause_s=0)
    assert started.endpoint_url != impostor.address.endpoint_url
    assert client("iot", started).list_things()["things"] == []
    assert impostor.asked == []
    assert impostor.stranger.poll() is None


def test_stop_signals_no_stranger_by_a_stale_address(impostor: Impostor, directory: Path) -> None:
    assert process.stop(directory) is False
    assert impostor.stranger.poll() is None
    assert impostor.asked == []


def test_the_lock_of_a_sandbox_makes_no_impostor_of_another_address_good(impostor: Impostor, directory: Path) -> None:
    """Somebody serves the directory, but not the process that the file names."""
    with locks.serving(directory), pytest.raises(SandboxError, match="does not answer"):
        process.stop(directory, timeout_s=0.01, poll_s=0.001)
    assert impostor.stranger.poll() is None
    assert impostor.asked == []


def test_a_process_that_does_not_answer_is_named_and_left(tmp_path: Path) -> None:
    with (
        locks.serving(tmp_path),
        pytest.raises(SandboxError, match=r"server\.lock and does not answer: end it by hand"),
    ):
        process.stop(tmp_path, timeout_s=0.01, poll_s=0.001)


@pytest.mark.parametrize("name", ["ca.key", "ca.pem"])
@pytest.mark.parametrize("content", [b"", b"nonsense"], ids=["empty", "nonsense"])
def test_a_damaged_authority_is_made_anew(tmp_path: Path, name: str, content: bytes) -> None:
    first = authority.open_authority(tmp_path)
    assert authority.open_authority(tmp_path).certificate == first.certificate
    (tmp_path / name).write_bytes(content)
    second = authority.open_authority(tmp_path)
    assert second.certificate != first.certificate
    assert authority.open_authority(tmp_path).certificate == second.certificate


def test_key_and_certificate_of_different_authorities_are_not_mixed(tmp_path: Path) -> None:
    one, other = authority.open_authority(tmp_path / "one"), authority.open_authority(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "ca.pem", tmp_path / "one" / "ca.pem")
    assert authority.open_authority(tmp_path / "one").certificate not in (one.certificate, other.certificate)


def test_process_ends_when_its_folder_is_gone(running: Address, place: Path) -> None:
    shutil.rmtree(place)
    assert wait_until(lambda: not is_alive(running.pid))


# What keeps it from starting


def test_reset_without_a_sandbox_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"No sandbox is running in .*ota.sandbox --directory"):
        process.reset(tmp_path)


def test_missing_moto_is_said_with_the_remedy(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "moto.py").write_text("raise ModuleNotFoundError(\"No module named 'moto'\")")
    start_from(tmp_path, monkeypatch)
    with pytest.raises(SandboxError, match=r"No module named 'moto'.*pip install 'ota-tasks\[sandbox\]'"):
        process.start(directory)


def test_failed_start_shows_the_end_of_the_log(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flask.py").write_text("raise ValueError('flask is broken here')")
    start_from(tmp_path, monkeypatch)
    with pytest.raises(SandboxError, match="flask is broken here"):
        process.start(directory)


def test_start_that_never_serves_is_given_up(directory: Path) -> None:
    with pytest.raises(SandboxError, match=r"did not serve within 0\.05 s"):
        process.start(directory, timeout_s=0.05, poll_s=0.01)


@pytest.mark.parametrize(
    "block", [lambda path: path.write_text(""), lambda path: (path / "start.lock").mkdir(parents=True)]
)
def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path, block: Callable[[Path], object]) -> None:
    blocked = tmp_path / ".sandbox"
    block(blocked)
    with pytest.raises(SandboxError, match=r"cannot use its folder .*\.sandbox.*needs a folder that it may write to"):
        process.start(blocked)


def test_a_full_disk_is_thought_of_and_leaves_nothing_that_keeps_the_next_from_starting(directory: Path) -> None:
    """No file may grow: the nearest to a full disk that a test can make."""
    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))\n"
        "from ota.sandbox import process\n"
        "from ota.sandbox.process import SandboxError\n"
        "try:\n"
        f"    process.start({str(directory)!r})\n"
        "except SandboxError as error:\n"
        "    print(error)\n"
    )
    assert "is there room on the disk?" in run_python(script).stdout
    assert authority.open_authority(directory).certificate


def start_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let modules of ``folder`` hide the installed ones from the sandbox's process."""
    (folder / "sitecustomize.py").write_text(f"import sys; sys.path.insert(0, {str(folder)!r})")
    monkeypatch.setenv("PYTHONPATH", str(folder))
