"""Findings: one sentence on one thing that was checked, how severe it is, and the command that fixes it.

Findings are data, so that a screen, a JSON document and an error show the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ota.messages import AnyCommand, Command, Message, Remedy, Shell, Text, joined, message


class Severity(str, Enum):
    """How severe a finding is."""

    FATAL = "fatal"
    WARNING = "warning"
    OK = "ok"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        subject: what was checked, in a word: "signature".
        severity: fatal: it cannot work; warning: it may not; ok; skipped: it could not be checked.
        text: one sentence, without a full stop.
        command: the steps that fix it; empty where nothing needs fixing.
    """

    subject: str
    severity: Severity
    text: Text
    command: Remedy = ()

    def is_fixed_by(self, task: str) -> bool:
        """Whether the command that fixes it ends with this task."""
        last = self.command[-1] if self.command else None
        return isinstance(last, Command) and last.tasks[-1] == (task,)

    def as_json(self) -> dict[str, Any]:
        """The finding as plain values, its messages and commands still to be rendered."""
        return {
            "subject": self.subject,
            "severity": self.severity.value,
            "text": self.text,
            "command": self.command,
        }


def ok(subject: str, text: Text) -> Finding:
    """A finding that nothing is wrong."""
    return Finding(subject, Severity.OK, text)


def warning(subject: str, text: Text, command: AnyCommand | Remedy = ()) -> Finding:
    """A finding that it may not work."""
    return Finding(subject, Severity.WARNING, text, _steps(command))


def fatal(subject: str, text: Text, command: AnyCommand | Remedy = ()) -> Finding:
    """A finding that it cannot work."""
    return Finding(subject, Severity.FATAL, text, _steps(command))


def skipped(subject: str, text: Text) -> Finding:
    """A finding that it could not be checked."""
    return Finding(subject, Severity.SKIPPED, text)


def of_severity(findings: Iterable[Finding], severity: Severity) -> tuple[Finding, ...]:
    """The findings of this severity."""
    return tuple(finding for finding in findings if finding.severity is severity)


def failure_text(findings: Iterable[Finding]) -> Message:
    """The findings as an error's lines: each sentence, and under it the command that fixes it."""
    lines: list[Text] = []
    for finding in findings:
        lines.append(message(f"{finding.subject}: ", finding.text))
        if finding.command:
            lines.append(message("  fix it with: ", joined(" && ", [message(step) for step in finding.command])))
    return joined("\n", lines)


def _steps(command: AnyCommand | Remedy) -> Remedy:
    return (command,) if isinstance(command, Command | Shell) else command
