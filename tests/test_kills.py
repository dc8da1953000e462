"""The tool killed with more in its way than in the fault matrix: straight to ``clean``, without files, twice, at work.

*Killed* is SIGKILL to the process once AWS has done the call and before its answer arrives. *Lost* is a connection that
breaks there: botocore asks again, so that AWS is asked twice for what it has done.
"""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from tests import fault_project
from tests.fault_project import (
    NOTHING,
    Call,
    Inventory,
    assert_one_sentence,
    cases,
    kill_after,
    kill_before,
    numbered,
)
from tests.project import THING, Project
from tests.sandbox_control import Control

inventory = fault_project.inventory
built = fault_project.built
project = fault_project.project
undisturbed = fault_project.undisturbed

MAKING_CALLS = numbered(
    "CreateBucket CreateRole PutBucketVersioning PutPublicAccessBlock PutBucketPolicy PutBucketTagging PutRolePolicy "
    "CreateCertificateFromCsr CreateThing AttachThingPrincipal CreatePolicy AttachPolicy PutObject CreateOTAUpdate"
)
REQUEST = Call("CreateCertificateFromCsr", 1)
IDENTITY_CALLS = numbered("UpdateCertificate DetachThingPrincipal DeleteCertificate DeletePolicy DeleteThing")
PAUSE_S = 0.2


def test_an_undisturbed_run_ends_with_one_of_each(undisturbed: dict[str, Any]) -> None:
    certificate = {
        "status": "ACTIVE",
        "has the key on disk": True,
        "is the file on disk": True,
        "things": [(THING, "EXCLUSIVE_THING")],
        "policies": [f"{THING}_policy"],
    }
    assert undisturbed["certificates"] == [certificate]
    assert list(undisturbed["things"]) == [THING]
    assert [(one["versions"], one["targets"]) for one in undisturbed["policies"].values()] == [(1, 1)]
    assert [one["versioning"] for one in undisturbed["buckets"].values()] == ["Enabled"]
    assert [all(one["public access"].values()) for one in undisturbed["buckets"].values()] == [True]
    assert [len(one["versions"]) for one in undisturbed["buckets"].values()] == [1]
    assert [list(one["inline"]) for one in undisturbed["roles"].values()] == [["ota-tasks"]]
    assert [one["status"] for one in undisturbed["updates"].values()] == ["CREATE_COMPLETE"]
    assert list(undisturbed["jobs"]) == [f"AFR_OTA-{THING}_update"]
    assert len(undisturbed["streams"]) == 1
    assert f'"{THING}"' in undisturbed["header"]
    assert undisturbed["key mode"] == 0o600


@pytest.mark.parametrize("call", cases(MAKING_CALLS))
def test_set_up_killed_after_a_call_leaves_nothing_that_clean_does_not_find(
    control: Control, project: Project, inventory: Inventory, call: Call
) -> None:
    kill_after(control, project, call, "all")
    project.run_here("clean").done()
    assert inventory.names() == NOTHING


def test_a_run_killed_before_its_request_leaves_a_key_that_the_next_run_uses(
    control: Control, project: Project, inventory: Inventory
) -> None:
    kill_before(control, project, REQUEST, "thing")
    key = project.key_path.read_bytes()
    assert inventory.names()["certificates"] == []
    assert not project.certificate_path.exists()
    project.run_here("thing").done()
    assert project.key_path.read_bytes() == key
    assert len(inventory.names()["certificates"]) == 1


@pytest.mark.long
def test_a_request_lost_once_and_then_killed_leaves_one_certificate(
    control: Control, project: Project, inventory: Inventory, undisturbed: dict[str, Any]
) -> None:
    lose_and_kill(control, project)
    assert len(inventory.names()["certificates"]) == 2
    assert_whole_again(project, inventory, undisturbed)


@pytest.mark.long
def test_clean_finds_every_certificate_of_a_request_lost_once_and_then_killed(
    control: Control, project: Project, inventory: Inventory
) -> None:
    lose_and_kill(control, project)
    project.run_here("clean").done()
    assert inventory.names() == NOTHING


@pytest.mark.long
def test_a_request_whose_every_answer_is_lost_leaves_one_certificate(
    control: Control, project: Project, inventory: Inventory, undisturbed: dict[str, Any]
) -> None:
    control.drop(REQUEST.operation, times=0, processed=True)
    assert_one_sentence(project.run_here("all"), "AWS cannot be reached", "run the same command again")
    assert len(inventory.names()["certificates"]) > 2
    control.clear_faults()
    assert_whole_again(project, inventory, undisturbed)


def test_half_written_files_of_a_killed_run_do_no_harm(
    project: Project, inventory: Inventory, undisturbed: dict[str, Any]
) -> None:
    folder = project.key_path.parent
    folder.mkdir(mode=0o700)
    for path in (project.key_path, project.certificate_path):
        (folder / f".{path.name}.k1ll3d.part").write_text("-----BEGIN")
    project.run_here("all").done()
    assert inventory.state(project) == undisturbed
    project.run_here("clean", "--local").done()
    assert not folder.exists()


@pytest.mark.parametrize("call", cases(IDENTITY_CALLS))
def test_tear_down_killed_after_a_call_needs_no_local_files_to_be_carried_on(
    control: Control, project: Project, inventory: Inventory, call: Call
) -> None:
    project.run_here("all").done()
    kill_after(control, project, call, "clean")
    shutil.rmtree(project.key_path.parent)
    project.run_here("clean").done()
    assert inventory.names() == NOTHING


@pytest.mark.parametrize("call", cases(IDENTITY_CALLS))
def test_tear_down_killed_before_a_call_needs_no_local_files_to_be_carried_on(
    control: Control, project: Project, inventory: Inventory, call: Call
) -> None:
    project.run_here("all").done()
    kill_before(control, project, call, "clean")
    shutil.rmtree(project.key_path.parent)
    project.run_here("clean").done()
    assert inventory.names() == NOTHING


@pytest.mark.long
@pytest.mark.parametrize("call", [Call("CreateOTAUpdate", 1), Call("GetOTAUpdate", 2)], ids=str)
def test_set_up_killed_while_aws_is_at_work_is_carried_on(
    control: Control, project: Project, inventory: Inventory, undisturbed: dict[str, Any], call: Call
) -> None:
    control.pause(PAUSE_S)
    kill_after(control, project, call, "all")
    assert_whole_again(project, inventory, undisturbed)


@pytest.mark.long
@pytest.mark.parametrize("call", numbered("DeleteOTAUpdate DescribeJob"), ids=str)
def test_tear_down_killed_while_aws_is_at_work_is_carried_on(
    control: Control, project: Project, inventory: Inventory, call: Call
) -> None:
    control.pause(PAUSE_S)
    project.run_here("all").done()
    kill_after(control, project, call, "clean")
    project.run_here("clean").done()
    assert inventory.names() == NOTHING


def lose_and_kill(control: Control, project: Project) -> None:
    """The answer to the first request is lost, botocore asks again, and then the process is killed."""
    control.drop(REQUEST.operation, processed=True)
    kill_after(control, project, Call(REQUEST.operation, 2), "all")


def assert_whole_again(project: Project, inventory: Inventory, undisturbed: dict[str, Any]) -> None:
    """Another ``all`` ends where an undisturbed one does, and ``clean`` takes all of it away."""
    project.run_here("all").done()
    assert inventory.state(project) == undisturbed
    project.run_here("clean").done()
    assert inventory.names() == NOTHING
