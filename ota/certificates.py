"""The device's certificate: requested for a key made here, found again after a cut-off run, deleted when ours.

AWS is asked for a certificate only once the key is on disk, and the certificate it makes is known by its public key.
So a key without a certificate file tells that a request may have been cut off: the account's newest certificates are
searched for that key, and the match is adopted instead of a second one being made. What to do for each state of disk
and cloud stands in one table, in ``_decide``. What the account has is ``certificate_records``, what this machine has
``certificate_files``; both are to be used through this module.

Source: AWS IoT CreateCertificateFromCsr ("reusing the same certificate signing request results in a distinct
certificate"), RegisterCertificate (status), AttachThingPrincipal (EXCLUSIVE_THING).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from ota import certificate_refusals as refusals
from ota import keys
from ota.certificate_files import (
    CertificateFiles,
    certificate_id_of,
    delete_local,
    find_certificate_file,
    is_requested_for,
    key_time,
    write_certificate_file,
)
from ota.certificate_records import (
    ACTIVE,
    INACTIVE,
    NOUN,
    Certificate,
    deactivate_certificate,
    delete_certificate,
    describe_certificates,
    find_certificate,
    list_by_public_key,
    list_certificates,
    list_exclusive_things_of,
    list_things_of,
    other_things,
)
from ota.certificate_refusals import Look, id_in, quoted
from ota.errors import CertificateError
from ota.outcomes import Outcome, Verb

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

__all__ = [
    "AttachedPrincipal",
    "Certificate",
    "CertificateFiles",
    "Choice",
    "certificate_id_of",
    "check_active",
    "choose_certificate",
    "deactivate_certificate",
    "delete_certificate",
    "delete_local",
    "describe_certificates",
    "ensure_certificate",
    "find_certificate",
    "find_local_certificate",
    "find_orphans",
    "find_rivals",
    "list_certificates",
    "list_things_of",
    "other_things",
    "withdraw_certificate",
]

CLOCKS_DIFFER = timedelta(days=1)


class AttachedPrincipal(Protocol):
    """What hangs on a thing."""

    @property
    def arn(self) -> str:
        """Of a certificate or of a Cognito identity."""

    @property
    def is_exclusive(self) -> bool:
        """Whether it was attached for this thing alone, as this tool does it."""


@dataclass(frozen=True)
class Choice:
    """What is to become of the certificate.

    Attributes:
        look: what the choice rests on.
        certificate: the one to use; None where one is to be requested, with a new key where there is none.
        detail: how it comes to be this one, where that is worth a word.
        doubles: all with the same key: what a request whose answer was lost left, or a deletion that was cut off; to
            be deleted but for this one.
    """

    look: Look
    certificate: Certificate | None = None
    detail: str = ""
    doubles: tuple[Certificate, ...] = ()

    @property
    def writes_file(self) -> bool:
        """Whether the certificate file changes."""
        local = self.look.local
        return self.certificate is None or local is None or local.id != self.certificate.id


def find_local_certificate(
    iot: IoTClient, files: CertificateFiles, *, existing_arn: str | None = None
) -> Certificate | None:
    """The account's certificate that ``existing_arn`` names, else that the certificate file holds; else None.

    The look that ``ensure_certificate`` needs, apart from it so that it can run beside other looks.

    Raises:
        CertificateError: the certificate file is unreadable, or the ARN is no certificate's of this region.
    """
    if existing_arn:
        return find_certificate(iot, _checked_id(iot, existing_arn))
    local = find_certificate_file(files.certificate_path)
    return find_certificate(iot, local.id) if local else None


def ensure_certificate(
    iot: IoTClient,
    files: CertificateFiles,
    *,
    found: Certificate | None,
    attached: Sequence[AttachedPrincipal],
    thing_name: str,
    existing_arn: str | None = None,
) -> Outcome[Certificate]:
    """Make an active certificate and its files stand, for this thing; attaching it is the thing's matter.

    ``found`` is what ``find_local_certificate`` said with the same ``existing_arn``; ``attached`` is what hangs on
    the thing. With ``existing_arn`` that certificate is used and its file written; else the files decide.

    Raises:
        CertificateError: files, thing and account do not belong together; nothing is changed then.
    """
    choice = choose_certificate(
        iot, files, found=found, attached=attached, thing_name=thing_name, existing_arn=existing_arn
    )
    look = choice.look
    if choice.certificate is None:
        return _request(look, look.key or keys.create_private_key(files.private_key_path), choice.doubles)
    _delete_doubles(iot, choice.certificate, choice.doubles)
    return _outcome(look, Verb.REUSED, choice.certificate, choice.detail)


def choose_certificate(
    iot: IoTClient,
    files: CertificateFiles,
    *,
    found: Certificate | None,
    attached: Sequence[AttachedPrincipal],
    thing_name: str,
    existing_arn: str | None = None,
) -> Choice:
    """What :func:`ensure_certificate` does with the same arguments; only looks.

    Raises:
        CertificateError: files, thing and account do not belong together.
    """
    look = Look(
        iot,
        files,
        thing_name,
        keys.find_private_key(files.private_key_path),
        find_certificate_file(files.certificate_path),
        found,
        tuple(principal.arn for principal in attached if ":cert/" in principal.arn),
        tuple(find_rivals(attached, found.arn)) if found else (),
    )
    return _use_existing(look, existing_arn) if existing_arn else _decide(look)


def find_rivals(attached: Sequence[AttachedPrincipal], certificate_arn: str) -> list[str]:
    """ARNs of the other certificates that were attached as this tool does it: another run has set up the thing, too."""
    return [
        principal.arn
        for principal in attached
        if principal.is_exclusive and ":cert/" in principal.arn and principal.arn != certificate_arn
    ]


def withdraw_certificate(
    iot: IoTClient, files: CertificateFiles, certificate: Outcome[Certificate], thing_name: str, rivals: Sequence[str]
) -> CertificateError:
    """Take back a certificate that this run has just attached beside another run's; returns what there is to say.

    One that was made in this run is deleted, for no device can have it; any other is only detached.
    """
    one = certificate.get()
    iot.detach_thing_principal(thingName=thing_name, principal=one.arn)
    if certificate.verb is Verb.CREATED:
        delete_certificate(iot, one.id, detached_from=thing_name)
        local = find_certificate_file(files.certificate_path)
        if local is not None and local.id == one.id:
            files.certificate_path.unlink()
    return refusals.set_up_elsewhere(files, thing_name, one.id, rivals, is_deleted=certificate.verb is Verb.CREATED)


def check_active(iot: IoTClient, certificate_id: str) -> None:
    """Look once more at the certificate that was made or found; a ``clean`` elsewhere may have been quicker.

    Raises:
        CertificateError: it is gone or not active.
    """
    found = find_certificate(iot, certificate_id)
    if found is None or found.status != ACTIVE:
        raise refusals.lost_meanwhile(certificate_id, found.status if found else "deleted")


def find_orphans(
    iot: IoTClient,
    files: CertificateFiles,
    *,
    thing_name: str,
    attached: Sequence[AttachedPrincipal] = (),
    policy_targets: Sequence[str] = (),
    existing_arn: str | None = None,
) -> list[Certificate]:
    """Certificates that a cut-off run left: made for the files here or half deleted, and not attached to the thing.

    ``policy_targets`` are ARNs that our own policy hangs on: an inactive certificate among them that hangs on no
    thing, and that this tool requested for this one, is one whose deletion was cut off. None of those returned
    hangs on another thing, and the certificate that the settings name, ``existing_arn``, is never among them.

    Raises:
        CertificateError: a file cannot be read or is not what its name says.
    """
    kept_arns = {existing_arn, *(principal.arn for principal in attached)}
    target_ids = [id_in(arn) for arn in policy_targets if ":cert/" in arn]
    half_deleted = [
        found
        for found in describe_certificates(iot, target_ids)
        if found.status == INACTIVE and found.pem and is_requested_for(found.pem, thing_name)
    ]
    candidates = {found.arn: found for found in [*_find_by_files(iot, files, thing_name, attached), *half_deleted]}
    return [
        found for arn, found in candidates.items() if arn not in kept_arns and not other_things(iot, arn, thing_name)
    ]


def _decide(look: Look) -> Choice:
    """What the first row that holds says.

    ========= ================ =================== ================== =====================================
    key here  certificate file in the account      the thing has      then
    ========= ================ =================== ================== =====================================
    no        yes                                                     refuse: put the key back
    no        no                                   a certificate      refuse: put the key back
    no        no                                   none               make a key, request
    yes       another key's                                           refuse: they do not belong together
    yes       no, or           unknown                                adopt what has this key, else request
    yes       yes              not active                             refuse: activate it or start anew
    yes       yes              active              this one           reuse
    yes       yes              active              and another run's  refuse: delete one of the two
    yes       yes              active              others             refuse: put the right files there
    yes       yes              active, elsewhere   none               refuse: other files for this thing
    yes       yes              active              none               reuse
    ========= ================ =================== ================== =====================================
    """
    if look.key is None:
        if look.local:
            raise refusals.file_without_key(look)
        if look.attached_arns:
            raise refusals.attached_without_key(look)
        return Choice(look)
    public_key = keys.public_key_bytes(look.key.public_key())
    if look.local and look.local.public_key != public_key:
        raise refusals.other_key(look)
    if look.found is None:
        return _adopt_or_request(look, look.key, public_key)
    if look.found.status != ACTIVE:
        raise refusals.not_active(look, look.found)
    if look.found.arn not in look.attached_arns:
        _check_free(look, look.found)
    elif look.rival_arns:
        raise refusals.two_attached(look, look.found)
    return Choice(look, look.found)


def _adopt_or_request(look: Look, key: keys.PrivateKey, public_key: bytes) -> Choice:
    same_key: list[Certificate] = []
    if look.attached_arns:
        attached = describe_certificates(look.iot, look.attached_ids)
        found = next((one for one in attached if one.public_key == public_key), None)
        if found is None:
            raise refusals.other_attached(look)
    else:
        same_key = _list_same_key(look.iot, look.files, look.thing_name, key)
        found = next((one for one in same_key if one.status == ACTIVE), None)
    if found is None:
        return Choice(look, doubles=tuple(same_key))
    if found.status != ACTIVE:
        raise refusals.not_active(look, found)
    return Choice(look, found, "adopted from a run that was cut off", tuple(same_key))


def _request(look: Look, key: keys.PrivateKey, doubles: Sequence[Certificate]) -> Outcome[Certificate]:
    keys.ensure_public_key_file(look.files.public_key_path, key)
    created = look.iot.create_certificate_from_csr(
        certificateSigningRequest=keys.signing_request(key, look.thing_name), setAsActive=True
    )
    certificate = Certificate(
        created["certificateId"], created["certificateArn"], ACTIVE, pem=created["certificatePem"]
    )
    if created["ResponseMetadata"]["RetryAttempts"]:
        # An answer may have been lost, and each time it is asked AWS makes another certificate.
        doubles = _list_same_key(look.iot, look.files, look.thing_name, key)
    _delete_doubles(look.iot, certificate, doubles)
    return _outcome(look, Verb.CREATED, certificate)


def _list_same_key(iot: IoTClient, files: CertificateFiles, thing_name: str, key: keys.PrivateKey) -> list[Certificate]:
    """The account's certificates for the key here that hang on no other thing, newest first."""
    public_key = keys.public_key_bytes(key.public_key())
    newer_than = key_time(files) - CLOCKS_DIFFER
    return list(list_by_public_key(iot, public_key, newer_than=newer_than, thing_name=thing_name))


