"""Explain a failure code, a status or an errorInfo: what it means and what to do about it, from tables, offline.

The text may be a reason from a job execution's status details, the details themselves as JSON, a line of a device's
log, what the AWS CLI printed, or only a name.

Source: named in each table of ``ota/firmware/codes/``; for errorInfo ``ota/updates/requests.py``.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ota.errors import OtaError
from ota.firmware.codes import Code, Table, TableName, read_table, read_tables
from ota.messages import Message, Text, message
from ota.updates.requests import FAILURE_SOURCE, FAILURES

if TYPE_CHECKING:
    from ota.report import Report

_NUMBERS = re.compile(r"(?:\b(rejected|aborted)\s*:\s*)?\b0x([0-9a-f]{1,8})\b(?:\s*:\s*0x([0-9a-f]{1,8})\b)?", re.I)
_CLI = re.compile(r"\((?P<code>[\w.]+)\) when calling the (?P<operation>\w+) operation")
_CONNACK = re.compile(r"\b(?:connack|rc\b|(?:return|reason) ?code)\D{0,12}?(0x[0-9a-f]+|\d+)\b", re.I)
_PROGRESS = re.compile(r"\d+/\d+")
_ACCEPTED = re.compile(r"accepted\s+v[\d.]+")
_LAST_SUB_BITS = 24
_SUB_MASK = 0xFFFFFF
# Platform statuses and the agent's errors share one range of numbers.
_NUMBERED = (TableName.PLATFORM, TableName.AGENT, TableName.INTERFACES)
# A word such as "accepted" in a longer text is no progress, and names of the API are looked for last.
_NOT_IN_TEXTS = (TableName.PROGRESS, TableName.CONNACK, TableName.AWS)


@dataclass(frozen=True)
class Explanation:
    """What one piece of a text means.

    Attributes:
        name: the code by its name.
        said_by: who reports it: "OTA agent".
        cause: one sentence without a full stop.
        remedy: what to do; empty where nothing has to be done.
        source: the document that the meaning is from.
    """

    name: str
    said_by: str
    cause: str
    remedy: Text
    source: str

    def as_json(self) -> dict[str, Any]:
        """The explanation as plain values, the commands in it still to be rendered."""
        return {
            "name": self.name,
            "said_by": self.said_by,
            "cause": self.cause,
            "remedy": self.remedy,
            "source": self.source,
        }

    def in_one_line(self) -> Message:
        """Cause and remedy in one line."""
        remedy = message("; ", self.remedy) if self.remedy else ""
        return message(f"{self.name}: {self.cause}", remedy)


def explain(text: str) -> tuple[Explanation, ...]:
    """Every meaning of this text that is known; a name may have two."""
    text = text.strip()
    values = _json_texts(text)
    if values is not None:
        return tuple(dict.fromkeys(found for value in values for found in explain(value)))
    for look in _LOOKS:
        found = tuple(look(text))
        if found:
            return found
    return ()


def nearest(text: str, count: int = 3) -> tuple[str, ...]:
    """The known names that resemble this text most."""
    names = {code.name.lower(): code.name for table in read_tables() for code in table}
    close = difflib.get_close_matches(text.strip().lower(), names, n=count, cutoff=0.6)
    return tuple(names[name] for name in close)


def show(report: Report, text: str, *, as_json: bool) -> None:
    """Print what the text means.

    Raises:
        OtaError: nothing is known about it.
    """
    found, close = explain(text), nearest(text)
    if as_json:
        report.document({"text": text, "explanations": [one.as_json() for one in found], "nearest": close})
    for one in () if as_json else found:
        report.say(f"{one.name} ({one.said_by})\n  cause   {one.cause}.")
        if one.remedy:
            report.say(message("  remedy  ", one.remedy, "."))
        report.say(f"  source  {one.source}")
    if not found:
        meant = f" Nearest: {', '.join(close)}." if close else ""
        raise OtaError(f"Nothing is known about {text!r}.{meant} Give it as it was said, in quotes.")


def _json_texts(text: str) -> list[str] | None:
    """The texts in a JSON object, keys where those say what their values are; None where it is none."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return list(_texts_of(value)) if isinstance(value, dict) else None


