"""`register` killed after any of its calls: the same command ends where an undisturbed run does.

*Killed* is SIGKILL to the real process once AWS has done the call and before its answer arrives. *Lost* is a connection
that breaks there, so that botocore asks again.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ota.sandbox.process import Address
from tests.fault_project import Call, cases, kill_after, kill_before, numbered
from tests.fleet.fleet_world import Fleet, open_fleet, rows
from tests.sandbox_control import Control

REGISTER = numbered(
    """
    GetCallerIdentity
    GetPolicy CreateThingGroup CreateRole
    CreatePolicy PutRolePolicy
    PutObject GetBucketTagging CreateBucket PutBucketVersioning PutPublicAccessBlock PutBucketPolicy PutBucketTagging
    PutObject ListThingRegistrationTasks StartThingRegistrationTask DescribeThingRegistrationTask
    ListThingRegistrationTaskReports GetObject ListThingRegistrationTaskReports GetObject DeleteObject
    ListThings
    """
)
SAMPLE = ("StartThingRegistrationTask", "ListThingRegistrationTaskReports")
MAKING = tuple(call for call in REGISTER if call.operation.startswith(("Create", "Put", "Start", "Delete")))
START = Call("StartThingRegistrationTask", 1)
COUNT = 3
REFUSED = "lamp-2"


@pytest.fixture
def fleet(control: Control, tmp_path: Path, kept_clients: Callable[[str], Any]) -> Fleet:
    return prepared(open_fleet(tmp_path / "project", control.address, kept_clients))


@pytest.fixture(scope="session")
def undisturbed(
    sandbox: Address, neighbours: Any, tmp_path_factory: pytest.TempPathFactory, kept_clients: Callable[[str], Any]
) -> dict[str, Any]:
    """The state after one `register` in which nothing went wrong but one refused line."""
    neighbours.move_in()
    fleet = prepared(open_fleet(tmp_path_factory.mktemp("undisturbed") / "project", sandbox, kept_clients))
    fleet.project.run_here("register", "--file", "devices.csv").failed("1 of 3")
    return fleet.state()


def prepared(fleet: Fleet) -> Fleet:
    """A list with a device that AWS refuses, because somebody else has a thing of its name."""
    fleet.write(*rows(COUNT))
    fleet.clients("iot").create_thing(thingName=REFUSED)
    return fleet


def assert_whole_again(fleet: Fleet, undisturbed: dict[str, Any]) -> None:
    fleet.project.run_here("register", "--file", "devices.csv").failed("1 of 3")
    assert fleet.state() == undisturbed


@pytest.mark.long
def test_the_matrix_holds_every_call(control: Control, fleet: Fleet) -> None:
    control.clear_calls()
    fleet.project.run_here("register", "--file", "devices.csv").failed("1 of 3")
    assert sorted(control.operations()) == sorted(call.operation for call in REGISTER)


@pytest.mark.parametrize("call", cases(REGISTER, SAMPLE))
def test_a_run_killed_after_a_call_is_carried_on(
    control: Control, fleet: Fleet, undisturbed: dict[str, Any], call: Call
) -> None:
    kill_after(control, fleet.project, call, "register", "--file", "devices.csv")
    kept = {path: path.read_bytes() for path in fleet.folder_path.rglob("*.pem.*")}
    assert_whole_again(fleet, undisturbed)
    assert [str(path) for path, content in kept.items() if path.read_bytes() != content] == []


@pytest.mark.parametrize("call", cases([call for call in MAKING if call.nth == 1]))
def test_a_run_killed_before_a_call_is_carried_on(
    control: Control, fleet: Fleet, undisturbed: dict[str, Any], call: Call
) -> None:
    kill_before(control, fleet.project, call, "register", "--file", "devices.csv")
    assert_whole_again(fleet, undisturbed)


@pytest.mark.parametrize("call", cases(REGISTER, ["StartThingRegistrationTask"]))
def test_an_answer_that_is_lost_does_no_harm(
    control: Control, fleet: Fleet, undisturbed: dict[str, Any], call: Call
) -> None:
    control.drop(call.operation, nth=call.nth, processed=True)
    assert_whole_again(fleet, undisturbed)


@pytest.mark.parametrize("call", cases(MAKING, ["StartThingRegistrationTask"]))
def test_clean_finds_everything_of_a_run_that_was_killed(control: Control, fleet: Fleet, call: Call) -> None:
    before = control.objects()
    kill_after(control, fleet.project, call, "register", "--file", "devices.csv")
    fleet.project.run_here("clean", "--local").done()
    fleet.clients("iot").delete_thing(thingName=REFUSED)
    left = {place for place in control.objects() if place not in before}
    assert {place for place in left if "registration" not in place} == set()
    assert not fleet.folder_path.exists()


def test_a_task_that_still_runs_is_found_and_waited_for(
    control: Control, fleet: Fleet, undisturbed: dict[str, Any]
) -> None:
    control.pause(0.3)
    kill_after(control, fleet.project, Call("DescribeThingRegistrationTask", 1), "register", "--file", "devices.csv")
    (task_id,) = fleet.clients("iot").list_thing_registration_tasks()["taskIds"]
    again = fleet.project.run_here("register", "--file", "devices.csv").failed("1 of 3")
    assert f"carrying on with the registration task {task_id}" in again.err
    assert fleet.state() == undisturbed


def test_ctrl_c_ends_at_once_and_loses_nothing(control: Control, fleet: Fleet, undisturbed: dict[str, Any]) -> None:
    rule = control.hold("DescribeThingRegistrationTask")
    with fleet.project.start("register", "--file", "devices.csv") as process:
        assert control.wait_until_held(rule, timeout_s=60)
        process.send_signal(signal.SIGINT)
        control.release()
        begun = time.monotonic()
        out, err = process.communicate(timeout=30)
    assert time.monotonic() - begun < 10
    assert process.returncode == 130, out + err
    assert "Nothing is lost: run the same command again" in err
    control.clear_faults()
    assert_whole_again(fleet, undisturbed)


def test_an_expired_session_says_so_and_the_same_command_carries_on(
    control: Control, fleet: Fleet, undisturbed: dict[str, Any]
) -> None:
    control.fail("ListThingRegistrationTaskReports", "expired-token")
    fleet.project.run_here("register", "--file", "devices.csv").failed("expired", "run the same command again")
    keys = {name: fleet.key_path(name).read_bytes() for name in rows(COUNT)}
    assert_whole_again(fleet, undisturbed)
    assert {name: fleet.key_path(name).read_bytes() for name in rows(COUNT)} == keys
