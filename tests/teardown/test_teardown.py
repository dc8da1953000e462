"""``clean``: everything of ours gone and proven gone, nothing of anybody else's touched, from any state."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable

import pytest

from ota.sandbox.process import Address
from ota.shared_use import MOST_ASKED
from tests import fault_project
from tests.account import BUCKET, EVERYTHING, JOB, POLICY, ROLE, THING_ARN, UPDATE, Account, account_at
from tests.conftest import ACCOUNT, REGION
from tests.project import THING, Project
from tests.sandbox_control import Control

TRUST = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
TRUST_DOCUMENT = json.dumps({"Version": "2012-10-17", "Statement": [TRUST]})
POLICY_DOCUMENT = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}]}
)
HERE = {"LocationConstraint": REGION}


built = fault_project.built
project = fault_project.project


@pytest.fixture
def account(clean_sandbox: Address) -> Account:
    return account_at(clean_sandbox)


@pytest.fixture
def ready(project: Project) -> Project:
    """The same with everything set up."""
    project.run_here("all").done()
    return project


class TestLocalFiles:
    def test_none_of_them_is_needed(self, ready: Project, account: Account) -> None:
        shutil.rmtree(ready.root_path / "certificates")
        shutil.rmtree(ready.firmware_path)
        ready.run_here("clean").done()
        assert account.there() == set()

    def test_they_stay_unless_local_is_asked_for(self, ready: Project) -> None:
        ready.run_here("clean").done()
        assert ready.key_path.exists()
        result = ready.run_here("clean", "--local").done()
        assert ("files", "deleted") in result.verbs
        assert not (ready.root_path / "certificates").exists()
        assert ("files", "absent") in ready.run_here("clean", "--local").done().verbs

    def test_they_stay_while_something_of_ours_remains(self, ready: Project, account: Account) -> None:
        account.s3.put_object(Bucket=BUCKET, Key="mine.txt", Body=b"mine")
        ready.run_here("clean", "--local").failed(BUCKET)
        assert ready.key_path.exists()

    def test_the_key_of_a_certificate_that_stays_stays(self, project: Project, account: Account) -> None:
        account.iot.create_thing(thingName=THING)
        project.run_here("thing").done()
        result = project.run_here("clean", "--local").done()
        assert ("certificate", "skipped") in result.verbs
        assert len(account.certificates()) == 1
        assert project.key_path.exists()
        assert ("files", "skipped") in result.verbs

    def test_a_broken_one_is_no_obstacle_for_the_rest(self, ready: Project, account: Account) -> None:
        ready.certificate_path.write_text("broken")
        ready.run_here("clean")
        assert account.there() <= {"certificate"}


def make_thing(account: Account) -> None:
    account.iot.create_thing(thingName=THING, attributePayload={"attributes": {"owner": "somebody"}})


def make_policy(account: Account) -> None:
    account.iot.create_policy(policyName=POLICY, policyDocument=POLICY_DOCUMENT)


def make_role(account: Account) -> None:
    account.iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=TRUST_DOCUMENT)


def make_bucket(account: Account) -> None:
    account.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=HERE)
    account.s3.put_object(Bucket=BUCKET, Key="mine.txt", Body=b"mine")


MAKERS: dict[str, Callable[[Account], None]] = {
    "thing": make_thing,
    "policy": make_policy,
    "role": make_role,
    "bucket": make_bucket,
}


class TestForeign:
    @pytest.mark.parametrize("noun", MAKERS)
    def test_it_is_left_and_reported_and_no_failure(self, project: Project, account: Account, noun: str) -> None:
        MAKERS[noun](account)
        result = project.run_here("clean").done()
        assert (noun, "skipped") in result.verbs
        assert "--force" in result.out
        assert account.there() == {noun}

    @pytest.mark.parametrize("noun", MAKERS)
    def test_force_takes_it(self, project: Project, account: Account, noun: str) -> None:
        MAKERS[noun](account)
        result = project.run_here("clean", "--force").done()
        assert (noun, "deleted") in result.verbs
        assert account.there() == set()

    def test_nothing_that_stays_is_said_to_be_gone(self, project: Project, account: Account) -> None:
        make_role(account)
        last_line = project.run_here("clean").done().out.splitlines()[-1]
        assert "role" not in last_line

    def test_another_thing_s_objects_are_left(self, ready: Project, account: Account) -> None:
        before = account.there()
        others = {"OTA_POLICY_NAME": POLICY, "OTA_BUCKET_NAME": BUCKET, "OTA_IAM_ROLE_NAME": ROLE}
        result = ready.run_here("clean", OTA_THING_NAME="other", OTA_TARGET_APPLICATION="", **others).done()
        assert {("policy", "skipped"), ("bucket", "skipped"), ("role", "skipped")} <= set(result.verbs)
        assert account.there() == before

    def test_an_update_of_somebody_else_s_keeps_what_it_may_need(self, ready: Project, account: Account) -> None:
        """AWS deletes an update with the update's role, and never tells which one that is."""
        info = account.update()
        account.iot.delete_ota_update(otaUpdateId=UPDATE, deleteStream=True, forceDeleteAWSJob=True)
        role_arn = account.iam.get_role(RoleName=ROLE)["Role"]["Arn"]
        files = [{key: info["otaUpdateFiles"][0][key] for key in ("fileName", "fileLocation", "codeSigning")}]
        account.iot.create_ota_update(otaUpdateId=UPDATE, targets=info["targets"], roleArn=role_arn, files=files)
        result = ready.run_here("clean").failed("Not everything is gone", UPDATE, BUCKET, ROLE)
        assert {("update", "skipped"), ("role", "skipped"), ("bucket", "skipped")} <= set(result.verbs)
        assert account.there() == {"update", "job", "stream", "role", "bucket"}
        assert account.update()["otaUpdateStatus"] == "CREATE_COMPLETE"
        ready.run_here("clean", "--force").done()
        assert account.there() == set()

    def test_an_update_of_somebody_else_s_is_no_reason_to_fail_where_nothing_of_ours_stays(
        self, project: Project, account: Account
    ) -> None:
        """As after a move from another tool that used the same names."""
        make_role(account)
        make_bucket(account)
        account.make_foreign_update()
        before = account.there()
        result = project.run_here("clean").done()
        assert {("update", "skipped"), ("role", "skipped"), ("bucket", "skipped")} <= set(result.verbs)
        assert account.there() == before

    def test_a_file_of_somebody_s_in_our_bucket_keeps_it(self, ready: Project, account: Account) -> None:
        account.s3.put_object(Bucket=BUCKET, Key="mine.txt", Body=b"mine")
        result = ready.run_here("clean").failed(BUCKET, "mine.txt", "--force")
        assert ("bucket", "skipped") in result.verbs
        assert account.there() == {"bucket"}
        ready.run_here("clean", "--force").done()
        assert account.there() == set()

    def test_a_policy_attached_by_somebody_keeps_the_role(self, ready: Project, account: Account) -> None:
        arn = account.iam.create_policy(PolicyName="edge", PolicyDocument=POLICY_DOCUMENT)["Policy"]["Arn"]
        account.iam.attach_role_policy(RoleName=ROLE, PolicyArn=arn)
        ready.run_here("clean").failed(ROLE)
        assert account.there() == {"role"}
        ready.run_here("clean", "--force").done()
        assert account.there() == set()


