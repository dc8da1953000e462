"""Things: found with all that hangs on them, made with marks, attached exclusively, deleted in spite of AWS's delay."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from ota import ownership, things
from ota.errors import InTheWay
from ota.outcomes import Action, Outcome, Verb
from ota.things import EXCLUSIVE, NON_EXCLUSIVE, Principal, Thing

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

    from tests.sandbox_control import Control

NAME = "lamp:1"


class Sleeps(list[float]):
    """A sleep that only notes for how long."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def make_certificate(iot: IoTClient) -> str:
    return iot.create_keys_and_certificate(setAsActive=True)["certificateArn"]


def make_thing(iot: IoTClient, name: str = NAME) -> Thing:
    """A thing with our marks and nothing attached."""
    iot.create_thing(thingName=name, attributePayload={"attributes": ownership.marks(name)})
    found = things.find_thing(iot, name)
    assert found
    return found


def attach(
    iot: IoTClient, certificate_arn: str, name: str = NAME, found: Thing | None = None, *, is_exclusive: bool = True
) -> Outcome[Thing]:
    """What the tool does with what was found: decide, and carry it out."""
    attaches = found is None or not found.is_attached(certificate_arn)
    change = things.decide_thing(name, found, attaches=attaches)
    return things.make_thing(iot, change, certificate_arn, is_exclusive=is_exclusive)


def test_a_missing_thing_is_not_found(iot: IoTClient) -> None:
    assert things.find_thing(iot, NAME) is None


def test_a_missing_thing_costs_one_call(iot: IoTClient, control: Control) -> None:
    things.find_thing(iot, NAME)
    assert control.operations() == ["DescribeThing"]


ARN = f"arn:aws:iot:eu-west-1:123456789012:thing/{NAME}"


def test_a_thing_with_a_certificate_is_found_by_it_alone_in_one_call(iot: IoTClient, control: Control) -> None:
    attached = attach(iot, make_certificate(iot)).get()
    control.clear_calls()
    found = things.find_thing_by_principals(iot, NAME, ARN)
    assert control.operations() == ["ListThingPrincipalsV2"]
    assert found == replace(attached, attributes={})


def test_a_thing_without_a_certificate_is_asked_for_itself(iot: IoTClient, control: Control) -> None:
    made = make_thing(iot)
    control.clear_calls()
    assert things.find_thing_by_principals(iot, NAME, ARN) == made
    assert control.operations()[:2] == ["ListThingPrincipalsV2", "DescribeThing"]


def test_a_missing_thing_is_not_found_by_principals(iot: IoTClient, control: Control) -> None:
    assert things.find_thing_by_principals(iot, NAME, ARN) is None
    assert control.operations() == ["ListThingPrincipalsV2"]


def test_a_new_thing_carries_our_marks_and_its_certificate(iot: IoTClient) -> None:
    change = things.decide_thing(NAME, None, attaches=True)
    assert (change.noun, change.action, change.name, change.detail) == (
        "thing",
        Action.CREATE,
        NAME,
        "certificate attached",
    )
    outcome = attach(iot, make_certificate(iot))
    assert (outcome.noun, outcome.verb, outcome.name) == ("thing", Verb.CREATED, NAME)
    found = things.find_thing(iot, NAME)
    assert found == outcome.get()
    assert found.is_ours
    assert iot.describe_thing(thingName=NAME)["attributes"] == ownership.marks(NAME)


def test_a_thing_that_somebody_made_in_between_is_used_as_it_is(iot: IoTClient) -> None:
    iot.create_thing(thingName=NAME, attributePayload={"attributes": {"colour": "red"}})
    arn = make_certificate(iot)
    outcome = attach(iot, arn)
    assert outcome.verb is Verb.CHANGED
    assert outcome.get().attributes == {"colour": "red"}
    assert outcome.get().is_attached(arn)
    assert not outcome.get().is_ours


def test_a_thing_that_is_said_to_exist_and_does_not_is_an_error(iot: IoTClient, control: Control) -> None:
    control.fail("CreateThing", code="ResourceAlreadyExistsException", status=409)
    with pytest.raises(ClientError, match="ResourceAlreadyExists"):
        attach(iot, make_certificate(iot))


@pytest.mark.parametrize(
    "attributes",
    [{}, {"managed-by": "ota-tasks"}, {"managed-by": "somebody", "ota-thing": NAME}, ownership.marks("lamp:2")],
    ids=["none", "half", "somebody", "another-thing"],
)
def test_a_thing_without_our_marks_is_not_ours(attributes: dict[str, str]) -> None:
    assert not Thing(NAME, "arn", attributes).is_ours


