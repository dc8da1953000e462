"""`init` gives a folder its settings and its .env, asks only at a terminal, and overwrites nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.project import REPOSITORY_PATH, Project

FLAGS = ("--thing-name", "lamp-7", "--firmware-root", "../fw")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A folder without settings."""
    project = Project(tmp_path / "project", {}, has_firmware=False)
    (project.root_path / "config.json").unlink()
    shutil.copy(REPOSITORY_PATH / "env.example", project.root_path)
    return project


def settings(project: Project) -> dict[str, str]:
    found: dict[str, str] = json.loads((project.root_path / "config.json").read_text(encoding="utf-8"))
    return found


def test_it_writes_what_the_flags_say(project: Project) -> None:
    done = project.run_here("init", *FLAGS).done()
    assert (settings(project)["thing_name"], settings(project)["firmware_root"]) == ("lamp-7", "../fw")
    env_path = project.root_path / ".env"
    assert env_path.read_bytes() == (REPOSITORY_PATH / "env.example").read_bytes()
    assert env_path.stat().st_mode & 0o777 == 0o600
    assert "`invoke sandbox all`" in done.out
    assert "`invoke doctor`" in done.out
    assert "fw" in project.run_here("settings").done().out


def test_it_overwrites_nothing(project: Project) -> None:
    (project.root_path / "config.json").write_text('{"thing_name": "mine"}')
    (project.root_path / ".env").write_text("OTA_ROLE_PREFIX=p\n")
    refused = project.run_here("init", *FLAGS).failed("write thing_name and firmware_root into it yourself")
    assert refused.out == ""
    assert project.run_here("init", "--thing-name", "mine").done().out.count("is there already and stays as it is") == 2
    assert settings(project) == {"thing_name": "mine"}
    assert (project.root_path / ".env").read_text() == "OTA_ROLE_PREFIX=p\n"


def test_a_link_to_nothing_is_not_followed(project: Project, tmp_path: Path) -> None:
    (project.root_path / ".env").symlink_to(tmp_path / "elsewhere")
    project.run_here("init").done()
    assert not (tmp_path / "elsewhere").exists()


def test_a_name_that_no_thing_can_have_is_refused_before_anything_is_written(project: Project) -> None:
    project.run_here("init", "--thing-name", "my lamp").failed("'my lamp' cannot be the thing_name", 'write "my-lamp"')
    assert not (project.root_path / "config.json").exists()


def test_it_asks_at_a_terminal(project: Project) -> None:
    seen = project.run_on_terminal(
        "init", "--firmware-root", "fw", answer="lamp-8", question="Name of the thing"
    ).done()
    assert "Folder of the firmware tree" not in seen.out
    assert settings(project)["thing_name"] == "lamp-8"
    assert "Name of the thing" not in project.run_on_terminal("init").done().out


def test_without_a_terminal_it_asks_nothing_and_says_what_is_missing(project: Project) -> None:
    done = project.run("init").done()
    assert "write thing_name into config.json" in done.out
    assert settings(project)["thing_name"] == "<your_thing_name>"


def test_a_missing_settings_file_names_it(project: Project) -> None:
    project.run_here("settings").failed("config.json does not exist", "`invoke init` writes one")
    project.run_here("settings", OTA_SANDBOX="1").failed("`invoke init` writes one")
