from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from ota.errors import CloudError, InTheWay, OtaError, SettingsError
from ota.messages import PLAIN
from ota.outcomes import Action, Outcome, Verb
from ota.ownership import mark_tags, marks
from ota.roles.permissions import (
    INLINE_POLICY,
    find_inline_document,
    list_foreign,
    role_arn,
    role_permissions_document,
    role_trust_document,
)
from ota.roles.roles import (
    FoundRole,
    Role,
    WantedRole,
    decide_role,
    decide_role_deletion,
    delete_role,
    find_role,
    find_role_with_policies,
    list_roles,
    make_role,
)
from tests.interruptions import repeated_after_every_kill
from tests.sandbox_control import Control

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

ACCOUNT = "123456789012"
REGION = "eu-west-1"
THING = "lamp"
NAME = "Dev-lamp_role"
ARN = role_arn("aws", ACCOUNT, NAME)
TRUST = role_trust_document(ACCOUNT, REGION, "aws")
PERMISSIONS = role_permissions_document("aws", REGION, ACCOUNT, "lamp-ota-123456789012", ARN)
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
GOLDEN = Path(__file__).parent / "golden"


def ensure(iam: IAMClient, **options: Any) -> Outcome[Role]:
    """What a run does: look, decide, make."""
    wanted = WantedRole(NAME, **{"trust": TRUST, "permissions": PERMISSIONS, "thing_name": THING, **options})
    return make_role(iam, decide_role(iam, find_role_with_policies(iam, NAME, wanted.thing_name), wanted))


def delete(iam: IAMClient, **options: Any) -> Outcome[None]:
    return delete_role(iam, NAME, **options)


def make_policy(iam: IAMClient, name: str, document: dict[str, Any] | None = None) -> str:
    answer = iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(document or EVERYTHING))
    return answer["Policy"]["Arn"]


def make_foreign(
    iam: IAMClient,
    *,
    trust: dict[str, Any] = TRUST,
    inline: dict[str, Any] | None = None,
    attached: dict[str, Any] | None = None,
    boundary_arn: str | None = None,
) -> None:
    boundary: Any = {"PermissionsBoundary": boundary_arn} if boundary_arn else {}
    iam.create_role(RoleName=NAME, AssumeRolePolicyDocument=json.dumps(trust), **boundary)
    if inline:
        iam.put_role_policy(RoleName=NAME, PolicyName="theirs", PolicyDocument=json.dumps(inline))
    if attached:
        iam.attach_role_policy(RoleName=NAME, PolicyArn=make_policy(iam, "theirs", attached))


def state(iam: IAMClient) -> tuple[Role | None, dict[str, Any] | None]:
    return find_role(iam, NAME), find_inline_document(iam, NAME)


@pytest.mark.parametrize(
    ("file_name", "document"), [("ota_role_trust.json", TRUST), ("ota_role_permissions.json", PERMISSIONS)]
)
def test_the_documents_are_the_recorded_ones(file_name: str, document: dict[str, Any]) -> None:
    assert document == json.loads((GOLDEN / file_name).read_text())


def test_the_documents_follow_the_partition() -> None:
    text = json.dumps(
        [
            role_trust_document(ACCOUNT, "cn-north-1", "aws-cn"),
            role_permissions_document("aws-cn", "cn-north-1", ACCOUNT, "b", role_arn("aws-cn", ACCOUNT, NAME)),
        ]
    )
    assert "arn:aws:" not in text
    assert "arn:aws-cn:" in text


def test_the_role_is_allowed_nothing_on_everything() -> None:
    resources = [one for statement in PERMISSIONS["Statement"] for one in statement["Resource"]]
    assert "*" not in resources
    assert not any("*" in action for statement in PERMISSIONS["Statement"] for action in statement["Action"])


def test_an_absent_role_is_not_found(iam: IAMClient) -> None:
    assert find_role(iam, NAME) is None


