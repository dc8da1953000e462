"""``invoke group``: things join and leave by name, by pattern and by list; and what becomes of the group."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ota import groups, ownership
from ota.sandbox.process import Address
from tests.fleet.fleet_world import GROUP
from tests.project import THING, Project, aws_project
from tests.sandbox.iot_calls import turn_indexing_on
from tests.sandbox_control import Control
from tests.test_output_schema import check


@pytest.fixture
def project(tmp_path: Path, clean_sandbox: Address) -> Project:
    return aws_project(tmp_path / "project", clean_sandbox, has_firmware=False, thing_group_name=GROUP)


@pytest.fixture
def iot(shared_clients: Callable[[str], Any]) -> Any:
    return shared_clients("iot")


def make_things(iot: Any, *names: str, owner: str = "") -> None:
    """Things of ours; with ``owner`` as `register` makes them."""
    for name in names:
        marks = ownership.registered_marks(owner) if owner else ownership.marks(name)
        iot.create_thing(thingName=name, attributePayload={"attributes": marks})


def members(iot: Any, name: str = GROUP) -> list[str]:
    return sorted(groups.list_members(iot, name))


def test_things_join_and_leave_by_pattern_name_and_list(project: Project, iot: Any) -> None:
    make_things(iot, "lamp-1", "lamp-2", owner=THING)
    make_things(iot, "lamp-3")
    for name in ("lamp-4", "lamp-5"):
        iot.create_thing(thingName=name)  # somebody else's
    (project.root_path / "devices.csv").write_text("thing_name,serial\nlamp-2,17\nlamp-5,18\n")
    made = project.run_here("group", "--add", "lamp-*", "--add", "lamp-3", "--file", "devices.csv").done()
    assert (made.verbs, made.out.rstrip().endswith("4 added")) == ([("group", "created")], True)
    assert members(iot) == ["lamp-1", "lamp-2", "lamp-3", "lamp-5"]
    again = project.run_here("group", "--add", "lamp-*", "--add", "lamp-4", "--json").done()
    document = check("group", again)
    assert (document["added"], document["kept"]) == (["lamp-4"], ["lamp-1", "lamp-2", "lamp-3"])
    assert document["outcomes"][0]["verb"] == "changed"
    left = project.run_here("group", "--remove", "lamp-1", "--remove", "*-5", "--remove", "never-in-it").done()
    assert "2 taken out, 1 not in it" in left.out
    assert members(iot) == ["lamp-2", "lamp-3", "lamp-4"]
    assert project.run_here("group").done().verbs == [("group", "reused")]


def test_what_cannot_join_is_named_and_the_others_join(project: Project, iot: Any) -> None:
    make_things(iot, "lamp-1")
    project.run_here("group", "--add", "lamp-1", "--add", "nobody", "--add", "pump-*").failed(
        "nobody: ", "pump-*: this tool made no thing", "invoke list.things"
    )
    assert members(iot) == ["lamp-1"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--add", "lamp 1;"), "cannot be the name of a thing"),
        (("--file", "none.csv"), "There is no file"),
    ],
)
def test_a_mistake_is_told_before_anything_is_done(
    project: Project, control: Control, words: tuple[str, ...], said: str
) -> None:
    control.clear_calls()
    project.run_here("group", *words).failed(said)
    assert control.operations() == []


def test_without_a_name_the_setting_is_named(project: Project) -> None:
    project.set(thing_group_name="")
    project.run_here("group").failed("thing_group_name is not set", "invoke with --thing-group-name lamps group")


def test_a_dynamic_group_is_used_and_nobody_is_added_to_it(project: Project, iot: Any) -> None:
    turn_indexing_on(iot)
    make_things(iot, "lamp-1")
    iot.create_dynamic_thing_group(thingGroupName=GROUP, queryString="thingName:lamp-*")
    assert "chooses its members by a query" in project.run_here("group").done().out
    project.run_here("group", "--add", "lamp-1").failed("chooses its members by a query", "thingName:lamp-*")
    project.run_here("delete.group", "--force").failed("is a dynamic one")
    project.run_here("clean").done()
    assert iot.describe_thing_group(thingGroupName=GROUP)["queryString"] == "thingName:lamp-*"


def test_the_members_are_listed_once_and_each_change_is_one_call(project: Project, iot: Any, control: Control) -> None:
    make_things(iot, *(f"lamp-{number}" for number in range(30)))
    project.run_here("group", "--add", "lamp-*").done()
    control.clear_calls()
    project.run_here("group", "--add", "lamp-*").done()
    assert sorted(control.operations()) == [
        "DescribeThingGroup", "GetCallerIdentity", "ListThings", "ListThingsInThingGroup",
    ]  # fmt: skip


def test_groups_are_listed_with_their_members_and_deleted_by_name(project: Project, iot: Any) -> None:
    make_things(iot, "lamp-1", "lamp-2")
    project.run_here("group", "--add", "lamp-*").done()
    iot.create_thing_group(thingGroupName="theirs")
    listed = json.loads(project.run_here("list.groups", "--json", "--filter", "*s").done().out)["groups"]
    told = {one["name"]: (one["members"], one["ours"]) for one in listed["rows"]}
    assert told == {GROUP: (2, True), "theirs": (0, False)}
    target = iot.describe_thing_group(thingGroupName=GROUP)["thingGroupArn"]
    iot.create_job(jobId="runs", targets=[target], document="{}")
    project.run_here("delete.group").failed("The job runs for the thing group lamps", "--force")
    project.run_here("delete.group", "--name", "th*", "--yes").failed("Made by others: theirs")
    assert project.run_here("delete.group", "--force").done().verbs == [("group", "deleted")]
    assert iot.describe_thing(thingName="lamp-1")["thingName"] == "lamp-1"


def test_clean_deletes_our_group_and_leaves_foreign_things_and_groups(project: Project, iot: Any) -> None:
    iot.create_thing(thingName="foreign")
    iot.create_thing_group(thingGroupName="lamp_update-retry-1")  # by the name of a retry's, and not ours
    project.run_here("group", "--add", "foreign").done()
    planned = json.loads(project.run_here("clean", "--plan", "--json").done().out)["steps"]
    assert [one["action"] for one in planned if one["noun"] == "group"] == ["delete"]
    cleaned = project.run_here("clean").done()
    assert ("group", "deleted") in cleaned.verbs
    assert iot.describe_thing(thingName="foreign")["thingName"] == "foreign"
    left = {one["groupName"] for one in iot.list_thing_groups()["thingGroups"]}
    assert GROUP not in left
    assert "lamp_update-retry-1" in left
