"""A rollout in small: many things with certificates of their own, and one update for all of them; in the sandbox.

They are made as ``thing`` and ``policy`` make theirs, so that what is rehearsed is what will happen. All share the
policy of the settings' thing, which names no thing, and the image of its update. The update's target is a thing group,
as a rollout's would be. Each rehearsal begins with a new update, so that it can be repeated.

Source: AWS IoT CreateThingGroup, AddThingToThingGroup; AWS IoT quotas (100 targets of a job, so a group).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ota import certificates, ownership, policies, things, updates, wanted
from ota.cloud import side_by_side_map
from ota.outcomes import Outcome, Verb
from ota.update_requests import UpdateRequest

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

    from ota.cloud import Cloud
    from ota.report import Report
    from ota.settings import Settings
    from ota.update_requests import Update
    from ota.update_waits import Patience

SUFFIX = "-rehearsal"
UPDATE_NAME_CHARS = 55


def prepare(
    cloud: Cloud,
    settings: Settings,
    report: Report,
    update: Update,
    thing_names: Sequence[str],
    patience: Patience,
) -> None:
    """Make things, certificates and an update for them.

    Args:
        cloud: the sandbox.
        settings: those of the thing that ``update`` is for.
        report: where lines go.
        update: brings the image that is to be rolled out.
        thing_names: the things; what there is of them is used again.
        patience: the bounds of waiting for the update.
    """
    list(side_by_side_map(partial(_ensure_device, cloud, settings), thing_names))
    report.outcome(Outcome("things", Verb.CREATED, thing_names[0], f"to {thing_names[-1]}, with their certificates"))
    name = f"{settings.thing_name}{SUFFIX}"
    group_arn = _ensure_group(cloud.iot, name, thing_names)
    update_id = f"{settings.update_name[: UPDATE_NAME_CHARS - len(SUFFIX)]}{SUFFIX}"
    updates.delete_update(cloud.iot, update_id, thing_name=settings.thing_name, force=True, patience=patience)
    request = UpdateRequest(
        update_id=update_id,
        thing_name=settings.thing_name,
        thing_arn=group_arn,
        role_arn=wanted.role_arn(cloud, settings),
        bucket=update.bucket,
        key=update.key,
        version_id=update.version_id,
        image_sha256=update.image_sha256,
        file_name=update.file_name,
        signature=update.signature,
        hash_algorithm=update.hash_algorithm,
        signature_algorithm=update.signature_algorithm,
        certificate_name=update.certificate_name,
    )
    report.outcome(updates.ensure_update(cloud.iot, request, existing=None, patience=patience))


def _ensure_device(cloud: Cloud, settings: Settings, thing_name: str) -> None:
    """One more thing, with key, certificate and the shared policy."""
    iot, files = cloud.iot, wanted.certificate_files(settings.with_values({"thing_name": thing_name}))
    found = things.find_thing(iot, thing_name)
    certificate = certificates.ensure_certificate(
        iot,
        files,
        found=certificates.find_local_certificate(iot, files),
        attached=found.principals if found else (),
        thing_name=thing_name,
    )
    things.ensure_attached(iot, things.ensure_thing(iot, thing_name, found), certificate.get().arn)
    policies.ensure_policy(
        iot,
        settings.policy_name,
        wanted.policy_document(cloud),
        certificate_arn=certificate.get().arn,
        thing_name=settings.thing_name,
        is_new_certificate=certificate.verb is Verb.CREATED,
    )


def _ensure_group(iot: IoTClient, name: str, thing_names: Sequence[str]) -> str:
    """A group of exactly these things; its ARN."""
    try:
        arn = iot.describe_thing_group(thingGroupName=name)["thingGroupArn"]
    except iot.exceptions.ResourceNotFoundException:
        tags: Any = ownership.mark_tags(name)
        arn = iot.create_thing_group(thingGroupName=name, tags=tags)["thingGroupArn"]
    pages = iot.get_paginator("list_things_in_thing_group").paginate(thingGroupName=name)
    members = {thing for page in pages for thing in page["things"]}
    for thing_name in sorted(set(thing_names) - members):
        iot.add_thing_to_thing_group(thingGroupName=name, thingName=thing_name)
    for thing_name in sorted(members - set(thing_names)):
        iot.remove_thing_from_thing_group(thingGroupName=name, thingName=thing_name)
    return arn
