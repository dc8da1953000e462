"""What a provisioning template may say, and what becomes of it with one device's parameters."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ota.sandbox.registration.templates import TemplateError, read_template

PARAMETERS = {"ThingName": {"Type": "String"}, "Hall": {"Type": "String", "Default": "north"}}
GIVEN = {"ThingName": "lamp-1"}
MAPPINGS = {"Groups": {"north": {"name": "lamps-north"}, "south": {"name": "lamps-south"}}}


def body(**sections: Any) -> str:
    thing = {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "ThingName"}}}
    return json.dumps({"Parameters": PARAMETERS, "Resources": {"thing": thing}, "Mappings": MAPPINGS, **sections})


def with_resources(**resources: Any) -> str:
    """A template with the usual thing and these resources beside or instead of it."""
    return body(Resources={**json.loads(body())["Resources"], **resources})


def with_attribute(value: Any) -> str:
    properties = {"ThingName": {"Ref": "ThingName"}, "AttributePayload": {"a": value}}
    return with_resources(thing={"Type": "AWS::IoT::Thing", "Properties": properties})


VALUES: dict[str, tuple[Any, Any]] = {
    "a text": ("plain", "plain"),
    "a parameter": ({"Ref": "ThingName"}, "lamp-1"),
    "a default": ({"Ref": "Hall"}, "north"),
    "joined": ({"Fn::Join": ["-", ["hall", {"Ref": "Hall"}, "1"]]}, "hall-north-1"),
    "selected": ({"Fn::Select": [1, ["a", {"Ref": "Hall"}]]}, "north"),
    "selected by a text": ({"Fn::Select": ["0", ["a", "b"]]}, "a"),
    "split": ({"Fn::Select": [1, {"Fn::Split": ["-", {"Ref": "ThingName"}]}]}, "1"),
    "mapped": ({"Fn::FindInMap": ["Groups", {"Ref": "Hall"}, "name"]}, "lamps-north"),
    "substituted": ({"Fn::Sub": "${Hall}/${ThingName}/${!Hall}"}, "north/lamp-1/${Hall}"),
    "substituted from its own": ({"Fn::Sub": ["${x}-${Hall}", {"x": {"Ref": "ThingName"}}]}, "lamp-1-north"),
}


@pytest.mark.parametrize("case", VALUES)
def test_values_are_made_of_the_parameters(case: str) -> None:
    written, expected = VALUES[case]
    [thing] = read_template(with_attribute(written)).fill(GIVEN)
    assert thing.properties == {"ThingName": "lamp-1", "AttributePayload": {"a": expected}}


UNFILLABLE: dict[str, tuple[Any, str]] = {
    "an unknown parameter": ({"Ref": "Floor"}, "no parameter Floor"),
    "an unknown function": ({"Fn::If": ["a", "b", "c"]}, "unknown function Fn::If"),
    "join of a text": ({"Fn::Join": ["-", 3]}, "Fn::Join does not accept"),
    "beyond the list": ({"Fn::Select": [2, ["a"]]}, "Fn::Select does not accept"),
    "nothing in the map": ({"Fn::FindInMap": ["Groups", "east", "name"]}, "finds nothing"),
    "substitution of a number": ({"Fn::Sub": 3}, "Fn::Sub needs a text"),
}


@pytest.mark.parametrize("case", UNFILLABLE)
def test_a_value_that_cannot_be_made_is_refused_by_name(case: str) -> None:
    written, words = UNFILLABLE[case]
    with pytest.raises(TemplateError, match=words):
        read_template(with_attribute(written)).fill(GIVEN)


def test_a_missing_parameter_is_named() -> None:
    with pytest.raises(TemplateError, match="ThingName"):
        read_template(body()).fill({"Hall": "south"})


CERTIFICATE = {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": "x"}}
MALFORMED: dict[str, tuple[str, str]] = {
    "no JSON": ("{", "not valid JSON"),
    "a list": ("[]", "must be an object"),
    "no resources": (body(Resources={}), "one thing"),
    "two things": (with_resources(other=json.loads(body())["Resources"]["thing"]), "one thing"),
    "two certificates": (with_resources(c=CERTIFICATE, d=CERTIFICATE), "at most one certificate"),
    "a policy alone": (
        with_resources(p={"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "x"}}),
        "needs a certificate",
    ),
    "an unknown type": (with_resources(r={"Type": "AWS::IoT::TopicRule"}), "the resource r"),
    "an unknown property": (
        with_resources(c={"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": "x", "Key": "y"}}),
        "unknown properties: Key",
    ),
    "two kinds of certificate": (
        with_resources(
            c={
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateId": "x", "CertificateSigningRequest": "y"},
            }
        ),
        "exactly one of",
    ),
    "policy by name and document": (
        with_resources(
            c=CERTIFICATE, p={"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "x", "PolicyDocument": "{}"}}
        ),
        "exactly one of",
    ),
    "merge of a type": (
        with_resources(
            thing={
                "Type": "AWS::IoT::Thing",
                "Properties": {"ThingName": "x"},
                "OverrideSettings": {"ThingTypeName": "MERGE"},
            }
        ),
        "override setting",
    ),
    "override of a policy": (
        with_resources(
            c=CERTIFICATE,
            p={
                "Type": "AWS::IoT::Policy",
                "Properties": {"PolicyName": "x"},
                "OverrideSettings": {"PolicyName": "REPLACE"},
            },
        ),
        "override setting",
    ),
    "a number as parameter": (body(Parameters={"ThingName": {"Type": "Number"}}), "Type String"),
    "a default that is no text": (body(Parameters={"ThingName": {"Type": "String", "Default": 3}}), "Default"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_template_is_refused_with_the_reason(case: str) -> None:
    text, words = MALFORMED[case]
    with pytest.raises(TemplateError, match=words):
        read_template(text)
