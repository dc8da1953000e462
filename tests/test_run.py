"""Any task alone, in any chain, any number of times; and what a failure leaves to be said and done."""

from __future__ import annotations

import copy
import json
import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.errorfactory import ClientExceptionsFactory

from ota.cloud import open_cloud, open_sandbox
from ota.report import Report
from ota.run import Run
from ota.sandbox.process import Address
from ota.set_up import SetUp
from ota.things import find_thing
from ota.threads import side_by_side
from ota.updates.updates import find_update
from tests import fault_project
from tests.account import BUCKET, EVERYTHING, POLICY, ROLE, THING_ARN, UPDATE, Account, account_at
from tests.project import THING, Project
from tests.sandbox_control import Control

IDENTITY = {"thing", "certificate"}
CHAINS: dict[str, set[str]] = {
    "thing": IDENTITY,
    "policy": IDENTITY | {"policy"},
    "bucket": {"bucket"},
    "role": {"role"},
    "build": IDENTITY,
    "update": EVERYTHING,
    "policy thing": IDENTITY | {"policy"},
    "thing thing": IDENTITY,
    "role bucket": {"role", "bucket"},
    "update all": EVERYTHING,
    "role bucket build update": EVERYTHING,
    "clean all": EVERYTHING,
    "bucket clean update": EVERYTHING,
}


built = fault_project.built
project = fault_project.project


@pytest.fixture
def account(clean_sandbox: Address) -> Account:
    return account_at(clean_sandbox)