class TestUpdatesByOtherNames:
    """Somebody changed ``update_name`` and ran ``all`` again."""

    @pytest.fixture
    def twice(self, ready: Project) -> Project:
        ready.run_here("with", "--update-name", "older", "update").done()
        return ready

    def test_they_are_deleted_too(self, twice: Project, account: Account) -> None:
        result = twice.run_here("clean").done()
        assert [rest.split()[0] for noun, verb, rest in result.outcomes if (noun, verb) == ("update", "deleted")] == [
            UPDATE,
            "older",
        ]
        assert account.there() == set()

    def test_they_are_deleted_where_the_one_of_the_settings_is_gone(self, twice: Project, account: Account) -> None:
        twice.run_here("delete.update", "--force").done()
        twice.run_here("clean").done()
        assert account.there() == set()

    def test_one_of_somebody_else_s_stays(self, twice: Project, account: Account) -> None:
        account.make_foreign_update("by-hand")
        result = twice.run_here("clean").done()
        assert "by-hand" not in result.out
        assert account.updates() == ["by-hand"]

    def test_one_that_may_not_be_looked_at_is_of_other_names_and_left(
        self, ready: Project, account: Account, control: Control
    ) -> None:
        """As with the operator's policy, which is for the names of some things only."""
        account.make_foreign_update("by-hand")
        control.fail("GetOTAUpdate", "access-denied", nth=2, times=0)
        ready.run_here("clean").done()
        assert account.updates() == ["by-hand"]

    def test_one_that_cannot_go_keeps_role_and_bucket(self, twice: Project, account: Account, control: Control) -> None:
        account.iot.delete_ota_update(otaUpdateId=UPDATE, deleteStream=True, forceDeleteAWSJob=True)
        control.fail("DeleteOTAUpdate", "access-denied", times=0)
        twice.run_here("clean").failed("older", "iot:DeleteOTAUpdate")
        assert {"role", "bucket"} <= account.there()
        control.clear_faults()
        twice.run_here("clean").done()
        assert account.there() == set()

    def test_in_a_crowd_they_are_known_by_the_thing_s_job_executions(
        self, twice: Project, account: Account, control: Control
    ) -> None:
        account.iot.create_thing(thingName="other")
        for number in range(MOST_ASKED):
            account.make_foreign_update(f"crowd-{number}", thing="other")
        control.clear_calls()
        twice.run_here("clean").done()
        assert sorted(account.updates()) == sorted(f"crowd-{number}" for number in range(MOST_ASKED))
        assert control.operations().count("GetOTAUpdate") < MOST_ASKED


