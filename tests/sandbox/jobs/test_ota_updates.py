"""OTA updates in the sandbox behave as AWS's do: states, refusals at once, refusals later, deletion."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ota.sandbox.process import Address
from tests.conftest import ACCOUNT, REGION
from tests.sandbox_control import Control
from tests.sandbox_world import (
    BUCKET,
    IMAGE,
    KEY,
    ROLE,
    ROLE_ARN,
    SIGNATURE,
    THING,
    THING_ARN,
    Kept,
    World,
    file_entry,
    make_bucket,
    make_role,
    make_world,
    role_document,
    update_request,
)

JOB = "AFR_OTA-lamp-1"


@pytest.fixture(scope="module")
def kept_world(sandbox: Address, kept_clients: Callable[[str], Any]) -> Kept[World]:
    return Kept(Control(sandbox), lambda: make_world(kept_clients))


@pytest.fixture
def same_world(kept_world: Kept[World]) -> World:
    """The world that tests share which change nothing."""
    return kept_world.get()


def refusal(call: Any, **params: Any) -> tuple[str, int, str]:
    """Code, HTTP status and message of the error that a call ends in."""
    with pytest.raises(ClientError) as caught:
        call(**params)
    error = caught.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Message"]


def test_creation_answers_pending_and_names_update_and_job(world: World) -> None:
    answer = world.create()
    del answer["ResponseMetadata"]
    assert answer == {
        "otaUpdateId": "lamp-1",
        "awsIotJobId": JOB,
        "otaUpdateArn": f"arn:aws:iot:{REGION}:{ACCOUNT}:otaupdate/lamp-1",
        "awsIotJobArn": f"arn:aws:iot:{REGION}:{ACCOUNT}:job/{JOB}",
        "otaUpdateStatus": "CREATE_PENDING",
    }


def test_without_pause_the_next_look_finds_the_update_complete(world: World) -> None:
    world.create(additionalParameters={"managed-by": "ota-tasks"}, description="a lamp")
    info = world.info()
    assert info["otaUpdateStatus"] == "CREATE_COMPLETE"
    assert info["additionalParameters"] == {"managed-by": "ota-tasks"}
    assert info["description"] == "a lamp"
    assert info["targets"] == [THING_ARN]
    assert info["protocols"] == ["MQTT"]
    assert info["awsJobPresignedUrlConfig"] == {"expiresInSec": 1800}
    assert info["awsJobExecutionsRolloutConfig"] == {}
    assert info["otaUpdateFiles"] == [file_entry(world.version_id)]
    assert "errorInfo" not in info
    assert "roleArn" not in info


def test_states_last_as_long_as_the_pause(world: World, control: Control) -> None:
    control.pause(60)
    world.create()
    seen = [world.info()["otaUpdateStatus"]]
    for _ in range(2):
        control.advance_clock(60)
        seen.append(world.info()["otaUpdateStatus"])
    assert seen == ["CREATE_PENDING", "CREATE_IN_PROGRESS", "CREATE_COMPLETE"]
    world.iot.delete_ota_update(otaUpdateId="lamp-1", deleteStream=True, forceDeleteAWSJob=True)
    assert world.info()["otaUpdateStatus"] == "DELETE_IN_PROGRESS"
    world.iot.delete_ota_update(otaUpdateId="lamp-1")  # again, while it goes on
    control.advance_clock(60)
    assert world.iot.describe_job(jobId=JOB)["job"]["status"] == "DELETION_IN_PROGRESS"
    control.advance_clock(120)
    assert refusal(world.iot.get_ota_update, otaUpdateId="lamp-1")[:2] == ("ResourceNotFoundException", 404)


def test_states_end_even_when_nobody_calls(world: World, control: Control) -> None:
    control.pause(0.05)
    world.create()
    for _ in range(400):
        if world.info()["otaUpdateStatus"] == "CREATE_COMPLETE":
            break
    assert world.info()["otaUpdateStatus"] == "CREATE_COMPLETE"


def test_job_document_has_exactly_the_keys_and_order_that_devices_parse(world: World) -> None:
    world.create()
    stream = world.iot.list_streams()["streams"][0]["streamId"]
    assert re.fullmatch(r"AFR_OTA-[0-9a-f-]{36}", stream)
    assert world.document() == (
        f'{{"afr_ota":{{"protocols":["MQTT"],"streamname":"{stream}","files":[{{"filepath":"non_secure image",'
        f'"filesize":{len(IMAGE)},"fileid":0,"certfile":"0","sig-sha256-rsa":"{SIGNATURE}"}}]}}}}'
    )


def test_http_document_has_a_url_in_the_place_of_a_stream(world: World) -> None:
    world.create(protocols=["HTTP"], files=[file_entry(world.version_id, fileType=3)])
    file = json.loads(world.document())["afr_ota"]["files"][0]
    keys = [
        "filepath",
        "filesize",
        "fileid",
        "certfile",
        "fileType",
        "update_data_url",
        "auth_scheme",
        "sig-sha256-rsa",
    ]
    assert list(file) == keys
    assert file["auth_scheme"] == "aws.s3.presigned"
    assert file["update_data_url"].startswith(
        f"${{aws:iot:s3-presigned-url:https://s3.{REGION}.amazonaws.com/{BUCKET}/"
    )
    assert "streamname" not in json.loads(world.document())["afr_ota"]
    assert world.iot.list_streams()["streams"] == []


def test_both_protocols_give_stream_and_url(world: World) -> None:
    world.create(protocols=["MQTT", "HTTP"])
    document = json.loads(world.document())["afr_ota"]
    assert list(document) == ["protocols", "streamname", "files"]
    assert "update_data_url" in document["files"][0]


def test_algorithm_names_make_up_the_signature_key_unchecked(world: World) -> None:
    entry = file_entry(world.version_id)
    entry["codeSigning"]["customCodeSigning"] |= {"hashAlgorithm": "SHA-256", "signatureAlgorithm": "ECDSA"}
    world.create(files=[entry])
    assert "sig-sha-256-ecdsa" in json.loads(world.document())["afr_ota"]["files"][0]


def test_stream_is_bound_to_the_version_of_the_image(world: World) -> None:
    world.create()
    stream = world.iot.list_streams()["streams"][0]["streamId"]
    info = world.iot.describe_stream(streamId=stream)["streamInfo"]
    location = {"bucket": BUCKET, "key": KEY, "version": world.version_id}
    assert info["files"] == [{"fileId": 0, "s3Location": location}]
    assert info["streamVersion"] == 1
    assert info["roleArn"] == ROLE_ARN


def test_unversioned_bucket_works(iot: Any, s3: Any, iam: Any) -> None:
    iot.create_thing(thingName=THING)
    make_role(iam)
    make_bucket(s3, versioned=False)
    iot.create_ota_update(**update_request("lamp-1", None))
    assert iot.get_ota_update(otaUpdateId="lamp-1")["otaUpdateInfo"]["otaUpdateStatus"] == "CREATE_COMPLETE"


def without(path: str) -> dict[str, Any]:
    """A file entry without one of its members."""
    entry = file_entry()
    *way, last = path.split(".")
    place: Any = entry
    for step in way:
        place = place[step]
    del place[last]
    return entry


@pytest.mark.parametrize(
    ("changes", "code", "status", "word"),
    [
        ({"otaUpdateId": "with space"}, "InvalidRequestException", 400, "otaUpdateId"),
        ({"otaUpdateId": "a:b"}, "InvalidRequestException", 400, "otaUpdateId"),
        ({"otaUpdateId": "x" * 129}, "InvalidRequestException", 400, "128"),
        ({"otaUpdateId": "x" * 57}, "InvalidRequestException", 400, "56"),
        ({"roleArn": "arn:aws:iam::123456789012:user/me"}, "InvalidRequestException", 400, "role"),
        ({"protocols": ["FTP"]}, "InvalidRequestException", 400, "enum"),
        ({"protocols": ["MQTT", "MQTT"]}, "InvalidRequestException", 400, "twice"),
        ({"targetSelection": "SOMETIMES"}, "InvalidRequestException", 400, "enum"),
        ({"targets": [THING_ARN] * 101}, "LimitExceededException", 410, "100"),
        ({"awsJobPresignedUrlConfig": {"expiresInSec": 59}}, "InvalidRequestException", 400, "60"),
        ({"awsJobTimeoutConfig": {"inProgressTimeoutInMinutes": 10081}}, "InvalidRequestException", 400, "10080"),
        ({"awsJobExecutionsRolloutConfig": {"maximumPerMinute": 1001}}, "InvalidRequestException", 400, "1000"),
        ({"awsJobExecutionsRolloutConfig": {"exponentialRate": {
            "baseRatePerMinute": 1, "incrementFactor": 2, "rateIncreaseCriteria": {}}}},
         "InvalidRequestException", 400, "rateIncreaseCriteria"),
        ({"files": [{}]}, "InvalidRequestException", 400, "fileLocation"),
        ({"files": [without("fileName")]}, "InvalidRequestException", 400, "fileName"),
        ({"files": [without("fileLocation.s3Location.bucket")]}, "InvalidRequestException", 400, "bucket"),
        ({"files": [without("codeSigning")]}, "InvalidRequestException", 400, "signature"),
        ({"files": [without("codeSigning.customCodeSigning.certificateChain")]},
         "InvalidRequestException", 400, "certificateName"),
        ({"files": [without("codeSigning.customCodeSigning.hashAlgorithm")]}, "InvalidRequestException", 400, "hash"),
        ({"files": [file_entry(codeSigning={"awsSignerJobId": "x"})]}, "InvalidRequestException", 400, "Signer"),
        ({"tags": [{"Key": "aws:mine", "Value": "x"}]}, "InvalidRequestException", 400, "aws:"),
        ({"additionalParameters": {"k": "v" * 4097}}, "InvalidRequestException", 400, "4096"),
    ],
    ids=[
        "space", "colon", "too long", "too long for its job", "no role", "protocol", "protocol twice", "selection",
        "too many targets", "presigned too short", "timeout too long", "rollout too fast", "no criteria", "empty file",
        "no file name", "no bucket", "unsigned", "no certificate name", "no hash", "signer", "reserved tag",
        "parameter too long",
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_request_is_refused_at_once(
    same_world: World, changes: dict[str, Any], code: str, status: int, word: str
) -> None:
    request = {**update_request("lamp-1", same_world.version_id), **changes}
    found = refusal(same_world.iot.create_ota_update, **request)
    assert found[:2] == (code, status)
    assert word in found[2]
    assert same_world.iot.list_ota_updates()["otaUpdates"] == []


def test_an_id_of_56_characters_still_fits_its_job(world: World) -> None:
    world.create("x" * 56)
    assert world.info("x" * 56)["otaUpdateStatus"] == "CREATE_COMPLETE"


def test_an_id_in_use_is_a_conflict_that_names_the_update(world: World) -> None:
    world.create()
    request = update_request("lamp-1", world.version_id)
    assert refusal(world.iot.create_ota_update, **request)[:2] == ("ResourceAlreadyExistsException", 409)


def test_conflict_is_modelled_and_carries_the_arn(world: World) -> None:
    world.create()
    with pytest.raises(world.iot.exceptions.ResourceAlreadyExistsException) as caught:
        world.create()
    assert caught.value.response["resourceArn"].endswith("otaupdate/lamp-1")


def failed(world: World) -> tuple[str, str]:
    info = world.info()
    assert info["otaUpdateStatus"] == "CREATE_FAILED"
    return info["errorInfo"]["code"], info["errorInfo"]["message"]


def test_missing_role_shows_as_a_failed_creation(world: World) -> None:
    world.create(roleArn=ROLE_ARN + "-gone")
    code, message = failed(world)
    assert code == "AccessDeniedException"
    assert message.startswith(f"Cannot assume role {ROLE_ARN}-gone")


def test_role_that_trusts_another_service_fails(iot: Any, s3: Any, iam: Any) -> None:
    iot.create_thing(thingName=THING)
    make_role(iam, service="lambda.amazonaws.com")
    world = World(iot, s3, iam, make_bucket(s3))
    world.create()
    assert "Cannot assume role" in failed(world)[1]


@pytest.mark.parametrize(
    ("action", "code"),
    [
        ("iam:PassRole", "AWSIotException"),
        ("iam:GetRole", "AWSIotException"),
        ("iot:CreateStream", "AWSIotException"),
        ("iot:CreateJob", "AWSIotException"),
        ("s3:GetObjectVersion", "AccessDeniedException"),
    ],
)
def test_missing_permission_of_the_role_fails_with_its_name(world: World, action: str, code: str) -> None:
    world.iam.put_role_policy(RoleName=ROLE, PolicyName="ota", PolicyDocument=role_document(leave_out=action))
    world.create()
    found, message = failed(world)
    assert found == code
    assert action in message
    assert world.iot.list_streams()["streams"] == []
    assert world.iot.list_jobs()["jobs"] == []


def test_pass_role_is_worded_as_captured_from_aws(world: World) -> None:
    world.iam.put_role_policy(RoleName=ROLE, PolicyName="ota", PolicyDocument=role_document(leave_out="iam:PassRole"))
    world.create()
    pattern = (
        rf"User: arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/\w+ is not authorized to perform: iam:PassRole on "
        rf"resource: {ROLE_ARN} \(Service: AWSIot; Status Code: 403; Error Code: AccessDeniedException; "
        r"Request ID: .+\)"
    )
    assert re.fullmatch(pattern, failed(world)[1])


@pytest.mark.parametrize("location", [{"bucket": "nobodys"}, {"key": "other.bin"}, {"version": "none-such"}], ids=str)
def test_missing_bucket_key_or_version_fails_with_the_object_named(world: World, location: dict[str, str]) -> None:
    entry = file_entry(world.version_id)
    entry["fileLocation"]["s3Location"] |= location
    world.create(files=[entry])
    code, message = failed(world)
    assert code == "AccessDeniedException"
    assert message.startswith(f"S3 object {location.get('key', KEY)} not accessible. Please check your permissions")
    assert next(iter(location.values())) in message


def test_missing_target_fails(world: World) -> None:
    world.create(targets=[THING_ARN + "-2"])
    assert "ResourceNotFoundException" in failed(world)[1]


def test_failed_update_stays_until_deleted_and_its_id_is_free_then(world: World) -> None:
    world.create(targets=[THING_ARN + "-2"])
    assert refusal(world.create)[0] == "ResourceAlreadyExistsException"
    world.iot.delete_ota_update(otaUpdateId="lamp-1")
    world.create()
    assert world.info()["otaUpdateStatus"] == "CREATE_COMPLETE"


def test_role_that_just_changed_can_not_be_assumed_while_iam_settles(world: World, control: Control) -> None:
    control.iam_delay(30)
    world.create()
    assert "has not taken effect" in failed(world)[1]
    control.advance_clock(31)
    world.create("lamp-2")
    assert world.info("lamp-2")["otaUpdateStatus"] == "CREATE_COMPLETE"


def test_running_job_is_only_deleted_by_force(world: World) -> None:
    world.create()
    assert refusal(world.iot.delete_ota_update, otaUpdateId="lamp-1")[:2] == ("InvalidRequestException", 400)
    world.iot.delete_ota_update(otaUpdateId="lamp-1", forceDeleteAWSJob=True)
    assert refusal(world.iot.get_ota_update, otaUpdateId="lamp-1")[0] == "ResourceNotFoundException"
    assert refusal(world.iot.describe_job, jobId=JOB)[0] == "ResourceNotFoundException"


def test_stream_goes_only_when_asked_for(world: World) -> None:
    world.create()
    world.iot.delete_ota_update(otaUpdateId="lamp-1", forceDeleteAWSJob=True)
    assert len(world.iot.list_streams()["streams"]) == 1
    world.create("lamp-2")
    world.iot.delete_ota_update(otaUpdateId="lamp-2", forceDeleteAWSJob=True, deleteStream=True)
    assert len(world.iot.list_streams()["streams"]) == 1


def test_own_stream_of_the_caller_is_used_and_never_deleted(world: World) -> None:
    location = {"bucket": BUCKET, "key": KEY}
    world.iot.create_stream(streamId="mine", files=[{"fileId": 7, "s3Location": location}], roleArn=ROLE_ARN)
    world.create(files=[file_entry(fileLocation={"stream": {"streamId": "mine", "fileId": 7}})])
    document = json.loads(world.document())["afr_ota"]
    assert document["streamname"] == "mine"
    assert document["files"][0]["fileid"] == 7
    world.iot.delete_ota_update(otaUpdateId="lamp-1", forceDeleteAWSJob=True, deleteStream=True)
    assert world.iot.describe_stream(streamId="mine")["streamInfo"]["streamVersion"] == 1


def test_deletion_without_its_role_fails_and_works_once_the_role_is_back(world: World) -> None:
    world.create()
    world.iam.delete_role_policy(RoleName=ROLE, PolicyName="ota")
    world.iam.delete_role(RoleName=ROLE)
    world.iot.delete_ota_update(otaUpdateId="lamp-1", forceDeleteAWSJob=True, deleteStream=True)
    info = world.info()
    assert info["otaUpdateStatus"] == "DELETE_FAILED"
    assert "Cannot assume role" in info["errorInfo"]["message"]
    make_role(world.iam)
    world.iot.delete_ota_update(otaUpdateId="lamp-1", forceDeleteAWSJob=True, deleteStream=True)
    assert refusal(world.iot.get_ota_update, otaUpdateId="lamp-1")[0] == "ResourceNotFoundException"
    assert world.iot.list_streams()["streams"] == []


def test_deletion_needs_the_roles_permission_for_the_job(world: World) -> None:
    world.create()
    document = role_document(leave_out="iot:DeleteJob")
    world.iam.put_role_policy(RoleName=ROLE, PolicyName="ota", PolicyDocument=document)
    world.iot.delete_ota_update(otaUpdateId="lamp-1", forceDeleteAWSJob=True)
    assert world.info()["otaUpdateStatus"] == "DELETE_FAILED"
    assert "iot:DeleteJob" in world.info()["errorInfo"]["message"]


def test_update_that_is_being_created_can_not_be_deleted(world: World, control: Control) -> None:
    control.pause(60)
    world.create()
    assert refusal(world.iot.delete_ota_update, otaUpdateId="lamp-1")[:2] == ("InvalidRequestException", 400)


@pytest.mark.parametrize("operation", ["get_ota_update", "delete_ota_update"])
def test_unknown_update_is_not_found(same_world: World, operation: str) -> None:
    call = getattr(same_world.iot, operation)
    assert refusal(call, otaUpdateId="nobody")[:2] == ("ResourceNotFoundException", 404)


def test_list_pages_newest_first_and_filters_by_status(world: World) -> None:
    world.create("lamp-1")
    world.create("lamp-2", targets=[THING_ARN + "-2"])
    world.create("lamp-3")
    pages = list(world.iot.get_paginator("list_ota_updates").paginate(PaginationConfig={"PageSize": 2}))
    assert [[one["otaUpdateId"] for one in page["otaUpdates"]] for page in pages] == [["lamp-3", "lamp-2"], ["lamp-1"]]
    failures = world.iot.list_ota_updates(otaUpdateStatus="CREATE_FAILED")["otaUpdates"]
    assert [one["otaUpdateId"] for one in failures] == ["lamp-2"]
    assert set(failures[0]) == {"otaUpdateId", "otaUpdateArn", "creationDate"}


def test_tags_given_at_creation_are_listed_changed_and_gone_with_the_update(world: World) -> None:
    arn = world.create(tags=[{"Key": "managed-by", "Value": "ota-tasks"}])["otaUpdateArn"]
    world.iot.tag_resource(resourceArn=arn, tags=[{"Key": "ota-thing", "Value": "lamp"}])
    world.iot.untag_resource(resourceArn=arn, tagKeys=["managed-by", "none"])
    assert world.iot.list_tags_for_resource(resourceArn=arn)["tags"] == [{"Key": "ota-thing", "Value": "lamp"}]
    world.iot.delete_ota_update(otaUpdateId="lamp-1", forceDeleteAWSJob=True)
    assert refusal(world.iot.list_tags_for_resource, resourceArn=arn)[0] == "ResourceNotFoundException"


def test_things_carry_no_tags(world: World) -> None:
    assert refusal(world.iot.list_tags_for_resource, resourceArn=THING_ARN)[:2] == ("InvalidRequestException", 400)


def test_an_object_has_at_most_50_tags(world: World) -> None:
    arn = world.create(tags=[{"Key": str(number)} for number in range(50)])["otaUpdateArn"]
    found = refusal(world.iot.tag_resource, resourceArn=arn, tags=[{"Key": "one more"}])
    assert found[:2] == ("LimitExceededException", 410)


def test_policies_and_groups_carry_tags_too(world: World) -> None:
    statement = '{"Effect":"Allow","Action":"iot:Connect","Resource":"*"}'
    document = f'{{"Version":"2012-10-17","Statement":[{statement}]}}'
    tags = [{"Key": "k", "Value": "v"}]
    policy = world.iot.create_policy(policyName="p", policyDocument=document, tags=tags)["policyArn"]
    group = world.iot.create_thing_group(thingGroupName="g")["thingGroupArn"]
    world.iot.tag_resource(resourceArn=group, tags=tags)
    assert world.iot.list_tags_for_resource(resourceArn=policy)["tags"] == tags
    assert world.iot.list_tags_for_resource(resourceArn=group)["tags"] == tags
    world.iot.delete_policy(policyName="p")
    assert refusal(world.iot.list_tags_for_resource, resourceArn=policy)[0] == "ResourceNotFoundException"
    again = world.iot.create_policy(policyName="p", policyDocument=document)["policyArn"]
    assert world.iot.list_tags_for_resource(resourceArn=again)["tags"] == []


def test_settings_for_the_job_reach_the_job(world: World) -> None:
    criteria = {
        "failureType": "FAILED",
        "action": "CANCEL",
        "thresholdPercentage": 20.0,
        "minNumberOfExecutedThings": 1,
    }
    world.create(
        description="a lamp",
        targetSelection="CONTINUOUS",
        awsJobAbortConfig={"abortCriteriaList": [criteria]},
        awsJobTimeoutConfig={"inProgressTimeoutInMinutes": 7},
        awsJobExecutionsRolloutConfig={"maximumPerMinute": 5},
    )
    job = world.iot.describe_job(jobId=JOB)["job"]
    assert job["description"] == "a lamp"
    assert job["targetSelection"] == "CONTINUOUS"
    assert job["abortConfig"] == {"criteriaList": [criteria]}
    assert job["timeoutConfig"] == {"inProgressTimeoutInMinutes": 7}
    assert job["jobExecutionsRolloutConfig"] == {"maximumPerMinute": 5}


def test_regions_and_accounts_do_not_see_each_other(world: World, sandbox: Any) -> None:
    from tests.conftest import client

    world.create()
    elsewhere = client("iot", sandbox, region_name="us-west-2")
    assert elsewhere.list_ota_updates()["otaUpdates"] == []
    assert refusal(elsewhere.get_ota_update, otaUpdateId="lamp-1")[0] == "ResourceNotFoundException"
