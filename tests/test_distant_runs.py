"""Two runs at once from two folders, which no lock of this machine keeps apart: the later one finds out and says so."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ota import aws_calls
from tests import fault_project, test_concurrent_runs
from tests.account import POLICY
from tests.fault_project import NOTHING, Call, Inventory, numbered
from tests.project import THING, Project, aws_project
from tests.sandbox_control import Control
from tests.test_concurrent_runs import LATENCY_S, ONE, PAIRINGS, Started, begin_and_hold

built = fault_project.built
project = fault_project.project
inventory = fault_project.inventory
start = test_concurrent_runs.start

LAST_LOOK = Call("GetOTAUpdate", 2)
WAITING_CALLS = numbered("ListThingPrincipalsV2 CreateCertificateFromCsr CreateThing AttachThingPrincipal CreatePolicy")
CALLS_BESIDE_CLEAN = numbered(
    "CreateBucket CreateRole PutRolePolicy CreateCertificateFromCsr CreateThing AttachThingPrincipal CreatePolicy "
    "AttachPolicy PutObject CreateOTAUpdate GetOTAUpdate GetOTAUpdate"
)
CLEAN_CALLS = numbered(
    "DescribeThing DeleteOTAUpdate DeleteBucket DeleteRole UpdateCertificate DetachThingPrincipal DeleteCertificate "
    "DeletePolicy DeleteThing"
)
ROLE_FIRST = "Make it again: `invoke role`, then run the same command"  # AWS deletes an update by its role


@pytest.fixture
def elsewhere(control: Control, built: Path, tmp_path: Path) -> Project:
    """Another folder with the same settings, on another machine for instance."""
    made = aws_project(tmp_path / "elsewhere", control.address)
    made.put_image(built)
    return made


@pytest.mark.parametrize("call", fault_project.cases(WAITING_CALLS, ("ListThingPrincipalsV2",)))
def test_of_two_set_ups_one_is_ready_and_the_other_withdraws(
    control: Control,
    project: Project,
    elsewhere: Project,
    inventory: Inventory,
    start: Callable[..., Started],
    call: Call,
) -> None:
    slow = begin_and_hold(control, start, call, "all")
    quick = elsewhere.run_here("all")
    control.release()
    results = {slow.result(): project, quick: elsewhere}
    ready = [one for result, one in results.items() if "Ready" in result.done_or_failed().out]
    assert len(ready) == 1
    assert inventory.certificates() == ONE
    for one in (project, elsewhere):
        again = one.run_here("all")
        assert (again.status == 0) == (one is ready[0]), again.text
    assert inventory.certificates() == ONE
    ready[0].run_here("clean").done()
    assert inventory.names() == NOTHING


def test_the_one_that_withdraws_says_why_and_how_to_go_on(
    control: Control, project: Project, elsewhere: Project, start: Callable[..., Started]
) -> None:
    slow = begin_and_hold(control, start, Call("ListThingPrincipalsV2", 1), "all")
    elsewhere.run_here("all").done()
    control.release()
    slow.result().failed("at the same time", THING, "credentials_path", "invoke clean")
    assert project.key_path.exists()
    assert not project.certificate_path.exists()
    elsewhere.run_here("clean").done()
    project.run_here("all").done()


@pytest.mark.parametrize("status", ["INACTIVE", "deleted"])
def test_a_certificate_that_a_clean_elsewhere_took_is_never_ready(
    control: Control,
    project: Project,
    elsewhere: Project,
    inventory: Inventory,
    monkeypatch: pytest.MonkeyPatch,
    status: str,
    kept_clients: Callable[[str], Any],
) -> None:
    monkeypatch.setattr(aws_calls, "LONGEST_PAUSE_S", 0.01)  # it asks eight times for what it has just made
    rule = control.hold(LAST_LOOK.operation, nth=LAST_LOOK.nth)

    def take_certificate() -> None:
        assert control.wait_until_held(rule)
        if status == "deleted":
            elsewhere.run("clean").done()
        else:
            kept_clients("iot").update_certificate(certificateId=inventory.names()["certificates"][0], newStatus=status)
        control.release()

    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(take_certificate)
        result = project.run_here("all").failed(status, "invoke all")
        taken.result()
    assert "Ready" not in result.text


@pytest.mark.long
@pytest.mark.parametrize("call", CALLS_BESIDE_CLEAN, ids=str)
def test_a_clean_elsewhere_in_the_middle_of_a_set_up_is_mended_by_a_repeat(
    control: Control,
    project: Project,
    elsewhere: Project,
    inventory: Inventory,
    start: Callable[..., Started],
    call: Call,
) -> None:
    slow = begin_and_hold(control, start, call, "all")
    elsewhere.run_here("clean").done_or_failed()
    control.release()
    first = slow.result().done_or_failed()
    assert ("Ready" in first.out) == (first.status == 0)
    # A run that is not ready may leave an update: the one that AWS refused because its role had gone.
    assert first.status or (inventory.certificates() == ONE and inventory.names()["updates"])
    project.run_here("all").done()
    assert inventory.certificates() == ONE
    project.run_here("clean").done()
    assert inventory.names() == NOTHING


@pytest.mark.long
@pytest.mark.parametrize("call", CLEAN_CALLS, ids=str)
def test_a_set_up_elsewhere_in_the_middle_of_a_clean_is_mended_by_a_repeat(
    control: Control,
    project: Project,
    elsewhere: Project,
    inventory: Inventory,
    start: Callable[..., Started],
    call: Call,
) -> None:
    project.run_here("all").done()
    clean = begin_and_hold(control, start, call, "clean")
    second = elsewhere.run_here("all").done_or_failed()
    control.release()
    clean.result().done_or_failed()
    assert "Ready" not in second.out or inventory.certificates() == ONE
    project.run_here("clean").done_or_failed()
    for one in (elsewhere, project):
        one.run_here("clean").done_or_failed()
    assert inventory.names() == NOTHING
    project.run_here("all").done()
    assert inventory.certificates() == ONE


@pytest.mark.parametrize(("first", "second"), PAIRINGS)
def test_runs_begun_together_from_two_folders_are_mended_by_a_repeat(
    control: Control,
    project: Project,
    elsewhere: Project,
    inventory: Inventory,
    start: Callable[..., Started],
    first: str,
    second: str,
) -> None:
    control.latency(LATENCY_S)
    here = start(first)
    there = elsewhere.run_here(second).done_or_failed()
    results = [here.result().done_or_failed(), there]
    if "clean" not in (first, second):
        assert inventory.certificates() == ONE
        assert any(one.status == 0 for one in results)
    for one in (elsewhere, project, elsewhere):
        if ROLE_FIRST in one.run_here("clean").done_or_failed().text:
            one.run_here("role", "clean").done_or_failed()
    assert inventory.names() == NOTHING
    project.run_here("all").done()
    assert inventory.certificates() == ONE


def test_a_thing_with_two_certificates_of_this_tool_is_refused_until_one_is_deleted(
    project: Project, inventory: Inventory, kept_clients: Callable[[str], Any]
) -> None:
    iot = kept_clients("iot")
    project.run_here("all").done()
    other = iot.create_keys_and_certificate(setAsActive=True)
    iot.attach_thing_principal(thingName=THING, principal=other["certificateArn"], thingPrincipalType="EXCLUSIVE_THING")
    command = f"invoke delete.certificate --name {other['certificateId']} --force"
    project.run_here("all").failed("two certificates", command)
    assert command in project.run_here("plan").text
    project.paste(command).done()
    assert "Ready" in project.run_here("all").done().out
    assert inventory.certificates() == ONE


def test_a_second_certificate_that_somebody_attached_is_no_concern(
    project: Project, kept_clients: Callable[[str], Any]
) -> None:
    iot = kept_clients("iot")
    project.run_here("all").done()
    other = iot.create_keys_and_certificate(setAsActive=True)
    iot.attach_thing_principal(thingName=THING, principal=other["certificateArn"])
    project.run_here("all").done()
    iot.detach_thing_principal(thingName=THING, principal=other["certificateArn"])


def test_a_policy_that_is_there_already_serves_whoever_may_make_none(
    project: Project, control: Control, kept_clients: Callable[[str], Any]
) -> None:
    iot = kept_clients("iot")
    project.run_here("policy").done()
    document = iot.get_policy(policyName=POLICY)["policyDocument"]
    project.run_here("clean", "--local").done()
    iot.create_policy(policyName=POLICY, policyDocument=document)
    control.fail("CreatePolicy", "access-denied", times=0)
    assert ("policy", "changed") in project.run_here("policy").done().verbs
