"""What ``plan`` says is what ``all`` does, whatever happened before; and each step tells why."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, currently_in_test_context, given, note, settings
from hypothesis import strategies as st

from ota.nouns import NOUNS
from ota.ownership import mark_tags
from tests.conftest import REGION, client
from tests.look.look_desk import BUCKET, EVERYTHING, JOB, POLICY, ROLE, ROLE_ARN, THING_ARN, UPDATE, Desk, built, desk
from tests.neighbours import NEIGHBOURS
from tests.project import THING, aws_project
from tests.sandbox_control import Control
from tests.sandbox_world import trust_document

__all__ = ["built", "desk"]

VERBS = {
    "create": "created",
    "upload": "created",
    "reuse": "reused",
    "change": "changed",
    "replace": "changed",
    "skip": "skipped",
    "delete": "deleted",
    "keep": "skipped",
    "absent": "absent",
}
OTHER_DOCUMENT = EVERYTHING.replace('"*"', '"iot:Connect"', 1)


def invoke(*arguments: str) -> Callable[[Desk], object]:
    return lambda desk: desk.run(*arguments)


def deactivate(desk: Desk) -> None:
    desk.iot.update_certificate(certificateId=desk.certificate()["certificateId"], newStatus="INACTIVE")


def detach(desk: Desk) -> None:
    desk.iot.detach_thing_principal(thingName=THING, principal=desk.certificate()["certificateArn"])


def delete_files(*names: str) -> Callable[[Desk], None]:
    def act(desk: Desk) -> None:
        for name in names:
            getattr(desk.project, name).unlink(missing_ok=True)

    return act


def foreign_policy(desk: Desk) -> None:
    desk.iot.create_policy(policyName=POLICY, policyDocument=OTHER_DOCUMENT)


def drift_policy(desk: Desk) -> None:
    desk.iot.create_policy_version(policyName=POLICY, policyDocument=OTHER_DOCUMENT, setAsDefault=True)


def ten_policies(desk: Desk) -> None:
    arn = desk.certificate()["certificateArn"]
    for number in range(10):
        desk.iot.create_policy(policyName=f"other-{number}", policyDocument=OTHER_DOCUMENT)
        desk.iot.attach_policy(policyName=f"other-{number}", target=arn)


def foreign_bucket(desk: Desk, *, versioned: bool = False) -> None:
    desk.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    desk.s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": [{"Key": "owner", "Value": "somebody"}]})
    if versioned:
        desk.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})


def empty_unmarked_bucket(desk: Desk) -> None:
    desk.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})


def bucket_elsewhere(desk: Desk) -> None:
    elsewhere = client("s3", desk.control.address, region_name="us-west-2")
    elsewhere.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "us-west-2"})


def suspend_versions(desk: Desk) -> None:
    desk.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})


def foreign_object(desk: Desk) -> None:
    desk.s3.put_object(Bucket=BUCKET, Key="somebody/else", Body=b"x")


def foreign_role(desk: Desk, *, document: str = EVERYTHING, service: str = "iot.amazonaws.com") -> None:
    desk.iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=trust_document(service))
    desk.iam.put_role_policy(RoleName=ROLE, PolicyName="theirs", PolicyDocument=document)


def managed_foreign_role(desk: Desk) -> None:
    desk.iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=trust_document())
    made = desk.iam.create_policy(PolicyName="theirs", PolicyDocument=EVERYTHING)
    desk.iam.attach_role_policy(RoleName=ROLE, PolicyArn=made["Policy"]["Arn"])


def drift_role(desk: Desk) -> None:
    desk.iam.put_role_policy(RoleName=ROLE, PolicyName="ota-tasks", PolicyDocument=EVERYTHING)


def drift_trust(desk: Desk) -> None:
    desk.iam.update_assume_role_policy(RoleName=ROLE, PolicyDocument=trust_document("lambda.amazonaws.com"))


def delete_role(desk: Desk) -> None:
    desk.iam.delete_role_policy(RoleName=ROLE, PolicyName="ota-tasks")
    desk.iam.delete_role(RoleName=ROLE)


def attach_to_role(desk: Desk) -> None:
    desk.iam.put_role_policy(RoleName=ROLE, PolicyName="theirs", PolicyDocument=EVERYTHING)


def other_header(desk: Desk) -> None:
    path = desk.project.header_path
    path.write_text(path.read_text().replace(f'"{THING}"', '"other"').replace("dummy_thingname", "other"))


def other_signature(desk: Desk) -> None:
    """The same image, signed once more."""
    project = desk.project
    command = (
        f"openssl dgst -sha256 -sign {project.firmware_path / 'certs/private_key.pem'} -sigopt rsa_padding_mode:pss "
        f"{project.image_path} | openssl base64 -A -out {project.build_path / 'update-signature.txt'}"
    )
    subprocess.run(["bash", "-c", command], check=True)


def broken_signature(desk: Desk) -> None:
    (desk.project.build_path / "update-signature.txt").write_text("not a signature")


def take_job(desk: Desk) -> None:
    desk.take_job()


def delete_update(desk: Desk) -> None:
    desk.iot.delete_ota_update(otaUpdateId=UPDATE, deleteStream=True, forceDeleteAWSJob=True)


def orphan_job(desk: Desk, target: str = THING_ARN) -> None:
    desk.iot.create_job(jobId=JOB, targets=[target], document="{}")


def foreign_job(desk: Desk) -> None:
    desk.iot.create_thing(thingName="other")
    orphan_job(desk, THING_ARN.replace(THING, "other"))


def delete_thing(desk: Desk) -> None:
    for one in desk.iot.list_thing_principals(thingName=THING)["principals"]:
        desk.iot.detach_thing_principal(thingName=THING, principal=one)
    desk.iot.delete_thing(thingName=THING)


def foreign_thing(desk: Desk) -> None:
    desk.iot.create_thing(thingName=THING)


def attach_elsewhere(desk: Desk) -> None:
    """Our policy on a certificate of somebody else's."""
    made = desk.iot.create_keys_and_certificate(setAsActive=True)
    desk.iot.attach_policy(policyName=POLICY, target=made["certificateArn"])


