"""The look-only tasks as a user runs them: they only read, answer scripts, and say the same on every kind of screen."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from ota.sandbox.process import Address
from tests.lockstep import THREADS_PATH, count_rounds, gated
from tests.look.look_desk import EVERYTHING, JOB, POLICY, Desk, built, desk
from tests.project import THING

__all__ = ["built", "desk"]

READING = ("Get", "List", "Describe", "Head", "Simulate")
TASKS = (("plan",), ("clean", "--plan"), ("clean", "--plan", "--force", "--local"), ("status",), ("doctor",))
MOST_ROUND_TRIPS = 4


def nothing(desk: Desk) -> None:
    """An account with nothing in it."""


def drifted(desk: Desk) -> None:
    """Set up, and then changed by somebody."""
    desk.set_up()
    desk.iot.update_certificate(certificateId=desk.certificate()["certificateId"], newStatus="INACTIVE")
    desk.iam.put_role_policy(RoleName=f"{THING}_role", PolicyName="ota-tasks", PolicyDocument=EVERYTHING)
    desk.project.header_path.write_text(desk.project.header_path.read_text().replace(THING, "other"))


STATES: dict[str, Callable[[Desk], None]] = {"nothing": nothing, "set up": Desk.set_up, "drifted": drifted}


@pytest.mark.parametrize("make", STATES.values(), ids=STATES)
def test_looking_only_reads_and_answers_scripts_as_it_answers_people(desk: Desk, make: Callable[[Desk], None]) -> None:
    make(desk)
    files = desk.files()
    desk.control.clear_calls()
    for task in (*TASKS, ("watch", "--timeout", "0")):
        told, shown = desk.run(*task, "--json"), desk.run(*task)
        assert told.status == shown.status, task
        assert "AWS account" in told.err
        assert told.status == 2 or json.loads(told.out), "one JSON document on stdout, but where nothing is to watch"
    operations = set(desk.control.operations())
    assert operations, "no call was counted"
    assert {one for one in operations if not one.startswith(READING)} == set()
    assert desk.files() == files


def test_the_exit_status_tells_how_it_stands(desk: Desk) -> None:
    assert [desk.run(*task).status for task in (("plan",), ("status",), ("watch",))] == [0, 2, 2]
    desk.set_up()
    assert [desk.run(*task).status for task in (("plan",), ("status",), ("watch", "--timeout", "0"))] == [0, 3, 3]
    desk.take_job()
    desk.report("FAILED", reason="0x000000e3: 0x00000000")
    assert [desk.run(*task).status for task in (("plan",), ("status",), ("watch",))] == [0, 4, 4]


def test_success_ends_with_zero(desk: Desk) -> None:
    desk.set_up()
    desk.take_job()
    desk.report("SUCCEEDED", reason="accepted v1.2.3", updatedBy="v1.2.2")
    for task in (("plan",), ("status",), ("watch",), ("doctor",)):
        desk.run(*task).done()


def test_a_failed_look_is_one_sentence_and_no_traceback(desk: Desk) -> None:
    desk.control.fail("GetCallerIdentity", "expired-token", times=0)
    for task in (("plan",), ("status",), ("watch",), ("clean", "--plan")):
        desk.run(*task).failed("expired")


@pytest.mark.parametrize("task", [("plan",), ("clean", "--plan")], ids=" ".join)
@pytest.mark.skipif(not THREADS_PATH.is_dir(), reason="the states of threads are read from /proc")
@pytest.mark.parametrize("make", [nothing, Desk.set_up], ids=["nothing", "set up"])
def test_a_plan_takes_four_round_trips(
    desk: Desk, clean_sandbox: Address, task: tuple[str, ...], make: Callable[[Desk], None]
) -> None:
    make(desk)
    with gated(clean_sandbox) as (endpoint_url, gate):
        process = desk.project.start(*task, AWS_ENDPOINT_URL=endpoint_url)
        rounds = count_rounds(process, gate)
        out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert 2 <= rounds <= MOST_ROUND_TRIPS


@pytest.mark.parametrize("task", TASKS, ids=" ".join)
def test_a_terminal_sees_the_words_that_a_pipe_does(desk: Desk, task: tuple[str, ...]) -> None:
    desk.set_up()
    piped = desk.run(*task).out.split()
    seen = desk.project.show_here(*task).out
    assert "\x1b[" in seen
    for word in piped:
        assert word in seen, word


def test_no_color_is_honoured(desk: Desk) -> None:
    desk.project.environ["NO_COLOR"] = "1"
    seen = desk.project.show_here("doctor").out
    assert "\x1b[31m" not in seen
    assert "\x1b[32m" not in seen
    assert "credentials" in seen


def test_commands_begin_as_the_command_line_did(desk: Desk) -> None:
    result = desk.run("with", "--update-name", "other", "plan").done()
    assert "invoke with --update-name other all" in result.out


def test_what_is_looked_at_is_named_in_every_look(desk: Desk) -> None:
    desk.set_up()
    for task in (("plan",), ("status",), ("clean", "--plan")):
        nouns = {line.split()[0] for line in desk.run(*task).out.splitlines() if line.strip()}
        assert {"certificate", "thing", "policy", "bucket", "role", "update"} <= nouns
    assert POLICY in desk.run("status").out
    assert JOB in desk.run("status").out
