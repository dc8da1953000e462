"""Firmware that is not Arm's, and Arm's with its own settings file: through the sandbox, and not a byte of it changed.

The trees have the shape of the real ones. Only the compilers are stood in for: ``idf.py`` of ESP-IDF, and the cross
compiler that Arm's build script calls.
"""

from __future__ import annotations

import json
import shlex
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from ota.sandbox import process
from ota.settings.profile_files import FIELDS, read_profile_file
from ota.settings.sandbox_paths import find_copy
from tests.project import HEADER, REPOSITORY_PATH, Project, Result
from tests.settings.test_settings import ARM_FILE

ARMS_FILE = "tools/scripts/createIoTThings_settings.json"
# What ESP-IDF does as far as a build of another project sees it: configure from fragments, compile, and link.
IDF = """#!/usr/bin/env bash
set -eu
case "$1" in
    fullclean) rm -rf build; echo cleaned >>cleans ;;
    build)
        mkdir -p build
        [ -f sdkconfig ] || cat sdkconfig.defaults >sdkconfig
        cat sdkconfig $(ls sdkconfig.ota 2>/dev/null) >build/sdkconfig.h
        cmp -s build/sdkconfig.h build/linked && exit 0
        { printf '\\xe9'; cat build/sdkconfig.h; head -c 70000 /dev/zero; } >build/lamp.bin
        cp build/sdkconfig.h build/linked ;;
esac
"""
# An ECDSA signature differs each time, so an image is signed once.
SIGN = (
    "[ build/update-signature.txt -nt build/lamp.bin ] || "
    "openssl dgst -sha256 -sign keys/private.pem build/lamp.bin | openssl base64 -A -out build/update-signature.txt"
)
# Arm's script: its options, its patches of a library with git, the compiler, MCUboot's header and the signature.
ARMS_SCRIPT = """#!/bin/bash
set -e
ROOT="$(realpath "$(dirname "$0")/../..")"
application="$1"; shift
[ "$1" = --certificate_path ] && certificate="$2"; shift 2
[ "$1" = --private_key_path ] && test -f "$2"; shift 2
echo "options: $*"
source_path="$ROOT/applications/${application//-/_}"
(
    cd "$ROOT/components/library"
    git stash push -u -q && git stash apply -q || true
    git clean -dfq && git reset --hard -q
    git apply "$ROOT/components/0001.patch"
)
mkdir -p "$ROOT/build"
arm-none-eabi-gcc -I "$source_path/configs/aws_configs" "$source_path/main.c" "$certificate" -o "$ROOT/build/app.bin"
python3 "$ROOT/tools/scripts/wrapper.py" "$ROOT/build/app.bin" "$ROOT/build/$application-update_signed.bin"
cd "$ROOT/build"
openssl dgst -sha256 -binary "$application-update_signed.bin" >digest
openssl pkeyutl -sign -inkey "$ROOT/certs/private_key.pem" -pkeyopt digest:sha256 -pkeyopt rsa_padding_mode:pss \\
    -pkeyopt rsa_mgf1_md:sha256 -in digest | openssl base64 -A >update-signature.txt
"""
COMPILER = """#!/bin/sh
cat "$2/aws_clientcredential.h" "$3" "$4" >"$6"
head -c 70000 /dev/zero >>"$6"
"""
WRAPPER = """import struct, sys
from pathlib import Path
payload = Path(sys.argv[1]).read_bytes()
header = struct.pack("<IIHHIIBBHI", 0x96F3B83D, 0, 0x400, 0, len(payload), 0, 0, 0, 20, 20).ljust(0x400, b"\\0")
Path(sys.argv[2]).write_bytes(header + payload)
"""
PATCH = """diff --git a/lib.c b/lib.c
--- a/lib.c
+++ b/lib.c
@@ -1 +1 @@
-plain
+patched
"""


@pytest.fixture(scope="module")
def shared_project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("other") / "project", {}, has_firmware=False)
    bin_path = project.root_path.parent / "bin"
    bin_path.mkdir()
    project.environ["PATH"] = f"{bin_path}:{project.environ['PATH']}"
    yield project
    process.stop(project.root_path / ".sandbox")


