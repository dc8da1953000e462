from __future__ import annotations

from typing import Any

import pytest

from ota.policy_documents import Need, granting_document, is_same_policy, missing_needs, needs_of, trusts

BUCKET = "arn:aws:s3:::images"
READ = Need("s3:GetObject", f"{BUCKET}/*")
SERVICE = "iot.amazonaws.com"
CONTEXT = {"aws:SourceAccount": "123456789012", "aws:SourceArn": "arn:aws:iot:eu-west-1:123456789012:*"}


def statement(effect: str = "Allow", **parts: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": "s3:GetObject", "Resource": f"{BUCKET}/*", **parts}


def document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def without(part: str, **parts: Any) -> dict[str, Any]:
    whole = statement(**parts)
    del whole[part]
    return whole


GRANTED = {
    "the very same": statement(),
    "action in lists": statement(Action=["s3:PutObject", "s3:GetObject"]),
    "action with wildcard": statement(Action="s3:Get*"),
    "action in other case": statement(Action="S3:getobject"),
    "question mark": statement(Action="s3:Get?bject"),
    "every action": statement(Action="*"),
    "every resource": statement(Resource="*"),
    "resource with a wider wildcard": statement(Resource="arn:aws:s3:::im*"),
    "resource in a list": statement(Resource=["arn:aws:s3:::other/*", f"{BUCKET}/*"]),
    "NotAction of others": without("Action", NotAction="s3:Delete*"),
    "NotResource of others": without("Resource", NotResource="arn:aws:s3:::secret/*"),
    "StringEquals on a known key": statement(Condition={"StringEquals": {"aws:SourceAccount": "123456789012"}}),
    "key in other case": statement(Condition={"StringEquals": {"AWS:sourceaccount": ["1", "123456789012"]}}),
    "StringLike": statement(Condition={"StringLike": {"aws:SourceAccount": "1234*"}}),
    "StringEqualsIgnoreCase": statement(Condition={"StringEqualsIgnoreCase": {"partition": "AWS"}}),
    "Bool": statement(Condition={"Bool": {"aws:SecureTransport": True}}),
    "IfExists on an absent key": statement(Condition={"StringEqualsIfExists": {"aws:PrincipalTag/team": "x"}}),
    "IfExists on a matching key": statement(Condition={"StringLikeIfExists": {"aws:SourceAccount": "*"}}),
}
REFUSED = {
    "other action": statement(Action="s3:GetObjectVersion"),
    "other bucket": statement(Resource="arn:aws:s3:::images2/*"),
    "a part of the bucket": statement(Resource=f"{BUCKET}/some/*"),
    "the bucket and not its objects": statement(Resource=BUCKET),
    "NotAction of this one": without("Action", NotAction=["s3:Get*"]),
    "NotResource of this one": without("Resource", NotResource=f"{BUCKET}*"),
    "no resource": without("Resource"),
    "a condition on an absent key": statement(Condition={"StringEquals": {"aws:PrincipalTag/team": "x"}}),
    "a condition that fails": statement(Condition={"StringEquals": {"aws:SourceAccount": "999999999999"}}),
    "an unknown operator": statement(Condition={"NumericLessThan": {"aws:SourceAccount": "9"}}),
    "an unknown operator with IfExists": statement(Condition={"DateLessThanIfExists": {"aws:absent": "9"}}),
    "one of two conditions fails": statement(
        Condition={"StringLike": {"aws:SourceAccount": "*"}, "Bool": {"aws:SecureTransport": "false"}}
    ),
    "only a Deny": statement("Deny"),
}
KEYS = {**CONTEXT, "partition": "aws", "aws:SecureTransport": "true"}


@pytest.mark.parametrize("one", GRANTED.values(), ids=GRANTED)
def test_a_statement_grants(one: dict[str, Any]) -> None:
    assert missing_needs([READ], [document(one)], KEYS) == ()


@pytest.mark.parametrize("one", REFUSED.values(), ids=REFUSED)
def test_a_statement_does_not_grant(one: dict[str, Any]) -> None:
    assert missing_needs([READ], [document(one)], KEYS) == (READ,)


def test_a_deny_in_any_document_outweighs_an_allow() -> None:
    assert missing_needs([READ], [document(statement()), document(statement("Deny", Action="s3:*"))]) == (READ,)


def test_a_deny_on_a_condition_that_is_not_known_does_not_count() -> None:
    unsure = statement("Deny", Condition={"Bool": {"aws:MultiFactorAuthPresent": "false"}})
    assert missing_needs([READ], [document(statement(), unsure)]) == ()


def test_needs_are_granted_by_several_documents_together() -> None:
    version = Need("s3:GetObjectVersion", f"{BUCKET}/*")
    other = document(statement(Action="s3:GetObjectVersion"))
    assert missing_needs([READ, version], [document(statement()), other]) == ()
    assert missing_needs([READ, version], [other]) == (READ,)


def test_a_single_statement_need_not_be_in_a_list() -> None:
    assert missing_needs([READ], [{"Version": "2012-10-17", "Statement": statement()}]) == ()


def test_a_document_without_statements_grants_nothing() -> None:
    assert missing_needs([READ], [{}]) == (READ,)


def test_the_needs_of_a_document_are_each_action_on_each_resource() -> None:
    both = statement(Action=["a:One", "a:Two"], Resource=["x", "y"])
    assert needs_of(document(both)) == (Need("a:One", "x"), Need("a:One", "y"), Need("a:Two", "x"), Need("a:Two", "y"))


def test_the_granting_document_grants_exactly_the_needs() -> None:
    needs = (READ, Need("s3:GetObjectVersion", f"{BUCKET}/*"), Need("iot:CreateJob", "a"), Need("iot:CreateJob", "b"))
    granting = granting_document(needs)
    assert missing_needs(needs, [granting]) == ()
    assert sorted(needs_of(granting), key=str) == sorted(needs, key=str)
    assert len(granting["Statement"]) == 2


def trust(**parts: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": {"Service": SERVICE}, "Action": "sts:AssumeRole", **parts}


TRUSTED = {
    "the service": trust(),
    "the service among others": trust(Principal={"Service": ["s3.amazonaws.com", SERVICE]}),
    "everybody": trust(Principal="*"),
    "every AWS principal": trust(Principal={"AWS": "*"}),
    "any sts action": trust(Action="sts:*"),
    "the account": trust(Condition={"StringEquals": {"aws:SourceAccount": "123456789012"}}),
    "the guard": trust(Condition={"ArnLike": {"aws:SourceArn": "arn:aws:iot:eu-west-1:123456789012:*"}}),
    "a wider guard": trust(Condition={"ArnEquals": {"aws:SourceArn": "arn:aws:iot:*:123456789012:*"}}),
}
NOT_TRUSTED = {
    "another service": trust(Principal={"Service": "s3.amazonaws.com"}),
    "a user": trust(Principal={"AWS": "arn:aws:iam::123456789012:root"}),
    "nobody": {"Effect": "Allow", "Action": "sts:AssumeRole"},
    "another action": trust(Action="sts:TagSession"),
    "another account": trust(Condition={"StringEquals": {"aws:SourceAccount": "999999999999"}}),
    "another region": trust(Condition={"ArnLike": {"aws:SourceArn": "arn:aws:iot:us-east-1:123456789012:*"}}),
    "something that is no ARN": trust(Condition={"ArnLike": {"aws:SourceArn": "*"}}),
    "an external id": trust(Condition={"StringEquals": {"sts:ExternalId": "x"}}),
}


@pytest.mark.parametrize("one", TRUSTED.values(), ids=TRUSTED)
def test_a_role_trusts_the_service(one: dict[str, Any]) -> None:
    assert trusts(document(one), SERVICE, CONTEXT)


@pytest.mark.parametrize("one", NOT_TRUSTED.values(), ids=NOT_TRUSTED)
def test_a_role_does_not_trust_the_service(one: dict[str, Any]) -> None:
    assert not trusts(document(one), SERVICE, CONTEXT)


def test_a_deny_of_the_service_outweighs_its_trust() -> None:
    assert not trusts(document(trust(), trust(Effect="Deny")), SERVICE, CONTEXT)


SAME = {
    "order of keys": ({"Version": "1", "Statement": []}, {"Statement": [], "Version": "1"}),
    "a list of one": (document(statement()), document(statement(Action=["s3:GetObject"]))),
    "a single statement": (document(statement()), {"Version": "2012-10-17", "Statement": statement()}),
    "order of lists": (document(statement(Action=["a", "b"])), document(statement(Action=["b", "a"]))),
    "a boolean and its word": (
        document(statement(Condition={"Bool": {"k": True}})),
        document(statement(Condition={"Bool": {"k": "true"}})),
    ),
}
DIFFERENT = {
    "action": (document(statement()), document(statement(Action="s3:*"))),
    "effect": (document(statement()), document(statement("Deny"))),
    "number of statements": (document(statement()), document(statement(), statement("Deny"))),
    "condition": (document(statement()), document(statement(Condition={"Bool": {"k": "true"}}))),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_documents_that_say_the_same_are_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert is_same_policy(one, other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT)
def test_documents_that_say_different_things_are_not_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert not is_same_policy(one, other)
