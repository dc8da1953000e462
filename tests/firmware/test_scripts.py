"""Running a script: its lines, its log, its end, and nobody left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ota.errors import FirmwareError
from ota.firmware.scripts import run_script


def script(folder: Path, body: str, name: str = "build.sh", first_line: str = "#!/bin/bash") -> str:
    path = folder / name
    path.write_text(f"{first_line}\n{body}\n")
    path.chmod(0o755)
    return str(path)


def run(folder: Path, body: str, *arguments: str) -> list[str]:
    lines: list[str] = []
    run_script(
        [script(folder, body), *arguments], folder, os.environ, log_path=folder / "logs/build.log", on_line=lines.append
    )
    return lines


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def await_end(pid: int) -> None:
    give_up = time.monotonic() + 5
    while is_running(pid):
        assert time.monotonic() < give_up, f"process {pid} still runs"
        os.sched_yield()


def test_output_and_errors_arrive_line_by_line_and_in_the_log(tmp_path: Path) -> None:
    lines = run(tmp_path, 'echo one; echo two >&2; printf "progress 1\\rprogress 2\\nno end"', "--certificate", "a b")
    assert lines == ["one", "two", "progress 1", "progress 2", "no end"]
    log = (tmp_path / "logs/build.log").read_text().splitlines()
    assert log[0] == f"$ {tmp_path}/build.sh --certificate 'a b'"
    assert log[1:5] == lines[:4]


def test_a_line_arrives_while_the_script_still_runs(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    body = f"echo waiting; while [ ! -e {gate} ]; do read -t 0.01 <> <(:); done; echo done"
    command = [script(tmp_path, body)]
    seen: list[str] = []

    def on_line(line: str) -> None:
        seen.append(line)
        gate.touch()  # without the line coming through at once, the script would never end

    run_script(command, tmp_path, os.environ, log_path=tmp_path / "log", on_line=on_line)
    assert seen == ["waiting", "done"]


def test_it_runs_in_its_folder_without_input(tmp_path: Path) -> None:
    kept, (reader, writer) = os.dup(0), os.pipe()
    os.write(writer, b"typed by the user\n")
    os.close(writer)
    os.dup2(reader, 0)
    try:
        assert run(tmp_path, "pwd -P; cat") == [str(tmp_path.resolve())]
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(reader)


def test_bytes_that_are_no_text_do_not_stop_it(tmp_path: Path) -> None:
    assert run(tmp_path, r"printf 'caf\xe9\n'") == ["caf\ufffd"]


def test_output_without_line_ends_is_never_in_memory_whole(tmp_path: Path) -> None:
    command = script(tmp_path, "head -c 200000000 /dev/zero | tr '\\0' x")
    program = (
        "import os, resource, sys; from pathlib import Path; from ota.firmware.scripts import run_script\n"
        "unit_bytes = 1 if sys.platform == 'darwin' else 1024\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit_bytes\n"
        f"folder, lines, before = Path({str(tmp_path)!r}), [], peak()\n"
        f"run_script([{command!r}], folder, os.environ, log_path=folder / 'log', on_line=lines.append)\n"
        "print(peak() - before, *lines)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    growth_bytes, line = done.stdout.split()
    assert int(growth_bytes) < 40 << 20
    assert line == 400 * "x"
    assert (tmp_path / "log").stat().st_size < 20 << 20
    assert (tmp_path / "log").read_text().endswith("xxx(succeeded)\n")


def test_a_line_end_and_a_character_may_come_in_two_pieces(tmp_path: Path) -> None:
    body = r"printf 'one\r'; sleep 0.05; printf '\ntw\xc3'; sleep 0.05; printf '\xb6\r'"
    assert run(tmp_path, body) == ["one", "twö"]


def test_what_a_terminal_would_obey_is_in_the_log_alone(tmp_path: Path) -> None:
    assert run(tmp_path, r"printf '\033[1;31merror\033[0m\007 of main.c\n'") == ["error of main.c"]
    assert "\x1b[1;31merror" in (tmp_path / "logs/build.log").read_text()


def test_a_failure_shows_the_last_lines_and_the_log(tmp_path: Path) -> None:
    with pytest.raises(FirmwareError) as error:
        run(tmp_path, "for i in $(seq 40); do echo line $i; done; exit 3")
    message = str(error.value).splitlines()
    assert message[0] == f"the build failed with exit status 3; its output is in {tmp_path}/logs/build.log"
    assert message[1:] == [f"line {i}" for i in range(26, 41)]
    assert "line 1\n" in (tmp_path / "logs/build.log").read_text()


def test_a_signal_that_ended_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(FirmwareError, match=r"the build was ended by signal 9 \(Killed"):
        run(tmp_path, "kill -KILL $$")


@pytest.mark.parametrize("first_line", ["#!/no/such/shell", "#!/bin/sh\r", "echo built"])
def test_a_script_that_cannot_be_started_says_why(tmp_path: Path, first_line: str) -> None:
    command = [script(tmp_path, "", first_line=first_line)]
    why = re.escape(f"build.sh cannot be started: its first line, {first_line!r}, names no program")
    with pytest.raises(FirmwareError, match=why):
        run_script(command, tmp_path, os.environ, log_path=tmp_path / "log", on_line=print)


def test_a_log_that_cannot_be_written_stops_before_the_build(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    command = [script(tmp_path, "touch built")]
    with pytest.raises(FirmwareError, match=r"the build log .* cannot be written: "):
        run_script(command, tmp_path, os.environ, log_path=tmp_path / "file/log", on_line=print)
    assert not (tmp_path / "built").exists()


def test_an_error_in_the_callback_ends_the_build(tmp_path: Path) -> None:
    pids: list[int] = []

    def on_line(line: str) -> None:
        pids.append(int(line))
        raise RuntimeError("the caller's own")

    command = [script(tmp_path, "echo $$; exec sleep 60")]
    with pytest.raises(RuntimeError):
        run_script(command, tmp_path, os.environ, log_path=tmp_path / "log", on_line=on_line)
    assert not is_running(pids[0])
    assert (tmp_path / "log").read_text().endswith("(ended early)\n")


def test_what_ignores_the_request_to_end_is_killed_with_its_children(tmp_path: Path) -> None:
    pids: list[int] = []

    def on_line(line: str) -> None:
        pids.extend(map(int, line.split()))
        raise KeyboardInterrupt

    command = [script(tmp_path, "trap '' TERM; sleep 60 & echo $$ $!; wait")]
    with pytest.raises(KeyboardInterrupt):
        run_script(command, tmp_path, os.environ, log_path=tmp_path / "log", on_line=on_line, grace_s=0.01)
    for pid in pids:
        await_end(pid)


def test_a_child_that_outlives_its_script_is_ended_too(tmp_path: Path) -> None:
    pids: list[int] = []

    def on_line(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    command = [script(tmp_path, "(trap '' TERM; exec sleep 60) & echo $!; wait")]
    with pytest.raises(KeyboardInterrupt):
        run_script(command, tmp_path, os.environ, log_path=tmp_path / "log", on_line=on_line)
    await_end(pids[0])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda one: one.name)
def test_whoever_ends_the_tool_ends_every_process_of_the_build(tmp_path: Path, number: signal.Signals) -> None:
    command = script(tmp_path, "sleep 60 & echo $$ $!; wait")
    program = (
        "import os, signal; from pathlib import Path; from ota.firmware.scripts import run_script\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # under nohup it is ignored, and so are hang-ups of the tool
        "show = lambda line: print(line, flush=True)\n"
        f"folder = Path({str(tmp_path)!r})\n"
        f"try: run_script([{command!r}], folder, os.environ, log_path=folder / 'log', on_line=show)\n"
        "except KeyboardInterrupt: print('interrupted')\n"
    )
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", program], cwd=root, stdout=subprocess.PIPE, text=True) as tool:
        assert tool.stdout is not None
        pids = [int(pid) for pid in tool.stdout.readline().split()]
        tool.send_signal(number)
        assert tool.stdout.read() == "interrupted\n"
    for pid in pids:
        await_end(pid)
