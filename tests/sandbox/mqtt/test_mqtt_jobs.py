"""A device works through its jobs over MQTT as against AWS: answers, rejections, notifications."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ota.sandbox.process import Address
from tests import raw_mqtt
from tests.mqtt_world import ALLOW_ALL, Device, make_device
from tests.sandbox_control import Control
from tests.sandbox_world import Kept

THING_ARN = "arn:aws:iot:eu-west-1:123456789012:thing/lamp"


@pytest.fixture
def lamp(iot: Any, clean_sandbox: Address, tmp_path: Path) -> Device:
    """A device with the least policy it needs."""
    return make_device(iot, clean_sandbox, tmp_path)


@pytest.fixture(scope="module")
def kept_lamp(
    sandbox: Address, kept_clients: Callable[[str], Any], tmp_path_factory: pytest.TempPathFactory
) -> Kept[Device]:
    """Such a device with the job j1, for tests that change nothing."""

    def make() -> Device:
        made = make_device(kept_clients("iot"), sandbox, tmp_path_factory.mktemp("lamp"))
        create_job(kept_clients("iot"), "j1")
        return made

    return Kept(Control(sandbox), make)


def create_job(iot: Any, job_id: str, **more: Any) -> None:
    iot.create_job(jobId=job_id, targets=[THING_ARN], document=json.dumps({"do": job_id}), **more)


def status_of(iot: Any, job_id: str) -> tuple[str, int]:
    found = iot.describe_job_execution(jobId=job_id, thingName="lamp")["execution"]
    return found["status"], found["versionNumber"]


def test_start_next_answers_without_any_subscription(lamp: Device, iot: Any) -> None:
    create_job(iot, "j1")
    with lamp.connect() as client:
        found = client.request(f"{lamp.jobs}/start-next", {"clientToken": "lamp"})
    assert (found.topic, found.qos) == (f"{lamp.jobs}/start-next/accepted", 0)
    body = found.json()
    stamps = [body["timestamp"], *(body["execution"].pop(name) for name in ("queuedAt", "startedAt", "lastUpdatedAt"))]
    assert all(isinstance(one, int) and abs(one - time.time()) < 60 for one in stamps)
    assert list(body) == ["clientToken", "timestamp", "execution"]
    assert body["clientToken"] == "lamp"
    assert body["execution"] == {
        "jobId": "j1",
        "status": "IN_PROGRESS",
        "versionNumber": 2,
        "executionNumber": 1,
        "jobDocument": {"do": "j1"},
    }
    assert status_of(iot, "j1") == ("IN_PROGRESS", 2)


def test_an_answer_comes_once_also_when_it_is_subscribed(lamp: Device, iot: Any) -> None:
    create_job(iot, "j1")
    with lamp.connect() as client:
        client.subscribe(f"{lamp.jobs}/start-next/accepted", f"{lamp.jobs}/+/accepted", qos=1)
        client.publish(f"{lamp.jobs}/start-next", {}, qos=1)
        assert [(one.topic, one.qos) for one in client.messages()] == [(f"{lamp.jobs}/start-next/accepted", 1)]


def test_answers_reach_others_only_when_they_subscribe(lamp: Device, iot: Any) -> None:
    iot.create_policy_version(policyName="lamp", policyDocument=json.dumps(ALLOW_ALL), setAsDefault=True)
    with lamp.connect() as client, lamp.connect("deaf") as deaf, lamp.connect("watcher") as watcher:
        watcher.subscribe("$aws/things/+/jobs/#")
        client.request(f"{lamp.jobs}/start-next", {})
        assert deaf.messages() == []
        ends = [one.topic.removeprefix(lamp.jobs) for one in watcher.messages()]
        assert ends == ["/start-next", "/start-next/accepted"]


def test_start_next_repeats_the_execution_in_progress_unchanged(lamp: Device, iot: Any) -> None:
    create_job(iot, "j1")
    create_job(iot, "j2")
    with lamp.connect() as client:
        answers = [client.request(f"{lamp.jobs}/start-next", {}).json()["execution"] for _ in range(27)]
    assert all(one == answers[0] for one in answers)
    assert answers[0]["versionNumber"] == 2


def test_start_next_without_jobs_has_no_execution(lamp: Device) -> None:
    with lamp.connect() as client:
        body = client.request(f"{lamp.jobs}/start-next", {"clientToken": "x"}).json()
    assert set(body) == {"clientToken", "timestamp"}


def test_the_list_of_pending_jobs(lamp: Device, iot: Any) -> None:
    create_job(iot, "j1")
    create_job(iot, "j2")
    with lamp.connect() as client:
        client.request(f"{lamp.jobs}/start-next", {})
        found = client.request(f"{lamp.jobs}/get", {"clientToken": "x"})
    assert found.topic == f"{lamp.jobs}/get/accepted"
    body = found.json()
    assert [one["jobId"] for one in body["inProgressJobs"]] == ["j1"]
    assert set(body["inProgressJobs"][0]) == {
        "jobId",
        "queuedAt",
        "lastUpdatedAt",
        "startedAt",
        "executionNumber",
        "versionNumber",
    }
    assert [(one["jobId"], one["versionNumber"]) for one in body["queuedJobs"]] == [("j2", 1)]
    assert body["clientToken"] == "x"


@pytest.mark.parametrize("job", ["$next", "j1"])
@pytest.mark.parametrize(("request_body", "has_document"), [({}, True), ({"includeJobDocument": False}, False)])
def test_describing_shows_and_changes_nothing(
    lamp: Device, iot: Any, job: str, request_body: dict[str, Any], has_document: bool
) -> None:
    create_job(iot, "j1")
    with lamp.connect() as client:
        found = client.request(f"{lamp.jobs}/{job}/get", request_body)
    assert found.topic == f"{lamp.jobs}/{job}/get/accepted"
    execution = found.json()["execution"]
    assert (execution["jobId"], execution["status"], execution["versionNumber"]) == ("j1", "QUEUED", 1)
    assert ("jobDocument" in execution) is has_document
    assert status_of(iot, "j1") == ("QUEUED", 1)


@pytest.mark.parametrize("as_device", [str, int], ids=["version-as-text", "version-as-number"])
def test_the_reference_firmware_takes_a_job_to_its_end(lamp: Device, iot: Any, as_device: Any) -> None:
    create_job(iot, "j1")
    with lamp.connect() as client:
        for version, status in ((2, "IN_PROGRESS"), (3, "SUCCEEDED")):
            client.request(f"{lamp.jobs}/start-next", {"clientToken": "lamp"})
            body = {"status": status, "expectedVersion": as_device(version), "statusDetails": {"updatedBy": "655370"}}
            found = client.request(f"{lamp.jobs}/j1/update", body)
            assert found.topic == f"{lamp.jobs}/j1/update/accepted"
            assert set(found.json()) == {"timestamp"}
            assert status_of(iot, "j1") == (status, version + 1)
    details = iot.describe_job_execution(jobId="j1", thingName="lamp")["execution"]["statusDetails"]
    assert details == {"detailsMap": {"updatedBy": "655370"}}
    assert iot.describe_job(jobId="j1")["job"]["status"] == "COMPLETED"


def test_an_update_answers_with_what_was_asked_for(lamp: Device, iot: Any) -> None:
    create_job(iot, "j1")
    body = {
        "status": "IN_PROGRESS",
        "statusDetails": {"receive": "1/25"},
        "includeJobExecutionState": True,
        "includeJobDocument": True,
        "clientToken": "7:lamp",
    }
    with lamp.connect() as client:
        found = client.request(f"{lamp.jobs}/j1/update", body).json()
    assert found.pop("timestamp")
    assert found == {
        "executionState": {"status": "IN_PROGRESS", "statusDetails": {"receive": "1/25"}, "versionNumber": 2},
        "jobDocument": {"do": "j1"},
        "clientToken": "7:lamp",
    }


@pytest.mark.parametrize(
    ("operation", "payload", "code"),
    [
        pytest.param("start-next", b"[]", "InvalidJson", id="array"),
        pytest.param("start-next", b"{", "InvalidJson", id="cut"),
        pytest.param("start-next", b"", "InvalidJson", id="empty"),
        pytest.param("start-next", b"\xff{}", "InvalidJson", id="not-utf8"),
        pytest.param("start-next", b"[" * 100_000, "InvalidJson", id="deep"),
        pytest.param("start-next", b'{"clientToken":NaN}', "InvalidJson", id="nan"),
        pytest.param("start-next", b'{"clientToken":"\\ud800"}', "InvalidJson", id="half-a-surrogate"),
        pytest.param("get", b'{"clientToken":"' + b"x" * 65 + b'"}', "InvalidRequest", id="token-of-65-bytes"),
        pytest.param("get", ('{"clientToken":"' + "é" * 32 + '"}').encode(), None, id="token-in-utf8"),
        pytest.param("get", b'{"clientToken":7}', "InvalidRequest", id="token-number"),
        pytest.param("j1/update", b"{}", "InvalidRequest", id="no-status"),
        pytest.param("j1/update", b'{"status":"DONE"}', "InvalidRequest", id="unknown-status"),
        pytest.param("j1/update", b'{"status":"TIMED_OUT"}', "InvalidRequest", id="not-a-devices-status"),
        pytest.param(
            "j1/update", b'{"status":"SUCCEEDED","statusDetails":{"a":1}}', "InvalidRequest", id="detail-not-text"
        ),
        pytest.param(
            "j1/update", b'{"status":"SUCCEEDED","expectedVersion":"x"}', "InvalidRequest", id="version-not-a-number"
        ),
        pytest.param("j9/update", b'{"status":"SUCCEEDED"}', "ResourceNotFound", id="unknown-job"),
        pytest.param("j9/get", b"{}", "ResourceNotFound", id="describe-unknown-job"),
        pytest.param("j1/get", b'{"executionNumber":9}', "ResourceNotFound", id="describe-unknown-execution"),
        pytest.param("j1/delete", b"{}", "InvalidTopic", id="unknown-operation"),
        pytest.param("nothing", b"{}", "InvalidTopic", id="unknown-operation-on-the-thing"),
        pytest.param("a/b/c", b"{}", "InvalidTopic", id="too-deep"),
    ],
)
def test_a_bad_request_is_rejected_and_the_connection_stays(
    kept_lamp: Kept[Device],
    kept_clients: Callable[[str], Any],
    operation: str,
    payload: bytes,
    code: str | None,
) -> None:
    lamp = kept_lamp.get()
    with lamp.connect() as client:
        found = client.request(f"{lamp.jobs}/{operation}", payload)
        if code is None:
            assert found.topic == f"{lamp.jobs}/{operation}/accepted"
            return
        assert found.topic == f"{lamp.jobs}/{operation}/rejected"
        body = found.json()
        assert (body["code"], set(body)) == (code, {"code", "message", "timestamp"})
        assert client.messages() == []
    assert status_of(kept_clients("iot"), "j1") == ("QUEUED", 1)


@pytest.mark.parametrize("expected", [99, "99"])
def test_a_wrong_version_is_rejected_with_the_state(lamp: Device, iot: Any, expected: object) -> None:
    create_job(iot, "j1")
    with lamp.connect() as client:
        request = {"status": "IN_PROGRESS", "expectedVersion": expected, "clientToken": "x"}
        body = client.request(f"{lamp.jobs}/j1/update", request).json()
    assert body.pop("timestamp")
    assert body == {
        "code": "VersionMismatch",
        "message": "Expected version 99 but found version 1",
        "executionState": {"status": "QUEUED", "versionNumber": 1},
        "clientToken": "x",
    }


def test_an_execution_that_is_over_can_neither_change_nor_be_described(lamp: Device, iot: Any) -> None:
    create_job(iot, "j1")
    with lamp.connect() as client:
        client.request(f"{lamp.jobs}/start-next", {})
        rejected = client.request(f"{lamp.jobs}/j1/update", {"status": "REJECTED"}).json()
        assert (rejected["code"], rejected["executionState"]["status"]) == ("InvalidStateTransition", "IN_PROGRESS")
        client.request(f"{lamp.jobs}/j1/update", {"status": "FAILED"})
        late = client.request(f"{lamp.jobs}/j1/update", {"status": "SUCCEEDED"}).json()
        assert (late["code"], late["executionState"]["status"]) == ("InvalidStateTransition", "FAILED")
        assert client.request(f"{lamp.jobs}/j1/get", {}).json()["code"] == "TerminalStateReached"


def test_a_thing_that_does_not_exist_is_not_found(lamp: Device, iot: Any) -> None:
    iot.create_policy_version(policyName="lamp", policyDocument=json.dumps(ALLOW_ALL), setAsDefault=True)
    with lamp.connect() as client:
        found = client.request("$aws/things/nobody/jobs/start-next", {})
    assert (found.topic, found.json()["code"]) == ("$aws/things/nobody/jobs/start-next/rejected", "ResourceNotFound")


def test_notifications_come_when_the_list_and_the_front_change_and_not_else(lamp: Device, iot: Any) -> None:
    with lamp.connect() as client:
        client.subscribe(f"{lamp.jobs}/notify", f"{lamp.jobs}/notify-next", qos=1)

        def heard() -> list[str]:
            return [one.topic.rpartition("/")[2] for one in client.messages() if "/notify" in one.topic]

        create_job(iot, "j1")
        assert heard() == ["notify", "notify-next"]
        create_job(iot, "j2")
        assert heard() == ["notify"]
        client.publish(f"{lamp.jobs}/start-next", {})
        assert heard() == []
        client.publish(f"{lamp.jobs}/j1/update", {"status": "IN_PROGRESS", "statusDetails": {"receive": "1/2"}})
        assert heard() == []
        iot.cancel_job_execution(jobId="j2", thingName="lamp")
        assert heard() == ["notify"]


def test_the_end_of_a_job_is_told_in_order(lamp: Device, iot: Any) -> None:
    create_job(iot, "j1")
    create_job(iot, "j2")
    with lamp.connect() as client:
        client.subscribe(f"{lamp.jobs}/notify", f"{lamp.jobs}/notify-next", qos=1)
        client.request(f"{lamp.jobs}/start-next", {})
        client.publish(f"{lamp.jobs}/j1/update", {"status": "SUCCEEDED"})
        accepted, listed, following = client.messages()
        assert accepted.topic == f"{lamp.jobs}/j1/update/accepted"
        assert listed.topic == f"{lamp.jobs}/notify"
        assert [one["jobId"] for one in listed.json()["jobs"]["QUEUED"]] == ["j2"]
        assert following.topic == f"{lamp.jobs}/notify-next"
        assert following.json()["execution"]["jobDocument"] == {"do": "j2"}
        client.publish(f"{lamp.jobs}/j2/update", {"status": "FAILED"})
        _, listed, following = client.messages()
        assert listed.json()["jobs"] == {}
        assert list(following.json()) == ["timestamp"]


def test_what_others_do_to_a_job_is_told_to_the_device(lamp: Device, iot: Any, jobs_data: Any) -> None:
    create_job(iot, "j1")
    with lamp.connect() as client:
        client.subscribe(f"{lamp.jobs}/notify-next")
        jobs_data.update_job_execution(jobId="j1", thingName="lamp", status="SUCCEEDED")
        assert list(client.receive().json()) == ["timestamp"]


def test_a_timeout_is_told_to_the_device(lamp: Device, iot: Any, control: Control) -> None:
    create_job(iot, "j1", timeoutConfig={"inProgressTimeoutInMinutes": 5})
    with lamp.connect() as client:
        client.subscribe(f"{lamp.jobs}/notify-next")
        client.request(f"{lamp.jobs}/start-next", {})
        control.advance_clock(301)
        assert client.receive().topic == f"{lamp.jobs}/notify-next"
    assert status_of(iot, "j1")[0] == "TIMED_OUT"


def test_http_shows_the_same_state(lamp: Device, iot: Any, jobs_data: Any) -> None:
    create_job(iot, "j1")
    with lamp.connect() as client:
        client.request(f"{lamp.jobs}/start-next", {"statusDetails": {"step": "one"}})
    found = jobs_data.describe_job_execution(jobId="j1", thingName="lamp")["execution"]
    assert (found["status"], found["versionNumber"], found["statusDetails"]) == ("IN_PROGRESS", 2, {"step": "one"})


def test_paho_takes_a_job_with_qos_1(lamp: Device, iot: Any) -> None:
    mqtt = pytest.importorskip("paho.mqtt.client")
    create_job(iot, "j1")
    found: list[Any] = []
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="lamp")
    client.tls_set(str(lamp.files.ca), str(lamp.files.certificate), str(lamp.files.key))
    client.on_connect = lambda c, *_: c.subscribe(f"{lamp.jobs}/+/accepted", qos=1)
    client.on_subscribe = lambda c, *_: c.publish(f"{lamp.jobs}/start-next", "{}", qos=1)

    def on_message(c: Any, _data: Any, message: Any) -> None:
        found.append((message.topic, json.loads(message.payload)["execution"]["jobId"], message.qos))
        c.disconnect()

    client.on_message = on_message
    assert client.connect("localhost", lamp.address.mqtt_port) == mqtt.MQTT_ERR_SUCCESS
    client.loop_forever()
    assert found == [(f"{lamp.jobs}/start-next/accepted", "j1", 1)]


def test_thousands_of_damaged_requests_are_answered_each(lamp: Device, iot: Any) -> None:
    create_job(iot, "j1")
    source = random.Random(5)  # noqa: S311 - the same damage in every run
    good = json.dumps({"status": "IN_PROGRESS", "expectedVersion": "1", "statusDetails": {"a": "b"}}).encode()
    with lamp.connect() as client:
        for _ in range(7):
            packets = [raw_mqtt.publish_packet(f"{lamp.jobs}/j1/update", damaged(source, good)) for _ in range(300)]
            client.send(*packets)
            assert len(client.messages()) == 300
        assert client.request(f"{lamp.jobs}/get", {}).topic == f"{lamp.jobs}/get/accepted"


def damaged(source: random.Random, good: bytes) -> bytes:
    raw = bytearray(good)
    for _ in range(source.randint(1, 3)):
        raw[source.randrange(len(raw))] = source.randrange(256)
    return bytes(raw)
