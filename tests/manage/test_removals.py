"""Deleting by name: exactly what was named, with what may go with it, and the reasons for what stays."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from ota import cloud
from ota.errors import InTheWay, NotOurs, OtaError
from ota.manage.by_hand import remove as remove_names
from ota.manage.removals import Deletion
from ota.manage.selections import select, split_names
from ota.nouns import NOUN_BY_NAME, NOUNS
from ota.outcomes import Outcome
from ota.sandbox.process import Address
from ota.settings.settings import load_settings
from ota.updates.jobs import Patience
from tests.conftest import ACCOUNT, REGION
from tests.hand_made import MANAGED_POLICY, Hands, id_of
from tests.sandbox_control import Control

if TYPE_CHECKING:
    from ota.cloud import Cloud
    from ota.settings.settings import Settings

LAMP_BUCKET = f"lamp-ota-{ACCOUNT}"


@dataclass
class Said:
    """What a deletion said: lines as noun, verb, name, detail; reasons; notes."""

    lines: list[tuple[str, str, str, str]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def verbs(self) -> list[tuple[str, str, str]]:
        return [line[:3] for line in self.lines]

    @property
    def text(self) -> str:
        return "\n".join(self.reasons)


@pytest.fixture
def hands(iot: Any, s3: Any, iam: Any) -> Hands:
    return Hands(iot, s3, iam)


@pytest.fixture(scope="module")
def account(sandbox: Address) -> Cloud:
    return cloud.open_sandbox(sandbox.endpoint_url, sandbox.region)


@pytest.fixture
def settings_with(tmp_path: Path) -> Callable[..., Settings]:
    def make(**values: str) -> Settings:
        (tmp_path / "config.json").write_text(json.dumps({"thing_name": "lamp", **values}))
        return load_settings(tmp_path, environ={}, account_id=ACCOUNT, region=REGION, required=())

    return make


@pytest.fixture
def remove(account: Cloud, settings_with: Callable[..., Settings]) -> Callable[..., Said]:
    def run(
        noun: str,
        *names: str,
        force: bool = False,
        prune: bool = False,
        settings: Settings | None = None,
        delete_timeout_s: float = 120.0,
    ) -> Said:
        said = Said()

        def show(outcome: Outcome[Any]) -> None:
            said.lines.append((outcome.noun, outcome.verb.value, outcome.name, str(outcome.detail)))

        deletion = Deletion(
            account,
            settings or settings_with(),
            Patience(poll_s=0.01, delete_timeout_s=delete_timeout_s),
            lambda text: said.notes.append(str(text)),
            is_forced=force,
            prunes=prune,
        )
        said.reasons = [str(reason) for reason in remove_names(deletion, NOUN_BY_NAME[noun], names, show)]
        return said

    return run


Remove = Callable[..., Said]


@pytest.mark.parametrize("noun", [noun.name for noun in NOUNS if noun.deleted])
@pytest.mark.usefixtures("clean_sandbox")
def test_what_is_not_there_is_absent(remove: Remove, noun: str) -> None:
    name = "0" * 64 if noun == "certificate" else "nothing-like-it"
    said = remove(noun, name)
    assert said.verbs == [(noun, "absent", name)]
    assert said.reasons == []


def test_a_thing_goes_and_its_certificate_stays(hands: Hands, remove: Remove) -> None:
    hands.thing("lamp")
    hands.thing("desk")
    arn = hands.certificate("lamp")
    said = remove("thing", "lamp")
    assert said.lines == [("thing", "deleted", "lamp", f"the certificate {id_of(arn)} stays")]
    assert hands.names()["things"] == {"desk"}
    assert hands.names()["certificates"] == {id_of(arn)}


def test_pruning_a_thing_takes_the_certificates_that_hang_on_nothing_else(hands: Hands, remove: Remove) -> None:
    for name in ("lamp", "desk"):
        hands.thing(name)
    hands.policy("rights")
    own, shared = hands.certificate("lamp"), hands.certificate("lamp", "desk")
    righted = hands.certificate("lamp", policies=("rights",))
    other = hands.certificate("desk")
    said = remove("thing", "lamp", prune=True)
    assert said.lines[0] == ("thing", "deleted", "lamp", "")
    assert sorted(said.lines[1:]) == sorted(
        [
            ("certificate", "deleted", id_of(own), ""),
            ("certificate", "skipped", id_of(shared), "is attached to the thing desk too, stays"),
            ("certificate", "skipped", id_of(righted), "is attached to the policy rights too, stays"),
        ]
    )
    assert said.reasons == []
    assert hands.names()["certificates"] == {id_of(one) for one in (shared, righted, other)}
    assert hands.names()["policies"] == {"rights"}


def test_two_things_that_share_a_certificate_go_together_with_it(hands: Hands, remove: Remove) -> None:
    for name in ("lamp", "desk"):
        hands.thing(name)
    shared = hands.certificate("lamp", "desk")
    said = remove("thing", "lamp", "desk", prune=True)
    assert ("certificate", "deleted", id_of(shared)) in said.verbs
    assert hands.names()["certificates"] == set()


def test_pruning_leaves_the_certificate_that_the_settings_name(
    hands: Hands, remove: Remove, settings_with: Callable[..., Settings]
) -> None:
    hands.thing("lamp")
    arn = hands.certificate("lamp")
    said = remove("thing", "lamp", prune=True, settings=settings_with(existing_certificate_arn=arn))
    assert said.lines[1] == ("certificate", "skipped", id_of(arn), "named by existing_certificate_arn, stays")
    assert hands.names()["certificates"] == {id_of(arn)}


def test_a_policy_and_a_thing_of_one_name_are_told_apart(hands: Hands, remove: Remove) -> None:
    hands.thing("lamp")
    hands.policy("lamp")
    arn = hands.certificate("lamp", policies=("lamp",))
    said = remove("policy", "lamp", prune=True)
    assert said.lines[1] == ("certificate", "skipped", id_of(arn), "is attached to the thing lamp too, stays")
    assert said.reasons == []
    assert hands.names()["certificates"] == {id_of(arn)}
    assert hands.names()["things"] == {"lamp"}


def test_a_thing_whose_device_is_at_work_stays_unless_forced(hands: Hands, remove: Remove, jobs_data: Any) -> None:
    hands.whole("lamp", ours=True)
    jobs_data.start_next_pending_job_execution(thingName="lamp")
    said = remove("thing", "lamp")
    assert said.verbs == [("thing", "skipped", "lamp")]
    assert "at work on AFR_OTA-lamp_update right now" in said.text
    assert "`invoke delete.thing --name lamp --force`" in said.text
    assert "lamp" in hands.names()["things"]
    assert remove("thing", "lamp", force=True).verbs == [("thing", "deleted", "lamp")]


def test_a_thing_whose_device_has_not_begun_goes(hands: Hands, remove: Remove) -> None:
    hands.whole("lamp", ours=True)
    assert remove("thing", "lamp").verbs == [("thing", "deleted", "lamp")]


def test_a_policy_in_use_stays_unless_forced(hands: Hands, remove: Remove) -> None:
    hands.policy("rights")
    arn = hands.certificate(policies=("rights",))
    said = remove("policy", "rights")
    assert said.verbs == [("policy", "skipped", "rights")]
    assert f"is attached to the certificate {id_of(arn)}" in said.text
    assert "`invoke delete.policy --name rights --force`" in said.text
    assert "--prune" in said.text
    assert hands.names()["policies"] == {"rights"}
    said = remove("policy", "rights", force=True)
    assert said.lines == [("policy", "deleted", "rights", f"the certificate {id_of(arn)} stays")]
    assert hands.names()["certificates"] == {id_of(arn)}


def test_a_policy_that_hangs_on_nothing_goes(hands: Hands, remove: Remove) -> None:
    hands.policy("rights")
    assert remove("policy", "rights").lines == [("policy", "deleted", "rights", "")]


def test_pruning_a_policy_takes_the_certificates_that_hang_on_nothing_else(hands: Hands, remove: Remove) -> None:
    hands.thing("lamp")
    hands.policy("rights")
    hands.policy("more")
    own = hands.certificate(policies=("rights",))
    on_thing = hands.certificate("lamp", policies=("rights",))
    more = hands.certificate(policies=("rights", "more"))
    other = hands.certificate(policies=("more",))
    said = remove("policy", "rights", prune=True)
    assert sorted(said.lines[1:]) == sorted(
        [
            ("certificate", "deleted", id_of(own), ""),
            ("certificate", "skipped", id_of(on_thing), "is attached to the thing lamp too, stays"),
            ("certificate", "skipped", id_of(more), "is attached to the policy more too, stays"),
        ]
    )
    assert hands.names()["certificates"] == {id_of(one) for one in (on_thing, more, other)}
    assert hands.names()["policies"] == {"more"}
    assert hands.names()["things"] == {"lamp"}


@pytest.mark.parametrize("prune", [False, True], ids=["plain", "pruning"])
def test_a_certificate_in_use_stays_unless_forced(hands: Hands, remove: Remove, prune: bool) -> None:
    hands.thing("lamp")
    hands.policy("rights")
    arn = hands.certificate("lamp", policies=("rights",))
    said = remove("certificate", id_of(arn), prune=prune)
    assert said.verbs == [("certificate", "skipped", id_of(arn))]
    assert "is attached to the thing lamp, the policy rights" in said.text
    assert f"`invoke delete.certificate --name {id_of(arn)} --force`" in said.text
    assert "--prune" in said.text
    described = hands.iot.describe_certificate(certificateId=id_of(arn))["certificateDescription"]
    assert described["status"] == "ACTIVE", "nothing is touched"


@pytest.mark.parametrize("policies", [(), ("rights",)], ids=["a thing", "a policy"])
def test_one_thing_or_policy_is_enough_to_keep_a_certificate(
    hands: Hands, remove: Remove, policies: tuple[str, ...]
) -> None:
    hands.thing("lamp")
    hands.policy("rights")
    arn = hands.certificate(*(() if policies else ("lamp",)), policies=policies)
    assert remove("certificate", id_of(arn)).verbs == [("certificate", "skipped", id_of(arn))]


def test_a_loose_certificate_goes_though_it_is_active(hands: Hands, remove: Remove) -> None:
    arn, other = hands.certificate(), hands.certificate()
    assert remove("certificate", id_of(arn)).lines == [("certificate", "deleted", id_of(arn), "")]
    assert hands.names()["certificates"] == {id_of(other)}


def test_a_forced_certificate_is_detached_and_what_it_hung_on_stays(hands: Hands, remove: Remove) -> None:
    hands.thing("lamp")
    hands.policy("rights")
    arn = hands.certificate("lamp", policies=("rights",))
    said = remove("certificate", id_of(arn), force=True)
    assert said.lines == [("certificate", "deleted", id_of(arn), "the thing lamp, the policy rights stay")]
    names = hands.names()
    assert (names["certificates"], names["things"], names["policies"]) == (set(), {"lamp"}, {"rights"})


def test_a_forced_and_pruned_certificate_takes_what_has_no_other(hands: Hands, remove: Remove) -> None:
    for name in ("lamp", "desk"):
        hands.thing(name)
    for name in ("rights", "more"):
        hands.policy(name)
    arn = hands.certificate("lamp", "desk", policies=("rights", "more"))
    other = hands.certificate("desk", policies=("more",), exclusive=False)
    said = remove("certificate", id_of(arn), force=True, prune=True)
    assert sorted(said.lines[1:]) == [
        ("policy", "deleted", "rights", ""),
        ("policy", "skipped", "more", f"is attached to the certificate {id_of(other)} too, stays"),
        ("thing", "deleted", "lamp", ""),
        ("thing", "skipped", "desk", f"is attached to the certificate {id_of(other)} too, stays"),
    ]
    names = hands.names()
    assert (names["certificates"], names["things"], names["policies"]) == ({id_of(other)}, {"desk"}, {"more"})


def test_a_role_with_foreign_policies_stays_unless_forced(hands: Hands, remove: Remove) -> None:
    hands.role("helper")
    hands.iam.attach_role_policy(RoleName="helper", PolicyArn=MANAGED_POLICY)
    hands.iam.put_role_policy(RoleName="helper", PolicyName="by-hand", PolicyDocument=_document())
    hands.iam.create_instance_profile(InstanceProfileName="box")
    hands.iam.add_role_to_instance_profile(InstanceProfileName="box", RoleName="helper")
    said = remove("role", "helper")
    assert said.verbs == [("role", "skipped", "helper")]
    for part in (MANAGED_POLICY, "inline policy by-hand", "instance profile box", "delete.role --name helper --force"):
        assert part in said.text
    assert "ota-tasks" not in said.text, "our own inline policy is in nobody's way"
    assert len(hands.iam.list_role_policies(RoleName="helper")["PolicyNames"]) == 2, "nothing is touched"
    assert remove("role", "helper", force=True).verbs == [("role", "deleted", "helper")]
    assert hands.names()["roles"] == set()


def test_our_own_role_goes_with_its_own_policy(hands: Hands, remove: Remove) -> None:
    hands.role("helper", ours_for="lamp")
    assert remove("role", "helper").verbs == [("role", "deleted", "helper")]


@pytest.mark.parametrize(
    ("update", "role", "ours_for", "update_is_ours", "way_out"),
    [
        ("lamp_update", "lamp_role", "", False, "role delete.update --force"),
        (
            "other",
            "other_role",
            "desk",
            True,
            "with --iam-role-name other_role role delete.update --force --name other",
        ),
    ],
    ids=["by the names of the settings", "by the marks of one thing"],
)
def test_a_role_that_an_update_needs_stays_unless_forced(
    hands: Hands, remove: Remove, update: str, role: str, ours_for: str, update_is_ours: bool, way_out: str
) -> None:
    hands.thing("desk")
    hands.bucket("images", holds=("image.bin",))
    hands.role(role, ours_for=ours_for, bucket="images")
    hands.update(update, "desk", role=role, bucket="images", ours=update_is_ours)
    said = remove("role", role)
    assert said.verbs == [("role", "skipped", role)]
    assert f"The OTA update {update} still needs the role {role}" in said.text
    assert f"`invoke delete.update --name {update}`" in said.text
    assert f"`invoke delete.role --name {role} --force`" in said.text
    assert said.notes == []
    assert hands.names()["roles"] == {role}
    said = remove("role", role, force=True)
    assert said.verbs == [("role", "deleted", role)]
    assert said.notes == [
        f"note: AWS cannot delete the OTA update {update} without the role {role}. To make the role again and delete "
        f"both: `invoke {way_out}`."
    ]


def test_a_role_that_several_updates_need_names_them_all(hands: Hands, remove: Remove) -> None:
    hands.thing("desk")
    hands.bucket("images", holds=("image.bin",))
    hands.role("desk_role", ours_for="desk", bucket="images")
    for name in ("first", "second"):
        hands.update(name, "desk", role="desk_role", bucket="images", ours=True)
    said = remove("role", "desk_role")
    assert "The OTA update first, update second still need the role desk_role" in said.text
    assert "Delete them first: `invoke delete.update --name first --name second`." in said.text


@pytest.mark.parametrize(
    ("role", "ours_for", "update", "thing"),
    [
        ("lamp_role", "lamp", "desk_update", "desk"),
        ("other_role", "", "lamp_update", "lamp"),
        ("other_role", "desk", "lamp_update", "lamp"),
    ],
    ids=["another thing's update", "a role of nobody's", "another thing's role"],
)
def test_a_role_that_no_update_can_need_goes(
    hands: Hands, remove: Remove, role: str, ours_for: str, update: str, thing: str
) -> None:
    hands.thing(thing)
    hands.bucket("images", holds=("image.bin",))
    hands.role("its_role", bucket="images")
    hands.role(role, ours_for=ours_for)
    hands.update(update, thing, role="its_role", bucket="images", ours=True)
    assert remove("role", role).verbs == [("role", "deleted", role)]
    assert hands.names()["roles"] == {"its_role"}


def test_updates_that_these_credentials_may_not_see_do_not_keep_a_role(
    hands: Hands, remove: Remove, control: Control
) -> None:
    hands.whole("desk", ours=True)
    hands.role("mug_role", ours_for="mug")
    control.fail("GetOTAUpdate", "access-denied", times=50)
    assert remove("role", "mug_role").verbs == [("role", "deleted", "mug_role")]


def test_updates_that_cannot_be_looked_at_for_another_reason_end_it(
    hands: Hands, remove: Remove, control: Control
) -> None:
    hands.whole("desk", ours=True)
    hands.role("mug_role", ours_for="mug")
    control.fail("GetOTAUpdate", code="InvalidRequestException", status=400, message="no", times=50)
    with pytest.raises(ClientError, match="InvalidRequestException"):
        remove("role", "mug_role")


def test_an_update_whose_role_is_gone_tells_the_way_out(hands: Hands, remove: Remove) -> None:
    hands.whole("lamp", ours=True)
    hands.whole("desk", ours=True)
    for name in ("lamp", "desk"):
        assert remove("role", f"{name}_role", force=True).reasons == []
    said = remove("update", "lamp_update", force=True)
    assert said.verbs == [("update", "skipped", "lamp_update")]
    assert "AWS could not delete the OTA update lamp_update: Cannot assume role" in said.text
    assert "`invoke role delete.update`" in said.text
    other = remove("update", "desk_update", force=True)
    assert "with --iam-role-name '<its role>' role delete.update --name desk_update`" in other.text
    # Its deletion was asked for already: with the role back there is nothing to force any more.
    hands.role("lamp_role", ours_for="lamp")
    assert remove("update", "lamp_update").verbs == [("update", "deleted", "lamp_update")]
    assert hands.names()["updates"] == {"desk_update"}


def test_a_bucket_that_holds_something_stays_unless_forced(hands: Hands, remove: Remove) -> None:
    hands.bucket("full", holds=("a", "b", "c", "d"))
    hands.bucket("other", holds=("a",))
    said = remove("bucket", "full")
    assert said.verbs == [("bucket", "skipped", "full")]
    assert "is not empty: a, b, c are in it." in said.text
    assert "every version" in said.text
    assert "`invoke delete.bucket --name full --force`" in said.text
    hands.s3.put_object(Bucket="full", Key="a", Body=b"newer")
    hands.s3.delete_object(Bucket="full", Key="b")
    assert remove("bucket", "full", force=True).verbs == [("bucket", "deleted", "full")]
    assert hands.names()["buckets"] == {"other"}


def test_a_bucket_that_only_holds_what_was_deleted_is_not_empty(hands: Hands, remove: Remove) -> None:
    hands.bucket("full", holds=("a",))
    hands.s3.delete_object(Bucket="full", Key="a")
    assert remove("bucket", "full").verbs == [("bucket", "skipped", "full")]


def test_an_empty_bucket_goes(hands: Hands, remove: Remove) -> None:
    hands.bucket("empty")
    assert remove("bucket", "empty").verbs == [("bucket", "deleted", "empty")]


def test_an_update_that_devices_may_take_stays_unless_forced(hands: Hands, remove: Remove) -> None:
    hands.whole("lamp", ours=False)
    said = remove("update", "lamp_update")
    assert said.verbs == [("update", "skipped", "lamp_update")]
    assert "has not finished: its job AFR_OTA-lamp_update is IN_PROGRESS" in said.text
    assert "`invoke delete.update --name lamp_update --force`" in said.text
    assert hands.names()["jobs"] == {"AFR_OTA-lamp_update"}
    assert remove("update", "lamp_update", force=True).verbs == [("update", "deleted", "lamp_update")]
    assert hands.names()["updates"] == hands.names()["jobs"] == set()


def test_an_update_that_is_being_made_stays_unless_forced(hands: Hands, remove: Remove, control: Control) -> None:
    hands.thing("lamp")
    control.pause(30)
    hands.update("lamp_update", "lamp", role="none", bucket="none")
    said = remove("update", "lamp_update")
    assert "has not finished: AWS is still making it (CREATE_PENDING)" in said.text
    control.advance_clock(60)


def test_an_update_that_has_finished_goes(hands: Hands, remove: Remove, jobs_data: Any) -> None:
    hands.whole("lamp", ours=True)
    job_id = jobs_data.start_next_pending_job_execution(thingName="lamp")["execution"]["jobId"]
    jobs_data.update_job_execution(thingName="lamp", jobId=job_id, status="SUCCEEDED")
    assert remove("update", "lamp_update").verbs == [("update", "deleted", "lamp_update")]


def test_a_job_that_devices_may_take_stays_unless_forced(hands: Hands, remove: Remove) -> None:
    hands.whole("lamp", ours=True)
    said = remove("job", "AFR_OTA-lamp_update")
    assert said.verbs == [("job", "skipped", "AFR_OTA-lamp_update")]
    assert "AFR_OTA-lamp_update is IN_PROGRESS: its devices have not finished" in said.text
    assert "`invoke delete.job --name AFR_OTA-lamp_update --force`" in said.text
    said = remove("job", "AFR_OTA-lamp_update", force=True)
    line = ("job", "deleted", "AFR_OTA-lamp_update")
    assert said.lines == [(*line, "its update stays: `invoke delete.update --name lamp_update`")]
    assert hands.names()["jobs"] == set()
    assert hands.names()["updates"] == {"lamp_update"}


def test_a_job_of_no_update_goes(hands: Hands, remove: Remove) -> None:
    hands.iot.create_job(jobId="other", targets=[hands.thing("lamp")], document="{}")
    hands.iot.create_job(jobId="more", targets=[hands.thing("lamp")], document="{}")
    hands.iot.cancel_job(jobId="other")
    assert remove("job", "other").lines == [("job", "deleted", "other", "")]
    assert hands.names()["jobs"] == {"more"}


def test_a_job_is_waited_for_until_it_is_gone(hands: Hands, remove: Remove, control: Control) -> None:
    hands.iot.create_job(jobId="slow", targets=[hands.thing("lamp")], document="{}")
    control.pause(0.2)
    assert remove("job", "slow", force=True).verbs == [("job", "deleted", "slow")]
    assert hands.names()["jobs"] == set()


def test_a_job_that_takes_too_long_says_how_to_go_on(hands: Hands, remove: Remove, control: Control) -> None:
    hands.iot.create_job(jobId="slow", targets=[hands.thing("lamp")], document="{}")
    control.pause(30)
    said = remove("job", "slow", force=True, delete_timeout_s=0.0)
    assert said.verbs == [("job", "skipped", "slow")]
    assert said.text == (
        "Waited 0 seconds for AWS to delete the job slow, and it is not done. Run the same command again to go on "
        "waiting, or raise update_timeout_s and delete_timeout_s in config.json."
    )
    control.advance_clock(60)
    assert remove("job", "slow").verbs == [("job", "absent", "slow")]


def test_a_thing_that_goes_while_it_is_deleted_is_no_failure(hands: Hands, remove: Remove, control: Control) -> None:
    hands.thing("lamp")
    control.fail("ListJobExecutionsForThing", code="ResourceNotFoundException", status=404)
    assert remove("thing", "lamp").verbs == [("thing", "deleted", "lamp")]


def test_what_is_in_the_way_of_one_does_not_keep_the_others(hands: Hands, remove: Remove) -> None:
    for name in ("a", "b", "c"):
        hands.bucket(f"bucket-{name}", holds=("x",) if name == "b" else ())
    said = remove("bucket", "bucket-a", "bucket-b", "bucket-c", "bucket-d")
    assert said.verbs == [
        ("bucket", "deleted", "bucket-a"),
        ("bucket", "skipped", "bucket-b"),
        ("bucket", "deleted", "bucket-c"),
        ("bucket", "absent", "bucket-d"),
    ]
    assert len(said.reasons) == 1
    assert hands.names()["buckets"] == {"bucket-b"}


def test_names_may_stand_in_one_text() -> None:
    assert split_names(["a b", "c", "  d\te "]) == ["a", "b", "c", "d", "e"]


@pytest.mark.usefixtures("clean_sandbox")
def test_exact_names_are_taken_as_they_are_and_once(account: Cloud) -> None:
    chosen = select(account, NOUN_BY_NAME["thing"], ["b", "a", "b"], is_forced=False)
    assert (chosen.names, chosen.matched, chosen.unmatched) == (("b", "a"), (), ())


def test_a_pattern_means_what_we_made(hands: Hands, account: Cloud) -> None:
    for name in ("lamp-1", "lamp-2", "desk-1"):
        hands.thing(name, ours=True)
    hands.thing("lamp-3")
    hands.thing("desk-2")
    chosen = select(account, NOUN_BY_NAME["thing"], ["lamp-*", "no-*"], is_forced=False)
    assert chosen.names == chosen.matched == ("lamp-1", "lamp-2")
    assert (chosen.spared, chosen.unmatched) == (("lamp-3",), ("no-*",))
    forced = select(account, NOUN_BY_NAME["thing"], ["lamp-*"], is_forced=True)
    assert (forced.names, forced.spared) == (("lamp-1", "lamp-2", "lamp-3"), ())


def test_a_name_beside_a_pattern_is_chosen_whoever_made_it(hands: Hands, account: Cloud) -> None:
    hands.thing("lamp-1", ours=True)
    hands.thing("lamp-3")
    chosen = select(account, NOUN_BY_NAME["thing"], ["lamp-3", "lamp-*"], is_forced=False)
    assert (chosen.names, chosen.matched, chosen.spared) == (("lamp-3", "lamp-1"), ("lamp-1",), ())


def test_a_pattern_for_nothing_of_ours_says_what_is_like_it(hands: Hands, account: Cloud) -> None:
    for number in range(5):
        hands.policy(f"p{number}")
    with pytest.raises(NotOurs) as caught:
        select(account, NOUN_BY_NAME["policy"], ["p*"], is_forced=False)
    assert "This tool made no policy with a name like p*" in str(caught.value)
    assert "p4, p3, p2 and 2 more" in str(caught.value)
    assert "`invoke delete.policy --name 'p*' --force`" in str(caught.value)


@pytest.mark.parametrize(
    "write",
    [str, id_of, lambda arn: id_of(arn).upper(), lambda arn: id_of(arn)[:12], lambda arn: id_of(arn)[:12] + "…"],
    ids=["ARN", "id", "id in capitals", "beginning of the id", "as the lists show it"],
)
def test_a_certificate_has_several_names(hands: Hands, account: Cloud, write: Callable[[str], str]) -> None:
    arn = hands.certificate()
    hands.certificate()
    assert select(account, NOUN_BY_NAME["certificate"], [write(arn)], is_forced=False).names == (id_of(arn),)


def test_certificates_go_by_pattern_too(hands: Hands, account: Cloud) -> None:
    hands.thing("lamp", ours=True)
    arn = hands.certificate("lamp")
    hands.certificate()
    chosen = select(account, NOUN_BY_NAME["certificate"], [f"{id_of(arn)[:6]}*"], is_forced=False)
    assert chosen.names == chosen.matched == (id_of(arn),)


def test_a_beginning_that_no_certificate_has_is_unmatched(hands: Hands, account: Cloud) -> None:
    arn = hands.certificate()
    other = f"{(int(id_of(arn)[:8], 16) + 1) % 16**8:08x}"
    assert select(account, NOUN_BY_NAME["certificate"], [other], is_forced=False).unmatched == (other,)


def test_a_beginning_that_two_certificates_have_is_refused(
    hands: Hands, account: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two ids that begin alike cannot be had from AWS on purpose; here one digit is enough to be taken for an id."""
    monkeypatch.setattr("ota.manage.selections.ID_BEGINNING", re.compile("[0-9a-f]+"))
    ids = [id_of(hands.certificate()) for _ in range(17)]
    digit = next(one[0] for number, one in enumerate(ids) if one[0] in {other[0] for other in ids[:number]})
    with pytest.raises(InTheWay, match=rf"certificates have ids that begin with {digit}: write more digits"):
        select(account, NOUN_BY_NAME["certificate"], [digit], is_forced=False)


