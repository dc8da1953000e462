"""Clients as the router sees them, connected or stored, and the lifecycle events that AWS IoT publishes about them.

The router depends on ``Client``, which ``connections`` implements, so that the two do not import each other. A session
of MQTT 5 whose expiry interval is not 0 outlives its connection: a ``StoredSession`` then receives for the client.

The events are always on, on ``$aws/events/presence/…`` and ``$aws/events/subscriptions/…``. Clients whose id contains a
wildcard character have none, for no topic can carry that id.

Source: AWS IoT Developer Guide, "Lifecycle events", "MQTT persistent sessions".
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ota.sandbox.jobs.model import Event
from ota.sandbox.policy.callers import Caller

from .packets import Message, Options
from .reasons import Reason

# Why a connection ended, in AWS's words.
BY_CLIENT = "CLIENT_INITIATED_DISCONNECT"
CLIENT_ERROR = "CLIENT_ERROR"
LOST = "CONNECTION_LOST"
REPLACED = "DUPLICATE_CLIENTID"
SILENT = "MQTT_KEEP_ALIVE_TIMEOUT"
NOT_AUTHORIZED = "AUTH_ERROR"
BY_SERVER = "SERVER_INITIATED_DISCONNECT"

MAX_EXPIRY_S = 3600  # AWS's default maximum for an account
MAX_STORED_BYTES = 8 * 1024 * 1024
_DISCONNECT_REASONS = {
    REPLACED: Reason.TAKEN_OVER,
    SILENT: Reason.KEEP_ALIVE_TIMEOUT,
    NOT_AUTHORIZED: Reason.NOT_AUTHORIZED,
    BY_SERVER: Reason.QUOTA_EXCEEDED,
}


@dataclass(frozen=True)
class Session:
    """One connection of a client: its own id, and how many connections this client id had before."""

    caller: Caller
    session_id: str
    number: int
    thing_name: str | None = None


class Client(ABC):
    """Who receives messages under a client id.

    Attributes:
        caller: the client's certificate and id.
        filters: what it subscribes to.
        will: published when the connection ends unexpectedly.
        session: what lifecycle events tell of this connection; None before CONNECT is accepted.
        end_reason: why the connection ended; one of the above.
        session_expiry_s: how long its session outlives the connection.
    """

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.filters: dict[str, Options] = {}
        self.will: Message | None = None
        self.session: Session | None = None
        self.end_reason = LOST
        self.session_expiry_s = 0

    @property
    @abstractmethod
    def unacknowledged(self) -> list[Message]:
        """The messages of QoS 1 that the client may not have, in order."""

    @abstractmethod
    def send(self, messages: list[Message]) -> None:
        """Send messages in one piece."""

    @abstractmethod
    def drop(self, action: str, resource: str, why: str, reason: str) -> None:
        """Record why, and end the connection at once; ``reason`` is one of the above."""


class StoredSession(Client):
    """The session of a client that is not connected: its subscriptions and what arrives for it with QoS 1.

    Messages beyond ``MAX_STORED_BYTES`` are dropped, as AWS drops those beyond an account's limit.
    """

    def __init__(self, client: Client, expires_at: float) -> None:
        super().__init__(client.caller)
        self.expires_at = expires_at
        self.filters = client.filters
        self._messages: list[Message] = []
        self._bytes = 0
        self.send(client.unacknowledged)

    @property
    def unacknowledged(self) -> list[Message]:
        """Everything stored."""
        return self._messages

    def send(self, messages: list[Message]) -> None:
        """Store the messages of QoS 1."""
        for message in messages:
            if message.qos and self._bytes + len(message.payload) <= MAX_STORED_BYTES:
                self._messages.append(message)
                self._bytes += len(message.payload) + len(message.topic)

    def drop(self, action: str, resource: str, why: str, reason: str) -> None:
        """Nothing: there is no connection."""


def disconnect_reason(end_reason: str) -> Reason:
    """The code of the DISCONNECT that the server sends for one of the reasons above."""
    return _DISCONNECT_REASONS.get(end_reason, Reason.UNSPECIFIED)


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