WANTED = WantedRole(NAME, TRUST, PERMISSIONS, THING)
OURS = FoundRole(Role(NAME, ARN, TRUST, marks(THING)), permissions=PERMISSIONS)
THEIRS = FoundRole(Role(NAME, ARN, TRUST), granted=(PERMISSIONS,))
DECISIONS: dict[str, tuple[FoundRole | OtaError | None, Action, str]] = {
    "nothing there": (None, Action.CREATE, "without a permissions boundary"),
    "a failed look": (CloudError("no answer"), Action.BLOCKED, "no answer"),
    "ours": (OURS, Action.REUSE, ""),
    "ours without its policy": (replace(OURS, permissions=None), Action.CHANGE, "permissions put right"),
    "ours that trusts nobody": (replace(OURS, role=replace(OURS.role, trust={})), Action.CHANGE, "trust put right"),
    "somebody's": (THEIRS, Action.REUSE, "not made by this tool; grants what is needed"),
    "somebody's that grants nothing": (replace(THEIRS, granted=()), Action.BLOCKED, "lacks permissions"),
    "somebody's that trusts nobody": (replace(THEIRS, role=Role(NAME, ARN, {})), Action.BLOCKED, "does not trust"),
    "somebody's, bounded": (replace(THEIRS, bounds=()), Action.BLOCKED, "does not allow all of that"),
}


@pytest.mark.parametrize(("found", "action", "words"), DECISIONS.values(), ids=DECISIONS)
def test_what_becomes_of_a_role_is_decided_from_what_is_there(
    iam: IAMClient, control: Control, found: FoundRole | OtaError | None, action: Action, words: str
) -> None:
    control.clear_calls()
    change = decide_role(iam, found, WANTED)
    assert (change.action, bool(change.problem)) == (action, action is Action.BLOCKED)
    assert words in str(change.detail)
    assert bool(words) == bool(change.detail)
    if change.problem:
        with pytest.raises(type(change.problem)):
            make_role(iam, change)
    assert control.operations() == []


@pytest.mark.parametrize("parts", [{}, {"attached": PERMISSIONS}, {"boundary_arn": "boundary"}], ids=str)
def test_reading_ahead_finds_the_same(iam: IAMClient, parts: dict[str, Any]) -> None:
    if "boundary_arn" in parts:
        parts = {**parts, "boundary_arn": make_policy(iam, "boundary")}
    make_foreign(iam, inline=EVERYTHING, **parts)
    found = find_role_with_policies(iam, NAME, THING)
    assert found is not None
    assert EVERYTHING in found.granted
    assert find_role_with_policies(iam, NAME, THING, reads_ahead=True) == found


def test_a_new_role_is_made_in_three_calls(iam: IAMClient, control: Control) -> None:
    outcome = ensure(iam)
    assert control.operations() == ["GetRole", "CreateRole", "PutRolePolicy"]
    assert outcome == Outcome(
        "role", Verb.CREATED, NAME, "without a permissions boundary", Role(NAME, ARN, TRUST, marks(THING))
    )
    assert state(iam) == (outcome.get(), PERMISSIONS)


def test_a_new_role_carries_its_boundary(iam: IAMClient) -> None:
    boundary_arn = make_policy(iam, "boundary")
    outcome = ensure(iam, boundary_arn=boundary_arn)
    assert outcome.detail == f"with the boundary {boundary_arn}"
    found = find_role(iam, NAME)
    assert found is not None
    assert found.boundary_arn == boundary_arn


def test_a_repeat_reuses_it_in_two_calls(iam: IAMClient, control: Control) -> None:
    made = ensure(iam)
    control.clear_calls()
    again = ensure(iam)
    assert control.operations() == ["GetRole", "GetRolePolicy"]
    assert (again.verb, again.get()) == (Verb.REUSED, made.get())


def test_a_role_without_its_policy_gets_it(iam: IAMClient) -> None:
    ensure(iam)
    iam.delete_role_policy(RoleName=NAME, PolicyName=INLINE_POLICY)
    outcome = ensure(iam)
    assert (outcome.verb, outcome.detail) == (
        Verb.CHANGED,
        "permissions put right; without a permissions boundary",
    )
    assert find_inline_document(iam, NAME) == PERMISSIONS


