"""The AWS CLI works against the sandbox with nothing but its address."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from ota.sandbox.process import Address
from tests.sandbox_world import ROLE_ARN, THING, World, file_entry, update_request

Cli = Callable[..., Any]
# Loading the CLI takes three times as long as a command of it: one process runs them all, each in a session of its own.
RUN_COMMANDS = """
import contextlib, io, json, sys
from awscli.clidriver import create_clidriver
for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = create_clidriver().main(json.loads(line))
    print(json.dumps([status, out.getvalue(), err.getvalue()]), flush=True)
"""


@lru_cache(maxsize=1)
def find_python_with_cli() -> str | None:
    """An interpreter that has version 1 of the CLI."""
    for python in (sys.executable, f"{sys.base_prefix}/bin/python3", shutil.which("python3") or ""):
        if python and subprocess.run([python, "-c", "import awscli"], capture_output=True, check=False).returncode == 0:
            return python
    return None


def has_cli() -> bool:
    return find_python_with_cli() is not None or shutil.which("aws") is not None


pytestmark = pytest.mark.skipif("not has_cli()", reason="the AWS CLI is not installed")


@pytest.fixture(scope="module")
def run_cli(sandbox: Address, empty_aws_file: Path) -> Iterator[Callable[[list[str]], list[Any]]]:
    """Runs a command line of ``aws``: exit status, stdout and stderr."""
    names = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        **dict.fromkeys(names, str(empty_aws_file)),
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "dummy",
        "AWS_DEFAULT_REGION": sandbox.region,
        "AWS_ENDPOINT_URL": sandbox.endpoint_url,
        "AWS_PAGER": "",
    }
    python = find_python_with_cli()
    if python is None:

        def run_alone(arguments: list[str]) -> list[Any]:
            done = subprocess.run(["aws", *arguments], capture_output=True, text=True, env=env, check=False)
            return [done.returncode, done.stdout, done.stderr]

        yield run_alone
        return
    command = [python, "-c", RUN_COMMANDS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as child:
        assert child.stdin is not None
        assert child.stdout is not None

        def run(arguments: list[str]) -> list[Any]:
            print(json.dumps(arguments), file=child.stdin, flush=True)
            answer: list[Any] = json.loads(child.stdout.readline())  # type: ignore[union-attr]
            return answer

        yield run
        child.stdin.close()


@pytest.fixture
def aws(world: World, run_cli: Callable[[list[str]], list[Any]]) -> Cli:
    """Run ``aws iot …``; its JSON answer, or with ``fails`` what it says on stderr."""
    assert world.version_id

    def run(*arguments: str, fails: bool = False, service: str = "iot") -> Any:
        status, out, err = run_cli([service, *arguments])
        assert (status != 0) == fails, err
        return err if fails else json.loads(out or "null")

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
