"""``clean --all-certificates``: each thing whose certificate lies here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ota.certificates.files import find_certificate_files
from ota.sandbox.process import Address
from tests.conftest import ACCOUNT
from tests.hand_made import Hands
from tests.project import Project, aws_project


@pytest.fixture
def hands(iot: Any, s3: Any, iam: Any) -> Hands:
    return Hands(iot, s3, iam)


@pytest.fixture
def project(clean_sandbox: Address, tmp_path: Path) -> Project:
    return aws_project(tmp_path / "project", clean_sandbox, has_firmware=False, target_application="")


def set_up(project: Project, *things: str) -> None:
    for name in things:
        project.run_here("with", "--thing-name", name, "policy", "bucket", "role").done()


def files(project: Project) -> set[str]:
    return {path.name for path in (project.root_path / "certificates").glob("[!.]*")}


def test_certificates_are_known_by_their_names(tmp_path: Path) -> None:
    for name in (
        "thing_certificate_lamp.pem.crt",
        "thing_certificate_a:b.pem.crt",
        "thing_certificate_a b.pem.crt",
        "thing_certificate_lamp.pem.0123abcd.crt",
        "thing_certificate_.pem.crt",
        "thing_private_key_lamp.pem.key",
        "thing_public_key_lamp.pem.key",
        "AmazonRootCA1.pem",
        "device.pem.crt",
        "notes.txt",
    ):
        (tmp_path / name).touch()
    found, others = find_certificate_files(tmp_path)
    assert {name: path.name for name, path in found.items()} == {
        "lamp": "thing_certificate_lamp.pem.crt",
        "a:b": "thing_certificate_a:b.pem.crt",
    }
    assert [path.name for path in others] == [
        "AmazonRootCA1.pem",
        "device.pem.crt",
        "thing_certificate_.pem.crt",
        "thing_certificate_a b.pem.crt",
    ]
    assert find_certificate_files(tmp_path / "nowhere") == ({}, [])


def test_every_thing_with_a_certificate_here_is_cleaned(hands: Hands, project: Project) -> None:
    set_up(project, "desk", "Lamp_2")
    hands.whole("other", ours=True)
    kept = hands.names()
    set_up(project, "lamp")
    done = project.run_here("clean", "--all-certificates").done()
    headings = [line for line in done.out.splitlines() if line in {"desk", "Lamp_2", "lamp", "other"}]
    assert headings == ["lamp", "Lamp_2", "desk"]
    for name in headings:
        assert f"Proven: nothing that this tool made for {name} is left." in done.out
    assert done.verbs.count(("certificate", "deleted")) == 3
    left = hands.names()
    assert left["things"] == {"other"}
    assert left["policies"] == {"other_policy"}
    assert left["roles"] == {"other_role"}
    assert left["buckets"] == {f"other-ota-{ACCOUNT}"}
    assert left["updates"] == kept["updates"]
    assert len(left["certificates"]) == 1
    assert len(files(project)) == 9, "files go with --local only"


def test_their_files_go_too_when_asked(project: Project) -> None:
    set_up(project, "desk", "lamp")
    foreign = project.root_path / "certificates/device.pem.crt"
    foreign.touch()
    done = project.run_here("clean", "--all-certificates", "--local").done()
    assert ("files", "skipped") in done.verbs
    assert "device.pem.crt" in done.out
    assert "not named thing_certificate_THING.pem.crt" in done.out
    assert files(project) == {"device.pem.crt"}


def test_nothing_has_to_be_set_for_it(hands: Hands, project: Project) -> None:
    set_up(project, "desk")
    project.set(thing_name="<your_thing_name>")
    project.run_here("clean", "--all-certificates").done()
    assert not any(hands.names().values())


def test_with_nothing_here_it_says_so(project: Project) -> None:
    project.set(thing_name="<your_thing_name>")
    done = project.run_here("clean", "--all-certificates").done()
    assert "Nothing to clean: no thing_certificate_THING.pem.crt is in" in done.out


def test_files_are_found_where_the_certificate_is(hands: Hands, project: Project) -> None:
    """A certificate_path of the settings' own is another thing's; those found here have their keys beside them."""
    set_up(project, "desk")
    project.set(certificate_path="elsewhere/mine.crt", private_key_path="elsewhere/mine.key")
    project.run_here("clean", "--all-certificates", "--local").done()
    assert hands.names()["certificates"] == set()
    assert files(project) == set()


def test_one_that_cannot_be_cleaned_does_not_keep_the_others(hands: Hands, project: Project) -> None:
    set_up(project, "desk", "lamp", "mug")
    hands.s3.put_object(Bucket=f"desk-ota-{ACCOUNT}", Key="private", Body=b"of somebody")
    hands.iam.untag_role(RoleName="lamp_role", TagKeys=["managed-by"])
    (project.root_path / "certificates/thing_certificate_mug.pem.crt").write_text("no certificate")
    (project.root_path / "certificates/thing_certificate_xn--.pem.crt").touch()
    project.set(bucket_name="$<thing_name>-ota-$<account_id>")
    failed = project.run_here("clean", "--all-certificates").failed(
        "desk: Not everything is gone.",
        f"The bucket desk-ota-{ACCOUNT} holds objects",
        "`invoke with --thing-name desk clean --force`",
        "mug: ",
        "is not a certificate in PEM form",
        "xn--: config.json: bucket_name",
    )
    left = hands.names()
    assert left["buckets"] == {f"desk-ota-{ACCOUNT}"}
    assert left["roles"] & {"lamp_role", "desk_role"} == {"lamp_role"}
    assert "`invoke clean --force`" in failed.out, "the thing of the settings needs no flag"
    assert not {"desk", "lamp"} & left["things"]
