"""A virtual device's flash: two slots for each image, safe against a power cut.

One slot holds what runs, the other takes the update. How far that has come stands in ``device_memory``, which blocks of
it are there in ``device_blocks``.

The device comes from the factory with an image that no file holds, only a version: that of the application as Arm
builds it.

Source: MCUboot's design (two slots, test, confirm, revert); versions in
FreeRTOS/iot-reference-arm-corstone3xx (``MCUBOOT_IMAGE_VERSION_NS``).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

from ota.device.blocks import Download
from ota.device.memory import Pending, Phase, Running, State, from_json, replace_file, to_json
from ota.errors import DeviceFailed
from ota.profiles import MODEL_FILE_NAME

FACTORY_VERSION = "0.0.10+0"
FACTORY_MODEL_VERSION = "0.0.11+0"
STATE_FILE = "state.json"
LOCK_FILE = "lock"
SLOTS = ("a", "b")


def is_in_use(folder_path: Path) -> bool:
    """Whether a device works in this folder at the moment, in whatever process."""
    try:
        with (folder_path / LOCK_FILE).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


class Store:
    """The flash of one device, in one folder. Use it as a context: it is for one process at a time."""

    def __init__(self, folder_path: Path) -> None:
        self.folder_path = folder_path
        self._lock: IO[str] | None = None

    def __enter__(self) -> Store:
        """Take the folder.

        Raises:
            DeviceFailed: another process has it, or it cannot be written.
        """
        try:
            self.folder_path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.folder_path / LOCK_FILE).open("a")
        except OSError as error:
            raise DeviceFailed(f"The device's folder {self.folder_path} cannot be used: {error.strerror}.") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise DeviceFailed(
                f"Another virtual device works in {self.folder_path}: end that one first, for the cloud too lets only "
                "one connect by this name."
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()

    @property
    def state(self) -> State:
        """What the device remembers; a device that remembers nothing is new.

        Raises:
            DeviceFailed: the file is there and is not one of ours.
        """
        path = self.folder_path / STATE_FILE
        try:
            return from_json(path.read_bytes())
        except FileNotFoundError:
            return State()
        except (OSError, ValueError, KeyError, TypeError) as error:
            folder = shlex.quote(str(self.folder_path))
            raise DeviceFailed(
                f"{path} cannot be read as a device's memory ({error}): `rm -r {folder}` makes a new device."
            ) from error

    def running(self, image_name: str) -> Running:
        """What runs of this image."""
        factory = FACTORY_MODEL_VERSION if image_name == MODEL_FILE_NAME else FACTORY_VERSION
        return self.state.running.get(image_name) or Running(SLOTS[0], factory)

    def pretend(self, image_name: str, version: str) -> None:
        """Have this version run, whatever image is in the slot."""
        self._keep(image_name, replace(self.running(image_name), version=version))

    def save(self, pending: Pending | None) -> None:
        """Remember how far the update has come; None: there is none any more."""
        self._write(replace(self.state, pending=pending))

    def confirm(self, pending: Pending) -> None:
        """Let the new image be the one that runs."""
        running = self.running(pending.image_name)
        new = Running(_other(running.slot), pending.version)
        self._keep(pending.image_name, new, replace(pending, phase=Phase.CONFIRMED))

    def forget(self) -> None:
        """No update is on its way any more; what was downloaded of it and does not run is gone."""
        pending = self.state.pending
        if pending is not None and pending.phase is not Phase.CONFIRMED:
            for path in (self.new_image_path(pending.image_name), *self._part_paths(pending.image_name)):
                path.unlink(missing_ok=True)
        self.save(None)

    def flash(self, certificate_id: str, *, is_fresh: bool = False) -> bool:
        """Be the device that has this certificate; whether it was flashed anew for that, as from the factory.

        The certificate is part of the firmware, so a device with another one has been flashed since.
        """
        is_new = is_fresh or self.state.certificate_id not in ("", certificate_id)
        if is_new:
            self.reset()
        if self.state.certificate_id != certificate_id:
            self._write(replace(self.state, certificate_id=certificate_id))
        return is_new

    def reset(self) -> None:
        """As it came from the factory."""
        for path in self.folder_path.iterdir():
            if path.name != LOCK_FILE:
                path.unlink() if not path.is_dir() else shutil.rmtree(path)

    def image_path(self, image_name: str) -> Path:
        """The file of the slot that runs."""
        return self._slot_path(image_name, self.running(image_name).slot)

    def new_image_path(self, image_name: str) -> Path:
        """The file of the other slot."""
        return self._slot_path(image_name, _other(self.running(image_name).slot))

    @contextlib.contextmanager
    def open_download(self, image_name: str, size_bytes: int) -> Iterator[Download]:
        """The half-loaded image of the other slot, as far as it has come."""
        image_path, blocks_path = self._part_paths(image_name)
        image_path.touch()
        with image_path.open("r+b") as file:
            file.truncate(size_bytes)
            download = Download(file, size_bytes, blocks_path)
            try:
                yield download
            finally:
                download.save()

    def part_path(self, image_name: str) -> Path:
        """The file that a download is written to."""
        return self._part_paths(image_name)[0]

    def install(self, pending: Pending) -> None:
        """Let the download, which is whole and verified, be the other slot's image."""
        image_path, blocks_path = self._part_paths(pending.image_name)
        with image_path.open("rb") as file:
            os.fsync(file.fileno())
        image_path.replace(self.new_image_path(pending.image_name))
        blocks_path.unlink(missing_ok=True)
        self.save(pending)

    def _keep(self, image_name: str, running: Running, pending: Pending | None = None) -> None:
        state = self.state
        running_now = {**state.running, image_name: running}
        self._write(replace(state, running=running_now, pending=pending or state.pending))

    def _write(self, state: State) -> None:
        replace_file(self.folder_path / STATE_FILE, to_json(state), is_synced=True)

    def _slot_path(self, image_name: str, slot: str) -> Path:
        return self.folder_path / f"{_file_name(image_name)}.{slot}.bin"

    def _part_paths(self, image_name: str) -> tuple[Path, Path]:
        base = self.folder_path / f"{_file_name(image_name)}.part"
        return base, base.with_name(f"{base.name}.blocks")


def _other(slot: str) -> str:
    return SLOTS[1 - SLOTS.index(slot)]


def _file_name(image_name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", image_name)[:100]
