"""What can be known at the desk about an update: versions, message lengths, and findings in states a user may be in."""

from __future__ import annotations

import io
import json
import os
import re
import struct
import subprocess
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from ota import outcomes as found
from ota.errors import FirmwareError, SettingsError
from ota.firmware import remedies
from ota.firmware.image_versions import ImageVersion, find_header, next_version, read_version, version_problem
from ota.firmware.job_messages import JobFile, job_document, largest_message_bytes, message_bytes
from ota.firmware.signatures import holds_raw_bytes, read_signature
from ota.firmware.tree import image_kind, version_place
from ota.firmware.verify import verify
from ota.images import read_image
from ota.messages import PLAIN, command, shell
from ota.outcomes import Finding, Severity
from ota.profiles import VersionRule
from ota.report import Report
from ota.settings.settings import Settings, load_settings

V = ImageVersion
CORSTONE, HIGHER, NONE = VersionRule.CORSTONE, VersionRule.HIGHER, VersionRule.NONE
HEADER = struct.Struct("<IIHHIIBBHI4x")
CLASSIC = {"firmware_profile": "classic-agent", "certificate_file_on_device": "/certs/signer.pem"}
NOW = datetime.now(timezone.utc)
VERSION = V(0, 0, 20, 20)


def openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


def image_bytes(version: ImageVersion = VERSION, payload: int = 5000) -> bytes:
    numbers = (version.major, version.minor, version.revision, version.build)
    return HEADER.pack(0x96F3B83D, 0, 1024, 0, payload, 0, *numbers).ljust(1024, b"\0") + bytes(payload)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "private_key.pem"
    openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", path)
    return path


class Tree:
    """A folder with settings, an image, its signature and the public key."""

    def __init__(self, root: Path, key: Path) -> None:
        self.root, self.key = root, key
        self.image, self.signature = root / "build/app-update_signed.bin", root / "build/update-signature.txt"
        self.public_key = root / "certs/public_key.pem"
        for folder in ("build", "certs"):
            (root / folder).mkdir()
        openssl("pkey", "-in", key, "-pubout", "-out", self.public_key)
        self.put(image_bytes())

    def put(self, data: bytes, *, pss: bool = True) -> None:
        self.image.write_bytes(data)
        options = ["-sigopt", "rsa_padding_mode:pss"] if pss else []
        raw = self.root / "raw"
        openssl("dgst", "-sha256", "-sign", self.key, *options, "-out", raw, self.image)
        openssl("base64", "-A", "-in", raw, "-out", self.signature)

    def settings(self, **values: str) -> Settings:
        base = {"thing_name": "lamp", "target_application": "app"}
        (self.root / "config.json").write_text(json.dumps({**base, **values}))
        return load_settings(self.root, environ={})

    def find(self, subject: str, *, now: datetime = NOW, running: str | None = None, **values: str) -> Finding:
        """The one finding about this."""
        every = verify(self.settings(**values), now=now, running_version=running)
        (one,) = [finding for finding in every if finding.subject == subject]
        return one


@pytest.fixture
def tree(tmp_path: Path, key: Path) -> Tree:
    return Tree(tmp_path, key)


def line(finding: Finding) -> str:
    """The command that fixes it, as one line for the shell."""
    assert not isinstance(finding.command, str)
    return PLAIN.remedy(finding.command)


# Findings


def test_all_is_well_with_a_good_image(tree: Tree) -> None:
    every = verify(tree.settings())
    assert [(one.subject, one.severity, one.command) for one in every] == [
        (subject, Severity.OK, ()) for subject in ("profile", "image", "version", "signature", "proof", "job")
    ]


def test_without_image_and_signature_only_these_are_named(tree: Tree) -> None:
    tree.image.unlink()
    tree.signature.unlink()
    every = verify(tree.settings())
    assert [(one.subject, one.command) for one in found.of_severity(every, Severity.FATAL)] == [
        ("image", (command("build"),)),
        ("signature", (command("build"),)),
    ]
    assert len(every) == 3


def test_an_image_that_cannot_be_read_is_named(tree: Tree) -> None:
    tree.image.unlink()
    tree.image.mkdir()
    one = tree.find("image")
    assert one.severity is Severity.FATAL
    assert str(one.text) == f"the image {tree.image} cannot be read: Is a directory"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_image_without_the_right_to_read_is_given_it_back(tree: Tree) -> None:
    tree.image.chmod(0)
    subprocess.run(line(tree.find("image")), shell=True, check=True)  # noqa: S602 - it is a line for the shell
    assert tree.find("image").severity is Severity.OK


