"""Read the tables of codes and statuses that devices, AWS and its CLI report, each from its file in ``codes/``.

The classic OTA agent reports why an update failed as ``reason`` in a job execution's status details:
``rejected: 0x00000010`` or ``aborted: 0x…`` for an error of the agent, ``0x000000e3: 0x00000000`` for a status of the
platform and the platform's own number. Other firmware mostly copies these numbers. AWS reports names.

A table is one JSON file: its title, its source, and its codes with ``name``, ``number``, ``cause`` and ``remedy``. A
remedy is text, or a list of text and commands:

- ``{"invoke": "policy"}``, with ``"then"`` for a second task and ``"with"`` for settings of this command. A list in
  place of the name is the task with its words.
- ``{"shell": ["aws", "sso", "login"]}``
- ``{"shared": "wait"}``: the text of this name in the table's ``shared``.

``names_of`` in place of ``name`` gives the entry to each name of a set in ``ota/errors.py``.

Source: named in each table.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

from ota import errors
from ota.messages import AnyCommand, Command, Message, Text, message, shell

NAMES = {
    "expired": errors.EXPIRED_CODES,
    "refused key": errors.REFUSED_KEY_CODES,
    "wrong secret": errors.WRONG_SECRET_CODES,
    "denied": errors.DENIED_CODES,
    "throttled": errors.THROTTLED_CODES,
}


class TableName(str, Enum):
    """Every table, by the name of its file; first those of which a device reports codes."""

    AGENT = "agent"
    PLATFORM = "platform"
    PARSER = "parser"
    INTERFACES = "interfaces"
    PROGRESS = "progress"
    JOBS = "jobs"
    STREAMS = "streams"
    DISCONNECTS = "disconnects"
    STATUSES = "statuses"
    DEVICE_LOG = "device_log"
    CONNACK = "connack"
    AWS = "aws"


@dataclass(frozen=True)
class Code:
    """One code.

    Attributes:
        name: as devices, AWS or the AWS CLI write it.
        cause: what it means, one sentence without a full stop.
        remedy: what to do, the same; empty where nothing has to be done.
        number: where it is sent as a number.
    """

    name: str
    cause: str
    remedy: Text = ""
    number: int | None = None


@dataclass(frozen=True)
class Table:
    """The codes of one source.

    Attributes:
        title: who reports them.
        source: the document or file that they are read from.
        codes: the codes.
    """

    title: str
    source: str
    codes: tuple[Code, ...]

    def find_number(self, number: int) -> Code | None:
        """The code with this number."""
        return next((code for code in self.codes if code.number == number), None)

    def find_name(self, name: str) -> Code | None:
        """The code of this name, in any case."""
        return next((code for code in self.codes if code.name.lower() == name.lower()), None)

    def __iter__(self) -> Iterator[Code]:
        return iter(self.codes)


@cache
def read_table(name: TableName) -> Table:
    """The table in the file of this name; the file is read once."""
    found = json.loads((Path(__file__).with_name("codes") / f"{name.value}.json").read_bytes())
    shared = {key: _text(value, {}) for key, value in found.get("shared", {}).items()}
    return Table(found["title"], found["source"], tuple(_codes(found["codes"], shared)))


def read_tables(names: Iterable[TableName] = TableName) -> tuple[Table, ...]:
    """The tables of these names; all of them by default."""
    return tuple(read_table(name) for name in names)


def _codes(rows: Iterable[Mapping[str, Any]], shared: Mapping[str, Message]) -> Iterator[Code]:
    for row in rows:
        names = _names(row["names_of"]) if "names_of" in row else [row["name"]]
        number = int(row["number"], 0) if "number" in row else None
        for name in names:
            yield Code(name, row["cause"], _text(row.get("remedy", ""), shared), number)


def _names(kind: str) -> list[str]:
    """The names of this kind, without the HTTP statuses among them."""
    return [name for name in sorted(NAMES[kind]) if not name.isdigit()]


def _text(value: str | list[Any], shared: Mapping[str, Message]) -> Message:
    return message(*(_piece(one, shared) for one in ([value] if isinstance(value, str) else value)))


def _piece(value: str | Mapping[str, Any], shared: Mapping[str, Message]) -> str | AnyCommand | Message:
    if isinstance(value, str):
        return value
    if "shared" in value:
        return shared[value["shared"]]
    if "shell" in value:
        return shell(*value["shell"])
    words = value["invoke"]
    tasks = [(words,) if isinstance(words, str) else tuple(words)]
    tasks += [(value["then"],)] if "then" in value else []
    return Command(tuple(tasks), tuple(value.get("with", {}).items()))
