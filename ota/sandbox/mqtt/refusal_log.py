"""The last refusals of the broker, so that a device's failure can be explained.

MQTT gives no reasons: a refused publish is a closed connection, a refused delivery is silence. The last refusals are
kept here with action, resource and reason; ``/_sandbox/refusals`` returns them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

MAX_KEPT = 200
MAX_WHY_CHARACTERS = 2000


@dataclass(frozen=True)
class Refusal:
    """One refused action.

    Attributes:
        at: epoch seconds.
        client_id: the client's; "" before its CONNECT.
        certificate_id: of the client's certificate; "" when unknown.
        action: ``iot:Connect`` and the like, or ``mqtt`` for what the protocol or a quota forbids.
        resource: the ARN of the client, topic or topic filter; for ``mqtt`` a topic, client id or packet.
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
        """Add a refusal; the oldest is dropped when the log is full."""
        self._kept.append(refusal)

    def clear(self) -> None:
        """Delete all refusals."""
        self._kept.clear()

    def recent(self) -> list[dict[str, Any]]:
        """The refusals as dicts with ``Refusal``'s fields."""
        return [asdict(one) for one in list(self._kept)]