def test_without_the_application_s_name_there_is_nothing_to_look_for(tree: Tree) -> None:
    with pytest.raises(SettingsError, match="target_application is not set"):
        verify(tree.settings(target_application=""))


def test_without_a_public_key_the_signature_is_unproven(tree: Tree) -> None:
    tree.public_key.unlink()
    one = tree.find("proof")
    assert one.severity is Severity.WARNING
    assert str(one.text).startswith("the signature is not proven, for there is no public key at ")
    assert line(one) == "invoke with --clean-build true build"


def test_without_a_public_key_an_older_signature_is_suspicious(tree: Tree) -> None:
    tree.public_key.unlink()
    os.utime(tree.signature, (0, 0))
    one = tree.find("proof")
    assert (one.severity, line(one)) == (Severity.WARNING, "invoke with --clean-build true build")
    assert "older than the image" in str(one.text)


def test_a_public_key_that_was_chosen_must_be_there(tree: Tree) -> None:
    one = tree.find("proof", code_signing_public_key="certs/mine.pem")
    assert one.severity is Severity.FATAL
    assert "mine.pem cannot be read: No such file" in str(one.text)
    assert line(one) == f"invoke with --code-signing-public-key {tree.public_key} verify"


def test_a_key_file_that_is_no_key_is_named_by_the_proof(tree: Tree) -> None:
    tree.public_key.write_text("no key")
    assert "is no public key in PEM form" in str(tree.find("proof").text)


def test_an_image_that_no_slot_is_known_for_is_bounded_by_aws(tree: Tree) -> None:
    assert str(tree.find("image", firmware_profile="jobs-library").text).endswith(" bytes of 16,777,216")


def test_the_classic_agent_s_default_bitmap_is_a_warning(tree: Tree) -> None:
    tree.put(image_bytes(payload=128 * 8 * 4096), pss=False)
    one = tree.find("image", **CLASSIC)
    assert one.severity is Severity.WARNING
    assert "can track 4,194,304 unless its build raised that (otaconfigMAX_BLOCK_BITMAP_SIZE)" in str(one.text)


def test_only_mcuboot_s_firmware_needs_its_header(tree: Tree) -> None:
    tree.put(bytes(3000), pss=False)
    assert tree.find("version", **CLASSIC).severity is Severity.OK
    assert "no MCUboot header, so its version is not known" in str(tree.find("version", **CLASSIC).text)
    assert tree.find("version").severity is Severity.FATAL


def test_a_library_leaves_versions_to_the_application(tree: Tree) -> None:
    one = tree.find("version", firmware_profile="jobs-library", running="1.0.0")
    assert (one.severity, one.text) == (
        Severity.OK,
        "0.0.20+20; only the application decides whether that is newer",
    )


def test_a_higher_version_is_said_to_count(tree: Tree) -> None:
    assert tree.find("version", running="0.0.10+0").text == "0.0.20+20 counts as higher than the running 0.0.10+0"


def test_a_version_that_stands_nowhere_is_mended_by_a_build(tree: Tree) -> None:
    one = tree.find("version", running="0.0.20+20")
    assert (one.severity, line(one)) == (Severity.WARNING, "invoke build")
    assert str(one.text).endswith("; 0.0.21+21 would do")


def certified(tree: Tree, days: int) -> str:
    path = tree.root / "certs/signer.crt"
    openssl("req", "-x509", "-new", "-key", tree.key, "-days", str(days), "-subj", "/CN=signer", "-out", path)
    return str(path)


@pytest.mark.parametrize(
    ("values", "later_days", "severity", "words"),
    [
        pytest.param({}, 1, Severity.OK, "signer.crt is valid until ", id="valid"),
        pytest.param({}, 80, Severity.WARNING, "maybe before a device has the update", id="soon"),
        pytest.param({}, 101, Severity.WARNING, " expired on ", id="expired, where the device holds a bare key"),
        pytest.param(CLASSIC, 101, Severity.FATAL, " expired on ", id="expired, where the device opens it"),
        pytest.param(CLASSIC, -2, Severity.FATAL, " is not valid before ", id="of tomorrow"),
    ],
)
def test_a_certificate_s_dates_are_judged_as_the_device_does(
    tree: Tree, values: dict[str, str], later_days: int, severity: Severity, words: str
) -> None:
    tree.put(image_bytes(), pss=not values)
    path = certified(tree, 100)
    one = tree.find("certificate", now=NOW + timedelta(days=later_days), code_signing_public_key=path, **values)
    assert one.severity is severity
    assert words in str(one.text)
    assert tree.find("proof", code_signing_public_key=path, **values).severity is Severity.OK
    if severity is not Severity.OK:
        assert line(one) == ""
        assert "make a new one for the same key, where its private key is" in str(one.text)


