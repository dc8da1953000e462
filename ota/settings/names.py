"""What AWS and the firmware accept as a name, and the nearest name that they would accept.

Neither boto3 nor the firmware checks in time: boto3 knows neither the patterns nor the greatest lengths, and AWS
refuses a name only after other objects were made. Each ``*_problem`` returns None for a good name. The ``tidy_*``
functions are for names that the tool derives itself. They keep what they can and cut what is too long. A short hash
replaces what is cut, so that two long names never become one.

Source: the patterns in the botocore models of ``iot`` and ``iam``; S3 User Guide "General purpose bucket naming
rules"; a job made by the OTA service is called ``AFR_OTA-<update>`` and the Corstone firmware copies that into 64
bytes with the closing zero, so an update's name has 55.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from ota.settings.readers import CREATE_NEW_CERTIFICATE

REGISTRY_NAME_CHARS = 128
FIRMWARE_THING_NAME_CHARS = 64
PATH_PART_BYTES = 255
POLICY_NAME_CHARS = 128
ROLE_NAME_CHARS = 64
ROLE_PREFIX_CHARS = 40
UPDATE_NAME_CHARS = 55
BUCKET_NAME_CHARS = 63

_IAM_CHARS = "a-zA-Z0-9_+=,.@-"
_IAM_SPOKEN = "a-z A-Z 0-9 _ + = , . @ -"
_HASH_CHARS = 8
_BUCKET_FIRST = ("xn--", "sthree-", "amzn-s3-demo-")
_BUCKET_LAST = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
_PARTITION = "arn:aws(?:-[a-z]+)*"
_BOUNDARY_ARN = rf"{_PARTITION}:iam::(?:[0-9]{{12}}|aws):policy/[A-Za-z0-9_+=,.@/-]+"
_CERTIFICATE_ARN = rf"{_PARTITION}:iot:[a-z0-9-]+:[0-9]{{12}}:cert/[0-9a-fA-F]{{64}}"
_WORD = r"[^\s-]\S*"


class NameProblem(NamedTuple):
    """Why a value is refused, and what to write instead.

    Attributes:
        reason: what is wrong.
        suggestion: a value that is accepted; empty where none is near.
        form: what to write, in words; empty where the suggestion says it.
    """

    reason: str
    suggestion: str = ""
    form: str = ""

    def __str__(self) -> str:
        write = self.form or f'write "{self.suggestion}"'
        return f"{self.reason}; {write}"


def registry_name_rule(whose: str) -> Callable[[str], NameProblem | None]:
    """The check of a name in the registry of AWS IoT; ``whose``: "a thing's", "a billing group's".

    Things, thing groups, thing types and billing groups have 1 to 128 of a-z, A-Z, 0-9, ``:``, ``_``, ``-``.
    """

    def registry_name_problem(name: str) -> NameProblem | None:
        return _pattern_problem(name, f"{whose} name", "a-z A-Z 0-9 : _ -", "a-zA-Z0-9:_-", REGISTRY_NAME_CHARS)

    return registry_name_problem


thing_name_problem = registry_name_rule("a thing's")
group_name_problem = registry_name_rule("a thing group's")


def thing_name_warning(name: str) -> str | None:
    """Why a device with this thing name gets no update, though AWS accepts the name; None where it gets one."""
    if len(name) <= FIRMWARE_THING_NAME_CHARS:
        return None
    return (
        f'the thing name "{name}" has {len(name)} characters; the Corstone firmware sends it as a client token, of '
        f"which AWS accepts {FIRMWARE_THING_NAME_CHARS}, so a device with this name never gets its update"
    )


def policy_name_problem(name: str) -> NameProblem | None:
    """AWS IoT's rule: 1 to 128 of letters, digits and ``_+=,.@-``."""
    return _pattern_problem(name, "an IoT policy's name", _IAM_SPOKEN, _IAM_CHARS, POLICY_NAME_CHARS)