def update_by_another_name(desk: Desk) -> None:
    desk.run("with", "--update-name", "earlier_update", "update")


def lose_the_image_in_the_bucket(desk: Desk) -> None:
    for one in desk.s3.list_object_versions(Bucket=BUCKET).get("Versions", []):
        desk.s3.delete_object(Bucket=BUCKET, Key=one["Key"], VersionId=one["VersionId"])


OPERATIONS: dict[str, Callable[[Desk], object]] = {
    "all": invoke("all"),
    "thing": invoke("thing"),
    "policy": invoke("policy"),
    "role and bucket": invoke("role", "bucket"),
    "update": invoke("update"),
    "clean": invoke("clean"),
    "deactivate the certificate": deactivate,
    "detach the certificate": detach,
    "lose the certificate file": delete_files("certificate_path"),
    "lose the key": delete_files("key_path"),
    "lose key and certificate": delete_files("key_path", "certificate_path"),
    "update by another name": update_by_another_name,
    "foreign policy": foreign_policy,
    "drift policy": drift_policy,
    "ten other policies": ten_policies,
    "foreign bucket": foreign_bucket,
    "foreign versioned bucket": partial(foreign_bucket, versioned=True),
    "unmarked bucket": empty_unmarked_bucket,
    "bucket elsewhere": bucket_elsewhere,
    "suspend versions": suspend_versions,
    "foreign object": foreign_object,
    "foreign role": foreign_role,
    "foreign role that falls short": partial(foreign_role, document=OTHER_DOCUMENT),
    "foreign role of another service": partial(foreign_role, service="lambda.amazonaws.com"),
    "foreign role with a managed policy": managed_foreign_role,
    "drift role": drift_role,
    "drift trust": drift_trust,
    "delete role": delete_role,
    "attach to role": attach_to_role,
    "header of another thing": other_header,
    "other signature": other_signature,
    "broken signature": broken_signature,
    "lose the image in the bucket": lose_the_image_in_the_bucket,
    "lose the image": delete_files("image_path"),
    "device takes the job": take_job,
    "delete update": delete_update,
    "foreign update": Desk.make_foreign_update,
    "our failed update": partial(Desk.make_foreign_update, is_ours=True),
    "orphan job": orphan_job,
    "job of another thing": foreign_job,
    "delete thing": delete_thing,
    "foreign thing": foreign_thing,
    "policy on another certificate": attach_elsewhere,
}
NAMES = sorted(OPERATIONS)
numbers = count()