def test_the_classic_agent_wants_a_certificate_and_not_a_bare_key(tree: Tree) -> None:
    tree.put(image_bytes(), pss=False)
    one = tree.find("certificate", **CLASSIC)
    assert (one.severity, line(one)) == (Severity.WARNING, "")
    assert str(one.text).endswith("; name a copy of that certificate in code_signing_public_key")


def test_the_longest_of_two_names_is_the_one_to_shorten(tree: Tree) -> None:
    values = {"firmware_profile": "jobs-library", "image_file_name": "f" * 1900}
    one = tree.find("job", **values)
    assert (one.severity, line(one)) == (Severity.FATAL, "invoke with --image-file-name firmware.bin verify")


def test_where_no_buffer_is_known_the_length_is_told_alone(tree: Tree) -> None:
    tree.put(image_bytes(), pss=False)
    assert re.fullmatch(r"the message with the job has at most \d+ bytes", str(tree.find("job", **CLASSIC).text))


def test_a_failure_s_text_has_each_command_under_its_sentence() -> None:
    steps = (shell("mv", "a", "b"), command("build"))
    text = found.failure_text([found.fatal("image", "is gone", steps), found.warning("proof", "is not there")])
    assert str(text) == "image: is gone\n  fix it with: `mv a b` && `invoke build`\nproof: is not there"


