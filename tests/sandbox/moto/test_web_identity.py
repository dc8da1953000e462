"""A role for a CI's job: the token of its OpenID Connect provider, and the trust policy that goes by it."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from typing import Any

import boto3
import pytest

from ota.sandbox.process import Address
from tests.conftest import ACCOUNT, REGION
from tests.sandbox.iot_calls import refused

ISSUER = "token.actions.githubusercontent.com"
PROVIDER = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER}"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/ci"
SUBJECT = "repo:lamps/firmware:ref:refs/heads/main"


def token(**changes: Any) -> str:
    claims = {
        "iss": f"https://{ISSUER}",
        "aud": "sts.amazonaws.com",
        "sub": SUBJECT,
        "exp": int(time.time()) + 300,
        **changes,
    }
    return ".".join([encoded({"alg": "RS256", "typ": "JWT"}), encoded(claims), "c2lnbmF0dXJl"])


def encoded(fields: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")


@pytest.fixture
def role(iam: Any) -> str:
    """A role that the main branch's jobs may assume, as the CI's documentation has it."""
    iam.create_open_id_connect_provider(
        Url=f"https://{ISSUER}", ClientIDList=["sts.amazonaws.com", "other"], ThumbprintList=["0" * 40]
    )
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": PROVIDER},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringEquals": {f"{ISSUER}:aud": "sts.amazonaws.com"},
            "StringLike": {f"{ISSUER}:sub": "repo:lamps/firmware:*"},
        },
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.create_role(RoleName="ci", AssumeRolePolicyDocument=document)
    return ROLE_ARN


def assume(sts: Any, role_arn: str, text: str, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = sts.assume_role_with_web_identity(
        RoleArn=role_arn, RoleSessionName="job", WebIdentityToken=text, **changes
    )
    return found


def test_a_job_gets_the_credentials_of_its_role(sts: Any, role: str, clean_sandbox: Address) -> None:
    answer = assume(sts, role, token())
    told = [answer[name] for name in ("SubjectFromWebIdentityToken", "Audience", "Provider")]
    assert told == [SUBJECT, "sts.amazonaws.com", PROVIDER]
    given = answer["Credentials"]
    own = boto3.client(
        "sts",
        region_name=REGION,
        endpoint_url=clean_sandbox.endpoint_url,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )
    assert own.get_caller_identity()["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/job"


@pytest.mark.parametrize(
    ("changes", "code", "status"),
    [
        pytest.param({"sub": "repo:strangers/firmware:ref:refs/heads/main"}, "AccessDenied", 403, id="subject"),
        pytest.param({"sub": None}, "AccessDenied", 403, id="no subject"),
        pytest.param({"aud": "other"}, "AccessDenied", 403, id="audience of the provider, not of the role"),
        pytest.param({"aud": "nobody"}, "InvalidIdentityToken", 400, id="audience"),
        pytest.param({"iss": "https://example.com"}, "InvalidIdentityToken", 400, id="issuer"),
        pytest.param({"iss": f"http://{ISSUER}"}, "InvalidIdentityToken", 400, id="issuer without TLS"),
        pytest.param({"exp": 1_700_000_000}, "ExpiredTokenException", 400, id="expired"),
        pytest.param({"exp": "soon"}, "InvalidIdentityToken", 400, id="no time"),
    ],
)
def test_another_token_gets_none(sts: Any, role: str, changes: dict[str, Any], code: str, status: int) -> None:
    assert refused(assume, sts=sts, role_arn=role, text=token(**changes)) == (code, status)


@pytest.mark.parametrize("text", ["x" * 8, "a.b.c.d", "....", token().rpartition(".")[0], "e30.W10.x", "e30.e30.x"])
def test_what_is_no_token_is_refused(sts: Any, role: str, text: str) -> None:
    assert refused(assume, sts=sts, role_arn=role, text=text) == ("InvalidIdentityToken", 400)


def test_only_the_role_itself_and_for_as_long_as_it_allows(sts: Any, iam: Any, role: str) -> None:
    assert refused(assume, sts=sts, role_arn=role + "x", text=token()) == ("AccessDenied", 403)
    assert refused(assume, sts=sts, role_arn=role, text=token(), DurationSeconds=3601) == ("ValidationError", 400)
    document = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}
    iam.update_assume_role_policy(
        RoleName="ci", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": document})
    )
    assert refused(assume, sts=sts, role_arn=role, text=token()) == ("AccessDenied", 403)
