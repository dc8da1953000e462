"""Who may reach a bucket: this account from its region, not the public, and nobody without TLS.

S3 blocks public access to new buckets by itself, but somebody may have removed that setting since, and S3 stand-ins
never set it. So every run looks at it. A bucket's policy may have statements of its owner: only the statement with this
tool's Sid is added or repaired, and one by another Sid that says the same is enough.

While public policies are blocked, S3 refuses a policy with a statement that allows everybody. The owner has to remove
such a statement before this tool can add its own.

Part of the noun in ``buckets``.

Source: S3 PutPublicAccessBlock, GetPublicAccessBlock, PutBucketPolicy, GetBucketPolicy; S3 User Guide, "Blocking public
access" (BlockPublicPolicy), "Security best practices" (aws:SecureTransport).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ota.aws_calls import answer_or_none, code_of
from ota.buckets.contents import Owned
from ota.cloud import SIGNING_REGION
from ota.errors import InTheWay, NotOurs
from ota.messages import Remedy, Shell, aws_command
from ota.policy_documents import POLICY_VERSION, is_same_policy, statements
from ota.threads import side_by_side

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import PublicAccessBlockConfigurationTypeDef

# S3 refuses GetBucketTagging with these where HeadBucket tells more.
REFUSED = frozenset({"AccessDenied", "PermanentRedirect"})
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
        is_tls_only: whether the policy refuses every request without TLS.
    """

    is_blocked: bool = False
    policy: Document | None = None
    is_tls_only: bool = False


def find_tags(s3: S3Client, name: str, account_id: str) -> tuple[dict[str, str] | None, str]:
    """The bucket's tags, None where there is no bucket, and the region that answered."""
    from botocore.exceptions import ClientError

    try:
        answer: Any = s3.get_bucket_tagging(Bucket=name, ExpectedBucketOwner=account_id)
    except ClientError as error:
        answer = {**error.response, "TagSet": []}
        if code_of(error) == "NoSuchBucket":
            return None, s3.meta.region_name
        if code_of(error) != "NoSuchTagSet":
            if code_of(error) in REFUSED:
                # HeadBucket tells a refusal, another account's bucket and one in another region apart.
                find_region(s3, name, account_id)
            raise
    region = answer["ResponseMetadata"].get(SIGNING_REGION) or s3.meta.region_name
    return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}, region


def find_region(s3: S3Client, name: str, account_id: str) -> str | None:
    """Where the bucket is; None where there is none.

    Raises:
        NotOurs: another account has this name, or these credentials may not look.
        InTheWay: it is in another region than the client; the message says which.
    """
    from botocore.exceptions import ClientError

    try:
        answer = s3.head_bucket(Bucket=name, ExpectedBucketOwner=account_id)
    except ClientError as error:
        if code_of(error) in {"404", "NoSuchBucket"}:
            return None
        if code_of(error) == "403":
            raise not_our_account(name, "s3:ListBucket") from error
        headers = error.response["ResponseMetadata"].get("HTTPHeaders", {})
        if code_of(error) == "301":
            elsewhere = str(headers.get("x-amz-bucket-region", "another region"))
            raise in_other_region(name, elsewhere, s3.meta.region_name) from error
        raise
    return answer.get("BucketRegion") or s3.meta.region_name


def not_our_account(name: str, permission: str | None = None) -> NotOurs:
    """Why the name cannot be used; ``permission`` is the one that may be missing instead."""
    lacking = f", or these credentials lack the permission {permission}" if permission else ""
    return NotOurs(
        f"The bucket {name} belongs to another AWS account{lacking}. Bucket names are shared by all accounts: write "
        "a bucket_name in config.json that nobody else has, for example one with ${account_id} in it."
    )


def in_other_region(name: str, region: str, ours: str) -> InTheWay:
    """Why a bucket in another region than ``ours`` cannot be used."""
    return InTheWay(
        f"The bucket {name} is in {region}, and this run works in {ours}; AWS IoT takes images from its own region "
        f"only. Write another bucket_name in config.json, or set AWS_REGION={region}."
    )


