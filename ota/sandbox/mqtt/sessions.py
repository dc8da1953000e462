"""A connected client as the router sees it, and the lifecycle events that AWS IoT publishes about it.

The router depends on ``Client``, which ``connections`` implements, so that the two do not import each other. The events
are always on, on ``$aws/events/presence/…`` and ``$aws/events/subscriptions/…``. Clients whose id contains a wildcard
character have none, for no topic can carry that id.

Source: AWS IoT Developer Guide, "Lifecycle events".
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ota.sandbox.jobs.model import Event
from ota.sandbox.policy.callers import Caller

from .packets import Message

# Why a connection ended, in AWS's words.
BY_CLIENT = "CLIENT_INITIATED_DISCONNECT"
CLIENT_ERROR = "CLIENT_ERROR"
LOST = "CONNECTION_LOST"
REPLACED = "DUPLICATE_CLIENTID"
SILENT = "MQTT_KEEP_ALIVE_TIMEOUT"
NOT_AUTHORIZED = "AUTH_ERROR"
BY_SERVER = "SERVER_INITIATED_DISCONNECT"


@dataclass(frozen=True)
class Session:
    """One connection of a client: its own id, and how many connections this client id had before."""

    caller: Caller
    session_id: str
    number: int
    thing_name: str | None = None


class Client(ABC):
    """A client's connection. ``will`` is published when it ends unexpectedly; ``end_reason`` is one of the above."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.filters: set[str] = set()
        self.will: Message | None = None
        self.session: Session | None = None
        self.end_reason = LOST

    @abstractmethod
    def send(self, messages: list[Message]) -> None:
        """Send messages in one piece."""

    @abstractmethod
    def refuse(self, action: str, resource: str, why: str) -> None:
        """Record that something of this client's was not allowed."""

    @abstractmethod
    def drop(self, action: str, resource: str, why: str, reason: str) -> None:
        """Record why, and end the connection at once; ``reason`` is one of the above."""


def connected(session: Session, now: float) -> list[Event]:
    """The client has connected; ``now`` in epoch seconds."""
    return _event(session, "presence", "connected", now, ipAddress="127.0.0.1", versionNumber=session.number)


def disconnected(session: Session, now: float, reason: str) -> list[Event]:
    """The connection has ended, for one of the reasons above."""
    details = {"clientInitiatedDisconnect": reason == BY_CLIENT, "disconnectReason": reason}
    return _event(session, "presence", "disconnected", now, **details, versionNumber=session.number)


def subscribed(session: Session, now: float, filters: Iterable[str]) -> list[Event]:
    """The client has subscribed to these filters."""
    return _subscriptions(session, "subscribed", now, list(filters))


def unsubscribed(session: Session, now: float, filters: Iterable[str]) -> list[Event]:
    """The client has unsubscribed from these filters."""
    return _subscriptions(session, "unsubscribed", now, list(filters))


def _subscriptions(session: Session, what: str, now: float, filters: list[str]) -> list[Event]:
    return _event(session, "subscriptions", what, now, topics=filters) if filters else []


def _event(session: Session, kind: str, what: str, now: float, **details: Any) -> list[Event]:
    client_id = session.caller.client_id
    if "+" in client_id or "#" in client_id:
        return []
    thing = {"thingName": session.thing_name} if session.thing_name else {}
    payload = {
        "clientId": client_id,
        **thing,
        "timestamp": int(now * 1000),
        "eventType": what,
        "sessionIdentifier": session.session_id,
        "principalIdentifier": session.caller.certificate_id,
        **details,
    }
    return [Event(f"$aws/events/{kind}/{what}/{client_id}", payload)]
