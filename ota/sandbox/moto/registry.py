"""The thing registry as AWS keeps it: idempotent creation, attribute limits, one endpoint.

moto overwrites a thing that is created twice and gives another endpoint on every call, which would hide exactly the
mistakes that matter in the second run of a tool.

Each function here stands in for the method of the same name of moto's ``IoTResponse``.

Source: AWS IoT API reference (CreateThing, UpdateThing, DeleteThing, DescribeEndpoint); AWS IoT quotas (thing
attributes).
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Mapping
from typing import Any

from moto.core.responses import ActionResult, EmptyResult

from .refusals import Refusal, invalid_request

_ATTRIBUTES_WITHOUT_TYPE = 3
_ATTRIBUTES_WITH_TYPE = 50
_ENDPOINT_FORMS = {
    "iot:Data": "{}.iot.{}.amazonaws.com",
    "iot:Data-ATS": "{}-ats.iot.{}.amazonaws.com",
    "iot:CredentialProvider": "{}.credentials.iot.{}.amazonaws.com",
    "iot:Jobs": "{}.jobs.iot.{}.amazonaws.com",
}


def create_thing(self: Any) -> ActionResult:
    """CreateThing: the same configuration again is success, another one is refused."""
    name, attributes = self.params["thingName"], _attributes(self.params)
    type_name, group = self.params.get("thingTypeName"), self.params.get("billingGroupName")
    backend = self.iot_backend
    thing = _find_thing(backend, name)
    if thing is None:
        _check_attribute_count(attributes, type_name)
        _check_billing_group(backend, group)
        thing = backend.create_thing(name, type_name, {"attributes": attributes}, group)
    elif (_type_name(thing), thing.attributes, thing.billing_group_name) != (type_name, attributes, group):
        raise _already_exists(thing, backend.account_id)
    return ActionResult({"thingName": name, "thingArn": thing.arn, "thingId": thing.thing_id})


def update_thing(self: Any) -> ActionResult:
    """UpdateThing: checks ``expectedVersion`` and the number of attributes, and raises the version."""
    params, backend = self.params, self.iot_backend
    thing = backend.describe_thing(params["thingName"])
    _check_version(thing, params.get("expectedVersion"))
    type_name = None if params.get("removeThingType") else params.get("thingTypeName") or _type_name(thing)
    payload = params.get("attributePayload")
    if payload is not None:
        _check_attribute_count(_merged(thing.attributes, payload), type_name)
    backend.update_thing(params["thingName"], params.get("thingTypeName"), payload, bool(params.get("removeThingType")))
    thing.version += 1
    return EmptyResult()


def delete_thing(self: Any) -> ActionResult:
    """DeleteThing: a missing thing is success, one with principals attached is refused."""
    name, backend = self.params["thingName"], self.iot_backend
    thing = _find_thing(backend, name)
    if thing is None:
        return EmptyResult()
    _check_version(thing, self.params.get("expectedVersion"))
    if any(thing_name == name for _, thing_name in backend.principal_things):
        raise _still_attached(name)
    backend.delete_thing(name)
    return EmptyResult()


def describe_endpoint(self: Any) -> ActionResult:
    """DescribeEndpoint: one address for each account, region and type, the same on every call."""
    kind = self.params.get("endpointType") or "iot:Data"
    if kind not in _ENDPOINT_FORMS:
        raise invalid_request(f"Endpoint type {kind} not recognized.")
    backend = self.iot_backend
    return ActionResult({"endpointAddress": endpoint_address(backend.account_id, backend.region_name, kind)})


def endpoint_address(account_id: str, region: str, kind: str = "iot:Data-ATS") -> str:
    """The endpoint's host name: 14 characters that stand for account and region, then the type's form."""
    own = kind.removesuffix("-ATS")  # both data endpoints of an account begin alike
    number = int.from_bytes(hashlib.sha256(f"{account_id} {region} {own}".encode()).digest(), "big")
    letters = string.digits + string.ascii_lowercase
    name = "".join(letters[number // 36**place % 36] for place in range(13))
    return _ENDPOINT_FORMS[kind].format(f"a{name}", region)


def _find_thing(backend: Any, name: str) -> Any | None:
    return next((thing for thing in backend.things.values() if thing.thing_name == name), None)


def _type_name(thing: Any) -> str | None:
    return thing.thing_type.thing_type_name if thing.thing_type else None


def _attributes(params: Mapping[str, Any]) -> dict[str, str]:
    return dict((params.get("attributePayload") or {}).get("attributes") or {})


def _merged(present: Mapping[str, str], payload: Mapping[str, Any]) -> dict[str, str]:
    base = present if payload.get("merge") else {}
    return {key: value for key, value in {**base, **(payload.get("attributes") or {})}.items() if value}


def _check_attribute_count(attributes: Mapping[str, str], type_name: str | None) -> None:
    most = _ATTRIBUTES_WITH_TYPE if type_name else _ATTRIBUTES_WITHOUT_TYPE
    if len(attributes) > most:
        kind = "with a thing type" if type_name else "without a thing type"
        raise invalid_request(
            f"A thing {kind} can have at most {most} attributes; {len(attributes)} were given.",
        )


def _check_billing_group(backend: Any, name: str | None) -> None:
    """Before anything is made: moto looks for it when the thing is there already."""
    if name and not any(one.billing_group_name == name for one in backend.billing_groups.values()):
        raise Refusal("ResourceNotFoundException", f"Billing group {name} does not exist.")


def _check_version(thing: Any, expected: int | None) -> None:
    if expected is not None and expected != thing.version:
        raise Refusal(
            "VersionConflictException",
            f"The version for thing {thing.thing_name} does not match the expected version.",
        )


def _already_exists(thing: Any, account_id: str) -> Refusal:
    return Refusal(
        "ResourceAlreadyExistsException",
        f"Thing {thing.thing_name} already exists in account {account_id} with different attributes",
        resourceId=thing.thing_id,
        resourceArn=thing.arn,
    )


def _still_attached(name: str) -> Refusal:
    """What AWS says when a thing with principals is deleted. UNVERIFIED: code and text are from memory."""
    return invalid_request(
        f"Cannot delete. Thing {name} is still attached to one or more principals",
    )
