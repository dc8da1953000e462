"""Settings from file, environment and flags: who wins, what comes out, and what is said about mistakes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ota.entry.project_files import settings_example
from ota.errors import SettingsError
from ota.settings import names
from ota.settings.readers import CleanBuild, OverwriteHeader
from ota.settings.setting import Base, Setting, kept, moved_to, stand_in
from ota.settings.settings import Origin, Settings, load_settings
from ota.settings.sources import is_placeholder
from ota.settings.table import SETTINGS, ArmSettings, rows_of

ROOT = Path(__file__).parents[2]
ACCOUNT_ID = "123456789012"
ARM_ROWS = rows_of(ArmSettings)
BOUNDARY = f"arn:aws:iam::{ACCOUNT_ID}:policy/Boundary"
CERTIFICATE = f"arn:aws:iot:eu-west-1:{ACCOUNT_ID}:cert/{'0f' * 32}"

# An existing settings file of Arm's script as a user has it, its values and defaults as they are published.
ARM_FILE = {
    "thing_name": "myTestThing",
    "permissions_boundary": BOUNDARY,
    "role_prefix": "Proj",
    "target_application": "keyword-detection",
    "format_vars": "thing_name;role_prefix;target_application;credentials_path",
    "policy_name": "",
    "bucket_name": "${thing_name}{lower}-bucket",
    "iam_role_name": "",
    "update_name": "",
    "existing_certificate_arn": "CREATE_NEW_CERTIFICATE",
    "credentials_path": "certificates",
    "build_dir": "build",
    "ota_binary": "${target_application}-update_signed.bin",
    **dict.fromkeys([row.name for row in ARM_ROWS[13:]], ""),
    "policy_name_DEFAULT": "${thing_name}_policy",
    "bucket_name_DEFAULT": "${thing_name}_bucket",
    "iam_role_name_DEFAULT": "${role_prefix}-${thing_name}_role",
    "update_name_DEFAULT": "${thing_name}_update",
    "existing_certificate_arn_DEFAULT": "",
    "credentials_path_DEFAULT": "",
    "build_dir_DEFAULT": "",
    "ota_binary_DEFAULT": "",
    "skip_build_DEFAULT": "false",
    "build_script_path_DEFAULT": "./tools/scripts/build.sh",
    "private_key_path_DEFAULT": "${credentials_path}/thing_private_key_${thing_name}.pem.key",
    "certificate_path_DEFAULT": "${credentials_path}/thing_certificate_${thing_name}.pem.crt",
    "target_platform_DEFAULT": "corstone315",
    "inference_DEFAULT": "SOFTWARE",
    "audio_DEFAULT": "ROM",
    "toolchain_DEFAULT": "GNU",
    "clean_build_DEFAULT": "auto",
    "max_listed_DEFAULT": "25",
    "force_delete_DEFAULT": "false",
}
ARM_PLACEHOLDERS = {
    "thing_name": "<your_thing_name>",
    "permissions_boundary": "arn:aws:iam::<account_no>:policy/<boundary_name>",
    "role_prefix": "<prefix>",
    "target_application": "",
}

Load = Callable[..., Settings]
# Other processes may keep the machine busy, and nothing here is about time.
relaxed = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Write a config.json and load it; without ``thing_name`` in it the thing is called lamp."""

    def load_(values: Mapping[str, object] | None = None, **options: Any) -> Settings:
        (tmp_path / "config.json").write_text(json.dumps({"thing_name": "lamp", **(values or {})}))
        return load_settings(tmp_path, **{"environ": {}, **options})

    return load_


