"""The header's two values change, every other byte stays, and nothing put there by hand is lost unasked."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota.errors import FirmwareError
from ota.firmware.header_notes import NOTHING, Written, find_note, read_notes
from ota.firmware.header_texts import read_values, set_values
from ota.firmware.headers import Header, decide_header, difference, make_header, put_back, read_header
from ota.firmware.tree import check_application
from ota.messages import Shell
from ota.outcomes import Action, Outcome, Verb
from ota.profiles import AWS_CLIENT_CREDENTIAL as FORMAT
from ota.profiles import HeaderFormat, HeaderValue

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


def ensure_header(
    root: Path,
    application: str,
    header_format: HeaderFormat,
    wanted: Written,
    *,
    notes_path: Path,
    confirm: Callable[[str], bool],
) -> Outcome[Header]:
    """What the tool does on a terminal: look, decide, and carry it out."""
    found = read_header(check_application(root, application, header_format), header_format)
    header = Header(found.path, header_format, wanted.endpoint, wanted.thing_name)
    change = decide_header(found, header, find_note(notes_path, found.path), may_replace=None)
    return make_header(change, wanted.account, notes_path=notes_path, confirm=confirm)


def ensure(  # type: ignore[no-untyped-def]
    tree: Path, confirm: Callable[[str], bool] = nobody, name: str = "lamp-1", endpoint: str = ENDPOINT
):
    wanted = Written(endpoint, name, OTHER_ACCOUNT if endpoint == OTHER_ENDPOINT else ACCOUNT)
    return ensure_header(tree, "keyword-detection", FORMAT, wanted, notes_path=notes_of(tree), confirm=confirm)


def notes_of(tree: Path) -> Path:
    return tree / ".ota" / "headers.json"


def put_back_all(tree: Path, name: str, account: str = "") -> list[tuple[Verb, str]]:
    return [(one.verb, one.detail) for one in put_back(notes_of(tree), name, account or ACCOUNT)]


# A second format: another file, other defines, other dummies, another form of line

OTHER_FORMAT = HeaderFormat(
    path=PurePosixPath("config/demo_config.h"),
    endpoint=HeaderValue("AWS_IOT_ENDPOINT", ("...insert here...",)),
    thing_name=HeaderValue("CLIENT_IDENTIFIER", ("testclient",)),
    line='#define {name} ( "{value}" )',
)


def test_a_second_format_is_a_record_and_no_code(tmp_path: Path) -> None:
    path = tmp_path / "applications/keyword_detection/config/demo_config.h"
    path.parent.mkdir(parents=True)
    before = b'#define CLIENT_IDENTIFIER ("testclient")\n#define  AWS_IOT_ENDPOINT\t(\t"%s" )  // yours\n'
    path.write_bytes(before % b"...insert here...")
    header = read_header(check_application(tmp_path, "keyword-detection", OTHER_FORMAT), OTHER_FORMAT)
    assert header == Header(path, OTHER_FORMAT, "...insert here...", "testclient")
    wanted = Written(ENDPOINT, "lamp-1", ACCOUNT)
    outcome = ensure_header(
        tmp_path, "keyword-detection", OTHER_FORMAT, wanted, notes_path=notes_of(tmp_path), confirm=nobody
    )
    assert (outcome.verb, outcome.name) == (Verb.CHANGED, "demo_config.h")
    assert path.read_bytes() == before.replace(b"testclient", b"lamp-1") % ENDPOINT.encode()
    assert difference(header, outcome.get()) == (
        f'-#define AWS_IOT_ENDPOINT ( "...insert here..." )\n+#define AWS_IOT_ENDPOINT ( "{ENDPOINT}" )\n'
        '-#define CLIENT_IDENTIFIER ( "testclient" )\n+#define CLIENT_IDENTIFIER ( "lamp-1" )'
    )
    path.write_text('#define AWS_IOT_ENDPOINT "e"\n#define CLIENT_IDENTIFIER ("n")\n')
    with pytest.raises(FirmwareError, match=r'line 1 defines AWS_IOT_ENDPOINT, .* write: #define .* \( "" \)$'):
        read_header(check_application(tmp_path, "keyword-detection", OTHER_FORMAT), OTHER_FORMAT)


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
    assert read_values(before, FORMAT) == ("old.endpoint", "old-name")
    assert set_values(before, FORMAT, (ENDPOINT, "lamp-1")) == after


def test_the_defines_may_stand_in_either_order() -> None:
    data = (DEFINE_NAME + b"\n" + DEFINE_ENDPOINT + b"\n") % (b"n", b"a-longer-endpoint")
    assert read_values(data, FORMAT) == ("a-longer-endpoint", "n")
    assert set_values(data, FORMAT, ("e", "a-longer-name")) == (DEFINE_NAME + b"\n" + DEFINE_ENDPOINT + b"\n") % (
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

    assert read_values(header(*old), FORMAT) == old
    assert set_values(header(*old), FORMAT, new) == header(*new)


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
        endpoint, thing_name = read_values(data, FORMAT)
    except FirmwareError:
        return
    changed = set_values(data, FORMAT, ("e", "n"))
    assert read_values(changed, FORMAT) == ("e", "n")
    if "\\" not in endpoint + thing_name:
        assert set_values(changed, FORMAT, (endpoint, thing_name)) == data


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
        read_values(data, FORMAT)
    with pytest.raises(FirmwareError, match=words):
        set_values(data, FORMAT, (ENDPOINT, "lamp-1"))


@pytest.mark.parametrize("value", ['lamp"1', "lamp\\1", "lamp\n1", "lämp"])
def test_a_value_that_would_break_the_string_is_refused(value: str) -> None:
    with pytest.raises(FirmwareError, match="cannot be in a C string"):
        set_values(text().encode(), FORMAT, (ENDPOINT, value))


def test_a_value_that_is_not_ascii_can_be_shown() -> None:
    assert read_values(text(thing_name="l\\xe4mp").encode().replace(b"\\xe4", b"\xe4"), FORMAT) == (
        DUMMY_ENDPOINT,
        "l\\xe4mp",
    )


# On disk


def test_find_reads_both_values(tree: Path) -> None:
    assert read_header(tree / HEADER, FORMAT) == Header(tree / HEADER, FORMAT, DUMMY_ENDPOINT, DUMMY_NAME)


def test_dummies_are_replaced_without_asking(tree: Path) -> None:
    outcome = ensure(tree)
    assert (outcome.verb, outcome.noun, outcome.name) == (Verb.CHANGED, "header", "aws_clientcredential.h")
    assert outcome.get() == read_header(tree / HEADER, FORMAT) == Header(tree / HEADER, FORMAT, ENDPOINT, "lamp-1")
    assert (tree / HEADER).read_text() == text(ENDPOINT, "lamp-1")


def test_empty_values_are_replaced_without_asking(tree: Path) -> None:
    (tree / HEADER).write_text(text("", ""))
    assert ensure(tree).verb is Verb.CHANGED


def test_what_is_right_already_is_not_written(tree: Path) -> None:
    ensure(tree)
    os.utime(tree / HEADER, (1, 1))
    assert ensure(tree).verb is Verb.REUSED
    assert (tree / HEADER).stat().st_mtime == 1


@pytest.mark.parametrize(
    ("endpoint", "thing_name", "shown"),
    [
        pytest.param("my.broker", "lamp-1", f"endpoint 'my.broker' by '{ENDPOINT}'", id="endpoint"),
        pytest.param(ENDPOINT, "lamp-9", "thing name 'lamp-9' by 'lamp-1'", id="thing name"),
        pytest.param("other-account.amazonaws.com", "lamp-1", "other-account.amazonaws.com", id="another account"),
        pytest.param(DUMMY_ENDPOINT, "lamp-9", "thing name 'lamp-9' by 'lamp-1'", id="half by hand"),
    ],
)
def test_values_by_hand_are_asked_about(tree: Path, endpoint: str, thing_name: str, shown: str) -> None:
    questions = []
    (tree / HEADER).write_text(text(endpoint, thing_name))
    outcome = ensure(tree, confirm=lambda question: questions.append(question) is None)
    assert outcome.verb is Verb.CHANGED
    assert (tree / HEADER).read_text() == text(ENDPOINT, "lamp-1")
    assert len(questions) == 1
    assert shown in questions[0]
    assert str(tree / HEADER) in questions[0]


def test_values_by_hand_are_kept_when_the_answer_is_no(tree: Path) -> None:
    (tree / HEADER).write_text(text("my.broker", "lamp-9"))
    with pytest.raises(FirmwareError) as error:
        ensure(tree, confirm=lambda _: False)
    for words in (str(tree / HEADER), "my.broker", "lamp-9", ENDPOINT, "set thing_name to 'lamp-9'", "git -C "):
        assert words in str(error.value)
    assert (tree / HEADER).read_text() == text("my.broker", "lamp-9")


def test_the_command_that_brings_the_dummies_back_can_be_pasted(tmp_path: Path) -> None:
    tree = tmp_path / "my firmware"
    path = tree / HEADER
    path.parent.mkdir(parents=True)
    path.write_text(text())
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=x", "-c", "user.email=x", "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", tree, *words], check=True)
    path.write_text(text("my.broker", "lamp-9"))
    with pytest.raises(FirmwareError) as error:
        ensure(tree, confirm=lambda _: False)
    (checkout,) = (piece for piece in error.value.message.pieces if isinstance(piece, Shell))
    subprocess.run(checkout.line, shell=True, check=True, cwd="/")  # noqa: S602
    assert path.read_text() == text()


def test_another_name_is_not_offered_where_only_the_endpoint_differs(tree: Path) -> None:
    (tree / HEADER).write_text(text("my.broker", "lamp-1"))
    with pytest.raises(FirmwareError) as error:
        ensure(tree, confirm=lambda _: False)
    assert "set thing_name" not in str(error.value)


@pytest.mark.parametrize(
    ("may_replace", "action"), [(True, Action.CHANGE), (None, Action.ASK), (False, Action.BLOCKED)]
)
def test_values_set_by_hand_are_changed_asked_about_or_kept(
    tree: Path, may_replace: bool | None, action: Action
) -> None:
    (tree / HEADER).write_text(text(thing_name="mine"))
    found = read_header(tree / HEADER, FORMAT)
    change = decide_header(found, Header(found.path, FORMAT, ENDPOINT, "lamp-1"), NOTHING, may_replace=may_replace)
    assert change.action is action
    assert (change.problem is not None) is (action is Action.BLOCKED)


def test_an_unknown_application_is_refused(tree: Path) -> None:
    for call in (
        lambda: ensure_header(
            tree, "nonesuch", FORMAT, Written(ENDPOINT, "x", ACCOUNT), notes_path=notes_of(tree), confirm=nobody
        ),
        lambda: check_application(tree, "x", FORMAT),
    ):
        with pytest.raises(FirmwareError, match="set target_application to one of: keyword-detection"):
            call()


def test_a_header_that_cannot_be_used_is_named(tree: Path) -> None:
    (tree / HEADER).write_text("#pragma once\n")
    with pytest.raises(FirmwareError) as error:
        ensure(tree)
    assert str(error.value).startswith(f"{tree / HEADER} cannot be used: it has no #define")


def test_the_mode_stays(tree: Path) -> None:
    (tree / HEADER).chmod(0o640)
    ensure(tree)
    assert (tree / HEADER).stat().st_mode & 0o7777 == 0o640


def test_a_link_stays_a_link(tree: Path, tmp_path: Path) -> None:
    real = tmp_path / "real" / "credentials.h"
    real.parent.mkdir()
    (tree / HEADER).rename(real)
    (tree / HEADER).symlink_to(real)
    ensure(tree)
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
        ensure(tree)
    assert (tree / HEADER).read_text() == text()
    assert [path.name for path in (tree / HEADER).parent.iterdir()] == ["aws_clientcredential.h"]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that opens and cannot be read")
def test_a_header_that_cannot_be_read_is_named(tree: Path) -> None:
    (tree / HEADER).unlink()
    (tree / HEADER).symlink_to("/proc/self/mem")
    with pytest.raises(FirmwareError, match=r"aws_clientcredential\.h cannot be read: Input/output error"):
        read_header(tree / HEADER, FORMAT)


# What this tool wrote, and what stood there before


def test_ten_things_one_after_the_other_are_never_asked_about(tree: Path) -> None:
    for number in range(10):
        assert ensure(tree, name=f"lamp-{number}").verb is Verb.CHANGED
        assert ensure(tree, name=f"lamp-{number}", endpoint=OTHER_ENDPOINT).verb is Verb.CHANGED
    assert len(read_notes(notes_of(tree))[(tree / HEADER).resolve()].written) == 2
    assert put_back_all(tree, "lamp-9", OTHER_ACCOUNT) == [(Verb.CHANGED, "original values put back")]
    assert (tree / HEADER).read_text() == text()


def test_the_note_is_its_owners_alone(tree: Path) -> None:
    ensure(tree)
    assert notes_of(tree).stat().st_mode & 0o7777 == 0o600
    assert notes_of(tree).parent.stat().st_mode & 0o7777 == 0o700
    assert {path.name for path in notes_of(tree).parent.iterdir()} == {"headers.json", "headers.lock", ".gitignore"}


@pytest.mark.parametrize(
    "content", [None, b"", b"[]", b'{"x": {}}', b'{"x": {"endpoint": "", "thing_name": ""}}', b"\xff"]
)
def test_without_the_note_values_count_as_set_by_hand(tree: Path, content: bytes | None) -> None:
    ensure(tree)
    notes_of(tree).unlink() if content is None else notes_of(tree).write_bytes(content)
    with pytest.raises(FirmwareError, match="was set by hand"):
        ensure(tree, confirm=lambda _: False, name="lamp-2")
    assert put_back_all(tree, "lamp-1") == []


@pytest.mark.parametrize(
    ("endpoint", "thing_name"), [(ENDPOINT, "mine"), ("my.broker", "lamp-1"), ("my.broker", "mine")]
)
def test_what_is_changed_by_hand_since_is_asked_about_and_stays(tree: Path, endpoint: str, thing_name: str) -> None:
    ensure(tree)
    (tree / HEADER).write_text(text(endpoint, thing_name))
    with pytest.raises(FirmwareError, match="was set by hand"):
        ensure(tree, confirm=lambda _: False, name="lamp-2", endpoint=OTHER_ENDPOINT)
    ((verb, detail),) = put_back_all(tree, "lamp-1")
    assert verb is Verb.SKIPPED
    assert detail.endswith("was changed by hand since, stays")
    assert (tree / HEADER).read_text() == text(endpoint, thing_name)


def test_values_by_hand_that_were_given_up_come_back_byte_for_byte(tree: Path) -> None:
    original = text("my.broker", "l\\x41mp").encode().replace(b"mp", b"\xe4mp")
    (tree / HEADER).write_bytes(original)
    ensure(tree, confirm=lambda _: True)
    ensure(tree, name="lamp-2")
    assert put_back_all(tree, "lamp-2")[0][0] is Verb.CHANGED
    assert (tree / HEADER).read_bytes() == original
    assert not notes_of(tree).exists()
    assert put_back_all(tree, "lamp-2") == []


def test_a_header_is_put_back_for_its_own_thing_and_account_only(tree: Path) -> None:
    ensure(tree)
    ensure(tree, name="lamp-2", endpoint=OTHER_ENDPOINT)
    assert put_back_all(tree, "lamp-1") == []
    assert put_back_all(tree, "lamp-2") == []
    assert put_back_all(tree, "lamp-1", OTHER_ACCOUNT) == []
    assert (tree / HEADER).read_text() == text(OTHER_ENDPOINT, "lamp-2")


def test_a_header_that_is_gone_or_as_it_was_is_said_once(tree: Path) -> None:
    ensure(tree)
    (tree / HEADER).write_text(text())
    assert [verb for verb, _ in put_back_all(tree, "lamp-1")] == [Verb.ABSENT]
    ensure(tree)
    shutil.rmtree(tree / "applications")
    assert put_back_all(tree, "lamp-1") == [(Verb.ABSENT, f"{tree.resolve() / HEADER} is gone")]
    assert put_back_all(tree, "lamp-1") == []


def test_a_header_that_cannot_be_understood_stays_with_its_note(tree: Path) -> None:
    ensure(tree)
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
                ensure(tree, name="lamp-2")
        assert put_back_all(tree, "lamp-2") in ([], [(Verb.ABSENT, put_back_text(tree))])
        ensure(tree)
    ensure(tree, name="lamp-3")
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
    wanted = Written(ENDPOINT, "lamp", ACCOUNT)
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda tree: ensure_header(
                    tree, "keyword-detection", FORMAT, wanted, notes_path=notes_path, confirm=nobody
                ),
                trees,
            )
        )
    assert len(read_notes(notes_path)) == len(trees)
    assert [one.verb for one in put_back(notes_path, "lamp", ACCOUNT)] == [Verb.CHANGED] * len(trees)
    assert {(tree / HEADER).read_text() for tree in trees} == {text()}


def test_notes_that_cannot_be_written_leave_the_header_as_it_was(tree: Path) -> None:
    (tree / ".ota").touch()
    with pytest.raises(FirmwareError, match=r"\.ota/headers\.json cannot be written"):
        ensure(tree)
    assert (tree / HEADER).read_text() == text()
