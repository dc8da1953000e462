"""Whether a device may connect, publish, subscribe and receive is judged as AWS IoT judges it, and explained."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from moto.iot.models import FakeCertificate, iot_backends

from ota.sandbox.moto.authority import certificate_pem, make_authority
from ota.sandbox.policy.callers import Caller, certificate_facts
from ota.sandbox.policy.device_policy import Decision, decide
from ota.sandbox.process import Address
from tests.mqtt_world import ARN, THING_NAME, least_policy, make_device, refusals, replace_policy
from tests.sandbox_control import Control

ACCOUNT, REGION = "345678901234", "eu-west-1"
OWN = f"arn:aws:iot:{REGION}:{ACCOUNT}"
FACTS = {"iot:certificate.subject.commonname": "lamp maker", "iot:certificate.subject.organization": "Lamps"}


class Registry:
    """A certificate, and a thing called lamp that it is attached to; in moto's registry of an account of its own."""

    def __init__(self) -> None:
        self.backend: Any = iot_backends[ACCOUNT][REGION]
        self.backend.reset()
        self.backend.create_thing_type("bulb", {})
        self.backend.create_thing("lamp", "bulb", {"attributes": {"room": "Hall", "a*": "b"}}, None)
        certificate = FakeCertificate(_pem(), "ACTIVE", ACCOUNT, REGION)
        self.backend.certificates[certificate.certificate_id] = certificate
        self.certificate = certificate
        self.backend.attach_thing_principal("lamp", certificate.arn)

    def attach(self, *statements: dict[str, Any], name: str = "p", version: str | None = "2012-10-17") -> None:
        document = {**({"Version": version} if version else {}), "Statement": list(statements)}
        self.backend.create_policy(name, json.dumps(document))
        self.backend.attach_policy(name, self.certificate.arn)

    def decide(self, action: str, resource: str, client_id: str = "lamp") -> Decision:
        caller = Caller(ACCOUNT, REGION, self.certificate.certificate_id, client_id, FACTS)
        return decide(caller, f"iot:{action}", resource)


@pytest.fixture
def registry() -> Iterator[Registry]:
    made = Registry()
    yield made
    made.backend.reset()


