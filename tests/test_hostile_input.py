"""Files that a user can have, with anything in them: each is read, or refused with an error that a user can read.

What is in them is arbitrary: control characters, bytes that are no text, huge values, and what looks nearly right.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ota.environment import build_environment, check_pairs, checked_endpoint, checked_region, load_environment
from ota.errors import OtaError
from ota.firmware.header_notes import read_notes
from ota.firmware.header_texts import read_values, set_values
from ota.firmware.signatures import decode_signature, read_signature, signature_text
from ota.fleet.device_lists import failed_text, read_device_list
from ota.profiles import AWS_CLIENT_CREDENTIAL
from ota.settings.formatter import format_text
from ota.settings.settings import load_settings
from ota.settings.table import SETTINGS

ANY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LONG = 20_000
# Letters that mean something to one of the readers, among any others.
MARKS = st.sampled_from(
    [*"${}<>|\"'=\\,;#\r\n\t\0\x1b\x7f ", "${", "{", "thing_name", "csr", "é", "\ud7ff", "\u202e", "{lower}"]
)
TEXTS = st.one_of(st.text(max_size=200), st.lists(MARKS, max_size=40).map("".join), st.just("x" * LONG))
BYTES = st.one_of(st.binary(max_size=300), TEXTS.map(lambda text: text.encode()))
SCALARS = st.one_of(TEXTS, st.none(), st.booleans(), st.integers(), st.floats())
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))
SETTING_NAMES = st.sampled_from([*SETTINGS, *(f"{name}_DEFAULT" for name in SETTINGS)])
HEADER = b"".join(
    f'#define {one.define} "a"\n'.encode() for one in (AWS_CLIENT_CREDENTIAL.endpoint, AWS_CLIENT_CREDENTIAL.thing_name)
)


@pytest.fixture(scope="module")
def folder() -> Path:
    return Path(tempfile.mkdtemp())


def is_read_or_refused(read: Callable[[], object]) -> None:
    """Whatever is read, the only error is one with a sentence."""
    said = "read"
    try:
        read()
    except OtaError as error:
        said = str(error)
    assert said.strip()


@ANY
@given(text=TEXTS, values=st.dictionaries(st.sampled_from(["thing_name", "role_prefix"]), TEXTS))
def test_any_text_is_formatted_or_refused(text: str, values: dict[str, str]) -> None:
    is_read_or_refused(lambda: format_text(text, values))


@ANY
@given(data=BYTES | JSON.map(lambda one: json.dumps(one).encode()))
def test_any_bytes_are_settings_or_refused(data: bytes, folder: Path) -> None:
    (folder / "config.json").write_bytes(data)
    is_read_or_refused(lambda: load_settings(folder, environ={}))


@ANY
@given(written=st.dictionaries(SETTING_NAMES, JSON, max_size=6))
def test_any_values_are_settings_or_refused(written: dict[str, object], folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"thing_name": "lamp", **written}))
    is_read_or_refused(lambda: load_settings(folder, environ={}, account_id="123456789012"))


@ANY
@given(data=BYTES | st.lists(st.tuples(st.sampled_from(["AWS_REGION", "A"]), TEXTS), max_size=4).map(
    lambda lines: "".join(f"{name}={value}\n" for name, value in lines).encode()
))  # fmt: skip
def test_any_bytes_are_an_environment_or_refused(data: bytes, folder: Path) -> None:
    (folder / ".env").write_bytes(data)
    before = dict(os.environ)
    try:
        is_read_or_refused(lambda: load_environment(folder))
        is_read_or_refused(lambda: check_pairs(os.environ))
        build_environment(os.environ, from_file=(), passed_on=())
    finally:
        os.environ.clear()
        os.environ.update(before)


@ANY
@given(text=TEXTS)
def test_any_text_is_a_region_or_an_endpoint_or_refused(text: str) -> None:
    is_read_or_refused(lambda: checked_region(text))
    is_read_or_refused(lambda: checked_endpoint({"AWS_ENDPOINT_URL": text}))


@ANY
@given(before=BYTES, after=BYTES, values=st.tuples(TEXTS, TEXTS))
def test_any_header_is_read_and_written_or_refused(before: bytes, after: bytes, values: tuple[str, str]) -> None:
    data = before + HEADER + after
    is_read_or_refused(lambda: read_values(data, AWS_CLIENT_CREDENTIAL))
    is_read_or_refused(lambda: set_values(data, AWS_CLIENT_CREDENTIAL, values))


@ANY
@given(data=BYTES)
def test_any_bytes_are_a_signature_or_refused(data: bytes, folder: Path) -> None:
    path = folder / "image.sign"
    path.write_bytes(data)
    is_read_or_refused(lambda: decode_signature(signature_text(read_signature(path))))


@ANY
@given(data=BYTES | st.lists(TEXTS, max_size=5).map(lambda rows: "\n".join(["thing_name,csr,a", *rows]).encode())
       | JSON.map(lambda one: json.dumps(one).encode()), suffix=st.sampled_from([".csv", ".jsonl"]))  # fmt: skip
def test_any_bytes_are_a_list_of_devices_or_refused(data: bytes, suffix: str, folder: Path) -> None:
    path = folder / f"devices{suffix}"
    path.write_bytes(data)

    def read() -> None:
        listed = read_device_list(path)
        failed_text(listed, listed.devices)

    is_read_or_refused(read)


@ANY
@given(data=BYTES | JSON.map(lambda one: json.dumps(one).encode()))
def test_any_bytes_are_notes_or_refused(data: bytes, folder: Path) -> None:
    path = folder / "headers.json"
    path.write_bytes(data)
    is_read_or_refused(lambda: read_notes(path))
