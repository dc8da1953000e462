"""Bulk registration through a real client: what a task makes, refuses and reports, beside things of others."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography import x509

from ota.sandbox.process import Address
from tests.conftest import ACCOUNT, REGION, client
from tests.hand_made import POLICY_DOCUMENT, signing_request
from tests.sandbox.iot_calls import fetch, refused
from tests.sandbox_control import Control
from tests.sandbox_world import trust_document

BUCKET, KEY, ROLE, GROUP, POLICY = "lamp-fleet", "fleet/input.json", "lamp-register", "lamps", "lamp_policy"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/{ROLE}"
ACTIONS = (
    "iot:DescribeThing",
    "iot:CreateThing",
    "iot:UpdateThing",
    "iot:AddThingToThingGroup",
    "iot:RemoveThingFromThingGroup",
    "iot:CreateCertificateFromCsr",
    "iot:RegisterCertificate",
    "iot:DescribeCertificate",
    "iot:UpdateCertificate",
    "iot:AttachThingPrincipal",
    "iot:AttachPolicy",
    "iot:CreatePolicy",
    "s3:GetObject",
)
OVERRIDES = {"AttributePayload": "REPLACE", "ThingGroups": "MERGE"}


def template(thing: dict[str, Any] | None = None, overrides: dict[str, str] | None = None, **resources: Any) -> str:
    """A template as a fleet uses it; ``thing`` adds properties, ``resources`` replace certificate and policy."""
    properties = {
        "ThingName": {"Ref": "ThingName"},
        "AttributePayload": {"serial": {"Ref": "Serial"}},
        "ThingGroups": [GROUP],
        **(thing or {}),
    }
    declared: dict[str, Any] = {
        "thing": {"Type": "AWS::IoT::Thing", "Properties": properties, "OverrideSettings": overrides or OVERRIDES},
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {"CertificateSigningRequest": {"Ref": "CSR"}, "Status": "ACTIVE"},
        },
        "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": POLICY}},
        **resources,
    }
    parameters = {"ThingName": {"Type": "String"}, "CSR": {"Type": "String", "Default": signing_request()}}
    return json.dumps(
        {"Parameters": {**parameters, "Serial": {"Type": "String", "Default": "none"}}, "Resources": declared}
    )


@dataclass(frozen=True)
class Fleet:
    """The clients and controls of an account with bucket, role, group and policy for registrations."""

    iot: Any
    s3: Any
    iam: Any
    control: Control

    def put(self, lines: Iterable[Any]) -> None:
        text = "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines)
        self.s3.put_object(Bucket=BUCKET, Key=KEY, Body=text.encode())

    def start(self, lines: Iterable[Any], body: str = "", **changes: Any) -> str:
        self.put(lines)
        request = {"templateBody": body or template(), "inputFileBucket": BUCKET, "inputFileKey": KEY}
        return str(self.iot.start_thing_registration_task(**request, **{"roleArn": ROLE_ARN, **changes})["taskId"])

    def run(self, lines: Iterable[Any], body: str = "", **changes: Any) -> dict[str, Any]:
        """The task as described when it has ended."""
        return self.wait(self.start(lines, body, **changes))

    def wait(self, task_id: str) -> dict[str, Any]:
        return self.look_until(task_id, lambda task: task["status"] not in {"InProgress", "Cancelling"})

    def look_until(self, task_id: str, is_reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The task as described once this holds; the sandbox's own thread works in slices of a few milliseconds."""
        for _ in range(2000):
            task: dict[str, Any] = self.iot.describe_thing_registration_task(taskId=task_id)
            if is_reached(task):
                return task
            time.sleep(0.005)
        raise AssertionError(f"{task_id} goes on and on")

    def links(self, task_id: str, kind: str) -> list[str]:
        links: list[str] = []
        token: dict[str, str] = {}
        while True:
            page = self.iot.list_thing_registration_task_reports(taskId=task_id, reportType=kind, **token)
            links += page["resourceLinks"]
            if "nextToken" not in page:
                return links
            token = {"nextToken": page["nextToken"]}

    def report(self, task_id: str, kind: str) -> list[dict[str, Any]]:
        text = "".join(fetch(link)[1] for link in self.links(task_id, kind))
        return [json.loads(line) for line in text.splitlines()]

    def groups(self, thing: str) -> set[str]:
        found = self.iot.list_thing_groups_for_thing(thingName=thing)["thingGroups"]
        return {one["groupName"] for one in found}


