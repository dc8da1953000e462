"""Certificates as the AWS account has them: found by id or by public key, listed, looked at for a thing, deleted.

AWS knows no search by public key, so the newest certificates are described side by side until one matches. A
certificate is deleted only once it is attached to no thing; deleting it takes it off its policies in the same call.
``certificate_decisions`` decides which certificate a thing gets, ``certificate_files`` has the files on this machine.

Source: AWS IoT DescribeCertificate, ListCertificates (newest first unless ``ascendingOrder``), ListPrincipalThingsV2,
UpdateCertificate, DeleteCertificate (``forceDelete`` overrides attached policies, never attached things).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from ota.aws_calls import answer_or_none, pages
from ota.certificates import keys
from ota.certificates.files import (
    CertificateFiles,
    LocalCertificate,
    find_certificate_file,
    is_requested_for,
    key_time,
    public_key_of,
)
from ota.certificates.keys import unusable
from ota.errors import InTheWay, WaitTimeout
from ota.messages import aws_command
from ota.outcomes import Outcome, Verb
from ota.threads import side_by_side

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient
    from mypy_boto3_iot.literals import CertificateStatusType

NOUN = "certificate"
ACTIVE = "ACTIVE"
INACTIVE: CertificateStatusType = "INACTIVE"
EXCLUSIVE = "EXCLUSIVE_THING"
PAGE_SIZE = 250
ALWAYS_SEARCHED = 25
MOST_SEARCHED = 1000
BATCH_SIZE = 8
CLOCKS_DIFFER = timedelta(days=1)
DETACH_TIMEOUT_S = 30.0
DETACH_POLL_S = 1.0


class AttachedPrincipal(Protocol):
    """What is attached to a thing."""

    @property
    def arn(self) -> str:
        """Of a certificate or of a Cognito identity."""

    @property
    def is_exclusive(self) -> bool:
        """Whether it was attached for this thing alone, as this tool does it."""


@dataclass(frozen=True)
class Certificate:
    """A certificate as AWS has it.

    Attributes:
        id: 64 hex digits, SHA-256 of the DER form.
        arn: ``arn:aws:iot:REGION:ACCOUNT:cert/ID``.
        status: ``ACTIVE``, ``INACTIVE``, ``REVOKED`` or one of AWS's passing states.
        created: when AWS made or registered it; None for one that was made a moment ago.
        pem: None when it comes from a listing.
        expires: None when it comes from a listing.
    """

    id: str
    arn: str
    status: str
    created: datetime | None = None
    pem: str | None = None
    expires: datetime | None = None

    @property
    def public_key(self) -> bytes | None:
        """As DER SubjectPublicKeyInfo; None without a PEM."""
        return public_key_of(self.pem) if self.pem else None


@dataclass(frozen=True)
class FoundCertificate:
    """Everything that the decision rests on: files, thing and account, as :func:`look_at_certificate` found them.

    Attributes:
        iot: for the region and endpoint in commands; a decision calls nothing.
        files: where the files are, or are to be.
        thing_name: the thing that the certificate is for.
        existing_arn: the certificate that the settings name; None where the files decide.
        key: the private key at its path.
        local: the certificate file at its path.
        found: the account's certificate that the settings name, or that the file holds.
        attached_arns: certificates that are attached to the thing.
        rival_arns: those among them that another run attached as this tool does it, where ``found`` is known.
        same_key: where ``found`` is not known, certificates of the private key: the one that is attached to the
            thing, or all that are attached to no other thing.
        elsewhere: other things that ``found`` is attached to, where that matters.
        is_in_field: the device has its certificate, so that ``found`` is one of the attached ones, active where there
            is an active one, and the files here do not matter.
    """

    iot: IoTClient
    files: CertificateFiles
    thing_name: str
    existing_arn: str | None = None
    key: keys.PrivateKey | None = None
    local: LocalCertificate | None = None
    found: Certificate | None = None
    attached_arns: tuple[str, ...] = ()
    rival_arns: tuple[str, ...] = ()
    same_key: tuple[Certificate, ...] = ()
    elsewhere: tuple[str, ...] = ()
    is_in_field: bool = False

    @property
    def certificate(self) -> Certificate | None:
        """The certificate to use, active or not; None where one has to be requested."""
        if self.found or self.existing_arn or self.is_in_field:
            return self.found
        usable = [one for one in self.same_key if self.attached_arns or one.status == ACTIVE]
        return usable[0] if usable else None


def find_certificate(iot: IoTClient, certificate_id: str) -> Certificate | None:
    """The certificate with that id, PEM included, or None."""
    try:
        found = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
    except iot.exceptions.ResourceNotFoundException:
        return None
    return Certificate(
        found["certificateId"],
        found["certificateArn"],
        found["status"],
        found["creationDate"],
        found["certificatePem"],
        found.get("validity", {}).get("notAfter"),
    )


def find_local_certificate(
    iot: IoTClient, files: CertificateFiles, *, existing_arn: str | None = None
) -> Certificate | None:
    """The account's certificate that ``existing_arn`` names, else that the certificate file holds; else None.

    The first call of :func:`look_at_certificate`, apart from it so that it can run beside the look at the thing.

    Raises:
        CertificateError: the certificate file is unreadable, or the ARN is not of a certificate of this region.
    """
    if existing_arn:
        return find_certificate(iot, _checked_id(iot, existing_arn))
    local = find_certificate_file(files.certificate_path)
    return find_certificate(iot, local.id) if local else None


def look_at_certificate(
    iot: IoTClient,
    files: CertificateFiles,
    *,
    found: Certificate | None,
    attached: Sequence[AttachedPrincipal],
    thing_name: str,
    existing_arn: str | None = None,
) -> FoundCertificate:
    """Files, thing and account, as they are now.

    ``found`` is what :func:`find_local_certificate` returned with the same ``existing_arn``; ``attached`` is what is
    attached to the thing. A thing whose certificate is known needs no further call, because a repeat has no budget
    for one: same keys and other things are looked for only where the decision depends on them.

    Raises:
        CertificateError: a file cannot be read, or is not what its name says.
    """
    state = FoundCertificate(
        iot,
        files,
        thing_name,
        existing_arn,
        keys.find_private_key(files.private_key_path),
        find_certificate_file(files.certificate_path),
        found,
        tuple(principal.arn for principal in attached if ":cert/" in principal.arn),
        tuple(find_rivals(attached, found.arn)) if found else (),
    )
    if existing_arn:
        return replace(state, elsewhere=_exclusive_elsewhere(state)) if found else state
    if state.key is None or (state.local and state.local.public_key != keys.public_key_bytes(state.key.public_key())):
        return state
    if found is None:
        return replace(state, same_key=_find_same_key(state, state.key))
    if found.status == ACTIVE and not state.attached_arns:
        return replace(state, elsewhere=tuple(other_things(iot, found.arn, thing_name)))
    return state


def id_in(arn: str) -> str:
    """The certificate's id at the end of its ARN."""
    return arn.rpartition("/")[2]


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

    ``policy_targets`` are ARNs that our own policy is attached to: an inactive certificate among them that is attached
    to no thing, and that this tool requested for this one, is one whose deletion was cut off. None of those returned is
    attached to another thing, and none is ``existing_arn``, the certificate that the settings name.

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


