"""Who the update of the settings is for: whether they exist, how many devices that is, and how they get it.

``plan`` and ``status`` look this up. The set-up does not, so that an update for a group takes as many calls as one for
a thing; AWS says itself where one does not exist.

Source: AWS IoT DescribeThing, DescribeThingGroup, ListThingsInThingGroup (250 a page).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ota import desired_state, groups, things
from ota.errors import InTheWay, OtaError, attempt
from ota.messages import Text, command, joined
from ota.outcomes import Action, Change, blocked
from ota.threads import side_by_side_map
from ota.updates.rollout_rules import (
    Devices,
    is_group,
    limits_sentence,
    rollout_sentence,
    sole_thing,
    targets_name,
)

if TYPE_CHECKING:
    from ota.cloud import Cloud
    from ota.settings.settings import Settings

TOLD = (Action.CREATE, Action.REPLACE, Action.REUSE)


def plan_targets(cloud: Cloud, settings: Settings) -> list[Change]:
    """The groups that get the update, and what keeps named things from it; one call each."""
    others = [name for name in _thing_names(cloud, settings) if name != settings.thing_name]
    planned = list(side_by_side_map(partial(_plan_group, cloud), _group_names(cloud, settings)))
    return [*planned, *filter(None, side_by_side_map(partial(_plan_thing, cloud), others))]


def count_devices(cloud: Cloud, settings: Settings) -> Devices | None:
    """How many devices get the update, in two calls at most; None where it is for one thing."""
    if sole_thing(desired_state.target_arns(cloud, settings)):
        return None
    return Devices(*groups.count_members(cloud.iot, _group_names(cloud, settings), _thing_names(cloud, settings)))


def with_rollout(cloud: Cloud, settings: Settings, change: Change, devices: Devices | OtaError | None) -> Change:
    """The change of the update, with who gets it and how."""
    if change.noun != "update" or change.action not in TOLD:
        return change
    arns, rules = desired_state.target_arns(cloud, settings), desired_state.rollout_rules(settings)
    if sole_thing(arns):
        told = limits_sentence(rules)
    else:
        counted = devices if isinstance(devices, Devices) else None
        told = f"for {targets_name(arns)}: {rollout_sentence(rules, counted)}"
    parts: list[Text] = [part for part in (change.detail, told) if part]
    return replace(change, detail=joined("; ", parts)) if told else change


def target_name(cloud: Cloud, settings: Settings) -> str:
    """Who gets the update, for a sentence: ``lamp``, ``the group lamps``."""
    arns = desired_state.target_arns(cloud, settings)
    return sole_thing(arns) or targets_name(arns)


def _plan_group(cloud: Cloud, name: str) -> Change:
    return groups.decide_target(attempt(partial(groups.find_group, cloud.iot, name)), name)


def _plan_thing(cloud: Cloud, name: str) -> Change | None:
    """What keeps this thing from the update; None where it is there."""
    found = attempt(partial(things.is_thing, cloud.iot, name))
    if found is True:
        return None
    if isinstance(found, OtaError):
        return blocked(things.NOUN, name, found)
    make = command("thing", thing_name=name)
    problem = InTheWay(
        f"There is no thing {name}. Take it out of update_targets, or make it: ",
        make,
        ".",
        remedy=make,
        brief=f"there is no thing {name}, which update_targets names",
    )
    return blocked(things.NOUN, name, problem)


def _group_names(cloud: Cloud, settings: Settings) -> list[str]:
    return [_name_of(arn) for arn in desired_state.target_arns(cloud, settings) if is_group(arn)]


def _thing_names(cloud: Cloud, settings: Settings) -> list[str]:
    return [_name_of(arn) for arn in desired_state.target_arns(cloud, settings) if not is_group(arn)]


def _name_of(arn: str) -> str:
    return arn.rpartition("/")[2]
