"""A rollout to many devices on the screen: its calls, its counts, its failures by cause, and why it was stopped."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ota.look.failures import group_failures, why_it_was_ended
from ota.look.rollout_screens import Picture, duration_words, progress_words, segments
from ota.look.statuses import judge_rollout
from ota.look.watching import Pace
from ota.updates import jobs
from ota.updates.jobs import Execution, Job
from ota.updates.rollouts import FEW, Rollout, find_rollout
from tests.conftest import client
from tests.full_sandbox import Counts, name_of, running
from tests.look.fleet_desk import GROUP_ARN, SIGNATURE, VERSION, FleetDesk, bare_desk, fleet
from tests.look.look_desk import JOB, built
from tests.look.test_watching import Terminal, watch
from tests.peak_memory import run_measured
from tests.project import REPOSITORY_PATH, aws_environment, aws_project
from tests.sandbox.iot_calls import turn_indexing_on
from tests.sandbox_control import Control
from tests.test_output_schema import check

__all__ = ["bare_desk", "built", "fleet"]

COUNT = 24
MOST_MEMORY_BYTES = 300_000_000


def large(job_status: str = "IN_PROGRESS", *executions: Execution, size: int = 0, **counts: int) -> Rollout:
    job = Job(JOB, job_status, (GROUP_ARN,), counts=counts)
    return Rollout(JOB, job_status, executions, job, size or sum(counts.values()), is_large=True)


def failed(number: int, reason: str = SIGNATURE, status: str = "FAILED") -> Execution:
    return Execution(f"d-{number}", status, version=2, details={"reason": reason})


class TestCalls:
    def test_a_poll_is_one_call_however_many_devices_there_are(self, fleet: FleetDesk) -> None:
        fleet.roll_out(COUNT)
        fleet.fail(1, 2)
        control, seen = fleet.desk.control, []
        look = lambda: seen.append(control.operations(clear=True))  # noqa: E731
        finish = lambda: (look(), fleet.succeed(3, 4), control.clear_calls())  # noqa: E731
        control.clear_calls()
        watch(fleet.desk, look, look, finish, look, timeout_s=170.0, silence_s=1000.0)
        first, *polls = seen
        assert set(first) - {"GetOTAUpdate", "GetCallerIdentity"} == {
            "DescribeJob",
            "ListJobExecutionsForJob",
            "DescribeJobExecution",
        }
        assert polls == [["DescribeJob"]] * 3

    def test_the_first_failures_are_listed_and_described_once(
        self, fleet: FleetDesk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("ota.updates.rollouts.SAMPLE", 2)
        fleet.roll_out(COUNT)
        fleet.fail(1, 5)
        found = find_rollout(fleet.desk.iot, JOB)
        fleet.fail(6, 9)
        fleet.desk.control.clear_calls()
        again = find_rollout(fleet.desk.iot, JOB, found)
        assert fleet.desk.control.operations() == ["DescribeJob"]
        assert found is not None
        assert again is not None
        assert (found.failed_count, again.failed_count) == (5, 9)
        assert again.executions == found.executions
        assert [one.details["reason"] for one in found.executions] == [SIGNATURE] * 2

    def test_all_failed_ones_cost_a_call_a_page(self, fleet: FleetDesk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(jobs, "PAGE_SIZE", 5)
        fleet.roll_out(COUNT)
        fleet.fail(1, 14)
        fleet.desk.control.clear_calls()
        shown = fleet.desk.run("watch", "--timeout", "0", "--failed")
        lines = [line.split()[2] for line in shown.out.splitlines() if line.startswith("device ")]
        assert lines == fleet.names(1, 14)
        listings = fleet.desk.control.operations().count("ListJobExecutionsForJob")
        assert listings <= 3 + -(-jobs.PAGE_SIZE * 5 // jobs.PAGE_SIZE)  # all of them, and before that the first page

    def test_a_few_devices_are_followed_one_by_one(self, fleet: FleetDesk) -> None:
        fleet.roll_out(FEW)
        _, out, _ = watch(fleet.desk, lambda: fleet.succeed(1, 1), timeout_s=50.0)
        assert "fleet-10  QUEUED" in out
        assert "fleet-1  SUCCEEDED" in out


class TestScreen:
    def test_progress_is_a_line_every_ten_seconds_and_the_end_has_the_causes(self, fleet: FleetDesk) -> None:
        fleet.roll_out(COUNT)
        acts = [
            lambda: fleet.succeed(1, 12),
            lambda: fleet.fail(13, 15),
            lambda: fleet.fail(16, 16, VERSION),
            lambda: fleet.succeed(17, COUNT),
        ]
        status, out, _ = watch(fleet.desk, *acts, poll_s=4.0)
        lines = [line for line in out.splitlines() if " s  " in line[:10]]
        assert [line.split()[0] for line in lines] == ["0", "12", "16"]
        assert "16 of 24 finished, 66 %, 80 a minute, 6 s left: 12 SUCCEEDED, 4 FAILED, 8 QUEUED" in lines[1]
        assert status == 4
        end = out.partition(lines[-1])[2]
        assert "3 FAILED" in end
        assert "fleet-13, fleet-14, fleet-15" in end
        assert "signature" in end.lower()
        assert "fleet-16" in end
        assert end.splitlines()[-1] == "Not every device runs the update (20 SUCCEEDED, 4 FAILED)."

    def test_status_tells_the_same_without_following(self, fleet: FleetDesk) -> None:
        fleet.roll_out(COUNT)
        fleet.fail(1, 2)
        shown = fleet.desk.run("status")
        assert "2 of 24 finished, 8 %" in shown.out
        assert "devices      failed   2 FAILED" in shown.out
        assert "fleet-3" not in shown.out
        told = check("status", fleet.desk.run("status", "--json"))["job"]
        assert told["things"] == COUNT
        assert told["counts"] == {"FAILED": 2, "QUEUED": 22}
        assert [(one["count"], one["things"]) for one in told["failures"]] == [(2, ["fleet-1", "fleet-2"])]

    def test_json_has_the_counts_over_time_and_with_failed_every_failed_device(
        self, fleet: FleetDesk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("ota.updates.rollouts.SAMPLE", 2)
        fleet.roll_out(COUNT)
        fleet.fail(1, 5)
        status, out, _ = watch(fleet.desk, lambda: fleet.succeed(6, COUNT), as_json=True)
        told = json.loads(out)
        assert (status, told["verdict"], told["counts"]) == (4, "failed", {"SUCCEEDED": 19, "FAILED": 5})
        assert [one["counts"] for one in told["changes"]] == [{"FAILED": 5, "QUEUED": 19}, told["counts"]]
        assert [(one["count"], one["looked_at"], one["total"]) for one in told["failures"]] == [(2, 2, 5)]
        assert len(told["executions"]) == 2
        told = check("watch", fleet.desk.run("watch", "--json", "--failed"))
        assert [one["thing"] for one in told["executions"]] == fleet.names(1, 5)

    def test_csv_has_a_row_for_each_device(self, fleet: FleetDesk) -> None:
        fleet.roll_out(COUNT)
        fleet.fail(1, 1)
        fleet.succeed(2, COUNT)
        for task in ("watch", "status"):
            rows = list(csv.DictReader(io.StringIO(fleet.desk.run(task, "--csv").out)))
            assert {row["thing_name"] for row in rows} == set(fleet.names(1, COUNT))
            (bad,) = [row for row in rows if row["status"] == "FAILED"]
            assert "signature" in bad["cause"].lower()
            assert datetime.fromisoformat(bad["updated_at"]) <= datetime.now(timezone.utc)
        rows = list(csv.DictReader(io.StringIO(fleet.desk.run("status", "--csv", "--failed").out)))
        assert [row["thing_name"] for row in rows] == ["fleet-1"]
        fleet.desk.run("watch", "--csv", "--json").failed("leave one out")

    def test_on_a_terminal_it_is_drawn_in_place(self, fleet: FleetDesk) -> None:
        fleet.roll_out(COUNT)
        _, out, _ = watch(fleet.desk, lambda: fleet.succeed(1, 5), out=Terminal(), timeout_s=50.0)
        assert "succeeded" in out
        assert "50 s  " not in out

    @pytest.mark.parametrize("width", [40, 80, 200])
    def test_ten_thousand_devices_fit_one_screen(self, width: int) -> None:
        sample = [failed(number, reason) for number, reason in enumerate([SIGNATURE] * 15 + [VERSION] * 10)]
        sample += [failed(number, status="REJECTED") for number in range(100, 125)]
        counts = {"SUCCEEDED": 6101, "FAILED": 89, "REJECTED": 25, "IN_PROGRESS": 810, "QUEUED": 1975}
        console = Console(file=io.StringIO(), width=width, record=True)
        console.print(Picture(large("IN_PROGRESS", *sample, size=10_000, **counts), 1020.0))
        lines = console.export_text().rstrip("\n").splitlines()
        assert max(map(len, lines)) <= width
        assert len(lines) <= (24 if width >= 80 else 50)
        text = " ".join(lines)
        for told in ("6,101", "1,975", "62 %", "15 of the 25 looked at, of 89", "1,020 a minute", "4 min left"):
            assert told in " ".join(text.split()), told


class TestStops:
    def test_watch_says_which_threshold_stopped_the_rollout(self, fleet: FleetDesk) -> None:
        criteria = [
            {"failureType": kind, "action": "CANCEL", "thresholdPercentage": share, "minNumberOfExecutedThings": least}
            for kind, share, least in (("TIMED_OUT", 50, 1), ("FAILED", 10, 20))
        ]
        fleet.roll_out(COUNT, awsJobAbortConfig={"abortCriteriaList": criteria})
        fleet.succeed(1, 17)
        status, out, _ = watch(fleet.desk, lambda: fleet.fail(18, 20))
        assert status == 4
        assert "AWS stopped the rollout, as abort_when says: 3 of 20 finished devices failed (15 %)" in out
        assert "10 % of at least 20 is the limit" in out
        assert "4 CANCELED" in out.splitlines()[-1]

    def test_somebody_s_own_reason_is_told(self, fleet: FleetDesk) -> None:
        fleet.roll_out(COUNT)
        cancel = lambda: fleet.desk.iot.cancel_job(jobId=JOB, reasonCode="WRONG_IMAGE", comment="of Monday")  # noqa: E731
        _, out, _ = watch(fleet.desk, cancel)
        assert "The job was cancelled: WRONG_IMAGE of Monday." in out

    def test_devices_that_are_not_offered_it_yet_are_waited_for(self, fleet: FleetDesk) -> None:
        fleet.roll_out(COUNT, awsJobExecutionsRolloutConfig={"maximumPerMinute": 10})
        fleet.succeed(1, 1)
        found = [one.thing_name for one in jobs.list_executions(fleet.desk.iot, JOB)]
        fleet.end(sorted(set(found) - {"fleet-1"}), "SUCCEEDED")
        fleet.desk.control.clear_calls()
        status, out, _ = watch(fleet.desk, lambda: None, timeout_s=90.0)
        assert (status, "10 of 24 finished, 41 %, 14 not offered yet" in out) == (3, True), out
        assert fleet.desk.control.operations().count("ListThingsInThingGroup") == 1

    def test_a_job_that_stays_open_for_later_devices_is_done_when_all_of_now_are(self, fleet: FleetDesk) -> None:
        fleet.roll_out(COUNT, targetSelection="CONTINUOUS")
        fleet.succeed(1, COUNT)
        status, out, _ = watch(fleet.desk)
        assert (status, out.splitlines()[-1]) == (0, "Done: every device runs the update (24 SUCCEEDED).")

    def test_a_job_with_no_threshold_of_its_own_tells_its_reason(self) -> None:
        assert why_it_was_ended(Job(JOB, "COMPLETED", ())) == ""
        assert str(why_it_was_ended(Job(JOB, "CANCELED", (), reason_code="ABORT"))) == "The job was cancelled: ABORT."


GROUPS: dict[str, tuple[Rollout, list[tuple[str, int, str]]]] = {
    "all looked at": (
        large("X", failed(1), failed(10), failed(9, VERSION), FAILED=3),
        [("2 FAILED", 2, "d-1, d-10"), ("1 FAILED", 1, "d-9")],
    ),
    "one cause among the first": (large("X", failed(1), failed(2), FAILED=90), [("90 FAILED", 90, "d-1, d-2")]),
    "two causes among the first": (
        large("X", failed(1), failed(2), failed(3, VERSION), FAILED=90),
        [("2 of the 3 looked at, of 90 FAILED", 2, "d-1, d-2"), ("1 of the 3 looked at, of 90 FAILED", 1, "d-3")],
    ),
    "by status": (
        large("X", failed(1), Execution("d-2", "TIMED_OUT"), FAILED=1, TIMED_OUT=1),
        [("1 FAILED", 1, "d-1"), ("1 TIMED_OUT", 1, "d-2")],
    ),
    "a reason that nobody knows": (large("X", failed(1, "?"), FAILED=1), [("1 FAILED", 1, "d-1")]),
    "none": (large("X", SUCCEEDED=20), []),
}


@pytest.mark.parametrize(("found", "wanted"), GROUPS.values(), ids=GROUPS)
def test_failures_are_grouped_by_cause(found: Rollout, wanted: list[tuple[str, int, str]]) -> None:
    groups = group_failures(found)
    assert [(f"{one.size} {one.status}", one.likely_count, ", ".join(one.names)) for one in groups] == wanted


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (large(SUCCEEDED=20), "done"),
        (large(SUCCEEDED=19, QUEUED=1), "in progress"),
        (large(SUCCEEDED=19, size=20), "in progress"),
        (large(SUCCEEDED=19, FAILED=1), "failed"),
        (large(SUCCEEDED=19, REMOVED=1), "failed"),
        (large("CANCELED", SUCCEEDED=1, IN_PROGRESS=19), "in progress"),
        (large("CANCELED", SUCCEEDED=1, CANCELED=19), "failed"),
    ],
    ids=lambda one: one if isinstance(one, str) else str(dict(one.counts())),
)
def test_the_verdict_goes_by_the_counts(found: Rollout, verdict: str) -> None:
    assert judge_rollout(found).word == verdict


def test_every_state_that_there_is_has_its_place_in_the_bar() -> None:
    found = dict(segments({"SUCCEEDED": 9_990, "FAILED": 1, "QUEUED": 9}, 10_000, 40))
    assert found == {"SUCCEEDED": 38, "FAILED": 1, "QUEUED": 1}
    assert dict(segments({"SUCCEEDED": 188, "FAILED": 8, "REJECTED": 4}, 200, 70)) == {
        "SUCCEEDED": 67, "FAILED": 2, "REJECTED": 1,
    }  # fmt: skip
    assert sum(dict(segments({"SUCCEEDED": 30, "QUEUED": 20}, 100, 70)).values()) == 35
    assert segments({}, 0, 70) == []


def test_the_pace_is_that_of_the_last_two_minutes() -> None:
    pace, rates = Pace(), []
    for now_s, finished in ((0, 0), (60, 30), (120, 60), (180, 60), (240, 60), (300, 60)):
        pace.take(now_s, finished)
        rates.append(pace.rate)
    assert rates == [None, 30, 30, 15, None, None]


def test_time_left_is_in_its_largest_unit() -> None:
    assert [duration_words(s) for s in (0, 99, 240, 5999, 9000, 400_000)] == [
        "0 s", "99 s", "4 min", "100 min", "2.5 h", "4.6 d",
    ]  # fmt: skip
    assert "less than one a minute" in progress_words(large(SUCCEEDED=1, QUEUED=19), 0.2)


@pytest.mark.long
def test_ten_thousand_devices_are_watched_in_little_memory(tmp_path: Path, built: Path) -> None:
    """With the list of all that failed and the report, which list every device."""
    with running(tmp_path / "sandbox", Counts(things=10_000, certificates=0, policies=0, attached=0)) as address:
        project = aws_project(tmp_path / "project", address)
        project.put_image(built)
        project.run_here("all").done()
        clients: Callable[[str], Any] = lambda service: client(service, address)  # noqa: E731
        iot, jobs_data = clients("iot"), clients("iot-jobs-data")
        turn_indexing_on(iot)
        iot.create_dynamic_thing_group(thingGroupName="all", queryString="thingName:bulk-*")
        made = iot.get_ota_update(otaUpdateId="lamp_update")["otaUpdateInfo"]
        role = clients("iam").get_role(RoleName="lamp_role")["Role"]["Arn"]
        iot.delete_ota_update(otaUpdateId="lamp_update", deleteStream=True, forceDeleteAWSJob=True)
        iot.create_ota_update(
            otaUpdateId="lamp_update",
            targets=[GROUP_ARN.replace("fleet", "all")],
            roleArn=role,
            files=made["otaUpdateFiles"],
            additionalParameters=made["additionalParameters"],
        )
        for number in range(1000):
            jobs_data.start_next_pending_job_execution(thingName=name_of(number))
            jobs_data.update_job_execution(jobId=JOB, thingName=name_of(number), status="FAILED")
        environ = {**project.environ, **aws_environment(address), "PYTHONPATH": str(REPOSITORY_PATH)}
        Control(address).clear_calls()
        watched, peak_bytes = run_measured(
            project.root_path, environ, "watch", "--timeout=4", "--failed", "--report=r.html"
        )
        assert watched.status == 4, watched.text
        assert "1,000 of 10,000 finished" in watched.text
        assert peak_bytes < MOST_MEMORY_BYTES
        assert Control(address).operations().count("ListJobExecutionsForJob") <= 10_000 // 250 + 1000 // 250 + 2
