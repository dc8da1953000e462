"""Thing groups as AWS keeps them: who may be in them, how they nest, and what their deletion leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import ACCOUNT, REGION
from tests.hand_made import POLICY_DOCUMENT
from tests.sandbox.iot_calls import refused, turn_indexing_on

INVALID, MISSING = ("InvalidRequestException", 400), ("ResourceNotFoundException", 404)
EXISTS, CONFLICT = ("ResourceAlreadyExistsException", 409), ("VersionConflictException", 409)


def arn(name: str, kind: str = "thinggroup") -> str:
    return f"arn:aws:iot:{REGION}:{ACCOUNT}:{kind}/{name}"


def properties(description: str = "", merge: bool | None = None, **attributes: str) -> dict[str, Any]:
    payload: dict[str, Any] = {"attributes": attributes, **({} if merge is None else {"merge": merge})}
    return {**({"thingGroupDescription": description} if description else {}), "attributePayload": payload}


def members(iot: Any, group: str, **options: Any) -> list[str]:
    found: list[str] = iot.list_things_in_thing_group(thingGroupName=group, **options)["things"]
    return found


def groups(iot: Any, thing: str) -> list[str]:
    return [one["groupName"] for one in iot.list_thing_groups_for_thing(thingName=thing)["thingGroups"]]


@pytest.fixture
def house(iot: Any) -> Any:
    """Hall and attic below the house, a garden beside it, and a stranger's group; a thing in hall and garden."""
    for name in ("lamp", "door", "stranger"):
        iot.create_thing(thingName=name)
    iot.create_thing_group(thingGroupName="house")
    for name in ("hall", "attic"):
        iot.create_thing_group(thingGroupName=name, parentGroupName="house")
    for name in ("garden", "strangers"):
        iot.create_thing_group(thingGroupName=name)
    for group in ("hall", "garden"):
        iot.add_thing_to_thing_group(thingGroupName=group, thingName="lamp")
    iot.add_thing_to_thing_group(thingGroupName="strangers", thingName="stranger")
    return iot


def test_a_group_keeps_parent_properties_tags_and_version(iot: Any) -> None:
    iot.create_thing_group(thingGroupName="house")
    tags = [{"Key": "managed-by", "Value": "ota-tasks"}]
    given = properties("Lamps of the hall", floor="0")
    made = iot.create_thing_group(
        thingGroupName="hall:a_b-1", parentGroupName="house", thingGroupProperties=given, tags=tags
    )
    assert made["thingGroupArn"] == arn("hall:a_b-1")
    assert iot.list_tags_for_resource(resourceArn=made["thingGroupArn"])["tags"] == tags
    found = iot.describe_thing_group(thingGroupName="hall:a_b-1")
    assert (found["thingGroupId"], found["version"]) == (made["thingGroupId"], 1)
    assert found["thingGroupProperties"] == given
    metadata = found["thingGroupMetadata"]
    assert metadata["parentGroupName"] == "house"
    assert metadata["rootToParentThingGroups"] == [{"groupName": "house", "groupArn": arn("house")}]
    assert "queryString" not in found


def test_creation_can_be_repeated_with_the_same_parent_and_properties_only(house: Any) -> None:
    create = house.create_thing_group
    again = create(thingGroupName="hall", parentGroupName="house")
    assert again["thingGroupArn"] == arn("hall")
    assert refused(create, thingGroupName="hall") == EXISTS
    assert (
        refused(create, thingGroupName="hall", parentGroupName="house", thingGroupProperties=properties(a="1"))
        == EXISTS
    )
    assert members(house, "hall") == ["lamp"]


