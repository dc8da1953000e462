"""What every answer of AWS carries besides its content: the id of the request, and the time.

A tool quotes the id when it reports an error, and holds its own clock against the time, for AWS refuses requests whose
time is minutes off. moto gives both to some answers and not to others.

Source: "Common response headers" of the AWS IoT, IAM, STS and S3 API references; RFC 9110 section 6.6.1 (Date).
"""

from __future__ import annotations

import re
import uuid
from email.utils import formatdate

Answer = tuple[str, list[tuple[str, str]], bytes]

_ID_HEADERS = ("x-amz-request-id", "x-amzn-requestid")
_XML_SERVICES = ("iam", "sts")
_IN_BODY = re.compile(rb"<RequestId>[^<]*</RequestId>")


def new_request_id() -> str:
    """An id as IoT, IAM and STS give it: a UUID."""
    return str(uuid.uuid4())


def new_s3_request_id() -> str:
    """An id as S3 gives it: 16 capital letters and digits."""
    return uuid.uuid4().hex[:16].upper()


def stamped(service: str, answer: Answer, now: float) -> Answer:
    """The answer (status line, headers, body) with request id and time; ``now`` in epoch seconds.

    An id in the body, which IAM, STS and S3's refusals have, is the one in the header.
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
