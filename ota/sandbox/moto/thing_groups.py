"""Thing groups as strict as AWS: idempotent creation, tags, versions, one group of a hierarchy, ten groups for a thing.

moto takes any member, ignores tags, pages and ``recursive``, and has no dynamic groups. A dynamic group keeps its
query, and its members are found when they are asked for; it is active at once, where AWS builds it for a while.

Each public function whose name is an operation replaces or adds that method of moto's ``IoTResponse``.

Source: AWS IoT API reference (CreateThingGroup and its neighbours, CreateDynamicThingGroup, DeleteDynamicThingGroup);
Developer Guide, "Static thing groups", "Dynamic thing groups"; AWS IoT quotas (ten groups for a thing, seven levels,
50 attributes). The refusals have the one code of each operation's model that fits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from moto.core.responses import ActionResult, EmptyResult
from moto.iot.exceptions import IoTClientError
from moto.iot.models import FakeThing, FakeThingGroup

from . import registry_changes, tags
from .responses import AwsError, already_exists, cut_page, invalid_request, not_found

MAX_GROUPS = 10
MAX_LEVELS = 7
MAX_ATTRIBUTES = 50
INDEX = "AWS_Things"
QUERY_VERSION = "2017-09-30"


def create_thing_group(self: Any) -> ActionResult:
    """CreateThingGroup: repeatable with the same parent and properties, refused with others."""
    parent = self.params.get("parentGroupName") or None  # as moto's own search has it
    if parent:
        _check_parent(self.iot_backend, parent)
    return ActionResult(_brief(_create(self, parent, None)))


def create_dynamic_thing_group(self: Any) -> ActionResult:
    """CreateDynamicThingGroup: needs fleet indexing, and a query that it understands."""
    query = self.params["queryString"]
    index = self.params.get("indexName", INDEX)
    if self.iot_backend.indexing_configuration.configuration.thingIndexingConfiguration.thingIndexingMode == "OFF":
        raise invalid_request("Fleet indexing of things is off; a dynamic group needs it.")
    if index != INDEX:
        raise not_found(f"Index {index} does not exist.")
    _check_query(self.iot_backend, query)
    group = _create(self, None, query)
    return ActionResult({**_brief(group), **_query_of(group)})


def describe_thing_group(self: Any) -> ActionResult:
    """DescribeThingGroup; a dynamic one with its query and status."""
    group = find_group(self.iot_backend, self.params["thingGroupName"])
    dynamic = {**_query_of(group), "status": "ACTIVE"} if is_dynamic(group) else {}
    return ActionResult({**group.to_dict(), **dynamic})


def update_thing_group(self: Any) -> ActionResult:
    """UpdateThingGroup: replaces the attributes, or merges them; raises the version."""
    group = find_group(self.iot_backend, self.params["thingGroupName"])
    _check_static(group)
    _check_version(group, self.params.get("expectedVersion"))
    group.thing_group_properties = _merged(group.thing_group_properties, self.params["thingGroupProperties"])
    group.version += 1
    return ActionResult({"version": group.version})


def delete_thing_group(self: Any) -> ActionResult:
    """DeleteThingGroup: success for a missing one; members are no obstacle, groups below it are."""
    name = self.params["thingGroupName"]
    group = _by_name(self.iot_backend, name)
    if group is None:
        return EmptyResult()
    _check_static(group)
    below = sorted(one.thing_group_name for one in _children(self.iot_backend, name))
    if below:
        raise invalid_request(f"Cannot delete thing group {name} while it has child groups: {', '.join(below)}.")
    return _delete(self, group)


def delete_dynamic_thing_group(self: Any) -> ActionResult:
    """DeleteDynamicThingGroup: success for a missing one."""
    group = _by_name(self.iot_backend, self.params["thingGroupName"])
    if group is None:
        return EmptyResult()
    if not is_dynamic(group):
        raise invalid_request(f"Thing group {group.thing_group_name} is not dynamic.")
    return _delete(self, group)


def list_thing_groups(self: Any) -> ActionResult:
    """ListThingGroups: all, or those below a parent, directly unless ``recursive``; in pages."""
    params, backend = self.params, self.iot_backend
    parent, recursive = params.get("parentGroup"), params.get("recursive", True)
    if parent is not None:
        find_group(backend, parent)
        found = list(_below(backend, parent)) if recursive else _children(backend, parent)
    else:
        found = [one for one in backend.thing_groups.values() if recursive or not one.parent_group_name]
    prefix = params.get("namePrefixFilter", "")
    return _page(self, "thingGroups", [_row(one) for one in found if one.thing_group_name.startswith(prefix)])


def list_things_in_thing_group(self: Any) -> ActionResult:
    """ListThingsInThingGroup: with the members of the groups below when ``recursive``; in pages."""
    group = find_group(self.iot_backend, self.params["thingGroupName"])
    names = members_of(self.iot_backend, group, recursive=bool(self.params.get("recursive")))
    return _page(self, "things", list(names))


def list_thing_groups_for_thing(self: Any) -> ActionResult:
    """ListThingGroupsForThing: the groups that it is a member of itself, in pages."""
    thing = self.iot_backend.describe_thing(self.params["thingName"])
    return _page(self, "thingGroups", [_row(one) for one in groups_of(self.iot_backend, thing)])


def add_thing_to_thing_group(self: Any) -> ActionResult:
    """AddThingToThingGroup: repeatable."""
    group, thing = _named(self)
    _join(self, thing, [group], leaves=[])
    return EmptyResult()


def remove_thing_from_thing_group(self: Any) -> ActionResult:
    """RemoveThingFromThingGroup: success for a thing that is no member."""
    group, thing = _named(self)
    _check_static(group)
    group.things.pop(thing.arn, None)
    registry_changes.note(self.iot_backend, [thing.thing_name])
    return EmptyResult()


def update_thing_groups_for_thing(self: Any) -> ActionResult:
    """UpdateThingGroupsForThing: all changes or none, so that a thing can move within a hierarchy."""
    backend, params = self.iot_backend, self.params
    if not params.get("thingName"):
        raise invalid_request("A thing name is required.")
    thing = backend.describe_thing(params["thingName"])
    leaves = [find_group(backend, name) for name in params.get("thingGroupsToRemove") or []]
    joins = [find_group(backend, name) for name in params.get("thingGroupsToAdd") or []]
    for group in leaves:
        _check_static(group)
    _join(self, thing, joins, leaves=leaves)
    for group in leaves:
        group.things.pop(thing.arn, None)
    return EmptyResult()


def find_group(backend: Any, name: str) -> Any:
    """The group, or ResourceNotFoundException."""
    group = _by_name(backend, name)
    if group is None:
        raise not_found(f"Thing group {name} does not exist.")
    return group


def is_dynamic(group: Any) -> bool:
    """Whether its members are found by a query."""
    return "query_string" in vars(group)


def members_of(backend: Any, group: Any, *, recursive: bool) -> Iterator[str]:
    """The names of the group's things, and of those in the groups below it when ``recursive``."""
    if is_dynamic(group):
        yield from (thing.thing_name for thing in backend.things.values() if thing.matches(group.query_string))
    yield from (thing.thing_name for thing in group.things.values())
    if recursive:
        for below in _below(backend, group.thing_group_name):
            yield from (thing.thing_name for thing in below.things.values())


