"""The jobs data plane: over HTTP as boto3 sees it, and the events that a device is told of."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ota.sandbox.jobs import data_plane, jobs
from ota.sandbox.jobs.data_plane import JobsError
from ota.sandbox.jobs.model import Event, Reply
from ota.sandbox.jobs.state import Region, Sandbox
from tests.conftest import ACCOUNT, REGION
from tests.sandbox_world import SIGNATURE, THING, World, file_entry

DOCUMENT = {"do": {"it": [1, 2]}}
JOB = "AFR_OTA-lamp-1"


def refusal(call: Any, **params: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    error = caught.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]


def test_device_takes_its_update_from_start_to_end(world: World, jobs_data: Any) -> None:
    world.create()
    queued = jobs_data.get_pending_job_executions(thingName=THING)["queuedJobs"]
    assert [(one["jobId"], one["versionNumber"], one["executionNumber"]) for one in queued] == [(JOB, 1, 1)]
    assert isinstance(queued[0]["queuedAt"], int)
    execution = jobs_data.start_next_pending_job_execution(thingName=THING)["execution"]
    assert (execution["status"], execution["versionNumber"]) == ("IN_PROGRESS", 2)
    assert json.loads(execution["jobDocument"])["afr_ota"]["files"][0]["sig-sha256-rsa"] == SIGNATURE
    again = jobs_data.start_next_pending_job_execution(thingName=THING)["execution"]
    assert again == execution
    one = {"jobId": JOB, "thingName": THING}
    jobs_data.update_job_execution(**one, status="IN_PROGRESS", expectedVersion=2, statusDetails={"updatedBy": "0"})
    state = jobs_data.update_job_execution(
        **one, status="SUCCEEDED", expectedVersion=3, includeJobExecutionState=True, includeJobDocument=True
    )
    assert state["executionState"] == {"status": "SUCCEEDED", "statusDetails": {"updatedBy": "0"}, "versionNumber": 4}
    assert "afr_ota" in state["jobDocument"]
    assert jobs_data.start_next_pending_job_execution(thingName=THING).get("execution") is None
    assert world.iot.describe_job(jobId=JOB)["job"]["status"] == "COMPLETED"
    operator = world.iot.describe_job_execution(**one)["execution"]
    assert operator["statusDetails"] == {"detailsMap": {"updatedBy": "0"}}
    world.iot.delete_ota_update(otaUpdateId="lamp-1")  # a completed job needs no force


@pytest.mark.parametrize(
    ("operation", "params", "code", "status"),
    [
        ("get_pending_job_executions", {"thingName": "none"}, "ResourceNotFoundException", 404),
        ("describe_job_execution", {"jobId": "none"}, "ResourceNotFoundException", 404),
        ("describe_job_execution", {"jobId": JOB, "executionNumber": 2}, "ResourceNotFoundException", 404),
        ("update_job_execution", {"jobId": JOB, "status": "TIMED_OUT"}, "InvalidRequestException", 400),
        ("update_job_execution", {"jobId": JOB, "status": "SUCCEEDED", "expectedVersion": 9},
         "InvalidRequestException", 400),
        ("update_job_execution", {"jobId": JOB, "status": "IN_PROGRESS", "stepTimeoutInMinutes": 10081},
         "InvalidRequestException", 400),
        ("update_job_execution", {"jobId": JOB, "status": "FAILED", "statusDetails": {"a b": "x"}},
         "InvalidRequestException", 400),
    ],
)  # fmt: skip
def test_http_refusals(
    world: World, jobs_data: Any, operation: str, params: dict[str, Any], code: str, status: int
) -> None:
    world.create()
    world.info()
    assert refusal(getattr(jobs_data, operation), **{"thingName": THING, **params}) == (code, status)


def test_what_is_over_can_be_neither_described_nor_changed(world: World, jobs_data: Any) -> None:
    world.create()
    one = {"jobId": JOB, "thingName": THING}
    jobs_data.update_job_execution(**one, status="FAILED")
    assert refusal(jobs_data.describe_job_execution, **one) == ("TerminalStateException", 410)
    assert refusal(jobs_data.update_job_execution, **one, status="IN_PROGRESS") == (
        "InvalidStateTransitionException",
        409,
    )


def test_describe_next_changes_nothing_and_can_leave_out_the_document(world: World, jobs_data: Any) -> None:
    world.create()
    execution = jobs_data.describe_job_execution(jobId="$next", thingName=THING, includeJobDocument=False)["execution"]
    assert (execution["jobId"], execution["status"], execution["thingName"]) == (JOB, "QUEUED", THING)
    assert "jobDocument" not in execution


# The rules that every transport shares, on the functions themselves.


@pytest.fixture
def region() -> Region:
    """A region with thing ``a`` and no job."""
    from moto.iot.models import iot_backends

    backend = iot_backends[ACCOUNT][REGION]
    backend.reset()
    backend.create_thing("a", None, {}, None)
    now = iter(range(1_700_000_000, 1_800_000_000))
    return Sandbox(clock=lambda: float(next(now))).region(ACCOUNT, REGION)


def create(region: Region, job_id: str, **options: Any) -> Reply:
    params = {"jobId": job_id, "targets": [region.arn("thing/a")], "document": json.dumps(DOCUMENT), **options}
    return jobs.create_job(region, params)


def topics(events: list[Event]) -> list[str]:
    return [event.topic.removeprefix("$aws/things/a/jobs/") for event in events]


def test_first_job_is_told_as_notify_then_notify_next(region: Region) -> None:
    events = create(region, "j1").events
    assert topics(events) == ["notify", "notify-next"]
    listed = events[0].payload["jobs"]
    assert list(listed) == ["QUEUED"]
    assert list(listed["QUEUED"][0]) == ["jobId", "queuedAt", "lastUpdatedAt", "executionNumber", "versionNumber"]
    first = events[1].payload["execution"]
    assert list(first) == [
        "jobId", "status", "queuedAt", "lastUpdatedAt", "versionNumber", "executionNumber", "jobDocument",
    ]  # fmt: skip
    assert first["jobDocument"] == DOCUMENT
    assert isinstance(events[0].payload["timestamp"], int)


def test_second_job_is_told_as_notify_alone(region: Region) -> None:
    create(region, "j1")
    assert topics(create(region, "j2").events) == ["notify"]


def test_starting_the_first_job_and_new_details_are_silent(region: Region) -> None:
    create(region, "j1")
    started = data_plane.start_next(region, "a", {})
    assert started.events == []
    assert list(started.body["execution"]) == [
        "jobId", "status", "queuedAt", "startedAt", "lastUpdatedAt", "versionNumber", "executionNumber", "jobDocument",
    ]  # fmt: skip
    progress = {"status": "IN_PROGRESS", "statusDetails": {"receive": "1/25"}}
    assert data_plane.update(region, "a", "j1", progress).events == []
    again = data_plane.start_next(region, "a", {})
    assert list(again.body["execution"])[:3] == ["jobId", "status", "statusDetails"]
    assert again.body["execution"]["versionNumber"] == 3


def test_end_of_the_first_job_brings_the_next_one_forward(region: Region) -> None:
    create(region, "j1")
    create(region, "j2")
    events = data_plane.update(region, "a", "j1", {"status": "SUCCEEDED"}).events
    assert topics(events) == ["notify", "notify-next"]
    assert events[1].payload["execution"]["jobId"] == "j2"


def test_emptied_queue_is_told_with_nothing_but_the_time(region: Region) -> None:
    create(region, "j1")
    events = data_plane.update(region, "a", "j1", {"status": "SUCCEEDED"}).events
    assert topics(events) == ["notify", "notify-next"]
    assert events[0].payload["jobs"] == {}
    assert list(events[1].payload) == ["timestamp"]


def test_what_is_in_progress_comes_before_older_jobs(region: Region) -> None:
    create(region, "j1")
    create(region, "j2")
    events = data_plane.update(region, "a", "j2", {"status": "IN_PROGRESS"}).events
    assert topics(events) == ["notify-next"]
    assert data_plane.start_next(region, "a", {}).body["execution"]["jobId"] == "j2"
    pending = data_plane.get_pending(region, "a").body
    assert [one["jobId"] for one in pending["inProgressJobs"]] == ["j2"]
    assert [one["jobId"] for one in pending["queuedJobs"]] == ["j1"]


def test_notification_lists_at_most_ten(region: Region) -> None:
    last = [create(region, f"j{number}") for number in range(12)][-1]
    assert len(last.events[0].payload["jobs"]["QUEUED"]) == 10


def test_deleted_and_cancelled_jobs_leave_the_queue(region: Region) -> None:
    create(region, "j1")
    create(region, "j2")
    assert topics(jobs.cancel_job(region, {"jobId": "j2"}).events) == ["notify"]
    assert topics(jobs.delete_job(region, {"jobId": "j1", "force": True}).events) == ["notify", "notify-next"]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({}, "InvalidRequest"),
        ({"status": "QUEUED"}, "InvalidRequest"),
        ({"status": "IN_PROGRESS", "expectedVersion": "2"}, "VersionMismatch"),
        ({"status": "IN_PROGRESS", "expectedVersion": "one"}, "InvalidRequest"),
        ({"status": "IN_PROGRESS", "executionNumber": 7}, "ResourceNotFound"),
        ({"status": "IN_PROGRESS", "statusDetails": {str(n): "x" for n in range(11)}}, "InvalidRequest"),
        ({"status": "IN_PROGRESS", "statusDetails": {"k": "x" * 1025}}, "InvalidRequest"),
        ({"status": "IN_PROGRESS", "statusDetails": {"k": ""}}, "InvalidRequest"),
        ({"status": "IN_PROGRESS", "statusDetails": {"k": 1}}, "InvalidRequest"),
        ({"status": "IN_PROGRESS", "statusDetails": ["k"]}, "InvalidRequest"),
        ({"status": "IN_PROGRESS", "stepTimeoutInMinutes": 0}, "InvalidRequest"),
        ({"status": "IN_PROGRESS", "includeJobDocument": "yes"}, "InvalidRequest"),
    ],
)
def test_wrong_updates_have_their_codes_and_change_nothing(region: Region, request_: dict[str, Any], code: str) -> None:
    create(region, "j1")
    with pytest.raises(JobsError) as caught:
        data_plane.update(region, "a", "j1", request_)
    assert caught.value.code == code
    assert (caught.value.state is not None) == (code == "VersionMismatch")
    assert data_plane.describe(region, "a", "j1", {}).body["execution"]["versionNumber"] == 1


def test_version_mismatch_is_worded_as_captured_from_aws(region: Region) -> None:
    create(region, "j1")
    with pytest.raises(JobsError) as caught:
        data_plane.update(region, "a", "j1", {"status": "IN_PROGRESS", "expectedVersion": 99})
    assert caught.value.message == "Expected version 99 but found version 1"
    assert caught.value.state == {"status": "QUEUED", "versionNumber": 1}


def test_expected_version_may_be_text_as_devices_in_c_send_it(region: Region) -> None:
    create(region, "j1")
    data_plane.start_next(region, "a", {})
    data_plane.update(region, "a", "j1", {"status": "SUCCEEDED", "expectedVersion": "2"})
    assert region.jobs["j1"].status == "COMPLETED"


def test_rejecting_is_for_jobs_that_have_not_started(region: Region) -> None:
    create(region, "j1")
    create(region, "j2")
    data_plane.start_next(region, "a", {})
    with pytest.raises(JobsError) as caught:
        data_plane.update(region, "a", "j1", {"status": "REJECTED"})
    assert caught.value.code == "InvalidStateTransition"
    assert caught.value.state == {"status": "IN_PROGRESS", "versionNumber": 2}
    data_plane.update(region, "a", "j2", {"status": "REJECTED"})
    assert region.jobs["j2"].status == "COMPLETED"


def test_step_timer_is_replaced_cancelled_and_ends_the_execution(region: Region) -> None:
    create(region, "j1")
    told: list[Event] = []
    region.sandbox.listeners.append(lambda _account, _region, event: told.append(event))
    data_plane.start_next(region, "a", {"stepTimeoutInMinutes": 1})
    data_plane.update(region, "a", "j1", {"status": "IN_PROGRESS", "stepTimeoutInMinutes": 10})
    region.sandbox.move_clock(120)
    assert region.jobs["j1"].status == "IN_PROGRESS"
    data_plane.update(region, "a", "j1", {"status": "IN_PROGRESS", "stepTimeoutInMinutes": -1})
    region.sandbox.move_clock(1200)
    assert region.jobs["j1"].status == "IN_PROGRESS"
    data_plane.update(region, "a", "j1", {"status": "IN_PROGRESS", "stepTimeoutInMinutes": 1})
    region.sandbox.move_clock(61)
    assert region.jobs["j1"].find("a").status == "TIMED_OUT"  # type: ignore[union-attr]
    assert topics(told) == ["notify", "notify-next"]


def test_start_next_takes_details_with_it(region: Region) -> None:
    create(region, "j1")
    execution = data_plane.start_next(region, "a", {"statusDetails": {"step": "1"}}).body["execution"]
    assert execution["statusDetails"] == {"step": "1"}


def test_two_files_are_two_entries_of_one_stream(world: World) -> None:
    world.create(files=[file_entry(world.version_id), file_entry(world.version_id, fileName="ml_model image")])
    files = json.loads(world.document())["afr_ota"]["files"]
    assert [(one["filepath"], one["fileid"]) for one in files] == [("non_secure image", 0), ("ml_model image", 1)]
