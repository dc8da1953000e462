"""Certificate authorities of the user's own: proof of the key, listing, registration code."""

from __future__ import annotations

import re
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ota.sandbox.moto.authority import Authority, certificate_pem, make_authority
from tests.sandbox.iot_calls import refused


@pytest.fixture(scope="module")
def authorities() -> list[Authority]:
    return [make_authority(), make_authority()]


def proof(authority: Authority, code: str) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, code)])
    return certificate_pem(authority.issue(subject, ec.generate_private_key(ec.SECP256R1()).public_key()))


def test_the_registration_code_stays_until_it_is_deleted(iot: Any) -> None:
    code = iot.get_registration_code()["registrationCode"]
    assert re.fullmatch("[0-9a-f]{64}", code)
    assert iot.get_registration_code()["registrationCode"] == code
    iot.delete_registration_code()
    assert iot.get_registration_code()["registrationCode"] != code


def test_an_authority_is_registered_with_the_proof_of_its_key_and_listed(
    iot: Any, authorities: list[Authority]
) -> None:
    code = iot.get_registration_code()["registrationCode"]
    ids = []
    for one in authorities:
        request = {"caCertificate": certificate_pem(one.certificate), "verificationCertificate": proof(one, code)}
        ids.append(iot.register_ca_certificate(**request, setAsActive=True)["certificateId"])
    assert refused(iot.register_ca_certificate, **request) == ("ResourceAlreadyExistsException", 409)
    first = iot.list_ca_certificates(pageSize=1)
    rest = iot.list_ca_certificates(pageSize=1, marker=first["nextMarker"])
    assert [one["certificateId"] for one in first["certificates"] + rest["certificates"]] == ids[::-1]
    assert set(first["certificates"][0]) == {"certificateArn", "certificateId", "status", "creationDate"}
    listed = iot.list_ca_certificates(ascendingOrder=True)["certificates"]
    assert [one["certificateId"] for one in listed] == ids
    assert iot.describe_ca_certificate(certificateId=ids[0])["certificateDescription"]["status"] == "ACTIVE"
    iot.update_ca_certificate(certificateId=ids[0], newStatus="INACTIVE")
    iot.delete_ca_certificate(certificateId=ids[0])
    assert [one["certificateId"] for one in iot.list_ca_certificates()["certificates"]] == ids[1:]


@pytest.mark.parametrize(
    ("ca", "checked", "code"),
    [
        pytest.param("none", "ours", "CertificateValidationException", id="no certificate"),
        pytest.param("ours", None, "CertificateValidationException", id="no proof"),
        pytest.param("ours", "none", "CertificateValidationException", id="no certificate for a proof"),
        pytest.param("ours", "of another", "CertificateValidationException", id="another's proof"),
        pytest.param("ours", "old", "RegistrationCodeValidationException", id="another code"),
    ],
)
def test_an_authority_without_proof_is_refused(
    iot: Any, authorities: list[Authority], ca: str, checked: str | None, code: str
) -> None:
    ours, other = authorities
    current = iot.get_registration_code()["registrationCode"]
    pems = {"none": "-----BEGIN CERTIFICATE-----", "ours": proof(ours, current), "of another": proof(other, current)}
    pems["old"] = proof(ours, "0" * 64)
    request = {"caCertificate": pems["none"] if ca == "none" else certificate_pem(ours.certificate)}
    if checked:
        request["verificationCertificate"] = pems[checked]
    assert refused(iot.register_ca_certificate, **request) == (code, 400)
    assert iot.list_ca_certificates()["certificates"] == []


def test_an_authority_for_sni_alone_needs_no_proof(iot: Any, authorities: list[Authority]) -> None:
    pem = certificate_pem(authorities[0].certificate)
    assert iot.register_ca_certificate(caCertificate=pem, certificateMode="SNI_ONLY")["certificateId"]
