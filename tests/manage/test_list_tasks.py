"""``invoke list``: what a user sees of the account, and what a script reads."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ota.nouns import LISTED
from ota.records import Noun
from ota.sandbox.process import Address
from tests.conftest import ACCOUNT
from tests.hand_made import Hands
from tests.project import Project, Result, aws_project
from tests.sandbox_control import Control

pytestmark = pytest.mark.alone  # the lists are compared whole
PLURALS = [noun.plural for noun in LISTED]
KEYS = [noun.key for noun in LISTED]
FIRST_LINE = re.compile(rf"AWS account {ACCOUNT} in eu-west-1 .*")


@pytest.fixture
def hands(iot: Any, s3: Any, iam: Any) -> Hands:
    return Hands(iot, s3, iam)


@pytest.fixture
def project(clean_sandbox: Address, tmp_path: Path) -> Project:
    return aws_project(tmp_path / "project", clean_sandbox, has_firmware=False)


def tables(result: Result) -> dict[str, list[list[str]]]:
    """Plural to the cells of each row, as printed off a terminal."""
    found: dict[str, list[list[str]]] = {}
    plural = ""
    for line in result.out.splitlines():
        if heading := re.match(rf"(?:no )?({'|'.join(PLURALS)})\b", line):
            plural = heading[1]
            found[plural] = []
        elif line:
            found[plural].append(re.split(r" {2,}", line))
    return {plural: rows[1:] for plural, rows in found.items()}


def test_list_alone_shows_every_noun(hands: Hands, project: Project) -> None:
    hands.whole("lamp", ours=True)
    done = project.run_here("list").done()
    found = tables(done)
    assert list(found) == PLURALS
    certificate = next(iter(hands.names()["certificates"]))[:12] + "…"
    assert found["things"] == [["lamp", certificate, "yes"]]
    assert found["policies"] == [["lamp_policy", certificate, "yes"]]
    assert found["certificates"] == [[certificate, "ACTIVE", "2049-12-31", "lamp", "lamp_policy", "yes"]]
    assert found["buckets"] == [[f"lamp-ota-{ACCOUNT}", "eu-west-1", "yes", "just now", "yes"]]
    assert found["roles"] == [["lamp_role", "none", "just now", "yes"]]
    assert found["updates"] == [["lamp_update", "CREATE_COMPLETE", "IN_PROGRESS", "lamp", "just now", "yes"]]
    assert found["jobs"] == [["AFR_OTA-lamp_update", "IN_PROGRESS", "lamp", "just now", "yes"]]
    assert FIRST_LINE.fullmatch(done.err.strip())


def test_an_empty_account_is_shown_as_such(project: Project) -> None:
    done = project.run_here("list").done()
    assert done.out.splitlines() == [f"no {plural}" for plural in PLURALS]


@pytest.mark.parametrize("noun", LISTED, ids=KEYS)
def test_each_noun_has_a_list_of_its_own(hands: Hands, project: Project, noun: Noun) -> None:
    hands.whole("lamp", ours=False)
    done = project.run_here(f"list.{noun.list_task}").done()
    assert list(tables(done)) == [noun.plural]
    assert [row[-1] for row in tables(done)[noun.plural]] == ["no"] * len(hands.names().get(noun.plural, ()))


def test_json_is_one_document_and_nothing_else(hands: Hands, project: Project) -> None:
    hands.whole("lamp", ours=True)
    done = project.run_here("list", "--json").done()
    found = json.loads(done.out)
    assert list(found) == KEYS
    there = {noun.key: len(hands.names().get(noun.plural, ())) for noun in LISTED}
    assert {key: one["total"] for key, one in found.items()} == there
    assert {key: [row["ours"] for row in one["rows"]] for key, one in found.items()} == {
        key: [True] * count for key, count in there.items()
    }
    certificate = found["certificates"]["rows"][0]
    assert {certificate["id"]} == hands.names()["certificates"], "the whole id"
    assert re.fullmatch(r"2\d{3}-\d\d-\d\dT.*\+00:00", certificate["created"])
    assert certificate["expires"] == "2049-12-31"
    assert found["updates"]["rows"][0]["targets"] == ["lamp"]
    assert FIRST_LINE.fullmatch(done.err.strip())


def test_json_of_one_noun_has_the_same_form(hands: Hands, project: Project) -> None:
    hands.thing("lamp")
    found = json.loads(project.run_here("list.things", "--json").done().out)
    assert found == {"things": {"total": 1, "rows": [{"name": "lamp", "certificates": [], "ours": False}]}}


@pytest.mark.parametrize(
    ("arguments", "shown"), [(("--limit", "2"), 2), (("-l", "4"), 4), ((), 3)], ids=["limit", "short", "max_listed"]
)
def test_a_list_is_cut_and_says_so(hands: Hands, project: Project, arguments: tuple[str, ...], shown: int) -> None:
    project.set(max_listed="3")
    for number in range(5):
        hands.thing(f"lamp-{number}")
    done = project.run_here("list.things", *arguments).done()
    assert f"things: {shown} of 5; --limit 5 shows all" in done.out
    assert [row[0] for row in tables(done)["things"]] == [f"lamp-{number}" for number in range(shown)]


@pytest.mark.parametrize("limit", ["0", "-1", "many", "2.5"])
def test_a_limit_that_is_no_number_is_refused(project: Project, limit: str) -> None:
    project.run_here("list", f"--limit={limit}").failed(f"--limit {limit}: write a whole number from 1.")


def test_names_are_filtered_and_ours_picked(hands: Hands, project: Project) -> None:
    for name in ("lamp-1", "lamp-2", "desk-1"):
        hands.thing(name, ours=True)
    hands.thing("lamp-3")
    done = project.run_here("list.things", "--filter", "lamp-*", "--mine").done()
    assert "things that this tool made like lamp-*: 2" in done.out
    assert [row[0] for row in tables(done)["things"]] == ["lamp-1", "lamp-2"]


def test_nothing_has_to_be_set_to_look(hands: Hands, project: Project) -> None:
    project.set(thing_name="<your_thing_name>", target_application="")
    hands.thing("lamp")
    assert tables(project.run_here("list.things").done())["things"] == [["lamp", "none", "no"]]


def test_what_needs_the_settings_still_does_after_a_list(project: Project) -> None:
    project.set(thing_name="<your_thing_name>")
    project.run_here("list.things", "policy").failed("thing_name")


def test_a_list_that_is_refused_leaves_the_others(hands: Hands, project: Project, control: Control) -> None:
    hands.thing("lamp")
    control.fail("ListRoles", "access-denied", times=50)
    failed = project.run_here("list").failed("AWS refused iam:ListRoles", "Have it added")
    assert [plural for plural in PLURALS if plural not in tables(failed)] == ["roles"]
    assert tables(failed)["things"] == [["lamp", "none", "no"]]


def test_what_these_credentials_may_not_ask_about_is_told(hands: Hands, project: Project, control: Control) -> None:
    hands.bucket("lamp-images")
    control.fail("GetBucketTagging", "access-denied", times=50)
    done = project.run_here("list.buckets").done()
    assert tables(done)["buckets"][0][-1] == "?"
    assert "note: these credentials may not ask AWS about 1 of the buckets, shown as ?." in done.err


def test_expired_credentials_are_told(project: Project, control: Control) -> None:
    control.fail("ListThings", "expired-token", times=50)
    project.run_here("list.things").failed("The AWS credentials have expired", "run the same command again")


def test_a_terminal_gets_the_same_table(hands: Hands, project: Project) -> None:
    hands.whole("lamp", ours=True)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", project.run_on_terminal("list.updates").done().out)
    assert re.search(r"name +status +job +targets +created +ours", shown)
    assert re.search(r"lamp_update +CREATE_COMPLETE +IN_PROGRESS +lamp +just now +yes", shown)
