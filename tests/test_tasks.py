"""The command line as its users meet it: from nothing to an update and back, and what it says when it cannot."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.endpoint
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from ota.nouns import NOUNS
from ota.sandbox import process
from ota.sandbox.process import Address
from tests import fault_project
from tests.account import BUCKET, EVERYTHING, JOB, MARKS, POLICY, ROLE, THING_ARN, UPDATE, Account, account_at
from tests.conftest import ACCOUNT, REGION, client
from tests.neighbours import Neighbours
from tests.project import (
    ACCESS_KEY,
    APPLICATION,
    SECRET_KEY,
    THING,
    Project,
    Result,
    aws_project,
)
from tests.sandbox_control import Control

DUMMY_ENDPOINT = b"dummy.endpointid.amazonaws.com"
DUMMY_THING = b"dummy_thingname"
MODEL = {
    "image_file_name": "ml_model image",
    "ota_binary": "$<target_application>-model-update_signed.bin",
    "signature_file": "model-update-signature.txt",
}
SESSION_TOKEN = "FwoGZXIvYXdzE-this-token-is-secret"


built = fault_project.built
project = fault_project.project


@pytest.fixture
def account(clean_sandbox: Address) -> Account:
    return account_at(clean_sandbox)


@dataclass(frozen=True)
class Story:
    """One user's first day: set up from nothing, again, clean, clean again; and what was there in between."""

    project: Project
    first: Result
    again: Result
    clean: Result
    clean_again: Result
    seen: dict[str, Any]
    there_after_all: set[str]
    there_after_clean: set[str]
    header_before: bytes
    header_after: bytes


@pytest.fixture(scope="module")
def story(sandbox: Address, neighbours: Neighbours, tmp_path_factory: pytest.TempPathFactory) -> Story:
    account = account_at(sandbox)
    neighbours.move_in()
    project = aws_project(tmp_path_factory.mktemp("story") / "project", sandbox)
    project.environ["AWS_SESSION_TOKEN"] = SESSION_TOKEN
    header_before = project.header_path.read_bytes()
    first = project.run("all").done()
    seen, there_after_all = look_around(account), account.there()
    header_after = project.header_path.read_bytes()
    again = project.run_here("all").done()
    clean = project.run_here("clean").done()
    there_after_clean = account.there()
    clean_again = project.run_here("clean").done()
    assert neighbours.changed() == []
    return Story(
        project, first, again, clean, clean_again, seen, there_after_all, there_after_clean, header_before, header_after
    )


def look_around(account: Account) -> dict[str, Any]:
    """Everything that AWS has to say about what ``all`` made."""
    iot, s3, iam = account.iot, account.s3, account.iam
    image = account.image()
    return {
        "thing": iot.describe_thing(thingName=THING),
        "principals": account.principals(),
        "certificates": account.certificates(),
        "policy": iot.get_policy(policyName=POLICY),
        "policy targets": iot.list_targets_for_policy(policyName=POLICY)["targets"],
        "policy tags": iot.list_tags_for_resource(resourceArn=f"arn:aws:iot:{REGION}:{ACCOUNT}:policy/{POLICY}")[
            "tags"
        ],
        "versioning": s3.get_bucket_versioning(Bucket=BUCKET)["Status"],
        "access block": s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"],
        "bucket tags": account.bucket_tags(),
        "objects": account.versions(),
        "image": image["Body"].read(),
        "image checksum": image["ChecksumSHA256"],
        "role": iam.get_role(RoleName=ROLE)["Role"],
        "role policies": iam.list_role_policies(RoleName=ROLE)["PolicyNames"],
        "attached": iam.list_attached_role_policies(RoleName=ROLE)["AttachedPolicies"],
        "role document": iam.get_role_policy(RoleName=ROLE, PolicyName="ota-tasks")["PolicyDocument"],
        "update": account.update(),
        "job document": json.loads(iot.get_job_document(jobId=JOB)["document"])["afr_ota"],
        "execution": iot.describe_job_execution(jobId=JOB, thingName=THING)["execution"]["status"],
    }


