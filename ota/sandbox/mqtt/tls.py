"""Mutual TLS of the broker: its own certificate, and which client certificates it accepts.

The certificate is valid for ``localhost``, 127.0.0.1 and the endpoint of DescribeEndpoint that a client asks for by
SNI: so a device that verifies the host name in its firmware's header can be directed to 127.0.0.1, and one with a wrong
host name fails as it should. TLS itself accepts certificates of the sandbox's CA and registered certificates of other
CAs; whether a certificate is registered and active is checked afterwards, and again during the connection.

Source: AWS IoT Developer Guide, "Transport security in AWS IoT Core" (TLS 1.2 and 1.3, SNI, ALPN), "Register a client
certificate"; moto 5.2.5, ``iot_backends``.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from moto.iot.models import iot_backends

from ota.sandbox.moto.authority import Authority, certificate_pem
from ota.sandbox.moto.things import endpoint_address
from ota.sandbox.policy.callers import Caller, certificate_facts

ALPN = ("x-amzn-mqtt-ca", "mqtt")
LIFETIME_DAYS = 397
_ENDPOINT = re.compile(r"[a-z0-9]+(?:-ats)?\.iot\.([a-z0-9-]+)\.amazonaws\.com")
_KINDS = ("iot:Data-ATS", "iot:Data")


class ServerTls:
    """The server's TLS contexts: one for each host name that clients ask for."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._trusted: dict[ssl.SSLContext, set[str]] = {}
        self.context = self._make_context("localhost")
        self.context.sni_callback = self._choose

    def asked_name(self, connection: ssl.SSLObject) -> str:
        """The endpoint that a connected client asked for by SNI; "localhost" for any other name or none."""
        return next(name for name, context in self._contexts.items() if context is connection.context)

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _context: ssl.SSLContext) -> None:
        """Called within each handshake, with the name the client asks for or None."""
        context = self.context
        if name is not None and is_own_endpoint(name):
            context = connection.context = self._contexts.get(name) or self._make_context(name)
        self._trust_registered(context)

    def _make_context(self, name: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.set_alpn_protocols(list(ALPN))
        context.load_verify_locations(cadata=certificate_pem(self._authority.certificate))
        load_pair(context, *issue_server_certificate(self._authority, name))
        self._contexts[name], self._trusted[context] = context, set()
        return context

    def _trust_registered(self, context: ssl.SSLContext) -> None:
        """Trust the registered certificates of other CAs, from the first time they are seen."""
        trusted = self._trusted[context]
        for certificate_id, pem in _registered():
            if certificate_id not in trusted:
                trusted.add(certificate_id)
                if x509.load_pem_x509_certificate(pem.encode()).issuer != self._authority.certificate.subject:
                    context.load_verify_locations(cadata=pem)


def issue_server_certificate(authority: Authority, *names: str) -> tuple[str, str]:
    """A certificate chain and its key, both PEM, for ``names``, localhost and 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(timezone.utc)
    names = tuple(dict.fromkeys([*names, "localhost"]))
    issuer_key = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=2))
        .not_valid_after(now + timedelta(days=LIFETIME_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([*map(x509.DNSName, names), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate_pem(certificate), private.decode()


def load_pair(context: ssl.SSLContext, chain: str, key: str) -> None:
    """Load a certificate chain and its key, both PEM, from temporary files: ``ssl`` accepts files only."""
    with tempfile.TemporaryDirectory() as directory:
        chain_path, key_path = Path(directory) / "chain.pem", Path(directory) / "key.pem"
        chain_path.write_text(chain, encoding="ascii")
        key_path.touch(mode=0o600)
        key_path.write_text(key, encoding="ascii")
        context.load_cert_chain(chain_path, key_path)


def is_own_endpoint(name: str) -> bool:
    """Whether this host name is the endpoint of an account in the sandbox."""
    found = _ENDPOINT.fullmatch(name)
    return found is not None and any(
        name == endpoint_address(account_id, found.group(1), kind)
        for account_id in list(iot_backends)
        for kind in _KINDS
    )


def find_caller(certificate_der: bytes, server_name: str | None = None) -> Caller | None:
    """The client with this certificate, by the account and region where it is registered; None when it is not.

    A certificate that is registered in several places belongs to the endpoint that the client asked for.
    """
    certificate_id = hashlib.sha256(certificate_der).hexdigest()
    places = [
        (account_id, region)
        for account_id, backends in list(iot_backends.items())
        for region, backend in list(backends.items())
        if certificate_id in backend.certificates
    ]
    if not places:
        return None
    asked = [place for place in places for kind in _KINDS if endpoint_address(*place, kind) == server_name]
    account_id, region = (asked or places)[0]
    facts = certificate_facts(x509.load_der_x509_certificate(certificate_der))
    return replace(Caller(account_id, region, certificate_id), facts=facts)


def _registered() -> Iterator[tuple[str, str]]:
    """Id and PEM of every certificate in every account and region."""
    for backends in list(iot_backends.values()):
        for backend in list(backends.values()):
            for certificate_id, certificate in list(backend.certificates.items()):
                yield certificate_id, certificate.certificate_pem