class TestCertificates:
    def test_one_that_hangs_on_another_thing_too_is_left(self, ready: Project, account: Account) -> None:
        """Attached by hand, not exclusively: what another device connects with."""
        made = account.iot.create_keys_and_certificate(setAsActive=True)
        account.iot.create_thing(thingName="other")
        for name in (THING, "other"):
            account.iot.attach_thing_principal(thingName=name, principal=made["certificateArn"])
        account.iot.attach_policy(policyName=POLICY, target=made["certificateArn"])
        result = ready.run_here("clean").failed(POLICY, "thing other", "aws iot detach-policy")
        assert {("certificate", "skipped"), ("certificate", "deleted"), ("policy", "skipped")} <= set(result.verbs)
        assert "--force" not in result.text
        (left,) = account.certificates()
        assert (left["certificateId"], left["status"]) == (made["certificateId"], "ACTIVE")
        assert account.iot.list_principal_things(principal=made["certificateArn"])["things"] == ["other"]
        (attached,) = account.iot.list_attached_policies(target=made["certificateArn"])["policies"]
        assert attached["policyName"] == POLICY
        assert account.there() == {"certificate", "policy"}

    def test_one_that_a_cut_off_run_left_unattached_is_found_by_its_key(
        self, project: Project, account: Account, control: Control
    ) -> None:
        control.fail("CreateThing", "access-denied")
        project.run_here("thing").failed("iot:CreateThing")
        assert account.there() == {"certificate"}
        project.certificate_path.unlink()
        result = project.run_here("clean").done()
        assert ("certificate", "deleted") in result.verbs
        assert account.there() == set()

    def test_one_whose_deletion_was_cut_off_is_found_by_the_policy(
        self, ready: Project, account: Account, control: Control
    ) -> None:
        control.fail("DeleteCertificate", "access-denied")
        ready.run_here("clean").failed("iot:DeleteCertificate")
        shutil.rmtree(ready.root_path / "certificates")
        ready.run_here("clean").done()
        assert account.there() == set()