def allow(actions: Iterable[str]) -> str:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def fleet(iot: Any, s3: Any, iam: Any, control: Control) -> Fleet:
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=trust_document())
    iam.put_role_policy(RoleName=ROLE, PolicyName="register", PolicyDocument=allow(ACTIONS))
    iot.create_policy(policyName=POLICY, policyDocument=POLICY_DOCUMENT)
    iot.create_thing_group(thingGroupName=GROUP)
    return Fleet(iot, s3, iam, control)


def test_each_line_becomes_a_thing_with_certificate_policy_and_group(fleet: Fleet) -> None:
    task = fleet.run([{"ThingName": f"lamp-{number}", "Serial": f"s{number}"} for number in range(3)])
    assert (task["status"], task["successCount"], task["failureCount"]) == ("Completed", 3, 0)
    assert task["percentageProgress"] == 100
    assert task["lastModifiedDate"] >= task["creationDate"]
    results = fleet.report(task["taskId"], "RESULTS")
    assert [line["lineNumber"] for line in results] == [1, 2, 3]
    for number, line in enumerate(results):
        thing, arns = f"lamp-{number}", line["response"]["ResourceArns"]
        assert arns["thing"] == f"arn:aws:iot:{REGION}:{ACCOUNT}:thing/{thing}"
        assert arns["policy"] == f"arn:aws:iot:{REGION}:{ACCOUNT}:policy/{POLICY}"
        assert fleet.iot.list_thing_principals(thingName=thing)["principals"] == [arns["certificate"]]
        assert fleet.iot.describe_thing(thingName=thing)["attributes"] == {"serial": f"s{number}"}
        assert fleet.groups(thing) == {GROUP}
        made = fleet.iot.describe_certificate(certificateId=arns["certificate"].rsplit("/", 1)[1])
        assert made["certificateDescription"]["status"] == "ACTIVE"
        assert made["certificateDescription"]["certificatePem"] == line["response"]["CertificatePem"]
        attached = fleet.iot.list_attached_policies(target=arns["certificate"])["policies"]
        assert [policy["policyName"] for policy in attached] == [POLICY]
    own = x509.load_pem_x509_csr(signing_request().encode()).public_key()
    assert x509.load_pem_x509_certificate(line["response"]["CertificatePem"].encode()).public_key() == own
    assert fleet.links(task["taskId"], "ERRORS") == []


BAD_LINES: dict[str, tuple[Any, str]] = {
    "no JSON": ("{not json", "not valid JSON"),
    "a list": ([1], "object of texts"),
    "a number": ({"ThingName": 3}, "object of texts"),
    "no name": ({"Serial": "1"}, "ThingName"),
    "a name with a space": ({"ThingName": "la mp"}, "regular expression"),
    "a bad request": ({"ThingName": "lamp-x", "CSR": "no pem"}, "certificate signing request"),
    "a huge line": ({"ThingName": "lamp-y", "Serial": "x" * 262144}, "the maximum is 262144"),
}


def test_a_line_that_is_refused_is_reported_and_the_others_go_on(fleet: Fleet) -> None:
    lines = [one for one, _ in BAD_LINES.values()]
    task = fleet.run(["", *lines, {"ThingName": "lamp-good"}, ""])
    assert (task["status"], task["successCount"], task["failureCount"]) == ("Completed", 1, len(lines))
    errors = fleet.report(task["taskId"], "ERRORS")
    assert [line["lineNumber"] for line in errors] == list(range(1, len(lines) + 1))
    for line, words in zip(errors, (words for _, words in BAD_LINES.values()), strict=True):
        assert words in line["response"]["Error"]
    assert [line["lineNumber"] for line in fleet.report(task["taskId"], "RESULTS")] == [len(lines) + 1]


def test_what_the_template_names_and_nobody_has_fails_each_line(fleet: Fleet) -> None:
    missing = {
        "ThingGroups": {"ThingGroups": ["nobody"]},
        "ThingTypeName": {"ThingTypeName": "nobody"},
        "BillingGroup": {"BillingGroup": "nobody"},
    }
    for number, properties in enumerate(missing.values()):
        task = fleet.run([{"ThingName": f"lamp-{number}"}], template(properties))
        assert (task["successCount"], task["failureCount"]) == (0, 1), properties
    no_policy = {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "nobody"}}
    task = fleet.run([{"ThingName": "lamp-9"}], template(policy=no_policy))
    assert "ResourceNotFoundException" in fleet.report(task["taskId"], "ERRORS")[0]["response"]["Error"]


