"""One frozen, checked :class:`Settings` from the settings file, the environment and the flags.

Every problem is found here and reported together, before the first call to AWS. The account id and the region may be
referred to like settings, but are known only after asking AWS. Until then stand-ins of the same form are used, so that
every name is as long as it will be and every check can be made. :meth:`Settings.with_account` makes the settings again.

Source: Arm's ``aws_tool.md`` for the meaning of its fields; :mod:`ota.settings.table` for all of them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from ota.errors import Problem, SettingsError
from ota.messages import command, message
from ota.profiles import PROFILE_BY_NAME, Profile, find_profile
from ota.settings.formatter import (
    Filter,
    Formatted,
    Literal,
    around,
    format_all,
    format_text,
    nearest,
    parse,
    parse_filters,
    quoted,
)
from ota.settings.names import NameProblem, path_problem, thing_name_warning
from ota.settings.profile_checks import profile_problems
from ota.settings.readers import Unreadable, split_names
from ota.settings.sources import (
    Choice,
    Sources,
    Value,
    choose_all,
    is_placeholder,
    read_config,
    source_problems,
)
from ota.settings.table import SETTINGS, Base, DeclaredSettings, Setting

CONFIG_NAME = "config.json"
ARMS_FOLDER = ("tools", "scripts")
APPLICATIONS = "applications"
UNKNOWN_ACCOUNT_ID = "000000000000"
UNKNOWN_REGION = "us-east-1"

# Used as they are written, because they decide how the others are read.
_PLAIN = ("format_vars", "firmware_profile")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Origin:
    """Where one value comes from.

    Attributes:
        raw: as written.
        formatted: with its references filled.
        source: as a user knows it: "with flag", "config.json default", …; "unset" without one.
        is_default: the user did not choose it for this setting.
    """

    raw: str
    formatted: str
    source: str
    is_default: bool = False


@dataclass(frozen=True)
class _Frame:
    """What else decides the settings, besides their sources."""

    root_path: Path
    account_id: str | None
    region: str | None
    required: tuple[str, ...]


class Settings(DeclaredSettings):
    """Every setting, typed and checked; see ``ota/settings/table.py`` for their meaning.

    Paths are absolute. ``permissions_boundary`` is None for a role without one, ``existing_certificate_arn`` is None
    where the tool makes a certificate, ``role_prefix`` and ``target_application`` are empty where they are unset.

    Attributes:
        origins: name of each setting to where its value comes from.
        warnings: sentences about values that AWS accepts and a device may not.
    """

    def __init__(self, sources: Sources, frame: _Frame) -> None:
        """Read and check everything.

        Raises:
            SettingsError: with every problem.
        """
        self._sources, self._frame = sources, frame
        texts = _Texts(sources, frame)
        problems = tuple(texts.problems())
        if problems:
            raise SettingsError(problems)
        self._needs_application = bool(texts.waiting_for_application)
        self._values = _typed(texts.values, frame.root_path)
        self.origins: Mapping[str, Origin] = {
            name: Origin(choice.raw, texts.values[name], choice.source, choice.is_default)
            for name, choice in texts.choices.items()
        }
        warning = thing_name_warning(self.thing_name) if self.profile.thing_name_chars else None
        self.warnings: tuple[str, ...] = (warning,) if warning else ()

    @property
    def account_id(self) -> str | None:
        """The AWS account; None until :meth:`with_account`, and names that carry it then hold twelve zeros."""
        return self._frame.account_id

    @property
    def region(self) -> str | None:
        """The AWS region; None until it is known."""
        return self._frame.region

    @property
    def config_path(self) -> Path:
        """The settings file."""
        return self._sources.file.path

    @property
    def profile(self) -> Profile:
        """What the device's firmware parses."""
        return PROFILE_BY_NAME[self.firmware_profile]

    @property
    def image_path(self) -> Path:
        """The signed image of the update. Raises SettingsError where its name needs target_application."""
        return self._in_build(self.ota_binary)

    @property
    def signature_path(self) -> Path:
        """The image's signature. Raises SettingsError where its name needs target_application."""
        return self._in_build(self.signature_file)

    def require_application(self) -> str:
        """The target application, for the tasks that use the firmware.

        Raises:
            SettingsError: it is not set.
        """
        if self.target_application:
            return self.target_application
        raise SettingsError([_missing("target_application", self._sources)])

    def is_chosen(self, name: str) -> bool:
        """Whether the user set this setting; False where its value is a default or it has none."""
        return not self.origins[name].is_default

    def with_account(self, account_id: str, region: str | None = None) -> Settings:
        """The same settings with the real account id and region in them.

        Raises:
            SettingsError: a value does not pass its check with them.
        """
        frame = dataclasses.replace(self._frame, account_id=account_id, region=region or self.region)
        return Settings(self._sources, frame)

    def with_values(self, values: Mapping[str, Value]) -> Settings:
        """The settings as if these values were given as flags too; whatever refers to them changes with them.

        Raises:
            SettingsError: a name is not a setting, or a value does not pass its check.
        """
        overrides = {**self._sources.overrides, **values}
        return Settings(dataclasses.replace(self._sources, overrides=overrides), self._frame)

    def _in_build(self, name: str) -> Path:
        if self._needs_application:
            self.require_application()
        return self.build_dir / name