def role_name_problem(name: str) -> NameProblem | None:
    """IAM's rule: 1 to 64 of letters, digits and ``_+=,.@-``."""
    return _pattern_problem(name, "an IAM role's name", _IAM_SPOKEN, _IAM_CHARS, ROLE_NAME_CHARS)


def role_prefix_problem(prefix: str) -> NameProblem | None:
    """A role's characters, and short enough to leave room for the rest of the name."""
    return _pattern_problem(prefix, "a role prefix", _IAM_SPOKEN, _IAM_CHARS, ROLE_PREFIX_CHARS)


def update_name_problem(name: str) -> NameProblem | None:
    """AWS IoT's pattern for OTA update ids, at the length at which the job's name still fits the firmware."""
    return _pattern_problem(name, "an OTA update's name", "a-z A-Z 0-9 _ -", "a-zA-Z0-9_-", UPDATE_NAME_CHARS)


def bucket_name_problem(name: str) -> NameProblem | None:
    """S3's rules for general purpose buckets."""
    reason = _bucket_reason(name)
    return NameProblem(f"S3 refuses this as a bucket name: {reason}", _mend_bucket(name)) if reason else None


def boundary_problem(arn: str) -> NameProblem | None:
    """A permissions boundary is the ARN of an IAM policy."""
    if re.fullmatch(_BOUNDARY_ARN, arn):
        return None
    form = "write arn:aws:iam::<12 digits>:policy/<name>, or leave it empty to make the role without a boundary"
    return NameProblem("this is not the ARN of an IAM policy", form=form)


def certificate_arn_problem(text: str) -> NameProblem | None:
    """Either CREATE_NEW_CERTIFICATE or the ARN of an IoT certificate."""
    if text == CREATE_NEW_CERTIFICATE or re.fullmatch(_CERTIFICATE_ARN, text):
        return None
    if text.upper().replace("-", "_") == CREATE_NEW_CERTIFICATE:
        return NameProblem("this must be written in capitals", CREATE_NEW_CERTIFICATE)
    form = f"write {CREATE_NEW_CERTIFICATE}, or arn:aws:iot:<region>:<12 digits>:cert/<64 hex digits>"
    return NameProblem("this is not the ARN of an IoT certificate", form=form)


def word_problem(text: str) -> NameProblem | None:
    """One word that may stand on a command line: no blanks, no leading hyphen."""
    if re.fullmatch(_WORD, text):
        return None
    word = "-".join(text.split()).lstrip("-")
    return _suggest("this must be one word that does not start with a hyphen", word, "write a word")


