"""S3 as strict as AWS since 2023: names, owners, regions, closed defaults, no ACLs, checksums that are verified.

moto accepts any name between 3 and 63 characters, opens every account's buckets to all others, answers in every region,
leaves a new bucket without its defaults, ignores the conditions in a bucket's policy, and echoes the checksum that it
is sent. The sandbox listens without TLS and stands in for AWS over TLS: every request counts as a secure one.

Each function replaces the method of the same name of moto's ``S3Response``, ``S3Backend`` or ``FakeBucket``.

Source: S3 User Guide ("Bucket naming rules", "Blocking public access", "Controlling ownership of objects", "Default
encryption", "Checking object integrity"); S3 API reference (CreateBucket, PutObject, PutBucketPolicy), "Error
responses" (PermanentRedirect).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult
from moto.iam.access_control import PermissionResult
from moto.s3.exceptions import (
    CopyObjectMustChangeSomething,
    InvalidBucketName,
    InvalidContinuationToken,
    MalformedXML,
    MissingBucket,
    S3AccessDeniedError,
    S3ClientError,
)
from moto.s3.models import PublicAccessBlock, S3Backend, s3_backends
from moto.s3.responses import S3Response
from moto.s3.utils import bucket_policy_is_public

from ota.sandbox.policy import evaluation
from ota.sandbox.policy.patterns import WITH_VARIABLES

from . import uploads
from .constraints import is_bucket_name

Method = Callable[..., Any]
_ENFORCED: Any = "BucketOwnerEnforced"  # moto annotates a dict and keeps a string
_VERSIONING = ("Enabled", "Suspended")
_LONGEST_KEY = 1024
_MOST_BUCKETS = 10_000
_TOKEN_MARK = "behind:"  # noqa: S105 - what a page's token begins with
_OWNER_ID = "bcaf1ffd86f41161ca5fb16fd081034f"  # moto's, so that every answer names one owner
_SIGNED_REGION = re.compile(r"Credential=[^/]+/\d+/([^/]+)/s3/")
_SECURE = {"aws:SecureTransport": "true"}
_PERMISSIONS = {
    evaluation.ALLOWED: PermissionResult.PERMITTED,
    evaluation.DENIED: PermissionResult.DENIED,
    evaluation.NOT_ALLOWED: PermissionResult.NEUTRAL,
}
_HARMLESS_ACLS = ("private", "bucket-owner-full-control")


def response_methods() -> dict[str, Method]:
    """The methods for ``S3Response``, by name; call it before the class is changed."""
    return {
        "_bucket_response": _checked(S3Response._bucket_response),
        "_key_response": _checked(S3Response._key_response),
        "all_buckets": list_buckets,
        "_get_checksum": uploads.read_checksum,
        "_authenticate_and_authorize_s3_action": leave_unchecked,
    }


def backend_methods() -> dict[str, Method]:
    """The methods for ``S3Backend``, by name; call it before the class is changed."""
    create, delete = S3Backend.create_bucket, S3Backend.delete_bucket

    def create_bucket(self: Any, bucket_name: str, *args: Any, **kwargs: Any) -> Any:
        if not is_bucket_name(bucket_name):
            raise InvalidBucketName
        owner = s3_backends.bucket_accounts.get(bucket_name)
        if owner is not None and owner[1] != self.account_id:
            raise _taken(bucket_name)
        bucket = create(self, bucket_name, *args, **kwargs)
        bucket.public_access_block = PublicAccessBlock("true", "true", "true", "true")
        bucket.ownership_rule = _ENFORCED
        bucket.encryption = _sse_s3()
        return bucket

    def delete_bucket(self: Any, bucket_name: str) -> Any:
        bucket = self.get_bucket(bucket_name)
        deleted = delete(self, bucket_name)  # None: BucketNotEmpty
        if deleted is not None:
            self.tagger.delete_all_tags_for_resource(bucket.arn)  # moto would keep them for a new bucket of this name
        return deleted

    own: tuple[Method, ...] = (create_bucket, delete_bucket, get_bucket, delete_bucket_encryption)
    checks: dict[str, Method] = {
        "put_bucket_policy": _check_policy,
        "put_bucket_versioning": _check_versioning,
        "list_objects_v2": _check_token,
        "put_object": _check_key,
        "copy_object": _check_copy,
    }
    checked = {name: _after_check(getattr(S3Backend, name), check) for name, check in checks.items()}
    return {**{method.__name__: method for method in own}, **checked}


def bucket_methods() -> dict[str, Method]:
    """The methods for ``FakeBucket``, by name."""
    return {"get_permission": get_permission}


def get_permission(self: Any, action: str, resource: str) -> PermissionResult:
    """``FakeBucket.get_permission``: what the statements for everybody and for this account say of an action."""
    if self.policy is None:
        return PermissionResult.NEUTRAL
    callers = {"AWS": frozenset({self.account_id, f"arn:aws:iam::{self.account_id}:root"})}
    policy = evaluation.read_document(self.policy.decode())
    named = [one for one in policy.statements if evaluation.names_principal(one, callers)]
    document = json.dumps({"Version": WITH_VARIABLES, "Statement": named})
    return _PERMISSIONS[evaluation.decide([document], evaluation.Request(action, resource, _SECURE))]


def get_bucket(self: Any, bucket_name: str) -> Any:
    """``S3Backend.get_bucket``: a bucket of this account; one of another account is always refused."""
    bucket = self.buckets.get(bucket_name) or self.table_buckets.get(bucket_name)
    if bucket is not None:
        return bucket
    if bucket_name in s3_backends.bucket_accounts:
        raise S3AccessDeniedError
    raise MissingBucket(bucket=bucket_name)


def list_buckets(self: Any) -> Any:
    """``S3Response.all_buckets``: in pages of ``max-buckets``; a token is the name that its page begins behind."""
    query = {name: values[0] for name, values in self.querystring.items()}
    found = self.backend.list_buckets(query.get("prefix"), query.get("bucket-region"), None)
    begins_behind = _opened_name(query.get("continuation-token"))
    rest = sorted((one for one in found if one.name > begins_behind), key=lambda one: one.name)
    page = rest[: int(query.get("max-buckets") or _MOST_BUCKETS)]
    self.data["Action"] = "ListBuckets"
    answer: dict[str, Any] = {
        "Owner": {"ID": _OWNER_ID, "DisplayName": "sandbox"},
        "Buckets": [{"Name": one.name, "CreationDate": one.creation_date_ISO8601} for one in page],
    }
    if len(page) < len(rest):
        answer["ContinuationToken"] = _sealed_name(page[-1].name)
    return self.serialized(ActionResult(answer))


def delete_bucket_encryption(self: Any, bucket_name: str) -> None:
    """``S3Backend.delete_bucket_encryption``: back to the default encryption."""
    self.get_bucket(bucket_name).encryption = _sse_s3()


def leave_unchecked(self: Any, bucket_name: str | None = None, key_name: str | None = None) -> None:
    """What a caller may do was decided before moto got the request (``ota/sandbox/http/authorization.py``)."""


def _checked(original: Method) -> Method:
    def method(self: Any, request: Any, full_url: str) -> Any:
        elsewhere = _region_elsewhere(self, request)
        if elsewhere:
            return _redirect(self.bucket_name, elsewhere)
        _check_page(self, request)
        _check_owner(self, request)
        _check_acl(self, request)
        answer = original(self, request, full_url)
        return (204, {}, "") if _is_moto_word(answer) else answer

    return method


def _is_moto_word(answer: Any) -> bool:
    """Whether it is what moto says to PutBucketPolicy, to which S3 answers 204 and nothing."""
    return bool((answer[-1] if isinstance(answer, tuple) else answer) == "True")


def _after_check(original: Method, check: Method) -> Method:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        check(self, *args, **kwargs)
        return original(self, *args, **kwargs)

    return method


def _check_policy(self: Any, bucket_name: str, policy: bytes) -> None:
    try:
        json.loads(policy)
    except ValueError as error:
        text = "Policies must be valid JSON and the first byte must be '{'"
        raise S3ClientError("MalformedPolicy", text) from error
    block = self.get_bucket(bucket_name).public_access_block
    if block and block.block_public_policy and bucket_policy_is_public(policy):
        raise S3AccessDeniedError


def _check_versioning(self: Any, bucket_name: str, status: str) -> None:
    self.get_bucket(bucket_name)
    if status not in _VERSIONING:
        raise MalformedXML


def _check_token(self: Any, *_: Any, continuation_token: str | None = None, **__: Any) -> None:
    if continuation_token and continuation_token not in self._pagination_tokens:
        raise InvalidContinuationToken


def _check_copy(
    self: Any,
    source: Any,
    bucket_name: str,
    key_name: str,
    storage: str | None = None,
    encryption: str | None = None,
    mdirective: str | None = None,
    website_redirect_location: str | None = None,
    provided_version_id: str | None = None,
    **_: Any,
) -> None:
    """Refuse a copy of an object onto itself that changes nothing; moto takes the default encryption for a change.

    Source: moto's tests of CopyObject that are verified against AWS.
    """
    bucket = self.get_bucket(bucket_name)
    changes = (
        (source.bucket_name, source.name) != (bucket_name, key_name),
        storage,
        encryption,
        mdirective == "REPLACE",
        website_redirect_location,
        bucket.is_versioned and provided_version_id,
        (source.encryption or "AES256") != "AES256",
        bucket.encryption != _sse_s3(),
    )
    if not any(changes):
        raise CopyObjectMustChangeSomething


def _check_key(self: Any, bucket_name: str, key_name: str, *_: Any, **__: Any) -> None:
    self.get_bucket(bucket_name)
    if len(key_name.encode()) > _LONGEST_KEY:
        raise S3ClientError("KeyTooLongError", "Your key is too long")


def _region_elsewhere(self: Any, request: Any) -> str | None:
    """Where the bucket is, when the request was signed for another region. Making one elsewhere is no mistake."""
    bucket = self.backend.buckets.get(self.bucket_name)
    signed = _SIGNED_REGION.search(request.headers.get("Authorization") or "")
    is_making = request.method == "PUT" and not request.args and not request.path.strip("/").count("/")
    if bucket is None or signed is None or is_making or signed[1] == bucket.region_name:
        return None
    return str(bucket.region_name)


def _redirect(bucket_name: str, region: str) -> Any:
    body = (
        "<Error><Code>PermanentRedirect</Code><Message>The bucket you are attempting to access must be addressed using "
        f"the specified endpoint.</Message><Bucket>{bucket_name}</Bucket></Error>"
    )
    return 301, {"x-amz-bucket-region": region, "Content-Type": "application/xml"}, body


def _check_page(self: Any, request: Any) -> None:
    """Of a bucket's listings only ListObjectsV2 gives tokens, and it checks them itself."""
    if self.bucket_name and request.args.get("continuation-token") and request.args.get("list-type") != "2":
        raise InvalidContinuationToken