@pytest.fixture
def project(shared_project: Project) -> Project:
    """The project with its shipped settings, and no programs but this machine's."""
    Project(shared_project.root_path, {}, has_firmware=False)
    bin_path = shared_project.root_path.parent / "bin"
    shutil.rmtree(bin_path)
    bin_path.mkdir()
    return shared_project


def install(project: Project, name: str, text: str) -> Path:
    path = project.root_path.parent / "bin" / name
    path.write_text(text)
    path.chmod(0o755)
    return path


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def make_keys(folder: Path, private: str, public: str, *options: str) -> None:
    folder.mkdir()
    subprocess.run(["openssl", "genpkey", *options, "-out", private], cwd=folder, check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], cwd=folder, check=True)


def copy_of(project: Project, root: Path) -> Path:
    found = find_copy(root, project.root_path, ())
    assert found is not None
    return found.path


@pytest.fixture
def esp(tmp_path: Path, project: Project) -> Path:
    """An ESP-IDF project in a repository of its own, and the settings for it."""
    root = tmp_path / "esp-lamp"
    write(
        root,
        {
            "CMakeLists.txt": "project(lamp)\n",
            "main/main.c": "void app_main(void) {}\n",
            "sdkconfig.defaults": 'CONFIG_GRI_MQTT_ENDPOINT=""\nCONFIG_GRI_THING_NAME=""\n',
        },
    )
    make_keys(root / "keys", "private.pem", "public.pem", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    install(project, "idf.py", IDF)
    project.set(
        thing_name="esp lamp".replace(" ", "-"),
        firmware_root=str(root),
        firmware_profile="esp32",
        ota_binary="lamp.bin",
        code_signing_public_key="keys/public.pem",
    )
    set_values(project, build_command=["bash", "-c", f"idf.py build && {SIGN}"])
    return root


def set_values(project: Project, **values: object) -> None:
    """Write settings that are no texts into config.json."""
    path = project.root_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}, indent=4))


