"""Names the operation of a request to a service that the sandbox does not have, and the protocol of its answer.

A program that uses further services of AWS learns from a refusal in the protocol that it speaks which operation is
missing. Protocols and operations come from botocore's models of all services.

Source: Smithy specifications "AWS JSON 1.0 and 1.1", "AWS restJson1", "AWS restXml", "AWS query", "AWS EC2 query",
"Smithy RPC v2 CBOR"; ``metadata`` of botocore's service models.
"""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from moto.core.request import Request
from moto.core.routing import get_service_router
from moto.core.utils import get_service_model
from werkzeug.exceptions import HTTPException

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_METADATA_BYTES = 4096
_SIGNING_NAME = re.compile(r'"signingName"\s*:\s*"([^"]+)"')
_ENDPOINT_PREFIX = re.compile(r'"endpointPrefix"\s*:\s*"([^"]+)"')
_RPC_PATH = re.compile(r"/service/[^/]+/operation/(?P<name>\w+)")
_NAME = re.compile(r"\w+")


class Protocol(Enum):
    """How a service words a refusal."""

    REST_JSON = "rest-json"
    JSON = "json"
    QUERY = "query"
    REST_XML = "rest-xml"
    EC2 = "ec2"
    CBOR = "cbor"
    S3 = "s3"


OWN_PROTOCOLS = {
    "iot": Protocol.REST_JSON,
    "iot-jobs-data": Protocol.REST_JSON,
    "iam": Protocol.QUERY,
    "sts": Protocol.QUERY,
    "s3": Protocol.S3,
}


# Operations of S3 that moto takes for others: by DeleteBucketMetricsConfiguration it would delete the bucket.
_MISSING_IN_S3 = re.compile(
    r"\w+(Abac|Annotations?|RequestPayment|(Analytics|IntelligentTiering|Metrics|Metadata\w*)Configurations?)"
    r"|UpdateBucketMetadata\w+|DeleteBucketInventoryConfiguration|CreateSession|GetObject(Retention|Torrent)"
    r"|RenameObject|UpdateObjectEncryption|WriteGetObjectResponse|ListDirectoryBuckets"
)


def is_missing(service: str, operation: str) -> bool:
    """Whether a service that is there lacks an operation that moto would take for another one."""
    return service == "s3" and _MISSING_IN_S3.fullmatch(operation) is not None


def find_operation(signing_name: str, environ: WSGIEnvironment, body: bytes) -> tuple[str, Protocol]:
    """Operation ("" when none matches) and protocol of a request that was signed for ``signing_name``."""
    if signing_name.startswith("s3"):  # S3 Express, S3 Outposts, …
        return "", Protocol.S3
    if environ.get("HTTP_SMITHY_PROTOCOL") == "rpc-v2-cbor":
        found = _RPC_PATH.search(environ["PATH_INFO"])
        return found["name"] if found else "", Protocol.CBOR
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        return _name(target.rpartition(".")[2]), Protocol.JSON
    services = _services().get(signing_name, [])
    protocols = [get_service_model(one).metadata["protocol"] for one in services]
    if action := _action(environ, body):
        return action, Protocol.EC2 if "ec2" in protocols else Protocol.QUERY
    return _find_by_path(services, environ), Protocol.REST_XML if "rest-xml" in protocols else Protocol.REST_JSON


def _find_by_path(services: list[str], environ: WSGIEnvironment) -> str:
    request = Request({**environ, "wsgi.input": io.BytesIO()})
    names = (_match(service, request) for service in services)
    return next(filter(None, names), "")


def _match(service: str, request: Request) -> str:
    try:
        return str(get_service_router(service).match(request)[0].name)
    except HTTPException:
        return ""


def _action(environ: WSGIEnvironment, body: bytes) -> str:
    """The ``Action`` of a query, in the URL or in a form."""
    form = body.decode("latin-1") if "urlencoded" in environ.get("CONTENT_TYPE", "") else ""
    found = parse_qs(environ.get("QUERY_STRING", "")) | parse_qs(form)
    return _name(found.get("Action", [""])[0])


def _name(text: str) -> str:
    """The text where it can be the name of an operation."""
    return text if _NAME.fullmatch(text) else ""


@lru_cache(maxsize=1)
def _services() -> Mapping[str, list[str]]:
    """Botocore's services by the name that requests are signed for, which several may share."""
    from botocore.session import get_session

    loader = get_session().get_component("data_loader")
    roots = [Path(one) for one in loader.search_paths]
    found: dict[str, list[str]] = {}
    for service in loader.list_available_services("service-2"):
        version = loader.determine_latest_version(service, "service-2")
        path = next((one for root in roots for one in (root / service / version).glob("service-2.json*")), None)
        if path is not None:
            found.setdefault(_signing_name(path), []).append(service)
    return found


def _signing_name(path: Path) -> str:
    """The name in the metadata, with which every model begins."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        text = file.read(_METADATA_BYTES).decode(errors="replace")
    found = _SIGNING_NAME.search(text) or _ENDPOINT_PREFIX.search(text)
    return found[1].lower() if found else ""
