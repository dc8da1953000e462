"""What AWS IoT tells the account: clients that come and go always, the ends of jobs when they are asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ota.sandbox.process import Address
from tests import raw_mqtt
from tests.mqtt_world import ALLOW_ALL, Device, make_device, replace_policy
from tests.raw_mqtt import RawClient
from tests.sandbox_control import Control

PRESENCE = "$aws/events/presence"
SUBSCRIPTIONS = "$aws/events/subscriptions"
LAMP_ARN = "arn:aws:iot:eu-west-1:123456789012:thing/lamp"


@pytest.fixture
def lamp(iot: Any, clean_sandbox: Address, tmp_path: Path) -> Device:
    return make_device(iot, clean_sandbox, tmp_path, policy=ALLOW_ALL)


@pytest.fixture
def watcher(lamp: Device) -> Iterator[RawClient]:
    """A client that is told of the lamp."""
    with lamp.connect("watcher") as client:
        client.subscribe(
            f"{PRESENCE}/+/lamp", f"{SUBSCRIPTIONS}/+/lamp", "$aws/events/job/#", "$aws/events/jobExecution/#"
        )
        yield client


def told(watcher: RawClient) -> list[tuple[str, dict[str, Any]]]:
    """The events so far: topic below ``$aws/events/`` and payload."""
    return [(one.topic.removeprefix("$aws/events/"), one.json()) for one in watcher.messages()]


def next_event(watcher: RawClient) -> dict[str, Any]:
    """The next event's payload; waits for it."""
    found: dict[str, Any] = watcher.receive().json()
    return found


def test_a_client_that_comes_subscribes_and_leaves_is_told_of(lamp: Device, watcher: RawClient) -> None:
    with lamp.connect() as client:
        client.subscribe("a", "b/+")
        client.send(raw_mqtt.unsubscribe_packet("a"))
        client.read()
        client.send(raw_mqtt.DISCONNECT)
        assert client.is_closed()
    events = [next_event(watcher) for _ in range(4)]
    session, now = events[0]["sessionIdentifier"], events[0]["timestamp"]
    assert now > 1_700_000_000_000
    common = {"clientId": "lamp", "sessionIdentifier": session, "principalIdentifier": lamp.certificate_id}
    assert [{**one, "timestamp": 0} for one in events] == [
        {**common, "timestamp": 0, "eventType": "connected", "ipAddress": "127.0.0.1", "versionNumber": 0},
        {**common, "timestamp": 0, "eventType": "subscribed", "topics": ["a", "b/+"]},
        {**common, "timestamp": 0, "eventType": "unsubscribed", "topics": ["a"]},
        {
            **common,
            "timestamp": 0,
            "eventType": "disconnected",
            "clientInitiatedDisconnect": True,
            "disconnectReason": "CLIENT_INITIATED_DISCONNECT",
            "versionNumber": 0,
        },
    ]


def test_each_connection_has_its_own_session_and_number(lamp: Device, watcher: RawClient) -> None:
    for _ in range(2):
        with lamp.connect() as client:
            client.send(raw_mqtt.DISCONNECT)
            assert client.is_closed()
    events = [next_event(watcher) for _ in range(4)]
    assert [one["versionNumber"] for one in events] == [0, 0, 1, 1]
    assert len({one["sessionIdentifier"] for one in events}) == 2


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param(b"", "CONNECTION_LOST", id="vanishes"),
        pytest.param(b"\x00\x00", "CLIENT_ERROR", id="malformed packet"),
        pytest.param(raw_mqtt.publish_packet("$SYS/x", b""), "CLIENT_ERROR", id="reserved topic"),
        pytest.param(raw_mqtt.subscribe_packet(*"abcdefghi"), "CLIENT_ERROR", id="nine filters"),
        pytest.param(raw_mqtt.publish_packet("denied", b""), "AUTH_ERROR", id="not allowed"),
    ],
)
def test_the_end_of_a_connection_has_its_reason(
    lamp: Device, iot: Any, watcher: RawClient, raw: bytes, reason: str
) -> None:
    denial = {"Effect": "Deny", "Action": "iot:Publish", "Resource": "arn:aws:iot:*:*:topic/denied"}
    replace_policy(iot, "lamp", {**ALLOW_ALL, "Statement": [*ALLOW_ALL["Statement"], denial]})
    with lamp.connect() as client:
        if raw:
            client.send(raw)
            assert client.is_closed()
    next_event(watcher)
    event = next_event(watcher)
    assert (event["disconnectReason"], event["clientInitiatedDisconnect"]) == (reason, False)


def test_a_client_whose_place_is_taken_goes_as_a_duplicate(lamp: Device, watcher: RawClient) -> None:
    with lamp.connect() as older, lamp.connect():
        assert older.is_closed()
        kinds = [next_event(watcher) for _ in range(3)]
    gone = next(one for one in kinds if one["eventType"] == "disconnected")
    assert (gone["disconnectReason"], gone["versionNumber"]) == ("DUPLICATE_CLIENTID", 0)


def test_an_exclusive_thing_is_named(lamp: Device, iot: Any, watcher: RawClient) -> None:
    iot.detach_thing_principal(thingName="lamp", principal=lamp.certificate_arn)
    exclusive = {"thingPrincipalType": "EXCLUSIVE_THING"}
    iot.attach_thing_principal(thingName="lamp", principal=lamp.certificate_arn, **exclusive)
    with lamp.connect():
        assert next_event(watcher)["thingName"] == "lamp"