def problems(load: Load, *args: Any, **options: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(*args, **options)
    return [str(one) for one in caught.value.problems]


def problem(load: Load, *args: Any, **options: Any) -> str:
    (only,) = problems(load, *args, **options)
    return only


class TestDefaults:
    """What a thing's name alone gives."""

    def test_every_name_follows_from_the_thing(self, load: Load) -> None:
        done = load({"thing_name": "my_Test:Thing"}, account_id=ACCOUNT_ID)

        assert done.policy_name == "my_Test-Thing_policy"
        assert done.bucket_name == f"my-test-thing-ota-{ACCOUNT_ID}"
        assert done.iam_role_name == "my_Test-Thing_role"
        assert done.update_name == "my_Test-Thing_update"

    def test_the_role_carries_its_prefix(self, load: Load) -> None:
        assert load({"role_prefix": "Proj"}).iam_role_name == "Proj-lamp_role"

    def test_values_have_their_types(self, load: Load) -> None:
        done = load()

        assert (done.skip_build, done.force_delete, done.replace_running_update) == (False, False, False)
        assert (done.clean_build, done.overwrite_header) == (CleanBuild.AUTO, OverwriteHeader.ASK)
        assert (done.max_listed, done.update_timeout_s, done.delete_timeout_s) == (25, 60.0, 120.0)
        assert (done.permissions_boundary, done.existing_certificate_arn) == (None, None)
        assert (done.role_prefix, done.target_application, done.format_vars) == ("", "", ())
        assert (done.hash_algorithm, done.signature_algorithm) == ("SHA256", "RSA")
        assert done.protocols == ("MQTT",)
        assert done.image_file_name == "non_secure image"
        assert (done.role_settle_timeout_s, done.lock_timeout_s) == (60.0, 900.0)

    def test_paths_start_from_the_root(self, load: Load, tmp_path: Path) -> None:
        done = load({"target_application": "keyword-detection"})

        assert done.firmware_root == tmp_path
        assert done.credentials_path == tmp_path / "certificates"
        assert done.private_key_path == tmp_path / "certificates/thing_private_key_lamp.pem.key"
        assert done.certificate_path == tmp_path / "certificates/thing_certificate_lamp.pem.crt"
        assert done.public_key_path == tmp_path / "certificates/thing_public_key_lamp.pem.key"
        assert done.build_script_path == tmp_path / "tools/scripts/build.sh"
        assert done.code_signing_public_key == tmp_path / "certs/public_key.pem"
        assert done.build_dir == tmp_path / "build"
        assert done.image_path == tmp_path / "build/keyword-detection-update_signed.bin"
        assert done.signature_path == tmp_path / "build/update-signature.txt"

    def test_a_relative_root_is_made_absolute(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "config.json").write_text('{"thing_name": "lamp"}')
        monkeypatch.chdir(tmp_path)

        assert load_settings(Path(), environ={}).firmware_root == tmp_path

    def test_the_build_follows_the_firmware_and_the_certificates_do_not(self, load: Load, tmp_path: Path) -> None:
        done = load({"firmware_root": "fw", "target_application": "a"})

        assert done.build_dir == tmp_path / "fw/build"
        assert done.build_script_path == tmp_path / "fw/tools/scripts/build.sh"
        assert done.code_signing_public_key == tmp_path / "fw/certs/public_key.pem"
        assert done.credentials_path == tmp_path / "certificates"

    def test_absolute_paths_stay(self, load: Load) -> None:
        done = load({"firmware_root": "/fw", "build_dir": "/out", "ota_binary": "/img/a.bin"})

        assert (done.firmware_root, done.build_dir) == (Path("/fw"), Path("/out"))
        assert done.image_path == Path("/img/a.bin")

    def test_a_tilde_is_the_home_folder(self, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", "/home/me")

        assert load({"firmware_root": "~/fw"}).firmware_root == Path("/home/me/fw")

    @relaxed
    @given(
        st.from_regex(r"[a-zA-Z0-9:_-]{1,128}", fullmatch=True),
        st.just("") | st.from_regex(r"[a-zA-Z0-9_+=,.@-]{1,40}", fullmatch=True),
    )
    def test_every_thing_and_prefix_give_valid_names(self, thing: str, prefix: str) -> None:
        flags = {"thing_name": thing, "role_prefix": prefix}
        done = load_settings(ROOT, environ={}, overrides=flags, account_id=ACCOUNT_ID)

        assert names.policy_name_problem(done.policy_name) is None
        assert names.bucket_name_problem(done.bucket_name) is None
        assert names.role_name_problem(done.iam_role_name) is None
        assert names.update_name_problem(done.update_name) is None
        assert done.bucket_name.endswith(f"-{ACCOUNT_ID}")


class TestShippedFile:
    """The config.json that users start from."""

    SHIPPED: dict[str, str] = json.loads((ROOT / "config.json").read_text())

    def test_it_shows_every_setting_and_its_default_as_the_table_has_them(self) -> None:
        values = {name: row.shipped for name, row in SETTINGS.items()}
        defaults = {
            f"{name}_DEFAULT": row.default
            for name, row in SETTINGS.items()
            if row.default or f"{name}_DEFAULT" in self.SHIPPED
        }

        assert values | defaults == self.SHIPPED

    def test_it_is_what_a_new_project_begins_with(self) -> None:
        assert (ROOT / "config.json").read_text(encoding="utf-8") == settings_example({})

    def test_it_keeps_the_order_of_arms_file_and_ours_follow(self) -> None:
        arm = [key for key in self.SHIPPED if key in ARM_FILE]

        assert arm == list(ARM_FILE)
        assert list(self.SHIPPED)[: len(ARM_ROWS)] == [row.name for row in ARM_ROWS]

    def test_it_gives_the_same_as_an_empty_file(self, load: Load, tmp_path: Path) -> None:
        flags = {"thing_name": "lamp", "target_application": "a"}
        shutil.copy(ROOT / "config.json", tmp_path / "shipped.json")
        shipped = load_settings(tmp_path, environ={}, overrides=flags, config_path="shipped.json")

        for name in SETTINGS:
            assert getattr(shipped, name) == getattr(load(overrides=flags), name), name

    def test_its_defaults_are_free_of_a_list_that_a_user_adds(self, load: Load) -> None:
        assert load(self.SHIPPED | {"thing_name": "lamp", "format_vars": "thing_name"}).policy_name == "lamp_policy"

    def test_only_the_thing_is_asked_for(self, load: Load) -> None:
        assert "thing_name is still <your_thing_name>" in problem(load, self.SHIPPED)

    def test_every_setting_has_a_meaning(self) -> None:
        assert all(row.meaning and not row.meaning.endswith(".") for row in SETTINGS.values())


class TestArmsFile:
    """An existing createIoTThings_settings.json."""

    def test_it_gives_the_names_that_arms_script_uses(self, load: Load, tmp_path: Path) -> None:
        done = load(ARM_FILE)

        assert done.thing_name == "myTestThing"
        assert done.permissions_boundary == BOUNDARY
        assert done.policy_name == "myTestThing_policy"
        assert done.bucket_name == "mytestthing-bucket"
        assert done.iam_role_name == "Proj-myTestThing_role"
        assert done.update_name == "myTestThing_update"
        assert done.private_key_path == tmp_path / "certificates/thing_private_key_myTestThing.pem.key"
        assert done.image_path == tmp_path / "build/keyword-detection-update_signed.bin"
        assert done.format_vars == ("thing_name", "role_prefix", "target_application", "credentials_path")

    def test_without_a_prefix_the_role_has_no_leading_hyphen(self, load: Load) -> None:
        done = load(ARM_FILE | ARM_PLACEHOLDERS | {"thing_name": "lamp"})

        assert (done.iam_role_name, done.permissions_boundary) == ("lamp_role", None)

    def test_unfilled_it_asks_for_the_thing_only(self, load: Load) -> None:
        assert "thing_name is still <your_thing_name>" in problem(load, ARM_FILE | ARM_PLACEHOLDERS)

    def test_its_default_bucket_could_never_work_and_the_error_says_what_to_write(self, load: Load) -> None:
        assert problem(load, ARM_FILE | {"bucket_name": ""}) == (
            'config.json: bucket_name_DEFAULT: "${thing_name}_bucket" gives "myTestThing_bucket": S3 refuses this '
            "as a bucket name: only a-z 0-9 . - are allowed, no capitals and no underscore; "
            'write "${thing_name}{lower}-bucket"'
        )

    def test_its_list_binds_what_the_user_adds(self, load: Load) -> None:
        assert problem(load, ARM_FILE | {"policy_name": "${update_name}_p"}) == (
            'config.json: policy_name: "${update_name}" (character 1 of "${update_name}_p") is not allowed by '
            'format_vars; add ";update_name" to format_vars'
        )

    def test_its_list_binds_its_own_defaults(self, load: Load) -> None:
        said = problem(load, ARM_FILE | {"format_vars": "thing_name;target_application;credentials_path"})

        assert said.startswith('config.json: iam_role_name_DEFAULT: "${role_prefix}" (character 1')
        assert said.endswith('add ";role_prefix" to format_vars')

    @pytest.mark.parametrize(
        ("folder", "is_tree", "base"),
        [
            ("tree/tools/scripts", True, "tree"),
            ("tree/tools/scripts", False, "tree/tools/scripts"),
            ("tree/tools", True, "tree/tools"),
            ("tree", True, "tree"),
        ],
        ids=["in the tree", "no firmware tree", "beside the scripts", "at the tree's root"],
    )
    def test_its_paths_start_at_the_file_or_at_the_root_of_the_tree_that_it_belongs_to(
        self, tmp_path: Path, folder: str, is_tree: bool, base: str
    ) -> None:
        (tmp_path / folder).mkdir(parents=True)
        if is_tree:
            (tmp_path / "tree/applications").mkdir()
        (tmp_path / folder / "arms.json").write_text(json.dumps(ARM_FILE))
        environ = {"OTA_CONFIG": f"{folder}/arms.json"}
        done = load_settings(tmp_path, environ=environ)

        base_path = (tmp_path / base).resolve()
        assert done.firmware_root.resolve() == base_path
        assert done.build_dir.resolve() == base_path / "build"
        assert done.certificate_path.resolve() == base_path / "certificates/thing_certificate_myTestThing.pem.crt"
        there = load_settings(tmp_path, environ=environ, is_sandbox=True)
        assert there.build_dir == there.firmware_root / "build"
        copy = there.tree_copy
        assert (copy.source_path.resolve() if copy else None) == (
            base_path if (base_path / "applications").is_dir() else None
        )
        assert there.firmware_root == (copy.path if copy else tmp_path / ".sandbox/firmware")

    def test_the_account_and_region_need_not_be_on_the_list(self, load: Load) -> None:
        done = load(ARM_FILE | {"bucket_name": "$<region>-$<account_id>"}, account_id=ACCOUNT_ID, region="eu-west-1")

        assert done.bucket_name == f"eu-west-1-{ACCOUNT_ID}"


class TestPrecedence:
    """First wins: flag, sandbox, environment, value, its default, the built-in default, a stand-in."""

    LAYERS: tuple[tuple[str, str], ...] = (
        ("flag", "with flag"),
        ("variable", "OTA_AUDIO"),
        ("value", "config.json"),
        ("default", "config.json default"),
    )

    @pytest.mark.parametrize("first", range(5))
    @pytest.mark.parametrize("nothing", ["", "  ", "<your_audio>"], ids=["empty", "blank", "placeholder"])
    def test_the_first_with_a_text_wins(self, load: Load, first: int, nothing: str) -> None:
        said = {name: nothing if rank < first else name for rank, (name, _) in enumerate(self.LAYERS)}
        done = load(
            {"audio": said["value"], "audio_DEFAULT": said["default"]},
            overrides={"audio": said["flag"]},
            environ={"OTA_AUDIO": said["variable"]},
        )
        name, source = (*self.LAYERS, ("ROM", "built-in default"))[first]

        assert done.audio == name
        assert done.origins["audio"] == Origin(name, name, source, is_default=first > 2)

    def test_a_flag_that_was_not_given_says_nothing(self, load: Load) -> None:
        assert load({"audio": "VSI"}, overrides={"audio": None}).audio == "VSI"

    @pytest.mark.parametrize("value", [True, "true", "TRUE", "yes", "on", 1, "1"], ids=repr)
    def test_flags_may_be_booleans_and_numbers(self, load: Load, value: object) -> None:
        assert load(overrides={"skip_build": value}).skip_build is True

    def test_values_of_the_environment_are_filled_in_too(self, load: Load) -> None:
        assert load(environ={"OTA_POLICY_NAME": "$<thing_name>-p"}).policy_name == "lamp-p"

    def test_the_environment_is_bound_by_the_list(self, load: Load) -> None:
        said = problem(load, {"format_vars": "role_prefix"}, environ={"OTA_POLICY_NAME": "$<thing_name>-p"})

        assert said.startswith('OTA_POLICY_NAME: "$<thing_name>" (character 1')

    def test_raw_and_formatted_are_both_kept(self, load: Load) -> None:
        done = load({"update_name": "$<thing_name>{upper}"})

        assert done.origins["update_name"] == Origin("$<thing_name>{upper}", "LAMP", "config.json")
        assert done.origins["role_prefix"] == Origin("", "", "unset", is_default=True)
        assert list(done.origins) == list(SETTINGS)

    def test_is_chosen_tells_a_choice_from_a_default(self, load: Load) -> None:
        done = load({"audio": "VSI", "inference_DEFAULT": "ETHOS"}, environ={"OTA_TOOLCHAIN": "GNU"})

        chosen = {name for name in SETTINGS if done.is_chosen(name)}
        assert chosen == {"thing_name", "audio", "toolchain"}


# What a user may have set each path to, and would lose if a sandbox run wrote there.
USERS_PATHS = {name: f"/home/me/{name}" for name, row in SETTINGS.items() if row.base}
READ = {"ota_binary", "signature_file", "code_signing_public_key", "header_template"}


class TestSandbox:
    """What each setting is in the sandbox, whatever the user set."""

    SOURCES: ClassVar[dict[str, dict[str, Any]]] = {
        "value": {"values": USERS_PATHS},
        "default": {"values": {f"{name}_DEFAULT": path for name, path in USERS_PATHS.items()}},
        "variable": {"environ": {SETTINGS[name].variable: path for name, path in USERS_PATHS.items()}},
    }

    @pytest.mark.parametrize("given", SOURCES.values(), ids=SOURCES)
    @pytest.mark.parametrize("skip_build", ["true", "false"])
    def test_no_path_that_is_written_leads_out_of_it(
        self, load: Load, tmp_path: Path, given: dict[str, Any], skip_build: str
    ) -> None:
        environ = {"OTA_SKIP_BUILD": skip_build, **given.get("environ", {})}
        done = load(given.get("values"), environ=environ, is_sandbox=True)

        read = READ | ({"build_dir"} if skip_build == "true" else set())
        paths = {name: getattr(done, name) for name in USERS_PATHS if name not in read}
        assert paths.pop("header_path") is None
        assert {name for name, path in paths.items() if not path.is_relative_to(tmp_path / ".sandbox")} == set()
        assert {name for name in USERS_PATHS if done.origins[name].source == "sandbox"} == {*paths, "header_path"}

    def test_what_is_only_read_is_the_user_s(self, load: Load) -> None:
        done = load({**USERS_PATHS, "skip_build": "true"}, is_sandbox=True)

        assert (done.image_path, done.signature_path) == (Path("/home/me/ota_binary"), Path("/home/me/signature_file"))
        assert (done.build_dir, done.code_signing_public_key) == (
            Path("/home/me/build_dir"),
            Path("/home/me/code_signing_public_key"),
        )

    # Settings, what is in the folder, and paths in the sandbox: in the tree's copy, or in the user's folder.
    TREES: ClassVar[dict[str, tuple[dict[str, str], str, dict[str, str]]]] = {
        "named": ({"firmware_root": "fw"}, "", {"build_script_path": "COPY/tools/scripts/build.sh"}),
        "found": (
            {},
            "applications",
            {"build_dir": "COPY/build", "code_signing_public_key": "COPY/certs/public_key.pem"},
        ),
        "of another kind": (
            {"build_command": "make", "header_path": "inc/aws.h", "firmware_root": "."},
            "",
            {"header_path": "COPY/inc/aws.h"},
        ),
        "absolute paths in it": (
            {"firmware_root": "fw", "build_script_path": "HERE/fw/b.sh", "build_dir": "HERE/x/../fw/out"},
            "x",
            {"build_script_path": "COPY/b.sh", "build_dir": "COPY/out"},
        ),
        "paths out of it": (
            {"firmware_root": "fw", "build_script_path": "/bin/b.sh", "build_dir": "../out"},
            "",
            {"build_script_path": "COPY/tools/scripts/build.sh", "build_dir": "HERE/.sandbox/build"},
        ),
        "build skipped": (
            {"firmware_root": "fw", "skip_build": "true"},
            "",
            {"build_dir": "HERE/fw/build", "code_signing_public_key": "HERE/fw/certs/public_key.pem"},
        ),
        "none, build skipped": (
            {"build_dir": "out", "skip_build": "true"},
            "",
            {"build_dir": "HERE/out", "code_signing_public_key": "HERE/.sandbox/firmware/certs/public_key.pem"},
        ),
        "none": ({"build_dir": "out"}, "", {"build_dir": "HERE/.sandbox/firmware/build"}),
        "in the sandbox": (
            {"firmware_root": ".sandbox/mine"},
            "",
            {"firmware_root": "HERE/.sandbox/mine", "build_dir": "HERE/.sandbox/mine/build"},
        ),
    }

    @pytest.mark.parametrize(("values", "folder", "expected"), TREES.values(), ids=TREES)
    def test_the_firmware_is_a_copy_of_the_user_s(
        self, load: Load, tmp_path: Path, values: dict[str, str], folder: str, expected: dict[str, str]
    ) -> None:
        (tmp_path / folder).mkdir(exist_ok=True)
        here = {name: text.replace("HERE", str(tmp_path)) for name, text in values.items()}
        done = load(here, is_sandbox=True)

        copy = str(done.tree_copy.path) if done.tree_copy else "no copy"
        assert {name: str(getattr(done, name)) for name in expected} == {
            name: text.replace("HERE", str(tmp_path)).replace("COPY", copy) for name, text in expected.items()
        }
        assert any(f"copy of {done.tree_copy.source_path}" in one for one in done.warnings if done.tree_copy) is bool(
            done.tree_copy
        )

    def test_what_is_not_used_is_said(self, load: Load) -> None:
        values = {"private_key_path": "/keys/mine", "build_dir": "out", "firmware_root": ""}
        (said,) = load({**values, "permissions_boundary": BOUNDARY}, is_sandbox=True).warnings

        assert (
            said == "the sandbox has its own permissions_boundary, build_dir and private_key_path; yours are not used"
        )
        assert load(ARM_FILE, is_sandbox=True, overrides={"private_key_path": "/mine"}).warnings == (
            "the sandbox has its own permissions_boundary; yours is not used",
        )

    def test_a_flag_leads_out_of_it(self, load: Load) -> None:
        done = load(USERS_PATHS, overrides={"credentials_path": "/home/me/lab"}, is_sandbox=True)

        assert done.private_key_path == Path("/home/me/lab/thing_private_key_lamp.pem.key")
        assert done.origins["credentials_path"].source == "with flag"

    def test_no_certificate_of_the_user_s_account_is_used(self, load: Load) -> None:
        assert load({"existing_certificate_arn": CERTIFICATE}, is_sandbox=True).existing_certificate_arn is None

    def test_a_stand_in_counts_only_where_nothing_else_is_set(self, load: Load) -> None:
        done = load({"thing_name": "<your_thing_name>", "target_application": "mine"}, is_sandbox=True)

        assert (done.thing_name, done.target_application) == ("sandbox-thing", "mine")
        assert done.origins["thing_name"].source == "sandbox"
        assert done.policy_name == "sandbox-thing_policy"
        assert load({"thing_name": ""}, is_sandbox=True).target_application == "keyword-detection"

    def test_it_is_not_bound_by_the_list(self, load: Load, tmp_path: Path) -> None:
        done = load({"format_vars": "role_prefix", "private_key_path": "/home/me/key"}, is_sandbox=True)

        assert done.private_key_path == tmp_path / ".sandbox/certificates/thing_private_key_lamp.pem.key"

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"base": Base.ROOT},
            {"sandbox": moved_to("x")},
            {"base": Base.ROOT, "sandbox": kept("")},
            {"base": Base.ROOT, "sandbox": stand_in(".sandbox/plans")},
        ],
        ids=["neither", "no sandbox", "no base", "no reason", "the user's path comes first"],
    )
    def test_a_path_that_forgets_it_cannot_be_declared(self, options: dict[str, Any]) -> None:
        with pytest.raises(TypeError, match="a path needs its base and what it is in the sandbox: folder of plans"):
            Setting(Path, "folder of plans", "plans", **options)

    def test_a_file_in_the_build_folder_cannot_be_declared_without_it_either(self) -> None:
        with pytest.raises(TypeError, match="a path needs"):
            Setting(str, "map file of the build", "a.map", base=Base.BUILD)

    def test_every_setting_that_is_called_a_path_is_one(self) -> None:
        ends = ("_path", "_dir", "_root", "_binary", "_file", "_key", "_template")

        assert {name for name in SETTINGS if name.endswith(ends)} == set(USERS_PATHS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<your_thing_name>", True),
        ("<prefix>", True),
        ("arn:aws:iam::<account_no>:policy/<boundary_name>", True),
        ("$<thing_name>", False),
        ("$<role_prefix>-$<thing_name>", False),
        ("$<role_prefix>-<name>", True),
        ("a < b", False),
        ("<>", False),
        ("", False),
    ],
)
def test_a_placeholder_is_told_from_a_reference(text: str, expected: bool) -> None:
    assert is_placeholder(text) is expected


