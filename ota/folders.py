"""Makes the folders for this tool's own files: nobody else may read them, and git does not see them.

They may hold private keys, which must not get into a repository: a ``.gitignore`` in the folder excludes all of it. It
is written only where this tool makes the folder, so that a folder of the user's stays as it is, and not below one that
has it already.

Source: gitignore(5).
"""

from __future__ import annotations

from pathlib import Path

FOLDER_MODE = 0o700
IGNORE_FILE = ".gitignore"
IGNORE_ALL = "# Made by ota-tasks.\n*\n"


def make_private_folder(path: Path) -> None:
    """Make the folder, and those above it that are missing, each with mode 0700; one that is there stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):  # Path.mkdir gives the mode to the last only
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    if missing and not any(_excludes_all(folder) for folder in path.parents):
        (path / IGNORE_FILE).write_text(IGNORE_ALL, encoding="utf-8", newline="\n")


def remove_empty_folder(path: Path) -> None:
    """Delete the folder where nothing but our own ``.gitignore`` is in it; a symbolic link to a folder stays."""
    if not path.is_dir() or path.is_symlink():
        return
    ignore_path = path / IGNORE_FILE
    left = [one for one in path.iterdir() if one != ignore_path]
    if left or (ignore_path.exists() and not _excludes_all(path)):
        return
    ignore_path.unlink(missing_ok=True)
    path.rmdir()


def _excludes_all(folder: Path) -> bool:
    """Whether our own ``.gitignore`` is in the folder."""
    try:
        return (folder / IGNORE_FILE).read_bytes() == IGNORE_ALL.encode()
    except OSError:
        return False
