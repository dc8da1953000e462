"""The build's log: for its owner only, in a file of its own, and never longer than it may be."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ota.errors import FirmwareError
from ota.firmware.scripts import FIRST_BYTES, LAST_BYTES, open_log
from ota.messages import shell


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
def test_only_its_owner_can_read_it_whatever_was_there_before(tmp_path: Path) -> None:
    new, old = tmp_path / "logs/build.log", tmp_path / "build.log"
    old.write_text("of a build before\n")
    old.chmod(0o644)
    for path in (new, old):
        with open_log(path) as log:
            assert mode_of(path) == 0o600
            log.write("of this build\n")
        assert (mode_of(path), path.read_text()) == (0o600, "of this build\n")


@pytest.mark.parametrize("kind", ["link", "dangling link", "folder", "pipe"])
def test_something_else_in_its_place_is_named_and_left(tmp_path: Path, kind: str) -> None:
    path, other = tmp_path / "build.log", tmp_path / "other"
    if kind == "link":
        other.write_text("somebody's")
    if "link" in kind:
        path.symlink_to(other)
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    with pytest.raises(FirmwareError, match=r"build\.log is (a link|a folder|no file), .*; move it away") as error:
        open_log(path)
    assert error.value.remedy == shell("mv", path, f"{path}.old")
    assert [one.read_text() for one in [other] if one.exists()] == (["somebody's"] if kind == "link" else [])


def test_of_a_long_log_the_first_and_the_last_lines_stay(tmp_path: Path) -> None:
    path, line = tmp_path / "build.log", "ä line of the build\n"
    count = 5 * (FIRST_BYTES + LAST_BYTES) // len(line)
    most_bytes = 0
    with open_log(path) as log:
        for start in range(0, count, 1000):
            log.write("".join(f"{number} {line}" for number in range(start, start + 1000)))
            most_bytes = max(most_bytes, path.stat().st_size)
    assert most_bytes < FIRST_BYTES + 3 * LAST_BYTES
    lines = path.read_text(encoding="utf-8").splitlines()
    (cut,) = [place for place, text in enumerate(lines) if "left out" in text]
    left_out_bytes = int(re.sub(r"\D", "", lines[cut]))
    assert lines[0] == "0 ä line of the build"
    assert lines[cut - 2] == f"{cut - 2} ä line of the build"
    assert len("\n".join(lines[: cut - 1]).encode()) >= FIRST_BYTES - (64 << 10)
    last = int(lines[-1].split()[0])
    assert [int(text.split()[0]) for text in lines[cut + 2 :]] == list(range(last - len(lines) + cut + 3, last + 1))
    all_bytes = sum(len(f"{number} {line}".encode()) for number in range(last + 1))
    assert path.stat().st_size - len(f"\n{lines[cut]}\n".encode()) + left_out_bytes == all_bytes
