"""Caches work that moto repeats several times in every request, and finds objects by key that it searches for.

Moto looks up the operation of a REST request by its URL four or five times, lists the methods of its response class
by reflection, and generates each request id letter by letter: together a third of the time of a call. The tests of a
tool make thousands of calls, so each of these is done once. Its IoT registry keeps things, groups and certificates by
ARN and looks through all of them for a name, which takes longer than all else where there are ten thousand.

Source: moto 5.2.5, ``BaseResponse._get_action_from_method_and_request_uri``, ``call_action`` and ``IoTBackend``;
werkzeug's ``Map.redirect_defaults``, a search through all rules for URLs with default values, which AWS's APIs do not
have.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from moto.core import responses, routing
from moto.core.responses import BaseResponse
from moto.core.utils import method_names_from_class
from moto.iot.models import IoTBackend

_KEPT = "ota_sandbox_action"


def replacements() -> Iterator[tuple[Any, str, Callable[..., Any]]]:
    """What to set: owner, attribute and function, all by moto's own names."""
    yield BaseResponse, "_get_action_from_method_and_request_uri", _route_once()
    yield responses, "method_names_from_class", lru_cache(maxsize=None)(method_names_from_class)
    yield responses, "gen_amzn_requestid_long", _set_request_id
    yield routing, "_create_map", _without_redirects(routing._create_map)
    yield IoTBackend, "describe_thing", _by_name(IoTBackend.describe_thing, "things", "thing")
    yield IoTBackend, "describe_thing_group", _by_name(IoTBackend.describe_thing_group, "thing_groups", "thinggroup")
    yield IoTBackend, "_get_principal", _certificate_by_arn(IoTBackend._get_principal)


def _route_once() -> Callable[..., Any]:
    original = BaseResponse._get_action_from_method_and_request_uri

    def route(self: Any, request: Any) -> Any:
        """The operation's name, cached on the response object, which exists for one request."""
        kept = vars(self)
        if _KEPT not in kept:
            kept[_KEPT] = original(self, request)
        return kept[_KEPT]

    return route


def _by_name(original: Callable[..., Any], attribute: str, kind: str) -> Callable[..., Any]:
    """A lookup by name in a dictionary by ARN; moto's own search refuses a name that is not there."""

    def find(self: Any, name: str = "", **kwargs: Any) -> Any:
        name = name or next(iter(kwargs.values()))
        found = getattr(self, attribute).get(f"arn:aws:iot:{self.region_name}:{self.account_id}:{kind}/{name}")
        return original(self, name) if found is None else found

    return find


def _certificate_by_arn(original: Callable[..., Any]) -> Callable[..., Any]:
    def get_principal(self: Any, principal_arn: str) -> Any:
        found = self.certificates.get(principal_arn.rpartition(":cert/")[2])
        return found if found is not None and found.arn == principal_arn else original(self, principal_arn)

    return get_principal


def _without_redirects(original: Callable[..., Any]) -> Callable[..., Any]:
    def create_map(rules: Any) -> Any:
        made = original(rules)
        made.redirect_defaults = False
        return made

    return create_map


def _set_request_id(headers: dict[str, Any] | None = None) -> str:
    """A new request id, also set in the answer's headers."""
    request_id = str(uuid.uuid4())
    if headers is not None:
        headers["x-amzn-requestid"] = request_id
    return request_id
