"""Keeps the reports of registration tasks, and hands them out behind presigned links.

A report is a series of files of JSON lines. A file is complete after 1,000 lines or at the end of the task, and has a
link from then on. The files lie in a bucket of the service's own, so the link is the only way to them. Its lines have
``lineNumber``, ``offset`` (bytes before the line in the input file), ``statusCode`` and ``response``.
UNVERIFIED: the members beside ``response``, those of an error's ``response``, and how AWS splits a report.

Source: AWS IoT API reference, ListThingRegistrationTaskReports; the results as the repository
aws-samples/aws-iot-device-management-workshop reads them; S3 API reference, "Authenticating Requests: Using Query
Parameters".
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qs, urlencode

LINES_PER_FILE = 1000
LINK_SECONDS = 3600
PREFIX = "/sandbox-thing-registration-reports"
_KEY_ID = "ASIASANDBOXREPORTS00"
_TIME = "%Y%m%dT%H%M%SZ"


@dataclass
class Report:
    """One report of a task: the complete files, and the lines since the last of them."""

    files: list[bytes] = field(default_factory=list)
    open_lines: list[bytes] = field(default_factory=list)

    def add(self, number: int, offset: int, status: int, response: Mapping[str, Any]) -> None:
        """Add what became of one line of the input."""
        line = {"lineNumber": number, "offset": offset, "statusCode": status, "response": response}
        self.open_lines.append(json.dumps(line).encode() + b"\n")
        if len(self.open_lines) == LINES_PER_FILE:
            self.close()

    def close(self) -> None:
        """Complete the file that is open, if it has lines."""
        if self.open_lines:
            self.files.append(b"".join(self.open_lines))
        self.open_lines = []


def report_path(region: str, account_id: str, task_id: str, kind: str, number: int) -> str:
    """The path of one file of a report: ``/<bucket>/<region>/<account>/<task>/results-0``."""
    return f"{PREFIX}/{region}/{account_id}/{task_id}/{kind.lower()}-{number}"


def split_path(path: str) -> tuple[str, str, str, str, int] | None:
    """Region, account, task, kind and number of a file's path; None when it is not one."""
    parts = path.removeprefix(PREFIX).split("/")
    if not path.startswith(f"{PREFIX}/") or len(parts) != 5:
        return None
    kind, _, number = parts[4].partition("-")
    return (parts[1], parts[2], parts[3], kind.upper(), int(number)) if number.isdecimal() else None


def sign(path: str, region: str, key: bytes, now: float) -> str:
    """The query that makes a link of ``path``: valid from ``now``, in epoch seconds, for an hour."""
    date = datetime.fromtimestamp(now, timezone.utc)
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{_KEY_ID}/{date:%Y%m%d}/{region}/s3/aws4_request",
        "X-Amz-Date": date.strftime(_TIME),
        "X-Amz-Expires": str(LINK_SECONDS),
        "X-Amz-SignedHeaders": "host",
    }
    return urlencode({**query, "X-Amz-Signature": _signature(path, query, key)})


def is_signed(path: str, query: str, key: bytes, now: float) -> bool:
    """Whether the query is what ``sign`` made for this path, and has not expired at ``now``."""
    values = {name: found[0] for name, found in parse_qs(query).items()}
    signature = values.pop("X-Amz-Signature", "")
    if not hmac.compare_digest(signature, _signature(path, values, key)):
        return False
    signed_at = datetime.strptime(values["X-Amz-Date"], _TIME).replace(tzinfo=timezone.utc)
    return now <= signed_at.timestamp() + int(values["X-Amz-Expires"])


def _signature(path: str, query: Mapping[str, str], key: bytes) -> str:
    return hmac.new(key, f"{path}?{urlencode(sorted(query.items()))}".encode(), hashlib.sha256).hexdigest()
