"""How an update is rolled out to many devices: as the parts of AWS's request, and as a sentence.

Nothing here calls AWS. GetOTAUpdate tells neither when a rollout is aborted nor when a device is timed out. So the
rules that an update was made with are also one of its marks, and an update with other rules is another update.

Source: AWS IoT API reference, AwsJobExecutionsRolloutConfig (without it AWS sends 1,000 a minute), AwsJobAbortConfig,
AwsJobTimeoutConfig; Developer Guide, "Job configurations work" (rate of a stage: base rate times the factor for each
count that is reached).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ota.settings.readers import AbortCriterion

SNAPSHOT, CONTINUOUS = "SNAPSHOT", "CONTINUOUS"
MOST_PER_MINUTE = 1000
MOST_NAMED = 3
FACTOR_WORDS = {2.0: "doubles", 3.0: "triples"}
FAILURE_WORDS = {
    "FAILED": "failed",
    "REJECTED": "rejected it",
    "TIMED_OUT": "timed out",
    "ALL": "failed, rejected it or timed out",
}


@dataclass(frozen=True)
class RolloutRules:
    """Who gets an update and how fast, and when AWS gives up. None where AWS's own default holds.

    Attributes:
        selection: SNAPSHOT or CONTINUOUS.
        per_minute: the highest rate, 1 to 1000.
        start_per_minute: the rate of the first stage; None for a rollout without stages, as the next three.
        factor: each stage is so many times faster, 1.1 to 5.
        after_notified: so many devices more were sent the update when a stage ends; or
        after_succeeded: so many devices more have taken it.
        aborts: what stops it.
        in_progress_timeout_min: minutes that a device has once it has begun, 1 to 10080.
    """

    selection: str = SNAPSHOT
    per_minute: int | None = None
    start_per_minute: int | None = None
    factor: float | None = None
    after_notified: int | None = None
    after_succeeded: int | None = None
    aborts: tuple[AbortCriterion, ...] = ()
    in_progress_timeout_min: int | None = None

    @property
    def stage_count(self) -> int:
        """How many devices end a stage; 0 for a rollout without stages."""
        return self.after_notified or self.after_succeeded or 0

    @property
    def mark(self) -> str:
        """The rules as one text, for the update's marks; empty where all are AWS's defaults."""
        return "" if self == RolloutRules() else json.dumps(rollout_request(self), separators=(",", ":"))


@dataclass(frozen=True)
class Devices:
    """How many devices get an update; ``is_all`` is False where there may be more than were counted."""

    count: int
    is_all: bool = True


def rules_from(mark: str) -> RolloutRules:
    """The rules that gave this mark."""
    body: dict[str, Any] = json.loads(mark) if mark else {}
    rollout, aborts = body.get("awsJobExecutionsRolloutConfig", {}), body.get("awsJobAbortConfig", {})
    stages = rollout.get("exponentialRate", {})
    ends = stages.get("rateIncreaseCriteria", {})
    return RolloutRules(
        body.get("targetSelection", SNAPSHOT),
        rollout.get("maximumPerMinute"),
        stages.get("baseRatePerMinute"),
        stages.get("incrementFactor"),
        ends.get("numberOfNotifiedThings"),
        ends.get("numberOfSucceededThings"),
        tuple(
            AbortCriterion(one["failureType"], one["thresholdPercentage"], one["minNumberOfExecutedThings"])
            for one in aborts.get("abortCriteriaList", [])
        ),
        body.get("awsJobTimeoutConfig", {}).get("inProgressTimeoutInMinutes"),
    )


def rollout_request(rules: RolloutRules) -> dict[str, Any]:
    """The parameters of CreateOTAUpdate that these rules make."""
    request: dict[str, Any] = {"targetSelection": rules.selection}
    rollout: dict[str, Any] = {}
    if rules.per_minute:
        rollout["maximumPerMinute"] = rules.per_minute
    if rules.start_per_minute:
        ends = "numberOfNotifiedThings" if rules.after_notified else "numberOfSucceededThings"
        rollout["exponentialRate"] = {
            "baseRatePerMinute": rules.start_per_minute,
            "incrementFactor": rules.factor,
            "rateIncreaseCriteria": {ends: rules.stage_count},
        }
    if rollout:
        request["awsJobExecutionsRolloutConfig"] = rollout
    if rules.aborts:
        request["awsJobAbortConfig"] = {"abortCriteriaList": [_criterion(one) for one in rules.aborts]}
    if rules.in_progress_timeout_min:
        request["awsJobTimeoutConfig"] = {"inProgressTimeoutInMinutes": rules.in_progress_timeout_min}
    return request


def rollout_sentence(rules: RolloutRules, devices: Devices | None = None) -> str:
    """What the rules will do, without a full stop; ``devices`` is None where nobody knows how many there are.

    "starts with 10 a minute, doubles after each 50 successes, stops when 10 % of at least 20 failed; 500 devices in
    about 12 minutes".
    """
    told = ", ".join([_pace(rules), *_limits(rules)])
    if devices is None:
        return told
    span = minutes_of_rollout(rules, devices.count)
    counted = "1 device" if devices.count == 1 else f"{devices.count:,} devices"
    if not devices.is_all:
        return f"{told}; {counted} or more, in {_minutes(span)} or more"
    return f"{told}; {counted} in about {_minutes(span)}" if devices.count else f"{told}; {counted}"


def limits_sentence(rules: RolloutRules) -> str:
    """As :func:`rollout_sentence`, for one thing: without rates; empty where there is nothing to say."""
    return ", ".join(_limits(rules))


def minutes_of_rollout(rules: RolloutRules, count: int) -> int:
    """Minutes until so many devices were sent the update, where each that gets it takes it at once."""
    most = rules.per_minute or MOST_PER_MINUTE
    sent = minutes = 0
    while sent < count:
        sent += _rate(rules, sent, most)
        minutes += 1
        if _rate(rules, sent, most) == most:  # it becomes no faster
            left = max(count - sent, 0)
            return minutes + -(-left // most)
    return minutes


def target_name(arn: str) -> str:
    """``the thing lamp-1``, ``the group lamps``."""
    kind = "group" if is_group(arn) else "thing"
    return f"the {kind} {arn.rpartition('/')[2]}"


def targets_name(arns: Sequence[str]) -> str:
    """The first of these targets, and how many more there are."""
    return spoken_names([target_name(arn) for arn in arns[:MOST_NAMED]], len(arns))


def spoken_names(names: Sequence[str], count: int = 0) -> str:
    """The first of these names, and how many more there are of ``count``: ``lamp-1, lamp-2, lamp-3 and 17 more``."""
    more = max(count, len(names)) - len(names[:MOST_NAMED])
    return ", ".join(names[:MOST_NAMED]) + (f" and {more:,} more" if more else "")


def is_group(arn: str) -> bool:
    """Whether a target is a thing group."""
    return ":thinggroup/" in arn


def sole_thing(arns: Iterable[str]) -> str:
    """The name of the one thing that these targets are; empty where they are a group, or several."""
    found = list(arns)
    return found[0].rpartition("/")[2] if len(found) == 1 and not is_group(found[0]) else ""


def _criterion(abort: AbortCriterion) -> dict[str, Any]:
    return {
        "failureType": abort.failure,
        "action": "CANCEL",
        "thresholdPercentage": abort.percent,
        "minNumberOfExecutedThings": abort.least,
    }


def _rate(rules: RolloutRules, sent: int, most: int) -> int:
    """How many devices are sent the update in a minute before which so many were."""
    if not rules.start_per_minute or not rules.factor:
        return most
    rate = float(rules.start_per_minute)
    for _ in range(sent // rules.stage_count):
        rate *= rules.factor
        if rate >= most:
            return most
    return min(most, int(rate))


def _limits(rules: RolloutRules) -> list[str]:
    """What else the rules do than to set the rate."""
    parts = []
    if rules.aborts:
        parts.append(f"stops when {' or '.join(map(_abort_words, rules.aborts))}")
    if rules.in_progress_timeout_min:
        parts.append(f"gives a device {_minutes(rules.in_progress_timeout_min)} once it has begun")
    if rules.selection == CONTINUOUS:
        parts.append("goes on for devices that join later, until it is cancelled")
    return parts


def _pace(rules: RolloutRules) -> str:
    if not rules.start_per_minute:
        return f"sends it to {rules.per_minute or MOST_PER_MINUTE:,} devices a minute at most"
    factor = rules.factor or 1.0
    grows = FACTOR_WORDS.get(factor, f"is {factor:g} times as fast")
    what = "devices notified" if rules.after_notified else "successes"
    limit = f", up to {rules.per_minute:,}" if rules.per_minute else ""
    return f"starts with {rules.start_per_minute:,} a minute, {grows} after each {rules.stage_count:,} {what}{limit}"


def _abort_words(abort: AbortCriterion) -> str:
    return f"{abort.percent:g} % of at least {abort.least:,} {FAILURE_WORDS[abort.failure]}"


def _minutes(count: int) -> str:
    if count == 1:
        return "1 minute"
    return f"{count:,} minutes" if count < 180 else f"{count / 60:,.1f} hours".replace(".0 ", " ")
