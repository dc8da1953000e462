"""Recorded calls and injected faults: latency, refusals, dropped connections, withheld answers.

Tests use these to count calls, to measure round trips, and to inject every failure at every call: throttling, missing
permission, expired credentials, another change under way, an object that is not known everywhere yet, a broken
connection, and a client that is killed before it gets AWS's answer.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

from ota.sandbox.moto.responses import AwsError

ACTIONS = ("error", "drop-before", "drop-after", "hold")
MAX_RECORDED = 20_000  # calls; the oldest are forgotten
KINDS = ("throttling", "access-denied", "expired-token", "conflict", "not-found")


@dataclass
class Record:
    """One call.

    Attributes:
        status: of its answer; 0 while unanswered or never processed.
        denied: what the caller's policies do not allow, ``"iot:DeleteThing on arn:…"``; empty for all else.
    """

    service: str
    operation: str
    status: int = 0
    denied: str = ""


@dataclass
class Rule:
    """A fault for matching calls. ``operation`` "*" is any; ``service`` "" is any.

    Attributes:
        nth: the first matching call that gets the fault, from 1.
        times: how many matching calls in a row get it, from ``nth`` on; 0 means all of them.
        spreads: whether every later call gets it too, whatever its operation, as when credentials have expired.
        action: "error", "drop-before" or "drop-after" processing, or "hold": process, then withhold the answer.
        error: ``{"kind": one of KINDS}`` in the service's own form, or ``{"code", "status", "message"}``.
    """

    operation: str = "*"
    service: str = ""
    nth: int = 1
    times: int = 1
    spreads: bool = False
    action: str = "error"
    error: dict[str, Any] = field(default_factory=lambda: {"kind": "throttling"})
    id: int = 0
    seen: int = 0
    holding: int = 0

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise AwsError("InvalidRequestException", f"unknown action {self.action!r}; one of {', '.join(ACTIONS)}")

    def meets(self, service: str, operation: str) -> bool:
        """Count a matching call; True when it gets the fault."""
        if self.spreads and self.seen >= self.nth:
            return True
        if self.operation not in {"*", operation} or self.service not in {"", service}:
            return False
        self.seen += 1
        last = self.nth + self.times - 1
        return self.seen >= self.nth and (self.times == 0 or self.seen <= last)


class Faults:
    """The active rules, the recorded calls, and the latency of each call in seconds."""

    def __init__(self) -> None:
        self.latency_s = 0.0
        self._rules: list[Rule] = []
        self._calls: deque[Record] = deque(maxlen=MAX_RECORDED)
        self._ids = itertools.count(1)
        self._released: set[int] = set()
        self._changed = threading.Condition()

    def record(self, service: str, operation: str) -> Record:
        """Record a call."""
        with self._changed:
            self._calls.append(Record(service, operation))
            return self._calls[-1]

    def match(self, service: str, operation: str) -> Rule | None:
        """The first rule whose fault this call gets; every matching rule counts it."""
        with self._changed:
            met = [rule for rule in self._rules if rule.meets(service, operation)]
        return met[0] if met else None

    def hold(self, rule: Rule) -> None:
        """Wait until the rule is released or deleted."""
        with self._changed:
            rule.holding += 1
            self._changed.wait_for(lambda: rule.id in self._released or rule not in self._rules)
            rule.holding -= 1

    def add(self, fields: dict[str, Any]) -> int:
        """Add a rule; returns its id."""
        with self._changed:
            rule = Rule(**fields)
            rule.id = next(self._ids)
            self._rules.append(rule)
            return rule.id

    def release(self) -> None:
        """Send every withheld answer."""
        with self._changed:
            self._released.update(rule.id for rule in self._rules)
            self._changed.notify_all()

    def clear_rules(self) -> None:
        """Delete all rules; withheld answers are sent."""
        with self._changed:
            self._rules.clear()
            self._changed.notify_all()

    def clear_calls(self) -> None:
        """Delete the recorded calls."""
        with self._changed:
            self._calls.clear()

    def reset(self) -> None:
        """Delete rules and calls, and set the latency to zero."""
        self.clear_rules()
        self.clear_calls()
        self.latency_s = 0.0

    def calls(self) -> list[dict[str, Any]]:
        """The calls in order of arrival: ``{"service", "operation", "status"}``, and ``denied`` where set."""
        with self._changed:
            found = [asdict(record) for record in self._calls]
        return [one if one["denied"] else {name: one[name] for name in one if name != "denied"} for one in found]

    def rules(self) -> list[dict[str, Any]]:
        """The active rules, with the number of matching calls and of answers withheld by each."""
        with self._changed:
            return [asdict(rule) for rule in self._rules]
