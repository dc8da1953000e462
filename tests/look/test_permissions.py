"""``invoke permissions``: the document on stdout, for these names, with and without credentials; notes beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ota.look.operator_policy import BOUNDARY_NAME, EXTRAS, PolicyScope, boundary_document, operator_policy_document
from ota.sandbox.process import Address
from tests.conftest import ACCOUNT, REGION
from tests.project import THING, Project, Result, aws_project
from tests.sandbox_control import Control

PLACE = ("--account", ACCOUNT, "--region", REGION)
SCOPE = PolicyScope("aws", REGION, ACCOUNT, thing_name=THING)


@pytest.fixture
def stranger(tmp_path: Path) -> Project:
    """A project of somebody without an AWS account."""
    project = Project(tmp_path / "project", {}, has_firmware=False)
    project.set(thing_name=THING)
    return project


def printed(result: Result) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(result.done().out)
    return document


def resources(document: dict[str, Any], sid: str) -> list[str]:
    (statement,) = (one for one in document["Statement"] if one["Sid"] == sid)
    return list(statement["Resource"])


class TestWhere:
    def test_account_and_region_are_enough(self, stranger: Project) -> None:
        assert printed(stranger.run_here("permissions", *PLACE)) == operator_policy_document(SCOPE)
        assert printed(stranger.run_here("permissions", *PLACE[:2], AWS_REGION=REGION)) == operator_policy_document(
            SCOPE
        )

    def test_without_them_it_says_how_to_go_on_without_credentials(self, stranger: Project) -> None:
        stranger.run_here("permissions").failed("No AWS credentials", "--account 123456789012 --region eu-west-1")

    def test_they_are_asked_of_the_credentials_and_nothing_else_is(
        self, tmp_path: Path, clean_sandbox: Address, control: Control
    ) -> None:
        project = aws_project(tmp_path / "project", clean_sandbox, has_firmware=False)
        result = project.run_here("permissions", "--json")
        assert printed(result) == operator_policy_document(SCOPE)
        assert f"AWS account {ACCOUNT} in {REGION}" in result.err
        assert control.operations() == ["GetCallerIdentity"]

    def test_the_region_tells_the_partition(self, stranger: Project) -> None:
        text = stranger.run_here("permissions", "--account", ACCOUNT, "--region", "cn-north-1").done().out
        assert text.count("arn:") == text.count("arn:aws-cn:") > 0

    @pytest.mark.parametrize(
        ("flags", "words"),
        [
            (("--account", "42"), ("--account 42", "twelve digits")),
            (("--account", ACCOUNT, "--region", "eu-west-1a"), ("eu-west-1a",)),
            ((*PLACE, "--for", "update,cleen"), ("--for cleen", "clean")),
            ((*PLACE, "--also", "everything"), ("--also everything", "instance-profiles")),
            ((*PLACE, "--things", "lamp *"), ("--things lamp *",)),
        ],
    )
    def test_what_cannot_be_is_refused(self, stranger: Project, flags: tuple[str, ...], words: tuple[str, ...]) -> None:
        assert stranger.run_here("permissions", *flags).failed(*words).out == ""

    def test_the_sandbox_has_an_account_too(self, tmp_path: Path, clean_sandbox: Address) -> None:
        project = Project(tmp_path / "project", {}, has_firmware=False)
        (project.root_path / ".sandbox").symlink_to(Path(clean_sandbox.ca_path).parent)
        document = printed(project.run_here("sandbox", "permissions"))
        assert resources(document, "Thing") == [f"arn:aws:iot:{REGION}:{ACCOUNT}:thing/sandbox-thing"]


class TestNames:
    def test_they_are_those_of_the_settings(self, stranger: Project) -> None:
        stranger.set(bucket_name="my-images", role_prefix="team")
        document = printed(stranger.run_here("with", "--update-name", "u1", "permissions", *PLACE))
        assert resources(document, "Image") == ["arn:aws:s3:::my-images/*"]
        jobs = f"arn:aws:iot:{REGION}:{ACCOUNT}:job/AFR_OTA-u1"
        assert resources(document, "Job") == [jobs, f"{jobs}-retry-*"]
        assert resources(document, "Role") == [f"arn:aws:iam::{ACCOUNT}:role/team-lamp_role"]

    def test_a_pattern_stands_in_for_the_thing(self, stranger: Project) -> None:
        stranger.set(thing_name="", policy_name="p-$<thing_name>", bucket_name="my-images")
        document = printed(stranger.run_here("permissions", *PLACE, "--things", "lamp-*"))
        assert resources(document, "Thing") == [f"arn:aws:iot:{REGION}:{ACCOUNT}:thing/lamp-*"]
        assert resources(document, "Policy") == [f"arn:aws:iot:{REGION}:{ACCOUNT}:policy/p-lamp-*"]
        assert resources(document, "Role") == [f"arn:aws:iam::{ACCOUNT}:role/lamp-*_role"]
        assert resources(document, "Bucket") == ["arn:aws:s3:::my-images"]

    def test_a_thing_has_to_be_named(self, stranger: Project) -> None:
        stranger.set(thing_name="")
        stranger.run_here("permissions", *PLACE).failed("thing_name")


class TestBoundary:
    def test_its_document_is_what_the_roles_need(self, stranger: Project) -> None:
        document = printed(stranger.run_here("permissions", *PLACE, "--boundary"))
        assert document == boundary_document(SCOPE)

    def test_its_name_is_the_setting_s_else_the_usual_one(self, stranger: Project) -> None:
        unset = stranger.run_here("permissions", *PLACE)
        assert f"policy/{BOUNDARY_NAME}" in unset.out
        assert "set permissions_boundary" in unset.err
        arn = f"arn:aws:iam::{ACCOUNT}:policy/edge"
        stranger.set(permissions_boundary=arn)
        chosen = stranger.run_here("permissions", *PLACE)
        assert BOUNDARY_NAME not in chosen.out
        (condition,) = (one["Condition"] for one in printed(chosen)["Statement"] if one["Sid"] == "BoundedRole")
        assert condition == {"StringEquals": {"iam:PermissionsBoundary": arn}}
        assert "set permissions_boundary" not in chosen.err


class TestWhatCannotBeBounded:
    def test_it_is_said_of_certificates_and_of_the_policy(self, stranger: Project) -> None:
        said = stranger.run_here("permissions", *PLACE).done().err
        assert "iot:DeleteCertificate" in said
        assert "every certificate" in said
        assert "lamp_policy" in said
        looking = stranger.run_here("permissions", *PLACE, "--for", "status,list.things").done()
        assert "bounded" not in looking.err

    def test_a_certificate_that_is_named_is_the_only_one(self, stranger: Project) -> None:
        arn = f"arn:aws:iot:{REGION}:{ACCOUNT}:cert/{'a' * 64}"
        stranger.set(existing_certificate_arn=arn)
        result = stranger.run_here("permissions", *PLACE)
        assert resources(printed(result), "Certificate") == [arn]
        assert "every certificate" not in result.err

    @pytest.mark.parametrize("extra", EXTRAS, ids=lambda extra: extra.name)
    def test_the_rest_has_to_be_asked_for(self, stranger: Project, extra: Any) -> None:
        without = stranger.run_here("permissions", *PLACE)
        assert f"--also {extra.name}" in without.err
        added = stranger.run_here("permissions", *PLACE, "--also", extra.name)
        assert extra.reach in added.err
        before, after = ({one["Sid"] for one in printed(result)["Statement"]} for result in (without, added))
        assert after - before == {extra.grant.sid}
        assert before - after == ({extra.replaces} if extra.replaces else set())


def test_no_file_is_written(stranger: Project) -> None:
    before = sorted(stranger.root_path.iterdir())
    stranger.run_here("permissions", *PLACE).done()
    assert sorted(stranger.root_path.iterdir()) == before
