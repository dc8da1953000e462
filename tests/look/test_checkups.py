"""Each mistake is named before ``all`` is run, with the one command that mends it, and that command mends it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from ota.cloud import open_cloud
from ota.errors import OtaError, Problem, SettingsError
from ota.look import doctor_build, doctor_cloud, doctor_local
from ota.look.doctor import corrected_value, mended_settings, run_checks, settings_findings
from ota.messages import PLAIN, command, shell
from ota.outcomes import Finding, Severity, ok
from ota.run import Run
from ota.settings.settings import Settings, load_settings
from tests.conftest import ACCOUNT, REGION
from tests.look.look_desk import BUCKET, EVERYTHING, POLICY, ROLE, UPDATE, Desk, built, desk, own_path_without
from tests.project import THING
from tests.test_plans import (
    attach_elsewhere,
    bucket_elsewhere,
    deactivate,
    delete_role,
    drift_policy,
    drift_role,
    empty_unmarked_bucket,
    foreign_bucket,
    foreign_job,
    foreign_policy,
    foreign_role,
    orphan_job,
    other_header,
    other_signature,
    ten_policies,
)

__all__ = ["attach_elsewhere", "built", "desk", "empty_unmarked_bucket"]

NOW = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
SHORT_DOCUMENT = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:*", "iot:*"], "Resource": "*"}]}
)
ONLY_S3 = SHORT_DOCUMENT.replace('"s3:*", "iot:*"', '"s3:*"')


@dataclass(frozen=True)
class Mistake:
    """How it comes about, and what is said of it.

    Attributes:
        make: what somebody did.
        subject: what the finding is about.
        words: what its sentence says.
        command: what its command holds.
        is_fatal: whether ``all`` would fail.
        is_set_up: whether ``all`` had been run before.
        mends: runs the command; where that is not simply the command line.
    """

    make: Callable[[Desk], object]
    subject: str
    words: str
    command: str
    is_fatal: bool = True
    is_set_up: bool = False
    mends: Callable[[Desk, str], object] = lambda desk, command: desk.shell(command)


def choose(**values: str) -> Callable[[Desk], None]:
    return lambda desk: desk.project.set(**values)


def make_boundary(desk: Desk, document: str = EVERYTHING, *, as_name: bool = False) -> None:
    arn = desk.iam.create_policy(PolicyName="ota-boundary", PolicyDocument=document)["Policy"]["Arn"]
    desk.project.set(permissions_boundary="ota-boundary" if as_name else arn)


def boundary_of_another_path(desk: Desk) -> None:
    desk.iam.create_policy(PolicyName="ota-boundary", Path="/team/", PolicyDocument=EVERYTHING)
    desk.project.set(permissions_boundary=f"arn:aws:iam::{ACCOUNT}:policy/ota-boundary")


def policy_without_receive(desk: Desk) -> None:
    desk.set_up()
    document = json.loads(desk.iot.get_policy(policyName=POLICY)["policyDocument"])
    document["Statement"][2]["Action"] = "iot:Publish"
    arn = desk.certificate()["certificateArn"]
    desk.iot.detach_policy(policyName=POLICY, target=arn)
    desk.iot.delete_policy(policyName=POLICY)
    desk.iot.create_policy(policyName=POLICY, policyDocument=json.dumps(document))


def role_without(desk: Desk, action: str) -> None:
    document = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "*", "Resource": "*"},
            {"Effect": "Deny", "Action": action, "Resource": "*"},
        ],
    }
    foreign_role(desk, document=json.dumps(document))


def failed_update(desk: Desk) -> None:
    desk.make_foreign_update(is_ours=True)


def undeletable_update(desk: Desk) -> None:
    delete_role(desk)
    desk.iot.delete_ota_update(otaUpdateId=UPDATE, deleteStream=True, forceDeleteAWSJob=True)


def lose_key(desk: Desk) -> None:
    desk.project.key_path.unlink()


def lose_files(desk: Desk) -> None:
    desk.project.key_path.unlink()
    desk.project.certificate_path.unlink()


def other_key(desk: Desk) -> None:
    """The key of another certificate."""
    made = desk.iot.create_keys_and_certificate(setAsActive=True)
    desk.project.key_path.write_text(made["keyPair"]["PrivateKey"])


def other_files(desk: Desk) -> None:
    """Key and certificate of another device."""
    made = desk.iot.create_keys_and_certificate(setAsActive=True)
    desk.project.key_path.write_text(made["keyPair"]["PrivateKey"])
    desk.project.certificate_path.write_text(made["certificatePem"])


def another_thing_s_files(desk: Desk) -> None:
    desk.set_up()
    desk.iot.create_thing(thingName="other")
    arn = desk.certificate()["certificateArn"]
    desk.iot.detach_thing_principal(thingName=THING, principal=arn)
    desk.iot.attach_thing_principal(thingName="other", principal=arn)


def forbid_script(desk: Desk) -> None:
    desk.project.set(skip_build="false")
    (desk.project.firmware_path / "tools/scripts/build.sh").chmod(0o644)


def no_openssl(desk: Desk) -> None:
    desk.project.set(skip_build="false")
    bare = desk.project.root_path / "bin"
    desk.project.environ["PATH"] = own_path_without("openssl", bare)
    # What stands for apt on a machine of which nothing may be changed.
    (bare / "sudo").unlink(missing_ok=True)
    (bare / "sudo").write_text(f"#!/bin/sh\nln -s {shutil.which('openssl')} {bare}/openssl\n")
    (bare / "sudo").chmod(0o755)


def running_with_other_content(desk: Desk) -> None:
    desk.take_job()
    other_signature(desk)


def bucket_of_another_account(desk: Desk) -> None:
    desk.control.fail("GetBucketTagging", code="AccessDenied", status=403)
    desk.control.fail("HeadBucket", code="403", status=403)


def open_bucket(desk: Desk) -> None:
    desk.s3.delete_public_access_block(Bucket=BUCKET)


def open_foreign_bucket(desk: Desk) -> None:
    foreign_bucket(desk, versioned=True)
    open_bucket(desk)


def publish_bucket(desk: Desk) -> None:
    everybody = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    open_bucket(desk)
    desk.s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [everybody]}))


def expired(desk: Desk) -> None:
    desk.control.fail("GetCallerIdentity", "expired-token", times=0)
    desk.project.environ["EDITOR"] = str(desk.project.root_path / "editor")
    path = desk.project.root_path / "editor"
    path.write_text('#!/bin/sh\necho "# renewed" >> "$1"\n')
    path.chmod(0o755)


def renewed(desk: Desk, command: str) -> None:
    desk.bash(command)
    assert (desk.project.root_path / ".env").exists()
    desk.control.clear_faults()


def readable_key(desk: Desk) -> None:
    desk.project.key_path.chmod(0o644)


def open_folder(desk: Desk) -> None:
    desk.project.key_path.parent.chmod(0o777)


def key_that_leads_nowhere(desk: Desk) -> None:
    desk.project.key_path.parent.mkdir()
    desk.project.key_path.symlink_to("/nowhere/key")


def broken_image(desk: Desk) -> None:
    image = desk.project.image_path
    image.write_bytes(image.read_bytes()[:-1] + b"!")


def zone_for_region(desk: Desk) -> None:
    desk.project.environ["AWS_REGION"] = f"{REGION}a"


def in_region(desk: Desk, command: str) -> None:
    variable, _, rest = command.partition(" ")
    name, _, value = variable.partition("=")
    desk.shell(rest, **{name: value})


MISTAKES: dict[str, Mistake] = {
    "boundary by name instead of ARN": Mistake(
        partial(make_boundary, as_name=True),
        "settings",
        "permissions_boundary",
        f"arn:aws:iam::{ACCOUNT}:policy/ota-boundary",
    ),
    "boundary that does not exist": Mistake(
        choose(permissions_boundary=f"arn:aws:iam::{ACCOUNT}:policy/none"),
        "boundary",
        "there is no IAM policy",
        "aws iam create-policy",
    ),
    "boundary under another path": Mistake(
        boundary_of_another_path, "boundary", "there is no IAM policy", "policy/team/ota-boundary"
    ),
    "boundary that takes too much": Mistake(
        partial(make_boundary, document=ONLY_S3), "boundary", "iot:CreateJob", "aws iam create-policy-version"
    ),
    "role name without the prefix": Mistake(
        choose(role_prefix="dev", iam_role_name="lamp"),
        "role",
        "does not begin with role_prefix",
        "--iam-role-name dev-lamp",
        is_fatal=False,
    ),
    "header of another thing": Mistake(other_header, "header", "'other' by 'lamp'", "--overwrite-header true thing"),
    "somebody's policy without Receive": Mistake(
        policy_without_receive, "policy", "exists with another document", f"--policy-name {POLICY}-ota"
    ),
    "our policy changed": Mistake(
        drift_policy, "policy", "new default version", "invoke policy", is_fatal=False, is_set_up=True
    ),
    "role that may not pass itself": Mistake(
        partial(foreign_role, document=SHORT_DOCUMENT), "role", "iam:PassRole", "aws iam put-role-policy"
    ),
    "role that is denied something": Mistake(
        partial(role_without, action="iot:CreateStream"), "role", "iot:CreateStream", f"--iam-role-name {ROLE}-ota"
    ),
    "role that does not trust the service": Mistake(
        partial(foreign_role, service="lambda.amazonaws.com"),
        "role",
        "does not trust iot.amazonaws.com",
        "aws iam update-assume-role-policy",
    ),
    "our role changed": Mistake(
        drift_role, "role", "permissions put right", "invoke role", is_fatal=False, is_set_up=True
    ),
    "our bucket opened": Mistake(
        open_bucket, "bucket", "public access block put right", "invoke bucket", is_fatal=False, is_set_up=True
    ),
    "open bucket of somebody else's": Mistake(
        open_foreign_bucket,
        "bucket",
        "not made by this tool; public access is not blocked, access without TLS is not refused",
        "aws s3api put-public-access-block",
        is_fatal=False,
    ),
    "bucket whose policy lets everybody in": Mistake(
        publish_bucket, "bucket", "lets everybody in", "aws s3api put-bucket-policy", is_set_up=True
    ),
    "bucket of another account": Mistake(
        bucket_of_another_account, "bucket", "belongs to another AWS account", f"--bucket-name {BUCKET}-2"
    ),
    "bucket in another region": Mistake(bucket_elsewhere, "bucket", "is in us-west-2", f"--bucket-name {BUCKET}-2"),
    "bucket without versions": Mistake(
        foreign_bucket, "bucket", "keeps no versions", "aws s3api put-bucket-versioning"
    ),
    "update that could not be made": Mistake(failed_update, "update", "CREATE_FAILED", "invoke update", is_fatal=False),
    "update that could not be deleted": Mistake(
        undeletable_update, "update", "DELETE_FAILED", "invoke role update", is_fatal=False, is_set_up=True
    ),
    "update of somebody else's": Mistake(
        Desk.make_foreign_update, "update", "not made by this tool", f"--update-name {UPDATE}-2"
    ),
    "update that a device is downloading": Mistake(
        running_with_other_content, "update", "is downloading", "--replace-running-update true update", is_set_up=True
    ),
    "job of another thing": Mistake(foreign_job, "update", "was not made for the thing", f"--update-name {UPDATE}-2"),
    "job that outlived its update": Mistake(
        lambda desk: (desk.run("thing").done(), orphan_job(desk)),
        "update",
        "a job of a run that was cut off",
        "invoke update",
        is_fatal=False,
    ),
    "key that is lost": Mistake(
        lose_key, "certificate", "and its private key", "--existing-device true", is_set_up=True
    ),
    "key and certificate lost": Mistake(
        lose_files, "certificate", "private key is not at", "--existing-device true", is_set_up=True
    ),
    "key of another certificate": Mistake(
        other_key, "certificate", "does not belong to the certificate", "--existing-device true", is_set_up=True
    ),
    "files of another device": Mistake(
        other_files, "certificate", "do not belong to the thing", "--existing-device true", is_set_up=True
    ),
    "files of another thing": Mistake(
        another_thing_s_files, "certificate", "belongs to other", "--credentials-path certificates-lamp"
    ),
    "certificate that is not active": Mistake(
        deactivate, "certificate", "is INACTIVE", "--new-status ACTIVE", is_set_up=True
    ),
    "certificate that does not exist": Mistake(
        choose(existing_certificate_arn=f"arn:aws:iot:{REGION}:{ACCOUNT}:cert/{'a' * 64}"),
        "certificate",
        "no such certificate",
        "--existing-certificate-arn CREATE_NEW_CERTIFICATE",
    ),
    "ten policies on the certificate": Mistake(
        lambda desk: (desk.run("thing").done(), ten_policies(desk)),
        "policy",
        "as many as AWS allows",
        "aws iot detach-policy",
    ),
    "key that others can read": Mistake(
        readable_key, "files", "others can read", "chmod 600", is_fatal=False, is_set_up=True
    ),
    "folder in which others can replace the key": Mistake(
        open_folder, "files", "others can replace", "chmod go-w", is_fatal=False, is_set_up=True
    ),
    "key that is a link to nothing": Mistake(
        key_that_leads_nowhere, "certificate", "is a symbolic link to /nowhere/key, and nothing is there", "mv "
    ),
    "no build script": Mistake(
        choose(skip_build="false", build_script_path="./scripts/build.sh"),
        "build",
        "scripts/build.sh is not there",
        "--build-script-path tools/scripts/build.sh build",
    ),
    "build script that may not run": Mistake(forbid_script, "build", "not executable", "chmod +x"),
    "no openssl": Mistake(
        no_openssl, "tools", "openssl is not on the PATH", "sudo apt-get install -y openssl", mends=Desk.bash
    ),
    "application that the tree has not": Mistake(
        choose(target_application="blink", skip_build="false"),
        "build",
        "no application 'blink'",
        "--target-application keyword-detection",
    ),
    "no image, and no build": Mistake(
        lambda desk: desk.project.image_path.unlink(), "image", "there is no image", "--skip-build false build"
    ),
    "image changed after it was signed": Mistake(
        broken_image,
        "proof",
        "the image was changed after it was signed",
        "--skip-build false --clean-build true build",
    ),
    "SHA-256 with a hyphen": Mistake(
        choose(hash_algorithm="SHA-256"), "settings", "hash_algorithm", "--hash-algorithm SHA256"
    ),
    "capitals in a bucket name": Mistake(
        choose(bucket_name="Lamp-Images"), "settings", "bucket_name", "--bucket-name "
    ),
    "no thing name": Mistake(choose(thing_name="<your_thing_name>"), "settings", "thing_name", "--thing-name my-thing"),
    "zone for a region": Mistake(
        zone_for_region, "credentials", "is not an AWS region", f"AWS_REGION={REGION} invoke all", mends=in_region
    ),
    "expired credentials": Mistake(expired, "credentials", "have expired", "${EDITOR:-vi} .env", mends=renewed),
}
# Run always; the others only in a long run.
SAMPLE = (
    "boundary by name instead of ARN",
    "boundary that takes too much",
    "boundary that does not exist",
    "boundary under another path",
    "role name without the prefix",
    "key that others can read",
    "job that outlived its update",
    "application that the tree has not",
    "header of another thing",
    "role that may not pass itself",
    "bucket of another account",
    "update that could not be deleted",
    "key that is lost",
    "certificate that is not active",
    "no openssl",
    "image changed after it was signed",
    "expired credentials",
    "zone for a region",
)


def findings_of(desk: Desk, mistake: Mistake) -> list[dict[str, str]]:
    found = desk.look("doctor")["findings"]
    severity = "fatal" if mistake.is_fatal else "warning"
    return [one for one in found if one["subject"] == mistake.subject and one["severity"] == severity]


@pytest.mark.parametrize(
    "mistake",
    [pytest.param(one, id=name, marks=() if name in SAMPLE else pytest.mark.long) for name, one in MISTAKES.items()],
)
def test_a_mistake_is_named_with_the_command_that_mends_it(desk: Desk, mistake: Mistake) -> None:
    if mistake.is_set_up:
        desk.set_up()
    mistake.make(desk)
    found = [one for one in findings_of(desk, mistake) if mistake.words in one["text"]]
    assert found, desk.run("doctor").text
    command = found[0]["command"]
    assert mistake.command in command
    mistake.mends(desk, command)
    if " with " in command or command.startswith("AWS_"):
        return  # it has set up all that it is about, for this once
    assert not [one for one in findings_of(desk, mistake) if one["text"] == found[0]["text"]]
    desk.set_up()


def test_a_mistake_in_the_settings_keeps_no_other_from_being_found(desk: Desk) -> None:
    desk.project.set(hash_algorithm="SHA-256", bucket_name="Lamp-Images")
    foreign_role(desk, service="lambda.amazonaws.com")
    subjects = [one["subject"] for one in desk.look("doctor", status=1)["findings"] if one["severity"] == "fatal"]
    assert subjects == ["settings", "settings", "role"]


def test_without_credentials_what_is_on_this_machine_is_looked_at_all_the_same(desk: Desk) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del desk.project.environ[name]
    found = {one["subject"]: one for one in desk.look("doctor", status=1)["findings"]}
    assert found["credentials"]["command"] == "invoke init && ${EDITOR:-vi} .env"
    assert found["plan"]["severity"] == "skipped"
    assert found["image"]["severity"] == "ok"


def test_a_profile_is_signed_in_again(desk: Desk, tmp_path: Path) -> None:
    desk.control.fail("GetCallerIdentity", "expired-token", times=0)
    config = tmp_path / "aws"
    config.write_text(f"[profile work]\nregion = {REGION}\naws_access_key_id = x\naws_secret_access_key = y\n")
    found = desk.look("doctor", AWS_PROFILE="work", AWS_CONFIG_FILE=str(config), status=1)["findings"]
    commands = [one["command"] for one in found if one["subject"] == "credentials"]
    assert commands == ["aws sso login --profile work"]


def test_settings_that_nothing_mends_end_the_checkup(desk: Desk) -> None:
    desk.project.set(max_listed="many")
    found = desk.look("doctor", status=1)["findings"]
    assert {one["subject"] for one in found} == {"settings"}


def test_every_fatal_finding_is_one_sentence_and_the_screen_says_how_many(desk: Desk) -> None:
    foreign_role(desk, service="lambda.amazonaws.com")
    foreign_policy(desk)
    result = desk.run("doctor")
    assert result.status == 1
    assert "2 things would make `all` fail. The command under each mends it." in result.out


def test_all_is_well_when_it_is(desk: Desk) -> None:
    desk.set_up()
    assert desk.run("doctor").done().out.splitlines()[-1] == "All is well."


def settings_of(desk: Desk, **values: str) -> Settings:
    desk.project.set(**values)
    return load_settings(desk.project.root_path, environ=desk.project.environ).with_account(ACCOUNT, REGION)


def run_of(desk: Desk, monkeypatch: pytest.MonkeyPatch, boundary_arn: str = "") -> Run:
    for name, value in desk.project.environ.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    values = {"permissions_boundary": boundary_arn} if boundary_arn else {}
    return Run(desk.project.root_path).about(settings_of(desk, **values), open_cloud(desk.project.environ))


SPANS: dict[str, tuple[timedelta | None, Severity]] = {
    "no end": (None, Severity.OK),
    "hours": (timedelta(hours=3), Severity.OK),
    "a quarter of an hour": (timedelta(minutes=15), Severity.OK),
    "minutes": (timedelta(minutes=14), Severity.WARNING),
    "over": (timedelta(seconds=-5), Severity.WARNING),
}


@pytest.mark.parametrize(("left", "severity"), SPANS.values(), ids=SPANS)
def test_credentials_that_end_soon_are_a_warning(left: timedelta | None, severity: Severity) -> None:
    found = doctor_cloud.expiry_finding("arn", NOW + left if left is not None else None, NOW)
    assert found.severity is severity
    assert PLAIN.remedy(found.command or ()) == ("aws sso login" if severity is Severity.WARNING else "")


SKEWS: dict[str, tuple[timedelta | None, Severity]] = {
    "no date": (None, Severity.SKIPPED),
    "none": (timedelta(0), Severity.OK),
    "a minute behind": (timedelta(minutes=-1), Severity.WARNING),
    "four minutes": (timedelta(minutes=4), Severity.WARNING),
    "five minutes": (timedelta(minutes=5), Severity.FATAL),
    "hours behind": (timedelta(hours=-3), Severity.FATAL),
}


@pytest.mark.parametrize(("skew", "severity"), SKEWS.values(), ids=SKEWS)
def test_a_wrong_clock_is_found(skew: timedelta | None, severity: Severity) -> None:
    found = doctor_cloud.clock_finding(NOW + skew if skew is not None else None, NOW)
    assert found.severity is severity
    is_told = severity in (Severity.WARNING, Severity.FATAL)
    assert PLAIN.remedy(found.command or ()) == ("sudo timedatectl set-ntp true" if is_told else "")


def test_the_clock_is_read_off_aws_s_own_answer(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(desk, monkeypatch)

    def answer_late(http_response: Any, **_: object) -> None:
        http_response.headers["date"] = "Thu, 01 Jan 2026 12:00:00 GMT"

    run.cloud.sts.meta.events.register_first("after-call.sts.GetCallerIdentity", answer_late)
    environ = {"AWS_CREDENTIAL_EXPIRATION": "2026-01-01T12:10:00Z"}
    found = list(doctor_cloud.check_credentials(run.cloud, NOW + timedelta(hours=1), environ))
    severities = {one.subject: one.severity for one in found}
    assert severities == {"credentials": Severity.WARNING, "region": Severity.OK, "clock": Severity.FATAL}


@pytest.mark.parametrize("text", ["", "soon"])
def test_an_end_that_cannot_be_read_is_none(desk: Desk, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    run = run_of(desk, monkeypatch)
    found = next(doctor_cloud.check_credentials(run.cloud, NOW, {"AWS_CREDENTIAL_EXPIRATION": text}))
    assert found.severity is Severity.OK


DECISIONS = {"allowed": Severity.OK, "implicitDeny": Severity.FATAL, "explicitDeny": Severity.FATAL}


@pytest.mark.parametrize(("decision", "severity"), DECISIONS.items())
def test_whether_the_role_may_be_passed_is_asked_of_the_simulator(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, decision: str, severity: Severity
) -> None:
    run = run_of(desk, monkeypatch)
    with Stubber(run.cloud.iam) as stub:
        answer = {"EvaluationResults": [{"EvalActionName": "iam:PassRole", "EvalDecision": decision}]}
        stub.add_response("simulate_principal_policy", answer)
        (found,) = doctor_cloud.check_pass_role(run)
    assert found.severity is severity
    if severity is Severity.FATAL:
        line = PLAIN.remedy(found.command)
        assert line.startswith("aws iam put-user-policy --user-name moto ")
        assert f"role/{ROLE}" in line


def test_where_the_simulator_may_not_be_asked_nothing_is_said_either_way(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.control.fail("SimulatePrincipalPolicy", "access-denied")
    (found,) = doctor_cloud.check_pass_role(run_of(desk, monkeypatch))
    assert found.severity is Severity.SKIPPED
    assert found.text.startswith("not checked")


@pytest.mark.parametrize(
    ("caller", "principal"),
    [
        ("arn:aws:iam::123456789012:user/ann", "arn:aws:iam::123456789012:user/ann"),
        ("arn:aws:sts::123456789012:assumed-role/dev/ann", "arn:aws:iam::123456789012:role/dev"),
        ("arn:aws-cn:sts::123456789012:assumed-role/dev/ann", "arn:aws-cn:iam::123456789012:role/dev"),
    ],
)
def test_the_policies_of_a_session_are_its_role_s(caller: str, principal: str) -> None:
    assert doctor_cloud.principal_of(caller) == principal


ROOMS = {
    "room": (10, 1000, Severity.OK),
    "nearly full": (960, 1000, Severity.WARNING),
    "full": (1000, 1000, Severity.FATAL),
}


def room_for_the_role(run: Run, monkeypatch: pytest.MonkeyPatch, used: int, quota: int) -> Finding:
    """What the checkup says of an account with so many roles; whether the role is there is asked of the account."""
    summary = {"SummaryMap": {"Roles": used, "RolesQuota": quota}}
    monkeypatch.setattr(run.cloud.iam, "get_account_summary", lambda: summary)
    return next(doctor_cloud.check_quotas(run))


@pytest.mark.parametrize(("used", "quota", "severity"), ROOMS.values(), ids=ROOMS)
def test_quotas_that_are_used_up(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, used: int, quota: int, severity: Severity
) -> None:
    found = room_for_the_role(run_of(desk, monkeypatch), monkeypatch, used, quota)
    assert found.severity is severity
    assert PLAIN.remedy(found.command or ()) == ("" if severity is Severity.OK else "invoke list.roles")


@pytest.mark.parametrize("used", [960, 1000], ids=["nearly full", "full"])
def test_a_role_that_is_there_needs_no_room(desk: Desk, monkeypatch: pytest.MonkeyPatch, used: int) -> None:
    desk.run("role").done()
    found = room_for_the_role(run_of(desk, monkeypatch), monkeypatch, used, 1000)
    assert found.severity is Severity.OK
    assert f"{ROLE} is one of them" in found.text


def test_a_bucket_that_is_there_needs_no_room(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_cloud, "BUCKET_QUOTA", 1)
    desk.s3.create_bucket(Bucket="another", CreateBucketConfiguration={"LocationConstraint": REGION})
    run = run_of(desk, monkeypatch)
    assert [one.severity for one in doctor_cloud.check_quotas(run)] == [Severity.OK, Severity.FATAL]
    desk.run("bucket").done()
    assert [one.severity for one in doctor_cloud.check_quotas(run)] == [Severity.OK, Severity.OK]


def test_a_boundary_that_leaves_what_is_needed_is_well(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    arn = desk.iam.create_policy(PolicyName="wide", PolicyDocument=EVERYTHING)["Policy"]["Arn"]
    (found,) = doctor_cloud.check_boundary(run_of(desk, monkeypatch, arn))
    assert found.severity is Severity.OK


def test_a_check_that_aws_refuses_is_a_finding_and_keeps_no_other_from_being_made() -> None:
    def refused() -> list[Finding]:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetPolicy")

    def failed() -> list[Finding]:
        raise OtaError("It broke.", remedy=command("clean"))

    found = run_checks({"one": refused, "two": failed, "three": lambda: [ok("three", "fine")]})
    assert [(one.subject, one.severity) for one in found] == [
        ("one", Severity.FATAL),
        ("two", Severity.FATAL),
        ("three", Severity.OK),
    ]
    assert (str(found[1].text), found[1].command) == ("It broke.", (command("clean"),))


@pytest.mark.parametrize(
    ("left", "severity"),
    [(timedelta(days=400), "ok"), (timedelta(days=20), "warning"), (timedelta(days=-1), "warning")],
    ids=["years", "soon", "over"],
)
def test_a_certificate_s_end(desk: Desk, left: timedelta, severity: str) -> None:
    from cryptography import x509

    desk.run("thing").done()
    pem = desk.project.certificate_path.read_bytes()
    end = x509.load_pem_x509_certificate(pem).not_valid_after_utc
    (found,) = doctor_local.check_certificate_files(settings_of(desk), end - left)
    assert found.severity.value == severity


SCRIPTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "nothing known": ("echo hello", ("openssl",)),
    "cmake and ninja": ("cmake -G Ninja ..\nninja -C build", ("openssl", "cmake", "ninja")),
    "in a comment": ("# cmake is not needed\nmake", ("openssl",)),
    "part of a path or word": ("source ./cmake/x.sh; run my-git-tool", ("openssl",)),
    "quoted": ('PY="python3"', ("openssl", "python3")),
}


@pytest.mark.parametrize(("text", "tools"), SCRIPTS.values(), ids=SCRIPTS)
def test_the_tools_that_a_script_calls(text: str, tools: tuple[str, ...]) -> None:
    assert doctor_build.tools_of(text) == tools


def test_homebrew_installs_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "brew").touch(mode=0o755)
    assert doctor_build.install_command("cmake", {"PATH": str(tmp_path)}) == shell("brew", "install", "cmake")
    with_apt = doctor_build.install_command("ninja", {"PATH": os.devnull})
    assert PLAIN.render(with_apt) == "sudo apt-get install -y ninja-build"


def test_no_firmware_tree_is_cloned(desk: Desk) -> None:
    settings = settings_of(desk, firmware_root="nowhere", skip_build="false")
    (found,) = doctor_build.check_build(settings, desk.project.environ)
    assert found.severity is Severity.FATAL
    assert PLAIN.remedy(found.command).startswith("git clone --recursive https://github.com/FreeRTOS/")


def test_a_firmware_tree_is_cloned_beside_a_folder_that_holds_something_else(desk: Desk) -> None:
    root = desk.project.root_path / "full"
    (root / "something").mkdir(parents=True)
    beside = root.parent / "iot-reference-arm-corstone3xx"
    settings = settings_of(desk, firmware_root="full", skip_build="false")
    (found,) = doctor_build.check_build(settings, desk.project.environ)
    take = f"invoke with --firmware-root {beside} doctor"
    assert PLAIN.remedy(found.command) == f"git clone --recursive {doctor_build.FIRMWARE_URL} {beside} && {take}"
    beside.mkdir()
    (found,) = doctor_build.check_build(settings, desk.project.environ)
    assert PLAIN.remedy(found.command) == take


def test_a_script_that_is_nowhere_is_brought_back_from_git(desk: Desk) -> None:
    (desk.project.firmware_path / "tools/scripts/build.sh").unlink()
    (found,) = doctor_build.check_build(settings_of(desk, skip_build="false"), desk.project.environ)
    assert PLAIN.remedy(found.command).endswith("checkout -- tools/scripts/build.sh")


def test_a_build_with_all_its_tools_is_well(desk: Desk) -> None:
    (found,) = doctor_build.check_build(settings_of(desk, skip_build="false"), desk.project.environ)
    assert found.severity is Severity.OK


def test_what_a_build_makes_anew_is_no_failure_yet(desk: Desk) -> None:
    broken_image(desk)
    found = list(doctor_local.check_image(settings_of(desk, skip_build="false"), NOW))
    assert Severity.FATAL not in {one.severity for one in found}
    assert "proof" in {one.subject for one in found if one.severity is Severity.WARNING}


def test_an_image_that_the_build_will_make_is_not_missed(desk: Desk) -> None:
    desk.project.image_path.unlink()
    (found,) = doctor_local.check_image(settings_of(desk, skip_build="false"), NOW)
    assert found.severity is Severity.OK


def test_no_application_and_no_image_is_said_once(desk: Desk) -> None:
    settings = settings_of(desk, target_application="", ota_binary="")
    (found,) = doctor_local.check_image(settings, NOW)
    assert PLAIN.remedy(found.command) == "invoke with --target-application keyword-detection all"


def problems_of(folder: Path, **values: str) -> tuple[Problem, ...]:
    (folder / "config.json").write_text(json.dumps({"thing_name": THING, **values}))
    with pytest.raises(SettingsError) as caught:
        load_settings(folder, environ={})
    return caught.value.problems


CORRECTIONS: dict[str, tuple[dict[str, str], str, str | None]] = {
    "a suggestion": ({"bucket_name": "Images"}, "bucket_name", "images"),
    "a reference": ({"policy_name": "$<thing>_p"}, "policy_name", "$<thing_name>_p"),
    "a default": ({"bucket_name_DEFAULT": "Images"}, "bucket_name", "images"),
    "a word": ({"hash_algorithm": "SHA-256"}, "hash_algorithm", "SHA256"),
    "neither true nor false": ({"force_delete": "maybe"}, "force_delete", "false"),
    "what the firmware would not parse": ({"signature_algorithm": "ECDSA"}, "signature_algorithm", "RSA"),
    "a name on the list": ({"format_vars": "thing_name;rol_prefix"}, "format_vars", "thing_name;role_prefix"),
    "nothing set": ({"thing_name": "<your_thing_name>"}, "thing_name", "my-thing"),
    "no suggestion": ({"max_listed": "many"}, "max_listed", None),
    "a literal dollar": ({"policy_name": "a$<"}, "policy_name", None),
    "no setting": ({"zzz": "x"}, "", None),
    "boundary": ({"permissions_boundary": "edge"}, "permissions_boundary", None),
}


@pytest.mark.parametrize(("values", "setting", "value"), CORRECTIONS.values(), ids=CORRECTIONS)
def test_what_corrects_a_problem_of_the_settings(
    tmp_path: Path, values: dict[str, str], setting: str, value: str | None
) -> None:
    (problem,) = problems_of(tmp_path, **values)
    assert (problem.setting, corrected_value(problem, None)) == (setting, value)
    (found,) = settings_findings([problem], None)
    assert found.command == (() if value is None else (command("all", **{setting: value}),))


def test_a_boundary_s_name_that_the_account_has_not_mends_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cloud = run_of(desk, monkeypatch).cloud
    (problem,) = problems_of(tmp_path, permissions_boundary="none")
    assert corrected_value(problem, cloud) is None


def test_settings_with_another_problem_are_not_mended(tmp_path: Path) -> None:
    problems = problems_of(tmp_path, bucket_name="Images")

    def load(values: Mapping[str, str]) -> Settings:
        raise SettingsError([Problem(f"still wrong with {values}")])

    assert mended_settings(problems, None, load) is None


def test_the_aws_cli_itself_takes_a_command_that_mends(desk: Desk) -> None:
    if shutil.which("aws", path=desk.project.environ["PATH"]) is None:
        pytest.skip("the AWS CLI is not installed")
    foreign_bucket(desk)
    (found,) = [one for one in desk.look("doctor", status=1)["findings"] if one["severity"] == "fatal"]
    desk.bash(found["command"])
    desk.run("doctor").done()
