"""Objects of an account by hand: marked as ours or by nobody, alone or hanging on each other, and as Arm's script does.

Everything goes through real clients, so that what is made is what AWS would take.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import ec

from ota import ownership
from ota.certificates import keys
from ota.updates.requests import ROLE_NAME_KEY
from tests.conftest import ACCOUNT, REGION
from tests.sandbox_world import role_document, trust_document

POLICY_DOCUMENT = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}]}
)
MANAGED_POLICY = "arn:aws:iam::aws:policy/service-role/AmazonFreeRTOSOTAUpdate"


def _allow(actions: list[str], resources: str | list[str]) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": actions, "Resource": resources}
    return {"Version": "2012-10-17", "Statement": [statement]}


# What Arm's script gives to each policy and role, as its calls have it.
ARMS_POLICY = _allow(
    ["iot:Publish", "iot:Receive", "iot:Subscribe", "iot:Connect"], [f"arn:aws:iot:{REGION}:{ACCOUNT}:*"]
)
ARMS_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {
                "AWS": f"arn:aws:iam::{ACCOUNT}:user/moto",
                "Service": ["iot.amazonaws.com", "s3.amazonaws.com", "iam.amazonaws.com"],
            },
            "Action": ["sts:AssumeRole"],
        }
    ],
}
ARMS_MANAGED_POLICIES = ("AWSIoTRuleActions", "AmazonFreeRTOSOTAUpdate", "AWSIoTLogging", "AWSIoTThingsRegistration")
ARMS_IMAGE = "keyword-detection-update_signed.bin"


@dataclass(frozen=True)
class Hands:
    """Makes objects through these clients."""

    iot: Any
    s3: Any
    iam: Any

    def thing(self, name: str, *, ours: bool = False) -> str:
        payload = {"attributes": ownership.marks(name)} if ours else {}
        return str(self.iot.create_thing(thingName=name, attributePayload=payload)["thingArn"])

    def certificate(self, *things: str, policies: tuple[str, ...] = (), exclusive: bool = True) -> str:
        """The ARN of an active certificate that hangs on these things and policies."""
        made = self.iot.create_certificate_from_csr(certificateSigningRequest=signing_request(), setAsActive=True)
        arn = str(made["certificateArn"])
        kind = "EXCLUSIVE_THING" if exclusive and len(things) == 1 else "NON_EXCLUSIVE_THING"
        for name in things:
            self.iot.attach_thing_principal(thingName=name, principal=arn, thingPrincipalType=kind)
        for name in policies:
            self.iot.attach_policy(policyName=name, target=arn)
        return arn

    def policy(self, name: str, *, ours_for: str = "") -> str:
        tags = ownership.mark_tags(ours_for) if ours_for else []
        made = self.iot.create_policy(policyName=name, policyDocument=POLICY_DOCUMENT, tags=tags)
        return str(made["policyArn"])

    def role(self, name: str, *, ours_for: str = "", bucket: str = "*") -> str:
        tags = ownership.mark_tags(ours_for) if ours_for else []
        made = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust_document(), Tags=tags)
        document = role_document(bucket=bucket).replace("role/lamp-ota", f"role/{name}")
        self.iam.put_role_policy(RoleName=name, PolicyName="ota-tasks", PolicyDocument=document)
        return str(made["Role"]["Arn"])

    def bucket(self, name: str, *, ours_for: str = "", versioned: bool = True, holds: tuple[str, ...] = ()) -> None:
        self.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        if versioned:
            self.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        if ours_for:
            self.s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": ownership.mark_tags(ours_for)})
        for key in holds:
            self.s3.put_object(Bucket=name, Key=key, Body=b"image")

    def update(
        self, name: str, thing: str, *, role: str, bucket: str, key: str = "image.bin", ours: bool = False
    ) -> None:
        """An OTA update whose image is the newest version of the key in the bucket, where there is one."""
        version = self._version(bucket, key)
        location = {"bucket": bucket, "key": key, **({"version": version} if version else {})}
        signing = {
            "signature": {"inlineDocument": b"c2lnbmF0dXJl"},
            "certificateChain": {"certificateName": "0"},
            "hashAlgorithm": "SHA256",
            "signatureAlgorithm": "RSA",
        }
        self.iot.create_ota_update(
            otaUpdateId=name,
            targets=[f"arn:aws:iot:{REGION}:{ACCOUNT}:thing/{thing}"],
            protocols=["MQTT"],
            roleArn=f"arn:aws:iam::{ACCOUNT}:role/{role}",
            files=[
                {
                    "fileName": "non_secure image",
                    "fileLocation": {"s3Location": location},
                    "codeSigning": {"customCodeSigning": signing},
                }
            ],
            additionalParameters={**ownership.marks(thing), ROLE_NAME_KEY: role} if ours else {},
        )

    def _version(self, bucket: str, key: str) -> str | None:
        try:
            found: str | None = self.s3.head_object(Bucket=bucket, Key=key).get("VersionId")
        except ClientError:
            return None
        return found

    def whole(self, thing: str, *, ours: bool) -> None:
        """Thing, certificate, policy, bucket, role and update by the names that the settings' defaults give."""
        mark = thing if ours else ""
        self.thing(thing, ours=ours)
        self.policy(f"{thing}_policy", ours_for=mark)
        self.certificate(thing, policies=(f"{thing}_policy",))
        self.bucket(f"{thing}-ota-{ACCOUNT}", ours_for=mark, holds=("image.bin",))
        self.role(f"{thing}_role", ours_for=mark)
        self.update(f"{thing}_update", thing, role=f"{thing}_role", bucket=f"{thing}-ota-{ACCOUNT}", ours=ours)

    def as_arms_script(self, thing: str, bucket: str, role: str) -> Any:
        """What Arm's script makes for a thing, by the calls that it makes; what CreateKeysAndCertificate answered."""
        made = self.iot.create_keys_and_certificate(setAsActive=True)
        self.iot.create_thing(thingName=thing)
        self.iot.attach_thing_principal(thingName=thing, principal=made["certificateArn"])
        self.iot.create_policy(policyName=f"{thing}_policy", policyDocument=json.dumps(ARMS_POLICY))
        self.iot.attach_principal_policy(policyName=f"{thing}_policy", principal=made["certificateArn"])
        location = {"LocationConstraint": REGION}
        self.s3.create_bucket(Bucket=bucket, ACL="private", CreateBucketConfiguration=location)
        self.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        self.iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(ARMS_TRUST))
        for name in ARMS_MANAGED_POLICIES:
            self.iam.attach_role_policy(RoleName=role, PolicyArn=f"arn:aws:iam::aws:policy/service-role/{name}")
        pass_role = _allow(["iam:GetRole", "iam:PassRole"], f"arn:aws:iam::{ACCOUNT}:role/{role}")
        objects = _allow(["s3:GetObjectVersion", "s3:GetObject", "s3:PutObject"], [f"arn:aws:s3:::{bucket}/*"])
        for name, document in (("iam-permissions", pass_role), ("s3-permissions", objects)):
            self.iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))
        self.s3.put_object(Bucket=bucket, Key=ARMS_IMAGE, Body=b"image")
        self._arms_update(thing, bucket, role)
        return made

    def _arms_update(self, thing: str, bucket: str, role: str) -> None:
        signing = {
            "signature": {"inlineDocument": b"c2lnbmF0dXJl"},
            "certificateChain": {"certificateName": "0"},
            "hashAlgorithm": "SHA256",
            "signatureAlgorithm": "RSA",
        }
        location = {"s3Location": {"bucket": bucket, "key": ARMS_IMAGE}}
        file = {"fileName": "non_secure image", "fileLocation": location}
        self.iot.create_ota_update(
            otaUpdateId=f"{thing}_update",
            targets=[f"arn:aws:iot:{REGION}:{ACCOUNT}:thing/{thing}"],
            protocols=["MQTT"],
            targetSelection="SNAPSHOT",
            files=[{**file, "codeSigning": {"customCodeSigning": signing}}],
            roleArn=f"arn:aws:iam::{ACCOUNT}:role/{role}",
        )

    def names(self) -> dict[str, set[str]]:
        """Everything there is but the neighbours', as the services list it: plural of each noun to names or ids."""
        found = {
            "things": self._all("list_things", "things", "thingName"),
            "policies": self._all("list_policies", "policies", "policyName"),
            "certificates": self._all("list_certificates", "certificates", "certificateId"),
            "updates": self._all("list_ota_updates", "otaUpdates", "otaUpdateId"),
            "jobs": self._all("list_jobs", "jobs", "jobId"),
            "streams": self._all("list_streams", "streams", "streamId"),
            "buckets": {one["Name"] for one in self.s3.list_buckets()["Buckets"]},
            "roles": {
                one["RoleName"] for page in self.iam.get_paginator("list_roles").paginate() for one in page["Roles"]
            },
            "iam policies": {one["PolicyName"] for one in self.iam.list_policies(Scope="Local")["Policies"]},
        }
        known = names_of_neighbours(self.iot.meta.endpoint_url)
        return {plural: names - known.get(plural, set()) for plural, names in found.items()}

    def _all(self, operation: str, key: str, name: str) -> set[str]:
        pages = self.iot.get_paginator(operation).paginate(PaginationConfig={"PageSize": 250})
        return {one[name] for page in pages for one in page[key]}


# Endpoint of a sandbox to the names of what is always in it; see ``neighbours``.
NAMES_OF_NEIGHBOURS: dict[str, dict[str, set[str]]] = {}


def names_of_neighbours(endpoint_url: str) -> dict[str, set[str]]:
    """Plural of each noun to names or ids."""
    return NAMES_OF_NEIGHBOURS.get(endpoint_url, {})


def id_of(arn: str) -> str:
    return arn.rpartition("/")[2]


@cache
def signing_request() -> str:
    """One signing request for all: AWS makes another certificate of it each time."""
    return keys.signing_request(ec.generate_private_key(ec.SECP256R1()), "by hand")
