"""The commands that mend what ``verify`` finds, ready to paste.

Each begins as the command line did that found the mistake (``invoke sandbox with --thing-name lamp-2``), so that it
works on the same settings.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ota.command_lines import AND
from ota.fields import FIELD_BY_NAME
from ota.firmware import version_place
from ota.profiles import MODEL_FILE_NAME, PROFILES, Padding
from ota.signatures import is_key_pair

if TYPE_CHECKING:
    from ota.image_versions import ImageVersion
    from ota.settings import Settings

KEY_FIELD = FIELD_BY_NAME["code_signing_public_key"]
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
        return self.settings.firmware_root / KEY_FIELD.default

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
        key = {KEY_FIELD.name: str(self.own_key_path)}
        return self.with_settings({**values, "clean_build": "true", **key}, "build verify")

    def with_settings(self, values: dict[str, str], task: str = "verify") -> str:
        """The same with other settings; lasting once they are written into config.json."""
        flags = " ".join(f"{FIELD_BY_NAME[name].flag} {_word(value)}" for name, value in values.items())
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
        verify = self.with_settings({**(values or {}), KEY_FIELD.name: str(public)})
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
        verify = self.with_settings({KEY_FIELD.name: str(path)})
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
