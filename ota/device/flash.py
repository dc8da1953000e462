"""A virtual device's flash: two slots for each image, and the state that survives a restart or a power cut.

One slot of an image holds the one that runs, the other takes the update. A new device runs the application as Arm
builds it: of that image there is only a version and no file.

The state is one small file that is replaced atomically, so that after a power cut the device continues at the last
finished step. The blocks of a download are recorded as they arrive. A power cut in the middle of a write can corrupt
the image; the signature check finds that.

Source: MCUboot's design (two slots, test, confirm, revert); versions in FreeRTOS/iot-reference-arm-corstone3xx
(``MCUBOOT_IMAGE_VERSION_NS``); AWS IoT Developer Guide, "Using AWS IoT MQTT-based file delivery in devices".
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import IO

from ota import locks
from ota.device.messages import BLOCK_BYTES, Block
from ota.errors import DeviceFailed
from ota.folders import make_private_folder
from ota.messages import shell
from ota.profiles import MODEL_FILE_NAME

FACTORY_VERSION = "0.0.10+0"
FACTORY_MODEL_VERSION = "0.0.11+0"
STATE_FILE = "state.json"
LOCK_FILE = "lock"
SLOTS = ("a", "b")


class Phase(str, Enum):
    """How far an update has come."""

    DOWNLOADING = "downloading"
    INSTALLED = "installed"  # verified and in the other slot; the device has not restarted yet
    TRIAL = "trial"  # the new image runs, and is not confirmed
    CONFIRMED = "confirmed"  # the new image stays; the cloud may not have the report yet
    REVERTED = "reverted"  # the old image runs again; the cloud may not have the report yet


@dataclass(frozen=True)
class RunningImage:
    """The slot of the image that runs, and its version as text; empty where the image has none."""

    slot: str
    version: str


@dataclass(frozen=True)
class PendingUpdate:
    """An update that is not finished.

    Attributes:
        offer_id: distinguishes this offer from every other.
        job_id: the update's job.
        image_name: the image's name on the device.
        size_bytes: the image's length.
        phase: how far the update has come.
        before: the version that ran at the installation, as text.
        updated_by: the same version as a number, as the device has reported it.
        version: the new image's version as text; empty before it is known, and where the image has none.
    """

    offer_id: str
    job_id: str
    image_name: str
    size_bytes: int
    phase: Phase = Phase.DOWNLOADING
    before: str = ""
    updated_by: int = 0
    version: str = ""


@dataclass(frozen=True)
class FlashState:
    """What survives a restart.

    Attributes:
        running: image name to the image that runs.
        pending: the update that is not finished.
        certificate_id: the certificate that is built into the firmware; empty before one is known.
    """

    running: Mapping[str, RunningImage] = field(default_factory=dict)
    pending: PendingUpdate | None = None
    certificate_id: str = ""


def is_in_use(folder_path: Path) -> bool:
    """Whether a device runs in this folder at the moment, in any process."""
    return locks.is_locked(folder_path / LOCK_FILE)


class Download:
    """An image that is being written; a file beside it has a bit for each block that is there, low bits first.

    Attributes:
        size_bytes: the image's length.
        done_bytes: how much of it is there.
    """

    def __init__(self, file: IO[bytes], size_bytes: int, blocks_path: Path) -> None:
        self._file = file
        self._blocks_path = blocks_path
        self.size_bytes = size_bytes
        self._bits = _read_bits(blocks_path, size_bytes)
        self._missing = {index for index in range(self.block_count) if not self._bits[index // 8] >> index % 8 & 1}
        self.done_bytes = size_bytes - sum(self.length_of(index) for index in self._missing)

    @property
    def block_count(self) -> int:
        """Number of blocks of the image."""
        return -(-self.size_bytes // BLOCK_BYTES)

    @property
    def done_count(self) -> int:
        """Number of blocks that are there."""
        return self.block_count - len(self._missing)

    @property
    def missing(self) -> list[int]:
        """The blocks that are not there, in order."""
        return sorted(self._missing)

    def length_of(self, index: int) -> int:
        """The length of this block; the last one may be short."""
        return min(BLOCK_BYTES, self.size_bytes - index * BLOCK_BYTES)

    def put(self, block: Block) -> bool:
        """Write a block; False, and nothing written, where it was not missing or is incomplete."""
        if block.index not in self._missing or len(block.data) != self.length_of(block.index):
            return False
        self._file.seek(block.index * BLOCK_BYTES)
        self._file.write(block.data)
        self._missing.discard(block.index)
        self._bits[block.index // 8] |= 1 << block.index % 8
        self.done_bytes += len(block.data)
        return True

    def save(self) -> None:
        """Record the blocks that are there, so that a restart resumes here."""
        self._file.flush()
        _replace_file(self._blocks_path, bytes(self._bits))


class Flash:
    """The flash of one device, in one folder. It is a context manager that locks the folder for this process."""

    def __init__(self, folder_path: Path) -> None:
        self.folder_path = folder_path
        self._lock = locks.Lock()

    def __enter__(self) -> Flash:
        """Lock the folder.

        Raises:
            DeviceFailed: another process has locked it, or it cannot be written.
        """
        try:
            make_private_folder(self.folder_path.parent)
            self.folder_path.mkdir(exist_ok=True)
            (self.folder_path / LOCK_FILE).touch()
        except OSError as error:
            raise DeviceFailed(f"The device's folder {self.folder_path} cannot be used: {error.strerror}.") from error
        try:
            self._lock = locks.take_lock_file(self.folder_path / LOCK_FILE, _never_wait, timeout_s=0)
        except locks.StillHeld:
            raise DeviceFailed(
                f"Another virtual device runs in {self.folder_path}: end that one first, because the cloud lets only "
                "one device connect with this name."
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    @property
    def state(self) -> FlashState:
        """The stored state; that of a new device where none is stored.

        Raises:
            DeviceFailed: the file cannot be read as such a state.
        """
        path = self.folder_path / STATE_FILE
        try:
            return _state_from_json(path.read_bytes())
        except FileNotFoundError:
            return FlashState()
        except (OSError, ValueError, KeyError, TypeError) as error:
            remedy = shell("rm", "-r", self.folder_path)
            raise DeviceFailed(
                f"{path} cannot be read as a device's state ({error}): ", remedy, " makes a new device.", remedy=remedy
            ) from error

    def running(self, image_name: str) -> RunningImage:
        """What runs of this image."""
        factory = FACTORY_MODEL_VERSION if image_name == MODEL_FILE_NAME else FACTORY_VERSION
        return self.state.running.get(image_name) or RunningImage(SLOTS[0], factory)

    def set_running_version(self, image_name: str, version: str) -> None:
        """Record this version as the one that runs, whatever image is in the slot."""
        self._keep(image_name, replace(self.running(image_name), version=version))

    def save(self, pending: PendingUpdate | None) -> None:
        """Record how far the update has come; None where there is none any more."""
        self._write(replace(self.state, pending=pending))

    def confirm(self, pending: PendingUpdate) -> None:
        """Make the new image the one that runs."""
        running = self.running(pending.image_name)
        new = RunningImage(_other(running.slot), pending.version)
        self._keep(pending.image_name, new, replace(pending, phase=Phase.CONFIRMED))

    def drop_pending(self) -> None:
        """Forget the pending update, and delete what was downloaded of it and does not run."""
        pending = self.state.pending
        if pending is not None and pending.phase is not Phase.CONFIRMED:
            for path in (self.new_image_path(pending.image_name), *self._part_paths(pending.image_name)):
                path.unlink(missing_ok=True)
        self.save(None)

    def assign_certificate(self, certificate_id: str, *, is_fresh: bool = False) -> bool:
        """Record the device's certificate; True where that reset the device to its factory state.

        The certificate is part of the firmware, so a device with another one has been flashed since.
        """
        is_new = is_fresh or self.state.certificate_id not in ("", certificate_id)
        if is_new:
            self.reset()
        if self.state.certificate_id != certificate_id:
            self._write(replace(self.state, certificate_id=certificate_id))
        return is_new

    def reset(self) -> None:
        """Restore the factory state."""
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
        """Open the image of the other slot for writing, with the blocks that are already there."""
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

    def install(self, pending: PendingUpdate) -> None:
        """Move the complete and verified download into the other slot."""
        image_path, blocks_path = self._part_paths(pending.image_name)
        with image_path.open("rb") as file:
            os.fsync(file.fileno())
        image_path.replace(self.new_image_path(pending.image_name))
        blocks_path.unlink(missing_ok=True)
        self.save(pending)

    def _keep(self, image_name: str, running: RunningImage, pending: PendingUpdate | None = None) -> None:
        state = self.state
        running_now = {**state.running, image_name: running}
        self._write(replace(state, running=running_now, pending=pending or state.pending))

    def _write(self, state: FlashState) -> None:
        content = json.dumps(asdict(state), indent=2).encode()
        _replace_file(self.folder_path / STATE_FILE, content, is_synced=True)

    def _slot_path(self, image_name: str, slot: str) -> Path:
        return self.folder_path / f"{_file_name(image_name)}.{slot}.bin"

    def _part_paths(self, image_name: str) -> tuple[Path, Path]:
        base = self.folder_path / f"{_file_name(image_name)}.part"
        return base, base.with_name(f"{base.name}.blocks")


def _state_from_json(content: bytes) -> FlashState:
    """The state in a file; ValueError, KeyError or TypeError where it is none."""
    told = json.loads(content)
    pending = told["pending"]
    return FlashState(
        {name: RunningImage(**one) for name, one in told["running"].items()},
        PendingUpdate(**{**pending, "phase": Phase(pending["phase"])}) if pending else None,
        str(told["certificate_id"]),
    )


def _read_bits(path: Path, size_bytes: int) -> bytearray:
    """The recorded blocks; none where the record does not fit the image's length."""
    length = -(-size_bytes // (8 * BLOCK_BYTES))
    found = path.read_bytes() if path.exists() else b""
    return bytearray(found if len(found) == length else length)


def _replace_file(path: Path, content: bytes, *, is_synced: bool = False) -> None:
    """Replace the file's content atomically."""
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("wb") as file:
        file.write(content)
        if is_synced:
            file.flush()
            os.fsync(file.fileno())
    fresh.replace(path)


def _never_wait(_: locks.Holder) -> None:
    """Another device in the same folder is an error at once."""


def _other(slot: str) -> str:
    return SLOTS[1 - SLOTS.index(slot)]


def _file_name(image_name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", image_name)[:100]
