"""Signatures: read a signature's file, and prove offline that it is this image's, by this key.

A device that cannot verify a signature reports nothing: the job stays in progress and the image is dropped. So the
form of the file and the proof itself are checked before anything is uploaded, and an error says what the file or the
signature is instead. The text is copied into the job document unchanged, so a file with anything else in it (the raw
bytes, a digest, a wrapped text, a web page that was downloaded instead) is refused.

The hash is always SHA-256. SHA-1 is tried only to name the mistake in a signature that was made with it.

Source: RFC 8017 section 8.1 (RSA-PSS) and 8.2 (PKCS#1 v1.5); RFC 3279 section 2.2.3 (ECDSA-Sig-Value); RFC 4648
section 4 (base64); FreeRTOS/iot-reference-arm-corstone3xx ``GenerateAWSUpdateDigestAndSignature.cmake`` (openssl's
longest salt).
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, types, utils
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

from ota.errors import SignatureError
from ota.images import ImageFile
from ota.messages import Shell, Text, message, shell
from ota.profiles import HASH_ALGORITHM, P256, P384, Padding

# The device's hash first; the others tell what a wrong signature was made with.
_HASHES: dict[str, SHA256 | SHA1] = {HASH_ALGORITHM: SHA256(), "SHA1": SHA1()}  # noqa: S303 - to name a mistake
_CURVES = {ec.SECP256R1.name: P256, ec.SECP384R1.name: P384}
_PSS_WORDS = ("digest:sha256", "rsa_padding_mode:pss", "rsa_mgf1_md:sha256")
_SIGN = {
    Padding.PSS: shell("openssl", "pkeyutl", "-sign", *(word for one in _PSS_WORDS for word in ("-pkeyopt", one))),
    Padding.PKCS1: shell("openssl", "dgst", "-sha256", "-sign"),
}
_BASE64 = shell("openssl", "base64", "-A")

# RSA-2048, RSA-3072, RSA-4096.
RSA_SIGNATURE_BYTES = (256, 384, 512)
# The sizes of r and s of the two curves: P-256, P-384.
EC_NUMBER_BYTES = (32, 48)
_READ_BYTES = 16_384
_KNOWN_LENGTHS = {
    20: "that is a SHA-1 digest",
    32: "that is a SHA-256 digest",
    64: "that may be r and s of P-256 side by side where DER is wanted",
    96: "that may be r and s of P-384 side by side where DER is wanted",
    128: "RSA-1024 is not used",
}
_HEX = rb"\s*(?:[^\s=]+=\s*)?(?:[0-9A-Fa-f]{2}[:\s]*){16,}\Z"
_RAW = message("it holds raw bytes; write them as text with: ", _BASE64)
# What a file may be instead, the more specific first, and what to do about it.
_LOOKS: tuple[tuple[Callable[[bytes], object], Text], ...] = (
    (lambda data: not data.strip(), "it is empty; build again"),
    (
        re.compile(rb"\xff\xfe[\0-\x7f]\0|\xfe\xff\0[\0-\x7f]|\xef\xbb\xbf").match,
        "it starts with a byte order mark; save it as ASCII",
    ),
    (re.compile(rb"[\0-\x08\x0e-\x1f\x7f]").search, _RAW),  # before what only looks at how the file begins
    (re.compile(rb".*-----BEGIN ", re.DOTALL).match, "it holds a PEM (a key or a certificate)"),
    (re.compile(rb"\s*<").match, "it holds a web page or XML; download the file itself"),
    (re.compile(rb"\s*[{\[]").match, "it holds JSON; save the signature alone"),
    (re.compile(rb"[^\t\n\r -~]").search, _RAW),
    (
        re.compile(_HEX).match,
        message("it is hexadecimal; write it as text with: ", Shell(f"xxd -r -p | {_BASE64.line}")),
    ),
    (re.compile(rb"\S\s+\S").search, message("it has spaces or line breaks inside; write it with: ", _BASE64)),
    (re.compile(rb"\s*[A-Za-z0-9+/]*[-_]").match, "it has - or _, as in URLs, where base64 has + and /"),
)


class WrongKeyKind(SignatureError):
    """The public key's kind is not the one that ``signature_algorithm`` names."""


