"""Presigned URLs, by which a device downloads an image from the sandbox's S3 without credentials for a limited time.

They have AWS's shape, ``https://<bucket>.s3.<region>.amazonaws.com/<key>?…``, and are signed for that host without a
port: so a URL is the same whether the sandbox listens on AWS's port 443 or a forwarder on 443 leads to it. Otherwise
the URL names the port that the sandbox listens on. A bucket with a dot in its name is in the path, because no wildcard
certificate covers it as a host. URLs that users sign with keys of their own are not checked, for the sandbox does not
know their secrets; they expire all the same.

Source: AWS IoT Developer Guide, "Managing jobs", presigned URLs (the placeholder names the object by its S3 URL);
"Authenticating Requests: Using Query Parameters" and "Virtual hosting of buckets" of the S3 API reference. Which of
expiry and signature S3 checks first is UNVERIFIED.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from ota.sandbox.moto.responses import invalid_request

from .state import Region

DEFAULT_SECONDS = 1800
AUTH_SCHEME = "aws.s3.presigned"
HTTPS_PORT = 443
ROLE_KEY_ID = "ASIASANDBOXROLE00000"
_TOKEN = "sandbox-session"  # noqa: S105 - any text; the signature covers it
_TIME = "%Y%m%dT%H%M%SZ"
_ALGORITHM = "AWS4-HMAC-SHA256"


class UrlProblem(Enum):
    """Why a presigned URL is refused."""

    EXPIRED = "expired"
    TAMPERED = "tampered"


@dataclass(frozen=True)
class UrlRequest:
    """A request as its signature covers it: ``host`` without a port, ``path`` and ``query`` percent-encoded."""

    method: str
    host: str
    path: str
    query: str


def placeholder(region: Region, bucket: str, key: str, version_id: str | None) -> str:
    """The placeholder in a job document that becomes a URL when a device asks for the document."""
    version = f"?versionId={version_id}" if version_id else ""
    return f"${{aws:iot:s3-presigned-url:https://s3.{region.name}.amazonaws.com/{bucket}/{quote(key)}{version}}}"


def split_url(url: str) -> tuple[str, str, str | None]:
    """Bucket, key and version of an S3 URL in either style.

    Raises:
        AwsError: InvalidRequestException when it names no object.
    """
    parts = urlsplit(url)
    host, path = parts.hostname or "", parts.path.lstrip("/")
    if host.startswith(("s3.", "s3-")):
        bucket, _, key = path.partition("/")
    else:
        bucket, key = host.split(".s3", 1)[0], path
    if not bucket or not key or "amazonaws.com" not in host:
        raise invalid_request(f"{url} is not the URL of an S3 object.")
    version = parts.query.removeprefix("versionId=") or None
    return bucket, unquote(key), version


def presign(region: Region, url: str, seconds: int) -> str:
    """A URL of the sandbox by which anybody can download the object of ``url`` for ``seconds``."""
    bucket, key, version_id = split_url(url)
    host, path = f"{bucket}.s3.{region.name}.amazonaws.com", f"/{quote(key)}"
    if "." in bucket:
        host, path = f"s3.{region.name}.amazonaws.com", f"/{bucket}{path}"
    now = datetime.fromtimestamp(region.now(), timezone.utc)
    values = {
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{ROLE_KEY_ID}/{now:%Y%m%d}/{region.name}/s3/aws4_request",
        "X-Amz-Date": f"{now:{_TIME}}",
        "X-Amz-Expires": str(seconds),
        "X-Amz-Security-Token": _TOKEN,
        "X-Amz-SignedHeaders": "host",
        **({"versionId": version_id} if version_id else {}),
    }
    signature = _signature("GET", host, path, values, region.sandbox.url_secret)
    port = region.sandbox.https_port
    where = host if port == HTTPS_PORT else f"{host}:{port}"
    return f"https://{where}{path}?{_encode_query(values)}&X-Amz-Signature={signature}"


def find_url_problem(request: UrlRequest, secret: str, now: float) -> UrlProblem | None:
    """Why a request with a presigned URL is refused at ``now``, in epoch seconds; None also for one without."""
    values = dict(parse_qsl(request.query, keep_blank_values=True))
    if _is_expired(values, now):
        return UrlProblem.EXPIRED
    if not values.get("X-Amz-Credential", "").startswith(f"{ROLE_KEY_ID}/"):
        return None
    given = values.pop("X-Amz-Signature", "")
    wanted = _signature(request.method, request.host, quote(unquote(request.path)), values, secret)
    return None if hmac.compare_digest(given.encode(), wanted.encode()) else UrlProblem.TAMPERED


def _is_expired(values: Mapping[str, str], now: float) -> bool:
    try:
        signed_at = datetime.strptime(values["X-Amz-Date"], _TIME).replace(tzinfo=timezone.utc)
        return signed_at.timestamp() + int(values["X-Amz-Expires"]) < now
    except (KeyError, ValueError):
        return False


def _signature(method: str, host: str, path: str, values: Mapping[str, str], secret: str) -> str:
    """Signature Version 4 of a request whose only signed header is its host."""
    request = "\n".join([method, path, _encode_query(values), f"host:{host}", "", "host", "UNSIGNED-PAYLOAD"])
    scope = values.get("X-Amz-Credential", "").split("/")[1:]
    hashed = hashlib.sha256(request.encode()).hexdigest()
    text = "\n".join([_ALGORITHM, values.get("X-Amz-Date", ""), "/".join(scope), hashed])
    key = f"AWS4{secret}".encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def _encode_query(values: Mapping[str, str]) -> str:
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(values.items()))
