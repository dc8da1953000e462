"""What the tests of faults share: calls by number, all that an account holds, how to kill the tool, fixtures.

A call is named by its operation and by how many of that operation came before it in one run, so that every case meets
the same call however the parallel ones fall. ``Inventory.state`` is put together from what cannot differ between two
undisturbed runs, so that states are compared whole; ``Inventory.names`` lists everything, whoever made it.
"""

from __future__ import annotations

import json
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from ota.sandbox.process import Address
from tests.hand_made import Hands, names_of_neighbours
from tests.neighbours import Neighbours
from tests.project import Project, Result, aws_project, built_tree
from tests.sandbox_control import Control


class Call(NamedTuple):
    """The nth call of an operation in one run, counted from 1."""

    operation: str
    nth: int

    def __str__(self) -> str:
        return self.operation if self.nth == 1 else f"{self.operation}-{self.nth}"


def numbered(operations: str) -> tuple[Call, ...]:
    """Operations, with blanks between them and in any order, as calls."""
    seen: Counter[str] = Counter()
    calls = []
    for operation in operations.split():
        seen[operation] += 1
        calls.append(Call(operation, seen[operation]))
    return tuple(calls)


LOOKS = 3000
LOOK_S = 0.02
NOTHING: dict[str, list[str]] = {
    kind: []
    for kind in ("certificates", "things", "policies", "buckets", "roles", "updates", "jobs", "streams", "iam policies")
}


@dataclass(frozen=True)
class Inventory:
    """The account behind the sandbox, seen through clients of the test's own."""

    clients: Callable[[str], Any]

    def names(self) -> dict[str, list[str]]:
        """The name of everything in the account but the neighbours', by kind."""
        found = Hands(*(self.clients(service) for service in ("iot", "s3", "iam"))).names()
        return {kind: sorted(found[kind]) for kind in NOTHING}

    def certificates(self) -> list[tuple[str, bool]]:
        """Of every certificate, its status and whether it is attached to a thing."""
        iot = self.clients("iot")
        found = []
        for name in self.names()["certificates"]:
            one = iot.describe_certificate(certificateId=name)["certificateDescription"]
            things = iot.list_principal_things_v2(principal=one["certificateArn"])["principalThingObjects"]
            found.append((one["status"], bool(things)))
        return found

    def state(self, project: Project) -> dict[str, Any]:
        """Everything in the account and the files that belong to it, without what AWS or chance chooses."""
        held = self.names()
        return {
            "certificates": [self._certificate(one, project) for one in held["certificates"]],
            "things": {name: self._thing(name) for name in held["things"]},
            "policies": {name: self._policy(name) for name in held["policies"]},
            "buckets": {name: self._bucket(name) for name in held["buckets"]},
            "roles": {name: self._role(name) for name in held["roles"]},
            "updates": {name: self._update(name) for name in held["updates"]},
            "jobs": {job_id: self._job(job_id) for job_id in held["jobs"]},
            "streams": [self._stream(stream_id) for stream_id in held["streams"]],
            "iam policies": held["iam policies"],
            "header": project.header_path.read_text(),
            "key mode": stat.S_IMODE(project.key_path.stat().st_mode) if project.key_path.exists() else None,
        }

    def has_lost_key(self, project: Project) -> bool:
        """Whether a certificate is in the account whose private key is not the one on disk."""
        iot = self.clients("iot")
        names = {one["certificateId"] for one in iot.list_certificates(pageSize=250)["certificates"]}
        ours = names - names_of_neighbours(iot.meta.endpoint_url)["certificates"]
        held = [iot.describe_certificate(certificateId=name) for name in ours]
        pems = [one["certificateDescription"]["certificatePem"] for one in held]
        return bool(pems) and (
            not project.key_path.exists() or {_public_key(pem) for pem in pems} != {_public_key_on_disk(project)}
        )

    def _certificate(self, certificate_id: str, project: Project) -> dict[str, Any]:
        iot = self.clients("iot")
        found = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
        arn = found["certificateArn"]
        return {
            "status": found["status"],
            "has the key on disk": _public_key(found["certificatePem"]) == _public_key_on_disk(project),
            "is the file on disk": found["certificatePem"] == project.certificate_path.read_text(),
            "things": [
                (one["thingName"], one["thingPrincipalType"])
                for one in iot.list_principal_things_v2(principal=arn)["principalThingObjects"]
            ],
            "policies": [one["policyName"] for one in iot.list_attached_policies(target=arn)["policies"]],
        }

    def _thing(self, name: str) -> dict[str, Any]:
        found = self.clients("iot").describe_thing(thingName=name)
        return {"attributes": found["attributes"]}

    def _policy(self, name: str) -> dict[str, Any]:
        iot = self.clients("iot")
        found = iot.get_policy(policyName=name)
        return {
            "document": found["policyDocument"],
            "versions": len(iot.list_policy_versions(policyName=name)["policyVersions"]),
            "targets": len(iot.list_targets_for_policy(policyName=name)["targets"]),
            "tags": _tags(iot.list_tags_for_resource(resourceArn=found["policyArn"])["tags"]),
        }

    def _bucket(self, name: str) -> dict[str, Any]:
        s3 = self.clients("s3")
        found = s3.list_object_versions(Bucket=name)
        return {
            "versioning": s3.get_bucket_versioning(Bucket=name).get("Status"),
            "public access": s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"],
            "policy": json.loads(s3.get_bucket_policy(Bucket=name)["Policy"]),
            "tags": _tags(s3.get_bucket_tagging(Bucket=name)["TagSet"]),
            "versions": [(one["Key"], one["Size"]) for one in found.get("Versions", [])],
            "delete markers": len(found.get("DeleteMarkers", [])),
            "uploads": len(s3.list_multipart_uploads(Bucket=name).get("Uploads", [])),
        }

    def _role(self, name: str) -> dict[str, Any]:
        iam = self.clients("iam")
        found = iam.get_role(RoleName=name)["Role"]
        return {
            "trust": found["AssumeRolePolicyDocument"],
            "tags": _tags(found["Tags"]),
            "inline": {
                one: iam.get_role_policy(RoleName=name, PolicyName=one)["PolicyDocument"]
                for one in iam.list_role_policies(RoleName=name)["PolicyNames"]
            },
            "attached": iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"],
        }

    def _update(self, name: str) -> dict[str, Any]:
        info = self.clients("iot").get_ota_update(otaUpdateId=name)["otaUpdateInfo"]
        file = info["otaUpdateFiles"][0]
        return {
            "status": info["otaUpdateStatus"],
            "targets": info["targets"],
            "job": info["awsIotJobId"],
            "marks": info["additionalParameters"],
            "signature": file["codeSigning"]["customCodeSigning"]["signature"]["inlineDocument"],
            "key": file["fileLocation"]["s3Location"]["key"],
        }

    def _job(self, job_id: str) -> dict[str, Any]:
        job = self.clients("iot").describe_job(jobId=job_id)["job"]
        return {"status": job["status"], "targets": job["targets"]}

    def _stream(self, stream_id: str) -> dict[str, Any]:
        info = self.clients("iot").describe_stream(streamId=stream_id)["streamInfo"]
        return {"keys": [one["s3Location"]["key"] for one in info["files"]], "role": info["roleArn"]}


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A firmware tree with its signed image."""
    return built_tree(tmp_path_factory.getbasetemp())


@pytest.fixture
def project(control: Control, built: Path, tmp_path: Path) -> Project:
    """A project with its image, and an account with nothing in it."""
    made = aws_project(tmp_path / "project", control.address)
    made.put_image(built)
    return made


@pytest.fixture
def inventory(kept_clients: Callable[[str], Any]) -> Inventory:
    """The project's account."""
    return Inventory(kept_clients)