class TestTypes:
    """JSON values, words for true and false, numbers."""

    @pytest.mark.parametrize("value", [True, "true", "TRUE", "True", "yes", "on", "1", 1], ids=repr)
    def test_words_for_true(self, load: Load, value: object) -> None:
        assert load({"skip_build": value}).skip_build is True

    @pytest.mark.parametrize("value", [False, "false", "FALSE", "no", "off", "0", 0], ids=repr)
    def test_words_for_false(self, load: Load, value: object) -> None:
        assert load({"skip_build": value, "skip_build_DEFAULT": True}).skip_build is False

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (True, CleanBuild.ALWAYS),
            ("False", CleanBuild.NEVER),
            ("AUTO", CleanBuild.AUTO),
            ("yes", CleanBuild.ALWAYS),
            (None, CleanBuild.AUTO),
        ],
    )
    def test_clean_build(self, load: Load, value: object, expected: CleanBuild) -> None:
        assert load({"clean_build": value}).clean_build is expected

    @pytest.mark.parametrize(
        ("value", "expected"),
        [(False, OverwriteHeader.NEVER), ("Ask", OverwriteHeader.ASK), ("true", OverwriteHeader.ALWAYS)],
    )
    def test_overwrite_header(self, load: Load, value: object, expected: OverwriteHeader) -> None:
        assert load({"overwrite_header": value}).overwrite_header is expected

    def test_numbers_may_stand_without_quotes(self, load: Load) -> None:
        done = load({"max_listed": 7, "update_timeout_s": 2.5, "delete_timeout_s": "0"})

        assert (done.max_listed, done.update_timeout_s, done.delete_timeout_s) == (7, 2.5, 0.0)

    def test_an_existing_certificate_is_its_arn(self, load: Load) -> None:
        assert load({"existing_certificate_arn": CERTIFICATE}).existing_certificate_arn == CERTIFICATE

    def test_the_model_image_can_be_chosen(self, load: Load) -> None:
        assert load({"image_file_name": "ml_model image"}).image_file_name == "ml_model image"

    @pytest.mark.parametrize(
        ("name", "value", "fix"),
        [
            ("skip_build", "maybe", 'write "true" or "false"'),
            ("clean_build", "sometimes", "write one of true, false, auto"),
            ("overwrite_header", "auto", "write one of true, false, ask"),
            ("max_listed", 0, "write a whole number from 1"),
            ("max_listed", -3, "write a whole number from 1"),
            ("max_listed", 2.5, "write a whole number from 1"),
            ("max_listed", "٣", "write a whole number from 1"),
            ("max_listed", 10**400, "write a whole number from 1"),
            ("update_timeout_s", "soon", "write a number of seconds, 0 or more"),
            ("update_timeout_s", -1, "write a number of seconds, 0 or more"),
            ("update_timeout_s", float("nan"), "write a number of seconds, 0 or more"),
            ("delete_timeout_s", float("inf"), "write a number of seconds, 0 or more"),
            ("hash_algorithm", "SHA-256", 'write "SHA256"'),
            ("hash_algorithm", "sha256", 'write "SHA256"'),
            ("hash_algorithm", "MD5", "write one of SHA256"),
            ("signature_algorithm", "rsa", 'write "RSA"'),
            ("signature_algorithm", "DSA", "write one of RSA, ECDSA"),
            ("protocols", "MQTTS", 'write "MQTT", "HTTP" or "MQTT,HTTP"'),
            ("protocols", "HTTP,MQTT", 'write "MQTT", "HTTP" or "MQTT,HTTP"'),
            ("firmware_profile", "Corstone", 'write "corstone"'),
            (
                "firmware_profile",
                "freertos",
                "write one of corstone, jobs-library, classic-agent, esp32, or the path of a JSON file with a profile",
            ),
            (
                "firmware_profile",
                "$<thing_name>",
                "write one of corstone, jobs-library, classic-agent, esp32, or the path of a JSON file with a profile",
            ),
        ],
    )
    def test_an_impossible_value_is_refused_with_the_possible_ones(
        self, load: Load, name: str, value: object, fix: str
    ) -> None:
        said = problem(load, {name: value})

        assert said.startswith(f'config.json: {name}: "')
        assert said.endswith(f'": this cannot be used; {fix}')


