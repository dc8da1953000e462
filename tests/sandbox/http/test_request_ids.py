"""Every answer carries the id of its request and the time, whether it is a success or a refusal, whoever refuses."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from tests.conftest import REGION
from tests.sandbox_control import Control

UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
S3_ID = r"[0-9A-F]{16}"
# Answered, refused by the service's model, and refused by the service itself.
CALLS: list[tuple[str, str, dict[str, Any], int]] = [
    ("iot", "list_things", {}, 200),
    ("iot", "create_thing", {"thingName": "a b"}, 400),
    ("iot", "describe_thing", {"thingName": "nobody"}, 404),
    ("iot", "list_ota_updates", {}, 200),
    ("iot", "get_ota_update", {"otaUpdateId": "a b"}, 400),
    ("iot", "get_ota_update", {"otaUpdateId": "nobody"}, 404),
    ("iot", "list_indices", {}, 501),
    ("iot-jobs-data", "get_pending_job_executions", {"thingName": "nobody"}, 404),
    ("iam", "list_roles", {}, 200),
    ("iam", "get_role", {"RoleName": "a role"}, 400),
    ("iam", "get_role", {"RoleName": "nobody"}, 404),
    ("sts", "get_caller_identity", {}, 200),
    ("sts", "assume_role", {"RoleArn": "arn:aws:iam::123456789012:role/nobody", "RoleSessionName": "session"}, 403),
    ("s3", "list_buckets", {}, 200),
    ("s3", "create_bucket", {"Bucket": "bad_name"}, 400),
    ("s3", "head_bucket", {"Bucket": "nobodys-bucket"}, 404),
    ("s3", "list_objects_v2", {"Bucket": "nobodys-bucket"}, 404),
]


def answer_of(call: Callable[..., Any], params: dict[str, Any]) -> dict[str, Any]:
    """What botocore tells of an answer: request id, status and headers."""
    try:
        found: dict[str, Any] = call(**params)["ResponseMetadata"]
    except ClientError as refusal:
        return dict(refusal.response["ResponseMetadata"])
    return found


def check(service: str, answer: dict[str, Any]) -> None:
    assert re.fullmatch(S3_ID if service == "s3" else UUID, answer["RequestId"])
    header = "x-amz-request-id" if service == "s3" else "x-amzn-requestid"
    assert answer["HTTPHeaders"][header] == answer["RequestId"]
    assert abs(parsedate_to_datetime(answer["HTTPHeaders"]["date"]).timestamp() - time.time()) < 60


@pytest.mark.parametrize(
    ("service", "method", "params", "status"), CALLS, ids=[f"{one[0]}-{one[1]}-{one[3]}" for one in CALLS]
)
def test_an_answer_has_its_id_and_its_time(
    shared_clients: Any, service: str, method: str, params: dict[str, Any], status: int
) -> None:
    answer = answer_of(getattr(shared_clients(service), method), params)
    assert answer["HTTPStatusCode"] == status
    check(service, answer)


@pytest.mark.parametrize("kind", ["throttling", "access-denied", "expired-token"])
@pytest.mark.parametrize("service", ["iot", "iot-jobs-data", "iam", "sts", "s3"])
def test_an_injected_refusal_has_them_too(control: Control, shared_clients: Any, service: str, kind: str) -> None:
    control.fail("*", kind, times=0)
    method = {"iot": "list_things", "iam": "list_roles", "sts": "get_caller_identity", "s3": "list_buckets"}
    name, params = method.get(service, "get_pending_job_executions"), {}
    if service == "iot-jobs-data":
        params = {"thingName": "a"}
    check(service, answer_of(getattr(shared_clients(service), name), params))


def test_every_request_has_another_id(shared_clients: Any) -> None:
    ids = {answer_of(shared_clients("iot").list_things, {})["RequestId"] for _ in range(20)}
    assert len(ids) == 20


def test_the_time_is_the_sandboxs_own(control: Control, shared_clients: Any) -> None:
    """So that a tool's check of its clock can be tried: the sandbox's runs ahead when told to."""
    control.advance_clock(600)
    date = answer_of(shared_clients("sts").get_caller_identity, {})["HTTPHeaders"]["date"]
    assert 590 < parsedate_to_datetime(date).timestamp() - time.time() < 610


def test_an_unknown_operation_has_them(control: Control) -> None:
    where = urlsplit(control.address.endpoint_url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port)
    scope = f"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260101/{REGION}/iot/aws4_request, Signature=x"
    connection.request("GET", "/no/such/operation", headers={"Authorization": scope})
    answer = connection.getresponse()
    connection.close()
    assert answer.status == 404
    assert re.fullmatch(UUID, answer.headers["x-amzn-RequestId"])
    assert answer.headers["Date"].endswith(" GMT")