def test_whatever_differs_is_put_right(iam: IAMClient) -> None:
    ensure(iam, trust=role_trust_document(ACCOUNT, "us-east-1", "aws"), permissions=EVERYTHING)
    boundary_arn = make_policy(iam, "boundary")
    outcome = ensure(iam, boundary_arn=boundary_arn)
    assert outcome.verb is Verb.CHANGED
    assert outcome.detail.startswith("permissions, trust, boundary put right")
    assert state(iam) == (outcome.get(), PERMISSIONS)
    assert ensure(iam, boundary_arn=boundary_arn).verb is Verb.REUSED


def test_a_boundary_is_never_taken_off(iam: IAMClient) -> None:
    boundary_arn = make_policy(iam, "boundary")
    ensure(iam, boundary_arn=boundary_arn)
    outcome = ensure(iam, boundary_arn=None)
    assert (outcome.verb, outcome.get().boundary_arn) == (Verb.REUSED, boundary_arn)


@pytest.mark.parametrize("is_new", [True, False])
def test_a_boundary_that_does_not_exist_names_the_setting(iam: IAMClient, is_new: bool) -> None:
    if not is_new:
        ensure(iam)
    with pytest.raises(SettingsError, match=r"permissions_boundary: there is no IAM policy .*policy/none"):
        ensure(iam, boundary_arn=f"arn:aws:iam::{ACCOUNT}:policy/none")


@pytest.mark.parametrize(
    ("code", "message"),
    [("MalformedPolicyDocument", "refuses the trust document"), ("LimitExceeded", "no room for the role")],
)
def test_iam_s_refusals_of_a_new_role_are_explained(iam: IAMClient, control: Control, code: str, message: str) -> None:
    control.fail("CreateRole", code=code, status=409, message="in IAM's words")
    with pytest.raises(CloudError, match=rf"{message}.*in IAM's words"):
        ensure(iam)


def test_a_missing_permission_is_left_to_the_command_line(iam: IAMClient, control: Control) -> None:
    control.fail("CreateRole", "access-denied")
    with pytest.raises(ClientError, match="AccessDenied"):
        ensure(iam)


def test_a_role_that_another_run_makes_in_between_is_found(iam: IAMClient, control: Control) -> None:
    ensure(iam)
    control.fail("GetRole", code="NoSuchEntity", status=404)
    assert ensure(iam).verb is Verb.REUSED


def test_a_role_that_another_run_makes_and_deletes_in_between_is_reported(iam: IAMClient, control: Control) -> None:
    ensure(iam)
    control.fail("GetRole", code="NoSuchEntity", status=404, times=2)
    with pytest.raises(CloudError, match="another run is deleting it"):
        ensure(iam)


GRANTING = {
    "inline": {"inline": PERMISSIONS},
    "attached": {"attached": PERMISSIONS},
    "everything": {"attached": EVERYTHING},
    "with a boundary that allows it": {"inline": PERMISSIONS, "boundary_arn": "boundary"},
    "trusting the service without a guard": {
        "inline": PERMISSIONS,
        "trust": {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": {"Service": "iot.amazonaws.com"}, "Action": "sts:AssumeRole"}
            ],
        },
    },
}


@pytest.mark.parametrize("parts", GRANTING.values(), ids=GRANTING)
def test_somebody_else_s_role_that_grants_enough_is_reused_unchanged(iam: IAMClient, parts: dict[str, Any]) -> None:
    if "boundary_arn" in parts:
        parts = {**parts, "boundary_arn": make_policy(iam, "boundary")}
    make_foreign(iam, **parts)
    before = state(iam)
    outcome = ensure(iam)
    assert (outcome.verb, outcome.detail) == (Verb.REUSED, "not made by this tool; grants what is needed")
    assert state(iam) == before