class WrongCurve(SignatureError):
    """The public key is an elliptic one on a curve that no known firmware verifies with."""


class WrongSigning(SignatureError):
    """The signature is this key's and of this image, but with another padding or hash than the device verifies."""


@dataclass(frozen=True)
class Proof:
    """How a signature was proven.

    Attributes:
        key: kind and size of the public key: "RSA-3072", "EC secp256r1".
        padding: "PSS" or "PKCS#1 v1.5" for RSA, None for ECDSA.
        salt_length_bytes: the length of the signature's salt, None where there is none.
    """

    key: str
    padding: str | None = None
    salt_length_bytes: int | None = None

    def __str__(self) -> str:
        salt = "" if self.salt_length_bytes is None else f" with {self.salt_length_bytes} bytes of salt"
        padding_ = f", {self.padding}{salt}" if self.padding else ""
        return f"{self.key}{padding_}, {HASH_ALGORITHM}"


@dataclass(frozen=True)
class SignatureFile:
    """One reading of a signature's file.

    Attributes:
        path: the file.
        data: its first 16 KiB, far more than a signature has.
        modified_ns: when the file was written last, in nanoseconds.
    """

    path: Path
    data: bytes
    modified_ns: int


def read_signature(path: Path) -> SignatureFile:
    """Read the file once, whatever it holds.

    Raises:
        SignatureError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return SignatureFile(path, file.read(_READ_BYTES), os.fstat(file.fileno()).st_mtime_ns)
    except OSError as error:
        raise SignatureError(f"the signature {path} cannot be read: {error.strerror}") from error


def signature_text(file: SignatureFile) -> str:
    """The base64 text of a signature, without the white space around it.

    The text stands for 256, 384 or 512 bytes (RSA) or a DER pair of numbers of P-256 or P-384 (ECDSA).

    Raises:
        SignatureError: the file holds something else; says what, where that can be told.
    """
    start = f"{file.path} is not a signature in base64: "
    for matches, what in _LOOKS:
        if matches(file.data):
            raise SignatureError(start, what)
    text = file.data.decode("ascii").strip()
    try:
        decode_signature(text)
    except SignatureError as error:
        raise SignatureError(start, error.message) from error
    return text


def holds_raw_bytes(file: SignatureFile) -> bool:
    """Whether the file holds a signature's bytes in place of their base64 text."""
    try:
        decode_signature(base64.b64encode(file.data).decode("ascii"))
    except SignatureError:
        return False
    return True


