"""``invoke delete``: what it asks, what it refuses and in which words, and that it touches nothing else."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any, Protocol

import pytest

from ota import cloud
from ota.errors import InTheWay, OtaError
from ota.manage import by_hand
from ota.manage.removals import Deletion
from ota.nouns import CERTIFICATE, NOUN_BY_NAME, NOUNS, POLICY, THING
from ota.records import Noun
from ota.report import NAME_WIDTH, Report
from ota.sandbox.process import Address
from ota.settings.settings import load_settings
from ota.updates.jobs import Patience
from tests.conftest import ACCOUNT
from tests.hand_made import Hands, id_of
from tests.project import Project, aws_project
from tests.sandbox_control import Control

DELETED = [noun for noun in NOUNS if noun.deleted]
PRUNING = (THING, POLICY, CERTIFICATE)
LAMP_NAMES = {
    "thing": "lamp",
    "policy": "lamp_policy",
    "role": "lamp_role",
    "bucket": f"lamp-ota-{ACCOUNT}",
    "update": "lamp_update",
    "job": "AFR_OTA-lamp_update",
}


@pytest.fixture
def hands(iot: Any, s3: Any, iam: Any) -> Hands:
    return Hands(iot, s3, iam)


@pytest.fixture
def project(clean_sandbox: Address, tmp_path: Path) -> Project:
    return aws_project(tmp_path / "project", clean_sandbox, has_firmware=False)


@pytest.fixture
def nameless(project: Project) -> Project:
    """A project whose settings name nothing."""
    project.set(thing_name="<your_thing_name>", target_application="")
    return project


class Terminal(io.StringIO):
    """A stream with somebody at its other end."""

    def isatty(self) -> bool:
        return True


class Typed(Protocol):
    """``typed("thing", "lamp-*", answer="y")`` gives what the screen shows."""

    def __call__(self, noun: str, *names: str, answer: str, thing_name: str = "lamp") -> str: ...


@pytest.fixture
def typed(clean_sandbox: Address, tmp_path: Path) -> Typed:
    """A deletion with somebody at the terminal."""

    def delete(noun: str, *names: str, answer: str, thing_name: str = "lamp") -> str:
        (tmp_path / "config.json").write_text(json.dumps({"thing_name": thing_name}))
        settings = load_settings(tmp_path, environ={}, account_id=ACCOUNT, required=())
        account = cloud.open_sandbox(clean_sandbox.endpoint_url, clean_sandbox.region)
        screen = Terminal()
        report = Report(screen, screen, Terminal(f"{answer}\n"))
        deletion = Deletion(account, settings, Patience(), report.note)
        by_hand.delete_objects(deletion, report, NOUN_BY_NAME[noun], names)
        return plain(screen.getvalue())

    return delete


def plain(text: str) -> str:
    """What a terminal shows, without its control sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).replace("\r", "")


@pytest.mark.parametrize("noun", list(LAMP_NAMES))
def test_without_a_name_the_one_of_the_settings_is_meant(hands: Hands, project: Project, noun: str) -> None:
    hands.whole("lamp", ours=False)
    hands.whole("desk", ours=False)
    others = ["thing", "bucket", "role", "policy"] if noun in {"update", "job"} else []
    done = project.run_here(f"delete.{noun}", "--force").done()
    assert (noun, "deleted") in done.verbs
    assert [rest.split()[0] for one, _, rest in done.outcomes if one == noun] == [LAMP_NAMES[noun]]
    names = hands.names()
    plural = {"policy": "policies"}.get(noun, f"{noun}s")
    assert LAMP_NAMES[noun] not in names[plural]
    assert LAMP_NAMES[noun].replace("lamp", "desk") in names[plural]
    assert all(LAMP_NAMES[other] in names[{"policy": "policies"}.get(other, f"{other}s")] for other in others)


