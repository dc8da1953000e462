"""Where the sandbox finds the user's firmware: in a copy of the tree, so that no run there changes the user's files.

A build writes anywhere in its tree, and this tool writes the header. So in the sandbox every path in the user's tree is
the same path in a copy of the tree. An image that is only read, because ``skip_build`` is set, is the user's own. What
lies outside the tree and would be written to is not used.

Everything here is pure; ``ota/firmware/tree_copies.py`` makes the copy.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ota.settings.setting import SANDBOX_FOLDER
from ota.settings.table import SETTINGS

COPIES_FOLDER = "trees"
BUILD_FOLDER = "build"
# Read and never written where the build is skipped.
READ_ONLY = frozenset({"build_dir", "code_signing_public_key"})
OF_TREE = frozenset(name for name, row in SETTINGS.items() if row.sandbox.is_of_tree)
_HASH_CHARS = 8
_OWN_FILES = (SANDBOX_FOLDER, ".ota", ".device", ".env")


@dataclass(frozen=True)
class TreeCopy:
    """The copy of a firmware tree in the sandbox.

    Attributes:
        source_path: the user's tree.
        path: the copy.
        left_out: real paths in the user's tree that the copy lacks: its build, and private keys.
    """

    source_path: Path
    path: Path
    left_out: frozenset[Path]


def find_copy(source_path: Path, root_path: Path, private_paths: tuple[Path, ...]) -> TreeCopy | None:
    """The copy of this tree in the sandbox of ``root_path``; None for a tree that is in the sandbox already."""
    source, sandbox = _real(source_path), root_path / SANDBOX_FOLDER
    if source.is_relative_to(_real(sandbox)):
        return None
    mark = hashlib.sha256(os.fsencode(source)).hexdigest()[:_HASH_CHARS]
    own = (*private_paths, *(root_path / name for name in _OWN_FILES))
    left_out = frozenset(real for path in own if (real := _real(path)) != source)
    return TreeCopy(source_path, sandbox / COPIES_FOLDER / f"{source.name or 'tree'}-{mark}", left_out)


def paths_in_copy(paths: Mapping[str, Path | None], copy: TreeCopy, *, skips_build: bool) -> dict[str, Path | None]:
    """The paths of the tree's settings as they are in the sandbox; None for one that is not used there."""
    return {
        name: path
        if path is None or (skips_build and name in READ_ONLY)
        else copy.path / inside
        if (inside := _inside(path, copy.source_path)) is not None
        else _outside(name, path, copy)
        for name, path in paths.items()
    }


def _outside(name: str, path: Path, copy: TreeCopy) -> Path | None:
    """What stands for a path outside the tree: one that is read stays, and the build gets a folder in the sandbox."""
    if name == "code_signing_public_key":
        return path
    return copy.path.parents[1] / BUILD_FOLDER if name == "build_dir" else None


def _inside(path: Path, folder: Path) -> Path | None:
    real, real_folder = _real(path), _real(folder)
    return real.relative_to(real_folder) if real.is_relative_to(real_folder) else None


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