def define_problem(text: str) -> NameProblem | None:
    """The name of a define, as C and Kconfig have it."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        return None
    return NameProblem("this is not the name of a define", form="write one of a-z A-Z 0-9 _, such as IOT_THING_NAME")


def path_problem(text: str) -> NameProblem | None:
    """File systems accept at most 255 bytes between two slashes."""
    longest_bytes = max(len(part.encode(errors="replace")) for part in text.split("/"))
    if longest_bytes <= PATH_PART_BYTES:
        return None
    reason = f"a part of this path has {longest_bytes} bytes, and file systems accept {PATH_PART_BYTES}"
    return NameProblem(reason, form="write a shorter one")


def application_problem(text: str) -> NameProblem | None:
    """A target application: one word, and since it names folders no slash and no dot in front."""
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", text):
        return None
    word = re.sub(r"[^A-Za-z0-9_.-]+", "-", text).lstrip(".-")
    reason = "this cannot be a target application: allowed are a-z A-Z 0-9 _ . - and no . or - in front"
    return _suggest(reason, word, "write keyword-detection")


def tidy_policy_name(text: str) -> str:
    """A derived policy name, made valid."""
    return fit(_replace_others(text, _IAM_CHARS), POLICY_NAME_CHARS)


def tidy_role_name(text: str) -> str:
    """A derived role name, made valid; without the hyphen that an unset prefix leaves in front."""
    return fit(_replace_others(text, _IAM_CHARS).lstrip("-"), ROLE_NAME_CHARS)


def tidy_update_name(text: str) -> str:
    """A derived OTA update name, made valid."""
    return fit(_replace_others(text, "a-zA-Z0-9_-"), UPDATE_NAME_CHARS)


def tidy_bucket_name(text: str) -> str:
    """A derived bucket name without hyphens at its ends, within the length, and clear of S3's reserved beginnings.

    Capitals and underscores are left: the default text removes them with filters, and a user's own default that
    does not is a mistake to be shown.
    """
    trimmed = text.strip("-")
    if trimmed.startswith(_BUCKET_FIRST):
        trimmed = f"ota-{trimmed}"
    return fit(trimmed, BUCKET_NAME_CHARS)


def fit(text: str, limit: int) -> str:
    """The text cut to ``limit`` characters; its last part (``_role``, an account id) stays, a hash marks the cut.

    Returns:
        the text itself when it is short enough, else head, hyphen, 8 hex digits of its SHA-256, last part.
    """
    if len(text) <= limit:
        return text
    last = re.search(r"[_-][A-Za-z0-9]{1,12}$", text)
    tail = last[0] if last else ""
    import hashlib  # late, so that listing the tasks stays quick

    mark = "-" + hashlib.sha256(text.encode()).hexdigest()[:_HASH_CHARS] + tail
    return text[: limit - len(mark)].rstrip("-_.") + mark


def _pattern_problem(name: str, noun: str, spoken: str, chars: str, limit: int) -> NameProblem | None:
    """The rule that most names share: a set of characters and a greatest length."""
    if re.fullmatch(f"[{chars}]{{1,{limit}}}", name):
        return None
    good = fit(_replace_others(name, chars), limit)
    if good != name and len(name) > limit:
        return NameProblem(f"{noun} has at most {limit} characters, this has {len(name)}", good)
    return _suggest(f"{noun} may hold only {spoken}", good, f"write one of 1 to {limit} characters")


def _suggest(reason: str, suggestion: str, form: str) -> NameProblem:
    """With the suggestion, or with the form where there is none that could be pasted."""
    is_usable = 0 < len(suggestion) <= PATH_PART_BYTES
    return NameProblem(reason, suggestion) if is_usable else NameProblem(reason, form=form)


def _replace_others(text: str, chars: str) -> str:
    """The text with a hyphen for each run of characters that are not allowed."""
    return re.sub(f"[^{chars}]+", "-", text)


def _bucket_reason(name: str) -> str:
    """The first of S3's rules that this name breaks, in words; empty where it breaks none."""
    if not 3 <= len(name) <= BUCKET_NAME_CHARS:
        return f"it has 3 to {BUCKET_NAME_CHARS} characters, this has {len(name)}"
    if not re.fullmatch(r"[a-z0-9.-]+", name):
        return "only a-z 0-9 . - are allowed, no capitals and no underscore"
    if not (name[0].isalnum() and name[-1].isalnum()):
        return "it starts and ends with a letter or a digit"
    if ".." in name or re.fullmatch(r"\d+\.\d+\.\d+\.\d+", name):
        return "it has no two dots in a row and is not like an IP address"
    if name.startswith(_BUCKET_FIRST):
        return f"AWS keeps names that start with {', '.join(_BUCKET_FIRST)} for itself"
    if name.endswith(_BUCKET_LAST):
        return f"AWS keeps names that end with {', '.join(_BUCKET_LAST)} for itself"
    return ""


def _mend_bucket(name: str) -> str:
    """The nearest bucket name that passes."""
    plain = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")
    if plain.endswith(_BUCKET_LAST):
        plain += "-ota"
    if len(plain) < 3 or plain.startswith(_BUCKET_FIRST):
        plain = f"ota-{plain}".rstrip("-")
    return fit(plain, BUCKET_NAME_CHARS)
