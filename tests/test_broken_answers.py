"""Answers that no AWS gave: each becomes a sentence, and whole ones pass."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ota import cloud
from ota.errors import CloudError

PAGE = b"<html><body>Please sign in</body></html>"


class _Wire(socketserver.BaseRequestHandler):
    """Says the server's next answer to whatever is asked, and hangs up."""

    def handle(self) -> None:
        self.request.recv(65536)
        self.request.sendall(self.server.answers.pop(0))  # type: ignore[attr-defined]


class Wire(socketserver.ThreadingTCPServer):
    """An endpoint that sends byte for byte what it is given."""

    allow_reuse_address = daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Wire)
        self.answers: list[bytes] = []


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with Wire() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def opened(wire: Wire) -> cloud.Cloud:
    return cloud.open_sandbox(f"http://127.0.0.1:{wire.server_address[1]}", "eu-west-1")


def answer(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode() + body


def endpoint(opened: cloud.Cloud) -> Any:
    return opened.iot.describe_endpoint()["endpointAddress"]


def caller(opened: cloud.Cloud) -> Any:
    return opened.sts.get_caller_identity()["Account"]


def tags(opened: cloud.Cloud) -> Any:
    return opened.s3.get_bucket_tagging(Bucket="lamps")["TagSet"]


@pytest.mark.parametrize(
    ("call", "name", "sent"),
    [
        (endpoint, "iot:DescribeEndpoint", answer("200 OK", PAGE, "Content-Type: text/html")),
        (endpoint, "iot:DescribeEndpoint", answer("200 OK", b'{"endpointAddress": "a.iot')),
        (endpoint, "iot:DescribeEndpoint", b"HTTP/1.1 200 OK\r\nContent-Ty"),
        (endpoint, "iot:DescribeEndpoint", b"HTTP/1.1 200 OK\r\nContent-Length: "),
        (endpoint, "iot:DescribeEndpoint", answer("407 Proxy Authentication Required", PAGE)),
        (caller, "sts:GetCallerIdentity", answer("200 OK", PAGE)),
        (caller, "sts:GetCallerIdentity", answer("200 OK", b"<GetCallerIdentityResponse><Get")),
        (caller, "sts:GetCallerIdentity", b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n"),
        (caller, "sts:GetCallerIdentity", answer("403 Forbidden", b"<ErrorResponse><Err")),
        (tags, "s3:GetBucketTagging", answer("200 OK", PAGE)),
        (tags, "s3:GetBucketTagging", b"HTTP/1.1 200 OK\r\n\r\n"),
    ],
    ids=[
        "sign-in page for JSON",
        "JSON cut off",
        "headers cut off",
        "length cut off",
        "a proxy's refusal",
        "sign-in page for XML",
        "XML cut off",
        "no body",
        "error cut off",
        "sign-in page for S3",
        "no body from S3",
    ],
)
def test_what_is_no_answer_of_aws_is_said(
    wire: Wire, opened: cloud.Cloud, call: Callable[[cloud.Cloud], Any], name: str, sent: bytes
) -> None:
    wire.answers = [sent]
    with pytest.raises(CloudError) as caught:
        call(opened)
    assert str(caught.value).startswith(f"The answer to {name} is not one of AWS (status {sent[9:12].decode()}")
    assert "run the same command again" in str(caught.value)


def test_a_whole_answer_passes(wire: Wire, opened: cloud.Cloud) -> None:
    wire.answers = [answer("200 OK", b'{"endpointAddress": "a.iot"}')]
    assert endpoint(opened) == "a.iot"


def test_an_empty_answer_passes_where_nothing_is_asked_for(wire: Wire, opened: cloud.Cloud) -> None:
    wire.answers = [b"HTTP/1.1 200 OK\r\n\r\n", answer("204 No Content", b"")]
    opened.iot.delete_thing(thingName="lamp")
    opened.s3.delete_bucket(Bucket="lamps")


def test_a_refusal_of_aws_stays_one(wire: Wire, opened: cloud.Cloud) -> None:
    wire.answers = [answer("404 Not Found", b'{"message": "no"}', "x-amzn-ErrorType: ResourceNotFoundException")]
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        opened.iot.describe_thing(thingName="lamp")


def test_a_text_that_is_asked_for_need_be_neither_json_nor_xml(wire: Wire, opened: cloud.Cloud) -> None:
    wire.answers = [answer("200 OK", b"no policy at all")]
    assert opened.s3.get_bucket_policy(Bucket="lamps")["Policy"] == "no policy at all"


def test_a_servers_error_is_asked_again_whatever_its_page(
    wire: Wire, opened: cloud.Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    whole = b"<R><GetCallerIdentityResult><Account>123456789012</Account></GetCallerIdentityResult></R>"
    wire.answers = [answer("503 Service Unavailable", b"\x00 broken"), answer("200 OK", whole)]
    assert caller(opened) == "123456789012"
