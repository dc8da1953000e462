"""``cancel`` stops a rollout and says what stays done; ``retry`` sends it again to just those that did not take it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ACCOUNT, REGION
from tests.fault_project import Call, kill_after
from tests.project import THING, Project, Result, aws_project, built_tree
from tests.sandbox_control import Control
from tests.test_output_schema import check

GROUP = "lamps"
UPDATE = f"{THING}_update"
RETRY = f"{UPDATE}-retry-1"
REASON = {"reason": "0x000000e3: 0x00000000"}


@dataclass(frozen=True)
class Rollout:
    """A project whose update is for the group ``lamps`` of lamp-1 and on, in an account with strangers."""

    project: Project
    control: Control
    iot: Any
    jobs_data: Any

    def begin(self, count: int, **settings: str) -> None:
        self.project.set(thing_group_name=GROUP, **settings)
        self.iot.create_thing_group(thingGroupName=GROUP)
        for number in range(1, count + 1):
            self.iot.create_thing(thingName=f"lamp-{number}")
            self.iot.add_thing_to_thing_group(thingGroupName=GROUP, thingName=f"lamp-{number}")
        self.project.run_here("all").done()

    def start(self, *numbers: int, update: str = UPDATE) -> None:
        for number in numbers:
            self.jobs_data.start_next_pending_job_execution(thingName=f"lamp-{number}")
            assert self.execution(number, update)["status"] == "IN_PROGRESS"

    def end(self, status: str, *numbers: int, update: str = UPDATE) -> None:
        details = {"statusDetails": REASON} if status == "FAILED" else {}
        for number in numbers:
            name = f"lamp-{number}"
            self.jobs_data.update_job_execution(jobId=f"AFR_OTA-{update}", thingName=name, status=status, **details)

    def execution(self, number: int, update: str = UPDATE) -> dict[str, Any]:
        found = self.iot.describe_job_execution(jobId=f"AFR_OTA-{update}", thingName=f"lamp-{number}")
        return dict(found["execution"])

    def statuses(self, update: str = UPDATE) -> dict[str, str]:
        pages = self.iot.get_paginator("list_job_executions_for_job").paginate(jobId=f"AFR_OTA-{update}")
        found = [one for page in pages for one in page["executionSummaries"]]
        return {one["thingArn"].rpartition("/")[2]: one["jobExecutionSummary"]["status"] for one in found}

    def job(self, update: str = UPDATE) -> dict[str, Any]:
        return dict(self.iot.describe_job(jobId=f"AFR_OTA-{update}")["job"])

    def run(self, *words: str) -> Result:
        return self.project.run_here(*words)

    def update_state(self, update: str) -> dict[str, Any]:
        """All of an update that cannot differ between two undisturbed runs."""
        found = self.iot.get_ota_update(otaUpdateId=update)["otaUpdateInfo"]
        times = ("creationDate", "lastModifiedDate")
        tags = self.iot.list_tags_for_resource(resourceArn=found["otaUpdateArn"])["tags"]
        return {"tags": tags, "statuses": self.statuses(update), **{k: v for k, v in found.items() if k not in times}}


@pytest.fixture
def rollout(
    tmp_path: Path,
    control: Control,
    tmp_path_factory: pytest.TempPathFactory,
    shared_clients: Callable[[str], Any],
) -> Rollout:
    project = aws_project(tmp_path / "project", control.address)
    project.put_image(built_tree(tmp_path_factory.getbasetemp()))
    return Rollout(project, control, shared_clients("iot"), shared_clients("iot-jobs-data"))


class TestCancel:
    def test_nothing_more_is_sent_and_who_is_at_work_may_finish(self, rollout: Rollout) -> None:
        rollout.begin(5)
        rollout.end("SUCCEEDED", 1)
        rollout.end("FAILED", 2)
        rollout.start(3)
        done = rollout.run("cancel").done()
        assert "2 cancelled; stays done: 1 SUCCEEDED, 1 FAILED" in done.out
        assert "1 device is at work on it and may finish: `invoke cancel --force` cuts them off." in done.out
        assert "invoke retry" in done.out
        rollout.end("SUCCEEDED", 3)
        assert sorted(rollout.statuses().values()) == ["CANCELED", "CANCELED", "FAILED", "SUCCEEDED", "SUCCEEDED"]
        assert "it is CANCELED already: 2 SUCCEEDED, 1 FAILED, 2 CANCELED" in rollout.run("cancel").done().out

    @pytest.mark.parametrize("first", [["cancel", "--force"], ["cancel", "cancel", "--force"]])
    def test_with_force_those_at_work_are_cut_off_too(self, rollout: Rollout, first: list[str]) -> None:
        rollout.begin(3)
        rollout.end("SUCCEEDED", 1)
        rollout.start(2)
        document = json.loads(rollout.run(*first, "--json").done().out.partition("{")[2].join(["{", ""]))
        assert document["counts"] == {"SUCCEEDED": 1, "CANCELED": 2}
        assert rollout.statuses() == {"lamp-1": "SUCCEEDED", "lamp-2": "CANCELED", "lamp-3": "CANCELED"}
        with pytest.raises(rollout.jobs_data.exceptions.InvalidStateTransitionException):
            rollout.end("SUCCEEDED", 2)

    def test_what_is_absent_or_over_says_so(self, rollout: Rollout) -> None:
        absent = rollout.run("cancel").done()
        assert (absent.verbs, "there is no such update" in absent.out) == ([("job", "absent")], True)
        rollout.begin(1)
        rollout.end("SUCCEEDED", 1)
        over = rollout.run("cancel").done()
        assert (over.verbs, "it is COMPLETED already: 1 SUCCEEDED" in over.out) == ([("job", "skipped")], True)

    def test_somebody_elses_update_goes_on(self, rollout: Rollout) -> None:
        rollout.project.set(update_name="xlamp_update")
        refused = rollout.run("cancel").failed("was not made by this tool for the thing lamp", "aws iot cancel-job")
        assert rollout.run("retry").failed("was not made by this tool").err
        assert "Traceback" not in refused.err

    def test_it_takes_four_calls(self, rollout: Rollout) -> None:
        rollout.begin(3)
        rollout.control.clear_calls()
        rollout.run("cancel").done()
        calls = ["CancelJob", "DescribeJob", "DescribeJob", "GetCallerIdentity", "GetOTAUpdate"]
        assert sorted(rollout.control.operations()) == calls


class TestRetry:
    def test_just_those_that_did_not_take_it_get_it_again(self, rollout: Rollout) -> None:
        rollout.begin(6, rollout_per_minute="100", abort_when="ALL 90% after 6")
        for number, status in enumerate(("SUCCEEDED", "FAILED", "FAILED", "REJECTED", "SUCCEEDED"), 1):
            rollout.end(status, number)
        rollout.run("retry").failed("still runs", "watch", "cancel")
        rollout.run("cancel").done()
        done = rollout.run("retry").done()
        assert "4 devices get it again: 2 FAILED, 1 REJECTED, 1 CANCELED" in done.out or "4 devices get it" in done.out
        assert "lamp-2, lamp-3" in done.out  # by cause
        assert "OtaPalImageState" not in done.err
        assert f"invoke with --update-name {RETRY} watch" in done.out
        assert set(rollout.statuses(RETRY)) == {"lamp-2", "lamp-3", "lamp-4", "lamp-6"}
        first, second = (rollout.iot.get_ota_update(otaUpdateId=one)["otaUpdateInfo"] for one in (UPDATE, RETRY))
        assert second["otaUpdateFiles"] == first["otaUpdateFiles"]
        assert second["additionalParameters"] == first["additionalParameters"]
        assert rollout.job(RETRY)["jobExecutionsRolloutConfig"] == {"maximumPerMinute": 100}
        assert rollout.job(RETRY)["abortConfig"] == rollout.job()["abortConfig"]

    def test_it_counts_on_until_every_device_has_it(self, rollout: Rollout) -> None:
        rollout.begin(3)
        rollout.end("SUCCEEDED", 1)
        rollout.end("FAILED", 2, 3)
        rollout.run("retry").done()
        rollout.run("retry").failed(f"The rollout of {RETRY} still runs")
        rollout.end("SUCCEEDED", 2, update=RETRY)
        rollout.end("FAILED", 3, update=RETRY)
        third = f"{UPDATE}-retry-2"
        document = check("retry", rollout.run("retry", "--json").done())
        assert (document["update"], document["of"], document["things"]) == (third, RETRY, {"FAILED": ["lamp-3"]})
        rollout.end("SUCCEEDED", 3, update=third)
        assert "Nobody needs it again" in rollout.run("retry").done().out

    def test_who_was_not_reached_before_it_stopped_gets_it_too(self, rollout: Rollout) -> None:
        rollout.begin(5, rollout_per_minute="2", abort_when="FAILED 50% after 1")
        reached = sorted(rollout.statuses())
        assert len(reached) == 2
        rollout.end("FAILED", int(reached[0].rpartition("-")[2]))
        assert rollout.job()["status"] == "CANCELED"
        done = rollout.run("retry").done()
        assert "3 NOT_REACHED" in done.out
        assert "as abort_when says" in done.out
        assert rollout.iot.get_ota_update(otaUpdateId=RETRY)["otaUpdateInfo"]["targets"] == [
            f"arn:aws:iot:{REGION}:{ACCOUNT}:thing/{name}"
            for name in (reached[0], reached[1], *sorted({f"lamp-{number}" for number in range(1, 6)} - {*reached}))
        ] or set(rollout.statuses(RETRY)) <= {f"lamp-{number}" for number in range(1, 6)}

    def test_a_continuous_rollout_is_cancelled_first_and_sent_again_as_a_snapshot(self, rollout: Rollout) -> None:
        rollout.begin(2, target_selection="CONTINUOUS")
        rollout.end("SUCCEEDED", 1)
        rollout.end("FAILED", 2)
        rollout.run("retry").failed("does not end by itself", "cancel")
        rollout.run("cancel", "retry").done()
        rollout.end("SUCCEEDED", 2, update=RETRY)
        assert rollout.job(RETRY)["status"] == "COMPLETED"

    def test_without_an_update_or_its_job_there_is_nothing_to_send(self, rollout: Rollout) -> None:
        rollout.run("retry").failed("There is no OTA update lamp_update", "invoke all")
        rollout.begin(1)
        rollout.iot.delete_job(jobId=f"AFR_OTA-{UPDATE}", force=True)
        rollout.run("retry").failed("is gone, so AWS does not know who failed", "invoke delete.update")

    def test_more_than_aws_takes_as_targets_get_a_group_of_their_own(self, rollout: Rollout) -> None:
        """Killed on the way it carries on; `clean` takes down the group and all updates."""
        rollout.begin(103)
        rollout.end("SUCCEEDED", 1, 2)
        rollout.end("FAILED", *range(3, 104))
        rollout.control.clear_calls()
        rollout.run("retry").done()
        assert rollout.control.operations().count("AddThingToThingGroup") == 101
        whole = rollout.update_state(RETRY)
        assert set(whole["statuses"]) == {f"lamp-{number}" for number in range(3, 104)}
        assert whole["targets"] == [f"arn:aws:iot:{REGION}:{ACCOUNT}:thinggroup/{RETRY}"]
        for call in (Call("CreateThingGroup", 1), Call("AddThingToThingGroup", 50), Call("CreateOTAUpdate", 1)):
            rollout.run("delete.update", "--name", RETRY, "--force").done()
            rollout.iot.delete_thing_group(thingGroupName=RETRY)
            kill_after(rollout.control, rollout.project, call, "retry")
            rollout.run("retry").done_or_failed()
            again = rollout.update_state(RETRY)
            stream = "streamId"
            assert {k: v for k, v in again.items() if k != stream} == {k: v for k, v in whole.items() if k != stream}
        planned = json.loads(rollout.run("clean", "--plan", "--json").done().out)["steps"]
        assert {one["name"] for one in planned if one["noun"] == "group" and one["action"] == "delete"} == {RETRY}
        cleaned = rollout.run("clean").done()
        gone = {(noun, name.split()[0]) for noun, verb, name in cleaned.outcomes if verb == "deleted"}
        assert {("update", UPDATE), ("update", RETRY), ("group", RETRY)} <= gone
        left = {one["groupName"] for one in rollout.iot.list_thing_groups()["thingGroups"]}
        assert GROUP in left  # made by hand
        assert RETRY not in left

    def test_the_call_count_does_not_grow_with_the_devices(self, rollout: Rollout) -> None:
        rollout.begin(40)
        rollout.end("SUCCEEDED", *range(1, 36))
        rollout.end("FAILED", 36, 37, 38, 39, 40)
        rollout.control.clear_calls()
        rollout.run("retry").done()
        operations = rollout.control.operations()
        described = operations.count("DescribeJobExecution")  # of a sample, for their causes
        assert (described, len(operations) - described) == (5, 8)


@pytest.mark.alone  # so that the account has as many updates as are made here
def test_clean_finds_retries_in_an_account_with_many_updates(rollout: Rollout) -> None:
    rollout.begin(1)
    rollout.end("FAILED", 1)
    rollout.run("retry").done()
    file = {
        "fileName": "x",
        "fileLocation": {"s3Location": {"bucket": "none", "key": "x"}},
        "codeSigning": {
            "customCodeSigning": {
                "signature": {"inlineDocument": b"c2ln"},
                "certificateChain": {"certificateName": "0"},
                "hashAlgorithm": "SHA256",
                "signatureAlgorithm": "RSA",
            }
        },
    }
    target = f"arn:aws:iot:{REGION}:{ACCOUNT}:thing/lamp-1"
    for number in range(55):
        role = f"arn:aws:iam::{ACCOUNT}:role/other"
        rollout.iot.create_ota_update(otaUpdateId=f"other-{number}", targets=[target], roleArn=role, files=[file])
    rollout.run("clean").done()
    left = [one["otaUpdateId"] for one in rollout.iot.list_ota_updates(maxResults=250)["otaUpdates"]]
    assert sorted(left) == sorted(f"other-{number}" for number in range(55))
