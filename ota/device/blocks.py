"""An image on its way into a slot: which of its blocks are there, noted so that a restart goes on from here.

The blocks of a download are noted as they come; should the image be spoilt by a cut in the middle of a write, its
signature tells.

Source: AWS IoT Developer Guide, "Using AWS IoT MQTT-based file delivery in devices".
"""

from __future__ import annotations

from pathlib import Path
from typing import IO

from ota.device.memory import replace_file
from ota.device.messages import BLOCK_BYTES, Block


class Download:
    """An image on its way into a slot; its note has a bit for each block that is there, low bits first.

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
        """How many blocks the image has."""
        return -(-self.size_bytes // BLOCK_BYTES)

    @property
    def done_count(self) -> int:
        """How many of them are there."""
        return self.block_count - len(self._missing)

    @property
    def missing(self) -> list[int]:
        """The blocks that are not there, in order."""
        return sorted(self._missing)

    def length_of(self, index: int) -> int:
        """How long this block is; the last one may be short."""
        return min(BLOCK_BYTES, self.size_bytes - index * BLOCK_BYTES)

    def put(self, block: Block) -> bool:
        """Write a block; whether it was one that was missing."""
        if block.index not in self._missing or len(block.data) != self.length_of(block.index):
            return False
        self._file.seek(block.index * BLOCK_BYTES)
        self._file.write(block.data)
        self._missing.discard(block.index)
        self._bits[block.index // 8] |= 1 << block.index % 8
        self.done_bytes += len(block.data)
        return True

    def save(self) -> None:
        """Note what is there, so that a restart goes on from here."""
        self._file.flush()
        replace_file(self._blocks_path, bytes(self._bits))


def _read_bits(path: Path, size_bytes: int) -> bytearray:
    """The note of the blocks that are there; an empty one where it does not fit the image."""
    length = -(-size_bytes // (8 * BLOCK_BYTES))
    found = path.read_bytes() if path.exists() else b""
    return bytearray(found if len(found) == length else length)