def find_rivals(attached: Sequence[AttachedPrincipal], certificate_arn: str) -> list[str]:
    """ARNs of other certificates attached as this tool does it: another run has set up the same thing."""
    return [
        principal.arn
        for principal in attached
        if principal.is_exclusive and ":cert/" in principal.arn and principal.arn != certificate_arn
    ]


def list_same_key(iot: IoTClient, files: CertificateFiles, thing_name: str, key: keys.PrivateKey) -> list[Certificate]:
    """The account's certificates for the key in these files that are attached to no other thing, newest first."""
    public_key = keys.public_key_bytes(key.public_key())
    newer_than = key_time(files) - CLOCKS_DIFFER
    return list(list_by_public_key(iot, public_key, newer_than=newer_than, thing_name=thing_name))


def list_by_public_key(
    iot: IoTClient, public_key: bytes, *, newer_than: datetime, thing_name: str
) -> Iterator[Certificate]:
    """The certificates with this public key (DER) that are attached to no thing but ``thing_name``, newest first.

    Searches those made after ``newer_than`` and at least the newest 25 of the account, never more than 1,000. There is
    more than one where AWS was asked again because its first answer was lost.
    """
    candidates = islice(_list_candidates(iot, newer_than), MOST_SEARCHED)
    for found in describe_certificates(iot, (candidate.id for candidate in candidates)):
        if found.public_key == public_key and not other_things(iot, found.arn, thing_name):
            yield found


