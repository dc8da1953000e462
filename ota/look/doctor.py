"""Finds everything that would make ``all`` fail, or a device stay silent, before the first object is made.

The checks run side by side, and one that fails does not stop the others. The plan of ``all`` says what ``all`` would
refuse. The other checks look at what a plan does not see: credentials that expire, a wrong clock, a permissions
boundary that does not allow what the role needs, programs that the build calls.

Source: the modules named in each check.


What is wrong with the settings, with the flag that mends each, and the settings as they would be with these flags.

So a mistake in one setting does not keep the rest from being looked at.

Source: ``ota/settings/resolution.py`` for the form of its problems: the place, what is wrong, what to write.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from ota.cloud import Cloud
from ota.errors import OtaError, SettingsError, attempt, from_boto
from ota.findings import Finding, fatal, ok, skipped, warning
from ota.look import doctor_cloud, doctor_local
from ota.look.doctor_cloud import find_policy_by_name
from ota.messages import AnyCommand, Remedy, command, message
from ota.outcomes import Action, Change
from ota.plan import Plan
from ota.planning import make_plan
from ota.run import Run
from ota.settings.table import FIELDS, Field
from ota.threads import side_by_side
from ota.update_requests import Update
from ota.update_waits import Job

if TYPE_CHECKING:
    from ota.settings.settings import Settings


# The command for an update that a failed run left, by the update's status.
STALE_COMMANDS = {"CREATE_FAILED": command("update"), "DELETE_FAILED": command("role").then("update")}
# Other checks look at these nouns more closely than the plan.
CHECKED_ELSEWHERE = frozenset({"image", "signature"})
DRIFTING_NOUNS = frozenset({"policy", "role", "bucket", "thing"})
Check = Callable[[], Iterable[Finding]]


@dataclass(frozen=True)
class Surroundings:
    """What the checks look at besides the account and the settings.

    Attributes:
        environ: the environment, with what ``.env`` adds.
        now: this machine's time, with its zone.
    """

    environ: Mapping[str, str]
    now: datetime


def examine(run: Run, around: Surroundings) -> tuple[Finding, ...]:
    """All findings about the account and this machine, in the order of the checks."""
    return run_checks(
        {
            "credentials": partial(doctor_cloud.check_credentials, run.cloud, around.now, around.environ),
            "plan": partial(check_plan, run),
            "boundary": partial(doctor_cloud.check_boundary, run),
            "pass role": partial(doctor_cloud.check_pass_role, run),
            "quotas": partial(doctor_cloud.check_quotas, run),
            **_local_checks(run.settings, around),
        }
    )


def examine_locally(settings: Settings, around: Surroundings) -> tuple[Finding, ...]:
    """The findings that need no account."""
    findings = run_checks(_local_checks(settings, around))
    return (*findings, skipped("plan", "not checked: the account cannot be looked at"))


def _local_checks(settings: Settings, around: Surroundings) -> dict[str, Check]:
    return {
        "certificate": partial(doctor_local.check_certificate_files, settings, around.now),
        "build": partial(doctor_local.check_build, settings, around.environ),
        "image": partial(doctor_local.check_image, settings, around.now),
    }


def run_checks(checks: Mapping[str, Check]) -> tuple[Finding, ...]:
    """The findings of all checks, which run side by side; a check that fails is a finding itself."""
    found = side_by_side(*(partial(_run, subject, check) for subject, check in checks.items()))
    return tuple(dict.fromkeys(finding for findings in found for finding in findings))


def finding_of(subject: str, error: OtaError, remedy: str | AnyCommand | Remedy = "") -> Finding:
    """An error as a fatal finding; ``remedy`` is for an error that has none."""
    return fatal(subject, error.message, error.remedy or remedy)


def check_plan(run: Run) -> list[Finding]:
    """What blocks the plan, what it would repair, and what a failed run left."""
    plan = make_plan(run)
    findings = [*_from_changes(plan), *doctor_cloud.check_role_name(run.settings)]
    if not plan.blocked:
        findings.append(ok("plan", _in_words(plan)))
    return findings


def _run(subject: str, check: Check) -> list[Finding]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return list(check())
    except OtaError as error:
        return [finding_of(subject, error)]
    except (BotoCoreError, ClientError) as error:
        return [finding_of(subject, from_boto(error))]


def _from_changes(plan: Plan) -> Iterable[Finding]:
    for change in plan.steps:
        if change.noun not in CHECKED_ELSEWHERE:
            yield from _from_change(change)


def _from_change(change: Change) -> Iterable[Finding]:
    noun, name, found = change.noun, change.name, change.found
    if change.action is Action.BLOCKED:
        yield fatal(noun, message(f"{name}: ", change.brief), change.command)
    elif isinstance(found, Update) and found.status in STALE_COMMANDS:
        text = message(f"{name} is left of a run that failed: ", change.detail)
        yield warning(noun, text, STALE_COMMANDS[found.status])
    elif noun == "update" and isinstance(found, Job):
        yield warning(noun, f"a job of a run that was cut off is left: {name}", command("update"))
    elif change.action is Action.CHANGE and noun in DRIFTING_NOUNS:
        yield warning(noun, message(f"{name} is not as it must be: ", change.detail), command(noun))
    elif change.action is Action.REUSE and change.brief:
        yield warning(noun, message(f"{name}: ", change.brief), change.command)
    elif change.action is Action.ASK:
        yield warning(noun, message(f"{name} ", change.detail), command("thing"))


def _in_words(plan: Plan) -> str:
    counts = {action: count for action, count in plan.counts().items() if action not in ("skip", "wait")}
    told = ", ".join(f"{count} to {action}" for action, count in counts.items())
    return f"`all` would go through: {told}"


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