def test_without_a_name_the_certificate_of_the_files_is_meant(hands: Hands, project: Project) -> None:
    project.set(target_application="")
    project.run_here("thing").done()
    other = hands.certificate()
    done = project.run_here("delete.certificate", "--force").done()
    assert done.verbs == [("certificate", "deleted")]
    assert hands.names()["certificates"] == {id_of(other)}


def test_the_certificate_that_the_settings_name_comes_first(hands: Hands, project: Project) -> None:
    arn = hands.certificate()
    project.set(existing_certificate_arn=arn)
    project.run_here("delete.certificate").done()
    assert hands.names()["certificates"] == set()


@pytest.mark.parametrize("noun", DELETED, ids=[noun.name for noun in DELETED])
def test_with_no_name_at_all_it_says_how_to_give_one(nameless: Project, noun: Noun) -> None:
    nameless.run_here(f"delete.{noun.delete_task}").failed(
        f"Which {noun.name}?",
        f"`invoke delete.{noun.delete_task} --name NAME`",
        f"`invoke list.{noun.list_task}`",
        "thing_name in config.json",
    )


def test_with_no_name_at_all_a_terminal_is_asked(hands: Hands, typed: Typed) -> None:
    for name in ("desk", "lamp"):
        hands.thing(name)
    assert "Name of the thing to delete:" in typed("thing", answer="desk", thing_name="")
    assert hands.names()["things"] == {"lamp"}


def test_an_empty_answer_deletes_nothing(hands: Hands, typed: Typed) -> None:
    hands.thing("lamp")
    with pytest.raises(OtaError, match=r"Which thing\? Say `invoke delete.thing --name NAME`"):
        typed("thing", answer=" ", thing_name="")
    assert hands.names()["things"] == {"lamp"}


def test_several_names_are_deleted_whoever_made_them(hands: Hands, project: Project) -> None:
    for name in ("a", "b", "c", "d"):
        hands.thing(name, ours=name == "a")
    done = project.run_here("delete.thing", "--name", "a", "-n", "b c").done()
    assert done.verbs == [("thing", "deleted")] * 3
    assert hands.names()["things"] == {"d"}


def test_what_is_not_there_is_no_failure(project: Project) -> None:
    done = project.run_here("delete.thing", "--name", "ghost", "--name", "ghost-*").done()
    assert done.outcomes == [("thing", "absent", "ghost-*"), ("thing", "absent", "ghost")]


def test_a_pattern_without_a_terminal_deletes_nothing(hands: Hands, project: Project) -> None:
    for name in ("lamp-1", "lamp-2"):
        hands.thing(name, ours=True)
    failed = project.run_here("delete.thing", "--name", "lamp-*", "--prune").failed(
        "Nothing was deleted",
        "there is no terminal to ask on",
        "`invoke delete.thing --name 'lamp-*' --prune --yes`",
    )
    assert "lamp-* matches 2 things:\n  lamp-1\n  lamp-2\n" in failed.out
    assert hands.names()["things"] == {"lamp-1", "lamp-2"}


def test_a_pattern_is_confirmed_on_a_terminal(hands: Hands, project: Project) -> None:
    for name in ("lamp-1", "lamp-2", "desk-1"):
        hands.thing(name, ours=True)
    done = project.run_on_terminal("delete.thing", "--name", "lamp-*", question="[y/N]", answer="y").done()
    assert "lamp-* matches 2 things:\n  lamp-1\n  lamp-2\n" in plain(done.out)
    assert "Delete 2 things? [y/N]" in plain(done.out)
    assert hands.names()["things"] == {"desk-1"}


@pytest.mark.parametrize("answer", ["n", "", "whatever"])
def test_any_other_answer_deletes_nothing(hands: Hands, typed: Typed, answer: str) -> None:
    hands.thing("lamp-1", ours=True)
    with pytest.raises(InTheWay, match=r"^Nothing was deleted\.$"):
        typed("thing", "lamp-*", answer=answer)
    assert hands.names()["things"] == {"lamp-1"}


