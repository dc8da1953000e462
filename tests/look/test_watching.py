"""Following a job to its end: on a clock that does not wait, with a device that acts between two looks."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from rich.console import Console

from ota import cloud
from ota.cloud import open_cloud
from ota.errors import Answered, CloudError, OtaError, PermissionDenied
from ota.firmware import builds
from ota.look import looks, screens
from ota.look.forms import Forms
from ota.look.statuses import Verdict
from ota.look.watching import Moment, changes, follow, what_it_says, why_it_failed
from ota.report import Report
from ota.run import Run
from ota.settings.settings import load_settings
from ota.updates.jobs import Execution
from ota.updates.rollouts import Rollout
from tests.look.look_desk import JOB, POLICY, UPDATE, Desk, built
from tests.look.look_desk import desk as bare_desk
from tests.project import THING

__all__ = ["bare_desk", "built"]


@dataclass
class Clock:
    """A clock that only waiting moves on; ``then`` is done while somebody waits."""

    now_s: float = 0.0
    then: Iterator[Callable[[], object]] = field(default_factory=lambda: iter(()))

    def read(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        next(self.then, lambda: None)()


def rollout(**statuses: str) -> Rollout:
    return Rollout(JOB, "IN_PROGRESS", tuple(Execution(name, status) for name, status in statuses.items()))


def moments(*seen: Rollout | OtaError | None, timeout_s: float = 100.0, poll_s: float = 10.0) -> list[Moment]:
    """Every moment, where the looks find one after the other and then the last for ever."""
    clock, left = Clock(), list(seen)

    def look(_: Rollout | None) -> Rollout | None:
        found = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(found, OtaError):
            raise found
        return found

    return list(follow(look, sleep=clock.sleep, clock=clock.read, timeout_s=timeout_s, poll_s=poll_s))


def test_it_ends_when_every_device_has_finished() -> None:
    ways = (("QUEUED", "QUEUED"), ("SUCCEEDED", "QUEUED"), ("SUCCEEDED", "FAILED"))
    found = moments(*(rollout(a=a, b=b) for a, b in ways))
    assert [moment.is_last for moment in found] == [False, False, True]
    assert [[one.thing_name for one in moment.changed] for moment in found] == [["a", "b"], ["a"], ["b"]]


def test_it_ends_when_the_job_is_gone() -> None:
    assert [moment.rollout is None for moment in moments(rollout(a="QUEUED"), None)] == [False, True]


def test_a_look_that_aws_does_not_answer_is_made_again() -> None:
    queued, silent = rollout(a="QUEUED"), CloudError("throttled")
    found = moments(silent, queued, silent, queued, rollout(a="SUCCEEDED"))
    assert [moment.unknown for moment in found] == [silent, None, silent, None, None]
    assert [moment.rollout for moment in found[:4]] == [None, queued, queued, queued]
    assert [len(moment.changed) for moment in found] == [0, 1, 0, 0, 1]
    assert found[-1].verdict is Verdict.DONE


def test_a_job_of_which_aws_says_nothing_to_the_end_is_unknown() -> None:
    found = moments(rollout(a="QUEUED"), CloudError("throttled"), timeout_s=25)
    assert [moment.is_last for moment in found] == [False, False, False, True]
    assert found[-1].verdict is Verdict.UNKNOWN


def test_a_look_that_is_not_allowed_is_the_last() -> None:
    denied = PermissionDenied("no")
    (*_, last) = found = moments(rollout(a="QUEUED"), denied)
    assert len(found) == 2
    assert (last.unknown, last.verdict) == (denied, Verdict.UNKNOWN)


def test_it_ends_when_the_time_is_up_and_not_a_moment_later() -> None:
    found = moments(rollout(a="QUEUED"), timeout_s=25)
    assert [moment.waited_s for moment in found] == [0, 10, 20, 25]
    assert found[-1].is_last


def test_quiet_is_counted_from_the_last_change() -> None:
    found = moments(rollout(a="QUEUED"), rollout(a="QUEUED"), rollout(a="IN_PROGRESS"), timeout_s=40)
    assert [moment.quiet_s for moment in found] == [0, 10, 0, 10, 20]


def test_changed_details_are_a_change() -> None:
    before = Rollout(JOB, "IN_PROGRESS", (Execution("a", "IN_PROGRESS", details={"receive": "1/2"}),))
    after = Rollout(JOB, "IN_PROGRESS", (Execution("a", "IN_PROGRESS", details={"receive": "2/2"}),))
    assert changes(before, after) == after.executions
    assert changes(after, after) == ()
    assert changes(after, None) == ()


@pytest.mark.parametrize(
    ("execution", "words"),
    [
        (Execution("a", "QUEUED"), "QUEUED"),
        (Execution("a", "IN_PROGRESS", details={"receive": "1/25"}), "IN_PROGRESS, 1 of 25 blocks"),
        (Execution("a", "SUCCEEDED", details={"reason": "accepted v1"}), "SUCCEEDED, reason: accepted v1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_device_says_in_words(execution: Execution, words: str) -> None:
    assert what_it_says(execution) == words


@pytest.mark.parametrize(
    ("execution", "word"),
    [
        (Execution("a", "FAILED", details={"reason": "0x000000e3: 0x00000000"}), "signature"),
        (Execution("a", "FAILED", details={"reason": "rejected: 0x00000010"}), "version"),
        (Execution("a", "TIMED_OUT"), "time"),
    ],
    ids=["bad signature", "same version", "timed out"],
)
def test_a_failure_in_cause_and_remedy(execution: Execution, word: str) -> None:
    assert word in why_it_failed(execution).lower()


def test_words_that_nobody_knows_are_not_explained() -> None:
    assert why_it_failed(Execution("a", "SOMETHING_NEW", details={"x": "y"})) == ""


def run_of(desk: Desk, report: Report) -> Run:
    environ = desk.project.environ
    settings = load_settings(desk.project.root_path, environ=environ)
    return Run(desk.project.root_path, report).about(settings, open_cloud(environ))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def watch(
    desk: Desk, *acts: Callable[[], object], out: io.StringIO | None = None, **options: Any
) -> tuple[int, str, str]:
    """Watch while the device acts, once between two looks; exit status, stdout and stderr."""
    out, err = out or io.StringIO(), io.StringIO()
    clock = Clock(then=iter(acts))
    forms = Forms(**{name: options.pop(name) for name in ("as_json", "as_csv", "report_path") if name in options})
    options = {"timeout_s": 1000.0, "forms": forms, "silence_s": 60.0, "poll_s": 40.0, **options}
    report = Report(out, err)
    if forms.takes_stdout:
        report.keep_stdout_clear()
    try:
        with desk.project.at_work():
            looks.watch(run_of(desk, report), sleep=clock.sleep, clock=clock.read, **options)
    except Answered as answer:
        return answer.exit_code, out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


@pytest.fixture
def desk(bare_desk: Desk) -> Desk:
    """Set up, and the device has not asked yet."""
    bare_desk.set_up()
    return bare_desk


def download(desk: Desk) -> list[Callable[[], object]]:
    return [
        desk.take_job,
        lambda: desk.report("IN_PROGRESS", receive="12/146"),
        lambda: desk.report("IN_PROGRESS", self_test="ready", updatedBy="0x00090002"),
    ]


def test_a_device_is_followed_to_its_success(desk: Desk) -> None:
    status, out, err = watch(desk, *download(desk), lambda: desk.report("SUCCEEDED", reason="accepted v0.10.2"))
    assert status == 0
    lines = out.splitlines()
    assert [line.partition("  lamp  ")[2] for line in lines[:-1]] == [
        "QUEUED",
        "IN_PROGRESS",
        "IN_PROGRESS, 12 of 146 blocks",
        "IN_PROGRESS, self_test: ready, updatedBy: 0x00090002",
        "SUCCEEDED, reason: accepted v0.10.2",
    ]
    assert lines[-1] == "Done: every device runs the update (1 SUCCEEDED)."
    assert err == ""


def test_a_failure_ends_with_what_the_device_said_and_what_that_means(desk: Desk) -> None:
    failure = "0x000000e3: 0x00000000"
    status, out, _ = watch(desk, *download(desk), lambda: desk.report("FAILED", reason=failure))
    assert status == 4
    assert failure in out
    assert "signature" in out.partition("device       failed")[2].lower()
    assert out.splitlines()[-1] == "Not every device runs the update (1 FAILED)."


def test_json_is_one_document_with_every_change(desk: Desk) -> None:
    status, out, err = watch(desk, *download(desk), lambda: desk.report("SUCCEEDED"), as_json=True)
    told = json.loads(out)
    assert status == 0
    assert [one["status"] for one in told["changes"]] == ["QUEUED", *["IN_PROGRESS"] * 3, "SUCCEEDED"]
    assert told["counts"] == {"SUCCEEDED": 1}
    assert "12 of 146" in err


def test_the_end_of_the_time_says_how_to_go_on(desk: Desk) -> None:
    status, out, _ = watch(desk, timeout_s=10.0)
    assert status == 3
    assert "Not over after 10 seconds (1 QUEUED). Go on with `invoke watch`" in out


def test_throttling_is_told_once_and_polled_through(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud, "MAX_ATTEMPTS", 0)
    throttle = lambda: desk.control.fail("DescribeJob", times=2)  # noqa: E731
    acts = [throttle, lambda: None, *download(desk), lambda: desk.report("SUCCEEDED")]
    status, out, err = watch(desk, *acts)
    assert (status, out.splitlines()[-1]) == (0, "Done: every device runs the update (1 SUCCEEDED).")
    assert err.count("AWS does not say how the job") == 1


def test_an_update_of_which_aws_says_nothing_is_asked_for_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud, "MAX_ATTEMPTS", 0)
    desk.control.fail("GetOTAUpdate", times=3)
    status, _, err = watch(desk, timeout_s=200.0)
    assert status == 3
    assert err.count("AWS does not say how the OTA update") == 1


def test_the_time_is_up_while_aws_makes_the_update(desk: Desk) -> None:
    desk.run("clean").done()
    desk.control.pause(60.0)
    desk.make_foreign_update(is_ours=True)
    with pytest.raises(looks.NotMadeYet, match="still making the OTA update") as raised:
        watch(desk, timeout_s=90.0)
    assert raised.value.exit_code == 3


@pytest.mark.parametrize("as_json", [False, True], ids=["screen", "json"])
def test_a_job_that_somebody_deletes_ends_it(desk: Desk, as_json: bool) -> None:
    delete = lambda: desk.iot.delete_ota_update(otaUpdateId=UPDATE, deleteStream=True, forceDeleteAWSJob=True)  # noqa: E731
    status, out, _ = watch(desk, delete, as_json=as_json)
    assert status == 4
    assert (json.loads(out)["status"] if as_json else out.splitlines()[-1]).startswith(
        "gone" if as_json else f"The job {JOB} is gone"
    )


def test_silence_before_the_device_asks_names_the_usual_causes_once(desk: Desk) -> None:
    _, _, err = watch(desk, timeout_s=400.0)
    assert err.count("Nothing has moved for") == 1
    assert "has not asked for its job" in err
    assert "header" not in err.partition("has not asked")[0], "nothing is amiss that can be seen from here"


def test_silence_after_the_job_is_taken_names_signature_and_lost_blocks(desk: Desk) -> None:
    _, _, err = watch(desk, desk.take_job, timeout_s=400.0)
    assert "signature does not match" in err
    assert "invoke verify" in err


def test_silence_of_a_device_whose_port_may_not_read_the_signature_says_so(desk: Desk) -> None:
    classic = {"firmware_profile": "classic-agent", "certificate_file_on_device": "/certs/signer.pem"}
    desk.project.set(**classic)
    _, _, err = watch(desk, timeout_s=200.0)
    assert "sig-sha256-rsa" not in err
    _, _, err = watch(desk, desk.take_job, timeout_s=200.0)
    first = err.splitlines()[1]
    assert "The update is signed with RSA: AWS's own port for POSIX" in first
    assert "`invoke verify`" in first


def without_receive(desk: Desk) -> None:
    desk.iot.create_policy_version(
        policyName=POLICY,
        policyDocument='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:Connect","Resource":"*"}]}',
        setAsDefault=True,
    )


def wrong_endpoint(desk: Desk) -> None:
    path = desk.project.header_path
    path.write_text(path.read_text().replace("-ats.iot.", "-other.iot."))


def inactive(desk: Desk) -> None:
    desk.iot.update_certificate(certificateId=desk.certificate()["certificateId"], newStatus="INACTIVE")


def detached(desk: Desk) -> None:
    desk.iot.detach_thing_principal(thingName=THING, principal=desk.certificate()["certificateArn"])


CAUSES: dict[str, tuple[Callable[[Desk], None], str]] = {
    "policy without Receive": (without_receive, "without iot:Receive and iot:Subscribe no answer reaches it"),
    "wrong endpoint in the header": (wrong_endpoint, "names another endpoint or thing"),
    "certificate not active": (inactive, "AWS refuses the connection"),
    "certificate not attached": (detached, f"not attached to {THING}"),
}


@pytest.mark.parametrize(("make", "words"), CAUSES.values(), ids=CAUSES)
def test_silence_names_a_cause_that_can_be_seen_first(desk: Desk, make: Callable[[Desk], None], words: str) -> None:
    make(desk)
    _, _, err = watch(desk, timeout_s=200.0)
    first = err.splitlines()[1]
    assert words in first


def test_on_a_terminal_it_is_drawn_in_place_and_no_line_is_added_for_a_change(desk: Desk) -> None:
    out = Terminal()
    status, seen, _ = watch(desk, *download(desk), lambda: desk.report("SUCCEEDED"), out=out)
    assert status == 0
    assert " s  lamp" not in seen
    assert "Done: every device runs the update" in seen


def test_a_few_devices_have_a_bar_each() -> None:
    at_work = Execution("a", "IN_PROGRESS", details={"receive": "1/2"})
    found = Rollout(JOB, "IN_PROGRESS", (at_work, Execution("b", "QUEUED")))
    console = Console(file=io.StringIO(), width=100, record=True)
    console.print(screens._picture(found, None, is_last=False))
    assert len(console.export_text().strip().splitlines()) == 2


def test_an_update_that_is_still_being_made_is_waited_for(desk: Desk) -> None:
    desk.run("clean").done()
    desk.control.pause(60.0)
    rule = desk.control.hold("CreateOTAUpdate")
    created = desk.project.start("all")
    assert desk.control.wait_until_held(rule)

    def finish() -> None:
        desk.control.pause(0)
        desk.control.advance_clock(60.0)
        desk.control.release()
        created.communicate()

    status, out, _ = watch(desk, finish, timeout_s=50.0)
    assert created.returncode == 0
    assert (status, "QUEUED" in out) == (3, True), out


def test_an_update_that_another_run_is_about_to_make_is_waited_for(desk: Desk) -> None:
    desk.run("delete.update", "--force").done()
    status, out, err = watch(desk, lambda: desk.project.run("all").done(), desk.take_job)
    assert status == 3
    assert "QUEUED" in out
    assert "There is no OTA update lamp_update yet" in err


def test_a_build_of_another_run_is_waited_for_as_long_as_it_takes(desk: Desk) -> None:
    desk.run("clean").done()
    script_path = desk.project.firmware_path / "tools/scripts/build.sh"
    with builds.sole_build(script_path, lambda: None, 1.0), pytest.raises(looks.NothingToWatch) as raised:
        watch(desk, timeout_s=700.0)
    assert "none came in 700 seconds" in str(raised.value)


@pytest.mark.parametrize(("timeout_s", "waited_s"), [(1000.0, 80), (30.0, 30), (0.0, 0)])
def test_an_update_that_does_not_come_ends_it_in_time(desk: Desk, timeout_s: float, waited_s: float) -> None:
    desk.run("delete.update", "--force").done()
    with pytest.raises(looks.NothingToWatch) as raised:
        watch(desk, timeout_s=timeout_s)
    assert raised.value.exit_code == 2
    assert (f"none came in {waited_s} seconds" in str(raised.value)) == bool(waited_s), str(raised.value)


def test_an_update_that_is_being_replaced_is_waited_for(desk: Desk) -> None:
    desk.control.pause(4.0)
    desk.iot.delete_ota_update(otaUpdateId=UPDATE, deleteStream=True, forceDeleteAWSJob=True)

    def again() -> None:
        desk.control.pause(0)
        desk.control.advance_clock(4.0)
        desk.project.run("all").done()

    status, out, err = watch(desk, again, timeout_s=200.0)
    assert (status, "QUEUED" in out) == (3, True), out + err
    assert f"AWS is deleting the OTA update {UPDATE}" in err


def test_an_update_that_aws_could_not_make_is_nothing_to_watch(desk: Desk) -> None:
    desk.run("clean").done()
    desk.make_foreign_update(is_ours=True)
    result = desk.run("watch")
    assert result.status == 2
    assert "AWS could not make the OTA update" in result.err
    assert "invoke doctor" in result.err
