"""Refusals of a device by the cloud: the errors, and a table of what is missing for each stage and symptom.

MQTT reports almost nothing about a refusal: a code in CONNACK, a closed connection, or no answer. Which permission is
missing follows from what the device was doing at that moment; the table holds that. The sandbox also keeps a list of
what it refused and why, and in the sandbox that reason is shown instead.

Source: AWS IoT Developer Guide, "AWS IoT Core policy actions", "MQTT" (differences: CONNACK 7) and "Jobs device MQTT
API". That a refused publish ends the connection and a refused subscription is answered by 0x80 is UNVERIFIED on AWS.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ota.errors import DeviceFailed
from ota.firmware.codes import Table, TableName, read_table
from ota.messages import AnyCommand, Command, Message, Text, command, joined, message
from ota.sandbox import process
from ota.sandbox.process import Address

CLOCK_TOLERANCE_S = 2.0
ENDED = ("SUCCEEDED", "FAILED", "TIMED_OUT", "REJECTED", "REMOVED", "CANCELED")
POLICY, THING = command("policy"), command("thing")


class Stage(str, Enum):
    """What the device is doing."""

    CONNECT = "connecting"
    JOB = "asking for its job"
    NOTIFY = "subscribing to notifications of jobs"
    SUBSCRIBE = "subscribing to the stream"
    BLOCKS = "asking for blocks of the image"
    REPORT = "reporting its status"
    INFERENCE = "publishing the inference result"


class Symptom(str, Enum):
    """What the device notices."""

    CONNACK = "the cloud refuses the connection (CONNACK)"
    CLOSED = "the cloud closes the connection before CONNACK"
    DROPPED = "the cloud closes the connection"
    SUBACK = "the cloud refuses the subscription (SUBACK 0x80)"
    SILENCE = "no answer comes"


@dataclass(frozen=True)
class RefusalCause:
    """One thing that can be missing, and how a device notices that.

    Attributes:
        missing: what is missing.
        stage: what the device is doing when it is refused.
        symptom: what the device notices.
        remedy: the command that fixes it.
        statement: index of the statement in ``policy_documents.device_policy_document``; None for anything else.
        action: the action of that statement.
        resource: the end of the statement's resource; empty where the statement has one resource only.
    """

    missing: str
    stage: Stage
    symptom: Symptom
    remedy: Command = POLICY
    statement: int | None = None
    action: str = ""
    resource: str = ""


def _permission(statement: int, action: str, resource: str, stage: Stage, symptom: Symptom) -> RefusalCause:
    wide = {0: "client/<thing>", 3: "<thing>/ml/inference"}.get(statement, f"…/<thing>/{resource}")
    return RefusalCause(f"{action} on {wide}", stage, symptom, statement=statement, action=action, resource=resource)


CAUSES = (
    _permission(0, "iot:Connect", "", Stage.CONNECT, Symptom.CONNACK),
    RefusalCause("the policy, attached to the certificate", Stage.CONNECT, Symptom.CONNACK),
    RefusalCause("the certificate, attached to the thing", Stage.CONNECT, Symptom.CONNACK, THING),
    RefusalCause("the certificate's status ACTIVE", Stage.CONNECT, Symptom.CLOSED, THING),
    RefusalCause("the certificate, registered in this account and region", Stage.CONNECT, Symptom.CLOSED, THING),
    _permission(2, "iot:Publish", "jobs/*", Stage.JOB, Symptom.DROPPED),
    _permission(2, "iot:Receive", "jobs/*", Stage.JOB, Symptom.SILENCE),
    _permission(1, "iot:Subscribe", "jobs/*", Stage.NOTIFY, Symptom.SUBACK),
    _permission(1, "iot:Subscribe", "streams/*", Stage.SUBSCRIBE, Symptom.SUBACK),
    _permission(2, "iot:Publish", "streams/*", Stage.BLOCKS, Symptom.DROPPED),
    _permission(2, "iot:Receive", "streams/*", Stage.BLOCKS, Symptom.SILENCE),
    _permission(2, "iot:Publish", "jobs/*", Stage.REPORT, Symptom.DROPPED),
    _permission(2, "iot:Receive", "jobs/*", Stage.REPORT, Symptom.SILENCE),
    _permission(3, "iot:Publish", "", Stage.INFERENCE, Symptom.DROPPED),
)


class Refused(DeviceFailed):
    """The connection ended, was not accepted, or brought no answer.

    Attributes:
        stage: what the device was doing.
        symptom: what it noticed.
    """

    def __init__(self, stage: Stage, symptom: Symptom, detail: str = "") -> None:
        self.stage, self.symptom = stage, symptom
        super().__init__(f"{stage.value}: {symptom.value}{f' ({detail})' if detail else ''}")


class Rejected(DeviceFailed):
    """The cloud rejected a request with an error code.

    Attributes:
        stage: what the device was doing.
        code: the code of AWS IoT Jobs or of streams: ``VersionMismatch``.
    """

    def __init__(self, stage: Stage, code: str, text: str, *, status: str = "") -> None:
        self.stage, self.code = stage, code
        pieces: list[str | AnyCommand | Message] = [f"{stage.value}: the cloud rejects it: {code}, {text!r}"]
        if status in ENDED:
            pieces.append(f"\nthe job is {status} now: somebody or a timer has ended it")
        elif known := _codes_of(stage).find_name(code):
            pieces += [f"\n{known.cause}", *([": ", known.remedy] if known.remedy else [])]
        super().__init__(*pieces)


def explain(refused: Refused, refusals: Iterable[Mapping[str, Any]]) -> Message:
    """The refusal with its cause and its remedy: the sandbox's own reason, else the possible causes of the table.

    Args:
        refused: the error.
        refusals: the sandbox's refusals of this device, from :func:`list_sandbox_refusals`.
    """
    lines: list[Text] = [refused.message]
    causes = [row for row in CAUSES if (row.stage, row.symptom) == (refused.stage, refused.symptom)]
    if reasons := [f"{one['action']} on {one['resource']} was refused: {one['why']}" for one in refusals]:
        lines.append(reasons[-1])
    elif causes:
        lines.append("One of these is missing: " + "; ".join(row.missing for row in causes))
    if causes:
        remedies = dict.fromkeys(row.remedy for row in causes)
        lines.append(message("Fix it with ", joined(" or ", [message(one) for one in remedies]), "."))
    return joined("\n", lines)


def list_sandbox_refusals(
    address: Address, *, thing_name: str, certificate_id: str, since_s: float
) -> list[dict[str, Any]]:
    """What the sandbox has refused this device, oldest first; empty where the sandbox does not answer.

    Args:
        address: of the sandbox.
        thing_name: the device's client id.
        certificate_id: 64 hex digits; a refusal before CONNECT has no client id.
        since_s: epoch seconds of the oldest refusal wanted.
    """
    told = (process.ask(address, "GET", "refusals") or {}).get("refusals", [])
    ours = {(thing_name, certificate_id), ("", certificate_id), ("", "")}
    oldest_s = since_s - CLOCK_TOLERANCE_S
    return [one for one in told if (one["client_id"], one["certificate_id"]) in ours and one["at"] >= oldest_s]


def _codes_of(stage: Stage) -> Table:
    return read_table(TableName.STREAMS if stage is Stage.BLOCKS else TableName.JOBS)
