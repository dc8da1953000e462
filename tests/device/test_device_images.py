"""The flash of a virtual device: slots, what it remembers, and a download that goes on."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from ota.device.images import FACTORY_VERSION, STATE_FILE, Store
from ota.device.memory import Pending, Phase, Running
from ota.device.messages import Block
from ota.errors import DeviceFailed

NAME = "non_secure image"
PENDING = Pending("offer", "job", NAME, 10_000, Phase.INSTALLED, FACTORY_VERSION, 0, "0.0.20+20")
BLOCKS = [Block(0, b"a" * 4096), Block(1, b"b" * 4096), Block(2, b"c" * 1808)]
CONTENT = b"".join(block.data for block in BLOCKS)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    with Store(tmp_path / "my lamp") as store:
        yield store


def load(store: Store, *blocks: Block) -> None:
    with store.open_download(NAME, 10_000) as download:
        for block in blocks:
            assert download.put(block)


def test_a_new_device_runs_the_factory_s_version_and_has_no_update(store: Store) -> None:
    assert store.running(NAME) == Running("a", FACTORY_VERSION)
    assert store.state.pending is None


def test_what_it_remembers_is_there_after_a_restart(store: Store) -> None:
    store.save(PENDING)
    assert Store(store.folder_path).state.pending == PENDING


def test_an_update_becomes_what_runs_in_one_step(store: Store) -> None:
    load(store, *BLOCKS)
    store.install(PENDING)
    assert store.running(NAME).version == FACTORY_VERSION
    assert store.new_image_path(NAME).read_bytes() == CONTENT
    store.confirm(PENDING)
    assert store.running(NAME) == Running("b", "0.0.20+20")
    assert store.image_path(NAME).read_bytes() == CONTENT
    assert store.state.pending == replace(PENDING, phase=Phase.CONFIRMED)
    store.forget()
    assert store.state.pending is None
    assert store.image_path(NAME).exists()


def test_an_update_that_was_not_confirmed_leaves_nothing(store: Store) -> None:
    load(store, *BLOCKS)
    store.install(PENDING)
    load(store, BLOCKS[0])
    store.forget()
    assert {path.name for path in store.folder_path.iterdir()} == {"lock", STATE_FILE}


def test_a_download_goes_on_with_the_blocks_that_are_missing(store: Store) -> None:
    load(store, BLOCKS[2], BLOCKS[0])
    with store.open_download(NAME, 10_000) as download:
        assert (download.missing, download.done_count, download.done_bytes) == ([1], 2, 5904)
        assert download.put(BLOCKS[1])
        assert download.missing == []
    assert store.part_path(NAME).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "block",
    [BLOCKS[0], Block(3, b""), Block(-1, b"x" * 4096), Block(1, b"short")],
    ids=["twice", "past", "before", "short"],
)
def test_a_block_that_is_not_missing_or_not_whole_is_not_taken(store: Store, block: Block) -> None:
    load(store, BLOCKS[0])
    with store.open_download(NAME, 10_000) as download:
        assert not download.put(block)
        assert download.missing == [1, 2]


@pytest.mark.parametrize(("size_bytes", "count", "last"), [(1, 1, 1), (4096, 1, 4096), (8192, 2, 4096), (8193, 3, 1)])
def test_the_last_block_may_be_short(store: Store, size_bytes: int, count: int, last: int) -> None:
    with store.open_download(NAME, size_bytes) as download:
        assert (download.block_count, download.length_of(count - 1)) == (count, last)


def test_a_note_that_does_not_fit_the_image_counts_for_nothing(store: Store) -> None:
    load(store, *BLOCKS)
    with store.open_download(NAME, 50_000) as download:
        assert download.done_count == 0


def test_a_reset_device_is_as_from_the_factory(store: Store) -> None:
    load(store, *BLOCKS)
    store.install(PENDING)
    store.confirm(PENDING)
    (store.folder_path / "folder").mkdir()
    store.reset()
    assert store.running(NAME) == Running("a", FACTORY_VERSION)
    assert [path.name for path in store.folder_path.iterdir()] == ["lock"]


def test_another_certificate_means_that_it_was_flashed_anew(store: Store) -> None:
    assert not store.flash("first")
    store.pretend(NAME, "0.0.20+20")
    assert not store.flash("first")
    assert store.running(NAME).version == "0.0.20+20"
    assert store.flash("second")
    assert store.running(NAME).version == FACTORY_VERSION
    assert not store.flash("second")
    assert store.flash("second", is_fresh=True)


def test_two_processes_cannot_be_the_same_device(store: Store) -> None:
    with pytest.raises(DeviceFailed, match="Another virtual device"), Store(store.folder_path):
        pass


def test_the_folder_is_free_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with Store(tmp_path) as store:
            store.save(None)


@pytest.mark.parametrize("text", ["{", "[]", '{"running": {}}', json.dumps({"running": {"x": {}}, "pending": None})])
def test_a_memory_that_cannot_be_read_is_said(store: Store, text: str) -> None:
    (store.folder_path / STATE_FILE).write_text(text)
    with pytest.raises(DeviceFailed, match=re.escape(f"`rm -r {shlex.quote(str(store.folder_path))}`")):
        store.running(NAME)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DeviceFailed, match="cannot be used"), Store(tmp_path / "file" / "lamp"):
        pass


def test_names_of_images_become_names_of_files(store: Store) -> None:
    assert store.image_path("../../etc/pass wd").parent == store.folder_path
