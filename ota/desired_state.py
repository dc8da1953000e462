"""What the settings ask for: the documents and requests for AWS, and the request for the build script.

All of it is pure. ``plan`` compares with it and ``all`` makes it.

Source: ``policy_documents.py``, ``roles/permissions.py`` and ``updates/requests.py``, which build the documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ota import images
from ota.buckets.buckets import WantedBucket
from ota.certificates.files import CertificateFiles
from ota.firmware import builds
from ota.firmware.tree import find_header_path
from ota.policies import WantedPolicy
from ota.policy_documents import device_policy_document
from ota.roles import permissions as role_policies
from ota.roles.roles import WantedRole
from ota.settings.names import tidy_bucket_name
from ota.settings.readers import CleanBuild, Target
from ota.settings.table import default_text
from ota.updates.requests import UpdateRequest
from ota.updates.rollout_rules import RolloutRules

if TYPE_CHECKING:
    from ota.settings.settings import Settings


REGISTRATION_FOLDER = "registration"
WITHOUT_GROUP = "without.group"  # no thing group can have this name


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


def wanted_policy(place: Place, settings: Settings) -> WantedPolicy:
    """The device's policy."""
    return WantedPolicy(device_policy_document(place.partition, place.region, place.account_id), settings.thing_name)


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


def wanted_registration_role(place: Place, settings: Settings, boundary_arn: str | None) -> WantedRole:
    """The role that registers devices; ``boundary_arn`` is its permissions boundary."""
    return WantedRole(
        settings.registration_role_name,
        role_policies.role_trust_document(place.account_id, place.region, place.partition),
        registration_permissions(place, settings),
        settings.thing_name,
        boundary_arn,
        purpose="bulk registration",
        setting="registration_role_name",
        task="register",
        description="Assumed by AWS IoT to register devices; made by ota-tasks",
    )


def registration_permissions(place: Place, settings: Settings) -> Mapping[str, Any]:
    """What the role that registers devices may do."""
    return role_policies.registration_permissions_document(
        f"arn:{place.partition}:iot:{place.region}",
        place.account_id,
        input_arn=f"arn:{place.partition}:s3:::{settings.bucket_name}/{registration_prefix(settings.thing_name)}*",
        policy_name=settings.policy_name,
        group_name=settings.thing_group_name,
    )


def registration_prefix(thing_name: str) -> str:
    """The beginning of the keys of all inputs of registrations.

    It is in the folder of the thing's images, unless the name has a colon, which AWS does not take in an input's key.
    """
    return f"{images.image_prefix(thing_name.replace(':', '.'))}{REGISTRATION_FOLDER}/"


def role_documents(place: Place, settings: Settings) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Who may assume the role, and what it may do."""
    trust = role_policies.role_trust_document(place.account_id, place.region, place.partition)
    permissions = role_policies.role_permissions_document(
        place.partition, place.region, place.account_id, settings.bucket_name, role_arn(place, settings)
    )
    return trust, permissions


def target_arns(place: Place, settings: Settings) -> tuple[str, ...]:
    """The ARNs of who gets the update: ``update_targets``, else the thing group, else the thing."""
    group, thing = settings.thing_group_name, settings.thing_name
    targets = settings.update_targets or (Target(group, is_group=True) if group else Target(thing),)
    return tuple(
        dict.fromkeys(iot_arn(place, f"{'thinggroup' if one.is_group else 'thing'}/{one.name}") for one in targets)
    )


def rollout_rules(settings: Settings) -> RolloutRules:
    """How the update is rolled out."""
    return RolloutRules(
        selection=settings.target_selection,
        per_minute=settings.rollout_per_minute,
        start_per_minute=settings.rollout_start_per_minute,
        factor=settings.rollout_factor,
        after_notified=settings.rollout_after_notified,
        after_succeeded=settings.rollout_after_succeeded,
        aborts=settings.abort_when,
        in_progress_timeout_min=settings.in_progress_timeout_minutes,
    )


def update_request(
    place: Place, settings: Settings, image: builds.Image, signature: str, role_arn: str
) -> UpdateRequest:
    """The update that brings this image to its targets; the image's version is known once it is uploaded."""
    return UpdateRequest(
        update_id=settings.update_name,
        thing_name=settings.thing_name,
        targets=target_arns(place, settings),
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
        rules=rollout_rules(settings),
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
        target_application=settings.require_application() if settings.needs_application else "",
        header_format=settings.header_format,
        certificate_path=settings.certificate_path,
        private_key_path=settings.private_key_path,
        target_platform=settings.target_platform,
        inference=settings.inference,
        audio=settings.audio,
        toolchain=settings.toolchain,
        clean=is_clean_build(settings.clean_build, stale),
        image_path=settings.image_path,
        signature_path=settings.signature_path,
        own_command=settings.build_command,
        clean_command=settings.clean_command if settings.has_own_build else (),
        header_path=settings.header_path,
        has_certificate=settings.has_certificate_in_image,
    )


def find_stale(settings: Settings) -> str | None:
    """Why an incremental build could leave an old image; None when it could not. Reads files' times.

    Raises:
        SettingsError: target_application is not set.
    """
    if settings.needs_application:
        settings.require_application()
    certificate_path = settings.certificate_path if settings.has_certificate_in_image else None
    return builds.needs_clean(find_header_path(settings), certificate_path, settings.image_path)


def is_clean_build(choice: CleanBuild, stale: str | None) -> bool:
    """Whether the build begins from clean."""
    return stale is not None if choice is CleanBuild.AUTO else choice is CleanBuild.ALWAYS


def fleet_path(settings: Settings) -> Path:
    """The folder of the registered devices: ``certificates/<group>``, with a folder for each device in it."""
    return settings.credentials_path / (settings.thing_group_name or WITHOUT_GROUP)


def registered_files(settings: Settings, thing_name: str) -> CertificateFiles:
    """The paths of a registered device's key and certificate files: ``certificates/<group>/<thing>/…``."""
    folder_path = fleet_path(settings) / thing_name
    return CertificateFiles(
        folder_path / f"thing_private_key_{thing_name}.pem.key",
        folder_path / f"thing_public_key_{thing_name}.pem.key",
        folder_path / f"thing_certificate_{thing_name}.pem.crt",
    )


def certificate_files(settings: Settings) -> CertificateFiles:
    """The paths of the device's key and certificate files."""
    return CertificateFiles(settings.private_key_path, settings.public_key_path, settings.certificate_path)
