"""IoT certificates as AWS treats them: issued by a CA, listed newest first, deleted only when detached and inactive.

Each function replaces the method of the same name of moto's ``IoTResponse``, whose certificates are self-signed, have a
validity of one day in their description, and are issued for any text.

Source: AWS IoT API reference (CreateKeysAndCertificate, CreateCertificateFromCsr, RegisterCertificate,
RegisterCertificateWithoutCA, DescribeCertificate, ListCertificates, UpdateCertificate, DeleteCertificate).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID
from moto.core.responses import ActionResult, EmptyResult
from moto.core.utils import utcnow
from moto.iot.models import FakeCertificate

from .authority import (
    Authority,
    BadRequestError,
    certificate_pem,
    load_certificate,
    make_device_key,
    private_key_pem,
    public_key_pem,
)
from .responses import AwsError, cut_page, invalid_request

_SUBJECT = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "AWS IoT Certificate")])
_SETTABLE = ("ACTIVE", "INACTIVE", "REVOKED", "REGISTER_INACTIVE")

Method = Callable[[Any], ActionResult]


def issuing_methods(authority: Authority) -> dict[str, Method]:
    """The two operations that need the CA."""

    def create_keys_and_certificate(self: Any) -> ActionResult:
        key = make_device_key()
        certificate = _keep(self, authority.issue(_SUBJECT, key.public_key()))
        pair = {"PublicKey": public_key_pem(key), "PrivateKey": private_key_pem(key)}
        return ActionResult({**_created(certificate), "keyPair": pair})

    def create_certificate_from_csr(self: Any) -> ActionResult:
        try:
            issued = authority.sign_request(self.params["certificateSigningRequest"])
        except BadRequestError as error:
            raise invalid_request(str(error)) from error
        return ActionResult(_created(_keep(self, issued)))

    methods = (create_keys_and_certificate, create_certificate_from_csr)
    return {method.__name__: method for method in methods}


def register_certificate(self: Any) -> ActionResult:
    """RegisterCertificate: a certificate of the caller's own, with the id of the CA that signed it if known."""
    ca_id = self.iot_backend._find_ca_certificate(self.params.get("caCertificatePem"))
    return ActionResult(_registered(self, ca_id))


def register_certificate_without_ca(self: Any) -> ActionResult:
    """RegisterCertificateWithoutCA: a certificate of any CA."""
    return ActionResult(_registered(self, None))


def describe_certificate(self: Any) -> ActionResult:
    """DescribeCertificate, with the validity of the certificate itself."""
    found = self.iot_backend.describe_certificate(self.params["certificateId"])
    inside = load_certificate(found.certificate_pem)
    validity = {"notBefore": inside.not_valid_before_utc, "notAfter": inside.not_valid_after_utc}
    versions = {"customerVersion": getattr(found, "version", 1), "certificateMode": "DEFAULT"}
    description = {**found.to_description_dict(), **versions, "validity": validity}
    if found.ca_certificate_id:
        description["caCertificateId"] = found.ca_certificate_id
    return ActionResult({"certificateDescription": description})


def list_certificates(self: Any) -> ActionResult:
    """ListCertificates: the newest first unless ``ascendingOrder``, in pages."""
    rows = [certificate.to_dict() for certificate in self.iot_backend.list_certificates()]
    if not self.params.get("ascendingOrder"):
        rows.reverse()
    page, marker = cut_page(rows, self.params.get("pageSize"), self.params.get("marker"))
    return ActionResult({"certificates": page, "nextMarker": marker})


def update_certificate(self: Any) -> ActionResult:
    """UpdateCertificate: a status that only a transfer sets is refused."""
    status = self.params["newStatus"]
    if status not in _SETTABLE:
        raise invalid_request(f"The status {status} is for internal use only.")
    found = self.iot_backend.describe_certificate(self.params["certificateId"])
    found.status = status
    found.last_modified_date = utcnow()
    found.version = getattr(found, "version", 1) + 1
    return EmptyResult()


def delete_certificate(self: Any) -> ActionResult:
    """DeleteCertificate: must be inactive, attached to no thing; ``forceDelete`` overrides attached policies only."""
    backend = self.iot_backend
    found = backend.describe_certificate(self.params["certificateId"])
    if found.status == "ACTIVE":
        message = f"Certificate must be deactivated (not ACTIVE) before deletion. Id: {found.certificate_id}"
        raise AwsError("CertificateStateException", message)
    if any(principal == found.arn for principal, _ in backend.principal_things):
        raise _conflict(f"Things must be detached before deletion (arn: {found.arn})")
    attached = [pair for pair in backend.principal_policies if pair[0] == found.arn]
    if attached and not self.params.get("forceDelete"):
        raise _conflict(f"Certificate policies must be detached before deletion (arn: {found.arn})")
    for pair in attached:
        del backend.principal_policies[pair]
    del backend.certificates[found.certificate_id]
    return EmptyResult()


def _created(certificate: Any) -> dict[str, str]:
    return {
        "certificateArn": certificate.arn,
        "certificateId": certificate.certificate_id,
        "certificatePem": certificate.certificate_pem,
    }


def _keep(self: Any, issued: x509.Certificate) -> Any:
    status = "ACTIVE" if self.params.get("setAsActive") else "INACTIVE"
    return _store(self.iot_backend, certificate_pem(issued), status, None)


def _registered(self: Any, ca_id: str | None) -> dict[str, str]:
    pem = self.params["certificatePem"]
    try:
        load_certificate(pem)
    except BadRequestError as error:
        raise AwsError("CertificateValidationException", str(error)) from error
    status = "ACTIVE" if self.params.get("setAsActive") else self.params.get("status") or "INACTIVE"
    certificate = _store(self.iot_backend, pem, status, ca_id)
    return {"certificateArn": certificate.arn, "certificateId": certificate.certificate_id}


def _store(backend: Any, pem: str, status: str, ca_id: str | None) -> Any:
    certificate = FakeCertificate(pem, status, backend.account_id, backend.region_name, ca_id)
    if certificate.certificate_id in backend.certificates:
        raise AwsError(
            "ResourceAlreadyExistsException",
            "The certificate is already provisioned or registered",
            resourceId=certificate.certificate_id,
            resourceArn=certificate.arn,
        )
    backend.certificates[certificate.certificate_id] = certificate
    return certificate


def _conflict(message: str) -> AwsError:
    return AwsError("DeleteConflictException", message)