class TestChains:
    @pytest.mark.parametrize(("chain", "there"), CHAINS.items(), ids=CHAINS)
    def test_makes_what_its_tasks_are_for_and_can_be_repeated(
        self, project: Project, account: Account, chain: str, there: set[str]
    ) -> None:
        project.run_here(*chain.split()).done()
        assert account.there() == there
        again = project.run_here(*chain.split()).done()
        assert account.there() == there
        assert len(account.certificates()) == int("certificate" in there)
        if "clean" not in chain:
            assert {verb for noun, verb in again.verbs if noun != "image"} == {"reused"}

    def test_one_line_for_each_object(self, project: Project) -> None:
        result = project.run_here("policy", "bucket", "update", "role", "all").done()
        nouns = [noun for noun, _ in result.verbs if noun != "object"]
        assert sorted(nouns) == sorted(set(nouns))

    def test_a_task_after_clean_makes_its_object_anew(self, project: Project, account: Account) -> None:
        result = project.run_here("thing", "role", "clean", "policy").done()
        assert account.there() == {"thing", "certificate", "policy"}
        assert len(account.principals()) == 1
        assert result.verbs.count(("thing", "created")) == 2

    def test_the_real_build_runs_once_and_is_reused(self, project: Project, built: Path) -> None:
        project.set(skip_build="false")
        first = project.run_here("all", "build").done()
        assert ("image", "changed") in first.verbs  # another certificate than the prebuilt image's
        log = (project.root_path / ".ota/build.log").read_text()
        assert "--certificate_path" in log
        again = project.run_here("all").done()
        assert {verb for _, verb in again.verbs} == {"reused"}
        assert project.image_path.read_bytes() != (built / "build" / project.image_path.name).read_bytes()

    @pytest.mark.parametrize(("clean_build", "is_clean"), [("true", True), ("false", False), ("auto", True)])
    def test_builds_from_clean_as_told(self, project: Project, clean_build: str, is_clean: bool) -> None:
        project.set(skip_build="false", clean_build=clean_build)
        newer = project.image_path.stat().st_mtime + 10
        project.run_here("thing").done()
        os.utime(project.header_path, (newer, newer))
        script = project.firmware_path / "tools/scripts/build.sh"
        script.write_text('#!/bin/sh\necho "options $*"\nexit 1\n')
        project.run_here("build").failed("options")
        command = (project.root_path / ".ota/build.log").read_text().splitlines()[0]
        assert command.endswith(" -c") == is_clean

    def test_while_one_builds_nobody_else_does_in_this_tree(self, project: Project) -> None:
        project.set(skip_build="false")
        script = project.firmware_path / "tools/scripts/build.sh"
        script.write_text(
            f"#!{sys.executable}\n"
            "import fcntl, sys\n"
            "try: fcntl.flock(open(__file__), fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
            "except BlockingIOError: sys.exit('nobody else builds')\n"
        )
        for _ in range(2):  # the second finds that the first has let go of it
            project.run_here("build").failed("nobody else builds")

    def test_an_image_that_another_run_put_there_is_not_uploaded(
        self, project: Project, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        build = SetUp.build

        def build_twice(self: SetUp) -> Any:
            image = build(self)
            image.path.write_bytes(b"another thing's")
            return image

        monkeypatch.setattr(SetUp, "build", build_twice)
        project.run_here("update").failed("is not the one that this run built")
        assert "update" not in account.there()


class TestFailures:
    def test_what_was_begun_beside_the_failure_is_told(self, project: Project, account: Account) -> None:
        project.header_path.write_bytes(project.header_path.read_bytes().replace(b"dummy_thingname", b"by-hand"))
        result = project.run_here("all").failed("by-hand")
        assert {("bucket", "created"), ("role", "created")} <= set(result.verbs)
        assert account.there() == {"thing", "certificate", "bucket", "role"}

    def test_a_second_failure_is_told_too(self, project: Project, account: Account) -> None:
        account.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        account.s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": [{"Key": "owner", "Value": "somebody"}]})
        project.header_path.write_bytes(project.header_path.read_bytes().replace(b"dummy_thingname", b"by-hand"))
        result = project.run_here("all").failed("by-hand", BUCKET, "keeps no versions")
        assert ("role", "created") in result.verbs

    def test_a_second_refusal_of_aws_is_told_too(self, project: Project, control: Control) -> None:
        control.fail("CreateRole", "access-denied", times=0)
        project.header_path.write_bytes(project.header_path.read_bytes().replace(b"dummy_thingname", b"by-hand"))
        project.run_here("all").failed("by-hand", "iam:CreateRole")

    def test_one_throttled_call_is_survived(self, project: Project, control: Control, account: Account) -> None:
        control.fail("CreatePolicy", "throttling")
        project.run_here("policy").done()
        assert account.there() == {"thing", "certificate", "policy"}

    def test_interrupted_it_says_how_to_go_on_and_leaves_no_build_behind(
        self, project: Project, account: Account
    ) -> None:
        pid_path = project.root_path / "build.pid"
        script = project.firmware_path / "tools/scripts/build.sh"
        script.write_text(f"#!/bin/sh\necho $$ > {pid_path}.part\nmv {pid_path}.part {pid_path}\nsleep 60\n")
        project.set(skip_build="false")
        process = project.start("all")
        wait = threading.Event()
        for _ in range(600):
            if pid_path.exists():
                break
            wait.wait(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 130, out + err
        assert "same command again" in err
        assert "Traceback" not in out + err
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid_path.read_text()), 0)
        project.set(skip_build="true")
        project.run_here("all").done()
        assert account.there() == EVERYTHING

    def test_a_bug_keeps_its_traceback(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*_: Any) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(SetUp, "role", broken)
        with pytest.raises(ZeroDivisionError):
            project.run_here("role")


