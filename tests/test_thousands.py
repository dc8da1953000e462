"""Thousands of objects: listed whole and quickly, and a pattern deletes the right ones among them only."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ota import cloud
from ota.manage.listings import Query, find_rows, make_listing
from ota.nouns import CERTIFICATE, LISTED, THING
from tests import full_sandbox
from tests.conftest import client
from tests.full_sandbox import EACH_OURS, Counts, is_ours, name_of
from tests.hand_made import Hands
from tests.project import Project, aws_project
from tests.sandbox_control import Control

COUNTS = Counts(things=1000, certificates=1000, policies=300, attached=200)
UPDATES = 120
TOTALS = {"things": 1000, "policies": 300, "certificates": 1000, "buckets": 1, "roles": 1, "updates": 120, "jobs": 120}
MOST_SECONDS = 10.0
ROUNDS = 3  # the machine does other things, too
PAGE = 250
WORKERS = 4


def test_thousands_are_listed_whole_and_a_pattern_deletes_the_right_ones_only(tmp_path: Path) -> None:
    """One test, for making them takes most of the time."""
    with full_sandbox.running(tmp_path / "sandbox", COUNTS) as address:
        hands = Hands(*(client(service, address) for service in ("iot", "s3", "iam")))
        project = aws_project(tmp_path / "project", address, has_firmware=False)
        account = cloud.open_sandbox(address.endpoint_url, address.region)
        _make_updates(hands)
        _check_that_lists_take_seconds(project)
        names = hands.names()
        _check_that_every_row_can_be_had(names, account)
        _check_what_is_ours(account)
        _check_the_calls(Control(address), account)
        _check_that_a_pattern_deletes_the_right_ones_only(names, hands, project)


def _make_updates(hands: Hands) -> None:
    hands.bucket("images", holds=("image.bin",))
    hands.role("helper", bucket="images")

    def update(number: int) -> None:
        hands.update(name_of(number), name_of(number), role="helper", bucket="images", ours=is_ours(number))

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(update, range(UPDATES)))


def _check_that_lists_take_seconds(project: Project) -> None:
    """As a user waits for them: from the command's start to its end."""
    took_s = []
    while min(took_s, default=MOST_SECONDS) >= MOST_SECONDS and len(took_s) < ROUNDS:
        begun = time.monotonic()
        found = json.loads(project.run("list", "--json").done().out)
        took_s.append(time.monotonic() - begun)
    assert {key: one["total"] for key, one in found.items() if one["total"]} == TOTALS
    assert all(len(one["rows"]) == min(one["total"], 25) for one in found.values())
    assert min(took_s) < MOST_SECONDS


def _check_that_every_row_can_be_had(names: dict[str, set[str]], account: cloud.Cloud) -> None:
    for noun in LISTED:
        assert {row.name for row in find_rows(account, noun, "")} == names.get(noun.plural, set()), noun.plural


def _check_what_is_ours(account: cloud.Cloud) -> None:
    mine = make_listing(account, THING, Query(limit=1, is_ours=True))
    assert (mine.total, mine.unknown) == (COUNTS.things // EACH_OURS, 0)
    mine = make_listing(account, CERTIFICATE, Query(limit=5, is_ours=True))
    assert mine.total == COUNTS.attached // EACH_OURS
    assert {name for row in mine.rows for name in row.facts["things"]} <= {
        name_of(number) for number in range(COUNTS.attached) if is_ours(number)
    }


def _check_the_calls(control: Control, account: cloud.Cloud) -> None:
    """Pages of everything, and for each row that is shown three calls: expiry, things, policies."""
    control.clear_calls()
    make_listing(account, CERTIFICATE, Query(limit=25))
    asked = control.operations()
    assert asked.count("ListCertificates") == COUNTS.certificates // PAGE
    assert len(asked) <= COUNTS.certificates // PAGE + COUNTS.things // PAGE + 3 * 25


def _check_that_a_pattern_deletes_the_right_ones_only(
    before: dict[str, set[str]], hands: Hands, project: Project
) -> None:
    done = project.run_here("delete.thing", "--name", "bulk-01*", "--prune", "--yes").done()
    gone = {name_of(number) for number in range(100, 200) if is_ours(number)}
    assert {rest.split()[0] for noun, verb, rest in done.outcomes if (noun, verb) == ("thing", "deleted")} == gone
    project.run_here("delete.policy", "--name", "bulk-020*", "--force", "--yes").done()
    left = hands.names()
    assert before["things"] - left["things"] == gone
    assert before["policies"] - left["policies"] == {name_of(number) for number in range(200, 210)}
    assert len(before["certificates"] - left["certificates"]) == len(gone)
    for plural in TOTALS:
        assert left[plural] <= before[plural], plural
        assert plural in {"things", "policies", "certificates"} or left[plural] == before[plural], plural
