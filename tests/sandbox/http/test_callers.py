"""What the callers of the sandbox may do: dummy keys everything, users and role sessions what their policies say."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ota.sandbox.process import Address
from tests.conftest import ACCOUNT, REGION, client
from tests.sandbox_control import Control
from tests.sandbox_world import trust_document

IOT = f"arn:aws:iot:{REGION}:{ACCOUNT}"
ROLE, BOUNDARY = f"arn:aws:iam::{ACCOUNT}:role/ci", f"arn:aws:iam::{ACCOUNT}:policy/boundary"
USER_ARN, SESSION_ARN = f"arn:aws:iam::{ACCOUNT}:user/ann", f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/job"


def statement(actions: Any, resource: Any = "*", effect: str = "Allow", **condition: Any) -> dict[str, Any]:
    more = {"Condition": condition} if condition else {}
    return {"Effect": effect, "Action": actions, "Resource": resource, **more}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@pytest.fixture
def user(iam: Any, clean_sandbox: Address) -> Callable[[str], Any]:
    """Clients with the key of the user ann."""
    iam.create_user(UserName="ann")
    return _clients(clean_sandbox, iam.create_access_key(UserName="ann")["AccessKey"])


def session(iam: Any, sts: Any, address: Address, *, policy: str = "", boundary: str = "") -> Callable[[str], Any]:
    """Clients with a session of the role ci, which may do everything of IoT."""
    bounded = {"PermissionsBoundary": boundary} if boundary else {}
    document_ = trust_document().replace('{"Service": "iot.amazonaws.com"}', f'{{"AWS": "{ACCOUNT}"}}')
    iam.create_role(RoleName="ci", AssumeRolePolicyDocument=document_, **bounded)
    iam.put_role_policy(RoleName="ci", PolicyName="all", PolicyDocument=document(statement("iot:*")))
    narrowed = {"Policy": policy} if policy else {}
    return _clients(address, sts.assume_role(RoleArn=ROLE, RoleSessionName="job", **narrowed)["Credentials"])


def _clients(address: Address, key: dict[str, Any]) -> Callable[[str], Any]:
    found = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    return lambda service: client(service, address, **found, aws_session_token=key.get("SessionToken"))


def allow(iam: Any, *statements: dict[str, Any]) -> None:
    iam.put_user_policy(UserName="ann", PolicyName="own", PolicyDocument=document(*statements))


def refusal(call: Callable[..., Any], **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    assert caught.value.response["Error"]["Code"] in {"AccessDenied", "AccessDeniedException"}
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    return str(caught.value.response["Error"]["Message"])


def test_a_user_without_policies_may_do_nothing_but_ask_who_it_is(user: Any, iot: Any, control: Control) -> None:
    said = refusal(user("iot").create_thing, thingName="lamp")
    on = f"iot:CreateThing on resource: {IOT}:thing/lamp"
    why = "because no identity-based policy allows the iot:CreateThing action"
    assert said == f"User: {USER_ARN} is not authorized to perform: {on} {why}"
    assert control.calls()[-1]["denied"] == f"iot:CreateThing on {IOT}:thing/lamp"
    assert user("sts").get_caller_identity()["Arn"] == USER_ARN
    assert iot.list_things()["things"] == []


def test_its_policies_and_those_of_its_groups_allow_what_they_name(user: Any, iam: Any) -> None:
    allow(iam, statement("iot:CreateThing", f"{IOT}:thing/${{aws:username}}-*"))
    iam.create_group(GroupName="team")
    iam.put_group_policy(GroupName="team", PolicyName="own", PolicyDocument=document(statement("iot:DeleteThing")))
    user("iot").create_thing(thingName="ann-1")
    refusal(user("iot").create_thing, thingName="bob-1")
    refusal(user("iot").delete_thing, thingName="ann-1")
    iam.add_user_to_group(GroupName="team", UserName="ann")
    user("iot").delete_thing(thingName="ann-1")
    allow(iam, statement("iot:*"), statement("iot:CreateThing", f"{IOT}:thing/no", "Deny"))
    assert "with an explicit deny in an identity-based policy" in refusal(user("iot").create_thing, thingName="no")


@pytest.mark.parametrize("kind", ["a permissions boundary", "a session policy"])
def test_a_session_may_do_what_its_role_and_every_limit_allow(
    iam: Any, sts: Any, clean_sandbox: Address, kind: str
) -> None:
    limit = document(statement("iot:CreateThing"))
    iam.create_policy(PolicyName="boundary", PolicyDocument=limit)
    limits = {"boundary": BOUNDARY} if "boundary" in kind else {"policy": limit}
    iot = session(iam, sts, clean_sandbox, **limits)("iot")
    iot.create_thing(thingName="lamp")
    said = refusal(iot.delete_thing, thingName="lamp")
    assert said.startswith(f"User: {SESSION_ARN} is not authorized to perform: iot:DeleteThing")
    assert said.endswith(f"because no {kind[2:]} allows the iot:DeleteThing action")


CERTIFICATE = f"{IOT}:cert/{'a' * 64}"
FILES: list[Any] = [{"fileName": "image"}]
TAGS: list[Any] = [{"Key": "a", "Value": "b"}]
# The last request that IAM is asked about this call, where every other action is allowed.
ASKED: dict[str, tuple[str, str, dict[str, Any], str, str]] = {
    "an object in the header": (
        "iot", "attach_thing_principal", {"thingName": "lamp", "principal": CERTIFICATE},
        "iot:AttachThingPrincipal", CERTIFICATE,
    ),
    "an object in the body": (
        "iot", "attach_policy", {"policyName": "p", "target": CERTIFICATE}, "iot:AttachPolicy", CERTIFICATE,
    ),
    "an object in the query": (
        "iot", "list_tags_for_resource", {"resourceArn": f"{IOT}:policy/p"},
        "iot:ListTagsForResource", f"{IOT}:policy/p",
    ),
    "tags at creation": (
        "iot", "create_policy", {"policyName": "p", "policyDocument": "{}", "tags": TAGS},
        "iot:TagResource", f"{IOT}:policy/p",
    ),
    "a bucket's tags at creation": (
        "s3", "create_bucket",
        {"Bucket": "lamps", "CreateBucketConfiguration": {"LocationConstraint": REGION, "Tags": TAGS}},
        "s3:TagResource", "arn:aws:s3:::lamps",
    ),
    "a role that is passed": (
        "iot", "create_ota_update", {"otaUpdateId": "u", "targets": ["t"], "files": FILES, "roleArn": ROLE},
        "iam:PassRole", ROLE,
    ),
    "one of two objects": (
        "iot", "add_thing_to_thing_group", {"thingGroupName": "g", "thingName": "lamp"},
        "iot:AddThingToThingGroup", f"{IOT}:thing/lamp",
    ),
    "two names of one action": (
        "iot", "list_thing_principals_v2", {"thingName": "lamp"}, "iot:ListThingPrincipalsV2", f"{IOT}:thing/lamp",
    ),
    "no object": ("iot", "list_jobs", {"thingGroupName": "g"}, "iot:ListJobs", "*"),
    "a bucket": ("s3", "list_objects_v2", {"Bucket": "lamps"}, "s3:ListBucket", "arn:aws:s3:::lamps"),
    "all buckets": ("s3", "list_buckets", {}, "s3:ListAllMyBuckets", "*"),
    "an object of S3": ("s3", "get_object", {"Bucket": "b-1", "Key": "a/b"}, "s3:GetObject", "arn:aws:s3:::b-1/a/b"),
    "its version": (
        "s3", "delete_object", {"Bucket": "b-1", "Key": "a", "VersionId": "v"},
        "s3:DeleteObjectVersion", "arn:aws:s3:::b-1/a",
    ),
    "one of many versions": (
        "s3", "delete_objects",
        {"Bucket": "b-1", "Delete": {"Objects": [{"Key": "a"}, {"Key": "b", "VersionId": "v"}]}},
        "s3:DeleteObjectVersion", "arn:aws:s3:::b-1/b",
    ),
    "a role": ("iam", "get_role", {"RoleName": "ci"}, "iam:GetRole", ROLE),
    "a data plane": (
        "iot-jobs-data", "get_pending_job_executions", {"thingName": "lamp"},
        "iotjobsdata:GetPendingJobExecutions", f"{IOT}:thing/lamp",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("service", "method", "params", "action", "resource"), ASKED.values(), ids=ASKED)
def test_each_call_is_judged_by_action_and_object(
    user: Any, iam: Any, service: str, method: str, params: dict[str, Any], action: str, resource: str
) -> None:
    shown = f'"{resource}"' if service == "s3" else resource
    call = getattr(user(service), method)
    allow(iam, statement("*"), statement(action, resource, "Deny"))
    assert f"not authorized to perform: {action} on resource: {shown} with" in refusal(call, **params)
    other = "arn:aws:s3:::other" if resource == "*" else f"{resource}x"
    allow(iam, statement("*"), statement(action, other, "Deny"))
    said = ""
    try:
        call(**params)
    except ClientError as error:  # the object is not there
        said = str(error)
    assert "not authorized" not in said


def test_the_conditions_that_the_operators_policy_uses_are_judged(user: Any, iam: Any, iot: Any) -> None:
    iam.create_policy(PolicyName="boundary", PolicyDocument=document(statement("iot:*")))
    bounded = {"StringEquals": {"iam:PermissionsBoundary": BOUNDARY}}
    passing = {"StringEquals": {"iam:PassedToService": "iot.amazonaws.com"}}
    things = {"ArnLikeIfExists": {"iot:thingArn": f"{IOT}:thing/lamp*"}}
    allow(
        iam,
        statement(["iam:CreateRole", "iam:PutRolePolicy"], **bounded),
        statement("iam:PassRole", **passing),
        statement("iot:AttachThingPrincipal", **things),
        statement("iot:CreateOTAUpdate"),
    )
    role: dict[str, Any] = {"RoleName": "ci", "AssumeRolePolicyDocument": trust_document()}
    own = user("iam")
    refusal(own.create_role, **role)
    own.create_role(**role, PermissionsBoundary=BOUNDARY)
    permissions = {"RoleName": "ci", "PolicyName": "p", "PolicyDocument": document(statement("iot:*"))}
    own.put_role_policy(**permissions)
    iam.delete_role_permissions_boundary(RoleName="ci")
    refusal(own.put_role_policy, **permissions)
    for name in ("lamp-1", "pump"):
        iot.create_thing(thingName=name)
    arn = iot.create_keys_and_certificate()["certificateArn"]
    user("iot").attach_thing_principal(thingName="lamp-1", principal=arn)
    refusal(user("iot").attach_thing_principal, thingName="pump", principal=arn)
