"""How each service words a refusal: JSON with a header for IoT, XML for S3, another XML for IAM and STS.

An SDK acts on code, status and form, so an injected throttling or missing permission must look as the service's own.

Source: "Common errors" of the AWS IoT, S3, IAM and STS API references; captured 403 bodies for the AccessDenied text.
"""

from __future__ import annotations

import json
from http.client import responses as reasons
from typing import Any
from xml.sax.saxutils import escape

from .operations import Call
from .request_ids import Answer, new_request_id, new_s3_request_id

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
# Where the action that a policy must allow is not called as the operation is.
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


def refusal(call: Call, error: dict[str, Any]) -> Answer:
    """The refusal of ``call`` with ``{"kind": …}`` or ``{"code", "status", "message"}``, in its service's form."""
    code, status, message = _named(call, error["kind"]) if "kind" in error else _given(error)
    if call.service in JSON_SERVICES:
        return _as_json(code, status, message)
    if call.service == "s3":
        return _as_s3(code, status, message, head=call.method == "HEAD")
    return _as_query(code, status, message)


def not_in_sandbox(call: Call) -> dict[str, Any]:
    """The refusal of an operation that AWS has and the sandbox has not; 501 is never retried."""
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


def _given(error: dict[str, Any]) -> tuple[str, int, str]:
    return error["code"], int(error.get("status", 400)), error.get("message", error["code"])


def _named(call: Call, kind: str) -> tuple[str, int, str]:
    if kind == "throttling":
        return _THROTTLING.get(call.service, ("Throttling", 400, "Rate exceeded"))
    if kind == "expired-token":
        default = ("ExpiredToken", 403, "The security token included in the request is expired")
        return _EXPIRED.get(call.service, default)
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
    """The action that IAM judges for this operation; deleting one version of an object is one of its own."""
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