def groups_of(backend: Any, thing: Any) -> Iterator[Any]:
    """The groups that have this thing as a member."""
    for group in backend.thing_groups.values():
        if thing.arn in group.things or (is_dynamic(group) and thing.matches(group.query_string)):
            yield group


def leave_all(backend: Any, thing_arn: str) -> None:
    """Take a deleted thing out of its groups."""
    for group in backend.thing_groups.values():
        group.things.pop(thing_arn, None)


def _create(self: Any, parent: str | None, query: str | None) -> Any:
    name, backend = self.params["thingGroupName"], self.iot_backend
    properties = _merged({}, self.params.get("thingGroupProperties") or {})
    present = _by_name(backend, name)
    if present is not None:
        same = (present.parent_group_name, present.thing_group_properties, vars(present).get("query_string"))
        if same != (parent, properties, query):
            text = f"Thing Group {name} already exists in current account with different properties"
            raise already_exists(text, present.thing_group_id, present.arn)
        return present
    place = (backend.account_id, backend.region_name, backend.thing_groups)
    group: Any = FakeThingGroup(name, cast("str", parent), properties, *place)  # moto gives it None, too
    if query is not None:
        group.query_string = query
    tags.set_tags(backend.account_id, backend.region_name, group.arn, self.params.get("tags") or [])
    backend.thing_groups[group.arn] = group
    return group


def _delete(self: Any, group: Any) -> ActionResult:
    """Delete the group, its tags, and the attachments of policies to it."""
    _check_version(group, self.params.get("expectedVersion"))
    backend = self.iot_backend
    for pair in [pair for pair in backend.principal_policies if pair[0] == group.arn]:
        del backend.principal_policies[pair]
    registry_changes.note(backend, members_of(backend, group, recursive=False))
    del backend.thing_groups[group.arn]
    tags.drop(backend.account_id, backend.region_name, group.arn)
    return EmptyResult()


def _join(self: Any, thing: Any, joins: list[Any], *, leaves: list[Any]) -> None:
    """Make the thing a member of all of them, or of none when one is refused."""
    backend = self.iot_backend
    present = [one for one in groups_of(backend, thing) if one not in leaves]
    for group in joins:
        _check_static(group)
        if group in present:
            continue
        _check_hierarchy(backend, thing, group, present)
        counted = [one for one in present if not (is_dynamic(one) and self.params.get("overrideDynamicGroups"))]
        if len(counted) >= MAX_GROUPS:
            raise invalid_request(f"Thing {thing.thing_name} is in {MAX_GROUPS} thing groups, the maximum.")
        present.append(group)
    for group in joins:
        group.things[thing.arn] = thing
    registry_changes.note(backend, [thing.thing_name])


