"""The AWS CLI works against the sandbox with nothing but its address."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ota.sandbox.process import Address
from tests.sandbox_world import ROLE_ARN, THING, World, file_entry, update_request

Cli = Callable[..., Any]


def find_cli() -> list[str] | None:
    """The command that runs the AWS CLI, if there is one that works."""
    for command in ([sys.executable, "-m", "awscli"], [shutil.which("aws") or ""]):
        if not command[0]:
            continue
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
        if done.returncode == 0 and "aws-cli" in done.stdout + done.stderr:
            return command
    return None


CLI = find_cli()
pytestmark = pytest.mark.skipif(CLI is None, reason="the AWS CLI is not installed")


@pytest.fixture
def aws(world: World, sandbox: Address) -> Cli:
    """Run ``aws iot …``; its JSON answer, or with ``fails`` what it says on stderr."""
    assert world.version_id
    env = {**os.environ, "AWS_ENDPOINT_URL": sandbox.endpoint_url, "AWS_PAGER": ""}

    def run(*arguments: str, fails: bool = False, service: str = "iot") -> Any:
        assert CLI is not None
        done = subprocess.run([*CLI, service, *arguments], capture_output=True, text=True, env=env, check=False)
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr if fails else json.loads(done.stdout or "null")

    return run


@pytest.fixture
def created(aws: Cli, world: World, tmp_path: Path) -> dict[str, Any]:
    """CreateOTAUpdate's answer to the CLI, which takes the signature as base64 of its text."""
    entry = file_entry(world.version_id)
    signature = entry["codeSigning"]["customCodeSigning"]["signature"]
    signature["inlineDocument"] = base64.b64encode(signature["inlineDocument"]).decode()
    request = {**update_request("lamp-1", world.version_id), "files": [entry]}
    path = tmp_path / "request.json"
    path.write_text(json.dumps(request))
    answer: dict[str, Any] = aws("create-ota-update", "--cli-input-json", f"file://{path}")
    return answer


def test_an_update_is_created_listed_looked_at_and_deleted(aws: Cli, created: dict[str, Any], world: World) -> None:
    assert created["otaUpdateStatus"] == "CREATE_PENDING"
    assert [one["otaUpdateId"] for one in aws("list-ota-updates")["otaUpdates"]] == ["lamp-1"]
    info = aws("get-ota-update", "--ota-update-id", "lamp-1")["otaUpdateInfo"]
    assert info["otaUpdateStatus"] == "CREATE_COMPLETE"
    stream = json.loads(world.document())["afr_ota"]["streamname"]
    assert aws("describe-stream", "--stream-id", stream)["streamInfo"]["roleArn"] == ROLE_ARN
    assert [job["jobId"] for job in aws("list-jobs")["jobs"]] == [created["awsIotJobId"]]
    execution = aws("describe-job-execution", "--job-id", created["awsIotJobId"], "--thing-name", THING)["execution"]
    assert execution["status"] == "QUEUED"
    aws("delete-ota-update", "--ota-update-id", "lamp-1", "--delete-stream", "--force-delete-aws-job")
    assert aws("list-ota-updates")["otaUpdates"] == []


def test_a_refusal_reads_as_awss(aws: Cli) -> None:
    text = aws("get-ota-update", "--ota-update-id", "nobody", fails=True)
    assert "(ResourceNotFoundException) when calling the GetOTAUpdate operation" in text


def test_the_device_side_is_reached_too(aws: Cli, created: dict[str, Any]) -> None:
    found = aws("start-next-pending-job-execution", "--thing-name", THING, service="iot-jobs-data")
    assert found["execution"]["jobId"] == created["awsIotJobId"]
    assert "afr_ota" in found["execution"]["jobDocument"]
