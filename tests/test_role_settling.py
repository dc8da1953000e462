"""How long a role may take to settle in IAM: by its own age, whichever run made it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from ota.run import Run
from ota.set_up import SetUp
from tests import fault_project
from tests.account import ROLE, Account, account_at
from tests.fault_project import Call, Inventory, kill_after
from tests.project import Project
from tests.sandbox_control import Control

built = fault_project.built
project = fault_project.project
inventory = fault_project.inventory

TIMEOUT_S = 60
SETTLED_S = 10
TOLERANCE_S = 5


@pytest.fixture
def account(control: Control) -> Account:
    return account_at(control.address)


class Runs:
    """Command lines that meet the role when it is so many seconds old; one at a time, as in one folder."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._begun: Run | None = None

    def begin(self, age_s: float) -> SetUp:
        self.end()
        run = self._begun = Run(self._project.root_path)

        def age(parsed: dict[str, Any], **_: object) -> None:
            if "Role" in parsed:
                parsed["Role"]["CreateDate"] -= timedelta(seconds=age_s)

        run.cloud.iam.meta.events.register("after-call.iam.GetRole", age)
        return SetUp(run)

    def end(self) -> None:
        """End the command line that was begun last, as the end of its process does."""
        if self._begun:
            self._begun.end_turn()


@pytest.fixture
def runs(project: Project) -> Iterator[Runs]:
    runs = Runs(project)
    yield runs
    runs.end()


@pytest.mark.parametrize(
    ("age_s", "expected_s"),
    [(0, TIMEOUT_S), (40, 20), (55, SETTLED_S), (3600, SETTLED_S), (-300, TIMEOUT_S)],
    ids=["just made", "young", "nearly settled", "old", "made in the future"],
)
def test_a_role_of_an_earlier_run_gets_what_is_left_of_its_time(
    project: Project, runs: Runs, age_s: float, expected_s: float
) -> None:
    project.run_here("role").done()
    with project.at_work():
        settle_s = runs.begin(age_s).patience().settle_timeout_s
    assert expected_s - TOLERANCE_S <= settle_s <= expected_s + 1  # AWS tells whole seconds


def test_a_role_that_an_earlier_run_repaired_gets_its_time_from_then(
    project: Project, account: Account, runs: Runs
) -> None:
    project.run_here("role").done()
    account.iam.delete_role_policy(RoleName=ROLE, PolicyName="ota-tasks")
    with project.at_work():
        runs.begin(3600).role()  # and then it is killed
        settle_s = runs.begin(3600).patience().settle_timeout_s
    runs.end()
    assert TIMEOUT_S - TOLERANCE_S <= settle_s <= TIMEOUT_S
    project.run_here("clean").done()


@pytest.mark.long
def test_a_run_that_was_killed_while_its_role_settled_is_carried_on(
    control: Control, project: Project, inventory: Inventory
) -> None:
    control.iam_delay(15)
    kill_after(control, project, Call("CreateOTAUpdate", 1), "all")
    project.run_here("all").done()
    assert len(inventory.names()["updates"]) == 1


def test_the_age_is_told_by_aws_s_clock(project: Project) -> None:
    """A clock of this machine that is wrong by hours changes nothing."""
    project.run_here("role").done()
    with project.at_work():
        run = Run(project.root_path)

        def be_late(parsed: dict[str, Any], **_: object) -> None:
            parsed["ResponseMetadata"]["HTTPHeaders"]["date"] = "Fri, 01 Jan 2100 00:00:40 GMT"
            parsed["Role"]["CreateDate"] = parsed["Role"]["CreateDate"].replace(
                year=2100, month=1, day=1, hour=0, minute=0, second=0, microsecond=0
            )

        run.cloud.iam.meta.events.register("after-call.iam.GetRole", be_late)
        assert SetUp(run).patience().settle_timeout_s == pytest.approx(20)
