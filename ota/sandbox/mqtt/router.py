"""Routes messages to their subscribers, as far as policies and AWS's quotas allow.

Answers of jobs and streams go once to the connection that asked, subscribed or not, and to other subscribers. Every
account and region has its own clients, subscriptions and retained messages.

More permissive than AWS: rates are not limited (100 messages and 512 KiB a second for a connection, one CONNECT a
second for a client id), so that tests are quick. Not supported: persistent sessions of MQTT 3.1.1 (CONNACK says that
there is none), shadows, shared subscriptions, rules, a will's delay. What AWS does with a client that exceeds a quota
is UNVERIFIED; here it is disconnected, and too many subscriptions are refused in SUBACK.

Source: AWS IoT Developer Guide, "MQTT" (differences from the specification, persistent sessions, MQTT 5 supported
features), "Reserved topics", "Jobs device MQTT API"; AWS IoT quotas.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from uuid import uuid4

from ota.sandbox.jobs.model import Event
from ota.sandbox.jobs.state import Sandbox
from ota.sandbox.policy import device_policy
from ota.sandbox.policy.callers import Caller, find_exclusive_thing
from ota.sandbox.policy.device_policy import Decision, decide

from . import device_requests, sessions, topics
from .packets import MQTT_3, MQTT_5, Connect, Message, Options, Subscribe
from .properties import Properties
from .reasons import ACCEPTED, Outcome, Reason
from .refusal_log import MAX_WHY_CHARACTERS, Refusal, RefusalLog
from .sessions import Client, Session, StoredSession
from .topics import Subscriptions

MAX_MESSAGE_EXPIRY_S = 604_800


@dataclass
class Realm:
    """The clients and subscriptions of one account in one region, by client id; ``stored`` are not connected."""

    clients: dict[str, Client] = field(default_factory=dict)
    stored: dict[str, StoredSession] = field(default_factory=dict)
    sessions: Counter[str] = field(default_factory=Counter)
    subscriptions: Subscriptions[Client] = field(default_factory=Subscriptions)


class Router:
    """Authorizes and delivers. Every method but ``announce`` runs in the broker's thread."""

    def __init__(self, sandbox: Sandbox, refusals: RefusalLog) -> None:
        self._sandbox = sandbox
        self._refusals = refusals
        self._realms: dict[tuple[str, str], Realm] = {}
        self._events: deque[tuple[str, str, Event]] = deque()

    def now(self) -> float:
        """Epoch seconds by the sandbox's clock."""
        return self._sandbox.now()

    def admit(self, client: Client, connect: Connect) -> Outcome:
        """Whether this CONNECT is accepted."""
        client_id = client.caller.client_id
        is_too_long = len(client_id.encode()) > topics.MAX_CLIENT_ID_BYTES
        if is_too_long or not (connect.client_id or connect.clean_start or connect.level == MQTT_5):
            why = "a client id must have from 1 to 128 bytes"
            self.note(client.caller, "mqtt", client_id, why)
            return Outcome(Reason.BAD_CLIENT_ID, why)
        problem = _find_connect_problem(connect)
        if problem is not None:
            self.note(client.caller, "mqtt", client_id, problem.why)
            return problem
        is_allowed = self._allows(client, device_policy.CONNECT, f"client/{client_id}")
        return ACCEPTED if is_allowed else Outcome(Reason.NOT_AUTHORIZED)

    def enter(self, client: Client, *, resumes: bool) -> StoredSession | None:
        """Register the client; another connection with its client id ends.

        Args:
            client: a client whose CONNECT is accepted.
            resumes: whether it wants its stored session, which is deleted otherwise.

        Returns:
            the stored session, to pass to ``resume`` after CONNACK.
        """
        caller, realm = client.caller, self._realm(client.caller)
        earlier = realm.clients.get(caller.client_id)
        realm.clients[caller.client_id] = client
        with self._sandbox.lock:
            thing_name = find_exclusive_thing(caller)
        client.session = Session(caller, str(uuid4()), realm.sessions[caller.client_id], thing_name)
        realm.sessions[caller.client_id] += 1
        if earlier is not None:
            self._store(earlier)
            why = "another connection with this client id took its place"
            earlier.drop("mqtt", caller.client_id, why, sessions.REPLACED)
        stored = realm.stored.get(caller.client_id)
        if stored is not None and (not resumes or stored.expires_at <= self.now()):
            self._delete(stored)
            stored = None
        self._tell(caller, sessions.connected(client.session, self.now()))
        return stored

    def resume(self, client: Client, stored: StoredSession) -> None:
        """Give the client the subscriptions and messages of its stored session."""
        filters, messages = stored.filters, stored.unacknowledged
        self._delete(stored)
        for wanted, options in filters.items():
            self._realm(client.caller).subscriptions.add(wanted, client, options)
            client.filters[wanted] = options
        client.send(messages)

    def leave(self, client: Client) -> None:
        """Unregister the client; its last will is published unless it sent DISCONNECT."""
        realm = self._realm(client.caller)
        self._store(client)
        for wanted in client.filters:
            realm.subscriptions.discard(wanted, client)
        client.filters.clear()
        if realm.clients.get(client.caller.client_id) is client:
            del realm.clients[client.caller.client_id]
        will, client.will = client.will, None
        if will is not None and will.qos < 2 and self.find_refusal(client, will) is None:
            self.publish(client, will)
        if client.session is not None:
            gone = sessions.disconnected(client.session, self.now(), client.end_reason)
            self._tell(client.caller, gone)

    def drop_expired(self) -> None:
        """Delete the stored sessions that have expired."""
        now = self.now()
        for realm in self._realms.values():
            for stored in [one for one in realm.stored.values() if one.expires_at <= now]:
                self._delete(stored)

    def find_refusal(self, client: Client, message: Message) -> Outcome | None:
        """Why the client may not publish this, or None."""
        problem = topics.find_publish_problem(message)
        if problem is not None:
            self.note(client.caller, "mqtt", message.topic, problem.why)
            return problem
        needed = [device_policy.PUBLISH, *([device_policy.RETAIN_PUBLISH] if message.retain else [])]
        if all(self._allows(client, action, f"topic/{message.topic}") for action in needed):
            return None
        return Outcome(Reason.NOT_AUTHORIZED)

    def publish(self, client: Client, message: Message) -> None:
        """Deliver an accepted message, and answer it if it is a request."""
        if message.topic.startswith(topics.RULES):
            return
        message = _forwarded(message, self.now())
        if message.retain and not message.topic.startswith("$"):
            topics.keep_retained(client.caller, message)
        self._deliver(client.caller, message, [message.payload], publisher=client)
        if device_requests.is_request(message.topic):
            self._answer(client, message)
        elif message.topic.startswith(topics.THINGS):
            self.note(client.caller, "mqtt", message.topic, "the sandbox has no shadows; nothing answers")

    def find_subscribe_refusal(self, client: Client, packet: Subscribe) -> Outcome:
        """Whether a SUBSCRIBE is refused as a whole."""
        outcome = _find_subscribe_problem(packet)
        if outcome.is_failure:
            self.note(client.caller, "mqtt", packet.filters[0][0], outcome.why)
        return outcome

    def subscribe(self, client: Client, filters: tuple[tuple[str, Options], ...]) -> list[Outcome]:
        """Subscribe the client; for each filter the QoS granted, or why it is refused."""
        return [self._subscribe(client, wanted, options) for wanted, options in filters]

    def unsubscribe(self, client: Client, filters: tuple[str, ...]) -> list[Reason]:
        """Unsubscribe the client from these filters; for each whether it was subscribed."""
        reasons = []
        for wanted in filters:
            self._realm(client.caller).subscriptions.discard(wanted, client)
            was_there = client.filters.pop(wanted, None) is not None
            reasons.append(Reason.SUCCESS if was_there else Reason.NO_SUBSCRIPTION)
        if client.session is not None:
            told = sessions.unsubscribed(client.session, self.now(), filters)
            self._tell(client.caller, told)
        return reasons

    def follow_subscribe(self, client: Client, filters: list[tuple[str, Options]], earlier: set[str]) -> None:
        """After a SUBSCRIBE: send the matching retained messages, and publish the lifecycle event.

        Args:
            client: the client.
            filters: the filters granted.
            earlier: the filters that it was subscribed to before.
        """
        wishes = [
            (wanted, options)
            for wanted, options in filters
            if options.retain_handling == 0 or (options.retain_handling == 1 and wanted not in earlier)
        ]
        for message in topics.find_retained(client.caller, wishes, self.now()):
            if self._allows(client, device_policy.RECEIVE, f"topic/{message.topic}"):
                client.send([message])
        if client.session is not None:
            new = [wanted for wanted, _ in filters]
            self._tell(client.caller, sessions.subscribed(client.session, self.now(), new))

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
        """Restart the count of each client's connections, and delete stored sessions."""
        for realm in self._realms.values():
            realm.sessions.clear()
            for stored in list(realm.stored.values()):
                self._delete(stored)

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

    def _deliver(
        self,
        caller: Caller,
        message: Message,
        payloads: list[bytes],
        *,
        publisher: Client | None = None,
        asker: Client | None = None,
    ) -> None:
        """Send the payloads on the message's topic to every subscriber, each once, and to the asking client."""
        receivers = self._realm(caller).subscriptions.holders(message.topic, publisher)
        if asker is not None:
            receivers.setdefault(asker, Options(message.qos))
        for receiver, options in receivers.items():
            if self._allows(receiver, device_policy.RECEIVE, f"topic/{message.topic}"):
                retain = message.retain and options.as_published
                one = replace(message, qos=min(message.qos, options.qos), retain=retain)
                receiver.send([replace(one, payload=payload) for payload in payloads])

    def _subscribe(self, client: Client, wanted: str, options: Options) -> Outcome:
        problem = topics.find_subscribe_problem(wanted, client.filters)
        if problem is not None:
            self.note(client.caller, "mqtt", wanted, problem.why)
            return problem
        if not self._allows(client, device_policy.SUBSCRIBE, f"topicfilter/{wanted}"):
            return Outcome(Reason.NOT_AUTHORIZED)
        self._realm(client.caller).subscriptions.add(wanted, client, options)
        client.filters[wanted] = options
        return Outcome(Reason.GRANTED_QOS_1) if options.qos else ACCEPTED

    def _store(self, client: Client) -> None:
        """Store the client's session if it outlives its connection; then the client has none any more."""
        expiry_s, client.session_expiry_s = client.session_expiry_s, 0
        if not expiry_s:
            return
        realm = self._realm(client.caller)
        stored = StoredSession(client, self.now() + expiry_s)
        client.filters = {}
        realm.stored[client.caller.client_id] = stored
        for wanted, options in stored.filters.items():
            realm.subscriptions.discard(wanted, client)
            realm.subscriptions.add(wanted, stored, options)

    def _delete(self, stored: StoredSession) -> None:
        realm = self._realm(stored.caller)
        for wanted in stored.filters:
            realm.subscriptions.discard(wanted, stored)
        del realm.stored[stored.caller.client_id]

    def _allows(self, client: Client, action: str, resource: str) -> bool:
        with self._sandbox.lock:
            decision: Decision = decide(client.caller, action, resource)
        if not decision.allowed:
            self.note(client.caller, decision.action, decision.resource, decision.why)
        return decision.allowed

    def _tell(self, caller: Caller, events: list[Event]) -> None:
        """Deliver events about this client, after those queued before."""
        for event in events:
            self.announce(caller.account_id, caller.region, event)
        self.flush()

    def _realm(self, caller: Caller) -> Realm:
        return self._realms.setdefault((caller.account_id, caller.region), Realm())


