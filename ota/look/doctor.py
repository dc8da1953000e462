"""Finds everything that would make ``all`` fail, or a device stay silent, before the first object is made.

The checks run side by side, and one that fails does not stop the others. The plan of ``all`` says what ``all`` would
refuse. The other checks look at what a plan does not see: credentials that expire, a wrong clock, a permissions
boundary that does not allow what the role needs, programs that the build calls.

Where settings are wrong, the other checks are made with corrected values, so that one mistake hides no other.

Source: the modules named in each check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from ota.cloud import Cloud
from ota.errors import OtaError, Problem, SettingsError, attempt, from_boto
from ota.look import doctor_build, doctor_cloud, doctor_local
from ota.look.doctor_cloud import find_policy_by_name
from ota.messages import AnyCommand, Remedy, command, message
from ota.nouns import NOUNS, UPDATE
from ota.outcomes import Action, Change, Finding, fatal, ok, skipped, warning
from ota.plan import Plan, make_plan
from ota.run import Run
from ota.settings.settings import Settings
from ota.threads import side_by_side
from ota.updates.jobs import Job
from ota.updates.updates import FoundUpdate

# The command for an update that a failed run left, by the update's status.
STALE_COMMANDS = {"CREATE_FAILED": command("update"), "DELETE_FAILED": command("role").then("update")}
# Other checks look at these nouns more closely than the plan.
CHECKED_ELSEWHERE = frozenset({"image", "signature"})
# What can be changed by hand, and the task that puts it right; an update is replaced.
TASK_OF_DRIFTING = {noun.name: noun.task for noun in NOUNS if noun.setting and noun.task and noun is not UPDATE}
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
        "system": doctor_local.check_platform,
        "certificate": partial(doctor_local.check_certificate_files, settings, around.now),
        "build": partial(doctor_build.check_build, settings, around.environ),
        "image": partial(doctor_local.check_image, settings, around.now),
    }


def run_checks(checks: Mapping[str, Check]) -> tuple[Finding, ...]:
    """The findings of all checks, which run side by side; a check that fails is a finding itself."""
    found = side_by_side(*(partial(_run, subject, check) for subject, check in checks.items()))
    return tuple(dict.fromkeys(finding for findings in found for finding in findings))


def finding_of(subject: str, error: OtaError, remedy: AnyCommand | Remedy = ()) -> Finding:
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
    elif isinstance(found, FoundUpdate) and found.update and found.update.status in STALE_COMMANDS:
        text = message(f"{name} is left of a run that failed: ", change.detail)
        yield warning(noun, text, STALE_COMMANDS[found.update.status])
    elif isinstance(found, FoundUpdate) and not found.update and isinstance(found.job, Job):
        yield warning(noun, f"a job of a run that was cut off is left: {name}", command("update"))
    elif change.action is Action.CHANGE and noun in TASK_OF_DRIFTING:
        yield warning(noun, message(f"{name} is not as it must be: ", change.detail), command(TASK_OF_DRIFTING[noun]))
    elif change.action is Action.REUSE and change.brief:
        yield warning(noun, message(f"{name}: ", change.brief), change.command)
    elif change.action is Action.ASK:
        yield warning(noun, message(f"{name} ", change.detail), command("thing"))


def _in_words(plan: Plan) -> str:
    counts = {action: count for action, count in plan.counts().items() if action not in ("skip", "wait")}
    told = ", ".join(f"{count} to {action}" for action, count in counts.items())
    return f"`all` would go through: {told}"


def settings_findings(problems: Iterable[Problem], cloud: Cloud | None) -> list[Finding]:
    """The problems of the settings as findings, with the command that runs ``all`` with a corrected value."""
    return [fatal("settings", problem.text, _correction(problem, cloud)) for problem in problems]


def mended_settings(
    problems: Iterable[Problem], cloud: Cloud | None, load: Callable[[Mapping[str, str]], Settings]
) -> Settings | None:
    """The settings with a corrected value for each problem; None where one has none, or another problem remains.

    ``load`` returns the settings with these values too.
    """
    values = {problem.setting: corrected_value(problem, cloud) for problem in problems}
    found = {name: value for name, value in values.items() if value is not None}
    if len(found) < len(values):
        return None
    try:
        return load(found)
    except SettingsError:
        return None


def corrected_value(problem: Problem, cloud: Cloud | None) -> str | None:
    """A value that corrects the problem; None where none is known. A boundary's name is looked up in the account."""
    if problem.setting == "permissions_boundary" and cloud:
        found = attempt(partial(find_policy_by_name, cloud, problem.written))
        return None if isinstance(found, OtaError) else found
    return problem.suggestion if problem.setting else None


def _correction(problem: Problem, cloud: Cloud | None) -> Remedy:
    value = corrected_value(problem, cloud)
    return (command("all", **{problem.setting: value}),) if value is not None else ()