@pytest.mark.parametrize("name", ["lamp", "abc", "1234567", "zzzzzzzz", "0" * 65, "arn:aws:iot:eu-west-1:1:cert/ab"])
@pytest.mark.usefixtures("clean_sandbox")
def test_what_cannot_name_a_certificate_is_refused(account: Cloud, name: str) -> None:
    with pytest.raises(OtaError, match=r"is no certificate's id: .* first 8.*`invoke list.certificates`"):
        select(account, NOUN_BY_NAME["certificate"], [name], is_forced=False)


@pytest.mark.usefixtures("clean_sandbox")
def test_a_certificate_of_another_region_is_refused(account: Cloud) -> None:
    arn = f"arn:aws:iot:us-east-1:{ACCOUNT}:cert/{'0' * 64}"
    with pytest.raises(OtaError, match=r"is in us-east-1, and this run works in eu-west-1: set AWS_REGION=us-east-1"):
        select(account, NOUN_BY_NAME["certificate"], [arn], is_forced=False)


@pytest.mark.parametrize("name", ["a/b", "a$b", "lämp", "x;y"])
def test_what_cannot_be_a_name_is_refused_before_any_call(account: Cloud, control: Control, name: str) -> None:
    with pytest.raises(OtaError, match=r"cannot be the name of a role. `invoke list.roles` shows what there is"):
        select(account, NOUN_BY_NAME["role"], ["fine", name], is_forced=False)
    assert control.operations() == []


_document = partial(
    json.dumps,
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]},
)
