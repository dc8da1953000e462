"""What a device's policies, and documents on trial, allow: asked of the registry instead of tried by a connection."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import ACCOUNT, REGION
from tests.sandbox.iot_calls import new_principal, refused

ARN = f"arn:aws:iot:{REGION}:{ACCOUNT}:"
VARIABLE = "${iot:Connection.Thing.ThingName}"


def document(*statements: tuple[str, str, str]) -> str:
    rows = [{"Effect": effect, "Action": action, "Resource": resource} for effect, action, resource in statements]
    return json.dumps({"Version": "2012-10-17", "Statement": rows})


@pytest.fixture
def principal(iot: Any) -> str:
    """The certificate of a lamp, with a policy of its own and one of its group."""
    arn = new_principal(iot)
    iot.create_thing(thingName="lamp")
    iot.attach_thing_principal(thingName="lamp", principal=arn)
    own = document(
        ("Allow", "iot:Connect", f"{ARN}client/{VARIABLE}"),
        ("Allow", "iot:Publish", f"{ARN}topic/lamps/{VARIABLE}/*"),
        ("Deny", "iot:Publish", f"{ARN}topic/lamps/*/secret"),
    )
    iot.create_policy(policyName="own", policyDocument=own)
    iot.attach_policy(policyName="own", target=arn)
    group = iot.create_thing_group(thingGroupName="lamps")["thingGroupArn"]
    iot.add_thing_to_thing_group(thingGroupName="lamps", thingName="lamp")
    iot.create_policy(
        policyName="group", policyDocument=document(("Allow", "iot:Subscribe", f"{ARN}topicfilter/all/#"))
    )
    iot.attach_policy(policyName="group", target=group)
    iot.create_policy(policyName="trial", policyDocument=document(("Allow", "iot:Receive", f"{ARN}topic/*")))
    return arn


@pytest.mark.parametrize(
    ("action", "resources", "client_id", "decision", "policies"),
    [
        ("CONNECT", ["client/lamp"], "lamp", "ALLOWED", ["own"]),
        ("CONNECT", ["client/other"], "lamp", "IMPLICIT_DENY", ["group", "own"]),
        ("PUBLISH", ["topic/lamps/lamp/state"], "lamp", "ALLOWED", ["own"]),
        ("PUBLISH", ["topic/lamps/lamp/state", "topic/lamps/lamp/secret"], "lamp", "EXPLICIT_DENY", ["own"]),
        ("PUBLISH", ["topic/lamps/lamp/state"], "other", "IMPLICIT_DENY", ["own"]),
        ("SUBSCRIBE", ["topicfilter/all/#"], "lamp", "ALLOWED", ["group"]),
        ("RECEIVE", ["topic/a"], "lamp", "IMPLICIT_DENY", ["group", "own"]),
    ],
)
def test_each_action_gets_the_decision_of_the_policies(
    iot: Any, principal: str, action: str, resources: list[str], client_id: str, decision: str, policies: list[str]
) -> None:
    info = {"actionType": action, "resources": [ARN + one for one in resources]}
    (result,) = iot.test_authorization(principal=principal, clientId=client_id, authInfos=[info])["authResults"]
    assert result["authDecision"] == decision
    where = {
        "ALLOWED": result["allowed"],
        "EXPLICIT_DENY": result["denied"]["explicitDeny"],
        "IMPLICIT_DENY": result["denied"]["implicitDeny"],
    }
    assert sorted(one["policyName"] for one in where[decision]["policies"]) == policies
    assert result["missingContextValues"] == ([f"{VARIABLE}"] if client_id == "other" else [])
    assert result["authInfo"] == info


def test_policies_are_tried_and_left_out(iot: Any, principal: str) -> None:
    infos = [
        {"actionType": "RECEIVE", "resources": [f"{ARN}topic/a"]},
        {"actionType": "CONNECT", "resources": [f"{ARN}client/lamp"]},
    ]
    on_trial = {"policyNamesToAdd": ["trial"], "policyNamesToSkip": ["own"]}
    results = iot.test_authorization(principal=principal, clientId="lamp", authInfos=infos, **on_trial)["authResults"]
    assert [one["authDecision"] for one in results] == ["ALLOWED", "IMPLICIT_DENY"]
    nobody = {"principal": principal, "authInfos": infos, "policyNamesToAdd": ["nobody"]}
    assert refused(iot.test_authorization, **nobody) == ("ResourceNotFoundException", 404)
    assert refused(iot.test_authorization, authInfos=infos) == ("InvalidRequestException", 400)


def test_the_effective_policies_are_those_of_certificate_and_groups(iot: Any, principal: str) -> None:
    def names(**params: str) -> list[str]:
        return sorted(one["policyName"] for one in iot.get_effective_policies(**params)["effectivePolicies"])

    assert names(principal=principal) == ["own"]
    assert names(thingName="lamp") == ["group"]
    assert names(principal=principal, thingName="lamp") == ["group", "own"]
    assert refused(iot.get_effective_policies) == ("InvalidRequestException", 400)


@pytest.mark.parametrize(
    ("action", "resource", "boundary", "decision"),
    [
        ("iot:CreateThing", f"{ARN}thing/lamp", None, "allowed"),
        ("iot:CreateThing", f"{ARN}thing/other", None, "implicitDeny"),
        ("iot:DeleteThing", f"{ARN}thing/lamp", None, "explicitDeny"),
        ("iot:CreateThing", f"{ARN}thing/lamp", ("Allow", "s3:*", "*"), "implicitDeny"),
        ("iot:CreateThing", f"{ARN}thing/lamp", ("Allow", "iot:*", "*"), "allowed"),
    ],
)
def test_a_document_is_simulated_before_anybody_has_it(
    iam: Any, action: str, resource: str, boundary: tuple[str, str, str] | None, decision: str
) -> None:
    written = document(("Allow", "iot:*", f"{ARN}thing/lamp"), ("Deny", "iot:Delete*", "*"))
    limits = {"PermissionsBoundaryPolicyInputList": [document(boundary)]} if boundary else {}
    request = {"PolicyInputList": [written], "ActionNames": [action], "ResourceArns": [resource], **limits}
    (result,) = iam.simulate_custom_policy(**request)["EvaluationResults"]
    assert (result["EvalActionName"], result["EvalResourceName"]) == (action, resource)
    assert result["EvalDecision"] == decision


def test_a_document_that_is_none_is_not_simulated(iam: Any) -> None:
    request = {"PolicyInputList": ["{"], "ActionNames": ["iot:CreateThing"]}
    assert refused(iam.simulate_custom_policy, **request) == ("MalformedPolicyDocument", 400)
