"""What a look found: one sentence each, how bad it is, and the one command that mends it.

Data, so that a screen, a JSON document and another task that stops on the same mistakes all say the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ota.messages import AnyCommand, Message, Remedy, Text, joined, message


class Severity(str, Enum):
    """How bad a finding is."""

    FATAL = "fatal"
    WARNING = "warning"
    OK = "ok"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: what was looked at, in a word: "signature".
        severity: fatal: it cannot work; warning: it may not; ok; skipped: it could not be looked at.
        text: one sentence, without a full stop.
        command: the command that fixes it, or several steps; empty where nothing needs fixing.
    """

    subject: str
    severity: Severity
    text: Text
    command: str | AnyCommand | Remedy = ""

    def as_json(self) -> dict[str, Any]:
        """The finding as plain values, its messages and commands still to be rendered."""
        return {
            "subject": self.subject,
            "severity": self.severity.value,
            "text": self.text,
            "command": self.command,
        }


def ok(subject: str, text: Text) -> Finding:
    """A finding that all is well."""
    return Finding(subject, Severity.OK, text)


def warning(subject: str, text: Text, command: str | AnyCommand | Remedy = "") -> Finding:
    """A finding that may mean trouble."""
    return Finding(subject, Severity.WARNING, text, command)


def fatal(subject: str, text: Text, command: str | AnyCommand | Remedy = "") -> Finding:
    """A finding that means it cannot work."""
    return Finding(subject, Severity.FATAL, text, command)


def skipped(subject: str, text: Text) -> Finding:
    """A finding that nothing is known."""
    return Finding(subject, Severity.SKIPPED, text)


def of_severity(findings: Iterable[Finding], severity: Severity) -> tuple[Finding, ...]:
    """Those findings that are so bad."""
    return tuple(finding for finding in findings if finding.severity is severity)


def failure_text(findings: Iterable[Finding]) -> Message:
    """The findings as an error's lines: each sentence, and under it its command in backquotes."""
    lines: list[Text] = []
    for finding in findings:
        lines.append(message(f"{finding.subject}: ", as_message(finding.text)))
        lines += [message("  mend it with: ", *_steps(finding.command))] if finding.command else []
    return joined("\n", lines)


def as_message(text: Text) -> Message:
    """The text as a message."""
    return text if isinstance(text, Message) else message(text)


def _steps(command: str | AnyCommand | Remedy) -> list[str | AnyCommand]:
    if isinstance(command, str):
        return [f"`{command}`"]
    steps = command if isinstance(command, tuple) else (command,)
    return [piece for step in steps for piece in (" && ", step)][1:]
