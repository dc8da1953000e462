"""From the text of a setting to its typed value.

Every reader takes finished, non-empty text. Where the text is not possible it raises :class:`Unreadable`. The
environment and flags know only text, so ``1`` and ``yes`` mean true as well.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from enum import Enum

CREATE_NEW_CERTIFICATE = "CREATE_NEW_CERTIFICATE"

_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")
_VARIABLE = "[A-Za-z_][A-Za-z0-9_]*"
_PROTOCOLS = (("MQTT",), ("HTTP",), ("MQTT", "HTTP"))


class Unreadable(ValueError):
    """A text that is not a value of its setting; the message says what to write.

    Attributes:
        suggestion: a value that can be read; empty where none is near.
    """

    def __init__(self, form: str, suggestion: str = "") -> None:
        super().__init__(form)
        self.suggestion = suggestion


class CleanBuild(str, Enum):
    """Whether the firmware is built from clean."""

    ALWAYS = "true"
    NEVER = "false"
    AUTO = "auto"


class OverwriteHeader(str, Enum):
    """Whether values that a person wrote into the firmware's header are overwritten."""

    ASK = "ask"
    ALWAYS = "true"
    NEVER = "false"


def read_flag(text: str) -> bool:
    """True or False."""
    word = text.lower()
    if word not in _TRUE + _FALSE:
        raise Unreadable('write "true" or "false"', "false")
    return word in _TRUE


def read_count(text: str) -> int:
    """A whole number from 1."""
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text) > 0):
        raise Unreadable("write a whole number from 1")
    return int(text)


def read_seconds(text: str) -> float:
    """A finite number of seconds from 0."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise Unreadable("write a number of seconds, 0 or more")
    return seconds


def read_optional(text: str) -> str | None:
    """The text, or None where there is none."""
    return text or None


def read_certificate(text: str) -> str | None:
    """The ARN, or None where the tool makes a certificate."""
    return None if text == CREATE_NEW_CERTIFICATE else text


def split_names(text: str) -> tuple[str, ...]:
    """The names of a list such as ``format_vars``: separated by ``;``, blanks around them dropped."""
    return tuple(name.strip() for name in text.split(";") if name.strip())


def read_variables(text: str) -> tuple[str, ...]:
    """Names of environment variables, separated by ``;``."""
    found = split_names(text)
    if not all(re.fullmatch(_VARIABLE, name) for name in found):
        raise Unreadable("write names of environment variables without values: LM_LICENSE_FILE;ARMLMD_LICENSE_FILE")
    return found


def read_choice(*allowed: str) -> Callable[[str], str]:
    """A reader that takes exactly these texts and suggests the one that differs only in case, blanks or hyphens."""

    def plain(text: str) -> str:
        return "".join(char for char in text.lower() if char.isalnum())

    def read(text: str) -> str:
        if text in allowed:
            return text
        meant = [choice for choice in allowed if plain(choice) == plain(text)]
        raise Unreadable(f'write "{meant[0]}"', meant[0]) if meant else Unreadable(_write_one_of(allowed))

    return read


def read_profile(text: str) -> str:
    """The name of a firmware profile."""
    # Imported late, so that listing the tasks stays quick.
    from ota.profiles import PROFILE_BY_NAME

    return read_choice(*PROFILE_BY_NAME)(text)


def read_protocols(text: str) -> tuple[str, ...]:
    """MQTT, HTTP or both, in any case. Of both the device chooses, so one order is enough."""
    found = tuple(name.strip().upper() for name in text.split(","))
    if found not in _PROTOCOLS:
        raise Unreadable('write "MQTT", "HTTP" or "MQTT,HTTP"', "MQTT")
    return found


def read_clean_build(text: str) -> CleanBuild:
    """True, false or auto, in any case."""
    return CleanBuild.AUTO if text.lower() == "auto" else CleanBuild(_flag_text(text, "auto"))


def read_overwrite_header(text: str) -> OverwriteHeader:
    """Ask, true or false, in any case."""
    return OverwriteHeader.ASK if text.lower() == "ask" else OverwriteHeader(_flag_text(text, "ask"))


def _flag_text(text: str, third: str) -> str:
    try:
        return str(read_flag(text)).lower()
    except Unreadable as error:
        raise Unreadable(_write_one_of(("true", "false", third))) from error


def _write_one_of(allowed: tuple[str, ...]) -> str:
    return f"write one of {', '.join(allowed)}"
