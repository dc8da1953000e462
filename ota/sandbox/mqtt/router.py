"""Routes messages to their subscribers, as far as policies and AWS's quotas allow.

Answers of jobs and streams go once to the connection that asked, subscribed or not, and to other subscribers. Every
account and region has its own clients, subscriptions and retained messages.

More permissive than AWS: rates are not limited (100 messages and 512 KiB a second for a connection, one CONNECT a
second for a client id), so that tests are quick. Not supported: persistent sessions (CONNACK says that there is none),
shadows, shared subscriptions, rules. What AWS does with a client that exceeds a quota is UNVERIFIED; here it is
disconnected, and too many subscriptions are refused in SUBACK.

Source: AWS IoT Developer Guide, "MQTT" (differences from the specification), "Reserved topics", "Jobs device MQTT API";
AWS IoT quotas.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from uuid import uuid4

from ota.sandbox.jobs.model import Event
from ota.sandbox.jobs.state import Sandbox
from ota.sandbox.policy import device_policy
from ota.sandbox.policy.callers import Caller, find_exclusive_thing
from ota.sandbox.policy.device_policy import Decision, decide

from . import device_requests, packets, sessions, topics
from .packets import Connect, Message
from .refusal_log import MAX_WHY_CHARACTERS, Refusal, RefusalLog
from .sessions import Client, Session
from .topics import Subscriptions

NOT_AUTHORIZED = 7


@dataclass
class Realm:
    """The clients and subscriptions of one account in one region."""

    clients: dict[str, Client] = field(default_factory=dict)
    sessions: Counter[str] = field(default_factory=Counter)
    subscriptions: Subscriptions[Client] = field(default_factory=Subscriptions)


class Router:
    """Authorizes and delivers. Every method but ``announce`` runs in the broker's thread."""

    def __init__(self, sandbox: Sandbox, refusals: RefusalLog) -> None:
        self._sandbox = sandbox
        self._refusals = refusals
        self._realms: dict[tuple[str, str], Realm] = {}
        self._events: deque[tuple[str, str, Event]] = deque()

    def admit(self, client: Client, connect: Connect) -> int:
        """The code of CONNACK for this CONNECT: 7, AWS's own code, when the policies do not allow it."""
        client_id = client.caller.client_id
        is_too_long = len(client_id.encode()) > topics.MAX_CLIENT_ID_BYTES
        if is_too_long or not (connect.client_id or connect.clean_session):
            client.refuse("mqtt", client_id, "a client id must have from 1 to 128 bytes")
            return packets.BAD_CLIENT_ID
        if self._allows(client, device_policy.CONNECT, f"client/{client_id}"):
            return packets.ACCEPTED
        return NOT_AUTHORIZED

    def enter(self, client: Client) -> None:
        """Register the client; another connection with its client id ends."""
        caller, realm = client.caller, self._realm(client.caller)
        earlier = realm.clients.get(caller.client_id)
        realm.clients[caller.client_id] = client
        with self._sandbox.lock:
            thing_name = find_exclusive_thing(caller)
        client.session = Session(caller, str(uuid4()), realm.sessions[caller.client_id], thing_name)
        realm.sessions[caller.client_id] += 1
        if earlier is not None:
            why = "another connection with this client id took its place"
            earlier.drop("mqtt", caller.client_id, why, sessions.REPLACED)
        self._tell(caller, sessions.connected(client.session, self._sandbox.now()))

    def leave(self, client: Client) -> None:
        """Unregister the client; its last will is published unless it sent DISCONNECT."""
        realm = self._realm(client.caller)
        for wanted in client.filters:
            realm.subscriptions.discard(wanted, client)
        client.filters.clear()
        if realm.clients.get(client.caller.client_id) is client:
            del realm.clients[client.caller.client_id]
        will, client.will = client.will, None
        if will is not None and will.qos < 2 and self.find_refusal(client, will) is None:
            self.publish(client, will)
        if client.session is not None:
            gone = sessions.disconnected(client.session, self._sandbox.now(), client.end_reason)
            self._tell(client.caller, gone)

    def find_refusal(self, client: Client, message: Message) -> str | None:
        """The reason (one of ``sessions``) to disconnect a client that publishes this; None when it may."""
        problem = topics.find_publish_problem(message)
        if problem:
            client.refuse("mqtt", message.topic, problem)
            return sessions.CLIENT_ERROR
        needed = [device_policy.PUBLISH, *([device_policy.RETAIN_PUBLISH] if message.retain else [])]
        if all(self._allows(client, action, f"topic/{message.topic}") for action in needed):
            return None
        return sessions.NOT_AUTHORIZED

    def publish(self, client: Client, message: Message) -> None:
        """Deliver an accepted message, and answer it if it is a request."""
        if message.topic.startswith(topics.RULES):
            return
        if message.retain and not message.topic.startswith("$"):
            topics.keep_retained(client.caller, message)
        self._deliver(client.caller, message, [message.payload])
        if device_requests.is_request(message.topic):
            self._answer(client, message)
        elif message.topic.startswith(topics.THINGS):
            client.refuse("mqtt", message.topic, "the sandbox has no shadows; nothing answers")

    def subscribe(self, client: Client, filters: tuple[tuple[str, int], ...]) -> list[int] | None:
        """A code for each filter; an empty list, no answer, for QoS 2; None when the client is to be disconnected."""
        if len(filters) > topics.MAX_FILTERS:
            why = f"one SUBSCRIBE may hold at most {topics.MAX_FILTERS} filters"
            client.refuse("mqtt", filters[0][0], why)
            return None
        if any(qos > 1 for _, qos in filters):
            client.refuse("mqtt", filters[0][0], "QoS 2 is not served: the SUBSCRIBE is ignored")
            return []
        return [self._subscribe(client, wanted, qos) for wanted, qos in filters]

    def unsubscribe(self, client: Client, filters: tuple[str, ...]) -> None:
        """Unsubscribe the client from these filters."""
        for wanted in filters:
            self._realm(client.caller).subscriptions.discard(wanted, client)
            client.filters.discard(wanted)
        if client.session is not None:
            told = sessions.unsubscribed(client.session, self._sandbox.now(), filters)
            self._tell(client.caller, told)

    def follow_subscribe(self, client: Client, filters: list[tuple[str, int]]) -> None:
        """After a SUBSCRIBE: send the matching retained messages, and publish the lifecycle event."""
        for message in topics.find_retained(client.caller, filters):
            if self._allows(client, device_policy.RECEIVE, f"topic/{message.topic}"):
                client.send([message])
        if client.session is not None:
            new = [wanted for wanted, _ in filters]
            self._tell(client.caller, sessions.subscribed(client.session, self._sandbox.now(), new))

    def announce(self, account_id: str, region: str, event: Event) -> None:
        """Queue an event until ``flush``; callable from any thread."""
        self._events.append((account_id, region, event))

    def flush(self) -> None:
        """Deliver the queued events, in order."""
        while self._events:
            account_id, region, event = self._events.popleft()
            message = Message(event.topic, device_requests.encode_event(event), qos=1)
            self._deliver(Caller(account_id, region, ""), message, [message.payload])

    def note(self, caller: Caller, action: str, resource: str, why: str) -> None:
        """Record a refusal."""
        now = self._sandbox.now()
        why = why[:MAX_WHY_CHARACTERS]
        self._refusals.add(Refusal(now, caller.client_id, caller.certificate_id, action, resource[:512], why))

    def reset(self) -> None:
        """Restart the count of each client's connections."""
        for realm in self._realms.values():
            realm.sessions.clear()

    def client_count(self) -> int:
        """How many clients are connected."""
        return sum(len(realm.clients) for realm in list(self._realms.values()))

    def _answer(self, client: Client, message: Message) -> None:
        caller = client.caller
        with self._sandbox.lock:
            self._sandbox.run_due()
            region = self._sandbox.region(caller.account_id, caller.region)
            answers = device_requests.answer(region, message.topic, message.payload)
            self.flush()
            self._deliver(caller, Message(answers.topic, b"", message.qos), answers.payloads, asker=client)
            self._sandbox.publish(region, answers.events)
        self.flush()

    def _deliver(self, caller: Caller, message: Message, payloads: list[bytes], asker: Client | None = None) -> None:
        """Send the payloads on the message's topic to every subscriber, each once, and to the asking client."""
        receivers = self._realm(caller).subscriptions.holders(message.topic)
        if asker is not None:
            receivers.setdefault(asker, message.qos)
        for receiver, qos in receivers.items():
            if self._allows(receiver, device_policy.RECEIVE, f"topic/{message.topic}"):
                receiver.send([Message(message.topic, payload, min(message.qos, qos)) for payload in payloads])

    def _subscribe(self, client: Client, wanted: str, qos: int) -> int:
        problem = topics.find_subscribe_problem(wanted, client.filters)
        if problem:
            client.refuse("mqtt", wanted, problem)
            return packets.SUBSCRIPTION_REFUSED
        if not self._allows(client, device_policy.SUBSCRIBE, f"topicfilter/{wanted}"):
            return packets.SUBSCRIPTION_REFUSED
        self._realm(client.caller).subscriptions.add(wanted, client, qos)
        client.filters.add(wanted)
        return qos

    def _allows(self, client: Client, action: str, resource: str) -> bool:
        with self._sandbox.lock:
            decision: Decision = decide(client.caller, action, resource)
        if not decision.allowed:
            client.refuse(decision.action, decision.resource, decision.why)
        return decision.allowed

    def _tell(self, caller: Caller, events: list[Event]) -> None:
        """Deliver events about this client, after those queued before."""
        for event in events:
            self.announce(caller.account_id, caller.region, event)
        self.flush()

    def _realm(self, caller: Caller) -> Realm:
        return self._realms.setdefault((caller.account_id, caller.region), Realm())
