"""Two runs at once from one folder take turns, and a build keeps its turn though the tool that began it is killed."""

from __future__ import annotations

import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ota.look import summaries
from tests import fault_project
from tests.fault_project import LOOK_S, LOOKS, NOTHING, Call, Inventory, kill_before, numbered
from tests.project import Begun, Project, Result
from tests.sandbox_control import Control

built = fault_project.built
project = fault_project.project
inventory = fault_project.inventory

ALL_CALLS = numbered(
    "ListThingPrincipalsV2 CreateCertificateFromCsr CreateThing AttachThingPrincipal CreatePolicy PutObject"
)
CLEAN_CALLS = numbered("DescribeThing DeleteOTAUpdate UpdateCertificate DetachThingPrincipal DeleteCertificate")
ONE = [("ACTIVE", True)]
LATENCY_S = 0.02
PAIRINGS = [
    pytest.param(first, second, marks=() if (first, second) == ("update", "clean") else pytest.mark.long)
    for first, second in itertools.product(("all", "update", "clean"), repeat=2)
]


class Started:
    """A command line that runs beside the test."""

    def __init__(self, process: Begun) -> None:
        self.process = process
        self._said: list[str] = []
        self._is_waiting = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def waits(self, *words: str) -> Started:
        """This one, which must say that it waits, and for whom."""
        self._is_waiting.wait(60)
        text = "".join(self._said)
        assert all(word in text for word in ("waits", *words)), text
        assert self.process.poll() is None, text
        return self

    def result(self) -> Result:
        out = self.process.stdout.read()
        self._reader.join()
        return Result(self.process.wait(60), out, "".join(self._said))

    def _read(self) -> None:
        for line in self.process.stderr:
            self._said.append(line)
            if "waits" in line:
                self._is_waiting.set()
        self._is_waiting.set()


@pytest.fixture
def start(project: Project) -> Iterator[Callable[..., Started]]:
    """Begins a command line; what still runs in the end is ended."""
    begun: list[Started] = []

    def start_one(*arguments: str, **environ: str) -> Started:
        begun.append(Started(project.start(*arguments, **environ)))
        return begun[-1]

    yield start_one
    for one in begun:
        with one.process as process:
            process.kill()


def begin_and_hold(control: Control, start: Callable[..., Started], call: Call, *arguments: str) -> Started:
    """Start the command line and withhold the answer to this call of it."""
    rule = control.hold(call.operation, nth=call.nth)
    begun = start(*arguments)
    assert control.wait_until_held(rule, timeout_s=LOOKS * LOOK_S, poll_s=LOOK_S), f"{call} was never made"
    return begun


def test_two_set_ups_of_one_checkout_make_one_certificate(
    control: Control, project: Project, inventory: Inventory, start: Callable[..., Started]
) -> None:
    kill_before(control, project, Call("CreateCertificateFromCsr", 1), "thing")  # leaves a key without a certificate
    first = begin_and_hold(control, start, Call("ListCertificates", 1), "all")
    second = start("all").waits(f"process {first.process.pid}", "invoke all", "Ctrl-C")
    control.release()
    assert "Ready" in first.result().done().out
    assert {verb for _, verb in second.result().done().verbs} <= {"reused", "skipped"}
    assert inventory.certificates() == ONE


@pytest.mark.parametrize("call", fault_project.cases(ALL_CALLS, ("CreateThing",)))
def test_a_clean_beside_a_set_up_comes_after_it(
    control: Control, inventory: Inventory, start: Callable[..., Started], call: Call
) -> None:
    set_up = begin_and_hold(control, start, call, "all")
    clean = start("clean").waits("invoke all")
    control.release()
    set_up.result().done()
    clean.result().done()
    assert inventory.names() == NOTHING


