"""What the lines look like, on a terminal and off it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ota.errors import OtaError
from ota.messages import CommandLine, Shell, command, message
from ota.outcomes import Outcome, Verb, warning
from ota.report import Report


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


LINE: Outcome[None] = Outcome("thing", Verb.CREATED, "lamp-1", "attached to 0a1b [not markup]")
PLAIN = "thing        created  lamp-1                               attached to 0a1b [not markup]"


def test_a_line_in_a_log_is_plain() -> None:
    out = io.StringIO()
    Report(out).outcome(LINE)
    assert out.getvalue() == PLAIN + "\n"


def test_a_line_without_detail_has_no_blanks_at_its_end() -> None:
    out = io.StringIO()
    Report(out).outcome(Outcome("role", Verb.ABSENT, "lamp-role"))
    assert out.getvalue() == "role         absent   lamp-role\n"


def test_a_line_on_a_terminal_has_the_same_words_in_colour(terminal: Terminal) -> None:
    Report(terminal).outcome(LINE)
    shown = terminal.getvalue()
    assert "\x1b[" in shown
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown).rstrip("\n") == PLAIN


NASTY = "a\x1b[2J\x1b]0;title\x07b\x9b31m\r\x08\u202ec\u2066\u200fd\x7f"


SHOWS: dict[str, Callable[[Report], object]] = {
    "outcome": lambda report: report.outcome(Outcome("thing", Verb.CREATED, f"{NASTY}\nnext", NASTY)),
    "entry": lambda report: report.entry("job", "over", "bold", f"{NASTY}\nnext", NASTY),
    "table": lambda report: report.table(("name", "more"), [(f"{NASTY}\nnext", NASTY)]),
    "findings": lambda report: report.findings([warning("job", NASTY, Shell(f"invoke {NASTY}"))]),
    "block": lambda report: report.block(f"{NASTY}\n{NASTY}"),
    "prose": lambda report: report.prose(f"{NASTY}\n{NASTY}"),
    "say": lambda report: report.say(f"{NASTY}\n{NASTY}"),
    "note": lambda report: report.note(f"{NASTY}\n{NASTY}"),
    "question": lambda report: [report.ask(NASTY), report.ask_for(NASTY)],
}


@pytest.mark.parametrize("is_on_terminal", [False, True], ids=["log", "terminal"])
@pytest.mark.parametrize("name", SHOWS)
def test_what_would_steer_a_terminal_is_not_shown(terminal: Terminal, name: str, is_on_terminal: bool) -> None:
    out, err = terminal if is_on_terminal else io.StringIO(), io.StringIO()
    SHOWS[name](Report(out, err, Terminal("y\ny\n")))
    shown = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()) + err.getvalue()
    if name == "question" and not is_on_terminal:
        assert shown == ""
        return
    assert shown.count("abcd") == 2
    assert [character for character in shown if not character.isprintable() and character != "\n"] == []
    assert ("\nnext" in shown, "abcd\\nnext" in shown) == (False, name in {"outcome", "entry", "table"})


def test_a_json_document_holds_every_character_escaped() -> None:
    out = io.StringIO()
    Report(out).document({"name": NASTY})
    assert json.loads(out.getvalue()) == {"name": NASTY}
    assert out.getvalue().replace("\n", "").isprintable()


def test_the_lines_of_a_message_stay() -> None:
    out = io.StringIO()
    Report(out).say("one\r\n\ttwo")
    assert out.getvalue() == "one\n\ttwo\n"


def test_no_color_is_honoured(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    Report(terminal).outcome(LINE)
    assert "\x1b[3" not in terminal.getvalue()


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_a_character_that_the_output_cannot_show_does_not_stop_the_run(errors: str) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors=errors)
    Report(out).say("lämp…")
    assert out.buffer.getvalue() == b"l?mp?\n"


def test_an_output_that_the_shell_has_closed_takes_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(f"sys.{name}", None)
    report = Report()
    report.outcome(LINE)
    report.note("beside")
    assert not report.can_ask


def test_an_output_that_is_full_ends_the_run_with_a_sentence() -> None:
    with Path("/dev/full").open("w") as full, pytest.raises(OtaError, match="No space left on device"):
        Report(full).say("lamp-1")


def test_messages_go_beside_the_result() -> None:
    out, err = io.StringIO(), io.StringIO()
    report = Report(out, err)
    report.say("result")
    report.note("message")
    assert (out.getvalue(), err.getvalue()) == ("result\n", "message\n")


@pytest.mark.parametrize(
    ("answer", "yes"), [("y\n", True), ("YES\n", True), ("\n", False), ("n\n", False), ("", False)]
)
def test_a_question_on_a_terminal_takes_only_a_yes(terminal: Terminal, answer: str, yes: bool) -> None:
    err = io.StringIO()
    assert Report(terminal, err, Terminal(answer)).ask("Replace it?") is yes
    assert err.getvalue() == "Replace it? [y/N] "


def test_without_a_terminal_the_answer_is_no_and_nothing_waits() -> None:
    err = io.StringIO()
    assert Report(io.StringIO(), err, Terminal("y\n")).ask("Replace it?") is False
    assert Report(Terminal(), err, io.StringIO("y\n")).ask("Replace it?") is False
    assert err.getvalue() == ""


def test_the_bar_moves_on_a_terminal_and_is_gone_in_a_log(terminal: Terminal) -> None:
    with Report(terminal).bytes_bar("uploading", 1000) as so_far:
        so_far(1000)
    assert "uploading" in terminal.getvalue()
    out = io.StringIO()
    with Report(out).bytes_bar("uploading", 1000) as so_far:
        so_far(1000)
    assert out.getvalue() == ""


def test_the_live_line_shows_what_the_build_says_and_how_far_it_is(terminal: Terminal) -> None:
    import time

    with Report(terminal).live_line("building") as show:
        show("[30/40] compiling\n")
        time.sleep(0.2)  # rich redraws ten times a second
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())
    assert re.search(r"building ━━━━━━━━━╺?.* 0:00:00 \[30/40\] compiling", shown), shown


def test_in_a_log_a_long_step_tells_now_and_then_how_far_it_is() -> None:
    out, err = io.StringIO(), io.StringIO()
    with Report(out, err).live_line("building", tick_s=0.01) as show:
        show("[30/40] compiling\n")
        while not err.getvalue():
            pass
    assert re.match(r"building, 0 s: \[30/40\] compiling\n", err.getvalue())
    assert out.getvalue() == ""
    with Report(out, err := io.StringIO()).live_line("building") as show:
        show("compiling")
    assert err.getvalue() == ""


NARROW = """\
header       changed  aws_clientcredential.h
                        lamp-1 at acepv5t4brdhlz-ats.iot.eu-west-1.amazonaws.com
