"""The sandbox's MQTT broker behaves as AWS IoT's (TLS, connections, quotas, delivery), and nothing brings it down."""

from __future__ import annotations

import random
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from ota.sandbox.jobs.state import Sandbox
from ota.sandbox.moto.authority import Authority, certificate_pem, make_authority
from ota.sandbox.mqtt.broker import Broker, listen
from ota.sandbox.mqtt.connections import Limits
from ota.sandbox.process import Address
from tests import raw_mqtt
from tests.mqtt_world import ALLOW_ALL, Device, make_device, refusals, replace_policy, self_signed, write_files
from tests.raw_mqtt import Files, RawClient, tls_context
from tests.raw_mqtt5 import Client5, connect5, publish5
from tests.sandbox_control import Control

Make = Callable[..., Device]
CONNECT = raw_mqtt.connect_packet("lamp")


@pytest.fixture
def make(iot: Any, clean_sandbox: Address, tmp_path: Path) -> Make:
    """Makes devices that may do everything."""

    def make_one(name: str = "lamp", policy: dict[str, Any] | None = None) -> Device:
        return make_device(iot, clean_sandbox, tmp_path, name, policy=policy or ALLOW_ALL)

    return make_one


@pytest.fixture
def lamp(make: Make) -> Device:
    return make()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_device_connects_with_its_certificate(lamp: Device, version: ssl.TLSVersion) -> None:
    with lamp.open(version=version) as client:
        assert client.connect("lamp") == 0
        assert client.messages() == []


def test_the_endpoint_of_the_account_is_a_name_of_the_broker(lamp: Device, iot: Any) -> None:
    for kind in ("iot:Data-ATS", "iot:Data"):
        name = iot.describe_endpoint(endpointType=kind)["endpointAddress"]
        with lamp.open(name) as client:
            assert client.connect("lamp") == 0


@pytest.mark.parametrize("name", ["a0000000000000-ats.iot.eu-west-1.amazonaws.com", "example.com"])
def test_a_name_that_is_not_the_accounts_fails_the_devices_check(lamp: Device, name: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        lamp.open(name)


def test_the_protocol_name_for_port_443_is_accepted(lamp: Device) -> None:
    context = tls_context(lamp.files.ca, lamp.files)
    context.set_alpn_protocols(["x-amzn-mqtt-ca"])
    with RawClient(port_of(lamp.address), context) as client:
        assert client.tls.selected_alpn_protocol() == "x-amzn-mqtt-ca"
        assert client.connect("lamp") == 0


def test_a_client_without_certificate_is_refused(lamp: Device) -> None:
    with (
        pytest.raises((EOFError, OSError)),
        RawClient(port_of(lamp.address), tls_context(lamp.files.ca, None)) as client,
    ):
        client.connect("lamp")


def test_an_older_tls_is_refused(lamp: Device) -> None:
    context = tls_context(lamp.files.ca, lamp.files)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError, match=r"(?i)version|protocol"):
        RawClient(port_of(lamp.address), context)


def test_a_certificate_of_another_authority_is_refused(lamp: Device, tmp_path: Path) -> None:
    other = write_files(tmp_path, "other", *own_certificate(), lamp.files.ca)
    with pytest.raises((EOFError, OSError)), RawClient(port_of(lamp.address), tls_context(other.ca, other)) as client:
        client.connect("lamp")


def test_a_registered_certificate_of_another_authority_is_accepted(lamp: Device, iot: Any, tmp_path: Path) -> None:
    pem, key = own_certificate()
    other = write_files(tmp_path, "other", pem, key, lamp.files.ca)
    found = iot.register_certificate_without_ca(certificatePem=pem, status="ACTIVE")
    iot.attach_policy(policyName="lamp", target=found["certificateArn"])
    with RawClient(port_of(lamp.address), tls_context(other.ca, other)) as client:
        assert client.connect("lamp") == 0


def test_an_inactive_certificate_is_refused_and_the_reason_kept(lamp: Device, iot: Any, control: Control) -> None:
    iot.update_certificate(certificateId=lamp.certificate_id, newStatus="INACTIVE")
    with lamp.open() as client:
        assert client.is_closed()
    (found,) = refusals(control, "iot:Connect")
    assert (found["certificate_id"], found["why"]) == (lamp.certificate_id, "the certificate is INACTIVE")


