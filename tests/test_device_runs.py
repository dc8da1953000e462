"""``invoke device`` as its users meet it, on a sandbox of its own."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ota.device_runs import MOST_DEVICES, read_wish
from ota.errors import OtaError
from ota.sandbox import process
from tests.conftest import client
from tests.project import HEADER, IMAGE, Project, Result, built_tree

THING = "sandbox-thing"
JOB = f"AFR_OTA-{THING}_update"
PATIENCE_S = 60


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_tree(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, built: Path) -> Iterator[Project]:
    """A project with a sandbox of its own, whose signing key is made already."""
    project = Project(tmp_path_factory.mktemp("device") / "project", {}, has_firmware=False)
    project.run("sandbox").done()
    shutil.copytree(built / "certs", project.root_path / ".sandbox/firmware/certs")
    yield project
    process.stop(project.root_path / ".sandbox")


@pytest.fixture(scope="module")
def first(home: Project) -> Result:
    """The whole loop, as the README has it."""
    return home.run("sandbox", "all", "device").done()


@pytest.fixture
def project(home: Project, first: Result) -> Project:
    assert first.status == 0
    return home


def sandbox_path(project: Project, *parts: str) -> Path:
    return project.root_path.joinpath(".sandbox", *parts)


def service(project: Project, name: str) -> Any:
    address = process.read_address(sandbox_path(project))
    assert address is not None
    return client(name, address)


def execution(project: Project, job_id: str = JOB, thing_name: str = THING) -> dict[str, Any]:
    found: dict[str, Any] = service(project, "iot").describe_job_execution(jobId=job_id, thingName=thing_name)
    return found["execution"]


def offer_again(project: Project) -> None:
    """The same update, new."""
    project.run_here("sandbox", "delete.update", "--force").done()
    project.run_here("sandbox", "with", "--skip-build", "true", "update").done()


class TestTheWholeLoop:
    def test_ends_with_the_execution_succeeded(self, first: Result, home: Project) -> None:
        assert execution(home)["status"] == "SUCCEEDED"
        (line,) = [rest for noun, verb, rest in first.outcomes if (noun, verb) == ("device", "changed")]
        assert "0.0.10+0 -> 0.0.20+20" in line
        assert "596,736 bytes" in line

    def test_leaves_the_built_image_in_the_device_s_flash(self, first: Result, home: Project) -> None:
        (path,) = re.findall(r", image (\S+)$", first.out, re.MULTILINE)
        assert (home.root_path / path).read_bytes() == sandbox_path(home, "firmware/build", IMAGE).read_bytes()

    def test_tells_each_step_and_the_rate_in_plain_lines(self, first: Result) -> None:
        assert re.search(r"^sandbox-thing: loaded 596,736 of 596,736 bytes, [0-9.]+ MB/s$", first.out, re.MULTILINE)
        assert "reports SUCCEEDED, updatedBy 0" in first.out
        assert first.err == ""

    def test_says_beforehand_that_a_virtual_device_can_take_it(self, first: Result) -> None:
        assert "`invoke sandbox device`" in first.out


def test_nothing_offered_is_said_and_is_no_failure(project: Project) -> None:
    result = project.run_here("sandbox", "device").done()
    assert ("device", "skipped") in result.verbs
    assert "no job is offered" in result.out


def test_the_same_image_again_fails_and_fresh_from_the_factory_it_succeeds(project: Project) -> None:
    offer_again(project)
    result = project.run_here("sandbox", "device").failed("does not count as higher", "--running-version 0.0.20+20")
    assert ("device", "reused") in result.verbs
    assert execution(project)["status"] == "FAILED"
    offer_again(project)
    project.run_here("sandbox", "device", "--fresh", "--encoding", "cbor").done()
    assert execution(project)["status"] == "SUCCEEDED"


def test_after_clean_a_new_certificate_is_a_newly_flashed_device(project: Project) -> None:
    project.run_here("sandbox", "clean").done()
    shutil.rmtree(sandbox_path(project, "certificates"))
    result = project.run("sandbox", "all", "device").done()
    assert "flashed anew" in result.out
    assert execution(project)["status"] == "SUCCEEDED"


def test_json_is_one_document(project: Project) -> None:
    offer_again(project)
    result = project.run_here("sandbox", "device", "--fresh", "--json").done()
    (told,) = json.loads(result.out)
    assert (told["thing"], told["status"], told["job"], told["bytes"]) == (THING, "SUCCEEDED", JOB, 596736)
    assert Path(told["image"]).is_file()
    assert "reports SUCCEEDED" in result.err
    (told,) = json.loads(project.run_here("sandbox", "device", "--json").done().out)
    assert told["status"] == "NOTHING_OFFERED"


def test_on_a_terminal_progress_is_a_bar(project: Project) -> None:
    offer_again(project)
    result = project.run_on_terminal("sandbox", "device", "--fresh")
    assert result.status == 0, result.out
    assert f"{THING} loads non_secure image" in result.out
    assert " bytes, " not in result.out.split("offered")[0]
    assert "MB/s" in result.out or "kB/s" in result.out or "bytes/s" in result.out


def test_a_fault_ends_with_status_1_and_words(project: Project) -> None:
    offer_again(project)
    project.run_here("sandbox", "device", "--fresh", "--fault", "power-cut").failed("run the device again")
    assert execution(project)["statusDetails"]["detailsMap"] == {"updatedBy": "0"}
    project.run_here("sandbox", "device").done()
    assert execution(project)["status"] == "SUCCEEDED"


def test_a_refusal_is_told_by_the_statement_and_the_task_that_mends_it(project: Project) -> None:
    offer_again(project)
    iot = service(project, "iot")
    policy = f"{THING}_policy"
    document = json.loads(iot.get_policy(policyName=policy)["policyDocument"])
    del document["Statement"][1]
    iot.create_policy_version(policyName=policy, policyDocument=json.dumps(document), setAsDefault=True)
    result = project.run_here("sandbox", "device", "--fresh")
    result.failed("SUBACK 0x80", "no statement of", "iot:Subscribe", "`invoke sandbox policy`")
    project.run_here("sandbox", "policy").done()
    project.run_here("sandbox", "device").done()


def test_it_stays_and_takes_updates_as_they_come(project: Project) -> None:
    running = project.start("sandbox", "device", "--fresh", "--forever")
    try:
        _wait_for(running, "connected to")
        offer_again(project)
        text = _wait_for(running, "SUCCEEDED, 596,736 bytes")
        assert "Traceback" not in text
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=PATIENCE_S)
        assert running.returncode == 130
        assert "Interrupted" in errors
    finally:
        running.kill()
        running.communicate()
    assert execution(project)["status"] == "SUCCEEDED"


def test_one_that_stays_ends_when_its_time_is_up(project: Project) -> None:
    result = project.run_here("sandbox", "device", "--forever", "--timeout", "0.5").done()
    assert ("device", "changed") not in result.verbs


def test_one_that_stayed_tells_by_its_status_that_an_update_failed(project: Project) -> None:
    offer_again(project)
    result = project.run_here("sandbox", "device", "--forever", "--timeout", "8")
    result.failed("does not count as higher")


def test_one_that_stays_gets_over_a_refusal(project: Project) -> None:
    offer_again(project)
    key = sandbox_path(project, "firmware/certs/public_key.pem")
    kept = key.read_bytes()
    other = subprocess.run(["openssl", "genrsa", "3072"], capture_output=True, check=True).stdout
    key.write_bytes(subprocess.run(["openssl", "rsa", "-pubout"], input=other, capture_output=True, check=True).stdout)
    try:
        result = project.run_here("sandbox", "device", "--fresh", "--forever", "--timeout", "3")
    finally:
        key.write_bytes(kept)
    result.failed("the signature does not hold")
    assert result.err.count("the signature does not hold") == 2
    project.run_here("sandbox", "device").done()


class TestTheHeader:
    @pytest.fixture
    def header(self, project: Project) -> Iterator[Path]:
        path = sandbox_path(project, "firmware") / HEADER
        kept = path.read_bytes()
        yield path
        path.write_bytes(kept)

    def test_that_names_another_endpoint_is_no_way_to_this_cloud(self, project: Project, header: Path) -> None:
        header.write_bytes(re.sub(rb"[a-z0-9]+-ats\.iot", b"other-ats.iot", header.read_bytes()))
        result = project.run_here("sandbox", "device")
        result.failed("'other-ats.iot.eu-west-1.amazonaws.com'", "the sandbox's is", "`invoke sandbox thing`")

    def test_that_names_another_thing_would_connect_by_that_name(self, project: Project, header: Path) -> None:
        header.write_bytes(header.read_bytes().replace(b'"sandbox-thing"', b'"other"'))
        project.run_here("sandbox", "device").failed("names the thing 'other'", "`invoke sandbox thing`")

    def test_that_names_nothing_yet_is_said(self, project: Project, header: Path) -> None:
        text = re.sub(rb"[a-z0-9]+-ats\.iot\.eu-west-1", b"dummy.endpointid", header.read_bytes())
        header.write_bytes(text)
        project.run_here("sandbox", "device").failed("names no endpoint yet", "`invoke sandbox thing`")

    def test_that_is_not_there_leaves_the_account_s_endpoint(self, project: Project) -> None:
        key = sandbox_path(project, "firmware/certs/public_key.pem")
        flags = ["--firmware-root", "/nowhere", "--code-signing-public-key", str(key)]
        result = project.run_here("sandbox", "with", *flags, "device").done()
        assert "there is no firmware's header" in result.err


def test_without_certificate_files_it_is_nobody(project: Project) -> None:
    header = sandbox_path(project, "firmware") / HEADER
    kept = header.read_bytes()
    header.write_bytes(kept.replace(b'"sandbox-thing"', b'"nobody"'))
    try:
        result = project.run_here("sandbox", "with", "--thing-name", "nobody", "device")
    finally:
        header.write_bytes(kept)
    result.failed("thing_certificate_nobody.pem.crt", "`invoke sandbox with --thing-name nobody thing`")


def test_without_the_signer_s_key_nothing_is_begun(project: Project) -> None:
    project.run_here("sandbox", "with", "--code-signing-public-key", "/no.pem", "device").failed("/no.pem")


def test_on_aws_it_goes_where_the_header_says_and_needs_no_credentials(project: Project) -> None:
    """The name is one that never resolves, so that nothing outside is asked."""
    firmware = sandbox_path(project, "firmware")
    certificates = sandbox_path(project, "certificates")
    header = firmware / HEADER
    kept = header.read_bytes()
    header.write_bytes(re.sub(rb"[a-z0-9]+-ats\.iot\.eu-west-1\.amazonaws\.com", b"nothing.invalid", kept))
    flags = ["--thing-name", THING, "--target-application", "keyword-detection"]
    flags += ["--firmware-root", str(firmware), "--credentials-path", str(certificates)]
    try:
        result = project.run_here("with", *flags, "device")
    finally:
        header.write_bytes(kept)
    result.failed("nothing.invalid cannot be reached on port 8883", "the endpoint in the firmware's header")
    assert (project.root_path / ".device" / THING).is_dir()


class TestManyAtOnce:
    def test_all_take_the_update_correctly(self, project: Project) -> None:
        words = ["with", "--skip-build", "true", "device", "--count", "20", "--fresh"]
        result = project.run_here("sandbox", *words).done()
        changed = [rest for noun, verb, rest in result.outcomes if (noun, verb) == ("device", "changed")]
        assert len(changed) == 20
        image = sandbox_path(project, "firmware/build", IMAGE).read_bytes()
        for number in range(1, 21):
            name = f"{THING}-{number}"
            assert execution(project, f"{JOB}-rehearsal", name)["status"] == "SUCCEEDED"
            assert sandbox_path(project, "device", name, "non_secure_image.b.bin").read_bytes() == image

    def test_again_with_fewer_and_a_fault_says_how_many_fail(self, project: Project) -> None:
        result = project.run_here(
            "sandbox", "with", "--skip-build", "true", "device", "--count", "2", "--fresh", "--fault", "same-version"
        )
        result.failed("2 of 2 devices do not run the update", f"{THING}-2: ")
        job = service(project, "iot").describe_job(jobId=f"{JOB}-rehearsal")["job"]
        assert job["jobProcessDetails"]["numberOfFailedThings"] == 2

    def test_json_is_one_document_for_all(self, project: Project) -> None:
        words = ["with", "--skip-build", "true", "device", "--count", "3", "--fresh", "--json"]
        told = json.loads(project.run_here("sandbox", *words).done().out)
        assert [(one["thing"], one["status"]) for one in told] == [
            (f"{THING}-{number}", "SUCCEEDED") for number in (1, 2, 3)
        ]

    def test_on_aws_their_certificates_have_to_be_there(self, project: Project) -> None:
        firmware = sandbox_path(project, "firmware")
        flags = ["--thing-name", THING, "--target-application", "keyword-detection"]
        flags += ["--firmware-root", str(firmware), "--credentials-path", "empty"]
        result = project.run_here("with", *flags, "device", "--count", "2")
        result.failed(f"thing_certificate_{THING}-1.pem.crt", f"--thing-name {THING}-1 thing`")


FLAGS = {
    "encoding": "json",
    "fault": "",
    "faithful": False,
    "forever": False,
    "fresh": False,
    "count": 1,
    "timeout": "",
    "as_json": False,
}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"encoding": "xml"}, "json or cbor"),
        ({"encoding": "cbor", "faithful": True}, "leave --encoding out"),
        ({"fault": "fire"}, "choose one of bad-signature"),
        ({"count": 0}, f"from 1 to {MOST_DEVICES}"),
        ({"count": 101}, f"from 1 to {MOST_DEVICES}"),
        ({"forever": True, "count": 2}, "for one device"),
        ({"forever": True, "fault": "rejects"}, "without a fault"),
        ({"timeout": "soon"}, "write seconds"),
        ({"timeout": "-1"}, "write seconds"),
        ({"timeout": "nan"}, "write seconds"),
    ],
)
def test_flags_that_cannot_be_are_refused(flags: dict[str, Any], words: str) -> None:
    with pytest.raises(OtaError, match=words):
        read_wish(**{**FLAGS, **flags})


@pytest.mark.parametrize(
    ("flags", "timeout_s"), [({}, 900), ({"timeout": "5"}, 5), ({"forever": True}, None)], ids=["", "5", "forever"]
)
def test_all_has_an_end_but_for_one_that_stays(flags: dict[str, Any], timeout_s: float | None) -> None:
    assert read_wish(**{**FLAGS, **flags}).timeout_s == timeout_s


def test_a_firmware_that_compares_no_versions_cannot_play_the_same_version(project: Project) -> None:
    result = project.run_here(
        "sandbox", "with", "--firmware-profile", "jobs-library", "device", "--fault", "same-version"
    )
    result.failed("compares no versions")


def _wait_for(running: subprocess.Popen[str], words: str) -> str:
    seen, deadline = "", time.monotonic() + PATIENCE_S
    assert running.stdout is not None
    while words not in seen and time.monotonic() < deadline:
        line = running.stdout.readline()
        assert line, seen
        seen += line
    assert words in seen
    return seen
