"""What a device meets when the cloud refuses it, where, and why: a table, and the words for one that was met.

MQTT says almost nothing about a refusal: a code in CONNACK, a connection that is closed, an answer that never comes.
Which permission is missing follows from where the device was at that moment, and that is what the table holds. The
sandbox also tells what it refused and why, so there the words are its own.

Source: AWS IoT Developer Guide, "AWS IoT Core policy actions", "MQTT" (differences: CONNACK 7) and "Jobs device MQTT
API". That a refused publish ends the connection and a refused subscription is answered by 0x80 is UNVERIFIED on AWS.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

from ota.errors import DeviceFailed
from ota.firmware.codes import Table, TableName, read_table

TIMEOUT_S = 5.0
FROM_CLOCKS_S = 2.0
ENDED = ("SUCCEEDED", "FAILED", "TIMED_OUT", "REJECTED", "REMOVED", "CANCELED")


class Place(str, Enum):
    """What the device was about."""

    CONNECT = "connecting"
    JOB = "asking for its job"
    NOTIFY = "subscribing to news of jobs"
    SUBSCRIBE = "subscribing to the stream"
    BLOCKS = "asking for blocks of the image"
    REPORT = "reporting its status"
    INFERENCE = "publishing what the application understood"


class Symptom(str, Enum):
    """What it noticed."""

    CONNACK = "the cloud refuses the connection (CONNACK)"
    CLOSED = "the cloud closes the connection before CONNACK"
    DROPPED = "the cloud closes the connection"
    SUBACK = "the cloud refuses the subscription (SUBACK 0x80)"
    SILENCE = "no answer comes"


@dataclass(frozen=True)
class Refusal:
    """One thing that can be missing, and how a device meets that.

    Attributes:
        missing: what is not as it must be.
        place: where the device is then.
        symptom: what it notices.
        remedy: the task that mends it, without ``invoke``; empty where the cause is outside of this tool.
        statement: index of the statement in ``policy_documents.device_policy_document``; None for anything else.
        action: the action of that statement.
        resource: the end of the resource in it; empty where the statement has one only.
    """

    missing: str
    place: Place
    symptom: Symptom
    remedy: str = "policy"
    statement: int | None = None
    action: str = ""
    resource: str = ""


def _permission(statement: int, action: str, resource: str, place: Place, symptom: Symptom) -> Refusal:
    wide = {0: "client/<thing>", 3: "<thing>/ml/inference"}.get(statement, f"…/<thing>/{resource}")
    return Refusal(f"{action} on {wide}", place, symptom, statement=statement, action=action, resource=resource)


TABLE = (
    _permission(0, "iot:Connect", "", Place.CONNECT, Symptom.CONNACK),
    Refusal("the policy, attached to the certificate", Place.CONNECT, Symptom.CONNACK),
    Refusal("the certificate, attached to the thing", Place.CONNECT, Symptom.CONNACK, "thing"),
    Refusal("the certificate's status ACTIVE", Place.CONNECT, Symptom.CLOSED, "thing"),
    Refusal("the certificate, registered in this account and region", Place.CONNECT, Symptom.CLOSED, "thing"),
    _permission(2, "iot:Publish", "jobs/*", Place.JOB, Symptom.DROPPED),
    _permission(2, "iot:Receive", "jobs/*", Place.JOB, Symptom.SILENCE),
    _permission(1, "iot:Subscribe", "jobs/*", Place.NOTIFY, Symptom.SUBACK),
    _permission(1, "iot:Subscribe", "streams/*", Place.SUBSCRIBE, Symptom.SUBACK),
    _permission(2, "iot:Publish", "streams/*", Place.BLOCKS, Symptom.DROPPED),
    _permission(2, "iot:Receive", "streams/*", Place.BLOCKS, Symptom.SILENCE),
    _permission(2, "iot:Publish", "jobs/*", Place.REPORT, Symptom.DROPPED),
    _permission(2, "iot:Receive", "jobs/*", Place.REPORT, Symptom.SILENCE),
    _permission(3, "iot:Publish", "", Place.INFERENCE, Symptom.DROPPED),
)


class Refused(DeviceFailed):
    """The cloud did not let the device do what it was about.

    Attributes:
        place: what it was about.
        symptom: what it noticed.
    """

    def __init__(self, place: Place, symptom: Symptom, detail: str = "") -> None:
        self.place, self.symptom = place, symptom
        super().__init__(f"{place.value}: {symptom.value}{f' ({detail})' if detail else ''}")


class Rejected(DeviceFailed):
    """The cloud answered a request with a refusal of its own.

    Attributes:
        code: jobs' or streams' code: ``VersionMismatch``.
    """

    def __init__(self, place: Place, code: str, message: str, *, status: str = "") -> None:
        self.place, self.code = place, code
        lines = [f"{place.value}: the cloud rejects it: {code}, {message!r}"]
        if status in ENDED:
            lines.append(f"the job is {status} there meanwhile: somebody or a timer has ended it")
        elif known := _table_of(place).find_name(code):
            lines.append(f"{known.cause}{f': {known.remedy}' if known.remedy else ''}")
        super().__init__("\n".join(lines))


def likely_causes(place: Place, symptom: Symptom) -> tuple[Refusal, ...]:
    """What the table knows to look so at this place."""
    return tuple(row for row in TABLE if (row.place, row.symptom) == (place, symptom))


def explain(refused: Refused, said: Iterable[Mapping[str, Any]]) -> str:
    """The refusal in words: what the cloud's own log says of it, else what the table knows.

    Args:
        refused: what the device met.
        said: the sandbox's refusals of this device, from :func:`ask_sandbox`.
    """
    lines = [str(refused)]
    causes = likely_causes(refused.place, refused.symptom)
    words = list(dict.fromkeys(f"refused was {one['action']} on {one['resource']}: {one['why']}" for one in said))
    if words:
        lines.append(words[-1])
    elif causes:
        lines.append("Missing is one of: " + "; ".join(row.missing for row in causes))
    commands = " or ".join(f"`invoke {task}`" for task in dict.fromkeys(row.remedy for row in causes))
    return "\n".join([*lines, *([f"Mend it with {commands}."] if commands else [])])


def ask_sandbox(endpoint_url: str, *, thing_name: str, certificate_id: str, since_s: float) -> list[dict[str, Any]]:
    """What the sandbox refused this device since then, oldest first; nothing where it cannot be asked.

    Args:
        endpoint_url: the sandbox's HTTP address.
        thing_name: the device's client id.
        certificate_id: 64 hex digits; a refusal before CONNECT knows no more.
        since_s: epoch seconds.
    """
    where = urlsplit(endpoint_url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/_sandbox/refusals")
        told = json.loads(connection.getresponse().read())["refusals"]
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return []
    finally:
        connection.close()
    ours = {(thing_name, certificate_id), ("", certificate_id), ("", "")}
    is_new = since_s - FROM_CLOCKS_S
    return [one for one in told if (one["client_id"], one["certificate_id"]) in ours and one["at"] >= is_new]


def _table_of(place: Place) -> Table:
    return read_table(TableName.STREAMS if place is Place.BLOCKS else TableName.JOBS)
