"""Calls that several tests of the sandbox make: one that must be refused, and a new certificate."""

from __future__ import annotations

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
    assert type(caught.value).__name__ in (response["Error"]["Code"], "ClientError")
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def new_principal(iot: IoTClient) -> str:
    return iot.create_keys_and_certificate(setAsActive=True)["certificateArn"]