@pytest.mark.parametrize(
    "changes",
    [
        {"thingGroupName": "a b"},
        {"thingGroupName": "a/b"},
        {"thingGroupName": "a" * 129},
        {"parentGroupName": "nobody"},
        {"thingGroupProperties": properties(floor="a b")},
        {"thingGroupProperties": properties(**{f"a{number}": "1" for number in range(51)})},
        {"tags": [{"Key": "aws:x", "Value": "1"}]},
    ],
    ids=["space", "slash", "too long", "no parent", "attribute", "many attributes", "reserved tag"],
)
def test_wrong_groups_are_refused_and_not_made(iot: Any, changes: dict[str, Any]) -> None:
    assert refused(iot.create_thing_group, **{"thingGroupName": "hall", **changes}) == INVALID
    assert iot.list_thing_groups()["thingGroups"] == []


def test_a_hierarchy_has_seven_levels(iot: Any) -> None:
    for level in range(7):
        parent = {"parentGroupName": f"level-{level - 1}"} if level else {}
        iot.create_thing_group(thingGroupName=f"level-{level}", **parent)
    assert refused(iot.create_thing_group, thingGroupName="deep", parentGroupName="level-6") == INVALID


def test_attributes_are_replaced_or_merged_under_the_expected_version(iot: Any) -> None:
    iot.create_thing_group(thingGroupName="hall", thingGroupProperties=properties("first", a="1", b="2"))
    update = iot.update_thing_group
    given = {"thingGroupName": "hall", "thingGroupProperties": properties(merge=True, b="3", c="4")}
    assert refused(update, **given, expectedVersion=9) == CONFLICT
    assert update(**given, expectedVersion=1)["version"] == 2
    assert iot.describe_thing_group(thingGroupName="hall")["thingGroupProperties"] == properties(
        "first", a="1", b="3", c="4"
    )
    update(thingGroupName="hall", thingGroupProperties=properties(merge=True, a=""))
    update(thingGroupName="hall", thingGroupProperties={"thingGroupDescription": "second"})
    assert iot.describe_thing_group(thingGroupName="hall")["thingGroupProperties"] == properties("second", b="3", c="4")
    update(thingGroupName="hall", thingGroupProperties=properties(d="5"))
    found = iot.describe_thing_group(thingGroupName="hall")
    assert (found["thingGroupProperties"], found["version"]) == (properties("second", d="5"), 5)
    assert refused(update, **{**given, "thingGroupName": "nobody"}) == MISSING


def test_membership_can_be_repeated_and_taken_back_twice(house: Any) -> None:
    for _ in range(2):
        house.add_thing_to_thing_group(thingGroupArn=arn("strangers"), thingArn=arn("lamp", "thing"))
    assert members(house, "strangers") == ["stranger", "lamp"]
    for _ in range(2):
        house.remove_thing_from_thing_group(thingGroupName="strangers", thingName="lamp")
    assert members(house, "strangers") == ["stranger"]
    assert groups(house, "lamp") == ["hall", "garden"]


@pytest.mark.parametrize("operation", ["add_thing_to_thing_group", "remove_thing_from_thing_group"])
@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        pytest.param({"thingGroupName": "nobody", "thingName": "lamp"}, MISSING, id="group"),
        pytest.param({"thingGroupName": "hall", "thingName": "nobody"}, MISSING, id="thing"),
        pytest.param({"thingGroupArn": arn("nobody"), "thingName": "lamp"}, MISSING, id="ARN"),
        pytest.param({"thingName": "lamp"}, INVALID, id="no group"),
        pytest.param({"thingGroupName": "hall"}, INVALID, id="no thing"),
        pytest.param(
            {"thingGroupName": "hall", "thingGroupArn": arn("attic"), "thingName": "lamp"}, INVALID, id="two groups"
        ),
    ],
)
def test_membership_needs_both_and_only_one_of_each(
    house: Any, operation: str, given: dict[str, str], refusal: tuple[str, int]
) -> None:
    assert refused(getattr(house, operation), **given) == refusal