INDEPENDENT = {noun.name for noun in NOUNS if noun.decide_deletion}


class TestFromNothing:
    def test_every_object_is_there(self, story: Story) -> None:
        assert story.there_after_all == EVERYTHING

    def test_the_first_line_says_which_account(self, story: Story) -> None:
        first_line = story.first.err.splitlines()[0]
        assert ACCOUNT in first_line
        assert REGION in first_line

    def test_every_object_has_its_line(self, story: Story) -> None:
        made = [("certificate", "created"), ("thing", "created"), ("header", "changed"), ("policy", "created")]
        made += [("bucket", "created"), ("role", "created"), ("image", "created"), ("update", "created")]
        assert [pair for pair in story.first.verbs if pair[0] not in {"object", *INDEPENDENT}] == made
        assert {pair for pair in story.first.verbs if pair[0] in INDEPENDENT} == {
            (one, "created") for one in INDEPENDENT
        }
        assert len(story.first.err.splitlines()) == 1, "the line that says which account"

    def test_one_active_certificate_hangs_on_the_thing_alone(self, story: Story) -> None:
        (certificate,) = story.seen["certificates"]
        assert certificate["status"] == "ACTIVE"
        (principal,) = story.seen["principals"]
        assert principal["principal"] == certificate["certificateArn"]
        assert principal["thingPrincipalType"] == "EXCLUSIVE_THING"

    def test_the_key_on_disk_is_the_certificate_s_and_shut(self, story: Story) -> None:
        path = story.project.key_path
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        key = load_pem_private_key(path.read_bytes(), None)
        assert path.read_text().startswith("-----BEGIN RSA PRIVATE KEY-----")
        local_pem = story.project.certificate_path.read_text()
        certificate = x509.load_pem_x509_certificate(local_pem.encode())
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert certificate.public_key().public_bytes(*form) == key.public_key().public_bytes(*form)
        der = ssl.PEM_cert_to_DER_cert(local_pem)
        assert story.seen["certificates"][0]["certificateId"] == hashlib.sha256(der).hexdigest()

    def test_two_values_of_the_header_change_and_no_other_byte(self, story: Story) -> None:
        found = re.search(rb'BROKER_ENDPOINT +"([^"]+)"', story.header_after)
        assert found is not None
        endpoint = found[1]
        assert endpoint.endswith(f"-ats.iot.{REGION}.amazonaws.com".encode())
        expected = story.header_before
        for old, new in ((DUMMY_ENDPOINT, endpoint), (DUMMY_THING, THING.encode())):
            expected = re.sub(rb'(#define \w+ +)"%b"' % old, rb'\1"%b"' % new, expected)
        assert story.header_after == expected

    def test_the_thing_is_marked(self, story: Story) -> None:
        assert story.seen["thing"]["attributes"] == MARKS

    def test_the_policy_is_for_this_device_and_hangs_on_its_certificate(self, story: Story) -> None:
        document = json.loads(story.seen["policy"]["policyDocument"])
        resources = [one for statement in document["Statement"] for one in _as_list(statement["Resource"])]
        assert "*" not in resources
        assert all("${iot:Connection.Thing.ThingName}" in one for one in resources)
        assert story.seen["policy targets"] == [story.seen["certificates"][0]["certificateArn"]]
        assert {tag["Key"]: tag["Value"] for tag in story.seen["policy tags"]} == MARKS

    def test_the_bucket_keeps_versions_and_is_shut(self, story: Story) -> None:
        assert story.seen["versioning"] == "Enabled"
        assert list(story.seen["access block"].values()) == [True] * 4
        assert story.seen["bucket tags"] == MARKS

    def test_the_role_trusts_the_service_for_this_account_alone(self, story: Story) -> None:
        role = story.seen["role"]
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": "iot.amazonaws.com"}
        assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": ACCOUNT}
        assert {tag["Key"]: tag["Value"] for tag in role["Tags"]} == MARKS
        assert "PermissionsBoundary" not in role

    def test_the_role_may_do_what_one_update_needs(self, story: Story) -> None:
        assert (story.seen["role policies"], story.seen["attached"]) == (["ota-tasks"], [])
        statements = story.seen["role document"]["Statement"]
        assert all("*" not in _as_list(one["Resource"]) for one in statements)
        actions = {action for one in statements for action in one["Action"]}
        assert {"s3:GetObjectVersion", "iot:CreateStream", "iot:CreateJob", "iam:PassRole"} <= actions
        assert not any("*" in action for action in actions)

    def test_the_image_is_one_version_of_the_built_file_with_its_checksum(self, story: Story) -> None:
        built = story.project.image_path.read_bytes()
        assert story.seen["image"] == built
        digest = hashlib.sha256(built)
        (stored,) = story.seen["objects"]
        assert digest.hexdigest() in stored["Key"]
        assert bytes(story.seen["image checksum"], "ascii") == base64.b64encode(digest.digest())

    def test_the_update_is_complete_and_carries_the_signature_s_text(self, story: Story) -> None:
        update = story.seen["update"]
        assert (update["otaUpdateStatus"], update["targets"]) == ("CREATE_COMPLETE", [THING_ARN])
        signing = update["otaUpdateFiles"][0]["codeSigning"]["customCodeSigning"]
        text = (story.project.build_path / "update-signature.txt").read_bytes().strip()
        assert signing["signature"]["inlineDocument"] == text
        assert MARKS.items() <= update["additionalParameters"].items()

    def test_the_job_waits_for_the_device(self, story: Story) -> None:
        assert story.seen["execution"] == "QUEUED"
        (file,) = story.seen["job document"]["files"]
        assert file["filepath"] == "non_secure image"
        assert file["filesize"] == story.project.image_path.stat().st_size
        assert file["sig-sha256-rsa"] == (story.project.build_path / "update-signature.txt").read_text().strip()

    def test_the_summary_says_what_comes_next(self, story: Story) -> None:
        assert "invoke clean" in story.first.out.splitlines()[-1]


