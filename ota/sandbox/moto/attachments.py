"""Which certificates hang on which things, and how: with one thing only, or with several.

moto ignores how a principal is attached. Each function here stands in for the method of the same name of moto's
``IoTResponse``.

Source: AWS IoT API reference (AttachThingPrincipal, DetachThingPrincipal, ListThingPrincipalsV2,
ListPrincipalThingsV2); Developer Guide, "Associating an AWS IoT thing to an MQTT client connection".
"""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult, EmptyResult

from .pages import cut_page
from .refusals import Refusal, invalid_request

_EXCLUSIVE = "EXCLUSIVE_THING"
_NON_EXCLUSIVE = "NON_EXCLUSIVE_THING"


def attach_thing_principal(self: Any) -> ActionResult:
    """AttachThingPrincipal: repeatable, and an exclusive principal belongs to one thing only."""
    name, principal = self.params["thingName"], self.params["principal"]
    wanted = self.params.get("thingPrincipalType") or _NON_EXCLUSIVE
    backend, types = self.iot_backend, _attachment_types(self.iot_backend)
    attached = {thing for one, thing in backend.principal_things if one == principal}
    if name in attached:
        if types.get((principal, name), _NON_EXCLUSIVE) != wanted:
            raise _exclusive_conflict(principal, name)
        return EmptyResult()
    if attached and _EXCLUSIVE in {wanted, *(types.get((principal, thing)) for thing in attached)}:
        raise _exclusive_conflict(principal, name)
    backend.attach_thing_principal(name, principal)
    types[principal, name] = wanted
    return EmptyResult()


def detach_thing_principal(self: Any) -> ActionResult:
    """DetachThingPrincipal: a pair that is not attached is not found."""
    name, principal = self.params["thingName"], self.params["principal"]
    self.iot_backend.detach_thing_principal(name, principal)
    _attachment_types(self.iot_backend).pop((principal, name), None)
    return EmptyResult()


def list_thing_principals(self: Any) -> ActionResult:
    """ListThingPrincipals, in pages."""
    principals = self.iot_backend.list_thing_principals(self.params["thingName"])
    page, token = cut_page(principals, self.params.get("maxResults"), self.params.get("nextToken"))
    return ActionResult({"principals": page, "nextToken": token})


def list_thing_principals_v2(self: Any) -> ActionResult:
    """ListThingPrincipalsV2: the principals with the type of their attachment, in pages."""
    name = self.params["thingName"]
    pairs = [(one, name) for one in self.iot_backend.list_thing_principals(name)]
    rows = _typed_rows(self, pairs, "principal", 0)
    page, token = cut_page(rows, self.params.get("maxResults"), self.params.get("nextToken"))
    return ActionResult({"thingPrincipalObjects": page, "nextToken": token})


def list_principal_things(self: Any) -> ActionResult:
    """ListPrincipalThings, in pages."""
    things = self.iot_backend.list_principal_things(self.params["principal"])
    page, token = cut_page(things, self.params.get("maxResults"), self.params.get("nextToken"))
    return ActionResult({"things": page, "nextToken": token})


def list_principal_things_v2(self: Any) -> ActionResult:
    """ListPrincipalThingsV2: the things with the type of their attachment, in pages."""
    principal = self.params["principal"]
    pairs = [(principal, one) for one in self.iot_backend.list_principal_things(principal)]
    rows = _typed_rows(self, pairs, "thingName", 1)
    page, token = cut_page(rows, self.params.get("maxResults"), self.params.get("nextToken"))
    return ActionResult({"principalThingObjects": page, "nextToken": token})


def _typed_rows(self: Any, pairs: list[tuple[str, str]], key: str, index: int) -> list[dict[str, str]]:
    types, wanted = _attachment_types(self.iot_backend), self.params.get("thingPrincipalType")
    rows = [{key: pair[index], "thingPrincipalType": types.get(pair, _NON_EXCLUSIVE)} for pair in pairs]
    return [row for row in rows if wanted in (None, row["thingPrincipalType"])]


def _attachment_types(backend: Any) -> dict[tuple[str, str], str]:
    """Kept on the backend itself, so that a reset of moto forgets them too."""
    types: dict[tuple[str, str], str] = vars(backend).setdefault("thing_principal_types", {})
    return types


def _exclusive_conflict(principal: str, name: str) -> Refusal:
    """What AWS says when an exclusive attachment stands in the way. UNVERIFIED: the API lists only this code."""
    return invalid_request(
        f"Principal {principal} cannot be attached to thing {name} this way: "
        "an exclusive attachment allows one thing only, and a type is changed by detaching first.",
    )
