"""Decides which certificate the thing gets, and carries that out: reuse one, adopt one, or request one for a key.

AWS is asked for a certificate only once the private key is on disk. A key without a certificate file may therefore
mean that a run was cut off after its request: the account is searched for certificates of that key, and an active one
is adopted instead of requesting another. :func:`decide_certificate` has a table of all states.

Somebody may still need a key or a certificate that is in the way, so none is thrown away. Each refusal names the files
and certificates that do not belong together, and gives the commands for both ways out: put the right ones back, or
start anew.

Source: AWS IoT CreateCertificateFromCsr ("reusing the same certificate signing request results in a distinct
certificate"), AttachThingPrincipal (EXCLUSIVE_THING).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ota.certificates import keys
from ota.certificates.certificates import (
    ACTIVE,
    INACTIVE,
    NOUN,
    AttachedPrincipal,
    Certificate,
    FoundCertificate,
    delete_certificate,
    find_certificate,
    id_in,
    list_same_key,
)
from ota.certificates.files import CertificateFiles, find_certificate_file, write_certificate_file
from ota.certificates.keys import unusable
from ota.errors import CertificateError
from ota.messages import Command, Message, Shell, aws_command, command, message, shell
from ota.outcomes import Action, Change, Outcome, Verb, blocked

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

AGAIN = "run the same command again"
NEW_PAIR = f", then {AGAIN}; a new key pair is made."
EXISTING_DEVICE = command("all", existing_device="true", skip_build="true")
ADOPTED = "adopted from a run that was cut off"


def decide_certificate(state: FoundCertificate) -> Change:
    """What has to become of the certificate: what the first row that holds says; a refusal is a blocked change.

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

    A certificate that the settings name has to be active, of the key that is here, and of no other thing alone. Of a
    device in the field it has to be attached and active.
    """
    path, certificate = state.files.certificate_path, state.certificate
    if state.is_in_field:
        return _decide_in_field(state)
    problem = _existing_problem(state, state.existing_arn) if state.existing_arn else _problem(state)
    if problem:
        return replace(blocked(NOUN, state.existing_arn or path.name, problem), found=state)
    if certificate is None:
        key = "for the key that is there" if state.key else "with a new key"
        return Change(NOUN, Action.CREATE, f"of {state.thing_name}", f"{key}, into {path}", found=state)
    details = [_reuse_detail(state), "" if _is_local(state, certificate) else f"written to {path}"]
    return Change(NOUN, Action.REUSE, certificate.id, "; ".join(filter(None, details)), found=state)


def look_at_field_certificate(
    iot: IoTClient, files: CertificateFiles, *, attached: Sequence[AttachedPrincipal], thing_name: str
) -> FoundCertificate:
    """The certificate with which a device in the field connects; no file is read."""
    arns = tuple(principal.arn for principal in attached if ":cert/" in principal.arn)
    existing = [one for arn in arns if (one := find_certificate(iot, id_in(arn)))]
    chosen = next((one for one in existing if one.status == ACTIVE), existing[0] if existing else None)
    return FoundCertificate(iot, files, thing_name, found=chosen, attached_arns=arns, is_in_field=True)


def make_certificate(iot: IoTClient, change: Change) -> Outcome[Certificate]:
    """Carry out the change: an active certificate, and its files; attaching it to the thing is ``make_thing``'s part.

    Raises:
        CertificateError: files, thing and account do not belong together; nothing is changed then.
    """
    change.check()
    state: FoundCertificate = change.found
    if state.is_in_field and state.certificate:
        return Outcome(NOUN, Verb.REUSED, state.certificate.id, change.detail, state.certificate)
    if state.certificate is None:
        return _request(iot, state)
    _delete_doubles(iot, state.certificate, _doubles(state))
    return _write_files(state, Verb.REUSED, state.certificate, _reuse_detail(state))


def chosen_arn(change: Change) -> str | None:
    """The ARN of the certificate that the change uses; None for one that is not made yet, or a blocked change."""
    if change.problem or change.found.certificate is None:
        return None
    arn: str = change.found.certificate.arn
    return arn


def writes_certificate_file(change: Change) -> bool:
    """Whether carrying out the change gives the certificate file another content."""
    if change.problem:
        return False
    state: FoundCertificate = change.found
    return state.certificate is None or not _is_local(state, state.certificate)


def withdraw_certificate(
    iot: IoTClient, files: CertificateFiles, certificate: Outcome[Certificate], thing_name: str, rivals: Sequence[str]
) -> CertificateError:
    """Take back a certificate that this run has just attached beside another run's; returns the error to raise.

    One that was made in this run is deleted, because no device can have it; any other is only detached.
    """
    one, is_new = certificate.get(), certificate.verb is Verb.CREATED
    iot.detach_thing_principal(thingName=thing_name, principal=one.arn)
    if is_new:
        delete_certificate(iot, one.id, detached_from=thing_name)
        local = find_certificate_file(files.certificate_path)
        if local is not None and local.id == one.id:
            files.certificate_path.unlink()
    return CertificateError(
        f"A run from another folder set up the thing {thing_name} at the same time: its certificate "
        f"{', '.join(map(id_in, rivals))} stays, this run's {one.id} is {'deleted' if is_new else 'detached'}. Go on "
        f"there, or copy its certificate files to {files.private_key_path.parent} (credentials_path); or, once it has "
        "ended, start anew from here: ",
        command("clean"),
        ", then ",
        command("all"),
        ".",
    )


def check_active(iot: IoTClient, certificate_id: str) -> None:
    """Look again at the certificate that was made or found: a ``clean`` elsewhere may have taken it since.

    Raises:
        CertificateError: it is gone or not active.
    """
    found = find_certificate(iot, certificate_id)
    if found is None or found.status != ACTIVE:
        raise CertificateError(
            f"The certificate {certificate_id} is {found.status if found else 'deleted'} now, though it was active a "
            "moment ago: a run from another folder took it, ",
            command("clean"),
            " for instance. Once that has ended, run ",
            command("all"),
            " again; where it was cut off, finish it first with ",
            command("clean"),
            ".",
        )


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
    certificate_id = id_in(arn)
    reason = ""
    if arn == existing_arn:
        reason = "named by existing_certificate_arn, stays"
    elif not is_thing_ours:
        reason = f"attached to the thing {thing_name}, which this tool did not make, stays"
    elif others:
        reason = f"attached to {', '.join(others)} too, stays"
    return Change(NOUN, Action.KEEP if reason else Action.DELETE, certificate_id, reason, found=arn)


def _decide_in_field(state: FoundCertificate) -> Change:
    if state.found is None:
        problem = CertificateError(
            f"The thing {state.thing_name} has no certificate, so no device can connect as it, and existing_device is "
            "true, so none is made. Set it to false for a device that is new: ",
            command("all", existing_device="false"),
            ".",
            remedy=command("all", existing_device="false"),
        )
        return replace(blocked(NOUN, f"of {state.thing_name}", problem), found=state)
    if state.found.status != ACTIVE:
        activate = aws_command(state.iot, "update-certificate", certificate_id=state.found.id, new_status=ACTIVE)
        problem = CertificateError(
            f"The certificate {state.found.id} of the thing {state.thing_name} is {state.found.status}, so no device "
            "can connect with it. If it is to be used, activate it: ",
            activate,
            ".",
            remedy=activate,
        )
        return replace(blocked(NOUN, state.found.id, problem), found=state)
    return Change(NOUN, Action.REUSE, state.found.id, "of the device in the field", found=state)


def _reuse_detail(state: FoundCertificate) -> str:
    if state.existing_arn:
        return "" if state.key else f"the build needs its private key at {state.files.private_key_path}"
    return "" if state.found else ADOPTED


def _is_local(state: FoundCertificate, certificate: Certificate) -> bool:
    return state.local is not None and state.local.id == certificate.id


def _doubles(state: FoundCertificate) -> tuple[Certificate, ...]:
    """Certificates of the key that a lost answer or a cut-off deletion left, to be deleted but for the one used."""
    return () if state.attached_arns else state.same_key


def _request(iot: IoTClient, state: FoundCertificate) -> Outcome[Certificate]:
    key, doubles = state.key or keys.create_private_key(state.files.private_key_path), _doubles(state)
    keys.write_public_key(state.files.public_key_path, key)
    created = iot.create_certificate_from_csr(
        certificateSigningRequest=keys.signing_request(key, state.thing_name), setAsActive=True
    )
    certificate = Certificate(
        created["certificateId"], created["certificateArn"], ACTIVE, pem=created["certificatePem"]
    )
    if created["ResponseMetadata"]["RetryAttempts"]:
        # An answer may have been lost, and AWS makes another certificate for each retry.
        doubles = tuple(list_same_key(iot, state.files, state.thing_name, key))
    _delete_doubles(iot, certificate, doubles)
    return _write_files(state, Verb.CREATED, certificate)


def _delete_doubles(iot: IoTClient, kept: Certificate, same_key: Sequence[Certificate]) -> None:
    """Delete the others: once there is a certificate file nobody searches for them, and they would stay active."""
    for double in same_key:
        if double.id != kept.id:
            delete_certificate(iot, double.id)


def _write_files(
    state: FoundCertificate, verb: Verb, certificate: Certificate, detail: str = ""
) -> Outcome[Certificate]:
    """Bring the files up to the certificate."""
    details = [detail]
    path, key_path = state.files.certificate_path, state.files.private_key_path
    if not _is_local(state, certificate):
        kept_path = write_certificate_file(path, certificate.pem or "", state.local)
        details += [f"written to {path}", f"the former one is kept as {kept_path.name}" if kept_path else ""]
    if state.key:
        keys.write_public_key(state.files.public_key_path, state.key)
        if keys.is_readable_by_others(key_path):
            details.append(f"others can read the private key: {shell('chmod', 600, key_path).line}")
        if folder := keys.folder_open_to_others(key_path):
            details.append(f"others can replace the files in {folder}: {shell('chmod', 'go-w', folder).line}")
    return Outcome(NOUN, verb, certificate.id, "; ".join(filter(None, details)), certificate)


def _problem(state: FoundCertificate) -> CertificateError | None:
    """Why files, thing and account do not belong together; the refusals of the table, row by row."""
    if state.key is None:
        if state.local:
            return _file_without_key(state)
        return _attached_without_key(state) if state.attached_arns else None
    if state.local and state.local.public_key != keys.public_key_bytes(state.key.public_key()):
        return _other_key(state)
    certificate = state.certificate
    if certificate is None:
        return _other_attached(state) if state.attached_arns else None
    if certificate.status != ACTIVE:
        return _not_active(state, certificate)
    if certificate.arn in state.attached_arns:
        return _two_attached(state, certificate) if state.rival_arns else None
    if state.attached_arns:
        return _other_attached(state)
    return _belongs_elsewhere(state, certificate) if state.elsewhere else None


def _existing_problem(state: FoundCertificate, existing_arn: str) -> CertificateError | None:
    """Why the certificate that the settings name cannot be used."""
    found = state.found
    if found is None or found.arn != existing_arn:
        return unusable(
            f"existing_certificate_arn names {existing_arn}, and there is no such certificate in this account and "
            f"region ({state.iot.meta.region_name})",
            "correct it, or set it to CREATE_NEW_CERTIFICATE.",
        )
    if found.status != ACTIVE:
        return _not_active(state, found)
    if state.key and keys.public_key_bytes(state.key.public_key()) != found.public_key:
        return unusable(
            f"The private key {state.files.private_key_path} does not belong to the certificate that "
            f"existing_certificate_arn names ({found.id})",
            "put its key there, or set credentials_path to a folder of its own.",
        )
    if state.elsewhere:
        return unusable(
            f"The certificate that existing_certificate_arn names ({found.id}) belongs to {state.elsewhere[0]} alone",
            "name another one.",
        )
    return None


def _file_without_key(state: FoundCertificate) -> CertificateError:
    path, key_path = state.files.certificate_path, state.files.private_key_path
    return unusable(
        f"The certificate {path} is there, and its private key {key_path} is not",
        "put the key back. ",
        *(_as_it_is() if state.attached_arns else ("If it is lost, start anew: ", _move_away(path), NEW_PAIR)),
        remedy=EXISTING_DEVICE if state.attached_arns else _move(path),
    )


def _attached_without_key(state: FoundCertificate) -> CertificateError:
    return unusable(
        f"The thing {state.thing_name} has the certificate {_attached_ids(state)}, and the device's private key is not "
        f"at {state.files.private_key_path}",
        "put it back, or set credentials_path to where it is. ",
        *_as_it_is(),
        remedy=EXISTING_DEVICE,
    )


def _other_key(state: FoundCertificate) -> CertificateError:
    path, key_path = state.files.certificate_path, state.files.private_key_path
    return unusable(
        f"The private key {key_path} does not belong to the certificate {path}",
        "put the right one of the two back. To go on with this key, ",
        _move_away(path),
        f" and {AGAIN}; a certificate for this key is looked for, and else requested.",
        *((" ", *_as_it_is()) if state.attached_arns else ()),
        remedy=EXISTING_DEVICE if state.attached_arns else _move(path),
    )


def _other_attached(state: FoundCertificate) -> CertificateError:
    folder = state.files.private_key_path.parent
    ours = state.found.id if state.found else "none that is attached to it"
    return unusable(
        f"The files in {folder} do not belong to the thing {state.thing_name}",
        f"their certificate is {ours}, and the thing has {_attached_ids(state)}. Put that one's files there, or set "
        "credentials_path to where they are. ",
        *_as_it_is(),
        remedy=EXISTING_DEVICE,
    )


def _two_attached(state: FoundCertificate, found: Certificate) -> CertificateError:
    other_id = id_in(state.rival_arns[0])
    delete = command("delete.certificate", "--name", other_id, "--force")
    return unusable(
        f"The thing {state.thing_name} has two certificates of this tool",
        f"{found.id}, whose files are here, and {other_id}, which a run from another folder made. Delete the one that "
        "no device uses (",
        delete,
        "; for the one here ",
        command("delete.certificate", "--name", found.id, "--force"),
        f"), then {AGAIN}.",
        remedy=delete,
    )


def _not_active(state: FoundCertificate, found: Certificate) -> CertificateError:
    path, key_path = state.files.certificate_path, state.files.private_key_path
    activate = aws_command(state.iot, "update-certificate", certificate_id=found.id, new_status=ACTIVE)
    may_activate = found.status == INACTIVE
    # Only the one that no device can connect with: another that the thing has may be a working device's.
    is_attached = found.arn in state.attached_arns
    detach = _detachment(state, state.thing_name, found.arn)
    finish = ("where a clean was cut off, finish it (", command("clean"), "); or activate it (", activate, "); or ")
    return unusable(
        f"The certificate {found.id} is {found.status}, so no device can connect with it",
        *(finish if may_activate else ()),
        "start anew: ",
        _move_away(path),
        ", ",
        _move_away(key_path),
        *((" and detach it (", detach, ")") if is_attached else ()),
        f", then {AGAIN}.",
        remedy=activate if may_activate else (_move(path), _move(key_path), *([detach] if is_attached else [])),
    )


def _belongs_elsewhere(state: FoundCertificate, found: Certificate) -> CertificateError:
    return unusable(
        f"The certificate in {state.files.certificate_path} ({found.id}) belongs to {', '.join(state.elsewhere)}",
        f"set another credentials_path, so that {state.thing_name} gets a certificate of its own.",
    )


def _attached_ids(state: FoundCertificate) -> str:
    return ", ".join(map(id_in, state.attached_arns))


def _as_it_is() -> tuple[str | Command, ...]:
    """How to go on with a device that has its key; a working device's certificate is never to be detached."""
    return (
        "For a device that has its key and certificate: ",
        EXISTING_DEVICE,
        ". If no device uses that certificate any more, ",
        command("clean"),
        " deletes it, and ",
        command("all"),
        " makes a new key pair.",
    )


def _detachment(state: FoundCertificate, thing_name: str, certificate_arn: str) -> Shell:
    return aws_command(state.iot, "detach-thing-principal", thing_name=thing_name, principal=certificate_arn)


def _move_away(path: Path) -> Message:
    return message("move it away (", _move(path), ")")


def _move(path: Path) -> Shell:
    return shell("mv", path, f"{path}.old")