def _find_connect_problem(connect: Connect) -> Outcome | None:
    """Why MQTT 5 refuses this CONNECT whoever sends it, or None; 3.1.1 looks at a will only when it is published."""
    if connect.level == MQTT_3:
        return None
    if connect.properties.authentication_method is not None:
        return Outcome(Reason.BAD_AUTHENTICATION_METHOD, "AWS IoT has no enhanced authentication (AUTH)")
    if connect.will is None:
        return None
    if connect.will.qos == 2:
        return Outcome(Reason.QOS_NOT_SERVED, "QoS 2 is not served, and the will has it")
    return topics.find_publish_problem(connect.will)


def _find_subscribe_problem(packet: Subscribe) -> Outcome:
    if packet.properties.subscription_id is not None:
        return Outcome(Reason.NO_SUBSCRIPTION_IDS, "AWS IoT has no subscription identifiers")
    if len(packet.filters) > topics.MAX_FILTERS:
        return Outcome(Reason.QUOTA_EXCEEDED, f"one SUBSCRIBE may hold at most {topics.MAX_FILTERS} filters")
    if any(options.qos > 1 for _, options in packet.filters):
        return Outcome(Reason.QOS_NOT_SERVED, "QoS 2 is not served: the SUBSCRIBE is ignored")
    return ACCEPTED


def _forwarded(message: Message, now: float) -> Message:
    """The message with the properties that its receivers get; AWS keeps an expiry from 1 second to 7 days."""
    given = message.properties
    expiry_s = given.message_expiry_s
    expires_at = None if expiry_s is None else now + min(max(expiry_s, 1), MAX_MESSAGE_EXPIRY_S)
    properties = Properties(
        payload_format=given.payload_format,
        content_type=given.content_type,
        response_topic=given.response_topic,
        correlation_data=given.correlation_data,
        user=given.user,
    )
    return replace(message, properties=properties, expires_at=expires_at)
