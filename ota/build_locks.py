"""One build at a time in a firmware tree, and what it left told from what another run put in its place.

Two runs for two things in one tree would else build into one folder with one header, and a device would be offered an
image with the other's name in it. The lock is on the build script itself: it is there in every tree, and the lock ends
with the process however that ends. Where the file system knows no locks, the runs are as they were without.

Source: ``flock(2)``, through ``fcntl``.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ota.builds import Image, find_image
from ota.errors import FirmwareError


@contextmanager
def sole_build(script_path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Wait until nobody else builds with this script, and keep others waiting; ``on_wait`` is called before waiting."""
    if not script_path.is_file():
        yield
        return
    with script_path.open("rb") as script:
        try:
            fcntl.flock(script, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(script, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            yield
            return
        yield


def is_building(script_path: Path) -> bool:
    """Whether another process builds with this script at the moment."""
    try:
        with script_path.open("rb") as script:
            fcntl.flock(script, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no script, or a file system without locks
        return False
    return False


def check_unchanged(image: Image) -> None:
    """Refuse an image that is no longer the one that was built or taken.

    Raises:
        FirmwareError: another run has built in the same tree meanwhile.
    """
    found = find_image(image.path, image.signature.path)
    if found is None or found.sha256 != image.sha256:
        raise FirmwareError(
            f"the image {image.path} is not the one that this run built: another run builds in the same firmware tree. "
            "Run the same command again once that has ended, or give each run a tree of its own (firmware_root)."
        )
