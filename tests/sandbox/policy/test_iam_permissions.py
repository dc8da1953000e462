"""What policy documents and roles allow, decided without a server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from moto.iam.models import iam_backends

from ota.sandbox.policy.evaluation import Request, is_granted
from ota.sandbox.policy.permissions import check_assume, is_allowed

ACCOUNT = "111122223333"
SOURCE = f"arn:aws:iot:eu-west-1:{ACCOUNT}:otaupdate/u"
BUCKET = "arn:aws:s3:::lamp-bucket"
IMAGE = f"{BUCKET}/images/lamp.bin"
IOT = {"Service": "iot.amazonaws.com"}
GUARD = {
    "StringEquals": {"aws:SourceAccount": ACCOUNT},
    "ArnLike": {"aws:SourceArn": f"arn:aws:iot:eu-west-1:{ACCOUNT}:*"},
}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(**fields: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", **fields}


def deny(**fields: Any) -> dict[str, Any]:
    return {**allow(**fields), "Effect": "Deny"}


DECISIONS = [
    pytest.param([], False, id="nothing allows nothing"),
    pytest.param([allow()], True, id="any resource"),
    pytest.param([allow(Action="*")], True, id="any action"),
    pytest.param([allow(Action="s3:Get*")], True, id="action wildcard"),
    pytest.param([allow(Action="S3:getobject")], True, id="action in another case"),
    pytest.param([allow(Action="s3:GetObjec?")], True, id="action question mark"),
    pytest.param([allow(Action="s3:GetObjectVersion")], False, id="another action"),
    pytest.param([allow(Action=["s3:PutObject", "s3:GetObject"])], True, id="one of several actions"),
    pytest.param([allow(Resource=f"{BUCKET}/*")], True, id="the bucket's objects"),
    pytest.param([allow(Resource=BUCKET)], False, id="the bucket is not its objects"),
    pytest.param([allow(Resource="arn:aws:s3:::afr-ota*")], False, id="another bucket"),
    pytest.param([allow(Resource=IMAGE.upper())], False, id="resources are case-sensitive"),
    pytest.param([allow(Resource=["arn:aws:s3:::x/*", f"{BUCKET}/*"])], True, id="one of several resources"),
    pytest.param([allow(), deny()], False, id="deny wins"),
    pytest.param([allow(), deny(Action="s3:PutObject")], True, id="deny of something else"),
    pytest.param([{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}], True, id="not action"),
    pytest.param([{"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}], False, id="not this action"),
    pytest.param([{"Effect": "Allow", "Action": "*", "NotResource": f"{BUCKET}/*"}], False, id="not resource"),
    pytest.param([{"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:s3:::x"}], True, id="not that one"),
    pytest.param([allow(Resource="arn:aws:s3:::${aws:PrincipalTag/b}-bucket/*")], True, id="variable"),
    pytest.param([allow(Resource="arn:aws:s3:::${aws:username}-bucket/*")], False, id="unknown variable"),
    pytest.param([allow(Resource="arn:aws:s3:::lamp${*}bucket/*")], False, id="literal asterisk"),
]


@pytest.mark.parametrize(("statements", "expected"), DECISIONS)
def test_a_request_is_decided_by_its_statements(statements: list[dict[str, Any]], expected: bool) -> None:
    request = Request("s3:GetObject", IMAGE, {"aws:PrincipalTag/b": "lamp"})
    assert is_granted([document(*statements)], request) is expected


@pytest.mark.parametrize(
    ("version", "resource", "expected"),
    [
        pytest.param("2012-10-17", "arn:aws:s3:::${k}/*", True, id="filled in"),
        pytest.param("2008-10-17", "arn:aws:s3:::${k}/*", False, id="the older version has no variables"),
        pytest.param(None, "arn:aws:s3:::${k}/*", False, id="nor has a document without a version"),
        pytest.param("2008-10-17", "arn:aws:s3:::*", True, id="wildcards are of either version"),
        pytest.param("2012-10-17", "arn:aws:s3:::${star}/*", False, id="an asterisk in a value is literal"),
        pytest.param("2012-10-17", "arn:aws:s3:::${mark}amp/*", False, id="a question mark in a value is literal"),
        pytest.param("2012-10-17", "arn:aws:s3:::${gone, 'lamp'}/*", True, id="default of an absent key"),
        pytest.param("2012-10-17", "arn:aws:s3:::${k, 'other'}/*", True, id="default of a present key"),
        pytest.param("2012-10-17", "arn:aws:s3:::${gone, '*'}/*", False, id="an asterisk in a default is literal"),
    ],
)
def test_variables_are_filled_in_as_the_documents_version_says(
    version: str | None, resource: str, expected: bool
) -> None:
    text = json.dumps({**({"Version": version} if version else {}), "Statement": allow(Resource=resource)})
    context = {"k": "lamp", "star": "*", "mark": "?"}
    assert is_granted([text], Request("s3:GetObject", "arn:aws:s3:::lamp/x", context)) is expected


@pytest.mark.parametrize(
    ("version", "expected", "actual", "holds"),
    [
        pytest.param("2012-10-17", "${other}", "a*", True, id="equals the value"),
        pytest.param("2012-10-17", "${other}", "ab", False, id="and not what the value would match"),
        pytest.param("2008-10-17", "${other}", "a*", False, id="older version"),
        pytest.param("2008-10-17", "${other}", "${other}", True, id="where it is ordinary text"),
    ],
)
@pytest.mark.parametrize("operator", ["StringLike", "StringEquals"])
def test_variables_in_conditions_are_literal_too(
    operator: str, version: str, expected: str, actual: str, holds: bool
) -> None:
    text = json.dumps({"Version": version, "Statement": allow(Condition={operator: {"k": expected}})})
    assert is_granted([text], Request("s3:GetObject", IMAGE, {"k": actual, "other": "a*"})) is holds


@pytest.mark.parametrize(
    "condition",
    [
        {"NumericEquals": {"k": "7"}},
        {"NumericEquals": {"n": "many"}},
        {"DateLessThan": {"k": "2024-01-01"}},
        {"IpAddress": {"k": "10.0.0.0/8"}},
        {"StringSounds": {"k": "one"}},
    ],
    ids=["no number", "no number in the policy", "no date", "no address", "no operator"],
)
def test_a_value_or_operator_that_is_none_holds_for_nothing(condition: dict[str, Any]) -> None:
    granted = is_granted([document(allow(Condition=condition))], Request("s3:GetObject", IMAGE, {"k": "one", "n": "7"}))
    assert granted is False


CONDITIONS = [
    pytest.param({"StringEquals": {"k": "one"}}, True, id="equal"),
    pytest.param({"StringEquals": {"K": "one"}}, True, id="keys in any case"),
    pytest.param({"StringEquals": {"k": "One"}}, False, id="values are case-sensitive"),
    pytest.param({"StringEqualsIgnoreCase": {"k": "One"}}, True, id="ignoring case"),
    pytest.param({"StringEquals": {"k": ["two", "one"]}}, True, id="one of several values"),
    pytest.param({"StringNotEquals": {"k": ["two", "one"]}}, False, id="none of several values"),
    pytest.param({"StringNotEquals": {"missing": "one"}}, True, id="negated on a missing key"),
    pytest.param({"StringLike": {"k": "o*"}}, True, id="like"),
    pytest.param({"StringEquals": {"k": "o*"}}, False, id="equals knows no wildcard"),
    pytest.param({"StringNotLike": {"k": "o*"}}, False, id="not like"),
    pytest.param({"StringEquals": {"missing": "one"}}, False, id="missing key"),
    pytest.param({"StringEqualsIfExists": {"missing": "one"}}, True, id="missing key, if exists"),
    pytest.param({"StringEqualsIfExists": {"k": "two"}}, False, id="present key, if exists"),
    pytest.param({"ForAnyValue:StringEquals": {"k": ["one"]}}, True, id="any value"),
    pytest.param({"ForAllValues:StringEquals": {"missing": ["one"]}}, True, id="all values of none"),
    pytest.param({"Null": {"missing": "true"}}, True, id="null"),
    pytest.param({"Null": {"k": "true"}}, False, id="not null"),
    pytest.param({"Bool": {"flag": "true"}}, True, id="bool"),
    pytest.param({"Bool": {"flag": True}}, True, id="bool as JSON"),
    pytest.param({"Bool": {"flag": "false"}}, False, id="other bool"),
    pytest.param({"NumericLessThan": {"n": "8"}}, True, id="number below"),
    pytest.param({"NumericGreaterThanEquals": {"n": "8"}}, False, id="number not above"),
    pytest.param({"DateGreaterThan": {"t": "2024-01-01T00:00:00Z"}}, True, id="later"),
    pytest.param({"DateLessThan": {"t": "1700000000"}}, False, id="not before that second"),
    pytest.param({"IpAddress": {"ip": "10.0.0.0/8"}}, True, id="in the network"),
    pytest.param({"NotIpAddress": {"ip": "10.0.0.0/8"}}, False, id="not outside"),
    pytest.param({"ArnLike": {"arn": "arn:aws:iot:*:111122223333:*"}}, True, id="arn like"),
    pytest.param({"ArnEquals": {"arn": "arn:aws:iot:eu-west-1:111122223333:job/*"}}, True, id="arn equals"),
    pytest.param({"ArnLike": {"arn": "arn:aws:*:111122223333:*"}}, False, id="wildcards stay in their part"),
    pytest.param({"ArnNotLike": {"arn": "arn:aws:s3:*:*:*"}}, True, id="arn not like"),
    pytest.param({"StringEquals": {"k": "one"}, "Bool": {"flag": "false"}}, False, id="all operators must hold"),
]


@pytest.mark.parametrize(("condition", "expected"), CONDITIONS)
def test_a_condition_is_held_against_the_request(condition: dict[str, Any], expected: bool) -> None:
    context = {
        "k": "one",
        "flag": "true",
        "n": "7",
        "t": "2025-06-01T12:00:00Z",
        "ip": "10.1.2.3",
        "arn": "arn:aws:iot:eu-west-1:111122223333:job/AFR_OTA-x",
    }
    granted = is_granted([document(allow(Condition=condition))], Request("s3:GetObject", IMAGE, context))
    assert granted is expected


@pytest.fixture
def iam_backend() -> Any:
    backend = iam_backends[ACCOUNT]["aws"]
    backend.reset()
    return backend


def make_role(backend: Any, *trust: dict[str, Any], boundary: str | None = None) -> str:
    role = backend.create_role("ota-role", document(*trust), "/", boundary, "", [], None)
    return str(role.arn)


def trust(principal: Any = IOT, **fields: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **fields}


TRUSTS = [
    pytest.param([trust()], None, id="trusted"),
    pytest.param([trust({"Service": ["s3.amazonaws.com", "iot.amazonaws.com"]})], None, id="one of several"),
    pytest.param([trust(Condition=GUARD)], None, id="guard is met"),
    pytest.param([trust("*")], None, id="everybody"),
    pytest.param([trust({"Service": "s3.amazonaws.com"})], "not named", id="another service"),
    pytest.param([trust({"AWS": ACCOUNT})], "not named", id="an account is no service"),
    pytest.param([trust(Action="sts:TagSession")], "not named", id="another action"),
    pytest.param(
        [trust(Condition={"StringEquals": {"aws:SourceAccount": "999999999999"}})],
        "condition is not met",
        id="another account",
    ),
    pytest.param([trust(), {**trust(), "Effect": "Deny"}], "condition is not met", id="denied"),
]


@pytest.mark.parametrize(("statements", "reason"), TRUSTS)
def test_a_service_may_assume_what_trusts_it(
    iam_backend: Any, statements: list[dict[str, Any]], reason: str | None
) -> None:
    arn = make_role(iam_backend, *statements)
    found = check_assume(ACCOUNT, arn, "iot.amazonaws.com", ACCOUNT, SOURCE)
    assert (found is None) if reason is None else (reason in str(found))


@pytest.mark.usefixtures("iam_backend")
def test_a_missing_role_cannot_be_assumed_and_allows_nothing() -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:role/none"
    assert "does not exist" in str(check_assume(ACCOUNT, arn, "iot.amazonaws.com", ACCOUNT, SOURCE))
    assert not is_allowed(ACCOUNT, arn, "s3:GetObject", IMAGE)


def test_inline_and_managed_policies_count_together(iam_backend: Any) -> None:
    arn = make_role(iam_backend, trust())
    iam_backend.put_role_policy("ota-role", "read", document(allow(Resource=f"{BUCKET}/*")))
    managed = iam_backend.create_policy("", "/", document(allow(Action="iot:CreateJob")), "jobs", [])
    iam_backend.attach_role_policy(managed.arn, "ota-role")
    assert is_allowed(ACCOUNT, arn, "s3:GetObject", IMAGE)
    assert is_allowed(ACCOUNT, arn, "iot:CreateJob", "*")
    assert not is_allowed(ACCOUNT, arn, "iot:CreateStream", "*")


def test_a_managed_policy_counts_in_its_default_version(iam_backend: Any) -> None:
    arn = make_role(iam_backend, trust())
    managed = iam_backend.create_policy("", "/", document(allow()), "reading", [])
    iam_backend.attach_role_policy(managed.arn, "ota-role")
    iam_backend.create_policy_version(managed.arn, document(allow(Action="s3:PutObject")), True)
    assert not is_allowed(ACCOUNT, arn, "s3:GetObject", IMAGE)
    assert is_allowed(ACCOUNT, arn, "s3:PutObject", IMAGE)


def test_a_boundary_cuts_down_what_the_policies_allow(iam_backend: Any) -> None:
    limit = iam_backend.create_policy("", "/", document(allow(Action="s3:*")), "limit", [])
    arn = make_role(iam_backend, trust(), boundary=limit.arn)
    iam_backend.put_role_policy("ota-role", "all", document(allow(Action="*")))
    assert is_allowed(ACCOUNT, arn, "s3:GetObject", IMAGE)
    assert not is_allowed(ACCOUNT, arn, "iot:CreateJob", "*")


def test_a_boundary_allows_nothing_by_itself(iam_backend: Any) -> None:
    limit = iam_backend.create_policy("", "/", document(allow(Action="*")), "limit", [])
    arn = make_role(iam_backend, trust(), boundary=limit.arn)
    assert not is_allowed(ACCOUNT, arn, "s3:GetObject", IMAGE)


def test_a_condition_of_the_request_is_passed_on(iam_backend: Any) -> None:
    arn = make_role(iam_backend, trust())
    passed = {"StringEquals": {"iam:PassedToService": "iot.amazonaws.com"}}
    statement = allow(Action="iam:PassRole", Resource=arn, Condition=passed)
    iam_backend.put_role_policy("ota-role", "pass", document(statement))
    assert is_allowed(ACCOUNT, arn, "iam:PassRole", arn, {"iam:PassedToService": "iot.amazonaws.com"})
    assert not is_allowed(ACCOUNT, arn, "iam:PassRole", arn, {"iam:PassedToService": "ec2.amazonaws.com"})
