"""How one thing stands: its objects, its update, its device, and the one sentence that they come to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from ota.errors import CloudError, OtaError
from ota.look.screens import age
from ota.look.statuses import ObjectState, State, Verdict, judge
from ota.nouns import NOUNS
from ota.outcomes import Action, Change
from ota.updates.jobs import Execution
from ota.updates.requests import Update
from ota.updates.rollouts import Rollout, find_rollout
from tests.look.look_desk import JOB, POLICY, ROLE, UPDATE, Desk, built, desk
from tests.project import THING

__all__ = ["built", "desk"]

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
WELL = ObjectState(Change("bucket", Action.REUSE, "b"), State.OK)
AMISS = ObjectState(Change("policy", Action.CHANGE, "p"), State.DIFFERS)
UNSEEN = ObjectState(Change("header", Action.SKIP, "h"), State.UNKNOWN)
REFUSED = ObjectState(Change("policy", Action.BLOCKED, "p", is_unseen=True), State.UNKNOWN)
SILENT = CloudError("AWS said nothing.")


def update(status: str = "CREATE_COMPLETE") -> Update:
    return Update(UPDATE, "arn", status)


def rollout(*statuses: str, job: str = "IN_PROGRESS") -> Rollout:
    return Rollout(JOB, job, tuple(Execution(f"{THING}-{number}", status) for number, status in enumerate(statuses)))


VERDICTS: dict[str, tuple[Update | OtaError | None, Rollout | OtaError | None, ObjectState, Verdict]] = {
    "no update": (None, None, WELL, Verdict.NOT_SET_UP),
    "being made": (update("CREATE_PENDING"), None, WELL, Verdict.IN_PROGRESS),
    "being deleted": (update("DELETE_IN_PROGRESS"), None, WELL, Verdict.IN_PROGRESS),
    "could not be made": (update("CREATE_FAILED"), None, WELL, Verdict.FAILED),
    "could not be deleted": (update("DELETE_FAILED"), rollout("SUCCEEDED"), WELL, Verdict.FAILED),
    "its job is gone": (update(), None, WELL, Verdict.FAILED),
    "no device reached yet": (update(), rollout(), WELL, Verdict.IN_PROGRESS),
    "waiting for the device": (update(), rollout("QUEUED"), AMISS, Verdict.IN_PROGRESS),
    "one failed and one is at work": (update(), rollout("FAILED", "IN_PROGRESS"), WELL, Verdict.FAILED),
    "timed out": (update(), rollout("TIMED_OUT"), WELL, Verdict.FAILED),
    "canceled before any device": (update(), rollout(job="CANCELED"), WELL, Verdict.FAILED),
    "succeeded": (update(), rollout("SUCCEEDED", "SUCCEEDED"), WELL, Verdict.DONE),
    "succeeded, and no firmware tree here": (update(), rollout("SUCCEEDED"), UNSEEN, Verdict.DONE),
    "succeeded, and something drifted since": (update(), rollout("SUCCEEDED"), AMISS, Verdict.NOT_SET_UP),
    "nobody knows of the update": (SILENT, rollout("SUCCEEDED"), WELL, Verdict.UNKNOWN),
    "nobody knows of the job": (update(), SILENT, AMISS, Verdict.UNKNOWN),
    "no update, and nobody knows of a job": (None, SILENT, WELL, Verdict.NOT_SET_UP),
    "could not be made, and nobody knows of a job": (update("CREATE_FAILED"), SILENT, WELL, Verdict.FAILED),
    "succeeded, and nobody knows of the policy": (update(), rollout("SUCCEEDED"), REFUSED, Verdict.UNKNOWN),
}


@pytest.mark.parametrize(("found", "job", "one", "verdict"), VERDICTS.values(), ids=VERDICTS)
def test_the_verdict(
    found: Update | OtaError | None, job: Rollout | OtaError | None, one: ObjectState, verdict: Verdict
) -> None:
    assert judge((one,), found, job) is verdict


def test_every_verdict_has_an_exit_status_of_its_own_and_none_is_that_of_an_error() -> None:
    statuses = [verdict.value for verdict in Verdict]
    assert len(set(statuses)) == len(statuses)
    assert 1 not in statuses


def test_before_anything_everything_is_missing(desk: Desk) -> None:
    told = desk.look("status", status=2)
    states = {one["noun"]: one["state"] for one in told["objects"]}
    on_aws = {noun.name for noun in NOUNS if noun.listed and noun.set_up and noun.teardown}
    assert {noun for noun, state in states.items() if state == "missing"} == on_aws
    assert (told["verdict"], told["command"], told["job"]) == ("not set up", "invoke all", None)


def test_set_up_it_waits_for_the_device(desk: Desk) -> None:
    desk.set_up()
    told = desk.look("status", status=3)
    assert {one["state"] for one in told["objects"]} == {"ok"}
    assert told["job"]["counts"] == {"QUEUED": 1}
    assert told["command"] == "invoke watch"


def test_a_device_s_progress_and_versions_are_told(desk: Desk) -> None:
    desk.set_up()
    desk.take_job()
    desk.report("IN_PROGRESS", receive="12/146", updatedBy="10")
    (device,) = desk.look("status", status=3)["job"]["executions"]
    assert (device["thing"], device["received"], device["details"]["updatedBy"]) == (THING, [12, 146], "10")
    assert "IN_PROGRESS, 12 of 146 blocks, updatedBy: 10" in desk.run("status").out


def test_a_failure_is_decoded(desk: Desk) -> None:
    desk.set_up()
    desk.take_job()
    desk.report("FAILED", reason="rejected: 0x00000010")
    result = desk.run("status")
    assert result.status == 4
    assert "rejected: 0x00000010" in result.out
    assert "version" in result.out.partition("rejected: 0x00000010")[2]


def test_an_object_that_may_not_be_looked_at_is_unknown_and_not_blocked(desk: Desk) -> None:
    desk.set_up()
    desk.take_job()
    desk.report("SUCCEEDED")
    desk.control.fail("GetEffectivePolicies", "access-denied", times=0)
    told = desk.look("status", status=5)
    assert {one["noun"] for one in told["objects"] if one["state"] == "unknown"} == {"policy"}
    assert "iot:GetEffectivePolicies" in told["unknown"]["policy"]
    assert (told["verdict"], told["exit_status"], told["command"]) == ("unknown", 5, "invoke status")


def test_another_image_whose_device_may_not_be_looked_at_leaves_the_update_unknown(desk: Desk) -> None:
    desk.set_up()
    desk.project.set(image_file_name="secure image")
    desk.control.fail("DescribeJobExecution", "access-denied", times=0)
    told = desk.look("status", status=5)
    assert set(told["unknown"]) == {"update", "job"}
    assert desk.run("plan").status == 1


def test_success_is_one_sentence(desk: Desk) -> None:
    desk.set_up()
    desk.take_job()
    desk.report("SUCCEEDED", reason="accepted v1.2.3")
    assert f"{THING} is set up, and runs the update." in desk.run("status").done().out


def drop_policy_action(desk: Desk) -> None:
    desk.iot.create_policy_version(
        policyName=POLICY,
        policyDocument='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:Connect","Resource":"*"}]}',
        setAsDefault=True,
    )


def drop_role(desk: Desk) -> None:
    desk.iam.delete_role_policy(RoleName=ROLE, PolicyName="ota-tasks")
    desk.iam.delete_role(RoleName=ROLE)


DRIFTS: dict[str, tuple[Callable[[Desk], None], str, str]] = {
    "policy": (drop_policy_action, "policy", "differs"),
    "role": (drop_role, "role", "missing"),
    "image": (lambda desk: desk.project.image_path.unlink(), "image", "missing"),
    "header": (
        lambda desk: desk.project.header_path.write_text(desk.project.header_path.read_text().replace(THING, "x")),
        "header",
        "blocked",
    ),
}


@pytest.mark.parametrize(("drift", "noun", "state"), DRIFTS.values(), ids=DRIFTS)
def test_drift_is_told_even_where_the_update_succeeded(
    desk: Desk, drift: Callable[[Desk], None], noun: str, state: str
) -> None:
    desk.set_up()
    desk.take_job()
    desk.report("SUCCEEDED")
    desk.project.set(skip_build="false")
    drift(desk)
    told = desk.look("status", status=2)
    assert {one["noun"]: one["state"] for one in told["objects"]}[noun] == state
    assert told["command"] == ("invoke doctor" if state == "blocked" else "invoke all")
    assert f"{state}: {noun}" in desk.run("status").out


def test_an_update_that_could_not_be_made_says_why(desk: Desk) -> None:
    desk.make_foreign_update(is_ours=True)
    result = desk.run("status")
    assert result.status == 4
    assert "did not take the update" in result.out
    assert "gone" in result.out


def test_a_job_that_is_gone_leaves_no_rollout(desk: Desk) -> None:
    assert find_rollout(desk.iot, JOB) is None


def test_what_was_over_is_not_described_again(desk: Desk) -> None:
    desk.set_up()
    desk.take_job()
    desk.report("SUCCEEDED", reason="accepted v1")
    first = find_rollout(desk.iot, JOB)
    desk.control.clear_calls()
    assert find_rollout(desk.iot, JOB, first) == first
    assert "DescribeJobExecution" not in desk.control.operations()


def test_an_execution_deleted_in_between_is_told_as_it_was_listed(desk: Desk) -> None:
    desk.set_up()
    desk.control.fail("DescribeJobExecution", code="ResourceNotFoundException", status=404)
    found = find_rollout(desk.iot, JOB)
    assert found is not None
    assert [(one.status, one.version) for one in found.executions] == [("QUEUED", 0)]


def test_executions_deleted_with_their_job_are_none(desk: Desk) -> None:
    desk.set_up()
    desk.control.fail("ListJobExecutionsForJob", code="ResourceNotFoundException", status=404)
    found = find_rollout(desk.iot, JOB)
    assert found is not None
    assert found.executions == ()


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (timedelta(seconds=-3), "0 s ago"),
        (timedelta(seconds=59), "59 s ago"),
        (timedelta(minutes=3), "3 min ago"),
        (timedelta(hours=5), "5 h ago"),
        (timedelta(days=2, hours=3), "2 d ago"),
    ],
    ids=str,
)
def test_age_in_words(ago: timedelta, words: str) -> None:
    assert age(NOW - ago, NOW) == words


def test_what_nobody_knows_has_no_age() -> None:
    assert age(None, NOW) == ""


@pytest.mark.parametrize(
    ("details", "received"),
    [({"receive": "3/10"}, (3, 10)), ({"receive": "3/0"}, None), ({"receive": "x"}, None), ({}, None)],
    ids=str,
)
def test_received_blocks(details: dict[str, str], received: Any) -> None:
    assert Execution(THING, "IN_PROGRESS", details=details).received == received
