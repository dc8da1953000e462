"""Every listing that a service's model has pages for: the first page, pages in order, and tokens of somebody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError

from ota.sandbox.process import Address
from tests.conftest import REGION, client
from tests.sandbox.iot_calls import refused
from tests.sandbox_world import BUCKET, trust_document

TOKENS = ("nextToken", "marker", "Marker", "ContinuationToken")
REFUSALS = {"iot": "InvalidRequestException", "iam": "ValidationError", "s3": "InvalidArgument"}
NOT_SERVED = 501
# What botocore refuses by itself is for the sandbox to refuse.
UNCHECKED = Config(parameter_validation=False, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
# A marker of this listing is any key: what is listed begins behind it.
KEYS_FOR_TOKENS = {"ListObjects"}
# S3 refuses an empty token here; moto's tests that are verified against AWS have it so.
EMPTY_IS_REFUSED = {"ListObjectsV2"}


def listings(service_model: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Operation, its token's name, and stand-ins for what it requires."""
    for name in service_model.operation_names:
        shape = service_model.operation_model(name).input_shape
        token = next((one for one in TOKENS if shape is not None and one in shape.members), None)
        if token is not None:
            yield name, token, {one: stand_in(shape.members[one]) for one in shape.required_members}


def stand_in(shape: Any) -> Any:
    """A value that the model allows; for a name, that of the bucket, which is there."""
    if "enum" in shape.metadata:
        return shape.metadata["enum"][0]
    kinds: dict[str, Any] = {"integer": 1, "long": 1, "timestamp": 1_700_000_000}
    if shape.type_name == "list":
        return [stand_in(shape.member)]
    if shape.type_name == "structure":
        return {name: stand_in(shape.members[name]) for name in shape.required_members}
    return kinds.get(shape.type_name, BUCKET)


def answer(call: Callable[..., Any], **params: Any) -> tuple[int, str, Any]:
    """Status, error code and content, without what differs between two calls."""
    try:
        found = call(**params)
    except ClientError as refusal:
        return refusal.response["ResponseMetadata"]["HTTPStatusCode"], refusal.response["Error"]["Code"], None
    return found.pop("ResponseMetadata")["HTTPStatusCode"], "", found


@pytest.mark.parametrize("service", ["iot", "iam", "s3"])
def test_an_empty_token_is_the_first_page_and_a_foreign_one_is_refused(
    clean_sandbox: Address, world: Any, service: str
) -> None:
    assert world.version_id
    called = client(service, clean_sandbox, config=UNCHECKED)
    served, wrong = 0, []
    for operation, token, params in listings(called.meta.service_model):
        call = getattr(called, xform_name(operation))
        first = answer(call, **params)
        if first[0] == NOT_SERVED or operation in KEYS_FOR_TOKENS:
            continue
        served += 1
        if operation not in EMPTY_IS_REFUSED and answer(call, **params, **{token: ""}) != first:
            wrong.append((operation, "empty"))
        for foreign in ("foreign", "99999", "bzoyNQ=="):
            status, code, _ = answer(call, **params, **{token: foreign})
            if (status, code) != (400, REFUSALS[service]):
                wrong.append((operation, foreign, status, code))
    assert wrong == []
    assert served > {"iot": 25, "iam": 25, "s3": 2}[service]


def make_three(iot: Any, iam: Any, s3: Any) -> None:
    for name in ("page-a", "page-b", "page-c"):
        iot.create_thing(thingName=name)
        iot.create_thing_type(thingTypeName=name)
        iot.create_job(jobId=name, targets=[iot.describe_thing(thingName="page-a")["thingArn"]], document="{}")
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust_document())
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})


@pytest.mark.parametrize(
    ("service", "method", "size", "asked", "given", "rows", "name"),
    [
        ("iot", "list_things", "maxResults", "nextToken", "nextToken", "things", "thingName"),
        ("iot", "list_thing_types", "maxResults", "nextToken", "nextToken", "thingTypes", "thingTypeName"),
        ("iot", "list_jobs", "maxResults", "nextToken", "nextToken", "jobs", "jobId"),
        ("iam", "list_roles", "MaxItems", "Marker", "Marker", "Roles", "RoleName"),
        ("s3", "list_buckets", "MaxBuckets", "ContinuationToken", "ContinuationToken", "Buckets", "Name"),
    ],
    ids=["things", "thing types", "jobs", "roles", "buckets"],
)
def test_the_pages_together_are_the_whole_list(
    shared_clients: Any, service: str, method: str, size: str, asked: str, given: str, rows: str, name: str
) -> None:
    make_three(*(shared_clients(one) for one in ("iot", "iam", "s3")))
    call = getattr(shared_clients(service), method)
    pages, token = [], ""
    while True:
        page = call(**{size: 2}, **({asked: token} if token else {}))
        pages.append([row[name] for row in page[rows]])
        token = page.get(given)
        if not token:
            break
    assert [len(page) for page in pages] == [2, 1]
    assert sorted(name for page in pages for name in page) == ["page-a", "page-b", "page-c"]


def test_a_token_is_good_for_its_own_listing_only(shared_clients: Any) -> None:
    iot = shared_clients("iot")
    make_three(iot, shared_clients("iam"), shared_clients("s3"))
    token = iot.list_things(maxResults=2)["nextToken"]
    assert refused(iot.list_thing_types, nextToken=token) == ("InvalidRequestException", 400)
    assert len(iot.list_things(nextToken=token)["things"]) == 1
