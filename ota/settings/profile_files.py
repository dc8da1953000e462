"""Read a firmware profile from a JSON file, so that another firmware needs no change of this tool's code.

The file is one object; its keys are the fields of :class:`ota.profiles.Profile`. Only ``signature_algorithms`` is
required. What the device parses is easily got wrong, so an unknown key and a value of the wrong kind are refused.

Source: ``ota/profiles.py`` for the fields and their meaning; RFC 8259.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ota.profiles import (
    ANY_NAME,
    AWS_CLIENT_CREDENTIAL,
    HTTP,
    MQTT,
    P256,
    P384,
    HeaderFormat,
    Padding,
    Profile,
    VersionRule,
)
from ota.settings.formatter import nearest
from ota.settings.readers import Unreadable
from ota.settings.table import SETTINGS

VERSION_RULES = {"corstone": VersionRule.CORSTONE, "higher": VersionRule.HIGHER, "none": VersionRule.NONE}
PADDINGS = {"PSS": Padding.PSS, "PKCS1": Padding.PKCS1}
OWN_RULES = "its profile says so"


def read_profile_file(path: Path) -> Profile:
    """The profile in this file; its name is the file's.

    Raises:
        Unreadable: the file cannot be read or is no profile; the text names the key.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise Unreadable(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise Unreadable(f'{path} is not a JSON object; write {{"signature_algorithms": ["ECDSA"]}}')
    try:
        return _profile(path.stem, found)
    except Unreadable as error:
        raise Unreadable(f"{path}: {error}") from error


def _profile(name: str, found: Mapping[str, Any]) -> Profile:
    values = {key: _reader(key)(key, value) for key, value in found.items()}
    if "signature_algorithms" not in values:
        raise Unreadable('"signature_algorithms" is missing; write ["ECDSA"], ["RSA"] or both')
    dummies = values.pop("header_dummies", ())
    is_rsa = "RSA" in values["signature_algorithms"]
    defaults = {
        "firmware": name,
        "why": OWN_RULES,
        "protocols_why": OWN_RULES,
        "rsa_padding": Padding.PSS if is_rsa else None,
        "version_rule": VersionRule.NONE,
    }
    return Profile(**{**defaults, **values, "name": name, "header_format": _header_format(dummies)})


def _header_format(dummies: tuple[str, ...]) -> HeaderFormat:
    """The usual header, with these values in it counted as nobody's too."""
    known = AWS_CLIENT_CREDENTIAL
    endpoint, thing_name = (replace(one, dummies=(*one.dummies, *dummies)) for one in known.values)
    return replace(known, endpoint=endpoint, thing_name=thing_name)


def _reader(key: str) -> Callable[[str, Any], Any]:
    reader = FIELDS.get(key)
    if reader is None:
        close = nearest(key, FIELDS)
        fix = f'did you mean "{close}"?' if close else f"known are {', '.join(FIELDS)}"
        raise Unreadable(f'"{key}" is not a field of a profile; {fix}')
    return reader


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise Unreadable(f'"{key}" must be a text')
    return value


def _number(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise Unreadable(f'"{key}" must be a whole number from 1')
    return value


def _flag(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise Unreadable(f'"{key}" must be true or false')
    return value


def _texts(key: str, value: Any) -> tuple[str, ...]:
    if not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
        raise Unreadable(f'"{key}" must be a list of texts')
    return tuple(value)


def _some_of(*allowed: str) -> Callable[[str, Any], tuple[str, ...]]:
    def read(key: str, value: Any) -> tuple[str, ...]:
        found = _texts(key, value)
        if not found or not set(found) <= set(allowed):
            raise Unreadable(f'"{key}" must be a list of {" and ".join(allowed)}, at least one')
        return found

    return read


def _one_of(allowed: Mapping[str, Any]) -> Callable[[str, Any], Any]:
    def read(key: str, value: Any) -> Any:
        if not isinstance(value, str) or value not in allowed:
            raise Unreadable(f'"{key}" must be one of {", ".join(allowed)}')
        return allowed[value]

    return read


def _slots(key: str, value: Any) -> dict[str, int]:
    """One size for an image of any name, or a size for each name."""
    if isinstance(value, dict):
        return {name: _number(f"{key}: {name}", size) for name, size in value.items()}
    return {ANY_NAME: _number(key, value)}


def _settings(key: str, value: Any) -> dict[str, str]:
    """Defaults for settings whose default is the profile's."""
    allowed = [name for name, row in SETTINGS.items() if row.by_profile]
    if not isinstance(value, dict):
        raise Unreadable(f'"{key}" must be an object with settings')
    for name in value:
        if name not in allowed:
            raise Unreadable(f'"{key}" has "{name}"; a profile has defaults for {", ".join(allowed)}')
    return {name: _text(f"{key}: {name}", text) for name, text in value.items()}


FIELDS: Mapping[str, Callable[[str, Any], Any]] = {
    "firmware": _text,
    "signature_algorithms": _some_of("RSA", "ECDSA"),
    "why": _text,
    "rsa_padding": _one_of(PADDINGS),
    "curves": _some_of(P256, P384),
    "version_rule": _one_of(VERSION_RULES),
    "protocols": _some_of(MQTT, HTTP),
    "protocols_why": _text,
    "image_file_names": _texts,
    "default_file_name": _text,
    "certificate_file": _text,
    "is_certificate_opened": _flag,
    "signature_bytes": _number,
    "job_message_bytes": _number,
    "thing_name_chars": _number,
    "slot_bytes": _slots,
    "slot_bytes_with_model": _slots,
    "trackable_bytes": _number,
    "has_mcuboot_header": _flag,
    "header_dummies": _texts,
    "settings": _settings,
}
