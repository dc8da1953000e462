"""Policies: the least a device needs, changed only when ours, deleted with everything that is in the way."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import ec

from ota import ownership, policies
from ota.certificates import keys
from ota.errors import InTheWay, NotOurs, WaitTimeout
from ota.outcomes import Action, Change, Outcome, Verb
from ota.policy_documents import device_policy_document, difference, is_same_policy
from tests.conftest import ACCOUNT, REGION

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

    from tests.sandbox_control import Control

NAME = "lamp-1_policy"
THING = "lamp-1"
GOLDEN_PATH = Path(__file__).parent / "golden" / "device_policy.json"
DOCUMENT = device_policy_document("aws", REGION, ACCOUNT)
OTHER = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "arn:aws:iot:eu-west-1:123456789012:*"}],
}


WANTED = policies.WantedPolicy(DOCUMENT, THING)


class Sleeps(list[float]):
    """A sleep that only notes for how long."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def certificate_arn(iot: IoTClient) -> str:
    return make_certificate(iot)


def make_certificate(iot: IoTClient) -> str:
    request = keys.signing_request(ec.generate_private_key(ec.SECP256R1()), THING)
    return iot.create_certificate_from_csr(certificateSigningRequest=request, setAsActive=True)["certificateArn"]


def make_policy(iot: IoTClient, document: dict[str, Any], thing_name: str | None = None, name: str = NAME) -> str:
    tags: Any = ownership.mark_tags(thing_name) if thing_name else []
    return iot.create_policy(policyName=name, policyDocument=json.dumps(document), tags=tags)["policyArn"]


def set_up(iot: IoTClient, certificate_arn: str, **options: Any) -> Outcome[policies.Policy]:
    """What the tool does: look, decide, and carry it out."""
    change = decide(iot, certificate_arn, **options)
    return policies.make_policy(iot, change, certificate_arn)


def decide(iot: IoTClient, certificate_arn: str, *, is_new_certificate: bool = False) -> Change:
    found = policies.look_at_policy(iot, NAME, WANTED, None if is_new_certificate else certificate_arn)
    return policies.decide_policy(iot, NAME, found, WANTED, certificate_arn, attaches=True)


def attached_to(iot: IoTClient, certificate_arn: str) -> list[str]:
    return [policy["policyName"] for policy in iot.list_attached_policies(target=certificate_arn)["policies"]]


def default_document(iot: IoTClient) -> Any:
    return json.loads(iot.get_policy(policyName=NAME)["policyDocument"])


def versions(iot: IoTClient) -> list[str]:
    return sorted(version["versionId"] for version in iot.list_policy_versions(policyName=NAME)["policyVersions"])


# --- the document


def statements(action: str) -> list[dict[str, Any]]:
    return [one for one in DOCUMENT["Statement"] if action in (one["Action"], *one["Action"])]


def resources(action: str) -> list[str]:
    found = [one["Resource"] for one in statements(action)]
    return [arn for one in found for arn in ([one] if isinstance(one, str) else one)]


def test_the_device_policy_is_the_published_one() -> None:
    assert json.loads(GOLDEN_PATH.read_text()) == DOCUMENT


@pytest.mark.parametrize(
    ("partition", "region"),
    [("aws", "eu-west-1"), ("aws-us-gov", "us-gov-west-1"), ("aws-cn", "cn-northwest-1"), ("aws", "ap-southeast-4")],
)
def test_the_device_policy_fits_in_every_region(partition: str, region: str) -> None:
    text = json.dumps(device_policy_document(partition, region, ACCOUNT))
    assert len(re.sub(r"\s", "", text)) <= 2048
    assert set(re.findall(r"arn:([a-z-]+):iot:([a-z0-9-]+):(\d+):", text)) == {(partition, region, ACCOUNT)}


def test_the_device_policy_is_only_what_a_device_needs() -> None:
    assert {one["Effect"] for one in DOCUMENT["Statement"]} == {"Allow"}
    actions = [one["Action"] if isinstance(one["Action"], list) else [one["Action"]] for one in DOCUMENT["Statement"]]
    assert {action for listed in actions for action in listed} == {
        "iot:Connect",
        "iot:Subscribe",
        "iot:Publish",
        "iot:Receive",
    }


@pytest.mark.parametrize("action", ["iot:Connect", "iot:Subscribe", "iot:Publish", "iot:Receive"])
def test_no_statement_reaches_beyond_the_devices_own_thing(action: str) -> None:
    """What Device Defender's check for overly permissive policies flags: wildcards where the thing's name must be."""
    assert resources(action)
    for arn in resources(action):
        own, variable, rest = arn.partition("${iot:Connection.Thing.ThingName}")
        assert variable, arn
        assert not set("*?+#") & set(own), arn
        assert rest in {"", "/jobs/*", "/streams/*", "/ml/inference"}, arn


