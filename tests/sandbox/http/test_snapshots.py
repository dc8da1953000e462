"""What tests compare of an account and bring back: every object, whole, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import ACCOUNT
from tests.hand_made import Hands
from tests.sandbox_control import Control

BUCKET = f"lamp-ota-{ACCOUNT}"


@pytest.fixture
def hands(iot: Any, s3: Any, iam: Any) -> Hands:
    hands = Hands(iot, s3, iam)
    hands.whole("lamp", ours=True)
    return hands


CHANGES: dict[str, tuple[str, Callable[[Hands], object]]] = {
    "attributes": (
        "thing/lamp",
        lambda hands: hands.iot.update_thing(thingName="lamp", attributePayload={"attributes": {"a": "b"}}),
    ),
    "a status": (
        "certificates/",
        lambda hands: hands.iot.update_certificate(
            certificateId=hands.iot.list_certificates()["certificates"][0]["certificateId"], newStatus="INACTIVE"
        ),
    ),
    "tags of a bucket": (
        "tagger/",
        lambda hands: hands.s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]}),
    ),
    "tags of a policy": (
        ":policy/lamp_policy",
        lambda hands: hands.iot.tag_resource(
            resourceArn=hands.iot.get_policy(policyName="lamp_policy")["policyArn"], tags=[{"Key": "a", "Value": "b"}]
        ),
    ),
    "a version": ("image.bin", lambda hands: hands.s3.put_object(Bucket=BUCKET, Key="image.bin", Body=b"other")),
    "a delete marker": ("image.bin", lambda hands: hands.s3.delete_object(Bucket=BUCKET, Key="image.bin")),
    "versioning": (
        f"buckets/{BUCKET}",
        lambda hands: hands.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"}),
    ),
    "a role's policy": (
        "roles/",
        lambda hands: hands.iam.delete_role_policy(RoleName="lamp_role", PolicyName="ota-tasks"),
    ),
    "a job": ("jobs/", lambda hands: hands.iot.cancel_job(jobId="AFR_OTA-lamp_update", force=True)),
    "an update": (
        "updates/lamp_update",
        lambda hands: hands.iot.delete_ota_update(otaUpdateId="lamp_update", deleteStream=True, forceDeleteAWSJob=True),
    ),
    "a policy's version": (
        "policies/lamp_policy",
        lambda hands: hands.iot.create_policy_version(
            policyName="lamp_policy",
            policyDocument=hands.iot.get_policy(policyName="lamp_policy")["policyDocument"],
            setAsDefault=True,
        ),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_an_object_shows_at_its_place(hands: Hands, control: Control, change: str) -> None:
    place, make = CHANGES[change]
    before = control.objects()
    make(hands)
    after = control.objects()
    assert [one for one in before if before[one] != after.get(one) and place in one]


def test_nothing_shows_where_nothing_changes(hands: Hands, control: Control) -> None:
    before = control.objects()
    assert len(before) > 10
    hands.names()
    hands.s3.get_object(Bucket=BUCKET, Key="image.bin")["Body"].read()
    assert control.objects() == before


def test_what_was_kept_comes_back_whole_and_works(hands: Hands, control: Control) -> None:
    hands.s3.put_object(Bucket=BUCKET, Key="image.bin", Body=b"newer")
    hands.s3.delete_object(Bucket=BUCKET, Key="image.bin")
    before, names = control.objects(), hands.names()
    versions = hands.s3.list_object_versions(Bucket=BUCKET)
    control.keep("lamp")
    for _ in range(2):
        hands.iot.delete_ota_update(otaUpdateId="lamp_update", deleteStream=True, forceDeleteAWSJob=True)
        hands.bucket("another")
        control.restore("lamp")
        assert control.objects() == before
        assert hands.names() == names
    again = hands.s3.list_object_versions(Bucket=BUCKET)
    assert (again["Versions"], again["DeleteMarkers"]) == (versions["Versions"], versions["DeleteMarkers"])
    oldest = {"Bucket": BUCKET, "Key": "image.bin", "VersionId": versions["Versions"][-1]["VersionId"]}
    assert hands.s3.get_object(**oldest)["Body"].read() == b"image"
    hands.iot.delete_ota_update(otaUpdateId="lamp_update", deleteStream=True, forceDeleteAWSJob=True)
    assert hands.iot.list_ota_updates()["otaUpdates"] == []
    assert hands.iot.list_streams()["streams"] == []
    assert hands.iam.get_account_summary()["SummaryMap"]["Roles"] == 1


def test_what_was_never_kept_is_refused_and_takes_nothing(control: Control) -> None:
    before = control.objects()
    with pytest.raises(ValueError, match="no-such-name"):
        control.restore("no-such-name")
    assert control.objects() == before


def test_what_is_reset_stays_kept(hands: Hands, control: Control) -> None:
    control.keep("lamp")
    control.reset()
    assert hands.names()["things"] == set()
    control.restore("lamp")
    assert hands.names()["things"] == {"lamp"}


def test_a_job_with_nothing_to_roll_out_stays_as_it_is_while_time_passes(control: Control, iot: Any) -> None:
    target = iot.create_thing(thingName="lamp")["thingArn"]
    iot.create_job(jobId="one", targets=[target], document="{}")
    before = control.objects()
    control.advance_clock(120)
    iot.create_thing(thingName="another")
    after = control.objects()
    assert [place for place in before if "/jobs/" in place and after[place] != before[place]] == []
