"""IoT policies, as strict as AWS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ACCOUNT, REGION
from tests.sandbox.iot_calls import new_principal, refused

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

ALLOW = {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}


def document(*statements: Any, **fields: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements), **fields})


def statement(**fields: Any) -> str:
    return document({key: value for key, value in {**ALLOW, **fields}.items() if value is not None})


def sized(characters: int) -> str:
    empty = len(statement(Sid="").replace(" ", ""))
    return statement(Sid="s" * (characters - empty))


GOOD = [
    pytest.param(statement(), id="minimal"),
    pytest.param(json.dumps({"Statement": ALLOW}), id="one statement, no version"),
    pytest.param(statement(Action=["iot:Publish", "iot:Receive"], Resource=["arn:aws:iot:r:1:topic/a/*"]), id="lists"),
    pytest.param(statement(Action="iot:*"), id="wildcard"),
    pytest.param(statement(Effect="Deny", Sid="no"), id="deny"),
    pytest.param(
        statement(
            Resource="arn:aws:iot:eu-west-1:123456789012:client/${iot:Connection.Thing.ThingName}",
            Condition={"Bool": {"iot:Connection.Thing.IsAttached": ["true"]}},
        ),
        id="thing variable",
    ),
    pytest.param(statement(Resource=["arn:aws:iot:eu-west-1:123456789012:*"]), id="everything in the account"),
    pytest.param(sized(2048), id="2048 characters"),
    pytest.param(json.dumps(json.loads(sized(2048)), indent=8), id="whitespace does not count"),
]


@pytest.mark.parametrize("text", GOOD)
def test_good_documents_are_kept_as_they_are(iot: IoTClient, text: str) -> None:
    created = iot.create_policy(policyName="p", policyDocument=text)
    found = iot.get_policy(policyName="p")
    assert found["policyDocument"] == text
    assert found["policyArn"] == created["policyArn"] == f"arn:aws:iot:{REGION}:{ACCOUNT}:policy/p"
    assert found["defaultVersionId"] == created["policyVersionId"] == "1"


BAD = [
    pytest.param("", id="empty"),
    pytest.param("{", id="no JSON"),
    pytest.param("[]", id="a list"),
    pytest.param("{}", id="no statement"),
    pytest.param(document(), id="empty list"),
    pytest.param(document("iot:Connect"), id="a statement that is text"),
    pytest.param(document(ALLOW, Version="2013-10-17"), id="other version"),
    pytest.param(document(ALLOW, Extra=1), id="unknown element"),
    pytest.param(statement(Effect="allow"), id="effect in small letters"),
    pytest.param(statement(Effect=None), id="no effect"),
    pytest.param(statement(Action=None), id="no action"),
    pytest.param(statement(Action=[]), id="empty actions"),
    pytest.param(statement(Action="Connect"), id="action without service"),
    pytest.param(statement(Action=1), id="action that is a number"),
    pytest.param(statement(Resource=None), id="no resource"),
    pytest.param(statement(Resource="topic/a"), id="resource that is no ARN"),
    pytest.param(statement(Principal="*"), id="principal"),
    pytest.param(statement(Condition="none"), id="condition that is text"),
    pytest.param(statement(Condition={"StringEqual": {"iot:ClientId": "a"}}), id="unknown operator"),
    pytest.param(sized(2049), id="2049 characters"),
]


@pytest.mark.parametrize("text", BAD)
def test_malformed_documents_are_refused(iot: IoTClient, text: str) -> None:
    malformed = ("MalformedPolicyException", 400)
    assert refused(iot.create_policy, policyName="p", policyDocument=text) == malformed
    iot.create_policy(policyName="q", policyDocument=statement())
    assert refused(iot.create_policy_version, policyName="q", policyDocument=text) == malformed
    assert [one["policyName"] for one in iot.list_policies()["policies"]] == ["q"]


@pytest.mark.parametrize("name", ["p/q", "p q", "pö", "p" * 129])
def test_illegal_policy_names_are_refused(iot: IoTClient, name: str) -> None:
    found = refused(iot.create_policy, policyName=name, policyDocument=statement())
    assert found == ("InvalidRequestException", 400)


def test_a_second_policy_by_the_name_is_refused(iot: IoTClient) -> None:
    iot.create_policy(policyName="p", policyDocument=statement())
    found = refused(iot.create_policy, policyName="p", policyDocument=statement())
    assert found == ("ResourceAlreadyExistsException", 409)


def test_tags_live_as_long_as_the_policy(iot: IoTClient) -> None:
    tags: Any = [{"Key": "managed-by", "Value": "somebody"}]
    arn = iot.create_policy(policyName="p", policyDocument=statement(), tags=tags)["policyArn"]
    assert iot.list_tags_for_resource(resourceArn=arn)["tags"] == tags
    iot.delete_policy(policyName="p")
    iot.create_policy(policyName="p", policyDocument=statement())
    assert iot.list_tags_for_resource(resourceArn=arn)["tags"] == []


def test_a_policy_whose_tags_are_refused_does_not_come_into_being(iot: IoTClient) -> None:
    tags: Any = [{"Key": "aws:own", "Value": "x"}]
    refused(iot.create_policy, policyName="p", policyDocument=statement(), tags=tags)
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.get_policy(policyName="p")


def test_five_versions_and_no_more(iot: IoTClient) -> None:
    iot.create_policy(policyName="p", policyDocument=statement())
    for number in range(2, 6):
        made = iot.create_policy_version(policyName="p", policyDocument=statement(Sid=f"v{number}"))
        assert made["policyVersionId"] == str(number)
    found = refused(iot.create_policy_version, policyName="p", policyDocument=statement())
    assert found == ("VersionsLimitExceededException", 409)


def test_the_default_version_is_what_a_policy_says(iot: IoTClient) -> None:
    iot.create_policy(policyName="p", policyDocument=statement(Sid="one"))
    iot.create_policy_version(policyName="p", policyDocument=statement(Sid="two"), setAsDefault=True)
    assert iot.get_policy(policyName="p")["defaultVersionId"] == "2"
    assert refused(iot.delete_policy_version, policyName="p", policyVersionId="2") == ("InvalidRequestException", 400)
    iot.set_default_policy_version(policyName="p", policyVersionId="1")
    assert iot.get_policy(policyName="p")["policyDocument"] == statement(Sid="one")
    missing: Any = {"policyName": "p", "policyVersionId": "9"}
    assert refused(iot.set_default_policy_version, **missing) == ("ResourceNotFoundException", 404)
    assert iot.get_policy(policyName="p")["defaultVersionId"] == "1"


def test_a_policy_goes_only_in_the_safe_order(iot: IoTClient) -> None:
    target = new_principal(iot)
    iot.create_policy(policyName="p", policyDocument=statement())
    iot.create_policy_version(policyName="p", policyDocument=statement(Sid="two"))
    iot.attach_policy(policyName="p", target=target)
    assert refused(iot.delete_policy, policyName="p") == ("DeleteConflictException", 409)
    iot.detach_policy(policyName="p", target=target)
    assert refused(iot.delete_policy, policyName="p") == ("DeleteConflictException", 409)
    iot.delete_policy_version(policyName="p", policyVersionId="2")
    iot.delete_policy(policyName="p")
    assert refused(iot.delete_policy, policyName="p") == ("ResourceNotFoundException", 404)


def test_attaching_and_detaching_can_be_repeated(iot: IoTClient) -> None:
    target = new_principal(iot)
    iot.create_policy(policyName="p", policyDocument=statement())
    for _ in range(2):
        iot.attach_policy(policyName="p", target=target)
    assert iot.list_targets_for_policy(policyName="p")["targets"] == [target]
    assert [one["policyName"] for one in iot.list_attached_policies(target=target)["policies"]] == ["p"]
    for _ in range(2):
        iot.detach_policy(policyName="p", target=target)
    assert iot.list_attached_policies(target=target)["policies"] == []


def test_what_does_not_exist_cannot_be_attached(iot: IoTClient) -> None:
    target, nobody = new_principal(iot), f"arn:aws:iot:{REGION}:{ACCOUNT}:cert/{'0' * 64}"
    assert refused(iot.attach_policy, policyName="p", target=target) == ("ResourceNotFoundException", 404)
    iot.create_policy(policyName="p", policyDocument=statement())
    assert refused(iot.attach_policy, policyName="p", target=nobody) == ("ResourceNotFoundException", 404)
    assert refused(iot.detach_policy, policyName="p", target=nobody) == ("InvalidRequestException", 400)


def test_the_effective_policies_of_a_certificate_come_with_their_documents(iot: IoTClient) -> None:
    principal = new_principal(iot)
    assert iot.get_effective_policies(principal=principal)["effectivePolicies"] == []
    made = iot.create_policy(policyName="p", policyDocument=statement())
    newer = statement(Sid="newer")
    iot.create_policy_version(policyName="p", policyDocument=newer, setAsDefault=True)
    iot.create_policy(policyName="unattached", policyDocument=statement())
    iot.attach_policy(policyName="p", target=principal)
    assert iot.get_effective_policies(principal=principal)["effectivePolicies"] == [
        {"policyName": "p", "policyArn": made["policyArn"], "policyDocument": newer}
    ]


def test_effective_policies_are_asked_for_a_principal_that_exists(iot: IoTClient) -> None:
    nobody = f"arn:aws:iot:{REGION}:{ACCOUNT}:cert/{'0' * 64}"
    assert refused(iot.get_effective_policies, principal=nobody) == ("ResourceNotFoundException", 404)
    assert refused(iot.get_effective_policies) == ("InvalidRequestException", 400)


def test_the_old_operations_see_the_same_attachments(iot: IoTClient) -> None:
    principal = new_principal(iot)
    iot.create_policy(policyName="p", policyDocument=statement())
    iot.attach_principal_policy(policyName="p", principal=principal)
    assert iot.list_targets_for_policy(policyName="p")["targets"] == [principal]
    assert iot.list_policy_principals(policyName="p")["principals"] == [principal]
    assert [one["policyName"] for one in iot.list_principal_policies(principal=principal)["policies"]] == ["p"]
    iot.detach_principal_policy(policyName="p", principal=principal)
    again: Any = {"policyName": "p", "principal": principal}
    assert refused(iot.detach_principal_policy, **again) == ("ResourceNotFoundException", 404)


def test_a_principal_takes_ten_policies(iot: IoTClient) -> None:
    target = new_principal(iot)
    for number in range(11):
        iot.create_policy(policyName=f"p{number}", policyDocument=statement())
    for number in range(10):
        iot.attach_policy(policyName=f"p{number}", target=target)
    assert refused(iot.attach_policy, policyName="p10", target=target) == ("LimitExceededException", 410)
    iot.attach_policy(policyName="p0", target=target)
    paginator = iot.get_paginator("list_attached_policies")
    pages = list(paginator.paginate(target=target, PaginationConfig={"PageSize": 4}))
    assert [len(page["policies"]) for page in pages] == [4, 4, 2]
