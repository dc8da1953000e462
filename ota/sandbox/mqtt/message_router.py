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

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import uuid4

from ota.sandbox.jobs.state import Event, Sandbox
from ota.sandbox.policy import device_policy
from ota.sandbox.policy.callers import Caller, find_exclusive_thing
from ota.sandbox.policy.device_policy import Decision, decide

from . import device_topics, lifecycle_events, mqtt_packets, mqtt_quotas, retained
from .lifecycle_events import Session
from .mqtt_packets import Connect, Message
from .mqtt_refusals import MAX_WHY_CHARACTERS, Refusal, RefusalLog
from .mqtt_topics import Subscriptions

if TYPE_CHECKING:
    from .connections import Connection

NOT_AUTHORIZED = 7


@dataclass
class Realm:
    """What belongs to one account in one region."""

    clients: dict[str, Connection] = field(default_factory=dict)
    sessions: Counter[str] = field(default_factory=Counter)
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
        is_too_long = len(client_id.encode()) > mqtt_quotas.MAX_CLIENT_ID_BYTES
        if is_too_long or not (connect.client_id or connect.clean_session):
            connection.refuse("mqtt", client_id, "a client id must have from 1 to 128 bytes")
            return mqtt_packets.BAD_CLIENT_ID
        if self._allows(connection, device_policy.CONNECT, f"client/{client_id}"):
            return mqtt_packets.ACCEPTED
        return NOT_AUTHORIZED

    def enter(self, connection: Connection) -> None:
        """Take the client in; another connection with its client id ends."""
        caller, realm = connection.caller, self._realm(connection.caller)
        earlier = realm.clients.get(caller.client_id)
        realm.clients[caller.client_id] = connection
        with self._sandbox.lock:
            thing_name = find_exclusive_thing(caller)
        connection.session = Session(caller, str(uuid4()), realm.sessions[caller.client_id], thing_name)
        realm.sessions[caller.client_id] += 1
        if earlier is not None:
            why = "another connection with this client id took its place"
            earlier.drop("mqtt", caller.client_id, why, lifecycle_events.REPLACED)
        self._tell(caller, lifecycle_events.connected(connection.session, self._sandbox.now()))

    def leave(self, connection: Connection) -> None:
        """Forget the client; its last will is published unless it left on purpose."""
        realm = self._realm(connection.caller)
        for wanted in connection.filters:
            realm.subscriptions.discard(wanted, connection)
        connection.filters.clear()
        if realm.clients.get(connection.caller.client_id) is connection:
            del realm.clients[connection.caller.client_id]
        will, connection.will = connection.will, None
        if will is not None and will.qos < 2 and self.find_refusal(connection, will) is None:
            self.publish(connection, will)
        if connection.session is not None:
            gone = lifecycle_events.disconnected(connection.session, self._sandbox.now(), connection.end_reason)
            self._tell(connection.caller, gone)

    def find_refusal(self, connection: Connection, message: Message) -> str | None:
        """Why the client has to go (one of ``lifecycle_events``) when it publishes this; None when it may."""
        problem = mqtt_quotas.find_publish_problem(message)
        if problem:
            connection.refuse("mqtt", message.topic, problem)
            return lifecycle_events.CLIENT_ERROR
        needed = [device_policy.PUBLISH, *([device_policy.RETAIN_PUBLISH] if message.retain else [])]
        if all(self._allows(connection, action, f"topic/{message.topic}") for action in needed):
            return None
        return lifecycle_events.NOT_AUTHORIZED

    def publish(self, connection: Connection, message: Message) -> None:
        """Deliver an accepted message, and answer it where it is a request."""
        if message.topic.startswith(mqtt_quotas.RULES):
            return
        if message.retain and not message.topic.startswith("$"):
            retained.keep(connection.caller, message)
        self._deliver(connection.caller, message, [message.payload])
        if device_topics.is_request(message.topic):
            self._answer(connection, message)
        elif message.topic.startswith(mqtt_quotas.THINGS):
            connection.refuse("mqtt", message.topic, "the sandbox has no shadows; nothing answers")

    def subscribe(self, connection: Connection, filters: tuple[tuple[str, int], ...]) -> list[int] | None:
        """A code for each filter; none at all when QoS 2 is among them; None when the client has to go."""
        if len(filters) > mqtt_quotas.MAX_FILTERS:
            why = f"one SUBSCRIBE may hold at most {mqtt_quotas.MAX_FILTERS} filters"
            connection.refuse("mqtt", filters[0][0], why)
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
        if connection.session is not None:
            told = lifecycle_events.unsubscribed(connection.session, self._sandbox.now(), filters)
            self._tell(connection.caller, told)

    def follow_subscribe(self, connection: Connection, filters: list[tuple[str, int]]) -> None:
        """What comes of new subscriptions: the retained messages that they meet; and others are told of them."""
        for message in retained.find(connection.caller, filters):
            if self._allows(connection, device_policy.RECEIVE, f"topic/{message.topic}"):
                connection.send([message])
        if connection.session is not None:
            new = [wanted for wanted, _ in filters]
            self._tell(connection.caller, lifecycle_events.subscribed(connection.session, self._sandbox.now(), new))

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

    def reset(self) -> None:
        """Count connections from the beginning again."""
        for realm in self._realms.values():
            realm.sessions.clear()

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
        problem = mqtt_quotas.find_subscribe_problem(wanted, connection.filters)
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

    def _tell(self, caller: Caller, events: list[Event]) -> None:
        """Deliver what AWS IoT tells of this client, in turn with what else it tells."""
        for event in events:
            self.announce(caller.account_id, caller.region, event)
        self.flush()

    def _realm(self, caller: Caller) -> Realm:
        return self._realms.setdefault((caller.account_id, caller.region), Realm())