def test_only_a_certificate_that_hangs_on_the_thing_may_connect() -> None:
    (connect,) = statements("iot:Connect")
    assert connect["Condition"] == {"Bool": {"iot:Connection.Thing.IsAttached": ["true"]}}
    assert connect["Resource"].endswith(":client/${iot:Connection.Thing.ThingName}")


def test_inference_results_are_published_and_nothing_else_there() -> None:
    topic = f"arn:aws:iot:{REGION}:{ACCOUNT}:topic/${{iot:Connection.Thing.ThingName}}/ml/inference"
    assert topic in resources("iot:Publish")
    assert topic not in resources("iot:Receive")


def test_aws_takes_the_document(iot: IoTClient) -> None:
    make_policy(iot, DOCUMENT)
    assert default_document(iot) == DOCUMENT


# --- comparing


def variant(**changes: Any) -> dict[str, Any]:
    statement = {
        "Effect": "Allow",
        "Action": ["iot:Publish", "iot:Receive"],
        "Resource": "a",
        "Condition": {"Bool": {"x": "true"}},
    }
    return {"Version": "2012-10-17", "Statement": [{**statement, **changes}]}


@pytest.mark.parametrize(
    ("other", "same"),
    [
        pytest.param(variant(), True, id="the-same"),
        pytest.param(variant(Action=["iot:Receive", "iot:Publish"]), True, id="order"),
        pytest.param(variant(Resource=["a"]), True, id="list-of-one"),
        pytest.param(variant(Condition={"Bool": {"x": True}}), True, id="bool"),
        pytest.param({**variant(), "Statement": variant()["Statement"][0]}, True, id="single-statement"),
        pytest.param(variant(Action=["iot:Publish"]), False, id="fewer-actions"),
        pytest.param(variant(Resource=["a", "b"]), False, id="more-resources"),
        pytest.param(variant(Effect="Deny"), False, id="effect"),
        pytest.param(variant(Condition={}), False, id="condition"),
        pytest.param({**variant(), "Statement": variant()["Statement"] * 2}, False, id="another-statement"),
        pytest.param({}, False, id="none"),
    ],
)
def test_documents_are_the_same_when_they_mean_the_same(other: Any, same: bool) -> None:
    assert is_same_policy(variant(), other) is same


def test_statements_may_stand_in_any_order() -> None:
    turned = {**DOCUMENT, "Statement": DOCUMENT["Statement"][::-1]}
    assert is_same_policy(DOCUMENT, turned)


def test_a_difference_shows_both_sides() -> None:
    lines = difference(variant(), variant(Effect="Deny"), "lamp").splitlines()
    assert lines[:2] == ["--- lamp on AWS", "+++ lamp as wanted"]
    assert '-      "Effect": "Allow",' in lines
    assert '+      "Effect": "Deny",' in lines


# --- finding


def test_a_missing_policy_is_not_found(iot: IoTClient) -> None:
    assert policies.find_policy(iot, NAME) is None
    assert policies.find_policy_tags(iot, policies.policy_arn("aws", REGION, ACCOUNT, NAME)) is None
    assert list(policies.list_policy_targets(iot, NAME)) == []


def test_find_gives_the_default_versions_document(iot: IoTClient) -> None:
    arn = make_policy(iot, OTHER)
    iot.create_policy_version(policyName=NAME, policyDocument=json.dumps(DOCUMENT), setAsDefault=True)
    iot.create_policy_version(policyName=NAME, policyDocument=json.dumps(OTHER), setAsDefault=False)
    assert policies.find_policy(iot, NAME) == policies.Policy(NAME, arn, DOCUMENT)


def test_a_policys_arn_is_known_from_its_name(iot: IoTClient) -> None:
    assert policies.policy_arn("aws", REGION, ACCOUNT, NAME) == make_policy(iot, DOCUMENT)


# --- ensuring


def test_a_new_policy_is_tagged_and_attached(iot: IoTClient, certificate_arn: str) -> None:
    outcome = set_up(iot, certificate_arn)
    assert (outcome.noun, outcome.verb, outcome.name) == ("policy", Verb.CREATED, NAME)
    assert outcome.detail == "attached to the certificate"
    assert policies.find_policy(iot, NAME) == outcome.get()
    assert policies.find_policy_tags(iot, outcome.get().arn) == ownership.marks(THING)
    assert attached_to(iot, certificate_arn) == [NAME]


