"""Answers that are not AWS's: cut off on their way, or given by something in between.

botocore takes a web page with status 200, or an answer whose end is missing, for one with no members, and the code
that looks for a member then fails far from the cause. So every answer is held against its protocol before botocore
reads it. One with status 500 and above is left to botocore, which asks again.

Source: botocore's ``parsers`` and its event ``before-parse``; the AWS protocols rest-json, rest-xml and query.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from ota.errors import CloudError

if TYPE_CHECKING:
    from botocore.model import OperationModel

SERVER_ERROR = 500
FIRST_ERROR = 300
NO_CONTENT = 204
JSON_PROTOCOL = "rest-json"
QUERY_PROTOCOL = "query"
WEB_PAGE = "html"


def refuse_broken(response_dict: dict[str, Any], operation_model: OperationModel, **_: object) -> None:
    """Let an answer pass that its protocol allows; a handler of ``before-parse``.

    Args:
        response_dict: botocore's ``status_code``, ``headers`` and ``body``; the body of a server's error that cannot
            be read is emptied, so that botocore asks again.
        operation_model: what was asked.

    Raises:
        CloudError: the answer is cut off, or something else's.
    """
    body, status = response_dict["body"], response_dict["status_code"]
    if not isinstance(body, bytes) or _is_raw(operation_model):
        return
    if body.strip():
        is_good = _is_readable(body, operation_model)
    else:
        is_good = not _must_say_something(status, response_dict["headers"], operation_model)
    if not is_good and status >= SERVER_ERROR:
        response_dict["body"] = b""
    elif not is_good:
        raise _refusal(status, response_dict["headers"], operation_model)


def _is_raw(model: OperationModel) -> bool:
    """Whether the answer's body is the thing that was asked for, in no form of the protocol's."""
    shape = model.output_shape
    payload = shape.serialization.get("payload") if shape else None
    return shape is not None and payload is not None and shape.members[payload].type_name in {"blob", "string"}


def _is_readable(body: bytes, model: OperationModel) -> bool:
    try:
        if _protocol(model) == JSON_PROTOCOL:
            return isinstance(json.loads(body), dict)
        return ET.fromstring(body).tag.lower() != WEB_PAGE  # noqa: S314 - botocore reads it the same way
    except (ValueError, ET.ParseError):
        return False


def _must_say_something(status: int, headers: Any, model: OperationModel) -> bool:
    """Whether an empty body cannot be right: something is asked for, and the headers do not say that it is empty."""
    if status >= FIRST_ERROR or status == NO_CONTENT:
        return False
    is_told = headers.get("content-length") == "0" or "transfer-encoding" in headers
    shape = model.output_shape
    members = shape.members.values() if shape else ()
    is_asked = any("location" not in member.serialization for member in members)
    return not is_told and (is_asked or _protocol(model) == QUERY_PROTOCOL)


def _protocol(model: OperationModel) -> str:
    return str(model.service_model.metadata.get("protocol", ""))


def _refusal(status: int, headers: Any, model: OperationModel) -> CloudError:
    kind = headers.get("content-type", "")
    said = f"status {status}, {kind}" if kind else f"status {status}"
    return CloudError(
        f"The answer to {model.service_model.service_name}:{model.name} is not one of AWS ({said}): it was cut off, or "
        "something in between gave it, such as a proxy or a network's sign-in page. Check the network and "
        "AWS_ENDPOINT_URL, then run the same command again; it carries on where it stopped."
    )
