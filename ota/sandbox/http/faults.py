"""What happens to a call on its way: recorded, delayed, refused, dropped, or its answer withheld.

Tests use these to count calls, to price round trips, and to meet every failure at every call: throttling, missing
permission, expired credentials, a broken connection, and a client that is killed between AWS's work and AWS's answer.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import asdict, dataclass, field
from typing import Any

from ota.sandbox.moto.responses import AwsError

ACTIONS = ("error", "drop-before", "drop-after", "hold")
KINDS = ("throttling", "access-denied", "expired-token")


@dataclass
class Record:
    """One call: its service, operation, and HTTP status; 0 while unanswered or never processed."""

    service: str
    operation: str
    status: int = 0


@dataclass
class Rule:
    """Which calls meet what. ``operation`` "*" is any; ``service`` "" is any.

    Attributes:
        nth: the first matching call to meet it, from 1.
        times: how many matching calls in a row meet it, from ``nth`` on; 0 means all of them.
        action: "error", "drop-before" or "drop-after" processing, or "hold": process, then withhold the answer.
        error: ``{"kind": one of KINDS}`` in the service's own form, or ``{"code", "status", "message"}``.
    """

    operation: str = "*"
    service: str = ""
    nth: int = 1
    times: int = 1
    action: str = "error"
    error: dict[str, Any] = field(default_factory=lambda: {"kind": "throttling"})
    id: int = 0
    seen: int = 0
    holding: int = 0

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise AwsError("InvalidRequestException", f"unknown action {self.action!r}; one of {', '.join(ACTIONS)}")

    def meets(self, service: str, operation: str) -> bool:
        """Count a call that matches; True when it is one of those that meet the rule."""
        if self.operation not in {"*", operation} or self.service not in {"", service}:
            return False
        self.seen += 1
        last = self.nth + self.times - 1
        return self.seen >= self.nth and (self.times == 0 or self.seen <= last)


class Faults:
    """The rules in force, the calls so far, and the latency of each call in seconds."""

    def __init__(self) -> None:
        self.latency_s = 0.0
        self._rules: list[Rule] = []
        self._calls: list[Record] = []
        self._ids = itertools.count(1)
        self._released: set[int] = set()
        self._changed = threading.Condition()

    def record(self, service: str, operation: str) -> Record:
        """Note that a call has arrived."""
        with self._changed:
            self._calls.append(Record(service, operation))
            return self._calls[-1]

    def match(self, service: str, operation: str) -> Rule | None:
        """The first rule that this call meets; every rule counts it."""
        with self._changed:
            met = [rule for rule in self._rules if rule.meets(service, operation)]
        return met[0] if met else None

    def hold(self, rule: Rule) -> None:
        """Wait until the rule is released or cleared."""
        with self._changed:
            rule.holding += 1
            self._changed.wait_for(lambda: rule.id in self._released or rule not in self._rules)
            rule.holding -= 1

    def add(self, fields: dict[str, Any]) -> int:
        """Put a rule in force; its number."""
        with self._changed:
            rule = Rule(**fields)
            rule.id = next(self._ids)
            self._rules.append(rule)
            return rule.id

    def release(self) -> None:
        """Let every withheld answer go."""
        with self._changed:
            self._released.update(rule.id for rule in self._rules)
            self._changed.notify_all()

    def clear_rules(self) -> None:
        """No rules any more; withheld answers go out."""
        with self._changed:
            self._rules.clear()
            self._changed.notify_all()

    def clear_calls(self) -> None:
        """Forget the calls so far."""
        with self._changed:
            self._calls.clear()

    def reset(self) -> None:
        """As at the start."""
        self.clear_rules()
        self.clear_calls()
        self.latency_s = 0.0

    def calls(self) -> list[dict[str, Any]]:
        """The calls in order of arrival: ``{"service", "operation", "status"}``."""
        with self._changed:
            return [asdict(record) for record in self._calls]

    def rules(self) -> list[dict[str, Any]]:
        """The rules in force, with how often each was met by name and how many answers it withholds."""
        with self._changed:
            return [asdict(rule) for rule in self._rules]
