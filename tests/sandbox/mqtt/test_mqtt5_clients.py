"""Clients of MQTT 5 that others wrote take a whole update from the sandbox, unchanged: AWS's for Python, and paho."""

from __future__ import annotations

import base64
import json
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ota.sandbox.process import Address
from tests.mqtt_world import Device, least_policy, make_device
from tests.sandbox_world import IMAGE, World

TIMEOUT_S = 10
BLOCK_BYTES = 4096
JOB = "AFR_OTA-lamp-1"


@pytest.fixture
def lamp(world: World, clean_sandbox: Address, tmp_path: Path) -> Device:
    """A device with the least policy, and an update for it."""
    device = make_device(world.iot, clean_sandbox, tmp_path, policy=least_policy())
    world.create()
    return device


def blocks_request(count: int) -> str:
    return json.dumps({"s": 1, "f": 0, "l": BLOCK_BYTES, "o": 0, "n": count})


def image_of(blocks: queue.Queue[bytes], count: int) -> bytes:
    found = [json.loads(blocks.get(timeout=TIMEOUT_S)) for _ in range(count)]
    return b"".join(base64.b64decode(one["p"]) for one in sorted(found, key=lambda one: one["i"]))


def _keep_block(packet: Any, blocks: queue.Queue[bytes]) -> None:
    if packet.topic.endswith("/data/json"):
        blocks.put(packet.payload)


class TestAwsSdk:
    @pytest.fixture
    def awscrt(self) -> Any:
        return pytest.importorskip("awscrt.mqtt5")

    @pytest.fixture
    def blocks(self) -> queue.Queue[bytes]:
        return queue.Queue()

    @pytest.fixture
    def client(self, lamp: Device, awscrt: Any, blocks: queue.Queue[bytes]) -> Iterator[Any]:
        from awsiot import mqtt5_client_builder

        events: queue.Queue[Any] = queue.Queue()
        made = mqtt5_client_builder.mtls_from_path(
            endpoint="localhost",
            port=lamp.address.mqtt_port,
            cert_filepath=str(lamp.files.certificate),
            pri_key_filepath=str(lamp.files.key),
            ca_filepath=str(lamp.files.ca),
            client_options=awscrt.ClientOptions(
                "localhost",
                topic_aliasing_options=awscrt.TopicAliasingOptions(
                    outbound_behavior=awscrt.OutboundTopicAliasBehaviorType.LRU,
                    inbound_behavior=awscrt.InboundTopicAliasBehaviorType.ENABLED,
                    inbound_cache_max_size=4,
                ),
            ),
            client_id="lamp",
            on_publish_received=lambda data: _keep_block(data.publish_packet, blocks),
            on_lifecycle_connection_success=events.put,
            on_lifecycle_connection_failure=events.put,
            on_lifecycle_stopped=events.put,
        )
        made.start()
        self.settings = events.get(timeout=TIMEOUT_S).negotiated_settings
        yield made
        made.stop()
        events.get(timeout=TIMEOUT_S)

    def test_it_takes_an_update(self, client: Any, awscrt: Any, blocks: queue.Queue[bytes], world: World) -> None:
        from awscrt.mqtt_request_response import ClientOptions
        from awsiot import iotjobs

        assert (self.settings.receive_maximum_from_server, self.settings.topic_alias_maximum_to_server) == (100, 8)
        jobs = iotjobs.IotJobsClientV2(client, ClientOptions(4, 2, TIMEOUT_S))
        request = iotjobs.StartNextPendingJobExecutionRequest(thing_name="lamp")
        execution = jobs.start_next_pending_job_execution(request).result(TIMEOUT_S).execution
        offer = execution.job_document["afr_ota"]
        stream = f"$aws/things/lamp/streams/{offer['streamname']}"
        count = -(-offer["files"][0]["filesize"] // BLOCK_BYTES)
        wanted = awscrt.Subscription(f"{stream}/data/json", awscrt.QoS.AT_LEAST_ONCE)
        granted = client.subscribe(awscrt.SubscribePacket([wanted])).result(TIMEOUT_S)
        assert [one.name for one in granted.reason_codes] == ["GRANTED_QOS_1"]
        packet = awscrt.PublishPacket(
            topic=f"{stream}/get/json", qos=awscrt.QoS.AT_LEAST_ONCE, payload=blocks_request(count)
        )
        assert client.publish(packet).result(TIMEOUT_S).puback.reason_code.name == "SUCCESS"
        assert image_of(blocks, count) == IMAGE
        done = iotjobs.UpdateJobExecutionRequest(
            thing_name="lamp", job_id=JOB, status="SUCCEEDED", expected_version=execution.version_number
        )
        jobs.update_job_execution(done).result(TIMEOUT_S)
        assert world.info()["otaUpdateStatus"] == "CREATE_COMPLETE"
        assert world.iot.describe_job(jobId=JOB)["job"]["status"] == "COMPLETED"

    def test_it_understands_refusals(self, client: Any, awscrt: Any) -> None:
        denied = awscrt.PublishPacket(topic="elsewhere", qos=awscrt.QoS.AT_LEAST_ONCE, payload=b"x")
        assert client.publish(denied).result(TIMEOUT_S).puback.reason_code.name == "NOT_AUTHORIZED"
        wanted = awscrt.Subscription("elsewhere", awscrt.QoS.AT_LEAST_ONCE)
        granted = client.subscribe(awscrt.SubscribePacket([wanted])).result(TIMEOUT_S)
        assert [one.name for one in granted.reason_codes] == ["NOT_AUTHORIZED"]


class Paho:
    """paho's client over MQTT 5, with what it was told in queues."""

    def __init__(self, lamp: Device) -> None:
        self.messages: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self.told: queue.Queue[Any] = queue.Queue()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id="lamp", protocol=paho.MQTTv5)
        self.client.tls_set(str(lamp.files.ca), str(lamp.files.certificate), str(lamp.files.key))
        self.client.on_connect = lambda _c, _u, flags, code, values: self.told.put((flags, code, values))
        self.client.on_subscribe = lambda _c, _u, _mid, codes, _values: self.told.put(codes)
        self.client.on_disconnect = lambda _c, _u, flags, code, _values: self.told.put((flags, code))
        self.client.on_message = lambda _c, _u, message: self.messages.put(message)
        wishes = Properties(PacketTypes.CONNECT)
        wishes.SessionExpiryInterval = 600
        wishes.TopicAliasMaximum = 4
        port = lamp.address.mqtt_port or 0
        self.client.connect("localhost", port, clean_start=False, properties=wishes)
        self.client.loop_start()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def request(self, topic: str, payload: str) -> Any:
        self.client.publish(topic, payload, qos=1)
        return json.loads(self.messages.get(timeout=TIMEOUT_S).payload)