def _delete_doubles(iot: IoTClient, kept: Certificate, same_key: Sequence[Certificate]) -> None:
    """Delete the others: they would stay active for ever, for once a certificate file is there nobody looks."""
    for double in same_key:
        if double.id != kept.id:
            delete_certificate(iot, double.id)


def _use_existing(look: Look, existing_arn: str) -> Choice:
    found = look.found
    if found is None or found.arn != existing_arn:
        raise refusals.no_such_existing(look, existing_arn)
    if found.status != ACTIVE:
        raise refusals.not_active(look, found)
    if look.key and keys.public_key_bytes(look.key.public_key()) != found.public_key:
        raise refusals.existing_has_other_key(look, found)
    if existing_arn not in look.attached_arns:
        _check_not_exclusive_elsewhere(look, found)
    return Choice(look, found, "" if look.key else f"the build needs its private key at {look.files.private_key_path}")


def _outcome(look: Look, verb: Verb, certificate: Certificate, detail: str = "") -> Outcome[Certificate]:
    """Bring the files up to the certificate, and tell of it."""
    details = [detail]
    path = look.files.certificate_path
    if look.local is None or look.local.id != certificate.id:
        kept_path = write_certificate_file(path, certificate.pem or "", look.local)
        details += [f"written to {path}", f"the former one is kept as {kept_path.name}" if kept_path else ""]
    if look.key:
        keys.ensure_public_key_file(look.files.public_key_path, look.key)
        if keys.is_readable_by_others(look.files.private_key_path):
            details.append(f"others can read the private key: chmod 600 {quoted(look.files.private_key_path)}")
        if folder := keys.folder_open_to_others(look.files.private_key_path):
            details.append(f"others can replace the files in {folder}: chmod go-w {quoted(folder)}")
    return Outcome(NOUN, verb, certificate.id, detail="; ".join(filter(None, details)), value=certificate)


