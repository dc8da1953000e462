"""Presigned URLs, by which a device downloads an image from the sandbox's S3 without credentials for a limited time.

Source: AWS IoT Developer Guide, "Managing jobs", presigned URLs (the placeholder names the object by its S3 URL);
"Authenticating Requests: Using Query Parameters" of the S3 API reference.
"""

from __future__ import annotations

from datetime import datetime, timezone
from urllib.parse import parse_qs, quote, unquote, urlsplit

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from ota.sandbox.moto.responses import invalid_request

from .state import Region

DEFAULT_SECONDS = 1800
AUTH_SCHEME = "aws.s3.presigned"


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
    params = {"versionId": version_id} if version_id else {}
    request = AWSRequest("GET", f"{region.sandbox.endpoint_url}/{bucket}/{quote(key)}", params=params)
    credentials = Credentials("ASIASANDBOXROLE00000", "sandbox", "sandbox-session")
    S3SigV4QueryAuth(credentials, "s3", region.name, expires=seconds).add_auth(request)
    return str(request.prepare().url)


def is_expired(query: str, now: float) -> bool:
    """Whether a request's query is of a presigned URL that has expired at ``now``, in epoch seconds."""
    values = parse_qs(query)
    try:
        signed_at = datetime.strptime(values["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
        return signed_at.timestamp() + int(values["X-Amz-Expires"][0]) < now
    except (KeyError, ValueError):
        return False