class TestNames:
    """Names are checked before the first call to AWS."""

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            pytest.param({"thing_name": "my lamp"}, 'thing_name: "my lamp": .*; write "my-lamp"', id="thing"),
            pytest.param({"policy_name": "a:b"}, 'policy_name: "a:b": .*; write "a-b"', id="policy"),
            pytest.param({"bucket_name": "My_Bucket"}, '.*; write "my-bucket"', id="bucket"),
            pytest.param({"iam_role_name": "a/b"}, 'iam_role_name: "a/b": .*; write "a-b"', id="role"),
            pytest.param({"role_prefix": "a b"}, 'role_prefix: "a b": .*; write "a-b"', id="prefix"),
            pytest.param({"update_name": "a.b"}, 'update_name: "a.b": .*; write "a-b"', id="update"),
            pytest.param({"permissions_boundary": "Mine"}, ".*not the ARN of an IAM policy.*", id="boundary"),
            pytest.param({"existing_certificate_arn": "x"}, ".*not the ARN of an IoT cert.*", id="certificate"),
            pytest.param({"target_application": "../x"}, '.*cannot be a target app.*write "x"', id="application"),
            pytest.param({"target_platform": "-t x"}, '.*one word.*; write "t-x"', id="platform"),
            pytest.param({"toolchain": "G NU"}, '.*one word.*; write "G-NU"', id="toolchain"),
            pytest.param({"build_dir": "a\nb"}, r'build_dir: "a\?b": it holds a control.*', id="control character"),
            pytest.param({"policy_name": "$<role_prefix>"}, ".*empty once its references are filled.*", id="empty"),
        ],
    )
    def test_a_bad_name_is_refused_with_what_to_write(self, load: Load, values: dict[str, str], expected: str) -> None:
        assert re.fullmatch(f"config.json: (\\w+: )?{expected}", problem(load, values))

    @pytest.mark.parametrize(
        ("raw", "fix"),
        [
            ("$<thing_name>-Images", "$<thing_name>{lower}{replace _ with -}{replace : with -}-images"),
            ("$<thing_name>{lower}_images", "$<thing_name>{lower}{replace _ with -}{replace : with -}-images"),
            (
                "x-$<role_prefix>$<thing_name>",
                "x-$<role_prefix>$<thing_name>{lower}{replace _ with -}{replace : with -}",
            ),
        ],
    )
    def test_what_to_write_keeps_the_references(self, load: Load, raw: str, fix: str) -> None:
        said = problem(load, {"thing_name": "my_Test:Thing", "bucket_name": raw})

        assert said.endswith(f'; write "{fix}"')
        assert load({"thing_name": "my_Test:Thing", "bucket_name": fix}).bucket_name

    def test_a_written_name_with_a_colon_from_the_thing_is_refused(self, load: Load) -> None:
        said = problem(load, {"thing_name": "a:b", "update_name": "$<thing_name>-1"})

        assert said.endswith('; write "$<thing_name>{replace : with -}-1"')

    def test_where_no_filter_helps_a_finished_name_is_suggested(self, load: Load) -> None:
        said = problem(load, {"update_name": "$<thing_name>-" + "x" * 60})

        assert re.search(r'gives "lamp-x+": an OTA .*at most 55 .*; write "lamp-x+-[0-9a-f]{8}"$', said)

    def test_what_follows_from_a_bad_name_is_not_told_again(self, load: Load) -> None:
        said = problem(load, {"thing_name": "my lamp", "bucket_name": "$<thing_name>", "policy_name": "$<bucket_name>"})

        assert said.startswith('config.json: thing_name: "my lamp"')

    def test_a_thing_too_long_for_the_firmware_is_a_warning(self, load: Load) -> None:
        (warning,) = load({"thing_name": "x" * 65}).warnings

        assert "has 65 characters" in warning
        assert load({"thing_name": "x" * 64}).warnings == ()


