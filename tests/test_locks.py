"""A lock file never does harm: where there can be none, the run goes on."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from ota.locks import Holder, StillHeld, is_locked, take_lock_file


def never(_: Holder) -> None:
    raise AssertionError("must not wait")


def test_a_lock_is_held_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lock"
    lock = take_lock_file(path, never, 0)
    with pytest.raises(StillHeld) as caught:
        take_lock_file(path, never, 0)
    assert caught.value.holder.pid == os.getpid()
    lock.release()
    lock.release()
    take_lock_file(path, never, 0).release()


def test_what_a_link_leads_to_is_not_written(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("mine")
    (tmp_path / "lock").symlink_to(target)
    assert take_lock_file(tmp_path / "lock", never, 0).descriptors == ()
    assert target.read_text() == "mine"


def test_where_no_lock_file_can_be_made_none_is_held(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert take_lock_file(tmp_path / "file" / "lock", never, 0).descriptors == ()


def test_where_the_file_system_has_no_locks_none_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert not is_locked(tmp_path)
    lock = take_lock_file(tmp_path / "lock", never, 0)
    assert lock.descriptors == ()
    lock.release()


@pytest.mark.parametrize("text", ["", "nonsense", "12x invoke", "\u0663 invoke"])
def test_a_lock_file_that_somebody_wrote_into_names_nobody(tmp_path: Path, text: str) -> None:
    path = tmp_path / "lock"
    lock = take_lock_file(path, never, 0)
    path.write_text(text)
    with pytest.raises(StillHeld, match=r"^another run$"):
        take_lock_file(path, never, 0)
    path.write_text("1 invoke \x1b[31mall")
    with pytest.raises(StillHeld, match=r"process 1 \(invoke \[31mall\)"):
        take_lock_file(path, never, 0)
    lock.release()
