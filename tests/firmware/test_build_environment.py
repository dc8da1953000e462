"""What the build script gets of the environment, and what it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from ota.sandbox.process import Address
from tests.project import Project, Result, aws_project

DOTENV = "AWS_SESSION_TOKEN=from-file\nDEPLOY_TOKEN=from-file\nSHARED=from-file\nOTA_AUDIO=VSI\n"


@pytest.fixture
def project(clean_sandbox: Address, tmp_path: Path) -> Project:
    """A project whose build script writes its environment down and fails."""
    project = aws_project(tmp_path / "project", clean_sandbox)
    script = project.firmware_path / "tools/scripts/build.sh"
    script.write_text(f"#!/bin/sh\nenv >{project.root_path}/seen\necho AWS_ given: $AWS_SECRET_ACCESS_KEY.\nexit 3\n")
    (project.root_path / ".env").write_text(DOTENV)
    return project


def seen(project: Project, result: Result) -> dict[str, str]:
    """The variables that the script got."""
    result.failed("the build failed with exit status 3")
    lines = (project.root_path / "seen").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_the_script_gets_the_shells_environment_without_credentials_settings_and_dotenv(project: Project) -> None:
    shell = {"SHARED": "from-shell", "LM_LICENSE_FILE": "8224@licences", "OTA_TOOLCHAIN": "ARMCLANG"}
    got = seen(project, project.run_here("build", **shell))
    assert [name for name in got if name.startswith(("AWS_", "OTA_"))] == []
    assert "DEPLOY_TOKEN" not in got
    assert (got["SHARED"], got["LM_LICENSE_FILE"]) == ("from-shell", "8224@licences")
    assert {"PATH", "HOME"} <= got.keys()
    assert "given: ." in (project.root_path / ".ota/build.log").read_text()


def test_build_environment_names_what_it_gets_all_the_same(project: Project) -> None:
    project.set(build_environment="AWS_REGION; DEPLOY_TOKEN ;NOT_SET")
    got = seen(project, project.run_here("build"))
    assert (got["AWS_REGION"], got["DEPLOY_TOKEN"]) == (project.environ["AWS_REGION"], "from-file")
    assert not {"NOT_SET", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "OTA_AUDIO"} & got.keys()


def test_a_name_that_no_variable_has_is_refused(project: Project) -> None:
    project.set(build_environment="LM_LICENSE_FILE=8224@licences")
    project.run_here("build").failed("config.json: build_environment", "without values")
