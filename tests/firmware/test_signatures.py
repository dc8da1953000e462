"""Signatures made by openssl itself, as the firmware's build makes them, and everything that can be wrong with one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ota.errors import FirmwareError, SignatureError
from ota.firmware.signatures import Proof, read_signature, signature_text, verify_signature
from ota.images import read_image
from ota.messages import Shell

IMAGE = bytes(range(256)) * 5000
PSS = ["rsa_padding_mode:pss", "rsa_mgf1_md:sha256"]
KEYS = {
    "RSA-2048": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "RSA-2048 other": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "RSA-3072": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"],
    "P-256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "P-256 other": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "P-384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "Ed25519": ["-algorithm", "ed25519"],
}


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name, options in KEYS.items():
        openssl("genpkey", *options, "-out", folder / f"{name}.key")
        openssl("pkey", "-in", folder / f"{name}.key", "-pubout", "-out", folder / f"{name}.pub")
    return folder


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "update_signed.bin"
    path.write_bytes(IMAGE)
    return path


def sign(image: Path, key: Path, options: list[str], hash_name: str = "sha256") -> str:
    """Digest, signature and base64 text, in the three steps of the firmware's CMake."""
    digest, raw, text = image.with_suffix(".digest"), image.with_suffix(".signature"), image.with_suffix(".txt")
    openssl("dgst", f"-{hash_name}", "-binary", "-out", digest, image)
    pkeyopts = [word for option in (f"digest:{hash_name}", *options) for word in ("-pkeyopt", option)]
    openssl("pkeyutl", "-sign", *pkeyopts, "-inkey", key, "-in", digest, "-out", raw)
    openssl("base64", "-A", "-in", raw, "-out", text)
    return signature_text(read_signature(text))


def verify(image: Path, text: str, key: Path, algorithm: str = "RSA") -> Proof:
    return verify_signature(read_image(image), text, key, signature_algorithm=algorithm)


# What holds


@pytest.mark.parametrize(
    ("key", "options", "salt"),
    [
        pytest.param("RSA-2048", PSS, 222, id="RSA-2048 with openssl's salt"),
        pytest.param("RSA-3072", PSS, 350, id="RSA-3072 with openssl's salt"),
        pytest.param("RSA-3072", [*PSS, "rsa_pss_saltlen:max"], 350, id="longest salt"),
        pytest.param("RSA-3072", [*PSS, "rsa_pss_saltlen:32"], 32, id="salt of 32"),
        pytest.param("RSA-2048", [*PSS, "rsa_pss_saltlen:digest"], 32, id="salt as long as the digest"),
        pytest.param("RSA-2048", [*PSS, "rsa_pss_saltlen:0"], 0, id="no salt"),
        pytest.param("RSA-2048", [*PSS, "rsa_pss_saltlen:17"], 17, id="odd salt"),
    ],
)
def test_pss_with_any_salt_is_proven(keys: Path, image: Path, key: str, options: list[str], salt: int) -> None:
    text = sign(image, keys / f"{key}.key", options)
    proof = verify(image, text, keys / f"{key}.pub")
    assert proof == Proof(key, "PSS", salt)
    assert str(proof) == f"{key}, PSS with {salt} bytes of salt, SHA256"


@pytest.mark.parametrize(("key", "name"), [("P-256", "EC secp256r1"), ("P-384", "EC secp384r1")])
def test_ecdsa_is_proven(keys: Path, image: Path, key: str, name: str) -> None:
    proof = verify(image, sign(image, keys / f"{key}.key", []), keys / f"{key}.pub", "ECDSA")
    assert proof == Proof(name)
    assert str(proof) == f"{name}, SHA256"


