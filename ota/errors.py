"""Every error a user can cause, and what an AWS error means for them.

All kinds stand under one base, :class:`OtaError`, so that one place (the task class in ``tasks.py``) turns them into
a line or two on stderr and exit status 1. The message says what failed, on which object, and what to do next.
Anything that is not an ``OtaError`` is a bug and keeps its traceback.

Source: IAM service authorization reference (operation to action names); botocore's exception classes.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from ota.messages import AnyCommand, Message, Remedy, Text, joined, message

if TYPE_CHECKING:
    from botocore.exceptions import ClientError


class OtaError(Exception):
    """Base of every error that a user can cause, built from the pieces of its message (see ``ota/messages.py``).

    Attributes:
        exit_code: the command line's exit status.
        message: the whole message, with its commands as data.
        remedy: the one command that fixes it, or several steps; empty where there is none.
        brief: what is wrong in one sentence, for a screen that shows the remedy beside it; the message by default.
    """

    exit_code = 1

    def __init__(
        self, *pieces: str | AnyCommand | Message, remedy: str | AnyCommand | Remedy = (), brief: Text = ""
    ) -> None:
        self.message = message(*pieces)
        super().__init__(str(self.message))
        self.remedy = remedy
        self.brief = brief or self.message


class Answered(OtaError):
    """A look-only task has answered, and not with "all is well"; the exit status says it to scripts."""

    def __init__(self, exit_code: int) -> None:
        super().__init__()
        self.exit_code = exit_code


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
    """An object is in a state or in a use that forbids what was asked."""


class FirmwareError(OtaError):
    """The firmware tree, its header, its build or its image is not as it must be."""


class SignatureError(OtaError):
    """The signature, the key and the image do not belong together."""


class CertificateError(OtaError):
    """Key, certificate file and the cloud's certificate do not belong together."""


class UpdateFailed(OtaError):
    """AWS could not create or delete the OTA update; carries AWS's own words."""


class WaitTimeout(OtaError):
    """Something did not reach its state within the bounds that were given."""


class DeviceFailed(OtaError):
    """The virtual device did not come to run the update."""


class CloudError(OtaError):
    """AWS answered with an error that is none of the above, or did not answer."""


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
    ("iot", "ListThingPrincipalsV2"): "iot:ListThingPrincipals",
    ("iot", "ListPrincipalThingsV2"): "iot:ListPrincipalThings",
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
# S3 answers a HEAD without a body, so that its status is all there is; of ours only expired credentials give this one.
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
RENEW = (
    "renew them (`aws sso login`, or copy new ones into .env) and run the same command again; it carries on where it "
    "stopped."
)
# The operator's policy grants these only on a role that has the permissions boundary.
BOUNDED_HINT = (
    " The operator's policy grants it on a role with the permissions boundary alone: set permissions_boundary, and "
    "`invoke role` puts it on the role."
)
HINTS = {
    "iam:CreateRole": " A role may have to be made with a permissions boundary and a prefix: set permissions_boundary "
    "and role_prefix in config.json.",
    "iam:PutRolePolicy": BOUNDED_HINT,
    "iam:DeleteRolePolicy": BOUNDED_HINT,
    "iam:DetachRolePolicy": BOUNDED_HINT,
    "iam:UpdateAssumeRolePolicy": " A role that is made anew needs no such right: delete it with "
    "`invoke delete.role --name {name}`.",
    "iam:RemoveRoleFromInstanceProfile": " AWS cannot bound it, so it is not among the operator's permissions: "
    "`invoke permissions --also instance-profiles` adds it.",
}
AUTHORIZED_TO_PERFORM = re.compile(r"not authorized to perform: ([\w-]+:\w+)")


def from_boto(error: Exception) -> OtaError:
    """The sentence for an AWS error that no step expected.

    Takes what botocore raised: a ClientError, which is an answer of AWS, or a BotoCoreError, which is none.
    """
    from botocore.exceptions import ClientError

    if isinstance(error, ClientError):
        return _from_answer(error)
    return _from_silence(error)


