"""Certificates from the sandbox's CA, and the order in which AWS lets go of them."""

from __future__ import annotations

import hashlib
from datetime import timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from ota.sandbox.moto.authority import CA_NAME, open_authority
from tests.conftest import ACCOUNT, REGION
from tests.sandbox.iot_calls import refused

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

    from ota.sandbox.process import Address

PEM = serialization.Encoding.PEM
SHORT = 1024
DOCUMENT = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:Connect","Resource":"*"}]}'


@pytest.fixture(scope="module")
def device_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def signing_request(key: Any) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lamp")])
    return (
        x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256()).public_bytes(PEM).decode()
    )


def public_bytes(key: Any) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_bytes(serialization.Encoding.DER, form))


def test_a_signing_request_becomes_a_certificate_of_its_key(
    iot: IoTClient, sandbox: Address, device_key: rsa.RSAPrivateKey
) -> None:
    made = iot.create_certificate_from_csr(certificateSigningRequest=signing_request(device_key), setAsActive=True)
    certificate = x509.load_pem_x509_certificate(made["certificatePem"].encode())
    assert public_bytes(certificate.public_key()) == public_bytes(device_key.public_key())
    assert certificate.subject.rfc4514_string() == "CN=lamp"
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(Path(sandbox.ca_path).read_bytes()))
    der = certificate.public_bytes(serialization.Encoding.DER)
    assert made["certificateId"] == hashlib.sha256(der).hexdigest()
    assert made["certificateArn"] == f"arn:aws:iot:{REGION}:{ACCOUNT}:cert/{made['certificateId']}"


def test_the_description_states_what_the_certificate_states(iot: IoTClient, device_key: rsa.RSAPrivateKey) -> None:
    made = iot.create_certificate_from_csr(certificateSigningRequest=signing_request(device_key))
    found = iot.describe_certificate(certificateId=made["certificateId"])["certificateDescription"]
    inside = x509.load_pem_x509_certificate(found["certificatePem"].encode())
    assert found["status"] == "INACTIVE"
    assert found["ownedBy"] == ACCOUNT
    assert found["validity"]["notBefore"].astimezone(timezone.utc) == inside.not_valid_before_utc
    assert found["validity"]["notAfter"].astimezone(timezone.utc) == inside.not_valid_after_utc
    assert inside.not_valid_after_utc.year == 2049


@pytest.mark.parametrize(("active", "status"), [(True, "ACTIVE"), (False, "INACTIVE"), (None, "INACTIVE")])
def test_a_certificate_is_active_only_when_asked_for(
    iot: IoTClient, device_key: rsa.RSAPrivateKey, active: bool | None, status: str
) -> None:
    params: Any = {} if active is None else {"setAsActive": active}
    made = iot.create_certificate_from_csr(certificateSigningRequest=signing_request(device_key), **params)
    assert iot.describe_certificate(certificateId=made["certificateId"])["certificateDescription"]["status"] == status


def forged() -> str:
    text = signing_request(ec.generate_private_key(ec.SECP256R1())).splitlines()
    text[-2] = text[-2][::-1].lstrip("=") + "=" * text[-2].count("=")
    return "\n".join(text)


REQUESTS = [
    pytest.param(lambda: "nonsense", id="no PEM"),
    pytest.param(lambda: DOCUMENT, id="JSON"),
    pytest.param(lambda: signing_request(rsa.generate_private_key(65537, SHORT)), id="short RSA key"),
    pytest.param(lambda: signing_request(ec.generate_private_key(ec.SECP256K1())), id="other curve"),
    pytest.param(forged, id="not signed by its key"),
]


@pytest.mark.parametrize("make", REQUESTS)
def test_bad_signing_requests_are_refused(iot: IoTClient, make: Any) -> None:
    found = refused(iot.create_certificate_from_csr, certificateSigningRequest=make())
    assert found == ("InvalidRequestException", 400)
    assert iot.list_certificates()["certificates"] == []


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda one: one.name)
def test_elliptic_keys_are_taken(iot: IoTClient, curve: ec.EllipticCurve) -> None:
    iot.create_certificate_from_csr(certificateSigningRequest=signing_request(ec.generate_private_key(curve)))


