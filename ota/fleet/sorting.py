"""Decides what becomes of each device of a list: registered anew, repaired, reused, or refused.

A device is reused where its thing is ours, its certificate is on disk, and AWS has that as active. Listings tell this,
250 a call. Where nothing of the list is on disk nothing can be reused, so nothing is listed either: AWS itself refuses
a device whose thing exists.

A thing of ours without a certificate on disk is what a cut-off run left. It is looked at alone: a certificate for the
key on disk is adopted; without any certificate the thing is repaired; with another's it is refused.

Source: AWS IoT ListThings (attribute filter), ListCertificates (newest first unless ``ascendingOrder``),
ListThingPrincipalsV2, AttachPolicy, AddThingToThingGroup.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from ota import desired_state, groups, things
from ota.certificates import certificates, keys
from ota.certificates.files import LocalCertificate, find_certificate_file, write_certificate_file
from ota.errors import CertificateError
from ota.fleet.device_lists import Device
from ota.fleet.signing_requests import public_key_of_request
from ota.messages import Text, aws_command, command, message
from ota.threads import side_by_side_map

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

    from ota.cloud import Cloud
    from ota.settings.settings import Settings


class Fate(Enum):
    """What becomes of a device."""

    NEW = "new"
    REPAIR = "repair"
    REUSE = "reuse"
    ADOPT = "adopt"
    REFUSE = "refuse"


class Decided(NamedTuple):
    """A device, what becomes of it, and for a refused one why."""

    device: Device
    fate: Fate
    cause: Text = ""


class Local(NamedTuple):
    """A device and its files on disk; ``problem`` says why they cannot be used."""

    device: Device
    certificate: LocalCertificate | None = None
    has_key: bool = False
    problem: Text = ""


def sort_devices(cloud: Cloud, settings: Settings, devices: Sequence[Device]) -> list[Decided]:
    """What becomes of each device, in order; certificates that a cut-off run left are adopted at once."""
    local = [_look_here(settings, device) for device in devices]
    if not any(one.certificate or one.has_key or one.problem for one in local):
        return [Decided(device, Fate.NEW) for device in devices]
    ours = {thing.name for thing in things.list_registered(cloud.iot, settings.thing_name)}
    ids = {one.certificate.id for one in local if one.certificate and one.device.name in ours}
    statuses = _find_statuses(cloud.iot, ids)
    return list(side_by_side_map(partial(_decide, cloud, settings, ours, statuses), local))


def _look_here(settings: Settings, device: Device) -> Local:
    files = desired_state.registered_files(settings, device.name)
    try:
        certificate = find_certificate_file(files.certificate_path)
    except CertificateError as error:
        return Local(device, problem=error.message)
    if certificate and device.csr and certificate.public_key != public_key_of_request(device.csr):
        problem = f"the certificate {files.certificate_path} is for another key than its csr: move it away"
        return Local(device, problem=problem)
    return Local(device, certificate, files.private_key_path.exists())


def _find_statuses(iot: IoTClient, ids: Collection[str]) -> dict[str, str]:
    """The status of each of these certificates that the account has; listed no further than to the last of them."""
    statuses: dict[str, str] = {}
    if not ids:
        return statuses
    for found in certificates.list_certificates(iot):
        if found.id in ids:
            statuses[found.id] = found.status
            if len(statuses) == len(ids):
                break
    return statuses


def _decide(
    cloud: Cloud, settings: Settings, ours: Collection[str], statuses: Mapping[str, str], local: Local
) -> Decided:
    device, certificate = local.device, local.certificate
    if local.problem:
        return Decided(device, Fate.REFUSE, local.problem)
    if device.name not in ours:
        return Decided(device, Fate.NEW)
    status = statuses.get(certificate.id) if certificate else None
    if status is None or certificate is None:
        return _examine(cloud, settings, device)
    if status == certificates.ACTIVE:
        return Decided(device, Fate.REUSE)
    activate = aws_command(
        cloud.iot, "update-certificate", certificate_id=certificate.id, new_status=certificates.ACTIVE
    )
    return Decided(device, Fate.REFUSE, message(f"its certificate is {status}, so it cannot connect: ", activate))


def _examine(cloud: Cloud, settings: Settings, device: Device) -> Decided:
    """A thing of ours whose certificate is not on disk, or is one that this account does not have."""
    iot = cloud.iot
    attached = [one.arn for one in things.list_principals(iot, device.name) if ":cert/" in one.arn]
    if not attached:
        return Decided(device, Fate.REPAIR)
    wanted = _public_key(settings, device)
    for found in certificates.describe_certificates(iot, map(certificates.id_in, attached)):
        if found.public_key == wanted and found.status == certificates.ACTIVE and found.pem:
            _adopt(iot, settings, device, found.arn, found.pem)
            return Decided(device, Fate.ADOPT)
    names = [word for arn in attached for word in ("--name", certificates.id_in(arn))]
    anew = command("delete.certificate", *names, "--force", "--prune")
    text = "the thing exists with a certificate whose key is not here: put key and certificate back, or begin anew: "
    return Decided(device, Fate.REFUSE, message(text, anew))


def _adopt(iot: IoTClient, settings: Settings, device: Device, arn: str, pem: str) -> None:
    """Do what a registration that was cut off may have left undone, and write the certificate."""
    iot.attach_policy(policyName=settings.policy_name, target=arn)
    if settings.thing_group_name:
        groups.add_member(iot, settings.thing_group_name, device.name)
    path = desired_state.registered_files(settings, device.name).certificate_path
    write_certificate_file(path, pem, replaced=find_certificate_file(path))


def _public_key(settings: Settings, device: Device) -> bytes | None:
    if device.csr:
        return public_key_of_request(device.csr)
    key = keys.find_private_key(desired_state.registered_files(settings, device.name).private_key_path)
    return keys.public_key_bytes(key.public_key()) if key else None


def of_fate(decided: Iterable[Decided], *fates: Fate) -> list[Device]:
    """The devices with one of these fates, in order."""
    return [one.device for one in decided if one.fate in fates]
