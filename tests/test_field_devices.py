"""A release to a device in the field, from a fresh checkout that has neither its key nor its certificate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import fault_project
from tests.account import POLICY
from tests.fault_project import Inventory
from tests.project import THING, Project, aws_project
from tests.sandbox_control import Control

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

built = fault_project.built
project = fault_project.project
inventory = fault_project.inventory

IDENTITY = ("certificate", "thing", "policy")
CHANGING = {"CreateThing", "CreateCertificateFromCsr", "CreatePolicy", "CreatePolicyVersion", "AttachPolicy",
            "AttachThingPrincipal", "DetachThingPrincipal", "DetachPolicy", "DeleteThing", "DeletePolicy",
            "DeleteCertificate", "UpdateCertificate"}  # fmt: skip


@pytest.fixture
def checkout(control: Control, built: Path, tmp_path: Path) -> Project:
    """A fresh checkout, as a CI job has it, with the image that an earlier step has built."""
    made = aws_project(tmp_path / "checkout", control.address)
    made.put_image(built)
    made.set(existing_device="true")
    return made


@pytest.fixture
def field(project: Project) -> Project:
    """Whoever brought the device up: it has thing, certificate and policy, and nothing else."""
    project.run_here("thing", "policy").done()
    return project


def test_an_update_is_released_and_the_identity_is_only_checked(
    control: Control, field: Project, checkout: Project, inventory: Inventory
) -> None:
    control.clear_calls()
    done = checkout.run_here("all").done()
    assert [verb for noun, verb in done.verbs if noun in IDENTITY] == ["reused", "reused", "reused"]
    assert ("update", "created") in done.verbs
    assert CHANGING.isdisjoint(control.operations())
    assert not (checkout.root_path / "certificates").exists()
    again = checkout.run_here("all").done()
    assert {verb for _, verb in again.verbs} <= {"reused", "skipped"}
    assert checkout.run_here("status").status == 3  # the device has yet to take it
    checkout.run_here("clean").done()
    assert CHANGING.isdisjoint(control.operations())
    assert inventory.certificates()
    field.run_here("clean").done()


def without_thing(field: Project, _iot: IoTClient) -> None:
    field.run_here("clean").done()


def without_certificate(_field: Project, iot: IoTClient) -> None:
    iot.detach_thing_principal(thingName=THING, principal=_certificate(iot))


def with_inactive_certificate(_field: Project, iot: IoTClient) -> None:
    iot.update_certificate(certificateId=_certificate(iot).rpartition("/")[2], newStatus="INACTIVE")


def without_policy(_field: Project, iot: IoTClient) -> None:
    iot.detach_policy(policyName=POLICY, target=_certificate(iot))


@pytest.mark.parametrize(
    ("breaks", "words"),
    [
        (without_thing, "There is no thing lamp in this account"),
        (without_certificate, "has no certificate"),
        (with_inactive_certificate, "is INACTIVE, so no device can connect"),
        (without_policy, "has no policy"),
    ],
)
def test_what_the_device_lacks_is_named_and_not_made(
    control: Control,
    field: Project,
    checkout: Project,
    iot: IoTClient,
    breaks: Callable[[Project, IoTClient], None],
    words: str,
) -> None:
    breaks(field, iot)
    control.clear_calls()
    assert words in checkout.run_here("plan").failed().out
    assert words in checkout.run_here("all").failed().err
    assert "detach" not in checkout.run_here("doctor").failed().text
    assert CHANGING.isdisjoint(control.operations())


def _certificate(iot: IoTClient) -> str:
    (arn,) = iot.list_thing_principals(thingName=THING)["principals"]
    return str(arn)