class TestAnotherBuild:
    def test_a_fragment_from_a_template_goes_all_the_way_to_the_device(self, project: Project, esp: Path) -> None:
        template = 'CONFIG_LAMP_ENDPOINT="$<endpoint>"\nCONFIG_LAMP_NAME="$<thing_name>{upper}"\n$$<kept>\n'
        (project.root_path / "sdkconfig.in").write_text(template)
        project.set(header_template="sdkconfig.in", header_path="sdkconfig.ota")
        before = files_of(esp)
        result = project.run_here("sandbox", "all", "device").done()
        assert ("header", "created") in result.verbs
        assert "SUCCEEDED" in result.out
        copy = copy_of(project, esp)
        made = (copy / "sdkconfig.ota").read_text()
        assert made.splitlines()[1:] == ['CONFIG_LAMP_NAME="ESP-LAMP"', "$<kept>"]
        assert made.splitlines()[0].endswith('.amazonaws.com"')
        assert made.encode() in (copy / "build/lamp.bin").read_bytes()
        again = project.run_here("sandbox", "all").done()
        assert {("header", "reused"), ("image", "reused"), ("update", "reused")} <= set(again.verbs)
        (copy / "sdkconfig.ota").write_text("by hand")
        project.run_here("sandbox", "device").failed("is not what header_template gives", "thing")
        changed = project.run_here("sandbox", "all").done()
        assert ("header", "changed") in changed.verbs
        cleaned = project.run_here("sandbox", "clean").done()
        assert ("header", "changed") in cleaned.verbs
        assert (copy / "sdkconfig.ota").read_text() == "by hand"
        assert files_of(esp) == before

    def test_values_in_sdkconfig_are_set_and_put_back(self, project: Project, esp: Path) -> None:
        """The esp32 profile's own header, which the first build makes, and a build from clean."""
        project.run_here("sandbox", "all").failed("sdkconfig is not there", "build once")
        write(esp, {"sdkconfig": '# CONFIG_GRI_THING_NAME is not set here\nCONFIG_GRI_MQTT_ENDPOINT=""\n'})
        project.run_here("sandbox", "all").failed(
            "it has no CONFIG_GRI_THING_NAME; restore the file, or add: CONFIG_GRI"
        )
        write(esp, {"sdkconfig": 'CONFIG_GRI_MQTT_ENDPOINT=""\nCONFIG_GRI_THING_NAME=""\n# it\'s "so\n'})
        before = files_of(esp)
        project.run_here("sandbox", "all", "device").done()
        copy = copy_of(project, esp)
        assert (copy / "sdkconfig").read_text().endswith('CONFIG_GRI_THING_NAME="esp-lamp"\n# it\'s "so\n')
        renewed = project.run_here("sandbox", "with", "--thing-name", "lamp-2", "build").done()
        assert ("image", "changed") in renewed.verbs
        assert (copy / "cleans").read_text() == "cleaned\n"
        project.run_here("sandbox", "with", "--thing-name", "lamp-2", "clean").done()
        assert 'CONFIG_GRI_THING_NAME=""' in (copy / "sdkconfig").read_text()
        assert files_of(esp) == before

    def test_words_keep_their_blanks_and_paths_are_absolute(self, project: Project, esp: Path) -> None:
        report = install(project, "report", '#!/bin/sh\nprintf "%s\\n" "$@" >words\n')
        line = f"{report} $<thing_name>{{replace - with _}} 'two words' $<certificate_path> $<build_dir>/$<ota_binary>"
        project.set(build_command=line, header_path="none.h", thing_name="a-b", header_template="in")
        (project.root_path / "in").write_text("x")
        project.run_here("sandbox", "build").failed("the build reported success, but the image")
        copy = copy_of(project, esp)
        certificate = project.root_path / ".sandbox/certificates/thing_certificate_a-b.pem.crt"
        words = (copy / "words").read_text().splitlines()
        assert words == ["a_b", "two words", str(certificate), str(copy / "build/lamp.bin")]

    def test_without_a_header_none_is_written(self, project: Project, esp: Path) -> None:
        write(esp, {"mine.json": '{"signature_algorithms": ["ECDSA"], "firmware": "the lamp"}'})
        project.set(firmware_profile=str(esp / "mine.json"))
        result = project.run_here("sandbox", "all", "device").done()
        assert ("header", "skipped") in result.verbs
        assert "header_path is not set" in result.out
        said = json.loads(project.run_here("sandbox", "verify", "--json").done().out)
        assert any("mine: the lamp, which parses sig-sha256-ecdsa" in one["text"] for one in said["findings"])


