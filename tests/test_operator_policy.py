"""The operator's policy against what the tool really calls: recorded live, and read from the source."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

from ota.operator_policy import (
    ALSO_NEEDED,
    NEEDS_NO_PERMISSION,
    actions_of,
    names_for,
    operator_policy_document,
    permissions_of,
)
from ota.sandbox.process import Address
from tests.project import REPOSITORY_PATH, THING, aws_project, built_tree
from tests.sandbox_control import Control

ACCOUNT = "123456789012"
REGION = "eu-west-1"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/bounds"
SERVICES = ("iot", "s3", "iam", "sts")
MOST_CHARS = 6144  # of a managed policy, without whitespace
SANDBOX_ONLY = {"rehearsals.py"}  # thing groups of many virtual devices: never made on AWS
RUNS = (
    "all", "all", "list", "delete.update --force", "delete.bucket --force", "delete.thing --prune", "all",
    "delete.update --force delete.role --force", "clean", "clean --force",
)  # fmt: skip
# Where AWS knows no resource to narrow the action to (Service Authorization Reference, no resource type).
UNSCOPED = {
    "iot:DescribeEndpoint", "iot:CreateCertificateFromCsr", "iot:ListAttachedPolicies", "iot:ListThings",
    "iot:ListPolicies", "iot:ListCertificates", "iot:ListOTAUpdates", "iot:ListJobs", "iam:ListRoles",
    "s3:ListAllMyBuckets", "iam:ListPolicies", "iam:GetAccountSummary",
}  # fmt: skip

Call = tuple[str, str]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return operator_policy_document("aws", REGION, ACCOUNT, thing_name=THING)


@pytest.fixture(scope="module")
def called_in_source() -> frozenset[Call]:
    """Every operation that the tool's own code names, whether a run usually comes there or not."""
    paths = sorted(path for path in (REPOSITORY_PATH / "ota").glob("*.py") if path.name not in SANDBOX_ONLY)
    return frozenset(call for path in paths for call in _calls_in(ast.parse(path.read_text())))


def test_a_whole_life_is_allowed_call_by_call(
    control: Control,
    clean_sandbox: Address,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    document: dict[str, Any],
    called_in_source: frozenset[Call],
) -> None:
    project = aws_project(tmp_path / "project", clean_sandbox)
    project.put_image(built_tree(tmp_path_factory.getbasetemp()))
    for line in RUNS:
        project.run_here(*line.split()).done()
    recorded = {(call["service"], call["operation"]) for call in control.calls()}
    assert len(recorded) > 30
    assert {call: missing for call in recorded if (missing := _missing(call, document))} == {}
    assert recorded <= called_in_source


def test_every_operation_in_the_source_is_allowed(document: dict[str, Any], called_in_source: frozenset[Call]) -> None:
    assert {call: missing for call in called_in_source if (missing := _missing(call, document))} == {}


def test_no_action_is_granted_that_no_operation_needs(
    document: dict[str, Any], called_in_source: frozenset[Call]
) -> None:
    needed = {action for call in called_in_source for action in permissions_of(*call)}
    granted = actions_of(document)
    assert sorted(set(granted) - needed) == []
    assert len(granted) == len(set(granted))


def test_the_source_is_read_rightly(called_in_source: frozenset[Call]) -> None:
    seldom = {("s3", "ListMultipartUploads"), ("iam", "ListInstanceProfilesForRole"), ("iot", "DeleteJob")}
    assert seldom <= called_in_source
    assert called_in_source >= set(ALSO_NEEDED) | set(NEEDS_NO_PERMISSION)


def test_only_what_aws_cannot_narrow_is_for_every_resource(document: dict[str, Any]) -> None:
    everywhere = {action for one in document["Statement"] if "*" in one["Resource"] for action in one["Action"]}
    assert everywhere <= UNSCOPED


@pytest.mark.parametrize(
    ("action", "arn"),
    [
        ("iot:CreateThing", f"arn:aws:iot:{REGION}:{ACCOUNT}:thing/lamp"),
        ("iot:DeletePolicy", f"arn:aws:iot:{REGION}:{ACCOUNT}:policy/lamp_policy"),
        ("iot:TagResource", f"arn:aws:iot:{REGION}:{ACCOUNT}:otaupdate/lamp_update"),
        ("iot:DeleteJob", f"arn:aws:iot:{REGION}:{ACCOUNT}:job/AFR_OTA-lamp_update"),
        ("s3:CreateBucket", f"arn:aws:s3:::lamp-ota-{ACCOUNT}"),
        ("s3:PutObject", f"arn:aws:s3:::lamp-ota-{ACCOUNT}/*"),
        ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/lamp_role"),
    ],
)
def test_each_action_is_for_the_things_own_objects(document: dict[str, Any], action: str, arn: str) -> None:
    resources = [one for each in document["Statement"] if action in each["Action"] for one in each["Resource"]]
    assert arn in resources
    assert not any("*" in one.removesuffix("/*") for one in resources)


