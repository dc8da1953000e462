"""Why a certificate cannot be used, and the ways out: one error for each state that the tool will not change itself.

A key or a certificate that somebody may still need is never thrown away here. So each sentence names the files and
the certificates that do not belong together, and gives the commands for both ways out: put the right ones back, or
start anew.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ota.certificate_files import CertificateFiles, LocalCertificate
from ota.certificate_records import ACTIVE, INACTIVE, Certificate
from ota.command_lines import aws_command
from ota.errors import CertificateError

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

    from ota.keys import PrivateKey


@dataclass(frozen=True)
class Look:
    """Everything that the decision rests on: the files, the thing and the account, as they are now.

    Attributes:
        key: the private key at its path.
        local: the certificate file at its path.
        found: the account's certificate for that file, or the one that the settings name.
        attached_arns: certificates that hang on the thing.
        rival_arns: those among them that another run attached as this tool does it, where ``found`` is known.
    """

    iot: IoTClient
    files: CertificateFiles
    thing_name: str
    key: PrivateKey | None
    local: LocalCertificate | None
    found: Certificate | None
    attached_arns: tuple[str, ...]
    rival_arns: tuple[str, ...] = ()

    @property
    def attached_ids(self) -> list[str]:
        """The ids in ``attached_arns``."""
        return [id_in(arn) for arn in self.attached_arns]


def file_without_key(look: Look) -> CertificateError:
    """A certificate file, and no key."""
    key_path, path = look.files.private_key_path, look.files.certificate_path
    return CertificateError(
        f"The certificate {path} is there, and its private key {key_path} is not: put the key back. If it is lost, "
        f"start anew: {_move_away(path)}{_detach_commands(look)}, then run the same command again; a new key pair "
        "is made.",
        remedy=_joined(_move(path), *_detachments(look)),
    )


def attached_without_key(look: Look) -> CertificateError:
    """The thing has a certificate, and no file is here."""
    return CertificateError(
        f"The thing {look.thing_name} has the certificate {', '.join(look.attached_ids)}, and the device's private "
        f"key is not at {look.files.private_key_path}: put it back, or set credentials_path to where it is. If it "
        f"is lost, start anew{_detach_commands(look)}, then run the same command again; a new key pair is made.",
        remedy=_joined(*_detachments(look)),
    )


def other_key(look: Look) -> CertificateError:
    """Key and certificate file are not a pair."""
    path, key_path = look.files.certificate_path, look.files.private_key_path
    return CertificateError(
        f"The private key {key_path} does not belong to the certificate {path}: put the right one "
        f"of the two back. To go on with this key, {_move_away(path)} and run the same command again; a certificate "
        "for this key is looked for, and else requested.",
        # Which of the two is the right one nobody knows; where the thing has a certificate, only a new pair is safe.
        remedy=_joined(_move(key_path), _move(path), *_detachments(look)) if look.attached_arns else _move(path),
    )


def other_attached(look: Look) -> CertificateError:
    """The files here are not those of the thing's certificate."""
    ours = look.found.id if look.found else "none that is attached to it"
    return CertificateError(
        f"The files in {look.files.private_key_path.parent} do not belong to the thing {look.thing_name}: their "
        f"certificate is {ours}, and the thing has {', '.join(look.attached_ids)}. Put that one's files there, or set "
        f"credentials_path to where they are. To use the files that are here{_detach_commands(look)}, then run the "
        "same command again.",
        remedy=_joined(*_detachments(look)),
    )


def two_attached(look: Look, found: Certificate) -> CertificateError:
    """Two runs have set up the thing, from two folders."""
    other_id = id_in(look.rival_arns[0])
    command = f"invoke delete.certificate --name {other_id} --force"
    return CertificateError(
        f"The thing {look.thing_name} has two certificates of this tool: {found.id}, whose files are here, and "
        f"{other_id}, which a run from another folder made. Delete the one that no device uses "
        f"(`{command}`; for the one here `invoke delete.certificate --name {found.id} --force`), then run the same "
        "command again.",
        remedy=command,
    )


def set_up_elsewhere(
    files: CertificateFiles, thing_name: str, certificate_id: str, rivals: Sequence[str], *, is_deleted: bool
) -> CertificateError:
    """Another run has set up the thing while this one was at it."""
    done = "deleted" if is_deleted else "detached"
    return CertificateError(
        f"A run from another folder set up the thing {thing_name} at the same time: its certificate "
        f"{', '.join(map(id_in, rivals))} stays, this run's {certificate_id} is {done}. Go on there, or copy its "
        f"certificate files to {files.private_key_path.parent} (credentials_path); or, once it has ended, start anew "
        "from here: `invoke clean`, then `invoke all`."
    )