class TestAgain:
    def test_everything_is_reused_in_few_lines(self, story: Story) -> None:
        assert {verb for _, verb in story.again.verbs} == {"reused"}
        assert len(story.again.out.splitlines()) <= 12

    def test_clean_says_what_is_gone(self, story: Story) -> None:
        nouns = ["update", "bucket", "role", "certificate", "policy", "thing"]
        gone = [*((noun, "deleted") for noun in nouns), ("header", "changed")]
        assert [pair for pair in story.clean.verbs if pair[0] not in INDEPENDENT] == gone
        assert {pair for pair in story.clean.verbs if pair[0] in INDEPENDENT} == {
            (one, "deleted") for one in INDEPENDENT
        }
        assert story.project.header_path.read_bytes() == story.header_before
        assert story.there_after_clean == set()

    def test_clean_leaves_the_files_here(self, story: Story) -> None:
        assert story.project.key_path.exists()
        assert story.project.image_path.exists()

    def test_clean_again_finds_nothing(self, story: Story) -> None:
        assert {verb for _, verb in story.clean_again.verbs} == {"absent"}


def test_no_secret_is_ever_printed_or_logged(story: Story) -> None:
    written = [one.text for one in (story.first, story.again, story.clean, story.clean_again)]
    written += [path.read_text(errors="replace") for path in story.project.root_path.rglob("*.log")]
    key_lines = [line for line in story.project.key_path.read_text().splitlines() if not line.startswith("-----")]
    assert len(key_lines) > 20
    for secret in (SECRET_KEY, SESSION_TOKEN, "X-Amz-Signature", *key_lines):
        assert not any(secret in text for text in written)


