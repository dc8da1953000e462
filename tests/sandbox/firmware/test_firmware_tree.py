"""The miniature firmware tree: its build really runs, and openssl itself says whether the signatures hold."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from ota.sandbox.firmware import lay_out

HEADER = "applications/keyword_detection/configs/aws_configs/aws_clientcredential.h"
SCRIPT = "tools/scripts/build.sh"
IMAGE = "build/keyword-detection-update_signed.bin"
SIGNATURE = "build/update-signature.txt"
MODEL = "build/keyword-detection-model-update_signed.bin"
MODEL_SIGNATURE = "build/model-update-signature.txt"
PKCS1 = ["-pkeyopt", "rsa_padding_mode:pkcs1"]
PSS = ["-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_mgf1_md:sha256"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "a firmware tree")


@pytest.fixture(scope="module")
def built_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_tree(tmp_path_factory.mktemp("built") / "a firmware tree")
    build(root)
    return root


@pytest.fixture
def built(built_once: Path, tmp_path: Path) -> Path:
    """A tree in which keyword detection has been built, with its times."""
    return shutil.copytree(built_once, tmp_path / "a firmware tree")


def make_tree(root: Path) -> Path:
    lay_out(root)
    (root / "device.pem.crt").write_text("certificate of lamp-1")
    (root / "device.pem.key").write_text("THE PRIVATE KEY OF lamp-1")
    return root


def build(tree: Path, *arguments: str, key_type: str = "EC-P256", ok: bool = True) -> subprocess.CompletedProcess[str]:
    device = ["--certificate_path", "device.pem.crt", "--private_key_path", "device.pem.key"]
    command = [f"./{SCRIPT}", *device, *(arguments or ("keyword-detection",))]
    run = subprocess.run(
        command, cwd=tree, env={**os.environ, "AWS_OTA_SIGNATURE_TYPE": key_type}, capture_output=True, text=True
    )
    assert (run.returncode == 0) is ok, run.stdout + run.stderr
    return run


def openssl_accepts(tree: Path, image: str, signature: str, options: list[str]) -> bool:
    digest, raw = tree / "digest", tree / "raw"
    digest.write_bytes(hashlib.sha256((tree / image).read_bytes()).digest())
    subprocess.run(["openssl", "base64", "-d", "-A", "-in", tree / signature, "-out", raw], check=True)
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", tree / "certs/public_key.pem", "-in", digest]
    return subprocess.run([*command, "-sigfile", raw, "-pkeyopt", "digest:sha256", *options]).returncode == 0


def set_header(tree: Path, value: str) -> None:
    path = tree / HEADER
    path.write_text(path.read_text().replace("dummy_thingname", value))


# Laying out


def test_laying_out_gives_the_paths_of_the_reference_tree(tmp_path: Path) -> None:
    written = lay_out(tmp_path / "firmware")
    assert Path(SCRIPT) in written
    for folder in ("keyword_detection", "object_detection", "speech_recognition"):
        assert Path("applications", folder, "configs/aws_configs/aws_clientcredential.h") in written
    assert os.access(tmp_path / "firmware" / SCRIPT, os.X_OK)
    assert not [path for path in written if "build" in path.parts or "certs" in path.parts]


def test_laying_out_again_writes_nothing(tree: Path) -> None:
    assert lay_out(tree) == ()


def test_a_changed_file_stays_and_a_missing_one_is_restored(tree: Path) -> None:
    set_header(tree, "lamp-1")
    (tree / SCRIPT).unlink()
    assert lay_out(tree) == (Path(SCRIPT),)
    assert '"lamp-1"' in (tree / HEADER).read_text()
    assert os.access(tree / SCRIPT, os.X_OK)


def test_a_file_replaced_by_a_link_stays_a_link(tree: Path) -> None:
    (tree / HEADER).unlink()
    (tree / HEADER).symlink_to("nowhere.h")
    assert lay_out(tree) == ()


def test_no_private_key_is_packaged() -> None:
    for path in Path(lay_out.__code__.co_filename).with_name("firmware").rglob("*"):
        assert path.is_dir() or b"PRIVATE KEY-----" not in path.read_bytes()


# The image


def test_the_image_has_an_mcuboot_header_and_a_hash_that_holds(built: Path) -> None:
    image = (built / IMAGE).read_bytes()
    magic, load, header_bytes, protected, payload_bytes, _ = struct.unpack_from("<IIHHII", image)
    assert (magic, load, header_bytes, protected) == (0x96F3B83D, 0, 0x400, 0)
    assert struct.unpack_from("<BBHI", image, 20) == (0, 0, 20, 20)
    assert len(image) == 596_736
    trailer = image[header_bytes + payload_bytes :]
    assert struct.unpack_from("<HHHH", trailer) == (0x6907, len(trailer), 0x10, 32)
    assert trailer[8:] == hashlib.sha256(image[: header_bytes + payload_bytes]).digest()


def test_the_model_comes_with_keyword_detection_and_gnu_only(built: Path) -> None:
    assert (built / MODEL).stat().st_size == 102_400
    assert struct.unpack_from("<BBHI", (built / MODEL).read_bytes(), 20) == (0, 0, 42, 42)
    build(built, "-c", "keyword-detection", "-T", "ARMCLANG")
    assert not (built / MODEL).exists()
    build(built, "-c", "object-detection")
    assert sorted(path.name for path in (built / "build").glob("*.bin") if "signed" in path.name) == [
        "object-detection-update_signed.bin"
    ]


@pytest.mark.parametrize("version", ["1.2.3+4", "255.0.65535", "0.0.08+09"])
def test_the_version_is_the_applications(tree: Path, version: str) -> None:
    cmake = tree / "applications/keyword_detection/CMakeLists.txt"
    cmake.write_text(cmake.read_text().replace("0.0.20+20", version))
    build(tree)
    numbers = [int(number) for number in re.split(r"[.+]", version)]
    assert list(struct.unpack_from("<BBHI", (tree / IMAGE).read_bytes(), 20)) == [*numbers, 0][:4]


@pytest.mark.parametrize("version", ["", "1.2", "256.0.0", "1.0.65536", "v1.2.3"])
def test_a_version_that_is_none_stops_the_build(tree: Path, version: str) -> None:
    cmake = tree / "applications/keyword_detection/CMakeLists.txt"
    cmake.write_text(cmake.read_text().replace("0.0.20+20", version))
    assert "is no version" in build(tree, ok=False).stderr
    assert not (tree / SIGNATURE).exists()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda tree: set_header(tree, "lamp-1"), id="header"),
        pytest.param(lambda tree: (tree / "device.pem.crt").write_text("another"), id="certificate"),
    ],
)
def test_header_and_certificate_change_the_image(built: Path, change: object) -> None:
    before = (built / IMAGE).read_bytes()
    change(built)  # type: ignore[operator]
    build(built)
    assert (built / IMAGE).read_bytes() != before


def test_the_same_inputs_give_the_same_bytes_in_another_place(tree: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tree, other)
    build(tree)
    build(other, key_type="RSA-2048")
    assert (other / IMAGE).read_bytes() == (tree / IMAGE).read_bytes()


def test_nothing_of_the_private_keys_is_in_an_image(built: Path) -> None:
    before = (built / IMAGE).read_bytes()
    (built / "device.pem.key").write_text("another key")
    build(built, "-c", "keyword-detection")
    assert (built / IMAGE).read_bytes() == before


def test_the_values_of_the_header_can_be_seen_in_the_image(tree: Path) -> None:
    set_header(tree, "lamp-1")
    build(tree)
    assert b'"lamp-1"' in (tree / IMAGE).read_bytes()


# Incremental and clean


def test_an_unchanged_tree_is_left_untouched(built: Path) -> None:
    stamps = [(built / name).stat().st_mtime_ns for name in (IMAGE, SIGNATURE, MODEL, MODEL_SIGNATURE)]
    assert "up to date" in build(built).stdout
    assert [(built / name).stat().st_mtime_ns for name in (IMAGE, SIGNATURE, MODEL, MODEL_SIGNATURE)] == stamps


def test_a_touched_header_renews_the_image_with_the_same_bytes(built: Path) -> None:
    before = (built / IMAGE).read_bytes()
    os.utime(built / IMAGE, (1, 1))
    build(built)
    assert (built / IMAGE).read_bytes() == before
    assert (built / IMAGE).stat().st_mtime > (built / HEADER).stat().st_mtime


@pytest.mark.parametrize("name", [IMAGE, SIGNATURE, MODEL, MODEL_SIGNATURE])
def test_a_missing_output_is_made_again(built: Path, name: str) -> None:
    (built / name).unlink()
    build(built)
    assert (built / name).stat().st_size > 0


def test_another_application_renews_the_shared_signature(built: Path) -> None:
    build(built, "speech-recognition")
    assert openssl_accepts(built, "build/speech-recognition-update_signed.bin", SIGNATURE, [])
    build(built)
    assert openssl_accepts(built, IMAGE, SIGNATURE, [])


def test_clean_removes_what_builds_made_and_nothing_else(built: Path) -> None:
    (built / "build/notes.txt").write_text("mine")
    build(built, "object-detection", "-c")
    assert not (built / IMAGE).exists()
    assert (built / "build/notes.txt").read_text() == "mine"


def test_another_build_folder_is_used(tree: Path) -> None:
    build(tree, "keyword-detection", "--path", "out here")
    assert (tree / "out here/update-signature.txt").is_file()
    assert not (tree / "build").exists()


# Signing


@pytest.mark.parametrize(
    ("key_type", "options", "length"),
    [
        pytest.param("RSA-2048", PSS, 344, id="RSA-2048"),
        pytest.param("RSA-3072", PSS, 512, id="RSA-3072"),
        pytest.param("EC-P256", [], 96, id="EC-P256"),
        pytest.param("EC-P384", [], 140, id="EC-P384"),
    ],
)
def test_openssl_accepts_both_signatures(tree: Path, key_type: str, options: list[str], length: int) -> None:
    build(tree, key_type=key_type)
    assert abs(len((tree / SIGNATURE).read_text()) - length) <= (0 if options else 4)
    assert openssl_accepts(tree, IMAGE, SIGNATURE, options)
    assert openssl_accepts(tree, MODEL, MODEL_SIGNATURE, options)
    assert not openssl_accepts(tree, MODEL, SIGNATURE, options)


def test_the_padding_of_an_rsa_signature_can_be_the_older_one(tree: Path) -> None:
    build(tree, key_type="RSA-2048")
    cmake = tree / "applications/keyword_detection/CMakeLists.txt"
    cmake.write_text(cmake.read_text().replace('PADDING "PSS"', 'PADDING "PKCS1"'))
    build(tree)
    assert openssl_accepts(tree, IMAGE, SIGNATURE, PKCS1)
    assert not openssl_accepts(tree, IMAGE, SIGNATURE, PSS)
    cmake.write_text(cmake.read_text().replace('PADDING "PKCS1"', 'PADDING "none"'))
    assert "AWS_OTA_SIGNATURE_PADDING cannot be 'none'" in build(tree, ok=False).stderr


def test_the_default_key_is_the_one_the_application_names(tree: Path) -> None:
    build(tree, key_type="")
    assert len((tree / SIGNATURE).read_text()) == 512


def test_the_private_key_is_the_owners_alone_and_kept(built: Path) -> None:
    key = built / "certs/private_key.pem"
    before = key.read_bytes()
    assert key.stat().st_mode & 0o777 == 0o600
    build(built, "-c", "keyword-detection", key_type="RSA-2048")
    assert key.read_bytes() == before
    assert sorted(path.name for path in key.parent.iterdir()) == ["private_key.pem", "public_key.pem"]


def test_another_signing_key_signs_anew(built: Path) -> None:
    shutil.rmtree(built / "certs")
    build(built, key_type="RSA-2048")
    assert openssl_accepts(built, IMAGE, SIGNATURE, PSS)


# The command line


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        pytest.param((), 2, "the application cannot be ''", id="no application"),
        pytest.param(("nonesuch",), 2, "keyword-detection object-detection speech-recognition", id="application"),
        pytest.param(("keyword-detection", "-t", "corstone1000"), 2, "--target cannot be", id="target"),
        pytest.param(("keyword-detection", "--inference=GPU"), 2, "--inference cannot be", id="inference"),
        pytest.param(("keyword-detection", "-sUSB"), 2, "--audio cannot be", id="audio"),
        pytest.param(("keyword-detection", "--toolchain", "IAR"), 2, "--toolchain cannot be", id="toolchain"),
        pytest.param(("keyword-detection", "--npu-id", "U1"), 2, "--npu-id cannot be", id="npu-id"),
        pytest.param(("keyword-detection", "--npu-mac", "7"), 2, "--npu-mac cannot be", id="npu-mac"),
        pytest.param(("keyword-detection", "--conn-stack", "x"), 2, "--conn-stack cannot be", id="conn-stack"),
        pytest.param(
            ("object-detection", "-t", "corstone300"), 2, "corstone315 and corstone320 only", id="combination"
        ),
        pytest.param(("keyword-detection", "--colour", "red"), 1, "unrecognized option '--colour'", id="unknown"),
        pytest.param(("keyword-detection", "--certificate_path"), 1, "requires an argument", id="no value"),
    ],
)
def test_a_wrong_command_line_is_refused(tree: Path, arguments: tuple[str, ...], status: int, words: str) -> None:
    run = build(tree, *(arguments or ("-c",)), ok=False)
    assert run.returncode == status
    assert words in run.stderr
    assert not (tree / "build").exists()


@pytest.mark.parametrize(("missing", "option"), [("crt", "--certificate_path"), ("key", "--private_key_path")])
def test_a_missing_certificate_or_key_is_refused(tree: Path, missing: str, option: str) -> None:
    (tree / f"device.pem.{missing}").unlink()
    run = build(tree, ok=False)
    assert run.returncode == 2
    assert f"{option} must name a file that is there" in run.stderr


def test_without_arguments_the_usage_goes_to_stderr(tree: Path) -> None:
    run = subprocess.run([f"./{SCRIPT}"], cwd=tree, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (1, "")
    assert "keyword-detection object-detection speech-recognition" in run.stderr


def test_help_shows_every_option(tree: Path) -> None:
    shown = build(tree, "--help").stdout
    assert all(
        f"--{name}" in shown for name in ("clean", "path", "target", "inference", "audio", "toolchain", "npu-id")
    )


def test_short_options_can_be_joined(built: Path) -> None:
    assert "from clean" in build(built, "-ctcorstone310", "--", "keyword-detection").stderr


def test_an_application_of_ones_own_is_built(tree: Path) -> None:
    shutil.copytree(tree / "applications/speech_recognition", tree / "applications/my_lamp")
    build(tree, "my-lamp")
    assert (tree / "build/my-lamp-update_signed.bin").is_file()


def test_without_openssl_the_build_says_so(tree: Path, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("bash", "env", "basename", "dirname", "tr", "cat"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    run = subprocess.run(
        [f"./{SCRIPT}", "keyword-detection", "-C", "device.pem.crt", "-P", "device.pem.key"],
        cwd=tree,
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert "openssl is not in PATH" in run.stderr
