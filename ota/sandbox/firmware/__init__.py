"""Lay the miniature firmware tree where the sandbox keeps its things.

The copy belongs to whoever works with it: the header is rewritten, versions are raised, applications are added. So
laying it again only fills what is missing, and never compares contents.

Source: the folders beside this file; their README says what stands for what.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

# What a build in the package's own copy would leave, a private key above all, is nobody else's.
_PARTS = ("README.md", "applications", "tools")


def lay_out(target_directory: Path) -> tuple[Path, ...]:
    """Copy the tree to this folder, made if need be; files that are there stay as they are.

    Returns the files that were written, relative to ``target_directory``: all of them the first time, none when
    nothing was missing. Scripts are executable, whatever an installer made of the packaged ones.
    """
    source = Path(__file__).parent
    missing = [path for path in _files(source) if not os.path.lexists(target_directory / path)]
    for path in missing:
        _copy(source / path, target_directory / path)
    return tuple(missing)


def _files(source: Path) -> Iterator[Path]:
    for part in _PARTS:
        found = source / part
        paths = [found] if found.is_file() else found.rglob("*")
        yield from sorted(
            path.relative_to(source) for path in paths if path.is_file() and not path.name.startswith(".")
        )


def _copy(source: Path, target: Path) -> None:
    """In one step, so that two runs at once do not meet half a script; and with the time of now, as a fresh file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file, source.open("rb") as original:
            shutil.copyfileobj(original, file)
        temporary.chmod(0o755 if target.suffix == ".sh" else 0o644)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
