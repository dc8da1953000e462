"""The AWS managed policies that an OTA role may carry, without loading the hundreds that moto knows.

moto parses either all of AWS's policies, four megabytes of text, or none. The four that matter here are picked out of
the same text by name.

Source: AWS managed policy reference; moto's ``aws_managed_policies`` data.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.models import AWSManagedPolicy

NAMES = ("AmazonFreeRTOSOTAUpdate", "AWSIoTRuleActions", "AWSIoTLogging", "AWSIoTThingsRegistration")


def aws_policies(self: Any) -> list[AWSManagedPolicy]:
    """Stands in for ``IAMBackend._init_aws_policies``: the four policies, for one account."""
    return [AWSManagedPolicy.from_data(name, self.account_id, self.region_name, _policy_data(name)) for name in NAMES]


@lru_cache(maxsize=len(NAMES))
def _policy_data(name: str) -> Any:
    marker = f'"{name}":'
    data, _ = json.JSONDecoder().raw_decode(
        aws_managed_policies_data, aws_managed_policies_data.index(marker) + len(marker)
    )
    return data
