"""Two runs in one firmware tree: one builds, the other waits, and neither takes the other's image."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ota.errors import FirmwareError
from ota.firmware.builds import Image, check_unchanged, find_image, sole_build


@pytest.fixture
def script_path(tmp_path: Path) -> Path:
    path = tmp_path / "build.sh"
    path.write_text("#!/bin/sh\n")
    return path


@pytest.fixture
def image(tmp_path: Path) -> Image:
    (tmp_path / "image.bin").write_bytes(b"mine")
    (tmp_path / "signature.txt").touch()
    found = find_image(tmp_path / "image.bin", tmp_path / "signature.txt")
    assert found is not None
    return found


def test_the_second_build_says_that_it_waits_and_begins_after_the_first(script_path: Path) -> None:
    order, waits = [], threading.Event()

    def second() -> None:
        with sole_build(script_path, waits.set, 60):
            order.append("second")

    with sole_build(script_path, lambda: order.append("must not wait"), 60):
        other = threading.Thread(target=second)
        other.start()
        assert waits.wait(5)
        order.append("first")
    other.join(5)
    assert order == ["first", "second"]


def test_builds_after_one_another_do_not_wait(script_path: Path) -> None:
    waited: list[int] = []
    for _ in range(2):
        with sole_build(script_path, lambda: waited.append(1), 60):
            pass
    assert waited == []


def test_a_script_that_is_not_there_is_for_the_build_to_tell(tmp_path: Path) -> None:
    with sole_build(tmp_path / "build.sh", lambda: None, 60):
        assert not (tmp_path / "build.sh").exists()


@pytest.mark.parametrize("other", [b"another thing's", None], ids=["changed", "gone"])
def test_an_image_that_another_run_put_there_is_refused(image: Image, other: bytes | None) -> None:
    check_unchanged(image)
    if other is None:
        image.path.unlink()
    else:
        image.path.write_bytes(other)
    with pytest.raises(FirmwareError, match=r"image\.bin is not the one that this run built"):
        check_unchanged(image)
