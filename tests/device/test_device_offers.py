"""What a job document offers, and what the firmware cannot use of one."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable
from typing import Any

import pytest

from ota.device.messages import Execution
from ota.device.offers import BadDocument, Offer, offer_id, read_offer
from ota.profiles import CLASSIC_AGENT, CORSTONE
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
    first = Execution("AFR_OTA-x", "QUEUED", 1, {}, DOCUMENT, queued_at=1)
    later = Execution("AFR_OTA-x", "QUEUED", 1, {}, DOCUMENT, queued_at=2)
    begun = Execution("AFR_OTA-x", "IN_PROGRESS", 2, {}, DOCUMENT, queued_at=1)
    assert offer_id(first, OFFER) == offer_id(begun, OFFER) != offer_id(later, OFFER)