def find_access(s3: S3Client, owned: Owned, *, must_see: bool) -> Access | None:
    """Who may reach the bucket, in two calls side by side.

    None where these credentials may not look; with ``must_see`` the refusal is raised.
    """
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
    """The statement that refuses every request without TLS, on the bucket and on its objects."""
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


def public_policy_problem(s3: S3Client, bucket: str, policy: Document | None) -> InTheWay | None:
    """Why S3 would refuse this policy while public policies are blocked: a statement allows everybody. Calls nothing.

    None where S3 takes it. The remedy removes that statement and adds this tool's.
    """
    found = statements(policy or {})
    public = [one for one in found if _is_public(one)]
    if not public:
        return None
    names = ", ".join(str(one.get("Sid") or f"number {found.index(one) + 1}") for one in public)
    kept = {**(policy or {}), "Statement": [one for one in found if one not in public]}
    put = _put_policy_command(s3, bucket, kept)
    return InTheWay(
        f"The policy of the bucket {bucket} lets everybody in (statement {names}), and S3 refuses such a policy while "
        "public access is blocked, so requests without TLS cannot be refused there. Write another bucket_name in "
        "config.json, or remove that statement: ",
        put,
        ".",
        remedy=put,
        brief=f"the bucket's policy lets everybody in (statement {names}), which S3 refuses to take again",
    )


def shortcomings(access: Access | None) -> str:
    """What somebody else's bucket lacks, in words; empty where it lacks nothing or these credentials may not look."""
    if access is None:
        return ""
    open_to_public = [] if access.is_blocked else ["public access is not blocked"]
    return ", ".join([*open_to_public, *([] if access.is_tls_only else ["access without TLS is not refused"])])


def closing_commands(s3: S3Client, bucket: str, access: Access | None) -> Remedy:
    """The commands that close somebody else's bucket, for its owner; none where that is not needed."""
    commands = []
    if access and not access.is_blocked:
        settings = ",".join(f"{name}=true" for name in BLOCK)
        commands.append(
            aws_command(s3, "put-public-access-block", bucket=bucket, public_access_block_configuration=settings)
        )
    if access and not access.is_tls_only:
        commands.append(_put_policy_command(s3, bucket, access.policy))
    return tuple(commands)


def _is_blocked(s3: S3Client, owned: Owned) -> bool:
    answer = answer_or_none(s3.get_public_access_block, {"NoSuchPublicAccessBlockConfiguration"}, **owned)
    found: Mapping[str, Any] = answer["PublicAccessBlockConfiguration"] if answer else {}
    return all(found.get(name) for name in BLOCK)


def _find_policy(s3: S3Client, owned: Owned) -> Document | None:
    answer = answer_or_none(s3.get_bucket_policy, {"NoSuchBucketPolicy"}, **owned)
    return dict(json.loads(answer["Policy"])) if answer else None


def _is_same(statement: Document, wanted: Document) -> bool:
    """Whether it says the same; the Sid makes no difference."""
    found = {**statement, "Sid": wanted["Sid"]}
    if found.get("Principal") == {"AWS": "*"}:
        found["Principal"] = "*"
    return is_same_policy(found, wanted)


def _is_public(statement: Document) -> bool:
    """Whether S3 counts it as public in any case: it allows everybody, without a condition."""
    principal = statement.get("Principal")
    aws = principal.get("AWS") if isinstance(principal, Mapping) else principal
    is_everybody = aws == "*" or (isinstance(aws, list) and "*" in aws)
    return statement.get("Effect") == "Allow" and is_everybody and not statement.get("Condition")


def _put_policy_command(s3: S3Client, bucket: str, policy: Document | None) -> Shell:
    document = json.dumps(wanted_policy(s3.meta.partition, bucket, policy))
    return aws_command(s3, "put-bucket-policy", bucket=bucket, policy=document)