class TestFirmware:
    def test_without_a_firmware_tree_the_thing_is_made_and_the_header_is_not(
        self, clean_sandbox: Address, account: Account, tmp_path: Path
    ) -> None:
        project = aws_project(tmp_path / "project", clean_sandbox, has_firmware=False)
        result = project.run_here("thing").done()
        assert ("header", "skipped") in result.verbs
        assert "firmware/applications is not there" in result.out
        assert account.there() == {"thing", "certificate"}
        project.run_here("build").failed(str(project.firmware_path / "applications"), "firmware_root")

    def test_a_failed_build_shows_its_last_lines_and_its_log(self, project: Project, account: Account) -> None:
        script = project.firmware_path / "tools/scripts/build.sh"
        lines = "\n".join(f"echo line {number}" for number in range(40))
        script.write_text(f"#!/bin/sh\n{lines}\necho compiler says no >&2\nexit 1\n")
        project.set(skip_build="false")
        result = project.run_here("all").failed("line 39", "compiler says no", "exit status 1")
        assert "line 5\n" not in result.err
        (log_path,) = project.root_path.glob(".ota/build*.log")
        assert log_path.name in result.err
        assert "line 5\n" in log_path.read_text()
        assert "update" not in account.there()

    def test_a_signature_by_another_key_is_refused_before_anything_is_uploaded(
        self, project: Project, control: Control, account: Account
    ) -> None:
        path = project.build_path / "update-signature.txt"
        shutil.copy(project.build_path / "model-update-signature.txt", path)
        project.run_here("all").failed("signature")
        assert not {"PutObject", "CreateOTAUpdate"} & set(control.operations())
        assert "update" not in account.there()

    @pytest.mark.parametrize(("answer", "status"), [("y", 0), ("n", 1)], ids=["yes", "no"])
    def test_on_a_terminal_values_set_by_hand_are_asked_about(self, project: Project, answer: str, status: int) -> None:
        by_hand = project.header_path.read_bytes().replace(DUMMY_THING, b"my_own_thing")
        project.header_path.write_bytes(by_hand)
        result = project.run_on_terminal("thing", answer=answer, question="[y/N]")
        assert result.status == status, result.out
        assert "my_own_thing" in result.out
        assert "Traceback" not in result.out
        assert (project.header_path.read_bytes() == by_hand) == (answer == "n")

    def test_without_a_terminal_they_are_kept_and_the_setting_is_named(self, project: Project) -> None:
        by_hand = project.header_path.read_bytes().replace(DUMMY_THING, b"my_own_thing")
        project.header_path.write_bytes(by_hand)
        project.run_here("thing").failed("my_own_thing")
        assert project.header_path.read_bytes() == by_hand
        project.set(overwrite_header="false")
        project.run_here("thing").failed("my_own_thing")
        project.set(overwrite_header="true")
        result = project.run_here("thing").done()
        assert ("header", "changed") in result.verbs
        assert b'"lamp"' in project.header_path.read_bytes()

    def test_values_that_the_tool_wrote_are_no_values_by_hand_and_clean_puts_back_what_was_there(
        self, project: Project
    ) -> None:
        before = project.header_path.read_bytes()
        for name in ("lamp", "lamp-2", "lamp-3"):
            assert ("header", "changed") in project.run_here("with", "--thing-name", name, "thing").done().verbs
        assert "lamp-3" in project.header_path.read_text()
        plan = json.loads(project.run_here("clean", "--plan", "--json").out)
        assert "header" not in {step["noun"] for step in plan["steps"]}
        assert "header" not in dict(project.run_here("clean").done().verbs)
        mine = ("with", "--thing-name", "lamp-3", "clean")
        written = project.header_path.read_bytes()
        (step,) = [
            one
            for one in json.loads(project.run_here(*mine, "--plan", "--json").out)["steps"]
            if one["noun"] == "header"
        ]
        assert (step["action"], step["name"]) == ("change", "aws_clientcredential.h")
        assert project.header_path.read_bytes() == written
        (line,) = [one for one in project.run_here(*mine).done().outcomes if one[0] == "header"]
        assert line[1] == "changed"
        assert "original values put back" in line[2]
        assert project.header_path.read_bytes() == before
        assert "header" not in dict(project.run_here(*mine).done().verbs)

    def test_the_sandbox_writes_the_header_of_its_copy_alone(self, project: Project) -> None:
        before = project.header_path.read_bytes()
        in_sandbox = ("sandbox", "with", "--firmware-root", "firmware", "--thing-name", "lamp-s")
        try:
            assert ("header", "changed") in project.run_here("thing").done().verbs
            written = project.header_path.read_bytes()
            assert ("header", "changed") in project.run_here(*in_sandbox, "thing").done().verbs
            assert ("header", "reused") in project.run_here("thing").done().verbs
            assert ("header", "changed") in project.run_here(*in_sandbox, "clean").done().verbs
            assert project.header_path.read_bytes() == written
        finally:
            process.stop(project.root_path / ".sandbox")
        assert ("header", "changed") in project.run_here("clean").done().verbs
        assert project.header_path.read_bytes() == before

    @pytest.mark.parametrize("gone", ["header", "tree"])
    def test_clean_works_where_the_header_is_gone(self, project: Project, gone: str) -> None:
        project.run_here("thing").done()
        project.header_path.unlink() if gone == "header" else shutil.rmtree(project.firmware_path)
        assert ("header", "absent") in project.run_here("clean").done().verbs

    def test_clean_leaves_a_header_that_was_changed_by_hand_since(self, project: Project) -> None:
        project.run_here("thing").done()
        by_hand = project.header_path.read_bytes().replace(b'"lamp"', b'"mine"')
        project.header_path.write_bytes(by_hand)
        assert ("header", "skipped") in project.run_here("clean").done().verbs
        assert project.header_path.read_bytes() == by_hand

    def test_the_refusal_names_the_setting_that_means_yes(self, project: Project) -> None:
        project.header_path.write_bytes(project.header_path.read_bytes().replace(DUMMY_THING, b"my_own_thing"))
        project.run_here("thing").failed("overwrite_header")

    def test_on_a_terminal_the_whole_run_is_shown_without_a_traceback(self, project: Project, account: Account) -> None:
        result = project.show_here("all", "clean")
        assert result.status == 0, result.out
        assert "Traceback" not in result.out
        assert account.there() == set()