class TestFailures:
    def test_chains_that_can_go_on_do(self, ready: Project, account: Account, control: Control) -> None:
        control.fail("DeleteRole", "access-denied", times=0)
        result = ready.run_here("clean").failed("iam:DeleteRole")
        assert {("bucket", "deleted"), ("thing", "deleted"), ("policy", "deleted")} <= set(result.verbs)
        assert account.there() == {"role"}
        control.clear_faults()
        ready.run_here("clean").done()
        assert account.there() == set()

    def test_a_bucket_that_may_not_be_looked_at_is_not_taken_for_somebody_else_s(
        self, ready: Project, account: Account, control: Control
    ) -> None:
        for operation in ("GetBucketTagging", "HeadBucket"):
            control.fail(operation, "access-denied", times=0)
        ready.run_here("clean").failed(BUCKET, "lack the permission")
        control.clear_faults()
        assert account.there() == EVERYTHING

    def test_an_update_that_cannot_go_keeps_role_and_bucket(
        self, ready: Project, account: Account, control: Control
    ) -> None:
        control.fail("DeleteOTAUpdate", "access-denied", times=0)
        result = ready.run_here("clean").failed("iot:DeleteOTAUpdate")
        assert account.there() == EVERYTHING
        assert ("role", "deleted") not in result.verbs

    def test_what_is_still_there_after_its_deletion_is_told(
        self, ready: Project, control: Control, clean_sandbox: Address
    ) -> None:
        """AWS took the deletion and lists the object all the same: the proof looks, and does not believe."""
        account = account_at(clean_sandbox)
        rule = control.hold("DeleteThing")
        process = ready.start("clean")
        assert control.wait_until_held(rule)
        account.iot.create_thing(thingName=THING)
        control.release()
        out, err = process.communicate(timeout=60)
        assert process.returncode == 1, out + err
        assert f"The thing {THING} is still there" in err
        assert "Proven" not in out

    def test_only_a_job_left_behind_is_taken_too(self, project: Project, account: Account) -> None:
        project.run_here("thing").done()
        account.iot.create_job(jobId=JOB, targets=[THING_ARN], document="{}")
        result = project.run_here("clean").done()
        assert ("update", "deleted") in result.verbs
        assert account.there() == set()

    def test_a_running_update_is_taken_down_with_its_device(self, ready: Project, account: Account) -> None:
        account.start_device()
        ready.run_here("clean").done()
        assert account.there() == set()

    def test_the_role_is_missed_by_an_update_that_is_still_there(self, ready: Project, account: Account) -> None:
        """The user deleted the role by hand: AWS cannot delete the update without it, and says so."""
        account.iam.delete_role_policy(RoleName=ROLE, PolicyName="ota-tasks")
        account.iam.delete_role(RoleName=ROLE)
        result = ready.run_here("clean", OTA_ROLE_SETTLE_TIMEOUT_S="0").failed(UPDATE, "invoke role")
        assert len(result.err.splitlines()) <= 3
        ready.run_here("role", "clean").done()
        assert account.there() == set()


class TestSettings:
    def test_one_that_renamed_an_object_is_said_to_be_absent_under_its_new_name(
        self, ready: Project, account: Account
    ) -> None:
        result = ready.run_here("clean", OTA_POLICY_NAME="renamed").done()
        assert ("policy", "absent") in result.verbs
        assert account.there() == {"policy"}
        ready.run_here("clean").done()
        assert account.there() == set()

    @pytest.mark.alone
    def test_an_account_without_anything_takes_few_calls(self, project: Project, control: Control) -> None:
        project.run_here("clean").done()
        assert len(control.calls()) <= 14
        assert not [name for name in control.operations() if name.startswith(("Delete", "Update", "Detach", "Put"))]

    def test_it_is_for_the_account_that_the_credentials_are_of(self, ready: Project) -> None:
        assert ACCOUNT in ready.run_here("clean").done().err.splitlines()[0]
