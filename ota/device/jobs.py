"""What a device and the cloud's jobs say to each other about one job: it asks, is offered, and reports.

Every report names the version of the execution that it expects, so the versions are counted here. Arm's firmware does
not count: it takes for granted that nobody but itself ever reports.

Source: AWS IoT Developer Guide, "Jobs device MQTT API"; ``ota_orchestrator.c`` of
FreeRTOS/iot-reference-arm-corstone3xx (expectedVersion 2 before the restart, 3 after it).
"""

from __future__ import annotations

from typing import Any

from ota.device.connection import Connection
from ota.device.firmware import Firmware
from ota.device.manners import Talk
from ota.device.messages import Execution, Topics, read_execution, start_next_request, update_request
from ota.device.refusals import Place

SUCCEEDED, FAILED, REJECTED, IN_PROGRESS, QUEUED = "SUCCEEDED", "FAILED", "REJECTED", "IN_PROGRESS", "QUEUED"
FAITHFUL_VERSIONS = {IN_PROGRESS: 2, SUCCEEDED: 3, FAILED: 3}


class Jobs:
    """The jobs of one thing, over whatever connection it has at the moment."""

    def __init__(self, topics: Topics, firmware: Firmware, talk: Talk) -> None:
        self._topics, self._firmware, self._talk = topics, firmware, talk
        self._version = 0

    def ask(self, connection: Connection, *, only_look: bool = False) -> Execution | None:
        """The next job; it is taken thereby, unless ``only_look``. None where there is none.

        Raises:
            DeviceFailed: the message with it does not fit the firmware.
        """
        topic = self._topics.peek if only_look else self._topics.start_next
        answer = connection.ask(topic, start_next_request(self._topics.thing_name), Place.JOB)
        execution = read_execution(answer.members)
        if execution is not None:
            self._version = execution.version
            self._firmware.check_message(answer.size_bytes)
        return execution

    def report(
        self,
        connection: Connection,
        execution: Execution,
        status: str,
        details: dict[str, str] | None = None,
        **extra: Any,
    ) -> None:
        """Tell the cloud how it stands; ``extra`` goes to ``update_request``."""
        is_counted = self._firmware.is_faithful and not extra and details is not None
        version = FAITHFUL_VERSIONS[status] if is_counted else self._version
        payload = update_request(status, details, version, **extra)
        connection.ask(self._topics.update(execution.job_id), payload, Place.REPORT)
        self._version += 1
        if not details or "receive" not in details:
            words = "".join(f", {name} {value}" for name, value in (details or {}).items())
            self._talk.say(f"reports {status}{words}")
