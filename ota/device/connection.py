"""A device's MQTT connection to the cloud: mutual TLS, MQTT 3.1.1, and waits with a limit.

paho-mqtt runs its loop in a thread of its own, which only puts events into a queue. The device's own thread takes them
from the queue, so that its code reads from top to bottom. QoS 0 and a clean session, as the firmware does it: the
device requests again what a lost connection has lost. Nothing reconnects by itself.

Source: AWS IoT Developer Guide, "Device communication protocols"; eclipse/paho.mqtt.python 2.
"""

from __future__ import annotations

import queue
import socket
import ssl
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ota.device.identity import CloudEndpoint, DeviceIdentity, tls_context
from ota.device.messages import read_answer
from ota.device.options import Timing
from ota.device.refusals import Refused, Rejected, Stage, Symptom
from ota.errors import DeviceFailed

if TYPE_CHECKING:
    from paho.mqtt.client import Client

KEEP_ALIVE_S = 60
CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class MqttMessage:
    """A message that has arrived."""

    topic: str
    payload: bytes = field(repr=False)


@dataclass(frozen=True)
class JobsResponse:
    """An accepted response of AWS IoT Jobs: its members and the length of the message."""

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
    """A message is sent, or with QoS 1 acknowledged."""

    number: int


@dataclass(frozen=True)
class _Lost:
    reason: str


class Connection:
    """One connection of one device. Call ``open`` first; every wait has a limit."""

    def __init__(self, endpoint: CloudEndpoint, identity: DeviceIdentity, timing: Timing) -> None:
        self._endpoint = endpoint
        self._identity = identity
        self._answer_timeout_s = timing.answer_timeout_s
        self._clock = timing.clock
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._backlog: deque[MqttMessage] = deque()
        self._client: Client | None = None

    def open(self) -> None:
        """Connect.

        Raises:
            Refused: the cloud did not accept the connection.
            DeviceFailed: the cloud cannot be reached, or its certificate does not match.
        """
        client = self._make_client()
        endpoint = self._endpoint
        try:
            client.connect(endpoint.host, endpoint.port, keepalive=KEEP_ALIVE_S)
        except ssl.SSLCertVerificationError as error:
            raise DeviceFailed(
                f"the server does not prove that it is {endpoint.name}, the endpoint of the firmware's header: "
                f"{error.verify_message}"
            ) from error
        except ssl.SSLError as error:
            raise Refused(Stage.CONNECT, Symptom.CLOSED, error.reason or "TLS") from error
        except OSError as error:
            at = "" if endpoint.host == endpoint.name else f" ({endpoint.host})"
            raise DeviceFailed(
                f"{endpoint.name}{at} cannot be reached on port {endpoint.port}: {error.strerror or error}. Check the "
                "network and the endpoint in the firmware's header"
            ) from error
        self._client = client
        client.loop_start()
        event = self._wait(_Connected, Stage.CONNECT, Symptom.CLOSED)
        if not event.is_accepted:
            raise Refused(Stage.CONNECT, Symptom.CONNACK, event.reason)

    def close(self) -> None:
        """Disconnect; a closed connection stays closed."""
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()

    def cut(self) -> None:
        """Break the connection as a network failure does: without DISCONNECT."""
        sock = self._client.socket() if self._client else None
        if isinstance(sock, socket.socket):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def publish(self, topic: str, payload: bytes) -> None:
        """Send a message with QoS 0, which is not acknowledged."""
        if self._client is not None:
            self._client.publish(topic, payload, qos=0)

    def publish_acknowledged(self, topic: str, payload: bytes, stage: Stage) -> None:
        """Send a message with QoS 1 and wait for the acknowledgement.

        Raises:
            Refused: it was not accepted.
        """
        sent = self._client and self._client.publish(topic, payload, qos=1)
        while self._wait(_Published, stage, Symptom.DROPPED).number != (sent and sent.mid):
            pass

    def subscribe(self, topic: str, stage: Stage) -> None:
        """Subscribe and wait for SUBACK.

        Raises:
            Refused: the cloud refused the subscription, or did not answer.
        """
        if self._client is not None:
            self._client.subscribe(topic, qos=0)
        if not self._wait(_Subscribed, stage, Symptom.DROPPED).is_accepted:
            raise Refused(stage, Symptom.SUBACK, topic)

    def request(self, topic: str, payload: bytes, stage: Stage) -> JobsResponse:
        """Send a request to AWS IoT Jobs and wait for its response; other messages are kept for ``receive``.

        Raises:
            Rejected: the cloud rejected the request.
            Refused: the connection ended, or no answer came.
        """
        self.publish(topic, payload)
        deadline = self._clock() + self._answer_timeout_s
        kept: list[MqttMessage] = []
        while (message := self._next(deadline, stage)) is not None:
            if message.topic in (f"{topic}/accepted", f"{topic}/rejected"):
                self._backlog.extendleft(reversed(kept))
                return _accepted(message, stage)
            kept.append(message)
        raise Refused(stage, Symptom.SILENCE, f"{topic}, for {self._answer_timeout_s:g} s")

    def receive(self, timeout_s: float, stage: Stage) -> MqttMessage | None:
        """The next message; None where none arrives within this time.

        Raises:
            Refused: the connection ended.
        """
        return self._next(self._clock() + timeout_s, stage)

    def _next(self, deadline: float, stage: Stage) -> MqttMessage | None:
        while True:
            event = self._backlog.popleft() if self._backlog else self._take(deadline)
            if isinstance(event, _Lost):
                raise Refused(stage, Symptom.DROPPED, event.reason)
            if event is None or isinstance(event, MqttMessage):
                return event

    def _wait(self, kind: type[Any], stage: Stage, when_lost: Symptom) -> Any:
        """The next event of this kind; messages that arrive before it are kept for ``receive``."""
        deadline = self._clock() + self._answer_timeout_s
        while (event := self._take(deadline)) is not None:
            if isinstance(event, kind):
                return event
            if isinstance(event, _Lost):
                raise Refused(stage, when_lost, event.reason)
            if isinstance(event, MqttMessage):
                self._backlog.append(event)
        raise Refused(stage, Symptom.SILENCE, f"for {self._answer_timeout_s:g} s")

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
        client.tls_set_context(tls_context(self._endpoint, self._identity))
        client.on_connect = lambda _c, _u, _f, reason, _p: put(_Connected(not reason.is_failure, str(reason)))
        client.on_disconnect = lambda _c, _u, _f, reason, _p: put(_Lost(str(reason)))
        client.on_subscribe = lambda _c, _u, _m, reasons, _p: put(
            _Subscribed(not any(one.is_failure for one in reasons))
        )
        client.on_publish = lambda _c, _u, number, _r, _p: put(_Published(number))
        client.on_message = lambda _c, _u, message: put(MqttMessage(message.topic, bytes(message.payload)))
        return client


def _accepted(message: MqttMessage, stage: Stage) -> JobsResponse:
    told = read_answer(message.payload)
    if message.topic.endswith("/accepted"):
        return JobsResponse(told, len(message.payload))
    status = str(told.get("executionState", {}).get("status", ""))
    raise Rejected(stage, str(told.get("code", "")), str(told.get("message", "")), status=status)