def _check_hierarchy(backend: Any, thing: Any, group: Any, present: list[Any]) -> None:
    root = _root(backend, group)
    for other in present:
        if _root(backend, other) is root:
            raise invalid_request(
                f"Thing {thing.thing_name} is in {other.thing_group_name}, which is in the same hierarchy as "
                f"{group.thing_group_name}; it can be in one of them only."
            )


def _check_parent(backend: Any, name: str) -> None:
    """Refuse a parent that is missing, dynamic or too deep. UNVERIFIED: that a missing one is an invalid request."""
    group = _by_name(backend, name)
    if group is None:
        raise invalid_request(f"Parent thing group {name} does not exist.")
    _check_static(group)
    if len(group.metadata.get("rootToParentThingGroups", [])) + 2 > MAX_LEVELS:
        raise invalid_request(f"A hierarchy of thing groups has at most {MAX_LEVELS} levels.")


def _check_static(group: Any) -> None:
    """Refuse a change of a dynamic group that is for static ones. UNVERIFIED: the code."""
    if is_dynamic(group):
        raise invalid_request(f"Thing group {group.thing_group_name} is dynamic; its query decides about it.")


def _check_version(group: Any, expected: int | None) -> None:
    if expected is not None and expected != group.version:
        text = f"The version for thing group {group.thing_group_name} does not match the expected version."
        raise AwsError("VersionConflictException", text)


def _check_query(backend: Any, query: str) -> None:
    thing: Any = FakeThing
    try:
        thing("any", None, {}, backend.account_id, backend.region_name).matches(query)
    except IoTClientError as error:
        raise AwsError("InvalidQueryException", f"Invalid query: {query}") from error


def _merged(present: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The properties after a change; an attribute with an empty value goes."""
    kept = dict(present)
    if "thingGroupDescription" in given:
        kept["thingGroupDescription"] = given["thingGroupDescription"]
    payload = given.get("attributePayload")
    if payload is not None:
        base = kept.get("attributePayload", {}).get("attributes", {}) if payload.get("merge") else {}
        attributes = {key: value for key, value in {**base, **(payload.get("attributes") or {})}.items() if value}
        if len(attributes) > MAX_ATTRIBUTES:
            raise invalid_request(f"A thing group can have at most {MAX_ATTRIBUTES} attributes.")
        kept["attributePayload"] = {"attributes": attributes}
    return kept


def _named(self: Any) -> tuple[Any, Any]:
    """Group and thing of a request that names each by name, by ARN, or by both if they are of the same."""
    params, backend = self.params, self.iot_backend
    group = _identified(params.get("thingGroupName"), params.get("thingGroupArn"), backend.thing_groups, backend)
    return group, _identified(params.get("thingName"), params.get("thingArn"), backend.things, backend)


def _identified(name: str | None, arn: str | None, found: Mapping[str, Any], backend: Any) -> Any:
    kind = "thing" if found is backend.things else "thinggroup"
    by_name = f"arn:aws:iot:{backend.region_name}:{backend.account_id}:{kind}/{name}" if name else None
    if by_name is None and arn is None:
        raise invalid_request("The thing and its group must be given by name or ARN.")
    if by_name and arn and by_name != arn:
        raise invalid_request(f"{arn} is not the ARN of {name}.")
    if (by_name or arn) not in found:
        raise not_found(f"{'Thing' if kind == 'thing' else 'Thing group'} {name or arn} does not exist.")
    return found[by_name or str(arn)]


def _by_name(backend: Any, name: str) -> Any | None:
    return backend.thing_groups.get(f"arn:aws:iot:{backend.region_name}:{backend.account_id}:thinggroup/{name}")


def _root(backend: Any, group: Any) -> Any:
    while group.parent_group_name:
        group = find_group(backend, group.parent_group_name)
    return group


def _children(backend: Any, name: str) -> list[Any]:
    return [one for one in backend.thing_groups.values() if one.parent_group_name == name]


def _below(backend: Any, name: str) -> Iterator[Any]:
    for child in _children(backend, name):
        yield child
        yield from _below(backend, child.thing_group_name)


def _brief(group: Any) -> dict[str, Any]:
    return {
        "thingGroupName": group.thing_group_name,
        "thingGroupArn": group.arn,
        "thingGroupId": group.thing_group_id,
    }


def _query_of(group: Any) -> dict[str, str]:
    return {"indexName": INDEX, "queryString": group.query_string, "queryVersion": QUERY_VERSION}


def _row(group: Any) -> dict[str, str]:
    return {"groupName": group.thing_group_name, "groupArn": group.arn}


def _page(self: Any, member: str, rows: list[Any]) -> ActionResult:
    page, token = cut_page(rows, self.params.get("maxResults"), self.params.get("nextToken"))
    return ActionResult({member: page, "nextToken": token})
