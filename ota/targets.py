"""Who the update of the settings is for: whether the groups exist, how many devices that is, and how they get it.

``plan`` and ``status`` look this up. The set-up does not, so that an update for a group takes as many calls as one for
a thing; AWS says itself where a group does not exist.

Source: AWS IoT DescribeThingGroup, ListThingsInThingGroup (250 a page).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ota import desired_state, groups
from ota.errors import OtaError, attempt
from ota.messages import Text, joined
from ota.outcomes import Action, Change
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


def plan_groups(cloud: Cloud, settings: Settings) -> list[Change]:
    """The groups that get the update, one call each."""
    return list(side_by_side_map(partial(_plan_group, cloud), _group_names(cloud, settings)))


def count_devices(cloud: Cloud, settings: Settings) -> Devices | None:
    """How many devices get the update, in two calls at most; None where it is for one thing."""
    arns = desired_state.target_arns(cloud, settings)
    if sole_thing(arns):
        return None
    others = [_name_of(arn) for arn in arns if not is_group(arn)]
    return Devices(*groups.count_members(cloud.iot, _group_names(cloud, settings), others))


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


def _group_names(cloud: Cloud, settings: Settings) -> list[str]:
    return [_name_of(arn) for arn in desired_state.target_arns(cloud, settings) if is_group(arn)]


def _name_of(arn: str) -> str:
    return arn.rpartition("/")[2]
