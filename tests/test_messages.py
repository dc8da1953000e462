"""Commands in messages begin as this command line did."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from ota.messages import AnyCommand, CommandLine, Shell, aws_command, command, help_command, joined, message, shell
from ota.sandbox.process import Address
from tests.conftest import REGION

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

HERE = CommandLine()
SANDBOX = CommandLine(is_sandbox=True)
OTHER_THING = CommandLine(settings={"thing_name": "lamp-2"})
BOTH = CommandLine(is_sandbox=True, settings={"thing_name": "lamp-2"})
INCLUDED = CommandLine(namespace="ota.", is_sandbox=True, settings={"thing_name": "lamp-2"})
INSTALLED = CommandLine(program="ota")
OTHER_FILE = CommandLine(config_file="my settings.json")


@pytest.mark.parametrize(
    ("step", "line", "shown"),
    [
        (command("clean"), HERE, "invoke clean"),
        (command("clean"), SANDBOX, "invoke sandbox clean"),
        (command("clean"), INSTALLED, "ota clean"),
        (command("clean", "--force"), OTHER_THING, "invoke with --thing-name lamp-2 clean --force"),
        (command("clean"), OTHER_FILE, "invoke with --config-file 'my settings.json' clean"),
        (command("build", toolchain="GNU"), SANDBOX, "invoke sandbox with --toolchain GNU build"),
        (command("build", toolchain="GNU"), BOTH, "invoke sandbox with --thing-name lamp-2 --toolchain GNU build"),
        (command("build", thing_name="b c"), BOTH, "invoke sandbox with --thing-name 'b c' build"),
        (command("all").then("device", "--forever"), INCLUDED,
         "invoke ota.sandbox ota.with --thing-name lamp-2 ota.all ota.device --forever"),
        (command("sandbox.reset"), SANDBOX, "invoke sandbox.reset"),
        (command("sandbox").then("all"), SANDBOX, "invoke sandbox all"),
        (help_command("delete.thing"), INCLUDED, "invoke --help ota.delete.thing"),
        (shell("mv", "a b", "c"), SANDBOX, "mv 'a b' c"),
        (Shell("aws iot list-things", calls_aws=True), HERE, "aws iot list-things"),
        (Shell("aws iot list-things", calls_aws=True), SANDBOX,
         '(eval "$(invoke sandbox.env)" && aws iot list-things)'),
    ],
)  # fmt: skip
def test_a_command_begins_as_this_command_line_did(step: AnyCommand, line: CommandLine, shown: str) -> None:
    assert line.render(step) == shown


def test_a_remedy_of_several_steps_is_one_line() -> None:
    steps = (shell("chmod", "600", "key"), command("thing"))
    assert SANDBOX.remedy(steps) == "chmod 600 key && invoke sandbox thing"
    assert SANDBOX.remedy(()) == ""


def test_a_message_shows_its_commands_in_backquotes() -> None:
    text = joined(" ", ["To invoke clean power,", message("run ", command("clean"), ".")])
    assert SANDBOX.text(text) == "To invoke clean power, run `invoke sandbox clean`."
    assert str(text) == "To invoke clean power, run `invoke clean`."


@pytest.mark.parametrize("region", ["eu-west-1", "cn-north-1"])
def test_on_aws_a_command_names_its_region(region: str) -> None:
    import boto3

    iot = boto3.client("iot", region_name=region)
    step = aws_command(iot, "delete-thing", thing_name="lamp", force="")
    assert step.line == f"aws iot delete-thing --thing-name lamp --force --region {region}"


def test_elsewhere_a_command_names_the_endpoint_too(iot: IoTClient, sandbox: Address) -> None:
    expected = f"aws iot list-things --region {REGION} --endpoint-url {sandbox.endpoint_url}"
    assert aws_command(iot, "list-things").line == expected


def test_a_shell_takes_every_value_as_one_word(iot: IoTClient) -> None:
    step = aws_command(iot, "get-policy", policy_name="it's $HOME; b")
    answer = subprocess.run(
        ["bash", "-c", step.line.replace("aws iot get-policy", "printf '%s\\n'", 1)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.splitlines()[:2] == ["--policy-name", "it's $HOME; b"]