def test_paho_takes_an_update_and_resumes_its_session(lamp: Device, world: World) -> None:
    device = Paho(lamp)
    try:
        flags, code, values = device.told.get(timeout=TIMEOUT_S)
        assert (flags.session_present, code, values.TopicAliasMaximum) == (False, "Success", 8)
        device.client.subscribe([("$aws/things/lamp/jobs/+/get/accepted", 1), ("elsewhere", 1)])
        assert device.told.get(timeout=TIMEOUT_S) == [ReasonCode(PacketTypes.SUBACK, "Granted QoS 1"), "Not authorized"]
        offer = device.request("$aws/things/lamp/jobs/start-next", "{}")["execution"]["jobDocument"]["afr_ota"]
        device.client.subscribe(f"$aws/things/lamp/streams/{offer['streamname']}/data/json", 1)
        device.told.get(timeout=TIMEOUT_S)
        device.client.disconnect()
        device.told.get(timeout=TIMEOUT_S)
        device.client.loop_stop()
        again = Paho(lamp)
        try:
            assert again.told.get(timeout=TIMEOUT_S)[0].session_present
            again.client.publish(f"$aws/things/lamp/streams/{offer['streamname']}/get/json", blocks_request(3), qos=1)
            blocks: queue.Queue[bytes] = queue.Queue()
            for _ in range(3):
                blocks.put(again.messages.get(timeout=TIMEOUT_S).payload)
            assert image_of(blocks, 3) == IMAGE
            done = again.request(f"$aws/things/lamp/jobs/{JOB}/update", '{"status": "SUCCEEDED"}')
            assert "timestamp" in done
            again.client.publish("elsewhere", "x", qos=0)
            flags, code = again.told.get(timeout=TIMEOUT_S)
            assert (flags.is_disconnect_packet_from_server, code) == (True, "Not authorized")
        finally:
            again.close()
    finally:
        device.close()
    assert world.iot.describe_job(jobId=JOB)["job"]["status"] == "COMPLETED"
