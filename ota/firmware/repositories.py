"""Git repositories for a copied firmware tree, which share the objects of the user's and nothing else.

Build scripts call git: Arm's stashes, resets and patches the libraries of its tree, each time it configures a build. In
a copy without repositories git would find the one that the sandbox's folder lies in, and reset the user's own work. So
each repository and submodule of the tree gets one in the copy, with the same commit and index. It reads the objects of
the user's repository, and writes its own.

Source: gitrepository-layout(5): ``commondir``, ``objects/info/alternates``; git(1): ``GIT_CEILING_DIRECTORIES``.
"""

from __future__ import annotations

import shutil
from pathlib import Path

GIT = ".git"
CEILING_VARIABLE = "GIT_CEILING_DIRECTORIES"
POINTER = "gitdir:"
MARK = "ota-copied-from"
# Names in a repository; what holds the user's remotes, hooks and passwords is left out.
COPIED_FILES = ("HEAD", "index", "packed-refs", "shallow")
CONFIG = (
    "[core]\n\trepositoryformatversion = 0\n\tbare = false\n[user]\n\tname = sandbox\n\temail = sandbox@localhost\n"
)


def share_repository(source: Path, target: Path) -> None:
    """Give the copied folder ``target`` a repository like that of ``source``; keeps one that is of the same commit."""
    found = _repository_of(source)
    if found is None:
        return
    repository, common = found
    mark = _head(repository, common)
    made = target / GIT
    if (made / MARK).is_file() and (made / MARK).read_text() == mark:
        return
    if made.is_dir() and not made.is_symlink():
        shutil.rmtree(made)
    made.unlink(missing_ok=True)
    (made / "objects" / "info").mkdir(parents=True)
    (made / "refs").mkdir()
    for name in COPIED_FILES:
        if (original := _first(repository / name, common / name)) is not None:
            shutil.copyfile(original, made / name)
    if (common / "refs").is_dir():
        shutil.copytree(common / "refs", made / "refs", dirs_exist_ok=True)
    (made / "config").write_text(CONFIG)
    (made / "objects/info/alternates").write_text(f"{common / 'objects'}\n")
    (made / MARK).write_text(mark)


def _repository_of(folder: Path) -> tuple[Path, Path] | None:
    """The repository of this work tree, and the one that holds its objects; None where it leads to none."""
    path = folder / GIT
    if path.is_file():
        pointer = path.read_text(errors="replace")
        if not pointer.startswith(POINTER):
            return None
        path = folder / pointer.removeprefix(POINTER).strip()
    path = path.resolve()
    common = path
    if (path / "commondir").is_file():
        common = (path / (path / "commondir").read_text().strip()).resolve()
    return (path, common) if (path / "HEAD").is_file() and (common / "objects").is_dir() else None


def _head(repository: Path, common: Path) -> str:
    """What the repository has checked out: its HEAD, and the commit that this leads to."""
    head = (repository / "HEAD").read_text(errors="replace").strip()
    reference = _first(*(place / head.removeprefix("ref: ") for place in (repository, common)))
    return f"{repository} {head} {reference.read_text(errors='replace').strip() if reference else ''}"


def _first(*paths: Path) -> Path | None:
    return next((path for path in paths if path.is_file()), None)
