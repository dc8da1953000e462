"""A presigned URL in a job document is what AWS gives: S3's host over TLS, a signature that counts, an end."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from ota.sandbox import process
from ota.sandbox.jobs.presigned_urls import ROLE_KEY_ID, UrlProblem, UrlRequest, find_url_problem
from ota.sandbox.process import Address
from tests.conftest import REGION, client
from tests.sandbox_control import Control
from tests.sandbox_world import BUCKET, IMAGE, KEY, ROLE_ARN, THING, THING_ARN, World, make_world

HOST = f"{BUCKET}.s3.{REGION}.amazonaws.com"
Answer = tuple[int, dict[str, str], bytes]


def https(address: Address, url: str, method: str = "GET", **headers: str) -> Answer:
    """Status, headers and body for a client that trusts the sandbox's CA and has the host in its hosts file."""
    parts = urlsplit(url)
    assert parts.scheme == "https"
    assert parts.hostname
    connection = http.client.HTTPSConnection(
        parts.hostname, parts.port, context=ssl.create_default_context(cafile=address.ca_path), timeout=10
    )
    connection._create_connection = lambda _, *rest: socket.create_connection(  # type: ignore[attr-defined]
        ("127.0.0.1", parts.port or 443), *rest
    )
    try:
        connection.request(method, f"{parts.path}?{parts.query}", headers=headers)
        response = connection.getresponse()
        return response.status, {name.lower(): text for name, text in response.headers.items()}, response.read()
    finally:
        connection.close()


def code_of(answer: Answer) -> tuple[int, str, str]:
    """Status, code and message of a refusal."""
    text = answer[2].decode()
    return answer[0], *(re.findall(f"<{name}>(.*?)</{name}>", text)[0] for name in ("Code", "Message"))


def offered_url(jobs_data: Any) -> str:
    execution = jobs_data.start_next_pending_job_execution(thingName=THING)["execution"]
    url: str = json.loads(execution["jobDocument"])["afr_ota"]["files"][0]["update_data_url"]
    return url


@pytest.fixture
def url(world: World, jobs_data: Any) -> str:
    """What a device is offered."""
    world.create(protocols=["HTTP"], awsJobPresignedUrlConfig={"expiresInSec": 60})
    return offered_url(jobs_data)


@pytest.fixture
def address(clean_sandbox: Address) -> Address:
    return clean_sandbox


def test_the_url_has_the_form_of_aws(world: World, url: str) -> None:
    parts = urlsplit(url)
    assert (parts.scheme, parts.hostname, parts.path) == ("https", HOST, f"/{KEY}")
    values = {name: one for name, (one,) in parse_qs(parts.query).items()}
    assert values.pop("versionId") == world.version_id
    assert values.pop("X-Amz-Expires") == "60"
    assert sorted(values) == [
        "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Signature",
        "X-Amz-SignedHeaders",
    ]  # fmt: skip


def test_it_gives_the_image_and_parts_of_it(address: Address, url: str) -> None:
    status, headers, body = https(address, url)
    assert (status, body, headers["content-length"]) == (200, IMAGE, str(len(IMAGE)))
    status, headers, body = https(address, url, Range="bytes=0-0")
    assert (status, body, headers["content-range"]) == (206, IMAGE[:1], f"bytes 0-0/{len(IMAGE)}")
    status, headers, body = https(address, url, Range="bytes=4096-8191")
    assert (status, body, headers["content-range"]) == (206, IMAGE[4096:8192], f"bytes 4096-8191/{len(IMAGE)}")


def test_a_forwarder_on_the_port_of_aws_leads_to_it(address: Address, url: str) -> None:
    """AWS's C demo connects to port 443 and names no port in its request."""
    assert https(address, url, Host=HOST)[2] == IMAGE


def test_it_expires(address: Address, url: str, control: Control, jobs_data: Any) -> None:
    control.advance_clock(59)
    assert https(address, url)[0] == 200
    control.advance_clock(7200)
    assert code_of(https(address, url)) == (403, "AccessDenied", "Request has expired")
    execution = jobs_data.describe_job_execution(jobId="AFR_OTA-lamp-1", thingName=THING)["execution"]
    later = json.loads(execution["jobDocument"])["afr_ota"]["files"][0]["update_data_url"]
    assert https(address, later)[2] == IMAGE


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(KEY, "images/other.bin", id="another-key"),
        pytest.param("X-Amz-Expires=60", "X-Amz-Expires=3600", id="longer"),
        pytest.param("versionId=", "versionId=x", id="another-version"),
        pytest.param("&versionId=", "&VersionId=", id="no-version"),
        pytest.param("X-Amz-Signature=", "X-Amz-Signature=0", id="another-signature"),
        pytest.param(f"//{BUCKET}.", "//other-bucket.", id="another-bucket"),
        pytest.param("GET", "HEAD", id="another-method"),
    ],
)
def test_a_url_that_was_changed_is_refused(address: Address, url: str, old: str, new: str) -> None:
    method = new if old == "GET" else "GET"
    assert old == "GET" or old in url
    answer = https(address, url.replace(old, new, 1), method)
    if method == "HEAD":
        assert answer[0] == 403
    else:
        assert code_of(answer)[:2] == (403, "SignatureDoesNotMatch")