def allow(action: Any, resource: Any, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


@pytest.mark.parametrize(
    ("statement", "action", "resource", "expected"),
    [
        pytest.param(allow("iot:Publish", f"{OWN}:topic/a"), "Publish", "topic/a", True, id="exact"),
        pytest.param(allow("iot:Publish", f"{OWN}:topic/a"), "Publish", "topic/b", False, id="another-topic"),
        pytest.param(allow("iot:Publish", f"{OWN}:topic/a"), "Receive", "topic/a", False, id="another-action"),
        pytest.param(allow("IOT:publish", f"{OWN}:topic/a"), "Publish", "topic/a", True, id="action-in-any-case"),
        pytest.param(allow("iot:P*", f"{OWN}:topic/a"), "Publish", "topic/a", True, id="action-wildcard"),
        pytest.param(allow("*", "*"), "Connect", "client/x", True, id="everything"),
        pytest.param(allow(["iot:Receive", "iot:Publish"], ["x", "*"]), "Publish", "topic/a", True, id="lists"),
        pytest.param(allow("iot:Publish", f"{OWN}:topic/a*"), "Publish", "topic/a/b/c", True, id="star-crosses-levels"),
        pytest.param(allow("iot:Publish", f"{OWN}:topic/a?c"), "Publish", "topic/abc", True, id="question-mark"),
        pytest.param(allow("iot:Publish", f"{OWN}:topic/a?c"), "Publish", "topic/ac", False, id="question-mark-is-one"),
        pytest.param(allow("iot:Publish", f"{OWN}:topic/A"), "Publish", "topic/a", False, id="resource-in-its-case"),
        pytest.param(allow("iot:Subscribe", f"{OWN}:topicfilter/a/+"), "Subscribe", "topicfilter/a/+", True, id="plus"),
        pytest.param(
            allow("iot:Subscribe", f"{OWN}:topicfilter/a/+"),
            "Subscribe",
            "topicfilter/a/b",
            False,
            id="plus-is-literal",
        ),
        pytest.param(
            allow("iot:Subscribe", f"{OWN}:topic/a"), "Subscribe", "topicfilter/a", False, id="topic-no-filter"
        ),
        pytest.param(
            allow("iot:Publish", f"arn:aws:iot:us-east-1:{ACCOUNT}:topic/a"),
            "Publish",
            "topic/a",
            False,
            id="far-region",
        ),
        pytest.param(
            {"Effect": "Allow", "NotAction": "iot:Publish", "Resource": "*"},
            "Receive",
            "topic/a",
            True,
            id="not-action",
        ),
        pytest.param(
            {"Effect": "Allow", "NotAction": "iot:Publish", "Resource": "*"},
            "Publish",
            "topic/a",
            False,
            id="not-action-2",
        ),
        pytest.param(
            {"Effect": "Allow", "Action": "iot:*", "NotResource": f"{OWN}:topic/a*"},
            "Publish",
            "topic/b",
            True,
            id="not-resource",
        ),
        pytest.param(
            {"Effect": "Allow", "Action": "iot:*", "NotResource": f"{OWN}:topic/a*"},
            "Publish",
            "topic/ab",
            False,
            id="not-resource-2",
        ),
        pytest.param(
            allow("iot:Connect", f"{OWN}:client/${{iot:ClientId}}"), "Connect", "client/lamp", True, id="client-id"
        ),
        pytest.param(
            allow("iot:Publish", f"{OWN}:topic/${{iot:Connection.Thing.ThingTypeName}}"),
            "Publish",
            "topic/bulb",
            True,
            id="thing-type",
        ),
        pytest.param(
            allow("iot:Publish", f"{OWN}:topic/${{iot:Connection.Thing.Attributes[room]}}/x"),
            "Publish",
            "topic/Hall/x",
            True,
            id="attribute",
        ),
        pytest.param(
            allow("iot:Publish", f"{OWN}:topic/${{iot:Certificate.Subject.Organization}}"),
            "Publish",
            "topic/Lamps",
            True,
            id="certificate",
        ),
        pytest.param(
            allow("iot:Publish", f"{OWN}:topic/${{iot:Connection.Thing.Nothing}}*"),
            "Publish",
            "topic/",
            False,
            id="unknown",
        ),
        pytest.param(allow("iot:Publish", f"{OWN}:topic/${{*}}"), "Publish", "topic/*", True, id="literal-star"),
        pytest.param(allow("iot:Publish", f"{OWN}:topic/${{*}}"), "Publish", "topic/a", False, id="literal-star-2"),
    ],
)
def test_a_statement_covers_what_it_says(
    registry: Registry, statement: dict[str, Any], action: str, resource: str, expected: bool
) -> None:
    registry.attach(statement)
    assert registry.decide(action, resource).allowed is expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"Bool": {"iot:Connection.Thing.IsAttached": ["true"]}}, True),
        ({"Bool": {"iot:Connection.Thing.IsAttached": "false"}}, False),
        ({"StringEquals": {"iot:ClientId": "lamp"}}, True),
        ({"StringEquals": {"iot:ClientId": ["a", "b"]}}, False),
        ({"StringLike": {"iot:Connection.Thing.ThingName": "l*p"}}, True),
        ({"StringNotEquals": {"iot:Connection.Thing.ThingTypeName": "bulb"}}, False),
        ({"StringEquals": {"iot:Connection.Thing.Attributes[room]": "Hall"}}, True),
        ({"StringEqualsIfExists": {"iot:Connection.Thing.Attributes[floor]": "1"}}, True),
        ({"StringEquals": {"iot:Connection.Thing.Attributes[floor]": "1"}}, False),
        ({"ForAllValues:StringEquals": {"iot:Connection.Thing.ThingTypeName": ["bulb", "lamp"]}}, True),
        ({"ForAnyValue:StringEquals": {"iot:Connection.Thing.ThingTypeName": ["lamp"]}}, False),
        ({"StringEquals": {"iot:Certificate.Subject.CommonName": "lamp maker"}}, True),
        ({"IpAddress": {"iot:SourceIp": "127.0.0.0/8"}}, True),
        ({"StringEquals": {"iot:ClientId": "lamp"}, "Bool": {"iot:Connection.Thing.IsAttached": "false"}}, False),
    ],
    ids=lambda value: json.dumps(value).replace("iot:Connection.Thing.", "") if isinstance(value, dict) else "",
)
def test_a_condition_is_met_as_it_says(registry: Registry, condition: dict[str, Any], expected: bool) -> None:
    registry.attach(allow("iot:Publish", "*", Condition=condition))
    assert registry.decide("Publish", "topic/a").allowed is expected


