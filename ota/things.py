"""The thing: the device's entry in the AWS IoT registry, and the certificate attached to it.

A thing has no tags, so it carries the ownership marks as attributes. The certificate that this tool made is attached
exclusively: AWS then lets it be attached to no other thing, and the list of the thing's principals alone proves that
it may be deleted with the thing. AWS detaches asynchronously, so a deletion that comes too soon is retried.

Source: AWS IoT CreateThing, AttachThingPrincipal (thingPrincipalType), ListThingPrincipalsV2, DetachThingPrincipal
("this call is asynchronous; it might take several seconds"), DeleteThing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ota import ownership
from ota.aws_calls import pages
from ota.errors import InTheWay
from ota.messages import command
from ota.outcomes import Action, Change, Outcome, Verb, blocked
from ota.threads import side_by_side

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient
    from mypy_boto3_iot.literals import ThingPrincipalTypeType

NOUN = "thing"
EXCLUSIVE: ThingPrincipalTypeType = "EXCLUSIVE_THING"
NON_EXCLUSIVE: ThingPrincipalTypeType = "NON_EXCLUSIVE_THING"
PAGE_SIZE = 250
DETACH_TIMEOUT_S = 30.0
DETACH_POLL_S = 1.0
ATTACHED = "certificate attached"


@dataclass(frozen=True)
class Principal:
    """What may act as the thing, normally a certificate.

    Attributes:
        arn: of a certificate, ``arn:aws:iot:REGION:ACCOUNT:cert/ID``; else of a Cognito identity.
        type: ``EXCLUSIVE_THING`` when it can be attached to no other thing, else ``NON_EXCLUSIVE_THING``.
    """

    arn: str
    type: str = NON_EXCLUSIVE

    @property
    def is_exclusive(self) -> bool:
        """Whether AWS guarantees that it is attached to no other thing."""
        return self.type == EXCLUSIVE


@dataclass(frozen=True)
class Thing:
    """A thing as the registry has it.

    ``principals`` is empty when it comes from a listing, ``attributes`` when only its principals were asked for.
    """

    name: str
    arn: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    principals: tuple[Principal, ...] = ()

    @property
    def is_ours(self) -> bool:
        """Whether it carries this tool's marks under its own name."""
        return ownership.is_ours(self.attributes, self.name)

    @property
    def is_registered(self) -> bool:
        """Whether it was registered in bulk, for the thing of some settings."""
        return bool(ownership.registered_for(self.attributes))

    def is_attached(self, certificate_arn: str) -> bool:
        """Whether that certificate is attached to it."""
        return any(principal.arn == certificate_arn for principal in self.principals)


def find_thing(iot: IoTClient, name: str) -> Thing | None:
    """The thing with everything attached to it, or None."""
    try:
        return replace(_describe(iot, name), principals=tuple(_list_principals(iot, name)))
    except iot.exceptions.ResourceNotFoundException:
        return None


def find_thing_by_principals(iot: IoTClient, name: str, arn: str) -> Thing | None:
    """As :func:`find_thing`, without attributes and most often with one call less: a principal proves the thing.

    ``arn`` is the one that the thing has if it exists. Where nothing is attached, the thing itself is looked up,
    because an empty list does not prove that it exists.
    """
    try:
        principals = tuple(_list_principals(iot, name))
    except iot.exceptions.ResourceNotFoundException:
        return None
    return Thing(name, arn, principals=principals) if principals else find_thing(iot, name)


def find_likely_thing(iot: IoTClient, name: str) -> Thing | None:
    """As :func:`find_thing`, in one round trip; it takes a call more where there is no such thing."""
    try:
        described, principals = side_by_side(partial(_describe, iot, name), lambda: tuple(_list_principals(iot, name)))
    except iot.exceptions.ResourceNotFoundException:
        return None
    thing: Thing = replace(described, principals=principals)
    return thing


def is_thing(iot: IoTClient, name: str) -> bool:
    """Whether there is such a thing; one call."""
    try:
        return bool(_describe(iot, name))
    except iot.exceptions.ResourceNotFoundException:
        return False


def decide_thing(name: str, found: Thing | None, *, attaches: bool) -> Change:
    """What has to become of the thing; ``attaches`` says that it does not have its certificate yet."""
    if found is None:
        return Change(NOUN, Action.CREATE, name, ATTACHED)
    if attaches:
        return Change(NOUN, Action.CHANGE, name, ATTACHED, found=found)
    return Change(NOUN, Action.REUSE, name, found=found)


def decide_field_thing(name: str, found: Thing | None) -> Change:
    """The thing of a device in the field: it has to exist, and nothing is attached to it."""
    if found is not None:
        return Change(NOUN, Action.REUSE, name, found=found)
    make = command("thing", existing_device="false")
    problem = InTheWay(
        f"There is no thing {name} in this account and region, and existing_device is true, so none is made. Check "
        "thing_name and the region, or set existing_device to false: ",
        make,
        ".",
        remedy=make,
    )
    return blocked(NOUN, name, problem)


def make_thing(iot: IoTClient, change: Change, certificate_arn: str, *, is_exclusive: bool = True) -> Outcome[Thing]:
    """Carry out the change: create the thing with the ownership marks, and attach the certificate.

    A thing that somebody else creates after the look is used as it is. A certificate that is attached already stays
    attached as it is, exclusive or not.
    """
    change.check()
    thing: Thing | None = change.found
    verb = Verb.CHANGED
    if thing is None:
        verb, thing = _create(iot, change.name)
    if thing.is_attached(certificate_arn):
        return Outcome(NOUN, Verb.REUSED, thing.name, value=thing)
    principal_type = EXCLUSIVE if is_exclusive else NON_EXCLUSIVE
    iot.attach_thing_principal(thingName=thing.name, principal=certificate_arn, thingPrincipalType=principal_type)
    attached = replace(thing, principals=(*thing.principals, Principal(certificate_arn, principal_type)))
    return Outcome(NOUN, verb, thing.name, ATTACHED, attached)


