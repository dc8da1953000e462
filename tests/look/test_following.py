"""``all`` follows a virtual device that runs already: until it is done, has gone, or nothing moves."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from ota.device.flash import Flash, is_in_use
from ota.look.summaries import QUIET_S, follow_device
from ota.report import Report
from tests.look.look_desk import Desk, built
from tests.look.look_desk import desk as bare_desk
from tests.look.test_watching import Clock, run_of

__all__ = ["bare_desk", "built"]


@pytest.fixture
def desk(bare_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    for name, value in bare_desk.project.environ.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    bare_desk.set_up()
    return bare_desk


def follow(desk: Desk, folder: Path, *acts: Callable[[], object]) -> tuple[bool, list[str], float]:
    """Whether there was one to follow, the lines, and how long it took; the acts happen between two looks."""
    clock, out = Clock(then=iter(acts)), io.StringIO()
    is_followed = follow_device(run_of(desk, Report(out, out)), folder, sleep=clock.sleep, clock=clock.read)
    return is_followed, out.getvalue().splitlines(), clock.now_s


def test_where_none_runs_no_call_is_made_and_nothing_said(desk: Desk, tmp_path: Path) -> None:
    out = io.StringIO()
    run = run_of(desk, Report(out, out))
    desk.control.clear_calls()
    for folder in (tmp_path / "never", tmp_path / "before"):
        if folder.name == "before":
            with Flash(folder):
                assert is_in_use(folder)
        assert not follow_device(run, folder)
        assert out.getvalue() == ""
    assert desk.control.operations() == []


def test_it_is_followed_to_its_end(desk: Desk, tmp_path: Path) -> None:
    with Flash(tmp_path):
        half_way = lambda: desk.report("IN_PROGRESS", receive="12/146")  # noqa: E731
        done = lambda: desk.report("SUCCEEDED", updatedBy="0")  # noqa: E731
        is_followed, lines, _ = follow(desk, tmp_path, desk.take_job, half_way, done)
    assert is_followed
    assert [line.partition("  lamp  ")[2] for line in lines[1:-1]] == [
        "QUEUED",
        "IN_PROGRESS",
        "IN_PROGRESS, 12 of 146 blocks",
        "SUCCEEDED, updatedBy: 0",
    ]
    assert lines[-1] == "Done: every device runs the update (1 SUCCEEDED)."


def test_a_failure_is_told_with_what_it_means(desk: Desk, tmp_path: Path) -> None:
    with Flash(tmp_path):
        _, lines, _ = follow(desk, tmp_path, lambda: desk.report("FAILED", reason="0x000000e3: 0x00000000"))
    assert "signature" in "\n".join(lines).partition("device       failed")[2].lower()
    assert lines[-1] == "Not every device runs the update (1 FAILED)."


def test_one_that_goes_is_looked_at_once_more(desk: Desk, tmp_path: Path) -> None:
    with Flash(tmp_path) as store:
        leave = lambda: (desk.take_job(), store.__exit__(None))  # noqa: E731
        _, lines, waited_s = follow(desk, tmp_path, lambda: None, leave)
    assert lines[-2].endswith("IN_PROGRESS")
    assert "Go on with `invoke watch`" in lines[-1]
    assert waited_s < QUIET_S / 2


def test_one_that_does_nothing_is_not_waited_for(desk: Desk, tmp_path: Path) -> None:
    with Flash(tmp_path):
        _, lines, waited_s = follow(desk, tmp_path)
    assert waited_s == QUIET_S
    assert "Not over after 10 seconds (1 QUEUED)." in lines[-1]