def from_system(error: OSError) -> OtaError | None:
    """The sentence for what this machine refuses and its user can change; None where that is a bug of ours."""
    if error.errno not in MACHINE_REFUSALS:
        return None
    on_path = f" {error.filename}" if error.filename else ""
    return OtaError(
        f"This machine refused a file{on_path}: {error.strerror}. Nothing is lost: {MACHINE_REFUSALS[error.errno]}, "
        "then run the same command again; it carries on where it stopped."
    )


def permission_for(service: str, operation: str) -> str:
    """The IAM action that an operation needs: ``("s3", "HeadBucket")`` gives ``s3:ListBucket``."""
    return PERMISSIONS.get((service, operation), f"{service}:{operation}")


def _from_answer(error: ClientError) -> OtaError:
    details = error.response.get("Error", {})
    code, message = details.get("Code", ""), details.get("Message", "")
    if code in EXPIRED_CODES:
        return CredentialsError(f"The AWS credentials have expired: {RENEW}")
    if code == BARE_REFUSAL_CODE:
        return CredentialsError(
            f"AWS refused {error.operation_name} without a word, as it does when the credentials have expired: {RENEW}"
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
        return _denied(error, message)
    return _unexpected(error, code, message)


def _denied(error: ClientError, message: str) -> PermissionDenied:
    service, object_name = _call_of(error)
    named = AUTHORIZED_TO_PERFORM.search(message)
    permission = named.group(1) if named else f"{service}:{error.operation_name}"
    if permission == f"{service}:{error.operation_name}":
        # Where a message only repeats the operation's name, that need not be an action that a policy can allow.
        permission = permission_for(service, error.operation_name)
    on_object = f" on {object_name}" if object_name else ""
    hint = HINTS.get(permission, "").format(name=object_name)
    return PermissionDenied(
        f"AWS refused {permission}{on_object}: these credentials lack the permission {permission}.{hint} "
        "Have it added (`invoke permissions` prints what is needed), then run the same command again."
    )


def _unexpected(error: ClientError, code: str, message: str) -> OtaError:
    service, object_name = _call_of(error)
    request_id = error.response.get("ResponseMetadata", {}).get("RequestId", "unknown")
    on_object = f" on {object_name}" if object_name else ""
    what = f"AWS could not do {service}:{error.operation_name}{on_object}: {message} ({code}, request {request_id})."
    if code in THROTTLED_CODES:
        return CloudError(
            f"{what} The account's call rate is used up, and trying again did not help: wait a minute, "
            "then run the same command again; it carries on where it stopped."
        )
    return CloudError(f"{what} Nothing is lost: run the same command again once the cause is gone.")


def _call_of(error: ClientError) -> tuple[str, str]:
    details = error.response.get("Error", {})
    return str(details.get("Service", "aws")), str(details.get("Object", ""))


def _from_silence(error: Exception) -> OtaError:
    from botocore import exceptions as boto

    if isinstance(error, (boto.NoCredentialsError, boto.CredentialRetrievalError, boto.PartialCredentialsError)):
        return CredentialsError(
            f"AWS credentials could not be had ({error}): check .env, AWS_PROFILE, or sign in again."
        )
    if isinstance(error, (boto.SSOError, boto.UnauthorizedSSOTokenError, boto.TokenRetrievalError)):
        return CredentialsError(f"The AWS sign-in has ended ({error}): run `aws sso login`, then the same command.")
    if isinstance(error, (boto.ConfigParseError, boto.ConfigNotFound)):
        return CredentialsError(f"The AWS configuration cannot be read ({error}): correct that file, or move it away.")
    if isinstance(error, (boto.EndpointConnectionError, boto.ConnectionError, boto.HTTPClientError)):
        return CloudError(
            f"AWS cannot be reached ({error}): check the network, AWS_REGION and AWS_ENDPOINT_URL, then run "
            "the same command again; it carries on where it stopped."
        )
    return CloudError(f"The call to AWS failed: {error}. Nothing is lost: run the same command again.")