@pytest.mark.parametrize(
    ("overrides", "attributes", "groups", "fails"),
    [
        pytest.param({"AttributePayload": "REPLACE"}, {"serial": "new"}, {"others"}, False, id="replace"),
        pytest.param(
            {"AttributePayload": "MERGE", "ThingGroups": "MERGE"},
            {"serial": "new", "owner": "eve"},
            {"others", GROUP},
            False,
            id="merge",
        ),
        pytest.param({"ThingGroups": "REPLACE"}, {"owner": "eve"}, {GROUP}, False, id="other groups"),
        pytest.param({"AttributePayload": "DO_NOTHING"}, {"owner": "eve"}, {"others"}, False, id="do nothing"),
        pytest.param({"AttributePayload": "FAIL"}, {"owner": "eve"}, {"others"}, True, id="fail"),
        pytest.param({"ThingGroups": "FAIL"}, {"owner": "eve"}, {"others"}, True, id="fail for groups"),
    ],
)
def test_a_thing_that_exists_is_treated_by_the_override_settings(
    fleet: Fleet, overrides: dict[str, str], attributes: dict[str, str], groups: set[str], fails: bool
) -> None:
    for name in ("lamp-1", "stranger"):
        fleet.iot.create_thing(thingName=name, attributePayload={"attributes": {"owner": "eve"}})
    fleet.iot.create_thing_group(thingGroupName="others")
    for name in ("lamp-1", "stranger"):
        fleet.iot.add_thing_to_thing_group(thingGroupName="others", thingName=name)
    task = fleet.run([{"ThingName": "lamp-1", "Serial": "new"}], template(overrides=overrides))
    assert task["failureCount"] == int(fails)
    assert fleet.iot.describe_thing(thingName="lamp-1")["attributes"] == attributes
    assert fleet.groups("lamp-1") == groups
    assert fleet.iot.describe_thing(thingName="stranger")["attributes"] == {"owner": "eve"}
    assert fleet.groups("stranger") == {"others"}
    assert len(fleet.iot.list_thing_principals(thingName="lamp-1")["principals"]) == int(not fails)


def test_a_certificate_that_exists_keeps_its_status_unless_it_is_to_be_replaced(fleet: Fleet) -> None:
    made = fleet.iot.create_certificate_from_csr(certificateSigningRequest=signing_request())
    given = {"CertificateId": made["certificateId"], "Status": "ACTIVE"}
    for setting, status in (("DO_NOTHING", "INACTIVE"), ("REPLACE", "ACTIVE")):
        declared = {"Type": "AWS::IoT::Certificate", "Properties": given, "OverrideSettings": {"Status": setting}}
        assert fleet.run([{"ThingName": "lamp-1"}], template(certificate=declared))["successCount"] == 1
        found = fleet.iot.describe_certificate(certificateId=made["certificateId"])["certificateDescription"]
        assert found["status"] == status
    assert fleet.iot.list_thing_principals(thingName="lamp-1")["principals"] == [made["certificateArn"]]


