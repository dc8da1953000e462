"""Findings on a signature, on the key that proves it, and on the certificate that the key may be in.

``signatures.py`` makes the proof; here its result becomes a finding with the command that fixes it.

Source: ``ota/profiles.py`` for what each firmware parses; RFC 5280 section 4.1.2.5 for a certificate's validity.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.x509 import Certificate, load_pem_x509_certificate

from ota.errors import SignatureError
from ota.firmware import remedies
from ota.firmware.signatures import (
    Proof,
    SignatureFile,
    WrongCurve,
    WrongKeyKind,
    WrongSigning,
    decode_signature,
    holds_raw_bytes,
    is_key_pair,
    is_rsa_key,
    read_signature,
    signature_text,
    verify_signature,
)
from ota.images import ImageFile
from ota.messages import AnyCommand, Remedy, command, message
from ota.outcomes import Finding, fatal, ok, warning
from ota.profiles import Padding

if TYPE_CHECKING:
    from ota.settings.settings import Settings


EXPIRES_SOON = timedelta(days=30)


def find_signature(settings: Settings, given: SignatureFile | None = None) -> tuple[SignatureFile | None, Finding]:
    """The signature, ``given`` or read here, and a finding on its form; None where it cannot be sent."""
    path, profile = settings.signature_path, settings.profile
    if given is None and not path.exists():
        return None, fatal("signature", f"there is no signature {path}", remedies.build(settings))
    try:
        file = given or read_signature(path)
    except SignatureError as error:
        return None, fatal("signature", error.message, remedies.rebuild(settings))
    try:
        length_bytes = len(decode_signature(signature_text(file)))
    except SignatureError as error:
        remedy = remedies.encode(path) if holds_raw_bytes(file) else remedies.rebuild(settings)
        return None, fatal("signature", error.message, remedy)
    if profile.signature_bytes and length_bytes > profile.signature_bytes:
        reason = f"{profile.firmware} keeps {profile.signature_bytes}, as of RSA-3072"
        said = f"{path.name} stands for {length_bytes} bytes, and {reason}; sign with a smaller key"
        return None, fatal("signature", said, remedies.rebuild(settings))
    return file, ok("signature", f"{path.name} is base64 text of {length_bytes} bytes")


def key_findings(settings: Settings, now: datetime) -> Iterator[Finding]:
    """Findings on the key file itself; none where it is a bare key and this firmware needs no certificate."""
    path = settings.code_signing_public_key
    if not path.is_file():
        return
    certificate = _certificate(path)
    if certificate is not None:
        yield _validity(certificate, settings, now)
    elif settings.profile.is_certificate_opened:
        said = (
            f"{settings.profile.firmware} verifies with the certificate {settings.certificate_file_on_device}, and "
            f"{path.name} is none, so that its dates are not proven"
        )
        remedy = remedies.certify(settings)
        how = "" if remedy else "; name a copy of that certificate in code_signing_public_key"
        yield warning("certificate", f"{said}{how}", remedy)


def proof_findings(settings: Settings, image: ImageFile, signature: SignatureFile) -> Iterator[Finding]:
    """Whether the signature is this image's, by this key."""
    path = settings.code_signing_public_key
    if not (path.is_file() or settings.is_chosen("code_signing_public_key")):
        yield from _unproven(settings, image, signature)
        return
    text = signature_text(signature)
    try:
        proof = _prove(settings, image, text, path)
    except WrongKeyKind as error:
        keys = " and ".join(settings.profile.signature_keys)
        firmware = settings.profile.firmware
        said = message(error.message, f"; {firmware} parses {keys}: set firmware_profile to the device's firmware")
        yield fatal("proof", said, _kind_remedy(settings, image, text))
    except WrongCurve as error:
        yield fatal("proof", error.message, remedies.sign_with_new_key(settings, {}))
    except WrongSigning as error:
        yield fatal("proof", error.message, remedies.sign(settings))
    except SignatureError as error:
        yield fatal("proof", error.message, _proof_remedy(settings, image, text))
    else:
        yield ok("proof", f"the signature is {image.path.name}'s by {path.name} ({proof})")


def _prove(settings: Settings, image: ImageFile, text: str, key_path: Path) -> Proof:
    return verify_signature(
        image,
        text,
        key_path,
        signature_algorithm=settings.signature_algorithm,
        rsa_padding=settings.profile.rsa_padding or Padding.PSS,
        curves=settings.profile.curves,
    )


def _kind_remedy(settings: Settings, image: ImageFile, text: str) -> AnyCommand | Remedy:
    """Verify with settings of firmware that parses such a signature; sign again first where it requires that."""
    path = settings.code_signing_public_key
    values = remedies.values_for_key(settings, is_rsa=is_rsa_key(path))
    use = command("verify", **values)
    changed = settings.with_values(values)
    try:
        _prove(changed, image, text, path)
    except WrongCurve:
        return remedies.sign_with_new_key(changed, values)
    except WrongSigning:
        return *remedies.sign(changed), use
    except SignatureError:
        return remedies.rebuild_with_own_key(settings)
    return use


def _proof_remedy(settings: Settings, image: ImageFile, text: str) -> AnyCommand | Remedy:
    """Verify with the build's own key where that key signed, else build and sign again."""
    path, own_path = settings.code_signing_public_key, remedies.own_key_path(settings)
    if own_path == path:
        return remedies.rebuild(settings)
    try:
        _prove(settings, image, text, own_path)
    except SignatureError:
        is_same = is_key_pair(own_path.with_name(remedies.PRIVATE_KEY_NAME), path)
        return remedies.rebuild(settings) if is_same else remedies.rebuild_with_own_key(settings)
    return command("verify", **remedies.use_own_key(settings))


def _unproven(settings: Settings, image: ImageFile, signature: SignatureFile) -> Iterator[Finding]:
    """Without a public key, a finding from the files' times alone."""
    path = settings.code_signing_public_key
    if signature.modified_ns < image.modified_ns:
        said = f"{signature.path.name} is older than the image and cannot be proven without a public key"
        yield warning("proof", said, remedies.rebuild(settings))
        return
    said = f"the signature is not proven, for there is no public key at {path}; name it in code_signing_public_key"
    has_private_key = remedies.private_key_path(settings).is_file()
    remedy = remedies.publish_key(settings) if has_private_key else remedies.rebuild(settings)
    yield warning("proof", said, remedy)


def _certificate(path: Path) -> Certificate | None:
    """The certificate in the file; None where it holds something else, on which the proof has a finding."""
    try:
        return load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return None


def _validity(certificate: Certificate, settings: Settings, now: datetime) -> Finding:
    name = settings.code_signing_public_key.name
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    remedy = remedies.renew_certificate(settings)
    renew = "" if remedy else "; make a new one for the same key, where its private key is"
    kind = fatal if settings.profile.is_certificate_opened else warning
    if now > last:
        return kind("certificate", f"the signing certificate {name} expired on {last:%Y-%m-%d}{renew}", remedy)
    if now < first:
        said = f"the signing certificate {name} is not valid before {first:%Y-%m-%d}{renew}"
        return kind("certificate", said, remedy)
    if last - now < EXPIRES_SOON:
        said = f"the signing certificate {name} expires on {last:%Y-%m-%d}, maybe before a device has the update{renew}"
        return warning("certificate", said, remedy)
    return ok("certificate", f"{name} is valid until {last:%Y-%m-%d}")
