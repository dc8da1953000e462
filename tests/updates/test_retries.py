"""Refusals that pass by themselves: retried for every call, with bounded pauses, and never a real "not found"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ota.aws_calls import MAX_TRIES, Retries
from tests.conftest import client
from tests.hand_made import signing_request
from tests.sandbox_control import Control

TRUST = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": "*"}]}'
DOCUMENT = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}]}'
ALL_PAUSES = [0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


class Account:
    """Clients of the sandbox with retries, whose pauses are noted and not made."""

    def __init__(self, control: Control) -> None:
        self.pauses: list[float] = []
        retries = Retries(sleep=self.pauses.append)
        self.s3, self.iam, self.iot = (client(service, control.address) for service in ("s3", "iam", "iot"))
        for one in (self.s3, self.iam, self.iot):
            retries.attach(one)
        self.certificate_arn = ""

    def make_all(self) -> None:
        """One object of each kind."""
        self.s3.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        self.iam.create_role(RoleName="role", AssumeRolePolicyDocument=TRUST)
        self.iot.create_thing(thingName="thing")
        self.iot.create_policy(policyName="policy", policyDocument=DOCUMENT)
        made = self.iot.create_certificate_from_csr(certificateSigningRequest=signing_request(), setAsActive=True)
        self.certificate_arn = made["certificateArn"]


Use = Callable[[Account], Any]
FIRST_USES: dict[str, Use] = {
    "PutBucketVersioning": lambda account: account.s3.put_bucket_versioning(
        Bucket="bucket", VersioningConfiguration={"Status": "Enabled"}
    ),
    "PutRolePolicy": lambda account: account.iam.put_role_policy(
        RoleName="role", PolicyName="inline", PolicyDocument=DOCUMENT
    ),
    "AttachThingPrincipal": lambda account: account.iot.attach_thing_principal(
        thingName="thing", principal=account.certificate_arn
    ),
    "AttachPolicy": lambda account: account.iot.attach_policy(policyName="policy", target=account.certificate_arn),
    "UpdateCertificate": lambda account: account.iot.update_certificate(
        certificateId=account.certificate_arn.rpartition("/")[2], newStatus="INACTIVE"
    ),
    "ListAttachedPolicies": lambda account: list(
        account.iot.get_paginator("list_attached_policies").paginate(target=account.certificate_arn)
    ),
}


@pytest.fixture
def account(control: Control) -> Account:
    return Account(control)


@pytest.mark.parametrize("code", ["OperationAborted", "ConditionalRequestConflict"])
def test_a_conflict_in_s3_is_retried_with_the_whole_body(account: Account, control: Control, code: str) -> None:
    account.make_all()
    control.fail("PutObject", code=code, status=409, times=2)
    account.s3.put_object(Bucket="bucket", Key="k", Body=b"whole", IfNoneMatch="*")
    assert account.s3.get_object(Bucket="bucket", Key="k")["Body"].read() == b"whole"
    assert account.pauses == [0.25, 0.5]


@pytest.mark.parametrize("operation", ["PutBucketVersioning", "PutRolePolicy"])
def test_a_conflict_is_retried_whatever_the_call(account: Account, control: Control, operation: str) -> None:
    account.make_all()
    control.fail(operation, "conflict")
    FIRST_USES[operation](account)
    assert account.pauses == [0.25]


def test_retries_have_an_end_and_give_the_refusal_itself(account: Account, control: Control) -> None:
    control.fail("CreateRole", "conflict", times=0)
    with pytest.raises(ClientError, match="ConcurrentModification"):
        account.iam.create_role(RoleName="role", AssumeRolePolicyDocument=TRUST)
    assert len(control.operations()) == MAX_TRIES
    assert account.pauses == ALL_PAUSES


@pytest.mark.parametrize("operation", FIRST_USES)
def test_what_was_just_created_is_asked_for_again(account: Account, control: Control, operation: str) -> None:
    account.make_all()
    control.fail(operation, "not-found", times=2)
    FIRST_USES[operation](account)
    assert account.pauses == [0.25, 0.5]


@pytest.mark.parametrize("operation", FIRST_USES)
def test_not_found_is_the_answer_for_what_this_run_did_not_create(control: Control, operation: str) -> None:
    older, account = Account(control), Account(control)
    older.make_all()
    account.certificate_arn = older.certificate_arn
    control.fail(operation, "not-found")
    with pytest.raises(ClientError, match=r"NoSuchBucket|NoSuchEntity|ResourceNotFoundException"):
        FIRST_USES[operation](account)
    assert account.pauses == []


def test_not_found_is_the_answer_for_what_this_run_deleted(account: Account) -> None:
    account.make_all()
    account.iot.delete_thing(thingName="thing")
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        account.iot.describe_thing(thingName="thing")
    assert account.pauses == []


def test_not_found_is_the_answer_where_it_names_another_object_than_the_new_one(account: Account) -> None:
    account.iot.create_thing_group(thingGroupName="group")
    with pytest.raises(ClientError, match="nobody"):
        account.iot.add_thing_to_thing_group(thingGroupName="group", thingName="nobody")
    assert account.pauses == []


def test_a_part_of_an_object_does_not_make_the_object_a_new_one(control: Control) -> None:
    older, account = Account(control), Account(control)
    older.make_all()
    account.s3.create_multipart_upload(Bucket="bucket", Key="k")
    control.fail("GetBucketVersioning", "not-found")
    with pytest.raises(ClientError, match="NoSuchBucket"):
        account.s3.get_bucket_versioning(Bucket="bucket")


def test_a_missing_object_in_a_new_bucket_is_not_waited_for(account: Account) -> None:
    account.make_all()
    for look in (account.s3.head_object, account.s3.get_object):
        with pytest.raises(ClientError, match=r"404|NoSuchKey"):
            look(Bucket="bucket", Key="nothing")
    assert account.pauses == []
