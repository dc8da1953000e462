"""Paths that no file system takes, and links in the place of folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from ota.sandbox.process import Address
from tests.project import Project, aws_project, built_tree

LONG = "c" * 300


@pytest.fixture
def project(clean_sandbox: Address, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = aws_project(tmp_path / "project", clean_sandbox)
    project.put_image(built_tree(tmp_path_factory.getbasetemp()))
    return project


PATHS = ("credentials_path", "private_key_path", "firmware_root", "build_dir", "build_script_path")
NAMES = ("code_signing_public_key", "ota_binary", "signature_file")


@pytest.mark.parametrize("name", PATHS + NAMES)
def test_a_path_with_a_part_too_long_for_a_file_system_is_refused_with_its_setting(project: Project, name: str) -> None:
    project.set(**{name: f"{LONG}/x" if "path" in name or "root" in name else LONG})
    for task in ("all", "plan", "verify"):
        project.run_here(task).failed(f"config.json: {name}: ", "300 bytes", "255")


def test_a_settings_file_whose_name_is_too_long_is_named(project: Project) -> None:
    project.run_here("with", "--config-file", LONG, "settings").failed("the settings file ", "File name too long")


def test_the_longest_thing_name_makes_no_path_too_long(project: Project) -> None:
    project.set(thing_name="t" * 128, target_application="")
    project.run_here("thing").done()
    project.run_here("clean", "--local").done()


def test_files_in_a_linked_folder_are_deleted_and_the_link_stays(project: Project, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = project.root_path / "certificates"
    link.symlink_to(tmp_path / "elsewhere")
    project.run_here("thing").done()
    assert len(list((tmp_path / "elsewhere").iterdir())) == 3
    project.run_here("clean", "--local").done()
    assert link.is_symlink()
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("nowhere", "is a symbolic link to nowhere, and nothing is there"),
        ("certificates", "is a link that leads to itself"),
        ("config.json", "is a file"),
    ],
    ids=["dangling", "loop", "file"],
)
def test_what_is_in_the_place_of_the_certificates_folder_is_named(project: Project, target: str, words: str) -> None:
    link = project.root_path / "certificates"
    link.symlink_to(target)
    for task in (["thing"], ["all"], ["clean", "--local"], ["status"], ["plan"], ["doctor"]):
        result = project.run_here(*task)
        assert "Traceback" not in result.text, result.text
        if task[0] in ("thing", "all"):
            result.failed(f"{link} {words}")
            assert "writable" not in result.err
