"""What a user reads when AWS refuses, and that no message carries a secret."""

from __future__ import annotations

import errno

import pytest
from botocore import exceptions as boto
from botocore.exceptions import ClientError

from ota import errors
from ota.messages import CommandLine, command, message

EXPIRED = "have expired"


def client_error(
    code: str, message: str = "words of AWS", operation: str = "CreateThing", **details: str
) -> ClientError:
    response = {
        "Error": {"Code": code, "Message": message, **details},
        "ResponseMetadata": {"RequestId": "req-1"},
    }
    return ClientError(response, operation)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "kind", "sentence"),
    [
        ("ExpiredToken", errors.CredentialsError, EXPIRED),
        ("ExpiredTokenException", errors.CredentialsError, EXPIRED),
        ("RequestExpired", errors.CredentialsError, EXPIRED),
        ("InvalidClientTokenId", errors.CredentialsError, "check AWS_ACCESS_KEY_ID"),
        ("UnrecognizedClientException", errors.CredentialsError, "check AWS_REGION too"),
        ("SignatureDoesNotMatch", errors.CredentialsError, "AWS_SECRET_ACCESS_KEY does not belong"),
        ("AccessDeniedException", errors.PermissionDenied, "iot:CreateThing"),
        ("403", errors.PermissionDenied, "iot:CreateThing"),
        ("ThrottlingException", errors.CloudError, "wait a minute"),
        ("SlowDown", errors.CloudError, "wait a minute"),
        ("InternalFailureException", errors.CloudError, "request req-1"),
        ("SomethingNew", errors.CloudError, "words of AWS (SomethingNew"),
    ],
)
def test_an_answer_of_aws_becomes_its_sentence(code: str, kind: type[errors.OtaError], sentence: str) -> None:
    error = errors.from_boto(client_error(code, Service="iot", Object="lamp-1"))
    assert type(error) is kind
    assert sentence in str(error)


def test_what_the_machine_refuses_is_named_with_what_to_do() -> None:
    full = errors.from_system(OSError(errno.ENOSPC, "No space left on device"))
    closed = errors.from_system(PermissionError(errno.EACCES, "Permission denied", "/certificates/key"))
    assert "No space left on device. Nothing is lost: make room on the disk" in str(full)
    assert "/certificates/key: Permission denied" in str(closed)


def test_what_the_machine_refuses_by_our_fault_stays_a_bug() -> None:
    assert errors.from_system(OSError(errno.EBADF, "Bad file descriptor")) is None


def test_a_refusal_names_the_object_and_the_permission() -> None:
    error = errors.from_boto(client_error("AccessDenied", operation="HeadBucket", Service="s3", Object="lamp-bucket"))
    assert str(error).startswith("AWS refused s3:ListBucket on lamp-bucket")


def test_a_refusal_names_the_permission_that_aws_names() -> None:
    words = "User: arn:aws:iam::1:user/me is not authorized to perform: iam:PassRole on resource: arn:aws:iam::1:role/r"
    error = errors.from_boto(client_error("AccessDeniedException", words, "CreateOTAUpdate", Service="iot"))
    assert "lack the permission iam:PassRole" in str(error)


def test_a_refused_role_points_at_boundary_and_prefix() -> None:
    error = errors.from_boto(client_error("AccessDenied", operation="CreateRole", Service="iam", Object="r"))
    assert "permissions_boundary and role_prefix" in str(error)


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (boto.NoCredentialsError(), errors.CredentialsError, "check .env"),
        (boto.CredentialRetrievalError(provider="sso", error_msg="x"), errors.CredentialsError, "sign in again"),
        (boto.TokenRetrievalError(provider="sso", error_msg="x"), errors.CredentialsError, "aws sso login"),
        (boto.UnauthorizedSSOTokenError(), errors.CredentialsError, "aws sso login"),
        (boto.EndpointConnectionError(endpoint_url="http://x"), errors.CloudError, "AWS_ENDPOINT_URL"),
        (boto.ReadTimeoutError(endpoint_url="http://x"), errors.CloudError, "check the network"),
        (boto.ConnectionClosedError(endpoint_url="http://x"), errors.CloudError, "carries on where it stopped"),
        (boto.ConfigParseError(path="/home/me/.aws/config"), errors.CredentialsError, "correct that file"),
        (boto.ParamValidationError(report="bad"), errors.CloudError, "Nothing is lost"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_silence_of_aws_becomes_its_sentence(
    error: boto.BotoCoreError, kind: type[errors.OtaError], sentence: str
) -> None:
    translated = errors.from_boto(error)
    assert type(translated) is kind
    assert sentence in str(translated)


def test_settings_problems_are_shown_one_a_line() -> None:
    first = errors.Problem("this cannot be used", "config.json: audio", "audio", "x", "ROM")
    second = errors.Problem(message("run ", command("thing")))
    error = errors.SettingsError([first, second])
    assert str(error) == "config.json: audio: this cannot be used\nrun `invoke thing`"
    assert CommandLine(is_sandbox=True).text(error.message).endswith("run `invoke sandbox thing`")
    assert error.problems == (first, second)
