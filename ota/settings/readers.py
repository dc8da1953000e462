"""From the text of a setting to its typed value.

Every reader takes finished, non-empty text. Where the text is not possible it raises :class:`Unreadable`. The
environment and flags know only text, so ``1`` and ``yes`` mean true as well.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import NamedTuple

CREATE_NEW_CERTIFICATE = "CREATE_NEW_CERTIFICATE"

_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")
_VARIABLE = "[A-Za-z_][A-Za-z0-9_]*"
_PROTOCOLS = (("MQTT",), ("HTTP",), ("MQTT", "HTTP"))
_GROUP = "group:"
_REGISTRY_NAME = "[a-zA-Z0-9:_-]{1,128}"
# Compiled when first used, so that listing the tasks stays quick.
_TARGET_ARN = (
    r"arn:aws(?:-[a-z]+)*:iot:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):"
    rf"(?P<kind>thing|thinggroup)/(?P<name>{_REGISTRY_NAME})"
)
_MOST_TARGETS = 100
_FAILURES = ("FAILED", "REJECTED", "TIMED_OUT", "ALL")
_CRITERION = r"(?i)(?P<failure>[a-z_ -]*[a-z])\s+(?P<percent>\d+(?:\.\d+)?)\s*%(?:\s+after\s+(?P<least>\d+))?"
_CRITERION_FORM = 'write criteria such as "FAILED 10% after 20", separated by ;'


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


class Target(NamedTuple):
    """What an update is for.

    Attributes:
        name: of a thing or of a thing group.
        is_group: whether it is a thing group.
        account: of an ARN, twelve digits; empty where only a name is written.
        region: of an ARN.
    """

    name: str
    is_group: bool = False
    account: str = ""
    region: str = ""


class AbortCriterion(NamedTuple):
    """When AWS stops a rollout by itself.

    Attributes:
        failure: FAILED, REJECTED, TIMED_OUT or ALL, which is any of them.
        percent: of the devices that have finished, with at most two decimals.
        least: so many devices have finished before it counts.
    """

    failure: str
    percent: float
    least: int


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


def read_number_within(least: int, most: int) -> Callable[[str], int | None]:
    """A reader of a whole number in these limits; None where there is no text."""

    def read(text: str) -> int | None:
        if not text:
            return None
        is_number = text.isascii() and text.isdigit() and len(text) <= len(str(most))
        if is_number and least <= int(text) <= most:
            return int(text)
        nearest = str(min(max(int(text), least), most)) if re.fullmatch(r"[0-9]{1,18}", text) else ""
        raise Unreadable(f"write a whole number from {least} to {most}", nearest)

    return read


def read_factor(text: str) -> float | None:
    """A growth factor of a rollout as AWS takes it, from 1.1 to 5 with one decimal; None where there is no text."""
    if not text:
        return None
    form = "write a number from 1.1 to 5 with one decimal at most"
    try:
        factor = float(text)
    except ValueError:
        raise Unreadable(form, "2") from None
    if not math.isfinite(factor):
        raise Unreadable(form, "2")
    if not 1.1 <= factor <= 5 or round(factor, 1) != factor:
        raise Unreadable(form, f"{min(max(round(factor, 1), 1.1), 5):g}")
    return factor


def read_abort_criteria(text: str) -> tuple[AbortCriterion, ...]:
    """Criteria such as ``FAILED 10% after 20; TIMED_OUT 25% after 50``, each kind of failure once."""
    found = [_read_criterion(one) for one in split_names(text)]
    kinds = [one.failure for one in found]
    twice = [kind for kind in kinds if kinds.count(kind) > 1]
    if twice:
        raise Unreadable(f"{twice[0]} is there twice; {_CRITERION_FORM}")
    return tuple(found)


def _read_criterion(text: str) -> AbortCriterion:
    found = re.fullmatch(_CRITERION, text)
    if not found:
        raise Unreadable(_CRITERION_FORM)
    failure = re.sub(r"[\s-]+", "_", found["failure"]).upper()
    percent, least = found["percent"], found["least"]
    if failure not in _FAILURES:
        raise Unreadable(f"{failure} is none of {', '.join(_FAILURES)}; {_CRITERION_FORM}")
    if not 0 < float(percent) <= 100 or round(float(percent), 2) != float(percent):
        raise Unreadable("a percentage is more than 0 and at most 100, with two decimals at most")
    if least is None or len(least) > 9 or int(least) < 1:
        raise Unreadable(f'say after how many devices it counts: "{failure} {percent}% after 1"')
    return AbortCriterion(failure, float(percent), int(least))


def read_targets(text: str) -> tuple[Target, ...]:
    """Things by name, groups as ``group:NAME``, and ARNs of both, separated by ``;``; each once."""
    found = tuple(dict.fromkeys(_read_target(one) for one in split_names(text)))
    if len(found) > _MOST_TARGETS:
        raise Unreadable(f"AWS takes {_MOST_TARGETS} targets, these are {len(found)}; put the things into a group")
    return found


def _read_target(text: str) -> Target:
    if arn := re.fullmatch(_TARGET_ARN, text):
        return Target(arn["name"], arn["kind"] == "thinggroup", arn["account"], arn["region"])
    name = text.removeprefix(_GROUP)
    if text.startswith("arn:") or not re.fullmatch(_REGISTRY_NAME, name):
        raise Unreadable(f'"{text[:60]}" is neither a name nor an ARN; write lamp-1;group:lamps')
    return Target(name, is_group=name != text)


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


def read_optional_path(text: str) -> Path | None:
    """The path, or None where there is none."""
    return Path(text) if text else None


def read_words(text: str) -> tuple[str, ...]:
    """The words of a command line, split and unquoted as a POSIX shell does; nothing is expanded."""
    import shlex  # late, so that listing the tasks stays quick

    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise Unreadable(f"write it with all quotes closed, or as a list of words ({error})") from error


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
    """The name of a firmware profile, or the path of a JSON file with one."""
    # Imported late, so that listing the tasks stays quick.
    from ota.profiles import PROFILE_BY_NAME

    if is_profile_file(text):
        return text
    try:
        return read_choice(*PROFILE_BY_NAME)(text)
    except Unreadable as error:
        form = f"{error}, or the path of a JSON file with a profile"
        raise Unreadable(str(error) if error.suggestion else form, error.suggestion) from error


def is_profile_file(text: str) -> bool:
    """Whether the text names a file with a profile, and not one of the profiles here."""
    return text.lower().endswith(".json")


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
