"""What is to be said of a signature, of the key that proves it, and of the certificate that key may stand in.

The proof itself is made in ``ota/signatures.py``; here its outcomes become findings, with the command that mends each.

Source: ``ota/profiles.py`` for what each firmware parses; RFC 5280 section 4.1.2.5 for a certificate's validity.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.x509 import Certificate, load_pem_x509_certificate

from ota.command_lines import AND
from ota.errors import SignatureError
from ota.findings import Finding, fatal, ok, warning
from ota.image_files import ImageFile
from ota.mending import KEY_FIELD, PRIVATE_KEY_NAME, Mending
from ota.profiles import Padding
from ota.signature_files import SignatureFile, decode_signature, holds_raw_bytes, read_signature, signature_text
from ota.signatures import Proof, WrongCurve, WrongKeyKind, WrongSigning, is_key_pair, is_rsa_key, verify_signature

if TYPE_CHECKING:
    from ota.settings import Settings

EXPIRES_SOON = timedelta(days=30)


def find_signature(
    settings: Settings, mending: Mending, given: SignatureFile | None = None
) -> tuple[SignatureFile | None, Finding]:
    """The signature, ``given`` or read here, and what is to be said of its form; None where it cannot be sent."""
    path, profile = settings.signature_path, settings.profile
    if given is None and not path.exists():
        return None, fatal("signature", f"there is no signature {path}", mending.build())
    try:
        file = given or read_signature(path)
    except SignatureError as error:
        return None, fatal("signature", str(error), mending.rebuild())
    try:
        length_bytes = len(decode_signature(signature_text(file)))
    except SignatureError as error:
        mend = mending.encode() if holds_raw_bytes(file) else mending.rebuild()
        return None, fatal("signature", str(error), mend)
    if profile.signature_bytes and length_bytes > profile.signature_bytes:
        reason = f"{profile.firmware} keeps {profile.signature_bytes}, as of RSA-3072"
        said = f"{path.name} stands for {length_bytes} bytes, and {reason}; sign with a smaller key"
        return None, fatal("signature", said, mending.rebuild())
    return file, ok("signature", f"{path.name} is base64 text of {length_bytes} bytes")


def key_findings(settings: Settings, mending: Mending, now: datetime) -> Iterator[Finding]:
    """What is to be said of the key file by itself; nothing where it is a bare key that does for this firmware."""
    path = settings.code_signing_public_key
    if not path.is_file():
        return
    certificate = _certificate(path)
    if certificate is not None:
        yield _validity(certificate, settings, mending, now)
    elif settings.profile.is_certificate_opened:
        said = (
            f"{settings.profile.firmware} verifies with the certificate {settings.certificate_file_on_device}, and "
            f"{path.name} is none, so that its dates are not proven"
        )
        mend = mending.certify()
        how = "" if mend else "; name a copy of that certificate in code_signing_public_key"
        yield warning("certificate", f"{said}{how}", mend)


def proof_findings(
    settings: Settings, mending: Mending, image: ImageFile, signature: SignatureFile
) -> Iterator[Finding]:
    """Whether the signature is this image's, by this key."""
    path = settings.code_signing_public_key
    if not (path.is_file() or settings.is_chosen("code_signing_public_key")):
        yield from _unproven(settings, mending, image, signature)
        return
    text = signature_text(signature)
    try:
        proof = _prove(settings, image, text, path)
    except WrongKeyKind as error:
        keys = " and ".join(settings.profile.signature_keys)
        said = f"{error}; {settings.profile.firmware} parses {keys}: name the firmware that is on the device"
        yield fatal("proof", said, _mend_kind(settings, mending, image, text))
    except WrongCurve as error:
        yield fatal("proof", str(error), mending.sign_with_new_key())
    except WrongSigning as error:
        yield fatal("proof", str(error), mending.sign())
    except SignatureError as error:
        yield fatal("proof", str(error), _mend_proof(settings, mending, image, text))
    else:
        yield ok("proof", f"the signature is {image.path.name}'s by {path.name} ({proof})")


def _prove(settings: Settings, image: ImageFile, text: str, key_path: Path) -> Proof:
    return verify_signature(
        image,
        text,
        key_path,
        signature_algorithm=settings.signature_algorithm,
        hash_algorithm=settings.hash_algorithm,
        rsa_padding=settings.profile.rsa_padding or Padding.PSS,
    )


def _mend_kind(settings: Settings, mending: Mending, image: ImageFile, text: str) -> str:
    """Settings of firmware that parses such a signature; signed anew first where that firmware wants it otherwise."""
    path = settings.code_signing_public_key
    values = mending.values_for(is_rsa=is_rsa_key(path))
    use = mending.with_settings(values)
    changed = settings.with_values(values)
    try:
        _prove(changed, image, text, path)
    except WrongCurve:
        return Mending(changed).sign_with_new_key(values)
    except WrongSigning:
        return AND.join([Mending(changed).sign(), use])
    except SignatureError:
        return mending.rebuild_with_own_key()
    return use


def _mend_proof(settings: Settings, mending: Mending, image: ImageFile, text: str) -> str:
    """The build's own key where that is the one that signed, else a build that signs anew."""
    path, own_path = settings.code_signing_public_key, mending.own_key_path
    if own_path == path:
        return mending.rebuild()
    try:
        _prove(settings, image, text, own_path)
    except SignatureError:
        is_same = is_key_pair(own_path.with_name(PRIVATE_KEY_NAME), path)
        return mending.rebuild() if is_same else mending.rebuild_with_own_key()
    return mending.with_settings({KEY_FIELD.name: str(own_path)})


def _unproven(settings: Settings, mending: Mending, image: ImageFile, signature: SignatureFile) -> Iterator[Finding]:
    """Without a public key there are only the files' times to go by."""
    path = settings.code_signing_public_key
    if signature.modified_ns < image.modified_ns:
        said = f"{signature.path.name} is older than the image and cannot be proven without a public key"
        yield warning("proof", said, mending.rebuild())
        return
    said = f"the signature is not proven, for there is no public key at {path}; name it in code_signing_public_key"
    mend = mending.publish_key() if mending.private_key_path.is_file() else mending.rebuild()
    yield warning("proof", said, mend)


def _certificate(path: Path) -> Certificate | None:
    """The certificate in the file; None where it holds something else, of which the proof will speak."""
    try:
        return load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return None


def _validity(certificate: Certificate, settings: Settings, mending: Mending, now: datetime) -> Finding:
    name = settings.code_signing_public_key.name
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    mend = mending.renew_certificate()
    renew = "" if mend else "; make a new one for the same key, where its private key is"
    kind = fatal if settings.profile.is_certificate_opened else warning
    if now > last:
        return kind("certificate", f"the signing certificate {name} expired on {last:%Y-%m-%d}{renew}", mend)
    if now < first:
        said = f"the signing certificate {name} is not valid before {first:%Y-%m-%d}{renew}"
        return kind("certificate", said, mend)
    if last - now < EXPIRES_SOON:
        said = f"the signing certificate {name} expires on {last:%Y-%m-%d}, maybe before a device has the update{renew}"
        return warning("certificate", said, mend)
    return ok("certificate", f"{name} is valid until {last:%Y-%m-%d}")
