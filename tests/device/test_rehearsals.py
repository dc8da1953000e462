"""Many devices at once: what a rehearsal makes, what it tells, and that all of it can be taken down again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ota.cloud import Cloud, open_sandbox
from ota.device import rehearsals
from ota.outcomes import Outcome
from ota.settings.settings import Settings, load_settings
from tests.conftest import ACCOUNT, REGION
from tests.device.device_home import JOB, THING, Home
from tests.device.device_world import make_elliptic_key
from tests.project import IMAGE

MARKED = {"managed-by": "ota-tasks", "ota-thing": THING}
GROUP = f"{THING}-rehearsal"


def rehearse(home: Home, count: int, *flags: str) -> Any:
    return home.run_here("with", "--skip-build", "true", "device", "--count", str(count), "--fresh", *flags)


@pytest.fixture
def settings(home: Home) -> Settings:
    found = load_settings(home.root_path, environ={}, is_sandbox=True)
    return found.with_account(ACCOUNT, REGION)


@pytest.fixture
def cloud(home: Home) -> Cloud:
    return open_sandbox(home.control.address.endpoint_url, REGION)


@pytest.fixture
def take_down(cloud: Cloud, settings: Settings) -> Iterator[Callable[[], list[str]]]:
    """Takes down, and tells the lines; once more in the end, so that nothing is left for the next test."""

    def take() -> list[str]:
        outcomes: list[Outcome[Any]] = []
        assert rehearsals.take_down(cloud, settings, outcomes.append) == []
        return [f"{one.noun} {one.verb.value} {one.name}" for one in outcomes]

    yield take
    take()


def put_small_keys(home: Home, count: int) -> None:
    """Elliptic keys in place of the RSA ones that the tool would make, for those take a third of a second each."""
    for name in rehearsals.thing_names(THING, count):
        path = home.path("certificates", f"thing_private_key_{name}.pem.key")
        path.touch(mode=0o600)
        path.write_bytes(make_elliptic_key())


def things_in(home: Home) -> list[str]:
    return sorted(one["thingName"] for one in home.service("iot").list_things()["things"])


def test_twenty_devices_take_the_update_correctly(home: Home, take_down: Callable[[], list[str]]) -> None:
    put_small_keys(home, 20)
    result = rehearse(home, 20).done()
    changed = [rest for noun, verb, rest in result.outcomes if (noun, verb) == ("device", "changed")]
    assert len(changed) == 20
    image = home.path("firmware/build", IMAGE).read_bytes()
    listed = home.service("iot").list_job_executions_for_job(jobId=f"{JOB}-rehearsal")["executionSummaries"]
    assert [one["jobExecutionSummary"]["status"] for one in listed] == ["SUCCEEDED"] * 20
    for name in rehearsals.thing_names(THING, 20):
        assert home.path("device", name, "non_secure_image.b.bin").read_bytes() == image
    assert take_down() == [f"update deleted {JOB.removeprefix('AFR_OTA-')}-rehearsal", f"things deleted {THING}-1"]


def test_again_with_fewer_and_a_fault_says_how_many_fail_and_clears_up_what_there_ever_was(
    home: Home, take_down: Callable[[], list[str]]
) -> None:
    put_small_keys(home, 3)
    told = json.loads(rehearse(home, 3, "--json").done().out)
    assert [(one["thing"], one["status"]) for one in told] == [
        (name, "SUCCEEDED") for name in rehearsals.thing_names(THING, 3)
    ]
    result = rehearse(home, 2, "--fault", "same-version")
    result.failed("2 of 2 devices do not run the update", f"{THING}-2: ")
    job = home.service("iot").describe_job(jobId=f"{JOB}-rehearsal")["job"]
    assert job["jobProcessDetails"]["numberOfFailedThings"] == 2
    assert len(things_in(home)) == 4
    take_down()
    assert things_in(home) == [THING]
    assert list(home.path("certificates").glob(f"*{THING}-*")) == []
    assert len(home.service("iot").list_certificates()["certificates"]) == 1
    home.run_here("all").done()


@pytest.mark.usefixtures("take_down")
def test_a_second_rehearsal_begins_with_the_things_there_and_devices_from_the_factory(home: Home) -> None:
    put_small_keys(home, 2)
    for verb in ("created", "reused"):
        result = home.run_here("with", "--skip-build", "true", "device", "--count", "2").done()
        assert ("things", verb) in result.verbs
        assert [rest for noun, done, rest in result.outcomes if (noun, done) == ("device", "changed")] != []
        assert ("device", "reused") not in result.verbs


@pytest.mark.usefixtures("take_down")
def test_clean_takes_it_down_too(home: Home) -> None:
    rehearse(home, 2).done()
    planned = json.loads(home.run_here("clean", "--plan", "--json").done().out)["steps"]
    result = home.run_here("clean").done()
    assert ("things", "deleted") in result.verbs
    assert sorted((one["noun"], f"{one['action']}d") for one in planned) == sorted(result.verbs)
    iot = home.service("iot")
    assert (things_in(home), iot.list_thing_groups()["thingGroups"]) == ([], [])
    assert (iot.list_certificates()["certificates"], iot.list_ota_updates()["otaUpdates"]) == ([], [])
    home.run_here("all").done()


def test_what_a_rehearsal_that_was_cut_off_made_is_found(home: Home, take_down: Callable[[], list[str]]) -> None:
    """It is cut off after a certificate, before that hangs on its thing; the other things are not made yet."""
    iot = home.service("iot")
    payload = {"attributes": {**MARKED, rehearsals.COUNT_KEY: "5"}}
    iot.create_thing_group(thingGroupName=GROUP, thingGroupProperties={"attributePayload": payload})
    home.run_here("with", "--thing-name", f"{THING}-2", "thing").done()
    (arn,) = iot.list_thing_principals(thingName=f"{THING}-2")["principals"]
    iot.detach_thing_principal(thingName=f"{THING}-2", principal=arn)
    home.run_here("thing").done()
    assert take_down() == [f"update absent {JOB.removeprefix('AFR_OTA-')}-rehearsal", f"things deleted {THING}-1"]
    assert things_in(home) == [THING]
    assert len(iot.list_certificates()["certificates"]) == 1
    assert iot.list_thing_groups()["thingGroups"] == []


def test_where_none_was_it_costs_one_call_and_says_nothing(home: Home, take_down: Callable[[], list[str]]) -> None:
    home.control.clear_calls()
    assert take_down() == []
    assert home.control.operations() == ["DescribeThingGroup"]


def test_a_thing_name_too_long_for_a_group_has_none(home: Home) -> None:
    assert rehearsals.find_group(home.service("iot"), "a" * 128) is None


def test_somebody_else_s_group_of_that_name_is_left(home: Home, take_down: Callable[[], list[str]]) -> None:
    iot = home.service("iot")
    iot.create_thing_group(thingGroupName=GROUP)
    assert take_down() == []
    assert len(iot.list_thing_groups()["thingGroups"]) == 1
    iot.delete_thing_group(thingGroupName=GROUP)


def test_on_aws_their_certificates_have_to_be_there(home: Home) -> None:
    flags = ["--thing-name", THING, "--target-application", "keyword-detection"]
    flags += ["--firmware-root", str(home.path("firmware")), "--credentials-path", "empty"]
    result = home.run_here("with", *flags, "device", "--count", "2", OTA_SANDBOX="")
    result.failed(f"thing_certificate_{THING}-1.pem.crt", f"`invoke with --thing-name {THING}-1 ", " thing` makes them")
