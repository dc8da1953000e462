"""The build script is really run; what counts is the image and signature it leaves, not its word."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ota.errors import FirmwareError
from ota.firmware.builds import BuildRequest, Image, build_command, ensure_build, find_image, needs_clean, skip_build
from ota.firmware.tree import header_path
from ota.outcomes import Outcome, Verb
from ota.profiles import AWS_CLIENT_CREDENTIAL
from ota.sandbox.firmware import lay_out

LONG_AGO = 1_000_000_000


@pytest.fixture
def request_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuildRequest:
    """A build of the miniature tree, as the command line asks for it: the paths partly relative."""
    monkeypatch.setenv("AWS_OTA_SIGNATURE_TYPE", "EC-P256")
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "firmware"
    lay_out(root)
    Path("certificates").mkdir()
    Path("certificates/lamp.pem.crt").write_text("the certificate")
    Path("certificates/lamp.pem.key").write_text("the key")
    for path in (header_path(root, "keyword-detection", AWS_CLIENT_CREDENTIAL), Path("certificates/lamp.pem.crt")):
        os.utime(path, (LONG_AGO, LONG_AGO))
    return BuildRequest(
        firmware_root=Path("firmware"),
        build_script_path=Path("./tools/scripts/build.sh"),
        target_application="keyword-detection",
        header_format=AWS_CLIENT_CREDENTIAL,
        certificate_path=Path("certificates/lamp.pem.crt"),
        private_key_path=Path("certificates/lamp.pem.key"),
        target_platform="corstone315",
        inference="SOFTWARE",
        audio="ROM",
        toolchain="GNU",
        clean=False,
        image_path=Path("build/keyword-detection-update_signed.bin"),
        signature_path=Path("build/update-signature.txt"),
    )


def build(request: BuildRequest) -> Outcome[Image]:
    return ensure_build(request, os.environ, log_path=Path("build.log"), on_line=lambda _: None)


def write_script(request: BuildRequest, body: str) -> None:
    (request.firmware_root / request.build_script_path).write_text(f"#!/bin/bash\n{body}\n")


def is_there(request: BuildRequest) -> bool:
    return (request.firmware_root / request.image_path).exists()


# A build


def test_a_first_build_creates_the_image(request_: BuildRequest, tmp_path: Path) -> None:
    outcome = build(request_)
    image = outcome.get()
    data = (tmp_path / "firmware/build/keyword-detection-update_signed.bin").read_bytes()
    assert (outcome.verb, outcome.noun, outcome.name) == (Verb.CREATED, "image", image.path.name)
    assert (image.size_bytes, image.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert image.path.is_absolute()
    assert image.signature.path == tmp_path / "firmware/build/update-signature.txt"


def test_a_second_build_that_finds_nothing_to_do_reuses_it(request_: BuildRequest) -> None:
    first = build(request_)
    second = build(request_)
    assert second.verb is Verb.REUSED
    assert second.get() == first.get()


def test_a_clean_build_with_the_same_inputs_gives_the_same_image(request_: BuildRequest) -> None:
    first = build(request_).get()
    second = build(replace(request_, clean=True))
    assert (second.verb, second.get().sha256) == (Verb.REUSED, first.sha256)


def test_another_certificate_changes_the_image(request_: BuildRequest) -> None:
    build(request_)
    request_.certificate_path.write_text("another certificate")
    assert build(request_).verb is Verb.CHANGED


def test_the_script_gets_the_arguments_of_the_reference_firmware(request_: BuildRequest, tmp_path: Path) -> None:
    write_script(
        request_, 'printf "%s\\n" "$@" >arguments; pwd -P >folder; mkdir -p build; echo i >build/i; echo s >build/s'
    )
    named = replace(request_, image_path=Path("build/i"), signature_path=Path("build/s"), clean=True)
    build(named)
    assert (tmp_path / "firmware/folder").read_text().strip() == str((tmp_path / "firmware").resolve())
    assert (tmp_path / "firmware/arguments").read_text().split("\n") == [
        "keyword-detection",
        *("--certificate_path", f"{tmp_path}/certificates/lamp.pem.crt"),
        *("--private_key_path", f"{tmp_path}/certificates/lamp.pem.key"),
        *("--target", "corstone315", "--inference", "SOFTWARE", "--audio", "ROM", "--toolchain", "GNU", "-c", ""),
    ]


def test_only_a_clean_build_is_told_to_be_one(request_: BuildRequest) -> None:
    assert "-c" not in build_command(request_)
    assert build_command(replace(request_, clean=True))[-1] == "-c"


def test_the_output_is_followed_and_kept(request_: BuildRequest, tmp_path: Path) -> None:
    lines: list[str] = []
    ensure_build(request_, os.environ, log_path=tmp_path / "logs/build.log", on_line=lines.append)
    assert "Building keyword-detection" in lines
    assert any(line.startswith("[1/3]") for line in lines)
    assert "[1/3]" in (tmp_path / "logs/build.log").read_text()


# What stands in the way of a build


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(
            {"firmware_root": Path("nowhere")}, "nowhere/applications is not there; set firmware_root", id="tree"
        ),
        pytest.param(
            {"target_application": "nonesuch"}, "set target_application to one of: keyword-det", id="application"
        ),
        pytest.param({"build_script_path": Path("make.sh")}, "firmware/make.sh is not there; set build_s", id="script"),
        pytest.param(
            {"certificate_path": Path("no.crt")}, "device's certificate .*/no.crt is not there", id="certificate"
        ),
        pytest.param(
            {"private_key_path": Path("no.key")}, "private key .*/no.key is not there; run `invoke thing`", id="key"
        ),
    ],
)
def test_what_is_missing_is_named_before_the_build(request_: BuildRequest, change: dict[str, Path], words: str) -> None:
    with pytest.raises(FirmwareError, match=words):
        build(replace(request_, **change))  # type: ignore[arg-type]
    assert not Path("build.log").exists()


def test_a_script_that_is_not_executable_is_named_with_the_remedy(request_: BuildRequest, tmp_path: Path) -> None:
    script = tmp_path / "firmware/tools/scripts/build.sh"
    script.chmod(0o644)
    with pytest.raises(FirmwareError, match=f"is not executable; run: `chmod \\+x {script}`"):
        build(request_)


def test_a_failed_build_shows_its_last_lines_and_its_log(request_: BuildRequest, tmp_path: Path) -> None:
    with pytest.raises(FirmwareError) as error:
        build(replace(request_, target_platform="corstone1000"))
    message = str(error.value)
    assert message.startswith(f"the build failed with exit status 2; its output is in {tmp_path}/build.log\n")
    assert "--target cannot be 'corstone1000'" in message


# A build that says it succeeded


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param("true", "the image .*update_signed.bin is not there; set build_dir", id="nothing"),
        pytest.param(
            "mkdir build; echo i >build/keyword-detection-update_signed.bin",
            "the signature .* is not there",
            id="image",
        ),
        pytest.param(
            "mkdir build; touch build/keyword-detection-update_signed.bin; echo s >build/update-signature.txt",
            "the image .* is empty",
            id="empty image",
        ),
    ],
)
def test_outputs_that_are_missing_are_named(request_: BuildRequest, body: str, words: str) -> None:
    write_script(request_, body)
    with pytest.raises(FirmwareError, match=words):
        build(request_)


def test_a_clean_build_that_leaves_the_old_image_is_refused(request_: BuildRequest) -> None:
    build(request_)
    write_script(request_, "true")
    with pytest.raises(FirmwareError, match=r"reported success, but the image .* is from before; set build_dir"):
        build(replace(request_, clean=True))


def test_a_new_image_with_an_old_signature_is_refused(request_: BuildRequest) -> None:
    build(request_)
    write_script(request_, f"echo new >{request_.image_path}")
    with pytest.raises(FirmwareError, match=r"the signature .* is older than the image"):
        build(request_)


def test_a_new_signature_of_the_same_image_is_fine(request_: BuildRequest) -> None:
    build(request_)
    write_script(request_, f"echo signed again >{request_.signature_path}")
    assert build(request_).verb is Verb.REUSED


def test_an_image_that_the_build_did_not_renew_for_a_new_header_is_refused(request_: BuildRequest) -> None:
    build(request_)
    write_script(request_, "true")
    header = header_path(request_.firmware_root, "keyword-detection", AWS_CLIENT_CREDENTIAL)
    os.utime(header, (time.time() + 60, time.time() + 60))
    with pytest.raises(FirmwareError, match=r"the header .* is newer than the image .*; set clean_build to true"):
        build(request_)


def test_ctrl_c_leaves_the_old_image_and_an_ended_log(request_: BuildRequest) -> None:
    image = build(request_).get()
    write_script(request_, "echo started; exec sleep 60")

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure_build(request_, os.environ, log_path=Path("build.log"), on_line=interrupt)
    assert find_image(image.path, image.signature.path) == image
    assert Path("build.log").read_text().splitlines()[1:] == ["started", "(ended early)"]


# Clean or not


@pytest.fixture
def three(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Header, certificate and image, of ascending age."""
    paths = (tmp_path / "a.h", tmp_path / "a.crt", tmp_path / "a.bin")
    for path, seconds in zip(paths, (10, 20, 30), strict=True):
        path.touch()
        os.utime(path, (seconds, seconds))
    return paths


