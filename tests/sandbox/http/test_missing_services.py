"""What the sandbox does not have: refused so that each service's own client shows the sentence."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from ota.sandbox.process import Address
from tests.conftest import client
from tests.sandbox.iot_calls import refused
from tests.sandbox_world import BUCKET, IMAGE, KEY

CALLS: list[tuple[str, str, str, dict[str, Any], str]] = [
    ("dynamodb", "list_tables", "ListTables", {}, "json 1.0"),
    ("logs", "describe_log_groups", "DescribeLogGroups", {}, "json 1.1"),
    ("cloudwatch", "list_metrics", "ListMetrics", {}, "cbor, another signing name"),
    ("lambda", "list_functions", "ListFunctions", {}, "rest-json"),
    ("lambda", "get_function", "GetFunction", {"FunctionName": "f"}, "rest-json with a path"),
    ("iot-data", "get_thing_shadow", "GetThingShadow", {"thingName": "a"}, "rest-json, another signing name"),
    ("signer", "list_signing_jobs", "ListSigningJobs", {}, "rest-json"),
    ("sns", "list_topics", "ListTopics", {}, "query"),
    ("elbv2", "describe_load_balancers", "DescribeLoadBalancers", {}, "query, a shared signing name"),
    ("ec2", "describe_instances", "DescribeInstances", {}, "ec2"),
    ("route53", "list_hosted_zones", "ListHostedZones", {}, "rest-xml"),
    ("iot", "list_indices", "ListIndices", {}, "rest-json, a service that is there"),
    ("iam", "list_server_certificate_tags", "ListServerCertificateTags", {"ServerCertificateName": "a"}, "query"),
    ("sts", "get_delegated_access_token", "GetDelegatedAccessToken", {"TradeInToken": "a"}, "query"),
    ("s3", "get_bucket_request_payment", "GetBucketRequestPayment", {"Bucket": BUCKET}, "s3"),
    (
        "s3",
        "delete_bucket_metrics_configuration",
        "DeleteBucketMetricsConfiguration",
        {"Bucket": BUCKET, "Id": "i"},
        "s3",
    ),
    (
        "s3",
        "delete_object_annotation",
        "DeleteObjectAnnotation",
        {"Bucket": BUCKET, "Key": KEY, "AnnotationName": "a"},
        "s3",
    ),
]


@pytest.mark.parametrize(
    ("service", "method", "operation", "params", "form"), CALLS, ids=[f"{one[0]}-{one[4]}" for one in CALLS]
)
def test_what_is_missing_is_named_in_its_own_protocol(
    sandbox: Address, service: str, method: str, operation: str, params: dict[str, Any], form: str
) -> None:
    assert form
    called = client(service, sandbox)
    with pytest.raises(ClientError) as caught:
        getattr(called, method)(**params)
    response = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert response["Error"]["Code"] == "NotImplementedException"
    assert f"the operation {operation} of the service" in response["Error"]["Message"]
    assert response["ResponseMetadata"]["RequestId"]


def test_what_resembles_a_missing_operation_is_not_done_in_its_place(world: Any) -> None:
    for method, params in (
        (world.s3.delete_bucket_metrics_configuration, {"Bucket": BUCKET, "Id": "i"}),
        (world.s3.delete_object_annotation, {"Bucket": BUCKET, "Key": KEY, "AnnotationName": "a"}),
        (
            world.s3.update_object_encryption,
            {"Bucket": BUCKET, "Key": KEY, "ObjectEncryption": {"SSEKMS": {"KMSKeyArn": "k" * 20}}},
        ),
    ):
        assert refused(method, **params) == ("NotImplementedException", 501)
    assert world.s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == IMAGE
