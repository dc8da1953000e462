"""The provisioning template of a registration, and the lines of its input.

A template declares the thing, its certificate and the policy, and AWS ties them together. What a thing that exists
already means is decided here: a new device must not be one (FAIL), so that the thing of somebody else is never taken
over. A device of ours that lost its certificate is given another, and its thing is put right (REPLACE, MERGE).

Source: AWS IoT Developer Guide, "Provisioning templates" (Resources, OverrideSettings), "Bulk registration".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ota import ownership

NAME, CSR = "ThingName", "CSR"


class Kind(str, Enum):
    """What the devices of a task are: new ones, or things of ours that need a certificate."""

    NEW = "new"
    REPAIR = "repair"


OVERRIDES = {
    Kind.NEW: {"AttributePayload": "FAIL", "ThingGroups": "FAIL"},
    Kind.REPAIR: {"AttributePayload": "REPLACE", "ThingGroups": "MERGE"},
}


@dataclass(frozen=True)
class Declaration:
    """What every device of a registration gets.

    Attributes:
        attributes: names of the attributes whose values each line has.
        policy_name: the IoT policy of its certificate.
        group_name: its thing group; empty for none.
        owner: the thing of the settings, for the mark.
    """

    attributes: tuple[str, ...]
    policy_name: str
    group_name: str
    owner: str

    @property
    def marks(self) -> dict[str, str]:
        """The attribute that says who registered the thing."""
        return ownership.registered_marks(self.owner)


def template_document(declared: Declaration, kind: Kind) -> dict[str, Any]:
    """The template as a mapping, AWS's way."""
    parameters = [NAME, CSR, *_parameters(declared)]
    chosen = {
        name: {"Ref": parameter} for name, parameter in zip(declared.attributes, _parameters(declared), strict=True)
    }
    thing: dict[str, Any] = {"ThingName": {"Ref": NAME}, "AttributePayload": {**declared.marks, **chosen}}
    overrides = dict(OVERRIDES[kind])
    if declared.group_name:
        thing["ThingGroups"] = [declared.group_name]
    else:
        del overrides["ThingGroups"]
    return {
        "Parameters": {parameter: {"Type": "String"} for parameter in parameters},
        "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": thing, "OverrideSettings": overrides},
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateSigningRequest": {"Ref": CSR}, "Status": "ACTIVE"},
            },
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": declared.policy_name}},
        },
    }


def input_line(declared: Declaration, thing_name: str, csr: str, values: Sequence[str]) -> str:
    """The line of one device: the template's parameters, as JSON with a line end."""
    parameters: Mapping[str, str] = {
        NAME: thing_name,
        CSR: csr,
        **dict(zip(_parameters(declared), values, strict=True)),
    }
    return f"{json.dumps(parameters)}\n"


def sha256_of(template_body: str) -> str:
    """A template's fingerprint, 64 hex digits; equal for the same JSON however it is laid out."""
    document = json.loads(template_body)
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _parameters(declared: Declaration) -> list[str]:
    """The parameter of each attribute; an attribute's own name may have characters that no parameter has."""
    return [f"Attribute{number}" for number in range(1, len(declared.attributes) + 1)]