def test_a_deleted_certificate_is_refused(lamp: Device, iot: Any, control: Control) -> None:
    iot.detach_thing_principal(thingName="lamp", principal=lamp.certificate_arn)
    iot.update_certificate(certificateId=lamp.certificate_id, newStatus="INACTIVE")
    iot.delete_certificate(certificateId=lamp.certificate_id, forceDelete=True)
    with lamp.open() as client:
        assert client.is_closed()
    assert refusals(control)[-1]["why"] == "the certificate is not registered"


def test_a_certificate_that_is_deactivated_ends_the_connection(lamp: Device, iot: Any, control: Control) -> None:
    with lamp.connect() as client:
        iot.update_certificate(certificateId=lamp.certificate_id, newStatus="INACTIVE")
        assert client.is_closed()
    assert refusals(control)[-1]["why"] == "the certificate is INACTIVE now"


def test_a_client_id_has_one_connection_and_the_newer_wins(lamp: Device) -> None:
    with lamp.connect() as older, lamp.connect() as newer:
        assert older.is_closed()
        assert newer.messages() == []


def test_an_empty_client_id_is_given_a_name_only_to_a_clean_session(lamp: Device) -> None:
    with lamp.open() as client:
        assert client.connect("") == 0
    with lamp.open() as client:
        assert client.connect("", clean=False) == 2
        assert client.is_closed()


def test_a_client_id_of_more_than_128_bytes_is_refused(lamp: Device) -> None:
    with lamp.open() as client:
        assert client.connect("x" * 128) == 0
    with lamp.open() as client:
        assert client.connect("x" * 129) == 2


def test_no_session_outlives_its_connection(lamp: Device) -> None:
    with lamp.connect(clean=False) as client:
        assert client.subscribe("a") == [0]
    with lamp.connect(clean=False) as client:
        client.publish("a", b"x")
        assert client.messages() == []


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(raw_mqtt.PING, id="not-connect-first"),
        pytest.param(CONNECT * 2, id="connect-twice"),
        pytest.param(CONNECT + b"\x00\x00", id="type-0"),
        pytest.param(CONNECT + b"\x50\x02\x00\x01", id="pubrec"),
    ],
)
def test_a_malformed_packet_ends_this_connection_only(make: Make, raw: bytes, control: Control) -> None:
    lamp, other = make("lamp"), make("other")
    with other.connect() as bystander, lamp.open() as client:
        client.send(raw)
        if raw.startswith(CONNECT):
            assert client.read() == (0x20, b"\x00\x00")
        assert client.is_closed()
        assert bystander.messages() == []
    assert "malformed MQTT" in refusals(control, "mqtt")[-1]["why"]


@pytest.mark.parametrize(("sent", "subscribed", "received"), [(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 1)])
def test_a_message_arrives_with_the_lower_qos(lamp: Device, sent: int, subscribed: int, received: int) -> None:
    with lamp.connect() as client:
        assert client.subscribe("a/+", qos=subscribed) == [subscribed]
        client.publish("a/b", b"\x00x", qos=sent, packet_id=9)
        if sent:
            assert client.read() == (0x40, b"\x00\x09")
        found = client.receive()
        assert (found.topic, found.payload, found.qos, found.retain) == ("a/b", b"\x00x", received, False)
        assert bool(found.packet_id) is bool(received)


def test_messages_reach_other_clients_in_order_and_each_once(make: Make) -> None:
    lamp, other = make("lamp"), make("other")
    with lamp.connect() as sender, other.connect() as receiver:
        receiver.subscribe("a/#", "a/+", "a/b", qos=1)
        for number in range(300):
            sender.publish("a/b", str(number).encode(), qos=1, packet_id=number + 1)
        sender.messages()
        assert [int(one.payload) for one in receiver.messages()] == list(range(300))


def test_nothing_comes_after_unsubscribing(lamp: Device) -> None:
    with lamp.connect() as client:
        client.subscribe("a", "b")
        client.send(raw_mqtt.unsubscribe_packet("a"))
        assert client.read() == (0xB0, b"\x00\x08")
        client.publish("a", b"x")
        client.publish("b", b"y")
        assert [one.topic for one in client.messages()] == ["b"]


