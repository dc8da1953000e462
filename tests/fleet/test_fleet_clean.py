"""`clean` for registered devices: all of it gone and proven, nobody else's touched, few calls, safe to be cut off."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ota.sandbox.process import Address
from tests.fault_project import Call, cases, kill_after
from tests.fleet.fleet_world import GROUP, ROLE, Fleet, open_fleet, rows
from tests.project import THING
from tests.sandbox_control import Control

COUNT = 3
MOST_CALLS_A_DEVICE = 7
OF_A_DEVICE = (
    "ListThingPrincipalsV2", "ListPrincipalThingsV2", "UpdateCertificate", "DetachThingPrincipal", "DeleteCertificate",
    "DeleteThing",
)  # fmt: skip
OF_ALL = ("DeleteThingGroup", "DeleteRolePolicy", "DeleteRole", "DeleteBucket", "DeletePolicy")
TEAR_DOWN = tuple(
    Call(operation, nth) for operation in OF_A_DEVICE for nth in range(1, COUNT + 1)
) + tuple(Call(operation, 1) for operation in OF_ALL)  # fmt: skip


@pytest.fixture
def fleet(control: Control, tmp_path: Path, kept_clients: Callable[[str], Any]) -> Fleet:
    """Three registered devices beside everybody else's."""
    fleet = open_fleet(tmp_path / "project", control.address, kept_clients)
    fleet.write(*rows(COUNT))
    return fleet


def registered(fleet: Fleet) -> Fleet:
    fleet.project.run_here("register", "--file", "devices.csv").done()
    return fleet


def left(control: Control, before: dict[str, str]) -> list[str]:
    """What is in the account that was not there before, but for the registration tasks, which AWS keeps."""
    return [place for place in control.objects() if place not in before and "registration" not in place]


def test_everything_is_gone_and_the_keys_stay_unless_asked_for(control: Control, fleet: Fleet) -> None:
    before = control.objects()
    registered(fleet)
    done = fleet.project.run_here("clean").done()
    assert {("devices", "deleted"), ("group", "deleted"), ("role", "deleted"), ("bucket", "deleted")} <= set(done.verbs)
    assert left(control, before) == []
    assert [fleet.key_path(name).exists() for name in rows(COUNT)] == [True] * COUNT
    fleet.project.run_here("clean", "--local").done()
    assert not fleet.folder_path.exists()


def test_registering_again_after_a_clean_uses_the_same_keys(fleet: Fleet) -> None:
    registered(fleet)
    keys = {name: fleet.key_path(name).read_bytes() for name in rows(COUNT)}
    fleet.project.run_here("clean").done()
    registered(fleet)
    assert {name: fleet.key_path(name).read_bytes() for name in rows(COUNT)} == keys
    assert [one["certificates"][0]["is the file"] for one in fleet.state()["devices"].values()] == [True] * COUNT


def test_plan_tells_it_and_changes_nothing(control: Control, fleet: Fleet) -> None:
    registered(fleet)
    before = control.objects()
    plan = json.loads(fleet.project.run_here("clean", "--plan", "--json").done().out)
    told = {one["noun"]: (one["action"], one["name"]) for one in plan["steps"] if one["name"] != f"-{THING}_role"}
    assert told["devices"] == ("delete", "lamp-1")
    assert told["group"] == ("delete", GROUP)
    assert ("role", "delete", ROLE) in {(one["noun"], one["action"], one["name"]) for one in plan["steps"]}
    assert control.objects() == before


def test_nothing_foreign_is_touched(control: Control, fleet: Fleet) -> None:
    iot = fleet.clients("iot")
    strangers = {"lamp-10": {}, "lamp-11": {"managed-by": "ota-tasks/lampx"}, "lamp-12": {"managed-by": "ota-tasks"}}
    iot.create_thing_group(thingGroupName=GROUP)
    for name, attributes in strangers.items():
        iot.create_thing(thingName=name, attributePayload={"attributes": attributes})
        iot.add_thing_to_thing_group(thingGroupName=GROUP, thingName=name)
    certificate = iot.create_keys_and_certificate(setAsActive=True)
    iot.attach_thing_principal(thingName="lamp-10", principal=certificate["certificateArn"])
    before = control.objects()
    registered(fleet)
    (shared,) = iot.list_thing_principals(thingName="lamp-2")["principals"]
    iot.attach_thing_principal(thingName="lamp-10", principal=shared)
    iot.attach_thing_principal(thingName="lamp-3", principal=certificate["certificateArn"])
    kept = fleet.project.run_here("clean")
    assert "group        skipped  lamps" in kept.out
    assert fleet.names() == []
    assert set(iot.list_thing_principals(thingName="lamp-10")["principals"]) == {shared, certificate["certificateArn"]}
    described = iot.describe_certificate(certificateId=shared.rpartition("/")[2])["certificateDescription"]
    assert described["status"] == "ACTIVE"
    iot.detach_thing_principal(thingName="lamp-10", principal=shared)
    now = control.objects()
    assert [place for place, was in before.items() if "lamp-10" not in place and now.get(place) != was] == []