class TestUpdate:
    def test_changed_content_replaces_the_update(self, project: Project, account: Account) -> None:
        project.run_here("all").done()
        first = account.update()
        project.set(**MODEL)
        result = project.run_here("all").done()
        assert ("update", "changed") in result.verbs
        second = account.update()
        assert second["creationDate"] >= first["creationDate"]
        assert second["otaUpdateFiles"][0]["fileName"] == "ml_model image"
        assert len(account.names()["streams"]) == 1
        assert (
            account.image()["Body"].read()
            == (project.build_path / f"{APPLICATION}-model-update_signed.bin").read_bytes()
        )

    def test_an_update_that_a_device_is_downloading_is_replaced_only_when_told_to(
        self, project: Project, account: Account
    ) -> None:
        project.run_here("all").done()
        account.start_device()
        project.run_here("all").done()  # the same content: nothing to replace
        before = account.update()
        project.set(**MODEL)
        project.run_here("all").failed(THING, "replace_running_update")
        assert account.update() == before
        result = project.run_here("all", OTA_REPLACE_RUNNING_UPDATE="true").done()
        assert ("update", "changed") in result.verbs

    def test_a_failed_leftover_is_replaced_and_not_taken_for_success(self, project: Project, account: Account) -> None:
        project.run_here("thing", "role").done()
        failing = {
            "fileName": "non_secure image",
            "fileLocation": {"s3Location": {"bucket": "no-such-bucket-here", "key": "k"}},
            "codeSigning": {
                "customCodeSigning": {
                    "signature": {"inlineDocument": b"AAAA"},
                    "certificateChain": {"certificateName": "0"},
                    "hashAlgorithm": "SHA256",
                    "signatureAlgorithm": "RSA",
                }
            },
        }
        role_arn = f"arn:aws:iam::{ACCOUNT}:role/{ROLE}"
        account.iot.create_ota_update(
            otaUpdateId=UPDATE, targets=[THING_ARN], roleArn=role_arn, files=[failing], additionalParameters=MARKS
        )
        assert account.update()["otaUpdateStatus"] == "CREATE_FAILED"
        result = project.run_here("all").done()
        assert ("update", "changed") in result.verbs
        assert account.update()["otaUpdateStatus"] == "CREATE_COMPLETE"

    def test_an_update_of_somebody_else_s_is_left(self, project: Project, account: Account) -> None:
        project.run_here("all").done()
        other = {"OTA_THING_NAME": "other", "OTA_UPDATE_NAME": UPDATE, "OTA_OVERWRITE_HEADER": "true"}
        project.run_here("update", **other).failed(UPDATE, "update_name")
        assert account.update()["targets"] == [THING_ARN]


