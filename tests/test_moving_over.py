"""Moving over from Arm's script: the table of its commands in the docs, walked down over what the script leaves."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ota.sandbox import firmware
from ota.sandbox.process import Address
from tests.hand_made import ARMS_IMAGE, Hands
from tests.project import REPOSITORY_PATH, Project, aws_environment, built_tree
from tests.settings.test_settings import ARM_FILE

THING, BUCKET, ROLE, UPDATE = "armThing", "armthing-bucket", "Proj-armThing_role", "armThing_update"
JOB = f"AFR_OTA-{UPDATE}"
TREE = "iot-reference-arm-corstone3xx"
SETTINGS = f"../{TREE}/tools/scripts/createIoTThings_settings.json"
PLURALS = ("things", "policies", "certificates", "buckets", "roles", "updates", "jobs")
REUSED_THING = {("certificate", "reused"), ("thing", "reused"), ("header", "reused")}
REUSED_ROLE, REUSED_BUCKET = ("role", "reused"), ("bucket", "reused")
# Every command of the table stands in one of these, and each of these in a test.
REUSE = {
    "create-thing-only": {("certificate", "reused"), ("thing", "reused")},
    "create-bucket-only": {REUSED_BUCKET},
    "create-iam-role-only": {REUSED_ROLE},
}
NARROW_THE_POLICY = ("create-policy-only", "create-thing-and-policy")
UPDATE_THE_DEVICE = ("create-update-only", "create-bucket-role-update", "create-update-simplified")
LIST_OF_ONE = {
    "list-things": "things",
    "list-policies": "policies",
    "list-certificates": "certificates",
    "list-buckets": "buckets",
    "list-iam-roles": "roles",
    "list-ota-updates": "updates",
    "list-jobs": "jobs",
}
LISTS = {"list-all": PLURALS, **{command: (plural,) for command, plural in LIST_OF_ONE.items()}}
CERTIFICATE = "the certificate's id"
DELETIONS = {
    "delete-job -f --job_name N": (JOB, [("job", "deleted")]),
    "delete-ota-update -f --ota_update_name N": (UPDATE, [("update", "deleted")]),
    "delete-iam-role -f --iam_role_name N": (ROLE, [("role", "deleted")]),
    "delete-bucket -f --bucket_name N": (BUCKET, [("bucket", "deleted")]),
    "delete-certificate -f --certificate_id N": (
        CERTIFICATE,
        [("certificate", "deleted"), ("policy", "deleted"), ("thing", "deleted")],
    ),
}
PRUNINGS = {
    "delete-thing -p --thing_name N": (THING, [("thing", "deleted"), ("certificate", "skipped")]),
    "delete-policy -p --policy_name N": (f"{THING}_policy", [("policy", "deleted"), ("certificate", "deleted")]),
}
CLEAN, CLEAN_ALL = "cleanup-simplified", "cleanup-simplified --extended"
WALKED = {*REUSE, *NARROW_THE_POLICY, *UPDATE_THE_DEVICE, *LISTS, *DELETIONS, *PRUNINGS, CLEAN, CLEAN_ALL}


@dataclass(frozen=True)
class Arms:
    """A firmware tree with what Arm's script leaves in it, a project beside it, and the account."""

    hands: Hands
    project: Project
    tree_path: Path

    def run(self, command: str) -> Any:
        """A command of the table, typed in the project's folder."""
        return self.project.run_here(*shlex.split(command)[1:], OTA_CONFIG=SETTINGS)


def rows() -> dict[str, str]:
    """Each command of Arm's script to the commands that the table has for it, the first of several."""
    table = (REPOSITORY_PATH / "docs/from-arms-script.md").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for left, right in re.findall(r"^\| (`.*?) \| (.*`.*) \|$", table, re.MULTILINE):
        names, commands = re.findall(r"`([^`]+)`", left), re.findall(r"`(invoke [^`]+)`", right)
        found |= {name: commands[min(number, len(commands) - 1)] for number, name in enumerate(names) if commands}
    return {name: command for name, command in found.items() if not name.startswith("--")}


def lay_out(base_path: Path, address: Address, hands: Hands, built: Path) -> Arms:
    """What a user of Arm's script has: its settings file, its files, its build, its objects."""
    tree_path = base_path / TREE
    firmware.lay_out(tree_path)
    (tree_path / "build").mkdir()
    for name in (ARMS_IMAGE, "update-signature.txt"):
        (tree_path / "build" / name).write_bytes((built / "build" / name).read_bytes())
    project = Project(base_path / "ota-tasks", aws_environment(address), has_firmware=False)
    (project.root_path / "config.json").unlink()
    write_settings(tree_path, THING)
    leave_behind(tree_path, hands, THING, BUCKET, ROLE)
    return Arms(hands, project, tree_path)


def write_settings(tree_path: Path, thing: str, **others: str) -> None:
    values = {**ARM_FILE, "thing_name": thing, "permissions_boundary": "", "skip_build": "true", **others}
    (tree_path / "tools/scripts/createIoTThings_settings.json").write_text(json.dumps(values, indent=4))