def test_a_certificate_and_a_policy_are_made_of_their_texts(fleet: Fleet) -> None:
    pem = fleet.iot.create_certificate_from_csr(certificateSigningRequest=signing_request())["certificatePem"]
    certificate_id = fleet.iot.list_certificates()["certificates"][0]["certificateId"]
    fleet.iot.delete_certificate(certificateId=certificate_id)
    certificate = {"Type": "AWS::IoT::Certificate", "Properties": {"CertificatePem": pem, "Status": "INACTIVE"}}
    policy = {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": POLICY_DOCUMENT}}
    body = template(certificate=certificate, policy=policy)
    tasks = [fleet.run([{"ThingName": f"lamp-{number}"}], body) for number in range(2)]
    [first], [second] = (fleet.report(task["taskId"], "RESULTS") for task in tasks)
    assert first["response"]["ResourceArns"]["policy"] == second["response"]["ResourceArns"]["policy"]
    found = fleet.iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
    assert (found["status"], found["certificateArn"]) == ("INACTIVE", first["response"]["ResourceArns"]["certificate"])


@pytest.mark.parametrize("action", [one for one in ACTIONS if one.split(":")[1] in {
    "DescribeThing", "CreateThing", "AddThingToThingGroup", "CreateCertificateFromCsr", "AttachThingPrincipal",
    "AttachPolicy"}])  # fmt: skip
def test_a_role_without_an_action_fails_each_line_by_its_name(fleet: Fleet, action: str) -> None:
    rest = allow(one for one in ACTIONS if one != action)
    fleet.iam.put_role_policy(RoleName=ROLE, PolicyName="register", PolicyDocument=rest)
    task = fleet.run([{"ThingName": "lamp-1"}])
    assert (task["status"], task["failureCount"]) == ("Completed", 1)
    assert action in fleet.report(task["taskId"], "ERRORS")[0]["response"]["Error"]


def test_the_managed_policy_is_enough_beside_the_right_to_read(fleet: Fleet) -> None:
    arn = "arn:aws:iam::aws:policy/service-role/AWSIoTThingsRegistration"
    fleet.iam.attach_role_policy(RoleName=ROLE, PolicyArn=arn)
    fleet.iam.put_role_policy(RoleName=ROLE, PolicyName="register", PolicyDocument=allow(["s3:GetObject"]))
    assert fleet.run([{"ThingName": "lamp-1"}])["successCount"] == 1


def test_a_task_that_cannot_read_its_input_fails_with_the_cause(fleet: Fleet) -> None:
    line = [{"ThingName": "lamp-1"}]
    absent = ROLE_ARN.replace(ROLE, "nobody")
    assert "role/nobody does not exist" in fleet.run(line, roleArn=absent)["message"]
    untrusted = trust_document("s3.amazonaws.com")
    fleet.iam.update_assume_role_policy(RoleName=ROLE, PolicyDocument=untrusted)
    assert "Cannot assume role" in fleet.run(line)["message"]
    fleet.iam.update_assume_role_policy(RoleName=ROLE, PolicyDocument=trust_document())
    fleet.iam.put_role_policy(RoleName=ROLE, PolicyName="register", PolicyDocument=allow(ACTIONS[:-1]))
    assert "s3:GetObject" in fleet.run(line)["message"]
    fleet.iam.put_role_policy(RoleName=ROLE, PolicyName="register", PolicyDocument=allow(ACTIONS))
    body = template()
    task_id = fleet.iot.start_thing_registration_task(
        templateBody=body, inputFileBucket=BUCKET, inputFileKey="nothing", roleArn=ROLE_ARN
    )["taskId"]
    failed = fleet.wait(task_id)
    assert (failed["status"], failed["percentageProgress"]) == ("Failed", 0)
    assert "does not exist" in failed["message"]
    assert len(fleet.iot.list_thing_registration_tasks(status="Failed")["taskIds"]) == 4
    assert fleet.iot.list_things()["things"] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"templateBody": "{"},
        {"templateBody": " " * 10241},
        {"inputFileKey": "a key"},
        {"inputFileKey": "k" * 1025},
        {"inputFileBucket": "a b"},
        {"roleArn": ROLE_ARN + "x" * 2048},
    ],
    ids=["no JSON", "template too long", "space in the key", "key too long", "space in the bucket", "role too long"],
)
def test_wrong_requests_are_refused_at_once(fleet: Fleet, changes: dict[str, str]) -> None:
    request = {"templateBody": template(), "inputFileBucket": BUCKET, "inputFileKey": KEY, "roleArn": ROLE_ARN}
    refusal = refused(fleet.iot.start_thing_registration_task, **{**request, **changes})
    assert refusal == ("InvalidRequestException", 400)
    assert fleet.iot.list_thing_registration_tasks()["taskIds"] == []


def test_only_one_task_runs_at_a_time_for_each_account(fleet: Fleet, clean_sandbox: Address) -> None:
    fleet.control.pause(60)
    first = fleet.start([{"ThingName": "lamp-1"}])
    request = {"templateBody": template(), "inputFileBucket": BUCKET, "inputFileKey": KEY, "roleArn": ROLE_ARN}
    assert refused(fleet.iot.start_thing_registration_task, **request) == ("InvalidRequestException", 400)
    elsewhere = client("iot", clean_sandbox, region_name="us-east-1")
    assert refused(elsewhere.start_thing_registration_task, **request) == ("InvalidRequestException", 400)
    fleet.control.advance_clock(60)
    assert fleet.iot.describe_thing_registration_task(taskId=first)["status"] == "Completed"
    fleet.control.pause(0)
    second = fleet.run([{"ThingName": "lamp-2"}])
    assert fleet.iot.list_thing_registration_tasks()["taskIds"] == [second["taskId"], first]
    assert fleet.iot.list_thing_registration_tasks(status="InProgress")["taskIds"] == []