class TestSettings:
    def test_all_problems_are_told_at_once_and_before_any_call(self, project: Project, control: Control) -> None:
        project.set(
            thing_name="my thing",
            update_timeout_s="soon",
            policy_name="$<no_such>",
            bucket_name="Bad_Bucket",
            colour="red",
        )
        result = project.run_here("all").failed("thing_name", "update_timeout_s", "no_such", "bucket_name", "colour")
        assert len(result.err.splitlines()) >= 5
        assert control.calls() == []

    def test_an_unset_thing_name_says_where_to_write_it(self, project: Project, control: Control) -> None:
        project.set(thing_name="<your_thing_name>")
        project.run_here("thing").failed("thing_name", "config.json", "OTA_THING_NAME")
        assert control.calls() == []

    def test_tasks_that_touch_the_firmware_ask_for_an_application_first(
        self, project: Project, control: Control
    ) -> None:
        project.set(target_application="", skip_build="false")
        project.run_here("all").failed("target_application")
        assert set(control.operations()) <= {"GetCallerIdentity"}
        project.run_here("thing").done()

    def test_a_broken_file_names_the_place(self, project: Project) -> None:
        (project.root_path / "config.json").write_text('{"thing_name": "lamp"')
        project.run_here("thing").failed("config.json")

    def test_the_environment_and_its_file_win_over_the_settings_file(self, project: Project, account: Account) -> None:
        (project.root_path / ".env").write_text(
            "OTA_THING_NAME=other-lamp\nOTA_POLICY_NAME=$<thing_name>{lower}-policy\n"
        )
        project.run_here("policy").done()
        assert account.names()["things"] == {"other-lamp"}
        assert account.names()["policies"] == {"other-lamp-policy"}
        project.run_here("thing", OTA_THING_NAME="third", OTA_OVERWRITE_HEADER="true").done()
        assert account.names()["things"] == {"other-lamp", "third"}

    def test_a_boundary_is_put_on_the_role(self, project: Project, account: Account) -> None:
        document = json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        )
        arn = account.iam.create_policy(PolicyName="edge", PolicyDocument=document)["Policy"]["Arn"]
        project.set(permissions_boundary=arn, role_prefix="team")
        result = project.run_here("role").done()
        assert arn in result.out
        role = account.iam.get_role(RoleName=f"team-{ROLE}")["Role"]
        assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == arn

    def test_a_boundary_that_is_not_there_is_named(self, project: Project, account: Account) -> None:
        project.set(permissions_boundary=f"arn:aws:iam::{ACCOUNT}:policy/nothing")
        project.run_here("role").failed("permissions_boundary", "policy/nothing")
        assert account.there() == set()