def load_settings(
    root_path: Path,
    *,
    environ: Mapping[str, str],
    config_path: str | Path | None = None,
    overrides: Mapping[str, Value] | None = None,
    account_id: str | None = None,
    region: str | None = None,
    is_sandbox: bool = False,
    required: Collection[str] = ("thing_name",),
) -> Settings:
    """Read, fill in and check all settings.

    Args:
        root_path: folder of tasks.py, where relative paths start. Where the file is in a firmware tree's
            ``tools/scripts``, as Arm's is, they start at the root of that tree, where Arm's script is started.
        environ: the environment, ``.env`` included: ``OTA_<SETTING>`` and ``OTA_CONFIG``.
        config_path: the settings file; without it ``OTA_CONFIG``, without that config.json.
        overrides: setting to value, from flags; they win over everything.
        account_id: 12 digits, where it is known already.
        region: AWS region, where it is known already.
        is_sandbox: each setting is what its row says for the sandbox, and paths start at ``root_path``.
        required: settings that must be set; without ``thing_name`` here the names made from it may be empty.

    Raises:
        SettingsError: with every problem.
    """
    root_path = root_path.absolute()
    named = config_path or environ.get("OTA_CONFIG", "").strip() or CONFIG_NAME
    file = read_config(_absolute(root_path, str(named)))
    base_path = root_path if is_sandbox else _base_path(file.path, root_path)
    return Settings(
        Sources(file, environ, overrides or {}, is_sandbox), _Frame(base_path, account_id, region, tuple(required))
    )


def _base_path(config_path: Path, root_path: Path) -> Path:
    """Where the relative paths of this settings file and of flags start."""
    folder_path = config_path.resolve().parent
    if folder_path.parts[-len(ARMS_FOLDER) :] != ARMS_FOLDER:
        return root_path
    tree_path = folder_path.parents[len(ARMS_FOLDER) - 1]
    return tree_path if (tree_path / APPLICATIONS).is_dir() else root_path


def _typed(texts: Mapping[str, str], root_path: Path) -> dict[str, Any]:
    """Each setting's typed value; paths made absolute, but for the names of files in the build folder."""
    bases = {Base.ROOT: root_path, Base.FIRMWARE: _absolute(root_path, texts["firmware_root"])}
    return {
        name: _absolute(bases[row.base], texts[name]) if row.base in bases else row.read(texts[name])
        for name, row in SETTINGS.items()
    }


def _absolute(base: Path, text: str) -> Path:
    """The path from its base; a leading ``~`` is the home folder, as in a shell."""
    path = Path(text)
    return base / (path.expanduser() if path.parts[:1] == ("~",) else path)


