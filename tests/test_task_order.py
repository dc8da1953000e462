"""`sandbox` and `with` behind a task that acts: refused before anything is called, with the line to paste instead."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from invoke.executor import Executor

from ota.sandbox.process import Address
from tests.project import Project, aws_project
from tests.sandbox_control import Control

PASTED = re.compile(r"right order: `([^`]+)`")


@pytest.fixture
def project(tmp_path: Path, clean_sandbox: Address) -> Project:
    """A project on an account of its own, which is not this project's sandbox."""
    return aws_project(tmp_path / "project", clean_sandbox, has_firmware=False)


@pytest.mark.parametrize(
    ("line", "right"),
    [
        (("bucket", "sandbox"), "sandbox bucket"),
        (("bucket", "sandbox.start", "role"), "sandbox bucket role"),
        (("bucket", "with", "--thing-name", "lamp-4"), "with --thing-name=lamp-4 bucket"),
        (("with", "--policy-name", "p", "settings", "with", "--thing-name", "a b"),
         "with --policy-name=p with '--thing-name=a b' settings"),
        (("delete.thing", "--name", "x", "--name", "y", "-f", "sandbox"),
         "sandbox delete.thing --name=x --name=y --force"),
        (("-e", "explain", "a b", "bucket", "with", "--bucket-name", "sandbox", "sandbox"),
         "--echo sandbox with --bucket-name=sandbox explain 'a b' bucket"),
        (("clean", "--plan", "--json", "sandbox"), "sandbox clean --plan --json"),
        (("list", "--filter", "with", "sandbox"), "sandbox list.all --filter=with"),
    ],
    ids=lambda one: one if isinstance(one, str) else None,
)  # fmt: skip
def test_out_of_order_is_refused_before_the_first_call(
    project: Project, control: Control, line: tuple[str, ...], right: str
) -> None:
    refused = project.run_here(*line).failed("comes first", "Nothing was done")
    assert refused.out == "" or ("--json" in line and json.loads(refused.out)["error"]["kind"] == "OtaError")
    assert control.calls() == []
    assert not (project.root_path / ".sandbox").exists()
    assert PASTED.findall(refused.err) == [f"invoke {right}"]


def test_it_holds_for_invoke_itself(project: Project, control: Control) -> None:
    refused = project.run("bucket", "with", "--thing-name", "lamp-4").failed("invoke with --thing-name=lamp-4 bucket")
    assert refused.out == ""
    assert control.calls() == []


def test_the_pasted_line_does_it(project: Project, control: Control) -> None:
    refused = project.run_here("bucket", "with", "--thing-name", "lamp-4").failed()
    project.paste(PASTED.findall(refused.err)[0]).done()
    assert "CreateBucket" in control.operations()


@pytest.mark.parametrize(
    "line",
    [
        ("with", "--thing-name", "sandbox", "with", "--policy-name", "with", "settings"),
        ("explain", "0x000000e3", "with", "--thing-name", "lamp-4", "settings"),
        ("sandbox.stop", "sandbox.reset", "with", "--thing-name", "lamp-4", "settings"),
        ("list.buckets", "--filter", "sandbox"),
        ("delete.bucket", "--name=with"),
    ],
    ids=" ".join,
)
def test_what_is_in_order_runs(project: Project, line: tuple[str, ...]) -> None:
    project.run_here(*line).done()


def test_a_variable_that_says_sandbox_makes_a_late_one_harmless(project: Project) -> None:
    sandboxed = {"OTA_SANDBOX": "1", "OTA_THING_NAME": "lamp-5"}
    project.run_here("bucket", "sandbox", "sandbox.stop", **sandboxed).done()
    project.run_here("bucket", "with", "--thing-name", "lamp-4", **sandboxed).failed(
        "invoke sandbox with --thing-name=lamp-4 bucket"
    )


def test_tasks_that_no_command_line_names_run_as_they_are_given(
    project: Project, control: Control, capsys: pytest.CaptureFixture[str]
) -> None:
    import tasks

    with project.at_work():
        Executor(tasks.namespace).execute("bucket")
    assert "created" in capsys.readouterr().out
    assert "CreateBucket" in control.operations()
