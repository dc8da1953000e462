"""The errors that a user can cause, and the translation of AWS's and the system's errors into them.

All have one base class, :class:`OtaError`. One place, the task class in ``tasks.py``, turns an error into one or two
lines on stderr and an exit status. The message says what failed, on which object, and what to do next. Any other
exception is a bug and keeps its traceback.

Source: IAM service authorization reference (operation to action names); botocore's exception classes.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from ota.messages import AnyCommand, Message, Remedy, Text, command, joined, message, shell

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

T = TypeVar("T")


class OtaError(Exception):
    """Base of every error that a user can cause, built from the pieces of its message (see ``ota/messages.py``).

    Attributes:
        exit_code: the command line's exit status.
        message: the whole message, with its commands as data.
        remedy: the one command that fixes it, or several steps; empty where there is none.
        brief: what is wrong in one sentence, for a screen that shows the remedy beside it; the message by default.
    """

    exit_code = 1

    def __init__(self, *pieces: str | AnyCommand | Message, remedy: AnyCommand | Remedy = (), brief: Text = "") -> None:
        self.message = message(*pieces)
        super().__init__(str(self.message))
        self.remedy = remedy
        self.brief = brief or self.message


class Answered(OtaError):
    """A task that only looks has printed its result; the exit status tells scripts that not all is well."""

    def __init__(self, exit_code: int) -> None:
        super().__init__()
        self.exit_code = exit_code


class Interrupted(OtaError):
    """Ctrl-C."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("Interrupted. Nothing is lost: run the same command again, it carries on.")


class Problem(NamedTuple):
    """One thing that is wrong with the settings.

    Attributes:
        sentence: what is wrong, and what to write instead.
        label: where it is written, where the sentence does not say it: "config.json: bucket_name_DEFAULT".
        setting: the name of the setting; empty where it is about no single one.
        written: the value as it was written.
        suggestion: a value that is accepted; None where none is near.
    """

    sentence: Text
    label: str = ""
    setting: str = ""
    written: str = ""
    suggestion: str | None = None

    @property
    def text(self) -> Message:
        """The label and the sentence."""
        return message(*([f"{self.label}: "] if self.label else []), self.sentence)

    def __str__(self) -> str:
        return str(self.text)


class SettingsError(OtaError):
    """One or more settings cannot be used; one line for each problem."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(joined("\n", [problem.text for problem in self.problems]))


class CredentialsError(OtaError):
    """AWS credentials are missing, half set, expired or refused."""


class PermissionDenied(OtaError):
    """AWS refused one operation to these credentials."""


class NotOurs(OtaError):
    """An object by this name exists and was not made by this tool."""


class InTheWay(OtaError):
    """The object's state, or something that uses it, does not allow the operation."""


class FirmwareError(OtaError):
    """The firmware tree, its header, its build or its image is missing or cannot be used."""


class SignatureError(OtaError):
    """The signature, the key and the image do not belong together."""


class CertificateError(OtaError):
    """Key, certificate file and the cloud's certificate do not belong together."""


class UpdateFailed(OtaError):
    """AWS could not create or delete the OTA update; the message quotes AWS's reason."""


class WaitTimeout(OtaError):
    """A wait ended at its time limit."""


class DeviceFailed(OtaError):
    """The virtual device does not run the update."""


class CloudError(OtaError):
    """AWS returned an error that is none of the above, or did not answer."""