def test_a_role_with_the_service_s_own_managed_policy_needs_only_bucket_and_itself(iam: IAMClient) -> None:
    rest = [one for one in PERMISSIONS["Statement"] if one["Action"][0] in {"s3:GetObject", "iam:GetRole"}]
    make_foreign(iam, inline={**PERMISSIONS, "Statement": rest})
    with pytest.raises(InTheWay, match="lacks permissions"):
        ensure(iam)
    managed = "arn:aws:iam::aws:policy/service-role/AmazonFreeRTOSOTAUpdate"
    iam.attach_role_policy(RoleName=NAME, PolicyArn=managed)
    assert ensure(iam).verb is Verb.REUSED


def test_a_managed_policy_counts_at_its_default_version(iam: IAMClient) -> None:
    make_foreign(iam, attached=PERMISSIONS)
    arn = f"arn:aws:iam::{ACCOUNT}:policy/theirs"
    nothing = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:List*", "Resource": "*"}]}
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(nothing), SetAsDefault=True)
    with pytest.raises(InTheWay, match="lacks permissions"):
        ensure(iam)


def policy_document_in(command: str) -> Any:
    words = shlex.split(command)
    return json.loads(words[words.index("--policy-document") + 1])


def test_what_somebody_else_s_role_lacks_is_printed_ready_to_paste(iam: IAMClient) -> None:
    short = {**PERMISSIONS, "Statement": PERMISSIONS["Statement"][:-1]}
    make_foreign(iam, inline=short)
    with pytest.raises(InTheWay) as caught:
        ensure(iam)
    command = PLAIN.remedy(caught.value.remedy)
    assert command.startswith(f"aws iam put-role-policy --role-name {NAME} --policy-name ota-tasks-additions ")
    assert f"`{command}`" in str(caught.value).splitlines()
    document = policy_document_in(command)
    assert document["Statement"] == [{"Effect": "Allow", "Action": ["iam:GetRole", "iam:PassRole"], "Resource": [ARN]}]
    iam.put_role_policy(RoleName=NAME, PolicyName="ota-tasks-additions", PolicyDocument=json.dumps(document))
    assert ensure(iam).verb is Verb.REUSED


def test_a_trust_that_is_missing_is_printed_ready_to_paste_and_keeps_what_is_there(iam: IAMClient) -> None:
    theirs = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    make_foreign(iam, inline=PERMISSIONS, trust={"Version": "2012-10-17", "Statement": [theirs]})
    with pytest.raises(InTheWay, match=r"does not trust iot\.amazonaws\.com") as caught:
        ensure(iam)
    command = PLAIN.remedy(caught.value.remedy)
    assert f"`{command}`" in str(caught.value).splitlines()
    document = policy_document_in(command)
    assert document["Statement"][0] == theirs
    iam.update_assume_role_policy(RoleName=NAME, PolicyDocument=json.dumps(document))
    assert ensure(iam).verb is Verb.REUSED


def test_a_boundary_that_takes_permissions_away_is_named(iam: IAMClient) -> None:
    only_s3 = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    boundary_arn = make_policy(iam, "boundary", only_s3)
    make_foreign(iam, inline=PERMISSIONS, boundary_arn=boundary_arn)
    with pytest.raises(InTheWay, match=rf"Its boundary {boundary_arn} does not allow all of that") as caught:
        ensure(iam)
    assert "iot:CreateJob" in str(caught.value)
    assert "s3:GetObject" not in str(caught.value)


def test_another_thing_s_role_is_treated_as_somebody_else_s(iam: IAMClient) -> None:
    ensure(iam, thing_name="another-thing")
    assert ensure(iam).detail == "not made by this tool; grants what is needed"


def test_deleting_takes_two_calls(iam: IAMClient, control: Control) -> None:
    ensure(iam)
    control.clear_calls()
    assert delete(iam) == Outcome("role", Verb.DELETED, NAME)
    assert control.operations() == ["DeleteRolePolicy", "DeleteRole"]
    assert find_role(iam, NAME) is None


def test_deleting_an_absent_role_is_a_success(iam: IAMClient) -> None:
    assert decide_role_deletion(find_role(iam, NAME), NAME, THING).action is Action.ABSENT
    assert delete(iam) == Outcome("role", Verb.ABSENT, NAME)