@pytest.fixture(scope="session")
def undisturbed(
    sandbox: Address,
    neighbours: Neighbours,
    built: Path,
    tmp_path_factory: pytest.TempPathFactory,
    kept_clients: Callable[[str], Any],
) -> dict[str, Any]:
    """The state after one ``all`` in which nothing went wrong."""
    neighbours.move_in()
    project = aws_project(tmp_path_factory.mktemp("undisturbed"), sandbox)
    project.put_image(built)
    project.run_here("all").done()
    return Inventory(kept_clients).state(project)


def cases(calls: Iterable[Call], sample: Iterable[str] = ()) -> list[Any]:
    """Every call as a case; those that are not in the sample only in a long run."""
    return [pytest.param(one, id=str(one), marks=() if str(one) in sample else pytest.mark.long) for one in calls]


def kill_after(control: Control, project: Project, call: Call, *arguments: str) -> None:
    """Begin the command line, let AWS do ``call``, and kill the process before it has the answer."""
    rule = control.hold(call.operation, nth=call.nth)
    with project.start(*arguments) as process:
        was_held = control.wait_until_held(rule, timeout_s=LOOKS * LOOK_S, poll_s=LOOK_S)
        assert was_held, f"{call} was never made"
        assert process.poll() is None, f"the run ended at {call}"
    control.release()
    control.clear_faults()


def kill_before(control: Control, project: Project, call: Call, *arguments: str) -> None:
    """Begin the command line and kill the process when it has asked for ``call``, which AWS never does."""
    rule = control.drop(call.operation, nth=call.nth, times=0)
    with project.start(*arguments) as process:
        assert _is_met_in_time(control, rule, call.nth), f"{call} was never made"
        assert process.poll() is None, f"the run ended at {call}"
    control.clear_faults()


def assert_one_sentence(result: Result, *words: str) -> None:
    """A failure that a user can read: exit status 1 and one line on stderr with these words, after the account's."""
    result.failed(*words)
    said = [line for line in result.err.splitlines() if not line.startswith("AWS account ")]
    assert len(said) == 1, result.err


def _is_met_in_time(control: Control, rule: int, nth: int) -> bool:
    for _ in range(LOOKS):
        if any(found["id"] == rule and found["seen"] >= nth for found in control.rules()):
            return True
        time.sleep(LOOK_S)
    return False


def _tags(tags: Iterable[dict[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}


def _public_key(certificate_pem: str) -> bytes:
    key = load_pem_x509_certificate(certificate_pem.encode()).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _public_key_on_disk(project: Project) -> bytes:
    key = load_pem_private_key(project.key_path.read_bytes(), password=None).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