def test_progress_follows_the_clock_and_a_stop_leaves_the_rest(fleet: Fleet) -> None:
    fleet.control.pause(60)
    task_id = fleet.start([{"ThingName": f"lamp-{number}"} for number in range(40)])
    seen = []
    for done in (0, 10, 20, 30):
        fleet.control.advance_clock(60 if done else 0)
        task = fleet.look_until(task_id, lambda task, done=done: task["successCount"] >= done)
        seen.append((task["status"], task["successCount"], task["percentageProgress"]))
    assert seen == [("InProgress", done, done * 100 // 40) for done in (0, 10, 20, 30)]
    fleet.iot.stop_thing_registration_task(taskId=task_id)
    assert fleet.iot.describe_thing_registration_task(taskId=task_id)["status"] == "Cancelling"
    fleet.control.advance_clock(60)
    stopped = fleet.wait(task_id)
    assert (stopped["status"], stopped["successCount"]) == ("Cancelled", 30)
    assert len(fleet.report(task_id, "RESULTS")) == 30
    assert refused(fleet.iot.stop_thing_registration_task, taskId=task_id) == ("InvalidRequestException", 400)


def test_an_unknown_task_is_not_found(fleet: Fleet) -> None:
    for operation in ("describe_thing_registration_task", "stop_thing_registration_task"):
        assert refused(getattr(fleet.iot, operation), taskId="nobody") == ("ResourceNotFoundException", 404)


def test_a_report_is_read_by_its_link_alone_and_not_for_ever(fleet: Fleet) -> None:
    task = fleet.run([{"ThingName": "lamp-1"}])
    [link] = fleet.links(task["taskId"], "RESULTS")
    assert fetch(link)[0] == 200
    path, _, query = link.partition("?")
    names = ("X-Amz-Signature", "X-Amz-Expires", "X-Amz-Date")
    damaged = [path, f"{path}?{query[:-1]}{'1' if query[-1] == '0' else '0'}", f"{path[:-1]}1?{query}"]
    damaged += [f"{path}?{'&'.join(one for one in query.split('&') if not one.startswith(name))}" for name in names]
    damaged.append(link.replace("X-Amz-Expires=3600", "X-Amz-Expires=36000"))
    damaged.append(link.replace(REGION, "us-east-1").replace("/results-", "/errors-"))
    for one in damaged:
        status, text = fetch(one)
        assert (status, "AccessDenied" in text, "CERTIFICATE" in text) == (403, True, False), one
    fleet.control.advance_clock(3601)
    assert fetch(link)[0] == 403
    assert fetch(fleet.links(task["taskId"], "RESULTS")[0])[0] == 200


def test_many_lines_keep_nobody_waiting_and_their_report_comes_in_parts(fleet: Fleet) -> None:
    count = 1100
    bare = json.loads(template())
    bare["Resources"] = {"thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "ThingName"}}}}
    task_id = fleet.start([{"ThingName": f"lamp-{number}"} for number in range(count)], json.dumps(bare))
    answered, slowest = 0, 0.0
    while fleet.iot.describe_thing_registration_task(taskId=task_id)["status"] == "InProgress":
        begun = time.monotonic()
        fleet.iot.describe_thing_group(thingGroupName=GROUP)
        answered, slowest = answered + 1, max(slowest, time.monotonic() - begun)
    assert answered >= 2
    assert slowest < 2
    assert len(fleet.links(task_id, "RESULTS")) == 2
    assert [line["lineNumber"] for line in fleet.report(task_id, "RESULTS")] == list(range(1, count + 1))


def test_register_thing_makes_one_device_at_once(fleet: Fleet) -> None:
    made = fleet.iot.register_thing(templateBody=template(), parameters={"ThingName": "lamp-1", "Serial": "7"})
    assert fleet.iot.describe_thing(thingName="lamp-1")["attributes"] == {"serial": "7"}
    assert fleet.groups("lamp-1") == {GROUP}
    [principal] = fleet.iot.list_thing_principals(thingName="lamp-1")["principals"]
    assert made["resourceArns"]["certificate"] == principal
    assert "BEGIN CERTIFICATE" in made["certificatePem"]
    register = fleet.iot.register_thing
    again = {"parameters": {"ThingName": "lamp-1"}}
    fails = template(overrides={"AttributePayload": "FAIL"})
    assert refused(register, templateBody=fails, **again) == ("ConflictingResourceUpdateException", 409)
    wrong = template({"ThingGroups": ["nobody"]})
    assert refused(register, templateBody=wrong, parameters={"ThingName": "lamp-2"}) == (
        "ResourceRegistrationFailureException",
        400,
    )
    assert refused(register, templateBody="{}", parameters={}) == ("InvalidRequestException", 400)
