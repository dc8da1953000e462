"""Prints everything: results to stdout, messages to stderr. No other module prints.

Every object gets one line: ``noun  verb  name  detail``. A message's commands are rendered here, for the command line
on which they are shown. Colours, progress bars and spinners come from rich, and only on a terminal; there text wraps
between words, too (``layout``). Elsewhere the same words are printed plain, each object on one line. Text from AWS, a
device or a file name is printed without control and bidirectional characters, so that it cannot change the terminal or
imitate a line of this tool. Without a terminal no question is asked: the answer is no, and the caller says which
setting or flag means yes.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ota import layout
from ota.errors import OtaError
from ota.messages import AnyCommand, Command, CommandLine, Message, Remedy, Shell, Text
from ota.outcomes import Finding, Outcome, Severity, Verb
from ota.progress import TICK_S, Ticker, show_line

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text as RichText

NOUN_WIDTH = len("certificate")
VERB_WIDTH = 7
NAME_WIDTH = 35
NARROW_NAME_WIDTH = 30
NARROW_WIDTH = 100
WIDE_WIDTH = 120
ID_CHARS = 12
DIFFERENCE_STYLES = {"+": "green", "-": "red", "@": "cyan"}
# Whole escape sequences; single C0 and C1 characters except newline and tab; invisible and bidirectional characters.
# Source: ECMA-48 (CSI, OSC and the other strings); Unicode Standard Annex 9 (bidirectional formatting characters).
UNPRINTABLE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b[\]P^_X][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-Z\\^-~]"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]"
)
CERTIFICATE_ID = re.compile(r"\b[0-9a-f]{64}\b")
STYLES = {
    Verb.CREATED: "bold green",
    Verb.CHANGED: "bold yellow",
    Verb.DELETED: "bold red",
    Verb.REUSED: "cyan",
    Verb.ABSENT: "dim",
    Verb.SKIPPED: "yellow",
}
SEVERITY_STYLES = {
    Severity.FATAL: "bold red",
    Severity.WARNING: "yellow",
    Severity.OK: "green",
    Severity.SKIPPED: "dim",
}


class Report:
    """Prints to ``out`` and ``err``; with colours and progress bars where ``out`` is a terminal.

    Attributes:
        is_terminal: whether ``out`` is a terminal.
        command_line: how this command line began, for the commands in messages.
    """

    def __init__(
        self,
        out: TextIO | None = None,
        err: TextIO | None = None,
        stdin: TextIO | None = None,
        noun_width: int = NOUN_WIDTH,
    ) -> None:
        self._out = _writable(out or sys.stdout)
        self._err = _writable(err or sys.stderr)
        self._stdin = stdin or sys.stdin
        self._noun_width = noun_width
        self._indent = " " * (noun_width + VERB_WIDTH + 2 * len(layout.GAP))
        self.is_terminal = self._out.isatty()
        self.command_line = CommandLine()
        self._says_aside = False
        self._owes_document = False
        self._live: Callable[[str], None] | None = None
        self._outcomes: list[Outcome[Any]] = []
        self._here = f"{Path.cwd()}{os.sep}"

    def outcome(self, outcome: Outcome[Any]) -> None:
        """The line of one object."""
        if self._says_aside:
            self._outcomes.append(outcome)
        self.entry(outcome.noun, outcome.verb.value, STYLES[outcome.verb], outcome.name, outcome.detail)

    def entry(self, noun: str, word: str, style: str, name: str, detail: Text = "") -> None:
        """One object's line: noun, verb or state, name, detail; on a terminal a long detail wraps under the name."""
        name, start = self._in_one_line(name), f"{noun:<{self._noun_width}}{layout.GAP}{word:<{VERB_WIDTH}}{layout.GAP}"
        if not self.is_terminal or self._says_aside:
            first, *more = self.short(self.text(detail)).splitlines() or [""]
            self.verbatim(f"{start}{f'{name:<{NAME_WIDTH}}{layout.GAP}{first}'.rstrip()}".rstrip())
            self.block("\n".join(more))
            return
        from rich.text import Text as RichText

        width = self._console.width
        name_width = NARROW_NAME_WIDTH if width < NARROW_WIDTH else NAME_WIDTH
        text = self.short(self._wrappable(detail))
        beside, under = layout.beside_or_under(name, text, width - len(self._indent), name_width)
        shown, extra = beside[: max(len(name), 1)], beside[max(len(name), 1) :]
        of_noun, of_word = start[: self._noun_width], start[self._noun_width :]
        line = RichText.assemble((of_noun, "bold"), (of_word, style), shown, (extra, "dim"))
        line.append("".join(f"\n{self._indent}{one}" for one in under), "dim")
        self._print(line)

    def block(self, text: Text, style: str = "") -> None:
        """Indented lines under an object's line; never wrapped, so that they can be pasted."""
        for line in self.text(text).splitlines():
            self._styled(f"{self._indent}{line}", DIFFERENCE_STYLES.get(line[:1], style) if style == "diff" else style)

    def prose(self, text: Text) -> None:
        """Indented sentences under an object's line; wrapped on a terminal."""
        for line in self._wrappable(text).splitlines():
            self.say(f"{self._indent}{line}")

    def styled(self, text: Text, style: str) -> None:
        """A sentence of the result, coloured on a terminal."""
        self._styled(self._wrapped(text, self._out), style)

    def _styled(self, text: str, style: str) -> None:
        if not self.is_terminal or self._says_aside:
            self.verbatim(text)
            return
        from rich.text import Text as RichText

        self._print(RichText(text, style))

    def _print(self, line: RichText) -> None:
        line.plain = layout.soft(line.plain)
        self._console.print(line, soft_wrap=True)

    @contextlib.contextmanager
    def live(self) -> Iterator[Callable[[RenderableType], None]]:
        """A part of the screen that changes in place; yields the function that draws it anew."""
        if not self.is_terminal:
            yield lambda _: None
            return
        from rich.live import Live

        with Live(console=self._console, refresh_per_second=4) as live:
            yield lambda renderable: live.update(renderable)

    def say(self, text: Text) -> None:
        """A sentence of the result, wrapped on a terminal; stdout, or stderr where stdout is for a JSON document."""
        if self._says_aside:
            self.note(text)
        else:
            self._write(self._wrapped(text, self._out))

    def verbatim(self, text: str) -> None:
        """A line of the result that is never wrapped; stdout, or stderr where stdout is for a JSON document."""
        if self._says_aside:
            print(printable(text), file=self._err, flush=True)
        else:
            self._write(printable(text))

    def success(self, **told: Any) -> None:
        """The JSON document of a task that changes things: what was done to each object, and what else it tells."""
        self._changes(0, told)

    def incomplete(self, exit_status: int, **told: Any) -> None:
        """The same for a task that has done only a part, where ``told`` says why."""
        self._changes(exit_status, told)

    def _changes(self, exit_status: int, told: dict[str, Any]) -> None:
        outcomes = [one.as_json() for one in self._outcomes]
        self.document({"exit_status": exit_status, "outcomes": outcomes, **told})

    def failure(self, error: OtaError) -> None:
        """The JSON document of a task that failed, where JSON is asked for and the task has not printed its own."""
        if not self._owes_document:
            return
        told = {"kind": type(error).__name__, "message": error.message, "command": error.remedy}
        outcomes = [one.as_json() for one in self._outcomes]
        self.document({"exit_status": error.exit_code, "error": told, "outcomes": outcomes})

    def document(self, value: Any) -> None:
        """One JSON document on stdout; the messages and commands in ``value`` are rendered."""
        self._owes_document = False
        # json escapes every character that is unsafe to print, except DEL.
        self._write(json.dumps(self._rendered(value), indent=2).replace("\x7f", "\\u007f"))

    def markdown(self, *lines: str) -> None:
        """Lines of a Markdown document on stdout, never wrapped."""
        for line in lines:
            self._write(printable(line))

    def csv(self, rows: Iterable[Sequence[str]]) -> None:
        """Rows of a CSV document on stdout; the first has the columns' names."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([printable(cell) for cell in row] for row in rows)
        self._write(text.getvalue().rstrip("\n"))

    def expect_document(self) -> None:
        """Print one JSON document on stdout whatever happens: a task's own, or that of its failure."""
        self._owes_document = True
        self.keep_stdout_clear()

    def keep_stdout_clear(self) -> None:
        """Print sentences to stderr from now on, so that stdout has nothing but a JSON document."""
        self._says_aside = True

    def note(self, text: Text) -> None:
        """A message that is not part of the result, wrapped on a terminal; stderr."""
        print(self._wrapped(text, self._err), file=self._err, flush=True)

    def text(self, text: Text) -> str:
        """The text as it is printed: its commands rendered, without control characters."""
        if isinstance(text, Message):
            return printable(self.command_line.text(text))
        return printable(text)

    def error_text(self, text: Text) -> str:
        """A message for stderr that somebody else prints, wrapped where that is a terminal."""
        return self._wrapped(text, self._err)

    def _wrapped(self, text: Text, stream: TextIO) -> str:
        if not stream.isatty():
            return layout.soft(self.text(text))
        return layout.soft("\n".join(layout.wrap(self._wrappable(text), self._console.width)))

    def _wrappable(self, text: Text) -> str:
        """The text with hard spaces in its commands, for ``layout``."""
        return printable(self.command_line.text(text, space=layout.HARD_SPACE))

    def command(self, command: AnyCommand | Remedy) -> str:
        """A command, or several joined, as it has to be typed on this command line; empty for none."""
        return printable(self.command_line.remedy(command))

    @contextlib.contextmanager
    def about(self, **settings: str) -> Iterator[None]:
        """Render commands for these settings meanwhile, because the messages are about another object."""
        usual, self.command_line = self.command_line, self.command_line.with_settings(**settings)
        try:
            yield
        finally:
            self.command_line = usual

    def _rendered(self, value: Any) -> Any:
        if isinstance(value, Command | Shell):
            return self.command(value)
        if isinstance(value, Message):
            return self.command_line.text(value)
        if isinstance(value, dict):
            return {key: self._rendered_entry(key, one) for key, one in value.items()}
        return [self._rendered(one) for one in value] if isinstance(value, list | tuple) else value

    def _rendered_entry(self, key: str, value: Any) -> Any:
        """An entry of a JSON object; a remedy is one line for the shell."""
        return self.command(value) if key == "command" and isinstance(value, tuple) else self._rendered(value)

    @property
    def can_ask(self) -> bool:
        """Whether a user can answer a question: output and input are a terminal."""
        return self.is_terminal and self._stdin is not None and self._stdin.isatty()

    def ask(self, question: str) -> bool:
        """A yes-or-no question; without a terminal the answer is no."""
        if not self.can_ask:
            return False
        self._err.write(f"{printable(question)} [y/N] ")
        self._err.flush()
        return self._stdin.readline().strip().lower() in {"y", "yes"}

    def ask_for(self, question: str) -> str:
        """A question for a word; without a terminal the answer is empty."""
        if not self.can_ask:
            return ""
        self._err.write(f"{printable(question)} ")
        self._err.flush()
        return self._stdin.readline().strip()

    def table(self, titles: Sequence[str], rows: Iterable[Sequence[str]], *, wide_only: Sequence[str] = ()) -> None:
        """Rows under titles, in columns; without a terminal each row is one line and nothing is cut.

        A terminal narrower than ``WIDE_WIDTH`` does not show the columns in ``wide_only``.
        """
        lines = [tuple(titles), *(tuple(self._in_one_line(cell) for cell in row) for row in rows)]
        if wide_only and self.is_terminal and self._console.width < WIDE_WIDTH:
            shown = [column for column, title in enumerate(titles) if title not in wide_only]
            lines = [tuple(line[column] for column in shown) for line in lines]
        widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
        if self.is_terminal:
            widths = layout.shared_widths(widths, self._console.width)
        for number, line in enumerate(lines):
            for part in layout.table_row(line, widths):
                self._styled(part, "bold" if number == 0 else "")

    def findings(self, findings: Iterable[Finding]) -> None:
        """Findings, and under each the command that fixes it; never wrapped, so that it can be pasted."""
        for finding in findings:
            severity, subject = f"{finding.severity.value:<{VERB_WIDTH}}", f"{finding.subject:<{self._noun_width}}"
            if not self.is_terminal:
                self._write(f"{severity}  {subject}  {self.short(self.text(finding.text))}")
            else:
                self._print_finding(severity, SEVERITY_STYLES[finding.severity], subject, finding.text)
            if finding.command:
                self._write(f"{'':<{VERB_WIDTH}}  {self.command(finding.command)}")

    def _print_finding(self, severity: str, style: str, subject: str, text: Text) -> None:
        from rich.text import Text as RichText

        lines = layout.wrap(self.short(self._wrappable(text)), self._console.width - len(self._indent))
        shown = f"\n{self._indent}".join(lines)
        self._print(RichText.assemble((severity, style), layout.GAP, (subject, "bold"), layout.GAP, shown))

    @contextlib.contextmanager
    def bytes_bar(self, label: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
        """A progress bar; yields the function that takes the number of bytes done so far."""
        if not self.is_terminal:
            yield lambda _: None
            return
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        columns = (TextColumn("{task.description}"), BarColumn(16), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, console=self._console, transient=True) as progress:
            bar = progress.add_task(layout.cut(label, max(self._console.width - 48, 10)), total=total_bytes)
            yield lambda count: progress.update(bar, completed=count)

    @contextlib.contextmanager
    def count_bar(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """A progress bar of so many objects; yields the function that takes how many are done.

        In a live line it is that line's bar, because a terminal has one at a time.
        """
        if self._live is not None:
            on_line = self._live
            yield lambda done: on_line(f"[{done}/{total}] {label}")
            return
        with self.live_line(label) as on_line:
            yield lambda done: on_line(f"[{done}/{total}]")

    @contextlib.contextmanager
    def live_line(self, label: str, *, tick_s: float = TICK_S) -> Iterator[Callable[[str], None]]:
        """What is being done, for how long, and the newest line of a program's output; yields what takes such a line.

        Where the program counts its steps (``[16/40]``) a bar shows them. Without a terminal a message every ``tick_s``
        seconds says the same.
        """
        with self._newest_line(label, tick_s) as self._live:
            try:
                yield self._live
            finally:
                self._live = None

    @contextlib.contextmanager
    def _newest_line(self, label: str, tick_s: float) -> Iterator[Callable[[str], None]]:
        if not self.is_terminal:
            with Ticker(self.note, label, tick_s) as ticker:
                yield ticker.take
            return
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        console = self._console
        room = max(console.width - len(label) - 32, 10)
        steps = BarColumn(bar_width=12)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), steps, TimeElapsedColumn())
        newest = TextColumn("[dim]{task.fields[newest]}[/dim]")
        with Progress(*columns, newest, console=console, transient=True) as progress:
            task = progress.add_task(label, total=None, newest="")
            yield lambda text: show_line(progress, task, printable(text.strip()), room)

    def _write(self, text: str) -> None:
        try:
            print(text, file=self._out, flush=True)
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._out.fileno())
            # Where the reader of a pipe has ended (`invoke all | head`) the work goes on without a message.
            if not isinstance(error, BrokenPipeError):
                raise OtaError(f"The output cannot be written ({error.strerror}), so the run ends here.") from error

    def _in_one_line(self, name: str) -> str:
        """An object's name, shortened, on one line: line breaks in it are printed as escapes."""
        return printable(self.short(name)).replace("\n", "\\n").replace("\t", "\\t")

    def short(self, text: str) -> str:
        """The text with certificate ids cut short, and with paths relative to the current folder."""
        return CERTIFICATE_ID.sub(lambda found: found.group()[:ID_CHARS] + "…", text.replace(self._here, ""))

    @cached_property
    def _console(self) -> Console:
        from rich.console import Console

        return Console(file=self._out, highlight=False)


def printable(text: str) -> str:
    """The text without control and bidirectional characters; newlines and tabs stay."""
    return UNPRINTABLE.sub("", text)


class _Nowhere(io.StringIO):
    """A stream that discards its text."""

    def write(self, text: str) -> int:
        return len(text)


def _writable(stream: TextIO | None) -> TextIO:
    """The stream, which replaces characters that it cannot encode; one that the shell closed (``>&-``) discards all."""
    if stream is None:
        return _Nowhere()
    if isinstance(stream, io.TextIOWrapper) and stream.errors in {"strict", "surrogateescape"}:
        stream.reconfigure(errors="replace")
    return stream
