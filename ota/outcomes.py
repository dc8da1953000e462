"""Decisions, results and findings as data: what has to become of an object, what was done to it, what a check found.

A noun's ``decide_`` functions return a :class:`Change`; its ``make_`` and ``delete_`` functions carry one out and
return an :class:`Outcome`. ``plan`` shows changes and ``all`` carries the same ones out. A :class:`Finding` is the
result of one check, with the command that fixes it. All are data, so that a screen, a JSON document and an error show
the same: only ``report.py`` and the screens print.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

from ota.errors import CloudError, OtaError, PermissionDenied
from ota.messages import AnyCommand, Command, Message, Remedy, Shell, Text, joined, message

T = TypeVar("T")


class Action(str, Enum):
    """What has to become of an object; the second word of its line in a plan."""

    CREATE = "create"
    REUSE = "reuse"
    CHANGE = "change"
    REPLACE = "replace"
    BUILD = "build"
    UPLOAD = "upload"
    WAIT = "wait"
    ASK = "ask"
    SKIP = "skip"
    BLOCKED = "blocked"
    DELETE = "delete"
    KEEP = "keep"
    ABSENT = "absent"


# Actions that leave everything as it is; a teardown keeps what it finds and must not delete.
QUIET = frozenset({Action.REUSE, Action.SKIP, Action.ABSENT, Action.KEEP})


@dataclass(frozen=True)
class Change:
    """A decision about one object.

    Attributes:
        noun: the kind of object, as in the line that ``all`` prints.
        action: what has to become of it.
        name: the object's own name, or its path.
        detail: why, or how; for a blocked object the whole message of ``problem``.
        difference: for a change, what is there and what is wanted, as a unified diff.
        brief: for a blocked object what is wrong in one sentence; for a reused one what its owner should change.
        command: the command that fixes what ``brief`` says, or several steps; empty where there is none.
        is_certain: False where it depends on the image that the build makes.
        is_unseen: AWS refused the look or did not answer, so that the object's state is unknown.
        found: the object as it was found, or all that the decision rests on; None where there is nothing.
        wanted: the document or request that the object has to match.
        problem: for a blocked object, the error that carrying it out would raise.
    """

    noun: str
    action: Action
    name: str
    detail: Text = ""
    difference: str = ""
    brief: Text = ""
    command: AnyCommand | Remedy = ()
    is_certain: bool = True
    is_unseen: bool = False
    found: Any = None
    wanted: Any = None
    problem: OtaError | None = None

    def check(self) -> None:
        """Refuse to carry out a blocked change.

        Raises:
            OtaError: the change is blocked; the error says why and how to go on.
        """
        if self.problem is not None:
            raise self.problem

    def as_json(self) -> dict[str, Any]:
        """The change as plain values, its messages and commands still to be rendered."""
        return {
            "noun": self.noun,
            "action": self.action.value,
            "name": self.name,
            "detail": self.detail,
            "difference": self.difference,
            "brief": self.brief,
            "command": self.command,
            "certain": self.is_certain,
        }


def blocked(noun: str, name: str, error: OtaError, remedy: AnyCommand | Remedy = ()) -> Change:
    """The change at which a command would fail with this error; ``remedy`` is for an error that has none."""
    return Change(
        noun,
        Action.BLOCKED,
        name,
        error.message,
        brief=error.brief,
        command=error.remedy or remedy,
        is_unseen=isinstance(error, (CloudError, PermissionDenied)),
        problem=error,
    )


class Verb(str, Enum):
    """What happened to the object; the second word of its line."""

    CREATED = "created"
    REUSED = "reused"
    CHANGED = "changed"
    DELETED = "deleted"
    ABSENT = "absent"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """One object, what was done to it, and the object itself.

    Attributes:
        noun: the kind of object, in the field's term: "thing", "certificate", "role".
        verb: what was done.
        name: the object's own name, or its path.
        detail: what else is worth knowing, in a few words; never a secret.
        value: the object as it is now; None where nothing is left to hand on.
    """

    noun: str
    verb: Verb
    name: str
    detail: Text = ""
    value: T | None = None

    def as_json(self) -> dict[str, Any]:
        """The outcome as plain values, its message still to be rendered."""
        return {"noun": self.noun, "verb": self.verb.value, "name": self.name, "detail": self.detail}

    def get(self) -> T:
        """The object, for the steps that cannot do without it."""
        if self.value is None:
            raise LookupError(f"the {self.noun} {self.name} was {self.verb.value} and carries no object")
        return self.value


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
