"""Policy documents for a device, and how two of them compare; all of it pure.

The document names no thing. AWS puts in the name of the thing that the connection's certificate hangs on, and refuses
a connection under any other name, so that one device cannot act as another even with the same policy.

Source: AWS IoT Core developer guide, thing policy variables; Device Defender's check "IoT policies overly permissive";
AWS IoT quotas (2,048 characters without whitespace); IAM JSON policy elements (one value and a list of it mean the
same).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import unified_diff
from typing import Any

THING = "${iot:Connection.Thing.ThingName}"


def device_policy_document(partition: str, region: str, account_id: str) -> dict[str, Any]:
    """What a device needs for OTA jobs and streams, and for the inference results that the applications publish.

    Takes for example ``("aws", "eu-west-1", "123456789012")``; returns the document as a dict, below AWS's 2,048
    characters in every region.
    """
    prefix = f"arn:{partition}:iot:{region}:{account_id}"
    topics = [f"$aws/things/{THING}/jobs/*", f"$aws/things/{THING}/streams/*"]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "iot:Connect",
                "Resource": f"{prefix}:client/{THING}",
                "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": ["true"]}},
            },
            {
                "Effect": "Allow",
                "Action": "iot:Subscribe",
                "Resource": [f"{prefix}:topicfilter/{topic}" for topic in topics],
            },
            {
                "Effect": "Allow",
                "Action": ["iot:Publish", "iot:Receive"],
                "Resource": [f"{prefix}:topic/{topic}" for topic in topics],
            },
            {
                "Effect": "Allow",
                "Action": "iot:Publish",
                "Resource": f"{prefix}:topic/{THING}/ml/inference",
            },
        ],
    }


def is_same_document(one: Any, other: Any) -> bool:
    """Whether two parsed documents mean the same to AWS.

    Makes no difference: one value or a list of it, the order of a list, ``true`` or ``"true"``.
    """
    return bool(_comparable(one) == _comparable(other))


def difference(found: Mapping[str, Any], wanted: Mapping[str, Any], name: str) -> str:
    """A unified diff from ``found`` to ``wanted``, both laid out the same."""
    lines = unified_diff(_lines(found), _lines(wanted), f"{name} on AWS", f"{name} as wanted", lineterm="")
    return "\n".join(lines)


def _comparable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _comparable(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        members = sorted((_comparable(member) for member in value), key=lambda one: json.dumps(one, sort_keys=True))
        return members[0] if len(members) == 1 else members
    return str(value).lower() if isinstance(value, bool) else value


def _lines(document: Mapping[str, Any]) -> list[str]:
    return json.dumps(document, indent=2, sort_keys=True).splitlines()
