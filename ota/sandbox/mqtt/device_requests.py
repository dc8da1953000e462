"""Answers the requests that a device publishes on ``$aws/things/…/jobs/…`` and ``$aws/things/…/streams/…``.

The content of an answer comes from ``jobs.data_plane`` and ``jobs.streams``; this module has the envelope of MQTT and
its refusals. Every request is answered: arrays, broken JSON or CBOR and unknown operations are rejected as AWS rejects
them, because a device without an answer waits forever.

Source: AWS IoT Developer Guide, "Jobs device MQTT API", "Using AWS IoT MQTT-based file delivery in devices" and "Error
codes from MQTT-based file delivery"; the form of a rejected stream request as captured from AWS.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import cbor2

from ota.sandbox.jobs import data_plane, streams
from ota.sandbox.jobs.data_plane import JobsError
from ota.sandbox.jobs.model import Event, Reply
from ota.sandbox.jobs.state import Region
from ota.sandbox.jobs.streams import StreamError

MAX_TOKEN_BYTES = 64
_JSON, _CBOR = "json", "cbor"


@dataclass(frozen=True)
class Answers:
    """The answer to a request: payloads in order, all on one topic; and the events that it causes."""

    topic: str
    payloads: list[bytes]
    events: list[Event] = field(default_factory=list)


class BadPayloadError(ValueError):
    """A payload that is not an object of its format."""


def is_request(topic: str) -> bool:
    """Whether a message on this topic is a request to jobs or streams, valid or not."""
    parts = topic.split("/")
    return parts[:2] == ["$aws", "things"] and len(parts) > 4 and parts[3] in _SERVICES


def answer(region: Region, topic: str, payload: bytes) -> Answers:
    """Answer a message on a topic for which ``is_request`` is true. The sandbox's lock must be held."""
    parts = topic.split("/")
    return _SERVICES[parts[3]](region, parts, payload)


def encode_event(event: Event) -> bytes:
    """The payload of an event."""
    return _to_json(event.payload)


def _answer_jobs(region: Region, parts: list[str], payload: bytes) -> Answers:
    topic, request, stamp = "/".join(parts), {}, {"timestamp": int(region.now())}
    try:
        operation = _find_jobs_operation(parts[2], parts[4:])
        request = _jobs_request(payload)
        reply = operation(region, request)
    except JobsError as error:
        state = {"executionState": error.state} if error.state else {}
        body = {"code": error.code, "message": error.message, **state, **_token(request, "clientToken"), **stamp}
        return Answers(f"{topic}/rejected", [_to_json(body)])
    token = _token(request, "clientToken")
    body = {**reply.body, **stamp, **token} if parts[-1] == "update" else {**token, **stamp, **reply.body}
    return Answers(f"{topic}/accepted", [_to_json(body)], reply.events)


def _find_jobs_operation(thing: str, names: list[str]) -> Callable[[Region, Mapping[str, Any]], Reply]:
    match names:
        case ["get"]:
            return lambda region, _request: data_plane.get_pending(region, thing)
        case ["start-next"]:
            return lambda region, request: data_plane.start_next(region, thing, request)
        case [job_id, "get"]:
            return lambda region, request: data_plane.describe(region, thing, job_id, request)
        case [job_id, "update"]:
            return lambda region, request: data_plane.update(region, thing, job_id, request)
    raise JobsError("InvalidTopic", "The topic does not belong to an operation of AWS IoT Jobs.")


def _jobs_request(payload: bytes) -> dict[str, Any]:
    try:
        request = _from_json(payload)
    except BadPayloadError as error:
        raise JobsError("InvalidJson", f"The payload is not valid JSON of an object: {error}") from error
    if "clientToken" in request and not _token(request, "clientToken"):
        raise JobsError("InvalidRequest", f"clientToken must be text of at most {MAX_TOKEN_BYTES} bytes")
    return request


def _answer_streams(region: Region, parts: list[str], payload: bytes) -> Answers:
    form = _CBOR if parts[-1] == _CBOR else _JSON
    base, request = "/".join(parts[:5]), {}
    try:
        if len(parts) != 7 or parts[5] not in {"describe", "get"} or parts[6] not in {_JSON, _CBOR}:
            raise StreamError("InvalidTopic", "The topic does not belong to an operation on streams.")
        request = _stream_request(payload, form)
        if parts[5] == "describe":
            found = streams.describe(region, parts[4], request)
            return Answers(f"{base}/description/{form}", [_encode(found, form)])
        blocks = streams.get_blocks(region, parts[4], request)
    except StreamError as error:
        return Answers(f"{base}/rejected/{form}", [_rejection(error, _token(request, "c"), form)])
    return Answers(f"{base}/data/{form}", [_encode(block, form) for block in blocks])


def _stream_request(payload: bytes, form: str) -> dict[str, Any]:
    if form == _CBOR:
        try:
            return _from_cbor(payload)
        except BadPayloadError as error:
            raise StreamError("InvalidCbor", "Invalid CBOR message") from error
    try:
        request = _from_json(payload)
    except BadPayloadError as error:
        raise StreamError("InvalidJson", "Invalid JSON message") from error
    return {**request, "b": _bitmap(request["b"])} if request.get("b") is not None else request


def _bitmap(text: object) -> bytes:
    """The bitmap of a JSON request: hexadecimal digits, with or without the prefix ``0x``."""
    try:
        return bytes.fromhex(str(text).removeprefix("0x"))
    except ValueError as error:
        raise StreamError("InvalidRequest", "The block bitmap is not hexadecimal text") from error


def _encode(body: dict[str, Any], form: str) -> bytes:
    if form == _CBOR:
        return bytes(cbor2.dumps(body))
    return _to_json({**body, "p": base64.b64encode(body["p"]).decode()} if "p" in body else body)


def _rejection(error: StreamError, token: dict[str, Any], form: str) -> bytes:
    """Both long and short names, in CBOR as a map of indefinite length, as AWS sends it."""
    tokens = {"clientToken": token["c"], "c": token["c"]} if token else {}
    body = {**tokens, "code": error.code, "o": error.code, "message": error.message, "m": error.message}
    if form == _JSON:
        return _to_json(body)
    return b"\xbf" + b"".join(cbor2.dumps(one) for pair in body.items() for one in pair) + b"\xff"


def _token(request: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The client token to return, if it is valid."""
    token = request.get(name)
    return {name: token} if isinstance(token, str) and len(token.encode()) <= MAX_TOKEN_BYTES else {}


def _to_json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def _from_json(payload: bytes) -> dict[str, Any]:
    try:
        found = json.loads(payload.decode("utf-8"), parse_constant=_refuse_constant)
        if b"\\u" in payload:
            json.dumps(found, ensure_ascii=False).encode()  # an unpaired surrogate cannot be encoded as UTF-8
    except (ValueError, RecursionError) as error:
        raise BadPayloadError(str(error)) from error
    if not isinstance(found, dict):
        raise BadPayloadError("it is not an object")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _from_cbor(payload: bytes) -> dict[str, Any]:
    try:
        found = cbor2.loads(payload)
    except (cbor2.CBORDecodeError, ValueError, RecursionError) as error:
        raise BadPayloadError(str(error)) from error
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise BadPayloadError("it is not a map with text keys")
    return found


_SERVICES: dict[str, Callable[[Region, list[str], bytes], Answers]] = {
    "jobs": _answer_jobs,
    "streams": _answer_streams,
}
