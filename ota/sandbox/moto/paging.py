"""Page tokens of listings: opaque to the client, and good only for the operation that gave them.

moto's tokens are row numbers or names. Some of its listings parse a token without checking it, others ignore it. So the
token of every answer is sealed, and the token of every request is opened, in one place for all operations of a service.
An empty token asks for the first page.

Source: "nextToken" and "marker" of the AWS IoT API reference, "Marker" of the IAM API reference; botocore's models,
whose pattern for ``marker`` a sealed token meets.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from moto.core.responses import ActionResult

_ASKED = ("nextToken", "marker", "Marker")
_GIVEN = ("nextToken", "nextMarker", "Marker")


class ForeignToken(ValueError):
    """A token that this operation never gave."""


def open_token(response: Any, operation: str) -> None:
    """Replace the sealed token of a request by what moto gave; remove an empty one.

    Args:
        response: moto's response object, with its parameters parsed.
        operation: AWS's name of the operation.

    Raises:
        ForeignToken: another operation, or nobody, gave this token.
    """
    for name in _ASKED:
        if name not in response.params:
            continue
        token = response.params.pop(name)
        response.querystring.pop(name, None)
        if token:
            opened = _opened(token, operation)
            response.params[name] = opened
            response.querystring[name] = [opened]


def seal_token(result: ActionResult, operation: str) -> ActionResult:
    """The result of a listing with its token sealed; any other result as it is."""
    fields = result.result
    if not isinstance(fields, Mapping):
        return result
    tokens = {name: _sealed(fields[name], operation) for name in _GIVEN if fields.get(name)}
    return ActionResult({**fields, **tokens}) if tokens else result


def _sealed(token: object, operation: str) -> str:
    return base64.b64encode(json.dumps([operation, str(token)]).encode()).decode()


def _opened(token: str, operation: str) -> str:
    try:
        giver, opened = json.loads(base64.b64decode(token, validate=True))
    except (binascii.Error, ValueError, TypeError) as error:
        raise ForeignToken(token) from error
    if giver != operation or not isinstance(opened, str):
        raise ForeignToken(token)
    return opened
