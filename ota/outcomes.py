"""What a step did to one object: the line that every task prints.

Every ``ensure_`` and ``delete_`` returns one :class:`Outcome`. It carries the words of the line, so that only
``report.py`` prints, and the object as it is now, so that the next step needs no second look.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

T = TypeVar("T")


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
    detail: str = ""
    value: T | None = None

    def get(self) -> T:
        """The object, for the steps that cannot do without it."""
        if self.value is None:
            raise LookupError(f"the {self.noun} {self.name} was {self.verb.value} and carries no object")
        return self.value
