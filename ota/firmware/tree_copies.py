"""Copy the user's firmware tree into the sandbox, and bring the copy up to date before each run.

A build may write anywhere in its tree, so links to the user's files would not do: every file is a real one, which a
file system with shared blocks copies at no cost. Builds of the tree are left out, because a CMake build folder holds
absolute paths of the tree, and so are the device's keys.

A build also changes files of its tree (Arm's patches its libraries). So a file is copied again when the user's file has
changed since it was copied, not when the two differ. What was copied is noted beside the copy.

A link that leads to another place in the tree stays a link; one out of the tree becomes a copy of what it leads to.

The folders of git are not copied: ``repositories.py`` gives the copy repositories of its own, which build scripts need
that call git.

Source: ``copy_file_range(2)``, ``symlink(7)``.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ota.errors import FirmwareError
from ota.firmware.repositories import GIT, share_repository
from ota.settings.sandbox_paths import TreeCopy

CMAKE_BUILD = "CMakeCache.txt"
NEVER_COPIED = frozenset({GIT, "__pycache__", ".venv", "venv"})
NOTES_SUFFIX = ".json"
# What a file was when it was copied: its time of change in nanoseconds, and its size in bytes.
Stamp = tuple[int, int]


@dataclass
class _Found:
    """The user's tree: each file's relative path with the real one, its folders, links and repositories."""

    files: dict[str, str] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)
    repositories: list[str] = field(default_factory=list)


def refresh_copy(copy: TreeCopy) -> int:
    """Bring the copy up to date with the user's tree; the number of files that were copied.

    A file that the user deleted is deleted in the copy. Nothing in the user's tree is written.

    Raises:
        FirmwareError: a file cannot be read or written.
    """
    source = Path(os.path.realpath(copy.source_path))
    if not source.is_dir():
        return 0  # whoever needs the tree says that it is missing
    try:
        return _refresh(source, copy)
    except OSError as error:
        raise FirmwareError(
            f"the firmware tree {copy.source_path} cannot be copied to {copy.path} for the sandbox: "
            f"{error.filename or copy.path}: {error.strerror}"
        ) from error


def _refresh(source: Path, copy: TreeCopy) -> int:
    found = _Found()
    _look(str(source), "", frozenset(map(str, copy.left_out)), found, frozenset({str(source)}))
    notes_path = copy.path.with_name(copy.path.name + NOTES_SUFFIX)
    before = _read_notes(notes_path)
    now = {name: _stamp(real) for name, real in found.files.items()}
    copy.path.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in before.keys() - now.keys():
        (copy.path / name).unlink(missing_ok=True)
    for folder in found.folders:
        _make_folder(copy.path / folder)
    changed = [name for name in now if now[name] != before.get(name) or not _is_there(copy.path, name)]
    for name in changed:
        _copy_file(Path(found.files[name]), copy.path / name)
    for name, leads_to in found.links.items():
        _link(copy.path / name, leads_to)
    for name in found.repositories:
        share_repository(source / name, copy.path / name)
    _write_notes(notes_path, now)
    return len(changed)


def _look(source: str, inside: str, left_out: frozenset[str], found: _Found, above: frozenset[str]) -> None:
    """Add what is in this folder of the tree to ``found``; ``above`` holds the real folders that lead here.

    Paths are texts, because a tree has very many files and each run looks at all of them.
    """
    folder = f"{source}/{inside}"
    real_folder = os.path.realpath(folder)
    with os.scandir(folder) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        name = f"{inside}{entry.name}"
        is_link = entry.is_symlink()
        real = os.path.realpath(entry.path) if is_link else f"{real_folder}/{entry.name}"
        if entry.name == GIT:
            found.repositories.append(inside)
        if entry.name in NEVER_COPIED or real in left_out:
            continue
        if is_link and f"{real}/".startswith(f"{source}/"):  # it leads to the same place in the copy
            found.links[name] = os.path.relpath(real, folder)
        elif entry.is_dir():
            if real not in above and not Path(real, CMAKE_BUILD).exists():
                found.folders.append(name)
                _look(source, f"{name}/", left_out, found, above | {real})
        elif entry.is_file():
            found.files[name] = real


def _make_folder(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    path.mkdir(exist_ok=True)


def _is_there(folder: Path, name: str) -> bool:
    return os.path.isfile(f"{folder}/{name}")  # noqa: PTH113 - pathlib takes several times as long


def _stamp(path: str) -> Stamp:
    stat = os.stat(path)  # noqa: PTH116 - pathlib takes several times as long
    return stat.st_mtime_ns, stat.st_size


def _copy_file(source: Path, target: Path) -> None:
    """Copy in one step, so that a build at the same time reads the old file or the new one, with its time and mode."""
    temporary = target.with_name(f".{target.name[:100]}.{os.getpid()}")
    try:
        with source.open("rb") as original, temporary.open("wb") as file:
            _copy_bytes(original.fileno(), file.fileno())
        shutil.copystat(source, temporary)
        temporary.chmod(temporary.stat().st_mode | 0o600)
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _copy_bytes(source: int, target: int) -> None:
    """Copy all bytes, in the kernel where it can share the blocks of the two files."""
    share = getattr(os, "copy_file_range", None)
    try:
        while share and share(source, target, 1 << 30):
            pass
    except OSError:  # two file systems, or one that cannot: continue after what is copied
        share = None
    if share is None:
        with os.fdopen(os.dup(source), "rb") as original, os.fdopen(os.dup(target), "wb") as file:
            shutil.copyfileobj(original, file)


def _link(path: Path, target: str) -> None:
    if path.is_symlink() and os.readlink(path) == target:  # noqa: PTH115 - the text as it is
        return
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
    path.symlink_to(target)


def _read_notes(path: Path) -> dict[str, Stamp]:
    """The stamps of the files as they were copied; empty, so that all are copied again, where there is no such note."""
    try:
        return {name: (int(time_ns), int(size)) for name, (time_ns, size) in _pairs(json.loads(path.read_bytes()))}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _pairs(found: Mapping[str, tuple[int, int]]) -> Iterator[tuple[str, tuple[int, int]]]:
    yield from found.items()


def _write_notes(path: Path, stamps: Mapping[str, Stamp]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(stamps))
    temporary.replace(path)
