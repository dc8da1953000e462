"""Who may reach a bucket: nobody in public, and nobody without TLS.

S3 closes new buckets to the public by itself, but a setting of the bucket may have been taken away since, and other S3s
never set it. So it is looked at on each run. A bucket's policy may hold statements of its owner's: only the one
statement with this tool's Sid is added or put right, and one by another Sid that says the same is enough.

S3 refuses a policy with a statement that lets everybody in while public policies are blocked. Such a statement has to
go before this tool's own can be added, and that is for its owner to decide.

Source: S3 PutPublicAccessBlock, GetPublicAccessBlock, PutBucketPolicy, GetBucketPolicy; S3 User Guide, "Blocking public
access" (BlockPublicPolicy), "Security best practices" (aws:SecureTransport).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ota.bucket_contents import Owned, code_of
from ota.command_lines import aws_command
from ota.errors import InTheWay
from ota.policy_documents import POLICY_VERSION, is_same_policy, statements
from ota.threads import side_by_side

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import PublicAccessBlockConfigurationTypeDef

TLS_ONLY_SID = "OtaTasksTlsOnly"
BLOCK: PublicAccessBlockConfigurationTypeDef = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Access:
    """Who may reach a bucket, as it is now.

    Attributes:
        is_blocked: whether all four settings that block public access are on.
        policy: the bucket's policy; None where it has none.
        is_tls_only: whether the policy refuses whatever comes without TLS.
    """

    is_blocked: bool = False
    policy: Document | None = None
    is_tls_only: bool = False


def find_access(s3: S3Client, owned: Owned, *, must_see: bool) -> Access | None:
    """Who may reach the bucket, in two calls side by side; None where these credentials may not see it and need not."""
    from botocore.exceptions import ClientError

    try:
        is_blocked, policy = side_by_side(partial(_is_blocked, s3, owned), partial(_find_policy, s3, owned))
    except ClientError as error:
        if must_see or code_of(error) != "AccessDenied":
            raise
        return None
    statement = tls_only_statement(s3.meta.partition, owned["Bucket"])
    is_tls_only = policy is not None and any(_is_same(one, statement) for one in statements(policy))
    return Access(is_blocked, policy, is_tls_only)


def tls_only_statement(partition: str, bucket: str) -> dict[str, Any]:
    """The statement that refuses everybody who does not use TLS, on the bucket and on what it holds."""
    arn = f"arn:{partition}:s3:::{bucket}"
    return {
        "Sid": TLS_ONLY_SID,
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def wanted_policy(partition: str, bucket: str, policy: Document | None) -> dict[str, Any]:
    """The policy with this tool's statement in it, in place of one by the same Sid; all others stay as they are."""
    others = [one for one in statements(policy or {}) if one.get("Sid") != TLS_ONLY_SID]
    return {"Version": POLICY_VERSION, **(policy or {}), "Statement": [*others, tls_only_statement(partition, bucket)]}


def block_public_access(s3: S3Client, owned: Owned) -> None:
    """Switch on all four settings."""
    s3.put_public_access_block(**owned, PublicAccessBlockConfiguration=BLOCK)


def put_policy(s3: S3Client, owned: Owned, policy: Document | None) -> None:
    """Give the bucket this policy."""
    s3.put_bucket_policy(**owned, Policy=json.dumps(policy))


def check_can_add(s3: S3Client, bucket: str, policy: Document | None) -> None:
    """Refuse a policy that S3 does not take back while public policies are blocked. Calls nothing.

    Raises:
        InTheWay: a statement lets everybody in; the remedy takes it out and adds this tool's.
    """
    found = statements(policy or {})
    public = [one for one in found if _is_public(one)]
    if not public:
        return
    names = ", ".join(str(one.get("Sid") or f"number {found.index(one) + 1}") for one in public)
    kept = {**(policy or {}), "Statement": [one for one in found if one not in public]}
    command = _put_policy_command(s3, bucket, kept)
    raise InTheWay(
        f"The policy of the bucket {bucket} lets everybody in (statement {names}), and S3 takes no such policy while "
        "public access is blocked, so access without TLS cannot be refused there. Write another bucket_name in "
        f"config.json, or take that statement out: `{command}`.",
        remedy=command,
        brief=f"the bucket's policy lets everybody in (statement {names}), which S3 does not take back",
    )


def shortcomings(access: Access | None) -> str:
    """What somebody else's bucket lacks, in words; empty where it lacks nothing or may not be looked at."""
    if access is None:
        return ""
    open_to_public = [] if access.is_blocked else ["public access is not blocked"]
    return ", ".join([*open_to_public, *([] if access.is_tls_only else ["access without TLS is not refused"])])


def closing_command(s3: S3Client, bucket: str, access: Access | None) -> str:
    """What its owner can paste to close somebody else's bucket; empty where that is not needed."""
    commands = []
    if access and not access.is_blocked:
        settings = ",".join(f"{name}=true" for name in BLOCK)
        commands.append(
            aws_command(s3, "put-public-access-block", bucket=bucket, public_access_block_configuration=settings)
        )
    if access and not access.is_tls_only:
        commands.append(_put_policy_command(s3, bucket, access.policy))
    return " && ".join(commands)


def _is_blocked(s3: S3Client, owned: Owned) -> bool:
    from botocore.exceptions import ClientError

    try:
        found = s3.get_public_access_block(**owned)["PublicAccessBlockConfiguration"]
    except ClientError as error:
        if code_of(error) == "NoSuchPublicAccessBlockConfiguration":
            return False
        raise
    return all(found.get(name) for name in BLOCK)


def _find_policy(s3: S3Client, owned: Owned) -> Document | None:
    from botocore.exceptions import ClientError

    try:
        found: Document = json.loads(s3.get_bucket_policy(**owned)["Policy"])
    except ClientError as error:
        if code_of(error) == "NoSuchBucketPolicy":
            return None
        raise
    return found


def _is_same(statement: Document, wanted: Document) -> bool:
    """Whether it says the same, by whatever Sid."""
    found = {**statement, "Sid": wanted["Sid"]}
    if found.get("Principal") == {"AWS": "*"}:
        found["Principal"] = "*"
    return is_same_policy(found, wanted)


def _is_public(statement: Document) -> bool:
    """Whether S3 surely counts it as public: everybody is allowed, without a condition."""
    principal = statement.get("Principal")
    aws = principal.get("AWS") if isinstance(principal, Mapping) else principal
    is_everybody = aws == "*" or (isinstance(aws, list) and "*" in aws)
    return statement.get("Effect") == "Allow" and is_everybody and not statement.get("Condition")


def _put_policy_command(s3: S3Client, bucket: str, policy: Document | None) -> str:
    document = json.dumps(wanted_policy(s3.meta.partition, bucket, policy))
    return aws_command(s3, "put-bucket-policy", bucket=bucket, policy=document)