class TestMistakes:
    """Every mistake is named with its place and its way out, and all of them together."""

    def test_all_problems_come_together_one_line_each(self, load: Load) -> None:
        said = problems(
            load,
            {
                "thing_nam": "x",
                "policy_name": "$<bucket_nam>",
                "bucket_name": "A_B",
                "iam_role_name": "$<update_name>",
                "update_name": "$<iam_role_name>",
                "skip_build": "maybe",
                "audio": "$<thing_name",
                "format_vars": "thing_name;update_name;iam_role_name;bucket_nam",
            },
            environ={"OTA_TOOLCHAN": "GNU"},
            overrides={"inferrence": "ETHOS"},
        )

        assert [line for line in said if "\n" in line] == []
        assert [re.split(r': |"| is |; ', line.removeprefix("config.json: "))[0] or "key" for line in said] == [
            "key",
            "--inferrence",
            "the variable OTA_TOOLCHAN",
            "format_vars",
            "policy_name",
            "iam_role_name",
            "audio",
            "bucket_name",
            "skip_build",
        ]

    @pytest.mark.parametrize(
        ("key", "close"),
        [
            ("thing_nam", "thing_name"),
            ("ThingName", "thing_name"),
            ("bucketname_DEFAULT", "bucket_name_DEFAULT"),
            ("policy_name_default", "policy_name_DEFAULT"),
            ("build-dir", "build_dir"),
        ],
    )
    def test_an_unknown_key_names_the_nearest(self, load: Load, key: str, close: str) -> None:
        assert problem(load, {key: "x"}) == f'config.json: "{key}" is not a setting; did you mean "{close}"?'

    def test_a_key_like_no_other_is_to_be_removed(self, load: Load) -> None:
        assert 'config.json: "zzz" is not a setting; remove it' in problem(load, {"zzz": "x"})

    def test_an_unknown_flag_names_the_nearest(self, load: Load) -> None:
        assert problem(load, overrides={"thing_nme": "x"}) == "--thing-nme is not a setting; did you mean --thing-name?"
        assert problem(load, overrides={"zzz": "x"}) == "--zzz is not a setting; `invoke --help with` lists them"

    def test_a_slip_in_a_variable_is_caught(self, load: Load) -> None:
        assert problem(load, environ={"OTA_THING_NAM": "x"}) == (
            "the variable OTA_THING_NAM is not a setting; did you mean OTA_THING_NAME? "
            "(unset it if it belongs to another tool)"
        )

    def test_variables_of_others_are_let_be(self, load: Load) -> None:
        environ = {"OTA_SANDBOX": "1", "OTA_SERVER_URL": "http://x", "THING_NAM": "x", "OTA_": "x"}

        assert load(environ=environ).thing_name == "lamp"

    def test_an_unknown_name_in_the_list(self, load: Load) -> None:
        assert problem(load, {"format_vars": "thing_name; role_prefx ;"}) == (
            'config.json: format_vars: "role_prefx" is not a setting; write "role_prefix"'
        )
        assert problem(load, {"format_vars": "zzz"}).endswith('"zzz" is not a setting; remove it')

    def test_a_cycle_is_shown(self, load: Load) -> None:
        said = problem(load, {"policy_name": "$<update_name>", "update_name": "$<policy_name>"})

        assert "policy_name -> update_name -> policy_name" in said

    def test_a_list_or_an_object_is_no_value(self, load: Load) -> None:
        said = problems(load, {"audio": ["ROM"], "format_vars": {"a": 1}})

        assert said == [
            f'config.json: "{key}" is a list or an object; write a text, a number, true or false'
            for key in ("audio", "format_vars")
        ]

    def test_a_key_that_stands_twice(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text('{"thing_name": "a", "audio": "ROM", "thing_name": "b"}')

        with pytest.raises(SettingsError) as caught:
            load_settings(tmp_path, environ={})

        assert str(caught.value) == 'config.json: "thing_name" appears 2 times; keep one of them'

    @pytest.mark.parametrize(
        ("text", "where", "what"),
        [
            ('{\n  "thing_name": "a"\n  "audio": "ROM"\n}', "line 3, column 3", '"audio": "ROM"'),
            ('{\r\n  "thing_name": lamp\r\n}', "line 2, column 17", '"thing_name": lamp'),
            ('{"thing_name": "a"', "line 1, column 19", '{"thing_name": "a"'),
            ('{"thing_name": "a",\n', "line 2, column 1", "end of the file"),
            ("", "line 1, column 1", "end of the file"),
            ('# my settings\n{"thing_name": "a"}', "line 1, column 1", "# my settings"),
        ],
        ids=["comma missing", "quotes missing", "cut short", "cut short behind a comma", "empty", "comment"],
    )
    def test_broken_json_is_located(self, tmp_path: Path, text: str, where: str, what: str) -> None:
        path = tmp_path / "config.json"
        path.write_bytes(text.encode())

        with pytest.raises(SettingsError) as caught:
            load_settings(tmp_path, environ={})

        assert str(caught.value).startswith(f"{path}, {where}: ")
        assert f": {what}; look there and at the end of the line before" in str(caught.value)

    @pytest.mark.parametrize(
        "text",
        ['{"thing_name": "lamp", %s}', '{"thing_name": "%s"}', '{"%s": "lamp"}', '{"bucket_name": "$<%s>"}'],
        ids=["broken JSON", "value", "key", "reference"],
    )
    def test_of_what_is_5_mb_long_only_a_part_is_quoted(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "config.json").write_text(text % ("x" * 5_000_000))

        with pytest.raises(SettingsError) as caught:
            load_settings(tmp_path, environ={})

        assert "config.json" in str(caught.value)
        assert "x" * 50 in str(caught.value)
        assert max(len(str(one)) for one in caught.value.problems) < 1100

    def test_a_bottomless_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text("[" * 100_000)

        with pytest.raises(SettingsError, match="nested too deeply"):
            load_settings(tmp_path, environ={})

    def test_something_else_than_an_object(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text('["thing_name"]')

        with pytest.raises(SettingsError, match="is not a JSON object; write"):
            load_settings(tmp_path, environ={})

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
    def test_windows_files_are_read(self, tmp_path: Path, encoding: str) -> None:
        text = '{\r\n  "thing_name": "lamp",\r\n  "credentials_path": "Schlüssel"\r\n}\r\n'
        (tmp_path / "config.json").write_bytes(text.encode(encoding))

        assert load_settings(tmp_path, environ={}).credentials_path == tmp_path / "Schlüssel"

    def test_another_encoding_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_bytes('{"thing_name": "a"}'.encode("utf-16"))

        with pytest.raises(SettingsError, match="byte 1 is not UTF-8; save the file as UTF-8"):
            load_settings(tmp_path, environ={})

    def test_a_missing_file_has_a_way_out(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError) as caught:
            load_settings(tmp_path, environ={})

        assert str(caught.value).startswith(f"the settings file {tmp_path}/config.json does not exist: `invoke init` ")
        assert "OTA_CONFIG" in str(caught.value)

    def test_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"cannot be read \(Is a directory\); name another file"):
            load_settings(tmp_path, environ={}, config_path=tmp_path)


class TestWhichFile:
    """config.json, unless another is named."""

    @pytest.fixture
    def files(self, tmp_path: Path) -> Path:
        for name in ("config", "variable", "argument"):
            (tmp_path / f"{name}.json").write_text(json.dumps({"thing_name": name}))
        return tmp_path

    @pytest.mark.parametrize(
        ("variable", "argument", "expected"),
        [
            ("", None, "config"),
            ("variable.json", None, "variable"),
            ("", "argument.json", "argument"),
            ("variable.json", Path("argument.json"), "argument"),
        ],
    )
    def test_the_argument_then_the_variable(
        self, files: Path, variable: str, argument: str | Path | None, expected: str
    ) -> None:
        done = load_settings(files, environ={"OTA_CONFIG": variable}, config_path=argument)

        assert done.thing_name == expected
        assert done.config_path == files / f"{expected}.json"
        assert done.origins["thing_name"].source == f"{expected}.json"

    def test_an_absolute_path(self, files: Path) -> None:
        assert load_settings(ROOT, environ={"OTA_CONFIG": str(files / "variable.json")}).thing_name == "variable"


class TestRequired:
    """The thing always, the application where the firmware is touched."""

    def test_a_missing_thing_is_told_once_with_three_ways_out(self, load: Load, tmp_path: Path) -> None:
        assert problem(load, {"thing_name": ""}) == (
            "thing_name is not set (name of the IoT thing, and of the device): write it into "
            f'{tmp_path}/config.json as "thing_name": "…", set OTA_THING_NAME, '
            "or run `invoke with --thing-name my-thing all`"
        )

    def test_a_missing_thing_hides_no_other_problem(self, load: Load) -> None:
        said = problems(load, {"thing_name": "", "audio": "a b", "policy_name": "$<thing_name>:x"})

        assert [line.split(": ")[0].split(" ")[0] for line in said] == ["thing_name", "config.json"]

    def test_where_it_is_not_required_its_names_are_empty(self, load: Load) -> None:
        done = load({"thing_name": ""}, required=())

        assert (done.thing_name, done.policy_name, done.bucket_name) == ("", "", "")
        assert done.max_listed == 25

    def test_the_application_is_asked_for_only_when_it_is_needed(self, load: Load) -> None:
        done = load()

        with pytest.raises(SettingsError, match=r"target_application is not set \(.*OTA_TARGET_APPLICATION,"):
            done.require_application()
        with pytest.raises(SettingsError, match="target_application is not set"):
            _ = done.image_path
        with pytest.raises(SettingsError, match="target_application is not set"):
            _ = done.signature_path

    def test_a_set_application_is_handed_out(self, load: Load) -> None:
        assert load({"target_application": "object-detection"}).require_application() == "object-detection"

    def test_an_image_that_does_not_wait_for_it_is_found_without(self, load: Load, tmp_path: Path) -> None:
        done = load({"ota_binary": "mine.bin"})

        assert done.image_path == tmp_path / "build/mine.bin"

    def test_a_build_folder_that_waits_for_it_is_not_guessed(self, load: Load) -> None:
        done = load({"ota_binary": "mine.bin", "build_dir": "build/$<target_application>"})

        with pytest.raises(SettingsError, match="target_application is not set"):
            _ = done.image_path

    def test_what_every_task_needs_must_not_wait_for_it(self, load: Load) -> None:
        said = problem(load, {"bucket_name": "b-$<target_application>"})

        assert said.startswith('config.json: bucket_name: "b-$<target_application>" needs target_application; ')

    def test_an_unset_optional_reference_is_empty(self, load: Load) -> None:
        assert load({"policy_name": "a$<role_prefix>b"}).policy_name == "ab"


class TestAccount:
    """The account id comes later."""

    def test_until_it_is_known_twelve_zeros_stand_for_it(self, load: Load) -> None:
        done = load()

        assert (done.bucket_name, done.account_id is not None) == ("lamp-ota-000000000000", False)
        assert (done.account_id, done.region) == (None, None)

    def test_with_account_settles_everything_again(self, load: Load) -> None:
        done = load({"policy_name": "p-$<account_id>-$<region>"}).with_account(ACCOUNT_ID, "eu-west-1")

        assert done.bucket_name == f"lamp-ota-{ACCOUNT_ID}"
        assert done.policy_name == f"p-{ACCOUNT_ID}-eu-west-1"
        assert done.origins["policy_name"].formatted == done.policy_name
        assert (done.account_id, done.region, done.account_id is not None) == (ACCOUNT_ID, "eu-west-1", True)

    def test_a_region_known_before_stays(self, load: Load) -> None:
        assert load(region="eu-west-1").with_account(ACCOUNT_ID).region == "eu-west-1"

    def test_everything_else_is_as_it_was(self, load: Load, tmp_path: Path) -> None:
        before = load({"audio": "VSI"}, overrides={"role_prefix": "Proj"}, environ={"OTA_TOOLCHAIN": "ARMCLANG"})
        (tmp_path / "config.json").unlink()
        after = before.with_account(ACCOUNT_ID)

        assert (after.audio, after.iam_role_name, after.toolchain) == ("VSI", "Proj-lamp_role", "ARMCLANG")

    def test_a_value_that_does_not_fit_the_real_region_is_refused(self, load: Load) -> None:
        done = load({"update_name": f"{'x' * 46}$<region>"})

        with pytest.raises(SettingsError, match="at most 55 characters, this has 60"):
            done.with_account(ACCOUNT_ID, "ap-southeast-1")

    def test_with_values_moves_all_that_refers_to_them(self, load: Load) -> None:
        done = load(account_id=ACCOUNT_ID).with_values({"thing_name": "bulb"})

        assert (done.policy_name, done.bucket_name) == ("bulb_policy", f"bulb-ota-{ACCOUNT_ID}")
        assert done.certificate_path.name == "thing_certificate_bulb.pem.crt"

    def test_with_values_knows_only_settings(self, load: Load) -> None:
        with pytest.raises(SettingsError, match="did you mean --thing-name"):
            load().with_values({"thing": "x", "thing_nam": "y"})


def test_the_environment_is_not_shown(load: Load) -> None:
    assert "s3cret" not in repr(load(environ={"AWS_SECRET_ACCESS_KEY": "s3cret"}))


def test_a_row_of_the_table_is_the_attribute_and_does_not_change(load: Load) -> None:
    done = load()

    assert Settings.audio is SETTINGS["audio"]
    assert all(hasattr(done, name) for name in SETTINGS)
    with pytest.raises(AttributeError, match="settings do not change"):
        done.audio = "VSI"
    assert done.audio == "ROM"


def test_the_example_environment_explains_every_line() -> None:
    text = (ROOT / "env.example").read_text()
    variables = re.findall(r"^#?\s?([A-Z][A-Z_]+)=", text, re.MULTILINE)

    assert {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_PROFILE",
        "AWS_ENDPOINT_URL",
        "OTA_CONFIG",
        "OTA_SANDBOX",
        "OTA_THING_NAME",
    } <= set(variables)
    blocks = re.split(r"\n\n+", text.strip())
    assert all(block.startswith("# ") for block in blocks)