def test_an_image_newer_than_header_and_certificate_needs_no_clean_build(three: tuple[Path, Path, Path]) -> None:
    assert needs_clean(*three) is None


def test_times_that_are_the_same_need_no_clean_build(three: tuple[Path, Path, Path]) -> None:
    os.utime(three[0], (30, 30))
    assert needs_clean(*three) is None


@pytest.mark.parametrize(("which", "words"), [(0, "the header a.h is newer"), (1, "the certificate a.crt is newer")])
def test_a_newer_header_or_certificate_needs_a_clean_build(
    three: tuple[Path, Path, Path], which: int, words: str
) -> None:
    os.utime(three[which], ns=(30_000_000_001, 30_000_000_001))
    assert needs_clean(*three) == f"{words} than the image a.bin"


@pytest.mark.parametrize("which", [0, 1, 2])
def test_what_is_not_there_asks_for_no_clean_build(three: tuple[Path, Path, Path], which: int) -> None:
    os.utime(three[2], (30, 30))
    three[which].unlink()
    assert needs_clean(*three) is None


# An image that is there


def test_a_skipped_build_takes_the_image_that_is_there(request_: BuildRequest) -> None:
    built = build(request_).get()
    outcome = skip_build(built.path, built.signature.path)
    assert (outcome.verb, outcome.name, outcome.value) == (Verb.SKIPPED, built.path.name, built)


@pytest.mark.parametrize("what", ["image", "signature"])
def test_a_skipped_build_without_its_outputs_is_refused(request_: BuildRequest, what: str) -> None:
    image = build(request_).get()
    path = image.path if what == "image" else image.signature.path
    path.unlink()
    assert find_image(image.path, image.signature.path) is None
    with pytest.raises(FirmwareError, match=f"skip_build is set, but the {what} {path} is not there"):
        skip_build(image.path, image.signature.path)
