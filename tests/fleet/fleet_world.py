"""A project that registers devices, and what an account and a disk hold after it."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from ota.sandbox.process import Address
from tests.project import THING, Project, aws_project

GROUP = "lamps"
PUBLIC_FORM = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
ROLE = f"{THING}_registration_role"


@dataclass(frozen=True)
class Fleet:
    """The project, its account and its folder of devices."""

    project: Project
    clients: Callable[[str], Any]

    @property
    def folder_path(self) -> Path:
        return self.project.root_path / "certificates" / GROUP

    def key_path(self, name: str) -> Path:
        return self.folder_path / name / f"thing_private_key_{name}.pem.key"

    def certificate_path(self, name: str) -> Path:
        return self.folder_path / name / f"thing_certificate_{name}.pem.crt"

    def write(self, *rows: str, header: str = "thing_name", name: str = "devices.csv") -> Path:
        path = self.project.root_path / name
        path.write_text("\n".join([header, *rows, ""]))
        return path

    def names(self) -> list[str]:
        """The things that were registered for the project's own one."""
        pages = self.clients("iot").get_paginator("list_things")
        marked = {"attributeName": "managed-by", "attributeValue": f"ota-tasks/{THING}"}
        return sorted(one["thingName"] for page in pages.paginate(**marked) for one in page["things"])

    def state(self) -> dict[str, Any]:
        """All of it that cannot differ between two undisturbed runs."""
        iot = self.clients("iot")
        return {
            "devices": {name: self.device(name) for name in self.names()},
            "members": sorted(iot.list_things_in_thing_group(thingGroupName=GROUP)["things"]),
            "inputs": self.inputs(),
            "files": sorted(
                str(path.relative_to(self.folder_path))
                for path in self.folder_path.rglob("*")
                if path.is_file() and path != self.folder_path / ".gitignore"
            ),
            "failed": [path.read_text() for path in sorted(self.project.root_path.glob("*.failed*"))],
            "certificates": len(list(self._certificates())),
        }

    def device(self, name: str) -> dict[str, Any]:
        """One thing with its certificates, and how they fit the files."""
        iot = self.clients("iot")
        principals = iot.list_thing_principals(thingName=name)["principals"]
        return {
            "attributes": iot.describe_thing(thingName=name)["attributes"],
            "certificates": [self._certificate(name, arn) for arn in principals],
            "key mode": stat.S_IMODE(self.key_path(name).stat().st_mode) if self.key_path(name).exists() else None,
        }

    def inputs(self) -> list[str]:
        """What is left in the bucket, delete markers included."""
        s3 = self.clients("s3")
        bucket = f"{THING}-ota-123456789012"
        if bucket not in {one["Name"] for one in s3.list_buckets()["Buckets"]}:
            return []
        found = s3.list_object_versions(Bucket=bucket)
        return [one["Key"] for one in (*found.get("Versions", []), *found.get("DeleteMarkers", []))]

    def _certificate(self, name: str, arn: str) -> dict[str, Any]:
        iot = self.clients("iot")
        found = iot.describe_certificate(certificateId=arn.rpartition("/")[2])["certificateDescription"]
        return {
            "status": found["status"],
            "is the file": self.certificate_path(name).read_text() == found["certificatePem"],
            "has the key": not self.key_path(name).exists() or self._fits(name, found["certificatePem"]),
            "policies": [one["policyName"] for one in iot.list_attached_policies(target=arn)["policies"]],
        }

    def _fits(self, name: str, pem: str) -> bool:
        key = load_pem_private_key(self.key_path(name).read_bytes(), None).public_key()
        own = x509.load_pem_x509_certificate(pem.encode()).public_key()
        return key.public_bytes(*PUBLIC_FORM) == own.public_bytes(*PUBLIC_FORM)

    def _certificates(self) -> Iterable[Any]:
        for page in self.clients("iot").get_paginator("list_certificates").paginate():
            yield from page["certificates"]


def open_fleet(root_path: Path, address: Address, clients: Callable[[str], Any], **settings: str) -> Fleet:
    """A project with a thing group, and EC keys, which are made in no time."""
    wanted = {"thing_group_name": GROUP, "device_key_type": "EC-P256", **settings}
    return Fleet(aws_project(root_path, address, has_firmware=False, **wanted), clients)


def rows(count: int, first: int = 1) -> list[str]:
    """``lamp-1`` and on."""
    return [f"{THING}-{number}" for number in range(first, first + count)]
