"""What one reading of an image gives, and what it costs."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ota.errors import FirmwareError
from ota.images import read_image

REPOSITORY_PATH = Path(__file__).parents[1]
LARGE_BYTES = 200 << 20
MOST_GROWTH_BYTES = 40 << 20


def test_an_image_longer_than_one_read_is_hashed_whole(tmp_path: Path) -> None:
    path, data = tmp_path / "image.bin", os.urandom(3 << 20) + b"end"
    path.write_bytes(data)
    image = read_image(path)
    assert (image.size_bytes, image.front) == (len(data), data[:64])
    for name in ("SHA256", "SHA1"):
        assert image.digest(name) == hashlib.new(name, data).digest()
    assert image.sha256 == hashlib.sha256(data).hexdigest()


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(FirmwareError, match=re.escape(f"the image {tmp_path}/none cannot be read: No such file")):
        read_image(tmp_path / "none")


def test_a_large_image_is_never_in_memory_whole(tmp_path: Path) -> None:
    path = tmp_path / "image.bin"
    with path.open("wb") as file:
        file.truncate(LARGE_BYTES)
    program = (
        "import resource, sys; from pathlib import Path; from ota.images import read_image\n"
        "unit_bytes = 1 if sys.platform == 'darwin' else 1024\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit_bytes\n"
        f"before = peak(); image = read_image(Path({str(path)!r})); print(image.size_bytes, peak() - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY_PATH, capture_output=True, text=True, check=True
    )
    size_bytes, growth_bytes = map(int, done.stdout.split())
    assert size_bytes == LARGE_BYTES
    assert growth_bytes < MOST_GROWTH_BYTES
