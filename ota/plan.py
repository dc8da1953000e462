"""What ``all`` or ``clean`` would do, object by object: a plan as data, to be shown or compared and never carried out.

Source: the ``ensure_`` and ``delete_`` functions, whose decisions a plan asks for (``judge_…``, ``choose_…``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from ota.command_lines import AND, INVOKE, aim
from ota.errors import CredentialsError, OtaError, from_boto
from ota.messages import PLAIN, AnyCommand, CommandLine, Remedy
from ota.outcomes import QUIET, Action, Change
from ota.outcomes import blocked as blocked

if TYPE_CHECKING:
    from pathlib import Path

    from ota.cloud import Cloud
    from ota.settings.settings import Settings

T = TypeVar("T")


SANDBOX_SHELL = f'eval "$({INVOKE} sandbox.env)"'


@dataclass(frozen=True)
class Plan:
    """All steps, in the order in which the command prints its lines."""

    steps: tuple[Change, ...]

    @property
    def blocked(self) -> tuple[Change, ...]:
        """The steps at which the command would fail."""
        return tuple(step for step in self.steps if step.action is Action.BLOCKED)

    @property
    def changes(self) -> tuple[Change, ...]:
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
        command_line: how this command line began, for the commands that mend.
        prefix: how this command line began, for the commands that mend: "invoke sandbox with --thing-name lamp-2".
    """

    cloud: Cloud
    settings: Settings
    boundary_arn: str | None = None
    may_replace_header: bool | None = False
    prefix: str = INVOKE
    command_line: CommandLine = PLAIN
    header_notes_paths: tuple[Path, ...] = ()

    def command(self, command: str | AnyCommand | Remedy) -> str:
        """A remedy as this command line has to give it: on the same settings and the same cloud. Done once or twice."""
        if not isinstance(command, str):
            return self.command_line.remedy(command)
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


def aimed(site: Site, steps: Iterable[Change]) -> Plan:
    """The plan, with each command as this command line has to give it."""
    return Plan(tuple(replace(step, command=site.command(step.command)) for step in steps))