def test_of_very_many_matches_some_are_shown(hands: Hands, typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_hand, "MOST_SHOWN", 2)
    for number in range(5):
        hands.thing(f"lamp-{number}", ours=True)
    shown = typed("thing", "lamp-*", answer="y")
    assert "lamp-* matches 5 things:\n  lamp-0\n  lamp-1\n  and 3 more\nDelete 5 things?" in shown
    assert hands.names()["things"] == set()


def test_yes_answers_and_nothing_else_is_touched(hands: Hands, project: Project) -> None:
    """The right ones only: neither what the pattern is not like, nor what this tool did not make."""
    for name in ("lamp-1", "lamp-2", "lamp-10"):
        hands.whole(name, ours=True)
    for name in ("lamp-3", "desk"):
        hands.whole(name, ours=False)
    hands.thing("a-lamp-1", ours=True)
    before = hands.names()
    for noun in ("update", "role", "bucket", "policy", "thing"):
        flags = ("--prune",) if noun in {"policy", "thing"} else ("--force",)
        # With force a pattern means what others made too; so the pattern is one that theirs is not like.
        patterns = ("lamp-1*", "lamp-2*") if flags == ("--force",) else ("lamp-*",)
        names = [word for pattern in patterns for word in ("--name", pattern)]
        done = project.run_here(f"delete.{noun}", *names, *flags, "--yes").done()
        if noun in {"policy", "thing"}:
            assert "not made by this tool, so left: lamp-3" in done.err
            assert "--force" in done.err
    ours = ("lamp-1", "lamp-2", "lamp-10")
    left = hands.names()
    for plural in ("things", "policies", "roles", "buckets", "updates", "jobs"):
        gone = {name for name in before[plural] if name.removeprefix("AFR_OTA-").startswith(ours)}
        assert left[plural] == before[plural] - gone, plural
    assert len(before["certificates"] - left["certificates"]) == 3
    kept = {
        id_of(one)
        for name in ("lamp-3", "desk")
        for one in hands.iot.list_thing_principals(thingName=name)["principals"]
    }
    assert left["certificates"] == kept


def test_a_pattern_that_only_others_objects_are_like_deletes_nothing(hands: Hands, project: Project) -> None:
    hands.thing("lamp-1")
    project.run_here("delete.thing", "--name", "lamp-*", "--yes").failed(
        "This tool made no thing with a name like lamp-*", "lamp-1", "`invoke delete.thing --name 'lamp-*' --force`"
    )
    assert hands.names()["things"] == {"lamp-1"}
    project.run_here("delete.thing", "--name", "lamp-*", "--force", "--yes").done()
    assert hands.names()["things"] == set()


@pytest.mark.parametrize(
    ("noun", "words"),
    [
        ("policy", ("is attached to the certificate", "delete.policy --name lamp_policy --force")),
        ("role", ("OTA update lamp_update still needs the role", "delete.role --name lamp_role --force")),
        ("bucket", ("is not empty: image.bin is in it.", f"delete.bucket --name lamp-ota-{ACCOUNT} --force")),
        ("update", ("has not finished", "delete.update --name lamp_update --force")),
        ("job", ("its devices have not finished", "delete.job --name AFR_OTA-lamp_update --force")),
    ],
)
def test_a_refusal_says_what_is_in_the_way_and_what_would_do_it(
    hands: Hands, project: Project, noun: str, words: tuple[str, ...]
) -> None:
    hands.whole("lamp", ours=True)
    before = hands.names()
    failed = project.run_here(f"delete.{noun}").failed(*words)
    assert failed.outcomes == [(noun, "skipped", f"{LAMP_NAMES[noun]:<{NAME_WIDTH}}  stays")]
    assert hands.names() == before
    # The command that it names does it.
    command = next(found for found in re.findall(r"`invoke (delete\.\S+ --name [^`]*--force)`", failed.err))
    assert (noun, "deleted") in project.run_here(*command.split()).done().verbs