def _check_free(look: Look, found: Certificate) -> None:
    if look.attached_arns:
        raise refusals.other_attached(look)
    others = other_things(look.iot, found.arn, look.thing_name)
    if others:
        raise refusals.belongs_elsewhere(look, found, others)


def _check_not_exclusive_elsewhere(look: Look, found: Certificate) -> None:
    others = [name for name in list_exclusive_things_of(look.iot, found.arn) if name != look.thing_name]
    if others:
        raise refusals.existing_belongs_elsewhere(look, found, others[0])


def _find_by_files(
    iot: IoTClient, files: CertificateFiles, thing_name: str, attached: Sequence[AttachedPrincipal]
) -> list[Certificate]:
    """The account's certificates for the files here, where none is attached to the thing; most often one."""
    local = find_certificate_file(files.certificate_path)
    if local and local.id in {id_in(principal.arn) for principal in attached}:
        return []
    found = find_certificate(iot, local.id) if local else None
    if found:
        return [found]
    key = keys.find_private_key(files.private_key_path)
    return _list_same_key(iot, files, thing_name, key) if key else []


def _checked_id(iot: IoTClient, existing_arn: str) -> str:
    parts = existing_arn.split(":", 5)
    if len(parts) != 6 or parts[2] != "iot" or not parts[5].startswith("cert/"):
        raise refusals.no_certificate_arn(existing_arn)
    if parts[3] != iot.meta.region_name:
        raise refusals.other_region(parts[3], iot.meta.region_name)
    return id_in(existing_arn)
