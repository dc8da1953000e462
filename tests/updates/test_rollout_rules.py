"""How a rollout's rules are asked of AWS, and what they are said to do."""

from __future__ import annotations

from typing import Any

import pytest

from ota.settings.readers import AbortCriterion
from ota.updates.rollout_rules import (
    Devices,
    RolloutRules,
    limits_sentence,
    minutes_of_rollout,
    rollout_request,
    rollout_sentence,
    rules_from,
    sole_thing,
    targets_name,
)
from tests.sandbox_control import Control

ARN = "arn:aws:iot:eu-west-1:123456789012:"
ABORTS = (AbortCriterion("FAILED", 10, 20), AbortCriterion("TIMED_OUT", 2.5, 50))
STAGED = RolloutRules(start_per_minute=10, factor=2, after_succeeded=50, aborts=ABORTS[:1])
RULES: dict[str, tuple[RolloutRules, dict[str, Any], str]] = {
    "AWS's own": (RolloutRules(), {}, "sends it to 1,000 devices a minute at most"),
    "a rate": (
        RolloutRules(per_minute=50),
        {"awsJobExecutionsRolloutConfig": {"maximumPerMinute": 50}},
        "sends it to 50 devices a minute at most",
    ),
    "stages by successes": (
        STAGED,
        {
            "awsJobExecutionsRolloutConfig": {
                "exponentialRate": {
                    "baseRatePerMinute": 10,
                    "incrementFactor": 2,
                    "rateIncreaseCriteria": {"numberOfSucceededThings": 50},
                }
            },
            "awsJobAbortConfig": {
                "abortCriteriaList": [
                    {
                        "failureType": "FAILED",
                        "action": "CANCEL",
                        "thresholdPercentage": 10,
                        "minNumberOfExecutedThings": 20,
                    }
                ]
            },
        },
        "starts with 10 a minute, doubles after each 50 successes, stops when 10 % of at least 20 failed",
    ),
    "stages by notifications, and all else": (
        RolloutRules("CONTINUOUS", 200, 5, 1.5, 10, None, ABORTS, 90),
        {
            "targetSelection": "CONTINUOUS",
            "awsJobExecutionsRolloutConfig": {
                "maximumPerMinute": 200,
                "exponentialRate": {
                    "baseRatePerMinute": 5,
                    "incrementFactor": 1.5,
                    "rateIncreaseCriteria": {"numberOfNotifiedThings": 10},
                },
            },
            "awsJobAbortConfig": {
                "abortCriteriaList": [
                    {
                        "failureType": one.failure,
                        "action": "CANCEL",
                        "thresholdPercentage": one.percent,
                        "minNumberOfExecutedThings": one.least,
                    }
                    for one in ABORTS
                ]
            },
            "awsJobTimeoutConfig": {"inProgressTimeoutInMinutes": 90},
        },
        "starts with 5 a minute, is 1.5 times as fast after each 10 devices notified, up to 200, stops when 10 % of at "
        "least 20 failed or 2.5 % of at least 50 timed out, gives a device 90 minutes once it has begun, goes on for "
        "devices that join later, until it is cancelled",
    ),
}


@pytest.mark.parametrize(("rules", "request_", "sentence"), RULES.values(), ids=RULES)
def test_the_rules_become_a_request_and_a_sentence(
    rules: RolloutRules, request_: dict[str, Any], sentence: str
) -> None:
    assert rollout_request(rules) == {"targetSelection": "SNAPSHOT", **request_}
    assert rollout_sentence(rules) == sentence
    assert rules_from(rules.mark) == rules


def test_the_marks_of_different_rules_differ() -> None:
    marks = [rules.mark for rules, _, _ in RULES.values()]
    assert len(set(marks)) == len(marks)
    assert RolloutRules().mark == ""


@pytest.mark.parametrize(
    ("devices", "end"),
    [
        (Devices(500), "; 500 devices in about 12 minutes"),
        (Devices(1), "; 1 device in about 1 minute"),
        (Devices(0), "failed; 0 devices"),
        (Devices(500, is_all=False), "; 500 devices or more, in 12 minutes or more"),
    ],
)
def test_a_sentence_says_how_many_devices_and_how_long(devices: Devices, end: str) -> None:
    assert rollout_sentence(STAGED, devices).endswith(end)


def test_one_thing_has_no_rate_worth_telling() -> None:
    assert limits_sentence(RolloutRules(per_minute=5)) == ""
    assert limits_sentence(RolloutRules(in_progress_timeout_min=1)) == "gives a device 1 minute once it has begun"


@pytest.mark.parametrize(
    "rules",
    [
        RolloutRules(per_minute=3),
        RolloutRules(per_minute=4, start_per_minute=1, factor=2, after_notified=3),
        RolloutRules(start_per_minute=2, factor=1.5, after_notified=4),
        RolloutRules(start_per_minute=1, factor=5, after_notified=30),
    ],
)
def test_a_rollout_takes_the_minutes_that_are_told(rules: RolloutRules, iot: Any, control: Control) -> None:
    """Against the sandbox's own engine, which is written apart from this."""
    count = 20
    iot.create_thing_group(thingGroupName="lamps")
    for number in range(count):
        iot.create_thing(thingName=f"lamp-{number}")
        iot.add_thing_to_thing_group(thingGroupName="lamps", thingName=f"lamp-{number}")
    asked = rollout_request(rules)
    group = iot.describe_thing_group(thingGroupName="lamps")["thingGroupArn"]
    config = asked["awsJobExecutionsRolloutConfig"]
    iot.create_job(jobId="j", targets=[group], document="{}", jobExecutionsRolloutConfig=config)
    minutes = 1
    while iot.describe_job(jobId="j")["job"]["jobProcessDetails"]["numberOfQueuedThings"] < count:
        control.advance_clock(60)
        minutes += 1
    assert minutes_of_rollout(rules, count) == minutes


def test_targets_are_named_in_words() -> None:
    things = [f"{ARN}thing/lamp-{number}" for number in range(1, 6)]
    assert targets_name([f"{ARN}thinggroup/lamps"]) == "the group lamps"
    assert targets_name(things) == "the thing lamp-1, the thing lamp-2, the thing lamp-3 and 2 more"
    assert [sole_thing(one) for one in (things[:1], things, [f"{ARN}thinggroup/lamps"], [])] == ["lamp-1", "", "", ""]


@pytest.mark.parametrize("count", [0, 1, 1000, 1001, 10_000_000])
def test_the_minutes_of_any_count_are_told_at_once(count: int) -> None:
    assert minutes_of_rollout(RolloutRules(), count) == -(-count // 1000)