def test_a_thing_is_in_one_group_of_a_hierarchy_and_moves_in_one_call(house: Any) -> None:
    for name in ("attic", "house"):
        assert refused(house.add_thing_to_thing_group, thingGroupName=name, thingName="lamp") == INVALID
    move = house.update_thing_groups_for_thing
    move(thingName="lamp", thingGroupsToAdd=["attic"], thingGroupsToRemove=["hall"])
    assert groups(house, "lamp") == ["attic", "garden"]
    both = {"thingGroupsToAdd": ["strangers", "hall"]}
    assert refused(move, thingName="lamp", **both) == INVALID
    assert groups(house, "lamp") == ["attic", "garden"]
    assert refused(move, thingName="lamp", thingGroupsToAdd=["nobody"]) == MISSING
    assert refused(move, thingName="nobody", thingGroupsToAdd=["hall"]) == MISSING


def test_a_thing_is_in_ten_groups_at_most(iot: Any) -> None:
    iot.create_thing(thingName="lamp")
    for number in range(11):
        iot.create_thing_group(thingGroupName=f"g{number}")
    for number in range(10):
        iot.add_thing_to_thing_group(thingGroupName=f"g{number}", thingName="lamp")
    assert refused(iot.add_thing_to_thing_group, thingGroupName="g10", thingName="lamp") == INVALID
    iot.add_thing_to_thing_group(thingGroupName="g9", thingName="lamp")
    iot.update_thing_groups_for_thing(thingName="lamp", thingGroupsToAdd=["g10"], thingGroupsToRemove=["g0"])
    assert "g10" in groups(iot, "lamp")


def test_lists_go_down_the_hierarchy_and_come_in_pages(house: Any) -> None:
    house.add_thing_to_thing_group(thingGroupName="house", thingName="door")
    assert members(house, "house") == ["door"]
    assert members(house, "house", recursive=True) == ["door", "lamp"]
    pages = house.get_paginator("list_things_in_thing_group").paginate(
        thingGroupName="house", recursive=True, PaginationConfig={"PageSize": 1}
    )
    assert [page["things"] for page in pages] == [["door"], ["lamp"]]
    assert refused(house.list_things_in_thing_group, thingGroupName="house", maxResults=251) == INVALID
    assert refused(house.list_things_in_thing_group, thingGroupName="nobody") == MISSING

    def listed(**options: Any) -> list[str]:
        pages = house.get_paginator("list_thing_groups").paginate(**options, PaginationConfig={"PageSize": 2})
        return [one["groupName"] for page in pages for one in page["thingGroups"]]

    house.create_thing_group(thingGroupName="shelf", parentGroupName="attic")
    assert listed() == ["house", "hall", "attic", "garden", "strangers", "shelf"]
    assert listed(recursive=False) == ["house", "garden", "strangers"]
    assert listed(parentGroup="house") == ["hall", "attic", "shelf"]
    assert listed(parentGroup="house", recursive=False) == ["hall", "attic"]
    assert listed(namePrefixFilter="ha") == ["hall"]
    assert refused(house.list_thing_groups, parentGroup="nobody") == MISSING


def test_a_group_goes_with_its_tags_and_policies_but_not_with_groups_below_it(house: Any) -> None:
    house.create_policy(policyName="p", policyDocument=POLICY_DOCUMENT)
    house.attach_policy(policyName="p", target=arn("hall"))
    house.tag_resource(resourceArn=arn("hall"), tags=[{"Key": "k", "Value": "v"}])
    delete = house.delete_thing_group
    assert refused(delete, thingGroupName="house") == INVALID
    assert refused(delete, thingGroupName="hall", expectedVersion=2) == CONFLICT
    for name in ("hall", "hall", "attic", "house"):
        delete(thingGroupName=name)
    assert groups(house, "lamp") == ["garden"]
    assert house.list_targets_for_policy(policyName="p")["targets"] == []
    assert refused(house.describe_thing_group, thingGroupName="hall") == MISSING
    house.create_thing_group(thingGroupName="hall")
    assert house.list_tags_for_resource(resourceArn=arn("hall"))["tags"] == []
    assert members(house, "strangers") == ["stranger"]