def describe_certificates(iot: IoTClient, certificate_ids: Iterable[str]) -> Iterator[Certificate]:
    """Those of the certificates that exist, in order, asked for eight at a time and no further than is consumed."""
    remaining = iter(certificate_ids)
    while batch := list(islice(remaining, BATCH_SIZE)):
        found = side_by_side(*(partial(find_certificate, iot, one) for one in batch))
        yield from (certificate for certificate in found if certificate is not None)


def list_certificates(iot: IoTClient) -> Iterator[Certificate]:
    """Every certificate of the account in this region, newest first, without PEM and expiry."""
    for found in pages(iot, "list_certificates", "certificates", page_size=PAGE_SIZE, ascendingOrder=False):
        yield Certificate(found["certificateId"], found["certificateArn"], found["status"], found.get("creationDate"))


def list_things_of(iot: IoTClient, certificate_arn: str) -> Iterator[str]:
    """Names of the things that the certificate is attached to; none where there is no such certificate."""
    return (thing_name for thing_name, _ in _list_attachments(iot, certificate_arn))


def list_exclusive_things_of(iot: IoTClient, certificate_arn: str) -> Iterator[str]:
    """The thing that the certificate is attached to exclusively; at most one."""
    attachments = _list_attachments(iot, certificate_arn)
    return (thing_name for thing_name, attachment in attachments if attachment == EXCLUSIVE)


def other_things(iot: IoTClient, certificate_arn: str, thing_name: str | None) -> list[str]:
    """Names of the things that the certificate is attached to, without ``thing_name``."""
    return [name for name in list_things_of(iot, certificate_arn) if name != thing_name]


def deactivate_certificate(iot: IoTClient, certificate_id: str) -> None:
    """Set the certificate INACTIVE, so that no device connects with it any more; absent is success."""
    answer_or_none(iot.update_certificate, certificateId=certificate_id, newStatus=INACTIVE)


