"""Holds what the sandbox touches of moto to the pinned version, and every operation in use to an answer."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.session import Session
from moto.core.base_backend import BackendDict
from moto.core.responses import BaseResponse
from moto.core.utils import camelcase_to_underscores
from moto.iot.models import FakeThingGroup, IoTBackend, iot_backends
from moto.iot.responses import IoTResponse
from moto.moto_server import werkzeug_app
from moto.s3.models import FakeBucket, FakeKey, S3Backend, s3_backends

from ota.sandbox.jobs import operations
from ota.sandbox.process import Address
from ota.sandbox.registration import tasks as registration
from tests.sandbox_control import Control
from tests.sandbox_world import BUCKET, IMAGE, KEY, ROLE, ROLE_ARN, THING, Kept, World, make_world, trust_document


def test_moto_is_the_pinned_version() -> None:
    assert version("moto") == "5.2.5"


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (BaseResponse, "call_action"),
        (BaseResponse, "parse_parameters"),
        (BaseResponse, "boto3_service_name"),
        (BaseResponse, "dispatch"),
        (BackendDict, "reset"),
        (werkzeug_app, "create_backend_app"),
        (werkzeug_app, "BackendRequest"),
        (werkzeug_app.MotoRequestHandler, "run_wsgi"),
        (werkzeug_app.MotoRequestHandler, "make_environ"),
    ],
    ids=str,
)
def test_what_is_used_of_moto_is_there(owner: Any, name: str) -> None:
    assert hasattr(owner, name)


@pytest.mark.parametrize(
    "name", ["things", "thing_groups", "policies", "billing_groups", "thing_types", "role_aliases"]
)
def test_registry_keeps_its_objects_where_they_are_looked_for(name: str) -> None:
    assert isinstance(getattr(IoTBackend("us-east-1", "1"), name), dict)


def test_groups_keep_their_things_by_arn() -> None:
    backend = iot_backends["444455556666"]["us-east-1"]
    thing = backend.create_thing("a", None, {}, None)
    _, group_arn, _ = backend.create_thing_group("g", "", {})
    backend.add_thing_to_thing_group("g", group_arn, "a", thing.arn)
    group = backend.thing_groups[group_arn]
    assert isinstance(group, FakeThingGroup)
    assert list(group.things) == [thing.arn]
    assert group.parent_group_name == ""


def test_buckets_keep_versions_content_and_etag() -> None:
    backend = s3_backends["444455556666"]["aws"]
    assert isinstance(backend, S3Backend)
    backend.create_bucket("contract", "us-east-1")
    backend.put_bucket_versioning("contract", "Enabled")
    first = backend.put_object("contract", "k", b"one")
    backend.put_object("contract", "k", b"two")
    bucket = backend.buckets["contract"]
    assert isinstance(bucket, FakeBucket)
    assert bucket.versioning_status == "Enabled"
    kept = [(one.version_id, bytes(one.value)) for one in bucket.keys.getlist("k")]
    assert (first.version_id, b"one") in kept
    assert isinstance(bucket.keys["k"], FakeKey)
    assert bucket.keys["k"].etag.startswith('"')
    assert bucket.keys["k"].size == len(b"two")


def test_added_operations_bear_the_names_that_moto_looks_for() -> None:
    """Moto's own method where it has one; the model's operation in any case."""
    models = Session()
    for service, table in (
        ("iot", OPERATIONS),
        (operations.JOBS_DATA, operations.JOBS_DATA_OPERATIONS),
    ):
        known = set(models.get_service_model(service).operation_names)
        assert set(table) <= known
    replaced = [name for name in operations.IOT_OPERATIONS if hasattr(IoTResponse, camelcase_to_underscores(name))]
    assert {"CreateJob", "DescribeJobExecution", "ListJobs", "GetJobDocument"} <= set(replaced)
    assert camelcase_to_underscores("CreateOTAUpdate") == "create_ota_update"


OPERATIONS = {**operations.IOT_OPERATIONS, **registration.OPERATIONS}
POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:Connect","Resource":"*"}]}'
CALLS: list[tuple[str, str, dict[str, Any]]] = [
    ("iot", "describe_endpoint", {"endpointType": "iot:Data-ATS"}),
    ("iot", "describe_thing", {"thingName": THING}),
    ("iot", "create_thing", {"thingName": "b"}),
    ("iot", "list_things", {}),
    ("iot", "list_thing_principals", {"thingName": THING}),
    ("iot", "list_thing_principals_v2", {"thingName": THING}),
    ("iot", "create_keys_and_certificate", {"setAsActive": True}),
    ("iot", "list_certificates", {}),
    ("iot", "list_policies", {}),
    ("iot", "create_policy", {"policyName": "p", "policyDocument": POLICY}),
    ("iot", "list_ota_updates", {}),
    ("iot", "list_streams", {}),
    ("iot", "list_jobs", {}),
    ("iot", "list_job_executions_for_thing", {"thingName": THING}),
    ("iot", "list_thing_groups", {}),
    ("iot-jobs-data", "get_pending_job_executions", {"thingName": THING}),
    ("s3", "list_buckets", {}),
    ("s3", "head_bucket", {"Bucket": BUCKET}),
    ("s3", "get_bucket_versioning", {"Bucket": BUCKET}),
    ("s3", "get_bucket_location", {"Bucket": BUCKET}),
    ("s3", "list_object_versions", {"Bucket": BUCKET}),
    ("s3", "head_object", {"Bucket": BUCKET, "Key": KEY}),
    ("s3", "put_object", {"Bucket": BUCKET, "Key": "n", "Body": IMAGE, "ChecksumAlgorithm": "SHA256"}),
    ("s3", "put_bucket_tagging", {"Bucket": BUCKET, "Tagging": {"TagSet": [{"Key": "k", "Value": "v"}]}}),
    ("s3", "get_public_access_block", {"Bucket": BUCKET}),
    ("s3", "put_public_access_block", {"Bucket": BUCKET, "PublicAccessBlockConfiguration": {"BlockPublicAcls": True}}),
    ("iam", "get_role", {"RoleName": ROLE}),
    ("iam", "list_roles", {}),
    ("iam", "list_role_policies", {"RoleName": ROLE}),
    ("iam", "get_role_policy", {"RoleName": ROLE, "PolicyName": "ota"}),
    ("iam", "list_attached_role_policies", {"RoleName": ROLE}),
    ("iam", "list_role_tags", {"RoleName": ROLE}),
    ("iam", "update_assume_role_policy", {"RoleName": ROLE, "PolicyDocument": trust_document()}),
    ("sts", "get_caller_identity", {}),
]


@pytest.fixture(scope="module")
def kept_world(sandbox: Address, kept_clients: Callable[[str], Any]) -> Kept[World]:
    return Kept(Control(sandbox), lambda: make_world(kept_clients))


@pytest.mark.parametrize(("service", "method", "params"), CALLS, ids=[f"{one[0]}-{one[1]}" for one in CALLS])
def test_every_operation_in_use_answers(
    kept_world: Kept[World], kept_clients: Callable[[str], Any], service: str, method: str, params: dict[str, Any]
) -> None:
    assert kept_world.get()
    answer = getattr(kept_clients(service), method)(**params)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] < 300


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_every_added_operation_is_reached_over_http(operation: str, kept_clients: Callable[[str], Any]) -> None:
    """With names of nothing: an answer or a refusal of AWS's kind, never "not implemented" and never a failure."""
    iot = kept_clients("iot")
    name = camelcase_to_underscores(operation)
    shape = iot.meta.service_model.operation_model(operation).input_shape
    stand_ins: dict[str, Any] = {
        "targets": ["arn:aws:iot:x"],
        "files": [{}],
        "tags": [],
        "tagKeys": ["k"],
        "roleArn": ROLE_ARN,
        "reportType": "ERRORS",
        "templateBody": "{}",
        "executionNumber": 1,
    }
    params = {member: stand_ins.get(member, "nobody") for member in shape.required_members}
    code, status = outcome(getattr(iot, name), **params)
    assert status < 500
    assert code == "" or code.endswith("Exception")


def outcome(call: Any, **params: Any) -> tuple[str, int]:
    """Error code, empty for success, and HTTP status."""
    try:
        answer = call(**params)
    except ClientError as refusal:
        return refusal.response["Error"]["Code"], refusal.response["ResponseMetadata"]["HTTPStatusCode"]
    return "", answer["ResponseMetadata"]["HTTPStatusCode"]
