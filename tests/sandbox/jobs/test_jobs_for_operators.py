"""Jobs and job executions from the operator's side: targets, rollout, limits, cancelling, deleting."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conftest import ACCOUNT, REGION
from tests.sandbox_control import Control

DOCUMENT = json.dumps({"do": "it"})
BASE = f"arn:aws:iot:{REGION}:{ACCOUNT}"


def thing_arn(name: str) -> str:
    return f"{BASE}:thing/{name}"


def group_arn(name: str) -> str:
    return f"{BASE}:thinggroup/{name}"


def refusal(call: Any, **params: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    error = caught.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]


def make_job(iot: Any, job_id: str = "j1", *targets: str, **options: Any) -> None:
    for name in targets or ("a",):
        iot.create_thing(thingName=name)
    arns = [thing_arn(name) for name in targets or ("a",)]
    iot.create_job(**{"jobId": job_id, "targets": arns, "document": DOCUMENT, **options})


def statuses(iot: Any, job_id: str = "j1") -> dict[str, str]:
    """Thing to status of its execution."""
    found = iot.list_job_executions_for_job(jobId=job_id)["executionSummaries"]
    return {one["thingArn"].rsplit("/", 1)[1]: one["jobExecutionSummary"]["status"] for one in found}


def finish(jobs_data: Any, thing: str, status: str = "SUCCEEDED", job_id: str = "j1") -> None:
    jobs_data.update_job_execution(jobId=job_id, thingName=thing, status=status)


def test_new_job_is_in_progress_and_queued_on_its_thing(iot: Any) -> None:
    make_job(iot, description="first")
    job = iot.describe_job(jobId="j1")["job"]
    assert job["status"] == "IN_PROGRESS"
    assert job["targetSelection"] == "SNAPSHOT"
    assert job["description"] == "first"
    assert job["jobProcessDetails"]["numberOfQueuedThings"] == 1
    execution = iot.describe_job_execution(jobId="j1", thingName="a")["execution"]
    assert execution["status"] == "QUEUED"
    assert execution["versionNumber"] == 1
    assert execution["executionNumber"] == 1
    assert execution["thingArn"] == thing_arn("a")
    assert "startedAt" not in execution
    assert iot.get_job_document(jobId="j1")["document"] == DOCUMENT


@pytest.mark.parametrize(
    ("changes", "code", "status"),
    [
        ({"jobId": "a b"}, "InvalidRequestException", 400),
        ({"jobId": "x" * 65}, "InvalidRequestException", 400),
        ({"targets": [thing_arn("nobody")]}, "ResourceNotFoundException", 404),
        ({"targets": [group_arn("nobody")]}, "ResourceNotFoundException", 404),
        ({"targets": [thing_arn("a")] * 101}, "LimitExceededException", 410),
        ({"document": "{not json"}, "InvalidRequestException", 400),
        ({"document": json.dumps("x" * 32768)}, "InvalidRequestException", 400),
        ({"document": '"${aws:iot:s3-presigned-url:https://s3.amazonaws.com/b/k}"'}, "InvalidRequestException", 400),
        ({"documentSource": "https://s3.amazonaws.com/b/k"}, "InvalidRequestException", 400),
        ({"timeoutConfig": {"inProgressTimeoutInMinutes": 10081}}, "InvalidRequestException", 400),
        ({"presignedUrlConfig": {"expiresInSec": 3601}}, "InvalidRequestException", 400),
        ({"jobExecutionsRolloutConfig": {"maximumPerMinute": 1001}}, "InvalidRequestException", 400),
        ({"schedulingConfig": {"startTime": "tomorrow"}}, "InvalidRequestException", 400),
        ({"schedulingConfig": {"maintenanceWindows": [{"startTime": "cron(0 0 * * ? *)", "durationInMinutes": 60}]}},
         "InvalidRequestException", 400),
    ],
    ids=[
        "space in id", "id too long", "unknown thing", "unknown group", "too many targets", "bad document",
        "document too large", "presigned without role", "document twice", "timeout too long", "url too long",
        "rollout too fast", "no date", "maintenance windows",
    ],
)  # fmt: skip
def test_wrong_requests_are_refused(iot: Any, changes: dict[str, Any], code: str, status: int) -> None:
    iot.create_thing(thingName="a")
    request = {"jobId": "j1", "targets": [thing_arn("a")], "document": DOCUMENT, **changes}
    assert refusal(iot.create_job, **request) == (code, status)
    assert iot.list_jobs()["jobs"] == []


def test_id_in_use_is_a_conflict(iot: Any) -> None:
    make_job(iot)
    request = {"jobId": "j1", "targets": [thing_arn("a")], "document": DOCUMENT}
    assert refusal(iot.create_job, **request) == ("ResourceAlreadyExistsException", 409)


def test_document_is_read_from_s3(iot: Any, s3: Any) -> None:
    s3.create_bucket(Bucket="jobdocs", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="jobdocs", Key="one.json", Body=b'{"from":"s3"}')
    source = f"https://s3.{REGION}.amazonaws.com/jobdocs/one.json"
    iot.create_thing(thingName="a")
    iot.create_job(jobId="j1", targets=[thing_arn("a")], documentSource=source)
    assert iot.get_job_document(jobId="j1")["document"] == '{"from":"s3"}'
    assert iot.describe_job(jobId="j1")["documentSource"] == source


def test_groups_are_expanded_with_the_groups_below_and_each_thing_once(iot: Any) -> None:
    for name in "abc":
        iot.create_thing(thingName=name)
    iot.create_thing_group(thingGroupName="top")
    iot.create_thing_group(thingGroupName="below", parentGroupName="top")
    iot.add_thing_to_thing_group(thingGroupName="top", thingName="a")
    iot.add_thing_to_thing_group(thingGroupName="below", thingName="b")
    iot.create_job(jobId="j1", targets=[group_arn("top"), thing_arn("a"), thing_arn("c")], document=DOCUMENT)
    assert statuses(iot) == {"a": "QUEUED", "b": "QUEUED", "c": "QUEUED"}


def test_snapshot_completes_when_every_execution_is_over(iot: Any, jobs_data: Any) -> None:
    make_job(iot, "j1", "a", "b")
    finish(jobs_data, "a")
    assert iot.describe_job(jobId="j1")["job"]["status"] == "IN_PROGRESS"
    finish(jobs_data, "b", "FAILED")
    job = iot.describe_job(jobId="j1")["job"]
    assert job["status"] == "COMPLETED"
    assert job["completedAt"] >= job["createdAt"]
    assert job["jobProcessDetails"]["numberOfSucceededThings"] == 1
    assert job["jobProcessDetails"]["numberOfFailedThings"] == 1


def test_snapshot_of_an_empty_group_is_complete_at_once(iot: Any) -> None:
    iot.create_thing_group(thingGroupName="empty")
    iot.create_job(jobId="j1", targets=[group_arn("empty")], document=DOCUMENT)
    assert iot.describe_job(jobId="j1")["job"]["status"] == "COMPLETED"


def test_snapshot_does_not_reach_things_that_join_later(iot: Any) -> None:
    iot.create_thing(thingName="a")
    iot.create_thing(thingName="b")
    iot.create_thing_group(thingGroupName="g")
    iot.add_thing_to_thing_group(thingGroupName="g", thingName="a")
    iot.create_job(jobId="j1", targets=[group_arn("g")], document=DOCUMENT)
    iot.add_thing_to_thing_group(thingGroupName="g", thingName="b")
    assert statuses(iot) == {"a": "QUEUED"}


def test_continuous_stays_in_progress_follows_its_group_and_removes_leavers(iot: Any, jobs_data: Any) -> None:
    for name in "abc":
        iot.create_thing(thingName=name)
    iot.create_thing_group(thingGroupName="g")
    iot.add_thing_to_thing_group(thingGroupName="g", thingName="a")
    iot.create_job(jobId="j1", targets=[group_arn("g")], document=DOCUMENT, targetSelection="CONTINUOUS")
    finish(jobs_data, "a")
    assert iot.describe_job(jobId="j1")["job"]["status"] == "IN_PROGRESS"
    iot.add_thing_to_thing_group(thingGroupName="g", thingName="b")
    iot.add_thing_to_thing_group(thingGroupName="g", thingName="c")
    iot.remove_thing_from_thing_group(thingGroupName="g", thingName="b")
    assert statuses(iot) == {"a": "SUCCEEDED", "b": "REMOVED", "c": "QUEUED"}


def test_deleted_thing_leaves_its_job(iot: Any, jobs_data: Any) -> None:
    make_job(iot, "j1", "a", "b")
    finish(jobs_data, "a")
    iot.delete_thing(thingName="b")
    job = iot.describe_job(jobId="j1")["job"]
    assert job["jobProcessDetails"]["numberOfRemovedThings"] == 1
    assert job["status"] == "COMPLETED"


def test_targets_are_added_to_a_continuous_job_only(iot: Any) -> None:
    make_job(iot, "snap", "a")
    make_job(iot, "cont", "a", targetSelection="CONTINUOUS")
    iot.create_thing(thingName="b")
    more = {"targets": [thing_arn("b")]}
    assert refusal(iot.associate_targets_with_job, jobId="snap", **more) == ("InvalidRequestException", 400)
    iot.associate_targets_with_job(jobId="cont", **more)
    assert statuses(iot, "cont") == {"a": "QUEUED", "b": "QUEUED"}


def test_rollout_reaches_its_number_of_things_each_minute(iot: Any, control: Control) -> None:
    make_job(iot, "j1", "a", "b", "c", jobExecutionsRolloutConfig={"maximumPerMinute": 2})
    assert len(statuses(iot)) == 2
    control.advance_clock(60)
    assert len(statuses(iot)) == 3


def test_exponential_rollout_grows_with_the_things_told(iot: Any, control: Control) -> None:
    names = [f"t{number}" for number in range(8)]
    rate = {"baseRatePerMinute": 1, "incrementFactor": 2.0, "rateIncreaseCriteria": {"numberOfNotifiedThings": 1}}
    make_job(iot, "j1", *names, jobExecutionsRolloutConfig={"exponentialRate": rate})
    reached = [len(statuses(iot))]
    for _ in range(2):
        control.advance_clock(60)
        reached.append(len(statuses(iot)))
    assert reached == [1, 3, 8]


@pytest.mark.parametrize(("kind", "aborted"), [("FAILED", True), ("ALL", True), ("REJECTED", False)])
def test_abort_criteria_cancel_what_is_still_queued(iot: Any, jobs_data: Any, kind: str, aborted: bool) -> None:
    criteria = {"failureType": kind, "action": "CANCEL", "thresholdPercentage": 50.0, "minNumberOfExecutedThings": 2}
    make_job(iot, "j1", "a", "b", "c", abortConfig={"criteriaList": [criteria]})
    finish(jobs_data, "a", "FAILED")
    assert statuses(iot)["c"] == "QUEUED"
    finish(jobs_data, "b", "SUCCEEDED")
    assert iot.describe_job(jobId="j1")["job"]["status"] == ("CANCELED" if aborted else "IN_PROGRESS")
    assert statuses(iot)["c"] == ("CANCELED" if aborted else "QUEUED")


def test_execution_in_progress_times_out(iot: Any, jobs_data: Any, control: Control) -> None:
    make_job(iot, "j1", "a", timeoutConfig={"inProgressTimeoutInMinutes": 5})
    control.advance_clock(600)  # the timer starts with IN_PROGRESS
    jobs_data.start_next_pending_job_execution(thingName="a")
    assert (
        0
        < iot.describe_job_execution(jobId="j1", thingName="a")["execution"]["approximateSecondsBeforeTimedOut"]
        <= 300
    )
    control.advance_clock(200)
    jobs_data.update_job_execution(jobId="j1", thingName="a", status="IN_PROGRESS")  # does not set it back
    control.advance_clock(101)
    assert statuses(iot) == {"a": "TIMED_OUT"}
    assert iot.describe_job(jobId="j1")["job"]["status"] == "COMPLETED"


def test_failed_execution_is_tried_again_as_often_as_allowed(iot: Any, jobs_data: Any) -> None:
    criteria = {"failureType": "FAILED", "numberOfRetries": 1}
    make_job(iot, "j1", "a", jobExecutionsRetryConfig={"criteriaList": [criteria]})
    finish(jobs_data, "a", "FAILED")
    execution = iot.describe_job_execution(jobId="j1", thingName="a")["execution"]
    assert (execution["executionNumber"], execution["status"]) == (2, "QUEUED")
    finish(jobs_data, "a", "FAILED")
    assert iot.describe_job(jobId="j1")["job"]["status"] == "COMPLETED"
    numbers = [
        one["jobExecutionSummary"]["executionNumber"]
        for one in iot.list_job_executions_for_thing(thingName="a")["executionSummaries"]
    ]
    assert sorted(numbers) == [1, 2]


def test_scheduled_job_starts_when_its_time_comes(iot: Any, control: Control) -> None:
    make_job(iot, "j1", "a", schedulingConfig={"startTime": "2999-01-01T00:00:00Z", "endTime": "2999-01-02T00:00:00Z"})
    assert iot.describe_job(jobId="j1")["job"]["status"] == "SCHEDULED"
    assert statuses(iot) == {}
    control.advance_clock(1000 * 366 * 86400)
    assert iot.describe_job(jobId="j1")["job"]["status"] == "IN_PROGRESS"


def test_cancel_leaves_what_is_in_progress_unless_forced(iot: Any, jobs_data: Any) -> None:
    make_job(iot, "j1", "a", "b")
    jobs_data.start_next_pending_job_execution(thingName="a")
    iot.cancel_job(jobId="j1", reasonCode="WRONG", comment="wrong image")
    job = iot.describe_job(jobId="j1")["job"]
    assert (job["status"], job["reasonCode"], job["comment"]) == ("CANCELED", "WRONG", "wrong image")
    assert statuses(iot) == {"a": "IN_PROGRESS", "b": "CANCELED"}
    assert refusal(iot.cancel_job, jobId="j1", force=True) == ("InvalidRequestException", 400)


def test_forced_cancel_ends_what_is_in_progress(iot: Any, jobs_data: Any) -> None:
    make_job(iot)
    jobs_data.start_next_pending_job_execution(thingName="a")
    iot.cancel_job(jobId="j1", force=True)
    assert iot.describe_job_execution(jobId="j1", thingName="a")["execution"]["forceCanceled"] is True
    assert statuses(iot) == {"a": "CANCELED"}


def test_delete_needs_force_while_the_job_runs_and_frees_the_id(iot: Any) -> None:
    make_job(iot)
    assert refusal(iot.delete_job, jobId="j1") == ("InvalidStateTransitionException", 409)
    iot.delete_job(jobId="j1", force=True)
    assert refusal(iot.describe_job, jobId="j1") == ("ResourceNotFoundException", 404)
    assert iot.list_job_executions_for_thing(thingName="a")["executionSummaries"] == []
    make_job(iot)
    assert statuses(iot) == {"a": "QUEUED"}


def test_deletion_takes_a_while_and_only_ten_go_at_once(iot: Any, jobs_data: Any, control: Control) -> None:
    control.pause(60)
    for number in range(11):
        make_job(iot, f"j{number}")
    for number in range(10):
        iot.delete_job(jobId=f"j{number}", force=True)
    assert iot.describe_job(jobId="j3")["job"]["status"] == "DELETION_IN_PROGRESS"
    assert refusal(iot.delete_job, jobId="j10", force=True) == ("LimitExceededException", 410)
    pending = jobs_data.get_pending_job_executions(thingName="a")["queuedJobs"]
    assert [one["jobId"] for one in pending] == ["j10"]
    control.advance_clock(120)
    assert [job["jobId"] for job in iot.list_jobs()["jobs"]] == ["j10"]


@pytest.mark.parametrize("operation", ["describe_job", "get_job_document", "cancel_job", "delete_job", "update_job"])
def test_unknown_job_is_not_found(iot: Any, operation: str) -> None:
    assert refusal(getattr(iot, operation), jobId="nobody") == ("ResourceNotFoundException", 404)


def test_list_jobs_pages_and_filters(iot: Any) -> None:
    for job_id in ("j1", "j2", "j3"):
        make_job(iot, job_id)
    iot.cancel_job(jobId="j2")
    pages = list(iot.get_paginator("list_jobs").paginate(PaginationConfig={"PageSize": 2}))
    assert [[job["jobId"] for job in page["jobs"]] for page in pages] == [["j3", "j2"], ["j1"]]
    assert [job["jobId"] for job in iot.list_jobs(status="CANCELED")["jobs"]] == ["j2"]


def test_update_job_changes_what_is_given(iot: Any) -> None:
    make_job(iot, description="old", timeoutConfig={"inProgressTimeoutInMinutes": 5})
    iot.update_job(jobId="j1", description="new")
    job = iot.describe_job(jobId="j1")["job"]
    assert (job["description"], job["timeoutConfig"]) == ("new", {"inProgressTimeoutInMinutes": 5})


def test_cancel_execution_wants_force_for_one_in_progress_and_the_right_version(iot: Any, jobs_data: Any) -> None:
    make_job(iot)
    one = {"jobId": "j1", "thingName": "a"}
    assert refusal(iot.cancel_job_execution, **one, expectedVersion=9) == ("VersionConflictException", 409)
    jobs_data.start_next_pending_job_execution(thingName="a")
    assert refusal(iot.cancel_job_execution, **one) == ("InvalidStateTransitionException", 409)
    iot.cancel_job_execution(**one, force=True, expectedVersion=2, statusDetails={"why": "stuck"})
    execution = iot.describe_job_execution(**one)["execution"]
    assert (execution["status"], execution["versionNumber"]) == ("CANCELED", 3)
    assert execution["statusDetails"] == {"detailsMap": {"why": "stuck"}}
    assert refusal(iot.cancel_job_execution, **one, force=True) == ("InvalidStateTransitionException", 409)
    assert iot.describe_job(jobId="j1")["job"]["status"] == "COMPLETED"


def test_delete_execution_wants_force_while_it_is_not_over(iot: Any) -> None:
    make_job(iot)
    one = {"jobId": "j1", "thingName": "a", "executionNumber": 1}
    assert refusal(iot.delete_job_execution, **one) == ("InvalidStateTransitionException", 409)
    iot.delete_job_execution(**one, force=True)
    assert refusal(iot.describe_job_execution, jobId="j1", thingName="a") == ("ResourceNotFoundException", 404)


def test_executions_of_an_unknown_thing_are_not_found(iot: Any) -> None:
    assert refusal(iot.list_job_executions_for_thing, thingName="x") == ("ResourceNotFoundException", 404)


def test_job_tags_follow_the_job(iot: Any) -> None:
    make_job(iot, tags=[{"Key": "k", "Value": "v"}])
    arn = f"{BASE}:job/j1"
    assert iot.list_tags_for_resource(resourceArn=arn)["tags"] == [{"Key": "k", "Value": "v"}]
    iot.delete_job(jobId="j1", force=True)
    make_job(iot)
    assert iot.list_tags_for_resource(resourceArn=arn)["tags"] == []
