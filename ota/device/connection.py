"""A device's connection to the cloud: mutual TLS, MQTT 3.1.1, and waits that end.

paho-mqtt runs its loop in a thread of its own and only puts what arrives into a queue; all decisions are made by who
takes from it, so that a device's work reads from top to bottom. QoS 0 and a clean session, as the firmware has it:
what a lost connection loses is asked for again. Nothing reconnects by itself.

Source: AWS IoT Developer Guide, "Device communication protocols"; eclipse/paho.mqtt.python 2.
"""

from __future__ import annotations

import queue
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ota.device.identity import Identity, Site
from ota.device.messages import read_answer
from ota.device.refusals import Place, Refused, Rejected, Symptom
from ota.device.tls import tls_context
from ota.errors import DeviceFailed

if TYPE_CHECKING:
    from paho.mqtt.client import Client

KEEP_ALIVE_S = 60
CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Message:
    """Something that arrived."""

    topic: str
    payload: bytes = field(repr=False)


@dataclass(frozen=True)
class Answer:
    """What jobs answered to a request: its members, and how long the message was."""

    members: dict[str, Any] = field(repr=False)
    size_bytes: int


@dataclass(frozen=True)
class _Connected:
    is_accepted: bool
    reason: str


@dataclass(frozen=True)
class _Subscribed:
    is_accepted: bool


@dataclass(frozen=True)
class _Published:
    """A message has left, or with QoS 1 arrived."""

    number: int


@dataclass(frozen=True)
class _Lost:
    reason: str


class Connection:
    """One connection of one device. ``open`` it first; every wait ends with a message or with :class:`Refused`."""

    def __init__(
        self,
        site: Site,
        identity: Identity,
        *,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._site = site
        self._identity = identity
        self._answer_timeout_s = answer_timeout_s
        self._clock = clock
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._backlog: deque[Message] = deque()
        self._client: Client | None = None

    def open(self) -> None:
        """Connect.

        Raises:
            Refused: the cloud did not accept the connection.
            DeviceFailed: it cannot be reached, or is not who it should be.
        """
        client = self._make_client()
        site = self._site
        try:
            client.connect(site.host, site.port, keepalive=KEEP_ALIVE_S)
        except ssl.SSLCertVerificationError as error:
            raise DeviceFailed(
                f"what answers does not prove that it is {site.endpoint}, the endpoint of the firmware's header: "
                f"{error.verify_message}"
            ) from error
        except ssl.SSLError as error:
            raise Refused(Place.CONNECT, Symptom.CLOSED, error.reason or "TLS") from error
        except OSError as error:
            at = "" if site.host == site.endpoint else f" ({site.host})"
            raise DeviceFailed(
                f"{site.endpoint}{at} cannot be reached on port {site.port}: {error.strerror or error}. Check the "
                "network and the endpoint in the firmware's header"
            ) from error
        self._client = client
        client.loop_start()
        event = self._wait(_Connected, Place.CONNECT, Symptom.CLOSED)
        if not event.is_accepted:
            raise Refused(Place.CONNECT, Symptom.CONNACK, event.reason)

    def close(self) -> None:
        """Leave; closing twice is no mistake."""
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()

    def cut(self) -> None:
        """Lose the connection as a network does: without a word."""
        sock = self._client.socket() if self._client else None
        if isinstance(sock, socket.socket):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def publish(self, topic: str, payload: bytes) -> None:
        """Send a message; QoS 0, so nobody says that it arrived."""
        if self._client is not None:
            self._client.publish(topic, payload, qos=0)

    def publish_surely(self, topic: str, payload: bytes, place: Place) -> None:
        """Send a message and wait until the cloud has it.

        Raises:
            Refused: it was not accepted.
        """
        sent = self._client and self._client.publish(topic, payload, qos=1)
        while self._wait(_Published, place, Symptom.DROPPED).number != (sent and sent.mid):
            pass

    def subscribe(self, wanted: str, place: Place) -> None:
        """Subscribe and wait for the answer.

        Raises:
            Refused: the cloud said no, or nothing.
        """
        if self._client is not None:
            self._client.subscribe(wanted, qos=0)
        if not self._wait(_Subscribed, place, Symptom.DROPPED).is_accepted:
            raise Refused(place, Symptom.SUBACK, wanted)

    def ask(self, topic: str, payload: bytes, place: Place) -> Answer:
        """Send a request of jobs and wait until it is accepted. What else arrives meanwhile is kept.

        Raises:
            Rejected: the cloud answered with a refusal.
            Refused: the connection ended, or no answer came.
        """
        self.publish(topic, payload)
        deadline = self._clock() + self._answer_timeout_s
        kept: list[Message] = []
        while (message := self._next(deadline, place)) is not None:
            if message.topic in (f"{topic}/accepted", f"{topic}/rejected"):
                self._backlog.extendleft(reversed(kept))
                return _accepted(message, place)
            kept.append(message)
        raise Refused(place, Symptom.SILENCE, f"{topic}, for {self._answer_timeout_s:g} s")

    def receive(self, timeout_s: float, place: Place) -> Message | None:
        """The next message; None when none came in this time.

        Raises:
            Refused: the connection ended.
        """
        return self._next(self._clock() + timeout_s, place)

    def _next(self, deadline: float, place: Place) -> Message | None:
        while True:
            event = self._backlog.popleft() if self._backlog else self._take(deadline)
            if isinstance(event, _Lost):
                raise Refused(place, Symptom.DROPPED, event.reason)
            if event is None or isinstance(event, Message):
                return event

    def _wait(self, kind: type[Any], place: Place, when_lost: Symptom) -> Any:
        """The next event of this kind; messages that come before it are kept."""
        deadline = self._clock() + self._answer_timeout_s
        while (event := self._take(deadline)) is not None:
            if isinstance(event, kind):
                return event
            if isinstance(event, _Lost):
                raise Refused(place, when_lost, event.reason)
            if isinstance(event, Message):
                self._backlog.append(event)
        raise Refused(place, Symptom.SILENCE, f"for {self._answer_timeout_s:g} s")

    def _take(self, deadline: float) -> Any:
        try:
            return self._events.get(timeout=max(0.0, deadline - self._clock()))
        except queue.Empty:
            return None

    def _make_client(self) -> Client:
        from paho.mqtt.client import Client, MQTTv311
        from paho.mqtt.enums import CallbackAPIVersion

        put = self._events.put
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._identity.thing_name,
            clean_session=True,
            protocol=MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.tls_set_context(tls_context(self._site, self._identity))
        client.on_connect = lambda _c, _u, _f, reason, _p: put(_Connected(not reason.is_failure, str(reason)))
        client.on_disconnect = lambda _c, _u, _f, reason, _p: put(_Lost(str(reason)))
        client.on_subscribe = lambda _c, _u, _m, reasons, _p: put(
            _Subscribed(not any(one.is_failure for one in reasons))
        )
        client.on_publish = lambda _c, _u, number, _r, _p: put(_Published(number))
        client.on_message = lambda _c, _u, message: put(Message(message.topic, bytes(message.payload)))
        return client


def _accepted(message: Message, place: Place) -> Answer:
    told = read_answer(message.payload)
    if message.topic.endswith("/accepted"):
        return Answer(told, len(message.payload))
    status = str(told.get("executionState", {}).get("status", ""))
    raise Rejected(place, str(told.get("code", "")), str(told.get("message", "")), status=status)
