"""The sandbox's control endpoints as methods, for tests."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any
from urllib.parse import urlsplit

from ota.sandbox.process import Address


class Control:
    """Talks to ``/_sandbox/`` of one sandbox."""

    def __init__(self, address: Address) -> None:
        self.address = address

    def ask(self, method: str, what: str, **body: Any) -> dict[str, Any]:
        """One control request; its JSON answer. ValueError when the sandbox refuses it."""
        where = urlsplit(self.address.endpoint_url)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
        try:
            headers = {"x-sandbox-secret": self.address.secret}
            connection.request(method, f"/_sandbox/{what}", body=json.dumps(body), headers=headers)
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise ValueError(answer["message"])
        return answer

    def reset(self) -> None:
        self.ask("POST", "reset")

    def keep(self, name: str) -> None:
        """Remember everything in the account as it is now, for ``restore``."""
        self.ask("POST", "keep", name=name)

    def restore(self, name: str) -> None:
        """Empty the account, and bring back what was kept by this name."""
        self.ask("POST", "restore", name=name)

    def objects(self) -> dict[str, str]:
        """Each object's place in the account to a hash over all that is known of it."""
        found: dict[str, str] = self.ask("GET", "objects")["objects"]
        return found

    def health(self) -> dict[str, Any]:
        return self.ask("GET", "health")

    def calls(self, *, clear: bool = False) -> list[dict[str, Any]]:
        """Every call so far in order of arrival: ``{"service", "operation", "status"}``."""
        calls: list[dict[str, Any]] = self.ask("GET", "calls")["calls"]
        if clear:
            self.clear_calls()
        return calls

    def operations(self, *, clear: bool = False) -> list[str]:
        """The operations' names alone."""
        return [call["operation"] for call in self.calls(clear=clear)]

    def clear_calls(self) -> None:
        self.ask("DELETE", "calls")

    def fail(
        self,
        operation: str = "*",
        kind: str | None = "throttling",
        *,
        nth: int = 1,
        times: int = 1,
        spreads: bool = False,
        service: str = "",
        code: str | None = None,
        status: int = 400,
        message: str = "",
    ) -> int:
        """Refuse matching calls: kind throttling, access-denied or expired-token, else code, status and message."""
        error = {"code": code, "status": status, "message": message or code} if code else {"kind": kind}
        meets = {"operation": operation, "service": service, "nth": nth, "times": times, "spreads": spreads}
        return self._add(**meets, action="error", error=error)

    def drop(self, operation: str = "*", *, nth: int = 1, times: int = 1, processed: bool = False) -> int:
        """Close the connection of matching calls without an answer, before or after they are processed."""
        action = "drop-after" if processed else "drop-before"
        return self._add(operation=operation, nth=nth, times=times, action=action)

    def hold(self, operation: str = "*", *, nth: int = 1) -> int:
        """Process the nth matching call and withhold its answer until ``release``."""
        return self._add(operation=operation, nth=nth, action="hold")

    def wait_until_held(self, rule: int, *, timeout_s: float = 20.0, poll_s: float = 0.005) -> bool:
        """Whether a call's answer came to be withheld by this rule in time."""
        for _ in range(round(timeout_s / poll_s)):
            if any(found["id"] == rule and found["holding"] for found in self.rules()):
                return True
            time.sleep(poll_s)
        return False

    def release(self) -> None:
        self.ask("POST", "release")

    def rules(self) -> list[dict[str, Any]]:
        rules: list[dict[str, Any]] = self.ask("GET", "faults")["rules"]
        return rules

    def clear_faults(self) -> None:
        self.ask("DELETE", "faults")

    def latency(self, seconds: float) -> None:
        self.ask("POST", "latency", seconds=seconds)

    def pause(self, seconds: float) -> None:
        """How long asynchronous states last from now on, until the next reset."""
        self.ask("POST", "pause", seconds=seconds)

    def advance_clock(self, seconds: float) -> None:
        self.ask("POST", "clock", advance_s=seconds)

    def speed(self, factor: float) -> None:
        """Let the sandbox's clock run this many times as fast as the real one, until the next reset."""
        self.ask("POST", "speed", factor=factor)

    def iam_delay(self, seconds: float) -> None:
        self.ask("POST", "iam-delay", seconds=seconds)

    def _add(self, **rule: Any) -> int:
        number: int = self.ask("POST", "faults", **rule)["id"]
        return number