def decode_signature(signature_text: str) -> bytes:
    """The bytes that a signature's base64 text stands for.

    Raises:
        SignatureError: not base64, or not the length of a signature that a device verifies.
    """
    try:
        signature = base64.b64decode(signature_text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SignatureError(f"its {len(signature_text)} characters are not valid base64") from error
    if len(signature) not in RSA_SIGNATURE_BYTES and not _is_ecdsa_signature(signature):
        hint = _KNOWN_LENGTHS.get(len(signature), "no RSA or ECDSA signature looks so")
        raise SignatureError(f"it stands for {len(signature)} bytes; {hint}")
    return signature


def verify_signature(
    image: ImageFile,
    signature_text: str,
    public_key_path: Path,
    *,
    signature_algorithm: str,
    rsa_padding: Padding = Padding.PSS,
    curves: Collection[str] = (P256, P384),
) -> Proof:
    """Prove that the base64 text is a signature of the whole image by this public key.

    RSA means ``rsa_padding``: PSS with any salt length and MGF1 of the same hash, or PKCS#1 v1.5. ECDSA means a DER
    signature by a key on one of these curves. The key file is a PEM public key, or a PEM certificate.

    Raises:
        WrongKeyKind: the key is no RSA key for RSA, or no elliptic one for ECDSA.
        WrongCurve: the key is an elliptic one, but not on one of these curves.
        WrongSigning: the key signed this image, but with other padding or another hash.
        SignatureError: it is not, with what it is instead where that can be told; or the key cannot be used.
    """
    key = _public_key(public_key_path)
    signature = decode_signature(signature_text)
    if isinstance(key, rsa.RSAPublicKey) and signature_algorithm == "RSA":
        return _prove_rsa(key, signature, image, rsa_padding)
    if isinstance(key, ec.EllipticCurvePublicKey) and signature_algorithm == "ECDSA":
        return _prove_ecdsa(key, signature, image, curves)
    raise WrongKeyKind(
        f"signature_algorithm is {signature_algorithm}, but the public key {public_key_path} is {_key_name(key)}"
    )


def is_key_pair(private_key_path: Path, public_key_path: Path) -> bool:
    """Whether both files can be read, and the private key is that of the public key or certificate."""
    try:
        private = load_pem_private_key(private_key_path.read_bytes(), password=None)
        public = _public_key(public_key_path)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm, SignatureError):
        return False
    return private.public_key() == public


def is_rsa_key(public_key_path: Path) -> bool:
    """Whether this public key, or this certificate's, is an RSA key.

    Raises:
        SignatureError: the file cannot be read or holds no public key.
    """
    return isinstance(_public_key(public_key_path), rsa.RSAPublicKey)


def _public_key(path: Path) -> types.PublicKeyTypes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SignatureError(f"the public key {path} cannot be read: {error.strerror}") from error
    if b"PRIVATE KEY" in data:
        publish = shell("openssl", "pkey", "-in", path, "-pubout", "-out", "public_key.pem")
        raise SignatureError(f"{path} holds a private key; name the public one, made by: ", publish)
    try:
        if b"-----BEGIN CERTIFICATE-----" in data:
            return load_pem_x509_certificate(data).public_key()
        return load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SignatureError(f"{path} is no public key in PEM form, nor a certificate") from error


def _prove_rsa(key: rsa.RSAPublicKey, signature: bytes, image: ImageFile, rsa_padding: Padding) -> Proof:
    key_bytes, name = (key.key_size + 7) // 8, _key_name(key)
    if len(signature) != key_bytes:
        raise SignatureError(
            f"the signature of {image.path} has {len(signature)} bytes, one by {name} has {key_bytes}: "
            f"another key signed it"
        )
    digest, hash_ = image.digest(HASH_ALGORITHM), _HASHES[HASH_ALGORITHM]
    if _padding_of(key, signature, digest, hash_) is not rsa_padding:
        raise _rsa_failure(key, signature, image, rsa_padding)
    salt_length_bytes = _salt_length(key, signature, digest, hash_) if rsa_padding is Padding.PSS else None
    return Proof(name, rsa_padding.value, salt_length_bytes)


def _prove_ecdsa(key: ec.EllipticCurvePublicKey, signature: bytes, image: ImageFile, curves: Collection[str]) -> Proof:
    if _CURVES.get(key.curve.name) not in curves:
        raise WrongCurve(
            f"the signing key is {_key_name(key)}, and the firmware verifies with {' or '.join(curves)} only (P-256 is "
            "prime256v1 or secp256r1); sign with a new key, whose public half goes into the firmware"
        )
    matching = (name for name, hash_ in _HASHES.items() if _is_ecdsa(key, signature, image.digest(name), hash_))
    found = next(matching, None)
    if found is None:
        raise SignatureError(_not_its_signature(image.path, _key_name(key)))
    if found != HASH_ALGORITHM:
        raise WrongSigning(_other_hash(image.path, found))
    return Proof(_key_name(key))


