"""What the tasks print with --json: one document whatever happens, as docs/output-schema.json describes it."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from tests import fault_project
from tests.account import account_at
from tests.project import REPOSITORY_PATH, Project, Result
from tests.sandbox_control import Control

built = fault_project.built
project = fault_project.project

SCHEMA = json.loads((REPOSITORY_PATH / "docs/output-schema.json").read_text(encoding="utf-8"))
CHAIN = ("plan", "all", "status", "doctor", "verify", "settings", "list", "list.roles", "watch --timeout=1", "plan",
         "clean --plan", "clean", "status", "explain OtaErrNone")  # fmt: skip


def check(name: str, result: Result) -> Any:
    """The one document on stdout, which must be as this definition says."""
    assert "Traceback" not in result.text, result.text
    document = json.loads(result.out)
    jsonschema.validate(document, {**SCHEMA, "$ref": f"#/$defs/{name}"})
    if isinstance(document, dict) and "exit_status" in document:
        assert document["exit_status"] == result.status
    return document


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_document_is_as_described(project: Project) -> None:
    for line in CHAIN:
        words = line.split()
        name = "plan" if "--plan" in words else words[0].partition(".")[0]
        check(name, project.run_here(*words, "--json"))


@pytest.mark.parametrize("status", [0, 1])
def test_registered_and_refused_devices_are_as_described(project: Project, control: Control, status: int) -> None:
    project.set(device_key_type="EC-P256")
    (project.root_path / "devices.csv").write_text("thing_name\nlamp-1\nlamp-2\n", encoding="utf-8")
    if status:
        account_at(control.address).iot.create_thing(thingName="lamp-2")
    told = check("register", project.run_here("register", "--file", "devices.csv", "--json"))
    assert (told["exit_status"], len(told["refused"])) == (status, status)


def test_a_failure_is_a_document_with_what_was_done_before(project: Project, control: Control) -> None:
    control.fail("CreatePolicy", code="AccessDeniedException", status=403)
    told = check("failure", project.run_here("all", "--json"))
    assert told["error"]["kind"] == "PermissionDenied"
    assert "iot:CreatePolicy" in told["error"]["message"]
    assert ("thing", "created") in {(one["noun"], one["verb"]) for one in told["outcomes"]}


@pytest.mark.parametrize(
    "line",
    [
        "with --bucket-name=A_b all --json",
        "with --config-file=no-such-file.json plan --json",
        "bucket with --thing-name=lamp-2 status --json",
        "clean --json",
        "list --limit=none --json",
        "verify --running-version=x --json",
        "explain nonsense --json",
        "device --count=0 --json",
    ],
)
def test_whatever_is_wrong_stdout_has_one_document(project: Project, control: Control, line: str) -> None:
    control.fail("DeleteRole", code="AccessDenied", status=403)
    project.run_here("role").done()
    result = project.run_here(*line.split())
    assert result.status == 1
    document = json.loads(result.out)
    assert "error" in document or line.startswith(("explain", "verify"))
    assert result.err


def test_an_interrupted_task_prints_its_document(project: Project) -> None:
    (project.root_path / "tasks.py").write_text(
        (project.root_path / "tasks.py").read_text(encoding="utf-8")
        + "\n\ndef _interrupt(*_args, **_kwargs):\n    raise KeyboardInterrupt\n\n\nimport ota.look.looks\n\n"
        + "ota.look.looks.show_plan = _interrupt\n",
        encoding="utf-8",
    )
    result = project.run("plan", "--json")
    assert result.status == 130
    told = check("failure", result)
    assert told["error"]["kind"] == "Interrupted"