policy       ok       lamp-1_policy                   attached to it
image        ok       keyword-detection-update_signed.bin
                        596,736 bytes
certificate  created  certificates/thing_certificate_lamp-1.pem.crt
                        in
                        certificates/thing_certific…thing_certificate_lamp-1.pem
Ready: the next command line is
`invoke with --policy-name lamp-2_policy --thing-name lamp-2 clean`, which
deletes all.
warning  header       the values in the header are those of another thing, which
                      is lamp-2
         invoke thing
"""


def test_on_a_narrow_terminal_text_wraps_between_words_and_a_command_stays_whole(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    report = Report(terminal)
    endpoint = "acepv5t4brdhlz-ats.iot.eu-west-1.amazonaws.com"
    report.outcome(Outcome("header", Verb.CHANGED, "aws_clientcredential.h", f"lamp-1 at {endpoint}"))
    report.entry("policy", "ok", "green", "lamp-1_policy", "attached to it")
    report.entry("image", "ok", "green", "keyword-detection-update_signed.bin", "596,736 bytes")
    long_path = f"certificates/{'thing_certificate_' * 4}lamp-1.pem"
    report.outcome(
        Outcome("certificate", Verb.CREATED, "certificates/thing_certificate_lamp-1.pem.crt", f"in {long_path}")
    )
    clean = command("clean", policy_name="lamp-2_policy", thing_name="lamp-2")
    report.say(message("Ready: the next command line is ", clean, ", which deletes all."))
    report.findings(
        [warning("header", "the values in the header are those of another thing, which is lamp-2", command("thing"))]
    )
    shown = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue())
    assert shown == NARROW


def test_a_reader_that_has_gone_does_not_stop_the_work() -> None:
    import subprocess
    import sys

    program = (
        "import sys; from ota.report import Report; r = Report(); r.say('first')\n"
        "sys.stdin.readline(); r.say('second'); r.say('third'); sys.stderr.write('done')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=-1, stdout=-1, stderr=-1, text=True, cwd=Path(__file__).parents[1]
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline() == "first\n"
        child.stdout.close()
        child.stdin.write("\n")
        child.stdin.close()
        assert child.stderr.read() == "done"
    assert child.returncode == 0


def test_words_are_asked_for_on_a_terminal_only() -> None:
    err = io.StringIO()
    typed = Terminal("  lamp \n")
    assert Report(Terminal(), err, typed).ask_for("Name of the thing:") == "lamp"
    assert err.getvalue() == "Name of the thing: "
    for out, stdin in ((io.StringIO(), Terminal("lamp\n")), (Terminal(), io.StringIO("lamp\n"))):
        report = Report(out, err, stdin)
        assert not report.can_ask
        assert report.ask_for("Name?") == ""


def test_stdout_can_be_kept_for_one_document() -> None:
    out, err = io.StringIO(), io.StringIO()
    report = Report(out, err)
    report.keep_stdout_clear()
    report.say("AWS account 1")
    report.document({"things": []})
    assert out.getvalue() == '{\n  "things": []\n}\n'
    assert err.getvalue() == "AWS account 1\n"


def test_in_the_sandbox_a_command_for_the_aws_cli_calls_the_sandbox() -> None:
    report = Report()
    report.command_line = CommandLine(is_sandbox=True)
    line = '(eval "$(invoke sandbox.env)" && aws iot list-things) && invoke sandbox thing'
    assert report.command((Shell("aws iot list-things", calls_aws=True), command("thing"))) == line
    assert report.command(()) == ""