def test_a_new_policy_for_a_new_certificate_costs_three_calls(
    iot: IoTClient, control: Control, certificate_arn: str
) -> None:
    control.clear_calls()
    set_up(iot, certificate_arn, is_new_certificate=True)
    assert control.operations() == ["GetPolicy", "CreatePolicy", "AttachPolicy"]


def test_an_unchanged_policy_costs_one_call(iot: IoTClient, control: Control, certificate_arn: str) -> None:
    set_up(iot, certificate_arn)
    control.clear_calls()
    outcome = set_up(iot, certificate_arn)
    assert (outcome.verb, outcome.detail) == (Verb.REUSED, "")
    assert control.operations() == ["GetEffectivePolicies"]


def test_a_policy_that_is_not_attached_is_looked_up_by_its_name(
    iot: IoTClient, control: Control, certificate_arn: str
) -> None:
    make_policy(iot, DOCUMENT, THING)
    make_policy(iot, OTHER, name="another")
    iot.attach_policy(policyName="another", target=certificate_arn)
    control.clear_calls()
    change = decide(iot, certificate_arn)
    assert control.operations() == ["GetEffectivePolicies", "GetPolicy"]
    assert (change.action, change.detail) == (Action.CHANGE, "attached to the certificate")


def test_the_policies_of_a_certificate_that_is_gone_are_none(iot: IoTClient, certificate_arn: str) -> None:
    certificate_id = certificate_arn.rpartition("/")[2]
    iot.update_certificate(certificateId=certificate_id, newStatus="INACTIVE")
    iot.delete_certificate(certificateId=certificate_id)
    assert policies.find_effective_policies(iot, certificate_arn) == {}


def test_a_decision_shows_the_difference_and_changes_nothing(
    iot: IoTClient, control: Control, certificate_arn: str
) -> None:
    make_policy(iot, OTHER, THING)
    iot.attach_policy(policyName=NAME, target=certificate_arn)
    control.clear_calls()
    change = decide(iot, certificate_arn)
    assert control.operations() == ["GetEffectivePolicies", "ListTagsForResource"]
    assert (change.action, change.detail) == (Action.CHANGE, "other document: a new default version")
    assert change.difference == difference(OTHER, DOCUMENT, NAME)


def test_a_policy_of_somebody_with_the_same_document_is_used_and_left(iot: IoTClient, certificate_arn: str) -> None:
    arn = make_policy(iot, {**DOCUMENT, "Statement": DOCUMENT["Statement"][::-1]})
    outcome = set_up(iot, certificate_arn)
    assert (outcome.verb, outcome.detail) == (Verb.CHANGED, "attached to the certificate")
    assert versions(iot) == ["1"]
    assert policies.find_policy_tags(iot, arn) == {}
    assert attached_to(iot, certificate_arn) == [NAME]


def test_our_policy_with_another_document_gets_a_new_default_version(iot: IoTClient, certificate_arn: str) -> None:
    make_policy(iot, OTHER, THING)
    iot.attach_policy(policyName=NAME, target=certificate_arn)
    outcome = set_up(iot, certificate_arn)
    assert (outcome.verb, outcome.detail) == (Verb.CHANGED, "new default version")
    assert outcome.get().document == DOCUMENT
    assert default_document(iot) == DOCUMENT


def test_a_changed_policy_that_was_not_attached_tells_both(iot: IoTClient, certificate_arn: str) -> None:
    make_policy(iot, OTHER, THING)
    assert set_up(iot, certificate_arn).detail == "new default version, attached to the certificate"


def test_the_oldest_version_goes_when_there_are_five(iot: IoTClient, certificate_arn: str) -> None:
    make_policy(iot, OTHER, THING)
    for _ in range(4):
        iot.create_policy_version(policyName=NAME, policyDocument=json.dumps(OTHER), setAsDefault=False)
    iot.set_default_policy_version(policyName=NAME, policyVersionId="1")
    set_up(iot, certificate_arn)
    assert default_document(iot) == DOCUMENT
    assert versions(iot) == ["1", "3", "4", "5", "6"]


def test_a_version_that_somebody_deleted_in_between_is_no_trouble(
    iot: IoTClient, control: Control, certificate_arn: str
) -> None:
    make_policy(iot, OTHER, THING)
    for _ in range(3):
        iot.create_policy_version(policyName=NAME, policyDocument=json.dumps(OTHER), setAsDefault=False)
    control.fail("CreatePolicyVersion", code="VersionsLimitExceededException", status=409)
    control.fail("DeletePolicyVersion", code="ResourceNotFoundException", status=404)
    assert set_up(iot, certificate_arn).verb is Verb.CHANGED
    assert default_document(iot) == DOCUMENT


