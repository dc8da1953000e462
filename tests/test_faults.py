"""What refusals and broken connections do beyond the fault matrix: to looks, to an open bucket, for good."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ota import cloud
from tests import fault_project
from tests.conftest import ACCOUNT
from tests.fault_cases import EXPIRED, permission
from tests.fault_project import Call, Inventory, assert_one_sentence
from tests.project import THING, Project, Result
from tests.sandbox_control import Control
from tests.sandbox_world import trust_document

inventory = fault_project.inventory
built = fault_project.built
project = fault_project.project
undisturbed = fault_project.undisturbed

BUCKET = f"{THING}-ota-123456789012"
# What status and watch look at beyond what the plan does, and how they say that they do not know.
LOOKED_AT = ("GetOTAUpdate", "DescribeJob", "ListJobExecutionsForJob", "DescribeJobExecution")
UNKNOWN_STATUS = 5
ALLOW_ALL = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})


@pytest.mark.parametrize("operation", ["PutPublicAccessBlock", "PutBucketPolicy"])
def test_a_bucket_that_one_failed_call_left_open_is_seen_by_every_look_and_closed_by_a_repeat(
    control: Control, project: Project, inventory: Inventory, undisturbed: dict[str, Any], operation: str
) -> None:
    control.fail(operation, "access-denied")
    project.run_here("all").failed(permission("s3", operation))
    s3 = inventory.clients("s3")
    if operation == "PutPublicAccessBlock":  # S3 itself closes a new bucket since 2023, and other S3s do not
        s3.delete_public_access_block(Bucket=BUCKET)
    lacking = {"PutPublicAccessBlock": "public access block", "PutBucketPolicy": "TLS-only policy"}[operation]
    assert f"{lacking} put right" in project.run_here("plan").done().out
    assert f"{lacking} put right" in project.run_here("status").out
    assert f"{BUCKET} is not as it must be: {lacking} put right" in project.run_here("doctor").out
    assert ("bucket", "changed") in project.run_here("all").done().verbs
    assert inventory.state(project) == undisturbed


@pytest.mark.long
@pytest.mark.parametrize("times", [1, 2])
def test_set_up_survives_another_upload_of_the_same_image_under_way(
    control: Control, project: Project, inventory: Inventory, undisturbed: dict[str, Any], times: int
) -> None:
    control.fail("PutObject", code="ConditionalRequestConflict", status=409, times=times)
    project.run_here("all").done()
    assert inventory.state(project) == undisturbed


def test_credentials_that_expire_for_every_call_are_told_once(control: Control, project: Project) -> None:
    project.run_here("all").done()
    control.fail("*", "expired-token", nth=2, times=0)
    assert_one_sentence(project.run_here("all"), EXPIRED)


@pytest.mark.parametrize("call", [Call("CreateOTAUpdate", 1), Call("GetOTAUpdate", 2)], ids=str)
def test_credentials_that_are_renewed_in_env_while_a_step_waits_serve_the_repeat(
    control: Control, project: Project, inventory: Inventory, undisturbed: dict[str, Any], call: Call
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del project.environ[name]
    sign_in(inventory, project, "first")
    rule = control.hold(call.operation, nth=call.nth)

    def renew() -> None:
        assert control.wait_until_held(rule)
        sign_in(inventory, project, "second")
        control.fail("*", "expired-token", times=0)
        control.release()

    control.pause(0.2)  # so that the run asks again for the update, which is not made yet
    with ThreadPoolExecutor(1) as pool:
        renewed = pool.submit(renew)
        project.run_here("all").failed("assumed-role/first/", EXPIRED)
        renewed.result()
    control.clear_faults()
    assert "assumed-role/second/" in project.run_here("all").done().err
    for name in ("first", "second"):
        inventory.clients("iam").delete_role_policy(RoleName=name, PolicyName="all")
        inventory.clients("iam").delete_role(RoleName=name)
    assert inventory.state(project) == undisturbed


def sign_in(inventory: Inventory, project: Project, role: str) -> None:
    """Write the credentials of a new session of the role into ``.env``."""
    trust = json.loads(trust_document())
    trust["Statement"][0]["Principal"] = {"AWS": ACCOUNT}
    made = inventory.clients("iam").create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    inventory.clients("iam").put_role_policy(RoleName=role, PolicyName="all", PolicyDocument=ALLOW_ALL)
    given = inventory.clients("sts").assume_role(RoleArn=made["Arn"], RoleSessionName="test")["Credentials"]
    members = {"ACCESS_KEY_ID": "AccessKeyId", "SECRET_ACCESS_KEY": "SecretAccessKey", "SESSION_TOKEN": "SessionToken"}
    lines = [f"AWS_{name}={given[member]}\n" for name, member in members.items()]
    (project.root_path / ".env").write_text("".join(lines))


@pytest.mark.parametrize("task", ["status", "watch"])
def test_a_look_without_a_permission_is_unknown_and_names_it(control: Control, project: Project, task: str) -> None:
    project.run_here("all").done()
    for operation in LOOKED_AT:
        control.fail(operation, "access-denied", times=0)
        shown, told = project.run_here(task), project.run_here(task, "--json")
        assert_unknown(shown, told, f"lack the permission {permission('iot', operation)}.")
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
