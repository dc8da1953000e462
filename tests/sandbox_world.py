"""What an OTA update needs, made through real clients: a thing, a bucket with an image, a role; and the update."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tests.sandbox_control import Control

T = TypeVar("T")

ACCOUNT = "123456789012"
REGION = "eu-west-1"
BUCKET = "lamp-images"
KEY = "images/lamp.bin"
THING = "lamp"
ROLE = "lamp-ota"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/{ROLE}"
THING_ARN = f"arn:aws:iot:{REGION}:{ACCOUNT}:thing/{THING}"
IMAGE = bytes(range(256)) * 40
SIGNATURE = base64.b64encode(b"\x01\xff" * 192).decode()


@dataclass(frozen=True)
class World:
    """The clients and the stored image's version."""

    iot: Any
    s3: Any
    iam: Any
    version_id: str

    def create(self, update_id: str = "lamp-1", **changes: Any) -> dict[str, Any]:
        """CreateOTAUpdate as a good tool makes it, with ``changes``; None takes a member out."""
        request = {**update_request(update_id, self.version_id), **changes}
        answer: dict[str, Any] = self.iot.create_ota_update(**{k: v for k, v in request.items() if v is not None})
        return answer

    def info(self, update_id: str = "lamp-1") -> dict[str, Any]:
        found: dict[str, Any] = self.iot.get_ota_update(otaUpdateId=update_id)["otaUpdateInfo"]
        return found

    def document(self, update_id: str = "lamp-1") -> str:
        text: str = self.iot.get_job_document(jobId=f"AFR_OTA-{update_id}")["document"]
        return text


class Kept(Generic[T]):
    """What tests that change nothing share: made in the emptied sandbox, and again when it has been emptied since."""

    def __init__(self, control: Control, make: Callable[[], T]) -> None:
        self._control = control
        self._make = make
        self._made_after = -1

    def get(self) -> T:
        if self._made_after != self._control.health()["resets"]:
            self._control.reset()
            self._value = self._make()
            self._made_after = self._control.health()["resets"]
        return self._value


def make_world(kept_clients: Callable[[str], Any]) -> World:
    """A thing, a versioned bucket with an image, and a role that can do all an OTA update needs."""
    iot, s3, iam = (kept_clients(service) for service in ("iot", "s3", "iam"))
    iot.create_thing(thingName=THING)
    make_role(iam)
    return World(iot, s3, iam, make_bucket(s3))


def update_request(update_id: str, version_id: str | None) -> dict[str, Any]:
    return {
        "otaUpdateId": update_id,
        "targets": [THING_ARN],
        "protocols": ["MQTT"],
        "targetSelection": "SNAPSHOT",
        "roleArn": ROLE_ARN,
        "files": [file_entry(version_id)],
    }


def file_entry(version_id: str | None = None, **changes: Any) -> dict[str, Any]:
    location = {"bucket": BUCKET, "key": KEY, **({"version": version_id} if version_id else {})}
    signing = {
        "signature": {"inlineDocument": SIGNATURE.encode()},
        "certificateChain": {"certificateName": "0"},
        "hashAlgorithm": "SHA256",
        "signatureAlgorithm": "RSA",
    }
    entry = {
        "fileName": "non_secure image",
        "fileLocation": {"s3Location": location},
        "codeSigning": {"customCodeSigning": signing},
    }
    return {**entry, **changes}


def trust_document(service: str = "iot.amazonaws.com") -> str:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def role_document(*, leave_out: str = "", bucket: str = BUCKET) -> str:
    """All that the OTA service needs of the role, but for one action."""
    allowed = {
        "iam:GetRole": ROLE_ARN,
        "iam:PassRole": ROLE_ARN,
        "s3:GetObject": f"arn:aws:s3:::{bucket}/*",
        "s3:GetObjectVersion": f"arn:aws:s3:::{bucket}/*",
        "iot:CreateStream": "*",
        "iot:CreateJob": "*",
        "iot:DeleteStream": "*",
        "iot:DeleteJob": "*",
        "iot:DescribeJob": "*",
    }
    statements = [
        {"Effect": "Allow", "Action": action, "Resource": resource}
        for action, resource in allowed.items()
        if action != leave_out
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def make_role(iam: Any, document: str | None = None, *, service: str = "iot.amazonaws.com") -> None:
    iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=trust_document(service))
    iam.put_role_policy(RoleName=ROLE, PolicyName="ota", PolicyDocument=document or role_document())


def make_bucket(s3: Any, *, versioned: bool = True) -> str:
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    if versioned:
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    return str(s3.put_object(Bucket=BUCKET, Key=KEY, Body=IMAGE).get("VersionId", ""))
