"""What stands where a folder has to be.

The system says "File exists" of a link to a folder that is not there, and "Not a directory" of a path below a file.
Neither names the place that has to be mended.

Source: POSIX ``mkdir`` (EEXIST), path resolution (ELOOP, ENOTDIR).
"""

from __future__ import annotations

import shlex
from pathlib import Path


def find_obstacle(path: Path) -> str:
    """What is in the place of a folder on the way to ``path``, with the command that mends it; empty where none is."""
    for folder in reversed(path.absolute().parents):
        quoted = shlex.quote(str(folder))
        if folder.is_symlink() and not folder.exists():
            if _is_loop(folder):
                return f"{folder} is a link that leads to itself: remove it (`rm {quoted}`)"
            target = shlex.quote(str(folder.parent / folder.readlink()))
            return f"{folder} is a link to a folder that does not exist: make that folder (`mkdir -p {target}`)"
        if folder.exists() and not folder.is_dir():
            return f"{folder} is a file where a folder is needed: move it away (`mv {quoted} {quoted}.old`)"
    return ""


def _is_loop(link: Path) -> bool:
    try:
        link.resolve(strict=True)
    except FileNotFoundError:
        return False
    except (OSError, RuntimeError):  # RuntimeError before Python 3.13
        return True
    return False
