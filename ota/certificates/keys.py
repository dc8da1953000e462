"""The device's key pair on this machine: generated here, written before AWS is asked, never overwritten.

A lost private key cannot be made again, so it reaches its path whole or not at all: it is written and synced under
another name in the same folder, then linked, which fails where a file exists. New keys are RSA 2048 in PKCS#1 PEM, the
form that the firmware's TLS reads, or ECDSA on P-256 where that is asked for; existing ones may be of any kind that AWS
IoT takes a request from. No message and no ``repr`` of an object here has key material in it.

Source: AWS IoT CreateCertificateFromCsr (key types that a request may have); RFC 8017 A.1.2; RFC 2986; POSIX ``mkdir``
(EEXIST), path resolution (ELOOP, ENOTDIR).
"""

from __future__ import annotations

import os
import shlex
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from cryptography.x509.oid import NameOID

from ota.errors import CertificateError
from ota.folders import make_private_folder
from ota.messages import AnyCommand, Message, Remedy, shell
from ota.platforms import CAN_OPEN_FOLDERS, HAS_FILE_MODES

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes


PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

RSA_2048, EC_P256 = "RSA-2048", "EC-P256"  # as the setting device_key_type has them
RSA_BITS = 2048
CURVES = ("secp256r1", "secp384r1", "secp521r1")
COMMON_NAME_LENGTH = 64
PRIVATE_MODE = 0o600
PUBLIC_MODE = 0o644
READABLE_BY_OTHERS = 0o077
WRITABLE_BY_GROUP_OR_OTHERS = 0o022
WRITABLE_BY_OTHERS = 0o002
UNFINISHED_SUFFIX = ".part"


def unusable(what: str, *way_out: str | AnyCommand | Message, remedy: AnyCommand | Remedy = ()) -> CertificateError:
    """Why a key or a certificate cannot be used: ``what`` is wrong, and behind a colon every way out."""
    return CertificateError(f"{what}: ", *way_out, remedy=remedy, brief=what)


def find_private_key(path: Path) -> PrivateKey | None:
    """The private key at ``path``; None where no file is.

    Raises:
        CertificateError: the file cannot be read, is no private key in PEM, has a passphrase, or is of a kind that
            AWS IoT takes no signing request from; or the path is a symbolic link to nothing.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        _refuse_dangling_link(path)
        return None
    except OSError as error:
        if obstacle := find_obstacle(path):
            raise unusable(
                f"The private key {path} cannot be read", f"{obstacle}, or set credentials_path to another folder."
            ) from error
        raise unusable(f"The private key {path} cannot be read ({error.strerror})", "check its owner.") from error
    try:
        # Without OpenSSL's own check, which tests the primes: that takes longer than all else in a run on this machine.
        key = _checked(load_pem_private_key(content, password=None, unsafe_skip_rsa_key_validation=True))
    except TypeError as error:
        raise unusable(
            f"The private key {path} has a passphrase, which no device could enter",
            "take it off (",
            shell("openssl", "pkey", "-traditional", "-in", path, "-out", "NEW_FILE"),
            ") or move the file away.",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise unusable(
            f"{path} is not a private key in PEM form",
            "put the device's key back there, or move the file away and a new key is made.",
        ) from error
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= RSA_BITS:
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in CURVES:
        return key
    raise unusable(
        f"The private key {path} is of a kind that AWS IoT makes no certificate for",
        f"it must be RSA of at least {RSA_BITS} bits or ECDSA on P-256, P-384 or P-521. Move the file away and a new "
        "key is made.",
    )


def create_private_key(path: Path, kind: str = RSA_2048) -> PrivateKey:
    """Make a key and write it to ``path``, mode 0600, in a folder made with 0700 where there is none.

    ``kind`` is ``RSA-2048`` or ``EC-P256``. When another run puts a key there at the same moment, that one is left and
    returned.

    Raises:
        CertificateError: the file cannot be written, or the path is a symbolic link to nothing.
    """
    _refuse_dangling_link(path)
    key = _new_key(kind)
    content = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    try:
        unfinished_path = _write_unfinished(path, content, PRIVATE_MODE)
        is_placed = _place_without_overwriting(unfinished_path, path)
        unfinished_path.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    return key if is_placed else find_private_key(path) or create_private_key(path, kind)


def write_public_key(path: Path, key: PrivateKey, *, is_synced: bool = True) -> None:
    """Write the public half in PEM (``PUBLIC KEY``), mode 0644, unless the file holds it already.

    It can be made again of the private key, so where there are thousands it need not be synced.

    Raises:
        CertificateError: the file cannot be written.
    """
    if not _holds_public_key(path, public_key_bytes(key.public_key())):
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        write_atomically(path, pem, is_synced=is_synced)


def public_key_bytes(key: PublicKeyTypes) -> bytes:
    """A public key as DER SubjectPublicKeyInfo: equal bytes, equal keys."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def signing_request(key: PrivateKey, thing_name: str) -> str:
    """A PKCS#10 request in PEM, signed with SHA-256; AWS IoT copies the subject into the certificate."""
    request = x509.CertificateSigningRequestBuilder().subject_name(subject_of(thing_name)).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.PEM).decode()


def subject_of(thing_name: str) -> x509.Name:
    """The subject of a certificate that this tool requests for the thing."""
    # X.520 ends a common name at 64 characters; a thing name may have 128.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, thing_name[:COMMON_NAME_LENGTH])])


def is_readable_by_others(path: Path) -> bool:
    """Whether the file's mode lets anybody but its owner at it."""
    return HAS_FILE_MODES and bool(path.stat().st_mode & READABLE_BY_OTHERS)


