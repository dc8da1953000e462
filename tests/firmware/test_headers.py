"""The header's two values change, every other byte stays, and nothing put there by hand is lost unasked."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota.errors import FirmwareError
from ota.firmware.header_notes import NOTHING, find_note, read_notes
from ota.firmware.headers import (
    Header,
    decide_header,
    find_header,
    make_header,
    put_back,
    read_values,
    set_values,
)
from ota.outcomes import Action, Outcome, Verb

ENDPOINT = "a1b2c3-ats.iot.eu-west-1.amazonaws.com"
OTHER_ENDPOINT = "sandbox-ats.iot.eu-west-1.amazonaws.com"
ACCOUNT, OTHER_ACCOUNT = "123456789012 eu-west-1", "sandbox 123456789012 eu-west-1"
DUMMY_ENDPOINT, DUMMY_NAME = "dummy.endpointid.amazonaws.com", "dummy_thingname"
HEADER = "applications/keyword_detection/configs/aws_configs/aws_clientcredential.h"


def text(endpoint: str = DUMMY_ENDPOINT, thing_name: str = DUMMY_NAME) -> str:
    return (
        f'/* set "{DUMMY_NAME}" below */\n'
        f'#define clientcredentialMQTT_BROKER_ENDPOINT    "{endpoint}"\n\n'
        f'#define clientcredentialIOT_THING_NAME               "{thing_name}"\n'
        "#define clientcredentialMQTT_BROKER_PORT 8883\n"
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / HEADER
    path.parent.mkdir(parents=True)
    path.write_text(text())
    return tmp_path


def nobody(question: str) -> bool:
    raise AssertionError(f"asked: {question}")


def set_up(
    tree: Path,
    confirm: Callable[[str], bool] = nobody,
    name: str = "lamp-1",
    endpoint: str = ENDPOINT,
    notes_path: Path | None = None,
) -> Outcome[Header]:
    """What the tool does where somebody can be asked: look, decide, and carry it out."""
    account = OTHER_ACCOUNT if endpoint == OTHER_ENDPOINT else ACCOUNT
    notes_path = notes_path or notes_of(tree)
    found = find_header(tree, "keyword-detection")
    assert found is not None
    wanted = Header(found.path, endpoint, name)
    change = decide_header(found, wanted, find_note(notes_path, found.path), may_replace=None)
    return make_header(change, account, notes_path=notes_path, confirm=confirm)


def notes_of(tree: Path) -> Path:
    return tree / ".ota" / "headers.json"


def put_back_all(tree: Path, name: str, account: str = "") -> list[tuple[Verb, str]]:
    return [(one.verb, one.detail) for one in put_back(notes_of(tree), name, account or ACCOUNT)]


# Text in, text out

DEFINE_ENDPOINT = b'#define clientcredentialMQTT_BROKER_ENDPOINT "%s"'
DEFINE_NAME = b'#define clientcredentialIOT_THING_NAME "%s"'


@pytest.mark.parametrize(
    "template",
    [
        pytest.param(DEFINE_ENDPOINT + b"\n" + DEFINE_NAME + b"\n", id="plain"),
        pytest.param(DEFINE_ENDPOINT + b"\r\n" + DEFINE_NAME + b"\r\n", id="CRLF"),
        pytest.param(DEFINE_ENDPOINT + b"\r" + DEFINE_NAME + b"\r", id="CR alone"),
        pytest.param(DEFINE_ENDPOINT + b"\n" + DEFINE_NAME, id="no final newline"),
        pytest.param(b"\xef\xbb\xbf" + DEFINE_ENDPOINT + b"\n" + DEFINE_NAME, id="byte order mark"),
        pytest.param(b"/* \xe9t\xe9 */\n" + DEFINE_ENDPOINT + b"// \xff\n" + DEFINE_NAME + b"\x00\n"[1:], id="latin-1"),
        pytest.param(b'\t# \tdefine\tclientcredentialMQTT_BROKER_ENDPOINT\t"%s" \t\n' + DEFINE_NAME + b"\n", id="tabs"),
        pytest.param(
            b'#define clientcredentialMQTT_BROKER_ENDPOINT \\\n    "%s"\n'
            b'#define \\\r\nclientcredentialIOT_THING_NAME "%s"\n',
            id="continued lines",
        ),
        pytest.param(
            b'#define clientcredentialMQTT_BROKER_ENDPOINT/* "no" */"%s" /* "no" */\n' + DEFINE_NAME + b' // was "x"\n',
            id="comments around the value",
        ),
        pytest.param(
            b'// #define clientcredentialIOT_THING_NAME "old"\n/*\n#define clientcredentialIOT_THING_NAME "older"\n*/\n'
            + DEFINE_ENDPOINT
            + b"\n"
            + DEFINE_NAME
            + b"\n",
            id="commented-out defines",
        ),
        pytest.param(
            b'// goes on \\\n#define clientcredentialIOT_THING_NAME "no"\n' + DEFINE_ENDPOINT + b"\n" + DEFINE_NAME,
            id="line comment that goes on",
        ),
        pytest.param(
            b'/* a */ /* b\n */ #define clientcredentialMQTT_BROKER_ENDPOINT "%s"\n' + DEFINE_NAME,
            id="directive behind comments",
        ),
        pytest.param(
            b'#define A "x" \\\n#define clientcredentialIOT_THING_NAME "no"\n#error don\'t /* stop\n'
            + DEFINE_ENDPOINT
            + b"\n"
            + DEFINE_NAME,
            id="continued define and open quote",
        ),
        pytest.param(
            b'#define URL "https://x/*"\n'
            + DEFINE_ENDPOINT
            + b"\n#define Q '\"'\n"
            + DEFINE_NAME
            + b'\n#define E "*/"\n',
            id="comment marks in strings",
        ),
        pytest.param(
            b'#define clientcredentialIOT_THING_NAME_LENGTH "no"\nint x; #define clientcredentialIOT_THING_NAME "no"\n'
            b'#define MY_clientcredentialIOT_THING_NAME "no"\n#ifndef clientcredentialIOT_THING_NAME\n'
            + DEFINE_ENDPOINT
            + b"\n"
            + DEFINE_NAME
            + b"\n#endif\n",
            id="names that only look alike",
        ),
    ],
)
def test_only_the_two_values_change(template: bytes) -> None:
    before, after = template % (b"old.endpoint", b"old-name"), template % (ENDPOINT.encode(), b"lamp-1")
    assert read_values(before) == ("old.endpoint", "old-name")
    assert set_values(before, ENDPOINT, "lamp-1") == after


def test_the_defines_may_stand_in_either_order() -> None:
    data = (DEFINE_NAME + b"\n" + DEFINE_ENDPOINT + b"\n") % (b"n", b"a-longer-endpoint")
    assert read_values(data) == ("a-longer-endpoint", "n")
    assert set_values(data, "e", "a-longer-name") == (DEFINE_NAME + b"\n" + DEFINE_ENDPOINT + b"\n") % (
        b"a-longer-name",
        b"e",
    )


NOISE = st.sampled_from(
    [
        b"",
        b"\t",
        b'#define OTHER "clientcredentialIOT_THING_NAME"',
        b'// #define clientcredentialIOT_THING_NAME "x"',
        b'/* #define clientcredentialMQTT_BROKER_ENDPOINT "x" */',
        b'/* two\r\n#define clientcredentialIOT_THING_NAME "x"\n lines */',
        b"#define clientcredentialMQTT_BROKER_PORT 8883",
        b'char *url = "http://host/*"; // don\'t',
        b"/* don't */",
        b"caf\xe9 \x80\xff",
        b"clientcredentialIOT_THING_NAME dummy_thingname",
    ]
) | st.binary(max_size=12).map(lambda raw: raw.translate(None, b"/*\"'\\\r\n#"))
LINES = st.lists(st.tuples(NOISE, st.sampled_from([b"\n", b"\r\n"])).map(b"".join), max_size=5).map(b"".join)
GAPS = st.sampled_from([b" ", b"\t", b"    ", b" \\\n ", b" /* c */ "])
VALUES = st.text(st.characters(codec="ascii", categories=["L", "N"], include_characters=":_-."), max_size=20)


@given(
    noise=st.tuples(LINES, LINES, LINES),
    gaps=st.tuples(GAPS, GAPS),
    ends=st.tuples(st.sampled_from([b"\n", b"\r\n", b" // end\n"]), st.sampled_from([b"\n", b"\r\n", b" /* x */\n"])),
    old=st.tuples(VALUES, VALUES),
    new=st.tuples(VALUES, VALUES),
)
def test_every_other_byte_survives(
    noise: tuple[bytes, bytes, bytes],
    gaps: tuple[bytes, bytes],
    ends: tuple[bytes, bytes],
    old: tuple[str, str],
    new: tuple[str, str],
) -> None:
    def header(endpoint: str, thing_name: str) -> bytes:
        first = b"#define clientcredentialMQTT_BROKER_ENDPOINT" + gaps[0] + b'"' + endpoint.encode() + b'"' + ends[0]
        second = b"#define clientcredentialIOT_THING_NAME" + gaps[1] + b'"' + thing_name.encode() + b'"' + ends[1]
        return noise[0] + first + noise[1] + second + noise[2]

    assert read_values(header(*old)) == old
    assert set_values(header(*old), *new) == header(*new)


@given(
    st.lists(
        st.sampled_from(
            [
                b"/*",
                b"*/",
                b"//",
                b'"',
                b"'",
                b"\\",
                b"\n",
                b"\r",
                b" ",
                b"x",
                DEFINE_ENDPOINT,
                DEFINE_NAME,
                b"\n",
                b"\n",
            ]
        )
    ).map(b"".join)
)
def test_whatever_the_file_setting_and_setting_back_gives_it_again(data: bytes) -> None:
    try:
        endpoint, thing_name = read_values(data)
    except FirmwareError:
        return
    changed = set_values(data, "e", "n")
    assert read_values(changed) == ("e", "n")
    if "\\" not in endpoint + thing_name:
        assert set_values(changed, endpoint, thing_name) == data


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(DEFINE_NAME, "no #define clientcredentialMQTT_BROKER_ENDPOINT", id="no endpoint"),
        pytest.param(DEFINE_ENDPOINT, "no #define clientcredentialIOT_THING_NAME", id="no thing name"),
        pytest.param(b"", "no #define", id="empty"),
        pytest.param(b"/*\n" + DEFINE_ENDPOINT + b"\n" + DEFINE_NAME, "no #define", id="comment without end"),
        pytest.param(DEFINE_ENDPOINT + b"\n" + DEFINE_NAME + b"\n/*\n*/\n" + DEFINE_NAME, r"lines 2 and 5", id="twice"),
        pytest.param(
            DEFINE_ENDPOINT + b"\n#define clientcredentialIOT_THING_NAME NAME_OF_BUILD",
            "line 2 defines clientcredentialIOT_THING_NAME, but not as one string",
            id="a macro",
        ),
        pytest.param(
            DEFINE_ENDPOINT + b'\n#define clientcredentialIOT_THING_NAME "a" "b"', "not as one string", id="two strings"
        ),
        pytest.param(
            DEFINE_ENDPOINT + b'\n#define clientcredentialIOT_THING_NAME "a', "not as one string", id="open string"
        ),
        pytest.param(
            DEFINE_ENDPOINT + b"\n#define clientcredentialIOT_THING_NAME\n", "not as one string", id="no value"
        ),
    ],
)
def test_a_header_that_cannot_be_used_says_why(data: bytes, words: str) -> None:
    with pytest.raises(FirmwareError, match=words):
        read_values(data)
    with pytest.raises(FirmwareError, match=words):
        set_values(data, ENDPOINT, "lamp-1")


@pytest.mark.parametrize("value", ['lamp"1', "lamp\\1", "lamp\n1", "lämp"])
def test_a_value_that_would_break_the_string_is_refused(value: str) -> None:
    with pytest.raises(FirmwareError, match="cannot stand in a C string"):
        set_values(text().encode(), ENDPOINT, value)


def test_a_value_that_is_not_ascii_can_be_shown() -> None:
    assert read_values(text(thing_name="l\\xe4mp").encode().replace(b"\\xe4", b"\xe4")) == (DUMMY_ENDPOINT, "l\\xe4mp")


# On disk


def test_find_reads_both_values(tree: Path) -> None:
    assert find_header(tree, "keyword-detection") == Header(tree / HEADER, DUMMY_ENDPOINT, DUMMY_NAME)


def test_an_unknown_application_is_refused(tree: Path) -> None:
    with pytest.raises(FirmwareError, match="set target_application to one of: keyword-detection"):
        find_header(tree, "x")


@pytest.mark.parametrize(
    ("may_replace", "action"), [(True, Action.CHANGE), (None, Action.ASK), (False, Action.BLOCKED)]
)
def test_values_set_by_hand_are_changed_asked_about_or_kept(
    tree: Path, may_replace: bool | None, action: Action
) -> None:
    (tree / HEADER).write_text(text(thing_name="mine"))
    found = find_header(tree, "keyword-detection")
    assert found is not None
    change = decide_header(found, Header(found.path, ENDPOINT, "lamp-1"), NOTHING, may_replace=may_replace)
    assert change.action is action
    assert (change.problem is not None) is (action is Action.BLOCKED)


def test_a_header_that_cannot_be_used_is_named(tree: Path) -> None:
    (tree / HEADER).write_text("#pragma once\n")
    with pytest.raises(FirmwareError) as error:
        set_up(tree)
    assert str(error.value).startswith(f"{tree / HEADER} cannot be used: it has no #define")


def test_the_mode_stays(tree: Path) -> None:
    (tree / HEADER).chmod(0o640)
    set_up(tree)
    assert (tree / HEADER).stat().st_mode & 0o7777 == 0o640


def test_a_link_stays_a_link(tree: Path, tmp_path: Path) -> None:
    real = tmp_path / "real" / "credentials.h"
    real.parent.mkdir()
    (tree / HEADER).rename(real)
    (tree / HEADER).symlink_to(real)
    set_up(tree)
    assert (tree / HEADER).is_symlink()
    assert real.read_text() == text(ENDPOINT, "lamp-1")
    assert [path.name for path in real.parent.iterdir()] == ["credentials.h"]


@pytest.mark.parametrize(
    ("syncs_before", "words"),
    [
        (0, r"headers\.json cannot be written \(No space left on device\)"),
        (1, "No space left on device; it is as it was"),
    ],
    ids=["the note", "the header"],
)
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tree: Path, monkeypatch: pytest.MonkeyPatch, syncs_before: int, words: str
) -> None:
    left = [syncs_before]

    def full(_: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FirmwareError, match=words):
        set_up(tree)
    assert (tree / HEADER).read_text() == text()
    assert [path.name for path in (tree / HEADER).parent.iterdir()] == ["aws_clientcredential.h"]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that opens and cannot be read")
def test_a_header_that_cannot_be_read_is_named(tree: Path) -> None:
    (tree / HEADER).unlink()
    (tree / HEADER).symlink_to("/proc/self/mem")
    with pytest.raises(FirmwareError, match=r"aws_clientcredential\.h cannot be read: Input/output error"):
        find_header(tree, "keyword-detection")


# What this tool wrote, and what stood there before


def test_ten_things_one_after_the_other_are_never_asked_about(tree: Path) -> None:
    for number in range(10):
        assert set_up(tree, name=f"lamp-{number}").verb is Verb.CHANGED
        assert set_up(tree, name=f"lamp-{number}", endpoint=OTHER_ENDPOINT).verb is Verb.CHANGED
    assert len(read_notes(notes_of(tree))[(tree / HEADER).resolve()].written) == 2
    assert put_back_all(tree, "lamp-9", OTHER_ACCOUNT) == [(Verb.CHANGED, "original values put back")]
    assert (tree / HEADER).read_text() == text()


def test_the_note_is_its_owners_alone(tree: Path) -> None:
    set_up(tree)
    assert notes_of(tree).stat().st_mode & 0o7777 == 0o600
    assert notes_of(tree).parent.stat().st_mode & 0o7777 == 0o700
    assert [path.name for path in notes_of(tree).parent.iterdir()] == ["headers.json"]


@pytest.mark.parametrize(
    "content", [None, b"", b"[]", b'{"x": {}}', b'{"x": {"endpoint": "", "thing_name": ""}}', b"\xff"]
)
def test_without_the_note_values_count_as_set_by_hand(tree: Path, content: bytes | None) -> None:
    set_up(tree)
    notes_of(tree).unlink() if content is None else notes_of(tree).write_bytes(content)
    with pytest.raises(FirmwareError, match="was set by hand"):
        set_up(tree, confirm=lambda _: False, name="lamp-2")
    assert put_back_all(tree, "lamp-1") == []


@pytest.mark.parametrize(
    ("endpoint", "thing_name"), [(ENDPOINT, "mine"), ("my.broker", "lamp-1"), ("my.broker", "mine")]
)
def test_what_is_changed_by_hand_since_is_asked_about_and_stays(tree: Path, endpoint: str, thing_name: str) -> None:
    set_up(tree)
    (tree / HEADER).write_text(text(endpoint, thing_name))
    with pytest.raises(FirmwareError, match="was set by hand"):
        set_up(tree, confirm=lambda _: False, name="lamp-2", endpoint=OTHER_ENDPOINT)
    ((verb, detail),) = put_back_all(tree, "lamp-1")
    assert verb is Verb.SKIPPED
    assert detail.endswith("was changed by hand since, stays")
    assert (tree / HEADER).read_text() == text(endpoint, thing_name)


def test_values_by_hand_that_were_given_up_come_back_byte_for_byte(tree: Path) -> None:
    original = text("my.broker", "l\\x41mp").encode().replace(b"mp", b"\xe4mp")
    (tree / HEADER).write_bytes(original)
    set_up(tree, confirm=lambda _: True)
    set_up(tree, name="lamp-2")
    assert put_back_all(tree, "lamp-2")[0][0] is Verb.CHANGED
    assert (tree / HEADER).read_bytes() == original
    assert not notes_of(tree).exists()
    assert put_back_all(tree, "lamp-2") == []


def test_a_header_is_put_back_for_its_own_thing_and_account_only(tree: Path) -> None:
    set_up(tree)
    set_up(tree, name="lamp-2", endpoint=OTHER_ENDPOINT)
    assert put_back_all(tree, "lamp-1") == []
    assert put_back_all(tree, "lamp-2") == []
    assert put_back_all(tree, "lamp-1", OTHER_ACCOUNT) == []
    assert (tree / HEADER).read_text() == text(OTHER_ENDPOINT, "lamp-2")


def test_a_header_that_is_gone_or_as_it_was_is_said_once(tree: Path) -> None:
    set_up(tree)
    (tree / HEADER).write_text(text())
    assert [verb for verb, _ in put_back_all(tree, "lamp-1")] == [Verb.ABSENT]
    set_up(tree)
    shutil.rmtree(tree / "applications")
    assert put_back_all(tree, "lamp-1") == [(Verb.ABSENT, f"{tree.resolve() / HEADER} is gone")]
    assert put_back_all(tree, "lamp-1") == []


def test_a_header_that_cannot_be_understood_stays_with_its_note(tree: Path) -> None:
    set_up(tree)
    (tree / HEADER).write_text("")
    assert [verb for verb, _ in put_back_all(tree, "lamp-1")] == [Verb.SKIPPED]
    (tree / HEADER).write_text(text(ENDPOINT, "lamp-1"))
    assert [verb for verb, _ in put_back_all(tree, "lamp-1")] == [Verb.CHANGED]
    assert (tree / HEADER).read_text() == text()


def test_a_note_whose_header_was_never_written_does_no_harm(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = Path.replace

    def cut_off(path: Path, target: Path) -> Path:
        if target.name == "aws_clientcredential.h":
            raise OSError(errno.EIO, "cut off")
        return replace(path, target)

    for before in (text(), text(ENDPOINT, "lamp-1")):
        assert (tree / HEADER).read_text() == before
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", cut_off)
            with pytest.raises(FirmwareError, match="cut off"):
                set_up(tree, name="lamp-2")
        assert put_back_all(tree, "lamp-2") in ([], [(Verb.ABSENT, put_back_text(tree))])
        set_up(tree)
    set_up(tree, name="lamp-3")
    assert put_back_all(tree, "lamp-3")[0][0] is Verb.CHANGED
    assert (tree / HEADER).read_text() == text()


def put_back_text(tree: Path) -> str:
    return f"the original values are in {(tree / HEADER).resolve()} already"


def test_runs_beside_one_another_lose_no_note(tmp_path: Path) -> None:
    notes_path = tmp_path / ".ota" / "headers.json"
    trees = [tmp_path / f"tree-{number}" for number in range(16)]
    for tree in trees:
        (tree / HEADER).parent.mkdir(parents=True)
        (tree / HEADER).write_text(text())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda tree: set_up(tree, name="lamp", notes_path=notes_path), trees))
    assert len(read_notes(notes_path)) == len(trees)
    assert [one.verb for one in put_back(notes_path, "lamp", ACCOUNT)] == [Verb.CHANGED] * len(trees)
    assert {(tree / HEADER).read_text() for tree in trees} == {text()}


def test_notes_that_cannot_be_written_leave_the_header_as_it_was(tree: Path) -> None:
    (tree / ".ota").touch()
    with pytest.raises(FirmwareError, match=r"\.ota/headers\.json cannot be written"):
        set_up(tree)
    assert (tree / HEADER).read_text() == text()
