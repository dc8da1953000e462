"""Rehearse a rollout in the sandbox: many things with certificates of their own, and one update for all of them.

The things and their certificates are made as ``thing`` and ``policy`` make theirs, so a rehearsal shows what a rollout
will do. All share the policy of the settings' thing, which names no thing, and the image of its update. The update's
target is a thing group, as in a real rollout. Each rehearsal makes a new update, so it can be repeated.

What a rehearsal makes stays until ``clean``, so that it can be looked at, and so that a second rehearsal need not make
the keys again. The group is made first and deleted last, and records the largest number of things of any rehearsal.
So ``clean`` finds everything, also after a rehearsal that was interrupted.

Source: AWS IoT CreateThingGroup, UpdateThingGroup, AddThingToThingGroup, DeleteThingGroup; AWS IoT quotas (100 targets
of a job, so a group).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ota import certificates, desired_state, ownership, policies, things, updates
from ota.certificate_decisions import decide_certificate, make_certificate
from ota.certificate_files import delete_local
from ota.errors import NotOurs
from ota.jobs import Patience, find_job, job_id_of
from ota.messages import Text, message
from ota.outcomes import Action, Change, Outcome, Verb
from ota.settings.names import UPDATE_NAME_CHARS
from ota.teardown.identity import Chain, Identity
from ota.threads import side_by_side, side_by_side_map
from ota.update_requests import UpdateRequest

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

    from ota.cloud import Cloud
    from ota.report import Report
    from ota.settings.settings import Settings
    from ota.update_requests import Update

LONGEST_GROUP_NAME = 128
SUFFIX = "-rehearsal"
COUNT_KEY = "ota-count"


@dataclass(frozen=True)
class Group:
    """The thing group of the rehearsals; ``count`` is the largest number of things that one had, from THING-1 on."""

    name: str
    arn: str
    count: int


def thing_names(thing_name: str, count: int) -> list[str]:
    """The names of a rehearsal's things: ``lamp-1``, ``lamp-2`` and so on."""
    return [f"{thing_name}-{number}" for number in range(1, count + 1)]


def prepare(
    cloud: Cloud, settings: Settings, report: Report, update: Update, names: Sequence[str], patience: Patience
) -> None:
    """Make things, certificates and an update for them.

    Args:
        cloud: the sandbox.
        settings: the settings of the thing that ``update`` is for.
        report: prints the lines.
        update: the update whose image is rolled out.
        names: the things, from :func:`thing_names`; those that exist are reused.
        patience: the limits of waiting for the update.
    """
    group = _ensure_group(cloud.iot, settings.thing_name, len(names))
    made = list(side_by_side_map(partial(_ensure_device, cloud, settings), names))
    verb = Verb.CREATED if any(made) else Verb.REUSED
    report.outcome(Outcome("things", verb, names[0], f"to {names[-1]}, with their certificates"))
    _fill_group(cloud.iot, group.name, names)
    request = _request(settings, update, group, desired_state.role_arn(cloud, settings))
    _delete_update(cloud.iot, settings, patience)
    change = updates.decide_update(cloud.iot, updates.FoundUpdate(), request)
    report.outcome(updates.make_update(cloud.iot, change, patience=patience))


def decide_things_deletion(group: Group, thing_name: str) -> Change:
    """What becomes of the things of rehearsals."""
    names = thing_names(thing_name, group.count)
    return Change("things", Action.DELETE, names[0], f"to {names[-1]}, with their certificates and files", found=group)


def take_down(cloud: Cloud, settings: Settings, show: Callable[[Outcome[Any]], None]) -> list[Text]:
    """Delete what rehearsals for the settings' thing made, the certificates' files too; one call where there was none.

    ``show`` gets the lines; returns why something remains.

    Raises:
        UpdateFailed: AWS could not delete the rehearsal's update.
        WaitTimeout: it took longer than the bounds.
    """
    group = find_group(cloud.iot, settings.thing_name)
    if group is None:
        return []
    show(_delete_update(cloud.iot, settings, Patience(delete_timeout_s=settings.delete_timeout_s)))
    change = decide_things_deletion(group, settings.thing_name)
    names = thing_names(settings.thing_name, group.count)
    told = side_by_side_map(partial(_delete_device, cloud.iot, settings), names)
    remains = [reason for reasons in told for reason in reasons]
    if not remains:
        cloud.iot.delete_thing_group(thingGroupName=group.name)
        show(Outcome(change.noun, Verb.DELETED, change.name, change.detail))
    return remains


