"""The operator's policy against what the tool really calls, and against who would make himself more with it."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from ota.look.operator_policy import (
    BOUNDARY_NAME,
    EXTRAS,
    MOST_CHARS,
    USES_OF_TASK,
    PolicyScope,
    actions_of,
    boundary_document,
    names_for,
    operator_policy_document,
)
from ota.nouns import DEVICES, LISTED, NOUNS
from ota.sandbox.process import Address
from ota.settings.readers import Target
from tests.account import ROLE, account_at
from tests.conftest import ACCOUNT, REGION, client
from tests.hand_made import Hands, signing_request
from tests.operators import (
    ALSO_NEEDED,
    NEEDS_NO_PERMISSION,
    Operator,
    permissions_of,
    printed_policy,
    without,
)
from tests.project import REPOSITORY_PATH, THING, Project, aws_project, built_tree
from tests.sandbox_control import Control

BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/{BOUNDARY_NAME}"
SCOPE = PolicyScope("aws", REGION, ACCOUNT, thing_name=THING, names={"thing_group_name": "lamps"})
SERVICES = ("iot", "s3", "iam", "sts")
SANDBOX_ONLY = {"sandbox"}
RUNS = (
    "all", "all", "plan", "status", "watch --timeout 1", "doctor", "list", "clean --plan",
    "delete.update --force delete.bucket --force", "delete.thing --prune", "all",
    "delete.update --force delete.role --force", "all", "clean", "clean --force",
)  # fmt: skip
VERSION = {"Version": "2012-10-17"}
DRIFTED = {"Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}], **VERSION}
TRUST_ANYBODY = {"Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
# Where AWS knows no resource to narrow the action to (Service Authorization Reference), or the action only reads.
UNSCOPED = {
    "iot:DescribeEndpoint", "iot:CreateCertificateFromCsr", "iot:GetEffectivePolicies", "iot:ListAttachedPolicies",
    "iot:ListOTAUpdates", "s3:ListAllMyBuckets", "iam:ListPolicies", "iam:GetAccountSummary", "iot:ListThingGroups",
    *DEVICES.everywhere,
    *(f"{service}:List{noun.plural.title().replace(' ', '')}" for noun in LISTED for service in ("iot", "iam")),
}  # fmt: skip

Call = tuple[str, str]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The policy of every task, with all that is left out unless somebody asks for it."""
    return operator_policy_document(SCOPE, also=[extra.name for extra in EXTRAS])


@pytest.fixture(scope="module")
def called_in_source() -> frozenset[Call]:
    """Every operation that the tool's own code names, whether a run usually comes there or not."""
    paths = sorted((REPOSITORY_PATH / "ota").rglob("*.py"))
    paths = [path for path in paths if not SANDBOX_ONLY & {path.name, *path.relative_to(REPOSITORY_PATH).parts}]
    return frozenset(call for path in paths for call in _calls_in(ast.parse(path.read_text())))