@pytest.mark.parametrize("owner", [None, "lamp-2"], ids=["nobody", "another-thing"])
def test_a_policy_that_is_not_ours_is_left_and_the_difference_shown(
    iot: IoTClient, certificate_arn: str, owner: str | None
) -> None:
    make_policy(iot, OTHER, owner)
    with pytest.raises(NotOurs, match=f"policy {NAME} exists with another document") as caught:
        set_up(iot, certificate_arn)
    message = str(caught.value)
    assert "Set another policy_name" in message
    assert f"--- {NAME} on AWS\n+++ {NAME} as wanted\n" in message
    assert '-      "Resource": "arn:aws:iot:eu-west-1:123456789012:*"' in message
    assert default_document(iot) == OTHER
    assert attached_to(iot, certificate_arn) == []


def test_a_policy_that_somebody_made_in_between_is_found(
    iot: IoTClient, control: Control, certificate_arn: str
) -> None:
    make_policy(iot, DOCUMENT, THING)
    control.fail("GetPolicy", code="ResourceNotFoundException", status=404)
    assert set_up(iot, certificate_arn).verb is Verb.CHANGED
    assert attached_to(iot, certificate_arn) == [NAME]


def test_a_policy_that_is_said_to_exist_and_does_not_is_an_error(
    iot: IoTClient, control: Control, certificate_arn: str
) -> None:
    control.fail("CreatePolicy", code="ResourceAlreadyExistsException", status=409)
    with pytest.raises(ClientError, match="ResourceAlreadyExists"):
        set_up(iot, certificate_arn)


def test_an_eleventh_policy_names_the_ten_and_a_way_out(iot: IoTClient, certificate_arn: str) -> None:
    names = [f"policy-{number}" for number in range(10)]
    for name in names:
        make_policy(iot, OTHER, name=name)
        iot.attach_policy(policyName=name, target=certificate_arn)
    with pytest.raises(InTheWay, match="has 10 policies, as many as AWS allows") as caught:
        set_up(iot, certificate_arn)
    assert all(name in str(caught.value) for name in names)
    assert f"aws iot detach-policy --policy-name policy-0 --target {certificate_arn}" in str(caught.value)


def test_a_limit_that_is_not_the_certificates_keeps_awss_words(
    iot: IoTClient, control: Control, certificate_arn: str
) -> None:
    control.fail("AttachPolicy", code="LimitExceededException", status=410, message="something else")
    with pytest.raises(ClientError, match="something else"):
        set_up(iot, certificate_arn)


# --- deleting


def test_deleting_a_missing_policy_is_success(iot: IoTClient) -> None:
    assert policies.delete_policy(iot, NAME) == Outcome("policy", Verb.ABSENT, NAME)


def test_deleting_a_free_policy_costs_one_call(iot: IoTClient, control: Control) -> None:
    make_policy(iot, DOCUMENT)
    control.clear_calls()
    assert policies.delete_policy(iot, NAME) == Outcome("policy", Verb.DELETED, NAME)
    assert control.operations() == ["DeletePolicy"]
    assert policies.find_policy(iot, NAME) is None


def test_deleting_takes_every_version(iot: IoTClient) -> None:
    make_policy(iot, DOCUMENT)
    for _ in range(4):
        iot.create_policy_version(policyName=NAME, policyDocument=json.dumps(OTHER), setAsDefault=True)
    sleeps = Sleeps()
    assert policies.delete_policy(iot, NAME, sleep=sleeps).verb is Verb.DELETED
    assert policies.find_policy(iot, NAME) is None
    assert sleeps == []


def test_a_policy_in_use_is_left_with_all_its_versions(iot: IoTClient, certificate_arn: str) -> None:
    make_policy(iot, DOCUMENT)
    iot.create_policy_version(policyName=NAME, policyDocument=json.dumps(OTHER), setAsDefault=True)
    iot.attach_policy(policyName=NAME, target=certificate_arn)
    with pytest.raises(InTheWay, match=f"policy {NAME} is still attached to {certificate_arn}") as caught:
        policies.delete_policy(iot, NAME)
    assert f"aws iot detach-policy --policy-name {NAME} --target {certificate_arn}" in str(caught.value)
    assert versions(iot) == ["1", "2"]
    assert attached_to(iot, certificate_arn) == [NAME]


