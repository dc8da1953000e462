"""AWS CLI commands for messages: what a user can paste to get out of a state that this tool will not change itself.

The region is always named, because the tool's own may come from ``.env``, which the CLI does not read. So is the
endpoint when it is not AWS's, so that a command printed in sandbox scope cannot reach a real account.

Source: AWS CLI reference, global options ``--region`` and ``--endpoint-url``.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient


def iot_command(iot: IoTClient, operation: str, **options: str) -> str:
    """An ``aws iot`` command in backquotes: ``("detach-policy", policy_name=…)`` gives ``--policy-name …``."""
    words = ["aws", "iot", operation]
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", value]
    words += ["--region", iot.meta.region_name]
    if ".amazonaws.com" not in iot.meta.endpoint_url:
        words += ["--endpoint-url", iot.meta.endpoint_url]
    return f"`{shlex.join(words)}`"
