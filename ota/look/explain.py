"""What a failure code, a status or an errorInfo means and what to do about it; offline, from tables with sources.

Takes what people have at hand: a reason from a job execution's status details, the details themselves as JSON, a line
of a device's log, what the AWS CLI printed, or only a name.

Source: named in each table of ``ota/firmware/codes.py`` and ``ota/firmware/service_codes.py``; for errorInfo
``ota/update_requests.py``.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ota.errors import OtaError
from ota.firmware import codes, service_codes
from ota.firmware.codes import Code, Table
from ota.update_requests import FAILURE_SOURCE, FAILURES

if TYPE_CHECKING:
    from ota.report import Report

_NUMBERS = re.compile(r"(?:\b(rejected|aborted)\s*:\s*)?\b0x([0-9a-f]{1,8})\b(?:\s*:\s*0x([0-9a-f]{1,8})\b)?", re.I)
_CLI = re.compile(r"\((?P<code>[\w.]+)\) when calling the (?P<operation>\w+) operation")
_CONNACK = re.compile(r"\b(?:connack|rc\b|(?:return|reason) ?code)\D{0,12}?(0x[0-9a-f]+|\d+)\b", re.I)
_PROGRESS = re.compile(r"\d+/\d+")
_ACCEPTED = re.compile(r"accepted\s+v[\d.]+")
_LAST_SUB_BITS = 24
_SUB_MASK = 0xFFFFFF
_NAMED_TABLES = (*codes.TABLES, *service_codes.DEVICE_TABLES, service_codes.CONNACK, service_codes.AWS)


@dataclass(frozen=True)
class Explanation:
    """What one piece of a text means.

    Attributes:
        name: the code by its name.
        said_by: who says it: "OTA agent".
        cause: one sentence without a full stop.
        remedy: what to do; empty where nothing has to be done.
        source: where the meaning is from.
    """

    name: str
    said_by: str
    cause: str
    remedy: str
    source: str

    def as_json(self) -> dict[str, Any]:
        """The explanation as plain values."""
        return asdict(self)

    def __str__(self) -> str:
        """Cause and remedy in one line."""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.name}: {self.cause}{remedy}"


def explain(text: str) -> tuple[Explanation, ...]:
    """Everything that is known about this text; empty where nothing is. A name may mean two things."""
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
    """The known names that are most like this text."""
    names = {code.name.lower(): code.name for table in _NAMED_TABLES for code in table}
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
            report.say(f"  remedy  {one.remedy}.")
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
    """Platform statuses and the agent's errors share one row of numbers; the second number belongs to the first."""
    for table in (codes.PLATFORM, codes.AGENT, codes.INTERFACES):
        code = table.find_number(number)
        if code is None:
            continue
        if table is codes.PLATFORM and sub_number:
            note = f" (the port's own number is 0x{sub_number:06x}; its source says what that is)"
            code = Code(code.name, code.cause + note, code.remedy)
        yield _explanation(code, table)
        parsed = codes.PARSER.find_number(sub_number) if code.name == "OtaErrJobParserError" else None
        if parsed:
            yield _explanation(parsed, codes.PARSER)


def _by_whole_name(text: str) -> Iterator[Explanation]:
    for table in _NAMED_TABLES:
        code = table.find_name(text.rstrip("."))
        if code:
            yield _explanation(code, table)


def _from_cli(text: str) -> Iterator[Explanation]:
    match = _CLI.search(text)
    code = service_codes.AWS.find_name(match["code"]) if match else None
    if match and code:
        explained = _explanation(code, service_codes.AWS)
        yield Explanation(f"{code.name} of {match['operation']}", *list(asdict(explained).values())[1:])


def _by_connack(text: str) -> Iterator[Explanation]:
    match = _CONNACK.search(text)
    code = service_codes.CONNACK.find_number(int(match[1], 0)) if match else None
    if code:
        yield _explanation(code, service_codes.CONNACK)


def _by_detail(text: str) -> Iterator[Explanation]:
    name = "receive" if _PROGRESS.fullmatch(text) else "accepted" if _ACCEPTED.fullmatch(text) else ""
    code = codes.DETAILS.find_name(name)
    if code:
        yield _explanation(code, codes.DETAILS)


def _by_word(text: str) -> Iterator[Explanation]:
    """Names that stand in a longer text, as they are written."""
    tables = (codes.AGENT, codes.PLATFORM, codes.PARSER, codes.INTERFACES)
    for table in (*tables, *service_codes.DEVICE_TABLES):
        for code in table:
            if re.search(rf"(?<!\w){re.escape(code.name)}(?!\w)", text):
                yield _explanation(code, table)


def _by_error_info(text: str) -> Iterator[Explanation]:
    failure = next((failure for failure in FAILURES if failure.pattern.search(text)), None)
    if failure:
        patience = "; seconds after a role was made it may go away by itself" if failure.is_settling else ""
        cause = f"AWS could not make or delete the OTA update{patience}"
        yield Explanation("errorInfo", "OTA update service", cause, str(failure.advice).rstrip("."), FAILURE_SOURCE)


def _by_aws_code(text: str) -> Iterator[Explanation]:
    for code in service_codes.AWS:
        if re.search(rf"(?<!\w){re.escape(code.name)}(?!\w)", text):
            yield _explanation(code, service_codes.AWS)


def _explanation(code: Code, table: Table) -> Explanation:
    return Explanation(code.name, table.title, code.cause, code.remedy, table.source)


# The surest first; the first that knows something counts.
_LOOKS = (_by_number, _by_whole_name, _from_cli, _by_connack, _by_detail, _by_word, _by_error_info, _by_aws_code)