def test_exception_classes_are_made_before_threads_share_a_client(
    clean_sandbox: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Botocore makes them on first use. Two threads that need them at once get a set each, and one of them then does
    not recognise the ResourceNotFoundException that it was given.
    """
    iot = open_sandbox(clean_sandbox.endpoint_url, clean_sandbox.region).iot

    def too_late(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(ClientExceptionsFactory, "_create_client_exceptions", too_late)
    assert side_by_side(partial(find_update, iot, UPDATE), partial(find_thing, iot, THING)) == (None, None)


class TestForeign:
    """What somebody else made under our names is used where it serves, and never changed."""

    def test_thing_policy_role_and_bucket_that_serve_are_used(self, project: Project, account: Account) -> None:
        project.run_here("all").done()
        make_foreign(account)
        again = project.run_here("all").done()
        assert {verb for noun, verb in again.verbs if noun != "image"} == {"reused"}

    def test_a_policy_with_another_document_is_left_and_the_difference_shown(
        self, project: Project, account: Account
    ) -> None:
        document = json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
        )
        account.iot.create_policy(policyName=POLICY, policyDocument=document)
        project.run_here("policy").failed(POLICY, "policy_name", "iot:*")
        assert account.iot.get_policy(policyName=POLICY)["policyDocument"] == document

    def test_a_role_that_falls_short_is_left_and_the_missing_statement_shown(
        self, project: Project, account: Account
    ) -> None:
        trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        account.iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=document)
        project.run_here("role").failed(ROLE, "iot.amazonaws.com", "s3:GetObjectVersion")
        assert account.iam.list_role_policies(RoleName=ROLE)["PolicyNames"] == []

    def test_a_certificate_file_of_another_thing_is_refused(self, project: Project, account: Account) -> None:
        project.run_here("thing").done()
        other = account.iot.create_keys_and_certificate(setAsActive=True)["certificatePem"]
        project.certificate_path.write_text(other)
        project.run_here("thing").failed("does not belong to")
        assert len(account.principals()) == 1


class TestSignature:
    def test_without_the_public_key_it_is_said_that_nothing_is_proven(self, project: Project) -> None:
        (project.firmware_path / "certs/public_key.pem").unlink()
        result = project.run_here("all").done()
        assert "not proven" in result.err
        assert "code_signing_public_key" in result.err

    def test_a_public_key_that_was_named_must_be_there(self, project: Project, account: Account) -> None:
        project.set(code_signing_public_key="certs/none.pem")
        project.run_here("all").failed("none.pem")
        assert "update" not in account.there()

    def test_a_key_of_another_kind_is_refused(self, project: Project, account: Account) -> None:
        project.set(signature_algorithm="ECDSA")
        project.run_here("all").failed("ECDSA")
        assert "update" not in account.there()


def test_no_application_skips_the_header(project: Project) -> None:
    project.set(target_application="")
    result = project.run_here("thing").done()
    assert ("header", "skipped") in result.verbs
    assert "target_application" in result.out


def test_a_thing_name_that_a_device_cannot_use_is_warned_of(project: Project) -> None:
    project.set(thing_name="l" * 70, target_application="")
    assert "64" in project.run_here("thing").done().err


def test_a_copy_of_the_run_is_itself(tmp_path: Path) -> None:
    """Invoke copies its configuration, which holds the run; two runs would do everything twice."""
    run = Run(tmp_path, Report())
    assert copy.copy(run) is run


def test_the_same_run_about_other_settings_leaves_its_own(project: Project) -> None:
    with project.at_work():
        run, cloud = Run(project.root_path, Report()), open_cloud(project.environ)
        other = run.about(run.scope.settings.with_values({"thing_name": "other"}), cloud)
    assert (other.cloud, other.settings.thing_name, other.report) == (cloud, "other", run.report)
    assert run.scope.settings.thing_name == THING
    assert "cloud" not in vars(run)


def make_foreign(account: Account) -> None:
    """Take our marks off everything that has some."""
    account.iot.update_thing(thingName=THING, attributePayload={"attributes": {}, "merge": False})
    arn = account.iot.get_policy(policyName=POLICY)["policyArn"]
    account.iot.untag_resource(resourceArn=arn, tagKeys=["managed-by", "ota-thing"])
    account.iam.untag_role(RoleName=ROLE, TagKeys=["managed-by", "ota-thing"])
    account.s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": [{"Key": "owner", "Value": "somebody"}]})


def test_the_thing_s_arn_is_the_update_s_target(project: Project, account: Account) -> None:
    project.run_here("update").done()
    assert account.update()["targets"] == [THING_ARN]
