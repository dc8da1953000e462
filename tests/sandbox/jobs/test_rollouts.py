"""Jobs for many things: who gets one and when, when a rollout stops by itself, and what is told of it on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config

from ota.sandbox.process import Address
from tests.conftest import ACCOUNT, REGION, client
from tests.full_sandbox import Counts, name_of, running
from tests.sandbox.iot_calls import refused, turn_indexing_on
from tests.sandbox_control import Control
from tests.sandbox_world import World

INVALID = ("InvalidRequestException", 400)
BASE = f"arn:aws:iot:{REGION}:{ACCOUNT}"
NAMES = ("a", "b", "c", "d")


def thing_arn(name: str) -> str:
    return f"{BASE}:thing/{name}"


def group_arn(name: str) -> str:
    return f"{BASE}:thinggroup/{name}"


def criteria(kind: str = "FAILED", percentage: float = 50, least: int = 1) -> dict[str, Any]:
    least_things = {"minNumberOfExecutedThings": least}
    return {"failureType": kind, "action": "CANCEL", "thresholdPercentage": percentage, **least_things}


def exponential(factor: float = 2, **increase: int) -> dict[str, Any]:
    rate = {"baseRatePerMinute": 1, "incrementFactor": factor, "rateIncreaseCriteria": increase}
    return {"exponentialRate": rate}


@pytest.fixture
def fleet(iot: Any, jobs_data: Any) -> Fleet:
    """Four things in the group ``lamps``, and a stranger with a group and a job of its own."""
    for name in (*NAMES, "late", "stranger"):
        iot.create_thing(thingName=name)
    for group in ("lamps", "strangers"):
        iot.create_thing_group(thingGroupName=group)
    for name in NAMES:
        iot.add_thing_to_thing_group(thingGroupName="lamps", thingName=name)
    iot.add_thing_to_thing_group(thingGroupName="strangers", thingName="stranger")
    iot.create_job(jobId="others", targets=[group_arn("strangers")], document="{}", targetSelection="CONTINUOUS")
    return Fleet(iot, jobs_data)


class Fleet:
    """One job for the group ``lamps``."""

    def __init__(self, iot: Any, jobs_data: Any) -> None:
        self.iot = iot
        self.jobs_data = jobs_data

    def create(self, *targets: str, **options: Any) -> None:
        arns = [group_arn("lamps")] if not targets else list(targets)
        self.iot.create_job(**{"jobId": "j", "targets": arns, "document": json.dumps({"do": "it"}), **options})

    def job(self, job_id: str = "j") -> dict[str, Any]:
        found: dict[str, Any] = self.iot.describe_job(jobId=job_id)["job"]
        return found

    def counts(self) -> dict[str, int]:
        """Status to number of things, zeros left out."""
        details = self.job()["jobProcessDetails"]
        named = {name.removeprefix("numberOf").removesuffix("Things"): value for name, value in details.items()}
        return {name: value for name, value in named.items() if name != "processingTargets" and value}

    def statuses(self, **options: Any) -> dict[str, str]:
        found = self.iot.list_job_executions_for_job(jobId="j", **options)["executionSummaries"]
        return {one["thingArn"].rsplit("/", 1)[1]: one["jobExecutionSummary"]["status"] for one in found}

    def start(self, *names: str) -> None:
        for name in names:
            self.jobs_data.start_next_pending_job_execution(thingName=name)

    def finish(self, status: str, *names: str) -> None:
        for name in names:
            self.jobs_data.update_job_execution(jobId="j", thingName=name, status=status)

    def join(self, name: str, group: str = "lamps") -> None:
        self.iot.add_thing_to_thing_group(thingGroupName=group, thingName=name)

    def leave(self, name: str, group: str = "lamps") -> None:
        self.iot.remove_thing_from_thing_group(thingGroupName=group, thingName=name)


def test_what_leaves_a_continuous_job_is_dropped_unless_it_has_begun(fleet: Fleet) -> None:
    fleet.create(targetSelection="CONTINUOUS", jobExecutionsRolloutConfig={"maximumPerMinute": 3})
    fleet.start("a")
    fleet.finish("SUCCEEDED", "c")
    for name in NAMES:
        fleet.leave(name)
    assert fleet.statuses() == {"a": "IN_PROGRESS", "b": "REMOVED", "c": "SUCCEEDED"}
    assert fleet.job()["isConcurrent"] is False
    fleet.finish("SUCCEEDED", "a")
    assert fleet.counts() == {"Succeeded": 2, "Removed": 1}
    assert fleet.job()["status"] == "IN_PROGRESS"
    assert fleet.job("others")["jobProcessDetails"]["numberOfQueuedThings"] == 1


def test_who_joins_a_continuous_job_gets_it_within_the_rate(fleet: Fleet, control: Control) -> None:
    fleet.create(targetSelection="CONTINUOUS", jobExecutionsRolloutConfig={"maximumPerMinute": 5})
    fleet.join("late")
    assert fleet.counts() == {"Queued": 5}
    fleet.join("stranger")
    assert (fleet.counts(), fleet.job()["isConcurrent"]) == ({"Queued": 5}, True)
    control.advance_clock(60)
    assert (fleet.counts(), fleet.job()["isConcurrent"]) == ({"Queued": 6}, False)
    fleet.leave("late")
    fleet.join("late")
    assert fleet.statuses()["late"] == "QUEUED"
    fleet.finish("SUCCEEDED", "a")
    fleet.leave("a")
    fleet.join("a")
    assert fleet.statuses()["a"] == "SUCCEEDED"


def test_a_group_that_goes_takes_its_members_out_of_a_continuous_job(fleet: Fleet) -> None:
    fleet.create(group_arn("lamps"), thing_arn("d"), targetSelection="CONTINUOUS")
    fleet.iot.delete_thing_group(thingGroupName="lamps")
    assert fleet.statuses() == {"a": "REMOVED", "b": "REMOVED", "c": "REMOVED", "d": "QUEUED"}


def test_groups_below_and_dynamic_groups_are_followed_too(fleet: Fleet) -> None:
    iot = fleet.iot
    turn_indexing_on(iot)
    iot.create_dynamic_thing_group(thingGroupName="north", queryString="attributes.hall:north")
    iot.create_thing_group(thingGroupName="house")
    iot.create_thing_group(thingGroupName="hall", parentGroupName="house")
    fleet.create(group_arn("house"), group_arn("north"), targetSelection="CONTINUOUS")
    assert fleet.statuses() == {}
    fleet.join("a", "hall")
    iot.update_thing(thingName="b", attributePayload={"attributes": {"hall": "north"}})
    iot.create_thing(thingName="new", attributePayload={"attributes": {"hall": "north"}})
    assert fleet.statuses() == {"a": "QUEUED", "b": "QUEUED", "new": "QUEUED"}
    iot.update_thing(thingName="b", attributePayload={"attributes": {"hall": "south"}})
    iot.update_thing_groups_for_thing(thingName="a", thingGroupsToRemove=["hall"])
    assert fleet.statuses() == {"a": "REMOVED", "b": "REMOVED", "new": "QUEUED"}


def test_a_snapshot_keeps_who_was_there_but_not_who_is_gone(fleet: Fleet, control: Control) -> None:
    fleet.create(jobExecutionsRolloutConfig={"maximumPerMinute": 2})
    fleet.leave("d")
    fleet.join("late")
    for name in ("a", "c"):
        fleet.iot.delete_thing(thingName=name)
    control.advance_clock(60)
    assert fleet.statuses() == {"a": "REMOVED", "b": "QUEUED", "d": "QUEUED"}


def test_minutes_that_the_clock_jumped_over_are_made_up(fleet: Fleet, control: Control) -> None:
    fleet.create(jobExecutionsRolloutConfig={"maximumPerMinute": 1})
    assert fleet.counts() == {"Queued": 1}
    control.advance_clock(125)
    assert fleet.counts() == {"Queued": 3}
    control.advance_clock(50)
    assert fleet.counts() == {"Queued": 3}
    control.advance_clock(5)
    assert fleet.counts() == {"Queued": 4}


@pytest.mark.parametrize(
    ("increase", "most", "expected"),
    [
        pytest.param({"numberOfNotifiedThings": 1}, {}, [1, 3, 4], id="told"),
        pytest.param({"numberOfNotifiedThings": 1}, {"maximumPerMinute": 1}, [1, 2, 3], id="at most one"),
        pytest.param({"numberOfSucceededThings": 1}, {}, [1, 2, 3], id="nobody succeeds"),
    ],
)
def test_an_exponential_rollout_grows_by_its_criterion(
    fleet: Fleet, control: Control, increase: dict[str, int], most: dict[str, int], expected: list[int]
) -> None:
    fleet.create(jobExecutionsRolloutConfig={**exponential(**increase), **most})
    reached = [len(fleet.statuses())]
    for _ in range(2):
        control.advance_clock(60)
        reached.append(len(fleet.statuses()))
    assert reached == expected


def test_successes_make_a_rollout_faster_from_the_next_minute_on(fleet: Fleet, control: Control) -> None:
    fleet.create(jobExecutionsRolloutConfig=exponential(factor=3, numberOfSucceededThings=1))
    fleet.finish("SUCCEEDED", "a")
    assert fleet.statuses() == {"a": "SUCCEEDED"}
    control.advance_clock(60)
    assert fleet.counts() == {"Succeeded": 1, "Queued": 3}


ABORTS: dict[str, tuple[dict[str, Any], tuple[str, ...], bool]] = {
    "enough failed": (criteria(percentage=50, least=2), ("FAILED", "SUCCEEDED"), True),
    "too few executed": (criteria(percentage=50, least=3), ("FAILED", "SUCCEEDED"), False),
    "a third is enough": (criteria(percentage=33.33, least=3), ("FAILED", "SUCCEEDED", "SUCCEEDED"), True),
    "a third is not enough": (criteria(percentage=33.34, least=3), ("FAILED", "SUCCEEDED", "SUCCEEDED"), False),
    "rejected": (criteria("REJECTED", 50, 1), ("REJECTED",), True),
    "rejected is not failed": (criteria("FAILED", 50, 1), ("REJECTED",), False),
    "all kinds together": (criteria("ALL", 60, 3), ("REJECTED", "FAILED", "SUCCEEDED"), True),
    "nobody failed": (criteria(percentage=0, least=1), ("SUCCEEDED",), False),
}


@pytest.mark.parametrize("case", ABORTS)
def test_a_job_aborts_when_a_criterion_is_met(fleet: Fleet, case: str) -> None:
    given, statuses, aborts = ABORTS[case]
    never = criteria("TIMED_OUT", 100, 4)
    fleet.create(abortConfig={"criteriaList": [never, given]})
    for name, status in zip(NAMES, statuses, strict=False):
        assert fleet.job()["status"] == "IN_PROGRESS"
        fleet.finish(status, name)
    job = fleet.job()
    assert job["status"] == ("CANCELED" if aborts else "IN_PROGRESS")
    assert job.get("reasonCode") == ("ABORT_CRITERIA_MET" if aborts else None)
    left = len(NAMES) - len(statuses)
    assert fleet.counts()["Canceled" if aborts else "Queued"] == left
    assert fleet.job("others")["status"] == "IN_PROGRESS"


def test_an_abort_lets_go_on_what_has_begun_and_stops_what_waits(
    fleet: Fleet, jobs_data: Any, control: Control
) -> None:
    config = {"maximumPerMinute": 3}
    fleet.create(abortConfig={"criteriaList": [criteria(least=1)]}, jobExecutionsRolloutConfig=config)
    fleet.start("b")
    fleet.finish("FAILED", "a")
    assert fleet.statuses() == {"a": "FAILED", "b": "IN_PROGRESS", "c": "CANCELED"}
    assert jobs_data.get_pending_job_executions(thingName="c")["queuedJobs"] == []
    fleet.finish("SUCCEEDED", "b")
    control.advance_clock(120)
    assert fleet.statuses() == {"a": "FAILED", "b": "SUCCEEDED", "c": "CANCELED"}
    assert refused(fleet.iot.cancel_job, jobId="j", force=True) == INVALID


def test_devices_that_are_stuck_time_out_and_count_for_the_abort(fleet: Fleet, control: Control) -> None:
    fleet.create(
        timeoutConfig={"inProgressTimeoutInMinutes": 5}, abortConfig={"criteriaList": [criteria("TIMED_OUT", 50, 2)]}
    )
    fleet.start("a")
    control.advance_clock(60)
    fleet.start("b")
    control.advance_clock(240)
    assert (fleet.counts(), fleet.job()["status"]) == ({"TimedOut": 1, "InProgress": 1, "Queued": 2}, "IN_PROGRESS")
    control.advance_clock(60)
    assert (fleet.counts(), fleet.job()["status"]) == ({"TimedOut": 2, "Canceled": 2}, "CANCELED")


def test_cancelling_keeps_what_is_done_and_force_cuts_off_what_is_at_work(fleet: Fleet) -> None:
    fleet.create()
    fleet.start("a", "b")
    fleet.finish("SUCCEEDED", "a")
    fleet.iot.cancel_job(jobId="j", force=True, reasonCode="WRONG_IMAGE")
    assert fleet.counts() == {"Succeeded": 1, "Canceled": 3}
    assert (fleet.job()["forceCanceled"], fleet.job()["reasonCode"]) == (True, "WRONG_IMAGE")
    update = {"jobId": "j", "thingName": "b", "status": "SUCCEEDED"}
    assert refused(fleet.jobs_data.update_job_execution, **update) == ("InvalidStateTransitionException", 409)


def test_a_retried_execution_is_counted_once(fleet: Fleet) -> None:
    retries = {"criteriaList": [{"failureType": "ALL", "numberOfRetries": 1}]}
    fleet.create(thing_arn("a"), jobExecutionsRetryConfig=retries)
    fleet.finish("FAILED", "a")
    assert fleet.counts() == {"Queued": 1}
    assert fleet.statuses(status="FAILED") == {"a": "FAILED"}
    fleet.iot.delete_job_execution(jobId="j", thingName="a", executionNumber=2, force=True)
    assert fleet.counts() == {"Failed": 1}
    fleet.iot.delete_job_execution(jobId="j", thingName="a", executionNumber=1)
    assert (fleet.counts(), fleet.statuses()) == ({}, {})


def test_a_rollout_tells_what_it_works_on_until_all_are_told(fleet: Fleet, control: Control) -> None:
    fleet.create(group_arn("lamps"), thing_arn("late"), jobExecutionsRolloutConfig={"maximumPerMinute": 4})
    assert fleet.job()["jobProcessDetails"]["processingTargets"] == [group_arn("lamps")]
    assert fleet.job()["isConcurrent"] is True
    control.advance_clock(60)
    assert "processingTargets" not in fleet.job()["jobProcessDetails"]
    assert fleet.job()["isConcurrent"] is False
    [brief] = [one for one in fleet.iot.list_jobs()["jobs"] if one["jobId"] == "j"]
    assert brief["isConcurrent"] is False


def test_executions_are_listed_by_status_in_pages(fleet: Fleet) -> None:
    fleet.create()
    fleet.finish("FAILED", "b", "d")
    fleet.start("c")
    assert fleet.statuses(status="FAILED") == {"b": "FAILED", "d": "FAILED"}
    assert fleet.statuses(status="TIMED_OUT") == {}
    pages = fleet.iot.get_paginator("list_job_executions_for_job").paginate(
        jobId="j", status="FAILED", PaginationConfig={"PageSize": 1}
    )
    assert [len(page["executionSummaries"]) for page in pages] == [1, 1]
    assert refused(fleet.iot.list_job_executions_for_job, jobId="j", maxResults=251) == INVALID
    assert refused(fleet.iot.list_job_executions_for_job, jobId="j", status="GONE") == INVALID


ROLLOUTS: dict[str, dict[str, Any]] = {
    "nothing a minute": {"maximumPerMinute": 0},
    "too many a minute": {"maximumPerMinute": 1001},
    "base too high": {"exponentialRate": {**exponential(numberOfNotifiedThings=1)["exponentialRate"],
                                          "baseRatePerMinute": 1001}},
    "factor too small": exponential(factor=1, numberOfNotifiedThings=1),
    "factor too large": exponential(factor=5.1, numberOfNotifiedThings=1),
    "factor with two digits": exponential(factor=1.55, numberOfNotifiedThings=1),
    "no criterion": exponential(),
    "two criteria": exponential(numberOfNotifiedThings=1, numberOfSucceededThings=1),
    "criterion of nothing": exponential(numberOfSucceededThings=0),
}  # fmt: skip
THRESHOLDS: dict[str, dict[str, Any]] = {
    "more than all": criteria(percentage=100.01),
    "less than nothing": criteria(percentage=-1),
    "three digits": criteria(percentage=10.999),
    "of nobody": criteria(least=0),
    "another kind": criteria("REMOVED"),
    "another action": {**criteria(), "action": "WAIT"},
}
MINUTES = {"no minute": 0, "more than a week": 10081}


@pytest.fixture(scope="module")
def unchecked(sandbox: Address) -> Any:
    """A client that sends what botocore itself would refuse."""
    config = Config(parameter_validation=False, retries={"total_max_attempts": 1})
    return client("iot", sandbox, config=config)


def wrong_configs() -> list[Any]:
    """For a job and for an update: the names of the same three configurations, with one thing wrong in each."""
    rollouts = [
        pytest.param({"jobExecutionsRolloutConfig": one}, {"awsJobExecutionsRolloutConfig": one}, id=name)
        for name, one in ROLLOUTS.items()
    ]
    thresholds = [
        pytest.param(
            {"abortConfig": {"criteriaList": [one]}}, {"awsJobAbortConfig": {"abortCriteriaList": [one]}}, id=name
        )
        for name, one in THRESHOLDS.items()
    ]
    timeouts = [{"inProgressTimeoutInMinutes": one} for one in MINUTES.values()]
    minutes = [
        pytest.param({"timeoutConfig": one}, {"awsJobTimeoutConfig": one}, id=name)
        for name, one in zip(MINUTES, timeouts, strict=True)
    ]
    return [*rollouts, *thresholds, *minutes]


@pytest.mark.parametrize(("for_job", "for_update"), wrong_configs())
def test_wrong_rollouts_thresholds_and_timeouts_are_refused(
    fleet: Fleet, unchecked: Any, for_job: dict[str, Any], for_update: dict[str, Any]
) -> None:
    request = {"jobId": "j", "targets": [group_arn("lamps")], "document": "{}"}
    assert refused(unchecked.create_job, **request, **for_job) == INVALID
    world = World(unchecked, None, None, "")
    assert refused(world.create, **for_update) == INVALID
    assert [job["jobId"] for job in fleet.iot.list_jobs()["jobs"]] == ["others"]
    assert fleet.iot.list_ota_updates()["otaUpdates"] == []


def test_an_update_reaches_the_group_in_stages_and_stops_by_its_criteria(
    world: World, jobs_data: Any, control: Control
) -> None:
    fleet = Fleet(world.iot, jobs_data)
    world.iot.create_thing_group(thingGroupName="lamps")
    for name in NAMES:
        world.iot.create_thing(thingName=name)
        fleet.join(name)
    world.create(
        targets=[group_arn("lamps")],
        targetSelection="CONTINUOUS",
        awsJobExecutionsRolloutConfig={"maximumPerMinute": 2},
        awsJobAbortConfig={"abortCriteriaList": [criteria("ALL", 75, 2)]},
        awsJobTimeoutConfig={"inProgressTimeoutInMinutes": 5},
    )
    job_id = "AFR_OTA-lamp-1"
    job = fleet.job(job_id)
    assert job["jobProcessDetails"]["numberOfQueuedThings"] == 2
    assert job["abortConfig"] == {"criteriaList": [criteria("ALL", 75, 2)]}
    control.advance_clock(60)
    fleet.start(*NAMES)
    jobs_data.update_job_execution(jobId=job_id, thingName="a", status="SUCCEEDED")
    assert fleet.job(job_id)["status"] == "IN_PROGRESS"
    world.iot.create_thing(thingName="late")
    fleet.join("late")
    assert fleet.job(job_id)["jobProcessDetails"]["processingTargets"] == [group_arn("lamps")]
    control.advance_clock(300)
    job = fleet.job(job_id)
    details = job["jobProcessDetails"]
    assert (job["status"], details["numberOfSucceededThings"]) == ("CANCELED", 1)
    assert (details["numberOfTimedOutThings"], details["numberOfCanceledThings"]) == (3, 1)
    assert job["reasonCode"] == "ABORT_CRITERIA_MET"


@pytest.mark.long
def test_ten_thousand_things_cost_a_request_no_more_than_ten(tmp_path: Path) -> None:
    """A poll, a device's request, and a change of the registry, beside a job for all of them."""
    small, large = (cost_of_requests(tmp_path / str(count), count) for count in (10, 10_000))
    assert large < 3 * small + 0.5


def cost_of_requests(directory: Path, count: int) -> float:
    """Seconds of the sandbox's processor for three hundred requests."""
    with running(directory, Counts(things=count, certificates=0, policies=0, attached=0)) as address:
        iot, jobs_data, control = client("iot", address), client("iot-jobs-data", address), Control(address)
        turn_indexing_on(iot)
        iot.create_dynamic_thing_group(thingGroupName="all", queryString="thingName:bulk-*")
        iot.create_job(jobId="j", targets=[group_arn("all")], document="{}", targetSelection="CONTINUOUS")
        assert iot.describe_job(jobId="j")["job"]["jobProcessDetails"]["numberOfQueuedThings"] == count
        begun = control.health()["cpu_s"]
        for number in range(100):
            name = name_of(number % 10)
            iot.describe_job(jobId="j")
            jobs_data.start_next_pending_job_execution(thingName=name)
            iot.update_thing(thingName=name, attributePayload={"attributes": {"n": str(number)}})
        return float(control.health()["cpu_s"]) - begun
