"""What AWS's words mean when it could not make or delete an OTA update.

The service works on after the call has been answered, with the role it was given, and leaves a code and a sentence in
``errorInfo``. Some of these are only IAM settling: a role made seconds ago is not known everywhere yet, and the same
request succeeds a little later. The rest need a human, who gets AWS's own words and what to do about them.

Source: FreeRTOS User Guide, "Troubleshooting OTA updates" and "CreateOTAUpdate failures"; awsdocs/aws-freertos-docs#2
(PassRole); IAM User Guide, "Changes that I make are not always immediately visible".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SOURCE = "FreeRTOS User Guide, CreateOTAUpdate failures; awsdocs/aws-freertos-docs#2; ota/update_failures.py"
RUN_ROLE = "`invoke role` checks it and prints what is missing"


@dataclass(frozen=True)
class Failure:
    """One kind of failure.

    Attributes:
        pattern: what AWS's code and message, joined by a blank, have in them.
        advice: what to do.
        is_settling: whether it may be IAM settling, and go away by itself.
        is_job_left: whether a job by the same id is in the way.
    """

    pattern: re.Pattern[str]
    advice: str
    is_settling: bool = False
    is_job_left: bool = False


def _failure(pattern: str, advice: str, *, is_settling: bool = False, is_job_left: bool = False) -> Failure:
    return Failure(re.compile(pattern, re.IGNORECASE | re.DOTALL), advice, is_settling, is_job_left)


# The first that matches counts.
FAILURES = (
    _failure(
        r"job.*already exist|already exist.*job|ResourceAlreadyExists",
        "A job of that name is still there: wait a minute, then run the same command again.",
        is_job_left=True,
    ),
    _failure(
        r"PassRole",
        f"The role must be allowed to pass itself on (iam:PassRole on its own ARN): {RUN_ROLE}.",
        is_settling=True,
    ),
    _failure(
        r"(not|un)[ -]?(able to )?assume|AssumeRole|cannot be assumed|role \S+ (does not exist|was not found)",
        f"AWS IoT cannot assume the role: it must exist and trust iot.amazonaws.com; {RUN_ROLE}.",
        is_settling=True,
    ),
    _failure(
        r"NoSuchBucket|bucket.*(does not exist|not found)",
        "The bucket is gone: `invoke bucket`, then `invoke update`.",
    ),
    _failure(
        r"NoSuchKey|NoSuchVersion|has no object|(key|object|version).*(does not exist|not found)",
        "The image is gone from the bucket: `invoke update` uploads it again.",
    ),
    _failure(
        r"S3.*(not accessible|access ?denied|forbidden|403)|s3:\w+",
        f"The role may not read the image (s3:GetObject, s3:GetObjectVersion): {RUN_ROLE}. If the bucket is encrypted "
        "with a KMS key, the role needs kms:Decrypt on it too.",
        is_settling=True,
    ),
    _failure(
        r"not authorized to perform|AccessDenied",
        f"The role lacks a permission, or its permissions boundary takes it away: {RUN_ROLE}.",
        is_settling=True,
    ),
    _failure(
        r"LimitExceeded|quota",
        "A limit of the account is used up (jobs, streams): delete what nobody needs, or have it raised.",
    ),
)
UNKNOWN = _failure(r"", "Remove the cause, then run the same command again: the failed update is replaced.")


def failure_of(code: str, message: str) -> Failure:
    """What AWS's code and message mean."""
    text = f"{code} {message}"
    return next((failure for failure in FAILURES if failure.pattern.search(text)), UNKNOWN)
