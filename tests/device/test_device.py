"""A virtual device takes updates from the served sandbox: what it sends, what the cloud shows, what is in its flash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ota.device import device as devices
from ota.device.firmware import BadDocument
from ota.device.flash import FACTORY_VERSION, Phase, RunningImage
from ota.device.messages import Encoding
from ota.device.refusals import Refused, Rejected, Stage, Symptom
from ota.errors import DeviceFailed, SignatureError, WaitTimeout
from ota.profiles import CORSTONE, JOBS_LIBRARY, Profile
from tests.device.device_world import (
    APPLICATION_NAME,
    DeviceWorld,
    Lines,
    PowerIsGone,
    device_policy,
    device_world,
    make_image,
    sign,
)
from tests.mqtt_world import replace_policy
from tests.sandbox_control import Control
from tests.sandbox_world import THING, World

STEP_S = 0.5
JOBS = f"$aws/things/{THING}/jobs"


@pytest.fixture
def lamp(world: World, control: Control, tmp_path: Path) -> DeviceWorld:
    return device_world(world, control, tmp_path)


@pytest.mark.parametrize(
    ("signing", "profile", "manners", "changes"),
    [
        pytest.param("RSA-2048", CORSTONE, {}, {}, id="JSON, RSA-2048"),
        pytest.param("RSA-3072", CORSTONE, {"encoding": Encoding.CBOR}, {}, id="CBOR, RSA-3072"),
        pytest.param("RSA-2048", CORSTONE, {}, {"protocols": ["HTTP"]}, id="HTTP"),
        pytest.param("RSA-2048", CORSTONE, {}, {"protocols": ["MQTT", "HTTP"]}, id="MQTT before HTTP"),
        pytest.param("EC-P256", JOBS_LIBRARY, {}, {"file_name": "any.bin"}, id="ECDSA P-256"),
        pytest.param("RSA-3072", CORSTONE, {"is_faithful": True}, {}, id="faithful"),
    ],
)
def test_the_update_succeeds_and_the_image_arrives_whole(
    lamp: DeviceWorld, signing: str, profile: Profile, manners: dict[str, Any], changes: dict[str, Any]
) -> None:
    lamp.signing = signing
    image = make_image()
    job_id = lamp.offer(image, **changes)
    with lamp.device(profile=profile, **manners) as device:
        result = device.take_update()
    assert (result.status, result.job_id, result.size_bytes) == ("SUCCEEDED", job_id, len(image))
    assert (result.before, result.now) == (FACTORY_VERSION, "0.0.20+20")
    assert result.image_path is not None
    assert result.image_path.read_bytes() == image
    shown = lamp.execution(job_id)
    assert shown.has_succeeded
    assert shown.details["updatedBy"].isdigit()
    assert lamp.flash.state.pending is None
    assert [path.name for path in (lamp.folder / "flash").glob("*.part*")] == []


def test_a_faithful_device_sends_what_the_firmware_sends_in_its_order(lamp: DeviceWorld) -> None:
    job_id = lamp.offer(make_image(size_bytes=9000))
    stream = json.loads(lamp.iot.get_job_document(jobId=job_id)["document"])["afr_ota"]["streamname"]
    with lamp.spy() as spy, lamp.device(is_faithful=True) as device:
        assert device.take_update().status == "SUCCEEDED"
        sent = [(one.topic, one.payload.decode()) for one in spy.messages() if not _is_answer(one.topic)]
    blocks = [
        (f"$aws/things/{THING}/streams/{stream}/get/json", f'{{"s": 1,"f": 0,"l": 4096,"o": {index},"n": 1}}')
        for index in range(3)
    ]
    start_next = (f"{JOBS}/start-next", '{"clientToken":"lamp"}')
    report = '{"status":"%s","expectedVersion":"%d","statusDetails":{"updatedBy":"0"}}'
    update = f"{JOBS}/{job_id}/update"
    assert sent == [
        start_next,
        *blocks,
        (update, report % ("IN_PROGRESS", 2)),
        start_next,
        (update, report % ("SUCCEEDED", 3)),
        (f"{THING}/ml/inference", "_unknown_"),
    ]


def test_by_default_many_blocks_are_asked_for_at_once_and_progress_is_told_ten_times_at_most(
    lamp: DeviceWorld,
) -> None:
    job_id = lamp.offer(make_image(size_bytes=100 * 4096))
    with lamp.spy() as spy, lamp.device() as device:
        assert device.take_update().status == "SUCCEEDED"
        seen = spy.messages()
    asked = [json.loads(one.payload)["n"] for one in seen if "/get/json" in one.topic]
    assert asked == [32, 32, 32, 4]
    updates = [json.loads(one.payload) for one in seen if one.topic == f"{JOBS}/{job_id}/update"]
    received = [one["statusDetails"]["receive"] for one in updates if "receive" in one["statusDetails"]]
    assert received == [f"{count}/100" for count in range(10, 101, 10)]
    assert [one["expectedVersion"] for one in updates] == [str(version) for version in range(2, 14)]


def test_watching_shows_how_far_it_is(lamp: DeviceWorld) -> None:
    job_id = lamp.offer(make_image(size_bytes=100 * 4096))
    lamp.lines = Lines(cut_at_bytes=55 * 4096)
    with lamp.device() as device, pytest.raises(PowerIsGone):
        device.take_update()
    assert lamp.execution(job_id).received == (50, 100)


@pytest.mark.parametrize("line", range(1, 10))
def test_wherever_the_power_goes_the_next_run_finishes(lamp: DeviceWorld, line: int) -> None:
    image = make_image()
    job_id = lamp.offer(image)
    lamp.lines = Lines(cut_at_line=line)
    with lamp.device() as device, pytest.raises(PowerIsGone):
        device.take_update()
    lamp.lines = Lines()
    with lamp.device() as device:
        result = device.take_update()
    assert lamp.execution(job_id).has_succeeded, lamp.lines.text
    assert result.status == ("SUCCEEDED" if line < 9 else "")
    assert lamp.flash.image_path(APPLICATION_NAME).read_bytes() == image


def test_the_power_goes_at_each_of_these_lines(lamp: DeviceWorld) -> None:
    lamp.offer(make_image())
    with lamp.device() as device:
        device.take_update()
    words = ["connected", "offered", "signature", "IN_PROGRESS", "installed", "restarts", "starts", "connected"]
    assert [word in line for word, line in zip(words, lamp.lines.said, strict=False)] == [True] * 8
    assert len(lamp.lines.said) == 9


def test_the_report_of_success_that_was_not_heard_is_sent_again(lamp: DeviceWorld) -> None:
    job_id = lamp.offer(make_image())
    lamp.lines = Lines(cut_at_line=8)
    with lamp.device() as device, pytest.raises(PowerIsGone):
        device.take_update()
    with lamp.flash as flash:
        pending = flash.state.pending
        assert pending is not None
        assert pending.phase is Phase.TRIAL
        flash.confirm(pending)
    lamp.lines = Lines()
    with lamp.device() as device:
        assert device.take_update().status == "SUCCEEDED"
    assert lamp.execution(job_id).has_succeeded


def test_only_the_missing_blocks_are_asked_for_again(lamp: DeviceWorld) -> None:
    image = make_image(size_bytes=100 * 4096)
    lamp.offer(image)
    lamp.lines = Lines(cut_at_bytes=60 * 4096)
    with lamp.device() as device, pytest.raises(PowerIsGone):
        device.take_update()
    lamp.lines = Lines()
    with lamp.spy() as spy, lamp.device() as device:
        assert device.take_update().status == "SUCCEEDED"
        requests = [json.loads(one.payload) for one in spy.messages() if "/get/json" in one.topic]
    assert "resumes after 60 of 100 blocks" in lamp.lines.text
    assert sum(one["n"] for one in requests) == 40
    assert lamp.flash.image_path(APPLICATION_NAME).read_bytes() == image


def test_an_http_download_goes_on_where_it_was(lamp: DeviceWorld) -> None:
    image = make_image(size_bytes=100 * 4096)
    lamp.offer(image, protocols=["HTTP"])
    lamp.lines = Lines(cut_at_bytes=60 * 4096)
    with lamp.device() as device, pytest.raises(PowerIsGone):
        device.take_update()
    lamp.lines = Lines()
    with lamp.device() as device:
        assert device.take_update().status == "SUCCEEDED"
    assert lamp.lines.progress[0] == 61 * 4096
    assert lamp.flash.image_path(APPLICATION_NAME).read_bytes() == image


def test_the_next_update_goes_into_the_other_slot(lamp: DeviceWorld) -> None:
    for name, version, slot in (("first", (0, 0, 20, 20), "b"), ("second", (0, 0, 30, 30), "a")):
        image = make_image(version)
        lamp.offer(image, name)
        with lamp.device() as device:
            result = device.take_update()
        assert result.image_path is not None
        assert result.image_path.name == f"non_secure_image.{slot}.bin"
        assert result.image_path.read_bytes() == image
    assert (result.before, result.now) == ("0.0.20+20", "0.0.30+30")


def test_a_model_has_slots_and_a_version_of_its_own(lamp: DeviceWorld) -> None:
    lamp.offer(make_image((0, 0, 42, 42)), file_name="ml_model image")
    with lamp.device() as device:
        result = device.take_update()
    assert (result.before, result.now) == ("0.0.11+0", "0.0.42+42")
    assert lamp.flash.running(APPLICATION_NAME) == RunningImage("a", FACTORY_VERSION)


class TestAnImageThatIsNoNewerOne:
    def test_fails_and_the_old_one_runs_again(self, lamp: DeviceWorld) -> None:
        job_id = lamp.offer(make_image((0, 0, 20, 0)))
        with lamp.device() as device:
            result = device.take_update()
        assert result.status == "FAILED"
        assert "counts as 0" in result.why
        assert (result.now, result.image_path) == (FACTORY_VERSION, None)
        shown = lamp.execution(job_id)
        assert (shown.status, shown.details) == ("FAILED", {"updatedBy": "0"})
        assert not list((lamp.folder / "flash").glob("*.bin"))

    def test_is_one_without_mcuboot_s_header_too(self, lamp: DeviceWorld) -> None:
        lamp.offer(b"no image at all" * 1000)
        with lamp.device() as device:
            result = device.take_update()
        assert result.status == "FAILED"
        assert "no MCUboot header" in result.why


class TestAJobItCannotUse:
    """The firmware goes quiet, so the cloud shows IN_PROGRESS; the words are here."""

    @pytest.mark.parametrize(
        ("profile", "changes", "member", "words"),
        [
            pytest.param(CORSTONE, {"algorithm": "ECDSA"}, "sig-sha256-rsa", "sig-sha256-ecdsa", id="algorithm"),
            pytest.param(CORSTONE, {"file_name": "firmware.bin"}, "filepath", "image_file_name", id="file name"),
            pytest.param(JOBS_LIBRARY, {}, "sig-sha256-ecdsa", "firmware_profile", id="profile"),
            pytest.param(CORSTONE, {"signature": b"bm8gc2lnbmF0dXJl"}, "sig-sha256-rsa", "12 bytes", id="no signature"),
        ],
    )
    def test_is_told_by_the_document_s_member(
        self, lamp: DeviceWorld, profile: Profile, changes: dict[str, Any], member: str, words: str
    ) -> None:
        job_id = lamp.offer(make_image(), **changes)
        with lamp.device(profile=profile) as device, pytest.raises(BadDocument, match=words) as caught:
            device.take_update()
        assert member in caught.value.member
        assert (lamp.execution(job_id).status, lamp.execution(job_id).details) == ("IN_PROGRESS", {})

    def test_is_one_by_another_key(self, lamp: DeviceWorld) -> None:
        image = make_image()
        job_id = lamp.offer(image, signature=sign(image[::-1]))
        with lamp.device() as device:
            with pytest.raises(SignatureError, match="reports nothing"):
                device.take_update()
            assert device.take_update().status == ""  # it looks at no job twice
        assert lamp.execution(job_id).status == "IN_PROGRESS"
        assert not list((lamp.folder / "flash").glob("*image*"))

    def test_is_one_too_large_for_the_flash(self, lamp: DeviceWorld) -> None:
        lamp.offer(make_image(size_bytes=0x100001), file_name="ml_model image")
        with (
            lamp.device() as device,
            pytest.raises(DeviceFailed, match="the flash for 'ml_model image' takes 1,048,576"),
        ):
            device.take_update()

    def test_is_one_whose_message_overflows_the_firmware_s_buffer(self, lamp: DeviceWorld) -> None:
        lamp.offer(make_image(), file_name=f"{APPLICATION_NAME} {'x' * 1400}")
        with lamp.device(is_faithful=True) as device, pytest.raises(DeviceFailed, match="buffer of 2,048"):
            device.take_update()
        with lamp.device() as device:
            assert device.take_update().status == "SUCCEEDED"

    def test_is_one_over_http_for_a_faithful_device(self, lamp: DeviceWorld) -> None:
        lamp.offer(make_image(), protocols=["HTTP"])
        with lamp.device(is_faithful=True) as device, pytest.raises(DeviceFailed, match="over MQTT only"):
            device.take_update()


class TestWhenTheJobChanges:
    def test_nothing_offered_is_said(self, lamp: DeviceWorld) -> None:
        with lamp.device() as device:
            assert device.take_update().status == ""

    def test_a_half_image_of_a_job_that_is_gone_is_dropped(self, lamp: DeviceWorld) -> None:
        lamp.offer(make_image())
        lamp.lines = Lines(cut_at_bytes=20_000)
        with lamp.device() as device, pytest.raises(PowerIsGone):
            device.take_update()
        lamp.iot.delete_ota_update(otaUpdateId="lamp-1", forceDeleteAWSJob=True, deleteStream=True)
        lamp.lines = Lines()
        with lamp.device() as device:
            assert device.take_update().status == ""
        assert "no job is offered any more" in lamp.lines.text
        assert not list((lamp.folder / "flash").glob("*image*"))

    def test_an_image_on_trial_whose_job_is_gone_is_not_kept(self, lamp: DeviceWorld) -> None:
        lamp.offer(make_image())
        lamp.lines = Lines(cut_at_line=8)
        with lamp.device() as device, pytest.raises(PowerIsGone):
            device.take_update()
        lamp.iot.delete_ota_update(otaUpdateId="lamp-1", forceDeleteAWSJob=True, deleteStream=True)
        with lamp.device() as device:
            assert device.take_update().status == ""
        assert lamp.flash.running(APPLICATION_NAME).version == FACTORY_VERSION

    def test_another_image_under_the_same_name_is_loaded_from_its_beginning(self, lamp: DeviceWorld) -> None:
        lamp.offer(make_image((0, 0, 20, 20)))
        lamp.lines = Lines(cut_at_bytes=40_000)
        with lamp.device() as device, pytest.raises(PowerIsGone):
            device.take_update()
        lamp.iot.delete_ota_update(otaUpdateId="lamp-1", forceDeleteAWSJob=True, deleteStream=True)
        image = make_image((0, 0, 30, 30))
        job_id = lamp.offer(image)
        lamp.lines = Lines()
        with lamp.device() as device:
            assert device.take_update().now == "0.0.30+30"
        assert "offers another image" in lamp.lines.text
        assert lamp.flash.image_path(APPLICATION_NAME).read_bytes() == image
        assert lamp.execution(job_id).has_succeeded

    def test_a_cancelled_job_ends_the_download(self, lamp: DeviceWorld) -> None:
        job_id = lamp.offer(make_image(size_bytes=100 * 4096))

        def cancel(done_bytes: int) -> None:
            if done_bytes == 15 * 4096:
                lamp.iot.cancel_job(jobId=job_id, force=True)

        lamp.lines.on_progress = cancel
        with lamp.device() as device, pytest.raises(Rejected) as caught:
            device.take_update()
        assert caught.value.stage is Stage.REPORT
        assert "the job is CANCELED now" in str(caught.value)

    def test_a_changed_image_object_ends_the_download(self, lamp: DeviceWorld) -> None:
        lamp.offer(make_image())
        lamp.s3.put_object(Bucket="lamp-images", Key="images/lamp-1.bin", Body=b"other")
        with lamp.device() as device, pytest.raises(Rejected) as caught:
            device.take_update()
        assert caught.value.code == "ETagMismatch"


class TestOneThatStays:
    def test_hears_of_jobs_that_come_and_of_a_connection_that_goes(self, lamp: DeviceWorld) -> None:
        with lamp.device(is_forever=True, timeout_s=30) as device:
            assert device.take_update().status == ""
            lamp.offer(make_image((0, 0, 20, 20)), "first")
            device.wait_for_job()
            assert device.take_update().now == "0.0.20+20"
            with lamp.cloud_device.connect():
                device.wait_for_job()
            lamp.offer(make_image((0, 0, 30, 30)), "second")
            assert device.take_update().now == "0.0.30+30"

    def test_stops_waiting_when_its_time_is_up(self, lamp: DeviceWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(devices, "NOTIFY_POLL_S", STEP_S)  # so that each wait for a message is over at once
        now, step_s = [0.0], [0.0]

        def clock() -> float:
            now[0] += step_s[0]
            return now[0]

        with lamp.device(is_forever=True, timeout_s=30, clock=clock) as device:
            device.take_update()
            step_s[0] = STEP_S
            with pytest.raises(WaitTimeout, match="30 s"):
                device.wait_for_job()
        assert 30 <= now[0] < 31

    def test_that_has_no_connection_asks_again(self, lamp: DeviceWorld) -> None:
        with lamp.device(is_forever=True) as device:
            device.wait_for_job()
            assert device.take_update().status == ""


class TestTime:
    def test_the_whole_may_take_so_long(self, lamp: DeviceWorld) -> None:
        lamp.offer(make_image(size_bytes=100 * 4096))
        now = [0.0]
        lamp.lines.on_progress = lambda _: now.__setitem__(0, now[0] + 1)
        with lamp.device(timeout_s=30, clock=lambda: now[0]) as device, pytest.raises(WaitTimeout, match="30 s"):
            device.take_update()

    def test_a_connection_that_breaks_before_a_block_has_come_is_not_made_again(self, lamp: DeviceWorld) -> None:
        lamp.offer(make_image(size_bytes=200 * 4096))
        may_not_ask = device_policy()
        on_topics = may_not_ask["Statement"][2]
        on_topics["Resource"] = [one for one in on_topics["Resource"] if "/streams/" not in one]

        def revoke(done_bytes: int) -> None:
            if done_bytes == 5 * 4096:
                replace_policy(lamp.iot, THING, may_not_ask)

        lamp.lines.on_progress = revoke
        with lamp.device() as device, pytest.raises(Refused) as caught:
            device.take_update()
        assert (caught.value.stage, caught.value.symptom) == (Stage.BLOCKS, Symptom.DROPPED)
        assert lamp.lines.text.count("connects again") == 1


def _is_answer(topic: str) -> bool:
    return topic.rsplit("/", 1)[-1] in {"accepted", "rejected", "notify", "notify-next"} or "/data/" in topic
