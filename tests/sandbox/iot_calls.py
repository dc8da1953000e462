"""Calls that several tests of the sandbox make: a refused one, a new certificate, a link without credentials."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient


def refused(call: Any, **params: Any) -> tuple[str, int]:
    """Code and HTTP status of a call that must be refused."""
    with pytest.raises(ClientError) as caught:
        call(**params)
    response: Any = caught.value.response
    code = response["Error"]["Code"]
    assert type(caught.value).__name__ in (code, f"{code}Exception", "ClientError")
    return code, response["ResponseMetadata"]["HTTPStatusCode"]


def new_principal(iot: IoTClient) -> str:
    return iot.create_keys_and_certificate(setAsActive=True)["certificateArn"]


def fetch(link: str) -> tuple[int, str]:
    """Status and body, as text, of a GET without credentials."""
    try:
        with urllib.request.urlopen(link, timeout=10) as answer:  # noqa: S310 - the sandbox's own links
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def turn_indexing_on(iot: Any) -> None:
    """Fleet indexing, which dynamic groups need."""
    iot.update_indexing_configuration(
        thingIndexingConfiguration={"thingIndexingMode": "REGISTRY"},
        thingGroupIndexingConfiguration={"thingGroupIndexingMode": "ON"},
    )