def test_a_role_is_passed_to_the_iot_service_alone(document: dict[str, Any]) -> None:
    (passing,) = (one for one in document["Statement"] if "iam:PassRole" in one["Action"])
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "iot.amazonaws.com"}}


def test_a_boundary_binds_whatever_gives_a_role_power() -> None:
    document = operator_policy_document("aws", REGION, ACCOUNT, thing_name=THING, boundary_arn=BOUNDARY)
    bounded = {
        action
        for one in document["Statement"]
        if one.get("Condition") == {"StringEquals": {"iam:PermissionsBoundary": BOUNDARY}}
        for action in one["Action"]
    }
    powers = {"CreateRole", "PutRolePolicy", "UpdateAssumeRolePolicy", "PutRolePermissionsBoundary"}
    assert bounded == {f"iam:{power}" for power in powers}
    free = operator_policy_document("aws", REGION, ACCOUNT, thing_name=THING)
    assert sorted(actions_of(document)) == sorted(actions_of(free))


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_every_arn_is_in_the_partition(partition: str) -> None:
    text = json.dumps(operator_policy_document(partition, REGION, ACCOUNT))
    assert text.count("arn:") == text.count(f"arn:{partition}:") > 0


def test_it_fits_a_managed_policy(document: dict[str, Any]) -> None:
    longest = operator_policy_document(
        "aws-us-gov", "us-gov-east-1", ACCOUNT, thing_name="x" * 128, role_prefix="y" * 40, boundary_arn=BOUNDARY
    )
    for one in (document, longest):
        assert len(json.dumps(one, separators=(",", ":"))) <= MOST_CHARS


def test_the_names_are_those_that_settings_give(tmp_path: Path, clean_sandbox: Address) -> None:
    for thing_name in ("lamp", "Lamp_2:a", "x" * 100):
        project = aws_project(tmp_path / str(len(thing_name)), clean_sandbox, thing_name=thing_name, role_prefix="Proj")
        settings = json.loads(project.run_here("settings", "--json").done().out)
        names = names_for(thing_name, "0" * 12, role_prefix="Proj")
        assert names == {name: settings[name]["value"] for name in names}


@pytest.mark.parametrize("thing_name", ["lamp-*", "*", "lamp-?"])
def test_a_pattern_covers_the_names_of_its_things(thing_name: str) -> None:
    pattern, names = names_for(thing_name, ACCOUNT), names_for("lamp-7", ACCOUNT)
    assert {name: fnmatchcase(names[name], pattern[name]) for name in names} == dict.fromkeys(names, True)


def test_chosen_names_replace_the_default_ones() -> None:
    document = operator_policy_document("aws", REGION, ACCOUNT, thing_name=THING, names={"bucket_name": "my-images"})
    text = json.dumps(document)
    assert "arn:aws:s3:::my-images/*" in text
    assert "lamp-ota" not in text
    assert "role/lamp_role" in text


def _missing(call: Call, document: dict[str, Any]) -> list[str]:
    granted = set(actions_of(document))
    return [action for action in permissions_of(*call) if action not in granted]


def _calls_in(tree: ast.AST) -> Iterator[Call]:
    """``iot.create_thing``, ``self._cloud.iam.get_role`` and ``s3.get_paginator("list_buckets")``, called or not."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (service := _receiver(node.value)) in SERVICES:
            yield from _operation(service, node.attr)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get_paginator":
            (argument,) = node.args
            assert isinstance(argument, ast.Constant)
            found = list(_operation(_receiver(node.func.value), str(argument.value)))
            assert found, ast.unparse(node)
            yield from found


def _receiver(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _operation(service: str, method: str) -> Iterator[Call]:
    if operation := _methods(service).get(method):
        yield service, operation


@cache
def _methods(service: str) -> dict[str, str]:
    model = botocore.session.get_session().get_service_model(service)
    return {xform_name(operation): operation for operation in model.operation_names}
