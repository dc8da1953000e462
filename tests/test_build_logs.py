"""The build's log: for its owner only, in a file of its own, and never longer than it may be."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ota.build_logs import open_log
from ota.errors import FirmwareError


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
    assert error.value.remedy == f"mv {path} {path}.old"
    assert [one.read_text() for one in [other] if one.exists()] == (["somebody's"] if kind == "link" else [])
