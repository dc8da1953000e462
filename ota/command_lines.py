"""Commands in messages, as they have to be typed on this command line.

Messages name a command as anybody would type it, in backquotes: `` `invoke clean` ``. In the sandbox and behind
``with`` the same command begins otherwise, or it would be about other objects; the one place that prints puts that in.


AWS CLI commands for messages: what a user can paste to get out of a state that this tool will not change itself.

The region is always named, because the tool's own may come from ``.env``, which the CLI does not read. So is the
endpoint when it is not AWS's, so that a command printed in sandbox scope cannot reach a real account.

Source: AWS CLI reference, global options ``--region`` and ``--endpoint-url``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from mypy_boto3_iot import IoTClient


INVOKE = "invoke"
QUOTED = re.compile(r"`(invoke [^`]+)`")
FLAG = re.compile(r"(?<!\S)--[a-z-]+")
AND = " && "
WITH = "with "
AIMED_ALREADY = ("invoke sandbox", "invoke --")


def aim(command: str, prefix: str) -> str:
    """The command, or several joined by ``&&``, with ``prefix`` for its beginning; done once or twice.

    Args:
        command: to be pasted into a shell; what is no command of this tool stays as it is.
        prefix: how this command line began: ``invoke sandbox with --thing-name lamp-2``.
    """
    return AND.join(_aim(part.strip(), prefix) for part in command.split(AND)) if command else ""


def aim_text(text: str, prefix: str) -> str:
    """The text, with every command in backquotes aimed."""
    return QUOTED.sub(lambda found: f"`{aim(found.group(1), prefix)}`", text)


def _aim(part: str, prefix: str) -> str:
    if not part.startswith(f"{INVOKE} ") or part.startswith((f"{prefix} ", *AIMED_ALREADY)):
        return part
    rest = part[len(INVOKE) + 1 :]
    if not (rest.startswith(WITH) and f" {WITH}" in prefix):
        return f"{prefix} {rest}"
    flags = rest.removeprefix(WITH)
    return f"{_without(FLAG.findall(flags), prefix)} {flags}"


def _without(flags: Sequence[str], prefix: str) -> str:
    """The prefix without these flags and their values: each setting is given once."""
    words = iter(shlex.split(prefix))
    kept: list[str] = []
    for word in words:
        if word in flags:
            next(words, "")
        else:
            kept.append(word)
    return shlex.join(kept)


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
