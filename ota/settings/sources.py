"""Who has a say on a setting, and who wins.

First wins: a flag of ``invoke with``, the scope (in the sandbox: its own folders), ``OTA_<SETTING>`` in the
environment, the value in the file, its ``<SETTING>_DEFAULT`` in the file, the built-in default, the default of the
firmware's profile, a stand-in. An empty
text is no say, and neither is a placeholder such as ``<your_thing_name>``, which tells the reader what belongs there.

The scope beats the environment because a sandbox run must not touch what the environment points to; a flag beats
the scope because it was typed for this very run.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ota.profiles import find_profile
from ota.settings.file import DEFAULT_SUFFIX, ConfigFile
from ota.settings.references import nearest
from ota.settings.table import FIELD_BY_NAME, FIELDS, Field

Value = str | int | float | bool | None

BUILT_IN = "built-in default"
BY_PROFILE = "firmware profile"
UNSET = "unset"
SCOPE = "sandbox"
_OTHER_VARIABLES = frozenset({"OTA_CONFIG", "OTA_SANDBOX"})
_PLACEHOLDER = re.compile(r"(?<!\$)<[^<>$]+>")
# Other tools have variables that start with OTA_; only a name this close to one of ours is a slip of the pen.
_SLIP_RATIO = 0.9


@dataclass(frozen=True)
class Choice:
    """The text that won for one setting.

    Attributes:
        raw: as it was written; empty where the setting is unset.
        source: who said it: "with flag", "OTA_THING_NAME", "config.json", "config.json default", …
        label: where to change it, as an error names it: "config.json: thing_name_DEFAULT", "--thing-name", …
        is_default: nobody chose this text for this setting, so that the name may be made to fit.
        is_bound: ``format_vars`` says what this text may refer to.
    """

    raw: str
    source: str
    label: str
    is_default: bool = False
    is_bound: bool = False


@dataclass(frozen=True)
class Sources:
    """Everything that has a say, as it was given; enough to settle the settings again for another account."""

    file: ConfigFile
    environ: Mapping[str, str] = field(repr=False)
    overrides: Mapping[str, Value] = field(default_factory=dict)
    scope_overrides: Mapping[str, str] = field(default_factory=dict)
    stand_ins: Mapping[str, str] = field(default_factory=dict)


def choose_all(sources: Sources) -> dict[str, Choice]:
    """For every setting, the text of the first source that has a say on it."""
    chosen = {setting.name: choose(setting, sources) for setting in FIELDS}
    profile = find_profile(chosen["firmware_profile"].raw)
    defaults = profile.defaults if profile else {}
    by_profile = {
        name: Choice(text, BY_PROFILE, f"{name} ({BY_PROFILE})", is_default=True)
        for name, text in defaults.items()
        if text and not chosen[name].raw
    }
    return chosen | by_profile


def choose(setting: Field, sources: Sources) -> Choice:
    """The text of the first source that has a say on this setting."""
    name, file_name, texts = setting.name, sources.file.path.name, sources.file.values
    file_default = texts.get(name + DEFAULT_SUFFIX, "")
    candidates = (
        Choice(as_text(sources.overrides.get(name)), "with flag", setting.flag, is_bound=True),
        Choice(sources.scope_overrides.get(name, ""), SCOPE, f"{name} in the sandbox"),
        Choice(sources.environ.get(setting.variable, ""), setting.variable, setting.variable, is_bound=True),
        Choice(texts.get(name, ""), file_name, f"{file_name}: {name}", is_bound=True),
        Choice(
            file_default,
            f"{file_name} default",
            f"{file_name}: {name}{DEFAULT_SUFFIX}",
            is_default=True,
            is_bound=file_default != setting.default,
        ),
        Choice(setting.default, BUILT_IN, f"{name} ({BUILT_IN})", is_default=True),
        Choice(sources.stand_ins.get(name, ""), SCOPE, f"{name} in the sandbox"),
    )
    said = (each for each in candidates if each.raw.strip() and not is_placeholder(each.raw))
    return next(said, Choice("", UNSET, name, is_default=True))


def is_placeholder(text: str) -> bool:
    """Whether the text still says what belongs there: ``<your_thing_name>``, but not ``$<thing_name>``."""
    return bool(_PLACEHOLDER.search(text))


def source_problems(sources: Sources) -> list[str]:
    """What is wrong with the names of flags and environment variables, and with the file's form."""
    problems = list(sources.file.problems)
    for name in sources.overrides:
        if name not in FIELD_BY_NAME:
            close = nearest(name, FIELD_BY_NAME)
            fix = f"did you mean {FIELD_BY_NAME[close].flag}?" if close else "`invoke --help with` lists them"
            problems.append(f"--{name.replace('_', '-')} is no setting; {fix}")
    return problems + _slips(sources.environ)


def _slips(environ: Mapping[str, str]) -> list[str]:
    """Variables that are almost, but not quite, the variable of a setting."""
    known = {each.variable for each in FIELDS}
    strangers = sorted(name for name in environ if name.startswith("OTA_") and name not in known | _OTHER_VARIABLES)
    close = {name: difflib.get_close_matches(name, known, n=1, cutoff=_SLIP_RATIO) for name in strangers}
    return [
        f"the variable {name} is no setting; did you mean {meant[0]}? (unset it if it is another tool's)"
        for name, meant in close.items()
        if meant
    ]


def as_text(value: Value) -> str:
    """The value as it would stand in a text file; empty for None."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
