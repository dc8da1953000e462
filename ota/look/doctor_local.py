"""What this machine lacks: files of the device's identity, tools of the build, a signature that the device will take.

Source: FreeRTOS/iot-reference-arm-corstone3xx ``tools/scripts/build.sh`` for the tools that a build calls;
``ota/firmware/verify.py`` for image and signature.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ota.certificate_files import find_certificate_file
from ota.errors import OtaError
from ota.findings import Finding, Severity, fatal, of_severity, ok, warning
from ota.firmware import builds
from ota.firmware.tree import check_application, has_firmware_tree, list_applications, missing_tree_text
from ota.firmware.verify import verify
from ota.keys import folder_open_to_others, is_readable_by_others

if TYPE_CHECKING:
    from ota.settings.settings import Settings

CERTIFICATE_ENDS_SOON = timedelta(days=30)
FIRMWARE_URL = "https://github.com/FreeRTOS/iot-reference-arm-corstone3xx.git"
# A program that a build script may call, and the package that has it.
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
    """Whether the certificate file still holds for a while, and nobody else reads or replaces the key."""
    local = find_certificate_file(settings.certificate_path)
    if local is None:
        yield ok("files", f"no certificate at {settings.certificate_path} yet")
    else:
        yield _end_of(settings.certificate_path, _not_after(local.pem), now)
    key_path = settings.private_key_path
    if key_path.is_file() and is_readable_by_others(key_path):
        yield warning("files", f"others can read the private key {key_path}", f"chmod 600 {shlex.quote(str(key_path))}")
    if folder := folder_open_to_others(key_path):
        said = f"others can replace the files in {folder}, which leads to the private key"
        yield warning("files", said, f"chmod go-w {shlex.quote(str(folder))}")


def check_build(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the firmware tree, its build script and the programs that it calls are here."""
    if settings.skip_build:
        yield ok("build", "skipped, as skip_build says")
        return
    script = settings.build_script_path
    if not has_firmware_tree(settings.firmware_root):
        yield fatal("build", missing_tree_text(settings.firmware_root), _firmware_command(settings.firmware_root))
        return
    try:
        check_application(settings.firmware_root, settings.require_application(), settings.profile.header_format)
        builds.check_script(script)
    except OtaError as error:
        yield fatal("build", str(error), error.remedy or _build_command(settings))
        return
    missing = [tool for tool in tools_of(script.read_text(errors="replace")) if not _has(tool, environ)]
    for tool in missing:
        yield fatal("tools", f"{tool} is not on the PATH, and the build needs it", install_command(tool, environ))
    if not missing:
        yield ok("build", f"{script.name} and the programs that it calls are here")


def check_image(settings: Settings, now: datetime) -> Iterator[Finding]:
    """What ``verify`` finds; where a build comes first, what it will make anew is no failure yet."""
    if not settings.target_application and not settings.is_chosen("ota_binary"):
        command = "invoke with --target-application keyword-detection all"
        yield fatal("image", "target_application is not set, and no image is named", command)
        return
    if not settings.image_path.is_file() and not settings.skip_build:
        yield ok("image", "none yet: the build makes it")
        return
    findings = verify(settings, now=now)
    mistakes = of_severity(findings, Severity.FATAL)
    for finding in mistakes:
        # What a build mends is mended by the build that comes first.
        is_remade = not settings.skip_build and str(finding.command).endswith(" build")
        yield warning(finding.subject, finding.text, finding.command) if is_remade else finding
    yield from of_severity(findings, Severity.WARNING)
    if not mistakes:
        yield ok("image", f"{settings.image_path.name} and its signature belong together")


def _firmware_command(root: Path) -> str:
    """What brings the firmware tree here; beside ``root`` where that is a folder with something else in it."""
    if not root.exists():
        return f"git clone --recursive {FIRMWARE_URL} {shlex.quote(str(root))}"
    beside = root.resolve().parent / PurePosixPath(FIRMWARE_URL).stem
    take = f"invoke with --firmware-root {shlex.quote(str(beside))} doctor"
    return take if beside.exists() else f"git clone --recursive {FIRMWARE_URL} {shlex.quote(str(beside))} && {take}"


def tools_of(script_text: str) -> tuple[str, ...]:
    """The programs that a build script calls, of those whose package is known; comments do not count."""
    code = COMMENT.sub("", script_text)
    named = [tool for tool in PACKAGES if re.search(rf"(?<![\w./-]){re.escape(tool)}(?![\w-])", code)]
    return tuple(dict.fromkeys([*ALWAYS_NEEDED, *named]))


def install_command(tool: str, environ: Mapping[str, str]) -> str:
    """What installs a program: by Homebrew where that is, else by apt."""
    return f"brew install {tool}" if _has("brew", environ) else f"sudo apt-get install -y {PACKAGES[tool]}"


def _has(tool: str, environ: Mapping[str, str]) -> bool:
    return shutil.which(tool, path=environ.get("PATH", os.defpath)) is not None


def _build_command(settings: Settings) -> str:
    """Name an application or a script that the tree has, else bring back the script that it had."""
    root, script = settings.firmware_root, settings.build_script_path
    known = list_applications(root, settings.profile.header_format)
    if known and settings.target_application not in known:
        return f"invoke with --target-application {shlex.quote(known[0])} all"
    others = sorted(root.rglob(script.name))
    if others:
        return f"invoke with --build-script-path {shlex.quote(str(others[0].relative_to(root)))} build"
    return f"git -C {shlex.quote(str(root))} checkout -- {shlex.quote(os.path.relpath(script, root))}"


def _end_of(path: Path, not_after: datetime, now: datetime) -> Finding:
    renew = f"mv {shlex.quote(str(path))} {shlex.quote(str(path))}.old"
    text = f"{path.name} ends on {not_after:%Y-%m-%d}"
    if not_after <= now:
        return warning("files", f"{text}, which is over: a device that checks it does not connect", renew)
    if not_after - now < CERTIFICATE_ENDS_SOON:
        return warning("files", f"{text}, which is soon", renew)
    return ok("files", text)


def _not_after(pem: str) -> datetime:
    from cryptography import x509

    return x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc.astimezone(timezone.utc)
