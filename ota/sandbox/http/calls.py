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

from .services import OWN_PROTOCOLS, Protocol, find_operation

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

SERVICES = frozenset(OWN_PROTOCOLS)
_SIGNING_NAMES = {"execute-api": "iot"}


@dataclass(frozen=True)
class Call:
    """One request. ``operation`` is AWS's name, "" when none matches; ``method`` is the HTTP verb.

    ``access_key`` is the id of the key that signed it; ``protocol`` is how a service that the sandbox does not have
    would answer.
    """

    service: str
    operation: str
    region: str
    account_id: str
    method: str
    params: dict[str, Any] = field(default_factory=dict)
    protocol: Protocol = Protocol.REST_JSON
    access_key: str = ""


def is_for_s3(environ: WSGIEnvironment) -> bool:
    """Whether the request is for S3: signed for it, or not signed and no call to STS."""
    scope = _credential_scope(environ)
    return _unsigned_service(environ) == "s3" if scope is None else scope[2] == "s3"


def identify(environ: WSGIEnvironment, default_region: str) -> Call:
    """Service, operation, region and account of a request whose body has been read."""
    scope = _credential_scope(environ)
    access_key, region, service = scope if scope else ("", default_region, _unsigned_service(environ))
    service = _SIGNING_NAMES.get(service, service)
    # The operations of S3 differ by verb, path and query alone, and its bodies may be large.
    body = b"" if service == "s3" else environ["wsgi.input"].read()
    account_id, method = get_account_id_from(access_key), environ["REQUEST_METHOD"]
    if service not in SERVICES:
        operation, protocol = find_operation(service, environ, body)
        return Call(service, operation, region, account_id, method, protocol=protocol)
    operation, params = _operation(service, environ, body)
    return Call(service, operation, region, account_id, method, params, access_key=access_key)


def rewind(environ: WSGIEnvironment) -> None:
    """Make the body readable again."""
    environ["wsgi.input"].seek(0)


def _operation(service: str, environ: WSGIEnvironment, body: bytes) -> tuple[str, dict[str, Any]]:
    request = Request({**environ, "wsgi.input": io.BytesIO(body)})
    try:
        operation, params = get_service_router(service).match(request)
    except (NotFound, MethodNotAllowed):
        return "", {}
    if service in {"iam", "sts"}:
        params = {**params, **request.values.to_dict()}
    if service == "s3":
        params = {**params, **request.args.to_dict()}
    return operation.name, params


def _unsigned_service(environ: WSGIEnvironment) -> str:
    """AssumeRoleWithWebIdentity is not signed, for who calls it has no credentials yet; else it is a public object."""
    is_form = "urlencoded" in environ.get("CONTENT_TYPE", "")
    return "sts" if is_form and environ["PATH_INFO"] == "/" and environ["REQUEST_METHOD"] == "POST" else "s3"


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
