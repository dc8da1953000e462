"""Whether AWS IoT can assume the role that a request names, at this moment.

Source: AWS IoT Developer Guide, "Cross-service confused deputy prevention"; IAM User Guide, "Changes that I make are
not always immediately visible".
"""

from __future__ import annotations

from ota.sandbox.policy.permissions import check_assume

from . import streams
from .state import Region


def find_refusal(region: Region, role_arn: str, source_arn: str) -> str | None:
    """Why AWS IoT cannot assume the role for the object ``source_arn``; None when it can."""
    refusal = check_assume(region.account_id, role_arn, streams.SERVICE, region.account_id, source_arn)
    changed_at = region.sandbox.iam_changes.get(role_arn.rsplit("/", 1)[-1])
    if changed_at is not None and region.now() - changed_at < region.sandbox.iam_delay_s:
        return "its latest change has not taken effect yet"
    return refusal
