"""Decides whether the caller of one request may do what it asks for.

The parameters are read by the service's model: an ARN may be in the path, the query, a header or the body.

Source: IAM User Guide, "Policy evaluation logic".
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request
from moto.core.utils import get_service_model

from ota.sandbox.policy.evaluation import Request as PolicyRequest
from ota.sandbox.policy.iam_requests import Operation, requests_of
from ota.sandbox.policy.identities import Denial, find_denial, find_identity

from .calls import SERVICES, Call, rewind

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_S3_WITH_BODY = ("CreateBucket", "DeleteObjects")  # the bodies of others are objects, and may be large


def find_denied_request(environ: WSGIEnvironment, call: Call) -> Denial | None:
    """What the caller lacks for this call; None for an allowed call, and for keys that the sandbox did not give out."""
    identity = find_identity(call.account_id, call.access_key)
    if identity is None:
        return None
    return find_denial(identity, requests_for(with_params(environ, call)))


def requests_for(call: Call) -> tuple[PolicyRequest, ...]:
    """What the caller's policies have to allow for this call."""
    return requests_of(Operation(call.service, call.operation, call.params, call.account_id, call.region))


def with_params(environ: WSGIEnvironment, call: Call) -> Call:
    """The call with all parameters by the names of its service's model; as it is where that has no such operation."""
    if call.service not in SERVICES or call.operation not in get_service_model(call.service).operation_names:
        return call
    return replace(call, params={**call.params, **_read_params(environ, call)})


def denial_error(call: Call, denial: Denial) -> dict[str, Any]:
    """The denial as ``answers.refusal`` takes it."""
    code = "AccessDeniedException" if call.service.startswith("iot") else "AccessDenied"
    return {"code": code, "status": 403, "message": denial.message}


def _read_params(environ: WSGIEnvironment, call: Call) -> Mapping[str, Any]:
    """The parameters; none where the body cannot be read, which moto refuses."""
    rewind(environ)
    body = environ["wsgi.input"].read() if call.service != "s3" or call.operation in _S3_WITH_BODY else b""
    request = Request({**environ, "wsgi.input": io.BytesIO(body)})
    model = get_service_model(call.service)
    parser = PROTOCOL_PARSERS[model.metadata["protocol"]](model.operation_model(call.operation))
    asked: Any = {
        "method": call.method,
        "headers": request.headers,
        "url_path": request.path,
        "url_params": call.params,
    }
    try:
        found = parser.parse(asked | {"values": request.values, "body": body})
    except (ValueError, TypeError, AttributeError):
        return {}
    return {name: value for name, value in found.items() if value is not None}