def test_it_takes_seven_calls_a_device_at_most(control: Control, fleet: Fleet) -> None:
    fleet.write(*rows(30))
    registered(fleet)
    control.clear_calls()
    fleet.project.run_here("clean").done()
    counted = Counter(control.operations())
    assert sum(counted[operation] for operation in OF_A_DEVICE) <= MOST_CALLS_A_DEVICE * 30 + 10, counted
    assert sum(counted.values()) <= MOST_CALLS_A_DEVICE * 30 + 30, counted


def test_a_device_that_cannot_be_deleted_does_not_stop_the_others(control: Control, fleet: Fleet) -> None:
    before = control.objects()
    registered(fleet)
    control.fail("DeleteThing", "access-denied")
    failed = fleet.project.run_here("clean").failed("Not everything is gone", "iot:DeleteThing")
    assert len(fleet.names()) == 1
    assert ("group", "deleted") not in failed.verbs
    fleet.project.run_here("clean").done()
    assert left(control, before) == []


def test_throttling_slows_it_down_and_nothing_else(control: Control, fleet: Fleet) -> None:
    before = control.objects()
    registered(fleet)
    control.fail("DeleteCertificate", "throttling", times=4)
    fleet.project.run_here("clean").done()
    assert left(control, before) == []


def test_devices_without_a_trace_here_are_found_where_their_policy_cannot_be_deleted(
    control: Control, fleet: Fleet
) -> None:
    before = control.objects()
    registered(fleet)
    shutil.rmtree(fleet.project.root_path / "certificates")
    fleet.project.set(thing_group_name="")
    there = control.objects()
    plan = json.loads(fleet.project.run_here("clean", "--plan", "--json").done().out)
    told = {(one["noun"], one["action"]) for one in plan["steps"]}
    assert {("devices", "delete"), ("policy", "delete")} <= told
    assert control.objects() == there
    assert "invoke list.groups --mine" in fleet.project.run_here("clean").done().err
    assert GROUP in fleet.project.run_here("list.groups", "--mine").done().out
    fleet.project.set(thing_group_name=GROUP)
    fleet.project.run_here("clean").done()
    assert left(control, before) == []


def test_a_registration_that_runs_is_stopped_and_its_input_goes(control: Control, fleet: Fleet) -> None:
    before = control.objects()
    control.pause(4)
    kill_after(control, fleet.project, Call("StartThingRegistrationTask", 1), "register", "--file", "devices.csv")
    control.pause(0)
    stopped = fleet.project.run_here("clean", "--local").done()
    assert "stopping the registration task" in stopped.err
    assert left(control, before) == []
    assert not fleet.folder_path.exists()


@pytest.mark.parametrize("call", cases(TEAR_DOWN, ["DetachThingPrincipal-2"]))
def test_a_clean_killed_after_a_call_is_carried_on(control: Control, fleet: Fleet, call: Call) -> None:
    before = control.objects()
    registered(fleet)
    kill_after(control, fleet.project, call, "clean", "--local")
    fleet.project.run_here("clean", "--local").done()
    assert left(control, before) == []
    assert not fleet.folder_path.exists()


@pytest.mark.long
@pytest.mark.parametrize("operation", OF_A_DEVICE)
def test_a_clean_killed_needs_no_local_files_to_be_carried_on(control: Control, fleet: Fleet, operation: str) -> None:
    before = control.objects()
    registered(fleet)
    kill_after(control, fleet.project, Call(operation, 2), "clean")
    shutil.rmtree(fleet.project.root_path / "certificates")
    fleet.project.run_here("clean").done()
    assert left(control, before) == []


def test_of_the_one_thing_nothing_costs_more(control: Control, tmp_path: Path, clean_sandbox: Address) -> None:
    from tests.project import aws_project

    project = aws_project(tmp_path / "alone", clean_sandbox, has_firmware=False)
    project.run_here("policy").done()
    control.clear_calls()
    project.run_here("clean").done()
    assert not {"ListThings", "DescribeThingGroup", "ListThingRegistrationTasks"} & set(control.operations())