def test_aws_makes_a_pkcs1_key_that_belongs_to_the_certificate(iot: IoTClient) -> None:
    made = iot.create_keys_and_certificate(setAsActive=True)
    private_pem = made["keyPair"]["PrivateKey"]
    assert private_pem.startswith("-----BEGIN RSA PRIVATE KEY-----\n")
    key: Any = serialization.load_pem_private_key(private_pem.encode(), password=None)
    assert key.key_size == 2048
    certificate = x509.load_pem_x509_certificate(made["certificatePem"].encode())
    public = serialization.load_pem_public_key(made["keyPair"]["PublicKey"].encode())
    assert public_bytes(certificate.public_key()) == public_bytes(key.public_key()) == public_bytes(public)


def test_the_newest_certificates_come_first_and_in_pages(iot: IoTClient) -> None:
    made = [
        iot.create_certificate_from_csr(
            certificateSigningRequest=signing_request(ec.generate_private_key(ec.SECP256R1()))
        )["certificateId"]
        for _ in range(3)
    ]
    first = iot.list_certificates(pageSize=2)
    second = iot.list_certificates(pageSize=2, marker=first["nextMarker"])
    listed = [one["certificateId"] for page in (first, second) for one in page["certificates"]]
    assert listed == made[::-1]
    assert "nextMarker" not in second
    assert [one["certificateId"] for one in iot.list_certificates(ascendingOrder=True)["certificates"]] == made


def test_a_certificate_goes_only_in_the_safe_order(iot: IoTClient) -> None:
    made = iot.create_keys_and_certificate(setAsActive=True)
    certificate_id, arn = made["certificateId"], made["certificateArn"]
    iot.create_thing(thingName="lamp")
    iot.create_policy(policyName="p", policyDocument=DOCUMENT)
    iot.attach_thing_principal(thingName="lamp", principal=arn)
    iot.attach_policy(policyName="p", target=arn)

    assert refused(iot.delete_certificate, certificateId=certificate_id) == ("CertificateStateException", 406)
    iot.update_certificate(certificateId=certificate_id, newStatus="INACTIVE")
    forced: dict[str, Any] = {"certificateId": certificate_id, "forceDelete": True}
    assert refused(iot.delete_certificate, **forced) == ("DeleteConflictException", 409)
    iot.detach_thing_principal(thingName="lamp", principal=arn)
    assert refused(iot.delete_certificate, certificateId=certificate_id) == ("DeleteConflictException", 409)
    iot.delete_certificate(**forced)
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_certificate(certificateId=certificate_id)
    assert iot.list_targets_for_policy(policyName="p")["targets"] == []
    iot.delete_policy(policyName="p")


@pytest.mark.parametrize("status", ["PENDING_TRANSFER", "PENDING_ACTIVATION", "GONE"])
def test_internal_states_cannot_be_set(iot: IoTClient, status: str) -> None:
    made = iot.create_keys_and_certificate()
    found = refused(iot.update_certificate, certificateId=made["certificateId"], newStatus=status)
    assert found == ("InvalidRequestException", 400)


def test_a_certificate_of_ones_own_is_registered_once(iot: IoTClient, tmp_path: Path) -> None:
    own = open_authority(tmp_path).issue(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "own")]),
        ec.generate_private_key(ec.SECP256R1()).public_key(),
    )
    pem = own.public_bytes(PEM).decode()
    made = iot.register_certificate_without_ca(certificatePem=pem, status="ACTIVE")
    assert made["certificateId"] == hashlib.sha256(own.public_bytes(serialization.Encoding.DER)).hexdigest()
    with pytest.raises(iot.exceptions.ResourceAlreadyExistsException) as caught:
        iot.register_certificate(certificatePem=pem)
    response: Any = caught.value.response
    assert response["resourceArn"] == made["certificateArn"]


def test_only_certificates_are_registered(iot: IoTClient) -> None:
    for call in (iot.register_certificate, iot.register_certificate_without_ca):
        assert refused(call, certificatePem="nonsense") == ("CertificateValidationException", 400)


def test_the_authority_is_kept_on_disk_with_a_private_key_file(tmp_path: Path) -> None:
    first, again = open_authority(tmp_path / "new"), open_authority(tmp_path / "new")
    assert first.certificate == again.certificate
    assert public_bytes(first.key.public_key()) == public_bytes(again.key.public_key())
    assert (tmp_path / "new" / "ca.key").stat().st_mode & 0o777 == 0o600
    assert x509.load_pem_x509_certificate((tmp_path / "new" / CA_NAME).read_bytes()) == first.certificate
