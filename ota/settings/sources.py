"""Where the text of a setting comes from, and which source wins.

The first of these that gives a text wins: a flag of ``invoke with``, the sandbox, ``OTA_<SETTING>`` in the environment,
the value in the settings file, its ``<SETTING>_DEFAULT`` in the file, the built-in default, the default of the
firmware's profile, the sandbox's stand-in. An empty text does not count, and neither does a placeholder such as
``<your_thing_name>``.

The sandbox wins over the environment, because a sandbox run must not change what the environment points to. A flag wins
over the sandbox, because the user typed it for this run. The settings of a firmware tree are the user's in the sandbox
too, where there is such a tree: it works on a copy.

Values of the file become text whatever JSON type they have, because the environment and flags are text. A file that is
not JSON ends the run at once; other mistakes in its form are returned, to be reported together with the rest.

Source: RFC 8259; Arm's ``createIoTThings_settings.json`` for ``<SETTING>_DEFAULT``.
"""

from __future__ import annotations

import difflib
import json
import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ota.errors import Problem, SettingsError
from ota.messages import command, help_command, message
from ota.profiles import Profile
from ota.settings.formatter import around, nearest, quoted
from ota.settings.readers import read_words
from ota.settings.setting import Setting
from ota.settings.table import SETTINGS

Value = str | int | float | bool | None

DEFAULT_SUFFIX = "_DEFAULT"
WITH_FLAG = "with flag"
BUILT_IN = "built-in default"
BY_PROFILE = "firmware profile"
UNSET = "unset"
SANDBOX = "sandbox"
_OTHER_VARIABLES = frozenset({"OTA_CONFIG", "OTA_SANDBOX"})
_PLACEHOLDER = re.compile(r"(?<!\$)<[^<>$]+>")
# Other tools have variables that start with OTA_; only a name this close to one of ours is taken for a typing mistake.
_TYPO_RATIO = 0.9


@dataclass(frozen=True)
class ConfigFile:
    """The texts of one settings file by key (``thing_name``, ``policy_name_DEFAULT``, …), and its problems."""

    path: Path
    values: dict[str, str]
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Choice:
    """The text that won for one setting.

    Attributes:
        raw: as it was written; empty where the setting is unset.
        source: where it comes from: "with flag", "OTA_THING_NAME", "config.json", "config.json default", …
        label: where to change it, as a problem names it: "config.json: thing_name_DEFAULT", "--thing-name", …
        is_default: the user did not choose this text for this setting, so the tool may make the name valid.
        is_bound: ``format_vars`` limits what this text may refer to.
    """

    raw: str
    source: str
    label: str
    is_default: bool = False
    is_bound: bool = False


@dataclass(frozen=True)
class Sources:
    """All sources, as they were given; enough to make the settings again for another account.

    Attributes:
        users: settings for which the user's text counts in the sandbox too, because it uses the user's firmware.
    """

    file: ConfigFile
    environ: Mapping[str, str] = field(repr=False)
    overrides: Mapping[str, Value] = field(default_factory=dict)
    is_sandbox: bool = False
    users: frozenset[str] = frozenset()
    stand_ins: Mapping[str, str] = field(default_factory=dict)


def choose(name: str, sources: Sources) -> Choice:
    """The text that wins for one setting, without a default of the firmware's profile."""
    return _choose(SETTINGS[name], sources)


def choose_all(sources: Sources, profile: Profile | None) -> dict[str, Choice]:
    """For every setting, the text that wins; some defaults are those of ``profile``."""
    chosen = {name: _choose(row, sources) for name, row in SETTINGS.items()}
    defaults = profile.defaults if profile else {}
    by_profile = {
        name: Choice(text, BY_PROFILE, f"{name} ({BY_PROFILE})", is_default=True)
        for name, text in defaults.items()
        if text and not chosen[name].raw
    }
    return chosen | by_profile


def is_placeholder(text: str) -> bool:
    """Whether the text still says what to write there: ``<your_thing_name>``, but not ``$<thing_name>``."""
    return bool(_PLACEHOLDER.search(text))


def source_problems(sources: Sources) -> Iterator[Problem]:
    """What is wrong with the form of the file, and with the names of flags and environment variables."""
    yield from sources.file.problems
    for name in sources.overrides:
        if name not in SETTINGS:
            close = nearest(name, SETTINGS)
            flag = f"--{name.replace('_', '-')} is not a setting; "
            fix = [f"did you mean {SETTINGS[close].flag}?"] if close else [help_command("with"), " lists them"]
            yield Problem(message(flag, *fix))
    yield from _typing_mistakes(sources.environ)


