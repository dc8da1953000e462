"""Devices that go wrong on purpose: what the cloud then shows, and what watching it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tasks
from ota import device_faults as faults
from ota.device_download import Pace
from ota.device_faults import Fault, Trouble, read_fault
from ota.device_refusals import Place, Refused, Symptom
from ota.errors import DeviceFailed, OtaError, SignatureError
from ota.watching import what_it_says
from tests.device_world import APPLICATION_NAME, DeviceWorld, Lines, device_world, make_image
from tests.sandbox_control import Control
from tests.sandbox_world import World

SHORT = Pace(request_blocks=1, requests_ahead=1, quiet_s=0.3, tries=1)


@pytest.fixture
def lamp(world: World, control: Control, tmp_path: Path) -> DeviceWorld:
    return device_world(world, control, tmp_path)


@pytest.mark.parametrize("protocol", ["MQTT", "HTTP"])
@pytest.mark.parametrize("fault", [one for one in faults.FAULTS if one.succeeds], ids=lambda one: one.name)
def test_a_device_gets_over_it(lamp: DeviceWorld, fault: Fault, protocol: str) -> None:
    image = make_image(size_bytes=300_001)
    job_id = lamp.offer(image, protocols=[protocol])
    with lamp.device(fault) as device:
        assert device.take_update().status == "SUCCEEDED"
    assert what_it_says(lamp.execution(job_id)) == "SUCCEEDED, updatedBy: 0"
    assert lamp.store.image_path(APPLICATION_NAME).read_bytes() == image


def test_a_lost_connection_is_made_again_and_the_download_goes_on(lamp: DeviceWorld) -> None:
    lamp.offer(make_image(size_bytes=100 * 4096))
    with lamp.device(faults.CONNECTION_LOST) as device:
        device.take_update()
    assert lamp.lines.text.count("connected to") == 3
    assert "connects again" in lamp.lines.text
    assert "goes on after" in lamp.lines.text


def test_lost_blocks_are_asked_for_by_a_bitmap(lamp: DeviceWorld) -> None:
    lamp.offer(make_image(size_bytes=30 * 4096))
    with lamp.spy() as spy, lamp.device(faults.LOST_BLOCKS) as device:
        device.take_update()
        requests = [one.payload.decode() for one in spy.messages() if "/get/json" in one.topic]
    # Blocks 6, 13, 20 and 27: bits 0, 7, 14 and 21 from block 6 on.
    assert requests[1] == '{"s": 1,"f": 0,"l": 4096,"o": 6,"n": 4,"b": "0x814020"}'


def test_a_faithful_device_does_not_get_over_a_lost_block(lamp: DeviceWorld) -> None:
    job_id = lamp.offer(make_image(size_bytes=60_000))
    with lamp.device(faults.LOST_BLOCKS, is_faithful=True, pace=SHORT) as device, pytest.raises(Refused) as caught:
        device.take_update()
    assert (caught.value.place, caught.value.symptom) == (Place.BLOCKS, Symptom.SILENCE)
    assert "the first is 6" in str(caught.value)
    assert what_it_says(lamp.execution(job_id)) == "IN_PROGRESS"


def test_a_bad_signature_is_never_reported(lamp: DeviceWorld) -> None:
    job_id = lamp.offer(make_image(size_bytes=40_000))
    with lamp.device(faults.BAD_SIGNATURE) as device, pytest.raises(SignatureError, match="not one of"):
        device.take_update()
    assert what_it_says(lamp.execution(job_id)) == "IN_PROGRESS, 10 of 10 blocks"
    with lamp.device() as device:
        assert device.take_update().status == "SUCCEEDED"


def test_a_power_cut_leaves_the_job_in_progress_until_the_next_run(lamp: DeviceWorld) -> None:
    job_id = lamp.offer(make_image())
    with lamp.device(faults.POWER_CUT) as device, pytest.raises(DeviceFailed, match="run the device again"):
        device.take_update()
    assert what_it_says(lamp.execution(job_id)) == "IN_PROGRESS, updatedBy: 0"
    lamp.lines = Lines()
    with lamp.device() as device:
        assert device.take_update().status == "SUCCEEDED"
    assert lamp.lines.progress == []
    assert what_it_says(lamp.execution(job_id)) == "SUCCEEDED, updatedBy: 0"


def test_the_same_version_fails_after_the_restart(lamp: DeviceWorld) -> None:
    job_id = lamp.offer(make_image())
    with lamp.device(faults.SAME_VERSION) as device:
        result = device.take_update()
    assert (result.status, result.before, result.now) == ("FAILED", "0.0.20+20", "0.0.20+20")
    assert "does not count as higher" in result.why
    assert what_it_says(lamp.execution(job_id)) == "FAILED, updatedBy: 20"


def test_a_job_is_rejected_before_it_is_begun(lamp: DeviceWorld) -> None:
    job_id = lamp.offer(make_image())
    with lamp.device(faults.REJECTS) as device:
        assert device.take_update().status == "REJECTED"
    assert what_it_says(lamp.execution(job_id)) == "REJECTED"
    assert lamp.execution(job_id).version == 2


def test_a_job_that_is_begun_can_only_fail(lamp: DeviceWorld) -> None:
    job_id = lamp.offer(make_image())
    with lamp.device(faults.TIMES_OUT) as device, pytest.raises(DeviceFailed):
        device.take_update()
    with lamp.device(faults.REJECTS) as device:
        assert device.take_update().status == "FAILED"
    assert what_it_says(lamp.execution(job_id)) == "FAILED"


def test_a_silent_device_times_out_after_a_minute(lamp: DeviceWorld) -> None:
    job_id = lamp.offer(make_image())
    with lamp.device(faults.TIMES_OUT) as device, pytest.raises(DeviceFailed, match="TIMED_OUT"):
        device.take_update()
    assert what_it_says(lamp.execution(job_id)) == "IN_PROGRESS"
    lamp.control.advance_clock(59)
    assert what_it_says(lamp.execution(job_id)) == "IN_PROGRESS"
    lamp.control.advance_clock(2)
    assert what_it_says(lamp.execution(job_id)) == "TIMED_OUT"


def test_every_fault_has_a_name_and_no_other_has() -> None:
    assert [read_fault(fault.name) for fault in faults.FAULTS] == list(faults.FAULTS)
    assert read_fault("") is None
    with pytest.raises(OtaError, match="bad-signature, lost-blocks, connection-lost"):
        read_fault("bad")


def test_a_block_is_lost_once_and_the_connection_is_cut_once() -> None:
    trouble = Trouble(faults.LOST_BLOCKS)
    assert [trouble.loses(index) for index in (5, 6, 6, 13)] == [False, True, False, True]
    trouble = Trouble(faults.CONNECTION_LOST)
    assert [trouble.cuts(done, 100) for done in (49, 50, 51)] == [False, True, False]


def test_the_flag_s_help_names_every_fault() -> None:
    assert re.findall(r"[a-z]+(?:-[a-z]+)+|rejects", tasks.device.help["fault"]) == [one.name for one in faults.FAULTS]