def decide_thing_deletion(found: Thing | None, name: str, owner: str | None) -> Change:
    """Whether ``clean`` deletes the thing; ``owner`` is the thing that it must be made for, None forces it."""
    if found is None:
        return Change(NOUN, Action.ABSENT, name)
    if owner is not None and not found.is_ours:
        return Change(NOUN, Action.KEEP, name, ownership.reason_to_keep(found.attributes, owner), found=found)
    return Change(NOUN, Action.DELETE, name, found=found)


def detach_principals(iot: IoTClient, thing: Thing) -> Thing:
    """Detach everything from the thing; returns it without them. What is gone already counts as detached."""
    for principal in thing.principals:
        _detach(iot, thing.name, principal.arn)
    return replace(thing, principals=())


def delete_thing(
    iot: IoTClient,
    name: str,
    thing: Thing | None,
    *,
    timeout_s: float = DETACH_TIMEOUT_S,
    poll_s: float = DETACH_POLL_S,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome[None]:
    """Detach everything from the thing and delete it. ``thing`` is the result of ``find_thing``; None is success.

    AWS refuses while a detachment is in progress, so the deletion is retried every ``poll_s`` for ``timeout_s``.

    Raises:
        InTheWay: AWS still refuses after ``timeout_s``.
    """
    if thing is None:
        return Outcome(NOUN, Verb.ABSENT, name)
    detach_principals(iot, thing)
    waited_s = 0.0
    while refusal := _refusal(iot, name):
        if waited_s >= timeout_s:
            raise _still_refused(iot, name, timeout_s, refusal)
        sleep(poll_s)
        waited_s += poll_s
    return Outcome(NOUN, Verb.DELETED, name)


def list_things(iot: IoTClient, *, only_ours: bool = False) -> Iterator[Thing]:
    """Every thing of the account in this region, or every one with this tool's marks; without principals."""
    marked: dict[str, Any] = (
        {
            "attributeName": ownership.MANAGED_BY_KEY,
            "attributeValue": ownership.MANAGED_BY,
            "usePrefixAttributeValue": True,  # a registered thing has its owner's name behind it
        }
        if only_ours
        else {}
    )
    yield from _list_things(iot, marked)


def list_registered(iot: IoTClient, owner: str) -> Iterator[Thing]:
    """Every thing that was registered in bulk for ``owner``, the thing of the settings; without principals."""
    ((key, value),) = ownership.registered_marks(owner).items()
    yield from _list_things(iot, {"attributeName": key, "attributeValue": value})


def list_principals(iot: IoTClient, name: str) -> Iterator[Principal]:
    """Everything attached to the thing; nothing where there is no such thing."""
    try:
        yield from _list_principals(iot, name)
    except iot.exceptions.ResourceNotFoundException:
        return


def _list_things(iot: IoTClient, request: dict[str, Any]) -> Iterator[Thing]:
    for page in iot.get_paginator("list_things").paginate(**request, PaginationConfig={"PageSize": PAGE_SIZE}):
        for found in page["things"]:
            yield Thing(found["thingName"], found["thingArn"], found.get("attributes", {}))


def _create(iot: IoTClient, name: str) -> tuple[Verb, Thing]:
    marks = ownership.marks(name)
    try:
        created = iot.create_thing(thingName=name, attributePayload={"attributes": marks})
    except iot.exceptions.ResourceAlreadyExistsException:
        found = find_thing(iot, name)
        if found is None:
            raise
        return Verb.CHANGED, found
    return Verb.CREATED, Thing(name, created["thingArn"], marks)


def _describe(iot: IoTClient, name: str) -> Thing:
    found = iot.describe_thing(thingName=name)
    return Thing(name, found["thingArn"], found.get("attributes", {}))


def _list_principals(iot: IoTClient, name: str) -> Iterator[Principal]:
    for found in pages(iot, "list_thing_principals_v2", "thingPrincipalObjects", page_size=PAGE_SIZE, thingName=name):
        yield Principal(found["principal"], found.get("thingPrincipalType", NON_EXCLUSIVE))


def _detach(iot: IoTClient, name: str, principal_arn: str) -> None:
    try:
        iot.detach_thing_principal(thingName=name, principal=principal_arn)
    except iot.exceptions.ResourceNotFoundException:
        return


def _refusal(iot: IoTClient, name: str) -> str:
    """Delete it; empty when that is done, else AWS's reason for not doing so."""
    try:
        iot.delete_thing(thingName=name)
    except iot.exceptions.ResourceNotFoundException:
        return ""
    except iot.exceptions.InvalidRequestException as error:
        return error.response["Error"].get("Message") or error.response["Error"]["Code"]
    return ""


def _still_refused(iot: IoTClient, name: str, timeout_s: float, message: str) -> InTheWay:
    arns = ", ".join(principal.arn for principal in _list_principals(iot, name)) or "nothing"
    return InTheWay(
        f"AWS still refuses to delete the thing {name} after {timeout_s:g} s ({message}). Attached to it: {arns}. "
        "Run the same command again in a minute; it detaches them and continues."
    )
