"""A miniature firmware tree, and its copy into a folder.

Users change their copy: the header is rewritten, versions are raised, applications are added. So copying again only
adds missing files, and never compares contents.

Source: the folders beside this file; their README says what stands for what.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Only these are copied: a build inside the package itself would leave other files, such as a private key.
_PARTS = ("README.md", "applications", "tools")


def lay_out(target_directory: Path) -> tuple[Path, ...]:
    """Copy the tree to this folder, created if missing; existing files are not changed.

    Returns the files that were written, relative to ``target_directory``: all of them the first time, none when
    nothing was missing. Scripts are made executable, because an installer may have dropped that bit.
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
    """Copy atomically, so that a run at the same time does not see half a script; with the current time."""
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
