"""Credentials, region and endpoint, as a user sets or forgets them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from ota import cloud, environment
from ota.errors import CredentialsError, SettingsError
from ota.sandbox.process import Address
from ota.threads import side_by_side
from tests.sandbox_control import Control

KEYS = {"AWS_ACCESS_KEY_ID": "AKIAX", "AWS_SECRET_ACCESS_KEY": "secret-value"}


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which nothing of AWS is set."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "REGION", "DEFAULT_REGION", "PROFILE"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


def opened(patch: pytest.MonkeyPatch, **environ: str) -> cloud.Cloud:
    for name, value in environ.items():
        patch.setenv(name, value)
    return cloud.open_cloud(environ)


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({}, "No AWS credentials found"),
        ({"AWS_ACCESS_KEY_ID": "AKIAX"}, "AWS_SECRET_ACCESS_KEY is not"),
        ({"AWS_SECRET_ACCESS_KEY": "secret-value"}, "AWS_ACCESS_KEY_ID is not"),
        ({**KEYS, "AWS_ACCESS_KEY_ID": "ASIAX"}, "needs its AWS_SESSION_TOKEN"),
        (KEYS, "No AWS region is set"),
        ({**KEYS, "AWS_REGION": "eu-west-1a"}, "without an availability zone"),
        ({**KEYS, "AWS_REGION": "Ireland"}, "'Ireland' is not an AWS region"),
        ({**KEYS, "AWS_PROFILE": "nobody", "AWS_REGION": "eu-west-1"}, "AWS_PROFILE names 'nobody'"),
    ],
    ids=["nothing", "no-secret", "no-key", "no-token", "no-region", "zone", "not-a-region", "no-profile"],
)
def test_what_is_missing_is_named_and_no_secret_shown(
    bare: pytest.MonkeyPatch, environ: dict[str, str], sentence: str
) -> None:
    with pytest.raises(CredentialsError) as caught:
        opened(bare, **environ)
    assert sentence in str(caught.value)
    assert "secret-value" not in str(caught.value)


def test_a_half_set_profile_is_named(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shared = tmp_path / "credentials"
    shared.write_text("[default]\naws_access_key_id = AKIAX\n")
    bare.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    with pytest.raises(CredentialsError, match="half set"):
        opened(bare, AWS_REGION="eu-west-1")


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_either_region_variable_counts(bare: pytest.MonkeyPatch, name: str) -> None:
    assert opened(bare, **KEYS, **{name: "eu-central-1"}).region == "eu-central-1"


def test_aws_region_wins(bare: pytest.MonkeyPatch) -> None:
    both = {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-east-1"}
    assert opened(bare, **KEYS, **both).region == "eu-west-1"


@pytest.mark.parametrize(
    ("region", "partition"), [("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")]
)
def test_the_partition_follows_the_region(bare: pytest.MonkeyPatch, region: str, partition: str) -> None:
    assert opened(bare, **KEYS, AWS_REGION=region).partition == partition


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
@pytest.mark.parametrize("host", ["example.com", "192.0.2.1:4566", "localhost.example.com", "[2001:db8::1]", "u:pw@x"])
def test_http_beyond_this_machine_is_refused_before_anything_is_sent(
    bare: pytest.MonkeyPatch, name: str, host: str
) -> None:
    with pytest.raises(CredentialsError, match=rf"^{name} is http://.*Nothing was sent") as caught:
        opened(bare, **KEYS, AWS_REGION="eu-west-1", **{name: f"http://{host}"})
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://example.com", "http://localhost:1", "http://a.localhost", "http://127.9.9.9", "http://[::1]:80"]
)
def test_https_anywhere_and_http_on_this_machine_are_taken(bare: pytest.MonkeyPatch, url: str) -> None:
    assert opened(bare, **KEYS, AWS_REGION="eu-west-1", AWS_ENDPOINT_URL=url).endpoint_url == url


def test_http_in_a_profile_is_refused_too(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[default]\nregion = eu-west-1\nendpoint_url = http://192.0.2.1:4566\n")
    bare.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    with pytest.raises(CredentialsError, match=r"endpoint_url of your AWS configuration is http://192\.0\.2\.1"):
        opened(bare, **KEYS).iot.list_things()


def test_dotenv_fills_in_and_never_overrides(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("AWS_REGION=eu-west-1\nAWS_ACCESS_KEY_ID=from-file\n")
    bare.setenv("AWS_ACCESS_KEY_ID", "from-environment")
    bare.setenv("AWS_REGION", "us-east-1")
    bare.delenv("AWS_REGION")
    environment.load_environment(tmp_path)
    assert os.environ["AWS_REGION"] == "eu-west-1"
    assert os.environ["AWS_ACCESS_KEY_ID"] == "from-environment"


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xff\xfe\x00", "save it as UTF-8"),
        (b"AWS_REGION=eu\x00west\n", "save it as UTF-8"),
        (b'A=1\nAWS_REGION="eu-west-1\n', ", line 2: write NAME=value"),
    ],
    ids=["no text", "a zero byte", "half a quote"],
)
def test_a_dotenv_that_cannot_be_used_is_named(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / ".env").write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        environment.load_environment(tmp_path)
    assert str(caught.value).startswith(str(tmp_path / ".env"))
    assert sentence in str(caught.value)
    assert "AWS_REGION" not in os.environ


def test_the_sandbox_reads_nothing_of_the_users_configuration(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("AWS_PROFILE", "nobody")
    bare.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
    bare.setenv("AWS_SECRET_ACCESS_KEY", "real")
    bare.setenv("AWS_ENDPOINT_URL_IOT", "http://127.0.0.1:1")
    bare.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    client = cloud.open_sandbox("http://127.0.0.1:2", "eu-west-1").iot
    assert client.meta.endpoint_url == "http://127.0.0.1:2"
    assert client._request_signer._credentials.access_key == "sandbox"  # type: ignore[attr-defined]
    assert client.meta.config.proxies == {}


def test_the_account_is_asked_once(control: Control) -> None:
    opened = cloud.open_sandbox(control.address.endpoint_url, control.address.region)
    side_by_side(*[lambda: opened.account_id] * 4)
    assert len(opened.account_id) == 12
    assert opened.caller_arn.startswith("arn:aws:")
    assert control.operations() == ["GetCallerIdentity"]


def test_a_failed_call_carries_its_service_and_object(clean_sandbox: Address) -> None:
    opened = cloud.open_sandbox(clean_sandbox.endpoint_url, clean_sandbox.region)
    with pytest.raises(ClientError) as caught:
        opened.iot.describe_thing(thingName="nobody")
    details = caught.value.response["Error"]
    assert details["Service"] == "iot"  # type: ignore[typeddict-item]
    assert details["Object"] == "nobody"  # type: ignore[typeddict-item]
