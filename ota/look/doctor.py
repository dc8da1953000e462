"""Everything that would make ``all`` fail, or a device stay silent, found before the first object is made.

The checks run side by side and each by itself, so that one that cannot be made keeps no other from being made. What
``all`` would refuse is taken from its plan; the rest is what a plan cannot see: credentials that run out, a clock that
is wrong, a boundary that takes away what the role needs, tools that the build calls.

Where settings are wrong, the other checks are made with corrected values, so that one mistake hides no other.

Source: the modules named in each check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from ota.cloud import Cloud
from ota.errors import OtaError, Problem, SettingsError, from_boto
from ota.findings import Finding, fatal, ok, skipped, warning
from ota.look import doctor_cloud, doctor_local
from ota.look.doctor_cloud import find_policy_by_name
from ota.messages import Remedy, command
from ota.outcomes import Action, Change
from ota.plan import Plan, Site, attempt, make_plan
from ota.settings.settings import Settings
from ota.threads import side_by_side

# What the plan's other steps say of an object, that somebody who is told of trouble wants to see as well.
STALE = ("CREATE_FAILED", "DELETE_FAILED")
SEEN_ELSEWHERE = frozenset({"image", "signature"})
DRIFTING_NOUNS = {"policy": "invoke policy", "role": "invoke role", "bucket": "invoke bucket", "thing": "invoke thing"}
Check = Callable[[], Iterable[Finding]]


@dataclass(frozen=True)
class Surroundings:
    """What a checkup looks at besides the account and the settings.

    Attributes:
        environ: the environment, with what ``.env`` adds.
        now: this machine's time, with its zone.
    """

    environ: Mapping[str, str]
    now: datetime


def examine(site: Site, around: Surroundings) -> tuple[Finding, ...]:
    """All findings about an account and settings that could be opened, in the order of the checks."""
    findings = run_checks(
        {
            "credentials": partial(doctor_cloud.check_credentials, site.cloud, around.now, around.environ),
            "plan": partial(check_plan, site),
            "boundary": partial(doctor_cloud.check_boundary, site),
            "pass role": partial(doctor_cloud.check_pass_role, site),
            "quotas": partial(doctor_cloud.check_quotas, site),
            **_local_checks(site.settings, around),
        }
    )
    return tuple(replace(finding, command=site.command(finding.command)) for finding in findings)


def examine_locally(settings: Settings, around: Surroundings) -> tuple[Finding, ...]:
    """What can be found without an account."""
    findings = run_checks(_local_checks(settings, around))
    return (*findings, skipped("plan", "not checked: the account cannot be looked at"))


def _local_checks(settings: Settings, around: Surroundings) -> dict[str, Check]:
    return {
        "certificate": partial(doctor_local.check_certificate_files, settings, around.now),
        "build": partial(doctor_local.check_build, settings, around.environ),
        "image": partial(doctor_local.check_image, settings, around.now),
    }


def run_checks(checks: Mapping[str, Check]) -> tuple[Finding, ...]:
    """Run them side by side; a check that fails is a finding itself."""
    found = side_by_side(*(partial(_run, subject, check) for subject, check in checks.items()))
    return tuple(dict.fromkeys(finding for findings in found for finding in findings))


def finding_of(subject: str, error: OtaError, command: str = "") -> Finding:
    """An error as a finding that is fatal."""
    return fatal(subject, _sentence(str(error)), error.remedy or command)


def check_plan(site: Site) -> list[Finding]:
    """What the plan is blocked by, what it would put right, and what a failed run left."""
    plan = make_plan(site)
    findings = [*_from_steps(plan), *doctor_cloud.check_role_name(site)]
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


def _from_steps(plan: Plan) -> Iterable[Finding]:
    for step in plan.steps:
        if step.noun in SEEN_ELSEWHERE:
            continue
        if step.action is Action.BLOCKED:
            yield fatal(step.noun, f"{step.name}: {_sentence(str(step.brief))}", step.command)
        elif step.noun == "update" and any(status in str(step.detail) for status in STALE):
            yield _stale(step)
        elif step.noun == "update" and "leftover job" in str(step.detail):
            yield warning("update", f"a job of a run that was cut off is left: {step.name}", "invoke update")
        elif step.action is Action.CHANGE and step.noun in DRIFTING_NOUNS:
            yield warning(step.noun, f"{step.name} is not as it must be: {step.detail}", DRIFTING_NOUNS[step.noun])
        elif step.action is Action.REUSE and step.brief:
            yield warning(step.noun, f"{step.name}: {step.brief}", step.command)
        elif step.action is Action.ASK:
            yield warning(step.noun, f"{step.name} {step.detail}", "invoke thing")


def _stale(step: Change) -> Finding:
    command = "invoke role update" if "DELETE_FAILED" in str(step.detail) else "invoke update"
    return warning("update", f"{step.name} is left of a run that failed: {step.detail}", command)


def _in_words(plan: Plan) -> str:
    counts = {action: count for action, count in plan.counts().items() if action not in ("skip", "wait")}
    told = ", ".join(f"{count} to {action}" for action, count in counts.items())
    return f"`all` would go through: {told}"


def _sentence(text: str) -> str:
    return text.removesuffix(".")


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