PERMISSIONS = {
    ("s3", "HeadBucket"): "s3:ListBucket",
    ("s3", "HeadObject"): "s3:GetObject",
    ("s3", "ListBuckets"): "s3:ListAllMyBuckets",
    ("s3", "ListObjectVersions"): "s3:ListBucketVersions",
    ("s3", "DeleteObject"): "s3:DeleteObjectVersion",
    ("s3", "DeleteObjects"): "s3:DeleteObjectVersion",
    ("s3", "ListMultipartUploads"): "s3:ListBucketMultipartUploads",
    ("s3", "CreateMultipartUpload"): "s3:PutObject",
    ("s3", "UploadPart"): "s3:PutObject",
    ("s3", "CompleteMultipartUpload"): "s3:PutObject",
    ("s3", "PutPublicAccessBlock"): "s3:PutBucketPublicAccessBlock",
    ("s3", "GetPublicAccessBlock"): "s3:GetBucketPublicAccessBlock",
}
EXPIRED_CODES = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
REFUSED_KEY_CODES = {
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "InvalidAccessKeyId",
    "AuthFailure",
    "InvalidToken",
}
WRONG_SECRET_CODES = {"SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature"}
DENIED_CODES = {
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedException",
    "UnauthorizedOperation",
    "Forbidden",
    "403",
}
THROTTLED_CODES = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "SlowDown",
}
# S3 answers a HEAD request with a status and no body; of our requests, only those with expired credentials get 400.
BARE_REFUSAL_CODE = "400"
MAKE_ROOM = "make room on the disk"
ALLOW = "give yourself the right to it"
MACHINE_REFUSALS = {
    errno.ENOSPC: MAKE_ROOM,
    errno.EDQUOT: MAKE_ROOM,
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.EACCES: ALLOW,
    errno.EPERM: ALLOW,
    errno.EROFS: "make the file system writable",
    errno.EIO: "check the disk",
    errno.ENAMETOOLONG: "give it a shorter name",
    errno.ELOOP: "remove the link that leads to itself",
}
CARRY_ON = "run the same command again; it carries on where it stopped."
RENEW = message("renew them (", shell("aws", "sso", "login"), f", or copy new ones into .env) and {CARRY_ON}")
# The operator's policy grants these only on a role that has the permissions boundary.
BOUNDED_HINT = message(
    " The operator's policy grants it only on a role that has the permissions boundary: set permissions_boundary, and ",
    command("role"),
    " puts it on the role.",
)
HINTS: dict[str, Text] = {
    "iam:CreateRole": " The account may require a permissions boundary and a name prefix for roles: set "
    "permissions_boundary and role_prefix in config.json.",
    "iam:PutRolePolicy": BOUNDED_HINT,
    "iam:DeleteRolePolicy": BOUNDED_HINT,
    "iam:DetachRolePolicy": BOUNDED_HINT,
    "iam:RemoveRoleFromInstanceProfile": message(
        " AWS cannot limit it to some roles, so the operator's policy does not have it: ",
        command("permissions", "--also", "instance-profiles"),
        " adds it.",
    ),
}
AUTHORIZED_TO_PERFORM = re.compile(r"not authorized to perform: ([\w-]+:\w+)")


def from_boto(error: Exception) -> OtaError:
    """The error for an exception of botocore that no step expected.

    A ClientError is an answer of AWS; any other BotoCoreError means that there was none.
    """
    from botocore.exceptions import ClientError

    if isinstance(error, ClientError):
        return _from_answer(error)
    return _without_answer(error)