def test_force_detaches_a_policy_from_everything(iot: IoTClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "PAGE_SIZE", 1)
    make_policy(iot, DOCUMENT)
    arns = [make_certificate(iot) for _ in range(3)]
    for arn in arns:
        iot.attach_policy(policyName=NAME, target=arn)
    assert set(policies.list_policy_targets(iot, NAME)) == set(arns)
    assert policies.delete_policy(iot, NAME, force=True, sleep=Sleeps()).verb is Verb.DELETED
    assert [attached_to(iot, arn) for arn in arns] == [[], [], []]


def test_a_policy_on_a_thing_group_is_in_use_too(iot: IoTClient) -> None:
    make_policy(iot, DOCUMENT)
    group_arn = iot.create_thing_group(thingGroupName="lamps")["thingGroupArn"]
    iot.attach_policy(policyName=NAME, target=group_arn)
    with pytest.raises(InTheWay, match=group_arn):
        policies.delete_policy(iot, NAME)


def test_a_certificate_that_is_gone_does_not_hold_a_policy(
    iot: IoTClient, control: Control, certificate_arn: str
) -> None:
    make_policy(iot, DOCUMENT)
    iot.attach_policy(policyName=NAME, target=certificate_arn)
    control.fail("DescribeCertificate", code="ResourceNotFoundException", status=404)
    sleeps = Sleeps()
    with pytest.raises(WaitTimeout):
        policies.delete_policy(iot, NAME, timeout_s=10, poll_s=5, sleep=sleeps)
    assert sleeps == [5, 5]
    assert attached_to(iot, certificate_arn) == [NAME]


def test_deletion_waits_while_aws_counts_a_detachment_that_was_made(iot: IoTClient, control: Control) -> None:
    make_policy(iot, DOCUMENT)
    control.fail("DeletePolicy", code="DeleteConflictException", status=409, times=4)
    sleeps = Sleeps()
    assert policies.delete_policy(iot, NAME, poll_s=5, sleep=sleeps).verb is Verb.DELETED
    assert sleeps == [5, 5, 5]


def test_deletion_gives_up_after_its_time_and_says_what_to_do(iot: IoTClient, control: Control) -> None:
    make_policy(iot, DOCUMENT)
    control.fail("DeletePolicy", code="DeleteConflictException", status=409, times=99)
    sleeps = Sleeps()
    with pytest.raises(WaitTimeout, match=f"policy {NAME} as attached, 300 s after .* Run the same command again"):
        policies.delete_policy(iot, NAME, sleep=sleeps)
    assert sum(sleeps) == 300


def test_a_policy_that_somebody_deleted_while_we_waited_is_absent(iot: IoTClient, control: Control) -> None:
    make_policy(iot, DOCUMENT)
    control.fail("DeletePolicy", code="DeleteConflictException", status=409, times=2)

    def delete_meanwhile(_: float) -> None:
        iot.delete_policy(policyName=NAME)

    assert policies.delete_policy(iot, NAME, sleep=delete_meanwhile).verb is Verb.ABSENT


def test_detaching_twice_is_success(iot: IoTClient, certificate_arn: str) -> None:
    make_policy(iot, DOCUMENT)
    iot.attach_policy(policyName=NAME, target=certificate_arn)
    policies.detach_policy(iot, NAME, certificate_arn)
    assert attached_to(iot, certificate_arn) == []
    policies.detach_policy(iot, NAME, certificate_arn)


def test_detaching_a_policy_that_is_gone_is_success(iot: IoTClient, control: Control, certificate_arn: str) -> None:
    control.fail("DetachPolicy", code="ResourceNotFoundException", status=404)
    policies.detach_policy(iot, NAME, certificate_arn)
    assert "DetachPolicy" in control.operations()


# --- listing


def test_list_yields_every_policy_over_several_pages(iot: IoTClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "PAGE_SIZE", 2)
    arns = {make_policy(iot, OTHER, name=f"policy-{number}") for number in range(5)}
    assert {policy.arn for policy in policies.list_policies(iot)} == arns


def test_an_attached_policy_is_seen_beyond_the_first_page(
    iot: IoTClient, control: Control, monkeypatch: pytest.MonkeyPatch, certificate_arn: str
) -> None:
    monkeypatch.setattr(policies, "PAGE_SIZE", 1)
    for name in ("a", "b"):
        make_policy(iot, OTHER, name=name)
        iot.attach_policy(policyName=name, target=certificate_arn)
    set_up(iot, certificate_arn)
    control.clear_calls()
    assert set_up(iot, certificate_arn).verb is Verb.REUSED
    assert "AttachPolicy" not in control.operations()
