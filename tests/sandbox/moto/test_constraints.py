"""AWS's name rules, without a server."""

from __future__ import annotations

import re
from typing import Any

import pytest
from moto.core.responses import BaseResponse
from moto.core.utils import camelcase_to_underscores, get_service_model

from ota.sandbox.moto import install, speedups
from ota.sandbox.moto.constraints import find_violations, is_bucket_name

BUCKETS = [
    ("lamp-bucket", True),
    ("abc", True),
    ("a.b-c.9", True),
    ("a" * 63, True),
    ("ab", False),
    ("a" * 64, False),
    ("Lamp", False),
    ("lamp_bucket", False),
    ("-lamp", False),
    ("lamp-", False),
    (".lamp", False),
    ("lamp..bucket", False),
    ("192.168.1.1", False),
    ("999.1.1.1", False),
    ("xn--lamp", False),
    ("sthree-lamp", False),
    ("amzn-s3-demo-lamp", False),
    ("lamp-s3alias", False),
    ("lamp--ol-s3", False),
    ("lamp.mrap", False),
    ("lamp--x-s3", False),
    ("lamp--table-s3", False),
    ("lämp", False),
]


@pytest.mark.parametrize(("name", "expected"), BUCKETS)
def test_bucket_names_follow_the_user_guide(name: str, expected: bool) -> None:
    assert is_bucket_name(name) is expected


VALUES = [
    pytest.param("iot", "CreateThing", {"thingName": "lamp:1_a-b"}, None, id="thing name"),
    pytest.param("iot", "CreateThing", {"thingName": "lamp 1"}, "thingName.*pattern", id="space"),
    pytest.param("iot", "CreateThing", {"thingName": "a" * 129}, "less than or equal to 128", id="too long"),
    pytest.param("iot", "CreateThing", {}, "null at 'thingName'", id="missing"),
    pytest.param(
        "iot",
        "CreateThing",
        {"thingName": "a", "attributePayload": {"attributes": {"k": "a b"}}},
        "attributes.k.member.*pattern",
        id="attribute value",
    ),
    pytest.param(
        "iot",
        "CreateThing",
        {"thingName": "a", "attributePayload": {"attributes": {"a b": "v"}}},
        "attributes.key.*pattern",
        id="attribute name",
    ),
    pytest.param("iot", "CreatePolicy", {"policyName": "p/q", "policyDocument": ""}, "policyName", id="policy"),
    pytest.param("iot", "CreatePolicy", {"policyName": "lämp", "policyDocument": ""}, "policyName", id="ascii"),
    pytest.param("iot", "ListThings", {"maxResults": 251}, "less than or equal to 250", id="range"),
    pytest.param("iot", "ListThings", {"maxResults": 0}, "greater than or equal to 1", id="lower range"),
    pytest.param(
        "iot",
        "UpdateCertificate",
        {"certificateId": "a" * 64, "newStatus": "GONE"},
        "enum value set",
        id="enumeration",
    ),
    pytest.param(
        "iot", "CreateThingType", {"thingTypeName": "t", "tags": [{"Value": "v"}]}, "tags.1.member.key", id="list"
    ),
    pytest.param("iam", "GetRole", {"RoleName": "a" * 65}, "roleName.*64", id="role name"),
    pytest.param("iam", "GetRole", {"RoleName": "team=a+b,c.d@e_f-1"}, None, id="every sign of a role name"),
    pytest.param("iam", "GetRole", {"RoleName": "a/b"}, "roleName.*pattern", id="slash in a role name"),
]


@pytest.mark.parametrize(("service", "operation", "params", "expected"), VALUES)
def test_values_follow_the_service_model(
    service: str, operation: str, params: dict[str, Any], expected: str | None
) -> None:
    found = find_violations(get_service_model(service).operation_model(operation).input_shape, params)
    if expected is None:
        assert found is None
    else:
        assert re.search(expected, str(found))


def test_all_violations_come_in_one_sentence() -> None:
    shape = get_service_model("iot").operation_model("CreateThing").input_shape
    found = find_violations(shape, {"thingName": "a b", "thingTypeName": "c d"})
    assert found is not None
    assert found.startswith("2 validation errors detected: Value 'a b' at 'thingName'")
    assert "; Value 'c d' at 'thingTypeName'" in found


def test_everything_that_is_replaced_exists_in_moto() -> None:
    replaced = [*install.replacements(), *speedups.replacements()]
    assert [f"{owner.__name__}.{name}" for owner, name, _ in replaced if not hasattr(owner, name)] == []


def test_what_is_added_is_missing_in_moto_and_an_operation_of_the_model() -> None:
    for owner, name, method in install.additions():
        assert name not in vars(owner) or vars(owner)[name] is method
        if not issubclass(owner, BaseResponse):
            continue
        service = owner.__name__.removesuffix("Response").lower()
        operations = {camelcase_to_underscores(one) for one in get_service_model(service).operation_names}
        assert name in operations
