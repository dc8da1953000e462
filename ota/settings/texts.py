"""The winning text of every setting, its references filled, and every problem of all of them.

Source: :mod:`ota.settings.sources` for which text wins, :mod:`ota.settings.formatter` for references.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from ota.errors import Problem
from ota.messages import command, message
from ota.profiles import Profile, find_profile
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
from ota.settings.names import NameProblem, path_problem
from ota.settings.profile_checks import profile_problems
from ota.settings.profile_files import read_profile_file
from ota.settings.readers import Unreadable, is_profile_file, read_optional_path, read_words, split_names
from ota.settings.rollout_checks import rollout_problems
from ota.settings.setting import Base, Setting
from ota.settings.sources import Choice, Sources, choose, choose_all, is_placeholder, source_problems
from ota.settings.table import SETTINGS

UNKNOWN_ACCOUNT_ID = "000000000000"
UNKNOWN_REGION = "us-east-1"

# Used as they are written, because they decide how the others are read.
_PLAIN = ("format_vars", "firmware_profile")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Frame:
    """What else decides the settings, besides their sources.

    Attributes:
        root_path: where relative paths start; in the sandbox those of the sandbox.
        users_path: where the user's relative paths start.
    """

    root_path: Path
    users_path: Path
    account_id: str | None
    region: str | None
    required: tuple[str, ...]


PATHS = {name: row for name, row in SETTINGS.items() if row.base in {Base.ROOT, Base.FIRMWARE}}


def typed_paths(texts: Mapping[str, str], root_path: Path, users_path: Path) -> dict[str, Path | None]:
    """The absolute path of every setting that is one; None for an unset path that may be.

    ``users_path`` is where the user's files are that are only read.
    """
    firmware_path = absolute(root_path, texts["firmware_root"])
    bases = {Base.ROOT: root_path, Base.FIRMWARE: firmware_path}
    return {
        name: None
        if row.read is read_optional_path and not texts[name]
        else absolute(users_path if row.sandbox.kept_because else bases[row.base], texts[name])
        for name, row in PATHS.items()
        if row.base
    }


def absolute(base: Path, text: str) -> Path:
    """The path from its base; a leading ``~`` is the home folder, as in a shell."""
    path = Path(text)
    return base / (path.expanduser() if path.parts[:1] == ("~",) else path)


class Texts:
    """The winning text of every setting, with its references filled.

    Attributes:
        profile: the firmware's profile; None where it cannot be read.
        choices: name to the text that won.
        values: name to the finished text; empty where it is unset, is wrong, or refers to a setting that is unset.
        waiting_for_application: settings that refer to ``target_application`` while that is unset.
    """

    def __init__(self, sources: Sources, frame: Frame) -> None:
        self._sources, self._frame, self._required = sources, frame, frame.required
        self.profile, self._profile_problem = _find_profile(choose("firmware_profile", sources).raw, frame.users_path)
        self.choices = choices = choose_all(sources, self.profile)
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

    def uses(self, name: str) -> frozenset[str]:
        """The settings that this one refers to, directly and through others."""
        return self._done.uses.get(name, frozenset())

    @property
    def references(self) -> dict[str, str]:
        """What a reference to each name gives; empty for a setting that is unset or wrong."""
        return {**self._finished, **self.values}

    def problems(self) -> Iterator[Problem]:
        """Every problem, in the order of the sources, the references and the checks."""
        yield from source_problems(self._sources)
        yield from (missing_problem(name, self._sources) for name in self._required if not self.choices[name].raw)
        yield from _allow_list_problems(self.choices["format_vars"])
        for problem in self._done.problems:
            choice = self.choices[problem.setting]
            yield problem._replace(label=choice.label, written=choice.raw)
        yield from self._early_uses()
        yield from self._check_each()
        yield from self._check_profile()
        yield from self._check_template()
        yield from self._check_rollout()

    def _early_uses(self) -> Iterator[Problem]:
        """Settings that every task needs must not refer to one that only the firmware's tasks need."""
        for name in sorted(self.waiting_for_application):
            if not SETTINGS[name].for_firmware:
                missing = missing_problem("target_application", self._sources)
                said = f"{quoted(self.choices[name].raw)} needs target_application; "
                yield missing._replace(sentence=message(said, missing.sentence), label=self.choices[name].label)

    def _check_each(self) -> Iterator[Problem]:
        """What is wrong with each text, except where it refers to one that is wrong itself."""
        found = {name: why for name, text in self._checkable.items() if (why := self._refusal(name, text))}
        for name, row in SETTINGS.items():
            if name not in found or self._done.uses.get(name, frozenset()) & found.keys():
                continue
            why, choice, text = found[name], self.choices[name], self._checkable[name]
            if why.suggestion and (better := _corrected(row, choice.raw, {**self._finished, **self._done.values})):
                why = NameProblem(why.reason, better)
            gives = "" if choice.raw == text else f" gives {quoted(text)}"
            said = _CONTROL.sub("?", f"{quoted(choice.raw)}{gives}: {why}")
            yield Problem(said, choice.label, name, choice.raw, why.suggestion or None)

    def _check_template(self) -> Iterator[Problem]:
        """A template is of no use without the path of what is made from it."""
        choice = self.choices["header_template"]
        if choice.raw and not self.choices["header_path"].raw:
            said = "header_path is not set: write there where the build reads what is made from this template"
            yield Problem(said, choice.label, "header_path")

    def _check_rollout(self) -> Iterator[Problem]:
        """What of a rollout does not fit together, of texts that pass their own checks."""
        texts = {name: text for name, text in self._checkable.items() if not self._refusal(name, text)}
        for name, why in rollout_problems(texts, self._frame.account_id, self._frame.region).items():
            choice = self.choices[name]
            if choice.raw and name not in texts:
                continue  # its own check says what to write
            said = f"{quoted(choice.raw)} cannot be used: {why}" if choice.raw else f"{name} is not set: {why}"
            yield Problem(said, choice.label if choice.raw else "", name, choice.raw, why.suggestion or None)

    def _refusal(self, name: str, text: str) -> NameProblem | None:
        """What is wrong with this text; a command is read as it is written, because it is split before it is filled."""
        row = SETTINGS[name]
        return _refusal(row, self.choices[name].raw if row.read is read_words else text)

    def _check_profile(self) -> Iterator[Problem]:
        """What the firmware would not parse, of texts that pass their own checks."""
        choice = self.choices["firmware_profile"]
        if self._profile_problem:
            yield Problem(self._profile_problem, choice.label, "firmware_profile", choice.raw)
        found = profile_problems(self.profile, self._checkable).items() if self.profile else ()
        for name, why in found:
            choice, suggestion = self.choices[name], why.suggestion or None
            said = f"with firmware_profile {self.choices['firmware_profile'].raw}: {why}"
            if not choice.raw:
                yield Problem(f"{name} is not set {said}", setting=name, suggestion=suggestion)
            elif name in self._checkable and not _refusal(SETTINGS[name], self._checkable[name]):
                said = f"{quoted(choice.raw)} cannot be used {said}"
                yield Problem(said, choice.label, name, choice.raw, suggestion)


def _find_profile(text: str, folder: Path) -> tuple[Profile | None, str]:
    """The profile of this name or in this file, or what is wrong with the file."""
    if not is_profile_file(text):
        return find_profile(text), ""
    try:
        return read_profile_file(absolute(folder, text)), ""
    except Unreadable as error:
        return None, str(error)


def missing_problem(name: str, sources: Sources) -> Problem:
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
