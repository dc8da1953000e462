"""A header made from a template: what somebody else wrote is kept, and ``clean`` leaves what was there before."""

from __future__ import annotations

from pathlib import Path

import pytest

from ota.errors import FirmwareError
from ota.firmware.header_templates import (
    NOTES_NAME,
    MadeHeader,
    decide_header,
    find_data,
    find_note,
    make_header,
    wanted_header,
)
from ota.firmware.headers import find_returns, put_back
from ota.outcomes import Action, Verb
from ota.settings.settings import load_settings

ACCOUNT, OTHER_ACCOUNT = "123456789012 eu-west-1", "sandbox 123456789012 eu-west-1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "firmware/config/lamp.json"


def notes_of(path: Path) -> Path:
    return path.parents[2] / ".ota/headers.json"


def make(path: Path, name: str, account: str = ACCOUNT, *, answer: bool | None = None, may: bool | None = None) -> Verb:
    """What the tool does: look, decide, and carry it out; ``answer`` is given where it asks."""

    def confirm(question: str) -> bool:
        assert answer is not None, question
        return answer

    wanted = MadeHeader(path, f"of {name}".encode(), name)
    change = decide_header(find_data(path), wanted, find_note(notes_of(path), path), may_replace=may)
    return make_header(change, account, notes_path=notes_of(path), confirm=confirm).verb


def test_a_new_one_is_made_used_again_and_deleted(path: Path) -> None:
    assert [make(path, "a"), make(path, "a"), make(path, "b")] == [Verb.CREATED, Verb.REUSED, Verb.CHANGED]
    assert path.read_text() == "of b"
    assert put_back(notes_of(path), "a", ACCOUNT) == []
    assert put_back(notes_of(path), "b", OTHER_ACCOUNT) == []
    (found,) = find_returns(notes_of(path), "b", ACCOUNT).values()
    (outcome,) = put_back(notes_of(path), "b", ACCOUNT)
    assert (found.action, outcome.verb, path.exists()) == (Action.DELETE, Verb.DELETED, False)
    assert not notes_of(path).with_name(NOTES_NAME).exists()


def test_one_of_somebody_else_s_is_kept_until_they_agree_and_put_back(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"by hand \xff\r\n")
    path.chmod(0o640)
    with pytest.raises(FirmwareError, match=r"lamp\.json was written by somebody else and is kept"):
        make(path, "a", may=False)
    with pytest.raises(FirmwareError, match="is kept"):
        make(path, "a", answer=False)
    assert path.read_bytes() == b"by hand \xff\r\n"
    assert make(path, "a", answer=True) is Verb.CHANGED
    assert make(path, "b", may=True) is Verb.CHANGED
    (outcome,) = put_back(notes_of(path), "b", ACCOUNT)
    assert (outcome.verb, path.read_bytes(), path.stat().st_mode & 0o777) == (
        Verb.CHANGED,
        b"by hand \xff\r\n",
        0o640,
    )


def test_what_was_changed_since_stays(path: Path) -> None:
    make(path, "a")
    path.write_text("by hand")
    (outcome,) = put_back(notes_of(path), "a", ACCOUNT)
    assert (outcome.verb, path.read_text()) == (Verb.SKIPPED, "by hand")
    path.unlink()
    (outcome,) = put_back(notes_of(path), "a", ACCOUNT)
    assert outcome.verb is Verb.ABSENT


def test_one_that_is_written_between_look_and_change_is_kept(path: Path) -> None:
    wanted = MadeHeader(path, b"of a", "a")
    change = decide_header(None, wanted, find_note(notes_of(path), path), may_replace=True)
    path.parent.mkdir(parents=True)
    path.write_text("by hand")
    with pytest.raises(FirmwareError, match="is kept"):
        make_header(change, ACCOUNT, notes_path=notes_of(path), confirm=lambda _: True)
    assert path.read_text() == "by hand"


TEMPLATES = {
    "unknown": (b"$<endpont>", r'header\.in: .*"\$<endpont>" refers to no setting; write "\$<endpoint>"'),
    "open": (b"\n$<endpoint", r"(?s)header\.in: .*is not closed"),
    "not UTF-8": (b"\xff", r"header\.in is not UTF-8 \(byte 1\)"),
    "missing": (None, r"header\.in \(header_template\) cannot be read: No such file"),
}


@pytest.mark.parametrize(("data", "words"), TEMPLATES.values(), ids=TEMPLATES)
def test_a_template_that_cannot_be_used_is_named(tmp_path: Path, data: bytes | None, words: str) -> None:
    if data is not None:
        (tmp_path / "header.in").write_bytes(data)
    (tmp_path / "config.json").write_text(
        '{"thing_name": "lamp", "header_template": "header.in", "header_path": "lamp.h", "build_command": "make"}'
    )
    with pytest.raises(FirmwareError, match=words):
        wanted_header(load_settings(tmp_path, environ={}), "a-ats.iot.eu-west-1.amazonaws.com")


def test_paths_in_it_are_absolute(tmp_path: Path) -> None:
    (tmp_path / "header.in").write_text('{"key": "$<private_key_path>", "at": "$<endpoint>:$<region>"}')
    (tmp_path / "config.json").write_text(
        '{"thing_name": "lamp", "header_template": "header.in", "header_path": "lamp.json", "build_command": "make"}'
    )
    wanted = wanted_header(load_settings(tmp_path, environ={}, region="eu-west-1"), "a.b")
    key_path = tmp_path / "certificates/thing_private_key_lamp.pem.key"
    assert wanted.data.decode() == f'{{"key": "{key_path}", "at": "a.b:eu-west-1"}}'
