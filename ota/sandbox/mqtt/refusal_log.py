"""What the broker refused lately, so that a device's silence can be explained.

MQTT says almost nothing about why: a refused publish is a closed connection, a refused delivery is nothing at all. The
last refusals are kept here with action, resource and reason, for ``/_sandbox/refusals`` and whoever explains them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

MAX_KEPT = 200
MAX_WHY_CHARACTERS = 2000


@dataclass(frozen=True)
class Refusal:
    """One thing that was not allowed.

    Attributes:
        at: epoch seconds.
        client_id: the client's; "" before its CONNECT.
        certificate_id: of the certificate it showed; "" when it showed none.
        action: ``iot:Connect`` and the like, or ``mqtt`` for what the protocol or a quota forbids.
        resource: the ARN of the client, topic or topic filter; for ``mqtt`` what it was about.
        why: a sentence that names the policy statement, certificate state or rule.
    """

    at: float
    client_id: str
    certificate_id: str
    action: str
    resource: str
    why: str


class RefusalLog:
    """The last refusals, oldest first. Written by the broker's thread, read by any."""

    def __init__(self) -> None:
        self._kept: deque[Refusal] = deque(maxlen=MAX_KEPT)

    def add(self, refusal: Refusal) -> None:
        """Keep one more; the oldest goes."""
        self._kept.append(refusal)

    def clear(self) -> None:
        """Forget them all."""
        self._kept.clear()

    def recent(self, client_id: str | None = None) -> list[dict[str, Any]]:
        """The refusals as dicts with ``Refusal``'s fields, of one client where it is named."""
        return [asdict(one) for one in list(self._kept) if client_id in (None, one.client_id)]
