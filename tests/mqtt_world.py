"""Devices of the shared sandbox: thing, certificate and policy made by real clients, and connections of theirs."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ota.sandbox.process import Address
from tests.conftest import ACCOUNT, REGION
from tests.raw_mqtt import Files, RawClient, tls_context

ARN = f"arn:aws:iot:{REGION}:{ACCOUNT}"
THING_NAME = "${iot:Connection.Thing.ThingName}"
ALLOW_ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}


@dataclass(frozen=True)
class Device:
    """A thing with a certificate, and the files a device would hold."""

    name: str
    certificate_id: str
    certificate_arn: str
    files: Files
    address: Address

    @property
    def jobs(self) -> str:
        return f"$aws/things/{self.name}/jobs"

    @property
    def streams(self) -> str:
        return f"$aws/things/{self.name}/streams"

    def open(self, server_name: str = "localhost", *, version: ssl.TLSVersion | None = None) -> RawClient:
        """A connection that has not sent its CONNECT yet."""
        assert self.address.mqtt_port is not None
        return RawClient(self.address.mqtt_port, _kept_context(self.files, version), server_name)

    def connect(self, client_id: str | None = None, **options: Any) -> RawClient:
        """A connection whose CONNECT was accepted."""
        client = self.open()
        assert client.connect(self.name if client_id is None else client_id, **options) == 0
        return client


def least_policy(*leave_out: str) -> dict[str, Any]:
    """The least that an OTA device needs, but for some of its statements."""
    topics = [f"things/{THING_NAME}/jobs/*", f"things/{THING_NAME}/streams/*"]
    statements = {
        "Connect": {
            "Resource": f"{ARN}:client/{THING_NAME}",
            "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": ["true"]}},
        },
        "Subscribe": {"Resource": [f"{ARN}:topicfilter/$aws/{one}" for one in topics]},
        "Publish": {"Resource": [f"{ARN}:topic/$aws/{one}" for one in topics]},
        "Receive": {"Resource": [f"{ARN}:topic/$aws/{one}" for one in topics]},
    }
    listed = [
        {"Sid": name, "Effect": "Allow", "Action": f"iot:{name}", **rest}
        for name, rest in statements.items()
        if name not in leave_out
    ]
    return {"Version": "2012-10-17", "Statement": listed}


def make_device(
    iot: Any, address: Address, directory: Path, name: str = "lamp", *, policy: dict[str, Any] | None = None
) -> Device:
    """A device with a policy of its own, called as the thing; the thing may exist."""
    iot.create_thing(thingName=name)
    key = ec.generate_private_key(ec.SECP256R1())
    created = iot.create_certificate_from_csr(certificateSigningRequest=_request(key), setAsActive=True)
    iot.attach_thing_principal(thingName=name, principal=created["certificateArn"])
    iot.create_policy(policyName=name, policyDocument=json.dumps(policy or least_policy()))
    iot.attach_policy(policyName=name, target=created["certificateArn"])
    files = write_files(directory, name, created["certificatePem"], key, Path(address.ca_path))
    return Device(name, created["certificateId"], created["certificateArn"], files, address)


def write_files(directory: Path, name: str, pem: str, key: ec.EllipticCurvePrivateKey, ca: Path) -> Files:
    files = Files(directory / f"{name}.pem", directory / f"{name}.key", ca)
    files.certificate.write_text(pem, encoding="ascii")
    form = serialization.PrivateFormat.PKCS8
    files.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return files


def self_signed(key: ec.EllipticCurvePrivateKey, like: x509.Certificate) -> str:
    """A certificate of nobody's CA, valid as long as ``like``."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "own maker")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(like.not_valid_before_utc).not_valid_after(like.not_valid_after_utc)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def replace_policy(iot: Any, name: str, document: dict[str, Any]) -> None:
    """A new default version."""
    iot.create_policy_version(policyName=name, policyDocument=json.dumps(document), setAsDefault=True)


def refusals(control: Any, action: str | None = None) -> list[dict[str, Any]]:
    """What the broker refused, of one action where it is named."""
    found: list[dict[str, Any]] = control.ask("GET", "refusals")["refusals"]
    return [one for one in found if action in (None, one["action"])]


@lru_cache(maxsize=64)
def _kept_context(files: Files, version: ssl.TLSVersion | None) -> ssl.SSLContext:
    """Making one costs as much as the handshake."""
    return tls_context(files.ca, files, version=version)


def _request(key: ec.EllipticCurvePrivateKey) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lamp maker")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()
