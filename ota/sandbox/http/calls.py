"""Identifies the service and operation of a request before it is handled.

Recorded calls, faults and refusals use AWS's operation names. They come from botocore's models: by verb, path and query
for REST services, by ``Action`` for query services.

Source: botocore's service models, through moto's routers; "Signature Version 4" of the AWS General Reference for the
credential scope that names service and region.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from moto.core.request import Request
from moto.core.routing import get_service_router
from moto.iam.models import get_account_id_from
from werkzeug.exceptions import MethodNotAllowed, NotFound

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

SERVICES = frozenset({"iot", "iot-jobs-data", "s3", "iam", "sts"})
_SIGNING_NAMES = {"execute-api": "iot"}


@dataclass(frozen=True)
class Call:
    """One request. ``operation`` is AWS's name, "" when none matches; ``method`` is the HTTP verb."""

    service: str
    operation: str
    region: str
    account_id: str
    method: str
    params: dict[str, Any] = field(default_factory=dict)


def identify(environ: WSGIEnvironment, default_region: str) -> Call:
    """Service, operation, region and account of a request whose body is already in memory."""
    scope = _credential_scope(environ)
    access_key, region, service = scope if scope else ("", default_region, "s3")
    service = _SIGNING_NAMES.get(service, service)
    operation, params = _operation(service, environ)
    return Call(service, operation, region, get_account_id_from(access_key), environ["REQUEST_METHOD"], params)


def rewind(environ: WSGIEnvironment) -> None:
    """Make the body readable again."""
    environ["wsgi.input"].seek(0)


def _operation(service: str, environ: WSGIEnvironment) -> tuple[str, dict[str, Any]]:
    if service not in SERVICES:
        return "", {}
    request = Request({**environ, "wsgi.input": io.BytesIO(environ["wsgi.input"].getvalue())})
    try:
        operation, params = get_service_router(service).match(request)
    except (NotFound, MethodNotAllowed):
        return "", {}
    if service in {"iam", "sts"}:
        params = {**params, **request.values.to_dict()}
    if service == "s3":
        params = {**params, **request.args.to_dict()}
    return operation.name, params


def _credential_scope(environ: WSGIEnvironment) -> tuple[str, str, str] | None:
    credential = _credential(environ)
    parts = credential.split("/")
    if len(parts) != 5:
        return None
    return parts[0], parts[2], parts[3].lower()


def _credential(environ: WSGIEnvironment) -> str:
    header: str = environ.get("HTTP_AUTHORIZATION", "")
    if "Credential=" in header:
        return header.split("Credential=", 1)[1].split(",", 1)[0].strip()
    query = parse_qs(str(environ.get("QUERY_STRING", "")))
    return query.get("X-Amz-Credential", [""])[0]
