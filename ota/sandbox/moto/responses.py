"""What an added operation answers with: a refusal in AWS's own code and words, or one page of a list.

moto looks up an exception's code in the service's model and takes HTTP status, body and headers from there, provided
that the exception's class is not defined in moto's own core (it would be taken for a service called "core"). IoT lists
that moto returns whole are cut into pages with opaque tokens.

Source: moto 5.2.5, ``moto/core/errors.py`` and ``moto/core/serialize.py``; "Common errors" of the AWS IoT API
reference, its ``pageSize``/``marker``/``nextMarker`` and ``maxResults``/``nextToken``; error shapes of botocore's
``iot`` and ``iot-jobs-data`` models.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from moto.core.exceptions import ServiceException

T = TypeVar("T")

_DEFAULT_PAGE_SIZE = 25
STATUS_OF_CODE: Mapping[str, int] = {
    "InvalidRequestException": 400,
    "ThrottlingException": 400,
    "UnauthorizedException": 401,
    "AccessDeniedException": 403,
    "ResourceNotFoundException": 404,
    "ConflictingResourceUpdateException": 409,
    "DeleteConflictException": 409,
    "InvalidStateTransitionException": 409,
    "ResourceAlreadyExistsException": 409,
    "VersionConflictException": 409,
    "LimitExceededException": 410,
    "TerminalStateException": 410,
}


class AwsError(ServiceException):
    """A refusal, in AWS's own code and words.

    Args:
        code: the exception's name in the service's model, such as ``ResourceNotFoundException``.
        message: the sentence a client shows.
        fields: further members of the error's body, such as ``resourceArn``; attributes too, where moto looks for them.
    """

    def __init__(self, code: str, message: str, **fields: Any) -> None:
        super().__init__(code, message)
        self.fields = fields
        vars(self).update(fields)

    @property
    def status(self) -> int:
        """The HTTP status that belongs to the code."""
        return STATUS_OF_CODE.get(self.code, 400)

    def body(self) -> dict[str, Any]:
        """The error as a rest-json body: ``{"message": …}`` and the further members."""
        return {"message": self.message, **self.fields}


def invalid_request(message: str) -> AwsError:
    """400 InvalidRequestException."""
    return AwsError("InvalidRequestException", message)


def not_found(message: str) -> AwsError:
    """404 ResourceNotFoundException."""
    return AwsError("ResourceNotFoundException", message)


def already_exists(message: str, resource_id: str, resource_arn: str) -> AwsError:
    """409 ResourceAlreadyExistsException, which names the object that is in the way."""
    return AwsError("ResourceAlreadyExistsException", message, resourceId=resource_id, resourceArn=resource_arn)


def cut_page(items: Sequence[T], size: int | None, token: str | None) -> tuple[Sequence[T], str | None]:
    """The page that ``token`` names (None or empty: the first) and the token of the one after it, if any."""
    start = _offset(token) if token else 0
    end = start + int(size or _DEFAULT_PAGE_SIZE)
    following = base64.urlsafe_b64encode(f"o:{end}".encode()).decode() if end < len(items) else None
    return items[start:end], following


def _offset(token: str) -> int:
    try:
        kind, _, offset = base64.urlsafe_b64decode(token).decode().partition(":")
        if kind == "o" and offset.isdecimal():
            return int(offset)
    except (binascii.Error, ValueError):
        pass
    raise invalid_request(f"Invalid token: {token}")
