"""The workflow of docs/ci.md: its steps run as shell, signed in with a token of the CI's identity provider."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ota.look.operator_policy import BOUNDARY_NAME
from tests import fault_project
from tests.project import REPOSITORY_PATH, THING, TIMEOUT_S, Project, aws_project
from tests.sandbox.moto import test_web_identity
from tests.sandbox_control import Control

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_iot_jobs_data import IoTJobsDataPlaneClient

built = fault_project.built
project = fault_project.project
role = test_web_identity.role

PAGE = (REPOSITORY_PATH / "docs/ci.md").read_text(encoding="utf-8")
WORKFLOW: dict[str, Any] = yaml.safe_load(PAGE.partition("```yaml\n")[2].partition("```")[0])
Step = Callable[[str, str], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run_step(control: Control, project: Project, built: Path, tmp_path: Path, role: str, iam: IAMClient) -> Step:
    """Runs a step by job and name in a fresh checkout, while the device has its identity from somebody else."""
    project.run_here("thing", "policy").done()
    boundary = project.run_here("permissions", "--boundary").done().out
    iam.create_policy(PolicyName=BOUNDARY_NAME, PolicyDocument=boundary)
    shown = next(line for line in PAGE.split("`") if " permissions --for " in line)
    printed = project.run_here(*shown.split()[1:]).done().out
    iam.put_role_policy(RoleName=role.rpartition("/")[2], PolicyName="ota", PolicyDocument=printed)
    checkout = aws_project(tmp_path / "checkout", control.address)
    checkout.put_image(built)
    bin_path, token_path = tmp_path / "bin", tmp_path / "token"
    bin_path.mkdir()
    token_path.write_text(test_web_identity.token())
    _write_program(bin_path / "ota", f'exec "{sys.executable}" -c "from tasks import main; main()" "$@"')
    _write_program(bin_path / "gh", f'echo "$@" > {tmp_path}/gh.log; cat plan.md >> {tmp_path}/gh.log')
    keys = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    signed_in = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(token_path), "PYTHONPATH": str(REPOSITORY_PATH)}
    environ = {name: value for name, value in checkout.environ.items() if name not in keys} | signed_in
    environ |= {**WORKFLOW["env"], "AWS_REGION": control.address.region, "AWS_ROLE_ARN": role}
    environ["PATH"] = f"{bin_path}{os.pathsep}{environ['PATH']}"

    def run(job: str, name: str) -> subprocess.CompletedProcess[str]:
        (step,) = (one for one in WORKFLOW["jobs"][job]["steps"] if one.get("name") == name)
        given = {name: str(value).replace("${{ github.event.pull_request.number }}", "7") for name, value in
                 step.get("env", {}).items()}  # fmt: skip
        return subprocess.run(
            ["bash", "-eo", "pipefail", "-c", step["run"]],
            cwd=checkout.root_path,
            env={**environ, **given},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    return run


def test_a_pull_request_gets_the_plan_as_a_comment(run_step: Step, tmp_path: Path) -> None:
    for name in ("Plan", "Comment", "Result"):
        done = run_step("plan", name)
        assert done.returncode == 0, done.stdout + done.stderr
    comment = (tmp_path / "gh.log").read_text()
    assert "pr comment 7 --body-file plan.md" in comment
    assert "| update | **create** |" in comment
    assert "| thing | reuse |" in comment


def test_a_plan_that_would_fail_is_a_comment_and_fails_the_job(
    run_step: Step, tmp_path: Path, project: Project
) -> None:
    project.run_here("clean").done()
    assert run_step("plan", "Plan").returncode == 0
    assert run_step("plan", "Comment").returncode == 0
    assert "There is no thing lamp" in (tmp_path / "gh.log").read_text()
    assert run_step("plan", "Result").returncode == 1


def test_a_tag_releases_and_watches(run_step: Step, tmp_path: Path, jobs_data: IoTJobsDataPlaneClient) -> None:
    done = run_step("release", "Release")
    assert done.returncode == 0, done.stdout + done.stderr
    released = json.loads((tmp_path / "checkout/release.json").read_text())
    assert ("update", "created") in {(one["noun"], one["verb"]) for one in released["outcomes"]}
    jobs_data.start_next_pending_job_execution(thingName=THING)
    jobs_data.update_job_execution(jobId=released["job"], thingName=THING, status="SUCCEEDED")
    watched = run_step("release", "Watch")
    assert watched.returncode == 0, watched.stderr
    assert json.loads((tmp_path / "checkout/rollout.json").read_text())["verdict"] == "done"


def _write_program(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