def test_the_plain_endpoint_does_not_take_it(address: Address, url: str) -> None:
    parts = urlsplit(url)
    plain = http.client.HTTPConnection("127.0.0.1", urlsplit(address.endpoint_url).port, timeout=10)
    plain.request("GET", f"/{BUCKET}{parts.path}?{parts.query}")
    assert b"SignatureDoesNotMatch" in plain.getresponse().read()
    plain.close()


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(f"https://{HOST}/{KEY}", id="no-signature"),
        pytest.param(f"https://s3.{REGION}.amazonaws.com/_sandbox/health?X-Amz-Signature=x", id="control"),
        pytest.param(f"https://s3.{REGION}.amazonaws.com/{BUCKET}/{KEY}", id="no-signature-path-style"),
        pytest.param(f"https://localhost/{BUCKET}/{KEY}?X-Amz-Signature=x", id="no-host-of-s3"),
        pytest.param(
            f"https://s3.{REGION}.amazonaws.com/things?X-Amz-Signature=x"
            f"&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE/20300101/{REGION}/iot/aws4_request",
            id="another-service",
        ),
    ],
)
def test_nothing_else_is_reached_over_tls(address: Address, url: str, path: str) -> None:
    port = urlsplit(url).port or 443
    parts = urlsplit(path)
    answer = https(address, parts._replace(netloc=f"{parts.hostname}:{port}").geturl())
    assert code_of(answer) == (403, "AccessDenied", "Access Denied")


@pytest.mark.parametrize(
    "name", ["other.example.com", f"{BUCKET}.s3.{REGION}.example.com", f"a.b.s3.{REGION}.amazonaws.com"]
)
def test_the_certificate_is_for_the_hosts_of_s3_only(address: Address, url: str, name: str) -> None:
    port = urlsplit(url).port or 443
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        https(address, f"https://{name}:{port}/{KEY}?x")


@pytest.mark.parametrize(
    ("bucket", "key", "host"),
    [
        pytest.param(BUCKET, "über uns/a b#c+d%20~.bin", HOST, id="odd-key"),
        pytest.param("lamp.images.v1", "lamp.bin", f"s3.{REGION}.amazonaws.com", id="bucket-with-dots"),
    ],
)
def test_any_key_and_bucket(world: World, address: Address, jobs_data: Any, bucket: str, key: str, host: str) -> None:
    if bucket != BUCKET:
        world.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    world.s3.put_object(Bucket=bucket, Key=key, Body=b"odd")
    placeholder = f"${{aws:iot:s3-presigned-url:https://s3.{REGION}.amazonaws.com/{bucket}/{quote(key)}}}"
    document = {"afr_ota": {"files": [{"update_data_url": placeholder}]}}
    world.iot.create_job(
        jobId="j1", targets=[THING_ARN], document=json.dumps(document), presignedUrlConfig={"roleArn": ROLE_ARN}
    )
    url = offered_url(jobs_data)
    assert urlsplit(url).hostname == host
    assert https(address, url)[2] == b"odd"


@pytest.mark.parametrize("version", ["s3", "s3v4"])
@pytest.mark.usefixtures("world")
def test_urls_of_users_work_on_the_plain_endpoint(address: Address, control: Control, version: str) -> None:
    s3 = client("s3", address, config=Config(signature_version=version, s3={"addressing_style": "path"}))
    params = {"Bucket": BUCKET, "Key": KEY}
    url = s3.generate_presigned_url("get_object", Params=params, ExpiresIn=60)
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - the sandbox's own address
        assert answer.read() == IMAGE
    put = s3.generate_presigned_url("put_object", Params={**params, "Key": "put"}, ExpiresIn=60)
    with urllib.request.urlopen(urllib.request.Request(put, b"new", method="PUT")) as answer:  # noqa: S310
        assert answer.status == 200
    if version == "s3v4":
        control.advance_clock(61)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(url)  # noqa: S310


@pytest.mark.parametrize("version", ["", "v1+/="])
def test_a_signature_is_what_botocore_makes(version: str) -> None:
    signed = AWSRequest("GET", f"https://{HOST}/a%20b~c", params={"versionId": version} if version else {})
    S3SigV4QueryAuth(Credentials(ROLE_KEY_ID, "secret", "token/+"), "s3", REGION, expires=60).add_auth(signed)
    parts = urlsplit(str(signed.prepare().url))
    request, now = UrlRequest("GET", HOST, parts.path, parts.query), datetime.now(timezone.utc).timestamp()
    assert find_url_problem(request, "secret", now) is None
    assert find_url_problem(request, "another", now) is UrlProblem.TAMPERED
    assert find_url_problem(request, "secret", now + 61) is UrlProblem.EXPIRED
    without = urlencode([(k, v[0]) for k, v in parse_qs(parts.query).items() if k != "X-Amz-Signature"])
    assert find_url_problem(UrlRequest("GET", HOST, parts.path, without), "secret", now) is UrlProblem.TAMPERED


def test_a_slow_client_keeps_nobody_waiting(address: Address, url: str) -> None:
    port = urlsplit(url).port or 443
    with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)) as begun:
        begun.sendall(b"\x16\x03\x01")
        assert https(address, url)[2] == IMAGE


def test_curl_fetches_it_with_the_ca_alone(address: Address, url: str, tmp_path: Path) -> None:
    port, path = urlsplit(url).port or 443, tmp_path / "image"
    command = ["curl", "--silent", "--fail", "--noproxy", "*", "--cacert", address.ca_path, "--output", str(path)]
    subprocess.run([*command, "--resolve", f"{HOST}:{port}:127.0.0.1", url], check=True, timeout=30)
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(IMAGE).digest()


def test_the_port_can_be_chosen(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(process.SandboxError, match="in use"):
            process.start(tmp_path, https_port=port)
    address = process.start(tmp_path, pause_s=0, region=REGION, https_port=port)
    try:
        world = make_world(lambda service: client(service, address))
        world.create(protocols=["HTTP"])
        url = offered_url(client("iot-jobs-data", address))
        assert urlsplit(url).port == port
        assert https(address, url)[2] == IMAGE
    finally:
        process.stop(tmp_path)