def test_a_denial_wins_over_every_permission(registry: Registry) -> None:
    registry.attach(allow("iot:*", "*"), name="open")
    registry.attach(
        {"Sid": "Never", "Effect": "Deny", "Action": "iot:Publish", "Resource": f"{OWN}:topic/a"}, name="shut"
    )
    assert registry.decide("Publish", "topic/b").allowed
    refused = registry.decide("Publish", "topic/a")
    assert (refused.allowed, refused.why) == (False, "Never of policy shut denies it")


def test_thing_variables_need_a_client_that_is_called_as_the_thing(registry: Registry) -> None:
    registry.attach(allow("iot:Publish", f"{OWN}:topic/{THING_NAME}"))
    assert registry.decide("Publish", "topic/lamp").allowed
    refused = registry.decide("Publish", "topic/lamp", client_id="other")
    assert not refused.allowed
    assert "has no value for ${iot:Connection.Thing.ThingName}: client id 'other' is not the name" in refused.why


def test_thing_variables_need_a_certificate_that_is_attached_to_the_thing(registry: Registry) -> None:
    registry.attach(least_statement())
    assert registry.decide("Connect", "client/lamp").allowed
    registry.backend.detach_thing_principal("lamp", registry.certificate.arn)
    refused = registry.decide("Connect", "client/lamp")
    assert not refused.allowed
    assert "is attached to" in refused.why


def least_statement() -> dict[str, Any]:
    condition = {"Bool": {"iot:Connection.Thing.IsAttached": ["true"]}}
    return allow("iot:Connect", f"{OWN}:client/{THING_NAME}", Condition=condition)


@pytest.mark.parametrize("version", [None, "2008-10-17"])
def test_a_document_of_the_old_version_knows_no_variables(registry: Registry, version: str | None) -> None:
    registry.attach(allow("iot:Connect", f"{OWN}:client/${{iot:ClientId}}"), version=version)
    assert not registry.decide("Connect", "client/lamp").allowed
    assert registry.decide("Connect", "client/${iot:ClientId}", client_id="${iot:ClientId}").allowed


def test_a_client_gains_nothing_by_a_wildcard_in_its_name(registry: Registry) -> None:
    registry.attach(allow("iot:Publish", f"{OWN}:topic/${{iot:ClientId}}/x"))
    assert not registry.decide("Publish", "topic/secret/x", client_id="*").allowed
    assert registry.decide("Publish", "topic/*/x", client_id="*").allowed


def test_policies_of_the_things_groups_count(registry: Registry) -> None:
    backend = registry.backend
    _, parent, _ = backend.create_thing_group("house", "", {})
    backend.create_thing_group("hall", "house", {})
    backend.add_thing_to_thing_group("hall", None, "lamp", None)
    backend.create_policy("group", json.dumps({"Statement": [allow("iot:Publish", "*")]}))
    assert not registry.decide("Publish", "topic/a").allowed
    backend.principal_policies[parent, "group"] = (parent, backend.policies["group"])
    assert registry.decide("Publish", "topic/a").allowed
    assert not registry.decide("Publish", "topic/a", client_id="other").allowed