class _Texts:
    """The winning text of every setting, with its references filled.

    Attributes:
        choices: name to the text that won.
        values: name to the finished text; empty where it is unset, is wrong, or refers to a setting that is unset.
        waiting_for_application: settings that refer to ``target_application`` while that is unset.
    """

    def __init__(self, sources: Sources, frame: _Frame) -> None:
        self._sources, self._required = sources, frame.required
        self.choices = choices = choose_all(sources)
        plain = {name: choices[name].raw for name in _PLAIN}
        account = {"account_id": frame.account_id or UNKNOWN_ACCOUNT_ID, "region": frame.region or UNKNOWN_REGION}
        self._finished = {**account, **plain}
        self._done = done = _fill_in(choices, self._finished)
        missing = {name for name, row in SETTINGS.items() if row.example and not choices[name].raw}
        waiting = {name for name, uses in done.uses.items() if uses & missing}
        self.waiting_for_application = {n for n in waiting if "target_application" in done.uses[n] & missing}
        self.values = {name: "" if name in waiting else done.values.get(name, "") for name in SETTINGS} | plain
        checkable = {**done.values, "firmware_profile": plain["firmware_profile"]}
        self._checkable = {n: text for n, text in checkable.items() if choices[n].raw and n not in waiting}

    def problems(self) -> Iterator[Problem]:
        """Every problem, in the order of the sources, the references and the checks."""
        yield from source_problems(self._sources)
        yield from (_missing(name, self._sources) for name in self._required if not self.choices[name].raw)
        yield from _allow_list_problems(self.choices["format_vars"])
        for problem in self._done.problems:
            choice = self.choices[problem.setting]
            yield problem._replace(label=choice.label, written=choice.raw)
        yield from self._early_uses()
        yield from self._check_each()
        yield from self._check_profile()

    def _early_uses(self) -> Iterator[Problem]:
        """Settings that every task needs must not refer to one that only the firmware's tasks need."""
        for name in sorted(self.waiting_for_application):
            if not SETTINGS[name].for_firmware:
                missing = _missing("target_application", self._sources)
                said = f"{quoted(self.choices[name].raw)} needs target_application; "
                yield missing._replace(sentence=message(said, missing.sentence), label=self.choices[name].label)

    def _check_each(self) -> Iterator[Problem]:
        """What is wrong with each text, except where it refers to one that is wrong itself."""
        found = {name: why for name, text in self._checkable.items() if (why := _refusal(SETTINGS[name], text))}
        for name, row in SETTINGS.items():
            if name not in found or self._done.uses.get(name, frozenset()) & found.keys():
                continue
            why, choice, text = found[name], self.choices[name], self._checkable[name]
            if why.suggestion and (better := _corrected(row, choice.raw, {**self._finished, **self._done.values})):
                why = NameProblem(why.reason, better)
            gives = "" if choice.raw == text else f" gives {quoted(text)}"
            said = _CONTROL.sub("?", f"{quoted(choice.raw)}{gives}: {why}")
            yield Problem(said, choice.label, name, choice.raw, why.suggestion or None)

    def _check_profile(self) -> Iterator[Problem]:
        """What the firmware would not parse, of texts that pass their own checks."""
        profile = find_profile(self.choices["firmware_profile"].raw)
        found = profile_problems(profile, self._checkable).items() if profile else ()
        for name, why in found:
            choice, suggestion = self.choices[name], why.suggestion or None
            said = f"with firmware_profile {self.choices['firmware_profile'].raw}: {why}"
            if not choice.raw:
                yield Problem(f"{name} is not set {said}", setting=name, suggestion=suggestion)
            elif name in self._checkable and not _refusal(SETTINGS[name], self._checkable[name]):
                said = f"{quoted(choice.raw)} cannot be used {said}"
                yield Problem(said, choice.label, name, choice.raw, suggestion)


def _missing(name: str, sources: Sources) -> Problem:
    """That this setting must be set, and the three ways to set it."""
    row, path = SETTINGS[name], sources.file.path
    written = sources.file.values.get(name, "")
    state = f"is still {around(written, 0)}" if is_placeholder(written) else "is not set"
    said = f'{name} {state} ({row.meaning}): write it into {path} as "{name}": "…", set {row.variable}, or run '
    return Problem(message(said, command("all", **{name: row.example})), setting=name, suggestion=row.example)


def _fill_in(choices: Mapping[str, Choice], finished: Mapping[str, str]) -> Formatted:
    """Every setting's references filled; default names are made valid before others refer to them."""

    def finish(name: str, value: str) -> str:
        return SETTINGS[name].tidy(value) if choices[name].is_default else value

    return format_all(
        {name: choice.raw for name, choice in choices.items() if name not in _PLAIN},
        finished=finished,
        allowed=split_names(finished["format_vars"]) or None,
        exempt={name for name, choice in choices.items() if not choice.is_bound},
        finish=finish,
    )


def _allow_list_problems(choice: Choice) -> Iterator[Problem]:
    known = {*SETTINGS, "account_id", "region"}
    listed = split_names(choice.raw)
    for name in listed:
        if name not in known:
            close = nearest(name, known)
            fix = f'write "{close}"' if close else "remove it"
            better = ";".join(filter(None, (close if one == name else one for one in listed)))
            said = f"{quoted(name)} is not a setting; {fix}"
            yield Problem(said, choice.label, "format_vars", choice.raw, better or None)


def _refusal(row: Setting[Any], text: str) -> NameProblem | None:
    """What is wrong with one finished text, by its characters, its type or its row's check."""
    if not text:
        return NameProblem(
            "this is empty once its references are filled", form="write a value, or leave it empty for the default"
        )
    if _CONTROL.search(text):
        return NameProblem("it holds a control character, such as a line end", form="remove it")
    try:
        row.read(text)
    except Unreadable as error:
        return NameProblem("this cannot be used", error.suggestion, str(error))
    return row.check(text) or (path_problem(text) if row.base else None)


def _corrected(row: Setting[Any], raw: str, values: Mapping[str, str]) -> str | None:
    """The text as it was written, with the filters that make it pass; None where filters do not help."""
    filters, better = parse_filters(row.filters), ""
    for piece in parse(raw).pieces:
        if isinstance(piece, Literal):
            better += reduce(lambda text, filter_: filter_.apply(text), filters, piece.text)
        else:
            better += piece.text + _useful(filters, piece.apply(values[piece.name]))
    return better if not _refusal(row, format_text(better, values)) else None


def _useful(filters: Iterable[Filter], value: str) -> str:
    """Those filters that change this value, as they are written."""
    text = ""
    for filter_ in filters:
        text += str(filter_) if filter_.apply(value) != value else ""
        value = filter_.apply(value)
    return text
