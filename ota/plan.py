"""What ``all`` or ``clean`` would do, object by object: a plan as data, to be shown or compared and never carried out.

Source: the ``ensure_`` and ``delete_`` functions, whose decisions a plan asks for (``judge_…``, ``choose_…``).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from ota.errors import CloudError, OtaError, PermissionDenied, attempt
from ota.messages import AnyCommand
from ota.outcomes import QUIET, Action, Change
from ota.run import Run

__all__ = ["Plan", "Site", "attempt", "blocked"]

Site = Run  # MERGE: the rooms that still say Site follow, then this goes


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


def blocked(noun: str, name: str, error: OtaError, command: str | AnyCommand = "") -> Change:
    """The step at which a command would fail with this error; ``command`` is for an error that knows no remedy."""
    return Change(
        noun,
        Action.BLOCKED,
        name,
        error.message,
        brief=error.brief,
        command=error.remedy or command,
        problem=error,
        is_unseen=isinstance(error, (CloudError, PermissionDenied)),
    )
