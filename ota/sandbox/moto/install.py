"""Installs this room in moto: replaces methods of moto's classes by stricter ones and adds missing ones.

Methods are replaced by the functions of the other modules, by name; and the parameters of every call to IoT, IAM and
STS are first checked against the constraints of its service model.

Source: moto 5.2.5, the classes ``IoTResponse``, ``IAMBackend``, ``IamResponse``, ``TokenResponse``, ``STSBackend``,
``S3Response``, ``S3Backend``, ``FakeBucket`` and ``FakeCertificate``; their methods are found by name, so a contract
test holds them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from moto.core import errors as moto_errors
from moto.core.responses import ActionResult, BaseResponse
from moto.core.utils import get_service_model
from moto.iam.models import IAMBackend
from moto.iam.responses import IamResponse
from moto.iot.models import FakeCertificate
from moto.iot.responses import IoTResponse
from moto.s3.models import FakeBucket, S3Backend
from moto.s3.responses import S3Response
from moto.sts.models import STSBackend
from moto.sts.responses import TokenResponse

from . import buckets, certificates, iam, iot_policies, speedups, sts, things
from .authority import make_authority, open_authority
from .constraints import find_violations
from .responses import AwsError

Method = Callable[..., Any]

log = logging.getLogger(__name__)

_MARK = "ota_sandbox_strict"
_TOKENS = ("nextToken", "marker", "Marker")
_IOT_OPERATIONS: dict[ModuleType, tuple[str, ...]] = {
    things: (
        "create_thing",
        "update_thing",
        "delete_thing",
        "describe_endpoint",
        "attach_thing_principal",
        "detach_thing_principal",
        "list_thing_principals",
        "list_thing_principals_v2",
        "list_principal_things",
        "list_principal_things_v2",
    ),
    certificates: (
        "register_certificate",
        "register_certificate_without_ca",
        "describe_certificate",
        "list_certificates",
        "update_certificate",
        "delete_certificate",
    ),
    iot_policies: (
        "create_policy",
        "get_policy",
        "create_policy_version",
        "set_default_policy_version",
        "delete_policy",
        "attach_policy",
        "attach_principal_policy",
        "detach_policy",
        "list_policies",
        "list_attached_policies",
        "list_principal_policies",
        "list_policy_principals",
        "list_targets_for_policy",
    ),
}


def install(directory: Path | None = None) -> None:
    """Install everything in moto, once for the process.

    Args:
        directory: where the CA is kept (``ca.pem``, ``ca.key``); None uses a new one in memory.
    """
    if hasattr(IoTResponse, _MARK):
        return
    for owner, name, method in (*replacements(directory), *speedups.replacements(), *additions()):
        setattr(owner, name, method)
    setattr(IoTResponse, _MARK, True)
    # not in the services' models; moto would warn at every such refusal
    moto_errors.COMMON_ERROR_CODES.extend(["AccessDenied", "SerializationException"])


def replacements(directory: Path | None = None) -> Iterator[tuple[type, str, Method]]:
    """What ``install`` sets: class, attribute and function, all by moto's own names."""
    methods: dict[type, Mapping[str, Method]] = {
        IoTResponse: {**_iot_methods(directory), "call_action": _constrained(IoTResponse, "InvalidRequestException")},
        IamResponse: {
            "call_action": _constrained(IamResponse, "ValidationError"),
            "serialized": _with_one_message(IamResponse),
            "get_user": sts.get_user_method(IamResponse.get_user),
        },
        IAMBackend: {**iam.replacements(), "_init_aws_policies": iam.aws_policies},
        TokenResponse: {
            "call_action": _constrained(TokenResponse, "ValidationError"),
            "assume_role": sts.assume_role_method(TokenResponse.assume_role),
            "serialized": sts.serialized_method(TokenResponse.serialized),
        },
        STSBackend: {"get_caller_identity": sts.identity_method(STSBackend.get_caller_identity)},
        S3Response: buckets.response_methods(),
        S3Backend: buckets.backend_methods(),
        FakeBucket: buckets.bucket_methods(),
        FakeCertificate: {"compute_cert_id": FakeCertificate.compute_der_cert_id},
    }
    for owner, found in methods.items():
        yield from ((owner, name, method) for name, method in found.items())


def additions() -> Iterator[tuple[type, str, Method]]:
    """What ``install`` sets that moto does not have."""
    yield IamResponse, "simulate_principal_policy", iam.simulate_principal_policy
    yield IoTResponse, "get_effective_policies", iot_policies.get_effective_policies


def _iot_methods(directory: Path | None) -> dict[str, Method]:
    issuing = certificates.issuing_methods(open_authority(directory) if directory else make_authority())
    simple = {name: getattr(module, name) for module, found in _IOT_OPERATIONS.items() for name in found}
    return {**simple, **issuing}


def _constrained(owner: type[BaseResponse], code: str) -> Method:
    """``call_action`` that first checks the parameters against the service model, as AWS does."""
    original = owner.call_action

    def call_action(self: Any) -> Any:
        refusal = _find_refusal(self, code)
        if refusal is not None:
            return self.serialized(ActionResult(refusal))
        try:
            return original(self)
        except ValueError as error:
            token = _page_token(self.params)
            if token is None:
                raise
            log.debug("moto could not read a token: %s", error)
            return self.serialized(ActionResult(AwsError(code, f"Invalid token: {token}")))

    return call_action


def _page_token(params: Mapping[str, Any]) -> str | None:
    """The page token of a request; moto parses a token without checking that it is one of its own."""
    return next((params[name] for name in _TOKENS if params.get(name)), None)


def _with_one_message(owner: type[BaseResponse]) -> Method:
    """``serialized`` without the second ``message`` that moto writes beside ``Message`` in an error."""
    original = owner.serialized

    def serialized(self: Any, action_result: ActionResult) -> Any:
        status, headers, body = original(self, action_result)
        if isinstance(action_result.result, Exception):
            body = re.sub("<message>.*?</message>", "", str(body), flags=re.DOTALL)
        return status, headers, body

    return serialized


def _find_refusal(self: Any, code: str) -> AwsError | None:
    action = self._get_action()
    if not action:
        return None
    if not self.automated_parameter_parsing:
        try:
            self.parse_parameters(self.normalized_request)
        except (ValueError, TypeError, AttributeError):
            return AwsError("SerializationException", "The request's body cannot be read.")
    shape = get_service_model(self.boto3_service_name).operation_model(action).input_shape
    problem = find_violations(shape, self.params) if shape else None
    return AwsError(code, problem) if problem else None
