"""Which objects a delete task means: exact names, patterns with ``*``, and the ways to name a certificate.

Who writes an exact name has chosen it, whoever made the object. Who writes a pattern has not seen what is like it: so a
pattern means what this tool made, the rest only with force, and it is to be confirmed before anything is deleted.

Source: AWS IoT ListCertificates (ids are 64 hex digits); S3, IAM and IoT name rules: none allows a blank or a ``*``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ota import certificates
from ota.errors import InTheWay, NotOurs, OtaError
from ota.manage.listed import NOUN_BY_NAME
from ota.manage.listings import find_rows

if TYPE_CHECKING:
    from ota.cloud import Cloud

NAME = re.compile(r"[A-Za-z0-9_+=,.@:*-]+")
CERTIFICATE_ID = re.compile(r"[0-9a-f]{64}")
ID_BEGINNING = re.compile(r"[0-9a-f]{8,63}")
CERTIFICATE_ARN = re.compile(r"arn:[a-z-]+:iot:(?P<region>[a-z0-9-]+):\d{12}:cert/(?P<id>[0-9a-fA-F]{64})")
SHOWN_NAMES = 3


@dataclass(frozen=True)
class Selection:
    """What was named.

    Attributes:
        names: all that is to be deleted, each once; those by pattern at the end.
        matched: those of them that only a pattern named.
        spared: like a pattern too, and left because this tool did not make them.
        unmatched: patterns, and beginnings of ids, that nothing is like.
    """

    names: tuple[str, ...]
    matched: tuple[str, ...] = ()
    spared: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()


def split_names(given: Sequence[str]) -> list[str]:
    """Every name that was given, whether with a flag of its own or several in one, separated by blanks."""
    return [name for one in given for name in one.split()]


def select(cloud: Cloud, noun: str, names: Sequence[str], *, is_forced: bool) -> Selection:
    """The objects that these names and patterns mean. Exact names are not looked up, but for beginnings of ids.

    ``prefix`` is how this command line began, for commands in messages: ``invoke sandbox``.

    Raises:
        OtaError: something cannot be the name of such an object.
        InTheWay: the beginning of an id is that of several certificates.
        NotOurs: nothing that this tool made is like any pattern, and other objects are.
    """
    exact: list[str] = []
    unmatched: list[str] = []
    for name in names:
        if "*" in name and _checked(noun, name):
            continue
        found = _certificate_id(cloud, name) if noun == "certificate" else _checked(noun, name)
        (exact if found else unmatched).append(found or name)
    matched: list[str] = []
    spared: list[str] = []
    for pattern in (name for name in names if "*" in name):
        ours, others = _match(cloud, noun, pattern, is_forced=is_forced)
        matched += ours
        spared += others
        if not ours and not others:
            unmatched.append(pattern)
    chosen = tuple(dict.fromkeys([*exact, *matched]))
    spared = [name for name in dict.fromkeys(spared) if name not in chosen]
    if spared and not chosen:
        raise _none_ours(noun, [name for name in names if "*" in name], spared)
    return Selection(chosen, chosen[len(dict.fromkeys(exact)) :], tuple(spared), tuple(unmatched))


def shortened(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - SHOWN_NAMES:,} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(names[:SHOWN_NAMES]) + more


def counted(noun: str, count: int) -> str:
    """``1 thing``, ``2 things``."""
    return f"{count:,} {noun if count == 1 else NOUN_BY_NAME[noun].plural}"


def delete_command(noun: str, names: Sequence[str], *flags: str) -> str:
    """The command that deletes these, in backquotes."""
    words = [f"delete.{noun}"]
    for name in names:
        words += ["--name", name]
    return f"`invoke {shlex.join([*words, *flags])}`"


def _match(cloud: Cloud, noun: str, pattern: str, *, is_forced: bool) -> tuple[list[str], list[str]]:
    """Names like the pattern: those to delete, and those to leave."""
    listed = NOUN_BY_NAME[noun]
    rows = find_rows(cloud, listed, pattern)
    if is_forced:
        return [row.name for row in rows], []
    rows = listed.mark(cloud, rows)
    return [row.name for row in rows if row.is_ours], [row.name for row in rows if not row.is_ours]


def _checked(noun: str, name: str) -> str:
    if noun != "certificate" and not NAME.fullmatch(name):
        raise OtaError(
            f"{name!r} cannot be the name of a {noun}. `invoke list.{NOUN_BY_NAME[noun].plural}` shows what there is."
        )
    return name


def _certificate_id(cloud: Cloud, name: str) -> str | None:
    """The id that was meant; None where no certificate's begins like that."""
    text = name.removesuffix("…").lower()
    if CERTIFICATE_ID.fullmatch(text):
        return text
    if arn := CERTIFICATE_ARN.fullmatch(name):
        if arn["region"] != cloud.region:
            raise OtaError(
                f"The certificate {name} is in {arn['region']}, and this run works in {cloud.region}: set "
                f"AWS_REGION={arn['region']}."
            )
        return arn["id"].lower()
    if not ID_BEGINNING.fullmatch(text):
        raise OtaError(
            f"{name!r} is no certificate's id: write its 64 hex digits or at least the first 8, its ARN, or a pattern "
            f"with *. `invoke list.certificates` shows what there is."
        )
    found = [one.id for one in certificates.list_certificates(cloud.iot) if one.id.startswith(text)]
    if len(found) > 1:
        raise InTheWay(
            f"{len(found)} certificates have ids that begin with {text}: write more digits of the one that you mean "
            f"({', '.join(one[: len(text) + 8] for one in found)})."
        )
    return found[0] if found else None


def _none_ours(noun: str, patterns: Sequence[str], spared: Sequence[str]) -> NotOurs:
    return NotOurs(
        f"This tool made no {noun} with a name like {', '.join(patterns)}, so nothing was deleted. Like that, and not "
        f"made by it: {shortened(spared)}. To delete {'that' if len(spared) == 1 else 'those'} all the same: "
        f"{delete_command(noun, patterns, '--force')}."
    )
