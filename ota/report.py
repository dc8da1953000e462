"""Prints everything: results to stdout, messages to stderr. No other module prints.

Every object gets one line: ``noun  verb  name  detail``. A message's commands are rendered here, for the command line
on which they are shown. Colours, progress bars and spinners come from rich, and only on a terminal; elsewhere the same
words are printed plain, so that a log reads like the screen. Text from AWS, a device or a file name is printed without
control and bidirectional characters, so that it cannot change the terminal or imitate a line of this tool. Without a
terminal no question is asked: the answer is no, and the caller says which setting or flag means yes.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ota.errors import OtaError
from ota.messages import AnyCommand, Command, CommandLine, Message, Remedy, Shell, Text
from ota.outcomes import Finding, Outcome, Severity, Verb

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

NOUN_WIDTH = 11
VERB_WIDTH = 7
NAME_WIDTH = 30
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

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None, stdin: TextIO | None = None) -> None:
        self._out = _writable(out or sys.stdout)
        self._err = _writable(err or sys.stderr)
        self._stdin = stdin or sys.stdin
        self.is_terminal = self._out.isatty()
        self.command_line = CommandLine()
        self._says_aside = False
        self._here = f"{Path.cwd()}{os.sep}"

    def outcome(self, outcome: Outcome[Any]) -> None:
        """The line of one object."""
        verb, name = outcome.verb.value, self._in_one_line(outcome.name)
        detail = self._short(self.text(outcome.detail))
        end = f"{name:<{NAME_WIDTH}}  {detail}".rstrip()
        if not self.is_terminal or self._says_aside:
            self.say(f"{outcome.noun:<{NOUN_WIDTH}}  {verb:<{VERB_WIDTH}}  {end}")
            return
        from rich.text import Text as RichText

        line = RichText.assemble(
            (f"{outcome.noun:<{NOUN_WIDTH}}  ", "bold"),
            (f"{verb:<{VERB_WIDTH}}  ", STYLES[outcome.verb]),
            f"{name:<{NAME_WIDTH}}  ",
            (detail, "dim"),
        )
        line.rstrip()
        self._console.print(line, soft_wrap=True)

    def entry(self, noun: str, word: str, style: str, name: str, detail: Text = "") -> None:
        """One object's line with an action or a state instead of a verb; on a terminal its text wraps in its column."""
        name, detail = self._in_one_line(name), self._short(self.text(detail))
        if not self.is_terminal:
            first, *more = detail.splitlines() or [""]
            self._write(f"{noun:<{NOUN_WIDTH}}  {word:<{VERB_WIDTH}}  {f'{name:<{NAME_WIDTH}}  {first}'.rstrip()}")
            self.block("\n".join(more))
            return
        from rich.table import Table
        from rich.text import Text as RichText

        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(width=NOUN_WIDTH)
        grid.add_column(width=VERB_WIDTH)
        grid.add_column(overflow="fold")
        grid.add_row(RichText(noun, "bold"), RichText(word, style), RichText.assemble(name, "  ", (detail, "dim")))
        self._console.print(grid)

    def block(self, text: Text, style: str = "") -> None:
        """Indented lines under an object's line; never wrapped, so that they can be pasted."""
        indent = " " * (NOUN_WIDTH + VERB_WIDTH + 4)
        for line in self.text(text).splitlines():
            self.styled(f"{indent}{line}", DIFFERENCE_STYLES.get(line[:1], style) if style == "diff" else style)

    def prose(self, text: Text) -> None:
        """Indented sentences under an object's line; wrapped on a terminal."""
        if not self.is_terminal:
            self.block(text)
            return
        from rich.padding import Padding
        from rich.text import Text as RichText

        for line in self.text(text).splitlines():
            self._console.print(Padding(RichText(line), (0, 0, 0, NOUN_WIDTH + VERB_WIDTH + 4)))

    def styled(self, text: Text, style: str) -> None:
        """A sentence of the result, coloured on a terminal."""
        if not self.is_terminal or self._says_aside:
            self.say(text)
            return
        from rich.text import Text as RichText

        self._console.print(RichText(self.text(text), style), soft_wrap=True)

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
        """A sentence of the result; stdout, or stderr where stdout is for a JSON document."""
        if self._says_aside:
            self.note(text)
        else:
            self._write(self.text(text))

    def document(self, value: Any) -> None:
        """One JSON document on stdout; the messages and commands in ``value`` are rendered."""
        # json escapes every character that is unsafe to print, except DEL.
        self._write(json.dumps(self._rendered(value), indent=2).replace("\x7f", "\\u007f"))

    def keep_stdout_clear(self) -> None:
        """Print sentences to stderr from now on, so that stdout has nothing but a JSON document."""
        self._says_aside = True

    def note(self, text: Text) -> None:
        """A message that is not part of the result; stderr."""
        print(self.text(text), file=self._err, flush=True)

    def text(self, text: Text) -> str:
        """The text as it is printed: its commands rendered, without control characters."""
        if isinstance(text, Message):
            return printable(self.command_line.text(text))
        return printable(text)

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

    def table(self, titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Rows under titles, in columns; without a terminal each row is one line and nothing is cut."""
        lines = [tuple(titles), *(tuple(self._in_one_line(cell) for cell in row) for row in rows)]
        if not self.is_terminal:
            widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
            for line in lines:
                self._write("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())
            return
        from rich.table import Table
        from rich.text import Text as RichText

        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in titles:
            table.add_column(title, overflow="fold")
        for line in lines[1:]:
            table.add_row(*(RichText(cell) for cell in line))
        self._console.print(table)

    def findings(self, findings: Iterable[Finding]) -> None:
        """Findings, and under each the command that fixes it; never wrapped, so that it can be pasted."""
        for finding in findings:
            severity, subject, text = finding.severity.value, finding.subject, self._short(self.text(finding.text))
            if not self.is_terminal:
                self._write(f"{severity:<{VERB_WIDTH}}  {subject:<{NOUN_WIDTH}}  {text}")
            else:
                self._print_finding(severity, SEVERITY_STYLES[finding.severity], subject, text)
            if finding.command:
                self._write(f"{'':<{VERB_WIDTH}}  {self.command(finding.command)}")

    def _print_finding(self, severity: str, style: str, subject: str, text: str) -> None:
        from rich.table import Table
        from rich.text import Text as RichText

        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(width=VERB_WIDTH)
        grid.add_column(width=NOUN_WIDTH)
        grid.add_column(overflow="fold")
        grid.add_row(RichText(severity, style), RichText(subject, "bold"), RichText(text))
        self._console.print(grid)

    @contextlib.contextmanager
    def bytes_bar(self, label: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
        """A progress bar; yields the function that takes the number of bytes done so far."""
        if not self.is_terminal:
            yield lambda _: None
            return
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, console=self._console, transient=True) as progress:
            bar = progress.add_task(label, total=total_bytes)
            yield lambda count: progress.update(bar, completed=count)

    @contextlib.contextmanager
    def live_line(self, label: str) -> Iterator[Callable[[str], None]]:
        """A spinner with the newest line of a program's output; yields the function that takes a line."""
        if not self.is_terminal:
            yield lambda _: None
            return
        from rich.markup import escape

        console = self._console
        with console.status(label) as status:
            room = max(console.width - len(label) - 6, 10)
            yield lambda text: status.update(f"{label} [dim]{escape(printable(text.strip())[:room])}[/dim]")

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
        return printable(self._short(name)).replace("\n", "\\n").replace("\t", "\\t")

    def _short(self, text: str) -> str:
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
