"""Which settings of a rollout do not fit each other, though each of them passes its own check.

A rollout in stages needs its rate at the beginning, its factor and exactly one count that ends a stage. The ARN of a
target belongs to the account and region that the update is made in.

Source: AWS IoT API reference, CreateOTAUpdate, AwsJobExponentialRolloutRate, AwsJobRateIncreaseCriteria ("either …
or"); Developer Guide, "Job configurations work" (continuous jobs follow the members of groups).
"""

from __future__ import annotations

from collections.abc import Mapping

from ota.settings.names import NameProblem
from ota.settings.readers import read_targets

START, FACTOR, MOST = "rollout_start_per_minute", "rollout_factor", "rollout_per_minute"
NOTIFIED, SUCCEEDED = "rollout_after_notified", "rollout_after_succeeded"
EXAMPLES = {START: "10", FACTOR: "2", SUCCEEDED: "50"}


def rollout_problems(texts: Mapping[str, str], account_id: str | None, region: str | None) -> dict[str, NameProblem]:
    """Settings that do not fit the others, to why and what to write instead.

    Args:
        texts: name to text, of the settings that are set and pass their own checks.
        account_id: the account of the update; None while it is not known.
        region: its region; None while it is not known.
    """
    found = {
        **_stage_problems(texts),
        MOST: _rate_problem(texts),
        "target_selection": _selection_problem(texts),
        "update_targets": _place_problem(texts, account_id, region),
    }
    return {name: problem for name, problem in found.items() if problem}


def _stage_problems(texts: Mapping[str, str]) -> dict[str, NameProblem]:
    """What a rollout in stages lacks, or has twice."""
    given = [name for name in (START, FACTOR, NOTIFIED, SUCCEEDED) if name in texts]
    if not given:
        return {}
    ends = [name for name in (NOTIFIED, SUCCEEDED) if name in texts]
    missing = [name for name in (START, FACTOR) if name not in texts] + ([] if ends else [SUCCEEDED])
    problems = {
        name: NameProblem(f"{given[0]} makes a rollout in stages, which needs {name} too", EXAMPLES[name])
        for name in missing
    }
    if len(ends) > 1:
        form = f"leave {NOTIFIED} or {SUCCEEDED} empty"
        problems[NOTIFIED] = NameProblem(f"a stage ends by one count, and {SUCCEEDED} is another", form=form)
    return problems


def _rate_problem(texts: Mapping[str, str]) -> NameProblem | None:
    if START not in texts or MOST not in texts or int(texts[START]) <= int(texts[MOST]):
        return None
    return NameProblem(f"a rollout cannot begin faster than it may become, and {START} is {texts[START]}", texts[START])


def _selection_problem(texts: Mapping[str, str]) -> NameProblem | None:
    if texts.get("target_selection") != "CONTINUOUS":
        return None
    has_group = any(one.is_group for one in read_targets(texts.get("update_targets", "")))
    if has_group or ("thing_group_name" in texts and "update_targets" not in texts):
        return None
    return NameProblem("without a thing group nobody can join later, and the update would never end", "SNAPSHOT")


def _place_problem(texts: Mapping[str, str], account_id: str | None, region: str | None) -> NameProblem | None:
    if not account_id:
        return None
    for one in read_targets(texts.get("update_targets", "")):
        if one.account and (one.account, one.region) != (account_id, region or one.region):
            reason = f"{one.name} is in the account {one.account} in {one.region}"
            return NameProblem(reason, form=f"write targets of the account {account_id} in {region}")
    return None
