"""What a deletion by name was asked for, and what came of each name.

Each name is taken for itself: what is in the way of one does not keep the others. Without force nothing is deleted
that something else still needs; the refusal says what that is and which command deletes all the same. How each noun is
deleted stands in ``identity_removals`` and ``delivery_removals``, and in which order, in ``removal_runs``.

Source: the issue of a deletion is an ``Outcome`` as everywhere; see ``ota/outcomes.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ota.errors import OtaError
from ota.outcomes import Outcome, Verb
from ota.pruning import Named, spoken
from ota.selections import delete_command
from ota.update_waits import Patience

if TYPE_CHECKING:
    from ota.cloud import Cloud
    from ota.settings import Settings


@dataclass(frozen=True)
class Removal:
    """What came of one name.

    Attributes:
        outcome: its line.
        refusal: why it stays, and the way out; empty where it is gone.
        loosened: noun and name of what hung on it, which a pruning may take.
    """

    outcome: Outcome[None]
    refusal: str = ""
    loosened: tuple[Named, ...] = ()


@dataclass(frozen=True)
class Request:
    """How names are to be deleted.

    Attributes:
        cloud: where.
        settings: they name the update that needs a role, and the certificate that stays.
        is_forced: also what is in use.
        prunes: also what then hangs on nothing else.
        patience: the bounds of waiting for an update or a job to be gone.
        note: takes a sentence beside the lines.
    """

    cloud: Cloud
    settings: Settings
    is_forced: bool
    prunes: bool
    patience: Patience
    note: Callable[[str], None]

    def forced(self, noun: str, name: str) -> str:
        """The command that deletes this all the same, in backquotes."""
        return delete_command(noun, [name], "--force")

    def loosen(self, outcome: Outcome[None], was_on: list[Named]) -> Removal:
        """The line of what is gone, which tells what stays of that which hung on it."""
        if outcome.verb is not Verb.DELETED or not was_on:
            return Removal(outcome)
        detail = "" if self.prunes else f"{spoken(was_on)} {'stay' if len(was_on) > 1 else 'stays'}"
        return Removal(Outcome(outcome.noun, outcome.verb, outcome.name, detail), loosened=tuple(was_on))


def attempt(noun: str, delete: Callable[[str], Removal], name: str) -> Removal:
    """One deletion; what is in its way becomes words, so that it does not keep the others."""
    try:
        return delete(name)
    except OtaError as refusal:
        return Removal(Outcome(noun, Verb.SKIPPED, name, "stays"), str(refusal))
