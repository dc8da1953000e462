"""Commands in messages: whole, quoted, and aimed at the cloud that the message is about."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from ota.command_lines import iot_command
from ota.sandbox.process import Address
from tests.conftest import REGION

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("eu-west-1", "`aws iot delete-thing --thing-name lamp --region eu-west-1`"),
        ("cn-north-1", "`aws iot delete-thing --thing-name lamp --region cn-north-1`"),
    ],
)
def test_on_aws_a_command_names_its_region(region: str, expected: str) -> None:
    import boto3

    iot = boto3.client("iot", region_name=region)
    assert iot_command(iot, "delete-thing", thing_name="lamp") == expected


def test_elsewhere_a_command_names_the_endpoint_too(iot: IoTClient, sandbox: Address) -> None:
    assert iot_command(iot, "list-things") == (
        f"`aws iot list-things --region {REGION} --endpoint-url {sandbox.endpoint_url}`"
    )


def test_a_shell_takes_every_value_as_one_word(iot: IoTClient) -> None:
    command = iot_command(iot, "get-policy", policy_name="it's $HOME; b").strip("`")
    answer = subprocess.run(
        ["bash", "-c", command.replace("aws iot get-policy", "printf '%s\\n'", 1)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.splitlines()[:2] == ["--policy-name", "it's $HOME; b"]
