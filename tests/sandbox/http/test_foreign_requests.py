"""The sandbox is its owner's: a web page is refused, and its controls need the secret of the address file."""

from __future__ import annotations

import http.client
import json
from itertools import product
from typing import Any
from urllib.parse import urlsplit

import pytest

from ota.sandbox.process import Address
from tests.conftest import REGION
from tests.sandbox_control import Control
from tests.sandbox_world import BUCKET

SCOPE = f"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260101/{REGION}/iot/aws4_request, Signature=x"
CONTROLS = [
    ("GET", "health"), ("GET", "calls"), ("DELETE", "calls"), ("GET", "faults"), ("POST", "faults"),
    ("DELETE", "faults"), ("POST", "release"), ("POST", "latency"), ("POST", "pause"), ("POST", "clock"),
    ("GET", "refusals"), ("GET", "objects"), ("POST", "keep"), ("POST", "reset"), ("POST", "stop"), ("GET", "nothing"),
]  # fmt: skip


def send(
    address: Address, method: str, target: str, headers: dict[str, str | None] | None = None, body: bytes = b""
) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers (names in lower case) of one request; a header that is None is left out."""
    port = urlsplit(address.endpoint_url).port
    sent = {"Host": f"127.0.0.1:{port}", "Authorization": SCOPE, **(headers or {})}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.putrequest(method, target, skip_host=True)
        for name, value in {**sent, "Content-Length": str(len(body))}.items():
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("target", "headers", "word"),
    [
        pytest.param("/things/lamp", {"Origin": "https://example.com"}, "Origin", id="a page's script"),
        pytest.param("/things/lamp", {"Origin": "null"}, "Origin", id="a file's script"),
        pytest.param("/things/lamp", {"Sec-Fetch-Site": "cross-site"}, "Sec-Fetch-Site", id="a page's picture"),
        pytest.param("/things/lamp", {"Host": "evil.example"}, "evil.example", id="rebound name"),
        pytest.param("/things/lamp", {"Host": "evil.example:4566"}, "evil.example", id="rebound name with a port"),
        pytest.param("/things/lamp", {"Host": "127.0.0.1.evil.example"}, "evil.example", id="name like ours"),
        pytest.param("/things/lamp", {"Host": "amazonaws.com.evil.example"}, "evil.example", id="name like AWS's"),
        pytest.param("/things/lamp", {"Host": "evil-amazonaws.com"}, "evil-amazonaws", id="name ending like AWS's"),
        pytest.param("/things/lamp", {"Host": "[::1]"}, "[::1]", id="an address that is not served"),
        pytest.param("/things/lamp", {"Host": None}, "no host", id="no name"),
        pytest.param("http://evil.example/things/lamp", {}, "evil.example", id="name in the target"),
    ],
)
def test_a_web_page_gets_nothing_and_changes_nothing(
    clean_sandbox: Address, iot: Any, target: str, headers: dict[str, str | None], word: str
) -> None:
    status, body, _ = send(clean_sandbox, "POST", target, headers, b"{}")
    assert status == 403
    assert word in json.loads(body)["message"]
    assert iot.list_things()["things"] == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:4566", "LOCALHOST"])
def test_the_sandboxs_own_names_are_answered(clean_sandbox: Address, iot: Any, host: str) -> None:
    assert send(clean_sandbox, "POST", "/things/lamp", {"Host": host}, b"{}")[0] == 200
    assert [one["thingName"] for one in iot.list_things()["things"]] == ["lamp"]


@pytest.mark.parametrize(
    "host", ["{}.localhost", "{}.localhost:4566", "{}.s3.eu-west-1.amazonaws.com", "{}.s3.amazonaws.com"]
)
def test_a_bucket_is_addressed_by_the_host(world: Any, clean_sandbox: Address, host: str) -> None:
    assert world.version_id
    headers = {"Host": host.format(BUCKET), "Authorization": SCOPE.replace("/iot/", "/s3/")}
    status, body, _ = send(clean_sandbox, "GET", "/?list-type=2", headers)
    assert (status, b"images/lamp.bin" in body) == (200, True)


def test_no_page_may_read_an_answer(world: Any, clean_sandbox: Address) -> None:
    assert world.version_id
    for method, target, service in product(("GET", "OPTIONS"), ("/things", f"/{BUCKET}"), ("iot", "s3")):
        *_, headers = send(clean_sandbox, method, target, {"Authorization": SCOPE.replace("/iot/", f"/{service}/")})
        assert [name for name in headers if name.startswith("access-control-")] == []


@pytest.mark.parametrize("secret", [None, "", "0" * 64, "\xe9"], ids=["none", "empty", "wrong", "no ASCII"])
def test_the_controls_need_the_secret(control: Control, iot: Any, secret: str | None) -> None:
    iot.create_thing(thingName="lamp")
    for method, what in CONTROLS:
        status, body, _ = send(control.address, method, f"/_sandbox/{what}", {"x-sandbox-secret": secret}, b"{}")
        assert (status, list(json.loads(body))) == (403, ["message"]), what
    assert len(iot.list_things()["things"]) == 1


@pytest.mark.parametrize("service", ["iot", "s3", "moto_api", "moto"])
def test_motos_own_controls_are_not_served(control: Control, iot: Any, service: str) -> None:
    iot.create_thing(thingName="lamp")
    headers = {"Authorization": SCOPE.replace("/iot/", f"/{service}/")}
    for method, target in (("POST", "/moto-api/reset"), ("GET", "/moto-api/data.json"), ("POST", "/moto-api/seed?a=1")):
        status, body, _ = send(control.address, method, target, headers)
        assert (status >= 400, b"lamp" in body) == (True, False), (target, status)
    assert len(iot.list_things()["things"]) == 1
