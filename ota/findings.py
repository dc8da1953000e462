"""What a look found: one sentence each, how bad it is, and the one command that mends it.

Data, so that a screen, a JSON document and another task that stops on the same mistakes all say the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any


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
        command: a line for the shell that mends it; empty where nothing needs mending.
    """

    subject: str
    severity: Severity
    text: str
    command: str = ""

    def as_json(self) -> dict[str, Any]:
        """The finding as plain values."""
        return {**asdict(self), "severity": self.severity.value}


def ok(subject: str, text: str) -> Finding:
    """A finding that all is well."""
    return Finding(subject, Severity.OK, text)


def warning(subject: str, text: str, command: str = "") -> Finding:
    """A finding that may mean trouble."""
    return Finding(subject, Severity.WARNING, text, command)


def fatal(subject: str, text: str, command: str = "") -> Finding:
    """A finding that means it cannot work."""
    return Finding(subject, Severity.FATAL, text, command)


def skipped(subject: str, text: str) -> Finding:
    """A finding that nothing is known."""
    return Finding(subject, Severity.SKIPPED, text)


def of_severity(findings: Iterable[Finding], severity: Severity) -> tuple[Finding, ...]:
    """Those findings that are so bad."""
    return tuple(finding for finding in findings if finding.severity is severity)


def failure_text(findings: Iterable[Finding]) -> str:
    """The findings as an error's lines: each sentence, and under it its command in backquotes."""
    lines = []
    for finding in findings:
        lines.append(f"{finding.subject}: {finding.text}")
        lines += [f"  mend it with: `{finding.command}`"] if finding.command else []
    return "\n".join(lines)
