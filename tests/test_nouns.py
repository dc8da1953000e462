"""The records of the nouns: what they name exists, and what they order happens in that order."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ota.nouns import LISTED, NOUN_BY_NAME, NOUNS, in_set_up_order, in_teardown_order
from ota.outcomes import Action, Outcome, Verb
from ota.plan import make_plan
from ota.records import Lazy
from ota.run import Run
from ota.sandbox.process import Address
from ota.set_up import SetUp
from ota.settings.table import SETTINGS
from ota.teardown.teardown import Teardown
from tests import thing_types
from tests.project import REPOSITORY_PATH, Project, aws_project, built_tree
from tests.sandbox_control import Control


def lazies(record: object) -> Iterator[Lazy]:
    """Every function that a record names."""
    if isinstance(record, Lazy):
        yield record
    elif isinstance(record, tuple):
        for value in record:
            yield from lazies(value)


@pytest.fixture
def project(tmp_path: Path, clean_sandbox: Address, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = aws_project(tmp_path / "project", clean_sandbox)
    project.put_image(built_tree(tmp_path_factory.getbasetemp()))
    return project


@pytest.mark.parametrize("path", sorted({one.path for noun in NOUNS for one in lazies(noun)}))
def test_every_function_that_a_record_names_exists(path: str) -> None:
    assert callable(Lazy(path).load())


def test_every_noun_that_can_be_named_has_a_setting() -> None:
    assert {noun.setting for noun in NOUNS if noun.setting} <= set(SETTINGS)
    assert [noun.name for noun in NOUNS if noun.deleted and not (noun.setting or noun.own_name)] == []


def test_what_may_be_pruned_says_what_it_is_attached_to_and_how_it_goes() -> None:
    for noun in NOUNS:
        if noun.deleted and noun.deleted.prune_help:
            assert noun.deleted.attached_to, noun.name
            assert noun.deleted.prune, noun.name


def test_a_list_is_marked_in_one_way() -> None:
    assert [noun.name for noun in LISTED if noun.listed and noun.listed.mark and noun.listed.mark_all] == []


def test_reading_the_records_imports_no_noun() -> None:
    program = "import sys, ota.nouns; print(*[name for name in sys.modules if name.startswith('ota.')])"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY_PATH, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) == {"ota.nouns", "ota.records"}


def test_all_plan_and_clean_keep_the_order_of_the_records(project: Project) -> None:
    """``plan`` and ``clean --plan`` sort by it; ``all`` and ``clean`` happen so."""
    planned = [step["noun"] for step in json.loads(project.run_here("plan", "--json").done().out)["steps"]]
    made = [noun for noun, _ in project.run_here("all").done().verbs]
    leaving = [step["noun"] for step in json.loads(project.run_here("clean", "--plan", "--json").done().out)["steps"]]
    gone = [noun for noun, _ in project.run_here("clean").done().verbs]
    for line in (planned, made):
        assert all(NOUN_BY_NAME[noun].set_up for noun in line)
        assert {"certificate", "thing", "policy", "bucket", "role", "update"} <= set(line)
        assert line == in_order(line, is_set_up=True)
    for line in (leaving, gone):
        assert all(NOUN_BY_NAME[noun].teardown for noun in line)
        assert {"update", "bucket", "role", "certificate", "policy", "thing"} <= set(line)
        assert line == in_order(line, is_set_up=False)


def test_a_line_without_a_record_stays_behind_the_one_before() -> None:
    given = ["role", "image", "signature", "thing", "update"]
    assert in_order(given, is_set_up=True) == ["thing", "role", "image", "signature", "update"]


def in_order(nouns: list[str], *, is_set_up: bool) -> list[str]:
    lines = [Outcome[None](noun, Verb.CREATED, "") for noun in nouns]
    return [line.noun for line in (in_set_up_order if is_set_up else in_teardown_order)(lines)]


@pytest.mark.parametrize(
    ("teardown", "calls"),
    [
        (5, ["DescribeThingType", "DeleteThingType", "DeleteOTAUpdate", "DeleteThing"]),
        (75, ["DeleteOTAUpdate", "DeleteThing", "DescribeThingType", "DeleteThingType"]),
    ],
    ids=["before the update", "after the thing"],
)
def test_a_noun_that_needs_no_other_goes_in_its_place(
    project: Project, control: Control, teardown: int, calls: list[str]
) -> None:
    """``teardown`` of its record orders the calls and the lines."""
    nouns, lines = [*NOUNS, thing_types.RECORD._replace(teardown=teardown)], []
    project.run_here("all").done()
    with project.at_work():
        run = Run(project.root_path)
        try:
            SetUp(run, nouns).independent(thing_types.RECORD.name)
            control.clear_calls()
            assert Teardown(run.cloud, run.settings, is_forced=False, nouns=nouns).run(lines.append) == []
        finally:
            run.end_turn()
    assert list(dict.fromkeys(one for one in control.operations() if one in calls)) == calls
    gone = [line.noun for line in lines if line.noun in {"thing type", "update", "thing"}]
    assert gone == [noun for _, noun in sorted([(teardown, "thing type"), (10, "update"), (60, "thing")])]


def test_a_noun_of_two_words_is_one_word_for_the_command_line_and_for_json() -> None:
    record = thing_types.RECORD
    assert (record.list_task, record.delete_task, record.key) == ("thing-types", "thing-type", "thing_types")


def test_a_noun_that_needs_no_other_is_planned_made_and_cleaned_as_its_record_says(project: Project) -> None:
    nouns, lines = [*NOUNS, thing_types.RECORD], []
    name = thing_types.RECORD.name
    with project.at_work():
        run = Run(project.root_path)
        try:
            assert [one.action for one in make_plan(run, nouns).steps if one.noun == name] == [Action.CREATE]
            assert SetUp(run, nouns).independent(name) == thing_types.NAME
            assert [one.action for one in make_plan(run, nouns).steps if one.noun == name] == [Action.REUSE]
            teardown = Teardown(run.cloud, run.settings, is_forced=False, nouns=nouns)
            assert [one.action for one in teardown.plan() if one.noun == name] == [Action.DELETE]
            assert teardown.run(lines.append) == []
            assert [one.verb for one in lines if one.noun == name] == [Verb.DELETED]
            assert [one.action for one in teardown.plan() if one.noun == name] == [Action.ABSENT]
        finally:
            run.end_turn()


def test_a_noun_whose_setting_is_empty_takes_no_part(project: Project, control: Control) -> None:
    """As thing groups: whoever names none is shown none, and no call is made for it."""
    unnamed = thing_types.RECORD._replace(setting="thing_group_name")
    nouns = [*NOUNS, unnamed]
    with project.at_work():
        run = Run(project.root_path)
        try:
            assert unnamed.name not in {one.noun for one in make_plan(run, nouns).steps}
            SetUp(run, nouns).everything()
            teardown = Teardown(run.cloud, run.settings, is_forced=False, nouns=nouns)
            assert unnamed.name not in {one.noun for one in teardown.plan()}
        finally:
            run.end_turn()
    assert not any("ThingType" in one for one in control.operations())
