"""Which objects a delete task means: exact names, patterns with ``*``, the ways to name a certificate, the default.

An exact name is the user's own choice, whoever made the object. A pattern may match more than the user knows: so it
means only what this tool made, the rest only with ``--force``, and it has to be confirmed before anything is deleted.

Source: AWS IoT ListCertificates (ids are 64 hex digits); S3, IAM and IoT name rules: none allows a blank or a ``*``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ota.certificates import certificates
from ota.certificates.files import find_certificate_file
from ota.errors import InTheWay, NotOurs, OtaError
from ota.manage.listings import find_rows, mark_rows
from ota.messages import Command, command
from ota.nouns import NOUN_BY_NAME
from ota.records import Noun
from ota.updates.jobs import job_id_of

if TYPE_CHECKING:
    from ota.cloud import Cloud
    from ota.settings.settings import Settings

NAME = re.compile(r"[A-Za-z0-9_+=,.@:*-]+")
CERTIFICATE_ID = re.compile(r"[0-9a-f]{64}")
ID_BEGINNING = re.compile(r"[0-9a-f]{8,63}")
CERTIFICATE_ARN = re.compile(r"arn:[a-z-]+:iot:(?P<region>[a-z0-9-]+):\d{12}:cert/(?P<id>[0-9a-fA-F]{64})")
SHOWN_NAMES = 3


@dataclass(frozen=True)
class Selection:
    """The objects that names and patterns mean.

    Attributes:
        names: all that is to be deleted, each once; those that only a pattern matches last.
        matched: those of them that only a pattern matches.
        spared: what a pattern matches too, and what is not deleted because this tool did not make it.
        unmatched: patterns, and beginnings of ids, that match nothing.
    """

    names: tuple[str, ...]
    matched: tuple[str, ...] = ()
    spared: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()


def split_names(given: Sequence[str]) -> list[str]:
    """Every name given, whether each with a flag of its own or several in one, separated by blanks."""
    return [name for one in given for name in one.split()]


def default_name(settings: Settings, noun: Noun) -> str:
    """The name of this project's object, as the settings give it; empty where they do not."""
    if noun.own_name:
        return str(noun.own_name(settings))
    return str(getattr(settings, noun.setting)) if settings.thing_name else ""


def own_certificate(settings: Settings) -> str:
    """The certificate that the settings name, else the one in ``credentials_path``; empty where there is neither."""
    if settings.existing_certificate_arn:
        return settings.existing_certificate_arn
    path = settings.certificate_path
    local = find_certificate_file(path) if path.is_file() else None
    return local.id if local else ""


def own_job(settings: Settings) -> str:
    """The job of the update that the settings name; empty without a thing."""
    return job_id_of(settings.update_name) if settings.thing_name else ""


def select(cloud: Cloud, noun: Noun, names: Sequence[str], *, is_forced: bool) -> Selection:
    """The objects that these names and patterns mean. Exact names are not looked up, except beginnings of ids.

    Raises:
        OtaError: something cannot be the name of such an object.
        InTheWay: the beginning of an id is that of several certificates.
        NotOurs: patterns match only what this tool did not make.
    """
    for name in names:
        _check_name(noun, name)
    exact: list[str] = []
    unmatched: list[str] = []
    for name in (name for name in names if "*" not in name):
        found = _certificate_id(cloud, name) if noun.name == "certificate" else name
        (exact if found else unmatched).append(found or name)
    patterns = [name for name in names if "*" in name]
    matched: list[str] = []
    spared: list[str] = []
    for pattern in patterns:
        ours, others = _match(cloud, noun, pattern, is_forced=is_forced)
        matched += ours
        spared += others
        if not ours and not others:
            unmatched.append(pattern)
    chosen = tuple(dict.fromkeys([*exact, *matched]))
    spared = [name for name in dict.fromkeys(spared) if name not in chosen]
    if spared and not chosen:
        raise _none_ours(noun, patterns, spared)
    return Selection(chosen, chosen[len(dict.fromkeys(exact)) :], tuple(spared), tuple(unmatched))


def shortened(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - SHOWN_NAMES:,} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(names[:SHOWN_NAMES]) + more


def counted(noun: Noun, count: int) -> str:
    """``1 thing``, ``2 things``."""
    return f"{count:,} {noun.name if count == 1 else noun.plural}"


def delete_words(names: Sequence[str], *flags: str) -> tuple[str, ...]:
    """The words of a delete task after its name: ``--name lamp --force``."""
    return (*(word for name in names for word in ("--name", name)), *flags)


def delete_command(noun: str, names: Sequence[str], *flags: str) -> Command:
    """The command that deletes these."""
    return command(f"delete.{NOUN_BY_NAME[noun].delete_task}", *delete_words(names, *flags))


def list_command(noun: Noun) -> Command:
    """The command that shows what there is."""
    return command(f"list.{noun.list_task}")


def _match(cloud: Cloud, noun: Noun, pattern: str, *, is_forced: bool) -> tuple[list[str], list[str]]:
    """Names that match the pattern: those to delete, and those to leave."""
    rows = find_rows(cloud, noun, pattern)
    if is_forced:
        return [row.name for row in rows], []
    rows = mark_rows(cloud, noun, rows)
    return [row.name for row in rows if row.is_ours], [row.name for row in rows if not row.is_ours]


def _check_name(noun: Noun, name: str) -> None:
    if noun.name != "certificate" and not NAME.fullmatch(name):
        look = list_command(noun)
        raise OtaError(f"{name!r} cannot be the name of a {noun.name}. ", look, " shows what there is.", remedy=look)


def _certificate_id(cloud: Cloud, name: str) -> str | None:
    """The id that was meant; None where no certificate's id begins like that."""
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
        look = command("list.certificates")
        raise OtaError(
            f"{name!r} is no certificate's id: write its 64 hex digits or at least the first 8, its ARN, or a pattern "
            "with *. ",
            look,
            " shows what there is.",
            remedy=look,
        )
    found = [one.id for one in certificates.list_certificates(cloud.iot) if one.id.startswith(text)]
    if len(found) > 1:
        raise InTheWay(
            f"{len(found)} certificates have ids that begin with {text}: write more digits of the one that you mean "
            f"({', '.join(one[: len(text) + 8] for one in found)})."
        )
    return found[0] if found else None


def _none_ours(noun: Noun, patterns: Sequence[str], spared: Sequence[str]) -> NotOurs:
    delete = delete_command(noun.name, patterns, "--force")
    return NotOurs(
        f"This tool made no {noun.name} with a name like {', '.join(patterns)}, so nothing was deleted. Made by "
        f"others: {shortened(spared)}. To delete {'it' if len(spared) == 1 else 'them'} anyway: ",
        delete,
        ".",
        remedy=delete,
    )
