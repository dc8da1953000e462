"""What the settings ask for, as the documents and requests that AWS and the build script are given; all of it pure.

``all`` makes it so and ``plan`` compares with it. Both take it from here, so that they cannot come to differ.

Source: ``ota/policy_documents.py``, ``ota/role_policies.py``, ``ota/update_requests.py``, which build the documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ota import images, role_policies
from ota.buckets import WantedBucket
from ota.certificate_files import CertificateFiles
from ota.firmware import builds
from ota.firmware.tree import header_path
from ota.policy_documents import device_policy_document
from ota.roles import WantedRole
from ota.settings.names import tidy_bucket_name
from ota.settings.readers import CleanBuild
from ota.settings.table import default_text
from ota.update_requests import UpdateRequest

if TYPE_CHECKING:
    from ota.settings.settings import Settings


class Place(Protocol):
    """Where ARNs begin: partition, region and account. A cloud is one."""

    @property
    def partition(self) -> str:
        """``aws``, ``aws-cn`` or ``aws-us-gov``."""

    @property
    def account_id(self) -> str:
        """Twelve digits."""

    @property
    def region(self) -> str:
        """For example ``eu-west-1``."""


def iot_arn(place: Place, resource: str) -> str:
    """The ARN of an IoT object: ``thing/lamp``, ``cert/<id>``, ``policy/lamp_policy``."""
    return f"arn:{place.partition}:iot:{place.region}:{place.account_id}:{resource}"


def policy_document(place: Place) -> dict[str, Any]:
    """The device's policy."""
    return device_policy_document(place.partition, place.region, place.account_id)


def wanted_bucket(place: Place, settings: Settings) -> WantedBucket:
    """The bucket for the images."""
    name = settings.bucket_name
    return WantedBucket(
        name,
        place.account_id,
        settings.thing_name,
        default_name=default_bucket_name(place, settings),
        other_name=tidy_bucket_name(f"{name}-2"),
    )


def default_bucket_name(place: Place, settings: Settings) -> str:
    """The name that the thing's bucket has where the settings give none."""
    return default_text("bucket_name", {"thing_name": settings.thing_name, "account_id": place.account_id})


def role_arn(place: Place, settings: Settings) -> str:
    """The ARN that the role has or will have."""
    return role_policies.role_arn(place.partition, place.account_id, settings.iam_role_name)


def wanted_role(place: Place, settings: Settings, boundary_arn: str | None) -> WantedRole:
    """The role; ``boundary_arn`` is its permissions boundary."""
    trust, permissions = role_documents(place, settings)
    return WantedRole(settings.iam_role_name, trust, permissions, settings.thing_name, boundary_arn)


def role_documents(place: Place, settings: Settings) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Who may assume the role, and what it may do."""
    trust = role_policies.role_trust_document(place.account_id, place.region, place.partition)
    permissions = role_policies.role_permissions_document(
        place.partition, place.region, place.account_id, settings.bucket_name, role_arn(place, settings)
    )
    return trust, permissions


def update_request(
    settings: Settings, image: builds.Image, signature: str, *, thing_arn: str, role_arn: str
) -> UpdateRequest:
    """The update that brings this image to this thing; its version is known once it is uploaded."""
    return UpdateRequest(
        update_id=settings.update_name,
        thing_name=settings.thing_name,
        thing_arn=thing_arn,
        role_arn=role_arn,
        bucket=settings.bucket_name,
        key=image_key(settings, image),
        image_sha256=image.sha256,
        file_name=settings.image_file_name,
        signature=signature,
        hash_algorithm=settings.hash_algorithm,
        signature_algorithm=settings.signature_algorithm,
        certificate_name=settings.certificate_file_on_device,
        protocols=settings.protocols,
    )


def wanted_image(place: Place, settings: Settings, image: builds.Image) -> images.WantedImage:
    """The image as an object in the bucket."""
    return images.WantedImage(settings.bucket_name, image_key(settings, image), place.account_id, image.file)


def image_key(settings: Settings, image: builds.Image) -> str:
    """The image's key in the bucket."""
    return images.image_key(settings.thing_name, image.sha256, image.path.name)


def build_request(settings: Settings, stale: str | None) -> builds.BuildRequest:
    """One run of the build script; ``stale`` is why an incremental build would not do.

    Raises:
        SettingsError: target_application is not set.
    """
    return builds.BuildRequest(
        firmware_root=settings.firmware_root,
        build_script_path=settings.build_script_path,
        target_application=settings.require_application(),
        certificate_path=settings.certificate_path,
        private_key_path=settings.private_key_path,
        target_platform=settings.target_platform,
        inference=settings.inference,
        audio=settings.audio,
        toolchain=settings.toolchain,
        clean=is_clean_build(settings.clean_build, stale),
        image_path=settings.image_path,
        signature_path=settings.signature_path,
    )


def find_stale(settings: Settings) -> str | None:
    """Why an incremental build could leave an old image; None when it could not. Reads files' times.

    Raises:
        SettingsError: target_application is not set.
    """
    header = header_path(settings.firmware_root, settings.require_application())
    return builds.needs_clean(header, settings.certificate_path, settings.image_path)


def is_clean_build(choice: CleanBuild, stale: str | None) -> bool:
    """Whether the build begins from clean."""
    return stale is not None if choice is CleanBuild.AUTO else choice is CleanBuild.ALWAYS


def certificate_files(settings: Settings) -> CertificateFiles:
    """Where the device's identity is on this machine."""
    return CertificateFiles(settings.private_key_path, settings.public_key_path, settings.certificate_path)
