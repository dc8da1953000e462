"""Brings messages to whom they belong, as far as policies and AWS's quotas allow.

Answers of jobs and streams go to the connection that asked, whether it subscribed or not, and once only; to others when
they subscribed. Every account and region has clients, subscriptions and retained messages of its own.

Beyond AWS: none of the rates is enforced (100 messages and 512 KiB a second for a connection, one CONNECT a second for
a client id), for a rehearsal should be quick. Below AWS: no session outlives its connection (a client that asks for one
is told by CONNACK that there is none), no shadows, no shared subscriptions, no rules. How AWS ends a client that breaks
a quota is UNVERIFIED; here it is disconnected, and too many subscriptions are refused in SUBACK.

Source: AWS IoT Developer Guide, "MQTT" (differences from the specification), "Reserved topics", "Jobs device MQTT API";
AWS IoT quotas.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from moto.iot.models import iot_backends

from . import device_policy, device_topics, mqtt_packets
from .device_policy import Caller, Decision, decide
from .mqtt_packets import Connect, Message
from .mqtt_refusals import MAX_WHY_CHARACTERS, Refusal, RefusalLog
from .mqtt_topics import Subscriptions, find_problem, matches
from .state import Event, Sandbox

if TYPE_CHECKING:
    from .connections import Connection

MAX_CLIENT_ID_BYTES = 128
MAX_FILTERS = 8
MAX_SUBSCRIPTIONS = 50
MAX_RETAINED = 500
NOT_AUTHORIZED = 7
_RULES, _THINGS = "$aws/rules/", "$aws/things/"


@dataclass
class Realm:
    """What belongs to one account in one region."""

    clients: dict[str, Connection] = field(default_factory=dict)
    subscriptions: Subscriptions[Connection] = field(default_factory=Subscriptions)


class Router:
    """Judges and delivers. Every method but ``announce`` runs in the broker's thread."""

    def __init__(self, sandbox: Sandbox, refusals: RefusalLog) -> None:
        self._sandbox = sandbox
        self._refusals = refusals
        self._realms: dict[tuple[str, str], Realm] = {}
        self._events: deque[tuple[str, str, Event]] = deque()

    def admit(self, connection: Connection, connect: Connect) -> int:
        """The code of CONNACK for this CONNECT: 7 when the policies do not allow it, which is AWS's own number."""
        client_id = connection.caller.client_id
        if len(client_id.encode()) > MAX_CLIENT_ID_BYTES or not (connect.client_id or connect.clean_session):
            connection.refuse("mqtt", client_id, "a client id must have from 1 to 128 bytes")
            return mqtt_packets.BAD_CLIENT_ID
        if self._allows(connection, device_policy.CONNECT, f"client/{client_id}"):
            return mqtt_packets.ACCEPTED
        return NOT_AUTHORIZED

    def enter(self, connection: Connection) -> None:
        """Take the client in; another connection with its client id ends."""
        clients = self._realm(connection.caller).clients
        earlier = clients.get(connection.caller.client_id)
        clients[connection.caller.client_id] = connection
        if earlier is not None:
            earlier.drop("mqtt", connection.caller.client_id, "another connection with this client id took its place")

    def leave(self, connection: Connection) -> None:
        """Forget the client; its last will is published unless it left on purpose."""
        realm = self._realm(connection.caller)
        for wanted in connection.filters:
            realm.subscriptions.discard(wanted, connection)
        connection.filters.clear()
        if realm.clients.get(connection.caller.client_id) is connection:
            del realm.clients[connection.caller.client_id]
        will, connection.will = connection.will, None
        if will is not None and will.qos < 2 and self.accept(connection, will):
            self.publish(connection, will)

    def accept(self, connection: Connection, message: Message) -> bool:
        """Whether the client may publish this; it is disconnected when not."""
        problem = _find_problem(message)
        if problem:
            connection.refuse("mqtt", message.topic, problem)
            return False
        needed = [device_policy.PUBLISH, *([device_policy.RETAIN_PUBLISH] if message.retain else [])]
        return all(self._allows(connection, action, f"topic/{message.topic}") for action in needed)

    def publish(self, connection: Connection, message: Message) -> None:
        """Deliver an accepted message, and answer it where it is a request."""
        if message.topic.startswith(_RULES):
            return
        if message.retain and not message.topic.startswith("$"):
            self._retain(connection.caller, message)
        self._deliver(connection.caller, message, [message.payload])
        if device_topics.is_request(message.topic):
            self._answer(connection, message)
        elif message.topic.startswith(_THINGS):
            connection.refuse("mqtt", message.topic, "the sandbox has no shadows; nothing answers")

    def subscribe(self, connection: Connection, filters: tuple[tuple[str, int], ...]) -> list[int] | None:
        """A code for each filter; none at all when QoS 2 is among them; None when the client has to go."""
        if len(filters) > MAX_FILTERS:
            connection.refuse("mqtt", filters[0][0], f"one SUBSCRIBE may hold at most {MAX_FILTERS} filters")
            return None
        if any(qos > 1 for _, qos in filters):
            connection.refuse("mqtt", filters[0][0], "QoS 2 is not served: the SUBSCRIBE is ignored")
            return []
        return [self._subscribe(connection, wanted, qos) for wanted, qos in filters]

    def unsubscribe(self, connection: Connection, filters: tuple[str, ...]) -> None:
        """Give up these filters."""
        for wanted in filters:
            self._realm(connection.caller).subscriptions.discard(wanted, connection)
            connection.filters.discard(wanted)

    def send_retained(self, connection: Connection, filters: list[tuple[str, int]]) -> None:
        """Send the retained messages that a new subscription meets."""
        for message in list(_retained(connection.caller).values()):
            qos = [qos for wanted, qos in filters if matches(wanted, message.topic)]
            if qos and self._allows(connection, device_policy.RECEIVE, f"topic/{message.topic}"):
                connection.send([replace(message, qos=min(message.qos, max(qos)))])

    def announce(self, account_id: str, region: str, event: Event) -> None:
        """Keep what AWS IoT publishes by itself until ``flush``, in order; callable from any thread."""
        self._events.append((account_id, region, event))

    def flush(self) -> None:
        """Deliver what was announced."""
        while self._events:
            account_id, region, event = self._events.popleft()
            message = Message(event.topic, device_topics.encode_event(event), qos=1)
            self._deliver(Caller(account_id, region, ""), message, [message.payload])

    def note(self, caller: Caller, action: str, resource: str, why: str) -> None:
        """Keep a refusal for whoever asks why."""
        now = self._sandbox.now()
        why = why[:MAX_WHY_CHARACTERS]
        self._refusals.add(Refusal(now, caller.client_id, caller.certificate_id, action, resource[:512], why))

    def client_count(self) -> int:
        """How many clients are connected."""
        return sum(len(realm.clients) for realm in list(self._realms.values()))

    def _answer(self, connection: Connection, message: Message) -> None:
        caller = connection.caller
        with self._sandbox.lock:
            self._sandbox.run_due()
            region = self._sandbox.region(caller.account_id, caller.region)
            answers = device_topics.answer(region, message.topic, message.payload)
            self.flush()
            self._deliver(caller, Message(answers.topic, b"", message.qos), answers.payloads, asker=connection)
            self._sandbox.publish(region, answers.events)
        self.flush()

    def _deliver(
        self, caller: Caller, message: Message, payloads: list[bytes], asker: Connection | None = None
    ) -> None:
        """Send the payloads on the message's topic to everyone who subscribed, each once, and to the one who asked."""
        receivers = self._realm(caller).subscriptions.holders(message.topic)
        if asker is not None:
            receivers.setdefault(asker, message.qos)
        for receiver, qos in receivers.items():
            if self._allows(receiver, device_policy.RECEIVE, f"topic/{message.topic}"):
                receiver.send([Message(message.topic, payload, min(message.qos, qos)) for payload in payloads])

    def _subscribe(self, connection: Connection, wanted: str, qos: int) -> int:
        problem = find_problem(wanted)
        if wanted.startswith("$") and not wanted.startswith("$aws/"):
            problem = "of the reserved topics only those under $aws/ are served"
        elif wanted not in connection.filters and len(connection.filters) >= MAX_SUBSCRIPTIONS:
            problem = f"a connection has at most {MAX_SUBSCRIPTIONS} subscriptions"
        if problem:
            connection.refuse("mqtt", wanted, problem)
            return mqtt_packets.SUBSCRIPTION_REFUSED
        if not self._allows(connection, device_policy.SUBSCRIBE, f"topicfilter/{wanted}"):
            return mqtt_packets.SUBSCRIPTION_REFUSED
        self._realm(connection.caller).subscriptions.add(wanted, connection, qos)
        connection.filters.add(wanted)
        return qos

    def _allows(self, connection: Connection, action: str, resource: str) -> bool:
        with self._sandbox.lock:
            decision: Decision = decide(connection.caller, action, resource)
        if not decision.allowed:
            connection.refuse(decision.action, decision.resource, decision.why)
        return decision.allowed

    def _retain(self, caller: Caller, message: Message) -> None:
        kept = _retained(caller)
        kept.pop(message.topic, None)
        if message.payload and len(kept) < MAX_RETAINED:
            kept[message.topic] = replace(message, packet_id=0)

    def _realm(self, caller: Caller) -> Realm:
        return self._realms.setdefault((caller.account_id, caller.region), Realm())


def _retained(caller: Caller) -> dict[str, Message]:
    """Kept on moto's backend, so that a reset forgets them too."""
    backend = iot_backends[caller.account_id][caller.region]
    kept: dict[str, Message] = vars(backend).setdefault("retained_messages", {})
    return kept


def _find_problem(message: Message) -> str | None:
    """Why nobody may publish this, whatever the policies say."""
    problems: Iterator[str | None] = iter(
        [
            f"a message has at most {mqtt_packets.MAX_PAYLOAD_BYTES} bytes"
            if len(message.payload) > mqtt_packets.MAX_PAYLOAD_BYTES
            else None,
            None if message.topic.startswith(_RULES) else find_problem(message.topic),
            "the topic is reserved" if message.topic.startswith("$") and not _is_for_clients(message.topic) else None,
        ]
    )
    return next((one for one in problems if one), None)


def _is_for_clients(topic: str) -> bool:
    """Whether a client may publish on this topic under ``$``: jobs, streams, shadows and rules."""
    return topic.startswith(_RULES) or device_topics.is_request(topic) or _is_shadow(topic)


def _is_shadow(topic: str) -> bool:
    parts = topic.split("/")
    return topic.startswith(_THINGS) and len(parts) > 3 and parts[3] == "shadow"
