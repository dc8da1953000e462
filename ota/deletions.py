"""Deletions that follow one another in a teardown, with the line and the reason that each leaves behind.

What somebody else made stays and is no failure; what is ours and cannot go is one, but keeps nothing else from going.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ota import ownership
from ota.errors import InTheWay, NotOurs
from ota.outcomes import Outcome, Verb


def not_ours(tags: Mapping[str, str], thing_name: str) -> str:
    """Why an object with these tags stays, in a few words."""
    owner = ownership.other_thing(tags, thing_name)
    return f"made for the thing {owner}, stays" if owner else "not made by this tool, stays; --force deletes it"


@dataclass
class Chain:
    """Deletions that follow one another: a line for each, and why something of ours stays."""

    outcomes: list[Outcome[Any]] = field(default_factory=list)
    remains: list[str] = field(default_factory=list)

    def delete(self, noun: str, name: str, work: Callable[[], Outcome[None]]) -> bool:
        """Do one deletion; whether the object is gone now. What is not ours is skipped, and no failure."""
        try:
            self.outcomes.append(work())
        except NotOurs as refusal:
            self.outcomes.append(Outcome(noun, Verb.SKIPPED, name, str(refusal)))
            return False
        except InTheWay as refusal:
            reason = refusal.brief if refusal.brief != str(refusal) else "in use, stays"
            self.outcomes.append(Outcome(noun, Verb.SKIPPED, name, reason))
            self.remains.append(str(refusal))
            return False
        return True