def tell(text: str) -> None:
    """Shown with the history that failed."""
    if currently_in_test_context():
        note(text)


def happen(desk: Desk, names: list[str]) -> None:
    """Let these operations happen, as far as they can."""
    for name in names:
        with contextlib.suppress(ClientError, FileNotFoundError, ValueError):
            OPERATIONS[name](desk)


def assert_plan_holds(desk: Desk, plan: Any, *command: str) -> None:
    """Carry the plan's command out and compare what it prints with what was planned."""
    result = desk.run(*command)
    blocked = [step for step in plan["steps"] if step["action"] == "blocked"]
    tell(f"planned {[(step['noun'], step['action']) for step in plan['steps']]}")
    tell(result.text)
    assert "Traceback" not in result.text
    assert result.status == (1 if blocked else 0), result.text
    if blocked:
        said = " ".join(result.text.split())
        assert any(" ".join(step["detail"].split())[:45] in said for step in blocked), result.text
        return
    planned = [(step["noun"], VERBS[step["action"]]) for step in plan["steps"] if step["action"] != "wait"]
    assert sorted(planned) == sorted(result.verbs)


def fresh(control: Control, built: Path, clients: Callable[[str], Any], folder: Path) -> Desk:
    control.restore(NEIGHBOURS)
    project = aws_project(folder / f"project-{next(numbers)}", control.address)
    project.put_image(built)
    return Desk(project, control, clients)


def compare(desk: Desk, names: list[str]) -> None:
    happen(desk, names)
    assert_plan_holds(desk, desk.look("plan"), "all")
    shutil.rmtree(desk.project.root_path)


def compare_teardown(desk: Desk, names: list[str]) -> None:
    happen(desk, names)
    assert_plan_holds(desk, desk.look("clean", "--plan"), "clean")
    shutil.rmtree(desk.project.root_path)


def histories(shortest: int) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(NAMES), min_size=shortest, max_size=4)


