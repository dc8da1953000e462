"""Devices that go wrong on purpose: what the cloud then shows, and what watching it says."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import tasks
from ota.device import faults
from ota.device.faults import Fault, FaultInjector, read_fault_shares
from ota.device.options import Pace
from ota.errors import DeviceFailed, OtaError, SignatureError
from ota.look.watching import what_it_says
from tests import readme_parts
from tests.device.device_world import APPLICATION_NAME, DeviceWorld, Lines, device_world, make_image
from tests.sandbox_control import Control
from tests.sandbox_world import World

SHORT = Pace(request_blocks=1, requests_ahead=1, quiet_s=0.3, tries=1)


@pytest.fixture
def lamp(world: World, control: Control, tmp_path: Path) -> DeviceWorld:
    return device_world(world, control, tmp_path)


@dataclass(frozen=True)
class Case:
    """What becomes of a fault: here, in the cloud, and where it is watched."""

    fault: Fault
    error: str = ""
    shows: str = "SUCCEEDED, updatedBy: 0"
    watched: int = 0
    says: str = "Done: every device runs the update (1 SUCCEEDED)."
    why: str = ""
    hint: str = ""
    options: dict[str, Any] = field(default_factory=dict)


ONGOING: dict[str, Any] = {"watched": 3, "says": "Not over after 6 seconds (1 IN_PROGRESS). Go on with `invoke watch`"}
SILENT = "Arm's firmware says nothing when the signature does not match, when a block was lost"
CASES = {
    "bad-signature": Case(faults.BAD_SIGNATURE, "not one of", "IN_PROGRESS, 15 of 15 blocks", **ONGOING, hint=SILENT),
    "lost-blocks": Case(faults.LOST_BLOCKS),
    "lost-blocks of a faithful device": Case(
        faults.LOST_BLOCKS,
        "9 of 15 blocks are missing, the first is 6",
        "IN_PROGRESS",
        **ONGOING,
        hint=SILENT,
        options={"is_faithful": True, "pace": SHORT},
    ),
    "connection-lost": Case(faults.CONNECTION_LOST),
    "power-cut": Case(faults.POWER_CUT, "run the device again", "IN_PROGRESS, updatedBy: 0", **ONGOING, hint=SILENT),
    "same-version": Case(
        faults.SAME_VERSION,
        shows="FAILED, updatedBy: 20",
        watched=4,
        says="Not every device runs the update (1 FAILED).",
        why="the firmware did not take the new version for a higher one",
    ),
    "rejects": Case(
        faults.REJECTS,
        shows="REJECTED",
        watched=4,
        says="Not every device runs the update (1 REJECTED).",
        why="the device refused the job before it began",
    ),
    "times-out": Case(faults.TIMES_OUT, "in a minute TIMED_OUT", "IN_PROGRESS", **ONGOING, hint=SILENT),
}


@pytest.mark.parametrize(
    ("case", "protocol"),
    [
        pytest.param(case, protocol, id=f"{name}, {protocol}")
        for name, case in CASES.items()
        for protocol in (("MQTT",) if case.options else ("MQTT", "HTTP"))
    ],
)
def test_a_fault_shows_in_the_cloud_and_to_whoever_watches(lamp: DeviceWorld, case: Case, protocol: str) -> None:
    image = make_image()
    job_id = lamp.offer(image, protocols=[protocol])
    with lamp.device(case.fault, **case.options) as device, _failing(case.error):
        device.take_update()
    assert what_it_says(lamp.execution(job_id)) == case.shows
    seen = lamp.watch()
    assert (seen.status, seen.lines[-1]) == (case.watched, case.says)
    assert case.why in seen.lines[-2] if case.why else "failed" not in "".join(seen.lines[:-1])
    assert case.hint in seen.hints
    if case.watched == 0:
        assert lamp.flash.image_path(APPLICATION_NAME).read_bytes() == image


@pytest.mark.parametrize("case", [case for case in CASES.values() if not case.options], ids=lambda one: one.fault.name)
def test_the_readme_s_table_says_the_same(case: Case) -> None:
    table = readme_parts.part_of(readme_parts.DEVICE_PAGE_PATH.read_text(encoding="utf-8"), "faults-table")
    (row,) = [line for line in table.splitlines() if line.startswith(f"| `{case.fault.name}` |")]
    assert row.split("|")[-2].strip().startswith(case.shows.partition(",")[0])
    assert case.fault.succeeds == (case.watched == 0)


def test_every_fault_is_tried() -> None:
    assert {case.fault for case in CASES.values()} == set(faults.FAULTS)


def test_a_lost_connection_is_made_again_and_the_download_goes_on(lamp: DeviceWorld) -> None:
    lamp.offer(make_image(size_bytes=100 * 4096))
    with lamp.device(faults.CONNECTION_LOST) as device:
        device.take_update()
    assert lamp.lines.text.count("connected to") == 3
    assert "connects again" in lamp.lines.text
    assert "resumes after" in lamp.lines.text


def test_lost_blocks_are_asked_for_by_a_bitmap(lamp: DeviceWorld) -> None:
    lamp.offer(make_image(size_bytes=30 * 4096))
    with lamp.spy() as spy, lamp.device(faults.LOST_BLOCKS) as device:
        device.take_update()
        requests = [one.payload.decode() for one in spy.messages() if "/get/json" in one.topic]
    # Blocks 6, 13, 20 and 27: bits 0, 7, 14 and 21 from block 6 on.
    assert requests[1] == '{"s": 1,"f": 0,"l": 4096,"o": 6,"n": 4,"b": "0x814020"}'


@pytest.mark.parametrize("fault", [faults.BAD_SIGNATURE, faults.POWER_CUT], ids=lambda fault: fault.name)
def test_the_next_run_without_the_fault_finishes(lamp: DeviceWorld, fault: Fault) -> None:
    job_id = lamp.offer(make_image())
    with lamp.device(fault) as device, pytest.raises((DeviceFailed, SignatureError)):
        device.take_update()
    lamp.lines = Lines()
    with lamp.device() as device:
        assert device.take_update().status == "SUCCEEDED"
    assert bool(lamp.lines.progress) is (fault is faults.BAD_SIGNATURE), "what was loaded and proven is there"
    assert what_it_says(lamp.execution(job_id)) == "SUCCEEDED, updatedBy: 0"


def test_the_same_version_is_no_higher_one(lamp: DeviceWorld) -> None:
    lamp.offer(make_image())
    with lamp.device(faults.SAME_VERSION) as device:
        result = device.take_update()
    assert (result.status, result.before, result.now) == ("FAILED", "0.0.20+20", "0.0.20+20")
    assert "does not count as higher" in result.why


def test_a_job_that_is_begun_can_only_fail_and_one_that_is_not_is_rejected_unbegun(lamp: DeviceWorld) -> None:
    job_id = lamp.offer(make_image())
    with lamp.device(faults.TIMES_OUT) as device, pytest.raises(DeviceFailed):
        device.take_update()
    with lamp.device(faults.REJECTS) as device:
        assert device.take_update().status == "FAILED"
    assert what_it_says(lamp.execution(job_id)) == "FAILED"
    job_id = lamp.offer(make_image(), "lamp-2")
    with lamp.device(faults.REJECTS) as device:
        assert device.take_update().status == "REJECTED"
    assert lamp.execution(job_id).version == 2


def test_a_silent_device_times_out_after_a_minute(lamp: DeviceWorld) -> None:
    job_id = lamp.offer(make_image())
    with lamp.device(faults.TIMES_OUT) as device, pytest.raises(DeviceFailed):
        device.take_update()
    lamp.control.advance_clock(59)
    assert what_it_says(lamp.execution(job_id)) == "IN_PROGRESS"
    lamp.control.advance_clock(2)
    seen = lamp.watch()
    assert (seen.status, seen.lines[-1]) == (4, "Not every device runs the update (1 TIMED_OUT).")
    assert "the device had the job for longer than the job allows" in seen.lines[-2]


def test_every_fault_has_a_name_and_no_other_has() -> None:
    found = [read_fault_shares([fault.name])[0] for fault in faults.FAULTS]
    assert [(one.fault, one.percent) for one in found] == [(fault, 100) for fault in faults.FAULTS]
    assert read_fault_shares([""]) == ()
    with pytest.raises(OtaError, match="bad-signature, lost-blocks, connection-lost"):
        read_fault_shares(["bad"])


def test_a_block_is_lost_once_and_the_connection_is_cut_once() -> None:
    injector = FaultInjector(faults.LOST_BLOCKS)
    assert [injector.loses_block(index) for index in (5, 6, 6, 13)] == [False, True, False, True]
    injector = FaultInjector(faults.CONNECTION_LOST)
    assert [injector.cuts_connection(done, 100) for done in (49, 50, 51)] == [False, True, False]


def test_the_flag_s_help_names_every_fault() -> None:
    assert re.findall(r"[a-z]+(?:-[a-z]+)+|rejects", tasks.device.help["fault"]) == [one.name for one in faults.FAULTS]


def _failing(words: str) -> contextlib.AbstractContextManager[Any]:
    """It must fail with these words; without any it must not."""
    return pytest.raises((DeviceFailed, SignatureError), match=words) if words else contextlib.nullcontext()