def test_changes_count_at_once(registry: Registry) -> None:
    registry.attach(allow("iot:Publish", "*"))
    assert registry.decide("Publish", "topic/a").allowed
    registry.backend.create_policy_version("p", json.dumps({"Statement": [allow("iot:Receive", "*")]}), True)
    assert not registry.decide("Publish", "topic/a").allowed
    registry.backend.set_default_policy_version("p", "1")
    assert registry.decide("Publish", "topic/a").allowed
    registry.backend.detach_policy("p", registry.certificate.arn)
    assert not registry.decide("Publish", "topic/a").allowed


@pytest.mark.parametrize("status", ["INACTIVE", "REVOKED"])
def test_a_certificate_that_is_not_active_may_nothing(registry: Registry, status: str) -> None:
    registry.attach(allow("*", "*"))
    registry.certificate.status = status
    assert registry.decide("Publish", "topic/a").why == (
        f"certificate {registry.certificate.certificate_id} is {status}"
    )


@pytest.mark.parametrize(
    ("statements", "why"),
    [
        pytest.param([], "no policy is attached to certificate", id="no-policy"),
        pytest.param([allow("iot:Receive", "*")], "no statement of p allows iot:Publish", id="no-action"),
        pytest.param(
            [allow("iot:Publish", f"{OWN}:topic/{THING_NAME}/b")],
            f"statement 1 of policy p covers {OWN}:topic/lamp/b",
            id="resource-with-values",
        ),
        pytest.param(
            [allow("iot:Publish", "*", Sid="Mine", Condition={"Bool": {"iot:Connection.Thing.IsAttached": "false"}})],
            "the condition of Mine of policy p is not met (iot:Connection.Thing.IsAttached=true)",
            id="condition",
        ),
        pytest.param(
            [{"Effect": "Allow", "Action": "iot:*", "NotResource": f"{OWN}:topic/a"}],
            f"statement 1 of policy p covers all but {OWN}:topic/a",
            id="not-resource",
        ),
    ],
)
def test_a_refusal_says_why(registry: Registry, statements: list[dict[str, Any]], why: str) -> None:
    if statements:
        registry.attach(*statements)
    decision = registry.decide("Publish", "topic/a")
    assert (decision.action, decision.resource) == ("iot:Publish", f"{OWN}:topic/a")
    assert decision.why.startswith(why)


def test_a_certificate_tells_its_names() -> None:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "first"),
            x509.NameAttribute(NameOID.COMMON_NAME, "second"),
            x509.NameAttribute(NameOID.COUNTRY_NAME, "NO"),
        ]
    )
    certificate = make_authority().issue(name, ec.generate_private_key(ec.SECP256R1()).public_key())
    facts = certificate_facts(certificate)
    assert facts["iot:certificate.subject.commonname"] == "first"
    assert facts["iot:certificate.subject.commonname.1"] == "second"
    assert facts["iot:certificate.subject.country"] == "NO"
    assert facts["iot:certificate.issuer.commonname"] == "Sandbox IoT CA"
    assert int(facts["iot:certificate.serialnumber"], 16) == certificate.serial_number


def test_the_least_policy_is_enough_for_an_update(
    iot: Any, clean_sandbox: Address, tmp_path: Path, control: Control
) -> None:
    lamp = make_device(iot, clean_sandbox, tmp_path)
    with lamp.connect() as client:
        assert client.subscribe(f"{lamp.streams}/s/data/json", f"{lamp.jobs}/notify-next") == [0, 0]
        assert client.request(f"{lamp.jobs}/start-next", {}).topic == f"{lamp.jobs}/start-next/accepted"
    assert refusals(control) == []


