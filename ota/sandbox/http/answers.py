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
from email.utils import formatdate
from http.client import responses as reasons
from typing import Any
from xml.sax.saxutils import escape

from .calls import Call

UNKNOWN_OPERATION = {
    "code": "UnknownOperationException",
    "status": 404,
    "message": "No operation has this verb and path.",
}
INTERNAL_FAILURE = {
    "code": "InternalFailure",
    "status": 500,
    "message": "The sandbox failed on this call; its log, sandbox.log, has the traceback.",
}
URL_EXPIRED = {"code": "AccessDenied", "status": 403, "message": "Request has expired"}
JSON_SERVICES = frozenset({"iot", "iot-jobs-data"})
_CALLER = "arn:aws:iam::{account}:user/moto"
_ACTION_PREFIXES = {"iot-jobs-data": "iotjobsdata"}
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
# Operations whose IAM action has another name.
_IOT_ACTIONS = {"ListThingPrincipalsV2": "ListThingPrincipals", "ListPrincipalThingsV2": "ListPrincipalThings"}
_S3_ACTIONS = {
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListBuckets": "ListAllMyBuckets",
    "HeadObject": "GetObject",
    "DeleteObjects": "DeleteObjectVersion",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "GetBucketEncryption": "GetEncryptionConfiguration",
}
_BY_SERVICE = {"conflict": _CONFLICTS, "not-found": _NOT_FOUND}
_RESOURCES = {  # member of the request -> resource of the ARN
    "iot": {
        "thingName": "thing",
        "certificateId": "cert",
        "policyName": "policy",
        "otaUpdateId": "otaupdate",
        "jobId": "job",
        "streamId": "stream",
    },
    "iot-jobs-data": {"thingName": "thing"},
    "iam": {"RoleName": "role", "PolicyName": "policy", "UserName": "user"},
}
Answer = tuple[str, list[tuple[str, str]], bytes]
_ID_HEADERS = ("x-amz-request-id", "x-amzn-requestid")
_XML_SERVICES = ("iam", "sts")
_IN_BODY = re.compile(rb"<RequestId>[^<]*</RequestId>")


def refusal(call: Call, error: dict[str, Any]) -> Answer:
    """The refusal of ``call`` with ``{"kind": …}`` or ``{"code", "status", "message"}``, in its service's form."""
    code, status, message = _named(call, error["kind"]) if "kind" in error else _given(error)
    if call.service in JSON_SERVICES:
        return _as_json(code, status, message)
    if call.service == "s3":
        return _as_s3(code, status, message, head=call.method == "HEAD")
    return _as_query(code, status, message)


def not_in_sandbox(call: Call) -> dict[str, Any]:
    """The refusal of an operation that the sandbox does not support; SDKs do not retry 501."""
    message = f"The sandbox does not have {call.service}:{call.operation or '*'}."
    return {"code": "NotImplementedException", "status": 501, "message": message}


def in_aws_form(call: Call, answer: Answer) -> Answer:
    """IoT's errors carry their code in a header and ``message`` in the body, not moto's ``__type``."""
    status, headers, body = answer
    if call.service not in JSON_SERVICES or int(status[:3]) < 400 or not body.startswith(b"{"):
        return answer
    fields = json.loads(body)
    code = fields.pop("__type", fields.pop("Type", ""))
    code = "InvalidRequestException" if code == "InvalidToken" else code  # moto's own, of its paginator
    if code:
        headers = [pair for pair in headers if pair[0].lower() not in {"x-amzn-errortype", "content-length"}]
        headers.append(("x-amzn-ErrorType", code.split("#")[-1]))
    else:
        headers = [pair for pair in headers if pair[0].lower() != "content-length"]
    return status, headers, json.dumps(fields).encode()


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
    action = f"{_ACTION_PREFIXES.get(call.service, call.service)}:{_action(call)}"
    caller = _CALLER.format(account=call.account_id)
    resource = f'"{_resource(call)}"' if call.service == "s3" else _resource(call)
    return (
        f"User: {caller} is not authorized to perform: {action} on resource: {resource} "
        f"because no identity-based policy allows the {action} action"
    )


def _action(call: Call) -> str:
    """The IAM action of this operation; deleting one version of an object has its own."""
    if call.service != "s3":
        return _IOT_ACTIONS.get(call.operation, call.operation)
    if call.operation == "DeleteObject" and "versionId" in call.params:
        return "DeleteObjectVersion"
    return _S3_ACTIONS.get(call.operation, call.operation)


def _resource(call: Call) -> str:
    if call.service == "s3":
        return "arn:aws:s3:::" + "/".join(call.params[name] for name in ("Bucket", "Key") if name in call.params)
    region = "" if call.service == "iam" else call.region
    for member, kind in _RESOURCES.get(call.service, {}).items():
        if member in call.params:
            service = "iot" if call.service == "iot-jobs-data" else call.service
            return f"arn:aws:{service}:{region}:{call.account_id}:{kind}/{call.params[member]}"
    return "*"


def _as_json(code: str, status: int, message: str) -> Answer:
    headers = [("Content-Type", "application/json"), ("x-amzn-ErrorType", code)]
    return _line(status), headers, json.dumps({"message": message}).encode()


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


def _line(status: int) -> str:
    return f"{status} {reasons.get(status, 'Error')}"
