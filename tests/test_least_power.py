"""Without any one action of the operator's policy, just the tasks fail that the policy grants it to, and they name it.

The account is brought to the state that a line starts from, the operator gets the whole policy less one action, and the
line runs against the sandbox, which judges each call. That each task needs no more than what is documented for it is in
``test_operator_policy.py``.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ota.look.operator_policy import BOUNDARY_NAME, actions_of
from ota.sandbox.process import Address
from tests.account import account_at
from tests.conftest import ACCOUNT
from tests.operators import Operator, permissions_of, printed_policy, without
from tests.project import Project, aws_project, built_tree
from tests.sandbox_control import Control

pytestmark = pytest.mark.alone("each case brings back the account's state of its own")

BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/{BOUNDARY_NAME}"
REGISTER = "register --file devices.csv"
LOOKS = ("plan", "status", "list")  # they show what they may not see as unknown, or do without
ONLY_SAID = {"iot:DescribeJobExecution"}  # asked when all is done, so a refusal is said and nothing fails
# What is done before, and the line.
QUICK = {"a new role": ("", "role"), "a role's deletion": ("role", "delete.role")}
LINES = {
    "a new thing": ("", "thing"),
    "a new bucket": ("", "bucket"),
    "a new update": ("policy bucket role", "update"),
    "everything": ("", "all"),
    "everything again": ("all", "all"),
    "a plan": ("all", "plan"),
    "a status": ("all", "status"),
    "lists": ("all", "list"),
    "a clean-up": ("all", "clean"),
    "an update's deletion": ("all", "delete.update --force"),
    "a thing's deletion": ("all", "delete.update --force delete.thing --prune"),
    "a new policy": ("thing", "policy"),
    "devices": ("", REGISTER),
    "devices' clean-up": (REGISTER, "clean"),
}
CASES = [pytest.param(*QUICK[name], id=name) for name in QUICK]
CASES += [pytest.param(*LINES[name], id=name, marks=pytest.mark.long) for name in LINES]


class Start:
    """The state that a line starts from: the account's and the folder's."""

    def __init__(self, project: Project, control: Control) -> None:
        self._project, self._control = project, control
        self._copy = project.root_path.with_name("start")
        shutil.copytree(project.root_path, self._copy)
        control.keep("start")

    def again(self) -> None:
        self._control.restore("start")
        shutil.rmtree(self._project.root_path)
        shutil.copytree(self._copy, self._project.root_path)


@pytest.fixture
def project(tmp_path: Path, clean_sandbox: Address, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = aws_project(tmp_path / "project", clean_sandbox, permissions_boundary=BOUNDARY)
    project.put_image(built_tree(tmp_path_factory.getbasetemp()))
    (project.root_path / "devices.csv").write_text("thing_name\nlamp-1\nlamp-2\n")
    printed = project.run_here("permissions", "--boundary").done().out
    account_at(clean_sandbox).iam.create_policy(PolicyName=BOUNDARY_NAME, PolicyDocument=printed)
    return project


@pytest.mark.parametrize(("before", "line"), CASES)
def test_without_an_action_the_line_fails_and_names_it(
    project: Project, clean_sandbox: Address, before: str, line: str
) -> None:
    if REGISTER in (before, line):
        project.set(thing_group_name="lamps", device_key_type="EC-P256")
    operator = Operator(clean_sandbox)
    if before:
        project.run_here(*before.split()).done()
    whole = printed_policy(project)
    documented = actions_of(printed_policy(project, "--for", line.split()[0].partition(".")[0]))
    if "delete.thing" in line:
        documented = actions_of(printed_policy(project, "--for", "delete"))
    project.environ.update(operator.environ)
    start = Start(project, Control(clean_sandbox))

    operator.allow(whole)
    ran = project.run_here(*line.split())
    assert (ran.status, operator.denied()) == (3 if line == "status" else 0, []), ran.text
    asked = {action for call in operator.called() for action in permissions_of(*call)}
    asked -= {"s3:GetObject"} if line == REGISTER else set()  # AWS's own report behind a link, which needs no key
    assert asked <= set(documented)

    unsaid = {}
    for action in sorted(asked):
        start.again()
        operator.allow(without(whole, action))
        ran = project.run_here(*line.split())
        assert "Traceback" not in ran.text, ran.text
        is_said = action in ran.text and (ran.status == 1 or action in ONLY_SAID)
        if not is_said and line not in LOOKS:
            unsaid[action] = (ran.status, ran.text)
    assert unsaid == {}
