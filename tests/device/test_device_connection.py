"""Connecting as a device: who the device is, who the cloud is, and what is said when one is not who it should be."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from ota.certificates.files import CertificateFiles
from ota.device.connection import Connection
from ota.device.identity import CloudEndpoint, DeviceIdentity, find_identity, trust_this_machine
from ota.device.options import Timing
from ota.device.refusals import Refused, Stage, Symptom
from ota.errors import CertificateError, DeviceFailed
from tests.device.device_world import DeviceWorld, device_world
from tests.sandbox_control import Control
from tests.sandbox_world import THING, World

TOPIC = f"$aws/things/{THING}/jobs/start-next"


@pytest.fixture
def lamp(world: World, control: Control, tmp_path: Path) -> DeviceWorld:
    return device_world(world, control, tmp_path)


def files_of(lamp: DeviceWorld) -> CertificateFiles:
    files = lamp.cloud_device.files
    return CertificateFiles(files.key, files.key.with_suffix(".pub"), files.certificate)


def identity_of(lamp: DeviceWorld) -> DeviceIdentity:
    return find_identity(THING, files_of(lamp))


def open_connection(lamp: DeviceWorld, endpoint: CloudEndpoint | None = None) -> Connection:
    connection = Connection(endpoint or lamp.endpoint(), identity_of(lamp), Timing(answer_timeout_s=5.0))
    try:
        connection.open()
    except BaseException:
        connection.close()
        raise
    return connection


@pytest.fixture
def connection(lamp: DeviceWorld) -> Iterator[Connection]:
    connection = open_connection(lamp)
    yield connection
    connection.close()


class TestIdentity:
    def test_is_the_certificate_s_id_and_shows_no_key_path(self, lamp: DeviceWorld) -> None:
        identity = identity_of(lamp)
        assert identity.certificate_id == lamp.cloud_device.certificate_id
        assert "private" not in repr(identity)

    @pytest.mark.parametrize("missing", ["key", "certificate"])
    def test_a_missing_file_is_named_with_the_task_that_makes_it(self, lamp: DeviceWorld, missing: str) -> None:
        path: Path = getattr(lamp.cloud_device.files, missing)
        path.unlink()
        with pytest.raises(CertificateError, match=r"`invoke thing` makes them") as caught:
            identity_of(lamp)
        assert str(path) in str(caught.value)

    def test_a_key_of_another_certificate_is_refused(self, lamp: DeviceWorld) -> None:
        with lamp.spy():
            (lamp.folder / "lamp.key").write_bytes((lamp.folder / "watcher.key").read_bytes())
            with pytest.raises(CertificateError, match="is not the key of"):
                identity_of(lamp)


class TestTheCloud:
    def test_must_have_the_name_in_the_header(self, lamp: DeviceWorld) -> None:
        with pytest.raises(DeviceFailed, match="does not prove that it is other-ats"):
            open_connection(lamp, lamp.endpoint(name="other-ats.iot.eu-west-1.amazonaws.com"))

    def test_must_be_vouched_for_by_an_authority_of_this_machine_where_none_is_named(self, lamp: DeviceWorld) -> None:
        with pytest.raises(DeviceFailed, match="does not prove"):
            open_connection(lamp, lamp.endpoint(ca_path=None))

    def test_must_be_there(self, lamp: DeviceWorld) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        with pytest.raises(DeviceFailed, match=rf"cannot be reached on port {port}: Connection refused"):
            open_connection(lamp, lamp.endpoint(port=port))

    def test_must_speak_tls(self, lamp: DeviceWorld) -> None:
        port = int(lamp.address.endpoint_url.rsplit(":", 1)[1])
        with pytest.raises(Refused) as caught:
            open_connection(lamp, lamp.endpoint(port=port))
        assert (caught.value.stage, caught.value.symptom) == (Stage.CONNECT, Symptom.CLOSED)

    def test_is_not_asked_for_more_than_a_machine_without_authorities_has(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trust_this_machine(context, SimpleNamespace(cafile=None, capath=None))  # type: ignore[arg-type]
        names = {dict(pair[0] for pair in one["subject"]).get("commonName") for one in context.get_ca_certs()}
        assert "Amazon Root CA 1" in names


class TestWaiting:
    def test_an_answer_comes_to_the_one_who_asked(self, connection: Connection) -> None:
        answer = connection.request(TOPIC, b'{"clientToken":"lamp"}', Stage.JOB)
        assert answer.members["clientToken"] == "lamp"
        assert answer.size_bytes > 20

    def test_other_messages_meanwhile_are_kept_in_order(self, connection: Connection) -> None:
        for _ in range(2):
            connection.publish(TOPIC, b"{}")
        connection.publish_acknowledged(f"{THING}/ml/inference", b"on", Stage.INFERENCE)
        connection.subscribe(f"$aws/things/{THING}/jobs/notify-next", Stage.NOTIFY)
        connection.request(f"$aws/things/{THING}/jobs/get", b"{}", Stage.JOB)
        received = [connection.receive(0.2, Stage.JOB) for _ in range(3)]
        assert [one and one.topic for one in received] == [f"{TOPIC}/accepted", f"{TOPIC}/accepted", None]

    def test_nothing_for_a_while_is_none(self, connection: Connection) -> None:
        assert connection.receive(0.01, Stage.BLOCKS) is None

    def test_a_cut_connection_is_noticed(self, connection: Connection) -> None:
        connection.cut()
        with pytest.raises(Refused) as caught:
            connection.receive(5, Stage.BLOCKS)
        assert caught.value.symptom is Symptom.DROPPED

    def test_closing_and_cutting_what_is_closed_is_no_mistake(self, connection: Connection) -> None:
        for _ in range(2):
            connection.close()
            connection.cut()
        connection.publish(TOPIC, b"")

    def test_what_is_asked_on_a_closed_connection_gets_no_answer(self, lamp: DeviceWorld) -> None:
        connection = Connection(lamp.endpoint(), identity_of(lamp), Timing(answer_timeout_s=0.05))
        for ask in (
            lambda: connection.subscribe("a", Stage.SUBSCRIBE),
            lambda: connection.publish_acknowledged("a", b"", Stage.INFERENCE),
            lambda: connection.request("a", b"", Stage.JOB),
        ):
            with pytest.raises(Refused) as caught:
                ask()
            assert caught.value.symptom is Symptom.SILENCE

    def test_another_connection_by_the_same_name_takes_its_place(
        self, lamp: DeviceWorld, connection: Connection
    ) -> None:
        second = open_connection(lamp)
        with pytest.raises(Refused, match="closes the connection"):
            connection.receive(5, Stage.BLOCKS)
        assert second.receive(0.01, Stage.BLOCKS) is None
        second.close()