def folder_open_to_others(path: Path) -> Path | None:
    """The folder in which others may replace the file at ``path``; None where there is none.

    The file's own folder counts where its group or anybody may write; of the folders above only those where anybody
    may, since a group of one's own is usual there. A sticky folder, such as ``/tmp``, lets nobody replace the files of
    others.
    """
    own, *above = path.absolute().parents
    if _may_replace(own, WRITABLE_BY_GROUP_OR_OTHERS):
        return own
    return next((folder for folder in above if _may_replace(folder, WRITABLE_BY_OTHERS)), None)


def write_atomically(path: Path, content: bytes, mode: int = PUBLIC_MODE, *, is_synced: bool = True) -> None:
    """Replace ``path`` in one step, synced, so that a killed run leaves the old content or the new.

    Raises:
        CertificateError: the file cannot be written.
    """
    try:
        unfinished_path = _write_unfinished(path, content, mode, is_synced=is_synced)
        unfinished_path.replace(path)
        if is_synced:
            _sync_folder(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error


def unfinished_files(path: Path) -> list[Path]:
    """Unfinished files that killed runs left beside ``path``; no other run uses them."""
    return sorted(path.parent.glob(f".{path.name}.*{UNFINISHED_SUFFIX}"))


def _new_key(kind: str) -> PrivateKey:
    if kind == EC_P256:
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)


def _checked(key: PrivateKeyTypes) -> PrivateKeyTypes:
    """This key; raises ValueError where the numbers of an RSA key do not belong together, as in a damaged file."""
    if isinstance(key, rsa.RSAPrivateKey) and not _belong_together(key.private_numbers()):
        raise ValueError("the numbers of the RSA key do not belong together")
    return key


def _belong_together(numbers: rsa.RSAPrivateNumbers) -> bool:
    """What RFC 8017 3.2 says of the numbers of a private key with two primes, except that the primes are prime."""
    p, q, d, e = numbers.p, numbers.q, numbers.d, numbers.public_numbers.e
    if min(p, q) < 3 or p * q != numbers.public_numbers.n:
        return False
    exponents = all(exponent == d % (prime - 1) for exponent, prime in ((numbers.dmp1, p), (numbers.dmq1, q)))
    return exponents and numbers.iqmp * q % p == 1 and e * d % (p - 1) == 1 and e * d % (q - 1) == 1


def _may_replace(folder_path: Path, bits: int) -> bool:
    if not HAS_FILE_MODES:
        return False
    try:
        mode = folder_path.stat().st_mode
    except OSError:
        return False
    return bool(mode & bits) and not mode & stat.S_ISVTX


def _refuse_dangling_link(path: Path) -> None:
    """CertificateError where the path, or a folder on the way to it, is a symbolic link to nothing."""
    for link in (path, *path.absolute().parents):
        if link.is_symlink() and not link.exists():
            move = shell("mv", link, f"{link}.old")
            raise unusable(
                f"{link} is a symbolic link to {link.readlink()}, and nothing is there",
                "bring that back, or move the link away (",
                move,
                ") and run the same command again.",
                remedy=move,
            )


def _write_unfinished(path: Path, content: bytes, mode: int, *, is_synced: bool = True) -> Path:
    make_private_folder(path.parent)
    # mkstemp opens with O_EXCL and 0600, so that nobody else can read it at any moment.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=UNFINISHED_SUFFIX, dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if is_synced:
                os.fsync(file.fileno())
        Path(name).chmod(mode)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def _place_without_overwriting(unfinished_path: Path, path: Path) -> bool:
    """Whether ``path`` was free and has the content now."""
    try:
        path.hardlink_to(unfinished_path)
    except FileExistsError:
        return False
    except OSError:
        # FAT and some shared folders have no hard links; the look comes first there.
        if path.exists():
            return False
        unfinished_path.rename(path)
    return True


def _sync_folder(folder_path: Path) -> None:
    if not CAN_OPEN_FOLDERS:
        return
    descriptor = os.open(folder_path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _holds_public_key(path: Path, wanted: bytes) -> bool:
    try:
        return public_key_bytes(load_pem_public_key(path.read_bytes())) == wanted
    except (OSError, ValueError, UnsupportedAlgorithm):
        return False


def _cannot_write(path: Path, error: OSError) -> CertificateError:
    if obstacle := find_obstacle(path):
        return unusable(f"{path} cannot be written", f"{obstacle}, or set credentials_path to another folder.")
    return unusable(
        f"{path} cannot be written ({error.strerror})",
        "make the folder writable, or set credentials_path in config.json to one that is.",
    )


def find_obstacle(path: Path) -> str:
    """What is in the place of a folder on the way to ``path``, with the command that mends it; empty where none is."""
    for folder in reversed(path.absolute().parents):
        quoted = shlex.quote(str(folder))
        if folder.is_symlink() and not folder.exists():
            if _is_loop(folder):
                return f"{folder} is a link that leads to itself: remove it (`rm {quoted}`)"
            target = shlex.quote(str(folder.parent / folder.readlink()))
            return f"{folder} is a link to a folder that does not exist: make that folder (`mkdir -p {target}`)"
        if folder.exists() and not folder.is_dir():
            return f"{folder} is a file where a folder is needed: move it away (`mv {quoted} {quoted}.old`)"
    return ""


def _is_loop(link: Path) -> bool:
    try:
        link.resolve(strict=True)
    except FileNotFoundError:
        return False
    except (OSError, RuntimeError):  # RuntimeError before Python 3.13
        return True
    return False
