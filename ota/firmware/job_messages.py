"""The exact length of the message in which a device gets its job, before there is a job.

Firmware copies that message into a buffer of fixed size, and some of it does so unchecked. All that decides the length
is known beforehand: the names from the settings, the signature's text, and the service's own parts, which have fixed
lengths. That is true of MQTT. For HTTP the message also has a presigned URL with a session token, whose length may
change according to AWS: then the length without the token is the shortest possible one.

Source: AWS IoT Developer Guide, "StartNextPendingJobExecution"; captured job documents of the OTA service; Amazon S3
API Reference, "Authenticating requests: using query parameters"; logs in
``docs/applications`` of FreeRTOS/iot-reference-arm-corstone3xx (1046 bytes at first, 1080 after the reboot).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ota.profiles import HTTP, MQTT
from ota.updates.jobs import job_id_of

STREAM_NAME = "AFR_OTA-00000000-0000-0000-0000-000000000000"
# Ten digits until the year 2286.
TIMESTAMP_S = 1_700_000_000
LARGEST_UPDATED_BY = str(0xFFFFFFFF)
AUTH_SCHEME = "aws.s3.presigned"
ACCESS_KEY_CHARS = 20
VERSION_CHARS = 32


@dataclass(frozen=True)
class JobFile:
    """The one file of an update, as in its job document."""

    file_path: str
    size_bytes: int
    certificate_file: str
    signature_key: str
    signature: str
    protocols: tuple[str, ...] = (MQTT,)
    url: str = ""


def job_document(file: JobFile) -> dict[str, Any]:
    """The job document as a device gets it; keys in the service's order."""
    location = {"update_data_url": file.url, "auth_scheme": AUTH_SCHEME} if HTTP in file.protocols else {}
    entry = {
        "filepath": file.file_path,
        "filesize": file.size_bytes,
        "fileid": 0,
        "certfile": file.certificate_file,
        **location,
        file.signature_key: file.signature,
    }
    stream = {"streamname": STREAM_NAME} if MQTT in file.protocols else {}
    return {"afr_ota": {"protocols": list(file.protocols), **stream, "files": [entry]}}


def least_url(bucket: str, region: str, key: str) -> str:
    """A presigned URL of this object without the session token in it."""
    scope = f"{'A' * ACCESS_KEY_CHARS}%2F20300101%2F{region}%2Fs3%2Faws4_request"
    signing = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20300101T000000Z&X-Amz-SignedHeaders=host&X-Amz-Expires=1800"
    secret = f"X-Amz-Security-Token=&X-Amz-Credential={scope}&X-Amz-Signature={'0' * 64}"
    return f"https://{bucket}.s3.{region}.amazonaws.com/{quote(key)}?{secret}&{signing}&versionId={'v' * VERSION_CHARS}"


def message_bytes(thing_name: str, update_name: str, file: JobFile, updated_by: str | None = None) -> int:
    """The length of ``start-next/accepted``.

    Args:
        thing_name: the device's thing, which it sends as its client token.
        update_name: the OTA update.
        file: what is offered.
        updated_by: what the device reported before it rebooted; None the first time.
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
