"""The firmware tree as the tool sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ota.errors import FirmwareError
from ota.firmware.tree import check_application, has_firmware_tree, header_path, list_applications, missing_tree_text
from ota.profiles import AWS_CLIENT_CREDENTIAL

HEADER = "configs/aws_configs/aws_clientcredential.h"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for folder in ("keyword_detection", "lamp", "with-hyphen"):
        (tmp_path / "applications" / folder / HEADER).parent.mkdir(parents=True)
        (tmp_path / "applications" / folder / HEADER).touch()
    (tmp_path / "applications/blinky").mkdir()
    (tmp_path / "applications/notes.txt").touch()
    return tmp_path


def test_applications_are_the_folders_with_a_header_as_the_build_script_names_them(tree: Path) -> None:
    assert list_applications(tree, AWS_CLIENT_CREDENTIAL) == ("keyword-detection", "lamp")


def test_a_folder_without_applications_is_no_tree(tmp_path: Path) -> None:
    assert not has_firmware_tree(tmp_path)
    assert list_applications(tmp_path, AWS_CLIENT_CREDENTIAL) == ()
    assert missing_tree_text(tmp_path) == f"no firmware tree: {tmp_path}/applications is not there; set firmware_root"


def test_the_place_that_was_looked_at_is_shown_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert str(tmp_path / "elsewhere/applications") in missing_tree_text(Path("elsewhere"))


def test_an_application_of_the_tree_gives_its_headers_path(tree: Path) -> None:
    path = check_application(tree, "keyword-detection", AWS_CLIENT_CREDENTIAL)
    assert (
        path
        == header_path(tree, "keyword-detection", AWS_CLIENT_CREDENTIAL)
        == tree / "applications/keyword_detection" / HEADER
    )
    assert path.is_file()


@pytest.mark.parametrize("name", ["nonesuch", "", "..", "../..", "keyword_detection", "with-hyphen", "notes.txt", "."])
def test_an_unknown_application_is_refused_with_the_known_ones(tree: Path, name: str) -> None:
    with pytest.raises(FirmwareError) as error:
        check_application(tree, name, AWS_CLIENT_CREDENTIAL)
    assert str(error.value) == (
        f"the firmware tree {tree} has no application {name!r}; "
        "set target_application to one of: keyword-detection, lamp"
    )


def test_an_application_without_its_header_is_told_from_an_unknown_one(tree: Path) -> None:
    with pytest.raises(FirmwareError, match=r"the application blinky has no header: .*aws_clientcredential\.h"):
        check_application(tree, "blinky", AWS_CLIENT_CREDENTIAL)


def test_a_tree_without_applications_says_so(tmp_path: Path) -> None:
    (tmp_path / "applications").mkdir()
    with pytest.raises(FirmwareError, match="the tree has none"):
        check_application(tmp_path, "keyword-detection", AWS_CLIENT_CREDENTIAL)


def test_no_tree_is_refused_with_the_setting_to_change(tmp_path: Path) -> None:
    with pytest.raises(FirmwareError, match="set firmware_root"):
        check_application(tmp_path, "keyword-detection", AWS_CLIENT_CREDENTIAL)
