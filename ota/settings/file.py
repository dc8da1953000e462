"""Read config.json: keys and values as text, and everything that is wrong with the file's form.

Values become text whatever JSON type they have, since a setting may come from the environment or a flag as well,
where everything is text. A file that is no JSON at all ends the run at once; unknown and doubled keys and values
that are no text are handed back as problems, so that they are reported together with the others.

Source: RFC 8259; Arm's ``createIoTThings_settings.json`` for ``<SETTING>_DEFAULT``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ota.errors import SettingsError
from ota.settings.references import around, nearest

DEFAULT_SUFFIX = "_DEFAULT"


@dataclass(frozen=True)
class ConfigFile:
    """The texts of one file by key (``thing_name``, ``policy_name_DEFAULT``, …), and its problems."""

    path: Path
    values: dict[str, str]
    problems: tuple[str, ...] = ()


def read_config(path: Path, known: Collection[str]) -> ConfigFile:
    """Read a UTF-8 JSON object (a byte order mark and Windows line ends are fine).

    Args:
        path: the file.
        known: the names of the settings; each may also stand with ``_DEFAULT`` behind it.

    Raises:
        SettingsError: the file is missing, cannot be read, or is not a JSON object.
    """
    pairs = _parse(path, _read_text(path))
    keys = {*known, *(f"{name}{DEFAULT_SUFFIX}" for name in known)}
    problems = [
        f'{path.name}: "{key}" stands there {count} times; keep one of them'
        for key, count in Counter(key for key, _ in pairs).items()
        if count > 1
    ]
    problems += [_unknown_key(path, key, keys) for key in dict(pairs) if key not in keys]
    problems += [
        f'{path.name}: "{key}" is a list or an object; write a text, a number, true or false'
        for key, value in pairs
        if isinstance(value, list)
    ]
    return ConfigFile(path, {key: _as_text(value) for key, value in pairs if key in keys}, tuple(problems))


def _read_text(path: Path) -> str:
    out = "name another file with OTA_CONFIG or `invoke with --config-file FILE`"
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        way = f"put the shipped config.json there again (git checkout config.json), or {out}"
        raise SettingsError([f"the settings file {path} does not exist; {way}"]) from error
    except OSError as error:
        raise SettingsError([f"the settings file {path} cannot be read ({error.strerror}); {out}"]) from error
    except UnicodeDecodeError as error:
        raise SettingsError([f"{path}: byte {error.start + 1} is not UTF-8; save the file as UTF-8"]) from error


def _parse(path: Path, text: str) -> list[tuple[str, object]]:
    """The pairs of the file's one object, in its order, doubled keys included; numbers as they are written."""
    try:
        document = json.loads(text, object_pairs_hook=_Pairs, parse_int=str, parse_float=str, parse_constant=str)
    except json.JSONDecodeError as error:
        line = around(text.split("\n")[error.lineno - 1], error.colno - 1).strip()
        where = f"{path}, line {error.lineno}, column {error.colno}"
        hint = "look there and at the end of the line before for a missing quote, a comma too many or too few"
        raise SettingsError([f"{where}: {error.msg}: {line or 'end of the file'}; {hint}"]) from error
    except RecursionError:
        raise SettingsError([f"{path}: its lists or objects stand in one another too deep; write texts only"]) from None
    if not isinstance(document, _Pairs):
        raise SettingsError([f'{path} holds no JSON object; write {{"thing_name": "…", …}}'])
    return list(document)


class _Pairs(list[tuple[str, object]]):
    """A JSON object as its pairs, told apart from a JSON array."""


def _unknown_key(path: Path, key: str, known: Collection[str]) -> str:
    close = nearest(key, known)
    fix = f'did you mean "{close}"?' if close else "remove it; the settings are listed in the README"
    return f'{path.name}: "{key}" is no setting; {fix}'


def _as_text(value: object) -> str:
    """The text a user would have written in quotes; nothing for null and for what has no text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.strip() if isinstance(value, str) else ""
