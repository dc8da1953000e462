"""Thing groups: found, decided, made, filled, listed, deleted.

A group carries the marks of ownership twice. As attributes they come with DescribeThingGroup, so that one call tells
whose the group is. As tags they are what policies and bills go by.

A dynamic group chooses its members by a query. It is used as it is, and never made, filled or deleted here.

Source: AWS IoT CreateThingGroup, DescribeThingGroup (``queryString`` of a dynamic group), AddThingToThingGroup,
RemoveThingFromThingGroup (both idempotent), ListThingsInThingGroup, DeleteThingGroup (refused while there are child
groups; members are no obstacle); Developer Guide, "Static thing groups", "Dynamic thing groups".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from ota import ownership
from ota.aws_calls import answer_or_none, pages
from ota.errors import InTheWay, NotOurs, OtaError
from ota.messages import command
from ota.outcomes import Action, Change, Outcome, Verb, blocked

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

NOUN = "group"
PAGE_SIZE = 250
MOST_PAGES = 2


@dataclass(frozen=True)
class Group:
    """A thing group as AWS has it.

    Attributes:
        name: its name.
        arn: its ARN.
        attributes: they include the marks of ownership where it is ours. A listing does not have them.
        query: what chooses the members of a dynamic group; empty for a static one.
    """

    name: str
    arn: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    query: str = ""

    @property
    def is_dynamic(self) -> bool:
        """Whether a query chooses its members, so that none can be added by hand."""
        return bool(self.query)


def find_group(iot: IoTClient, name: str) -> Group | None:
    """The group by this name, or None; one call."""
    found = answer_or_none(iot.describe_thing_group, thingGroupName=name)
    if found is None:
        return None
    properties = found.get("thingGroupProperties", {})
    attributes = properties.get("attributePayload", {}).get("attributes", {})
    return Group(found["thingGroupName"], found["thingGroupArn"], attributes, found.get("queryString", ""))


def decide_group(found: Group | None, name: str, owner: str) -> Change:
    """What has to become of the group; ``owner`` is the thing of the settings, which a new group is made for."""
    if found is None:
        return Change(NOUN, Action.CREATE, name, wanted=owner)
    is_ours = ownership.is_ours(found.attributes, owner)
    detail = "chooses its members by a query" if found.is_dynamic else "" if is_ours else "not made for this thing"
    return Change(NOUN, Action.REUSE, name, detail, found=found, wanted=owner)


def make_group(iot: IoTClient, change: Change) -> Outcome[Group]:
    """Carry the change out: the group exists. One that somebody else makes after the look is used as it is."""
    change.check()
    name, owner = change.name, change.wanted
    if change.found is not None:
        return Outcome(NOUN, Verb.REUSED, name, change.detail, change.found)
    marks: Any = ownership.marks(owner)
    try:
        made = iot.create_thing_group(
            thingGroupName=name,
            thingGroupProperties={"attributePayload": {"attributes": marks}},
            tags=ownership.mark_tags(owner),  # type: ignore[arg-type]
        )
    except iot.exceptions.ResourceAlreadyExistsException:
        found = find_group(iot, name)
        if found is None:
            raise
        return make_group(iot, decide_group(found, name, owner))
    return Outcome(NOUN, Verb.CREATED, name, value=Group(name, made["thingGroupArn"], marks))


def decide_target(found: Group | OtaError | None, name: str) -> Change:
    """The group as the target of an update: it has to exist, because an update for an empty one reaches nobody."""
    if isinstance(found, OtaError):
        return blocked(NOUN, name, found)
    if found is not None:
        detail = "chooses its members by a query" if found.is_dynamic else ""
        return Change(NOUN, Action.REUSE, name, detail, found=found)
    make = command("group", "--add", "NAME-*", thing_group_name=name)
    problem = InTheWay(
        f"There is no thing group {name}, so the update would reach nobody. Make it of the things that are to get it: ",
        make,
        ".",
        remedy=make,
        brief=f"there is no thing group {name}, so the update would reach nobody",
    )
    return blocked(NOUN, name, problem)


def count_members(iot: IoTClient, names: Iterable[str], others: Iterable[str] = ()) -> tuple[int, bool]:
    """How many things are in these groups, or are ``others``, by :data:`MOST_PAGES` calls; whether those are all."""
    members = chain.from_iterable(list_members(iot, name, is_recursive=True) for name in names)
    listed = list(islice(members, MOST_PAGES * PAGE_SIZE))
    return len({*listed, *others}), len(listed) < MOST_PAGES * PAGE_SIZE


def check_static(group: Group) -> None:
    """Refuse a group that no thing can be added to.

    Raises:
        InTheWay: it is dynamic.
    """
    if group.is_dynamic:
        raise InTheWay(
            f"The thing group {group.name} chooses its members by a query ({group.query}), so no thing can be added to "
            "it. Name another thing_group_name, or give the things what the query asks for."
        )


def decide_group_deletion(found: Group | None, name: str, owner: str | None) -> Change:
    """Whether ``clean`` deletes the group; ``owner`` is the thing that it must be made for, None forces it."""
    if found is None:
        return Change(NOUN, Action.ABSENT, name)
    if found.is_dynamic:
        return Change(NOUN, Action.KEEP, name, "a dynamic group, not made by this tool, stays", found=found)
    if owner is not None and not ownership.is_ours(found.attributes, owner):
        return Change(NOUN, Action.KEEP, name, ownership.reason_to_keep(found.attributes, owner), found=found)
    return Change(NOUN, Action.DELETE, name, "its members stay", found=found)


def delete_group(iot: IoTClient, name: str) -> Outcome[None]:
    """Delete the group; absent is success, and members are no obstacle.

    Raises:
        InTheWay: it has child groups.
        NotOurs: it is dynamic.
    """
    try:
        was_there = answer_or_none(iot.delete_thing_group, thingGroupName=name) is not None
    except iot.exceptions.InvalidRequestException as error:
        found = find_group(iot, name)
        if found is None:
            return Outcome(NOUN, Verb.ABSENT, name)
        raise _refusal(iot, found) or error from error
    return Outcome(NOUN, Verb.DELETED if was_there else Verb.ABSENT, name)


def list_groups(iot: IoTClient, prefix: str = "") -> Iterator[Group]:
    """Every thing group of the account in this region whose name begins so, without attributes."""
    chosen: Any = {"namePrefixFilter": prefix} if prefix else {}
    for found in pages(iot, "list_thing_groups", "thingGroups", page_size=PAGE_SIZE, **chosen):
        yield Group(found["groupName"], found["groupArn"])


def list_members(iot: IoTClient, name: str, *, is_recursive: bool = False) -> Iterator[str]:
    """Names of the things in the group, ``is_recursive`` with those of its child groups; none where it is absent."""
    listed = pages(
        iot, "list_things_in_thing_group", "things", page_size=PAGE_SIZE, thingGroupName=name, recursive=is_recursive
    )
    try:
        yield from listed
    except iot.exceptions.ResourceNotFoundException:
        return


def add_member(iot: IoTClient, name: str, thing_name: str) -> None:
    """Put the thing into the group; a member already is success."""
    iot.add_thing_to_thing_group(thingGroupName=name, thingName=thing_name)


def remove_member(iot: IoTClient, name: str, thing_name: str) -> None:
    """Take the thing out of the group; no member, or no such thing or group, is success."""
    answer_or_none(partial(iot.remove_thing_from_thing_group, thingGroupName=name, thingName=thing_name))


def _refusal(iot: IoTClient, group: Group) -> NotOurs | InTheWay | None:
    """Why AWS does not delete this group; None where it is for none of the known reasons."""
    if group.is_dynamic:
        return NotOurs(f"The thing group {group.name} is a dynamic one, which this tool neither makes nor deletes.")
    listed = pages(
        iot, "list_thing_groups", "thingGroups", page_size=PAGE_SIZE, parentGroup=group.name, recursive=False
    )
    children = [found["groupName"] for found in listed if found["groupName"] != group.name]
    if not children:
        return None
    words = [word for child in children for word in ("--name", child)]
    return InTheWay(
        f"The thing group {group.name} stays: it has child groups ({', '.join(children)}). Delete them first: ",
        command("delete.group", *words),
        ".",
    )