def test_a_deleted_thing_is_in_no_group_when_it_comes_again(house: Any) -> None:
    house.delete_thing(thingName="lamp")
    assert members(house, "house", recursive=True) == []
    house.create_thing(thingName="lamp")
    assert groups(house, "lamp") == []


def test_a_dynamic_group_has_the_things_that_its_query_finds(house: Any) -> None:
    create = house.create_dynamic_thing_group
    given = {"thingGroupName": "north", "queryString": "attributes.hall:north AND thingName:l*"}
    assert refused(create, **given) == INVALID
    turn_indexing_on(house)
    tags = [{"Key": "k", "Value": "v"}]
    made = create(**given, tags=tags)
    assert (made["indexName"], made["queryString"]) == ("AWS_Things", given["queryString"])
    assert house.list_tags_for_resource(resourceArn=arn("north"))["tags"] == tags
    assert create(**given)["thingGroupId"] == made["thingGroupId"]
    assert refused(create, **{**given, "queryString": "thingName:x"}) == EXISTS
    assert members(house, "north") == []
    for name in ("lamp", "door"):
        house.update_thing(thingName=name, attributePayload={"attributes": {"hall": "north"}})
    assert members(house, "north") == ["lamp"]
    assert groups(house, "lamp") == ["hall", "garden", "north"]
    found = house.describe_thing_group(thingGroupName="north")
    assert (found["queryString"], found["status"]) == (given["queryString"], "ACTIVE")
    house.update_thing(thingName="lamp", attributePayload={"attributes": {"hall": "south"}})
    assert members(house, "north") == []
    assert refused(create, **{**given, "thingGroupName": "n", "queryString": "(a"}) == ("InvalidQueryException", 400)
    assert refused(create, **{**given, "thingGroupName": "n", "indexName": "other"}) == MISSING


CHANGES_BY_HAND: dict[str, Callable[[Any], tuple[Any, dict[str, Any]]]] = {
    "add": lambda iot: (iot.add_thing_to_thing_group, {"thingGroupName": "north", "thingName": "lamp"}),
    "remove": lambda iot: (iot.remove_thing_from_thing_group, {"thingGroupName": "north", "thingName": "lamp"}),
    "move in": lambda iot: (iot.update_thing_groups_for_thing, {"thingName": "lamp", "thingGroupsToAdd": ["north"]}),
    "move out": lambda iot: (
        iot.update_thing_groups_for_thing,
        {"thingName": "lamp", "thingGroupsToRemove": ["north"]},
    ),
    "below": lambda iot: (iot.create_thing_group, {"thingGroupName": "x", "parentGroupName": "north"}),
    "update": lambda iot: (iot.update_thing_group, {"thingGroupName": "north", "thingGroupProperties": properties()}),
    "delete": lambda iot: (iot.delete_thing_group, {"thingGroupName": "north"}),
    "delete as dynamic": lambda iot: (iot.delete_dynamic_thing_group, {"thingGroupName": "garden"}),
}


@pytest.mark.parametrize("change", CHANGES_BY_HAND)
def test_a_dynamic_group_is_not_changed_by_hand(house: Any, change: str) -> None:
    turn_indexing_on(house)
    house.create_dynamic_thing_group(thingGroupName="north", queryString="thingName:lamp")
    operation, given = CHANGES_BY_HAND[change](house)
    assert refused(operation, **given) == INVALID
    assert members(house, "north") == ["lamp"]
    house.delete_dynamic_thing_group(thingGroupName="north")
    house.delete_dynamic_thing_group(thingGroupName="north")
    assert refused(house.describe_thing_group, thingGroupName="north") == MISSING
    assert groups(house, "lamp") == ["hall", "garden"]


def test_a_search_finds_members_by_the_names_of_their_groups(house: Any) -> None:
    turn_indexing_on(house)
    found = house.search_index(queryString="thingGroupNames:garden")["things"]
    assert [(one["thingName"], sorted(one["thingGroupNames"])) for one in found] == [("lamp", ["garden", "hall"])]
    assert house.search_index(queryString="thingGroupNames:attic")["things"] == []
