"""Signing requests that come with a list of devices, and the keys and requests that are made here.

Thousands of keys are made by several processes. Each is started anew (``spawn``), as every system can, because a fork
of a process with threads may hang. Inside a process a few threads wait for the disk side by side. A private key is on
disk, synced and readable by its owner alone, before its request leaves the process. One that is there already is used.

Source: RFC 2986; AWS IoT CreateCertificateFromCsr (kinds of keys); Python's ``multiprocessing``, "Contexts and start
methods".
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from ota.certificates import keys
from ota.certificates.files import CertificateFiles
from ota.errors import CertificateError
from ota.messages import Text

PEM_BEGINS = "-----BEGIN"
CHUNK = 32
THREADS = 4
WORTH_A_PROCESS = {keys.RSA_2048: 8, keys.EC_P256: 400}  # so many keys take as long as a process takes to start


class Unusable(Exception):
    """Why a signing request cannot be used."""


class SigningRequest(NamedTuple):
    """A request that was checked: its PEM, and its public key as DER."""

    pem: str
    public_key: bytes


class KeyWork(NamedTuple):
    """A device whose key and request are wanted."""

    thing_name: str
    files: CertificateFiles


class KeyDone(NamedTuple):
    """What came of it: the request in PEM, or why there is none."""

    thing_name: str
    csr: str = ""
    problem: Text = ""


def read_signing_request(written: str, folder_path: Path) -> SigningRequest:
    """The request that a list gives: PEM text, or the path of a file, which may be relative to the list's folder.

    Raises:
        Unusable: there is no such file, it is no request in PEM, its signature does not match its key, or AWS IoT
            takes no key of that kind.
    """
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import Encoding

    text = written if written.startswith(PEM_BEGINS) else _read(folder_path / Path(written).expanduser())
    try:
        request = x509.load_pem_x509_csr(text.replace("\\n", "\n").encode())
        is_signed, key = request.is_signature_valid, request.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise Unusable("not a signing request in PEM form") from None
    if not is_signed:
        raise Unusable("its signature does not match its key")
    is_rsa = isinstance(key, rsa.RSAPublicKey) and key.key_size >= keys.RSA_BITS
    if not is_rsa and not (isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in keys.CURVES):
        raise Unusable(f"AWS takes RSA keys of at least {keys.RSA_BITS} bits, and ECDSA on P-256, P-384 or P-521")
    return SigningRequest(request.public_bytes(Encoding.PEM).decode(), keys.public_key_bytes(key))


def public_key_of_request(csr: str) -> bytes:
    """The public key of a request in PEM, as DER."""
    from cryptography import x509

    return keys.public_key_bytes(x509.load_pem_x509_csr(csr.encode()).public_key())


def make_signing_requests(works: Sequence[KeyWork], kind: str, *, processes: int | None = None) -> Iterator[KeyDone]:
    """Key and request of each device, in order, as soon as they are there.

    Args:
        works: the devices.
        kind: ``RSA-2048`` or ``EC-P256``, for keys that are not there yet.
        processes: how many processes make them; by default as many as there are processors, none for a few keys.
    """
    if processes is None:
        processes = min(os.cpu_count() or 1, len(works) // WORTH_A_PROCESS[kind])
    chunks = _chunks(works)
    if not processes:
        for chunk in chunks:
            yield from make_chunk(chunk, kind)
        return
    # Ctrl-C reaches all processes of a terminal; the first one ends the others.
    ignoring = (signal.SIGINT, signal.SIG_IGN)
    pool = ProcessPoolExecutor(processes, get_context("spawn"), initializer=signal.signal, initargs=ignoring)
    try:
        for done in pool.map(partial(make_chunk, kind=kind), chunks):
            yield from done
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def make_chunk(works: Sequence[KeyWork], kind: str) -> list[KeyDone]:
    """Keys and requests of a few devices; what runs in a process of its own."""
    with ThreadPoolExecutor(min(THREADS, len(works))) as pool:
        return list(pool.map(partial(_make, kind=kind), works))


def _make(work: KeyWork, kind: str) -> KeyDone:
    try:
        path = work.files.private_key_path
        key = keys.find_private_key(path) or keys.create_private_key(path, kind)
        keys.write_public_key(work.files.public_key_path, key, is_synced=False)
        return KeyDone(work.thing_name, keys.signing_request(key, work.thing_name))
    except CertificateError as error:
        return KeyDone(work.thing_name, problem=error.message)


def _chunks(works: Sequence[KeyWork]) -> Iterator[list[KeyWork]]:
    remaining = iter(works)
    while chunk := list(islice(remaining, CHUNK)):
        yield chunk


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        raise Unusable(f"there is no file {path}") from None
    except (OSError, UnicodeDecodeError):
        raise Unusable(f"the file {path} cannot be read") from None
