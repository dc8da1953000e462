"""Ranges of a job's settings that the service models leave out and AWS enforces all the same.

Source: AWS IoT Device Management quotas for jobs; API reference, PresignedUrlConfig, TimeoutConfig,
JobExecutionsRolloutConfig.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ota.sandbox.moto.errors import invalid_request

PRESIGNED_SECONDS = (60, 3600)
TIMEOUT_MINUTES = (1, 10080)
ROLLOUT_PER_MINUTE = (1, 1000)


def check_limits(
    presigned: Mapping[str, Any] | None, timeout: Mapping[str, Any] | None, rollout: Mapping[str, Any] | None
) -> None:
    """InvalidRequestException for a URL's lifetime, a time limit or a rollout rate out of range."""
    _check("expiresInSec", presigned, PRESIGNED_SECONDS)
    _check("inProgressTimeoutInMinutes", timeout, TIMEOUT_MINUTES)
    _check("maximumPerMinute", rollout, ROLLOUT_PER_MINUTE)
    exponential = (rollout or {}).get("exponentialRate")
    _check("baseRatePerMinute", exponential, ROLLOUT_PER_MINUTE)
    if exponential and not exponential.get("rateIncreaseCriteria"):
        raise invalid_request("rateIncreaseCriteria must have numberOfNotifiedThings or numberOfSucceededThings.")


def _check(name: str, config: Mapping[str, Any] | None, limits: tuple[int, int]) -> None:
    value = (config or {}).get(name)
    if value is not None and not limits[0] <= value <= limits[1]:
        raise invalid_request(f"{name} must be from {limits[0]} to {limits[1]}, not {value}.")