def read_config(path: Path) -> ConfigFile:
    """Read a UTF-8 JSON object (a byte order mark and Windows line ends are fine).

    Raises:
        SettingsError: the file is missing, cannot be read, or is not a JSON object.
    """
    pairs = [(key, _command_line(key, value)) for key, value in _parse(path, _read_text(path))]
    keys = {*SETTINGS, *(f"{name}{DEFAULT_SUFFIX}" for name in SETTINGS)}
    said = [
        f'"{key}" appears {count} times; keep one of them'
        for key, count in Counter(key for key, _ in pairs).items()
        if count > 1
    ]
    said += [_unknown_key(key, keys) for key in dict(pairs) if key not in keys]
    said += [
        f"{quoted(key)} is a list or an object; write a text, a number, true or false"
        for key, value in pairs
        if isinstance(value, list)
    ]
    texts = {key: _json_text(value) for key, value in pairs if key in keys}
    return ConfigFile(path, texts, tuple(Problem(one, path.name) for one in said))


def _choose(row: Setting[Any], sources: Sources) -> Choice:
    name, file_name, texts = row.name, sources.file.path.name, sources.file.values
    file_default = texts.get(name + DEFAULT_SUFFIX, "")
    moved, stand_in = (row.sandbox_text, row.sandbox.stand_in) if sources.is_sandbox else ("", "")
    moved = "" if name in sources.users else moved
    stand_in = sources.stand_ins.get(name, stand_in)
    candidates = (
        Choice(_flag_text(sources.overrides.get(name)), WITH_FLAG, row.flag, is_bound=True),
        Choice(moved, SANDBOX, f"{name} in the sandbox"),
        Choice(sources.environ.get(row.variable, ""), row.variable, row.variable, is_bound=True),
        Choice(texts.get(name, ""), file_name, f"{file_name}: {name}", is_bound=True),
        Choice(
            file_default,
            f"{file_name} default",
            f"{file_name}: {name}{DEFAULT_SUFFIX}",
            is_default=True,
            is_bound=file_default != row.default,
        ),
        Choice(row.default, BUILT_IN, f"{name} ({BUILT_IN})", is_default=True),
        Choice(stand_in, SANDBOX, f"{name} in the sandbox"),
    )
    given = (each for each in candidates if each.raw.strip() and not is_placeholder(each.raw))
    return next(given, Choice("", UNSET, name, is_default=True))


def _typing_mistakes(environ: Mapping[str, str]) -> Iterator[Problem]:
    """Variables whose names are almost, but not quite, the variable of a setting."""
    known = {row.variable for row in SETTINGS.values()}
    for name in sorted(name for name in environ if name.startswith("OTA_") and name not in known | _OTHER_VARIABLES):
        if close := difflib.get_close_matches(name, known, n=1, cutoff=_TYPO_RATIO):
            fix = f"did you mean {close[0]}? (unset it if it belongs to another tool)"
            yield Problem(f"the variable {name} is not a setting; {fix}")


def _read_text(path: Path) -> str:
    another = message("name another file with OTA_CONFIG or ", command("all", config_file="FILE"))
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise _file_error(
            f"the settings file {path} does not exist: ", command("init"), " writes one to start with; or ", another
        ) from error
    except OSError as error:
        raise _file_error(f"the settings file {path} cannot be read ({error.strerror}); ", another) from error
    except UnicodeDecodeError as error:
        raise _file_error(f"{path}: byte {error.start + 1} is not UTF-8; save the file as UTF-8") from error


def _parse(path: Path, text: str) -> list[tuple[str, object]]:
    """The pairs of the file's one object, in its order, repeated keys included; numbers as they are written."""
    try:
        document = json.loads(text, object_pairs_hook=_Pairs, parse_int=str, parse_float=str, parse_constant=str)
    except json.JSONDecodeError as error:
        line = around(text.split("\n")[error.lineno - 1], error.colno - 1).strip()
        where = f"{path}, line {error.lineno}, column {error.colno}"
        hint = "look there and at the end of the line before for a missing quote, a missing comma or one too many"
        raise _file_error(f"{where}: {error.msg}: {line or 'end of the file'}; {hint}") from error
    except RecursionError:
        raise _file_error(f"{path}: its lists or objects are nested too deeply; write texts only") from None
    if not isinstance(document, _Pairs):
        raise _file_error(f'{path} is not a JSON object; write {{"thing_name": "…", …}}')
    return list(document)


class _Pairs(list[tuple[str, object]]):
    """A JSON object as its pairs, distinct from a JSON array."""


def _file_error(*pieces: Any) -> SettingsError:
    return SettingsError([Problem(message(*pieces))])


def _command_line(key: str, value: object) -> object:
    """The line of a command that is written as a list of words; any other value as it is."""
    row = SETTINGS.get(key.removesuffix(DEFAULT_SUFFIX))
    if row is None or row.read is not read_words or not isinstance(value, list) or isinstance(value, _Pairs):
        return value
    words = [one for one in value if isinstance(one, str)]
    return shlex.join(words) if len(words) == len(value) else value


def _unknown_key(key: str, known: Collection[str]) -> str:
    close = nearest(key, known)
    fix = f'did you mean "{close}"?' if close else "remove it; the settings are listed in the README"
    return f"{quoted(key)} is not a setting; {fix}"


def _json_text(value: object) -> str:
    """The text that a user would have written in quotes; empty for null and for what is not a text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.strip() if isinstance(value, str) else ""


def _flag_text(value: Value) -> str:
    """The text of a value given with a flag; empty for None."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
