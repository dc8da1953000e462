"""The whole loop by the command line for every kind of signing key, in every way that an image can be loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ota.sandbox.firmware import lay_out
from tests.device.device_home import JOB, THING, Home
from tests.device.device_world import private_key_pem, sign
from tests.project import IMAGE

SIGNATURE = "update-signature.txt"
WAYS = {
    "JSON": (["--protocols", "MQTT"], ["--encoding", "json"]),
    "CBOR": (["--protocols", "MQTT"], ["--encoding", "cbor"]),
    "HTTP": (["--protocols", "HTTP"], []),
    "both": (["--protocols", "MQTT,HTTP"], []),
}
# Arm's firmware has no HTTP client, and what has one wants RSA signatures padded in the older way, or ECDSA.
PROFILES = {
    ("RSA", "MQTT"): ["--firmware-profile", "corstone"],
    ("RSA", "HTTP"): ["--firmware-profile", "classic-agent", "--certificate-file-on-device", "/certs/signer.pem"],
    ("EC", "MQTT"): ["--firmware-profile", "jobs-library"],
    ("EC", "HTTP"): ["--firmware-profile", "jobs-library"],
}


@pytest.fixture(scope="module")
def trees(home: Home) -> Iterator[Path]:
    yield home.path("kinds")
    home.run_here("thing").done()


def tree_with_key(folder: Path, kind: str) -> Path:
    """A firmware tree that signs with a key of this kind; the same one each time."""
    tree = folder / kind
    if not tree.exists():
        lay_out(tree)
        (tree / "certs").mkdir()
        (tree / "certs/private_key.pem").write_bytes(private_key_pem(kind))
    return tree


@pytest.mark.parametrize(
    ("kind", "way"),
    [
        *((kind, way) for kind in ("RSA-2048", "RSA-3072", "EC-P256") for way in ("JSON", "CBOR", "HTTP")),
        ("EC-P256", "both"),
    ],
)
def test_the_update_succeeds_and_the_device_has_the_built_image(home: Home, trees: Path, kind: str, way: str) -> None:
    tree = tree_with_key(trees, kind)
    settings, flags = WAYS[way]
    profile = PROFILES[kind.split("-")[0], "HTTP" if way == "HTTP" else "MQTT"]
    padding = "PKCS1" if "classic-agent" in profile else "PSS"
    environ = {"AWS_OTA_SIGNATURE_PADDING": padding, "OTA_BUILD_ENVIRONMENT": "AWS_OTA_SIGNATURE_PADDING"}
    words = ["with", "--firmware-root", str(tree), *profile, *settings, "delete.update", "--force", "all"]
    result = home.run_here(*words, "device", "--fresh", "--json", *flags, **environ).done()
    (told,) = json.loads(result.out[result.out.index("[\n") :])
    assert (told["thing"], told["status"], home.execution()["status"]) == (THING, "SUCCEEDED", "SUCCEEDED")
    assert Path(told["image"]).read_bytes() == (tree / "build" / IMAGE).read_bytes()
    proof = {"EC-P256": "EC secp256r1"}.get(kind, f"{kind}, {'PSS' if padding == 'PSS' else 'PKCS#1 v1.5'}")
    assert f"signature proven: {proof}" in result.text
    document = json.loads(home.service("iot").get_job_document(jobId=JOB)["document"])["afr_ota"]
    assert ",".join(document["protocols"]) == settings[1]


def test_changed_protocols_replace_the_update_and_the_same_do_not(home: Home, trees: Path) -> None:
    words = ["--firmware-root", str(tree_with_key(trees, "EC-P256")), *PROFILES["EC", "HTTP"], "--protocols"]
    home.run_here("with", *words, "MQTT", "delete.update", "--force", "all").done()
    words = ["with", "--skip-build", "true", *words]
    assert _verb(home, *words, "HTTP") == "changed"
    assert _verb(home, *words, "http") == "reused"


def test_an_image_without_a_version_is_said_to_have_none(home: Home, trees: Path) -> None:
    tree = tree_with_key(trees, "EC-P256")
    words = ["with", "--firmware-root", str(tree), *PROFILES["EC", "MQTT"]]
    home.run_here(*words, "delete.update", "--force", "all").done()
    for content, before in ((b"one" * 700, "0.0.10+0"), (b"two" * 700, "an image without a version")):
        (tree / "build" / IMAGE).write_bytes(content)
        (tree / "build" / SIGNATURE).write_bytes(sign(content, "EC-P256"))
        offer = home.run_here(*words, "--skip-build", "true", "update").done()
        flags = ["--fresh"] if before == "0.0.10+0" else []
        result = home.run_here(*words, "device", *flags).done()
        assert f"{before} -> an image without a version, job" in result.out, offer.text
        assert f"runs {before}" in result.out


def _verb(home: Home, *words: str) -> str:
    """What becomes of the update; the plan says the same beforehand."""
    steps = json.loads(home.run_here(*words, "plan", "--json").out)["steps"]
    (planned,) = [step["action"] for step in steps if step["noun"] == "update"]
    (verb,) = [verb for noun, verb in home.run_here(*words, "update").done().verbs if noun == "update"]
    assert planned == {"changed": "replace", "reused": "reuse"}[verb]
    return verb


def test_what_the_firmware_cannot_load_is_refused_before_anything_is_done(home: Home) -> None:
    home.control.clear_calls()
    home.run_here("with", "--protocols", "HTTP", "all").failed("loads over MQTT only", "jobs-library")
    assert home.control.operations() == []
