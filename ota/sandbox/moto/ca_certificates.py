"""Certificate authorities of the user's own: registered with a proof of their key, listed, and the registration code.

Each function is a method for moto's ``IoTResponse``, which takes any text for a certificate and lists none.

Source: AWS IoT API reference (RegisterCACertificate, ListCACertificates, GetRegistrationCode, DeleteRegistrationCode);
AWS IoT Developer Guide, "Register your CA certificate".
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID
from moto.core.responses import ActionResult, EmptyResult
from moto.iot.models import FakeCaCertificate

from .authority import BadRequestError, load_certificate
from .responses import AwsError, cut_page

if TYPE_CHECKING:
    from cryptography import x509

_SNI_ONLY = "SNI_ONLY"


def register_ca_certificate(self: Any) -> ActionResult:
    """RegisterCACertificate: a CA, and but for the mode SNI_ONLY a certificate of it for the registration code."""
    params, backend = self.params, self.iot_backend
    authority = _load(params["caCertificate"])
    if params.get("certificateMode") != _SNI_ONLY:
        _check_proof(authority, params.get("verificationCertificate"), _registration_code(backend))
    found = FakeCaCertificate(
        ca_certificate=params["caCertificate"],
        status="ACTIVE" if params.get("setAsActive") else "INACTIVE",
        account_id=backend.account_id,
        region_name=backend.region_name,
        registration_config=params.get("registrationConfig"),
    )
    if found.certificate_id in backend.ca_certificates:
        raise AwsError(
            "ResourceAlreadyExistsException",
            "The CA certificate is already registered",
            resourceId=found.certificate_id,
            resourceArn=found.arn,
        )
    backend.ca_certificates[found.certificate_id] = found
    return ActionResult({"certificateId": found.certificate_id, "certificateArn": found.arn})


def list_ca_certificates(self: Any) -> ActionResult:
    """ListCACertificates: the newest first unless ``ascendingOrder``, in pages."""
    wanted = self.params.get("templateName")
    found = [
        one
        for one in self.iot_backend.ca_certificates.values()
        if wanted in (None, (one.registration_config or {}).get("templateName"))
    ]
    if not self.params.get("ascendingOrder"):
        found.reverse()
    page, marker = cut_page(found, self.params.get("pageSize"), self.params.get("marker"))
    return ActionResult({"certificates": [one.to_dict() for one in page], "nextMarker": marker})


def get_registration_code(self: Any) -> ActionResult:
    """GetRegistrationCode: 64 hexadecimal digits, the same until the code is deleted."""
    return ActionResult({"registrationCode": _registration_code(self.iot_backend)})


def delete_registration_code(self: Any) -> ActionResult:
    """DeleteRegistrationCode: the next one is another."""
    vars(self.iot_backend).pop("registration_code", None)
    return EmptyResult()


def _registration_code(backend: Any) -> str:
    """Stored on moto's backend, so that a reset of moto deletes it too."""
    code: str = vars(backend).setdefault("registration_code", secrets.token_hex(32))
    return code


def _load(pem: str) -> x509.Certificate:
    try:
        return load_certificate(pem)
    except BadRequestError as error:
        raise AwsError("CertificateValidationException", str(error)) from error


def _check_proof(authority: x509.Certificate, pem: str | None, code: str) -> None:
    """Refuse a CA whose key the caller does not prove to have. UNVERIFIED: AWS's words are its own."""
    if not pem:
        raise AwsError("CertificateValidationException", "A verification certificate is required.")
    proof = _load(pem)
    try:
        proof.verify_directly_issued_by(authority)
    except (InvalidSignature, TypeError, ValueError) as error:
        message = "The verification certificate is not signed by the CA certificate."
        raise AwsError("CertificateValidationException", message) from error
    if code not in [one.value for one in proof.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]:
        message = "The common name of the verification certificate is not the registration code."
        raise AwsError("RegistrationCodeValidationException", message)
