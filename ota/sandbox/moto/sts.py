"""STS: the identity of dummy credentials, and roles that are assumed only when they trust the caller.

Each function makes the replacement of a method of moto's ``TokenResponse``, ``STSBackend`` or ``IamResponse``. moto
returns credentials for any role, existing or not.

Source: AWS STS API reference (AssumeRole, GetCallerIdentity); IAM User Guide, "Troubleshoot access denied messages".
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult

from ota.sandbox.policy.permissions import check_trust, find_role

from .iam import CALLER_NAME
from .responses import AwsError

if TYPE_CHECKING:
    from moto.sts.models import STSBackend
    from moto.sts.responses import TokenResponse

Method = Callable[..., Any]

_USER_ID = "AIDASANDBOXOTATASKS00"
_SINCE = datetime(2024, 1, 1, tzinfo=timezone.utc)


def identity_method(original: Method) -> Method:
    """``STSBackend.get_caller_identity``: unknown credentials are the account's user ``moto``."""

    def get_caller_identity(self: STSBackend, access_key_id: str, region: str) -> tuple[str, str, str]:
        user_id, arn, account_id = original(self, access_key_id, region)
        if arn.endswith(f":sts::{account_id}:user/{CALLER_NAME}"):
            return _USER_ID, f"arn:aws:iam::{account_id}:user/{CALLER_NAME}", account_id
        return user_id, arn, account_id

    return get_caller_identity


def get_user_method(original: Method) -> Method:
    """``IamResponse.get_user`` without a name: unknown credentials are the account's user ``moto``, as for STS."""

    def get_user(self: Any) -> Any:
        if self.params.get("UserName") or self.backend.get_user_from_access_key_id(self.get_access_key()):
            return original(self)
        arn = f"arn:aws:iam::{self.current_account}:user/{CALLER_NAME}"
        user = {"Path": "/", "UserName": CALLER_NAME, "UserId": _USER_ID, "Arn": arn, "CreateDate": _SINCE}
        return ActionResult({"User": user})

    return get_user


def assume_role_method(original: Method) -> Method:
    """``TokenResponse.assume_role``: the role must exist, trust the caller and allow the duration."""

    def assume_role(self: TokenResponse) -> Any:
        role_arn = self._get_param("RoleArn")
        _, caller, caller_account = self.backend.get_caller_identity(self.get_access_key(), self.region)
        role = find_role(account_of(role_arn), role_arn)
        external_id = self._get_param("ExternalId")
        context = {"sts:ExternalId": external_id} if external_id else {}
        context.update({"aws:PrincipalArn": caller, "aws:PrincipalAccount": caller_account})
        if role is None or check_trust(role, {"AWS": _names_of(caller, caller_account)}, context):
            raise _denied(caller, role_arn)
        check_duration(self, role)
        return original(self)

    return assume_role


def check_duration(response: TokenResponse, role: Any) -> None:
    """ValidationError when the request is for a longer session than the role allows."""
    if response._get_int_param("DurationSeconds", 3600) > int(role.max_session_duration or 3600):
        raise AwsError(
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        )


def serialized_method(original: Method) -> Method:
    """``TokenResponse.serialized``: status 403 for AccessDenied, which is not in the STS model."""

    def serialized(self: TokenResponse, action_result: Any) -> Any:
        status, headers, body = original(self, action_result)
        denied = getattr(action_result.result, "code", None) == "AccessDenied"
        return (403 if denied else status), headers, body

    return serialized


def _names_of(caller: str, account_id: str) -> frozenset[str]:
    """All names by which a trust policy may list this caller: its own ARN, its role's, its account's."""
    names = {caller, account_id, f"arn:aws:iam::{account_id}:root"}
    if ":assumed-role/" in caller:
        role_name = caller.split(":assumed-role/", 1)[1].split("/", 1)[0]
        names.add(f"arn:aws:iam::{account_id}:role/{role_name}")
    return frozenset(names)


def account_of(role_arn: str) -> str:
    """The account in the ARN of a role; empty in a text that is none."""
    parts = role_arn.split(":", 5)
    return parts[4] if len(parts) > 4 else ""


def _denied(caller: str, role_arn: str) -> AwsError:
    return AwsError(
        "AccessDenied",
        f"User: {caller} is not authorized to perform: sts:AssumeRole on resource: {role_arn}",
    )