# The screen


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [80, 140])
def test_on_a_terminal_sentences_wrap_and_commands_stay_whole(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out, fix = Terminal(), shell("mv", "a" * 100, "b" * 100)
    Report(out).findings([found.fatal("proof", "word " * 40 + "end", fix), found.ok("job", "short")])
    lines = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines()
    assert f"         {fix.line}" in lines
    sentences = [line for line in lines if fix.line not in line]
    assert max(len(line.rstrip()) for line in sentences) <= columns
    assert lines[0].startswith("fatal    proof        word")
    assert lines[1].startswith(" " * 22 + "word")
    assert "\x1b[1;31mfatal" in out.getvalue()


# Versions


@pytest.mark.parametrize(
    ("text", "rule", "version"),
    [
        ("0.0.10+0", CORSTONE, V(0, 0, 10, 0)),
        ("1.2.3", CORSTONE, V(1, 2, 3, 0)),
        (" v0.9.2 ", HIGHER, V(0, 9, 2, 0)),
        ("0", CORSTONE, V(0, 0, 0, 0)),
        ("16908292", CORSTONE, V(1, 2, 0, 4)),
        ("0x00090002", HIGHER, V(0, 9, 2, 0)),
        ("255.255.65535+4294967295", CORSTONE, V(255, 255, 65535, 4294967295)),
    ],
)
def test_a_version_is_read_as_written_or_as_reported(text: str, rule: VersionRule, version: ImageVersion) -> None:
    assert read_version(text, rule) == version


@pytest.mark.parametrize("text", ["", "1", "new", "1.2", "256.0.0", "0.0.65536", "1.2.3+4294967296", "0x1ffffffff"])
def test_what_is_no_version_is_refused(text: str) -> None:
    if text == "1":  # a number is what a device reports
        assert read_version(text, CORSTONE) == V(0, 0, 0, 1)
        return
    with pytest.raises(FirmwareError, match="is no version"):
        read_version(text, CORSTONE)


def test_a_number_too_large_is_no_version() -> None:
    with pytest.raises(FirmwareError, match="is no version"):
        read_version("4294967296", CORSTONE)


@pytest.mark.parametrize(
    ("new", "running", "rule", "words"),
    [
        # Arm's: of the running version the low 16 bits count, of the new one major, minor and build.
        (V(0, 0, 20, 0), None, CORSTONE, "counts as 0"),
        (V(0, 0, 20, 0), V(0, 0, 10, 0), CORSTONE, "counts as 0"),
        (V(0, 0, 20, 20), None, CORSTONE, None),
        (V(0, 0, 20, 20), V(0, 0, 10, 0), CORSTONE, None),
        (V(0, 0, 20, 20), V(0, 0, 10, 20), CORSTONE, "does not count as higher"),
        (V(0, 0, 20, 20), V(0, 0, 10, 0x10000 + 19), CORSTONE, None),
        (V(0, 1, 0, 0), V(0, 0, 9, 65535), CORSTONE, None),
        (V(0, 1, 0, 0), V(1, 0, 0, 5), CORSTONE, "but the device would take it"),
        (V(0, 0, 20, 0x10000), None, CORSTONE, "counts as 0"),
        # The classic agent's: the whole version.
        (V(0, 9, 3, 0), V(0, 9, 2, 0), HIGHER, None),
        (V(0, 9, 2, 0), V(0, 9, 2, 0), HIGHER, "0x00000010"),
        (V(0, 9, 1, 0), V(0, 9, 2, 0), HIGHER, "0x0000000f"),
        (V(0, 9, 1, 0), None, HIGHER, None),
        (V(0, 0, 1, 0), V(9, 0, 0, 0), NONE, None),
    ],
)
def test_versions_are_judged_by_the_firmware_s_own_rule(
    new: ImageVersion, running: ImageVersion | None, rule: VersionRule, words: str | None
) -> None:
    problem = version_problem(new, running, rule)
    assert (problem is None) is (words is None)
    assert (words or "") in (problem or "")


@pytest.mark.parametrize(
    ("new", "running", "rule", "better"),
    [
        (V(0, 0, 20, 0), None, CORSTONE, V(0, 0, 20, 20)),
        (V(0, 0, 0, 0), None, CORSTONE, V(0, 0, 0, 1)),
        (V(0, 0, 20, 20), V(0, 0, 10, 40), CORSTONE, V(0, 0, 20, 41)),
        (V(0, 0, 20, 20), V(0, 3, 0, 1), CORSTONE, V(0, 3, 1, 2)),
        (V(0, 0, 20, 20), V(0, 0, 10, 65535), CORSTONE, V(0, 1, 0, 1)),
        (V(0, 9, 2, 0), V(0, 9, 2, 0), HIGHER, V(0, 9, 3, 0)),
    ],
)
def test_the_version_that_is_proposed_would_be_taken(
    new: ImageVersion, running: ImageVersion | None, rule: VersionRule, better: ImageVersion
) -> None:
    assert next_version(new, running, rule) == better
    assert version_problem(better, running, rule) is None


def test_a_header_is_read_from_the_image_s_front(tmp_path: Path) -> None:
    path = tmp_path / "image.bin"
    path.write_bytes(image_bytes(V(1, 2, 3, 4)))
    header = find_header(read_image(path))
    assert header is not None
    assert (header.version, header.least_bytes, str(header.version)) == (V(1, 2, 3, 4), 6024, "1.2.3+4")
    path.write_bytes(b"\0" + image_bytes()[1:])
    assert find_header(read_image(path)) is None
    path.write_bytes(image_bytes()[:27])
    assert find_header(read_image(path)) is None
    with pytest.raises(FirmwareError, match="cannot be read: No such file"):
        read_image(tmp_path / "none")


# The message with the job


def test_the_message_s_length_is_the_one_that_the_firmware_logs() -> None:
    """Arm's logs of the reference firmware: 1046 bytes at first, 1080 when the device is back after its restart."""
    number = "f1af3c74-44c9-4c6a-a820-90c0109a3fd2"
    file = JobFile("non_secure image", 596_736, "0", "sig-sha256-rsa", "A" * 512)
    names = (f"iotmsw-ci-test-thing-{number}", f"ota-test-update-id-{number}")
    assert message_bytes(*names, file) == 1046
    assert message_bytes(*names, file, "0") == 1080
    assert largest_message_bytes(*names, file) == 1089


HTTP_DOCUMENT = (
    '{"afr_ota":{"protocols":["HTTP"],"files":[{"filepath":"a","filesize":1,"fileid":0,"certfile":"0",'
    '"update_data_url":"https://u","auth_scheme":"aws.s3.presigned","sig-sha256-ecdsa":"c2ln"}]}}'
)


def test_over_http_the_document_has_a_url_in_place_of_the_stream() -> None:
    file = JobFile("a", 1, "0", "sig-sha256-ecdsa", "c2ln", ("HTTP",), "https://u")
    assert json.dumps(job_document(file), separators=(",", ":")) == HTTP_DOCUMENT
    both = job_document(replace(file, protocols=("MQTT", "HTTP")))["afr_ota"]
    assert list(both) == ["protocols", "streamname", "files"]
    assert both["files"][0]["update_data_url"] == "https://u"


# The firmware's names


@pytest.mark.parametrize(
    ("name", "application", "kind"),
    [
        ("app-update_signed.bin", "app", "application"),
        ("app-model-update_signed.bin", "app", "model"),
        ("app-model-update_signed.bin", "app-model", "application"),
        ("folder/update-signature.txt", "app", "application"),
        ("model-update-signature.txt", "app", "model"),
        ("mine.bin", "app", None),
    ],
)
def test_build_outputs_are_told_apart_by_their_names(name: str, application: str, kind: str | None) -> None:
    assert image_kind(name, application) == kind


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ('set(MCUBOOT_IMAGE_VERSION_NS_UPDATE "0.0.20+0")\n', True),
        ('if(X)\n    set(MCUBOOT_IMAGE_VERSION_NS_UPDATE "0.0.20+0")\nendif()\n', True),
        ('# set(MCUBOOT_IMAGE_VERSION_NS_UPDATE "0.0.20+0")\n', False),
        ("set(MCUBOOT_IMAGE_VERSION_NS_UPDATE ${VERSION})\n", False),
    ],
)
def test_the_version_s_place_in_the_tree_is_found(tmp_path: Path, text: str, is_found: bool) -> None:
    assert version_place(tmp_path, "my-app", is_model=False) is None
    path = tmp_path / "applications/my_app/CMakeLists.txt"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    place = version_place(tmp_path, "my-app", is_model=False)
    assert (place is not None) is is_found
    assert place is None or place.path == path


