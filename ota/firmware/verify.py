"""Verify offline that image, signature, key and settings belong together, before anything is sent to AWS.

A device that cannot use an update mostly reports nothing, or reports it hours later. Every check here is one that the
device makes. ``verify`` shows all findings, ``update`` stops on the fatal ones.

Source: ``ota/profiles.py`` for each firmware's rules, with their sources; MCUboot's ``image.h``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from ota.errors import FirmwareError
from ota.firmware import remedies
from ota.firmware.image_versions import (
    ImageHeader,
    ImageVersion,
    find_header,
    next_version,
    read_version,
    version_problem,
)
from ota.firmware.job_messages import JobFile, largest_message_bytes, least_url
from ota.firmware.signature_findings import find_signature, key_findings, proof_findings
from ota.firmware.signatures import signature_text
from ota.firmware.tree import has_model, image_kind
from ota.images import MAX_IMAGE_BYTES, ImageFile, image_key, read_image
from ota.messages import command
from ota.outcomes import Finding, fatal, ok, warning
from ota.profiles import APPLICATION_FILE_NAME, HTTP, MODEL_FILE_NAME, MQTT, VersionRule

if TYPE_CHECKING:
    from ota.firmware.builds import Image
    from ota.settings.settings import Settings

SHA256_CHARS = 64
KIND_OF_FILE_NAME = {APPLICATION_FILE_NAME: "application", MODEL_FILE_NAME: "model"}


def verify(
    settings: Settings,
    image: Image | None = None,
    *,
    running_version: str | None = None,
    now: datetime | None = None,
) -> tuple[Finding, ...]:
    """Findings on whether the device will take this update, as far as they need no AWS.

    Args:
        settings: all settings; the account may be unknown.
        image: image and signature that were read already; without it they are read here, once each.
        running_version: the device's version, as ``0.0.10+0`` or as its ``updatedBy``; None where it is unknown.
        now: the time at which a certificate has to be valid.

    Raises:
        SettingsError: the image's name needs ``target_application``, which is not set.
        FirmwareError: ``running_version`` is no version.
    """
    running = read_version(running_version, settings.profile.version_rule) if running_version else None
    file, image_finding = _find_image(settings, image.file if image else None)
    signature, signature_finding = find_signature(settings, image.signature if image else None)
    findings = [*_setting_findings(settings), image_finding]
    if file:
        findings += _header_findings(settings, file, running)
    findings.append(signature_finding)
    findings += key_findings(settings, now or datetime.now(timezone.utc))
    if file and signature:
        findings += proof_findings(settings, file, signature)
        findings.append(_message_finding(settings, file.size_bytes, signature_text(signature)))
    return tuple(findings)


def _setting_findings(settings: Settings) -> Iterator[Finding]:
    profile = settings.profile
    yield ok("profile", f"{profile.name}: {profile.firmware}, which parses {' and '.join(profile.signature_keys)}")
    doubt = profile.doubts.get(settings.signature_algorithm)
    if doubt:
        said = f"the signature is {settings.signature_algorithm}, and for {profile.firmware}: {doubt}"
        yield warning("profile", said, remedies.sign_with_new_key(settings, {"signature_algorithm": "ECDSA"}))
    limit = profile.thing_name_chars
    if limit and len(settings.thing_name) > limit:
        yield fatal(
            "thing",
            f"the thing name has {len(settings.thing_name)} characters; {profile.firmware} sends it as a client token, "
            f"of which AWS takes {limit}, and never gets an answer",
            command("all", thing_name=settings.thing_name[:limit]),
        )
    yield from _mixed_names(settings)


def _mixed_names(settings: Settings) -> Iterator[Finding]:
    """Names of the application and of the model in one update: each has its own image, signature and name."""
    kinds = {
        "image_file_name": KIND_OF_FILE_NAME.get(settings.image_file_name),
        "ota_binary": image_kind(settings.ota_binary, settings.target_application),
        "signature_file": image_kind(settings.signature_file, settings.target_application),
    }
    if {"application", "model"} <= set(kinds.values()):
        said = ", ".join(f"{name} is the {kind}'s ({getattr(settings, name)})" for name, kind in kinds.items() if kind)
        yield fatal("names", f"application and model are mixed: {said}", command("verify", **_pair(settings, kinds)))


def _pair(settings: Settings, kinds: dict[str, str | None]) -> dict[str, str]:
    """The three settings of one kind: the kind of the setting that the user chose, the image's first."""
    said = [name for name in ("ota_binary", "image_file_name", "signature_file") if kinds[name]]
    first = next((name for name in said if settings.is_chosen(name)), said[0])
    is_model = kinds[first] == "model"
    part = "model-" if is_model else ""
    return {
        "ota_binary": f"{settings.target_application}-{part}update_signed.bin",
        "signature_file": f"{part}update-signature.txt",
        "image_file_name": MODEL_FILE_NAME if is_model else APPLICATION_FILE_NAME,
    }


