"""What the firmware accepts: job document, image, version."""

from __future__ import annotations

import base64
import contextlib
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ota.device.firmware import BadDocument, Firmware, Offer, offer_id, read_offer
from ota.device.messages import OfferedJob
from ota.errors import DeviceFailed
from ota.profiles import CLASSIC_AGENT, CORSTONE, JOBS_LIBRARY, Profile
from tests.device.device_world import sign

SIGNATURE = sign(b"image").decode()
DOCUMENT: dict[str, Any] = {
    "afr_ota": {
        "protocols": ["MQTT"],
        "streamname": "AFR_OTA-1",
        "files": [
            {
                "filepath": "non_secure image",
                "filesize": 596736,
                "fileid": 0,
                "certfile": "0",
                "sig-sha256-rsa": SIGNATURE,
            }
        ],
    }
}
OFFER = Offer("MQTT", "AFR_OTA-1", "", "non_secure image", 596736, 0, SIGNATURE, "RSA")


def test_a_document_of_the_service_is_an_offer() -> None:
    assert read_offer(DOCUMENT, CORSTONE) == OFFER


def test_an_offer_over_http_has_a_url_which_is_not_shown() -> None:
    document = copy.deepcopy(DOCUMENT)
    document["afr_ota"]["protocols"] = ["HTTP"]
    document["afr_ota"]["files"][0] |= {"update_data_url": "https://secret", "auth_scheme": "aws.s3.presigned"}
    offer = read_offer(document, CORSTONE)
    assert (offer.protocol, offer.url, offer.stream) == ("HTTP", "https://secret", "")
    assert "secret" not in repr(offer)


def _file(**changes: Any) -> Callable[[dict[str, Any]], None]:
    def change(body: dict[str, Any]) -> None:
        for name, value in changes.items():
            body["files"][0][name.replace("_", "-") if name.startswith("sig") else name] = value

    return change


@pytest.mark.parametrize(
    ("change", "member"),
    [
        pytest.param(lambda body: body.clear(), "files", id="empty"),
        pytest.param(lambda body: body.pop("protocols"), "protocols", id="no protocols"),
        pytest.param(lambda body: body.update(files=[]), "files", id="no file"),
        pytest.param(lambda body: body.update(files=["x"]), "files", id="file of another type"),
        pytest.param(lambda body: body.pop("streamname"), "streamname", id="no stream"),
        pytest.param(lambda body: body.update(streamname=""), "streamname", id="empty stream"),
        pytest.param(lambda body: body.update(protocols=[]), "files[0].auth_scheme", id="no protocol is HTTP"),
        pytest.param(_file(filesize="1"), "files[0].filesize", id="size as text"),
        pytest.param(_file(filesize=-1), "files[0].filesize", id="negative size"),
        pytest.param(_file(filesize=1 << 32), "files[0].filesize", id="size of 33 bits"),
        pytest.param(_file(fileid=True), "files[0].fileid", id="file id that is no number"),
        pytest.param(_file(fileType="0"), "files[0].fileType", id="file type as text"),
        pytest.param(_file(filepath="bl2 image"), "files[0].filepath", id="unknown image"),
        pytest.param(_file(certfile=None), "files[0].certfile", id="no certificate"),
        pytest.param(_file(sig_sha256_rsa="!"), "files[0].sig-sha256-rsa", id="no base64"),
        pytest.param(
            _file(sig_sha256_rsa=base64.b64encode(bytes(512)).decode()), "files[0].sig-sha256-rsa", id="RSA-4096"
        ),
    ],
)
def test_what_the_firmware_cannot_use_is_named(change: Callable[[dict[str, Any]], object], member: str) -> None:
    document = copy.deepcopy(DOCUMENT)
    change(document["afr_ota"])
    with pytest.raises(BadDocument) as caught:
        read_offer(document, CORSTONE)
    assert caught.value.member == member


def test_a_document_of_another_kind_of_job_is_none() -> None:
    with pytest.raises(BadDocument, match="afr_ota is missing"):
        read_offer({"operation": "reboot"}, CORSTONE)


def test_the_last_of_several_files_counts_and_its_type_may_be_given() -> None:
    document = copy.deepcopy(DOCUMENT)
    document["afr_ota"]["files"].append({**document["afr_ota"]["files"][0], "filesize": 7, "fileType": 0})
    assert read_offer(document, CORSTONE).size_bytes == 7


def test_another_firmware_takes_any_name() -> None:
    document = copy.deepcopy(DOCUMENT)
    _file(filepath="/etc/image")(document["afr_ota"])
    assert read_offer(document, CLASSIC_AGENT).file_path == "/etc/image"


def test_the_same_offer_in_a_later_job_of_the_same_name_is_another_one() -> None:
    first = OfferedJob("AFR_OTA-x", "QUEUED", 1, {}, DOCUMENT, queued_at=1)
    later = OfferedJob("AFR_OTA-x", "QUEUED", 1, {}, DOCUMENT, queued_at=2)
    begun = OfferedJob("AFR_OTA-x", "IN_PROGRESS", 2, {}, DOCUMENT, queued_at=1)
    assert offer_id(first, OFFER) == offer_id(begun, OFFER) != offer_id(later, OFFER)


@pytest.mark.parametrize(
    ("profile", "version", "running", "updated_by", "words"),
    [
        (CORSTONE, "0.0.20+20", "0.0.10+10", 10, None),
        (CORSTONE, "0.0.20+10", "0.0.10+10", 10, "does not count as higher"),
        (CORSTONE, "0.1.0+0", "9.9.9+9", 0x09090009, None),
        (CLASSIC_AGENT, "0.9.3", "0.9.2", 0, None),
        (CLASSIC_AGENT, "0.9.2", "0.9.2", 0, "0x00000010"),
        (CLASSIC_AGENT, "0.9.1", "0.9.2", 0, "0x0000000f"),
        (CLASSIC_AGENT, "0.9.1", "", 0, None),
        (CLASSIC_AGENT, "", "0.9.2", 0, None),
        (JOBS_LIBRARY, "0.0.1", "9.9.9", 0, None),
    ],
)
def test_each_firmware_has_its_own_rule_of_what_is_newer(
    profile: Profile, version: str, running: str, updated_by: int, words: str | None, tmp_path: Path
) -> None:
    why = Firmware(profile, tmp_path).self_test(version, running, updated_by)
    assert (why is None) == (words is None)
    assert words is None or words in str(why)


@pytest.mark.parametrize(
    ("size_bytes", "is_faithful", "words"),
    [(0, False, "filesize is 0"), ((1 << 28) + 1, True, "more than 65,536 blocks"), ((1 << 28) + 1, False, None)],
)
def test_an_image_has_a_size_that_the_firmware_can_count(
    size_bytes: int, is_faithful: bool, words: str | None, tmp_path: Path
) -> None:
    offer = Offer("MQTT", "stream", "", "image", size_bytes, 0, "", "RSA")
    firmware = Firmware(JOBS_LIBRARY, tmp_path, is_faithful=is_faithful)
    with pytest.raises(DeviceFailed, match=words) if words else contextlib.nullcontext():
        firmware.check_offer(offer)


@pytest.mark.parametrize(
    ("profile", "version", "number"),
    [(CORSTONE, "1.2.3+4", 0x01020004), (CLASSIC_AGENT, "0.9.2", 0x00090002), (CORSTONE, "", 0)],
)
def test_updated_by_is_the_running_version_as_the_firmware_packs_it(
    profile: Profile, version: str, number: int, tmp_path: Path
) -> None:
    assert Firmware(profile, tmp_path).number_of(version) == number
