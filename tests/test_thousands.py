"""Thousands of objects: listed whole and quickly, and a pattern deletes the right ones among them only."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ota.sandbox import process
from tests.conftest import REGION, client
from tests.hand_made import Hands, id_of
from tests.project import Project, aws_project
from tests.sandbox_control import Control

THINGS, CERTIFICATES, POLICIES, UPDATES = 2000, 2000, 300, 200
EACH_OURS = 10  # every tenth object is ours
ATTACHED = 200
WORKERS = 8
MOST_SECONDS = 10.0
ROUNDS = 2  # the machine does other things, too
PAGE = 250

pytestmark = pytest.mark.long


def test_thousands_are_listed_whole_and_a_pattern_deletes_the_right_ones_only(tmp_path: Path) -> None:
    """One test, for making them takes most of the time."""
    address = process.start(tmp_path / "sandbox", pause_s=0, region=REGION)
    try:
        hands = Hands(*(client(service, address) for service in ("iot", "s3", "iam")))
        project = aws_project(tmp_path / "project", address, has_firmware=False)
        _make(hands)
        _check_that_lists_take_seconds(project)
        _check_that_every_row_can_be_had(hands, project)
        _check_what_is_ours(project)
        _check_the_calls(Control(address), project)
        _check_that_a_pattern_deletes_the_right_ones_only(hands, project)
    finally:
        process.stop(tmp_path / "sandbox")


def _make(hands: Hands) -> None:
    """Things, policies and updates called ``bulk-NNNN``, each tenth ours; certificates on the first of the things."""
    hands.bucket("images", holds=("image.bin",))
    hands.role("helper", bucket="images")

    def update(number: int) -> None:
        name = f"bulk-{number:04}"
        hands.update(name, name, role="helper", bucket="images", ours=_is_ours(number))

    _many(THINGS, lambda number: hands.thing(f"bulk-{number:04}", ours=_is_ours(number)))
    arns = _many(CERTIFICATES, lambda _: hands.certificate())
    _many(ATTACHED, lambda number: _attach(hands, f"bulk-{number:04}", arns[number]))
    _many(POLICIES, lambda number: hands.policy(f"bulk-{number:04}", ours_for="bulk" if _is_ours(number) else ""))
    _many(UPDATES, update)


def _check_that_lists_take_seconds(project: Project) -> None:
    took_s = []
    for _ in range(ROUNDS):
        begun = time.monotonic()
        found = json.loads(project.run("list", "--json").done().out)
        took_s.append(time.monotonic() - begun)
    assert {plural: one["total"] for plural, one in found.items()} == {
        "things": THINGS,
        "policies": POLICIES,
        "certificates": CERTIFICATES,
        "buckets": 1,
        "roles": 1,
        "updates": UPDATES,
        "jobs": UPDATES,
    }
    assert all(len(one["rows"]) == min(one["total"], 25) for one in found.values())
    assert min(took_s) <= MOST_SECONDS


def _check_that_every_row_can_be_had(hands: Hands, project: Project) -> None:
    found = json.loads(project.run("list", "--json", "--limit", "5000").done().out)
    names = hands.names()
    for plural, listing in found.items():
        title = "id" if plural in {"certificates", "jobs"} else "name"
        assert {row[title] for row in listing["rows"]} == names[plural], plural
        assert listing["total"] == len(listing["rows"])
    for plural, count in {"things": THINGS, "policies": POLICIES, "updates": UPDATES, "jobs": UPDATES}.items():
        assert sum(row["ours"] for row in found[plural]["rows"]) == count // EACH_OURS, plural
    assert sum(row["ours"] for row in found["certificates"]["rows"]) == ATTACHED // EACH_OURS


def _check_what_is_ours(project: Project) -> None:
    found = json.loads(project.run("list", "--json", "--mine", "--limit", "5000").done().out)
    ours = {f"bulk-{number:04}" for number in range(THINGS) if _is_ours(number)}
    assert {row["name"] for row in found["things"]["rows"]} == ours
    assert found["certificates"]["total"] == ATTACHED // EACH_OURS
    assert all(row["ours"] for one in found.values() for row in one["rows"])


def _check_the_calls(control: Control, project: Project) -> None:
    """Pages of everything, and for each row that is shown three calls: expiry, things, policies."""
    control.clear_calls()
    project.run("list.certificates").done()
    asked = control.operations()
    assert asked.count("ListCertificates") == CERTIFICATES // PAGE
    assert len(asked) <= CERTIFICATES // PAGE + THINGS // PAGE + 3 * 25 + 2


def _check_that_a_pattern_deletes_the_right_ones_only(hands: Hands, project: Project) -> None:
    before = hands.names()
    done = project.run("delete.thing", "--name", "bulk-01*", "--prune", "--yes").done()
    gone = {f"bulk-{number:04}" for number in range(100, 200) if _is_ours(number)}
    assert {rest.split()[0] for noun, verb, rest in done.outcomes if (noun, verb) == ("thing", "deleted")} == gone
    left = hands.names()
    assert left["things"] == before["things"] - gone
    assert len(before["certificates"] - left["certificates"]) == len(gone)
    untouched = set(before) - {"things", "certificates"}
    assert {plural: left[plural] for plural in untouched} == {plural: before[plural] for plural in untouched}
    project.run("delete.policy", "--name", "bulk-02*", "--force", "--yes").done()
    assert before["policies"] - hands.names()["policies"] == {f"bulk-02{number:02}" for number in range(100)}


def _is_ours(number: int) -> bool:
    return number % EACH_OURS == 0


def _attach(hands: Hands, thing: str, arn: str) -> str:
    hands.iot.attach_thing_principal(thingName=thing, principal=arn, thingPrincipalType="EXCLUSIVE_THING")
    return id_of(arn)


def _many(count: int, make: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(make, range(count)))
