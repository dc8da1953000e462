"""The doctor's checks of this computer: the device's files, the build's tools, the image and its signature.

Source: FreeRTOS/iot-reference-arm-corstone3xx ``tools/scripts/build.sh`` for the tools that a build calls;
``ota/firmware/verify.py`` for image and signature.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ota.certificate_files import find_certificate_file
from ota.errors import OtaError
from ota.firmware import builds
from ota.firmware.tree import check_application, has_firmware_tree, list_applications, missing_tree_text
from ota.firmware.verify import verify
from ota.keys import folder_open_to_others, is_readable_by_others
from ota.messages import AnyCommand, Remedy, command, shell
from ota.outcomes import Finding, Severity, fatal, of_severity, ok, warning

if TYPE_CHECKING:
    from ota.settings.settings import Settings

CERTIFICATE_ENDS_SOON = timedelta(days=30)
FIRMWARE_URL = "https://github.com/FreeRTOS/iot-reference-arm-corstone3xx.git"
EXAMPLE_APPLICATION = "keyword-detection"
# A program that a build script may call, and the package that contains it.
PACKAGES = {
    "openssl": "openssl",
    "cmake": "cmake",
    "ninja": "ninja-build",
    "python3": "python3",
    "git": "git",
    "arm-none-eabi-gcc": "gcc-arm-none-eabi",
}
ALWAYS_NEEDED = ("openssl",)
COMMENT = re.compile(r"^\s*#.*$", re.MULTILINE)


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


def check_build(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the firmware tree, its build script and the programs that it calls are on this computer."""
    if settings.skip_build:
        yield ok("build", "skipped, as skip_build says")
        return
    script = settings.build_script_path
    if not has_firmware_tree(settings.firmware_root):
        yield fatal("build", missing_tree_text(settings.firmware_root), _firmware_remedy(settings.firmware_root))
        return
    try:
        check_application(settings.firmware_root, settings.require_application(), settings.profile.header_format)
        builds.check_script(script)
    except OtaError as error:
        yield fatal("build", error.message, error.remedy or _build_remedy(settings))
        return
    missing = [tool for tool in tools_of(script.read_text(errors="replace")) if not _has(tool, environ)]
    for tool in missing:
        yield fatal("tools", f"{tool} is not on the PATH, and the build needs it", install_command(tool, environ))
    if not missing:
        yield ok("build", f"{script.name} and the programs that it calls are here")


def check_image(settings: Settings, now: datetime) -> Iterator[Finding]:
    """The findings of ``verify``; where a build comes first, a mistake that the build fixes is a warning."""
    if not settings.target_application and not settings.is_chosen("ota_binary"):
        remedy = command("all", target_application=EXAMPLE_APPLICATION)
        yield fatal("image", "target_application is not set, and no image is named", remedy)
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


def _firmware_remedy(root: Path) -> Remedy:
    """Clone the firmware tree to ``root``; beside it where ``root`` is a folder with something else in it."""
    if not root.exists():
        return (_clone(root),)
    beside = root.resolve().parent / PurePosixPath(FIRMWARE_URL).stem
    use = command("doctor", firmware_root=str(beside))
    return (use,) if beside.exists() else (_clone(beside), use)


def _clone(path: Path) -> AnyCommand:
    return shell("git", "clone", "--recursive", FIRMWARE_URL, path)


def tools_of(script_text: str) -> tuple[str, ...]:
    """The programs in ``PACKAGES`` that a build script calls; comments do not count."""
    code = COMMENT.sub("", script_text)
    named = [tool for tool in PACKAGES if re.search(rf"(?<![\w./-]){re.escape(tool)}(?![\w-])", code)]
    return tuple(dict.fromkeys([*ALWAYS_NEEDED, *named]))


def install_command(tool: str, environ: Mapping[str, str]) -> AnyCommand:
    """The command that installs a program: with Homebrew where it is installed, else with apt."""
    if _has("brew", environ):
        return shell("brew", "install", tool)
    return shell("sudo", "apt-get", "install", "-y", PACKAGES[tool])


def _has(tool: str, environ: Mapping[str, str]) -> bool:
    return shutil.which(tool, path=environ.get("PATH", os.defpath)) is not None


def _build_remedy(settings: Settings) -> AnyCommand:
    """Name an application or a script that the tree has, else restore the tree's script."""
    root, script = settings.firmware_root, settings.build_script_path
    known = list_applications(root, settings.profile.header_format)
    if known and settings.target_application not in known:
        return command("all", target_application=known[0])
    others = sorted(root.rglob(script.name))
    if others:
        return command("build", build_script_path=str(others[0].relative_to(root)))
    return shell("git", "-C", root, "checkout", "--", os.path.relpath(script, root))


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