@pytest.fixture
def project(tmp_path: Path, clean_sandbox: Address, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a built image, in an account where an administrator made the boundary as it is printed."""
    project = aws_project(tmp_path / "project", clean_sandbox)
    project.put_image(built_tree(tmp_path_factory.getbasetemp()))
    printed = project.run_here("permissions", "--boundary").done().out
    account_at(clean_sandbox).iam.create_policy(PolicyName=BOUNDARY_NAME, PolicyDocument=printed)
    return project


@pytest.fixture
def operator(project: Project, clean_sandbox: Address) -> Operator:
    """The operator, whose key the project has from now on, with just what ``invoke permissions`` prints."""
    operator = Operator(clean_sandbox).allow(printed_policy(project))
    project.environ.update(operator.environ)
    return operator


class TestEveryTaskRuns:
    def test_a_whole_life(self, project: Project, operator: Operator, called_in_source: frozenset[Call]) -> None:
        project.set(permissions_boundary=BOUNDARY)
        operator.allow(printed_policy(project))
        for line in RUNS:
            ran = project.run_here(*line.split())
            assert ran.status == (3 if line.startswith(("status", "watch")) else 0), (line, ran.text)
        assert operator.denied() == []
        assert len(operator.called()) > 30
        assert operator.called() <= called_in_source
        assert account_at(operator.address).there() == set()

    def test_each_with_its_own_permissions_alone(self, project: Project, operator: Operator) -> None:
        project.set(permissions_boundary=BOUNDARY)
        lines = (
            "bucket", "role", "thing", "build", "policy", "update", "all",
            "with --certificate-file-on-device other --replace-running-update true update", "all", "plan",
            "status", "doctor", "list.things", "list", "clean --plan", "delete.update --force", "delete.job",
            "delete.bucket --force", "delete.role", "delete.thing", "delete.policy --force",
            "delete.certificate --force", *(noun.task for noun in NOUNS if noun.make), "all", "clean",
        )  # fmt: skip
        for line in lines:
            task = line.split()[-1 if line.startswith("with") else 0]
            # `doctor` says of these credentials whether they may pass the role, as an update needs it.
            tasks = f"{task},update" if task == "doctor" else task
            operator.allow(printed_policy(project, "--for", tasks))
            ran = project.run_here(*line.split())
            assert operator.denied() == [], line
            assert ran.status == (3 if line == "status" else 0), (line, ran.text)

    def test_without_the_setting_only_a_new_role_is_refused(self, project: Project, operator: Operator) -> None:
        refused = project.run_here("all").failed("iam:CreateRole", ROLE, "permissions_boundary")
        assert set(operator.denied()) == {"iam:CreateRole"}
        assert "invoke permissions" in refused.err
        project.run_here("with", "--permissions-boundary", BOUNDARY, "role").done()
        Control(operator.address).clear_calls()
        project.run_here("all").done()
        project.run_here("clean").done()
        assert operator.denied() == []

    def test_a_role_that_was_made_without_a_boundary_gets_it_first(self, project: Project, operator: Operator) -> None:
        hands = Hands(*(client(service, operator.address) for service in ("iot", "s3", "iam")))
        hands.role(ROLE, ours_for=THING)
        hands.iam.put_role_policy(RoleName=ROLE, PolicyName="ota-tasks", PolicyDocument=json.dumps(DRIFTED))
        hands.iam.update_assume_role_policy(RoleName=ROLE, PolicyDocument=json.dumps({**TRUST_ANYBODY, **VERSION}))
        project.run_here("clean").failed("iam:DeleteRolePolicy", "permissions_boundary", "invoke role")
        project.set(permissions_boundary=BOUNDARY)
        assert project.run_here("role").done().verbs == [("role", "changed")]
        project.run_here("clean").done()

    def test_where_aws_does_not_tell_the_boundary_a_changed_trust_has_a_way_out(
        self, project: Project, operator: Operator
    ) -> None:
        project.set(permissions_boundary=BOUNDARY)
        project.run_here("role").done()
        account_at(operator.address).iam.update_assume_role_policy(
            RoleName=ROLE, PolicyDocument=json.dumps({**TRUST_ANYBODY, **VERSION})
        )
        # A statement on a condition key that is not sent grants nothing.
        operator.allow(without(printed_policy(project), "iam:UpdateAssumeRolePolicy"))
        refused = project.run_here("role").failed("iam:UpdateAssumeRolePolicy", ROLE)
        (command,) = re.findall(r"`(invoke delete.role[^`]*)`", refused.err)
        project.paste(command).done()
        assert set(operator.denied()) == {"iam:UpdateAssumeRolePolicy"}
        Control(operator.address).clear_calls()
        project.run_here("all").done()
        project.run_here("clean").done()
        assert operator.denied() == []

    def test_registering_devices_needs_no_more_than_is_printed_for_it(
        self, project: Project, operator: Operator
    ) -> None:
        project.set(thing_group_name="lamps", device_key_type="EC-P256", permissions_boundary=BOUNDARY)
        (project.root_path / "devices.csv").write_text("thing_name\nlamp-1\nlamp-2\n")
        for line in ("register --file devices.csv", "register --file devices.csv", "clean --plan", "clean"):
            operator.allow(printed_policy(project, "--for", line.split()[0]))
            project.run_here(*line.split()).done()
            assert operator.denied() == [], line

    def test_a_rollout_to_many_devices_is_watched_with_what_is_printed_for_it(
        self, project: Project, operator: Operator
    ) -> None:
        iot, jobs_data = (client(service, operator.address) for service in ("iot", "iot-jobs-data"))
        project.set(permissions_boundary=BOUNDARY, thing_group_name="lamps")
        iot.create_thing_group(thingGroupName="lamps")
        for number in range(12):
            iot.create_thing(thingName=f"{THING}-{number}")
            iot.add_thing_to_thing_group(thingGroupName="lamps", thingName=f"{THING}-{number}")
        operator.allow(printed_policy(project))
        project.run_here("all").done()
        jobs_data.start_next_pending_job_execution(thingName=f"{THING}-1")
        jobs_data.update_job_execution(jobId=f"AFR_OTA-{THING}_update", thingName=f"{THING}-1", status="FAILED")
        operator.allow(printed_policy(project, "--for", "watch"))
        for line in ("watch --timeout 0 --failed --report r.html", "status --csv"):
            assert project.run_here(*line.split()).status == 4
        assert operator.denied() == []
        assert {("iot", "DescribeJobExecution"), ("iot", "ListJobExecutionsForJob")} <= operator.called()

    def test_a_group_and_its_rollout_need_no_more_than_is_printed_for_each_task(
        self, project: Project, operator: Operator
    ) -> None:
        project.set(thing_group_name="lamps", permissions_boundary=BOUNDARY)
        account = account_at(operator.address)
        names = [f"{THING}-{number}" for number in range(1, 104)]
        for name in names:
            attributes = {"managed-by": "ota-tasks", "ota-thing": name}
            account.iot.create_thing(thingName=name, attributePayload={"attributes": attributes})
        lines = (
            f"group --add {THING}-*", "list.groups", "all", "plan", "status", "cancel", "cancel --force", "retry",
            f"with --update-name {THING}_update-retry-1 status", "clean --plan", "clean",
            f"group --add {names[0]} --remove {names[0]}", "delete.group",
        )  # fmt: skip
        for line in lines:
            words = line.split()
            task = words[-1] if words[0] == "with" else words[0]
            operator.allow(printed_policy(project, "--for", task))
            ran = project.run_here(*words)
            assert operator.denied() == [], line
            assert ran.status == (3 if task == "status" else 0), (line, ran.text)

    def test_targets_by_name_need_no_more_than_is_printed_for_each_task(
        self, project: Project, operator: Operator
    ) -> None:
        iot, jobs_data = (client(service, operator.address) for service in ("iot", "iot-jobs-data"))
        for name in ("pumps", "hall-2"):
            iot.create_thing_group(thingGroupName=name)
        for name in ("solo", "pump-1"):
            iot.create_thing(thingName=name)
        iot.add_thing_to_thing_group(thingGroupName="pumps", thingName="pump-1")
        project.set(update_targets="solo;group:pumps", permissions_boundary=BOUNDARY)
        for line in ("plan", "all", "plan", "status", "doctor", "cancel", "retry", "clean --plan", "clean"):
            task = line.split()[0]
            tasks = f"{task},update" if task == "doctor" else task
            operator.allow(printed_policy(project, "--for", tasks, "--devices", "pump-*"))
            if task == "cancel":
                jobs_data.start_next_pending_job_execution(thingName="solo")
                jobs_data.update_job_execution(jobId=f"AFR_OTA-{THING}_update", thingName="solo", status="FAILED")
            ran = project.run_here(*line.split())
            denied = [call["denied"] for call in Control(operator.address).calls() if "denied" in call]
            assert [one for one in denied if "solo" in one or "pump" in one] == operator.denied() == [], line
            assert ran.status == (3 if task == "status" else 0), (line, ran.text)
        operator.allow(printed_policy(project))
        iot = operator.client("iot")
        is_refused(iot.describe_thing_group, thingGroupName="hall-2")
        for call in (iot.delete_thing_group, iot.update_thing_group):
            is_refused(call, thingGroupName="pumps")
        is_refused(iot.remove_thing_from_thing_group, thingGroupName="pumps", thingName="solo")

    def test_a_certificate_that_is_there_is_the_only_one(self, project: Project, operator: Operator) -> None:
        account = account_at(operator.address)
        hands = Hands(account.iot, account.s3, account.iam)
        ours, foreign = hands.certificate(), hands.certificate()
        project.set(existing_certificate_arn=ours)
        policy = printed_policy(project)
        operator.allow(policy)
        project.run_here("policy").done()
        project.run_here("clean").done()
        assert operator.denied() == []
        assert "cert/*" not in json.dumps(policy)
        iot, foreign_id = operator.client("iot"), foreign.rpartition("/")[2]
        for call in (iot.delete_certificate, iot.describe_certificate):
            is_refused(call, certificateId=foreign_id)
        is_refused(iot.update_certificate, certificateId=foreign_id, newStatus="INACTIVE")
        is_refused(iot.create_certificate_from_csr, certificateSigningRequest=signing_request())


def is_refused(call: Callable[..., Any], **params: Any) -> None:
    """Assert that the call is refused for lack of a permission."""
    with pytest.raises(ClientError, match="is not authorized to perform"):
        call(**params)


OTHER_BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/everything"
ATTACKS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "a role without a boundary": ("iam", "CreateRole", {"RoleName": ROLE}),
    "a role with another boundary": ("iam", "CreateRole", {"RoleName": ROLE, "PermissionsBoundary": OTHER_BOUNDARY}),
    "a role by another name": ("iam", "CreateRole", {"RoleName": "admin", "PermissionsBoundary": BOUNDARY}),
    "power for another role": ("iam", "PutRolePolicy", {"RoleName": "admin"}),
    "power for an unbounded role by our name": ("iam", "PutRolePolicy", {"RoleName": ROLE}),
    "the trust of another role": ("iam", "UpdateAssumeRolePolicy", {"RoleName": "admin"}),
    "the trust of an unbounded role by our name": ("iam", "UpdateAssumeRolePolicy", {"RoleName": ROLE}),
    "a managed policy": ("iam", "AttachRolePolicy", {"RoleName": f"bounded-{ROLE}"}),
    "a policy that denies, detached": ("iam", "DetachRolePolicy", {"RoleName": ROLE}),
    "a policy that denies, deleted": ("iam", "DeleteRolePolicy", {"RoleName": ROLE}),
    "the boundary taken off": ("iam", "DeleteRolePermissionsBoundary", {"RoleName": ROLE}),
    "the boundary exchanged": (
        "iam", "PutRolePermissionsBoundary", {"RoleName": ROLE, "PermissionsBoundary": OTHER_BOUNDARY},
    ),
    "the boundary rewritten": ("iam", "CreatePolicyVersion", {"PolicyArn": BOUNDARY}),
    "a foreign role passed": (
        "iot", "CreateOTAUpdate", {"otaUpdateId": f"{THING}_update", "roleArn": f"arn:aws:iam::{ACCOUNT}:role/admin"},
    ),
    "an instance profile emptied": (
        "iam", "RemoveRoleFromInstanceProfile", {"InstanceProfileName": "web", "RoleName": ROLE},
    ),
    "a foreign thing deleted": ("iot", "DeleteThing", {"thingName": "pump"}),
    "a foreign thing's certificate detached": (
        "iot", "DetachThingPrincipal",
        {"thingName": "pump", "principal": f"arn:aws:iot:{REGION}:{ACCOUNT}:cert/{'a' * 64}"},
    ),
    "a foreign IoT policy rewritten": ("iot", "CreatePolicyVersion", {"policyName": "pump_policy"}),
    "a foreign update deleted": ("iot", "DeleteOTAUpdate", {"otaUpdateId": "pump_update"}),
    "a foreign job deleted": ("iot", "DeleteJob", {"jobId": "reboot"}),
    "a foreign group deleted": ("iot", "DeleteThingGroup", {"thingGroupName": "pumps"}),
    "a foreign thing put into our group": (
        "iot", "AddThingToThingGroup", {"thingGroupName": "lamps", "thingName": "pump"},
    ),
    "a foreign role for a registration": (
        "iot", "StartThingRegistrationTask", {"roleArn": f"arn:aws:iam::{ACCOUNT}:role/admin"},
    ),
    "a foreign bucket emptied": ("s3", "DeleteObject", {"Bucket": "backups", "Key": "all"}),
    "a foreign bucket read": ("s3", "GetObject", {"Bucket": "backups", "Key": "all"}),
    "another's permissions read": (
        "iam", "SimulatePrincipalPolicy", {"PolicySourceArn": f"arn:aws:iam::{ACCOUNT}:user/boss"},
    ),
}  # fmt: skip


def test_what_would_reach_further_is_denied(clean_sandbox: Address) -> None:
    account = account_at(clean_sandbox)
    Hands(account.iot, account.s3, account.iam).role(ROLE)
    operator = Operator(clean_sandbox).allow(operator_policy_document(SCOPE))
    before = Control(clean_sandbox).objects()
    for service, operation, params in ATTACKS.values():
        is_refused(getattr(operator.client(service), xform_name(operation)), **params)
    assert Control(clean_sandbox).objects() == before


def test_whoever_only_sends_updates_touches_no_foreign_certificate(clean_sandbox: Address) -> None:
    account = account_at(clean_sandbox)
    foreign = Hands(account.iot, account.s3, account.iam).certificate(policies=())
    foreign_id = foreign.rpartition("/")[2]
    operator = Operator(clean_sandbox).allow(operator_policy_document(SCOPE, tasks=("update",)))
    iot = operator.client("iot")
    is_refused(iot.update_certificate, certificateId=foreign_id, newStatus="INACTIVE")
    is_refused(iot.delete_certificate, certificateId=foreign_id)
    is_refused(iot.detach_policy, target=foreign, policyName="any")
    operator.allow(operator_policy_document(SCOPE))  # which AWS cannot bound
    iot.update_certificate(certificateId=foreign_id, newStatus="INACTIVE")
    iot.delete_certificate(certificateId=foreign_id)


@pytest.mark.usefixtures("project")
def test_a_role_that_anybody_may_assume_does_no_more_than_an_update_needs(clean_sandbox: Address) -> None:
    iam = account_at(clean_sandbox).iam
    everything = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}], **VERSION}
    iam.create_role(
        RoleName=ROLE, AssumeRolePolicyDocument=json.dumps({**TRUST_ANYBODY, **VERSION}), PermissionsBoundary=BOUNDARY
    )
    iam.put_role_policy(RoleName=ROLE, PolicyName="all", PolicyDocument=json.dumps(everything))
    role = iam.get_role(RoleName=ROLE)["Role"]["Arn"]

    def may(action: str, resource: str) -> bool:
        answer = iam.simulate_principal_policy(PolicySourceArn=role, ActionNames=[action], ResourceArns=[resource])
        return {one["EvalDecision"] for one in answer["EvaluationResults"]} == {"allowed"}

    bucket = f"arn:aws:s3:::{THING}-ota-{ACCOUNT}"
    assert may("s3:GetObject", f"{bucket}/image")
    assert may("iot:CreateStream", f"arn:aws:iot:{REGION}:{ACCOUNT}:stream/AFR_OTA-x")
    assert not may("s3:PutObject", f"{bucket}/image")
    assert not may("s3:GetObject", "arn:aws:s3:::backups/all")
    assert not may("iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/me")
    assert not may("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/admin")
    assert not may("iot:UpdateCertificate", f"arn:aws:iot:{REGION}:{ACCOUNT}:cert/{'a' * 64}")
    assert not may("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/admin")


def test_every_operation_in_the_source_is_allowed(document: dict[str, Any], called_in_source: frozenset[Call]) -> None:
    assert {call: missing for call in called_in_source if (missing := _missing(call, document))} == {}


def test_no_action_is_granted_that_no_operation_needs(
    document: dict[str, Any], called_in_source: frozenset[Call]
) -> None:
    needed = {action for call in called_in_source for action in permissions_of(*call)}
    assert sorted(set(actions_of(document)) - needed) == []
    granted = [
        (action, on, json.dumps(one.get("Condition")))
        for one in document["Statement"]
        for action in one["Action"]
        for on in one["Resource"]
    ]
    assert len(granted) == len(set(granted))


def test_the_source_is_read_rightly(called_in_source: frozenset[Call]) -> None:
    seldom = {("s3", "ListMultipartUploads"), ("iam", "ListInstanceProfilesForRole"), ("iot", "DeleteJob")}
    assert seldom <= called_in_source
    assert called_in_source >= set(ALSO_NEEDED) | set(NEEDS_NO_PERMISSION)


def test_only_what_aws_cannot_narrow_is_for_every_resource(document: dict[str, Any]) -> None:
    everywhere = {action for one in document["Statement"] if "*" in one["Resource"] for action in one["Action"]}
    assert everywhere <= UNSCOPED


def test_the_tasks_that_look_change_nothing() -> None:
    looking = [task for task, uses in USES_OF_TASK.items() if set(uses) <= {"look", "list"}]
    verbs = {action.partition(":")[2] for action in actions_of(operator_policy_document(SCOPE, tasks=looking))}
    assert sorted(one for one in verbs if not one.startswith(("Get", "List", "Describe", "Simulate"))) == []


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_every_arn_is_in_the_partition(partition: str) -> None:
    scope = PolicyScope(partition, REGION, ACCOUNT)
    text = json.dumps([operator_policy_document(scope, also=[one.name for one in EXTRAS]), boundary_document(scope)])
    assert text.count("arn:") == text.count(f"arn:{partition}:") > 0


def test_it_fits_a_managed_policy(document: dict[str, Any]) -> None:
    names = names_for("x" * 128, ACCOUNT, role_prefix="y" * 40)
    scope = PolicyScope("aws-us-gov", "us-gov-east-1", ACCOUNT, "x" * 128, names, BOUNDARY)
    some = replace(SCOPE, targets=(Target("solo"), Target("pumps", is_group=True)))
    for one in (document, operator_policy_document(scope), operator_policy_document(some), boundary_document(scope)):
        assert len(json.dumps(one, separators=(",", ":"))) <= MOST_CHARS


def test_the_names_are_those_that_settings_give(tmp_path: Path, clean_sandbox: Address) -> None:
    for thing_name in ("lamp", "Lamp_2:a", "x" * 100):
        project = aws_project(tmp_path / str(len(thing_name)), clean_sandbox, thing_name=thing_name, role_prefix="Proj")
        settings = json.loads(project.run_here("settings", "--json").done().out)
        names = names_for(thing_name, "0" * 12, role_prefix="Proj")
        assert names == {name: settings[name]["value"] for name in names}


@pytest.mark.parametrize("thing_name", ["lamp-*", "*", "lamp-?"])
def test_a_pattern_covers_the_names_of_its_things(thing_name: str) -> None:
    pattern, names = names_for(thing_name, ACCOUNT), names_for("lamp-7", ACCOUNT)
    assert {name: fnmatchcase(names[name], pattern[name]) for name in names} == dict.fromkeys(names, True)


def _missing(call: Call, document: dict[str, Any]) -> list[str]:
    granted = set(actions_of(document))
    return [action for action in permissions_of(*call) if action not in granted]


def _calls_in(tree: ast.AST) -> Iterator[Call]:
    """Every call of ``iot.create_thing``, ``self._cloud.iam.get_role``, ``s3.get_paginator("list_buckets")`` and
    ``pages(iot, "list_jobs", "jobs")``; of the first two also what is named without being called.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (service := _receiver(node.value)) in SERVICES:
            yield from _operation(service, node.attr)
        if isinstance(node, ast.Call) and (listing := _listing(node)):
            found = list(_operation(*listing))
            assert found, ast.unparse(node)
            yield from found


def _listing(node: ast.Call) -> Call | None:
    """Service and operation of a call that pages through a listing."""
    if isinstance(node.func, ast.Attribute) and node.func.attr == "get_paginator":
        client, operation = node.func.value, node.args[0]
    elif isinstance(node.func, ast.Name) and node.func.id == "pages":
        client, operation = node.args[:2]
    else:
        return None
    # Only the function that all listings share takes client and operation from its caller.
    return (_receiver(client), operation.value) if isinstance(operation, ast.Constant) else None


def _receiver(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _operation(service: str, method: str) -> Iterator[Call]:
    if operation := _methods(service).get(method):
        yield service, operation


@cache
def _methods(service: str) -> dict[str, str]:
    model = botocore.session.get_session().get_service_model(service)
    return {xform_name(operation): operation for operation in model.operation_names}
