"""``clean`` where names are shared: with somebody else, or with another thing of ours that still needs the object.

What another owner or another thing needs stays, ``clean --plan`` says the same as ``clean``, and the command that is
printed never breaks the other one.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ota.sandbox.process import Address
from tests.account import BUCKET, UPDATE, Account, account_at
from tests.hand_made import Hands
from tests.project import THING, Project, aws_project, built_tree

IMAGE_UNDER_OUR_PREFIX = f"ota-tasks/{THING}/{'0' * 64}/image.bin"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_tree(tmp_path_factory.getbasetemp())


@pytest.fixture
def account(clean_sandbox: Address) -> Account:
    return account_at(clean_sandbox)


@pytest.fixture
def hands(account: Account) -> Hands:
    return Hands(account.iot, account.s3, account.iam)


@pytest.fixture
def project(clean_sandbox: Address, tmp_path: Path, built: Path) -> Project:
    """A project whose image is built already."""
    project = aws_project(tmp_path / "project", clean_sandbox)
    project.put_image(built)
    return project


def planned(project: Project, *flags: str, **environ: str) -> dict[str, str]:
    """Noun to action, as ``clean --plan`` has it."""
    result = project.run_here("clean", "--plan", "--json", *flags, **environ)
    assert "Traceback" not in result.text, result.text
    return {step["noun"]: step["action"] for step in json.loads(result.out)["steps"]}


class TestAForeignUpdateOfOurName:
    """Bucket, role and update are somebody's, and only bear our names."""

    def make(self, hands: Hands, key: str) -> None:
        hands.thing(THING)
        hands.bucket(BUCKET, holds=(key,))
        hands.role("somebody")
        hands.update(UPDATE, THING, role="somebody", bucket=BUCKET, key=key)

    def test_its_image_stays_where_it_is(self, project: Project, account: Account, hands: Hands) -> None:
        self.make(hands, "image.bin")
        before = account.versions()
        plan = planned(project)
        result = project.run_here("clean").done()
        assert account.versions() == before
        assert (plan["update"], plan["bucket"]) == ("keep", "keep")
        assert {("update", "skipped"), ("bucket", "skipped")} <= set(result.verbs)
        assert account.updates() == [UPDATE]

    def test_it_keeps_the_image_that_we_put_into_the_foreign_bucket(
        self, project: Project, account: Account, hands: Hands
    ) -> None:
        """It may be the one that it delivers; so something of ours stays, and that is said."""
        self.make(hands, IMAGE_UNDER_OUR_PREFIX)
        before = account.versions()
        assert planned(project)["bucket"] == "blocked"
        project.run_here("clean").failed("Not everything is gone", BUCKET, UPDATE)
        assert account.versions() == before


class TestAnUpdateOfOurs:
    @pytest.mark.parametrize("key", ["image.bin", "ota-tasks/lamp-2/image.bin"])
    def test_an_image_that_lies_under_no_prefix_of_ours_stays_in_a_foreign_bucket(
        self, project: Project, account: Account, hands: Hands, key: str
    ) -> None:
        hands.thing(THING, ours=True)
        hands.bucket(BUCKET, holds=(key,))
        hands.role("lamp_role", ours_for=THING)
        hands.update(UPDATE, THING, role="lamp_role", bucket=BUCKET, key=key, ours=True)
        before = account.versions()
        assert planned(project)["bucket"] == "keep"
        project.run_here("clean").done()
        assert account.versions() == before
        assert account.updates() == []

    def test_our_image_goes_from_a_foreign_bucket(self, project: Project, account: Account, hands: Hands) -> None:
        hands.thing(THING, ours=True)
        hands.bucket(BUCKET, holds=(IMAGE_UNDER_OUR_PREFIX, "image.bin"))
        hands.role("lamp_role", ours_for=THING)
        hands.update(UPDATE, THING, role="lamp_role", bucket=BUCKET, key=IMAGE_UNDER_OUR_PREFIX, ours=True)
        project.run_here("clean").done()
        assert [one["Key"] for one in account.versions()] == ["image.bin"]