SHORT = settings(
    max_examples=8,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
LONG = settings(SHORT, max_examples=250, derandomize=False)


@SHORT
@given(names=histories(1))
def test_all_does_what_plan_says(
    clean_sandbox: object,  # noqa: ARG001 - started before the first example
    control: Control,
    built: Path,
    kept_clients: Callable[[str], Any],
    tmp_path: Path,
    names: list[str],
) -> None:
    compare(fresh(control, built, kept_clients, tmp_path), names)


@pytest.mark.long
@LONG
@given(names=histories(0))
def test_all_does_what_plan_says_after_many_histories(
    control: Control, built: Path, kept_clients: Callable[[str], Any], tmp_path: Path, names: list[str]
) -> None:
    compare(fresh(control, built, kept_clients, tmp_path), names)


@pytest.mark.long
@LONG
@given(names=histories(0))
def test_clean_does_what_its_plan_says_after_many_histories(
    control: Control, built: Path, kept_clients: Callable[[str], Any], tmp_path: Path, names: list[str]
) -> None:
    compare_teardown(fresh(control, built, kept_clients, tmp_path), names)


def sampled(*always: str) -> list[Any]:
    """Every operation as a case; all but these only in a long run."""
    return [pytest.param(name, marks=() if name in always else pytest.mark.long) for name in NAMES]


@pytest.mark.parametrize(
    "name",
    sampled(
        "detach the certificate",
        "lose the certificate file",
        "drift role",
        "suspend versions",
        "delete update",
        "other signature",
        "foreign role of another service",
    ),
)
def test_plan_holds_after_each_single_operation(desk: Desk, name: str) -> None:
    compare(desk, ["all", name])


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_plan_holds_where_each_operation_came_first(desk: Desk, name: str) -> None:
    compare(desk, [name])


@pytest.mark.parametrize("name", sampled("all", "delete update", "attach to role", "detach the certificate"))
def test_teardown_plan_holds_after_each_single_operation(desk: Desk, name: str) -> None:
    compare_teardown(desk, ["all", name])


def test_a_job_of_another_thing_does_not_go_with_a_failed_update(desk: Desk) -> None:
    """It has the id that the update's own job would have had, so a forced deletion of the update could take it."""
    desk.run("role").done()
    foreign_job(desk)
    desk.make_foreign_update(is_ours=True)
    job_arn = desk.iot.describe_job(jobId=JOB)["job"]["jobArn"]
    assert step(desk.look("clean", "--plan", status=1), "update")["action"] == "blocked"
    for line in ("clean", "delete.update"):
        desk.run(line).failed(
            f"The job {JOB}", "was made for the thing other", f"`invoke delete.job --name {JOB} --force`"
        )
    assert desk.iot.describe_job(jobId=JOB)["job"]["jobArn"] == job_arn
    assert desk.iot.describe_job(jobId=JOB)["job"]["status"] == "IN_PROGRESS"
    desk.run("delete.job", "--name", JOB, "--force").done()
    assert ("update", "deleted") in desk.run("clean").done().verbs


def step(plan: Any, noun: str) -> Any:
    """The one step of this noun."""
    (found,) = [one for one in plan["steps"] if one["noun"] == noun]
    return found


DIFFERENCES: dict[str, tuple[Callable[[Desk], None], str, list[str]]] = {
    "policy document": (drift_policy, "policy", ['+        "iot:Receive"', f"--- {POLICY} on AWS"]),
    "role permissions": (drift_role, "role", ["--- permissions of lamp_role on AWS", '+        "iam:PassRole"']),
    "role trust": (drift_trust, "role", ["--- trust of lamp_role on AWS", '+        "Service": "iot.amazonaws.com"']),
}


@pytest.mark.parametrize(("drift", "noun", "lines"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_a_change_shows_its_difference(desk: Desk, drift: Callable[[Desk], None], noun: str, lines: list[str]) -> None:
    desk.set_up()
    drift(desk)
    found = step(desk.look("plan", status=0), noun)
    assert found["action"] == "change"
    for line in lines:
        assert line in found["difference"]


def test_a_header_s_change_shows_its_lines(desk: Desk) -> None:
    found = step(desk.look("plan", status=0), "header")
    assert found["difference"].splitlines()[-2:] == [
        '-#define clientcredentialIOT_THING_NAME "dummy_thingname"',
        f'+#define clientcredentialIOT_THING_NAME "{THING}"',
    ]


def test_a_boundary_that_is_to_be_put_on_is_a_difference(desk: Desk) -> None:
    desk.set_up()
    arn = desk.iam.create_policy(PolicyName="bounds", PolicyDocument=EVERYTHING)["Policy"]["Arn"]
    desk.project.set(permissions_boundary=arn)
    found = step(desk.look("plan"), "role")
    assert found["difference"] == f"-boundary none\n+boundary {arn}"
    desk.run("role").done()
    assert step(desk.look("plan"), "role")["action"] == "reuse"


def test_another_image_replaces_the_update_and_names_both_hashes(desk: Desk) -> None:
    desk.set_up()
    desk.iot.delete_ota_update(otaUpdateId=UPDATE, deleteStream=True, forceDeleteAWSJob=True)
    desk.make_foreign_update(is_ours=True)
    plan = desk.look("plan", status=0)
    assert step(plan, "update")["action"] == "replace"
    assert "CREATE_FAILED" in step(plan, "update")["detail"]
    assert step(plan, "object")["action"] == "reuse"
    assert step(plan, "job")["action"] == "wait"


BUILDS: dict[str, tuple[dict[str, str], Callable[[Desk], None], str]] = {
    "from clean for the header": ({}, other_header, "from clean: the header changes"),
    "never from clean": ({"clean_build": "false"}, other_header, "not from clean: clean_build is false"),
    "always from clean": ({"clean_build": "true"}, lambda _: None, "from clean: "),
    "no image yet": ({}, delete_files("image_path"), "not from clean: there is no image yet"),
    "for a certificate that is yet to be made": (
        {},
        lambda desk: desk.run("thing"),
        "is newer than the image",
    ),
}


@pytest.mark.parametrize(("chosen", "make", "detail"), BUILDS.values(), ids=BUILDS)
def test_a_build_says_whether_it_is_from_clean_and_why(
    desk: Desk, chosen: dict[str, str], make: Callable[[Desk], None], detail: str
) -> None:
    desk.project.set(skip_build="false", overwrite_header="true", **chosen)
    make(desk)
    plan = desk.look("plan", status=0)
    assert step(plan, "image")["action"] == "build"
    assert detail in step(plan, "image")["detail"]
    assert not step(plan, "object")["certain"]


def test_a_build_that_changes_nothing_leaves_the_update(desk: Desk) -> None:
    desk.project.set(skip_build="false")
    desk.set_up()
    plan = desk.look("plan", status=0)
    assert "nothing that the image knows has changed" in step(plan, "image")["detail"]
    assert (step(plan, "update")["action"], step(plan, "update")["certain"]) == ("reuse", False)
    assert ("update", "reused") in desk.run("all").done().verbs


def test_without_an_application_header_and_image_say_what_is_missing(desk: Desk) -> None:
    desk.project.set(target_application="", skip_build="false", ota_binary="")
    plan = desk.look("plan", status=1)
    assert step(plan, "header")["action"] == "skip"
    assert "target_application" in step(plan, "image")["detail"]


def test_without_a_firmware_tree_the_header_says_where_it_looked(desk: Desk) -> None:
    desk.project.set(firmware_root="nowhere", build_dir=str(desk.project.build_path))
    found = step(desk.look("plan"), "header")
    assert found["action"] == "skip"
    assert "nowhere/applications is not there" in found["detail"]


def test_on_a_terminal_a_header_set_by_hand_is_asked_about(desk: Desk) -> None:
    other_header(desk)
    seen = desk.project.run_on_terminal("plan")
    assert seen.status == 0
    assert "ask" in seen.out


@pytest.mark.parametrize("status", ["CREATE_PENDING", "DELETE_IN_PROGRESS"])
def test_an_update_that_aws_is_at_work_on_is_waited_for(desk: Desk, status: str) -> None:
    desk.set_up()
    desk.control.pause(5)
    desk.iot.delete_ota_update(otaUpdateId=UPDATE, deleteStream=True, forceDeleteAWSJob=True)
    if status == "CREATE_PENDING":
        desk.control.pause(0)
        desk.iot.get_ota_update(otaUpdateId=UPDATE)
    plan = desk.look("plan", status=0)
    assert step(plan, "job")["action"] == "wait"


def test_a_look_that_is_refused_blocks_its_object_and_no_other(desk: Desk) -> None:
    for operation in ("ListThingPrincipalsV2", "GetPolicy", "GetOTAUpdate", "GetRole"):
        desk.control.fail(operation, "access-denied", times=0)
    plan = desk.look("plan", status=1)
    actions = {one["noun"]: one["action"] for one in plan["steps"]}
    refused = {"certificate", "thing", "policy", "role", "update"}
    assert {noun for noun, action in actions.items() if action == "blocked"} == refused
    assert actions["bucket"] == "create"


def refuse(operation: str, *, after: Callable[[Desk], object] = lambda _: None) -> Callable[[Desk], None]:
    def act(desk: Desk) -> None:
        after(desk)
        desk.control.fail(operation, "access-denied", times=0)

    return act


def not_a_certificate(desk: Desk) -> None:
    desk.project.certificate_path.write_text("nothing")


def header_without_defines(desk: Desk) -> None:
    desk.project.header_path.write_text("")


BLOCKS: dict[str, tuple[Callable[[Desk], object], str, str]] = {
    "a certificate file that is none": (not_a_certificate, "certificate", "is not a certificate in PEM form"),
    "a header without the defines": (header_without_defines, "header", "has no #define"),
    "tags that may not be read": (
        refuse("ListTagsForResource", after=drift_policy),
        "policy",
        "iot:ListTagsForResource",
    ),
    "policies that may not be read": (refuse("GetEffectivePolicies"), "policy", "iot:GetEffectivePolicies"),
    "as many policies as AWS allows": (
        lambda desk: (detach_ours(desk), ten_policies(desk)),
        "policy",
        "has 10 policies",
    ),
    "a role's policy that may not be read": (refuse("GetRolePolicy"), "role", "iam:GetRolePolicy"),
    "an image that is gone": (delete_files("image_path"), "image", "skip_build is set"),
    "a signature that is none": (broken_signature, "signature", "not a signature in base64"),
    "a job of another thing": (
        lambda desk: (delete_update(desk), desk.iot.create_thing(thingName="other"), foreign_orphan(desk)),
        "update",
        "was not made for the thing",
    ),
}


def failed_update_beside_foreign_job(desk: Desk) -> None:
    delete_update(desk)
    desk.make_foreign_update(is_ours=True)
    foreign_job(desk)


def test_a_job_of_another_thing_outlives_a_failed_update_of_ours(desk: Desk) -> None:
    desk.set_up()
    failed_update_beside_foreign_job(desk)
    desk.run("all").failed("was not made for the thing")
    assert desk.iot.describe_job(jobId=JOB)["job"]["targets"] == [THING_ARN.replace(THING, "other")]
    assert_plan_holds(desk, desk.look("plan", status=1), "all")


def detach_ours(desk: Desk) -> None:
    desk.iot.detach_policy(policyName=POLICY, target=desk.certificate()["certificateArn"])


def foreign_orphan(desk: Desk) -> None:
    orphan_job(desk, THING_ARN.replace(THING, "other"))


@pytest.mark.parametrize(("make", "noun", "words"), BLOCKS.values(), ids=BLOCKS)
def test_what_all_would_fail_at_is_blocked_with_its_reason(
    desk: Desk, make: Callable[[Desk], object], noun: str, words: str
) -> None:
    desk.set_up()
    make(desk)
    found = step(desk.look("plan", status=1), noun)
    assert found["action"] == "blocked"
    assert words in found["brief"]


def test_a_certificate_of_a_run_that_was_cut_off_is_adopted_with_its_policies(desk: Desk) -> None:
    desk.set_up()
    desk.project.certificate_path.unlink()
    plan = desk.look("plan", status=0)
    assert "adopted" in step(plan, "certificate")["detail"]
    assert step(plan, "policy")["action"] == "reuse"


def test_another_signature_replaces_the_update_and_says_so(desk: Desk) -> None:
    desk.set_up()
    other_signature(desk)
    found = step(desk.look("plan", status=0), "update")
    assert (found["action"], found["detail"]) == ("replace", "same image, other signature, name or protocol")


def test_an_update_whose_image_is_gone_is_replaced_and_says_so(desk: Desk) -> None:
    desk.set_up()
    lose_the_image_in_the_bucket(desk)
    plan = desk.look("plan", status=0)
    assert step(plan, "update")["detail"] == "its image is no longer in the bucket"
    assert step(plan, "object")["action"] == "upload"
    result = desk.run("all").done()
    assert "in place of the one whose image was gone" in result.out
    location = desk.iot.get_ota_update(otaUpdateId=UPDATE)["otaUpdateInfo"]["otaUpdateFiles"][0]["fileLocation"]
    versions = desk.s3.list_object_versions(Bucket=BUCKET)["Versions"]
    assert [location["s3Location"]["version"]] == [one["VersionId"] for one in versions]
    assert ("update", "reused") in desk.run("all").done().verbs


TEARDOWNS: dict[str, tuple[Callable[[Desk], None], tuple[str, ...], str, str]] = {
    "somebody's object keeps the bucket": (foreign_object, (), "bucket", "blocked"),
    "unless forced": (foreign_object, ("--force",), "bucket", "delete"),
    "somebody's policy keeps the role": (attach_to_role, (), "role", "blocked"),
    "our policy on another certificate stays": (attach_elsewhere, (), "policy", "blocked"),
    "an update whose role is gone": (delete_role, (), "update", "blocked"),
    "files where asked for": (lambda _: None, ("--local",), "files", "delete"),
}


@pytest.mark.parametrize(("make", "flags", "noun", "action"), TEARDOWNS.values(), ids=TEARDOWNS)
def test_a_teardown_says_what_stays(
    desk: Desk, make: Callable[[Desk], None], flags: tuple[str, ...], noun: str, action: str
) -> None:
    desk.set_up()
    make(desk)
    plan = desk.look("clean", "--plan", *flags)
    assert step(plan, noun)["action"] == action
    assert bool(step(plan, noun)["command"]) == (action == "blocked")


def test_a_teardown_of_somebody_else_s_leaves_it(desk: Desk) -> None:
    desk.make_foreign_update()
    foreign_role(desk)
    foreign_policy(desk)
    foreign_thing(desk)
    foreign_bucket(desk)
    actions = {one["noun"]: one["action"] for one in desk.look("clean", "--plan", status=0)["steps"]}
    assert actions == {
        "update": "keep",
        "bucket": "keep",
        "role": "keep",
        "certificate": "absent",
        "policy": "keep",
        "thing": "keep",
        **{noun.name: "absent" for noun in NOUNS if noun.decide_deletion},
    }
    assert "Proven" in desk.run("clean").done().out


def test_a_teardown_plan_shows_what_was_made_under_another_name(desk: Desk) -> None:
    desk.set_up()
    update_by_another_name(desk)
    names = [one["name"] for one in desk.look("clean", "--plan", status=0)["steps"] if one["noun"] == "update"]
    assert names == [UPDATE, "earlier_update"]
    assert_plan_holds(desk, desk.look("clean", "--plan"), "clean")


def test_a_teardown_plan_knows_that_an_update_of_another_name_needs_the_role(desk: Desk) -> None:
    desk.set_up()
    update_by_another_name(desk)
    delete_update(desk)
    desk.run("delete.role", "--force").done()
    steps = desk.look("clean", "--plan", status=1)["steps"]
    found = [(one["name"], one["action"], one["command"]) for one in steps if one["noun"] == "update"]
    assert found == [(UPDATE, "absent", ""), ("earlier_update", "blocked", "invoke role")]
    desk.run("role").done()
    assert_plan_holds(desk, desk.look("clean", "--plan", status=0), "clean")


def test_a_teardown_goes_by_the_role_that_the_update_was_made_with(desk: Desk) -> None:
    """Not by the one that the settings name since."""
    desk.set_up()
    desk.project.set(iam_role_name="another_role")
    plan = desk.look("clean", "--plan", status=0)
    assert (step(plan, "update")["action"], step(plan, "role")["action"]) == ("delete", "absent")
    assert_plan_holds(desk, plan, "clean")


def test_a_teardown_keeps_a_certificate_that_the_settings_name(desk: Desk) -> None:
    desk.set_up()
    desk.project.set(existing_certificate_arn=desk.certificate()["certificateArn"])
    plan = desk.look("clean", "--plan", "--local", status=0)
    assert step(plan, "certificate")["action"] == "keep"
    assert step(plan, "files")["action"] == "keep"


def test_a_job_that_outlived_its_update_goes_too(desk: Desk) -> None:
    foreign_thing(desk)
    orphan_job(desk)
    assert step(desk.look("clean", "--plan"), "update")["detail"] == "only its job is left"
    desk.iot.delete_job(jobId=JOB, force=True)
    foreign_job(desk)
    assert "stays" in step(desk.look("clean", "--plan"), "update")["detail"]


def test_ours_are_known_by_their_marks(desk: Desk) -> None:
    desk.iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=trust_document(), Tags=mark_tags(THING))
    found = step(desk.look("plan", status=0), "role")
    assert (found["action"], found["detail"]) == ("change", "permissions, trust put right")
    assert ROLE_ARN in found["difference"]
