"""What is to be said of a signature, of the key that proves it, and of the certificate that key may stand in.

The proof itself is made in ``ota/firmware/signatures.py``; here its outcomes become findings, with the command that
mends each.

Source: ``ota/profiles.py`` for what each firmware parses; RFC 5280 section 4.1.2.5 for a certificate's validity.


The commands that mend what ``verify`` finds, ready to paste.

Each begins as the command line did that found the mistake (``invoke sandbox with --thing-name lamp-2``), so that it
works on the same settings.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.x509 import Certificate, load_pem_x509_certificate

from ota.command_lines import AND
from ota.errors import SignatureError
from ota.findings import Finding, fatal, ok, warning
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
from ota.firmware.tree import version_place
from ota.image_files import ImageFile
from ota.profiles import MODEL_FILE_NAME, PROFILES, Padding
from ota.settings.table import SETTINGS

if TYPE_CHECKING:
    from ota.firmware.image_versions import ImageVersion
    from ota.settings.settings import Settings


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
    return mending.with_settings({KEY_SETTING.name: str(own_path)})


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


KEY_SETTING = SETTINGS["code_signing_public_key"]
PRIVATE_KEY_NAME = "private_key.pem"
NEW_PRIVATE_KEY, NEW_PUBLIC_KEY, NEW_CERTIFICATE = "p256_private_key.pem", "p256_public_key.pem", "p256_certificate.pem"
CERTIFICATE_DAYS = 3650


@dataclass(frozen=True)
class Mending:
    """Commands for these settings.

    Attributes:
        settings: what is verified.
    """

    settings: Settings

    @property
    def own_key_path(self) -> Path:
        """Where the build keeps the public key that it signs for."""
        return self.settings.firmware_root / KEY_SETTING.default

    @property
    def private_key_path(self) -> Path:
        """Where the private key of the public one is, if it is on this machine."""
        return self.settings.code_signing_public_key.with_name(PRIVATE_KEY_NAME)

    def build(self) -> str:
        """Build what is missing."""
        if self.settings.skip_build:
            return self.with_settings({"skip_build": "false"}, "build")
        return "invoke build"

    def rebuild(self) -> str:
        """Build and sign from clean."""
        values = {"skip_build": "false"} if self.settings.skip_build else {}
        return self.with_settings({**values, "clean_build": "true"}, "build")

    def rebuild_with_own_key(self) -> str:
        """The same, proven with the key that the build signs with."""
        values = {"skip_build": "false"} if self.settings.skip_build else {}
        key = {KEY_SETTING.name: str(self.own_key_path)}
        return self.with_settings({**values, "clean_build": "true", **key}, "build verify")

    def with_settings(self, values: dict[str, str], task: str = "verify") -> str:
        """The same with other settings; lasting once they are written into config.json."""
        flags = " ".join(f"{SETTINGS[name].flag} {_word(value)}" for name, value in values.items())
        return f"invoke with {flags} {task}"

    def sign(self) -> str:
        """Sign the image anew as the firmware wants it; build it where the private key is not beside the public one."""
        settings = self.settings
        if not self._has_private_key:
            return self.rebuild()
        is_pss = settings.signature_algorithm == "RSA" and settings.profile.rsa_padding is Padding.PSS
        return self._sign_with(self.private_key_path, "-sigopt rsa_padding_mode:pss " if is_pss else "")

    def sign_with_new_key(self, values: Mapping[str, str] | None = None) -> str:
        """Make a signing key on P-256 beside the present one, sign with it, and verify with these settings too.

        For firmware that opens a certificate its public half becomes one.
        """
        settings, key_path = self.settings, self.settings.code_signing_public_key
        private = key_path.with_name(NEW_PRIVATE_KEY)
        if settings.profile.is_certificate_opened:
            public = key_path.with_name(NEW_CERTIFICATE)
            publish = self._certify_with(private, public)
        else:
            public = key_path.with_name(NEW_PUBLIC_KEY)
            publish = _publish(private, public)
        make = f"openssl ecparam -name prime256v1 -genkey -noout -out {_word(private)}"
        verify = self.with_settings({**(values or {}), KEY_SETTING.name: str(public)})
        return AND.join([make, publish, self._sign_with(private), verify])

    def publish_key(self) -> str:
        """Write the public half of the private key that is there."""
        return _publish(self.private_key_path, self.settings.code_signing_public_key)

    def encode(self) -> str:
        """Write a signature's raw bytes as the text that a job document carries."""
        path = _word(self.settings.signature_path)
        return f"openssl base64 -A -in {path} -out {path}.txt && mv {path}.txt {path}"

    def renew_certificate(self) -> str:
        """Make a new certificate for the same key, in place of the old; nothing where the private key is not here."""
        path = self.settings.code_signing_public_key
        return self._certify_with(self.private_key_path, path) if self._has_private_key else ""

    def certify(self) -> str:
        """Make a certificate for the key beside it, and verify with that; nothing where the private key is not here."""
        path = self.settings.code_signing_public_key.with_suffix(".crt")
        verify = self.with_settings({KEY_SETTING.name: str(path)})
        if is_key_pair(self.private_key_path, path):
            return verify
        if not self._has_private_key:
            return ""
        aside = [f"mv {_word(path)} {_word(path)}.old"] if path.exists() else []
        return AND.join([*aside, self._certify_with(self.private_key_path, path), verify])

    def raise_version(self, version: ImageVersion) -> str:
        """Write a higher version where the build takes it from, and build."""
        settings = self.settings
        is_model = settings.image_file_name == MODEL_FILE_NAME
        place = version_place(settings.firmware_root, settings.target_application, is_model=is_model)
        if place is None:
            return self.build()
        # A suffix right behind -i is the one form that GNU's sed and BSD's share.
        script = rf's/\(set({place.variable}  *"\)[^"]*/\1{version}/'
        return f"sed -i.bak {shlex.quote(script)} {_word(place.path)} && {self.build()}"

    def values_for(self, *, is_rsa: bool) -> dict[str, str]:
        """Settings for firmware that parses signatures by such a key; where it takes both, the key's kind alone."""
        wanted = "RSA" if is_rsa else "ECDSA"
        if wanted in self.settings.profile.signature_algorithms:
            return {"signature_algorithm": wanted}
        other = next(profile for profile in PROFILES if wanted in profile.signature_algorithms)
        values = {"firmware_profile": other.name, "signature_algorithm": wanted}
        if other.image_file_names and self.settings.image_file_name not in other.image_file_names:
            values["image_file_name"] = other.default_file_name
        if not set(self.settings.protocols) <= set(other.protocols):
            values["protocols"] = ",".join(other.protocols)
        return values

    def make_readable(self, path: Path) -> str:
        """Give the owner back the right to read."""
        return f"chmod u+r {_word(path)}"

    @property
    def _has_private_key(self) -> bool:
        return is_key_pair(self.private_key_path, self.settings.code_signing_public_key)

    def _sign_with(self, key_path: Path, options: str = "") -> str:
        image, signature = _word(self.settings.image_path), _word(self.settings.signature_path)
        sign = f"openssl dgst -sha256 -sign {_word(key_path)} {options}{image}"
        return f"{sign} | openssl base64 -A -out {signature}"

    def _certify_with(self, key_path: Path, path: Path) -> str:
        subject = _word(f"/CN={self.settings.thing_name} updates")
        return (
            f"openssl req -x509 -new -key {_word(key_path)} -sha256 -days {CERTIFICATE_DAYS} "
            f"-subj {subject} -out {_word(path)}"
        )


def _publish(private_key_path: Path, path: Path) -> str:
    return f"openssl pkey -in {_word(private_key_path)} -pubout -out {_word(path)}"


def _word(value: str | Path) -> str:
    return shlex.quote(str(value))