def test_without_connect_the_device_is_refused(
    iot: Any, clean_sandbox: Address, tmp_path: Path, control: Control
) -> None:
    lamp = make_device(iot, clean_sandbox, tmp_path, policy=least_policy("Connect"))
    with lamp.open() as client:
        assert client.connect("lamp") == 7
        assert client.is_closed()
    assert [(one["action"], one["resource"], one["client_id"]) for one in refusals(control)] == [
        ("iot:Connect", f"{ARN}:client/lamp", "lamp")
    ]


def test_without_subscribe_only_the_subscription_is_refused(
    iot: Any, clean_sandbox: Address, tmp_path: Path, control: Control
) -> None:
    lamp = make_device(iot, clean_sandbox, tmp_path, policy=least_policy("Subscribe"))
    with lamp.connect() as client:
        assert client.subscribe(f"{lamp.streams}/s/data/json") == [128]
        assert client.request(f"{lamp.jobs}/start-next", {}).topic.endswith("/accepted")
    assert [one["action"] for one in refusals(control)] == ["iot:Subscribe"]


def test_without_publish_the_connection_ends(
    iot: Any, clean_sandbox: Address, tmp_path: Path, control: Control
) -> None:
    lamp = make_device(iot, clean_sandbox, tmp_path, policy=least_policy("Publish"))
    with lamp.connect() as client:
        client.publish(f"{lamp.jobs}/start-next", {})
        assert client.is_closed()
    assert [one["action"] for one in refusals(control)] == ["iot:Publish"]


def test_without_receive_the_answer_never_comes(
    iot: Any, clean_sandbox: Address, tmp_path: Path, control: Control
) -> None:
    lamp = make_device(iot, clean_sandbox, tmp_path, policy=least_policy("Receive"))
    with lamp.connect() as client:
        client.publish(f"{lamp.jobs}/start-next", {})
        assert client.messages() == []
    assert [(one["action"], one["resource"]) for one in refusals(control)] == [
        ("iot:Receive", f"{ARN}:topic/$aws/things/lamp/jobs/start-next/accepted")
    ]


def test_a_things_topics_are_closed_to_other_things(iot: Any, clean_sandbox: Address, tmp_path: Path) -> None:
    lamp = make_device(iot, clean_sandbox, tmp_path)
    iot.create_thing(thingName="other")
    with lamp.connect() as client:
        client.publish("$aws/things/other/jobs/start-next", {})
        assert client.is_closed()


def test_retaining_needs_a_permission_of_its_own(
    iot: Any, clean_sandbox: Address, tmp_path: Path, control: Control
) -> None:
    policy = {"Version": "2012-10-17", "Statement": [allow(["iot:Connect", "iot:Publish"], "*")]}
    lamp = make_device(iot, clean_sandbox, tmp_path, policy=policy)
    with lamp.connect() as client:
        client.publish("a", b"x")
        client.publish("a", b"x", retain=True)
        assert client.is_closed()
    assert [one["action"] for one in refusals(control)] == ["iot:RetainPublish"]


def test_an_exclusive_thing_lends_its_name_to_any_client(iot: Any, clean_sandbox: Address, tmp_path: Path) -> None:
    lamp = make_device(iot, clean_sandbox, tmp_path)
    policy = {"Version": "2012-10-17", "Statement": [allow("iot:Connect", f"{ARN}:client/{THING_NAME}-*")]}
    replace_policy(iot, "lamp", policy)
    with lamp.open() as client:
        assert client.connect("lamp-1") == 7
    iot.detach_thing_principal(thingName="lamp", principal=lamp.certificate_arn)
    iot.attach_thing_principal(thingName="lamp", principal=lamp.certificate_arn, thingPrincipalType="EXCLUSIVE_THING")
    with lamp.open() as client:
        assert client.connect("lamp-1") == 0


def _pem() -> str:
    return certificate_pem(make_authority().certificate)