def test_accounts_and_regions_do_not_hear_each_other(lamp: Device, tmp_path: Path) -> None:
    from tests.conftest import client as boto

    far = Address(**{**vars(lamp.address), "region": "us-east-1"})
    other = make_device(boto("iot", far), far, tmp_path, "far", policy=ALLOW_ALL)
    with lamp.connect() as here, other.connect() as there, other.connect("lamp") as namesake:
        there.subscribe("#")
        here.publish("a", b"x")
        assert here.messages() == there.messages() == namesake.messages() == []


def test_qos_2_is_neither_acknowledged_nor_delivered(lamp: Device) -> None:
    with lamp.connect() as client:
        client.subscribe("a")
        client.publish("a", b"x", qos=2)
        client.send(raw_mqtt.subscribe_packet("b", qos=2), raw_mqtt.PING)
        assert client.read() == (0xD0, b"")


def test_a_retained_message_waits_for_subscribers_until_it_is_emptied(lamp: Device) -> None:
    with lamp.connect() as client:
        client.publish("a/b", b"kept", retain=True, qos=1)
        client.read()
        client.subscribe("a/+", qos=1)
        found = client.receive()
        assert (found.payload, found.retain, found.qos) == (b"kept", True, 1)
        client.publish("a/b", b"", retain=True)
        assert [one.retain for one in client.messages()] == [False]
        client.subscribe("a/#")
        assert client.messages() == []


@pytest.mark.parametrize("leaves", [True, False])
def test_the_last_will_is_published_when_a_client_vanishes(make: Make, leaves: bool) -> None:
    lamp, other = make("lamp"), make("other")
    with other.connect() as watcher:
        watcher.subscribe("gone/+", "here")
        with lamp.connect(will=("gone/lamp", b"bye", 0)) as client:
            if leaves:
                client.send(raw_mqtt.DISCONNECT)
                assert client.is_closed()
        if leaves:
            assert watcher.messages() == []
        else:
            assert watcher.receive().payload == b"bye"


def test_a_message_of_128_kib_arrives_and_one_byte_more_ends_the_connection(lamp: Device) -> None:
    with lamp.connect() as client:
        client.subscribe("a")
        client.publish("a", b"x" * 131072)
        assert len(client.receive().payload) == 131072
        client.publish("a", b"x" * 131073)
        assert client.is_closed()


@pytest.mark.parametrize(
    "topic",
    [
        pytest.param("x" * 257, id="257-bytes"),
        pytest.param("/" * 8, id="8-slashes"),
        pytest.param("$aws/events/job/x/completed", id="aws-events"),
        pytest.param("$SYS/broker", id="sys"),
        pytest.param("$aws/things/lamp/tunnels", id="unknown-service"),
    ],
)
def test_publishing_where_no_client_may_ends_the_connection(lamp: Device, topic: str, control: Control) -> None:
    with lamp.connect() as client:
        client.publish(topic, b"x")
        assert client.is_closed()
    assert refusals(control, "mqtt")[-1]["resource"] == topic


def test_rules_and_shadows_swallow_messages(lamp: Device, control: Control) -> None:
    with lamp.connect() as client:
        client.publish("$aws/rules/lamps/" + "a/" * 7, b"x")
        client.publish("$aws/things/lamp/shadow/get", b"")
        assert client.messages() == []
    assert refusals(control, "mqtt")[0]["why"] == "the sandbox has no shadows; nothing answers"


def test_eight_filters_fit_into_a_subscribe_and_nine_end_the_connection(lamp: Device) -> None:
    with lamp.connect() as client:
        assert client.subscribe(*"abcdefgh") == [0] * 8
        client.send(raw_mqtt.subscribe_packet(*"abcdefghi"))
        assert client.is_closed()


def test_a_connection_has_fifty_subscriptions(lamp: Device) -> None:
    with lamp.connect() as client:
        codes = [client.subscribe(f"a/{number}") for number in range(51)]
        assert codes == [[0]] * 50 + [[128]]
        assert client.subscribe("a/7") == [0]


@pytest.mark.parametrize("wanted", ["x" * 257, "/" * 8, "$SYS/#", "$share/all/a"])
def test_filters_that_aws_or_the_sandbox_does_not_serve_are_refused(lamp: Device, wanted: str) -> None:
    with lamp.connect() as client:
        assert client.subscribe("a", wanted) == [0, 128]


