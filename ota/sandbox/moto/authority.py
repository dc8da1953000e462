"""The sandbox's certificate authority, in place of Amazon's.

Its certificates are real X.509: they contain the key of the signing request, chain to one CA and have a validity, so
that mutual TLS, openssl and a firmware's parser treat them as they treat AWS's. The CA's key is
EC P-256 because that is generated in a millisecond; it is kept on disk so that certificates stay valid after a restart.

Source: AWS IoT Developer Guide, "X.509 client certificates" (subjects, validity until the end of 2049, accepted
keys); RFC 5280.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

CA_NAME = "ca.pem"
_KEY_NAME = "ca.key"
_END = datetime(2049, 12, 31, 23, 59, 59, tzinfo=timezone.utc)
_SMALLEST_RSA_BITS = 2048
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_ISSUER = x509.Name(
    [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "ota-tasks sandbox"),
        x509.NameAttribute(NameOID.COMMON_NAME, "Sandbox IoT CA"),
    ]
)


class BadRequestError(ValueError):
    """A signing request or certificate that AWS would refuse; the message says why."""


@dataclass(frozen=True)
class Authority:
    """The CA: its private key and its own certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def sign_request(self, pem: str) -> x509.Certificate:
        """A certificate for a signing request (PEM), with the request's subject and key.

        Raises:
            BadRequestError: not a signing request, not signed by its own key, or a key that AWS does not accept.
        """
        request = _load_request(pem)
        return self.issue(request.subject, request.public_key())

    def issue(self, subject: x509.Name, public_key: CertificatePublicKeyTypes) -> x509.Certificate:
        """A client certificate for this subject and key, valid from now until AWS's own end date."""
        return (
            _builder(subject, public_key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )


def open_authority(directory: Path) -> Authority:
    """The CA kept in ``directory`` (``ca.pem``, ``ca.key``); created when it is missing or damaged."""
    key_path, ca_path = directory / _KEY_NAME, directory / CA_NAME
    kept = _read(key_path, ca_path)
    if kept is not None:
        return kept
    authority = make_authority()
    directory.mkdir(parents=True, exist_ok=True)
    _write_private(key_path, _private_pem(authority.key, serialization.PrivateFormat.PKCS8))
    ca_path.write_text(certificate_pem(authority.certificate), encoding="ascii")
    return authority


def make_authority() -> Authority:
    """A new CA that lives in memory only."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_ISSUER, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(key, certificate)


def make_device_key() -> rsa.RSAPrivateKey:
    """The key that CreateKeysAndCertificate makes: RSA with 2048 bits."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_key_pem(key: rsa.RSAPrivateKey) -> str:
    """PKCS#1 PEM (``BEGIN RSA PRIVATE KEY``), the form AWS returns."""
    return _private_pem(key, serialization.PrivateFormat.TraditionalOpenSSL).decode()


def public_key_pem(key: rsa.RSAPrivateKey) -> str:
    """SubjectPublicKeyInfo PEM (``BEGIN PUBLIC KEY``)."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def certificate_pem(certificate: x509.Certificate) -> str:
    """PEM text, ending in a newline."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def load_certificate(pem: str) -> x509.Certificate:
    """The certificate in a PEM text.

    Raises:
        BadRequestError: the text holds no certificate.
    """
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError as error:
        raise BadRequestError("The certificate is not valid PEM") from error


def _read(key_path: Path, ca_path: Path) -> Authority | None:
    """The stored pair; None where a file is missing, truncated or does not match the other."""
    try:
        key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
        certificate = x509.load_pem_x509_certificate(ca_path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and certificate.public_key() == key.public_key():
        return Authority(key, certificate)
    return None


def _load_request(pem: str) -> x509.CertificateSigningRequest:
    try:
        request = x509.load_pem_x509_csr(pem.encode())
    except ValueError as error:
        raise BadRequestError("The certificate signing request is not valid PEM") from error
    if not request.is_signature_valid:
        raise BadRequestError("The certificate signing request is not signed by its own key")
    _check_key(request.public_key())
    return request


def _check_key(key: CertificatePublicKeyTypes) -> None:
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _SMALLEST_RSA_BITS:
        return
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return
    raise BadRequestError("The public key must be RSA of at least 2048 bits or ECC on NIST P-256, P-384 or P-521")


def _builder(subject: x509.Name, public_key: CertificatePublicKeyTypes) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(_ISSUER)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(timezone.utc) - timedelta(minutes=2))
        .not_valid_after(_END)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _private_pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, form: serialization.PrivateFormat) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _write_private(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
