"""``invoke device`` as its users meet it, on a sandbox that one process keeps."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.device.device_home import JOB, THING, Home
from tests.device.device_world import public_key_pem
from tests.project import HEADER, IMAGE, Begun

PATIENCE_S = 60


@pytest.fixture
def offered(home: Home) -> Home:
    home.offer()
    return home


def test_the_whole_loop_ends_with_the_built_image_in_the_device_s_flash(home: Home) -> None:
    result = home.run_here("delete.update", "--force", "all", "device", "--fresh").done()
    assert "`invoke sandbox device`" in result.out
    (line,) = [rest for noun, verb, rest in result.outcomes if (noun, verb) == ("device", "changed")]
    assert "0.0.10+0 -> 0.0.20+20" in line
    assert "596,736 bytes" in line
    assert re.search(r"^sandbox-thing: loaded 596,736 of 596,736 bytes, [0-9.]+ MB/s$", result.out, re.MULTILINE)
    assert "reports SUCCEEDED, updatedBy 0" in result.out
    assert result.err.splitlines() == [line for line in result.err.splitlines() if "no AWS account is touched" in line]
    assert home.execution()["status"] == "SUCCEEDED"
    (path,) = re.findall(r", image (\S+)$", result.out, re.MULTILINE)
    assert (home.root_path / path).read_bytes() == home.path("firmware/build", IMAGE).read_bytes()
    again = home.run_here("device").done()
    assert ("device", "skipped") in again.verbs
    assert "no job is offered" in again.out


def test_the_same_image_again_fails_and_fresh_from_the_factory_it_succeeds(offered: Home) -> None:
    offered.run_here("device", "--fresh", "--encoding", "cbor").done()
    offered.offer()
    result = offered.run_here("device").failed("does not count as higher", "--running-version 0.0.20+20")
    assert ("device", "reused") in result.verbs
    assert offered.execution()["status"] == "FAILED"


def test_after_clean_a_new_certificate_is_a_newly_flashed_device(home: Home) -> None:
    home.run_here("clean").done()
    shutil.rmtree(home.path("certificates"))
    assert "flashed anew" in home.run_here("all", "device").done().out
    assert home.execution()["status"] == "SUCCEEDED"


def test_json_is_one_document(offered: Home) -> None:
    result = offered.run_here("device", "--fresh", "--json").done()
    (told,) = json.loads(result.out)
    assert (told["thing"], told["status"], told["job"], told["bytes"]) == (THING, "SUCCEEDED", JOB, 596736)
    assert Path(told["image"]).is_file()
    assert "reports SUCCEEDED" in result.err
    (told,) = json.loads(offered.run_here("device", "--json").done().out)
    assert told["status"] == "NOTHING_OFFERED"


def test_on_a_terminal_progress_is_a_bar(offered: Home) -> None:
    result = offered.run_on_terminal("device", "--fresh")
    assert result.status == 0, result.out
    assert f"{THING} loads non_secure image" in result.out
    assert " bytes, " not in result.out.split("offered")[0]
    assert "MB/s" in result.out or "kB/s" in result.out or "bytes/s" in result.out


@pytest.mark.parametrize(
    ("fault", "watched", "words"),
    [
        ("power-cut", 3, "Go on with `invoke sandbox watch`"),
        ("same-version", 4, "Not every device runs the update (1 FAILED)."),
    ],
)
def test_a_fault_ends_with_a_status_and_words_here_and_where_it_is_watched(
    offered: Home, fault: str, watched: int, words: str
) -> None:
    offered.run_here("device", "--fresh", "--fault", fault).failed()
    seen = offered.run_here("watch", "--timeout", "0.1")
    assert (seen.status, words in seen.out) == (watched, True), seen.text
    if fault == "power-cut":
        offered.run_here("device").done()
        assert offered.run_here("watch").done().out.endswith("(1 SUCCEEDED).\n")


def test_a_refusal_is_told_by_the_statement_and_the_task_that_mends_it(offered: Home) -> None:
    iot = offered.service("iot")
    policy = f"{THING}_policy"
    document = json.loads(iot.get_policy(policyName=policy)["policyDocument"])
    del document["Statement"][1]
    iot.create_policy_version(policyName=policy, policyDocument=json.dumps(document), setAsDefault=True)
    result = offered.run_here("device", "--fresh")
    result.failed("SUBACK 0x80", "no statement of", "iot:Subscribe", "`invoke sandbox policy`")
    offered.run_here("policy", "device").done()


class TestOneThatStays:
    def test_takes_updates_as_they_come_and_all_shows_how_it_does(self, home: Home) -> None:
        home.run_here("delete.update", "--force").done()  # or the device would take it first
        with home.start("device", "--fresh", "--forever") as running:
            _wait_for(running, "connected to")
            result = home.offer()
            assert f"The virtual device {THING} runs already" in result.out
            assert result.out.endswith("Done: every device runs the update (1 SUCCEEDED).\n"), result.out
            assert "Next:" not in result.out
            assert "Traceback" not in _wait_for(running, "SUCCEEDED, 596,736 bytes")
            running.send_signal(signal.SIGINT)
            _, errors = running.communicate(timeout=PATIENCE_S)
            assert running.returncode == 130
            assert "Interrupted" in errors

    def test_ends_when_its_time_is_up(self, home: Home) -> None:
        home.run_here("device").done()  # whatever is offered is taken
        result = home.run_here("device", "--forever", "--timeout", "3").done()
        assert ("device", "changed") not in result.verbs

    def test_tells_in_the_end_that_an_update_failed(self, offered: Home) -> None:
        offered.run_here("device", "--fresh").done()
        offered.offer()
        said, why = offered.stay(until="reports FAILED", is_fresh=False)
        assert said.count("reports FAILED") == 1
        assert "does not count as higher" in why

    def test_gets_over_a_refusal(self, offered: Home) -> None:
        key = offered.path("firmware/certs/public_key.pem")
        with changed(key, lambda _: public_key_pem("RSA-3072").decode()):
            said, why = offered.stay(until="the signature does not match")
        assert "the signature does not match" in why
        assert said.count("the signature does not match") == 1
        offered.run_here("device").done()


class TestTheHeader:
    @pytest.mark.parametrize(
        ("pattern", "text", "words"),
        [
            pytest.param(
                "[a-z0-9]+-ats.iot",
                "other-ats.iot",
                ("'other-ats.iot.eu-west-1.amazonaws.com'", "the sandbox's is"),
                id="that names another endpoint is no way to this cloud",
            ),
            pytest.param(
                f'"{THING}"',
                '"other"',
                ("names the thing 'other'",),
                id="that names another thing would connect by that name",
            ),
            pytest.param(
                "[a-z0-9]+-ats.iot.eu-west-1",
                "dummy.endpointid",
                ("names no endpoint yet",),
                id="that names nothing yet is said",
            ),
        ],
    )
    def test_is_part_of_the_proof(self, home: Home, pattern: str, text: str, words: tuple[str, ...]) -> None:
        with changed(home.path("firmware", HEADER), lambda before: re.sub(pattern, text, before)):
            home.run_here("device").failed(*words, "`invoke sandbox thing`")

    def test_that_is_not_there_leaves_the_account_s_endpoint(self, home: Home) -> None:
        key = home.path("firmware/certs/public_key.pem")
        flags = ["--firmware-root", "/nowhere", "--code-signing-public-key", str(key)]
        assert "there is no firmware's header" in home.run_here("with", *flags, "device", "--fresh").done().err


def test_without_certificate_files_it_is_nobody(home: Home) -> None:
    with changed(home.path("firmware", HEADER), lambda text: text.replace(f'"{THING}"', '"nobody"')):
        result = home.run_here("with", "--thing-name", "nobody", "device")
    result.failed("thing_certificate_nobody.pem.crt", "`invoke sandbox with --thing-name nobody thing`")


def test_before_all_it_says_what_to_run_first(home: Home) -> None:
    with moved_away(home.path("firmware/certs")):
        home.run_here("device").failed("there is no public key", "Run `invoke sandbox all` first")
    home.run_here("delete.update", "--force").done()
    assert "no job is offered to it (`invoke sandbox all` offers one" in home.run_here("device").done().out


def test_without_the_signer_s_key_nothing_is_begun(home: Home) -> None:
    result = home.run_here("with", "--code-signing-public-key", "/no.pem", "device")
    result.failed("/no.pem", "Run `invoke sandbox with --code-signing-public-key /no.pem all` first")


def test_on_aws_it_goes_where_the_header_says_and_needs_no_credentials(home: Home) -> None:
    """The name is one that never resolves, so that nothing outside is asked."""
    firmware = home.path("firmware")
    flags = ["--thing-name", THING, "--target-application", "keyword-detection"]
    flags += ["--firmware-root", str(firmware), "--credentials-path", str(home.path("certificates"))]
    elsewhere = re.compile(r"[a-z0-9]+-ats\.iot\.eu-west-1\.amazonaws\.com")
    with changed(firmware / HEADER, lambda text: elsewhere.sub("nothing.invalid", text)):
        result = home.run_here("with", *flags, "device", OTA_SANDBOX="")
    result.failed("nothing.invalid cannot be reached on port 8883", "the endpoint in the firmware's header")
    assert (home.root_path / ".device" / THING).is_dir()


def test_a_firmware_that_compares_no_versions_cannot_play_the_same_version(home: Home) -> None:
    flags = ["--firmware-profile", "jobs-library"]
    home.run_here("with", *flags, "device", "--fault", "same-version").failed("compares no versions")


@contextlib.contextmanager
def moved_away(folder: Path) -> Iterator[None]:
    """The folder under another name for a while."""
    elsewhere = folder.rename(folder.with_name(f"{folder.name}-elsewhere"))
    try:
        yield
    finally:
        elsewhere.rename(folder)


@contextlib.contextmanager
def changed(path: Path, change: Callable[[str], str]) -> Iterator[None]:
    """The file with other content for a while."""
    before = path.read_bytes()
    path.write_text(change(before.decode()))
    try:
        yield
    finally:
        path.write_bytes(before)


def _wait_for(running: Begun, words: str) -> str:
    seen, deadline = "", time.monotonic() + PATIENCE_S
    while words not in seen and time.monotonic() < deadline:
        line = running.stdout.readline()
        assert line, seen
        seen += line
    assert words in seen
    return seen
