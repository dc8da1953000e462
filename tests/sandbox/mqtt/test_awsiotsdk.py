"""AWS's own jobs client for Python works against the sandbox, unchanged."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ota.sandbox.process import Address
from tests.mqtt_world import Device, make_device

pytest.importorskip("awsiot")

from awscrt import mqtt, mqtt_request_response
from awsiot import iotjobs, mqtt_connection_builder

TIMEOUT_S = 10
QOS_1 = mqtt.QoS.AT_LEAST_ONCE


@pytest.fixture
def lamp(iot: Any, clean_sandbox: Address, tmp_path: Path) -> Device:
    """A device with two jobs queued."""
    device = make_device(iot, clean_sandbox, tmp_path)
    target = iot.describe_thing(thingName="lamp")["thingArn"]
    for job_id in ("j1", "j2"):
        iot.create_job(jobId=job_id, targets=[target], document=json.dumps({"do": job_id}))
    return device


def options(lamp: Device) -> dict[str, Any]:
    return {
        "endpoint": "localhost",
        "port": lamp.address.mqtt_port,
        "cert_filepath": str(lamp.files.certificate),
        "pri_key_filepath": str(lamp.files.key),
        "ca_filepath": str(lamp.files.ca),
        "client_id": "lamp",
    }


@pytest.fixture
def connection(lamp: Device) -> Iterator[Any]:
    made = mqtt_connection_builder.mtls_from_path(**options(lamp), clean_session=True, keep_alive_secs=30)
    made.connect().result(TIMEOUT_S)
    yield made
    made.disconnect().result(TIMEOUT_S)


def test_the_first_client_takes_a_job_to_its_end(connection: Any, iot: Any) -> None:
    client, answers, following = iotjobs.IotJobsClient(connection), queue.Queue(), queue.Queue()
    pending = [
        client.subscribe_to_next_job_execution_changed_events(
            iotjobs.NextJobExecutionChangedSubscriptionRequest(thing_name="lamp"), QOS_1, following.put
        )
    ]
    start = iotjobs.StartNextPendingJobExecutionSubscriptionRequest(thing_name="lamp")
    pending.append(client.subscribe_to_start_next_pending_job_execution_accepted(start, QOS_1, answers.put))
    update = iotjobs.UpdateJobExecutionSubscriptionRequest(thing_name="lamp", job_id="j1")
    pending.append(client.subscribe_to_update_job_execution_accepted(update, QOS_1, answers.put))
    assert [future.result(TIMEOUT_S) for future, _ in pending] == [QOS_1] * 3
    client.publish_start_next_pending_job_execution(
        iotjobs.StartNextPendingJobExecutionRequest(thing_name="lamp"), QOS_1
    ).result(TIMEOUT_S)
    execution = answers.get(timeout=TIMEOUT_S).execution
    assert (execution.job_id, execution.version_number, execution.job_document) == ("j1", 2, {"do": "j1"})
    client.publish_update_job_execution(
        iotjobs.UpdateJobExecutionRequest(thing_name="lamp", job_id="j1", status="SUCCEEDED", expected_version=2), QOS_1
    ).result(TIMEOUT_S)
    assert answers.get(timeout=TIMEOUT_S).timestamp
    assert following.get(timeout=TIMEOUT_S).execution.job_id == "j2"
    assert iot.describe_job(jobId="j1")["job"]["status"] == "COMPLETED"


def test_the_second_client_matches_answers_and_refusals(connection: Any) -> None:
    limits = mqtt_request_response.ClientOptions(
        max_request_response_subscriptions=4, max_streaming_subscriptions=2, operation_timeout_in_seconds=TIMEOUT_S
    )
    client = iotjobs.IotJobsClientV2(connection, limits)
    listed = client.get_pending_job_executions(iotjobs.GetPendingJobExecutionsRequest(thing_name="lamp"))
    assert [one.job_id for one in listed.result(TIMEOUT_S).queued_jobs] == ["j1", "j2"]
    described = client.describe_job_execution(iotjobs.DescribeJobExecutionRequest(thing_name="lamp", job_id="j2"))
    assert described.result(TIMEOUT_S).execution.job_document == {"do": "j2"}
    request = iotjobs.UpdateJobExecutionRequest(thing_name="lamp", job_id="j2", status="FAILED", expected_version=99)
    refused = client.update_job_execution(request).exception(TIMEOUT_S)
    assert (refused.modeled_error.code, refused.modeled_error.execution_state.version_number) == ("VersionMismatch", 1)
