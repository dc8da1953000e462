"""One build at a time in a firmware tree, and what it left told from what another run put in its place.

Two runs for two things in one tree would else build into one folder with one header, and a device would be offered an
image with the other's name in it. The lock is on the build script itself: it is there in every tree, and runs of
other checkouts find it, too. The build holds it as well, and keeps it when the run that started it is killed.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ota import locks
from ota.builds import Image, find_image
from ota.errors import FirmwareError


@contextmanager
def sole_build(script_path: Path, on_wait: Callable[[], None], timeout_s: float) -> Iterator[Sequence[int]]:
    """Wait until nobody else builds with this script, and keep others waiting; ``on_wait`` is called before waiting.

    Yields what the build is given to hold the lock, too.

    Raises:
        FirmwareError: somebody still builds after ``timeout_s``.
    """
    if not script_path.is_file():
        yield ()
        return
    try:
        lock = locks.take_lock_on(script_path, lambda _: on_wait(), timeout_s)
    except locks.StillHeld as held:
        command = f"fuser {shlex.quote(str(script_path))}"
        raise FirmwareError(
            f"Another run still builds with {script_path} after {timeout_s:g} s of waiting (lock_timeout_s): let it "
            f"end, or end it (`{command}` names its processes), then run the same command again."
        ) from held
    try:
        yield lock.descriptors
    finally:
        lock.release()


def is_building(script_path: Path) -> bool:
    """Whether another process builds with this script at the moment."""
    return locks.is_locked(script_path)


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