def test_a_name_with_a_wildcard_is_not_told_of(lamp: Device) -> None:
    with lamp.connect("watcher") as watcher:
        watcher.subscribe("$aws/events/#")
        assert [one.json()["clientId"] for one in watcher.messages()] == ["watcher"]
        with lamp.connect("a+b"):
            assert watcher.messages() == []


def enable(iot: Any, *kinds: str) -> None:
    iot.update_event_configurations(eventConfigurations={kind: {"Enabled": True} for kind in kinds})


def create_job(iot: Any, job_id: str = "j1", **more: Any) -> None:
    iot.create_job(jobId=job_id, targets=[LAMP_ARN], document="{}", description="a job", **more)


def test_which_events_are_on_is_remembered(iot: Any) -> None:
    before = iot.describe_event_configurations()["eventConfigurations"]
    assert len(before) == 11
    assert not any(one["Enabled"] for one in before.values())
    enable(iot, "JOB")
    iot.update_event_configurations(eventConfigurations={"THING": {"Enabled": True}})
    after = iot.describe_event_configurations()["eventConfigurations"]
    assert [kind for kind, one in after.items() if one["Enabled"]] == ["THING", "JOB"]


def test_jobs_are_not_told_of_unless_asked_for(watcher: RawClient, iot: Any) -> None:
    create_job(iot)
    iot.cancel_job(jobId="j1")
    assert told(watcher) == []


def test_the_end_of_a_job_is_told_with_what_became_of_its_things(watcher: RawClient, iot: Any, jobs_data: Any) -> None:
    enable(iot, "JOB", "JOB_EXECUTION")
    create_job(iot)
    jobs_data.update_job_execution(jobId="j1", thingName="lamp", status="SUCCEEDED", statusDetails={"a": "b"})
    (topic, execution), (job_topic, job) = told(watcher)
    assert (topic, job_topic) == ("jobExecution/j1/succeeded", "job/j1/completed")
    assert len({execution.pop("eventId"), job.pop("eventId")}) == 2
    assert abs(execution.pop("timestamp") - job.pop("timestamp")) <= 1
    assert execution == {
        "eventType": "JOB_EXECUTION",
        "operation": "succeeded",
        "jobId": "j1",
        "thingArn": LAMP_ARN,
        "status": "SUCCEEDED",
        "statusDetails": {"a": "b"},
    }
    moments = [job.pop(name) for name in ("createdAt", "lastUpdatedAt", "completedAt")]
    assert moments == sorted(moments)
    assert moments[0] > 1_700_000_000_000
    assert job.pop("jobProcessDetails")["numberOfSucceededThings"] == 1
    assert job == {
        "eventType": "JOB",
        "operation": "completed",
        "jobId": "j1",
        "status": "COMPLETED",
        "targetSelection": "SNAPSHOT",
        "targets": [LAMP_ARN],
        "description": "a job",
    }


def time_out(iot: Any, jobs_data: Any, control: Control) -> None:
    del iot
    jobs_data.start_next_pending_job_execution(thingName="lamp")
    control.advance_clock(301)


@pytest.mark.parametrize(
    ("change", "topics"),
    [
        pytest.param(
            lambda iot, *_: iot.cancel_job(jobId="j1"),
            ["job/j1/cancellation_in_progress", "jobExecution/j1/canceled", "job/j1/canceled"],
            id="job canceled",
        ),
        pytest.param(
            lambda iot, *_: iot.cancel_job_execution(jobId="j1", thingName="lamp"),
            ["jobExecution/j1/canceled", "job/j1/completed"],
            id="execution canceled",
        ),
        pytest.param(time_out, ["jobExecution/j1/timed_out", "job/j1/completed"], id="timed out"),
        pytest.param(
            lambda iot, *_: iot.delete_job_execution(jobId="j1", thingName="lamp", executionNumber=1, force=True),
            ["jobExecution/j1/deleted"],
            id="execution deleted",
        ),
        pytest.param(
            lambda iot, *_: iot.delete_job(jobId="j1", force=True),
            ["job/j1/deletion_in_progress", "job/j1/deleted"],
            id="job deleted",
        ),
    ],
)
def test_every_end_is_told_of(
    watcher: RawClient, iot: Any, jobs_data: Any, control: Control, change: Callable[..., Any], topics: list[str]
) -> None:
    enable(iot, "JOB", "JOB_EXECUTION")
    create_job(iot, timeoutConfig={"inProgressTimeoutInMinutes": 5})
    change(iot, jobs_data, control)
    iot.list_jobs()  # what has become due is done before a call
    events = told(watcher)
    assert [topic for topic, _ in events] == topics
    for topic, payload in events:
        operation = topic.rpartition("/")[2]
        assert (payload["operation"], payload["status"]) == (operation, operation.upper())


def test_a_thing_that_is_gone_leaves_its_job_and_that_is_told_of(
    watcher: RawClient, iot: Any, clean_sandbox: Address
) -> None:
    assert clean_sandbox
    enable(iot, "JOB_EXECUTION")
    iot.create_thing(thingName="other")
    targets = [LAMP_ARN.replace("lamp", "other")]
    iot.create_job(jobId="j1", targets=targets, document=json.dumps({}))
    iot.delete_thing(thingName="other")
    assert [topic for topic, _ in told(watcher)] == ["jobExecution/j1/removed"]