CREDENTIAL_CASES: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "missing": ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, ("No AWS credentials", ".env", "sandbox")),
    "no secret": ({"AWS_SECRET_ACCESS_KEY": ""}, ("half set", "AWS_SECRET_ACCESS_KEY")),
    "no key": ({"AWS_ACCESS_KEY_ID": ""}, ("half set", "AWS_ACCESS_KEY_ID")),
    "no token": ({"AWS_ACCESS_KEY_ID": "ASIAIOSFODNN7EXAMPLE"}, ("temporary", "AWS_SESSION_TOKEN")),
    "no such profile": ({"AWS_PROFILE": "nobody"}, ("AWS_PROFILE", "nobody")),
    "no region": ({"AWS_REGION": ""}, ("region", "AWS_REGION")),
    "no such region": ({"AWS_REGION": "eu-west-1a"}, ("eu-west-1a", "not an AWS region")),
    "nobody listens": ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, ("cannot be reached", "AWS_ENDPOINT_URL")),
}


class TestCredentials:
    @pytest.mark.parametrize(("environ", "words"), CREDENTIAL_CASES.values(), ids=CREDENTIAL_CASES)
    def test_what_is_wrong_has_a_sentence_of_its_own(
        self,
        project: Project,
        control: Control,
        monkeypatch: pytest.MonkeyPatch,
        environ: dict[str, str],
        words: tuple[str, ...],
    ) -> None:
        monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda _: None))  # between two attempts
        result = project.run_here("bucket", **environ).failed(*words)
        assert len(result.err.splitlines()) <= 2
        assert control.calls() == []

    def test_an_endpoint_that_is_no_url_has_a_sentence_too(self, project: Project) -> None:
        project.run_here("bucket", AWS_ENDPOINT_URL="localhost").failed("AWS_ENDPOINT_URL", "localhost")

    def test_expired_ones_say_how_to_go_on(self, project: Project, control: Control) -> None:
        control.fail("*", "expired-token", times=0)
        project.run_here("all").failed("expired", "same command again")

    def test_those_that_expire_on_the_way_lose_nothing(
        self, project: Project, control: Control, account: Account
    ) -> None:
        control.fail("PutObject", "expired-token")
        project.run_here("all").failed("expired", "same command again")
        project.run_here("all").done()
        assert account.there() == EVERYTHING
        assert len(account.certificates()) == 1

    def test_a_refused_call_names_the_permission(self, project: Project, control: Control, account: Account) -> None:
        control.fail("CreateRole", "access-denied", times=0)
        result = project.run_here("all").failed("iam:CreateRole", "permissions_boundary")
        assert len(result.err.splitlines()) <= 2
        control.clear_faults()
        project.run_here("all").done()
        assert account.there() == EVERYTHING

    def test_they_may_stand_in_the_env_file(self, project: Project, clean_sandbox: Address) -> None:
        lines = [f"AWS_ACCESS_KEY_ID={ACCESS_KEY}", f"AWS_SECRET_ACCESS_KEY={SECRET_KEY}"]
        lines += [f"AWS_DEFAULT_REGION={REGION}", f"AWS_ENDPOINT_URL={clean_sandbox.endpoint_url}"]
        (project.root_path / ".env").write_text("\n".join(lines))
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ENDPOINT_URL"):
            del project.environ[name]
        assert REGION in project.run_here("bucket").done().err


class TestRegions:
    def test_the_oldest_region_works_too(self, project: Project, clean_sandbox: Address) -> None:
        result = project.run_here("all", AWS_REGION="us-east-1").done()
        assert "us-east-1" in result.err.splitlines()[0]
        virginia = account_at(clean_sandbox, region_name="us-east-1")
        assert virginia.s3.get_bucket_location(Bucket=BUCKET)["LocationConstraint"] is None
        assert virginia.there() == EVERYTHING
        project.run_here("clean", AWS_REGION="us-east-1").done()
        assert virginia.there() == set()

    def test_a_bucket_in_another_region_is_refused(self, project: Project) -> None:
        project.run_here("bucket").done()
        project.run_here("bucket", AWS_REGION="us-west-2").failed(BUCKET, REGION, "us-west-2")


