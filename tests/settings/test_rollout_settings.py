"""The settings of a rollout: what they take, what AWS would refuse, and that all of it is told at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ota.errors import SettingsError
from ota.settings.readers import AbortCriterion, Target
from ota.settings.settings import Settings, load_settings

ACCOUNT, REGION = "123456789012", "eu-west-1"
BASE = f"arn:aws:iot:{REGION}:{ACCOUNT}:"
OTHER_ACCOUNT = f"arn:aws:iot:{REGION}:210987654321:thing/lamp"
OTHER_REGION = f"arn:aws:iot:us-east-1:{ACCOUNT}:thing/lamp"
STAGES = {"rollout_start_per_minute": "10", "rollout_factor": "2", "rollout_after_succeeded": "50"}


def load(tmp_path: Path, **values: str) -> Settings:
    (tmp_path / "config.json").write_text(json.dumps({"thing_name": "lamp", **values}))
    return load_settings(tmp_path, environ={}, account_id=ACCOUNT, region=REGION)


def problems_of(tmp_path: Path, **values: str) -> dict[str, tuple[str, str | None]]:
    """Name of each setting that is refused to the sentence and the suggestion."""
    with pytest.raises(SettingsError) as refusal:
        load(tmp_path, **values)
    return {one.setting: (str(one.text), one.suggestion) for one in refusal.value.problems}


def test_without_any_of_them_the_update_is_for_the_thing(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert (settings.update_targets, settings.target_selection, settings.abort_when) == ((), "SNAPSHOT", ())
    numbers = ("rollout_per_minute", "rollout_start_per_minute", "rollout_factor", "in_progress_timeout_minutes")
    assert [getattr(settings, name) for name in numbers] == [None] * 4


def test_targets_are_things_groups_and_arns(tmp_path: Path) -> None:
    written = f"lamp-1; group:lamps;{BASE}thinggroup/a:b;{BASE}thing/lamp-2;lamp-1"
    assert load(tmp_path, update_targets=written).update_targets == (
        Target("lamp-1"),
        Target("lamps", is_group=True),
        Target("a:b", True, ACCOUNT, REGION),
        Target("lamp-2", False, ACCOUNT, REGION),
    )


def test_abort_criteria_are_read_as_people_write_them(tmp_path: Path) -> None:
    settings = load(tmp_path, abort_when="failed 10% after 20; timed out 2.25 % after 50;ALL 100% after 1")
    assert settings.abort_when == (
        AbortCriterion("FAILED", 10, 20),
        AbortCriterion("TIMED_OUT", 2.25, 50),
        AbortCriterion("ALL", 100, 1),
    )


REFUSED: dict[str, tuple[dict[str, str], str, str, str | None]] = {
    "no rate": ({"rollout_per_minute": "0"}, "rollout_per_minute", "from 1 to 1000", "1"),
    "too fast": ({"rollout_per_minute": "1001"}, "rollout_per_minute", "from 1 to 1000", "1000"),
    "no number": ({"rollout_per_minute": "fast"}, "rollout_per_minute", "from 1 to 1000", None),
    "too slow growth": ({**STAGES, "rollout_factor": "1"}, "rollout_factor", "from 1.1 to 5", "1.1"),
    "too fast growth": ({**STAGES, "rollout_factor": "6"}, "rollout_factor", "from 1.1 to 5", "5"),
    "two decimals": ({**STAGES, "rollout_factor": "1.25"}, "rollout_factor", "one decimal", "1.2"),
    "infinite growth": ({**STAGES, "rollout_factor": "inf"}, "rollout_factor", "from 1.1 to 5", "2"),
    "no time": ({"in_progress_timeout_minutes": "0"}, "in_progress_timeout_minutes", "from 1 to 10080", "1"),
    "a week and a minute": (
        {"in_progress_timeout_minutes": "10081"}, "in_progress_timeout_minutes", "from 1 to 10080", "10080",
    ),
    "in other letters": (
        {"target_selection": "continuous", "thing_group_name": "lamps"}, "target_selection", 'write "CONTINUOUS"',
        "CONTINUOUS",
    ),
    "no criterion": ({"abort_when": "when it burns"}, "abort_when", '"FAILED 10% after 20"', None),
    "no such failure": ({"abort_when": "BROKEN 10% after 1"}, "abort_when", "FAILED, REJECTED, TIMED_OUT, ALL", None),
    "no count": ({"abort_when": "FAILED 10%"}, "abort_when", '"FAILED 10% after 1"', None),
    "a count of none": ({"abort_when": "FAILED 10% after 0"}, "abort_when", '"FAILED 10% after 1"', None),
    "nothing failed": ({"abort_when": "FAILED 0% after 5"}, "abort_when", "more than 0", None),
    "more than all": ({"abort_when": "FAILED 101% after 5"}, "abort_when", "at most 100", None),
    "three decimals": ({"abort_when": "FAILED 1.125% after 5"}, "abort_when", "two decimals", None),
    "twice": ({"abort_when": "FAILED 1% after 5;failed 2% after 6"}, "abort_when", "FAILED is there twice", None),
    "no target": ({"update_targets": "lamp 1"}, "update_targets", "lamp-1;group:lamps", None),
    "an ARN of something else": ({"update_targets": f"{BASE}cert/1"}, "update_targets", "lamp-1;group:lamps", None),
    "another account": ({"update_targets": OTHER_ACCOUNT}, "update_targets", "210987654321", None),
    "another region": ({"update_targets": OTHER_REGION}, "update_targets", "us-east-1", None),
    "too many": (
        {"update_targets": ";".join(f"lamp-{number}" for number in range(101))}, "update_targets", "into a group", None,
    ),
    "a thing that others join": (
        {"target_selection": "CONTINUOUS"}, "target_selection", "would never end", "SNAPSHOT",
    ),
    "things that others join": (
        {"target_selection": "CONTINUOUS", "thing_group_name": "lamps", "update_targets": "lamp-1"},
        "target_selection", "would never end", "SNAPSHOT",
    ),
    "stages without a factor": (
        {**STAGES, "rollout_factor": ""}, "rollout_factor", "rollout_start_per_minute makes a rollout in stages", "2",
    ),
    "stages without an end": ({**STAGES, "rollout_after_succeeded": ""}, "rollout_after_succeeded", "needs", "50"),
    "a factor alone": ({"rollout_factor": "2"}, "rollout_start_per_minute", "rollout_factor makes", "10"),
    "two ends": ({**STAGES, "rollout_after_notified": "9"}, "rollout_after_notified", "ends by one count", None),
    "a fast beginning": ({**STAGES, "rollout_per_minute": "9"}, "rollout_per_minute", "begin faster", "10"),
}  # fmt: skip


@pytest.mark.parametrize(("values", "name", "words", "suggestion"), REFUSED.values(), ids=REFUSED)
def test_what_aws_would_refuse_is_refused_with_what_to_write(
    tmp_path: Path, values: dict[str, str], name: str, words: str, suggestion: str | None
) -> None:
    found = problems_of(tmp_path, **values)
    text, suggested = found[name]
    assert words in text
    assert suggested == suggestion
    if suggested:
        assert name not in _names_after(tmp_path, {**values, name: suggested})


def _names_after(tmp_path: Path, values: dict[str, str]) -> set[str]:
    try:
        load(tmp_path, **values)
    except SettingsError as error:
        return {one.setting for one in error.problems}
    return set()


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    found = problems_of(
        tmp_path,
        rollout_per_minute="5",
        rollout_start_per_minute="10",
        rollout_factor="9",
        abort_when="FAILED 10%",
        target_selection="CONTINUOUS",
        in_progress_timeout_minutes="never",
    )
    assert set(found) == {
        "rollout_per_minute",
        "rollout_factor",
        "rollout_after_succeeded",
        "abort_when",
        "target_selection",
        "in_progress_timeout_minutes",
    }


@pytest.mark.parametrize(
    "values",
    [
        {**STAGES, "rollout_per_minute": "10"},
        {"target_selection": "CONTINUOUS", "thing_group_name": "lamps"},
        {"target_selection": "CONTINUOUS", "update_targets": "lamp-1;group:lamps"},
    ],
)
def test_what_fits_together_is_taken(tmp_path: Path, values: dict[str, str]) -> None:
    load(tmp_path, **values)