def test_a_certificate_does_for_its_public_key(keys: Path, image: Path, tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    openssl("req", "-x509", "-new", "-key", keys / "RSA-2048.key", "-subj", "/CN=x", "-out", certificate)
    assert verify(image, sign(image, keys / "RSA-2048.key", PSS), certificate).key == "RSA-2048"


# What does not


def spoil(image: Path, how: str) -> None:
    data = bytearray(IMAGE)
    if how == "flipped":
        data[700_000] ^= 1
    image.write_bytes({"cut off": data[:-1], "longer": data + b"\0", "empty": b""}.get(how, data))


@pytest.mark.parametrize("how", ["flipped", "cut off", "longer", "empty"])
@pytest.mark.parametrize(("key", "options", "algorithm"), [("RSA-2048", PSS, "RSA"), ("P-256", [], "ECDSA")])
def test_another_image_is_refused(
    keys: Path, image: Path, how: str, key: str, options: list[str], algorithm: str
) -> None:
    text = sign(image, keys / f"{key}.key", options)
    spoil(image, how)
    with pytest.raises(SignatureError, match=f"not one of {image} by this .* key: the image was changed"):
        verify(image, text, keys / f"{key}.pub", algorithm)


@pytest.mark.parametrize(("key", "options", "algorithm"), [("RSA-2048", PSS, "RSA"), ("P-256", [], "ECDSA")])
def test_another_key_is_refused(keys: Path, image: Path, key: str, options: list[str], algorithm: str) -> None:
    text = sign(image, keys / f"{key} other.key", options)
    with pytest.raises(SignatureError, match="or another key signed it"):
        verify(image, text, keys / f"{key}.pub", algorithm)


def test_a_key_of_another_size_is_refused_by_its_size(keys: Path, image: Path) -> None:
    text = sign(image, keys / "RSA-2048.key", PSS)
    with pytest.raises(SignatureError, match="has 256 bytes, one by RSA-3072 has 384"):
        verify(image, text, keys / "RSA-3072.pub")


def test_pkcs1_is_told_from_pss(keys: Path, image: Path) -> None:
    text = sign(image, keys / "RSA-2048.key", ["rsa_padding_mode:pkcs1"])
    with pytest.raises(SignatureError, match=r"is PKCS#1 v1\.5 \(SHA256\), the device wants PSS"):
        verify(image, text, keys / "RSA-2048.pub")


@pytest.mark.parametrize(
    ("key", "options", "algorithm"),
    [("RSA-2048", ["rsa_padding_mode:pss", "rsa_mgf1_md:sha1"], "RSA"), ("P-256", [], "ECDSA")],
)
def test_another_hash_is_named(keys: Path, image: Path, key: str, options: list[str], algorithm: str) -> None:
    text = sign(image, keys / f"{key}.key", options, "sha1")
    with pytest.raises(SignatureError, match="made with SHA1, the device wants SHA256; sign with SHA256"):
        verify(image, text, keys / f"{key}.pub", algorithm)


@pytest.mark.parametrize(
    ("signed_with", "verified_with", "algorithm", "words"),
    [
        pytest.param("P-256", "P-256", "RSA", "is RSA, but the public key .* is EC secp256r1", id="EC as RSA"),
        pytest.param("RSA-2048", "RSA-2048", "ECDSA", "is ECDSA, but the public key .* is RSA-2048", id="RSA as ECDSA"),
        pytest.param("P-256", "Ed25519", "ECDSA", "is ECDSA, but the public key .* is Ed25519", id="Ed25519"),
        pytest.param("P-256", "RSA-2048", "RSA", "one by RSA-2048 has 256", id="ECDSA text, RSA key"),
        pytest.param("RSA-2048", "P-256", "ECDSA", "not one of", id="RSA text, EC key"),
    ],
)
def test_key_and_algorithm_must_belong_together(
    keys: Path, image: Path, signed_with: str, verified_with: str, algorithm: str, words: str
) -> None:
    text = sign(image, keys / f"{signed_with}.key", PSS if "RSA" in signed_with else [])
    with pytest.raises(SignatureError, match=words):
        verify(image, text, keys / f"{verified_with}.pub", algorithm)


def test_a_text_that_is_no_signature_is_refused(keys: Path, image: Path) -> None:
    with pytest.raises(SignatureError, match="not valid base64"):
        verify(image, "unavailable", keys / "RSA-2048.pub")


def test_an_image_that_is_not_there_is_named(keys: Path, image: Path) -> None:
    text = sign(image, keys / "P-256.key", [])
    image.unlink()
    with pytest.raises(FirmwareError, match=f"the image {image} cannot be read: No such file"):
        verify(image, text, keys / "P-256.pub", "ECDSA")


# The key file


def test_a_private_key_is_refused_and_not_shown(keys: Path, image: Path) -> None:
    path = keys / "P-256.key"
    with pytest.raises(SignatureError, match=r"holds a private key; .* `openssl pkey -in .* -pubout") as error:
        verify(image, sign(image, path, []), path, "ECDSA")
    assert path.read_text().splitlines()[1] not in str(error.value)


def test_the_command_that_makes_the_public_half_can_be_pasted(keys: Path, image: Path, tmp_path: Path) -> None:
    path = tmp_path / "my key.pem"
    path.write_bytes((keys / "P-256.key").read_bytes())
    with pytest.raises(SignatureError) as error:
        verify(image, sign(image, path, []), path, "ECDSA")
    (publish,) = (piece for piece in error.value.message.pieces if isinstance(piece, Shell))
    subprocess.run(publish.line, shell=True, check=True, cwd=tmp_path)  # noqa: S602
    assert "BEGIN PUBLIC KEY" in (tmp_path / "public_key.pem").read_text()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x00\x01", id="binary"),
        pytest.param(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", id="broken key"),
        pytest.param(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", id="broken certificate"),
    ],
)
def test_a_file_that_is_no_key_is_named(keys: Path, image: Path, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "public_key.pem"
    path.write_bytes(data)
    with pytest.raises(SignatureError, match=f"{path} is no public key in PEM form, nor a certificate"):
        verify(image, sign(image, keys / "P-256.key", []), path, "ECDSA")


def test_a_key_that_is_not_there_is_named(keys: Path, image: Path) -> None:
    with pytest.raises(SignatureError, match=r"the public key .*/none\.pem cannot be read: No such file"):
        verify(image, sign(image, keys / "P-256.key", []), keys / "none.pem")