@pytest.fixture
def existing_arn(account: Account, project: Project) -> str:
    """A certificate that the user made before, with its key where the settings say."""
    made = account.iot.create_keys_and_certificate(setAsActive=True)
    project.key_path.parent.mkdir()
    project.key_path.write_text(made["keyPair"]["PrivateKey"])
    project.key_path.chmod(0o600)
    project.set(existing_certificate_arn=made["certificateArn"])
    return str(made["certificateArn"])


class TestExistingCertificate:
    def test_it_is_used_and_survives_cleaning(self, project: Project, account: Account, existing_arn: str) -> None:
        result = project.run_here("all").done()
        assert ("certificate", "reused") in result.verbs
        assert [one["principal"] for one in account.principals()] == [existing_arn]
        cleaned = project.run_here("clean").done()
        assert ("certificate", "skipped") in cleaned.verbs
        (left,) = account.certificates()
        assert (left["certificateArn"], left["status"]) == (existing_arn, "ACTIVE")
        assert account.there() == {"certificate"}
        assert account.iot.list_attached_policies(target=existing_arn)["policies"] == []

    def test_its_key_survives_cleaning_of_the_local_files(
        self, project: Project, account: Account, existing_arn: str
    ) -> None:
        project.run_here("all").done()
        project.run_here("clean", "--local").done()
        assert account.certificates()[0]["certificateArn"] == existing_arn
        assert project.key_path.exists()

    def test_cleaning_twice_and_with_force_leaves_it(
        self, project: Project, account: Account, existing_arn: str
    ) -> None:
        project.run_here("all").done()
        project.run_here("clean").done()
        project.run_here("clean", "--force").done()
        assert [one["certificateArn"] for one in account.certificates()] == [existing_arn]

    def test_an_inactive_one_is_refused(self, project: Project, account: Account, existing_arn: str) -> None:
        account.iot.update_certificate(certificateId=existing_arn.rpartition("/")[2], newStatus="INACTIVE")
        project.run_here("thing").failed("INACTIVE")
        assert account.there() == {"certificate"}

    def test_one_that_is_not_there_is_refused(self, project: Project, account: Account) -> None:
        arn = f"arn:aws:iot:{REGION}:{ACCOUNT}:cert/{'ab' * 32}"
        project.run_here("thing", OTA_EXISTING_CERTIFICATE_ARN=arn).failed("existing_certificate_arn", "ab" * 32)
        assert account.there() == set()


def test_a_bucket_of_another_account_is_named_and_nothing_is_written_to_it(
    project: Project, account: Account, stranger: Any, control: Control
) -> None:
    stranger.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    stranger.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    project.run_here("all").failed(BUCKET, "another AWS account", "bucket_name")
    assert not {"PutObject", "CreateOTAUpdate"} & set(control.operations())
    assert stranger.list_object_versions(Bucket=BUCKET).get("Versions", []) == []
    cleaned = project.run_here("clean").done()
    assert ("bucket", "skipped") in cleaned.verbs
    assert (account.names()["things"], account.certificates()) == (set(), [])
    stranger.head_bucket(Bucket=BUCKET)


@pytest.fixture
def stranger(clean_sandbox: Address) -> Any:
    """A client of another account."""
    other = client("s3", clean_sandbox)

    def name_account(params: dict[str, Any], **_: Any) -> None:
        params["headers"]["x-moto-account-id"] = "999999999999"

    other.meta.events.register("before-call", name_account)
    return other


def test_an_unknown_task_is_no_traceback(project: Project) -> None:
    result = project.run("al")
    assert result.status == 1
    assert "Traceback" not in result.text
    assert "al" in result.err


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
