"""What stands around every test of the command line: that it is there, and that a change of it is seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from ota.sandbox.process import Address
from tests.account import BUCKET, ROLE, UPDATE, Account, account_at
from tests.neighbours import FOREIGN, OURS, Neighbours
from tests.project import Project, aws_project


@pytest.fixture
def account(clean_sandbox: Address) -> Account:
    return account_at(clean_sandbox)


def test_they_are_there_and_are_not_counted(account: Account) -> None:
    things = {one["thingName"] for one in account.iot.list_things()["things"]}
    assert {OURS, FOREIGN, "lam", "Lamp"} <= things
    assert account.there() == set()
    assert not any(account.names().values())


@pytest.mark.alone
def test_an_account_alone_is_empty(account: Account) -> None:
    assert account.iot.list_things()["things"] == []


def test_none_has_a_name_of_the_project_s(account: Account) -> None:
    assert BUCKET not in {one["Name"] for one in account.s3.list_buckets()["Buckets"]}
    assert ROLE not in {one["RoleName"] for one in account.iam.list_roles()["Roles"]}
    assert UPDATE not in {one["otaUpdateId"] for one in account.iot.list_ota_updates()["otaUpdates"]}


def test_a_command_line_that_takes_one_down_is_found_out(
    clean_sandbox: Address, tmp_path: Path, neighbours: Neighbours
) -> None:
    project: Project = aws_project(tmp_path / "project", clean_sandbox, has_firmware=False, target_application="")
    project.run_here("delete.thing", "--name", FOREIGN, "--force").done()
    assert [place for place in neighbours.changed() if place.endswith(f":thing/{FOREIGN}")]
    neighbours.move_in()
    assert neighbours.changed() == []
