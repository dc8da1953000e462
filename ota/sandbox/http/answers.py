"""How each service words a refusal, and the request id and date that every answer carries.

IoT answers JSON with a header, S3 answers XML, IAM and STS another XML. An SDK acts on code, status and form, so an
injected throttling or missing permission must look like the service's own. A tool quotes the request id when it reports
an error, and compares its own clock with the date, for AWS refuses requests whose time is minutes off; moto gives both
to some answers only.

Source: "Common errors" and "Common response headers" of the AWS IoT, S3, IAM and STS API references; captured 403
bodies for the AccessDenied text; RFC 9110 section 6.6.1 (Date).
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from email.utils import formatdate
from functools import lru_cache
from http.client import responses as reasons
from typing import Any
from xml.sax.saxutils import escape

import cbor2
from moto.core.utils import get_service_model

from ota.sandbox.policy.evaluation import Request
from ota.sandbox.policy.identities import denied_message

from .authorization import requests_for
from .calls import Call
from .services import OWN_PROTOCOLS, Protocol

UNKNOWN_OPERATION = {
    "code": "UnknownOperationException",
    "status": 404,
    "message": "No operation has this verb and path.",
}
FAILED = "The sandbox failed on this call; its log, sandbox.log, has the traceback."
INTERNAL_FAILURE = {"code": "InternalFailure", "status": 500, "message": FAILED}
NOT_SIGNED = {"code": "AccessDenied", "status": 403, "message": "Access Denied"}
BAD_SIGNATURE = {
    "code": "SignatureDoesNotMatch",
    "status": 403,
    "message": "The request signature we calculated does not match the signature you provided. "
    "Check your key and signing method.",
}
URL_EXPIRED = {"code": "AccessDenied", "status": 403, "message": "Request has expired"}
JSON_SERVICES = frozenset({"iot", "iot-jobs-data"})
_CALLER = "arn:aws:iam::{account}:user/moto"
_THROTTLING: dict[str, tuple[str, int, str]] = {
    "iot": ("ThrottlingException", 400, "Rate exceeded"),
    "iot-jobs-data": ("ThrottlingException", 429, "Rate exceeded"),
    "s3": ("SlowDown", 503, "Please reduce your request rate."),
}
_EXPIRED: dict[str, tuple[str, int, str]] = {
    "iot": ("ExpiredTokenException", 403, "The security token included in the request is expired"),
    "iot-jobs-data": ("ExpiredTokenException", 403, "The security token included in the request is expired"),
    "s3": ("ExpiredToken", 400, "The provided token has expired."),
}
# While another change to the same object is under way.
_CONFLICTS: dict[str, tuple[str, int, str]] = {
    "iot": ("ConflictingResourceUpdateException", 409, "A conflicting resource update is pending."),
    "iam": (
        "ConcurrentModification",
        409,
        "The request was rejected because multiple requests to change this object "
        "were submitted simultaneously. Wait a few minutes and submit your request again.",
    ),
    "s3": (
        "OperationAborted",
        409,
        "A conflicting conditional operation is currently in progress against this resource. Please try again.",
    ),
}
_NOT_FOUND: dict[str, tuple[str, int, str]] = {
    "iot": ("ResourceNotFoundException", 404, "The specified resource does not exist."),
    "iam": ("NoSuchEntity", 404, "The entity cannot be found."),
    "s3": ("NoSuchBucket", 404, "The specified bucket does not exist"),
}
_BY_SERVICE = {"conflict": _CONFLICTS, "not-found": _NOT_FOUND}
Answer = tuple[str, list[tuple[str, str]], bytes]
_ID_HEADERS = ("x-amz-request-id", "x-amzn-requestid")
_XML_SERVICES = ("iam", "sts")
_IN_BODY = re.compile(rb"<RequestId>[^<]*</RequestId>")


def refusal(call: Call, error: dict[str, Any]) -> Answer:
    """The refusal of ``call`` with ``{"kind": …}`` or ``{"code", "status", "message"}``, in its service's form."""
    code, status, message = _named(call, error["kind"]) if "kind" in error else _given(error)
    protocol = OWN_PROTOCOLS.get(call.service, call.protocol)
    if protocol is Protocol.S3:
        return _as_s3(code, status, message, head=call.method == "HEAD")
    return _FORMS[protocol](code, status, message)


def refusal_in_json(code: str, status: int, message: str) -> Answer:
    """A refusal of a request before its service is known, or by a service that speaks JSON."""
    headers = [("Content-Type", "application/json"), ("x-amzn-ErrorType", code), ("x-amzn-RequestId", new_request_id())]
    return _line(status), headers, json.dumps({"message": message}).encode()


def body_too_large(*, is_upload: bool) -> Answer:
    """The refusal of a body that is larger than S3, or any other service, takes."""
    if is_upload:
        return _as_s3("EntityTooLarge", 400, "Your proposed upload exceeds the maximum allowed size", head=False)
    return refusal_in_json("RequestEntityTooLargeException", 413, "The request's body is too large.")


def incomplete_body(*, is_upload: bool) -> Answer:
    """The refusal of a body that ends early, or whose chunks cannot be read."""
    if is_upload:
        message = "You did not provide the number of bytes specified by the Content-Length HTTP header"
        return _as_s3("IncompleteBody", 400, message, head=False)
    return refusal_in_json("SerializationException", 400, "The request's body cannot be read.")


