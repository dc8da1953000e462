"""Reads and checks the list of devices to register, and writes the part of it that was refused.

The list is CSV with a header line, or JSON lines. ``thing_name`` names the device. ``csr`` is optional: a signing
request in PEM, or the path of one beside the list, for a key that was made in the factory and never was here. Every
other column is an attribute of the thing.

A provisioning template declares the same attributes for all lines, so each line has a value for each of them. A thing
without a type has at most three attributes, and one of them says that this tool registered it.

Everything is checked before the first call, and all that is wrong is told at once, by line number.

Source: AWS IoT API reference, CreateThing (names, attribute names and values); quotas (attributes of a thing);
Developer Guide, "Provisioning templates"; RFC 4180.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ota import ownership
from ota.errors import OtaError
from ota.fleet.signing_requests import Unusable, read_signing_request
from ota.messages import Message, Text, joined, message
from ota.settings.names import thing_name_problem

NAME, CSR = "thing_name", "csr"
JSON_LINES = {".jsonl", ".ndjson", ".json"}
MOST_ATTRIBUTES = 2  # three without a thing type, and one is the mark
ATTRIBUTE_NAME = re.compile(r"[a-zA-Z0-9_.,@/:#-]{1,128}")
ATTRIBUTE_VALUE = re.compile(r"[a-zA-Z0-9_.,@/:#=\[\]-]{1,800}")
RESERVED = (ownership.MANAGED_BY_KEY, ownership.OTA_THING_KEY)
MOST_TOLD = 100
FAILED = ".failed"
CSV_FIELD_CHARS = 1 << 20


class Device(NamedTuple):
    """One line of the list.

    Attributes:
        line: its number in the file, from 1.
        name: the thing's name.
        values: what the line has for each column of the list.
        csr: the signing request in PEM; empty where the key is made here.
    """

    line: int
    name: str
    values: tuple[str, ...]
    csr: str = ""


class Refusal(NamedTuple):
    """A device that was not registered, and why."""

    device: Device
    cause: Text

    @property
    def text(self) -> Message:
        """Line number, name and cause."""
        return message(f"line {self.device.line}: {self.device.name}: ", self.cause)


@dataclass(frozen=True)
class DeviceList:
    """A list that was read and checked.

    Attributes:
        path: its file.
        columns: the names of its columns, in their order.
        devices: its lines.
    """

    path: Path
    columns: tuple[str, ...]
    devices: tuple[Device, ...]

    @property
    def attributes(self) -> tuple[str, ...]:
        """The columns that are attributes of the thing."""
        return tuple(one for one in self.columns if one not in (NAME, CSR))

    def attributes_of(self, device: Device) -> tuple[str, ...]:
        """The values of the attributes, in their order."""
        return tuple(value for name, value in zip(self.columns, device.values, strict=True) if name not in (NAME, CSR))


def read_device_list(path: Path, *, own_thing: str = "") -> DeviceList:
    """Read and check the list; ``own_thing`` is the thing of the settings, which has a task of its own.

    Raises:
        OtaError: the file cannot be read, or something in it is wrong; every mistake with its line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise OtaError(f"There is no file {path}: name a CSV file with the column {NAME} as --file.") from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise OtaError(f"The list {path} cannot be read: {why}.") from error
    reader = _JsonLines(text) if _is_json(path, text) else _Csv(text)
    checks = _Checks(path.parent, reader.columns, own_thing)
    devices = tuple(one for line, values in reader.rows() if (one := checks.device(line, values)))
    problems = sorted([*reader.problems, *checks.problems])
    if not problems and not devices:
        problems = [(1, "no devices")]
    if problems:
        raise _refusal(path, problems)
    return DeviceList(path, reader.columns, devices)


def failed_path(path: Path, folder_path: Path) -> Path:
    """Where the refused lines of a list go: ``devices.failed.csv`` in the folder; of that list, the same again."""
    stem = path.stem if path.stem.endswith(FAILED) else f"{path.stem}{FAILED}"
    return folder_path / f"{stem}{path.suffix}"


def failed_text(listed: DeviceList, failed: Sequence[Device]) -> str:
    """These lines in the form of the list that they came from."""
    if listed.path.suffix in JSON_LINES:
        rows = (dict(zip(listed.columns, one.values, strict=True)) for one in failed)
        return "".join(f"{json.dumps({name: value for name, value in row.items() if value})}\n" for row in rows)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(listed.columns)
    writer.writerows(one.values for one in failed)
    return out.getvalue()


def made_up_list(thing_name: str, count: int) -> str:
    """A list of ``lamp-1`` and on, as CSV; for the sandbox."""
    return f"{NAME}\n" + "".join(f"{thing_name}-{number}\n" for number in range(1, count + 1))


Problems = list[tuple[int, str]]