def _sealed_name(name: str) -> str:
    return base64.urlsafe_b64encode(f"{_TOKEN_MARK}{name}".encode()).decode()


def _opened_name(token: str | None) -> str:
    """The bucket's name in a token; an empty token is in front of every name."""
    if not token:
        return ""
    try:
        opened = base64.urlsafe_b64decode(token).decode()
    except ValueError as error:
        raise InvalidContinuationToken from error
    if not opened.startswith(_TOKEN_MARK):
        raise InvalidContinuationToken
    return opened.removeprefix(_TOKEN_MARK)


def _check_owner(self: Any, request: Any) -> None:
    expected = request.headers.get("x-amz-expected-bucket-owner")
    owner = s3_backends.bucket_accounts.get(self.bucket_name)
    if expected and owner and owner[1] != expected:
        raise S3AccessDeniedError


def _check_acl(self: Any, request: Any) -> None:
    acl = request.headers.get("x-amz-acl")
    grants = any(name.lower().startswith("x-amz-grant-") for name, _ in request.headers.items())
    if not grants and acl in (None, *_HARMLESS_ACLS):
        return
    bucket = self.backend.buckets.get(self.bucket_name)
    present = bucket.ownership_rule if bucket else None
    if (request.headers.get("x-amz-object-ownership") or present or _ENFORCED) == _ENFORCED:
        raise S3ClientError("AccessControlListNotSupported", "The bucket does not allow ACLs")


def _sse_s3() -> dict[str, Any]:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": "false"}
    return {"Rule": rule}


def _taken(bucket_name: str) -> S3ClientError:
    """BucketAlreadyExists, but not moto's own class, which moto treats as a bucket of the caller."""
    error = S3ClientError(
        "BucketAlreadyExists",
        "The requested bucket name is not available. The bucket namespace is shared by all users of the system. "
        "Please select a different name and try again.",
    )
    vars(error)["bucket_name"] = bucket_name
    return error
