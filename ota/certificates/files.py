"""The device's three files on this machine: private key, public key and certificate.

A certificate file that no longer fits, because the account or the region is another one now, is kept beside the new
one under a name with its id. The certificate's id on AWS is the SHA-256 of its DER form, so that the file alone tells
which certificate to look for.

Source: AWS IoT API reference, CreateCertificateFromCsr and Certificate (certificateId).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ota.certificates import keys
from ota.certificates.keys import find_obstacle
from ota.folders import remove_empty_folder
from ota.messages import shell
from ota.outcomes import Action, Change, Outcome, Verb
from ota.settings.names import thing_name_problem

NOUN = "files"
SHORT_ID_LENGTH = 8
CERTIFICATE_NAME = re.compile(r"thing_certificate_(?P<thing>.+)\.pem\.crt")
KEPT_NAME = re.compile(r"thing_certificate_.+\.pem\.[0-9a-f]{8}\.crt")


@dataclass(frozen=True)
class CertificateFiles:
    """The paths of private key, public key and certificate; the files need not exist."""

    private_key_path: Path
    public_key_path: Path
    certificate_path: Path

    @property
    def kept_certificates(self) -> list[Path]:
        """Former certificate files that were kept: ``<stem>.<first 8 of id><suffix>``."""
        path = self.certificate_path
        return sorted(path.parent.glob(f"{path.stem}.{'[0-9a-f]' * SHORT_ID_LENGTH}{path.suffix}"))


@dataclass(frozen=True)
class LocalCertificate:
    """The certificate file as read: AWS's id for it (64 hex digits), its PEM, its public key as DER."""

    id: str
    pem: str
    public_key: bytes


def certificate_id_of(pem: str) -> str:
    """The id that AWS gives this certificate: SHA-256 over its DER form, 64 hex digits."""
    certificate = x509.load_pem_x509_certificate(pem.encode())
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def public_key_of(pem: str) -> bytes:
    """A certificate's public key as DER SubjectPublicKeyInfo."""
    return keys.public_key_bytes(x509.load_pem_x509_certificate(pem.encode()).public_key())


def is_requested_for(pem: str, thing_name: str) -> bool:
    """Whether the certificate has the subject that this tool gives its requests for the thing."""
    return x509.load_pem_x509_certificate(pem.encode()).subject == keys.subject_of(thing_name)


def find_certificate_file(path: Path) -> LocalCertificate | None:
    """The certificate file at ``path``; None where no file is.

    Raises:
        CertificateError: the file cannot be read or is no certificate in PEM.
    """
    try:
        pem = path.read_text(encoding="utf-8")
        return LocalCertificate(certificate_id_of(pem), pem, public_key_of(pem))
    except FileNotFoundError:
        return None
    except OSError as error:
        if obstacle := find_obstacle(path):
            raise keys.unusable(
                f"The certificate {path} cannot be read", f"{obstacle}, or set credentials_path to another folder."
            ) from error
        raise keys.unusable(f"The certificate {path} cannot be read ({error.strerror})", "check its owner.") from error
    except ValueError as error:
        raise keys.unusable(
            f"{path} is not a certificate in PEM form",
            "move it away (",
            shell("mv", path, f"{path}.bad"),
            ") and run the same command again; the right one is written there.",
        ) from error


def write_certificate_file(path: Path, pem: str, replaced: LocalCertificate | None = None) -> Path | None:
    """Write the certificate; ``replaced``, the file's former content, is kept first. Returns the path of that copy.

    Raises:
        CertificateError: the file cannot be written.
    """
    kept_path = None
    if replaced:
        kept_path = path.with_name(f"{path.stem}.{replaced.id[:SHORT_ID_LENGTH]}{path.suffix}")
        keys.write_atomically(kept_path, replaced.pem.encode())
    keys.write_atomically(path, pem.encode())
    return kept_path


def key_time(files: CertificateFiles) -> datetime:
    """When the private key file was written, in UTC."""
    return datetime.fromtimestamp(files.private_key_path.stat().st_mtime, tz=timezone.utc)


def find_certificate_files(folder_path: Path) -> tuple[dict[str, Path], list[Path]]:
    """Name of each thing to its certificate file in the folder, and the certificate files with other names.

    A certificate that was put aside for a newer one is in neither.
    """
    found: dict[str, Path] = {}
    others: list[Path] = []
    for path in sorted(folder_path.glob("*")):
        if path.suffix not in {".crt", ".pem"} or KEPT_NAME.fullmatch(path.name):
            continue
        named = CERTIFICATE_NAME.fullmatch(path.name)
        if named and thing_name_problem(named["thing"]) is None:
            found[named["thing"]] = path
        else:
            others.append(path)
    return found, others


def decide_files_deletion(files: CertificateFiles, *, is_needed: bool = False) -> Change:
    """Whether key pair and certificates on this machine are deleted; ``is_needed`` where their certificate stays."""
    if is_needed:
        return Change(NOUN, Action.KEEP, files.private_key_path.name, "of a certificate that stays")
    paths = _main_paths(files)
    leftovers = [leftover for path in paths for leftover in keys.unfinished_files(path)]
    present = [path for path in (*paths, *files.kept_certificates, *leftovers) if path.exists()]
    action = Action.DELETE if present else Action.ABSENT
    spoken = ", ".join(path.name for path in present)
    return Change(NOUN, action, str(files.private_key_path.parent), spoken, found=present)


def delete_local(files: CertificateFiles, change: Change | None = None) -> Outcome[None]:
    """Delete key pair and certificates on this machine, and their folders once empty; absent is success.

    A symbolic link to a folder was made by somebody else; link and folder stay.
    """
    change = change or decide_files_deletion(files)
    if change.action is Action.KEEP:
        return Outcome(NOUN, Verb.SKIPPED, change.name, change.detail)
    for path in change.found:
        path.unlink(missing_ok=True)
    for folder_path in {path.parent for path in _main_paths(files)}:
        remove_empty_folder(folder_path)
    return Outcome(NOUN, Verb.DELETED if change.found else Verb.ABSENT, change.name, change.detail)


def _main_paths(files: CertificateFiles) -> tuple[Path, ...]:
    return files.private_key_path, files.public_key_path, files.certificate_path