class TestProfileFiles:
    GOOD = '{"signature_algorithms": ["RSA"]'
    MISTAKES: ClassVar[dict[str, tuple[str | None, str]]] = {
        "no such file": (None, "cannot be read: No such file"),
        "no JSON": ("{", "is not JSON"),
        "a list": ("[]", "is not a JSON object"),
        "nothing to parse": ("{}", '"signature_algorithms" is missing'),
        "unknown": (f'{GOOD}, "slot_byte": 5}}', 'did you mean "slot_bytes"?'),
        "no number": (f'{GOOD}, "job_message_bytes": "2048"}}', '"job_message_bytes" must be a whole number'),
        "no algorithm": ('{"signature_algorithms": ["DSA"]}', "must be a list of RSA and ECDSA"),
        "no rule": (f'{GOOD}, "version_rule": "newer"}}', '"version_rule" must be one of corstone, higher, none'),
        "no default": (f'{GOOD}, "settings": {{"thing_name": "x"}}}}', '"settings" has "thing_name"'),
    }

    @pytest.mark.parametrize(("text", "words"), MISTAKES.values(), ids=MISTAKES)
    def test_a_mistake_names_the_file_and_the_key(self, project: Project, text: str | None, words: str) -> None:
        path = project.root_path / "lamp.json"
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
        project.set(thing_name="lamp", firmware_profile="lamp.json")
        project.run_here("settings").failed("lamp.json", words)

    def test_the_one_in_the_documentation_is_read_and_every_field_is_told(self, tmp_path: Path) -> None:
        told = (REPOSITORY_PATH / "docs/firmware.md").read_text().partition("## Your own profile")[2]
        (tmp_path / "lamp.json").write_text(told.partition("```json\n")[2].partition("```")[0])
        profile = read_profile_file(tmp_path / "lamp.json")
        assert (profile.name, profile.firmware, profile.slot_bytes) == ("lamp", "the lamp's firmware", {"": 1 << 20})
        assert [name for name in FIELDS if f"`{name}`" not in told] == []

    def test_its_rules_and_defaults_count(self, project: Project) -> None:
        rules = {
            "signature_algorithms": ["ECDSA"],
            "slot_bytes": 1000,
            "protocols": ["HTTP"],
            "default_file_name": "lamp.bin",
            "settings": {"build_command": "make", "header_path": "inc/aws.h", "header_thing_define": "NAME"},
        }
        (project.root_path / "lamp.json").write_text(json.dumps(rules))
        project.set(thing_name="lamp", firmware_profile="lamp.json", protocols="MQTT")
        project.run_here("settings").failed("lamp loads over HTTP only", 'write "HTTP"')
        project.set(protocols="HTTP")
        shown = json.loads(project.run_here("settings", "--json").done().out)
        names = ("image_file_name", "build_command", "header_path", "header_thing_define", "signature_algorithm")
        assert [shown[name]["value"] for name in names] == ["lamp.bin", "make", "inc/aws.h", "NAME", "ECDSA"]
        (project.root_path / "lamp.bin").write_bytes(b"x" * 1001)
        project.set(ota_binary=str(project.root_path / "lamp.bin"))
        assert 'lamp has room for 1,000 as "lamp.bin"' in project.run_here("verify").text


@pytest.fixture
def arm(tmp_path: Path, project: Project) -> Path:
    """A tree of the shape of Arm's, in git with a patched library, and its own settings file with a thing in it."""
    root = tmp_path / "corstone"
    lines = 'MQTT_BROKER_ENDPOINT "dummy.endpointid.amazonaws.com"', 'IOT_THING_NAME "dummy_thingname"'
    write(
        root,
        {
            str(HEADER): "".join(f"#define clientcredential{line}\n" for line in lines),
            "applications/keyword_detection/main.c": "int main(void) { return 0; }\n",
            "applications/keyword_detection/CMakeLists.txt": 'set(MCUBOOT_IMAGE_VERSION_NS_UPDATE "0.0.20+20")\n',
            "components/library/lib.c": "plain\n",
            "components/0001.patch": PATCH,
            "tools/scripts/build.sh": ARMS_SCRIPT,
            "tools/scripts/wrapper.py": WRAPPER,
            ARMS_FILE: json.dumps({**ARM_FILE, "thing_name": "lamp", "target_application": "keyword-detection"}),
            ".gitmodules": '[submodule "library"]\n\tpath = components/library\n\turl = https://example.com/library.git\n',
        },
    )
    (root / "tools/scripts/build.sh").chmod(0o755)
    make_keys(
        root / "certs", "private_key.pem", "public_key.pem", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"
    )
    for words in ("init -q", "add .", "-c user.name=t -c user.email=t@t commit -qm first"):
        subprocess.run(["git", *words.split()], cwd=root / "components/library", check=True)
    install(project, "arm-none-eabi-gcc", COMPILER)
    return root


def arms(project: Project, arm: Path, *tasks: str) -> Result:
    return project.run_here("sandbox", "with", "--config-file", str(arm / ARMS_FILE), *tasks)


