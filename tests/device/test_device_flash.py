"""The flash of a virtual device: slots, what it remembers, and a download that goes on."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from ota.device.flash import FACTORY_VERSION, STATE_FILE, Flash, PendingUpdate, Phase, RunningImage
from ota.device.messages import Block
from ota.errors import DeviceFailed

NAME = "non_secure image"
PENDING = PendingUpdate("offer", "job", NAME, 10_000, Phase.INSTALLED, FACTORY_VERSION, 0, "0.0.20+20")
BLOCKS = [Block(0, b"a" * 4096), Block(1, b"b" * 4096), Block(2, b"c" * 1808)]
CONTENT = b"".join(block.data for block in BLOCKS)


@pytest.fixture
def flash(tmp_path: Path) -> Flash:
    with Flash(tmp_path / "my lamp") as flash:
        yield flash


def load(flash: Flash, *blocks: Block) -> None:
    with flash.open_download(NAME, 10_000) as download:
        for block in blocks:
            assert download.put(block)


def test_a_new_device_runs_the_factory_s_version_and_has_no_update(flash: Flash) -> None:
    assert flash.running(NAME) == RunningImage("a", FACTORY_VERSION)
    assert flash.state.pending is None


def test_what_it_remembers_is_there_after_a_restart(flash: Flash) -> None:
    flash.save(PENDING)
    assert Flash(flash.folder_path).state.pending == PENDING


def test_an_update_becomes_what_runs_in_one_step(flash: Flash) -> None:
    load(flash, *BLOCKS)
    flash.install(PENDING)
    assert flash.running(NAME).version == FACTORY_VERSION
    assert flash.new_image_path(NAME).read_bytes() == CONTENT
    flash.confirm(PENDING)
    assert flash.running(NAME) == RunningImage("b", "0.0.20+20")
    assert flash.image_path(NAME).read_bytes() == CONTENT
    assert flash.state.pending == replace(PENDING, phase=Phase.CONFIRMED)
    flash.drop_pending()
    assert flash.state.pending is None
    assert flash.image_path(NAME).exists()


def test_an_update_that_was_not_confirmed_leaves_nothing(flash: Flash) -> None:
    load(flash, *BLOCKS)
    flash.install(PENDING)
    load(flash, BLOCKS[0])
    flash.drop_pending()
    assert {path.name for path in flash.folder_path.iterdir()} == {"lock", STATE_FILE}


def test_a_download_goes_on_with_the_blocks_that_are_missing(flash: Flash) -> None:
    load(flash, BLOCKS[2], BLOCKS[0])
    with flash.open_download(NAME, 10_000) as download:
        assert (download.missing, download.done_count, download.done_bytes) == ([1], 2, 5904)
        assert download.put(BLOCKS[1])
        assert download.missing == []
    assert flash.part_path(NAME).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "block",
    [BLOCKS[0], Block(3, b""), Block(-1, b"x" * 4096), Block(1, b"short")],
    ids=["twice", "past", "before", "short"],
)
def test_a_block_that_is_not_missing_or_not_whole_is_not_taken(flash: Flash, block: Block) -> None:
    load(flash, BLOCKS[0])
    with flash.open_download(NAME, 10_000) as download:
        assert not download.put(block)
        assert download.missing == [1, 2]


@pytest.mark.parametrize(("size_bytes", "count", "last"), [(1, 1, 1), (4096, 1, 4096), (8192, 2, 4096), (8193, 3, 1)])
def test_the_last_block_may_be_short(flash: Flash, size_bytes: int, count: int, last: int) -> None:
    with flash.open_download(NAME, size_bytes) as download:
        assert (download.block_count, download.length_of(count - 1)) == (count, last)


def test_a_note_that_does_not_fit_the_image_counts_for_nothing(flash: Flash) -> None:
    load(flash, *BLOCKS)
    with flash.open_download(NAME, 50_000) as download:
        assert download.done_count == 0


def test_a_reset_device_is_as_from_the_factory(flash: Flash) -> None:
    load(flash, *BLOCKS)
    flash.install(PENDING)
    flash.confirm(PENDING)
    (flash.folder_path / "folder").mkdir()
    flash.reset()
    assert flash.running(NAME) == RunningImage("a", FACTORY_VERSION)
    assert [path.name for path in flash.folder_path.iterdir()] == ["lock"]


def test_another_certificate_means_that_it_was_flashed_anew(flash: Flash) -> None:
    assert not flash.assign_certificate("first")
    flash.set_running_version(NAME, "0.0.20+20")
    assert not flash.assign_certificate("first")
    assert flash.running(NAME).version == "0.0.20+20"
    assert flash.assign_certificate("second")
    assert flash.running(NAME).version == FACTORY_VERSION
    assert not flash.assign_certificate("second")
    assert flash.assign_certificate("second", is_fresh=True)


def test_two_processes_cannot_be_the_same_device(flash: Flash) -> None:
    with pytest.raises(DeviceFailed, match="Another virtual device"), Flash(flash.folder_path):
        pass


def test_the_folder_is_free_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with Flash(tmp_path) as flash:
            flash.save(None)


@pytest.mark.parametrize("text", ["{", "[]", '{"running": {}}', json.dumps({"running": {"x": {}}, "pending": None})])
def test_a_memory_that_cannot_be_read_is_said(flash: Flash, text: str) -> None:
    (flash.folder_path / STATE_FILE).write_text(text)
    with pytest.raises(DeviceFailed, match=re.escape(f"`rm -r {shlex.quote(str(flash.folder_path))}`")):
        flash.running(NAME)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DeviceFailed, match="cannot be used"), Flash(tmp_path / "file" / "lamp"):
        pass


def test_names_of_images_become_names_of_files(flash: Flash) -> None:
    assert flash.image_path("../../etc/pass wd").parent == flash.folder_path
