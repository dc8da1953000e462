"""``invoke verify`` and ``invoke explain`` as users meet them: every mistake is named, and its command mends it."""

from __future__ import annotations

import base64
import functools
import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pytest_socket import disable_socket

from ota.firmware import verify
from ota.sandbox import process
from ota.sandbox.process import Address
from tests.account import JOB, Account, account_at
from tests.project import APPLICATION, Project, aws_project, built_tree

PSS = ["-sigopt", "rsa_padding_mode:pss"]
CMAKE = Path("applications/keyword_detection/CMakeLists.txt")
MODEL_IMAGE = f"{APPLICATION}-model-update_signed.bin"
CLASSIC = {"firmware_profile": "classic-agent", "certificate_file_on_device": "/certs/signer.pem"}
MODEL = {
    "image_file_name": "ml_model image",
    "ota_binary": MODEL_IMAGE,
    "signature_file": "model-update-signature.txt",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_tree(tmp_path_factory.getbasetemp())


@pytest.fixture
def account(clean_sandbox: Address) -> Account:
    return account_at(clean_sandbox)


@pytest.fixture
def project(clean_sandbox: Address, tmp_path: Path, built: Path) -> Project:
    """A project whose image is built already, and would be built again."""
    project = aws_project(tmp_path / "my project", clean_sandbox)
    project.put_image(built)
    project.set(skip_build="")
    return project


# What the mistakes are made with


def openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


def signature_path(project: Project) -> Path:
    return project.build_path / "update-signature.txt"


def public_key(project: Project) -> Path:
    return project.firmware_path / "certs/public_key.pem"


def private_key(project: Project) -> Path:
    return project.firmware_path / "certs/private_key.pem"


def sign(project: Project, *options: str, digest: str = "sha256") -> None:
    raw = project.build_path / "raw"
    openssl("dgst", f"-{digest}", "-sign", private_key(project), *options, "-out", raw, project.image_path)
    signature_path(project).write_bytes(base64.b64encode(raw.read_bytes()))


@functools.cache
def spare_key() -> bytes:
    """Another key like the one that signs images; made once, for that takes a while."""
    key = rsa.generate_private_key(65537, 3072)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def lay_spare_key(path: Path) -> Path:
    path.write_bytes(spare_key())
    return with_public_half(path)


def make_ecdsa_key(path: Path) -> Path:
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
    return with_public_half(path)


def with_public_half(path: Path) -> Path:
    openssl("pkey", "-in", path, "-pubout", "-out", path.with_suffix(".pub"))
    return path


def change_image(project: Project, change: Callable[[bytes], bytes], *, signed: bool = True) -> None:
    project.image_path.write_bytes(change(project.image_path.read_bytes()))
    if signed:
        sign(project, *PSS)


def certify(project: Project, *dates: str) -> None:
    """The public key as a certificate; its dates are openssl's words for when it begins and ends."""
    folder = project.root_path
    request = folder / "request.pem"
    openssl("req", "-new", "-key", private_key(project), "-subj", "/CN=signer", "-out", request)
    (folder / "index.txt").touch()
    (folder / "serial").write_text("01\n")
    (folder / "ca.cnf").write_text(
        f"[ca]\ndefault_ca=x\n[x]\ndatabase={folder}/index.txt\nserial={folder}/serial\nnew_certs_dir={folder}\n"
        "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n"
    )
    words = ["-selfsign", "-keyfile", private_key(project), "-in", request, "-out", folder / "signer.crt", *dates]
    openssl("ca", "-batch", "-notext", "-config", folder / "ca.cnf", *words)
    shutil.copy(folder / "signer.crt", project.firmware_path / "certs/signer.crt")
    project.set(code_signing_public_key="certs/signer.crt")


# The mistakes


def no_image(project: Project) -> None:
    project.image_path.unlink()


def no_signature(project: Project) -> None:
    signature_path(project).unlink()


def no_image_while_the_build_is_skipped(project: Project) -> None:
    project.set(skip_build="true")
    no_image(project)


def empty_image(project: Project) -> None:
    change_image(project, lambda _: b"", signed=False)


def stale_signature(project: Project) -> None:
    change_image(project, lambda data: data[:-1] + bytes([data[-1] ^ 1]), signed=False)


def signature_of_the_model(project: Project) -> None:
    shutil.copy(project.build_path / "model-update-signature.txt", signature_path(project))


def other_public_key_chosen(project: Project) -> None:
    lay_spare_key(project.root_path / "other.key")
    project.set(code_signing_public_key=str(project.root_path / "other.pub"))


def public_key_overwritten(project: Project) -> None:
    key = lay_spare_key(project.root_path / "other.key")
    shutil.copy(key.with_suffix(".pub"), public_key(project))


def image_changed_and_other_key_chosen(project: Project) -> None:
    other_public_key_chosen(project)
    stale_signature(project)
    project.set(code_signing_public_key="certs/spare.pem")
    shutil.copy(public_key(project), project.firmware_path / "certs/spare.pem")


def raw_signature(project: Project) -> None:
    signature_path(project).write_bytes(base64.b64decode(signature_path(project).read_bytes()))


def hexadecimal_signature(project: Project) -> None:
    signature_path(project).write_text(base64.b64decode(signature_path(project).read_bytes()).hex())


def signature_of_a_large_key(project: Project) -> None:
    signature_path(project).write_bytes(base64.b64encode(bytes(range(256)) * 2))


def pkcs1_for_corstone(project: Project) -> None:
    sign(project)


def sha1_for_corstone(project: Project) -> None:
    sign(project, *PSS, digest="sha1")


def mask_of_sha1(project: Project) -> None:
    sign(project, *PSS, "-sigopt", "rsa_mgf1_md:sha1")


def pss_for_the_classic_agent(project: Project) -> None:
    project.set(**CLASSIC)


def ecdsa_for_corstone(project: Project) -> None:
    key = make_ecdsa_key(private_key(project))
    shutil.copy(key.with_suffix(".pub"), public_key(project))
    sign(project)


def ecdsa_where_the_classic_agent_was_to_have_rsa(project: Project) -> None:
    project.set(**CLASSIC)
    ecdsa_for_corstone(project)


def key_on_a_curve_that_no_firmware_reads(project: Project) -> None:
    project.set(firmware_profile="jobs-library", image_file_name="non_secure image")
    key = private_key(project)
    openssl("ecparam", "-name", "secp256k1", "-genkey", "-noout", "-out", key)
    shutil.copy(with_public_half(key).with_suffix(".pub"), public_key(project))
    sign(project)


def rsa_for_the_jobs_library(project: Project) -> None:
    project.set(firmware_profile="jobs-library")


def image_too_big(project: Project) -> None:
    change_image(project, lambda data: data + bytes(0x240000))


def image_too_big_for_aws(project: Project) -> None:
    project.set(image_file_name="secure image")
    change_image(project, lambda data: data + bytes(16 * 1024 * 1024))


def image_cut_off(project: Project) -> None:
    change_image(project, lambda data: data[:100_000])


def image_without_header(project: Project) -> None:
    change_image(project, lambda data: data[1024:])


def image_shorter_than_a_header(project: Project) -> None:
    change_image(project, lambda data: data[:20])


def version_that_counts_as_0(project: Project) -> None:
    path = project.firmware_path / CMAKE
    path.write_text(path.read_text().replace("0.0.20+20", "0.0.20+0"))
    change_image(project, lambda data: data[:24] + struct.pack("<I", 0) + data[28:])


def version_of_the_model_that_counts_as_0(project: Project) -> None:
    project.set(**MODEL)
    path = project.build_path / MODEL_IMAGE
    data = path.read_bytes()
    path.write_bytes(data[:24] + struct.pack("<I", 0) + data[28:])
    raw = project.build_path / "raw"
    openssl("dgst", "-sha256", "-sign", private_key(project), *PSS, "-out", raw, path)
    (project.build_path / "model-update-signature.txt").write_bytes(base64.b64encode(raw.read_bytes()))


def no_public_key(project: Project) -> None:
    public_key(project).unlink()


def no_key_at_all(project: Project) -> None:
    public_key(project).unlink()
    private_key(project).unlink()


def chosen_key_missing_and_image_changed(project: Project) -> None:
    stale_signature(project)
    project.set(code_signing_public_key="certs/gone.pem")


def other_key_chosen_and_image_changed(project: Project) -> None:
    other_public_key_chosen(project)
    stale_signature(project)


def bare_key_where_a_certificate_is_opened(project: Project) -> None:
    project.set(**CLASSIC)
    sign(project)


def other_certificate_beside_the_bare_key(project: Project) -> None:
    bare_key_where_a_certificate_is_opened(project)
    (project.firmware_path / "certs/public_key.crt").write_text("somebody's")


def certificate_that_ends_soon(project: Project) -> None:
    certify(project, "-days", "10")


def rsa_with_pkcs1_for_the_jobs_library(project: Project) -> None:
    project.set(firmware_profile="jobs-library", protocols="HTTP", image_file_name="any.bin")
    sign(project)


def key_on_a_foreign_curve_for_corstone(project: Project) -> None:
    key_on_a_curve_that_no_firmware_reads(project)
    project.set(firmware_profile="corstone")


def rsa_for_the_classic_agent(project: Project) -> None:
    bare_key_where_a_certificate_is_opened(project)


def names_mixed_in_settings(project: Project) -> None:
    project.set(image_file_name="ml_model image")


def model_sent_as_the_application(project: Project) -> None:
    project.set(ota_binary=MODEL_IMAGE, signature_file="model-update-signature.txt")


def expired_certificate(project: Project) -> None:
    project.set(**CLASSIC)
    sign(project)
    certify(project, "-startdate", "20200101000000Z", "-enddate", "20210101000000Z")


def certificate_of_tomorrow(project: Project) -> None:
    project.set(**CLASSIC)
    sign(project)
    certify(project, "-startdate", "20490101000000Z", "-enddate", "20490601000000Z")


def message_too_long(project: Project) -> None:
    project.set(certificate_file_on_device="c" * 1500)


@dataclass(frozen=True)
class Mistake:
    """How it is made, what is said of it, and the options of ``verify`` that are needed to see it."""

    make: Callable[[Project], None]
    subject: str
    words: str
    severity: str = "fatal"
    options: tuple[str, ...] = ()


MISTAKES = (
    Mistake(no_image, "image", "there is no image "),
    Mistake(no_signature, "signature", "there is no signature "),
    Mistake(no_image_while_the_build_is_skipped, "image", "there is no image "),
    Mistake(empty_image, "image", "is empty"),
    Mistake(stale_signature, "proof", "the image was changed after it was signed"),
    Mistake(signature_of_the_model, "proof", "is not one of "),
    Mistake(other_public_key_chosen, "proof", "or another key signed it"),
    Mistake(public_key_overwritten, "proof", "or another key signed it"),
    Mistake(image_changed_and_other_key_chosen, "proof", "the image was changed"),
    Mistake(raw_signature, "signature", "it holds raw bytes"),
    Mistake(hexadecimal_signature, "signature", "it is hexadecimal"),
    Mistake(signature_of_a_large_key, "signature", "stands for 512 bytes, and Arm's Corstone firmware keeps 384"),
    Mistake(pkcs1_for_corstone, "proof", "is PKCS#1 v1.5 (SHA256), the device wants PSS"),
    Mistake(sha1_for_corstone, "proof", "made with SHA1, the device wants SHA256"),
    Mistake(mask_of_sha1, "proof", "a mask (MGF1) made by SHA1"),
    Mistake(pss_for_the_classic_agent, "proof", "is PSS (SHA256), the device wants PKCS#1 v1.5"),
    Mistake(ecdsa_for_corstone, "proof", "is EC secp256r1; Arm's Corstone firmware parses sig-sha256-rsa"),
    Mistake(ecdsa_where_the_classic_agent_was_to_have_rsa, "proof", "is EC secp256r1; the classic OTA agent"),
    Mistake(
        key_on_a_curve_that_no_firmware_reads, "proof", "the signing key is EC secp256k1, and the firmware verifies"
    ),
    Mistake(rsa_for_the_jobs_library, "proof", "is RSA-3072; firmware on AWS's Jobs library parses sig-sha256-ecdsa"),
    Mistake(rsa_with_pkcs1_for_the_jobs_library, "proof", "is RSA-3072; firmware on AWS's Jobs library"),
    Mistake(key_on_a_foreign_curve_for_corstone, "proof", "is EC secp256k1; Arm's Corstone firmware"),
    Mistake(no_public_key, "proof", "there is no public key at", "warning"),
    Mistake(no_key_at_all, "proof", "there is no public key at", "warning"),
    Mistake(chosen_key_missing_and_image_changed, "proof", "cannot be read: No such file"),
    Mistake(other_key_chosen_and_image_changed, "proof", "or another key signed it"),
    Mistake(bare_key_where_a_certificate_is_opened, "certificate", "public_key.pem is none", "warning"),
    Mistake(other_certificate_beside_the_bare_key, "certificate", "public_key.pem is none", "warning"),
    Mistake(certificate_that_ends_soon, "certificate", "signer.crt expires on", "warning"),
    Mistake(rsa_for_the_classic_agent, "profile", "and then sig-sha256-rsa is not read", "warning"),
    Mistake(image_too_big, "image", 'has room for 2,359,296 as "non_secure image"'),
    Mistake(image_too_big_for_aws, "image", "AWS carries at most 16,777,216"),
    Mistake(image_cut_off, "image", "is cut off: its header announces at least"),
    Mistake(image_without_header, "version", "no MCUboot header"),
    Mistake(image_shorter_than_a_header, "version", "no MCUboot header"),
    Mistake(version_that_counts_as_0, "version", "0.0.20+0 counts as 0", "warning"),
    Mistake(version_of_the_model_that_counts_as_0, "version", "0.0.42+0 counts as 0", "warning"),
    Mistake(
        lambda _: None,
        "version",
        "0.0.20+20 does not count as higher than the running 0.0.10+40",
        "warning",
        ("--running-version", "0.0.10+40"),
    ),
    Mistake(
        lambda _: None,
        "version",
        "is not higher than the running 0.3.0+1, but the device would take it",
        "warning",
        ("--running-version", "0.3.0+1"),
    ),
    Mistake(names_mixed_in_settings, "names", "image_file_name is the model's (ml_model image), ota_binary is"),
    Mistake(model_sent_as_the_application, "names", "ota_binary is the model's"),
    Mistake(expired_certificate, "certificate", "expired on 2021-01-01"),
    Mistake(certificate_of_tomorrow, "certificate", "is not valid before 2049-01-01"),
    Mistake(message_too_long, "job", "and Arm's Corstone firmware copies it into 2,048"),
)


def findings(project: Project, *options: str) -> tuple[int, list[dict[str, str]]]:
    done = project.run_here("verify", "--json", *options)
    assert "Traceback" not in done.text, done.text
    return done.status, json.loads(done.out)["findings"]


def name_of(mistake: Mistake) -> str:
    name = getattr(mistake.make, "__name__", "")
    return (mistake.words if name == "<lambda>" else name).replace("_", " ")


def test_without_a_mistake_everything_is_ok(project: Project) -> None:
    assert [one["severity"] for one in findings(project)[1]] == ["ok"] * 6


@pytest.mark.parametrize("mistake", MISTAKES, ids=name_of)
def test_a_mistake_is_named_and_its_command_mends_it(project: Project, mistake: Mistake) -> None:
    mistake.make(project)
    status, found = findings(project, *mistake.options)

    assert status == (1 if mistake.severity == "fatal" else 0)
    bad = [one for one in found if one["severity"] == mistake.severity]
    (finding,) = [one for one in bad if mistake.words in one["text"]]
    assert finding["subject"] == mistake.subject
    done = project.paste(finding["command"]).done()
    if not finding["command"].endswith(" verify"):
        status, found = findings(project, *mistake.options)
        assert status == 0, found
        assert [one for one in found if one["severity"] != "ok" and mistake.words in one["text"]] == []
    else:
        assert "fatal" not in done.out
        assert mistake.words not in done.out


class InSandbox(Project):
    """A project whose command lines are about the sandbox, so that its firmware is there."""

    @property
    def firmware_path(self) -> Path:
        return self.root_path / ".sandbox/firmware"


@pytest.fixture(scope="module")
def sandbox_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder whose sandbox goes on running, for starting one takes a second."""
    path = tmp_path_factory.mktemp("verify") / "my project"
    yield path
    process.stop(path / ".sandbox")


@pytest.fixture
def in_sandbox(sandbox_home: Path, built: Path) -> InSandbox:
    """A project in the sandbox whose image is built already, and would be built again."""
    own_path = sandbox_home / ".sandbox"
    if process.read_address(own_path):
        process.reset(own_path)
    for name in ("firmware", "certificates"):
        shutil.rmtree(own_path / name, ignore_errors=True)
    project = InSandbox(sandbox_home, {"OTA_SANDBOX": "1"})
    project.put_image(built)
    project.set(skip_build="")
    return project


@pytest.mark.parametrize(
    "make",
    [no_public_key, no_key_at_all, bare_key_where_a_certificate_is_opened, ecdsa_for_corstone, no_signature],
    ids=lambda make: make.__name__.replace("_", " "),
)
def test_what_a_finding_in_the_sandbox_offers_mends_it_there(
    in_sandbox: InSandbox, make: Callable[[Project], None]
) -> None:
    make(in_sandbox)
    bad = [one for one in findings(in_sandbox)[1] if one["severity"] != "ok" and one["subject"] != "profile"]
    for finding in bad:
        assert finding["command"], finding
        assert finding["text"] not in in_sandbox.paste(finding["command"]).done().out
    if not finding["command"].endswith(" verify"):
        assert [one for one in findings(in_sandbox)[1] if one["severity"] != "ok"] == []


def test_a_thing_name_too_long_for_the_firmware_is_named_and_shortened(project: Project) -> None:
    project.set(thing_name="lamp-" + "x" * 60)
    status, found = findings(project)
    (finding,) = [one for one in found if one["severity"] == "fatal"]
    assert (status, finding["subject"]) == (1, "thing")
    assert (
        "has 65 characters; Arm's Corstone firmware sends it as a client token, of which AWS takes 64"
        in finding["text"]
    )
    project.paste(finding["command"]).done()


def test_a_command_is_quoted_for_a_shell(project: Project) -> None:
    names_mixed_in_settings(project)
    (finding,) = [one for one in findings(project)[1] if one["subject"] == "names"]
    assert "'ml_model image'" in finding["command"]
    shell = f'invoke() {{ {sys.executable} -m invoke "$@"; }}\n{finding["command"]}'
    done = subprocess.run(
        ["bash", "-ec", shell], cwd=project.root_path, env=project.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_settings_refuse_verify_refuses_with_the_text_to_write(project: Project) -> None:
    project.set(hash_algorithm="SHA-256")
    project.run_here("verify").failed('hash_algorithm: "SHA-256"', 'write "SHA256"')
    project.run_here("with", "--hash-algorithm", "SHA256", "verify").done()
    project.set(hash_algorithm="", signature_algorithm="ECDSA")
    project.run_here("verify").failed("parses only sig-sha256-rsa", 'write "RSA"')
    project.run_here("with", "--signature-algorithm", "RSA", "verify").done()


@pytest.mark.parametrize("salt", ["0", "17", "32", "max"])
def test_any_salt_holds_for_corstone(project: Project, salt: str) -> None:
    sign(project, *PSS, "-sigopt", f"rsa_pss_saltlen:{salt}")
    status, found = findings(project)
    assert status == 0
    assert f"PSS with {350 if salt == 'max' else salt} bytes of salt" in str(found)


def test_pkcs1_holds_for_the_classic_agent(project: Project) -> None:
    project.set(**CLASSIC)
    sign(project)
    status, found = findings(project)
    assert status == 0
    assert "RSA-3072, PKCS#1 v1.5, SHA256" in str(found)


def test_it_needs_neither_the_network_nor_aws_modules(project: Project) -> None:
    disable_socket()
    assert project.run_here("verify").done().err == ""
    stale_signature(project)
    program = (
        "import sys\nfrom invoke.program import Program\nstatus = 0\n"
        "try:\n    Program().run(['invoke', *sys.argv[1:]])\n"
        "except SystemExit as end:\n    status = end.code\n"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in ('boto3', 'botocore', 'moto')), status)"
    )
    for words, status in ((["verify"], 1), (["explain", "0xe3"], 0), (["explain", "what"], 1)):
        done = subprocess.run(
            [sys.executable, "-c", program, *words],
            cwd=project.root_path, env=project.environ, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.stdout.splitlines()[-1] == f"[] {status}", done.stdout + done.stderr


def test_each_finding_is_a_line_and_its_command_another(project: Project) -> None:
    stale_signature(project)
    done = project.run_here("with", "--inference", "ETHOS", "verify")
    lines = done.out.splitlines()
    assert done.status == 1
    assert lines[0] == "ok       profile      corstone: Arm's Corstone firmware, which parses sig-sha256-rsa"
    fatal = next(
        number for number, line in enumerate(lines) if line.startswith("fatal    proof        the signature is")
    )
    assert lines[fatal + 1] == "         invoke with --inference ETHOS --clean-build true build"
    assert done.err.splitlines()[-1] == "The device would not take this update: proof."


def test_the_command_names_the_scope_it_was_found_in(project: Project) -> None:
    config = project.root_path / "other.json"
    config.write_text((project.root_path / "config.json").read_text())
    project.image_path.unlink()
    done = project.run_here("with", "--config-file", "other.json", "verify")
    assert "invoke with --config-file other.json build" in done.out


def test_a_version_that_is_none_is_refused(project: Project) -> None:
    project.run_here("verify", "--running-version", "new").failed("'new' is no version; write it as 0.0.10+0")


# update and all


def test_update_stops_on_a_mistake_before_anything_is_uploaded(project: Project, account: Account) -> None:
    project.set(skip_build="true")
    stale_signature(project)
    result = project.run_here("all").failed(
        "proof: ", "the image was changed after it was signed", "Nothing was uploaded."
    )
    assert "fix it with: `invoke with --skip-build false --clean-build true build`" in result.err
    (bucket,) = account.names()["buckets"]
    assert "Contents" not in account.s3.list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize("spoil", [stale_signature, signature_of_the_model])
def test_what_is_there_only_while_it_is_verified_proves_nothing(
    project: Project, account: Account, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Project], None]
) -> None:
    """Image or signature does not hold, is swapped for one that does during the verification, and comes back."""
    project.set(skip_build="true")
    paths = (project.image_path, signature_path(project))
    good = [path.read_bytes() for path in paths]
    spoil(project)
    bad = [path.read_bytes() for path in paths]
    original = verify.verify

    def verify_amid_a_swap(*given: Any, **named: Any) -> Any:
        lay_down(good)
        try:
            return original(*given, **named)
        finally:
            lay_down(bad)

    def lay_down(contents: list[bytes]) -> None:
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)

    monkeypatch.setattr(verify, "verify", verify_amid_a_swap)
    project.run_here("all").failed("proof: ", "is not one of", "Nothing was uploaded.")
    (bucket,) = account.names()["buckets"]
    assert "Contents" not in account.s3.list_objects_v2(Bucket=bucket)
    assert "update" not in account.there()


def test_update_tells_warnings_and_goes_on(project: Project) -> None:
    project.set(skip_build="true")
    version_that_counts_as_0(project)
    assert "note: version: 0.0.20+0 counts as 0" in project.run_here("all").done().err


def delivered(account: Account) -> dict[str, Any]:
    """The one file of the job's document."""
    document = json.loads(account.iot.get_job_document(jobId=JOB)["document"])
    (file,) = document["afr_ota"]["files"]
    return dict(file)


def test_the_model_is_built_signed_and_offered_by_settings_alone(project: Project, account: Account) -> None:
    shutil.rmtree(project.build_path)
    project.set(**MODEL)
    project.run_here("all").done()
    file = delivered(account)
    text = (project.build_path / "model-update-signature.txt").read_text().strip()
    assert file["filepath"] == "ml_model image"
    assert file["filesize"] == (project.build_path / MODEL_IMAGE).stat().st_size
    assert file["sig-sha256-rsa"] == text
    assert text != signature_path(project).read_text().strip()


@pytest.mark.parametrize("curve", ["EC-P256", "EC-P384"])
def test_an_ecdsa_build_is_offered_to_firmware_that_parses_it(project: Project, account: Account, curve: str) -> None:
    shutil.rmtree(project.build_path)
    shutil.rmtree(project.firmware_path / "certs")
    project.set(
        firmware_profile="jobs-library",
        image_file_name="non_secure image",
        build_environment="AWS_OTA_SIGNATURE_TYPE",
    )
    project.run_here("all", AWS_OTA_SIGNATURE_TYPE=curve).done()
    file = delivered(account)
    assert file["sig-sha256-ecdsa"] == signature_path(project).read_text().strip()
    assert "sig-sha256-rsa" not in file


def test_a_curve_that_the_firmware_lacks_is_refused_before_the_upload(project: Project, account: Account) -> None:
    shutil.rmtree(project.build_path)
    shutil.rmtree(project.firmware_path / "certs")
    (project.root_path / "board.json").write_text('{"signature_algorithms": ["ECDSA"], "curves": ["P-256"]}')
    project.set(firmware_profile="board.json", build_environment="AWS_OTA_SIGNATURE_TYPE")
    refused = project.run_here("all", AWS_OTA_SIGNATURE_TYPE="EC-P384")
    refused.failed("secp384r1", "verifies with P-256 only", "Nothing was uploaded.")
    assert account.updates() == []


def test_an_ecdsa_build_is_not_offered_to_corstone(project: Project, account: Account) -> None:
    shutil.rmtree(project.build_path)
    shutil.rmtree(project.firmware_path / "certs")
    project.set(build_environment="AWS_OTA_SIGNATURE_TYPE")
    project.run_here("all", AWS_OTA_SIGNATURE_TYPE="EC-P256").failed("parses sig-sha256-rsa", "Nothing was uploaded.")
    assert account.updates() == []


def test_the_classic_agent_is_told_where_its_certificate_is(project: Project, account: Account) -> None:
    project.set(skip_build="true", **CLASSIC)
    sign(project)
    project.run_here("all").done()
    assert (delivered(account)["certfile"], delivered(account)["filepath"]) == ("/certs/signer.pem", "firmware.bin")
    again = project.run_here("with", "--certificate-file-on-device", "/certs/new.pem", "all").done()
    assert ("update", "changed") in again.verbs
    assert delivered(account)["certfile"] == "/certs/new.pem"


# explain


def test_a_code_is_explained_with_cause_remedy_and_source(project: Project) -> None:
    done = project.run_here("explain", "0x000000e3: 0x00000000").done()
    assert done.out.startswith(
        "OtaPalSignatureCheckFailed (OTA platform layer (PAL))\n  cause   the signature is not one of"
    )
    assert "\n  remedy  run `invoke verify`" in done.out
    assert "\n  source  aws/ota-for-aws-iot-embedded-sdk source/include/ota_platform_interface.h" in done.out


def test_a_code_is_explained_as_json(project: Project) -> None:
    said = json.loads(project.run_here("explain", "rejected: 0x00000010", "--json").done().out)
    assert [one["name"] for one in said["explanations"]] == ["OtaErrSameFirmwareVersion"]
    assert said["explanations"][0].keys() == {"name", "said_by", "cause", "remedy", "source"}


def test_an_unknown_code_says_so_with_the_nearest(project: Project) -> None:
    done = project.run_here("explain", "VersionMissmatch").failed("Nothing is known about 'VersionMissmatch'.")
    assert "Nearest: VersionMismatch" in done.err
    assert done.out == ""
    done = project.run_here("explain", "VersionMissmatch", "--json")
    assert (done.status, json.loads(done.out)["explanations"]) == (1, [])
    assert "VersionMismatch" in json.loads(done.out)["nearest"]


def test_it_needs_no_settings(tmp_path: Path) -> None:
    project = Project(tmp_path / "empty", {}, has_firmware=False)
    (project.root_path / "config.json").unlink()
    project.run_here("explain", "TIMED_OUT").done()