def delete_certificate(
    iot: IoTClient,
    arn_or_id: str,
    *,
    detached_from: str | None = None,
    force: bool = False,
    timeout_s: float = DETACH_TIMEOUT_S,
    poll_s: float = DETACH_POLL_S,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome[None]:
    """Delete the certificate with what policies it has; absent is success.

    An active certificate is deactivated only after the look that shows it attached to no thing. ``detached_from``
    names the thing that it was just detached from, which AWS may notice some seconds later. ``force`` detaches it
    from everything.

    Raises:
        InTheWay: it is attached to other things, and ``force`` is not given; it is unchanged then.
        WaitTimeout: AWS still counts it as attached after ``timeout_s``.
    """
    certificate_id = id_in(arn_or_id)
    waited_s = 0.0
    try:
        if _refusal(iot, certificate_id):
            _free_from_things(iot, certificate_id, detached_from, force=force)
            deactivate_certificate(iot, certificate_id)
            while refusal := _refusal(iot, certificate_id):
                if waited_s >= timeout_s:
                    raise _still_refused(certificate_id, timeout_s, refusal)
                sleep(poll_s)
                waited_s += poll_s
    except iot.exceptions.ResourceNotFoundException:
        return Outcome(NOUN, Verb.ABSENT, certificate_id)
    return Outcome(NOUN, Verb.DELETED, certificate_id)


def _find_same_key(state: FoundCertificate, key: keys.PrivateKey) -> tuple[Certificate, ...]:
    if not state.attached_arns:
        return tuple(list_same_key(state.iot, state.files, state.thing_name, key))
    public_key = keys.public_key_bytes(key.public_key())
    attached = describe_certificates(state.iot, map(id_in, state.attached_arns))
    return tuple(islice((one for one in attached if one.public_key == public_key), 1))


def _exclusive_elsewhere(state: FoundCertificate) -> tuple[str, ...]:
    if state.found is None or state.found.arn in state.attached_arns:
        return ()
    return tuple(one for one in list_exclusive_things_of(state.iot, state.found.arn) if one != state.thing_name)


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
    return list_same_key(iot, files, thing_name, key) if key else []


def _checked_id(iot: IoTClient, existing_arn: str) -> str:
    parts = existing_arn.split(":", 5)
    if len(parts) != 6 or parts[2] != "iot" or not parts[5].startswith("cert/"):
        raise unusable(
            f"existing_certificate_arn is {existing_arn!r}, which is not a certificate's ARN",
            "it must look like arn:aws:iot:REGION:ACCOUNT:cert/ID, or be CREATE_NEW_CERTIFICATE.",
        )
    if parts[3] != iot.meta.region_name:
        raise unusable(
            f"existing_certificate_arn names a certificate in {parts[3]}, and this run is for {iot.meta.region_name}",
            f"set AWS_REGION={parts[3]}, or name a certificate of {iot.meta.region_name}.",
        )
    return id_in(existing_arn)


def _list_attachments(iot: IoTClient, certificate_arn: str) -> Iterator[tuple[str, str]]:
    listed = pages(
        iot, "list_principal_things_v2", "principalThingObjects", page_size=PAGE_SIZE, principal=certificate_arn
    )
    try:
        for found in listed:
            yield found["thingName"], found.get("thingPrincipalType", "")
    except iot.exceptions.ResourceNotFoundException:
        return


def _list_candidates(iot: IoTClient, newer_than: datetime) -> Iterator[Certificate]:
    for index, certificate in enumerate(list_certificates(iot)):
        is_old = certificate.created is not None and certificate.created < newer_than
        if is_old and index >= ALWAYS_SEARCHED:
            return
        if certificate.status in (ACTIVE, INACTIVE):
            yield certificate


def _refusal(iot: IoTClient, certificate_id: str) -> str:
    """Delete it; empty when that is done, else AWS's reason for not doing so."""
    try:
        iot.delete_certificate(certificateId=certificate_id, forceDelete=True)
    except (iot.exceptions.CertificateStateException, iot.exceptions.DeleteConflictException) as error:
        return error.response["Error"].get("Message") or error.response["Error"]["Code"]
    return ""


def _free_from_things(iot: IoTClient, certificate_id: str, detached_from: str | None, *, force: bool) -> None:
    certificate = find_certificate(iot, certificate_id)
    attached = list(list_things_of(iot, certificate.arn)) if certificate else []
    if certificate is None or not attached:
        return
    if detached_from in attached:  # AWS has not noticed yet, or another run attached it again
        _detach(iot, detached_from, certificate.arn)
    others = [name for name in attached if name != detached_from]
    if not others:
        return
    if not force:
        detach = aws_command(iot, "detach-thing-principal", thing_name=others[0], principal=certificate.arn)
        raise InTheWay(
            f"The certificate {certificate_id} is attached to {_named(others)}, so it stays unchanged: deleting it "
            "would cut that device off. Detach it first (",
            detach,
            "), or use --force.",
        )
    for thing_name in others:
        _detach(iot, thing_name, certificate.arn)


def _detach(iot: IoTClient, thing_name: str, certificate_arn: str) -> None:
    answer_or_none(iot.detach_thing_principal, thingName=thing_name, principal=certificate_arn)


def _named(things: list[str]) -> str:
    return f"the thing{'s' if len(things) > 1 else ''} {', '.join(things)}"


def _still_refused(certificate_id: str, timeout_s: float, message: str) -> WaitTimeout:
    return WaitTimeout(
        f"AWS still refuses to delete the certificate {certificate_id}, {timeout_s:g} s after it was deactivated and "
        f"detached ({message}). Run the same command again in a minute; it continues."
    )