def lost_meanwhile(certificate_id: str, status: str) -> CertificateError:
    """Somebody else has taken the certificate during this run."""
    return CertificateError(
        f"The certificate {certificate_id} is {status} now, though it was active a moment ago: a run from another "
        "folder took it, `invoke clean` for instance. Once that has ended, run `invoke all` again; where it was cut "
        "off, finish it first with `invoke clean`."
    )


def not_active(look: Look, found: Certificate) -> CertificateError:
    """The certificate was deactivated or revoked."""
    path, key_path = look.files.certificate_path, look.files.private_key_path
    activate = aws_command(look.iot, "update-certificate", certificate_id=found.id, new_status=ACTIVE)
    may_activate = found.status == INACTIVE
    way_out = (
        f"where a clean was cut off, finish it (`invoke clean`); or activate it (`{activate}`); or "
        if may_activate
        else ""
    )
    return CertificateError(
        f"The certificate {found.id} is {found.status}, so no device can connect with it: {way_out}start anew: "
        f"{_move_away(path)}, {_move_away(key_path)}{_detach_commands(look)}, then run the same command again.",
        remedy=activate if may_activate else _joined(_move(path), _move(key_path), *_detachments(look)),
    )


def belongs_elsewhere(look: Look, found: Certificate, others: list[str]) -> CertificateError:
    """The files here are another thing's."""
    return CertificateError(
        f"The certificate in {look.files.certificate_path} ({found.id}) belongs to {', '.join(others)}: set another "
        f"credentials_path, so that {look.thing_name} gets a certificate of its own, or detach it there "
        f"({_detach_command(look, others[0], found.arn)}) and run the same command again."
    )


def no_such_existing(look: Look, existing_arn: str) -> CertificateError:
    """The settings name a certificate that is not in this account."""
    return CertificateError(
        f"existing_certificate_arn names {existing_arn}, and there is no such certificate in this account and region "
        f"({look.iot.meta.region_name}): correct it, or set it to CREATE_NEW_CERTIFICATE."
    )


def existing_has_other_key(look: Look, found: Certificate) -> CertificateError:
    """The key here is not that of the certificate that the settings name."""
    return CertificateError(
        f"The private key {look.files.private_key_path} does not belong to the certificate that "
        f"existing_certificate_arn names ({found.id}): put its key there, or set credentials_path to a folder of its "
        "own."
    )


def existing_belongs_elsewhere(look: Look, found: Certificate, other: str) -> CertificateError:
    """Another thing has the certificate that the settings name for itself alone."""
    return CertificateError(
        f"The certificate that existing_certificate_arn names ({found.id}) belongs to {other} alone: name another "
        f"one, or detach it there ({_detach_command(look, other, found.arn)}) and run the same command again."
    )


def no_certificate_arn(existing_arn: str) -> CertificateError:
    """The setting is not the ARN of a certificate."""
    return CertificateError(
        f"existing_certificate_arn is {existing_arn!r}, which is not a certificate's ARN: it must look like "
        "arn:aws:iot:REGION:ACCOUNT:cert/ID, or be CREATE_NEW_CERTIFICATE."
    )


def other_region(named: str, region: str) -> CertificateError:
    """The setting is the ARN of a certificate elsewhere."""
    return CertificateError(
        f"existing_certificate_arn names a certificate in {named}, and this run is for {region}: set "
        f"AWS_REGION={named}, or name a certificate of {region}."
    )


def id_in(arn: str) -> str:
    """The certificate's id at the end of its ARN."""
    return arn.rpartition("/")[2]


def quoted(path: Path) -> str:
    """A path as a shell takes it."""
    return shlex.quote(str(path))


def _detach_commands(look: Look) -> str:
    commands = [f"`{command}`" for command in _detachments(look)]
    return f" and detach what the thing has ({', '.join(commands)})" if commands else ""


def _detachments(look: Look) -> list[str]:
    return [_detachment(look, look.thing_name, arn) for arn in look.attached_arns]


def _detach_command(look: Look, thing_name: str, certificate_arn: str) -> str:
    return f"`{_detachment(look, thing_name, certificate_arn)}`"


def _detachment(look: Look, thing_name: str, certificate_arn: str) -> str:
    return aws_command(look.iot, "detach-thing-principal", thing_name=thing_name, principal=certificate_arn)


def _move_away(path: Path) -> str:
    return f"move it away (`{_move(path)}`)"


def _move(path: Path) -> str:
    return f"mv {quoted(path)} {quoted(path)}.old"


def _joined(*commands: str) -> str:
    return " && ".join(commands)
