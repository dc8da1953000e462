"""How long the message is in which a device gets its job; exact to the byte, before there is a job.

Firmware copies that message into a buffer of fixed size, and some of it does so unchecked. Everything that decides
its length is known beforehand: the names from settings, the signature's text, and the service's own parts, which
have fixed lengths.

Source: AWS IoT Developer Guide, "StartNextPendingJobExecution"; captured job documents of the OTA service; logs in
``docs/applications`` of FreeRTOS/iot-reference-arm-corstone3xx (1046 bytes at first, 1080 after the reboot).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ota.update_requests import job_id_of

STREAM_NAME = "AFR_OTA-00000000-0000-0000-0000-000000000000"
# Ten digits until the year 2286.
TIMESTAMP_S = 1_700_000_000
LARGEST_UPDATED_BY = str(0xFFFFFFFF)


@dataclass(frozen=True)
class JobFile:
    """The one file of an update, as its job document tells it."""

    file_path: str
    size_bytes: int
    certificate_file: str
    signature_key: str
    signature: str


def job_document(file: JobFile) -> dict[str, Any]:
    """The job document over MQTT; keys in the service's order."""
    entry = {
        "filepath": file.file_path,
        "filesize": file.size_bytes,
        "fileid": 0,
        "certfile": file.certificate_file,
        file.signature_key: file.signature,
    }
    return {"afr_ota": {"protocols": ["MQTT"], "streamname": STREAM_NAME, "files": [entry]}}


def message_bytes(thing_name: str, update_name: str, file: JobFile, updated_by: str | None = None) -> int:
    """The length of ``start-next/accepted``.

    Args:
        thing_name: the device's thing, which it sends as its client token.
        update_name: the OTA update.
        file: what is offered.
        updated_by: what the device has reported before it rebooted; None the first time.
    """
    details = {"statusDetails": {"updatedBy": updated_by}} if updated_by is not None else {}
    execution = {
        "jobId": job_id_of(update_name),
        "status": "IN_PROGRESS",
        **details,
        "queuedAt": TIMESTAMP_S,
        "startedAt": TIMESTAMP_S,
        "lastUpdatedAt": TIMESTAMP_S,
        "versionNumber": 2,
        "executionNumber": 1,
        "jobDocument": job_document(file),
    }
    message = {"clientToken": thing_name, "timestamp": TIMESTAMP_S, "execution": execution}
    return len(json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode())


def largest_message_bytes(thing_name: str, update_name: str, file: JobFile) -> int:
    """The length of the longest message that brings this job: the one after the reboot."""
    return message_bytes(thing_name, update_name, file, LARGEST_UPDATED_BY)
