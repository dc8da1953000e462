"""What ``all`` or ``clean`` would do, object by object: a plan as data, to be shown or compared and never carried out.

Source: the ``ensure_`` and ``delete_`` functions, whose decisions a plan asks for (``judge_…``, ``choose_…``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from ota.command_lines import AND, INVOKE, aim
from ota.errors import CloudError, CredentialsError, OtaError, PermissionDenied, from_boto

if TYPE_CHECKING:
    from pathlib import Path

    from ota.cloud import Cloud
    from ota.settings.settings import Settings

T = TypeVar("T")


class Action(str, Enum):
    """What would happen to an object; the second word of its line."""

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


# What leaves everything as it is; ``keep`` is teardown's word for what it finds and must leave.
SANDBOX_SHELL = f'eval "$({INVOKE} sandbox.env)"'
QUIET = frozenset({Action.REUSE, Action.SKIP, Action.ABSENT, Action.KEEP})


@dataclass(frozen=True)
class Step:
    """One object, and what would happen to it.

    Attributes:
        noun: the kind of object, as in the line that ``all`` prints.
        action: what would happen.
        name: the object's own name, or its path.
        detail: why, or how; for a blocked step the whole message that ``all`` would fail with.
        brief: for a blocked step what is wrong in one sentence; for a reused one what its owner had better change.
        difference: for a change, what is there and what is wanted, as a unified diff.
        command: the one command that mends what ``brief`` says; empty where there is none.
        is_certain: False where it depends on what the build makes.
        is_unseen: AWS refused the look or did not answer, so that nobody knows how the object is.
    """

    noun: str
    action: Action
    name: str
    detail: str = ""
    difference: str = ""
    brief: str = ""
    command: str = ""
    is_certain: bool = True
    is_unseen: bool = False

    def as_json(self) -> dict[str, Any]:
        """The step as plain values."""
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


@dataclass(frozen=True)
class Plan:
    """All steps, in the order in which the command prints its lines."""

    steps: tuple[Step, ...]

    @property
    def blocked(self) -> tuple[Step, ...]:
        """The steps at which the command would fail."""
        return tuple(step for step in self.steps if step.action is Action.BLOCKED)

    @property
    def changes(self) -> tuple[Step, ...]:
        """The steps that would change something."""
        return tuple(step for step in self.steps if step.action not in QUIET | {Action.BLOCKED})

    def counts(self) -> dict[str, int]:
        """How many steps there are of each action."""
        return dict(Counter(step.action.value for step in self.steps))

    def as_json(self) -> dict[str, Any]:
        """The plan as plain values."""
        return {
            "would_succeed": not self.blocked,
            "changes": len(self.changes),
            "counts": self.counts(),
            "steps": [step.as_json() for step in self.steps],
        }


@dataclass(frozen=True)
class Site:
    """What a look is about.

    Attributes:
        cloud: the account.
        settings: for that account.
        boundary_arn: the permissions boundary that a role gets.
        may_replace_header: whether values that somebody put into the header are replaced; None where somebody at
            a terminal would be asked.
        header_notes_paths: where the notes of what was written into firmware headers are.
        prefix: how this command line began, for the commands that mend: "invoke sandbox with --thing-name lamp-2".
    """

    cloud: Cloud
    settings: Settings
    boundary_arn: str | None = None
    may_replace_header: bool | None = False
    prefix: str = INVOKE
    header_notes_paths: tuple[Path, ...] = ()

    def command(self, command: str) -> str:
        """A remedy as this command line has to give it: on the same settings and the same cloud. Done once or twice."""
        if SANDBOX_SHELL in command:
            return command
        return AND.join(self._aimed(part) for part in aim(command, self.prefix).split(AND)) if command else ""

    def _aimed(self, part: str) -> str:
        if part.startswith("aws ") and self.cloud.is_sandbox:
            # In a shell of its own, so that the user's is not left pointing at the sandbox.
            return f"({SANDBOX_SHELL} && {part})"
        return part


def attempt(look: Callable[[], T]) -> T | OtaError:
    """What a look found, or why it could not; no other look is kept from being made.

    Raises:
        CredentialsError: no look can be made with these.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return look()
    except CredentialsError:
        raise
    except OtaError as error:
        return error
    except (BotoCoreError, ClientError) as error:
        translated = from_boto(error)
        if isinstance(translated, CredentialsError):
            raise translated from error
        return translated


def blocked(noun: str, name: str, error: OtaError, command: str = "") -> Step:
    """The step at which a command would fail with this error; ``command`` is for an error that knows no remedy."""
    return Step(
        noun,
        Action.BLOCKED,
        name,
        str(error),
        brief=error.brief,
        command=error.remedy or command,
        is_unseen=isinstance(error, (CloudError, PermissionDenied)),
    )


def aimed(site: Site, steps: Iterable[Step]) -> Plan:
    """The plan, with each command as this command line has to give it."""
    return Plan(tuple(replace(step, command=site.command(step.command)) for step in steps))
