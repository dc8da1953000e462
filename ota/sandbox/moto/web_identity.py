"""AssumeRoleWithWebIdentity: a role for who has a token of an OpenID Connect provider, such as a CI's job.

The token's issuer has to be registered as a provider in IAM, its audience too, and the role's trust policy decides by
the token's subject and audience. moto gives credentials for any token. The token's signature is not checked: the
sandbox asks no issuer for its keys, so a test can make a token by itself.

Source: AWS STS API reference (AssumeRoleWithWebIdentity and its errors); IAM User Guide, "Create an OpenID Connect
provider in IAM", "Available keys for AWS OIDC federation". UNVERIFIED: the wording of the refusals is from memory.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from moto.core.responses import ActionResult
from moto.iam.models import iam_backends

from ota.sandbox.policy.permissions import check_trust, find_role

from .responses import AwsError
from .sts import account_of, check_duration

if TYPE_CHECKING:
    from moto.sts.responses import TokenResponse

_ACTION = "sts:AssumeRoleWithWebIdentity"


def method(original: Callable[[Any], Any]) -> Callable[[Any], ActionResult]:
    """``TokenResponse.assume_role_with_web_identity``; call it before the class is changed."""

    def assume_role_with_web_identity(self: TokenResponse) -> ActionResult:
        claims = _read_token(self._get_param("WebIdentityToken"))
        role_arn = self._get_param("RoleArn")
        provider = _find_provider(account_of(role_arn), claims)
        audience = _audience(provider, claims)
        role = find_role(account_of(role_arn), role_arn)
        context = {f"{provider.url}:aud": audience, f"{provider.url}:sub": str(claims.get("sub", ""))}
        if role is None or check_trust(role, {"Federated": frozenset({provider.arn})}, context, _ACTION):
            raise AwsError("AccessDenied", f"Not authorized to perform {_ACTION}")
        check_duration(self, role)
        result = original(self).result
        told = {"SubjectFromWebIdentityToken": claims.get("sub"), "Audience": audience, "Provider": provider.arn}
        return ActionResult({**result, **told})

    return assume_role_with_web_identity


def _read_token(token: str) -> Mapping[str, Any]:
    """The claims of a token that has not expired."""
    parts = token.split(".")
    try:
        _, claims = (json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in parts[:2])
        expires_at, issuer = float(claims["exp"]), str(claims["iss"])
    except (binascii.Error, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _invalid("The ID Token provided is not a valid JWT.") from error
    if len(parts) != 3 or not issuer.startswith("https://"):
        raise _invalid("The ID Token provided is not a valid JWT.")
    if expires_at <= time.time():
        until = datetime.fromtimestamp(expires_at, timezone.utc).isoformat(timespec="seconds")
        raise AwsError("ExpiredTokenException", f"Token expired: the current time must be before {until}")
    found: Mapping[str, Any] = claims
    return found


def _find_provider(account_id: str, claims: Mapping[str, Any]) -> Any:
    parts = urlsplit(claims["iss"])
    url = (parts.netloc + parts.path).rstrip("/")
    providers = iam_backends[account_id]["aws"].open_id_providers.values() if account_id else ()
    found = next((one for one in providers if one.url.rstrip("/") == url), None)
    if found is None:
        raise _invalid(f"No OpenIDConnect provider found in your account for {claims['iss']}")
    return found


def _audience(provider: Any, claims: Mapping[str, Any]) -> str:
    """The authorized party, else the audience; one that the provider is registered for."""
    given = claims.get("azp") or claims.get("aud") or []
    found = next(
        (one for one in ([given] if isinstance(given, str) else given) if one in provider.client_id_list), None
    )
    if found is None:
        raise _invalid("Incorrect token audience")
    return str(found)


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidIdentityToken", message)
