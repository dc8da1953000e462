"""What else is in the account: objects that resemble the test project's own, and that no command line of it may touch.

Names that contain ours or are contained in them, marks of another thing, unmarked twins, the objects of other tools, a
certificate on two things, jobs and streams with the OTA service's prefix. They are made once for each sandbox and come
back whole before every test of the command line; after it each must be what it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ota.sandbox.process import Address
from tests.conftest import ACCOUNT, REGION, client
from tests.hand_made import NAMES_OF_NEIGHBOURS, POLICY_DOCUMENT, Hands, id_of
from tests.sandbox_control import Control
from tests.sandbox_world import trust_document

OURS = "lampx"  # another thing that this tool made
FOREIGN = "xlamp"  # one that somebody set up by hand, by the same patterns of names
PREFIX = "ota-tasks/lamp/"
NEIGHBOURS = "neighbours"  # by which the sandbox keeps them


@dataclass(frozen=True)
class Neighbours:
    """The sandbox with them in it; ``objects`` has the place of each to its hash."""

    control: Control
    objects: Mapping[str, str]

    def move_in(self) -> None:
        """Empty the account but for them."""
        self.control.restore(NEIGHBOURS)

    def changed(self) -> list[str]:
        """The places of those that are not what they were."""
        now = self.control.objects()
        return [place for place, was in self.objects.items() if now.get(place) != was]


def make_neighbours(address: Address) -> Neighbours:
    """Make them in an emptied account, and have the sandbox keep them."""
    control = Control(address)
    control.reset()
    hands = Hands(*(client(service, address) for service in ("iot", "s3", "iam")))
    hands.whole(OURS, ours=True)
    hands.whole(FOREIGN, ours=False)
    _make_things(hands)
    _make_delivery(hands)
    control.keep(NEIGHBOURS)
    NAMES_OF_NEIGHBOURS[address.endpoint_url] = hands.names()
    control.restore(NEIGHBOURS)
    return Neighbours(control, control.objects())


def _make_things(hands: Hands) -> None:
    """Things with and without attributes, and certificates and policies on one, two and none of them."""
    iot = hands.iot
    hands.thing("lam")
    _thing(hands, "Lamp", {"managed-by": "ota-tasks", "ota-thing": "lamp"})
    _thing(hands, "lamp_", {"managed-by": "terraform", "ota-thing": "lamp"})
    hands.policy("lamp_policy_old")
    hands.policy("my-lamp_policy", ours_for="Lamp")
    hands.certificate("lam", "lamp_", policies=("lamp_policy_old",))
    hands.certificate(policies=("my-lamp_policy",))
    inactive = hands.certificate(policies=("lamp_policy_old",))
    iot.update_certificate(certificateId=id_of(inactive), newStatus="INACTIVE")
    iot.create_thing_group(thingGroupName="lamp")
    iot.add_thing_to_thing_group(thingGroupName="lamp", thingName="lam")
    target = f"arn:aws:iot:{REGION}:{ACCOUNT}:thing/lam"
    for job_id in ("AFR_OTA-lamp_update_old", "lamp_update"):
        iot.create_job(jobId=job_id, targets=[target], document="{}")


def _thing(hands: Hands, name: str, attributes: dict[str, str]) -> None:
    hands.iot.create_thing(thingName=name, attributePayload={"attributes": attributes})


def _make_delivery(hands: Hands) -> None:
    """Buckets, roles, streams and updates."""
    hands.bucket(f"my-lamp-ota-{ACCOUNT}")
    hands.bucket(f"lamp-ota-{ACCOUNT}-old", ours_for="Lamp", holds=("image.bin",))
    hands.bucket("lamp-images", holds=(f"{PREFIX}{'0' * 64}/image.bin", "holiday.jpg"))
    hands.s3.delete_object(Bucket="lamp-images", Key="holiday.jpg")
    hands.s3.create_multipart_upload(Bucket="lamp-images", Key=f"{PREFIX}begun")
    hands.role("lamp_role_old", bucket="lamp-images")
    hands.role("my-lamp_role", ours_for="Lamp")
    _make_shared_role(hands.iam)
    hands.update(
        "lamp_update_2", "lam", role="lamp_role_old", bucket="lamp-images", key=f"{PREFIX}{'0' * 64}/image.bin"
    )
    file = {"fileId": 0, "s3Location": {"bucket": "lamp-images", "key": f"{PREFIX}{'0' * 64}/image.bin"}}
    role_arn = f"arn:aws:iam::{ACCOUNT}:role/lamp_role_old"
    hands.iot.create_stream(streamId="AFR_OTA-lamp", files=[file], roleArn=role_arn)


def _make_shared_role(iam: Any) -> None:
    """A role of an instance, with a policy that carries our marks' key and another value."""
    iam.create_role(
        RoleName="lamp", AssumeRolePolicyDocument=trust_document(), Tags=[{"Key": "managed-by", "Value": "cdk"}]
    )
    arn = iam.create_policy(PolicyName="lamp_role", PolicyDocument=POLICY_DOCUMENT)["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="lamp", PolicyArn=arn)
    iam.create_instance_profile(InstanceProfileName="lamp_role")
    iam.add_role_to_instance_profile(InstanceProfileName="lamp_role", RoleName="lamp")
