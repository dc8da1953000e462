"""The copy of a firmware tree in the sandbox: real files, up to date, and no way back into the user's tree."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ota.firmware.repositories import CEILING_VARIABLE
from ota.firmware.tree_copies import refresh_copy
from ota.settings.sandbox_paths import TreeCopy, find_copy

LONG_AGO_NS = 1_000_000_000 * 10**9


@pytest.fixture
def copy(tmp_path: Path) -> TreeCopy:
    """A tree of the user's, in the project's own folder, and where its copy is."""
    write(
        tmp_path,
        {
            "main.c": "int main;",
            "library/lib.c": "lib",
            "tools/build.sh": "#!/bin/sh\n",
            "build/out.bin": "built",
            "build_tfm/CMakeCache.txt": "HOME=/home/me",
            "certificates/lamp.key": "a key",
            ".env": "AWS_SECRET_ACCESS_KEY=x",
            ".sandbox/address.json": "{}",
            ".venv/bin/python": "python",
        },
    )
    (tmp_path / "empty").mkdir()
    (tmp_path / "tools/build.sh").chmod(0o755)
    found = find_copy(tmp_path, tmp_path, (tmp_path / "build", tmp_path / "certificates"))
    assert found is not None
    return found


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def names_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_it_has_the_tree_without_builds_keys_and_the_sandbox(copy: TreeCopy) -> None:
    assert refresh_copy(copy) == 3
    assert names_in(copy.path) == {"main.c", "library", "library/lib.c", "tools", "tools/build.sh", "empty"}
    script = copy.path / "tools/build.sh"
    assert os.access(script, os.X_OK)
    original = copy.source_path / "tools/build.sh"
    assert script.stat().st_mtime_ns == original.stat().st_mtime_ns
    assert script.stat().st_ino != original.stat().st_ino


def test_only_what_the_user_changed_is_copied_again(copy: TreeCopy) -> None:
    refresh_copy(copy)
    (copy.path / "library/lib.c").write_text("patched by the build")
    (copy.path / "main.c").write_text("the header of the sandbox")
    write(copy.source_path, {"main.c": "int other;", "new/new.c": "new"})
    (copy.source_path / "tools/build.sh").unlink()
    assert refresh_copy(copy) == 2
    texts = {name: (copy.path / name).read_text() for name in ("main.c", "new/new.c", "library/lib.c")}
    assert texts == {"main.c": "int other;", "new/new.c": "new", "library/lib.c": "patched by the build"}
    assert not (copy.path / "tools/build.sh").exists()
    assert refresh_copy(copy) == 0
    (copy.path / "main.c").unlink()
    assert refresh_copy(copy) == 1


def folder_becomes_file(root: Path) -> None:
    (root / "library/lib.c").unlink()
    (root / "library").rmdir()
    (root / "library").write_text("a file")


def file_becomes_folder(root: Path) -> None:
    (root / "main.c").unlink()
    write(root, {"main.c/part.c": "part"})


def file_becomes_link(root: Path) -> None:
    (root / "main.c").unlink()
    (root / "main.c").symlink_to("library/lib.c")


@pytest.mark.parametrize("change", [folder_becomes_file, file_becomes_folder, file_becomes_link])
def test_what_becomes_something_else_does_so_in_the_copy(copy: TreeCopy, change: Callable[[Path], None]) -> None:
    refresh_copy(copy)
    change(copy.source_path)
    refresh_copy(copy)
    for name in ("main.c", "library"):
        there, here = copy.source_path / name, copy.path / name
        assert (there.is_file(), there.is_symlink()) == (here.is_file(), here.is_symlink())


def test_no_link_leads_to_the_user_s_files(copy: TreeCopy, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    write(outside, {"sdk/sdk.c": "sdk", "key.pem": "pem"})
    root = copy.source_path
    links = {"in": "library/lib.c", "in-absolute": str(root / "library"), "out": str(outside / "sdk")}
    for name, target in {**links, "file": str(outside / "key.pem"), "loop": ".", "nowhere": "nothing"}.items():
        (root / name).symlink_to(target)
    (outside / "sdk/back").symlink_to(outside / "sdk")
    refresh_copy(copy)
    for path in copy.path.rglob("*"):
        assert path.resolve().is_relative_to(copy.path.resolve()), path
    (copy.path / "out/sdk.c").write_text("changed")
    (copy.path / "in-absolute/lib.c").write_text("changed")
    (copy.path / "file").write_text("changed")
    assert (outside / "sdk/sdk.c").read_text() == "sdk"
    assert (root / "library/lib.c").read_text() == "lib"
    assert (outside / "key.pem").read_text() == "pem"
    refresh_copy(copy)
    assert (copy.path / "in").resolve() == (copy.path / "library/lib.c").resolve()


def git(folder: Path, *words: str) -> str:
    """What git says in this folder, as a build of the sandbox has it."""
    sandbox = next((one for one in folder.parents if one.name == ".sandbox"), folder)
    ceilings = os.pathsep.join([str(sandbox), str(sandbox / "trees")])
    identity = {f"GIT_{who}_{what}": "t@t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), CEILING_VARIABLE: ceilings, **identity}
    done = subprocess.run(["git", *words], cwd=folder, env=environ, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def versioned(copy: TreeCopy) -> TreeCopy:
    """The same tree in a repository, with a submodule whose repository lies in the tree's."""
    root = copy.source_path
    for folder in (root / "library", root):
        git(folder, "init", "-q")
        git(folder, "add", "main.c" if folder == root else "lib.c")
        git(folder, "commit", "-qm", "first")
    (root / ".git/modules").mkdir()
    (root / "library/.git").rename(root / ".git/modules/library")
    (root / "library/.git").write_text("gitdir: ../.git/modules/library\n")
    git(root / "library", "config", "core.worktree", "../../../library")
    write(root, {"main.c": "the user's own work", "library/lib.c": "patched by the user's build"})
    return copy


def test_a_build_that_resets_its_libraries_resets_those_of_the_copy(versioned: TreeCopy) -> None:
    refresh_copy(versioned)
    library = versioned.path / "library"
    assert git(library, "status", "--porcelain") == " M lib.c\n"
    git(library, "stash", "push", "-u")
    git(library, "clean", "-df")
    git(library, "reset", "--hard")
    assert (library / "lib.c").read_text() == "lib"
    git(versioned.path, "reset", "--hard")
    git(library, "stash", "pop")
    root = versioned.source_path
    assert (root / "main.c").read_text() == "the user's own work"
    assert (root / "library/lib.c").read_text() == "patched by the user's build"
    assert git(root / "library", "stash", "list") == ""
    refresh_copy(versioned)
    assert (library / "lib.c").read_text() == "patched by the user's build"
    git(root, "commit", "-qam", "second")
    refresh_copy(versioned)
    assert git(versioned.path, "rev-parse", "HEAD") == git(root, "rev-parse", "HEAD")


def test_git_in_a_copy_without_a_repository_finds_none(copy: TreeCopy) -> None:
    git(copy.source_path.parent, "init", "-q")
    refresh_copy(copy)
    with pytest.raises(subprocess.CalledProcessError):
        git(copy.path, "rev-parse", "HEAD")
    with pytest.raises(subprocess.CalledProcessError):
        git(copy.path, "reset", "--hard")