class TestArms:
    def test_its_own_settings_file_builds_its_tree(self, project: Project, arm: Path) -> None:
        (arm / "components/library/lib.c").write_text("the user's own work\n")
        before = files_of(arm)
        result = arms(project, arm, "all", "device").done()
        assert "SUCCEEDED" in result.out
        copy = copy_of(project, arm)
        image = (copy / "build/keyword-detection-update_signed.bin").read_bytes()
        assert struct.unpack_from("<I", image)[0] == 0x96F3B83D
        assert b'THING_NAME "lamp"' in image
        assert (copy / "components/library/lib.c").read_text() == "patched\n"
        log = (project.root_path / ".sandbox/build.log").read_text()
        assert "options: --target corstone315 --inference SOFTWARE --audio ROM --toolchain GNU" in log
        assert arms(project, arm, "clean").done()
        assert files_of(arm) == before

    def test_a_build_that_is_there_is_used_and_not_made(self, project: Project, arm: Path) -> None:
        arms(project, arm, "build").done()
        shutil.copytree(copy_of(project, arm) / "build", arm / "build")
        before = files_of(arm)
        words = ("with", "--config-file", str(arm / ARMS_FILE), "--skip-build", "true")
        result = project.run_here("sandbox", *words, "all", "device").done()
        assert ("image", "skipped") in result.verbs
        assert "SUCCEEDED" in result.out
        assert files_of(arm) == before


class TestDoctor:
    def findings(self, result: Result) -> dict[str, str]:
        assert "Traceback" not in result.text
        return {one["subject"]: one["text"] for one in json.loads(result.out)["findings"] if one["severity"] == "fatal"}

    def look(self, project: Project, *words: str) -> dict[str, str]:
        return self.findings(project.run_here("sandbox", *words, "doctor", "--json"))

    def test_says_what_the_chosen_build_lacks(self, project: Project, esp: Path) -> None:
        write(esp, {"sdkconfig": 'CONFIG_GRI_MQTT_ENDPOINT=""\nCONFIG_GRI_THING_NAME=""\n'})
        for command, words in {
            "no-such-idf.py build": "no-such-idf.py, with which build_command begins, is not on the PATH",
            "tools/make.sh": "tools/make.sh, with which build_command begins, is not there",
            "main/main.c": "is not executable",
        }.items():
            project.set(build_command=command)
            assert words in self.look(project)["build"]
        project.set(build_command="idf.py build")
        assert self.look(project) == {}
        write(esp, {".gitmodules": "[submodule]\n\tpath = components/one\n[submodule]\n\tpath = components/two\n"})
        write(esp, {"components/one/.git": "gitdir: x", "components/two/two.c": ""})
        said = project.run_here("sandbox", "doctor", "--json")
        assert self.findings(said) == {"submodules": "1 of 2 git submodules are empty: components/one"}
        (remedy,) = (one["command"] for one in json.loads(said.out)["findings"] if one["subject"] == "submodules")
        assert shlex.join(["git", "-C", str(esp), "submodule", "update", "--init", "--recursive"]) in str(remedy)

    def test_says_nothing_of_arm_s_tree_to_whom_has_another(self, project: Project, esp: Path) -> None:
        project.set(firmware_root=str(esp / "gone"), ota_binary="")
        told = project.run_here("sandbox", "doctor", COLUMNS="400")
        assert f"no firmware tree: {esp / 'gone'} is not there; set firmware_root" in told.text
        for word in ("corstone", "keyword-detection", "applications"):
            assert word not in told.text.replace(str(project.root_path), "")

    @pytest.mark.parametrize(("toolchain", "compiler"), [("GNU", "arm-none-eabi-gcc"), ("ARMCLANG", "armclang")])
    def test_arm_s_build_needs_the_compiler_of_its_toolchain(
        self, project: Project, arm: Path, toolchain: str, compiler: str
    ) -> None:
        (project.root_path.parent / "bin/arm-none-eabi-gcc").unlink()
        install(project, "cmake", "#!/bin/sh\n")
        script = arm / "tools/scripts/build.sh"
        script.write_text("#!/bin/bash\ncmake -DTOOLCHAIN=$TOOLCHAIN\n")
        words = ("with", "--config-file", str(arm / ARMS_FILE), "--toolchain", toolchain)
        found = self.look(project, *words)
        needed = f"{compiler} is not on the PATH, and toolchain {toolchain} needs it"
        assert needed in found["tools"]
        install(project, compiler, COMPILER)
        assert self.look(project, *words) == {}