def test_refused_actions_end_or_refuse_as_on_aws(lamp: Device, iot: Any, control: Control) -> None:
    with lamp.connect() as client:
        replace_policy(
            iot, "lamp", {**ALLOW_ALL, "Statement": [{**ALLOW_ALL["Statement"][0], "Action": "iot:Connect"}]}
        )
        assert client.subscribe("a") == [128]
        client.publish("a", b"x")
        assert client.is_closed()
    replace_policy(iot, "lamp", {**ALLOW_ALL, "Statement": [{**ALLOW_ALL["Statement"][0], "Effect": "Deny"}]})
    with lamp.open() as client:
        assert client.connect("lamp") == 7
        assert client.is_closed()
    found = [(one["action"], one["resource"].rpartition(":")[2], one["why"]) for one in refusals(control)]
    assert found == [
        ("iot:Subscribe", "topicfilter/a", "no statement of lamp allows iot:Subscribe"),
        ("iot:Publish", "topic/a", "no statement of lamp allows iot:Publish"),
        ("iot:Connect", "client/lamp", "statement 1 of policy lamp denies it"),
    ]


def test_a_message_that_may_not_be_received_is_not_delivered(make: Make, iot: Any, control: Control) -> None:
    lamp = make()
    with lamp.connect() as client:
        client.subscribe("a")
        allowed = {**ALLOW_ALL["Statement"][0], "NotAction": "iot:Receive"}
        replace_policy(iot, "lamp", {**ALLOW_ALL, "Statement": [{k: v for k, v in allowed.items() if k != "Action"}]})
        client.publish("a", b"x")
        assert client.messages() == []
    assert [one["action"] for one in refusals(control)] == ["iot:Receive"]


def test_a_reset_ends_every_connection_and_forgets(lamp: Device, control: Control) -> None:
    with lamp.connect() as client:
        client.publish("a", b"x", retain=True)
        client.messages()
        control.reset()
        assert client.is_closed()


def test_ten_thousand_damaged_packets_leave_the_broker_serving(make: Make) -> None:
    lamp, other = make("lamp"), make("other")
    source = random.Random(11)  # noqa: S311 - the same damage in every run
    good = [
        raw_mqtt.publish_packet("a/b", b"{}", qos=1),
        raw_mqtt.publish_packet("$aws/things/lamp/jobs/start-next", b'{"clientToken":"x"}'),
        raw_mqtt.publish_packet("$aws/things/lamp/streams/s/get/json", b'{"f":0,"l":256}'),
        raw_mqtt.subscribe_packet("a/#"),
    ]
    with other.connect() as bystander:
        sent = 0
        while sent < 10_000:
            with lamp.connect() as client:
                for _ in range(10):
                    sent += 20
                    if not try_send(client, *(damaged(source, good) for _ in range(20))):
                        break
        assert bystander.messages() == []
    with lamp.connect() as client:
        assert client.request("$aws/things/lamp/jobs/start-next", {}).topic.endswith("/accepted")


def damaged(source: random.Random, good: list[bytes]) -> bytes:
    raw = bytearray(source.choice(good))
    raw[source.randrange(2, len(raw))] = source.randrange(256)
    return bytes(raw)


def try_send(client: RawClient, *raw: bytes) -> bool:
    try:
        client.send(*raw)
    except OSError:
        return False
    return True


def test_another_port_is_taken_where_8883_is_not_free() -> None:
    first, second = (Broker(Sandbox(), make_authority()) for _ in range(2))
    try:
        ports = [first.start(), second.start()]
        assert ports[0] != ports[1]
        with pytest.raises(OSError, match="in use"):
            Broker(Sandbox(), make_authority()).start(ports[0])
    finally:
        first.stop()
        second.stop()


def test_connections_send_at_once() -> None:
    """Else an answer waits 40 ms for the acknowledgement of the one before."""
    with listen(0) as listener, socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.fixture
def quiet() -> Iterator[QuietBroker]:
    """A broker of this process, whose clock is the test's."""
    broker = QuietBroker()
    yield broker
    broker.broker.stop()


