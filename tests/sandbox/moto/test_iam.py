"""Roles, their policies and who may assume them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.conftest import ACCOUNT, client
from tests.sandbox.iot_calls import refused

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_sts import STSClient

    from ota.sandbox.process import Address

CALLER = f"arn:aws:iam::{ACCOUNT}:user/moto"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/ota-role"
SERVICE_ROLES = "arn:aws:iam::aws:policy/service-role"
MANAGED = ["AmazonFreeRTOSOTAUpdate", "AWSIoTRuleActions", "AWSIoTLogging", "AWSIoTThingsRegistration"]


def trust(principal: Any = None, **fields: Any) -> str:
    principal = principal or {"Service": "iot.amazonaws.com"}
    one = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **fields}
    return json.dumps({"Version": "2012-10-17", "Statement": [one]})


def permission(action: str = "s3:GetObject", resource: str = "*", sid: str = "") -> str:
    one = {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [one]})


def make_role(iam: IAMClient, document: str | None = None, **fields: Any) -> str:
    role = iam.create_role(RoleName="ota-role", AssumeRolePolicyDocument=document or trust(), **fields)
    return role["Role"]["Arn"]


def test_a_role_is_returned_as_it_was_made(iam: IAMClient) -> None:
    boundary = iam.create_policy(PolicyName="limit", PolicyDocument=permission("*"))["Policy"]["Arn"]
    tags: Any = [{"Key": "managed-by", "Value": "somebody"}]
    make_role(iam, PermissionsBoundary=boundary, Tags=tags, Path="/ota/")
    role = iam.get_role(RoleName="ota-role")["Role"]
    assert role["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/ota/ota-role"
    assert role["AssumeRolePolicyDocument"] == json.loads(trust())  # type: ignore[comparison-overlap]
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary
    assert role["Tags"] == tags == iam.list_role_tags(RoleName="ota-role")["Tags"]


ROLES = [
    pytest.param({"RoleName": "r" * 65}, "ValidationError", 400, id="long name"),
    pytest.param({"RoleName": "a role"}, "ValidationError", 400, id="space"),
    pytest.param({"RoleName": "a:role"}, "ValidationError", 400, id="colon"),
    pytest.param({"AssumeRolePolicyDocument": "{"}, "MalformedPolicyDocument", 400, id="no JSON"),
    pytest.param({"AssumeRolePolicyDocument": "{}"}, "MalformedPolicyDocument", 400, id="no statement"),
    pytest.param({"AssumeRolePolicyDocument": permission()}, "MalformedPolicyDocument", 400, id="no trust"),
    pytest.param(
        {"AssumeRolePolicyDocument": trust(Action="s3:GetObject")}, "MalformedPolicyDocument", 400, id="action"
    ),
    pytest.param({"AssumeRolePolicyDocument": trust({"Service": "iot"})}, "MalformedPolicyDocument", 400, id="service"),
    pytest.param(
        {"AssumeRolePolicyDocument": trust({"AWS": f"arn:aws:iam::{ACCOUNT}:user/nobody"})},
        "MalformedPolicyDocument",
        400,
        id="user that does not exist",
    ),
    pytest.param(
        {"AssumeRolePolicyDocument": trust("iot.amazonaws.com")}, "MalformedPolicyDocument", 400, id="bare name"
    ),
    pytest.param({"AssumeRolePolicyDocument": trust(Sid="s" * 2048)}, "LimitExceeded", 409, id="long trust"),
    pytest.param({"PermissionsBoundary": "the-boundary-of-all-things"}, "InvalidParameterValue", 400, id="no ARN"),
    pytest.param({"PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/none"}, "NoSuchEntity", 404, id="no boundary"),
]


@pytest.mark.parametrize(("fields", "code", "status"), ROLES)
def test_what_iam_would_refuse_is_refused(iam: IAMClient, fields: dict[str, Any], code: str, status: int) -> None:
    params = {"RoleName": "ota-role", "AssumeRolePolicyDocument": trust(), **fields}
    with pytest.raises(ClientError) as caught:
        iam.create_role(**params)
    response: Any = caught.value.response
    assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)
    assert set(response["Error"]) == {"Type", "Code", "Message"}
    assert iam.list_roles()["Roles"] == []


def test_role_names_are_unique_in_any_case(iam: IAMClient) -> None:
    make_role(iam)
    with pytest.raises(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName="OTA-Role", AssumeRolePolicyDocument=trust())


def test_an_unknown_role_is_a_modelled_error(iam: IAMClient) -> None:
    with pytest.raises(iam.exceptions.NoSuchEntityException, match="The role with name none cannot be found"):
        iam.get_role(RoleName="none")


def test_the_trust_policy_is_checked_when_it_changes(iam: IAMClient) -> None:
    make_role(iam)
    with pytest.raises(iam.exceptions.MalformedPolicyDocumentException):
        iam.update_assume_role_policy(RoleName="ota-role", PolicyDocument=trust({"Service": "iot"}))
    iam.update_assume_role_policy(RoleName="ota-role", PolicyDocument=trust({"AWS": ACCOUNT}))
    found: Any = iam.get_role(RoleName="ota-role")["Role"]["AssumeRolePolicyDocument"]
    assert found["Statement"][0]["Principal"] == {"AWS": ACCOUNT}


@pytest.mark.parametrize("name", MANAGED)
def test_the_managed_policies_of_an_ota_role_are_there(iam: IAMClient, name: str) -> None:
    arn = f"{SERVICE_ROLES}/{name}"
    make_role(iam)
    for _ in range(2):
        iam.attach_role_policy(RoleName="ota-role", PolicyArn=arn)
    attached = iam.list_attached_role_policies(RoleName="ota-role")["AttachedPolicies"]
    assert attached == [{"PolicyName": name, "PolicyArn": arn}]
    assert iam.get_policy(PolicyArn=arn)["Policy"]["AttachmentCount"] == 1


def test_the_ota_policy_is_awss_own(iam: IAMClient) -> None:
    arn = f"{SERVICE_ROLES}/AmazonFreeRTOSOTAUpdate"
    found: Any = iam.get_policy_version(PolicyArn=arn, VersionId="v3")["PolicyVersion"]["Document"]
    assert len(found["Statement"]) == 6
    assert found["Statement"][0]["Resource"] == "arn:aws:s3:::afr-ota*"
    assert found["Statement"][5]["Action"] == ["iot:CreateStream", "iot:CreateJob"]


def test_an_unknown_managed_policy_cannot_be_attached(iam: IAMClient) -> None:
    make_role(iam)
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.attach_role_policy(RoleName="ota-role", PolicyArn=f"{SERVICE_ROLES}/None")


def test_a_role_carries_ten_managed_policies(iam: IAMClient) -> None:
    make_role(iam)
    arns = [
        iam.create_policy(PolicyName=f"p{number}", PolicyDocument=permission())["Policy"]["Arn"] for number in range(11)
    ]
    for arn in arns[:10]:
        iam.attach_role_policy(RoleName="ota-role", PolicyArn=arn)
    with pytest.raises(iam.exceptions.LimitExceededException):
        iam.attach_role_policy(RoleName="ota-role", PolicyArn=arns[10])


def test_inline_policies_are_checked_for_form_and_size(iam: IAMClient) -> None:
    make_role(iam)

    def put(name: str, text: str) -> None:
        iam.put_role_policy(RoleName="ota-role", PolicyName=name, PolicyDocument=text)

    with pytest.raises(iam.exceptions.MalformedPolicyDocumentException):
        put("one", trust())
    put("one", permission(sid="s" * 6000))
    with pytest.raises(iam.exceptions.LimitExceededException):
        put("two", permission(sid="t" * 6000))
    put("one", permission(sid="u" * 6000))
    assert iam.list_role_policies(RoleName="ota-role")["PolicyNames"] == ["one"]


def test_a_role_goes_only_when_it_carries_nothing(iam: IAMClient) -> None:
    make_role(iam)
    arn = f"{SERVICE_ROLES}/{MANAGED[0]}"
    iam.attach_role_policy(RoleName="ota-role", PolicyArn=arn)
    iam.put_role_policy(RoleName="ota-role", PolicyName="own", PolicyDocument=permission())
    for step in (
        lambda: iam.detach_role_policy(RoleName="ota-role", PolicyArn=arn),
        lambda: iam.delete_role_policy(RoleName="ota-role", PolicyName="own"),
    ):
        with pytest.raises(iam.exceptions.DeleteConflictException):
            iam.delete_role(RoleName="ota-role")
        step()
    iam.delete_role(RoleName="ota-role")
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.delete_role(RoleName="ota-role")


def test_a_policy_in_use_is_not_deleted(iam: IAMClient) -> None:
    arn = iam.create_policy(PolicyName="limit", PolicyDocument=permission())["Policy"]["Arn"]
    make_role(iam, PermissionsBoundary=arn)
    with pytest.raises(iam.exceptions.DeleteConflictException):
        iam.delete_policy(PolicyArn=arn)
    iam.delete_role(RoleName="ota-role")
    iam.delete_policy(PolicyArn=arn)


def test_the_callers_own_user_is_the_one_that_sts_tells_of(iam: IAMClient, sts: STSClient) -> None:
    user, identity = iam.get_user()["User"], sts.get_caller_identity()
    assert (user["Arn"], user["UserId"], user["UserName"]) == (CALLER, identity["UserId"], "moto")


@pytest.mark.parametrize("operation", ["list_roles", "list_policies"])
def test_a_marker_of_nobodys_is_refused(iam: IAMClient, operation: str) -> None:
    with pytest.raises(ClientError, match="Invalid token: zzz") as caught:
        getattr(iam, operation)(Marker="zzz")
    assert caught.value.response["Error"]["Code"] == "ValidationError"


def test_dummy_credentials_are_a_user_of_the_account(sts: STSClient) -> None:
    found = sts.get_caller_identity()
    assert (found["Account"], found["Arn"]) == (ACCOUNT, CALLER)


ASSUMERS = [
    pytest.param({"AWS": CALLER}, {}, True, id="the caller"),
    pytest.param({"AWS": ACCOUNT}, {}, True, id="the account"),
    pytest.param({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, {}, True, id="the account's root"),
    pytest.param({"AWS": CALLER, "Service": ["iot.amazonaws.com"]}, {}, True, id="caller and service"),
    pytest.param({"AWS": "*"}, {}, True, id="everybody"),
    pytest.param({"Service": "iot.amazonaws.com"}, {}, False, id="only a service"),
    pytest.param({"AWS": "999999999999"}, {}, False, id="another account"),
    pytest.param({"AWS": ACCOUNT}, {"Condition": {"StringEquals": {"sts:ExternalId": "other"}}}, False, id="condition"),
]


@pytest.mark.parametrize(("principal", "fields", "expected"), ASSUMERS)
def test_a_role_is_assumed_by_whom_it_trusts(
    iam: IAMClient, sts: STSClient, principal: Any, fields: dict[str, Any], expected: bool
) -> None:
    arn = make_role(iam, trust(principal, **fields))
    params: Any = {"RoleArn": arn, "RoleSessionName": "check"}
    if expected:
        assert sts.assume_role(**params)["AssumedRoleUser"]["Arn"].endswith(":assumed-role/ota-role/check")
    else:
        assert refused(sts.assume_role, **params) == ("AccessDenied", 403)


def test_a_missing_role_is_denied_in_awss_words(sts: STSClient) -> None:
    expected = f"User: {CALLER} is not authorized to perform: sts:AssumeRole on resource: {ROLE}"
    with pytest.raises(ClientError, match=expected):
        sts.assume_role(RoleArn=ROLE, RoleSessionName="check")


def test_an_external_id_opens_a_role_that_asks_for_it(iam: IAMClient, sts: STSClient) -> None:
    condition = {"StringEquals": {"sts:ExternalId": "secret"}}
    arn = make_role(iam, trust({"AWS": ACCOUNT}, Condition=condition))
    sts.assume_role(RoleArn=arn, RoleSessionName="check", ExternalId="secret")


def test_a_session_name_and_a_duration_have_their_bounds(iam: IAMClient, sts: STSClient) -> None:
    arn = make_role(iam, trust({"AWS": ACCOUNT}))
    for fields in ({"RoleSessionName": "a b"}, {"RoleSessionName": "ab", "DurationSeconds": 7200}):
        params: Any = {"RoleArn": arn, **fields}
        assert refused(sts.assume_role, **params) == ("ValidationError", 400)


def test_a_session_is_its_role(iam: IAMClient, sts: STSClient, clean_sandbox: Address) -> None:
    arn = make_role(iam, trust({"AWS": ACCOUNT}))
    session = as_role(sts, clean_sandbox, "sts", arn)
    assert session.get_caller_identity()["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/ota-role/check"


def test_a_session_may_do_in_s3_what_its_role_may(iam: IAMClient, sts: STSClient, clean_sandbox: Address) -> None:
    owner = client("s3", clean_sandbox)
    owner.create_bucket(Bucket="lamp-bucket", CreateBucketConfiguration={"LocationConstraint": clean_sandbox.region})
    owner.put_object(Bucket="lamp-bucket", Key="image", Body=b"1")
    arn = make_role(iam, trust({"AWS": ACCOUNT}))
    session = as_role(sts, clean_sandbox, "s3", arn)
    get: dict[str, Any] = {"Bucket": "lamp-bucket", "Key": "image"}
    assert refused(session.get_object, **get) == ("AccessDenied", 403)
    document = permission("s3:GetObject", "arn:aws:s3:::lamp-bucket/*")
    iam.put_role_policy(RoleName="ota-role", PolicyName="read", PolicyDocument=document)
    assert session.get_object(**get)["Body"].read() == b"1"
    assert refused(session.put_object, **get, Body=b"2") == ("AccessDenied", 403)
    assert refused(session.list_objects_v2, Bucket="lamp-bucket") == ("AccessDenied", 403)


def as_role(sts: STSClient, address: Address, service: str, arn: str) -> Any:
    import boto3

    keys = sts.assume_role(RoleArn=arn, RoleSessionName="check")["Credentials"]
    session = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], address.region)
    return session.client(service, endpoint_url=address.endpoint_url)  # type: ignore[call-overload]


PASS = {"StringEquals": {"iam:PassedToService": "iot.amazonaws.com"}}
IOT_CONTEXT: Any = {
    "ContextKeyName": "iam:PassedToService",
    "ContextKeyValues": ["iot.amazonaws.com"],
    "ContextKeyType": "string",
}


def pass_role_document(effect: str = "Allow") -> str:
    statement = {"Effect": effect, "Action": "iam:PassRole", "Resource": ROLE, "Condition": PASS}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def simulate(iam: IAMClient, arn: str, **fields: Any) -> list[str]:
    request: dict[str, Any] = {"ActionNames": ["iam:PassRole"], "ResourceArns": [ROLE], "ContextEntries": [IOT_CONTEXT]}
    answer = iam.simulate_principal_policy(PolicySourceArn=arn, **{**request, **fields})
    assert answer["IsTruncated"] is False
    return [one["EvalDecision"] for one in answer["EvaluationResults"]]


def test_the_simulator_holds_dummy_credentials_for_an_administrator(iam: IAMClient) -> None:
    assert simulate(iam, CALLER) == ["allowed"]
    assert simulate(iam, CALLER, ResourceArns=[]) == ["allowed"]


def test_the_simulator_tells_what_a_user_may(iam: IAMClient) -> None:
    arn = iam.create_user(UserName="dev")["User"]["Arn"]
    assert simulate(iam, arn) == ["implicitDeny"]
    iam.put_user_policy(UserName="dev", PolicyName="pass", PolicyDocument=pass_role_document())
    other = f"arn:aws:iam::{ACCOUNT}:role/other"
    assert simulate(iam, arn, ResourceArns=[ROLE, other]) == ["allowed", "implicitDeny"]
    assert simulate(iam, arn, ContextEntries=[]) == ["implicitDeny"]
    iam.create_group(GroupName="careful")
    iam.put_group_policy(GroupName="careful", PolicyName="no", PolicyDocument=pass_role_document("Deny"))
    iam.add_user_to_group(GroupName="careful", UserName="dev")
    assert simulate(iam, arn) == ["explicitDeny"]


def test_the_simulator_counts_a_roles_boundary(iam: IAMClient) -> None:
    boundary = iam.create_policy(PolicyName="limit", PolicyDocument=permission("s3:*"))["Policy"]["Arn"]
    arn = make_role(iam, PermissionsBoundary=boundary)
    iam.put_role_policy(RoleName="ota-role", PolicyName="all", PolicyDocument=permission("*"))
    request: Any = {"PolicySourceArn": arn, "ActionNames": ["iam:PassRole", "s3:GetObject"]}
    found = iam.simulate_principal_policy(**request)["EvaluationResults"]
    assert [(one["EvalActionName"], one["EvalDecision"]) for one in found] == [
        ("iam:PassRole", "implicitDeny"),
        ("s3:GetObject", "allowed"),
    ]
    assert found[0]["PermissionsBoundaryDecisionDetail"] == {"AllowedByPermissionsBoundary": False}


@pytest.mark.parametrize(
    ("arn", "fields", "code", "status"),
    [
        pytest.param(f"arn:aws:iam::{ACCOUNT}:user/nobody", {}, "NoSuchEntity", 404, id="unknown user"),
        pytest.param(f"arn:aws:iam::{ACCOUNT}:role/nobody", {}, "NoSuchEntity", 404, id="unknown role"),
        pytest.param(f"arn:aws:iam::{ACCOUNT}:root", {}, "InvalidInput", 400, id="root"),
        pytest.param(f"arn:aws:sts::{ACCOUNT}:assumed-role/a/b", {}, "InvalidInput", 400, id="session"),
        pytest.param(CALLER, {"ActionNames": ["PassRole"]}, "InvalidInput", 400, id="no action"),
    ],
)
def test_the_simulator_is_asked_of_users_and_roles(
    iam: IAMClient, arn: str, fields: dict[str, Any], code: str, status: int
) -> None:
    with pytest.raises(ClientError) as caught:
        simulate(iam, arn, **fields)
    response = caught.value.response
    assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)