def find_group(iot: IoTClient, thing_name: str) -> Group | None:
    """The group of this thing's rehearsals; None where there is none, or where this tool did not make it."""
    name = f"{thing_name}{SUFFIX}"
    if len(name) > LONGEST_GROUP_NAME:  # AWS refuses such a name, also in a request that only reads
        return None
    try:
        found = iot.describe_thing_group(thingGroupName=name)
    except iot.exceptions.ResourceNotFoundException:
        return None
    attributes = found.get("thingGroupProperties", {}).get("attributePayload", {}).get("attributes", {})
    if not ownership.is_ours(attributes, thing_name):
        return None
    return Group(name, found["thingGroupArn"], int(attributes[COUNT_KEY]))


def _ensure_group(iot: IoTClient, thing_name: str, count: int) -> Group:
    """Make the group, or raise the number of things that it records."""
    found = find_group(iot, thing_name)
    if found is not None and found.count >= count:
        return found
    name = f"{thing_name}{SUFFIX}"
    properties: Any = {"attributePayload": {"attributes": {**ownership.marks(thing_name), COUNT_KEY: str(count)}}}
    if found is not None:
        iot.update_thing_group(thingGroupName=name, thingGroupProperties=properties)
        return Group(name, found.arn, count)
    made = iot.create_thing_group(thingGroupName=name, thingGroupProperties=properties)
    return Group(name, made["thingGroupArn"], count)


def _fill_group(iot: IoTClient, group_name: str, names: Sequence[str]) -> None:
    """Make exactly these things the group's members."""
    pages = iot.get_paginator("list_things_in_thing_group").paginate(thingGroupName=group_name)
    members = {thing for page in pages for thing in page["things"]}
    for name in sorted(set(names) - members):
        iot.add_thing_to_thing_group(thingGroupName=group_name, thingName=name)
    for name in sorted(members - set(names)):
        iot.remove_thing_from_thing_group(thingGroupName=group_name, thingName=name)


def _ensure_device(cloud: Cloud, settings: Settings, thing_name: str) -> bool:
    """Make one thing with key, certificate and the shared policy; True where thing or certificate is new."""
    iot, files = cloud.iot, desired_state.certificate_files(settings.with_values({"thing_name": thing_name}))
    found = things.find_thing(iot, thing_name)
    state = certificates.look_at_certificate(
        iot,
        files,
        found=certificates.find_local_certificate(iot, files),
        attached=found.principals if found else (),
        thing_name=thing_name,
    )
    certificate = make_certificate(iot, decide_certificate(state))
    arn = certificate.get().arn
    attaches = found is None or not found.is_attached(arn)
    things.make_thing(iot, things.decide_thing(thing_name, found, attaches=attaches), arn)
    name, wanted = settings.policy_name, desired_state.wanted_policy(cloud, settings)
    policy = policies.look_at_policy(iot, name, wanted, None if certificate.verb is Verb.CREATED else arn)
    policies.make_policy(iot, policies.decide_policy(iot, name, policy, wanted, arn, attaches=True), arn)
    return found is None or certificate.verb is Verb.CREATED


def _delete_device(iot: IoTClient, settings: Settings, thing_name: str) -> list[Text]:
    """Delete one thing with its certificate, here and in the cloud; why something of it remains.

    The policy is the one of the settings' thing, and stays.
    """
    own, chain = settings.with_values({"thing_name": thing_name}), Chain()
    found = Identity(iot, own, thing_name, things.find_thing(iot, thing_name), policy_tags=None)
    found.look().delete(chain)
    if not chain.remains:
        delete_local(desired_state.certificate_files(own))
    return chain.remains


def _request(settings: Settings, update: Update, group: Group, role_arn: str) -> UpdateRequest:
    return UpdateRequest(
        update_id=_update_id(settings),
        thing_name=settings.thing_name,
        thing_arn=group.arn,
        role_arn=role_arn,
        bucket=update.bucket,
        key=update.key,
        version_id=update.version_id,
        image_sha256=update.image_sha256,
        file_name=update.file_name,
        signature=update.signature,
        hash_algorithm=update.hash_algorithm,
        signature_algorithm=update.signature_algorithm,
        certificate_name=update.certificate_name,
        protocols=update.protocols,
    )


def _delete_update(iot: IoTClient, settings: Settings, patience: Patience) -> Outcome[None]:
    """Delete the update of the last rehearsal.

    Raises:
        NotOurs: somebody else's update has its name.
    """
    name = _update_id(settings)
    found, job = side_by_side(partial(updates.find_update, iot, name), partial(find_job, iot, job_id_of(name)))
    change = updates.decide_update_deletion(found, job, name, settings.thing_name)
    if change.action is Action.KEEP:
        raise NotOurs(f"The OTA update {name}: ", message(change.detail))
    if change.action is Action.ABSENT:
        return Outcome(change.noun, Verb.ABSENT, name, change.detail)
    return updates.delete_update(iot, name, known=found, patience=patience)


def _update_id(settings: Settings) -> str:
    return f"{settings.update_name[: UPDATE_NAME_CHARS - len(SUFFIX)]}{SUFFIX}"