@pytest.mark.parametrize(
    ("tags", "way_out"),
    [([], "clean --force"), (mark_tags("another-thing"), "with --thing-name another-thing clean")],
    ids=["nobody's", "another thing's"],
)
def test_a_role_that_is_not_ours_stays(iam: IAMClient, tags: list[Any], way_out: str) -> None:
    iam.create_role(RoleName=NAME, AssumeRolePolicyDocument=json.dumps(TRUST), Tags=tags)
    found = find_role(iam, NAME)
    decided = decide_role_deletion(found, NAME, THING, need=InTheWay("an update needs it"), foreign=["edge"])
    assert (decided.action, f"`invoke {way_out}`" in str(decided.detail)) == (Action.KEEP, True)
    assert decide_role_deletion(found, NAME, None, foreign=["edge"]).action is Action.DELETE


def test_our_role_stays_while_something_needs_it(iam: IAMClient) -> None:
    need = InTheWay("an update needs it")
    assert decide_role_deletion(ensure(iam).get(), NAME, THING, need=need).problem is need


def hang_things_on_it(iam: IAMClient) -> None:
    ensure(iam)
    iam.attach_role_policy(RoleName=NAME, PolicyArn=make_policy(iam, "attached"))
    iam.put_role_policy(RoleName=NAME, PolicyName="inline", PolicyDocument=json.dumps(EVERYTHING))
    iam.create_instance_profile(InstanceProfileName="profile")
    iam.add_role_to_instance_profile(InstanceProfileName="profile", RoleName=NAME)


def test_what_others_attached_keeps_our_role_and_is_named(iam: IAMClient) -> None:
    hang_things_on_it(iam)
    with pytest.raises(InTheWay) as caught:
        delete(iam)
    assert f"arn:aws:iam::{ACCOUNT}:policy/attached, inline policy inline, instance profile profile." in str(
        caught.value
    )
    decided = decide_role_deletion(find_role(iam, NAME), NAME, THING, foreign=list_foreign(iam, NAME))
    assert (decided.action, decided.detail) == (Action.BLOCKED, caught.value.message)
    assert find_role(iam, NAME) is not None


def test_force_takes_off_whatever_is_attached(iam: IAMClient) -> None:
    hang_things_on_it(iam)
    assert delete(iam, force=True).verb is Verb.DELETED
    assert find_role(iam, NAME) is None


def test_all_roles_are_listed_over_all_pages(iam: IAMClient) -> None:
    for number in range(105):
        iam.create_role(RoleName=f"role-{number}", AssumeRolePolicyDocument=json.dumps(TRUST))
    found = {role.name: role.trust for role in list_roles(iam)}
    assert set(found) >= {f"role-{number}" for number in range(105)}
    assert found["role-0"] == TRUST


def test_a_creation_cut_off_after_any_call_and_repeated_ends_the_same(iam: IAMClient, control: Control) -> None:
    ensure(iam)
    undisturbed = state(iam)
    states = repeated_after_every_kill(iam, control.reset, lambda: ensure(iam), lambda: state(iam))
    assert states == [(nth, undisturbed) for nth in (1, 2, 3)]


def test_a_repair_cut_off_after_any_call_and_repeated_ends_the_same(iam: IAMClient, control: Control) -> None:
    def prepare() -> None:
        control.reset()
        ensure(iam, trust=role_trust_document(ACCOUNT, "us-east-1", "aws"), permissions=EVERYTHING)

    ensure(iam)
    undisturbed = state(iam)
    states = repeated_after_every_kill(iam, prepare, lambda: ensure(iam), lambda: state(iam))
    assert states == [(nth, undisturbed) for nth in (1, 2, 3, 4)]


def test_a_deletion_cut_off_after_any_call_and_repeated_leaves_nothing(iam: IAMClient, control: Control) -> None:
    def prepare() -> None:
        control.reset()
        hang_things_on_it(iam)

    states = repeated_after_every_kill(iam, prepare, lambda: delete(iam, force=True), lambda: find_role(iam, NAME))
    assert len(states) > 8
    assert not any(role for _, role in states)