class _Csv:
    """Rows of a CSV file, whose separator is a comma, or a semicolon as some spreadsheets have it."""

    def __init__(self, text: str) -> None:
        csv.field_size_limit(CSV_FIELD_CHARS)
        header, _, _ = text.partition("\n")
        separator = ";" if ";" in header and "," not in header else ","
        self._reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        self.problems: Problems = []
        self.columns = tuple(name.strip() for name in next(self._rows(), (1, []))[1])

    def rows(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Line number and values of each row that has a value for each column."""
        for line, row in self._rows():
            if len(row) != len(self.columns):
                self.problems.append((line, f"{len(row)} values for {len(self.columns)} columns"))
            else:
                yield line, tuple(value.strip() for value in row)

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        while True:
            begins_at = self._reader.line_num + 1
            try:
                row = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                self.problems.append((begins_at, f"not CSV ({error})"))
                return
            if any(value.strip() for value in row):
                yield begins_at, row


class _JsonLines:
    """Rows of a file of JSON objects, one a line."""

    def __init__(self, text: str) -> None:
        self.problems: Problems = []
        self._objects = dict(self._read(text))
        self.columns = tuple(dict.fromkeys(name for one in self._objects.values() for name in one))

    def rows(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Line number and values of each object, empty for what it does not have."""
        for line, found in self._objects.items():
            yield line, tuple(found.get(name, "").strip() for name in self.columns)

    def _read(self, text: str) -> Iterator[tuple[int, dict[str, str]]]:
        for line, written in enumerate(text.splitlines(), 1):
            if not written.strip():
                continue
            found = _parsed(written)
            if isinstance(found, dict) and all(isinstance(value, str) for value in found.values()):
                yield line, found
            else:
                self.problems.append((line, "not a JSON object of texts"))


class _Checks:
    """Checks columns and lines against AWS's rules, and collects what is wrong."""

    def __init__(self, folder_path: Path, columns: Sequence[str], own_thing: str) -> None:
        self.problems: Problems = [(1, text) for text in _column_problems(columns)]
        self._folder_path, self._columns, self._own_thing = folder_path, columns, own_thing
        self._is_named = NAME in columns
        self._lines: dict[str, int] = {}
        self._key_lines: dict[bytes, int] = {}

    def device(self, line: int, values: tuple[str, ...]) -> Device | None:
        """The line as a device; None where something is wrong with it."""
        if not self._is_named:
            return None
        known = len(self.problems)
        row = dict(zip(self._columns, values, strict=True))
        name = row[NAME]
        self._check_name(line, name)
        for attribute, value in row.items():
            if attribute not in (NAME, CSR):
                self._tell(line, _value_problem(attribute, value))
        csr = self._read_csr(line, row.get(CSR, ""))
        return Device(line, name, values, csr) if len(self.problems) == known else None

    def _check_name(self, line: int, name: str) -> None:
        if problem := thing_name_problem(name):
            self._tell(line, f'{NAME} "{name}": {problem}')
        elif name == self._own_thing:
            self._tell(line, f"{name} is the thing of the settings, which has its own task; take the line out")
        elif self._lines.setdefault(name, line) != line:
            self._tell(line, f"{name} is on line {self._lines[name]} already")

    def _read_csr(self, line: int, written: str) -> str:
        if not written:
            return ""
        try:
            request = read_signing_request(written, self._folder_path)
        except Unusable as refusal:
            self._tell(line, f"{CSR}: {refusal}")
            return ""
        if self._key_lines.setdefault(request.public_key, line) != line:
            self._tell(line, f"{CSR}: its key is the one of line {self._key_lines[request.public_key]}")
        return request.pem

    def _tell(self, line: int, text: str) -> None:
        if text:
            self.problems.append((line, text))


def _column_problems(columns: Sequence[str]) -> Iterator[str]:
    if NAME not in columns:
        found = ", ".join(filter(None, columns)) or "none"
        yield f"no column {NAME} (columns: {found})"
        return
    yield from (f'the column "{name}" is there twice' for name in {one for one in columns if columns.count(one) > 1})
    attributes = [one for one in columns if one not in (NAME, CSR)]
    for name in attributes:
        if not ATTRIBUTE_NAME.fullmatch(name):
            yield f'the column "{name}" cannot be an attribute: 1 to 128 of a-z A-Z 0-9 _ . , @ / : # -'
        elif name in RESERVED:
            yield f"the column {name} is this tool's own mark; call it something else"
    if len(attributes) > MOST_ATTRIBUTES:
        yield (
            f"{len(attributes)} attributes ({', '.join(attributes)}): AWS allows a thing without a type three, and one "
            f"of them marks it as registered by this tool; leave {MOST_ATTRIBUTES}"
        )


def _value_problem(attribute: str, value: str) -> str:
    if not value:
        return f"no value for {attribute}, which other lines have; all lines have the same attributes"
    if ATTRIBUTE_VALUE.fullmatch(value):
        return ""
    return f'{attribute} "{value[:40]}": a value has 1 to 800 of a-z A-Z 0-9 _ . , @ / : # = [ ] -'


def _is_json(path: Path, text: str) -> bool:
    return path.suffix in JSON_LINES or text.lstrip().startswith("{")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _refusal(path: Path, problems: Problems) -> OtaError:
    told = [f"  line {line}: {text}" for line, text in problems[:MOST_TOLD]]
    more = len(problems) - len(told)
    rest = [f"  and {more} more"] if more else []
    return OtaError(f"{path} cannot be registered as it is; nothing was done:\n", joined("\n", [*told, *rest]))