def attempt(look: Callable[[], T]) -> T | OtaError:
    """The result of ``look``, or the error that it ended with, so that other looks still run.

    Raises:
        CredentialsError: the credentials are missing or refused, so that every look would fail.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return look()
    except CredentialsError:
        raise
    except OtaError as error:
        return error
    except (BotoCoreError, ClientError) as error:
        translated = from_boto(error)
        if isinstance(translated, CredentialsError):
            raise translated from error
        return translated


def from_system(error: OSError) -> OtaError | None:
    """The error for a refusal of the operating system that the user can remove; None for any other, which is a bug."""
    if error.errno not in MACHINE_REFUSALS:
        return None
    on_path = f" {error.filename}" if error.filename else ""
    return OtaError(
        f"This machine refused a file{on_path}: {error.strerror}. Nothing is lost: {MACHINE_REFUSALS[error.errno]}, "
        f"then {CARRY_ON}"
    )


def permission_for(service: str, operation: str) -> str:
    """The IAM action that an operation needs: ``("s3", "HeadBucket")`` gives ``s3:ListBucket``."""
    return PERMISSIONS.get((service, operation), f"{service}:{operation}")


def _from_answer(error: ClientError) -> OtaError:
    details = error.response.get("Error", {})
    code, said = str(details.get("Code", "")), str(details.get("Message", ""))
    if code in EXPIRED_CODES:
        return CredentialsError("The AWS credentials have expired: ", RENEW)
    if code == BARE_REFUSAL_CODE:
        return CredentialsError(
            f"AWS refused {error.operation_name} and gave no reason, as it does when the credentials have expired: ",
            RENEW,
        )
    if code in REFUSED_KEY_CODES:
        return CredentialsError(
            f"AWS does not know these credentials ({code}): check AWS_ACCESS_KEY_ID and, for temporary keys, "
            "AWS_SESSION_TOKEN. In a region that the account has not switched on, every key is unknown: "
            "check AWS_REGION too."
        )
    if code in WRONG_SECRET_CODES:
        return CredentialsError(
            f"AWS refused the signature of the call ({code}): AWS_SECRET_ACCESS_KEY does not belong to "
            "AWS_ACCESS_KEY_ID, or this machine's clock is wrong."
        )
    if code in DENIED_CODES:
        return _denied(error, said)
    return _unexpected(error, code, said)


def _denied(error: ClientError, said: str) -> PermissionDenied:
    service, object_name = _call_of(error)
    named = AUTHORIZED_TO_PERFORM.search(said)
    permission = named.group(1) if named else f"{service}:{error.operation_name}"
    if permission == f"{service}:{error.operation_name}":
        # Where a message only repeats the operation's name, that need not be an action that a policy can allow.
        permission = permission_for(service, error.operation_name)
    on_object = f" on {object_name}" if object_name else ""
    return PermissionDenied(
        f"AWS refused {permission}{on_object}: these credentials lack the permission {permission}.",
        _hint(permission, object_name),
        " Have it added (",
        command("permissions"),
        " prints what is needed), then run the same command again.",
    )


def _hint(permission: str, object_name: str) -> Text:
    if permission == "iam:UpdateAssumeRolePolicy":
        delete = command("delete.role", "--name", object_name)
        return message(" A new role does not need this permission: delete the role with ", delete, ".")
    return HINTS.get(permission, "")


def _unexpected(error: ClientError, code: str, said: str) -> OtaError:
    service, object_name = _call_of(error)
    request_id = error.response.get("ResponseMetadata", {}).get("RequestId", "unknown")
    on_object = f" on {object_name}" if object_name else ""
    what = f"AWS could not do {service}:{error.operation_name}{on_object}: {said} ({code}, request {request_id})."
    if code in THROTTLED_CODES:
        return CloudError(
            f"{what} The account's call rate is used up, and retries did not help: wait a minute, then {CARRY_ON}"
        )
    return CloudError(f"{what} Nothing is lost: run the same command again once the cause is gone.")


def _call_of(error: ClientError) -> tuple[str, str]:
    details = error.response.get("Error", {})
    return str(details.get("Service", "aws")), str(details.get("Object", ""))


def _without_answer(error: Exception) -> OtaError:
    from botocore import exceptions as boto

    if isinstance(error, (boto.NoCredentialsError, boto.CredentialRetrievalError, boto.PartialCredentialsError)):
        return CredentialsError(
            f"There are no usable AWS credentials ({error}): check .env, AWS_PROFILE, or sign in again."
        )
    if isinstance(error, (boto.SSOError, boto.UnauthorizedSSOTokenError, boto.TokenRetrievalError)):
        return CredentialsError(
            f"The AWS sign-in has expired ({error}): run ", shell("aws", "sso", "login"), ", then the same command."
        )
    if isinstance(error, (boto.ConfigParseError, boto.ConfigNotFound)):
        return CredentialsError(f"The AWS configuration cannot be read ({error}): correct that file, or move it away.")
    if isinstance(error, (boto.EndpointConnectionError, boto.ConnectionError, boto.HTTPClientError)):
        return CloudError(
            f"AWS cannot be reached ({error}): check the network, AWS_REGION and AWS_ENDPOINT_URL, then {CARRY_ON}"
        )
    return CloudError(f"The call to AWS failed: {error}. Nothing is lost: run the same command again.")
