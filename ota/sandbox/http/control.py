"""The sandbox's control endpoints under ``/_sandbox/``: inspect, reset, stop, inject faults.

Whoever calls them sends the secret of the address file in the header ``x-sandbox-secret``, so that only those who may
read that file can.

| path | GET | POST (JSON body) | DELETE |
|---|---|---|---|
| health | pid, directory, processor time in seconds (now and at the start of serving), number of resets | | |
| calls | the recorded calls, in order | | delete them |
| faults | the active rules | add a rule (``faults.Rule``) | delete all rules |
| release | | send withheld answers | |
| latency | | ``{"seconds": s}`` added to each call | |
| pause | | ``{"seconds": s}``: duration of asynchronous states, until reset | |
| clock | | ``{"advance_s": s}``: move the clock ahead | |
| speed | | ``{"factor": f}``: let the clock run f times as fast as the real one, until reset | |
| iam-delay | | ``{"seconds": s}`` until IAM changes take effect | |
| lost-blocks | | ``{"block": i, "times": n}``: data block i of any stream is lost n times | |
| refusals | the last refusals of the MQTT broker (``mqtt.refusal_log.Refusal``) | | |
| objects | each object's place, with a hash of all that is known of it | | |
| keep | | ``{"name": n}``: keep all state under this name | |
| restore | | ``{"name": n}``: replace all state by what was kept under this name | |
| reset | | delete all state | |
| stop | | end the process | |
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ota.sandbox.jobs.state import Sandbox
from ota.sandbox.moto.responses import AwsError

from . import snapshots
from .faults import Faults

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from ota.sandbox.mqtt.broker import Broker

    from .answers import Answer


class Control:
    """Answers the control endpoints and measures how long the sandbox has been idle."""

    def __init__(
        self, sandbox: Sandbox, faults: Faults, broker: Broker, directory: Path, reset_clouds: Callable[[], None]
    ) -> None:
        self._sandbox = sandbox
        self._faults = faults
        self._broker = broker
        self._directory = directory
        self._reset_clouds = reset_clouds
        self._busy = 0
        self._counting = threading.Lock()
        self._last_call = time.monotonic()
        self._started_cpu_s = time.process_time()
        self._resets = 0
        self._kept: dict[str, snapshots.Snapshot] = {}
        self.stopping = threading.Event()
        self.secret = secrets.token_hex(32)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Mark the sandbox as not idle while a request is answered."""
        with self._counting:
            self._busy += 1
        try:
            yield
        finally:
            with self._counting:
                self._busy -= 1
                self._last_call = time.monotonic()

    def idle_s(self) -> float:
        """Seconds since the last request was answered; 0 while a device is connected."""
        if self._busy or self._broker.client_count():
            self._last_call = time.monotonic()
        return time.monotonic() - self._last_call

    def answer(self, environ: WSGIEnvironment) -> Answer:
        """Answer a control request; without the secret it is refused."""
        if not hmac.compare_digest(environ.get("HTTP_X_SANDBOX_SECRET", "").encode(), self.secret.encode()):
            return _json("403 Forbidden", {"message": "Send the secret of the address file as x-sandbox-secret."})
        name = environ["PATH_INFO"].removeprefix("/_sandbox/").replace("-", "_")
        handler = getattr(self, f"_{environ['REQUEST_METHOD'].lower()}_{name}", None)
        if handler is None:
            return _json("404 Not Found", {"message": f"no such control endpoint: {name}"})
        body = environ["wsgi.input"].read()
        try:
            return _json("200 OK", handler(**json.loads(body or b"{}")) or {})
        except (AwsError, TypeError, ValueError) as error:
            return _json("400 Bad Request", {"message": str(error)})

    def _get_health(self) -> dict[str, Any]:
        times = {"cpu_s": time.process_time(), "started_cpu_s": self._started_cpu_s}
        return {"pid": os.getpid(), "directory": str(self._directory), "resets": self._resets, **times}

    def _get_calls(self) -> dict[str, Any]:
        return {"calls": self._faults.calls()}

    def _delete_calls(self) -> None:
        self._faults.clear_calls()

    def _get_faults(self) -> dict[str, Any]:
        return {"rules": self._faults.rules()}

    def _post_faults(self, **fields: Any) -> dict[str, Any]:
        return {"id": self._faults.add(fields)}

    def _delete_faults(self) -> None:
        self._faults.clear_rules()

    def _post_release(self) -> None:
        self._faults.release()

    def _post_latency(self, seconds: float) -> None:
        self._faults.latency_s = float(seconds)

    def _post_pause(self, seconds: float) -> None:
        self._sandbox.pause_s = float(seconds)

    def _post_clock(self, advance_s: float) -> None:
        self._sandbox.move_clock(float(advance_s))

    def _post_speed(self, factor: float) -> None:
        self._sandbox.set_speed(float(factor))

    def _post_iam_delay(self, seconds: float) -> None:
        self._sandbox.iam_delay_s = float(seconds)

    def _post_lost_blocks(self, block: int, times: int = 1) -> None:
        self._sandbox.lost_blocks[int(block)] = int(times)

    def _get_refusals(self) -> dict[str, Any]:
        return {"refusals": self._broker.recent_refusals()}

    def _get_objects(self) -> dict[str, Any]:
        with self._sandbox.lock:
            self._sandbox.run_due()
            return {"objects": snapshots.tell(self._sandbox)}

    def _post_keep(self, name: str) -> None:
        with self._sandbox.lock:
            self._sandbox.run_due()
            self._kept[name] = snapshots.take(self._sandbox)

    def _post_restore(self, name: str) -> None:
        if name not in self._kept:
            raise ValueError(f"nothing is kept by the name {name}")
        self._post_reset()
        with self._sandbox.lock:
            snapshots.put_back(self._kept[name], self._sandbox)

    def _post_reset(self) -> None:
        with self._sandbox.lock:
            self._resets += 1
            self._reset_clouds()
            self._sandbox.reset()
        self._broker.reset()
        self._faults.reset()

    def _post_stop(self) -> None:
        self.stopping.set()


def _json(status: str, payload: dict[str, Any]) -> Answer:
    return status, [("Content-Type", "application/json")], json.dumps(payload).encode()
