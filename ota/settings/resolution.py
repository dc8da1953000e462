"""From what was said about the settings to one finished, checked text for each, or every problem with them.

``account_id`` and ``region`` may be referred to like settings. While they are unknown, stand-ins of the same form take
their place, so that a name is as long as it will be and every check can be made before AWS is asked.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce

from ota.profiles import find_profile
from ota.settings.formatter import Formatted, format_all, format_text
from ota.settings.names import NameProblem, path_problem
from ota.settings.profile_checks import profile_problems
from ota.settings.readers import split_names
from ota.settings.references import Filter, Literal, nearest, parse
from ota.settings.sources import Choice, Sources, choose_all, is_placeholder, source_problems
from ota.settings.table import FIELD_BY_NAME, FIELDS, Field

UNKNOWN_ACCOUNT_ID = "000000000000"
UNKNOWN_REGION = "us-east-1"

# Needed by some tasks or by all, and nobody can guess them.
_INDISPENSABLE = ("thing_name", "target_application")
# Taken as they are written, for they decide how the others are read.
_PLAIN = ("format_vars", "firmware_profile")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Resolved:
    """The outcome for all settings.

    Attributes:
        choices: name to the text that won.
        values: name to its finished text; empty where it is unset, is wrong, or waits for one that is unset.
        problems: one sentence each, naming the place where the text stands.
        needs_application: a firmware setting waits for ``target_application``.
    """

    choices: Mapping[str, Choice]
    values: Mapping[str, str]
    problems: tuple[str, ...]
    needs_application: bool


def resolve(sources: Sources, *, account_id: str | None, region: str | None, required: Collection[str]) -> Resolved:
    """Choose, fill in and check every setting; raises nothing."""
    choices = choose_all(sources)
    plain = {name: choices[name].raw for name in _PLAIN}
    finished = {
        "account_id": account_id or UNKNOWN_ACCOUNT_ID,
        "region": region or UNKNOWN_REGION,
        **plain,
    }
    done = _fill_in(choices, finished)
    missing = {name for name in _INDISPENSABLE if not choices[name].raw}
    waiting = {name for name, uses in done.uses.items() if uses & missing}
    needs_application = {name for name in waiting if "target_application" in done.uses[name] & missing}
    filled = {**done.values, "firmware_profile": plain["firmware_profile"]}
    checked = {name: text for name, text in filled.items() if choices[name].raw and name not in waiting}
    problems = [
        *source_problems(sources),
        *(missing_text(name, sources) for name in required if not choices[name].raw),
        *_allow_list_problems(choices["format_vars"]),
        *(f"{choices[problem.setting].label}: {problem.text}" for problem in done.problems),
        *_early_uses(needs_application, choices, sources),
        *_check(checked, choices, done, finished),
        *_profile_problems(checked, choices),
    ]
    values = {field.name: "" if field.name in waiting else done.values.get(field.name, "") for field in FIELDS}
    values |= plain
    return Resolved(choices, values, tuple(problems), bool(needs_application))


def missing_text(name: str, sources: Sources) -> str:
    """That this setting must be set, and the three places where that can be done."""
    field, path = FIELD_BY_NAME[name], sources.file.path
    written = sources.file.values.get(name, "")
    state = f"is still {written}" if is_placeholder(written) else "is not set"
    return (
        f'{name} {state} ({field.help}): write it into {path} as "{name}": "…", '
        f"or give {field.variable}=… or `invoke with {field.flag} …`"
    )


def _fill_in(choices: Mapping[str, Choice], finished: Mapping[str, str]) -> Formatted:
    """Every setting's references filled, default names made to fit before others refer to them."""

    def finish(name: str, value: str) -> str:
        return FIELD_BY_NAME[name].tidy(value) if choices[name].is_default else value

    return format_all(
        {name: choice.raw for name, choice in choices.items() if name not in _PLAIN},
        finished=finished,
        allowed=split_names(finished["format_vars"]) or None,
        exempt={name for name, choice in choices.items() if not choice.is_bound},
        finish=finish,
    )


def _allow_list_problems(choice: Choice) -> Iterator[str]:
    known = {*FIELD_BY_NAME, "account_id", "region"}
    for name in split_names(choice.raw):
        if name not in known:
            close = nearest(name, known)
            fix = f'write "{close}"' if close else "remove it"
            yield f'{choice.label}: "{name}" is no setting; {fix}'


def _early_uses(names: Iterable[str], choices: Mapping[str, Choice], sources: Sources) -> Iterator[str]:
    """Settings that every task needs must not wait for one that only the firmware's tasks need."""
    for name in sorted(names):
        if not FIELD_BY_NAME[name].for_firmware:
            missing = missing_text("target_application", sources)
            yield f'{choices[name].label}: "{choices[name].raw}" needs target_application; {missing}'


def _check(
    texts: Mapping[str, str], choices: Mapping[str, Choice], done: Formatted, finished: Mapping[str, str]
) -> Iterator[str]:
    """What is wrong with each text, except where one that it refers to is wrong already."""
    found = {name: problem for name, text in texts.items() if (problem := _problem(FIELD_BY_NAME[name], text))}
    for field in FIELDS:
        problem = found.get(field.name)
        if problem and not done.uses.get(field.name, frozenset()) & found.keys():
            choice, text = choices[field.name], texts[field.name]
            gives = "" if choice.raw == text else f' gives "{text}"'
            better = _mended(field, choice.raw, {**finished, **done.values}) if problem.suggestion else None
            if better:
                problem = NameProblem(problem.reason, better)
            yield _CONTROL.sub("?", f'{choice.label}: "{choice.raw}"{gives}: {problem}')


def _profile_problems(texts: Mapping[str, str], choices: Mapping[str, Choice]) -> Iterator[str]:
    """What the firmware would not parse, of texts that are good in themselves."""
    profile = find_profile(choices["firmware_profile"].raw)
    if profile is None:
        return
    for name, problem in profile_problems(profile, texts).items():
        choice = choices[name]
        if not choice.raw:
            yield f"{name} is not set with firmware_profile {profile.name}: {problem}"
        elif name in texts and not _problem(FIELD_BY_NAME[name], texts[name]):
            yield f'{choice.label}: "{choice.raw}" cannot be used with firmware_profile {profile.name}: {problem}'


def _problem(field: Field, text: str) -> NameProblem | None:
    """What is wrong with one finished text, by its characters, its field's rule or its type."""
    if not text:
        return NameProblem("nothing is left of it", form="write a value, or leave it empty for the default")
    if _CONTROL.search(text):
        return NameProblem("it holds a control character, such as a line end", form="remove it")
    try:
        field.read(text)
    except ValueError as error:
        return NameProblem("this cannot be used", form=str(error))
    return field.check(text) or (path_problem(text) if field.base else None)


def _mended(field: Field, raw: str, values: Mapping[str, str]) -> str | None:
    """The text as it was written, with the filters that make it pass; None where filters are no help."""
    better = ""
    for piece in parse(raw).pieces:
        if isinstance(piece, Literal):
            better += reduce(lambda text, filter_: filter_.apply(text), field.mending, piece.text)
        else:
            better += piece.text + _helpful(field.mending, piece.apply(values[piece.name]))
    good = not _problem(field, format_text(better, values))
    return better if good else None


def _helpful(filters: Iterable[Filter], value: str) -> str:
    """Those filters that change this value, as they are written."""
    text = ""
    for filter_ in filters:
        text += str(filter_) if filter_.apply(value) != value else ""
        value = filter_.apply(value)
    return text