def _rsa_failure(key: rsa.RSAPublicKey, signature: bytes, image: ImageFile, rsa_padding: Padding) -> SignatureError:
    """What the signature is instead; every padding and hash that a signer may have used is tried."""
    start, sign = f"the signature of {image.path} is ", _SIGN[rsa_padding]
    for name, hash_ in _HASHES.items():
        found = _padding_of(key, signature, image.digest(name), hash_)
        if found is rsa_padding:
            return WrongSigning(_other_hash(image.path, name))
        if found is not None:
            wanted = f"{start}{found.value} ({name}), the device wants {rsa_padding.value}; sign with "
            return WrongSigning(wanted, sign)
    digest, hash_ = image.digest(HASH_ALGORITHM), _HASHES[HASH_ALGORITHM]
    for name, mask in _HASHES.items():
        if _is_rsa(key, signature, digest, padding.PSS(padding.MGF1(mask), padding.PSS.AUTO), hash_):
            wanted = f"PSS with a mask (MGF1) made by {name}, the device wants {HASH_ALGORITHM}; sign with "
            return WrongSigning(f"{start}{wanted}", sign)
    return SignatureError(_not_its_signature(image.path, _key_name(key)))


def _padding_of(key: rsa.RSAPublicKey, signature: bytes, digest: bytes, hash_: HashAlgorithm) -> Padding | None:
    if _is_pss(key, signature, digest, hash_, padding.PSS.AUTO):
        return Padding.PSS
    return Padding.PKCS1 if _is_rsa(key, signature, digest, padding.PKCS1v15(), hash_) else None


def _is_pss(key: rsa.RSAPublicKey, signature: bytes, digest: bytes, hash_: HashAlgorithm, salt: object) -> bool:
    return _is_rsa(key, signature, digest, padding.PSS(padding.MGF1(hash_), salt), hash_)  # type: ignore[arg-type]


def _is_rsa(
    key: rsa.RSAPublicKey, signature: bytes, digest: bytes, pad: padding.AsymmetricPadding, hash_: HashAlgorithm
) -> bool:
    try:
        key.verify(signature, digest, pad, utils.Prehashed(hash_))
    except InvalidSignature:
        return False
    return True


def _is_ecdsa(key: ec.EllipticCurvePublicKey, signature: bytes, digest: bytes, hash_: HashAlgorithm) -> bool:
    try:
        key.verify(signature, digest, ec.ECDSA(utils.Prehashed(hash_)))
    except InvalidSignature:
        return False
    return True


def _is_ecdsa_signature(signature: bytes) -> bool:
    try:
        number_bytes = (max(decode_dss_signature(signature)).bit_length() + 7) // 8
    except ValueError:
        return False
    # A few leading zero bytes happen; many never do.
    return any(size - 4 < number_bytes <= size for size in EC_NUMBER_BYTES)


def _salt_length(key: rsa.RSAPublicKey, signature: bytes, digest: bytes, hash_: HashAlgorithm) -> int:
    """Found by trying, the two usual lengths first: the library verifies any salt but does not return its length."""
    longest = padding.calculate_max_pss_salt_length(key, hash_)
    lengths: tuple[int, ...] = (longest, hash_.digest_size, *range(longest))
    return next(length for length in lengths if _is_pss(key, signature, digest, hash_, length))


def _key_name(key: types.PublicKeyTypes) -> str:
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA-{key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}"
    return type(key).__name__.removesuffix("PublicKey")


def _not_its_signature(image_path: Path, key_name: str) -> str:
    return (
        f"the signature is not one of {image_path} by this {key_name} key: the image was changed after it was signed, "
        "or another key signed it; build again, and check that the public key belongs to the build's private key"
    )


def _other_hash(image_path: Path, found: str) -> str:
    wanted = HASH_ALGORITHM
    return f"the signature of {image_path} was made with {found}, the device wants {wanted}; sign with {wanted}"
