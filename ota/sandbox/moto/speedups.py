"""Caches work that moto repeats several times in every request.

Moto looks up the operation of a REST request by its URL four or five times, lists the methods of its response class
by reflection, and generates each request id letter by letter: together a third of the time of a call. The tests of a
tool make thousands of calls, so each of these is done once.

Source: moto 5.2.5, ``BaseResponse._get_action_from_method_and_request_uri`` and ``call_action``; werkzeug's
``Map.redirect_defaults``, a search through all rules for URLs with default values, which AWS's APIs do not have.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from moto.core import responses, routing
from moto.core.responses import BaseResponse
from moto.core.utils import method_names_from_class

_KEPT = "ota_sandbox_action"


def replacements() -> Iterator[tuple[Any, str, Callable[..., Any]]]:
    """What to set: owner, attribute and function, all by moto's own names."""
    yield BaseResponse, "_get_action_from_method_and_request_uri", _route_once()
    yield responses, "method_names_from_class", lru_cache(maxsize=None)(method_names_from_class)
    yield responses, "gen_amzn_requestid_long", _set_request_id
    yield routing, "_create_map", _without_redirects(routing._create_map)


def _route_once() -> Callable[..., Any]:
    original = BaseResponse._get_action_from_method_and_request_uri

    def route(self: Any, request: Any) -> Any:
        """The operation's name, cached on the response object, which exists for one request."""
        kept = vars(self)
        if _KEPT not in kept:
            kept[_KEPT] = original(self, request)
        return kept[_KEPT]

    return route


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
