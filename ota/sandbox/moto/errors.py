"""The error that the sandbox's own operations answer to their clients.

Source: "Common errors" of the AWS IoT API reference; error shapes of botocore's ``iot`` and ``iot-jobs-data`` models.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STATUS_OF_CODE: Mapping[str, int] = {
    "InvalidRequestException": 400,
    "ThrottlingException": 400,
    "UnauthorizedException": 401,
    "AccessDeniedException": 403,
    "ResourceNotFoundException": 404,
    "DeleteConflictException": 409,
    "InvalidStateTransitionException": 409,
    "ResourceAlreadyExistsException": 409,
    "VersionConflictException": 409,
    "LimitExceededException": 410,
    "TerminalStateException": 410,
}


class AwsError(Exception):
    """A refusal, in AWS's own code and words.

    Args:
        code: the exception's name in the service's model, such as ``ResourceNotFoundException``.
        message: the sentence a client shows.
        fields: further members of the error's body, such as ``resourceArn``.
    """

    def __init__(self, code: str, message: str, **fields: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.fields = fields

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