def not_in_sandbox(call: Call) -> dict[str, Any]:
    """The refusal of an operation that the sandbox does not support; SDKs do not retry 501."""
    what = f"the operation {call.operation}" if call.operation else "this operation"
    message = f"The sandbox does not have {what} of the service {call.service}."
    return {"code": "NotImplementedException", "status": 501, "message": message}


def in_aws_form(call: Call, answer: Answer) -> Answer:
    """IoT's errors carry their code in a header, and in the body the members of the model, not moto's ``__type``."""
    status, headers, body = answer
    if call.service not in JSON_SERVICES or int(status[:3]) < 400 or not body.startswith(b"{"):
        return answer
    fields = json.loads(body)
    in_header = next((value for name, value in headers if name.lower() == "x-amzn-errortype"), "")
    code = str(fields.get("__type") or fields.get("Type") or in_header).split("#")[-1]
    code = "InvalidRequestException" if code == "InvalidToken" else code  # moto's own, of its paginator
    known = _members_of(call.service, code)
    headers = [pair for pair in headers if pair[0].lower() not in {"x-amzn-errortype", "content-length"}]
    headers += [("x-amzn-ErrorType", code)] if code else []
    return status, headers, json.dumps({name: value for name, value in fields.items() if name in known}).encode()


@lru_cache(maxsize=256)
def _members_of(service: str, code: str) -> frozenset[str]:
    """The members of an error's body by the service's model."""
    shapes: Iterator[Any] = (shape for shape in get_service_model(service).error_shapes if shape.name == code)
    return frozenset(name for shape in shapes for name in shape.members) | {"message"}


def new_request_id() -> str:
    """An id in the form of IoT, IAM and STS: a UUID."""
    return str(uuid.uuid4())


def new_s3_request_id() -> str:
    """An id in the form of S3: 16 capital letters and digits."""
    return uuid.uuid4().hex[:16].upper()


def stamped(service: str, answer: Answer, now: float) -> Answer:
    """The answer (status line, headers, body) with request id and time; ``now`` in epoch seconds.

    The id in the body, where IAM, STS and S3's refusals have one, is the same as in the header.
    """
    status, headers, body = answer
    name = "x-amz-request-id" if service == "s3" else "x-amzn-RequestId"
    present = {key.lower(): value for key, value in headers}
    request_id = present.get(name.lower()) or (new_s3_request_id() if service == "s3" else new_request_id())
    kept = [pair for pair in headers if pair[0].lower() not in _ID_HEADERS]
    dates = [] if "date" in present else [("Date", formatdate(now, usegmt=True))]
    if service in _XML_SERVICES or (service == "s3" and int(status[:3]) >= 400):
        body = _IN_BODY.sub(f"<RequestId>{request_id}</RequestId>".encode(), body)
        kept = [pair for pair in kept if pair[0].lower() != "content-length"]
    return status, [*kept, (name, request_id), *dates], body


def _given(error: dict[str, Any]) -> tuple[str, int, str]:
    return error["code"], int(error.get("status", 400)), error.get("message", error["code"])


def _named(call: Call, kind: str) -> tuple[str, int, str]:
    if kind == "throttling":
        return _THROTTLING.get(call.service, ("Throttling", 400, "Rate exceeded"))
    if kind == "expired-token":
        default = ("ExpiredToken", 403, "The security token included in the request is expired")
        return _EXPIRED.get(call.service, default)
    if kind in _BY_SERVICE:
        return _BY_SERVICE[kind].get(call.service, _BY_SERVICE[kind]["iot"])
    code = "AccessDeniedException" if call.service in JSON_SERVICES else "AccessDenied"
    return code, 403, _denied(call)


def _denied(call: Call) -> str:
    asked = requests_for(call)
    request = asked[0] if asked else Request(f"{call.service}:{call.operation}")
    return denied_message(_CALLER.format(account=call.account_id), request)


def _as_s3(code: str, status: int, message: str, *, head: bool) -> Answer:
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
        f"<RequestId>{new_s3_request_id()}</RequestId><HostId>sandbox</HostId></Error>"
    )
    return _line(status), [("Content-Type", "application/xml")], b"" if head else text.encode()


def _as_query(code: str, status: int, message: str) -> Answer:
    text = (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
        f"<RequestId>{new_request_id()}</RequestId></ErrorResponse>"
    )
    return _line(status), [("Content-Type", "text/xml")], text.encode()


def _as_ec2(code: str, status: int, message: str) -> Answer:
    text = (
        f"<Response><Errors><Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error></Errors>"
        f"<RequestID>{new_request_id()}</RequestID></Response>"
    )
    return _line(status), [("Content-Type", "text/xml")], text.encode()


def _as_json_rpc(code: str, status: int, message: str) -> Answer:
    _, headers, _ = refusal_in_json(code, status, message)
    headers = [("Content-Type", "application/x-amz-json-1.1"), *headers[1:]]
    return _line(status), headers, json.dumps({"__type": code, "message": message}).encode()


def _as_cbor(code: str, status: int, message: str) -> Answer:
    headers = [("Content-Type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")]
    return _line(status), headers, cbor2.dumps({"__type": code, "message": message})


_FORMS: dict[Protocol, Callable[[str, int, str], Answer]] = {
    Protocol.REST_JSON: refusal_in_json,
    Protocol.JSON: _as_json_rpc,
    Protocol.QUERY: _as_query,
    Protocol.REST_XML: _as_query,
    Protocol.EC2: _as_ec2,
    Protocol.CBOR: _as_cbor,
}


def _line(status: int) -> str:
    return f"{status} {reasons.get(status, 'Error')}"
