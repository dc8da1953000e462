"""The commands that fix what ``verify`` finds, ready to paste.

Each is data, so that it is shown for the command line that found the mistake and works on the same settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ota.firmware.image_versions import ImageVersion
from ota.firmware.signatures import is_key_pair
from ota.firmware.tree import users_root, version_place
from ota.messages import Command, Remedy, Shell, command, shell
from ota.profiles import MODEL_FILE_NAME, PROFILES, Padding
from ota.settings.settings import Settings
from ota.settings.table import SETTINGS

KEY_SETTING = "code_signing_public_key"
PRIVATE_KEY_NAME = "private_key.pem"
NEW_PRIVATE_KEY, NEW_PUBLIC_KEY, NEW_CERTIFICATE = "p256_private_key.pem", "p256_public_key.pem", "p256_certificate.pem"
CERTIFICATE_DAYS = 3650
PSS_OPTIONS = ("-sigopt", "rsa_padding_mode:pss")


def own_key_path(settings: Settings) -> Path:
    """The file where the firmware's build keeps the public key that it signs for."""
    return settings.firmware_root / SETTINGS[KEY_SETTING].default


def private_key_path(settings: Settings) -> Path:
    """The private key of the public one, if it is on this computer."""
    return settings.code_signing_public_key.with_name(PRIVATE_KEY_NAME)


def build(settings: Settings, **values: str) -> Command:
    """Build the image, with these settings too."""
    return command("build", **({"skip_build": "false"} if settings.skip_build else {}), **values)


def rebuild(settings: Settings, **values: str) -> Command:
    """Build and sign from clean, with these settings too."""
    return build(settings, clean_build="true", **values)


def rebuild_with_own_key(settings: Settings) -> Command:
    """Build from clean, and verify with the public key that the build signs for."""
    return rebuild(settings, **use_own_key(settings)).then("verify")


def use_own_key(settings: Settings) -> dict[str, str]:
    """The setting that names the public key that the build signs for."""
    return {KEY_SETTING: str(own_key_path(settings))}


def sign(settings: Settings) -> Remedy:
    """Sign the image as the firmware requires; build it where the private key is not beside the public one."""
    if not _has_private_key(settings):
        return (rebuild(settings),)
    is_pss = settings.signature_algorithm == "RSA" and settings.profile.rsa_padding is Padding.PSS
    return (_sign_with(settings, private_key_path(settings), *(PSS_OPTIONS if is_pss else ())),)


def sign_with_new_key(settings: Settings, values: Mapping[str, str]) -> Remedy:
    """Make a signing key on P-256 beside the present one, sign with it, and verify with these settings too.

    For firmware that opens a certificate, its public half is put into one.
    """
    key_path = settings.code_signing_public_key
    private = key_path.with_name(NEW_PRIVATE_KEY)
    if settings.profile.is_certificate_opened:
        public = key_path.with_name(NEW_CERTIFICATE)
        publish = _certify_with(settings, private, public)
    else:
        public = key_path.with_name(NEW_PUBLIC_KEY)
        publish = _publish(private, public)
    make = shell("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", private)
    verify = command("verify", **{**values, KEY_SETTING: str(public)})
    return make, publish, _sign_with(settings, private), verify


def publish_key(settings: Settings) -> Shell:
    """Write the public half of the private key."""
    return _publish(private_key_path(settings), settings.code_signing_public_key)


def encode(path: Path) -> Remedy:
    """Write a signature's raw bytes as the text that a job document carries."""
    text_path = path.with_name(f"{path.name}.txt")
    return shell("openssl", "base64", "-A", "-in", path, "-out", text_path), shell("mv", text_path, path)


def renew_certificate(settings: Settings) -> Remedy:
    """Make a new certificate for the same key, in place of the old; empty where the private key is not here."""
    path = settings.code_signing_public_key
    return (_certify_with(settings, private_key_path(settings), path),) if _has_private_key(settings) else ()


def certify(settings: Settings) -> Remedy:
    """Make a certificate for the key beside it, and verify with that; empty where the private key is not here."""
    path, private = settings.code_signing_public_key.with_suffix(".crt"), private_key_path(settings)
    verify = command("verify", **{KEY_SETTING: str(path)})
    if is_key_pair(private, path):
        return (verify,)
    if not _has_private_key(settings):
        return ()
    aside = [shell("mv", path, f"{path}.old")] if path.exists() else []
    return *aside, _certify_with(settings, private, path), verify


def raise_version(settings: Settings, version: ImageVersion) -> Remedy:
    """Write a higher version where the build reads it, and build."""
    is_model = settings.image_file_name == MODEL_FILE_NAME
    place = version_place(users_root(settings), settings.target_application, is_model=is_model)
    if place is None:
        return (build(settings),)
    # A suffix directly after -i is the only form that both GNU's and BSD's sed accept.
    script = rf's/\(set({place.variable}  *"\)[^"]*/\1{version}/'
    return shell("sed", "-i.bak", script, place.path), build(settings)


def values_for_key(settings: Settings, *, is_rsa: bool) -> dict[str, str]:
    """Settings for firmware that parses signatures by such a key; where it parses both kinds, the key's kind alone."""
    wanted = "RSA" if is_rsa else "ECDSA"
    if wanted in settings.profile.signature_algorithms:
        return {"signature_algorithm": wanted}
    other = next(profile for profile in PROFILES if wanted in profile.signature_algorithms)
    values = {"firmware_profile": other.name, "signature_algorithm": wanted}
    if other.image_file_names and settings.image_file_name not in other.image_file_names:
        values["image_file_name"] = other.default_file_name
    if not set(settings.protocols) <= set(other.protocols):
        values["protocols"] = ",".join(other.protocols)
    return values


def make_readable(path: Path) -> Shell:
    """Let the owner read the file again."""
    return shell("chmod", "u+r", path)


def _has_private_key(settings: Settings) -> bool:
    return is_key_pair(private_key_path(settings), settings.code_signing_public_key)


def _sign_with(settings: Settings, key_path: Path, *options: str) -> Shell:
    sign_ = shell("openssl", "dgst", "-sha256", "-sign", key_path, *options, settings.image_path)
    encode_ = shell("openssl", "base64", "-A", "-out", settings.signature_path)
    return Shell(f"{sign_.line} | {encode_.line}")


def _certify_with(settings: Settings, key_path: Path, path: Path) -> Shell:
    request = ("openssl", "req", "-x509", "-new", "-key", key_path, "-sha256", "-days", CERTIFICATE_DAYS)
    return shell(*request, "-subj", f"/CN={settings.thing_name} updates", "-out", path)


def _publish(private_path: Path, path: Path) -> Shell:
    return shell("openssl", "pkey", "-in", private_path, "-pubout", "-out", path)
