"""What each firmware parses, and what is said of settings that it would not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ota.errors import SettingsError
from ota.profiles import CLASSIC_AGENT, CORSTONE, JOBS_LIBRARY, PROFILES, Padding, Profile, find_profile
from ota.settings.settings import Settings, load_settings
from ota.settings.table import SETTINGS

ROOT = Path(__file__).resolve().parents[1]
CERTIFICATE = {"certificate_file_on_device": "/certs/signer.pem"}
CLASSIC = {"firmware_profile": "classic-agent", **CERTIFICATE}


def load(folder: Path, environ: dict[str, str] | None = None, **values: str) -> Settings:
    (folder / "config.json").write_text(json.dumps({"thing_name": "lamp", "target_application": "app", **values}))
    return load_settings(folder, environ=environ or {})


def problem(folder: Path, **values: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(folder, **values)
    (said,) = caught.value.problems
    return str(said)


def facts(settings: Settings) -> tuple[str, ...]:
    names = ("hash_algorithm", "signature_algorithm", "image_file_name", "certificate_file_on_device")
    return tuple(getattr(settings, name) for name in names)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param({}, ("SHA256", "RSA", "non_secure image", "0"), id="Arm's by default"),
        pytest.param(
            {"firmware_profile": "jobs-library"}, ("SHA256", "ECDSA", "firmware.bin", "0"), id="AWS's library"
        ),
        pytest.param(CLASSIC, ("SHA256", "RSA", "firmware.bin", "/certs/signer.pem"), id="classic agent"),
        pytest.param(
            {**CLASSIC, "signature_algorithm": "ECDSA"},
            ("SHA256", "ECDSA", "firmware.bin", "/certs/signer.pem"),
            id="classic agent with the other key",
        ),
        pytest.param({"image_file_name": "ml_model image"}, ("SHA256", "RSA", "ml_model image", "0"), id="Arm's model"),
        pytest.param(
            {"firmware_profile": "jobs-library", "image_file_name": "/flash/new.bin"},
            ("SHA256", "ECDSA", "/flash/new.bin", "0"),
            id="any name on the device",
        ),
        pytest.param(
            {"certificate_file_on_device": "$<thing_name>.pem"},
            ("SHA256", "RSA", "non_secure image", "lamp.pem"),
            id="a path with a reference",
        ),
    ],
)
def test_unset_settings_follow_the_profile(tmp_path: Path, values: dict[str, str], expected: tuple[str, ...]) -> None:
    assert facts(load(tmp_path, **values)) == expected


def test_a_profile_s_value_is_no_choice_of_the_user_s(tmp_path: Path) -> None:
    settings = load(tmp_path, firmware_profile="jobs-library", hash_algorithm="SHA256")
    assert settings.origins["signature_algorithm"].source == "firmware profile"
    assert not settings.is_chosen("signature_algorithm")
    assert settings.is_chosen("hash_algorithm")
    assert settings.is_chosen("firmware_profile")


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_no_firmware_takes_sha1(tmp_path: Path, profile: Profile) -> None:
    values = {"firmware_profile": profile.name, **CERTIFICATE, "hash_algorithm": "SHA1"}
    assert problem(tmp_path, **values).endswith('hash_algorithm: "SHA1": this cannot be used; write one of SHA256')


def test_a_default_in_the_file_comes_before_the_profile_s(tmp_path: Path) -> None:
    settings = load(tmp_path, image_file_name_DEFAULT="secure image")
    assert settings.image_file_name == "secure image"


def test_the_profile_may_come_from_the_environment(tmp_path: Path) -> None:
    settings = load(tmp_path, {"OTA_FIRMWARE_PROFILE": "jobs-library"})
    assert (settings.profile, settings.signature_algorithm) == (JOBS_LIBRARY, "ECDSA")


def test_other_settings_may_refer_to_the_profile_and_to_what_it_gives(tmp_path: Path) -> None:
    settings = load(tmp_path, update_name="$<firmware_profile>_$<signature_algorithm>")
    assert settings.update_name == "corstone_RSA"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        pytest.param(
            {"signature_algorithm": "ECDSA"},
            [
                'config.json: signature_algorithm: "ECDSA" cannot be used with firmware_profile corstone',
                "parses only sig-sha256-rsa (a patch in its tree",
                'write "RSA", or set firmware_profile to "jobs-library" or "classic-agent"',
            ],
            id="ECDSA for Corstone",
        ),
        pytest.param(
            {"firmware_profile": "jobs-library", "signature_algorithm": "RSA"},
            ["parses only sig-sha256-ecdsa", 'or set firmware_profile to "corstone" or "classic-agent"'],
            id="RSA for AWS's library",
        ),
        pytest.param(
            {"signature_algorithm_DEFAULT": "ECDSA"},
            ["config.json: signature_algorithm_DEFAULT: ", "parses only sig-sha256-rsa"],
            id="a default in the file",
        ),
        pytest.param(
            {"image_file_name": "non-secure image"},
            ["accepts no image with this name", 'write "non_secure image"'],
            id="a slip in the image's name",
        ),
        pytest.param(
            {"image_file_name": "firmware.bin"},
            ["write one of non_secure image, secure image, ml_model image, combined image"],
            id="an unknown image's name",
        ),
        pytest.param(
            {"firmware_profile": "classic-agent"},
            [
                "certificate_file_on_device is not set with firmware_profile classic-agent",
                "opens this file to verify the signature",
                "/certs/signer.pem",
            ],
            id="classic agent without certificate",
        ),
        pytest.param(
            {"firmware_profile": "classic-agent", "certificate_file_on_device": "0"},
            ['certificate_file_on_device: "0" cannot be used', "opens this file"],
            id="classic agent with Arm's placeholder",
        ),
        pytest.param(
            {"protocols": "HTTP"},
            [
                'config.json: protocols: "HTTP" cannot be used with firmware_profile corstone',
                "loads over MQTT only (it has no HTTP client",
                'write "MQTT", or set firmware_profile to "jobs-library" or "classic-agent"',
            ],
            id="HTTP for Corstone",
        ),
        pytest.param(
            {"protocols": "mqtt, http"}, ["loads over MQTT only", "does not fit its buffer"], id="both for Corstone"
        ),
        pytest.param({"protocols": "FTP"}, ["this cannot be used", '"MQTT,HTTP"'], id="no such protocol, told once"),
        pytest.param({"firmware_profile": "freertos"}, ["write one of corstone, jobs-library"], id="no such profile"),
        pytest.param({"signature_algorithm": "rsa"}, ['this cannot be used; write "RSA"'], id="one problem, told once"),
        pytest.param({"signature_algorithm": "$<nothing>"}, ["refers to no setting"], id="a reference to nothing"),
    ],
)
def test_what_the_firmware_would_not_parse_is_refused_with_the_reason(
    tmp_path: Path, values: dict[str, str], words: list[str]
) -> None:
    said = problem(tmp_path, **values)
    assert [word for word in words if word not in said] == [], said


@pytest.mark.parametrize("values", [{"firmware_profile": "jobs-library"}, CLASSIC], ids=["AWS's library", "classic"])
@pytest.mark.parametrize(("text", "protocols"), [("http", ("HTTP",)), ("MQTT, HTTP", ("MQTT", "HTTP"))])
def test_other_firmware_loads_over_http_too(
    tmp_path: Path, values: dict[str, str], text: str, protocols: tuple[str, ...]
) -> None:
    assert load(tmp_path, **values, protocols=text).protocols == protocols


def test_a_long_thing_name_is_warned_of_only_where_the_firmware_minds(tmp_path: Path) -> None:
    name = "x" * 65
    assert "65 characters" in load(tmp_path, thing_name=name).warnings[0]
    assert load(tmp_path, thing_name=name, firmware_profile="jobs-library").warnings == ()


@pytest.mark.parametrize(
    ("file_name", "has_model", "size_bytes"),
    [
        ("non_secure image", False, 0x340000),
        ("non_secure image", True, 0x240000),
        ("ml_model image", True, 0x100000),
        ("ml_model image", False, 0x100000),
        ("secure image", True, None),
    ],
)
def test_the_slot_depends_on_the_image_and_on_the_model(file_name: str, has_model: bool, size_bytes: int) -> None:
    assert CORSTONE.largest_image_bytes(file_name, has_model=has_model) == size_bytes


def test_each_profile_is_found_by_its_name_and_no_other() -> None:
    assert [find_profile(profile.name) for profile in PROFILES] == list(PROFILES)
    assert find_profile("Corstone") is None


def test_the_job_s_keys_follow_from_the_algorithms() -> None:
    keys = {profile.name: profile.signature_keys for profile in PROFILES}
    assert keys == {
        "corstone": ("sig-sha256-rsa",),
        "jobs-library": ("sig-sha256-ecdsa",),
        "classic-agent": ("sig-sha256-rsa", "sig-sha256-ecdsa"),
        "esp32": ("sig-sha256-ecdsa",),
    }
    assert (CORSTONE.rsa_padding, CLASSIC_AGENT.rsa_padding) == (Padding.PSS, Padding.PKCS1)


def test_every_default_of_a_profile_is_a_setting_that_leaves_it_to_the_profile() -> None:
    by_profile: dict[str, Any] = {name: row for name, row in SETTINGS.items() if row.by_profile}
    for profile in PROFILES:
        assert profile.defaults.keys() == by_profile.keys()
    assert [row.default for row in by_profile.values()] == [""] * len(by_profile)
