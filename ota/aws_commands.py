"""AWS CLI commands for messages: what a user can paste to get out of a state that this tool will not change itself.

The region is always named, because the tool's own may come from ``.env``, which the CLI does not read. So is the
endpoint when it is not AWS's, so that a command printed in sandbox scope cannot reach a real account.

Source: AWS CLI reference, global options ``--region`` and ``--endpoint-url``.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from mypy_boto3_iot import IoTClient

CLI_NAMES = {"s3": "s3api"}
GLOBAL_SERVICES = frozenset({"iam"})


def iot_command(iot: IoTClient, operation: str, **options: str) -> str:
    """An ``aws iot`` command in backquotes: ``("detach-policy", policy_name=…)`` gives ``--policy-name …``."""
    return f"`{aws_command(iot, operation, **options)}`"


def aws_command(client: BaseClient, operation: str, **options: str) -> str:
    """The AWS CLI command that has this client's service do this, where this client does it.

    An option without a value is a flag: ``(s3, "delete-bucket", bucket="x")``, ``(iot, "delete-job", …, force="")``.
    """
    service = client.meta.service_model.service_name
    words = ["aws", CLI_NAMES.get(service, service), operation]
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", *([value] if value else [])]
    if service not in GLOBAL_SERVICES:
        words += ["--region", client.meta.region_name]
    if ".amazonaws.com" not in client.meta.endpoint_url:
        words += ["--endpoint-url", client.meta.endpoint_url]
    return shlex.join(words)