def test_an_indented_version_is_raised_where_it_stands(tree: Tree) -> None:
    path = tree.root / "applications/app/CMakeLists.txt"
    path.parent.mkdir(parents=True)
    path.write_text('if(GNU)\n    set(MCUBOOT_IMAGE_VERSION_NS_UPDATE "0.0.20+0" CACHE STRING "")\nendif()\n')
    fix = PLAIN.remedy(remedies.raise_version(tree.settings(), V(0, 0, 20, 20)))
    subprocess.run(["bash", "-c", f"invoke() {{ :; }}; {fix}"], check=True)
    assert '    set(MCUBOOT_IMAGE_VERSION_NS_UPDATE "0.0.20+20" CACHE STRING "")\n' in path.read_text()


def test_raw_bytes_are_told_from_other_files(tmp_path: Path) -> None:
    path = tmp_path / "signature"
    for data, is_raw in ((b"\x01" * 384, True), (b"\x01" * 100, False)):
        path.write_bytes(data)
        assert holds_raw_bytes(read_signature(path)) is is_raw


# The edges of what the firmware takes


@pytest.mark.parametrize(("excess_bytes", "severity"), [(0, Severity.OK), (1, Severity.FATAL)])
def test_an_image_may_fill_its_slot_to_the_last_byte(tree: Tree, excess_bytes: int, severity: Severity) -> None:
    tree.put(image_bytes(payload=0x340000 - 1024 + excess_bytes))
    assert tree.find("image").severity is severity


def test_the_message_must_be_shorter_than_its_buffer(tree: Tree) -> None:
    said = str(tree.find("job").text)
    length_bytes = int(re.findall(r"at most ([\d,]+) bytes", said)[0].replace(",", ""))
    room_bytes = 2048 - length_bytes + len("0")
    assert tree.find("job", certificate_file_on_device="c" * (room_bytes - 1)).severity is Severity.OK
    assert tree.find("job", certificate_file_on_device="c" * room_bytes).severity is Severity.FATAL


def test_a_url_has_a_token_of_any_length_so_a_buffer_may_be_too_short_for_it(tree: Tree) -> None:
    over_mqtt = tree.find("job", firmware_profile="jobs-library")
    over_http = tree.find("job", firmware_profile="jobs-library", protocols="HTTP")
    assert (over_mqtt.severity, over_http.severity) == (Severity.OK, Severity.WARNING)
    assert "AWS does not say how long that is" in str(over_http.text)
    assert line(over_http).endswith("with --protocols MQTT verify")
    unbounded = {"firmware_profile": "classic-agent", "signature_algorithm": "ECDSA"}
    found = tree.find("job", **unbounded, certificate_file_on_device="/certs/signer.pem", protocols="HTTP")
    assert found.severity is Severity.OK
    assert "in its URL a session token" in str(found.text)
