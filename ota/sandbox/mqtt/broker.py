"""The sandbox's MQTT broker: a thread of its process that devices connect to as they do to AWS IoT.

Existing brokers do not fit: amqtt since 0.11.2 refuses messages that clients publish on topics beginning with ``$`` and
gives a plugin no way to answer a publisher that has not subscribed; mosquitto does not evaluate IoT policies and is
another process. The part of MQTT 3.1.1 and MQTT 5 that AWS supports is small.

One asyncio loop in one thread owns all connections. It shares the registry, jobs and streams with the HTTP side under
the sandbox's lock, which is held for single decisions only; events of the HTTP side are passed with
``call_soon_threadsafe``, so no thread waits for a device while it holds the lock.

Source: AWS IoT Developer Guide, "Device communication protocols" (ports, mutual TLS, ALPN) and "MQTT".
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from ota.sandbox.jobs.model import Event
from ota.sandbox.jobs.state import Sandbox
from ota.sandbox.moto.authority import Authority
from ota.sandbox.policy.callers import Caller, certificate_state

from .connections import Connection, Limits
from .reasons import Reason
from .refusal_log import RefusalLog
from .router import Router
from .sessions import NOT_AUTHORIZED
from .tls import ServerTls, find_caller

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
PORT = 8883


class Broker:
    """Serves MQTT over mutual TLS on 127.0.0.1 between ``start`` and ``stop``."""

    def __init__(
        self,
        sandbox: Sandbox,
        authority: Authority,
        *,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sandbox = sandbox
        self._limits = limits or Limits()
        self._clock = clock
        self._tls = ServerTls(authority)
        self._refusals = RefusalLog()
        self._router = Router(sandbox, self._refusals)
        self._connections: set[Connection] = set()
        self._thread = threading.Thread(target=self._run, name="mqtt-broker", daemon=True)

    def start(self, port: int | None = None) -> int:
        """Listen and serve on ``port``, or on 8883 or any free port; returns the port.

        Raises:
            OSError: the requested port is not available.
        """
        listener = listen(port)
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._open(listener))
        self._sandbox.listeners.append(self._hear)
        self._thread.start()
        return int(listener.getsockname()[1])

    def stop(self) -> None:
        """End every connection and stop serving."""
        self._sandbox.listeners.remove(self._hear)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def recent_refusals(self) -> list[dict[str, Any]]:
        """The last refusals, oldest first, with ``refusal_log.Refusal``'s fields."""
        return self._refusals.recent()

    def client_count(self) -> int:
        """How many clients are connected; the sandbox is not idle while there are any."""
        return self._router.client_count()

    def reset(self) -> None:
        """End all connections, because their registry has been reset, and delete refusals.

        Waits for the broker's thread, so it must not be called with the sandbox's lock held.
        """
        asyncio.run_coroutine_threadsafe(self._reset(Reason.BY_ADMINISTRATOR), self._loop).result()

    async def _open(self, listener: socket.socket) -> None:
        self._server = await asyncio.start_server(
            self._serve, sock=listener, ssl=self._tls.context, ssl_handshake_timeout=self._limits.connect_s
        )
        self._sweeper = asyncio.ensure_future(self._sweep())

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.run_until_complete(self._close())
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        await self._reset(Reason.SHUTTING_DOWN)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # lets aborted transports close their sockets

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        secured = writer.get_extra_info("ssl_object")
        certificate = secured.getpeercert(binary_form=True)
        with self._sandbox.lock:
            caller = find_caller(certificate, self._tls.asked_name(secured))
        connection = Connection((reader, writer), caller or Caller("", "", ""), self._router, self._limits, self._clock)
        if caller is None or certificate_state(caller) != "ACTIVE":
            state = certificate_state(caller) if caller else "not registered"
            connection.drop("iot:Connect", "connection", f"the certificate is {state}", NOT_AUTHORIZED)
            return
        self._connections.add(connection)
        try:
            await connection.serve()
        finally:
            self._connections.discard(connection)

    async def _sweep(self) -> None:
        """End the connections that are silent for too long or whose certificate is no longer active."""
        while True:
            await asyncio.sleep(self._limits.sweep_s)
            self._router.drop_expired()
            for connection in list(self._connections):
                connection.drop_if_silent()
                state = certificate_state(connection.caller)
                if state != "ACTIVE":
                    connection.drop("iot:Connect", "connection", f"the certificate is {state} now", NOT_AUTHORIZED)

    def _hear(self, account_id: str, region: str, event: Event) -> None:
        """Listener of the sandbox; called in any thread."""
        self._router.announce(account_id, region, event)
        self._loop.call_soon_threadsafe(self._router.flush)

    async def _reset(self, reason: Reason) -> None:
        for connection in list(self._connections):
            connection.forget(reason)
        self._router.reset()
        self._refusals.clear()


def listen(port: int | None) -> socket.socket:
    """A listening socket with TCP_NODELAY, which asyncio sets only for sockets with an explicit protocol.

    Without it an answer waits 40 ms for the acknowledgement of the previous one.
    """
    listener = _bind(port)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _bind(port: int | None) -> socket.socket:
    if port is not None:
        return socket.create_server((HOST, port))
    try:
        return socket.create_server((HOST, PORT))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return socket.create_server((HOST, 0))