def _find_image(settings: Settings, given: ImageFile | None) -> tuple[ImageFile | None, Finding]:
    """The image, ``given`` or read here, and a finding on its size; None where it is missing or empty."""
    path = settings.image_path
    if given is None and not path.exists():
        return None, fatal("image", f"there is no image {path}", remedies.build(settings))
    try:
        image = given or read_image(path)
    except FirmwareError as error:
        return None, fatal("image", error.message, remedies.make_readable(path))
    return image if image.size_bytes else None, _size_finding(settings, path, image.size_bytes)


def _size_finding(settings: Settings, path: Path, size_bytes: int) -> Finding:
    profile, name = settings.profile, settings.image_file_name
    if not size_bytes:
        return fatal("image", f"the image {path} is empty", remedies.rebuild(settings))
    is_with_model = has_model(settings.target_application, settings.toolchain)
    slot_bytes = profile.largest_image_bytes(name, has_model=is_with_model)
    limit_bytes = min(slot_bytes or MAX_IMAGE_BYTES, MAX_IMAGE_BYTES)
    said = f"{path.name} has {size_bytes:,} bytes"
    if size_bytes > limit_bytes:
        place = f'{profile.firmware} has room for {limit_bytes:,} as "{name}"'
        what = place if slot_bytes else f"AWS carries at most {limit_bytes:,} in one update"
        return fatal(
            "image", f"{said}, and {what}; make it smaller, or name another with ota_binary", remedies.rebuild(settings)
        )
    if profile.trackable_bytes and size_bytes > profile.trackable_bytes:
        reason = f"{profile.firmware} can track {profile.trackable_bytes:,} unless its build raised that"
        return warning("image", f"{said}, and {reason} (otaconfigMAX_BLOCK_BITMAP_SIZE)", remedies.rebuild(settings))
    return ok("image", f"{said} of {limit_bytes:,}")


def _header_findings(settings: Settings, image: ImageFile, running: ImageVersion | None) -> Iterator[Finding]:
    header = find_header(image)
    if header is None:
        yield _no_header(settings)
    elif header.least_bytes > image.size_bytes:
        reason = f"its header announces at least {header.least_bytes:,} bytes, the file has {image.size_bytes:,}"
        yield fatal("image", f"{settings.image_path.name} is cut off: {reason}", remedies.rebuild(settings))
    else:
        yield _version_finding(settings, header, running)


def _no_header(settings: Settings) -> Finding:
    name = settings.image_path.name
    if settings.profile.has_mcuboot_header:
        reason = "no MCUboot header, without which it is never installed; the update is the _signed.bin of the build"
        return fatal("version", f"{name} starts with {reason}", remedies.rebuild(settings))
    return ok("version", f"{name} starts with no MCUboot header, so its version is not known here")


def _version_finding(settings: Settings, header: ImageHeader, running: ImageVersion | None) -> Finding:
    rule, new = settings.profile.version_rule, header.version
    problem = version_problem(new, running, rule)
    if problem:
        better = next_version(new, running, rule)
        return warning("version", f"{problem}; {better} would do", remedies.raise_version(settings, better))
    if rule is VersionRule.NONE:
        return ok("version", f"{new}; only the application decides whether that is newer")
    if running is None:
        return ok("version", f"{new}; --running-version compares it with the device's")
    return ok("version", f"{new} counts as higher than the running {running}")


def _message_finding(settings: Settings, size_bytes: int, text: str) -> Finding:
    profile, file = settings.profile, _job_file(settings, size_bytes, text)
    length_bytes = largest_message_bytes(settings.thing_name, settings.update_name, file)
    limit_bytes = profile.job_message_bytes
    if limit_bytes and length_bytes >= limit_bytes:
        longest = max(("certificate_file_on_device", "image_file_name"), key=lambda name: len(getattr(settings, name)))
        reason = f"{profile.firmware} copies it into {limit_bytes:,}; shorten {longest}"
        remedy = command("verify", **{longest: profile.defaults[longest]})
        return fatal("job", f"the message with the job has {length_bytes:,} bytes, and {reason}", remedy)
    room = f" of {limit_bytes:,}" if limit_bytes else ""
    if HTTP not in file.protocols:
        return ok("job", f"the message with the job has at most {length_bytes:,} bytes{room}")
    told = f"the message with the job has {length_bytes:,} bytes{room}, and in its URL a session token besides"
    if not limit_bytes:
        return ok("job", told)
    reason = f"AWS does not say how long that is, and {profile.firmware} copies all of it"
    return warning("job", f"{told}; {reason}", command("verify", protocols=MQTT))


def _job_file(settings: Settings, size_bytes: int, text: str) -> JobFile:
    key = image_key(settings.thing_name, "0" * SHA256_CHARS, settings.image_path.name)
    return JobFile(
        file_path=settings.image_file_name,
        size_bytes=size_bytes,
        certificate_file=settings.certificate_file_on_device,
        signature_key=f"sig-{settings.hash_algorithm.lower()}-{settings.signature_algorithm.lower()}",
        signature=text,
        protocols=settings.protocols,
        url=least_url(settings.bucket_name, settings.region or "", key),
    )