def test_find_tells_of_every_principal_over_several_pages(iot: IoTClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(things, "PAGE_SIZE", 2)
    make_thing(iot)
    arns = [make_certificate(iot) for _ in range(5)]
    for index, arn in enumerate(arns):
        principal_type = EXCLUSIVE if index == 0 else NON_EXCLUSIVE
        iot.attach_thing_principal(thingName=NAME, principal=arn, thingPrincipalType=principal_type)
    found = things.find_thing(iot, NAME)
    assert found is not None
    assert {principal.arn for principal in found.principals} == set(arns)
    assert [principal.arn for principal in found.principals if principal.is_exclusive] == arns[:1]


@pytest.mark.parametrize("is_exclusive", [True, False])
def test_attaching_a_certificate_shows_in_the_things_line(iot: IoTClient, is_exclusive: bool) -> None:
    arn = make_certificate(iot)
    outcome = attach(iot, arn, is_exclusive=is_exclusive)
    assert (outcome.verb, outcome.detail) == (Verb.CREATED, "certificate attached")
    assert outcome.get().principals == (Principal(arn, EXCLUSIVE if is_exclusive else NON_EXCLUSIVE),)
    assert things.find_thing(iot, NAME) == outcome.get()


def test_attaching_to_a_reused_thing_is_a_change(iot: IoTClient) -> None:
    found = make_thing(iot)
    assert things.decide_thing(NAME, found, attaches=True).action is Action.CHANGE
    assert attach(iot, make_certificate(iot), found=found).verb is Verb.CHANGED


@pytest.mark.parametrize("principal_type", [EXCLUSIVE, NON_EXCLUSIVE])
def test_what_is_attached_already_stays_as_it_is(iot: IoTClient, control: Control, principal_type: Any) -> None:
    arn = make_certificate(iot)
    make_thing(iot)
    iot.attach_thing_principal(thingName=NAME, principal=arn, thingPrincipalType=principal_type)
    found = things.find_thing(iot, NAME)
    assert things.decide_thing(NAME, found, attaches=False).action is Action.REUSE
    control.clear_calls()
    assert attach(iot, arn, found=found) == Outcome("thing", Verb.REUSED, NAME, value=found)
    assert control.operations() == []


def test_our_certificate_can_hang_on_no_other_thing(iot: IoTClient) -> None:
    arn = make_certificate(iot)
    attach(iot, arn)
    with pytest.raises(ClientError, match="InvalidRequest"):
        attach(iot, arn, "lamp:2")


def test_deleting_a_missing_thing_is_success(iot: IoTClient) -> None:
    assert things.delete_thing(iot, NAME, None) == Outcome("thing", Verb.ABSENT, NAME)


def test_deleting_detaches_everything_first(iot: IoTClient) -> None:
    make_thing(iot)
    arns = [make_certificate(iot), make_certificate(iot)]
    for arn in arns:
        iot.attach_thing_principal(thingName=NAME, principal=arn)
    outcome = things.delete_thing(iot, NAME, things.find_thing(iot, NAME), sleep=Sleeps())
    assert outcome == Outcome("thing", Verb.DELETED, NAME)
    assert things.find_thing(iot, NAME) is None
    assert [iot.list_principal_things(principal=arn)["things"] for arn in arns] == [[], []]


def test_what_was_detached_before_is_not_detached_again(iot: IoTClient, control: Control) -> None:
    thing = attach(iot, make_certificate(iot)).get()
    detached = things.detach_principals(iot, thing)
    assert detached.principals == ()
    control.clear_calls()
    things.delete_thing(iot, NAME, detached)
    assert control.operations() == ["DeleteThing"]


def test_a_principal_that_is_gone_counts_as_detached(iot: IoTClient) -> None:
    thing = attach(iot, make_certificate(iot)).get()
    things.detach_principals(iot, thing)
    assert things.delete_thing(iot, NAME, thing).verb is Verb.DELETED


def test_deletion_waits_for_the_detachment_to_end(iot: IoTClient, control: Control) -> None:
    thing = make_thing(iot)
    control.fail("DeleteThing", code="InvalidRequestException", times=3)
    sleeps = Sleeps()
    assert things.delete_thing(iot, NAME, thing, poll_s=2, sleep=sleeps).verb is Verb.DELETED
    assert sleeps == [2, 2, 2]


def test_deletion_that_stays_refused_says_what_is_attached_and_what_aws_said(iot: IoTClient) -> None:
    thing = make_thing(iot)
    arn = make_certificate(iot)
    iot.attach_thing_principal(thingName=NAME, principal=arn)
    sleeps = Sleeps()
    with pytest.raises(InTheWay, match=f"thing {NAME} after 3 s .*still attached.*Attached to it: {arn}") as caught:
        things.delete_thing(iot, NAME, thing, timeout_s=3, poll_s=1, sleep=sleeps)
    assert sleeps == [1, 1, 1]
    assert "Run the same command again" in str(caught.value)


def test_a_refusal_without_words_is_told_by_its_code(iot: IoTClient, control: Control) -> None:
    thing = make_thing(iot)
    control.fail("DeleteThing", code="InvalidRequestException", times=9, message="")
    with pytest.raises(InTheWay, match=r"InvalidRequestException.*Attached to it: nothing"):
        things.delete_thing(iot, NAME, thing, timeout_s=0, sleep=Sleeps())


def test_a_thing_that_somebody_deleted_in_between_is_deleted(iot: IoTClient, control: Control) -> None:
    thing = make_thing(iot)
    control.fail("DeleteThing", code="ResourceNotFoundException", status=404)
    assert things.delete_thing(iot, NAME, thing).verb is Verb.DELETED


def test_list_yields_every_thing_over_several_pages(iot: IoTClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(things, "PAGE_SIZE", 3)
    for number in range(7):
        make_thing(iot, f"lamp-{number}")
    iot.create_thing(thingName="other")
    listed = list(things.list_things(iot))
    assert sorted(thing.name for thing in listed) == [*(f"lamp-{number}" for number in range(7)), "other"]
    assert [thing.name for thing in listed if not thing.is_ours] == ["other"]
