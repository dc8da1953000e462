"""Things and their principals, as AWS's registry treats them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ACCOUNT, REGION, client
from tests.sandbox.iot_calls import new_principal, refused

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

    from ota.sandbox.process import Address

EXCLUSIVE = "EXCLUSIVE_THING"
SHARED = "NON_EXCLUSIVE_THING"


def attributes(**pairs: str) -> Any:
    return {"attributes": pairs}


def test_the_same_thing_can_be_created_again(iot: IoTClient) -> None:
    first = iot.create_thing(thingName="lamp", attributePayload=attributes(a="1"))
    again = iot.create_thing(thingName="lamp", attributePayload=attributes(a="1"))
    assert again["thingId"] == first["thingId"]
    assert first["thingArn"] == f"arn:aws:iot:{REGION}:{ACCOUNT}:thing/lamp"


@pytest.mark.parametrize("other", [attributes(a="2"), attributes(), None], ids=["value", "none", "missing"])
def test_a_thing_with_another_configuration_is_refused(iot: IoTClient, other: Any) -> None:
    created = iot.create_thing(thingName="lamp", attributePayload=attributes(a="1"))
    params = {"attributePayload": other} if other else {}
    with pytest.raises(iot.exceptions.ResourceAlreadyExistsException) as caught:
        iot.create_thing(thingName="lamp", **params)
    response: Any = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 409
    assert response["resourceArn"] == created["thingArn"]
    assert iot.describe_thing(thingName="lamp")["attributes"] == {"a": "1"}


@pytest.mark.parametrize("name", ["lamp 1", "lamp/1", "lämp", "a" * 129])
def test_illegal_thing_names_are_refused(iot: IoTClient, name: str) -> None:
    assert refused(iot.create_thing, thingName=name) == ("InvalidRequestException", 400)


def test_three_attributes_without_a_type_and_fifty_with(iot: IoTClient) -> None:
    four = attributes(a="1", b="2", c="3", d="4")
    assert refused(iot.create_thing, thingName="lamp", attributePayload=four) == ("InvalidRequestException", 400)
    iot.create_thing_type(thingTypeName="lamps")
    iot.create_thing(thingName="lamp", thingTypeName="lamps", attributePayload=four)
    assert len(iot.describe_thing(thingName="lamp")["attributes"]) == 4


def test_attributes_that_are_merged_count_together(iot: IoTClient) -> None:
    iot.create_thing(thingName="lamp", attributePayload=attributes(a="1", b="2", c="3"))
    more: Any = {"attributes": {"d": "4"}, "merge": True}
    assert refused(iot.update_thing, thingName="lamp", attributePayload=more) == ("InvalidRequestException", 400)
    iot.update_thing(thingName="lamp", attributePayload={"attributes": {"c": "", "d": "4"}, "merge": True})
    assert iot.describe_thing(thingName="lamp")["attributes"] == {"a": "1", "b": "2", "d": "4"}


def test_an_update_raises_the_version_and_checks_the_expected_one(iot: IoTClient) -> None:
    iot.create_thing(thingName="lamp")
    iot.update_thing(thingName="lamp", attributePayload=attributes(a="1"), expectedVersion=1)
    assert iot.describe_thing(thingName="lamp")["version"] == 2
    stale: dict[str, Any] = {"thingName": "lamp", "expectedVersion": 1}
    assert refused(iot.update_thing, **stale) == ("VersionConflictException", 409)
    assert refused(iot.delete_thing, **stale) == ("VersionConflictException", 409)


def test_an_unknown_thing_is_not_found(iot: IoTClient) -> None:
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_thing(thingName="lamp")


def test_deleting_a_thing_twice_is_success(iot: IoTClient) -> None:
    iot.create_thing(thingName="lamp")
    iot.delete_thing(thingName="lamp")
    iot.delete_thing(thingName="lamp")
    assert iot.list_things()["things"] == []


def test_a_thing_with_a_principal_is_not_deleted(iot: IoTClient) -> None:
    iot.create_thing(thingName="lamp")
    principal = new_principal(iot)
    iot.attach_thing_principal(thingName="lamp", principal=principal)
    assert refused(iot.delete_thing, thingName="lamp") == ("InvalidRequestException", 400)
    iot.detach_thing_principal(thingName="lamp", principal=principal)
    iot.delete_thing(thingName="lamp")


def test_an_attachment_can_be_repeated_and_is_listed_with_its_type(iot: IoTClient) -> None:
    iot.create_thing(thingName="lamp")
    principal = new_principal(iot)
    for _ in range(2):
        iot.attach_thing_principal(thingName="lamp", principal=principal, thingPrincipalType=EXCLUSIVE)
    assert iot.list_thing_principals(thingName="lamp")["principals"] == [principal]
    assert iot.list_thing_principals_v2(thingName="lamp")["thingPrincipalObjects"] == [
        {"principal": principal, "thingPrincipalType": EXCLUSIVE}
    ]
    assert iot.list_principal_things_v2(principal=principal)["principalThingObjects"] == [
        {"thingName": "lamp", "thingPrincipalType": EXCLUSIVE}
    ]


ATTACHMENTS = [
    pytest.param(SHARED, SHARED, None, id="two things share"),
    pytest.param(None, None, None, id="sharing is the default"),
    pytest.param(EXCLUSIVE, SHARED, "InvalidRequestException", id="exclusive first"),
    pytest.param(SHARED, EXCLUSIVE, "InvalidRequestException", id="exclusive second"),
    pytest.param(EXCLUSIVE, EXCLUSIVE, "InvalidRequestException", id="both exclusive"),
]


@pytest.mark.parametrize(("first", "second", "code"), ATTACHMENTS)
def test_an_exclusive_principal_belongs_to_one_thing(
    iot: IoTClient, first: str | None, second: str | None, code: str | None
) -> None:
    principal = new_principal(iot)
    for name in ("lamp", "door"):
        iot.create_thing(thingName=name)

    def attach(name: str, kind: str | None) -> None:
        extra: Any = {"thingPrincipalType": kind} if kind else {}
        iot.attach_thing_principal(thingName=name, principal=principal, **extra)

    attach("lamp", first)
    if code is None:
        attach("door", second)
        assert iot.list_principal_things(principal=principal)["things"] == ["lamp", "door"]
    else:
        assert refused(attach, name="door", kind=second) == (code, 400)


def test_a_detached_principal_is_free_for_an_exclusive_attachment(iot: IoTClient) -> None:
    principal = new_principal(iot)
    for name in ("lamp", "door"):
        iot.create_thing(thingName=name)
        iot.attach_thing_principal(thingName=name, principal=principal, thingPrincipalType=EXCLUSIVE)
        iot.detach_thing_principal(thingName=name, principal=principal)
    assert iot.list_principal_things(principal=principal)["things"] == []


def test_what_is_not_attached_cannot_be_detached(iot: IoTClient) -> None:
    iot.create_thing(thingName="lamp")
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.detach_thing_principal(thingName="lamp", principal=new_principal(iot))


def test_an_unknown_principal_cannot_be_attached(iot: IoTClient) -> None:
    iot.create_thing(thingName="lamp")
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.attach_thing_principal(thingName="lamp", principal=f"arn:aws:iot:{REGION}:{ACCOUNT}:cert/{'0' * 64}")


def test_principals_are_listed_by_type_and_in_pages(iot: IoTClient) -> None:
    iot.create_thing(thingName="lamp")
    kinds = [EXCLUSIVE, SHARED, SHARED]
    for kind in kinds:
        iot.attach_thing_principal(thingName="lamp", principal=new_principal(iot), thingPrincipalType=kind)  # type: ignore[arg-type]
    shared = iot.list_thing_principals_v2(thingName="lamp", thingPrincipalType=SHARED)["thingPrincipalObjects"]
    assert [one["thingPrincipalType"] for one in shared] == [SHARED, SHARED]
    pages = list(
        iot.get_paginator("list_thing_principals").paginate(thingName="lamp", PaginationConfig={"PageSize": 2})
    )
    assert [len(page["principals"]) for page in pages] == [2, 1]


@pytest.mark.parametrize(
    "token", ["nonsense", "bzotNQ==", "bzp4", "e30="], ids=["text", "negative", "no number", "json"]
)
@pytest.mark.parametrize(
    ("operation", "name"),
    [
        ("list_things", "nextToken"),
        ("list_thing_types", "nextToken"),
        ("list_certificates", "marker"),
        ("list_policies", "marker"),
        ("list_ota_updates", "nextToken"),
        ("list_streams", "nextToken"),
        ("list_jobs", "nextToken"),
    ],
)
def test_a_token_that_nobody_gave_is_refused(
    kept_clients: Callable[[str], Any], operation: str, name: str, token: str
) -> None:
    found = refused(getattr(kept_clients("iot"), operation), **{name: token})
    assert found == ("InvalidRequestException", 400)


def test_a_thing_that_is_refused_is_not_made(iot: IoTClient) -> None:
    for wrong in ({"billingGroupName": "nobody"}, {"thingTypeName": "nobody"}):
        assert refused(iot.create_thing, thingName="lamp", **wrong) == ("ResourceNotFoundException", 404)
    assert iot.list_things()["things"] == []


def test_the_endpoint_is_constant_and_differs_by_type_account_and_region(
    iot: IoTClient, clean_sandbox: Address
) -> None:
    def address(one: IoTClient, kind: str) -> str:
        return one.describe_endpoint(endpointType=kind)["endpointAddress"]

    data = address(iot, "iot:Data-ATS")
    assert data == address(iot, "iot:Data-ATS")
    prefix, _, rest = data.partition("-ats.")
    assert len(prefix) == 14
    assert rest == f"iot.{REGION}.amazonaws.com"
    assert address(iot, "iot:CredentialProvider").endswith(f".credentials.iot.{REGION}.amazonaws.com")
    assert address(iot, "iot:Jobs").endswith(f".jobs.iot.{REGION}.amazonaws.com")
    elsewhere = client("iot", clean_sandbox, region_name="us-east-1")
    assert address(elsewhere, "iot:Data-ATS").partition("-ats.")[0] != prefix
    assert refused(iot.describe_endpoint, endpointType="iot:Other") == ("InvalidRequestException", 400)


def test_regions_keep_their_things_apart(iot: IoTClient, clean_sandbox: Address) -> None:
    iot.create_thing(thingName="lamp")
    assert client("iot", clean_sandbox, region_name="us-east-1").list_things()["things"] == []
