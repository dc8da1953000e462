"""Many virtual devices: from a list to a rollout in one command line, what fails by its cause, and all taken down."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from ota.device.device import DeviceResult
from ota.device.faults import assign_faults, read_fault_shares
from ota.device.many_runs import group_results
from ota.errors import OtaError
from tests.device.device_home import JOB, THING, Home
from tests.project import Project, Result

GROUP = f"{THING}-fleet"
COUNT = 10
QUICK = {"OTA_DEVICE_KEY_TYPE": "EC-P256"}  # an RSA key takes a third of a second
NAMES = [f"lamp-{number}" for number in range(500)]


@pytest.fixture
def bare(home: Home) -> Iterator[Home]:
    """The home without registered devices; the next test finds it as it was."""
    yield home
    home.run_here("clean", "--local").done()
    home.run_here("all").done()


def run(project: Project, *line: str) -> Result:
    return project.run_here("with", "--skip-build", "true", *line, **QUICK)


def statuses(home: Home) -> Counter[str]:
    listed = home.service("iot").list_job_executions_for_job(jobId=JOB, maxResults=250)["executionSummaries"]
    return Counter(one["jobExecutionSummary"]["status"] for one in listed)


def things(home: Home) -> list[str]:
    return sorted(one["thingName"] for one in home.service("iot").list_things()["things"])


def test_fifty_devices_from_a_list_to_the_end_of_the_rollout(bare: Home) -> None:
    result = run(bare, "register", "--count", "50", "all", "device", "--count", "50", "watch").done()
    (line,) = [rest for noun, verb, rest in result.outcomes if (noun, verb) == ("devices", "changed")]
    assert re.match(rf"50 of 50 +0\.0\.10\+0 -> 0\.0\.20\+20, job {JOB}, 50 in [\d.]+ s, [\d.]+ a second$", line)
    assert result.out.splitlines()[-1] == "Done: every device runs the update (50 SUCCEEDED)."
    assert statuses(bare) == {"SUCCEEDED": 50}
    assert [noun for noun, _, _ in result.outcomes if noun == "device"] == []
    for number in (1, 25, 50):
        state = json.loads(bare.path("device", f"{THING}-{number}", "state.json").read_text())
        assert [one["version"] for one in state["running"].values()] == ["0.0.20+20"]
    assert list(bare.path("device").glob(f"{THING}-*/*.bin")) == []
    again = run(bare, "device", "--count", "50").done()
    assert "no job is offered" in again.out
    assert run(bare, "status").done().out.splitlines()[-1].endswith("is set up, and runs the update.")


def test_where_none_is_registered_they_are_and_clean_takes_all_of_it_down(bare: Home) -> None:
    iot = bare.service("iot")
    iot.create_thing(thingName="stranger")
    result = run(bare, "device", "--count", "3").done()
    assert {("group", "created"), ("devices", "created"), ("devices", "changed")} <= set(result.verbs)
    run(bare, "device", "--count", "4").failed("3 devices are registered", "register --count 4")
    planned = json.loads(bare.run_here("clean", "--plan", "--json").done().out)["steps"]
    result = bare.run_here("clean").done()
    assert Counter((one["noun"], f"{one['action']}d") for one in planned) == Counter(result.verbs)
    assert (things(bare), iot.list_thing_groups()["thingGroups"]) == (["stranger"], [])
    assert (iot.list_certificates()["certificates"], iot.list_ota_updates()["otaUpdates"]) == ([], [])
    iot.delete_thing(thingName="stranger")
    assert f"{THING} is offered" in run(bare, "all").done().out, "the group is forgotten with its devices"


def test_a_share_of_them_goes_wrong_and_the_causes_are_told_together(bare: Home) -> None:
    flags = ["--fault", "same-version:20%", "--fault", "rejects:10%", "--fault", "bad-signature:10%"]
    result = run(bare, "device", "--count", str(COUNT), *flags)
    result.failed(
        "4 of 10 devices do not run the update.",
        "2: 0.0.20+20 does not count as higher",
        "1: the device refuses the job",
        "1: the signature does not match",
    )
    assert ("devices", "changed") in result.verbs
    assert statuses(bare) == {"SUCCEEDED": 6, "FAILED": 2, "REJECTED": 1, "IN_PROGRESS": 1}
    run(bare, "delete.update", "--force", "all").done()
    told = json.loads(run(bare, "device", "--count", str(COUNT), "--fresh", "--json").done().out)
    assert [one["thing"] for one in told] == [f"{THING}-{number}" for number in range(1, COUNT + 1)]
    assert {one["status"] for one in told} == {"SUCCEEDED"}


def test_on_aws_their_certificates_have_to_be_there(home: Home) -> None:
    flags = ["--thing-name", THING, "--target-application", "keyword-detection", "--thing-group-name", "lamps"]
    flags += ["--firmware-root", str(home.path("firmware")), "--credentials-path", "empty"]
    result = home.run_here("with", *flags, "device", "--count", "2", OTA_SANDBOX="")
    result.failed("0 devices are registered", "empty/lamps", "register --file devices.csv")


@pytest.mark.parametrize("texts", [["rejects:5%", "bad-signature:8%"], ["rejects:0.4%"], ["rejects"]], ids=str)
def test_a_share_of_the_devices_is_the_same_ones_every_time(texts: list[str]) -> None:
    shares = read_fault_shares(texts)
    assigned = assign_faults(NAMES, shares)
    assert assigned == assign_faults(NAMES[::-1], shares)
    assert Counter(fault.name for fault in assigned.values()) == {
        share.fault.name: round(len(NAMES) * share.percent / 100) for share in shares
    }


def test_the_faulty_ones_are_spread_over_the_devices() -> None:
    assigned = assign_faults(NAMES, read_fault_shares(["rejects:20%"]))
    assert all(10 < sum(name in assigned for name in NAMES[part : part + 100]) < 30 for part in range(0, 500, 100))
    assert assign_faults(NAMES, ()) == {}


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["fire:5%"], "choose one of bad-signature"),
        (["rejects:5"], "such as rejects:5%"),
        (["rejects:0%"], "such as rejects:5%"),
        (["rejects:101%"], "such as rejects:5%"),
        (["rejects:60%", "times-out:50%"], "more than 100 %"),
        (["rejects", "times-out"], "more than 100 %"),
    ],
    ids=str,
)
def test_a_share_that_cannot_be_is_refused(texts: list[str], words: str) -> None:
    with pytest.raises(OtaError, match=words):
        read_fault_shares(texts)


def test_failures_are_grouped_by_their_kind() -> None:
    def failed(number: int, kind: str = "", status: str = "FAILED") -> DeviceResult:
        return DeviceResult(f"d-{number}", status, kind=kind)

    results = [failed(1, "A"), failed(2), *(failed(number, "B") for number in range(3, 10)), failed(10, status="")]
    results.append(failed(11, status="SUCCEEDED"))
    groups = [(len(one.results), one.names) for one in group_results(results)]
    assert groups == [(7, "d-3, d-4, d-5, d-6, d-7 and 2 more"), (1, "d-1"), (1, "d-2")]


@pytest.mark.long
def test_two_thousand_devices(bare: Home) -> None:
    line: list[Any] = ["register", "--count", "2000", "all", "device", "--count", "2000"]
    result = run(bare, *line, "--timeout", "3000", "--fault", "rejects:5%", "--fault", "same-version:3%")
    result.failed("160 of 2,000 devices do not run the update.")
    watched = run(bare, "watch")
    assert watched.status == 4, watched.text
    assert "(1,840 SUCCEEDED, 60 FAILED, 100 REJECTED)" in watched.out.splitlines()[-1]