@pytest.mark.parametrize("call", fault_project.cases(CLEAN_CALLS, ("UpdateCertificate",)))
def test_a_set_up_beside_a_clean_comes_after_it(
    control: Control, project: Project, inventory: Inventory, start: Callable[..., Started], call: Call
) -> None:
    project.run_here("all").done()
    clean = begin_and_hold(control, start, call, "clean")
    set_up = start("all").waits("invoke clean")
    control.release()
    clean.result().done()
    assert "Ready" in set_up.result().done().out
    assert inventory.certificates() == ONE


@pytest.mark.parametrize(("first", "second"), PAIRINGS)
def test_runs_begun_together_end_well(
    control: Control, inventory: Inventory, start: Callable[..., Started], first: str, second: str
) -> None:
    control.latency(LATENCY_S)
    for one in (start(first), start(second)):
        one.result().done()
    start("all").result().done()
    assert inventory.certificates() == ONE
    start("clean").result().done()
    assert inventory.names() == NOTHING


def test_whoever_only_looks_does_not_wait(control: Control, project: Project, start: Callable[..., Started]) -> None:
    begin_and_hold(control, start, Call("CreateThing", 1), "all")
    assert "waits" not in project.run_here("plan").done().err
    control.release()


def test_waiting_has_an_end(control: Control, project: Project, start: Callable[..., Started]) -> None:
    first = begin_and_hold(control, start, Call("CreateThing", 1), "all")
    again = project.run_here("with", "--lock-timeout-s", "0.1", "policy")
    again.failed(f"process {first.process.pid}", f"kill {first.process.pid}", "lock_timeout_s")
    control.release()
    first.result().done()


def test_delete_takes_its_turn_too(control: Control, project: Project, start: Callable[..., Started]) -> None:
    begin_and_hold(control, start, Call("CreateThing", 1), "all")
    project.run_here("with", "--lock-timeout-s", "0", "delete.role", "--force").failed("invoke all")
    control.release()


def test_a_device_that_stays_does_not_keep_others_waiting(
    project: Project, start: Callable[..., Started], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summaries, "QUIET_S", 0.0)  # this device never takes the update
    device = start("all", "device", "--forever", "--timeout=60")
    while "Ready" not in device.process.stdout.readline():
        assert device.process.poll() is None
    project.run_here("all").done()


def test_a_build_whose_tool_was_killed_keeps_its_turn(project: Project, start: Callable[..., Started]) -> None:
    """Two builds in one tree write over each other, also where nobody follows the first any more."""
    project.set(skip_build="false")
    gate, begun = project.root_path / "gate", project.root_path / "begun"
    os.mkfifo(gate)
    script = project.firmware_path / "tools/scripts/build.sh"
    real = script.read_text()
    script.write_text(f"#!/bin/sh\ntouch {begun}\nexec cat {gate} >&2\n")
    first = start("build")
    wait_for(begun)
    first.process.kill()
    first.process.wait(60)
    script.write_text(real)  # in place: the lock is on this very file
    second = start("build").waits("a build", f"process {first.process.pid}")
    gate.write_text("")  # lets the first build end
    second.result().done()


def test_what_a_build_leaves_running_keeps_nobody_waiting(project: Project) -> None:
    """A compiler's cache server, for one, lives on with all that the build had open."""
    project.set(skip_build="false")
    script = project.firmware_path / "tools/scripts/build.sh"
    pid_path = project.root_path / "server.pid"
    server = "import os, sys, time; os.setsid(); print(os.getpid(), flush=True); time.sleep(60)"
    script.write_text(f'#!/bin/sh\n{sys.executable} -c "{server}" > {pid_path} 2>/dev/null &\nexit 7\n')
    for _ in range(2):
        result = project.run_here("with", "--lock-timeout-s", "0", "build").failed("exit status 7")
        assert "waits" not in result.err


def wait_for(path: Path) -> None:
    pause = threading.Event()
    for _ in range(LOOKS):
        if path.exists():
            return
        pause.wait(LOOK_S)
    raise AssertionError(f"{path} never came")
