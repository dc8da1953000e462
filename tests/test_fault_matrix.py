"""The fault matrix: a case of each kind always, every case in a long run, and its table in the docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import fault_project
from tests.fault_cases import COMMANDS, FAULTS, Command, Fault, Site
from tests.fault_matrix import Ended, table, totals
from tests.neighbours import Neighbours
from tests.project import REPOSITORY_PATH, build_tree, shared_folder

built = fault_project.built

PAGE_PATH = REPOSITORY_PATH / "docs/reliability.md"
COMMAND = {one.name: one for one in COMMANDS}
FAULT = {one.name: one for one in FAULTS}
# Where most is at stake: a certificate, a bucket without marks, an update under way, a certificate half deleted.
SAMPLE = (
    ("set-up", "reset-after", "CreateCertificateFromCsr"),
    ("set-up", "killed-after", "CreateBucket"),
    ("set-up", "conflict", "PutBucketTagging"),
    ("set-up", "too-early", "AttachThingPrincipal"),
    ("repeat", "throttled", "GetRole"),
    ("repeat", "expired", "GetBucketTagging"),
    ("replace", "timeout", "DeleteOTAUpdate"),
    ("list", "throttled-for-good", "ListJobs"),
    ("delete", "error-500", "DeletePolicy"),
    ("delete", "reset-before", "DeleteBucket-2"),
    ("clean", "denied", "DeleteObject"),
    ("clean", "killed-before", "DetachThingPrincipal"),
)


@pytest.fixture(scope="session")
def site(neighbours: Neighbours, built: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The shared sandbox as the site of cases."""
    other = shared_folder(
        tmp_path_factory.getbasetemp(), "other-firmware", lambda folder: build_tree(folder, certificate="other")
    )
    return Site(neighbours, tmp_path_factory.mktemp("faults"), (built, other))


@pytest.mark.usefixtures("clean_sandbox")
@pytest.mark.parametrize(("command", "fault", "call"), SAMPLE, ids=[" ".join(one) for one in SAMPLE])
def test_a_case_keeps_every_promise(site: Site, command: str, fault: str, call: str) -> None:
    (case,) = (one for one in site.cases(COMMAND[command], FAULT[fault]) if str(one.call) == call)
    assert site.why_broken(case) == ""


@pytest.mark.long
@pytest.mark.usefixtures("clean_sandbox")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_case_keeps_every_promise(site: Site, command: Command, fault: Fault) -> None:
    broken = {str(case): site.why_broken(case) for case in site.cases(command, fault)}
    assert {case: why for case, why in broken.items() if why} == {}


def test_the_sample_has_every_row_and_every_column() -> None:
    assert {command for command, _, _ in SAMPLE} == set(COMMAND)
    assert {fault for _, fault, _ in SAMPLE} == set(FAULT)


def test_the_table_counts_what_passed() -> None:
    ended = [Ended("clean", "denied", "GetRole", ""), Ended("clean", "denied", "DeleteRole", "a word is missing")]
    shown = table(ended, [COMMAND["clean"]], [FAULT["denied"], FAULT["too-early"]])
    assert shown.splitlines()[2:] == ["| clean | 1/2 |  | 1/2 |", "| all | 1/2 |  | 1/2 |"]
    assert totals(ended) == "1 of 2 cases keep every promise"


def test_the_docs_have_the_table_of_these_commands_and_faults() -> None:
    rows = re.findall(r"^\| .*\|$", PAGE_PATH.read_text().partition("python -m tests.fault_matrix")[2], re.MULTILINE)
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    header = next(number for number, row in enumerate(cells) if row[0] == "" and row[-1] == "all")
    assert cells[header] == ["", *FAULT, "all"]
    assert [row[0] for row in cells[header + 2 :][: len(COMMANDS) + 1]] == [*COMMAND, "all"]
