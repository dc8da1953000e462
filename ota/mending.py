"""The commands that mend what ``verify`` finds, ready to paste.

Each begins as the command line did that found the mistake (``invoke sandbox with --thing-name lamp-2``), so that it
works on the same settings.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ota.fields import FIELD_BY_NAME
from ota.firmware import version_place
from ota.profiles import MODEL_FILE_NAME, PROFILES, Padding

if TYPE_CHECKING:
    from ota.image_versions import ImageVersion
    from ota.settings import Settings

PRIVATE_KEY_NAME = "private_key.pem"
UNKNOWN_PRIVATE_KEY = "PRIVATE_KEY.pem"
NEW_KEY_NAMES = ("p256_private_key.pem", "p256_public_key.pem")
CERTIFICATE_DAYS = 3650


@dataclass(frozen=True)
class Mending:
    """Commands for these settings.

    Attributes:
        settings: what is verified.
    """

    settings: Settings

    def build(self) -> str:
        """Build what is missing."""
        if self.settings.skip_build:
            return self.with_settings({"skip_build": "false"}, "build")
        return "invoke build"

    def rebuild(self) -> str:
        """Build and sign from clean."""
        values = {"skip_build": "false"} if self.settings.skip_build else {}
        return self.with_settings({**values, "clean_build": "true"}, "build")

    def with_settings(self, values: dict[str, str], task: str = "verify") -> str:
        """The same with other settings; lasting once they are written into config.json."""
        flags = " ".join(f"{FIELD_BY_NAME[name].flag} {_word(value)}" for name, value in values.items())
        return f"invoke with {flags} {task}"

    def sign(self) -> str:
        """Sign the image anew as the firmware wants it, with the private key beside the public one."""
        settings = self.settings
        is_pss = settings.signature_algorithm == "RSA" and settings.profile.rsa_padding is Padding.PSS
        options = "-sigopt rsa_padding_mode:pss " if is_pss else ""
        return (
            f"openssl dgst -sha256 -sign {self._private_key()} {options}{_word(settings.image_path)} "
            f"| openssl base64 -A -out {_word(settings.signature_path)}"
        )

    def sign_with_new_key(self) -> str:
        """Make a signing key on P-256 beside the present one, and sign with it."""
        settings, key_path = self.settings, self.settings.code_signing_public_key
        private, public = (_word(key_path.with_name(name)) for name in NEW_KEY_NAMES)
        return (
            f"openssl ecparam -name prime256v1 -genkey -noout -out {private} && "
            f"openssl pkey -in {private} -pubout -out {public} && "
            f"openssl dgst -sha256 -sign {private} {_word(settings.image_path)} "
            f"| openssl base64 -A -out {_word(settings.signature_path)} && "
            f"{self.with_settings({'code_signing_public_key': str(key_path.with_name(NEW_KEY_NAMES[1]))})}"
        )

    def encode(self) -> str:
        """Write a signature's raw bytes as the text that a job document carries."""
        path = _word(self.settings.signature_path)
        return f"openssl base64 -A -in {path} -out {path}.txt && mv {path}.txt {path}"

    def certify(self) -> str:
        """Make a new certificate for the same key."""
        settings = self.settings
        return (
            f"openssl req -x509 -new -key {self._private_key()} -sha256 -days {CERTIFICATE_DAYS} "
            f"-subj {_word(f'/CN={settings.thing_name} updates')} -out {_word(settings.code_signing_public_key)}"
        )

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

    def use_profile(self, *, is_rsa: bool) -> str:
        """Name a firmware that parses signatures by such a key; for firmware that takes both, the key's kind."""
        wanted = "RSA" if is_rsa else "ECDSA"
        if wanted in self.settings.profile.signature_algorithms:
            return self.with_settings({"signature_algorithm": wanted})
        other = next(profile for profile in PROFILES if wanted in profile.signature_algorithms)
        values = {"firmware_profile": other.name, "signature_algorithm": wanted}
        if other.image_file_names and self.settings.image_file_name not in other.image_file_names:
            values["image_file_name"] = other.default_file_name
        return self.with_settings(values)

    def make_readable(self, path: Path) -> str:
        """Give the owner back the right to read."""
        return f"chmod u+r {_word(path)}"

    def _private_key(self) -> str:
        path = self.settings.code_signing_public_key.with_name(PRIVATE_KEY_NAME)
        return _word(path) if path.is_file() else UNKNOWN_PRIVATE_KEY


def _word(value: str | Path) -> str:
    return shlex.quote(str(value))
