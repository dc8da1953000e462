"""Key-pair files: made once, whole, private, and never overwritten."""

from __future__ import annotations

import base64
import os
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from ota.certificates import keys
from ota.errors import CertificateError
from ota.messages import PLAIN

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def pem_of(key: PrivateKeyTypes, passphrase: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def test_no_file_is_no_key(tmp_path: Path) -> None:
    assert keys.find_private_key(tmp_path / "private.pem") is None


def test_a_new_key_is_rsa_2048_in_the_form_the_firmware_reads(tmp_path: Path) -> None:
    path = tmp_path / "certificates" / "private.pem"
    made = keys.create_private_key(path)
    assert path.read_text().startswith("-----BEGIN RSA PRIVATE KEY-----\n")
    found = keys.find_private_key(path)
    assert isinstance(found, rsa.RSAPrivateKey)
    assert found.key_size == 2048
    assert keys.public_key_bytes(found.public_key()) == keys.public_key_bytes(made.public_key())


def test_a_new_key_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "certificates" / "private.pem"
    before = os.umask(0)
    try:
        keys.create_private_key(path)
    finally:
        os.umask(before)
    assert mode_of(path) == 0o600
    assert mode_of(path.parent) == 0o700
    assert not keys.is_readable_by_others(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_key_that_others_can_read_is_noticed(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "private.pem"
    path.touch()
    path.chmod(mode)
    assert keys.is_readable_by_others(path)


def test_a_key_that_came_in_between_is_kept_and_used(tmp_path: Path) -> None:
    path = tmp_path / "private.pem"
    first = keys.create_private_key(path)
    content = path.read_bytes()
    second = keys.create_private_key(path)
    assert path.read_bytes() == content
    assert keys.public_key_bytes(second.public_key()) == keys.public_key_bytes(first.public_key())


@pytest.mark.parametrize("where", ["key", "folder"])
def test_a_link_to_nothing_is_named_with_where_it_leads(tmp_path: Path, where: str) -> None:
    path = tmp_path / "certificates" / "my key.pem"
    link = path if where == "key" else path.parent
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(tmp_path / "gone")
    for call in (keys.find_private_key, keys.create_private_key):
        with pytest.raises(CertificateError) as caught:
            call(path)
        assert f"{link} is a symbolic link to {tmp_path / 'gone'}, and nothing is there" in str(caught.value)
    subprocess.run(["sh", "-c", PLAIN.remedy(caught.value.remedy)], check=True)
    keys.create_private_key(path)
    assert keys.find_private_key(path) is not None


def test_a_link_to_a_key_is_followed(tmp_path: Path) -> None:
    key = keys.create_private_key(tmp_path / "private.pem")
    (tmp_path / "link.pem").symlink_to(tmp_path / "private.pem")
    assert keys.create_private_key(tmp_path / "link.pem").private_numbers() == key.private_numbers()  # type: ignore[union-attr]


def test_every_folder_that_is_made_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "one" / "two" / "private.pem"
    before = os.umask(0)
    try:
        keys.create_private_key(path)
    finally:
        os.umask(before)
    assert [mode_of(folder) for folder in (path.parent, path.parent.parent)] == [0o700, 0o700]


@pytest.mark.parametrize(
    ("own", "above", "found"),
    [
        pytest.param(0o777, 0o755, "own", id="anybody"),
        pytest.param(0o775, 0o755, "own", id="its group"),
        pytest.param(0o1777, 0o755, None, id="sticky"),
        pytest.param(0o755, 0o775, None, id="the group above"),
        pytest.param(0o700, 0o777, "above", id="anybody above"),
        pytest.param(0o700, 0o1777, None, id="sticky above"),
        pytest.param(None, 0o777, "above", id="not there yet"),
    ],
)
def test_a_folder_in_which_others_may_replace_the_key_is_noticed(
    tmp_path: Path, own: int | None, above: int, found: str | None
) -> None:
    above_path = tmp_path / "above"
    own_path = above_path / "own"
    above_path.mkdir()
    if own is not None:
        own_path.mkdir()
        own_path.chmod(own)
    above_path.chmod(above)
    places = {"own": own_path, "above": above_path}
    assert keys.folder_open_to_others(own_path / "private.pem") == (places[found] if found else None)


def test_nothing_but_the_key_stays_in_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "private.pem"
    keys.create_private_key(path)
    keys.create_private_key(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def no_hard_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.usefixtures("no_hard_links")
def test_a_folder_without_hard_links_gets_its_key_once_too(tmp_path: Path) -> None:
    path = tmp_path / "private.pem"
    keys.create_private_key(path)
    content = path.read_bytes()
    keys.create_private_key(path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_key_that_cannot_be_written_names_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "private.pem"
    with pytest.raises(CertificateError, match="cannot be written") as caught:
        keys.create_private_key(path)
    assert str(path) in str(caught.value)


def test_a_key_that_cannot_be_read_names_the_path(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match="cannot be read") as caught:
        keys.find_private_key(tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(pem_of(ec.generate_private_key(ec.SECP256R1())), id="ec-p256"),
        pytest.param(pem_of(ec.generate_private_key(ec.SECP384R1())), id="ec-p384"),
        pytest.param(pem_of(rsa.generate_private_key(65537, 2048)), id="rsa-pkcs8"),
    ],
)
def test_keys_that_aws_takes_requests_from_are_used(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "private.pem"
    path.write_bytes(content)
    key = keys.find_private_key(path)
    assert key is not None
    request = x509.load_pem_x509_csr(keys.signing_request(key, "lamp").encode())
    assert request.is_signature_valid
    assert keys.public_key_bytes(request.public_key()) == keys.public_key_bytes(key.public_key())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "not a private key in PEM form", id="empty"),
        pytest.param(b"\xff\x00 rubbish", "not a private key in PEM form", id="rubbish"),
        pytest.param(
            b"-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n", "not a private key", id="cut-off"
        ),
        pytest.param(pem_of(ec.generate_private_key(ec.SECP256R1()), b"secret"), "has a passphrase", id="passphrase"),
        pytest.param(pem_of(ed25519.Ed25519PrivateKey.generate()), "of a kind that AWS IoT", id="ed25519"),
        pytest.param(pem_of(rsa.generate_private_key(65537, 1024)), "of a kind that AWS IoT", id="rsa-1024"),  # noqa: S505 - refused
        pytest.param(pem_of(ec.generate_private_key(ec.SECP256K1())), "of a kind that AWS IoT", id="ec-other-curve"),
    ],
)
def test_a_file_that_is_no_usable_key_is_refused_by_name_and_without_its_content(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "private.pem"
    path.write_bytes(content)
    with pytest.raises(CertificateError, match=reason) as caught:
        keys.find_private_key(path)
    assert str(path) in str(caught.value)
    assert "BEGIN" not in str(caught.value)
    assert path.read_bytes() == content


NUMBERS = ("n", "e", "d", "p", "q", "dmp1", "dmq1", "iqmp")


def der(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x81, size]) if size < 256 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + length + content


def rsa_file(numbers: Mapping[str, int]) -> bytes:
    """A PKCS#1 file with these numbers, whether they make sense or not."""
    members = [der(2, number.to_bytes(number.bit_length() // 8 + 1, "big")) for number in (0, *numbers.values())]
    text = base64.encodebytes(der(0x30, b"".join(members))).decode()
    return f"-----BEGIN RSA PRIVATE KEY-----\n{text}-----END RSA PRIVATE KEY-----\n".encode()


@pytest.mark.parametrize("name", NUMBERS)
def test_a_key_with_one_damaged_number_is_refused(tmp_path: Path, rsa_key: rsa.RSAPrivateKey, name: str) -> None:
    whole = rsa_key.private_numbers()
    numbers = {one: getattr(whole, one, None) or getattr(whole.public_numbers, one) for one in NUMBERS}
    path = tmp_path / "private.pem"
    path.write_bytes(rsa_file(numbers))
    assert keys.find_private_key(path) is not None

    path.write_bytes(rsa_file({**numbers, name: numbers[name] ^ 1 << 5}))
    with pytest.raises(CertificateError, match="not a private key in PEM form"):
        keys.find_private_key(path)


def test_the_public_key_file_holds_the_public_half(tmp_path: Path) -> None:
    key = keys.create_private_key(tmp_path / "private.pem")
    path = tmp_path / "public.pem"
    keys.write_public_key(path, key)
    assert path.read_text().startswith("-----BEGIN PUBLIC KEY-----\n")
    assert mode_of(path) == 0o644


def test_a_public_key_file_that_holds_the_key_is_left_byte_for_byte(tmp_path: Path) -> None:
    key = keys.create_private_key(tmp_path / "private.pem")
    path = tmp_path / "public.pem"
    keys.write_public_key(path, key)
    other_line_ends = path.read_bytes().replace(b"\n", b"\r\n")
    path.write_bytes(other_line_ends)
    keys.write_public_key(path, key)
    assert path.read_bytes() == other_line_ends


@pytest.mark.parametrize("content", [b"", b"rubbish"])
def test_a_public_key_file_without_the_key_is_written_again(tmp_path: Path, content: bytes) -> None:
    key = keys.create_private_key(tmp_path / "private.pem")
    path = tmp_path / "public.pem"
    path.write_bytes(content)
    keys.write_public_key(path, key)
    assert path.read_text().startswith("-----BEGIN PUBLIC KEY-----\n")


def test_a_request_carries_the_thing_name_as_far_as_a_common_name_goes(tmp_path: Path) -> None:
    key = keys.create_private_key(tmp_path / "private.pem")
    request = x509.load_pem_x509_csr(keys.signing_request(key, "t" * 128).encode())
    assert request.subject.rfc4514_string() == "CN=" + "t" * 64


def test_replacing_a_file_that_cannot_be_written_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CertificateError, match="cannot be written"):
        keys.write_atomically(tmp_path / "file" / "certificate.pem", b"content")


def test_what_a_killed_run_left_is_found(tmp_path: Path) -> None:
    path = tmp_path / "private.pem"
    left = tmp_path / ".private.pem.abc123.part"
    left.touch()
    (tmp_path / ".other.pem.abc123.part").touch()
    assert keys.unfinished_files(path) == [left]
