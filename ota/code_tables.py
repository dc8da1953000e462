"""What the tables of codes are made of: one entry a code, one table a source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


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
    remedy: str = ""
    number: int | None = None


@dataclass(frozen=True)
class Table:
    """The codes of one source.

    Attributes:
        title: who says them.
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