def leave_behind(tree_path: Path, hands: Hands, thing: str, bucket: str, role: str) -> None:
    made = hands.as_arms_script(thing, bucket, role)
    files = {
        f"thing_certificate_{thing}.pem.crt": made["certificatePem"],
        f"thing_private_key_{thing}.pem.key": made["keyPair"]["PrivateKey"],
        f"thing_public_key_{thing}.pem.key": made["keyPair"]["PublicKey"],
    }
    (tree_path / "certificates").mkdir(exist_ok=True)
    for name, text in files.items():
        (tree_path / "certificates" / name).write_text(text)
        (tree_path / "certificates" / name).chmod(0o600)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_tree(tmp_path_factory.getbasetemp())


@pytest.fixture
def arms(clean_sandbox: Address, tmp_path: Path, iot: Any, s3: Any, iam: Any, built: Path) -> Arms:
    return lay_out(tmp_path, clean_sandbox, Hands(iot, s3, iam), built)


def test_every_row_of_the_table_is_walked() -> None:
    assert rows().keys() == WALKED


def test_what_it_made_is_reused(arms: Arms) -> None:
    before = arms.hands.names()
    for command, verbs in REUSE.items():
        done = arms.run(rows()[command]).done()
        assert set(done.verbs) >= verbs, command
        assert ("not made by this tool" in done.out) is (command != "create-thing-only"), command
    assert arms.hands.names() == before


@pytest.mark.alone
def test_what_it_made_is_listed_as_not_ours(arms: Arms) -> None:
    for command, plurals in LISTS.items():
        found = json.loads(arms.run(f"{rows()[command]} --json").done().out)
        ours = {key: [row["ours"] for row in one["rows"]] for key, one in found.items() if one["rows"]}
        assert ours == {key: [False] for key in plurals}, command


def test_its_broad_policy_is_shown_and_left(arms: Arms) -> None:
    for command in NARROW_THE_POLICY:
        failed = arms.run(rows()[command]).failed(
            f"The policy {THING}_policy exists with another document", '-        "iot:Subscribe",'
        )
        assert set(failed.verbs) >= REUSE["create-thing-only"], command


def test_a_bucket_with_an_underscore_says_what_to_write(arms: Arms) -> None:
    write_settings(arms.tree_path, THING, bucket_name="")
    arms.run("invoke bucket").failed(
        'bucket_name_DEFAULT: "${thing_name}_bucket"', 'write "${thing_name}{lower}-bucket"'
    )


def test_all_goes_on_where_the_script_stopped(arms: Arms) -> None:
    arms.run("invoke delete.policy --force policy").done()
    arms.run(rows()["create-update-only"]).failed(f"The OTA update {UPDATE} was not made by this tool")
    done = arms.run("invoke delete.update --force all").done()
    expected = REUSED_THING | {REUSED_BUCKET, REUSED_ROLE, ("update", "deleted"), ("update", "created")}
    assert set(done.verbs) >= expected
    for command in UPDATE_THE_DEVICE:
        again = arms.run(rows()[command]).done()
        assert {verb for _, verb in again.verbs} <= {"reused", "skipped"}
        assert ("update", "reused") in again.verbs


def test_its_deletions_leave_nothing(arms: Arms) -> None:
    certificate = next(iter(arms.hands.names()["certificates"]))
    for command, (name, verbs) in DELETIONS.items():
        typed = rows()[command].replace(" N ", f" {certificate if name == CERTIFICATE else name} ")
        assert arms.run(typed).done().verbs == verbs, command
    assert not any(arms.hands.names().values())


def test_its_prunings_take_the_certificate_with_the_last_that_it_hung_on(arms: Arms) -> None:
    for command, (name, verbs) in PRUNINGS.items():
        assert arms.run(rows()[command].replace(" N ", f" {name} ")).done().verbs == verbs, command


def test_cleaning_up_takes_force_for_what_the_script_made(arms: Arms) -> None:
    before = arms.hands.names()
    assert {verb for _, verb in arms.run(rows()[CLEAN]).done().verbs} == {"skipped"}
    assert arms.hands.names() == before
    assert {verb for _, verb in arms.run(f"{rows()[CLEAN]} --force").done().verbs} == {"deleted"}
    assert not any(arms.hands.names().values())
    assert len(list((arms.tree_path / "certificates").glob("thing_*"))) == 3


def test_cleaning_up_by_the_certificates_that_are_there(arms: Arms) -> None:
    leave_behind(arms.tree_path, arms.hands, "armThing-2", "armthing-2-bucket", "Proj-armThing-2_role")
    arms.hands.thing("stranger")
    done = arms.run(f"{rows()[CLEAN_ALL]} --force").done()
    assert done.verbs.count(("thing", "deleted")) == done.verbs.count(("update", "deleted")) == 2
    left = arms.hands.names()
    assert {plural: names for plural, names in left.items() if names} == {"things": {"stranger"}}
    assert not (arms.tree_path / "certificates").exists()
