"""Thousands of devices: keys made side by side, calls and memory that stay small, all of it gone again."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ota.certificates import keys
from ota.certificates.files import CertificateFiles
from ota.fleet.signing_requests import KeyWork, make_signing_requests, public_key_of_request
from tests.fleet.fleet_world import open_fleet, rows
from tests.peak_memory import run_measured
from tests.sandbox_control import Control

MOST_BYTES = 300 * 1024 * 1024
MANY = 10_000
MOST_SECONDS = 60.0


def works(folder_path: Path, count: int) -> list[KeyWork]:
    def files(name: str) -> CertificateFiles:
        return CertificateFiles(*(folder_path / name / one for one in ("private", "public", "certificate")))

    return [KeyWork(name, files(name)) for name in rows(count)]


@pytest.mark.parametrize("kind", [keys.EC_P256, keys.RSA_2048])
def test_processes_make_keys_in_order_and_use_those_that_are_there(tmp_path: Path, kind: str) -> None:
    asked = works(tmp_path, 3)
    before = keys.create_private_key(asked[1].files.private_key_path, kind)
    made = list(make_signing_requests(asked, kind, processes=2))
    assert [(one.thing_name, one.problem) for one in made] == [(name, "") for name in rows(3)]
    for work, one in zip(asked, made, strict=True):
        key = keys.find_private_key(work.files.private_key_path)
        assert key is not None
        assert public_key_of_request(one.csr) == keys.public_key_bytes(key.public_key())
        assert work.files.private_key_path.stat().st_mode & 0o777 == 0o600
    assert public_key_of_request(made[1].csr) == keys.public_key_bytes(before.public_key())


def test_a_key_that_cannot_be_used_is_told_and_does_not_stop_the_others(tmp_path: Path) -> None:
    asked = works(tmp_path, 2)
    asked[0].files.private_key_path.parent.mkdir()
    asked[0].files.private_key_path.write_text("no key")
    broken, good = make_signing_requests(asked, keys.EC_P256)
    assert "is not a private key in PEM form" in str(broken.problem)
    assert good.csr


@pytest.mark.long
def test_ten_thousand_keys_take_less_than_a_minute_on_two_cores(tmp_path: Path) -> None:
    """By the clock, or where the machine does other things too by the time that the processors spent on it."""
    begun, before = time.monotonic(), os.times()
    count = sum(1 for one in make_signing_requests(works(tmp_path, MANY), keys.EC_P256, processes=2) if one.csr)
    took_s, after = time.monotonic() - begun, os.times()
    spent_s = sum(after[:4]) - sum(before[:4])
    assert count == MANY
    assert min(took_s, spent_s / 2) < MOST_SECONDS, (took_s, spent_s)


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.parametrize("count", [2_000])
def test_memory_is_flat_and_calls_are_few(
    control: Control, tmp_path: Path, kept_clients: Callable[[str], Any], count: int
) -> None:
    fleet = open_fleet(tmp_path / "project", control.address, kept_clients)
    fleet.write(*rows(count))
    fleet.project.run_here("bucket").done()
    control.clear_calls()
    for line, most_calls in (
        ("register --file devices.csv", 12 + 1 + count // 100),  # and one for the policy, which is new
        ("register --file devices.csv", 12 + count // 100),
        ("clean --local", 7 * count),
    ):
        result, peak_bytes = run_measured(fleet.project.root_path, fleet.project.environ, *line.split())
        result.done()
        assert peak_bytes < MOST_BYTES, line
        made = Counter(control.operations(clear=True))
        assert sum(made.values()) <= most_calls, made
    assert fleet.names() == []
    assert not fleet.folder_path.exists()