def _texts_of(value: dict[str, Any]) -> Iterator[str]:
    for key, item in value.items():
        if isinstance(item, dict):
            yield from _texts_of(item)
        elif key in ("self_test", "receive", "updatedBy"):
            yield key
        elif isinstance(item, str):
            yield item


def _by_number(text: str) -> Iterator[Explanation]:
    match = _NUMBERS.search(text)
    if match is None or _CONNACK.search(text):
        return
    number = int(match[2], 16)
    if match[3] is not None:
        yield from _by_main_number(number, int(match[3], 16))
    elif number >> _LAST_SUB_BITS:
        yield from _by_main_number(number >> _LAST_SUB_BITS, number & _SUB_MASK)
    else:
        yield from _by_main_number(number, 0)


def _by_main_number(number: int, sub_number: int) -> Iterator[Explanation]:
    """The meanings of a number; the second number belongs to the first, and is the port's or the parser's own."""
    for name in _NUMBERED:
        table = read_table(name)
        code = table.find_number(number)
        if code is None:
            continue
        if name is TableName.PLATFORM and sub_number:
            note = f" (the port's own number is 0x{sub_number:06x}; see the port's source)"
            code = replace(code, cause=code.cause + note)
        yield _explanation(code, table)
        parser = read_table(TableName.PARSER)
        parsed = parser.find_number(sub_number) if code.name == "OtaErrJobParserError" else None
        if parsed:
            yield _explanation(parsed, parser)


def _by_whole_name(text: str) -> Iterator[Explanation]:
    for table in read_tables():
        code = table.find_name(text.rstrip("."))
        if code:
            yield _explanation(code, table)


def _from_cli(text: str) -> Iterator[Explanation]:
    match, table = _CLI.search(text), read_table(TableName.AWS)
    code = table.find_name(match["code"]) if match else None
    if match and code:
        yield _explanation(replace(code, name=f"{code.name} of {match['operation']}"), table)


def _by_connack(text: str) -> Iterator[Explanation]:
    match, table = _CONNACK.search(text), read_table(TableName.CONNACK)
    code = table.find_number(int(match[1], 0)) if match else None
    if code:
        yield _explanation(code, table)


def _by_detail(text: str) -> Iterator[Explanation]:
    name = "receive" if _PROGRESS.fullmatch(text) else "accepted" if _ACCEPTED.fullmatch(text) else ""
    table = read_table(TableName.PROGRESS)
    code = table.find_name(name)
    if code:
        yield _explanation(code, table)


def _by_word(text: str) -> Iterator[Explanation]:
    """Names of devices and services in a longer text, in their own case."""
    return _named_in(text, [name for name in TableName if name not in _NOT_IN_TEXTS])


def _by_aws_code(text: str) -> Iterator[Explanation]:
    return _named_in(text, [TableName.AWS])


def _named_in(text: str, names: list[TableName]) -> Iterator[Explanation]:
    for table in read_tables(names):
        for code in table:
            if re.search(rf"(?<!\w){re.escape(code.name)}(?!\w)", text):
                yield _explanation(code, table)


def _by_error_info(text: str) -> Iterator[Explanation]:
    failure = next((failure for failure in FAILURES if failure.pattern.search(text)), None)
    if failure:
        patience = "; seconds after a role was made it may go away by itself" if failure.is_settling else ""
        cause = f"AWS could not make or delete the OTA update{patience}"
        yield Explanation("errorInfo", "OTA update service", cause, str(failure.advice).rstrip("."), FAILURE_SOURCE)


def _explanation(code: Code, table: Table) -> Explanation:
    return Explanation(code.name, table.title, code.cause, code.remedy, table.source)


# The most specific first; the first that finds a meaning counts.
_LOOKS = (_by_number, _by_whole_name, _from_cli, _by_connack, _by_detail, _by_word, _by_error_info, _by_aws_code)
