"""Thing groups: made once with marks and tags, filled, listed, and deleted only where they are ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ota import groups, ownership
from ota.errors import InTheWay
from ota.outcomes import Action, Outcome, Verb

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

    from tests.sandbox_control import Control

NAME, OWNER = "lamps", "lamp"


def make(iot: IoTClient, name: str = NAME) -> Outcome[groups.Group]:
    return groups.make_group(iot, groups.decide_group(groups.find_group(iot, name), name, OWNER))


def test_a_group_is_made_with_marks_and_tags_and_then_reused(iot: IoTClient, control: Control) -> None:
    assert make(iot).verb is Verb.CREATED
    found = groups.find_group(iot, NAME)
    assert found is not None
    assert ownership.is_ours(found.attributes, OWNER)
    tags = iot.list_tags_for_resource(resourceArn=found.arn)["tags"]
    assert ownership.is_ours(ownership.from_tags(tags), OWNER)
    control.clear_calls()
    assert (make(iot).verb, control.operations()) == (Verb.REUSED, ["DescribeThingGroup"])


def test_a_group_that_another_run_made_after_the_look_is_reused(iot: IoTClient) -> None:
    change = groups.decide_group(None, NAME, OWNER)
    iot.create_thing_group(thingGroupName=NAME)
    outcome = groups.make_group(iot, change)
    assert (outcome.verb, outcome.detail, outcome.get().name) == (Verb.REUSED, "not made for this thing", NAME)


def test_members_come_and_go_and_each_step_can_be_repeated(iot: IoTClient) -> None:
    make(iot)
    for name in ("lamp-1", "lamp-2"):
        iot.create_thing(thingName=name)
        groups.add_member(iot, NAME, name)
        groups.add_member(iot, NAME, name)
    assert sorted(groups.list_members(iot, NAME)) == ["lamp-1", "lamp-2"]
    for name in ("lamp-1", "lamp-1", "never-made"):
        groups.remove_member(iot, NAME, name)
    assert list(groups.list_members(iot, NAME)) == ["lamp-2"]
    assert list(groups.list_members(iot, "no-such-group")) == []


def test_only_our_own_group_is_deleted_and_its_members_stay(iot: IoTClient) -> None:
    make(iot)
    iot.create_thing(thingName="lamp-1")
    groups.add_member(iot, NAME, "lamp-1")
    iot.create_thing_group(thingGroupName="theirs")
    decided = {
        name: groups.decide_group_deletion(groups.find_group(iot, name), name, OWNER).action
        for name in (NAME, "theirs", "absent")
    }
    assert decided == {NAME: Action.DELETE, "theirs": Action.KEEP, "absent": Action.ABSENT}
    forced = groups.decide_group_deletion(groups.find_group(iot, "theirs"), "theirs", None)
    assert forced.action is Action.DELETE
    assert groups.decide_group_deletion(groups.find_group(iot, NAME), NAME, "pump").action is Action.KEEP
    assert groups.delete_group(iot, NAME).verb is Verb.DELETED
    assert [one.name for one in groups.list_groups(iot)] == ["theirs"]
    assert iot.describe_thing(thingName="lamp-1")["thingName"] == "lamp-1"


def test_a_group_with_children_stays_and_the_message_names_them(iot: IoTClient) -> None:
    make(iot)
    iot.create_thing_group(thingGroupName="attic", parentGroupName=NAME)
    with pytest.raises(InTheWay, match=r"child groups \(attic\).*delete.group --name attic"):
        groups.delete_group(iot, NAME)


def test_a_dynamic_group_is_used_but_never_filled_or_deleted() -> None:
    found = groups.Group("hot", "arn:aws:iot:eu-west-1:1:thinggroup/hot", query="attributes.heat:high")
    assert groups.decide_group(found, "hot", OWNER).action is Action.REUSE
    assert groups.decide_group_deletion(found, "hot", None).action is Action.KEEP
    with pytest.raises(InTheWay, match="by a query"):
        groups.check_static(found)
