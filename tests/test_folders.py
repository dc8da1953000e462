"""Folders for keys: private, out of git's sight, and the user's own ones untouched."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ota.folders import IGNORE_ALL, IGNORE_FILE, make_private_folder, remove_empty_folder


def seen_by_git(folder: Path) -> str:
    words = ["git", "status", "--porcelain", "--untracked-files=all"]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_a_folder_that_is_made_is_not_for_git(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    folder = tmp_path / "secrets/lamp"
    make_private_folder(folder)
    (folder / "key.pem").touch()
    assert seen_by_git(tmp_path) == ""
    assert [path.stat().st_mode & 0o777 for path in (folder, folder.parent)] == [0o700, 0o700]


def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    make_private_folder(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert tmp_path.stat().st_mode & 0o777 == 0o750


def test_a_folder_goes_with_our_own_file_only(tmp_path: Path) -> None:
    ours, users, full, link = (tmp_path / name for name in ("ours", "users", "full", "link"))
    for folder in (ours, users, full):
        make_private_folder(folder)
    (users / IGNORE_FILE).write_text("*\n!README\n")
    (full / "notes").touch()
    link.symlink_to(ours)
    for folder in (link, users, full, ours, tmp_path / "missing"):
        remove_empty_folder(folder)
    assert not ours.exists()
    assert link.is_symlink()
    assert (users / IGNORE_FILE).read_text() == "*\n!README\n"
    assert (full / IGNORE_FILE).read_text() == IGNORE_ALL
