"""The doctor's checks of files on this computer: the device's, the image and its signature.

Source: ``ota/firmware/verify.py`` for image and signature.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from ota.certificates.files import find_certificate_file
from ota.certificates.keys import folder_open_to_others, is_readable_by_others
from ota.firmware.verify import verify
from ota.messages import command, shell
from ota.outcomes import Finding, Severity, fatal, of_severity, ok, warning
from ota.platforms import INSTALL_WSL, lacking

if TYPE_CHECKING:
    from ota.settings.settings import Settings

CERTIFICATE_ENDS_SOON = timedelta(days=30)
EXAMPLE_APPLICATION = "keyword-detection"


def check_platform() -> Iterator[Finding]:
    """What does not work on this computer's system."""
    for sentence in lacking():
        yield warning("system", sentence, INSTALL_WSL)


def check_certificate_files(settings: Settings, now: datetime) -> Iterator[Finding]:
    """Whether the certificate is valid for some time, and nobody else can read or replace the private key."""
    local = find_certificate_file(settings.certificate_path)
    if local is None:
        yield ok("files", f"no certificate at {settings.certificate_path} yet")
    else:
        yield _end_of(settings.certificate_path, _not_after(local.pem), now)
    key_path = settings.private_key_path
    if key_path.is_file() and is_readable_by_others(key_path):
        yield warning("files", f"others can read the private key {key_path}", shell("chmod", "600", key_path))
    if folder := folder_open_to_others(key_path):
        said = f"others can replace the files in {folder}, which leads to the private key"
        yield warning("files", said, shell("chmod", "go-w", folder))


def check_image(settings: Settings, now: datetime) -> Iterator[Finding]:
    """The findings of ``verify``; where a build comes first, a mistake that the build fixes is a warning."""
    if not settings.names_image:
        yield _no_image_name(settings)
        return
    if not settings.image_path.is_file() and not settings.skip_build:
        yield ok("image", "none yet: the build makes it")
        return
    findings = verify(settings, now=now)
    mistakes = of_severity(findings, Severity.FATAL)
    for finding in mistakes:
        is_fixed = not settings.skip_build and finding.is_fixed_by("build")
        yield warning(finding.subject, finding.text, finding.command) if is_fixed else finding
    yield from of_severity(findings, Severity.WARNING)
    if not mistakes:
        yield ok("image", f"{settings.image_path.name} and its signature belong together")


def _no_image_name(settings: Settings) -> Finding:
    if settings.has_own_build:
        return fatal(
            "image", "ota_binary, the image of the update, is not named", command("all", ota_binary="NAME.bin")
        )
    remedy = command("all", target_application=EXAMPLE_APPLICATION)
    return fatal("image", "target_application is not set, and no image is named", remedy)


def _end_of(path: Path, not_after: datetime, now: datetime) -> Finding:
    renew = shell("mv", path, f"{path}.old")
    text = f"{path.name} ends on {not_after:%Y-%m-%d}"
    if not_after <= now:
        return warning("files", f"{text}, which has passed: a device that checks it does not connect", renew)
    if not_after - now < CERTIFICATE_ENDS_SOON:
        return warning("files", f"{text}, which is soon", renew)
    return ok("files", text)


def _not_after(pem: str) -> datetime:
    from cryptography import x509

    return x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc.astimezone(timezone.utc)
