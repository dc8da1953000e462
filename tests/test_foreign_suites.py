"""The program for foreign suites, on a small suite of its own: it runs against a sandbox, and the list is compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.foreign_suites import DIFFERENCES_PATH, Difference, judge, main, read_differences

SUITE = """
import os
import boto3

def test_one_bucket_by_itself():
    s3 = boto3.client("s3")
    assert s3.list_buckets()["Buckets"] == []
    s3.create_bucket(Bucket="lamps")

def test_another_begins_empty():
    test_one_bucket_by_itself()

def test_what_differs():
    boto3.client("s3").list_directory_buckets()
"""
DIFFERS = "tests.test_sts.test_small::test_what_differs"


def test_a_suite_runs_against_an_emptied_sandbox_and_is_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "moto/tests/test_sts"
    folder.mkdir(parents=True)
    for package in (folder, folder.parent):
        (package / "__init__.py").touch()
    (folder / "test_small.py").write_text(SUITE)
    differences = tmp_path / "differences.json"
    differences.write_text(json.dumps({"moto": [{"test": "tests.test_sts.gone*", "why": "mended"}], "arm": []}))
    arguments = ["--moto", str(tmp_path / "moto"), "--folder", "test_sts", "--differences", str(differences)]
    assert main(arguments) == 1
    said = capsys.readouterr().out
    assert "3 ran, 0 differ as known, 1 differ otherwise" in said
    assert f"  {DIFFERS}: " in said
    assert "nothing differs any more by tests.test_sts.gone*" in said


@pytest.mark.parametrize(
    ("ran", "known", "is_good"),
    [
        (3, [Difference(DIFFERS, "why", "5*")], True),
        (3, [], False),
        (3, [Difference(DIFFERS, "why", "4*")], False),
        (3, [Difference(DIFFERS, "why"), Difference("gone*", "mended")], False),
        (0, [], False),
    ],
    ids=["as known", "a new difference", "another one", "an old difference", "nothing ran"],
)
def test_only_what_is_known_is_good(ran: int, known: list[Difference], is_good: bool) -> None:
    failures = {DIFFERS: "501"} if ran else {}
    assert judge(ran, failures, known).is_good is is_good


def test_every_known_difference_has_its_reason() -> None:
    assert all(one.why for suite in read_differences(DIFFERENCES_PATH).values() for one in suite)
