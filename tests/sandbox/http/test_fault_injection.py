"""Faults that tests inject: each looks as the service's own, meets the calls it names, and ends when told to."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from ota.sandbox.process import Address
from tests.conftest import ACCOUNT, REGION, client
from tests.sandbox_control import Control

USER = f"User: arn:aws:iam::{ACCOUNT}:user/moto is not authorized to perform:"
CALLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "iot": ("CreateThing", "create_thing", {"thingName": "a"}),
    "iot-jobs-data": ("GetPendingJobExecutions", "get_pending_job_executions", {"thingName": "a"}),
    "s3": ("PutObject", "put_object", {"Bucket": "abc", "Key": "k/l", "Body": b"x"}),
    "iam": ("GetRole", "get_role", {"RoleName": "r"}),
    "sts": ("GetCallerIdentity", "get_caller_identity", {}),
}


def caught(call: Callable[..., Any], **params: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as error:
        call(**params)
    response = error.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]


@pytest.mark.parametrize(
    ("service", "kind", "code", "status", "message"),
    [
        ("iot", "throttling", "ThrottlingException", 400, "Rate exceeded"),
        ("iot-jobs-data", "throttling", "ThrottlingException", 429, "Rate exceeded"),
        ("s3", "throttling", "SlowDown", 503, "Please reduce your request rate."),
        ("iam", "throttling", "Throttling", 400, "Rate exceeded"),
        ("sts", "throttling", "Throttling", 400, "Rate exceeded"),
        ("iot", "access-denied", "AccessDeniedException", 403,
         f"{USER} iot:CreateThing on resource: arn:aws:iot:{REGION}:{ACCOUNT}:thing/a because no identity-based policy "
         "allows the iot:CreateThing action"),
        ("iot-jobs-data", "access-denied", "AccessDeniedException", 403,
         f"{USER} iotjobsdata:GetPendingJobExecutions on resource: arn:aws:iot:{REGION}:{ACCOUNT}:thing/a because no "
         "identity-based policy allows the iotjobsdata:GetPendingJobExecutions action"),
        ("s3", "access-denied", "AccessDenied", 403,
         f'{USER} s3:PutObject on resource: "arn:aws:s3:::abc/k/l" because no identity-based policy allows the '
         "s3:PutObject action"),
        ("iam", "access-denied", "AccessDenied", 403,
         f"{USER} iam:GetRole on resource: arn:aws:iam::{ACCOUNT}:role/r because no identity-based policy allows the "
         "iam:GetRole action"),
        ("sts", "access-denied", "AccessDenied", 403,
         f"{USER} sts:GetCallerIdentity on resource: * because no identity-based policy allows the "
         "sts:GetCallerIdentity action"),
        ("iot", "expired-token", "ExpiredTokenException", 403, "The security token included in the request is expired"),
        ("s3", "expired-token", "ExpiredToken", 400, "The provided token has expired."),
        ("iam", "expired-token", "ExpiredToken", 403, "The security token included in the request is expired"),
        ("sts", "expired-token", "ExpiredToken", 403, "The security token included in the request is expired"),
    ],
)  # fmt: skip
def test_each_service_refuses_in_its_own_form(
    control: Control, shared_clients: Any, service: str, kind: str, code: str, status: int, message: str
) -> None:
    operation, method, params = CALLS[service]
    control.fail(operation, kind)
    assert caught(getattr(shared_clients(service), method), **params) == (code, status, message)
    assert control.calls() == [{"service": service, "operation": operation, "status": status}]


def test_modelled_refusals_are_caught_as_such(control: Control, iot: Any) -> None:
    control.fail("DescribeThing", code="ResourceNotFoundException", status=404, message="gone")
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_thing(thingName="a")


def test_head_is_refused_bare_and_names_the_permission_s3_asks_for(control: Control, s3: Any) -> None:
    control.fail("HeadBucket", "access-denied")
    assert caught(s3.head_bucket, Bucket="abc")[:2] == ("403", 403)
    control.fail("ListObjectVersions", "access-denied")
    assert "s3:ListBucketVersions on resource" in caught(s3.list_object_versions, Bucket="abc")[2]


def test_only_the_nth_matching_call_is_met(control: Control, iot: Any) -> None:
    control.fail("CreateThing", nth=2)
    iot.create_thing(thingName="a")
    iot.describe_thing(thingName="a")
    assert caught(iot.create_thing, thingName="b")[0] == "ThrottlingException"
    iot.create_thing(thingName="b")
    assert [call["status"] for call in control.calls()] == [200, 200, 400, 200]


def test_any_call_is_met_by_a_star_as_often_as_told(control: Control, iot: Any, sts: Any) -> None:
    control.fail("*", times=2)
    caught(iot.list_things)
    caught(sts.get_caller_identity)
    assert iot.list_things()["things"] == []


def test_zero_times_is_always_until_cleared(control: Control, iot: Any) -> None:
    control.fail("ListThings", times=0)
    for _ in range(4):
        caught(iot.list_things)
    control.clear_faults()
    assert iot.list_things()["things"] == []


def test_a_service_can_be_singled_out(control: Control, world: Any, jobs_data: Any) -> None:
    world.create()
    control.fail("DescribeJobExecution", service="iot-jobs-data")
    one = {"jobId": "AFR_OTA-lamp-1", "thingName": "lamp"}
    world.iot.describe_job_execution(**one)
    assert caught(jobs_data.describe_job_execution, **one)[0] == "ThrottlingException"


def test_clients_with_retries_survive_throttling(control: Control, sandbox: Address) -> None:
    """Side by side, for each waits before it tries again."""
    calls = {"iot": "list_things", "s3": "list_buckets", "iam": "list_roles", "sts": "get_caller_identity"}
    config = Config(retries={"mode": "standard", "total_max_attempts": 3})
    retrying = [getattr(client(service, sandbox, config=config), name) for service, name in calls.items()]
    for service in calls:
        control.fail("*", service=service, times=1)
    with ThreadPoolExecutor(len(calls)) as pool:
        for answer in [pool.submit(call) for call in retrying]:
            assert answer.result()["ResponseMetadata"]["HTTPStatusCode"] == 200
    seen = [(call["service"], call["status"] == 200) for call in control.calls()]
    assert sorted(seen) == sorted((service, worked) for service in calls for worked in (False, True))


@pytest.mark.parametrize(("processed", "things"), [(False, []), (True, ["a"])], ids=["before", "after"])
def test_dropped_connection_with_and_without_the_work_done(
    control: Control, iot: Any, processed: bool, things: list[str]
) -> None:
    control.drop("CreateThing", processed=processed)
    with pytest.raises(ConnectionClosedError):
        iot.create_thing(thingName="a")
    assert [thing["thingName"] for thing in iot.list_things()["things"]] == things


def test_held_call_has_been_processed_and_answers_when_released(control: Control, iot: Any) -> None:
    rule = control.hold("CreateThing")
    answers: list[Any] = []
    caller = threading.Thread(target=lambda: answers.append(iot.create_thing(thingName="a")))
    caller.start()
    assert control.wait_until_held(rule)
    assert [thing["thingName"] for thing in iot.list_things()["things"]] == ["a"]
    assert answers == []
    control.release()
    caller.join(timeout=10)
    assert answers[0]["thingName"] == "a"


def test_clearing_the_rules_lets_held_calls_go(control: Control, iot: Any) -> None:
    rule = control.hold("CreateThing")
    caller = threading.Thread(target=lambda: iot.create_thing(thingName="a"))
    caller.start()
    assert control.wait_until_held(rule)
    control.reset()
    caller.join(timeout=10)
    assert not caller.is_alive()


def test_latency_is_added_to_each_call_and_calls_wait_side_by_side(control: Control, iot: Any, sts: Any) -> None:
    control.latency(0.3)
    started = time.monotonic()
    callers = [threading.Thread(target=call) for call in (iot.list_things, sts.get_caller_identity, iot.list_policies)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert 0.3 <= time.monotonic() - started < 0.85


def test_calls_are_recorded_in_order_with_their_statuses(control: Control, iot: Any, s3: Any) -> None:
    iot.list_things()
    caught(iot.describe_thing, thingName="none")
    caught(s3.head_bucket, Bucket="nobodys-bucket")
    assert control.calls(clear=True) == [
        {"service": "iot", "operation": "ListThings", "status": 200},
        {"service": "iot", "operation": "DescribeThing", "status": 404},
        {"service": "s3", "operation": "HeadBucket", "status": 404},
    ]
    assert control.operations() == []


def test_errors_of_iot_carry_code_in_the_header_and_message_in_the_body(control: Control) -> None:
    where = urlsplit(control.address.endpoint_url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port)
    scope = f"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260101/{REGION}/iot/aws4_request, Signature=x"
    connection.request("GET", "/things/nobody", headers={"Authorization": scope})
    answer = connection.getresponse()
    assert answer.getheader("x-amzn-ErrorType") == "ResourceNotFoundException"
    assert list(__import__("json").loads(answer.read())) == ["message"]
    connection.request("GET", "/no/such/path/at/all", headers={"Authorization": scope})  # the connection was kept
    assert connection.getresponse().status == 404
    connection.close()


def test_what_the_sandbox_does_not_have_is_said_plainly(iot: Any, sandbox: Address) -> None:
    code, status, message = caught(iot.list_audit_tasks, startTime=0, endTime=1)
    assert (code, status) == ("NotImplementedException", 501)
    assert message == "The sandbox does not have the operation ListAuditTasks of the service iot."
    assert "ec2" in caught(client("ec2", sandbox).describe_instances)[2]


def test_wrong_rules_are_refused(control: Control) -> None:
    with pytest.raises(ValueError, match="unknown action"):
        control.ask("POST", "faults", action="explode")
    with pytest.raises(ValueError, match="no such control endpoint"):
        control.ask("GET", "nothing")


def test_a_fault_that_spreads_meets_every_later_call(control: Control, iot: Any) -> None:
    control.fail("CreateThing", "expired-token", nth=2, spreads=True)
    iot.create_thing(thingName="a")
    iot.describe_thing(thingName="a")
    for call in (iot.create_thing, iot.describe_thing, iot.describe_thing):
        assert caught(call, thingName="a")[0] == "ExpiredTokenException"
