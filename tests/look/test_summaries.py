"""What `update` and `all` say of an update that was there before: how it ended, and how to send it again."""

from __future__ import annotations

import re

import pytest

from tests.look.look_desk import Desk, built
from tests.look.look_desk import desk as bare_desk
from tests.project import THING

__all__ = ["bare_desk", "built"]

COMMAND = re.compile(r"`(invoke delete\.update[^`]*)`")


@pytest.fixture
def desk(bare_desk: Desk) -> Desk:
    """Set up, and the device has taken the job."""
    bare_desk.set_up()
    bare_desk.take_job()
    return bare_desk


@pytest.mark.parametrize("task", ["all", "update"])
def test_an_update_that_was_taken_is_offered_again_by_the_command_that_is_told(desk: Desk, task: str) -> None:
    desk.report("SUCCEEDED", reason="accepted v1.2.3")
    result = desk.run(task).done()
    assert re.search(rf"^{THING} took this update \d+ s ago, so nothing is offered to it\.", result.out, re.MULTILINE)
    assert "is offered keyword" not in result.out
    assert "Next:" not in result.out
    (command,) = COMMAND.findall(result.out)
    desk.shell(command)
    assert desk.look("status", status=3)["job"]["counts"] == {"QUEUED": 1}
    assert "is offered keyword" in desk.run("all").done().out


def test_a_failure_is_told_with_its_cause_and_the_command(desk: Desk) -> None:
    desk.report("FAILED", reason="0x000000e3: 0x00000000")
    out = desk.run("all").done().out
    told = out.partition(f"{THING} failed: FAILED, reason: 0x000000e3: 0x00000000, ")[2]
    assert "signature" in told.lower()
    assert COMMAND.search(told)
    assert "is offered keyword" not in out


def test_commands_in_it_begin_as_the_command_line_did(desk: Desk) -> None:
    desk.report("SUCCEEDED")
    words = ("with", "--certificate-file-on-device", "0")
    out = desk.run(*words, "all").done().out
    assert "`invoke with --certificate-file-on-device 0 delete.update update`" in out


def test_a_device_that_is_at_work_is_taking_it(desk: Desk) -> None:
    assert f"Ready: {THING} is taking keyword" in desk.run("all").done().out


def test_it_is_looked_up_once_and_only_where_an_update_was_there(desk: Desk) -> None:
    desk.control.clear_calls()
    desk.run("all").done()
    assert desk.control.operations(clear=True).count("DescribeJobExecution") == 1
    desk.run("clean").done()
    desk.control.clear_calls()
    desk.run("all").done()
    assert "DescribeJobExecution" not in desk.control.operations()


def test_where_aws_does_not_tell_the_update_is_set_up_and_that_is_said(desk: Desk) -> None:
    desk.control.fail("DescribeJobExecution", "access-denied", times=0)
    out = desk.run("all").done().out
    assert f"AWS did not say whether {THING} has taken it" in out
    assert "iot:DescribeJobExecution" in out


def test_a_job_that_has_not_reached_the_device_offers_nothing(desk: Desk) -> None:
    desk.control.fail("DescribeJobExecution", code="ResourceNotFoundException", status=404)
    out = desk.run("all").done().out
    assert f"Its job has not reached {THING}" in out
    assert "is offered" not in out


def test_credentials_that_expire_at_it_are_told(desk: Desk) -> None:
    desk.control.fail("DescribeJobExecution", "expired-token", times=0)
    desk.run("all").failed("credentials have expired")
