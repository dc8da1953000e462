"""``clean`` where names are shared: with somebody else, or with another thing of ours that still needs the object.

What another owner or another thing needs stays, ``clean --plan`` says the same as ``clean``, and the command that is
printed never breaks the other one.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ota.sandbox.process import Address
from ota.shared_use import MOST_ASKED
from tests.account import BUCKET, ROLE, UPDATE, Account, account_at
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
    project.set(overwrite_header="true")
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


OTHER = "lamp-2"
SHARED = {"policy_name": "ota-policy", "bucket_name": "ota-images-of-all", "iam_role_name": "ota-role"}
NOUNS = ("policy", "bucket", "role")
NOTHING: dict[str, set[str]] = {noun: set() for noun in NOUNS}


def there(account: Account) -> dict[str, set[str]]:
    """Names of what may be shared."""
    names = Hands(account.iot, account.s3, account.iam).names()
    return {"policy": names["policies"], "bucket": names["buckets"], "role": names["roles"]}


class TestTwoThings:
    """They share policy, bucket and role by name; the first one made them."""

    @pytest.fixture
    def both(self, project: Project) -> Project:
        project.set(**SHARED)
        project.run_here("all").done()
        project.run_here("with", "--thing-name", OTHER, "all").done()
        return project

    def test_what_the_other_one_needs_stays_until_that_is_cleaned(self, both: Project, account: Account) -> None:
        before = there(account)
        plan = planned(both)
        failed = both.run_here("clean").failed(*SHARED.values(), f"`invoke with --thing-name {OTHER} clean`")
        assert "--force" not in failed.text
        assert {noun: plan[noun] for noun in NOUNS} == dict.fromkeys(NOUNS, "blocked")
        assert {(noun, "skipped") for noun in NOUNS} <= set(failed.verbs)
        assert there(account) == before
        left = account.iot.get_ota_update(otaUpdateId=f"{OTHER}_update")["otaUpdateInfo"]
        image = left["otaUpdateFiles"][0]["fileLocation"]["s3Location"]
        account.s3.head_object(Bucket=image["bucket"], Key=image["key"], VersionId=image["version"])
        both.run_here("with", "--thing-name", OTHER, "clean").done()
        both.run_here("clean").done()
        assert there(account) == NOTHING

    def test_the_one_that_made_nothing_of_it_leaves_it_all(self, both: Project, account: Account) -> None:
        before = there(account)
        done = both.run_here("with", "--thing-name", OTHER, "clean").done()
        assert {(noun, "skipped") for noun in NOUNS} <= set(done.verbs)
        assert "--force" not in done.text
        assert there(account) == before
        assert all(f"/{THING}/" in one["Key"] for one in account.versions_in(SHARED["bucket_name"]))

    def test_in_a_crowd_all_are_asked_where_the_name_is_no_default(
        self, both: Project, account: Account, hands: Hands
    ) -> None:
        """A thing's job executions would not tell of another thing's update."""
        hands.thing("crowd")
        for number in range(MOST_ASKED):
            account.make_foreign_update(f"crowd-{number}", thing="crowd")
        both.run_here("clean").failed("role ota-role", OTHER)
        assert there(account)["role"] == {"ota-role"}

    def test_a_deletion_by_name_knows_it_too(self, both: Project, account: Account) -> None:
        both.run_here("delete.update", "--force").done()
        both.run_here("delete.role", "--name", "ota-role").failed(f"{OTHER}_update", "delete.update")
        assert there(account)["role"] == {"ota-role"}


def test_an_update_of_our_name_for_another_thing_keeps_its_image(project: Project, account: Account) -> None:
    """update_name, bucket_name and iam_role_name are alike; policy and thing are not."""
    project.set(bucket_name="ota-images-of-all", iam_role_name="ota-role", update_name="next")
    project.run_here("bucket", "role").done()
    project.run_here("with", "--thing-name", OTHER, "all").done()
    before = account.versions_in("ota-images-of-all")
    failed = project.run_here("clean").failed(f"`invoke with --thing-name {OTHER} clean`")
    assert "--force" not in failed.text
    assert account.versions_in("ota-images-of-all") == before
    assert account.updates() == ["next"]


def test_a_role_by_our_default_name_that_another_thing_was_given_stays(project: Project, account: Account) -> None:
    names = ("with", "--thing-name", OTHER, "--iam-role-name", ROLE, "--bucket-name", BUCKET)
    project.run_here("all").done()
    project.run_here(*names, "all").done()
    failed = project.run_here("clean").failed(ROLE, f"{OTHER}_update")
    assert [noun for noun, verb in failed.verbs if verb == "skipped"] == ["bucket", "role"]
    project.run_here(*names, "clean").done()
    project.run_here("clean").done()
    assert there(account) == NOTHING
