"""Certificates as the AWS account has them: one by id, one by its public key, all of them, and their end.

AWS knows no search by public key, so the newest certificates are described side by side until one matches. A
certificate is deleted only once it hangs on no thing; deleting it takes it off its policies in the same call.

Source: AWS IoT DescribeCertificate, ListCertificates (newest first unless ``ascendingOrder``), ListPrincipalThingsV2,
UpdateCertificate, DeleteCertificate (``forceDelete`` overrides attached policies, never attached things).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from ota.certificate_files import public_key_of
from ota.errors import InTheWay, WaitTimeout
from ota.messages import aws_command
from ota.outcomes import Action, Change, Outcome, Verb
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
DETACH_TIMEOUT_S = 30.0
DETACH_POLL_S = 1.0


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


def list_by_public_key(
    iot: IoTClient,
    public_key: bytes,
    *,
    newer_than: datetime,
    thing_name: str,
    statuses: Collection[str] = (ACTIVE, INACTIVE),
) -> Iterator[Certificate]:
    """The certificates with this public key (DER) that hang on no thing but ``thing_name``, newest first.

    Looked at are those made after ``newer_than`` and in any case the newest 25 of the account, never more than 1,000.
    There is more than one where AWS was asked again because its first answer was lost.
    """
    candidates = islice(_list_candidates(iot, newer_than, statuses), MOST_SEARCHED)
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
    pages = iot.get_paginator("list_certificates").paginate(
        ascendingOrder=False, PaginationConfig={"PageSize": PAGE_SIZE}
    )
    for page in pages:
        for found in page["certificates"]:
            yield Certificate(
                found["certificateId"], found["certificateArn"], found["status"], found.get("creationDate")
            )


def list_things_of(iot: IoTClient, certificate_arn: str) -> Iterator[str]:
    """Names of the things that the certificate hangs on; none where there is no such certificate."""
    return (thing_name for thing_name, _ in _list_attachments(iot, certificate_arn))


def list_exclusive_things_of(iot: IoTClient, certificate_arn: str) -> Iterator[str]:
    """The thing that has the certificate for itself alone; at most one."""
    attachments = _list_attachments(iot, certificate_arn)
    return (thing_name for thing_name, attachment in attachments if attachment == EXCLUSIVE)


def other_things(iot: IoTClient, certificate_arn: str, thing_name: str | None) -> list[str]:
    """Names of the things that the certificate hangs on, but for ``thing_name``."""
    return [name for name in list_things_of(iot, certificate_arn) if name != thing_name]


def decide_certificate_deletion(
    arn: str, thing_name: str, *, is_thing_ours: bool, others: Sequence[str] = (), existing_arn: str | None = None
) -> Change:
    """Whether ``clean`` deletes a certificate that is attached to the thing, or was left unattached.

    Args:
        arn: the certificate's.
        thing_name: the thing.
        is_thing_ours: whether ``clean`` deletes the thing; its certificates stay with it.
        others: the other things that it is attached to.
        existing_arn: the certificate that the settings name, which always stays.
    """
    certificate_id = arn.rpartition("/")[2]
    reason = ""
    if arn == existing_arn:
        reason = "named by existing_certificate_arn, stays"
    elif not is_thing_ours:
        reason = f"attached to the thing {thing_name}, which this tool did not make, stays"
    elif others:
        reason = f"attached to {', '.join(others)} too, stays"
    return Change(NOUN, Action.KEEP if reason else Action.DELETE, certificate_id, reason, found=arn)


def deactivate_certificate(iot: IoTClient, certificate_id: str) -> None:
    """Set the certificate INACTIVE, so that no device connects with it any more; absent is success."""
    try:
        iot.update_certificate(certificateId=certificate_id, newStatus=INACTIVE)
    except iot.exceptions.ResourceNotFoundException:
        return


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
    certificate_id = arn_or_id.rpartition("/")[2]
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


def _list_attachments(iot: IoTClient, certificate_arn: str) -> Iterator[tuple[str, str]]:
    pages = iot.get_paginator("list_principal_things_v2").paginate(
        principal=certificate_arn, PaginationConfig={"PageSize": PAGE_SIZE}
    )
    try:
        for page in pages:
            for found in page["principalThingObjects"]:
                yield found["thingName"], found.get("thingPrincipalType", "")
    except iot.exceptions.ResourceNotFoundException:
        return


def _list_candidates(iot: IoTClient, newer_than: datetime, statuses: Collection[str]) -> Iterator[Certificate]:
    for index, certificate in enumerate(list_certificates(iot)):
        is_old = certificate.created is not None and certificate.created < newer_than
        if is_old and index >= ALWAYS_SEARCHED:
            return
        if certificate.status in statuses:
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
    try:
        iot.detach_thing_principal(thingName=thing_name, principal=certificate_arn)
    except iot.exceptions.ResourceNotFoundException:
        return


def _named(things: list[str]) -> str:
    return f"the thing{'s' if len(things) > 1 else ''} {', '.join(things)}"


def _still_refused(certificate_id: str, timeout_s: float, message: str) -> WaitTimeout:
    return WaitTimeout(
        f"AWS still refuses to delete the certificate {certificate_id}, {timeout_s:g} s after it was deactivated and "
        f"detached ({message}). Run the same command again in a minute; it continues."
    )
