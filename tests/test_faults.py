"""AWS refusing, throttling or breaking off any one call: survived, or told in one sentence and carried on after it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ota import cloud
from tests import fault_project
from tests.fault_project import (
    NOTHING,
    REPEAT,
    SET_UP,
    TEAR_DOWN,
    Call,
    Inventory,
    assert_one_sentence,
    cases,
    numbered,
    outside_iot,
)
from tests.project import THING, Project, Result
from tests.sandbox_control import Control

inventory = fault_project.inventory
built = fault_project.built
project = fault_project.project
undisturbed = fault_project.undisturbed

# The IAM action that each operation needs. Source: Service Authorization Reference; API reference of each operation.
PERMISSIONS = {
    "AttachPolicy": "iot:AttachPolicy",
    "AttachThingPrincipal": "iot:AttachThingPrincipal",
    "CreateBucket": "s3:CreateBucket",
    "CreateCertificateFromCsr": "iot:CreateCertificateFromCsr",
    "CreateOTAUpdate": "iot:CreateOTAUpdate",
    "CreatePolicy": "iot:CreatePolicy",
    "CreateRole": "iam:CreateRole",
    "CreateThing": "iot:CreateThing",
    "DeleteBucket": "s3:DeleteBucket",
    "DeleteCertificate": "iot:DeleteCertificate",
    "DeleteOTAUpdate": "iot:DeleteOTAUpdate",
    "DeleteObject": "s3:DeleteObjectVersion",
    "DeletePolicy": "iot:DeletePolicy",
    "DeleteRole": "iam:DeleteRole",
    "DeleteRolePolicy": "iam:DeleteRolePolicy",
    "DeleteThing": "iot:DeleteThing",
    "DescribeCertificate": "iot:DescribeCertificate",
    "DescribeEndpoint": "iot:DescribeEndpoint",
    "DescribeJob": "iot:DescribeJob",
    "DescribeJobExecution": "iot:DescribeJobExecution",
    "DescribeThing": "iot:DescribeThing",
    "DetachThingPrincipal": "iot:DetachThingPrincipal",
    "GetBucketPolicy": "s3:GetBucketPolicy",
    "GetBucketTagging": "s3:GetBucketTagging",
    "GetBucketVersioning": "s3:GetBucketVersioning",
    "GetCallerIdentity": "sts:GetCallerIdentity",
    "GetEffectivePolicies": "iot:GetEffectivePolicies",
    "GetOTAUpdate": "iot:GetOTAUpdate",
    "GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "GetPolicy": "iot:GetPolicy",
    "GetRole": "iam:GetRole",
    "GetRolePolicy": "iam:GetRolePolicy",
    "HeadObject": "s3:GetObject",
    "ListAttachedPolicies": "iot:ListAttachedPolicies",
    "ListJobExecutionsForJob": "iot:ListJobExecutionsForJob",
    "ListOTAUpdates": "iot:ListOTAUpdates",
    "ListTagsForResource": "iot:ListTagsForResource",
    "ListThingPrincipalsV2": "iot:ListThingPrincipals",
    "PutBucketPolicy": "s3:PutBucketPolicy",
    "PutBucketTagging": "s3:PutBucketTagging",
    "PutBucketVersioning": "s3:PutBucketVersioning",
    "PutObject": "s3:PutObject",
    "PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "PutRolePolicy": "iam:PutRolePolicy",
    "UpdateCertificate": "iot:UpdateCertificate",
}
BUCKET = f"{THING}-ota-123456789012"
EXPIRED = "credentials have expired: renew them"
# What status and watch look at beyond what the plan does, and how they say that they do not know.
LOOKED_AT = ("GetOTAUpdate", "DescribeJob", "ListJobExecutionsForJob", "DescribeJobExecution")
UNKNOWN_STATUS = 5
LAST_LINE_OF_CLEAN = "Proven: nothing that this tool made for lamp is left."

DENIED_IN_SET_UP = ("CreateThing", "PutBucketVersioning", "GetBucketTagging")
DENIED_IN_TEAR_DOWN = ("DeleteObject",)
THROTTLED_IN_SET_UP = ("CreateRole",)
IN_CONFLICT = ("PutBucketTagging", "PutRolePolicy")
TOO_EARLY = ("PutBucketVersioning", "AttachThingPrincipal")
# The first uses of what a run has just made.
USES_OF_THE_NEW = (
    *numbered("PutBucketVersioning PutPublicAccessBlock PutBucketPolicy PutBucketTagging PutRolePolicy PutObject"),
    *numbered("AttachThingPrincipal AttachPolicy CreateOTAUpdate"),
    Call("GetOTAUpdate", 2),
)


@pytest.mark.parametrize("call", cases(SET_UP, DENIED_IN_SET_UP))
def test_set_up_without_a_permission_names_it_and_carries_on_once_it_is_there(
    control: Control, project: Project, inventory: Inventory, undisturbed: dict[str, Any], call: Call
) -> None:
    control.fail(call.operation, "access-denied", nth=call.nth)
    assert_one_sentence(project.run_here("all"), f"lack the permission {PERMISSIONS[call.operation]}.")
    project.run_here("all").done()
    assert inventory.state(project) == undisturbed


@pytest.mark.parametrize("operation", ["PutPublicAccessBlock", "PutBucketPolicy"])
def test_a_bucket_that_one_failed_call_left_open_is_seen_by_every_look_and_closed_by_a_repeat(
    control: Control, project: Project, inventory: Inventory, undisturbed: dict[str, Any], operation: str
) -> None:
    control.fail(operation, "access-denied")
    project.run_here("all").failed(PERMISSIONS[operation])
    s3 = inventory.clients("s3")
    if operation == "PutPublicAccessBlock":  # S3 itself closes a new bucket since 2023, and other S3s do not
        s3.delete_public_access_block(Bucket=BUCKET)
    lacking = {"PutPublicAccessBlock": "public access block", "PutBucketPolicy": "TLS-only policy"}[operation]
    assert f"{lacking} put right" in project.run_here("plan").done().out
    assert f"{lacking} put right" in project.run_here("status").out
    assert f"{BUCKET} is not as it must be: {lacking} put right" in project.run_here("doctor").out
    assert ("bucket", "changed") in project.run_here("all").done().verbs
    assert inventory.state(project) == undisturbed


@pytest.mark.parametrize("call", cases(TEAR_DOWN, DENIED_IN_TEAR_DOWN))
def test_tear_down_without_a_permission_names_it_and_carries_on_once_it_is_there(
    control: Control, project: Project, inventory: Inventory, call: Call
) -> None:
    project.run_here("all").done()
    control.fail(call.operation, "access-denied", nth=call.nth)
    refused = project.run_here("clean")
    assert_one_sentence(refused, f"lack the permission {PERMISSIONS[call.operation]}.")
    assert LAST_LINE_OF_CLEAN not in refused.out
    assert LAST_LINE_OF_CLEAN in project.run_here("clean").done().out
    assert inventory.names() == NOTHING


@pytest.mark.long
def test_a_repeat_without_a_permission_names_it_and_changes_nothing(
    control: Control, project: Project, inventory: Inventory, undisturbed: dict[str, Any]
) -> None:
    project.run_here("all").done()
    for call in REPEAT:
        control.fail(call.operation, "access-denied", nth=call.nth)
        assert_one_sentence(project.run_here("all"), f"lack the permission {PERMISSIONS[call.operation]}.")
        control.clear_faults()
    project.run_here("all").done()
    assert inventory.state(project) == undisturbed


@pytest.mark.parametrize("call", cases(SET_UP, THROTTLED_IN_SET_UP))
def test_set_up_survives_throttling(
    control: Control, project: Project, inventory: Inventory, undisturbed: dict[str, Any], call: Call
) -> None:
    control.fail(call.operation, nth=call.nth)
    project.run_here("all").done()
    assert inventory.state(project) == undisturbed


@pytest.mark.parametrize("call", cases(outside_iot(SET_UP), IN_CONFLICT))
def test_set_up_survives_another_change_under_way(
    control: Control, project: Project, inventory: Inventory, undisturbed: dict[str, Any], call: Call
) -> None:
    control.fail(call.operation, "conflict", nth=call.nth)
    project.run_here("all").done()
    assert inventory.state(project) == undisturbed
    assert len(control.operations()) > len(SET_UP)


@pytest.mark.parametrize("call", cases(outside_iot(TEAR_DOWN)))
def test_tear_down_survives_another_change_under_way(
    control: Control, project: Project, inventory: Inventory, call: Call
) -> None:
    project.run_here("all").done()
    control.fail(call.operation, "conflict", nth=call.nth)
    project.run_here("clean").done()
    assert inventory.names() == NOTHING


@pytest.mark.parametrize("call", cases(USES_OF_THE_NEW, TOO_EARLY))
def test_set_up_survives_that_what_it_has_just_made_is_not_known_everywhere(
    control: Control, project: Project, inventory: Inventory, undisturbed: dict[str, Any], call: Call
) -> None:
    control.fail(call.operation, "not-found", nth=call.nth)
    project.run_here("all").done()
    assert inventory.state(project) == undisturbed
    assert len(control.operations()) > len(SET_UP)


@pytest.mark.long
@pytest.mark.parametrize("times", [1, 2])
def test_set_up_survives_another_upload_of_the_same_image_under_way(
    control: Control, project: Project, inventory: Inventory, undisturbed: dict[str, Any], times: int
) -> None:
    control.fail("PutObject", code="ConditionalRequestConflict", status=409, times=times)
    project.run_here("all").done()
    assert inventory.state(project) == undisturbed


@pytest.mark.parametrize("call", cases(TEAR_DOWN))
def test_tear_down_survives_throttling(control: Control, project: Project, inventory: Inventory, call: Call) -> None:
    project.run_here("all").done()
    control.fail(call.operation, nth=call.nth)
    project.run_here("clean").done()
    assert inventory.names() == NOTHING


@pytest.mark.long
def test_a_repeat_survives_throttling_of_all_its_calls(control: Control, project: Project) -> None:
    project.run_here("all").done()
    for call in REPEAT:
        control.fail(call.operation, nth=call.nth)
    assert {verb for noun, verb in project.run_here("all").done().verbs if noun != "image"} == {"reused"}
    assert all(rule["seen"] > 1 for rule in control.rules())


@pytest.mark.parametrize("call", cases(SET_UP, ("GetBucketTagging",)))
def test_set_up_with_expired_credentials_says_so(control: Control, project: Project, call: Call) -> None:
    control.fail(call.operation, "expired-token", nth=call.nth)
    assert_one_sentence(project.run_here("all"), EXPIRED)


@pytest.mark.parametrize("call", cases(TEAR_DOWN))
def test_tear_down_with_expired_credentials_says_so(control: Control, project: Project, call: Call) -> None:
    project.run_here("all").done()
    control.fail(call.operation, "expired-token", nth=call.nth)
    assert_one_sentence(project.run_here("clean"), EXPIRED)


@pytest.mark.long
def test_a_repeat_with_expired_credentials_says_so(control: Control, project: Project) -> None:
    project.run_here("all").done()
    for call in REPEAT:
        control.fail(call.operation, "expired-token", nth=call.nth, times=0)
        assert_one_sentence(project.run_here("all"), EXPIRED)
        control.clear_faults()


def test_credentials_that_expire_for_every_call_are_told_once(control: Control, project: Project) -> None:
    project.run_here("all").done()
    control.fail("*", "expired-token", nth=2, times=0)
    assert_one_sentence(project.run_here("all"), EXPIRED)


@pytest.mark.parametrize("task", ["status", "watch"])
def test_a_look_without_a_permission_is_unknown_and_names_it(control: Control, project: Project, task: str) -> None:
    project.run_here("all").done()
    for operation in LOOKED_AT:
        control.fail(operation, "access-denied", times=0)
        shown, told = project.run_here(task), project.run_here(task, "--json")
        assert_unknown(shown, told, f"lack the permission {PERMISSIONS[operation]}.")
        control.clear_faults()


@pytest.mark.long
@pytest.mark.parametrize("task", ["status", "watch"])
def test_a_look_that_is_throttled_for_good_is_unknown(
    control: Control, project: Project, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    monkeypatch.setattr(cloud, "MAX_ATTEMPTS", 0)  # or each case takes half a minute
    project.run_here("all").done()
    flags = ("--timeout", "0") if task == "watch" else ()
    for operation in LOOKED_AT:
        control.fail(operation, times=0)
        shown, told = project.run_here(task, *flags), project.run_here(task, *flags, "--json")
        assert_unknown(shown, told, f"iot:{operation}", "call rate is used up")
        control.clear_faults()


@pytest.mark.long
@pytest.mark.parametrize("task", ["status", "watch"])
def test_a_look_survives_throttling(control: Control, project: Project, task: str) -> None:
    project.run_here("all").done()
    for operation in LOOKED_AT:
        control.fail(operation)
        assert project.run_here(task, *(("--timeout", "0") if task == "watch" else ())).status == 3
        assert all(rule["seen"] > 1 for rule in control.rules())
        control.clear_faults()


def assert_unknown(shown: Result, told: Result, *words: str) -> None:
    """Both say, each in its own way, that nobody knows how it stands, and why."""
    assert "Traceback" not in shown.text + told.text
    assert (shown.status, told.status) == (UNKNOWN_STATUS, UNKNOWN_STATUS), shown.text
    document = json.loads(told.out)
    assert (document["verdict"], document["exit_status"]) == ("unknown", UNKNOWN_STATUS)
    assert "It is not known how" in shown.out
    for word in words:
        assert word in shown.out, shown.out
        assert any(word in why for why in document["unknown"].values()), document


@pytest.mark.long
def test_nothing_that_listens_is_told_in_one_sentence(project: Project) -> None:
    result = project.run_here("all", AWS_ENDPOINT_URL="http://127.0.0.1:1")
    assert_one_sentence(result, "AWS cannot be reached", "AWS_ENDPOINT_URL", "run the same command again")


@pytest.mark.long
@pytest.mark.parametrize(
    "operation", ["GetCallerIdentity", "CreateThing", "GetBucketTagging", "PutObject", "CreateRole"]
)
def test_a_connection_that_keeps_breaking_is_told_in_one_sentence_and_carried_on(
    control: Control, project: Project, inventory: Inventory, undisturbed: dict[str, Any], operation: str
) -> None:
    control.drop(operation, times=0)
    assert_one_sentence(project.run_here("all"), "AWS cannot be reached", "run the same command again")
    control.clear_faults()
    project.run_here("all").done()
    assert inventory.state(project) == undisturbed
