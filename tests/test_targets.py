"""An update for a thing group: planned, made, replaced, looked at and cleaned, at the cost of one for a thing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ota.sandbox.process import Address
from tests.conftest import ACCOUNT, REGION
from tests.project import THING, Project, aws_project, built_tree
from tests.sandbox_control import Control

GROUP = "lamps"
UPDATE = f"{THING}_update"
JOB = f"AFR_OTA-{UPDATE}"
GROUP_ARN = f"arn:aws:iot:{REGION}:{ACCOUNT}:thinggroup/{GROUP}"
# Of one thing AWS is asked for its part of the job; of a group for the job.
SAME = {"DescribeJobExecution": "DescribeJob"}


@pytest.fixture
def project(tmp_path: Path, clean_sandbox: Address, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = aws_project(tmp_path / "project", clean_sandbox)
    project.put_image(built_tree(tmp_path_factory.getbasetemp()))
    return project


@pytest.fixture
def iot(shared_clients: Callable[[str], Any]) -> Any:
    return shared_clients("iot")


def make_group(iot: Any, count: int = 3, name: str = GROUP) -> None:
    iot.create_thing_group(thingGroupName=name)
    for number in range(1, count + 1):
        iot.create_thing(thingName=f"{name}-{number}")
        iot.add_thing_to_thing_group(thingGroupName=name, thingName=f"{name}-{number}")


def step(project: Project, noun: str, status: int = 0) -> dict[str, Any]:
    ran = project.run_here("plan", "--json")
    assert ran.status == status, ran.text
    (found,) = [one for one in json.loads(ran.out)["steps"] if one["noun"] == noun]
    return dict(found)


@pytest.mark.alone  # each neighbour's update costs a look
def test_an_update_for_a_group_takes_as_many_calls_as_one_for_a_thing(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, clean_sandbox: Address, iot: Any, control: Control
) -> None:
    counted: dict[str, list[Counter[str]]] = {}
    for group in ("", GROUP):
        control.reset()
        make_group(iot)
        project = aws_project(tmp_path / f"for {group}", clean_sandbox, thing_group_name=group)
        project.put_image(built_tree(tmp_path_factory.getbasetemp()))
        counted[group] = []
        for _ in ("from nothing", "again"):
            control.clear_calls()
            project.run_here("all").done()
            counted[group].append(Counter(SAME.get(one, one) for one in control.operations()))
    assert counted[""] == counted[GROUP]


def test_a_plan_says_who_gets_the_update_and_how(project: Project, iot: Any) -> None:
    make_group(iot)
    project.set(
        thing_group_name=GROUP,
        rollout_start_per_minute="10",
        rollout_factor="2",
        rollout_after_succeeded="50",
        abort_when="FAILED 10% after 20",
    )
    assert step(project, "group")["action"] == "reuse"
    told = (
        "for the group lamps: starts with 10 a minute, doubles after each 50 successes, stops when 10 % of at least 20 "
        "failed; 3 devices in about 1 minute"
    )
    assert step(project, "update")["detail"] == told
    ran = project.run_here("all").done()
    assert "Ready: the group lamps is offered" in ran.out
    assert "invoke watch" in ran.out
    request = iot.describe_job(jobId=JOB)["job"]
    assert request["targets"] == [GROUP_ARN]
    assert request["jobExecutionsRolloutConfig"]["exponentialRate"]["incrementFactor"] == 2
    assert step(project, "update")["detail"] == f"job {JOB}; {told}"
    status = project.run_here("status")
    assert (status.status, "The group lamps has the update to take" in status.out) == (3, True), status.text


def test_members_are_counted_by_two_pages_at_most(project: Project, iot: Any, control: Control) -> None:
    make_group(iot, 501)
    project.set(thing_group_name=GROUP)
    control.clear_calls()
    assert step(project, "update")["detail"].endswith("; 500 devices or more, in 1 minute or more")
    assert control.operations().count("ListThingsInThingGroup") == 2


def test_a_named_thing_that_is_not_there_is_told_by_plan_before_aws_refuses_it(project: Project, iot: Any) -> None:
    iot.create_thing(thingName="solo")
    project.set(update_targets=f"solo;lost;{THING}")
    ran = project.run_here("plan", "--json")
    blocked = [one for one in json.loads(ran.out)["steps"] if one["action"] == "blocked"]
    assert [(one["noun"], one["name"]) for one in blocked] == [("thing", "lost")]
    assert "lost" in project.run_here("all").failed("invoke plan", "does not exist").err
    iot.create_thing(thingName="lost")
    project.run_here("plan").done()
    project.run_here("all").done()


def test_targets_of_every_kind_are_one_update(project: Project, iot: Any) -> None:
    make_group(iot)
    iot.create_thing(thingName="solo")
    project.set(thing_group_name="never-made", update_targets=f"solo;{GROUP_ARN};group:{GROUP}")
    assert "the thing solo, the group lamps: " in step(project, "update")["detail"]
    assert step(project, "update")["detail"].endswith("; 4 devices in about 1 minute")
    project.run_here("all").done()
    assert iot.describe_job(jobId=JOB)["job"]["jobProcessDetails"]["numberOfQueuedThings"] == 4
    assert project.run_here("all").done().verbs[-1] == ("update", "reused")


def test_other_targets_or_another_rollout_are_another_update(project: Project, iot: Any) -> None:
    make_group(iot)
    project.run_here("all").done()
    project.set(thing_group_name=GROUP)
    assert step(project, "update")["detail"].startswith("for the thing lamp, wanted the group lamps; ")
    assert project.run_here("all").done().verbs[-1] == ("update", "changed")
    project.set(abort_when="ALL 50% after 2")
    found = step(project, "update")
    assert (found["action"], "other rollout: it sends it to 1,000" in found["detail"]) == ("replace", True)
    assert project.run_here("all").done().verbs[-1] == ("update", "changed")
    assert project.run_here("all").done().verbs[-1] == ("update", "reused")


def test_a_rollout_that_devices_are_at_work_on_is_not_replaced(project: Project, iot: Any, jobs_data: Any) -> None:
    make_group(iot)
    project.set(thing_group_name=GROUP)
    project.run_here("all").done()
    for name in ("lamps-1", "lamps-2"):
        jobs_data.start_next_pending_job_execution(thingName=name)
    project.set(rollout_per_minute="5")
    found = step(project, "update", status=1)
    assert (found["action"], "2 devices are downloading" in found["brief"]) == ("blocked", True)
    project.run_here("update").failed("2 devices are downloading lamp_update", "replace_running_update")
    project.run_here("with", "--replace-running-update", "true", "update").done()


def test_an_update_that_is_over_says_how_it_ended_and_who_may_get_it_again(
    project: Project, iot: Any, jobs_data: Any
) -> None:
    make_group(iot, 2)
    project.set(thing_group_name=GROUP)
    project.run_here("all").done()
    for name, status in (("lamps-1", "SUCCEEDED"), ("lamps-2", "FAILED")):
        jobs_data.update_job_execution(jobId=JOB, thingName=name, status=status)
    ran = project.run_here("all").done()
    assert "1 SUCCEEDED, 1 FAILED" in ran.out
    assert "invoke retry" in ran.out


def test_a_group_that_does_not_exist_is_named_with_the_way_out(project: Project, iot: Any) -> None:
    project.set(thing_group_name=GROUP)
    found = step(project, "group", status=1)
    assert (found["action"], found["name"]) == ("blocked", GROUP)
    assert found["command"] == f"invoke with --thing-group-name {GROUP} group --add 'NAME-*'"
    project.run_here("all").failed("thing group that the update is for does not exist", "invoke plan")
    make_group(iot)
    project.run_here("all").done()


def test_clean_deletes_the_update_of_a_group_and_nothing_foreign(project: Project, iot: Any) -> None:
    make_group(iot)
    project.set(thing_group_name=GROUP)
    project.run_here("all").done()
    cleaned = project.run_here("clean").done()
    assert ("update", "deleted") in cleaned.verbs
    assert iot.describe_thing_group(thingGroupName=GROUP)["thingGroupName"] == GROUP
    assert len(iot.list_things_in_thing_group(thingGroupName=GROUP)["things"]) == 3
    assert iot.list_jobs(thingGroupName=GROUP)["jobs"] == []
