"""What is wrong with the settings, with the flag that mends each, and the settings as they would be with these flags.

So a mistake in one setting does not keep the rest from being looked at.

Source: ``ota/resolution.py`` for the form of its problems: the place, what is wrong, what to write.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from ota.checkup_cloud import find_policy_by_name
from ota.cloud import Cloud
from ota.errors import OtaError, SettingsError
from ota.fields import FIELDS, Field
from ota.findings import Finding, fatal
from ota.plans import attempt
from ota.settings import Settings

SUGGESTION = re.compile(r'write "([^"]+)"')
WRITTEN = re.compile(r'"([^"]*)"')
# What stands in for a setting that nobody can guess, so that the flag is shown and the rest can be looked at.
EXAMPLES = {"thing_name": "my-thing", "target_application": "keyword-detection"}


def settings_findings(problems: Iterable[str], cloud: Cloud | None) -> list[Finding]:
    """The problems as findings; a boundary given by its name is looked up in the account."""
    return [fatal("settings", problem.removesuffix("."), _command(problem, cloud)) for problem in problems]


def mended_settings(
    problems: Iterable[str], cloud: Cloud | None, load: Callable[[Mapping[str, str]], Settings]
) -> Settings | None:
    """The settings with every suggestion taken; None where one has no suggestion, or they do not come together.

    ``load`` gives the settings with these values too.
    """
    found = [mending_value(problem, cloud) for problem in problems]
    if any(one is None for one in found):
        return None
    try:
        return load({field.name: value for field, value in filter(None, found)})
    except SettingsError:
        return None


def mending_value(problem: str, cloud: Cloud | None) -> tuple[Field, str] | None:
    """The setting that a problem is about, and the value that mends it; None where there is none."""
    head = problem.partition('"')[0]
    field = next((one for one in FIELDS if _is_named(one, head)), None)
    if field is None:
        return None
    if field.name == "permissions_boundary" and cloud:
        arn = _boundary_meant(problem, cloud)
        return (field, arn) if arn else None
    if head.startswith(f"{field.name} is "):
        return (field, EXAMPLES[field.name]) if field.name in EXAMPLES else None
    suggestions = SUGGESTION.findall(problem)
    return (field, suggestions[-1]) if suggestions else None


def _command(problem: str, cloud: Cloud | None) -> str:
    found = mending_value(problem, cloud)
    return f"invoke with {found[0].flag} {shlex.quote(found[1])} all" if found else ""


def _is_named(field: Field, head: str) -> bool:
    names = (rf"{field.name}(?:_DEFAULT)?", field.variable, field.flag)
    return any(re.search(rf"(?<![\w-]){name}(?![\w-])", head) for name in names)


def _boundary_meant(problem: str, cloud: Cloud) -> str | None:
    written = WRITTEN.search(problem)
    found = attempt(partial(find_policy_by_name, cloud, written[1])) if written else None
    return None if isinstance(found, OtaError) else found