def test_a_certificate_in_use_says_what_is_in_the_way(hands: Hands, project: Project) -> None:
    hands.whole("lamp", ours=True)
    certificate = next(iter(hands.names()["certificates"]))
    project.run_here("delete.certificate", "--name", certificate[:8]).failed(
        "is attached to the thing lamp, the policy lamp_policy",
        f"delete.certificate --name {certificate} --force",
        "--prune",
    )


def test_force_delete_in_the_settings_is_force(hands: Hands, project: Project) -> None:
    project.set(force_delete="true")
    hands.whole("lamp", ours=True)
    for noun in ("update", "bucket", "role"):
        assert project.run_here(f"delete.{noun}").done().verbs == [(noun, "deleted")]


def test_the_way_out_after_a_role_went_too_early(hands: Hands, project: Project, control: Control) -> None:
    hands.whole("lamp", ours=True)
    hands.iam.delete_role_policy(RoleName="lamp_role", PolicyName="ota-tasks")
    hands.iam.delete_role(RoleName="lamp_role")
    project.run_here("delete.update", "--force").failed("Cannot assume role", "`invoke role delete.update`")
    control.iam_delay(0.2)
    done = project.run_here("role", "delete.update").done()
    assert done.verbs == [("role", "created"), ("update", "deleted")]
    assert hands.names()["updates"] == hands.names()["jobs"] == set()


def test_the_way_out_that_a_forced_deletion_names_works(hands: Hands, project: Project) -> None:
    hands.whole("desk", ours=True)
    done = project.run_here("delete.role", "--name", "desk_role", "--force").done()
    command = re.findall(r"`invoke ([^`]+)`", done.err)[-1]
    assert command == "with --iam-role-name desk_role role delete.update --force --name desk_update"
    assert project.run_here(*command.split()).done().verbs == [("role", "created"), ("update", "deleted")]
    assert hands.names()["updates"] == set()


def test_delete_alone_says_what_there_is_to_say(project: Project) -> None:
    failed = project.run_here("delete").failed("Say what to delete", "`invoke --help delete.thing`", "`invoke clean`")
    assert all(f"`invoke delete.{noun.delete_task}`" in failed.err for noun in DELETED)


@pytest.mark.parametrize("noun", [noun.name for noun in DELETED if noun is not CERTIFICATE])
def test_a_name_that_cannot_be_is_refused(project: Project, noun: str) -> None:
    found = NOUN_BY_NAME[noun]
    project.run_here(f"delete.{found.delete_task}", "--name", "a/b").failed(
        f"'a/b' cannot be the name of a {noun}", f"`invoke list.{found.list_task}`"
    )


def test_what_cannot_name_a_certificate_is_refused(project: Project) -> None:
    project.run_here("delete.certificate", "--name", "lamp").failed("'lamp' is no certificate's id", "64 hex digits")


def test_a_missing_permission_is_named(hands: Hands, project: Project, control: Control) -> None:
    hands.thing("lamp")
    control.fail("DeleteThing", "access-denied", times=20)
    project.run_here("delete.thing").failed("AWS refused iot:DeleteThing on lamp", "Have it added")
    assert hands.names()["things"] == {"lamp"}


def test_what_follows_sees_that_it_is_gone(project: Project) -> None:
    done = project.run_here("bucket", "delete.bucket", "list.buckets").done()
    assert done.verbs == [("bucket", "created"), ("bucket", "deleted")]
    assert f"lamp-ota-{ACCOUNT}" not in {line.split()[0] for line in done.out.splitlines() if line}


@pytest.mark.parametrize("noun", DELETED, ids=[noun.name for noun in DELETED])
def test_each_explains_its_flags(project: Project, noun: Noun) -> None:
    shown = project.run_here("--help", f"delete.{noun.delete_task}").done().out
    flags = {"--force", "--name", "--yes"} | ({"--prune"} if noun in PRUNING else set())
    assert set(re.findall(r"--(?!help)[a-z]+(?=\s)", shown.partition("Options:")[2])) == flags
