"""What an account has by the names of the test project, asked of AWS itself and not of the tool."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from tests.conftest import ACCOUNT, REGION, client
from tests.hand_made import Hands, names_of_neighbours
from tests.project import THING

POLICY = f"{THING}_policy"
BUCKET = f"{THING}-ota-{ACCOUNT}"
ROLE = f"{THING}_role"
UPDATE = f"{THING}_update"
JOB = f"AFR_OTA-{UPDATE}"
THING_ARN = f"arn:aws:iot:{REGION}:{ACCOUNT}:thing/{THING}"
MARKS = {"managed-by": "ota-tasks", "ota-thing": THING}
GONE_CODES = {"ResourceNotFoundException", "NoSuchEntity", "NoSuchBucket", "404"}


@dataclass(frozen=True)
class Account:
    """Clients of the account behind one address."""

    iot: Any
    s3: Any
    iam: Any
    jobs_data: Any

    def _neighbours(self, plural: str) -> set[str]:
        return names_of_neighbours(self.iot.meta.endpoint_url).get(plural, set())

    def principals(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = self.iot.list_thing_principals_v2(thingName=THING)["thingPrincipalObjects"]
        return found

    def certificates(self) -> list[dict[str, Any]]:
        """All but the neighbours'."""
        listed = [one["certificateId"] for one in self.iot.list_certificates()["certificates"]]
        return [self.certificate(one) for one in listed if one not in self._neighbours("certificates")]

    def certificate(self, certificate_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
        return found

    def names(self) -> dict[str, set[str]]:
        """All but the neighbours': plural of each noun to names or ids."""
        return Hands(self.iot, self.s3, self.iam).names()

    def update(self) -> dict[str, Any]:
        found: dict[str, Any] = self.iot.get_ota_update(otaUpdateId=UPDATE)["otaUpdateInfo"]
        return found

    def image(self) -> dict[str, Any]:
        location = self.update()["otaUpdateFiles"][0]["fileLocation"]["s3Location"]
        where = {"Bucket": location["bucket"], "Key": location["key"], "VersionId": location["version"]}
        found: dict[str, Any] = self.s3.get_object(**where, ChecksumMode="ENABLED")
        return found

    def versions(self) -> list[dict[str, Any]]:
        """Every version of every object in the bucket."""
        return self.versions_in(BUCKET)

    def versions_in(self, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.s3.list_object_versions(Bucket=name).get("Versions", [])
        return found

    def bucket_tags(self, name: str = BUCKET) -> dict[str, str]:
        return {tag["Key"]: tag["Value"] for tag in self.s3.get_bucket_tagging(Bucket=name)["TagSet"]}

    def there(self) -> set[str]:
        """Which kinds of object are there, certificates of any thing among them."""
        looks: dict[str, Callable[[], Any]] = {
            "thing": lambda: self.iot.describe_thing(thingName=THING),
            "policy": lambda: self.iot.get_policy(policyName=POLICY),
            "bucket": lambda: self.s3.head_bucket(Bucket=BUCKET),
            "role": lambda: self.iam.get_role(RoleName=ROLE),
            "update": self.update,
            "job": lambda: self.iot.describe_job(jobId=JOB),
        }
        found = {noun for noun, look in looks.items() if _is_there(look)}
        found |= {"certificate"} if self.certificates() else set()
        streams = {one["streamId"] for one in self.iot.list_streams()["streams"]}
        return found | ({"stream"} if streams - self._neighbours("streams") else set())

    def updates(self) -> list[str]:
        """Names of all updates but the neighbours', newest first or not."""
        names = [one["otaUpdateId"] for one in self.iot.list_ota_updates(maxResults=250)["otaUpdates"]]
        return [name for name in names if name not in self._neighbours("updates")]

    def make_foreign_update(self, update_id: str = UPDATE, *, thing: str = THING) -> None:
        """An update that somebody made by hand; AWS cannot make it, for its image is in no bucket."""
        signing = {
            "signature": {"inlineDocument": b"c2ln"},
            "certificateChain": {"certificateName": "0"},
            "hashAlgorithm": "SHA256",
            "signatureAlgorithm": "RSA",
        }
        location = {"s3Location": {"bucket": "no-such-bucket", "key": "image"}}
        file = {"fileName": "image", "fileLocation": location, "codeSigning": {"customCodeSigning": signing}}
        target = THING_ARN.replace(f"thing/{THING}", f"thing/{thing}")
        role_arn = f"arn:aws:iam::{ACCOUNT}:role/{ROLE}"
        self.iot.create_ota_update(otaUpdateId=update_id, targets=[target], roleArn=role_arn, files=[file])

    def start_device(self) -> dict[str, Any]:
        """The device takes its next job, as the firmware does."""
        started: dict[str, Any] = self.jobs_data.start_next_pending_job_execution(thingName=THING)["execution"]
        return started


EVERYTHING = {"thing", "policy", "bucket", "role", "update", "job", "certificate", "stream"}


@functools.lru_cache(maxsize=4)
def account_at(address: Any, **options: Any) -> Account:
    """The account behind an address; always the same one, for making clients takes longer than most tests."""
    return Account(*(client(service, address, **options) for service in ("iot", "s3", "iam", "iot-jobs-data")))


def _is_there(look: Callable[[], Any]) -> bool:
    try:
        look()
    except ClientError as error:
        if error.response["Error"]["Code"] in GONE_CODES:
            return False
        raise
    return True