class QuietBroker:
    """A broker with a clock of its own and one device."""

    def __init__(self) -> None:
        self.now = 0.0
        self.step = 0.0
        self.looked = threading.Event()
        self.authority: Authority = make_authority()
        limits = Limits(sweep_s=0.01, unsent_bytes=256 * 1024)
        self.broker = Broker(Sandbox(), self.authority, limits=limits, clock=self.clock)
        self.port = self.broker.start(0)

    def clock(self) -> float:
        """Each look at it takes a step."""
        self.now += self.step
        self.looked.set()
        return self.now

    def let_pass(self, seconds: float) -> None:
        """Move the clock, and wait until the broker has looked at it, and looked again."""
        self.now += seconds
        for _ in range(2):
            self.looked.clear()
            assert self.looked.wait(10)

    def files(self, directory: Path) -> Files:
        """A device's files; its certificate and a policy that allows everything are put into moto's registry."""
        from moto.iot.models import FakeCertificate, iot_backends

        key = ec.generate_private_key(ec.SECP256R1())
        pem = certificate_pem(self.authority.issue(x509.Name([]), key.public_key()))
        backend = iot_backends["210987654321"]["eu-west-1"]
        certificate = FakeCertificate(pem, "ACTIVE", "210987654321", "eu-west-1")
        certificate.certificate_id = FakeCertificate.compute_der_cert_id(certificate, pem)
        certificate.arn = f"arn:aws:iot:eu-west-1:210987654321:cert/{certificate.certificate_id}"
        backend.certificates[certificate.certificate_id] = certificate
        backend.policies.pop("all", None)
        backend.create_policy("all", str(ALLOW_ALL).replace("'", '"'))
        backend.attach_policy("all", certificate.arn)
        ca = directory / "ca.pem"
        ca.write_text(certificate_pem(self.authority.certificate), encoding="ascii")
        return write_files(directory, "quiet", pem, key, ca)

    def open(self, directory: Path) -> RawClient:
        files = self.files(directory)
        return RawClient(self.port, tls_context(files.ca, files))


@pytest.mark.parametrize(
    ("keep_alive", "allowed_s"),
    [(60, 90), pytest.param(1, 45, id="at-least-30"), pytest.param(0, 1800, id="none"), (5000, 1800)],
)
def test_a_silent_client_is_dropped_after_one_and_a_half_keep_alives(
    quiet: QuietBroker, tmp_path: Path, keep_alive: int, allowed_s: float
) -> None:
    with quiet.open(tmp_path) as client:
        assert client.connect("lamp", keep_alive=keep_alive) == 0
        for _ in range(2):
            quiet.let_pass(allowed_s)
            assert client.messages() == []
        quiet.now += allowed_s + 1
        assert client.is_closed()
    (found,) = quiet.broker.recent_refusals()
    assert "keep-alive" in found["why"]


def test_a_client_that_never_sends_connect_is_dropped(quiet: QuietBroker, tmp_path: Path) -> None:
    with quiet.open(tmp_path) as client:
        quiet.step = 1.0
        assert client.is_closed()
    (found,) = quiet.broker.recent_refusals()
    assert found["why"] == "no CONNECT in time"


def test_a_client_that_does_not_read_is_dropped_and_costs_no_memory(quiet: QuietBroker, tmp_path: Path) -> None:
    with quiet.open(tmp_path) as deaf, quiet.open(tmp_path) as sender:
        deaf.connect("deaf")
        deaf.subscribe("a")
        sender.connect("sender")
        for _ in range(200):
            sender.publish("a", b"x" * 131072)
            if quiet.broker.recent_refusals():
                break
        assert sender.messages() == []
    assert quiet.broker.recent_refusals()[0]["why"] == "the client does not read what it is sent"


def test_a_client_of_mqtt_5_is_told_why_it_is_dropped(quiet: QuietBroker, tmp_path: Path) -> None:
    with Client5(quiet.open(tmp_path)) as deaf, Client5(quiet.open(tmp_path)) as sender:
        assert deaf.ask(connect5("deaf", receive_maximum=1)).codes == [0]
        assert sender.ask(connect5("sender")).codes == [0]
        deaf.subscribe("a", options=1)
        while not quiet.broker.recent_refusals():
            sender.ask(publish5("a", b"x" * 131072, qos=1))
        assert deaf.next().topic == "a"
        assert deaf.next().codes == [0x97]
        quiet.now += 91
        assert sender.next().codes == [0x8D]


def test_a_broker_that_stops_says_so(tmp_path: Path) -> None:
    quiet = QuietBroker()
    with Client5(quiet.open(tmp_path)) as client:
        assert client.ask(connect5("lamp")).codes == [0]
        quiet.broker.stop()
        assert client.next().codes == [0x8B]


def own_certificate() -> tuple[str, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    return self_signed(key, make_authority().certificate), key


def port_of(address: Address) -> int:
    assert address.mqtt_port is not None
    return address.mqtt_port
