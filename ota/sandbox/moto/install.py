"""Installs this room in moto: replaces methods of moto's classes by stricter ones and adds missing ones.

Methods are replaced by the functions of the other modules, by name; and the parameters of every call to IoT, IAM and
STS are first checked against the constraints of its service model.

Source: moto 5.2.5, the classes ``IoTResponse``, ``IAMBackend``, ``IamResponse``, ``TokenResponse``, ``STSBackend``,
``S3Response``, ``S3Backend``, ``FakeBucket``, ``FakeKey`` and ``FakeCertificate``; their methods are found by name, so
a contract test holds them.
"""

from __future__ import annotations

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
from moto.s3.models import FakeBucket, FakeKey, S3Backend
from moto.s3.responses import S3Response
from moto.sts.models import STSBackend
from moto.sts.responses import TokenResponse

from . import (
    authorization,
    buckets,
    ca_certificates,
    certificates,
    iam,
    iot_policies,
    speedups,
    sts,
    thing_groups,
    things,
    topic_rules,
    uploads,
    web_identity,
)
from .authority import make_authority, open_authority
from .constraints import find_violations
from .paging import ForeignToken, open_token, seal_token
from .responses import AwsError

Method = Callable[..., Any]

_MARK = "ota_sandbox_strict"
_IOT_OPERATIONS: dict[ModuleType, tuple[str, ...]] = {
    things: (
        "create_thing",
        "update_thing",
        "delete_thing",
        "list_things",
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
    ca_certificates: ("register_ca_certificate", "get_registration_code"),
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
    thing_groups: (
        "create_thing_group",
        "describe_thing_group",
        "update_thing_group",
        "delete_thing_group",
        "list_thing_groups",
        "list_things_in_thing_group",
        "list_thing_groups_for_thing",
        "add_thing_to_thing_group",
        "remove_thing_from_thing_group",
        "update_thing_groups_for_thing",
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


def replacements(directory: Path | None = None) -> Iterator[tuple[type, str, Any]]:
    """What ``install`` sets: class, attribute and function, all by moto's own names."""
    methods: dict[type, Mapping[str, Any]] = {
        IoTResponse: {
            **_iot_methods(directory),
            "call_action": constrained(IoTResponse, "InvalidRequestException"),
            "serialized": _with_sealed_tokens(IoTResponse.serialized),
        },
        IamResponse: {
            "call_action": constrained(IamResponse, "ValidationError"),
            "serialized": _with_sealed_tokens(_with_one_message(IamResponse)),
            "get_user": sts.get_user_method(IamResponse.get_user),
        },
        IAMBackend: {**iam.replacements(), "_init_aws_policies": iam.aws_policies},
        TokenResponse: {
            "call_action": constrained(TokenResponse, "ValidationError"),
            "assume_role_with_web_identity": web_identity.method(TokenResponse.assume_role_with_web_identity),
            "assume_role": sts.assume_role_method(TokenResponse.assume_role),
            "serialized": sts.serialized_method(TokenResponse.serialized),
        },
        STSBackend: {"get_caller_identity": sts.identity_method(STSBackend.get_caller_identity)},
        S3Response: buckets.response_methods(),
        S3Backend: buckets.backend_methods(),
        FakeBucket: buckets.bucket_methods(),
        FakeKey: {"value": uploads.stored_value()},
        FakeCertificate: {"compute_cert_id": FakeCertificate.compute_der_cert_id},
    }
    for owner, found in methods.items():
        yield from ((owner, name, method) for name, method in found.items())


def additions() -> Iterator[tuple[type, str, Method]]:
    """What ``install`` sets that moto does not have."""
    yield FakeKey, "__deepcopy__", uploads.copy_for_listing
    yield IamResponse, "simulate_principal_policy", iam.simulate_principal_policy
    yield IamResponse, "simulate_custom_policy", iam.simulate_custom_policy
    yield IoTResponse, "get_effective_policies", authorization.get_effective_policies
    yield IoTResponse, "test_authorization", authorization.test_authorization
    yield IoTResponse, "list_ca_certificates", ca_certificates.list_ca_certificates
    yield IoTResponse, "delete_registration_code", ca_certificates.delete_registration_code
    yield IoTResponse, "create_dynamic_thing_group", thing_groups.create_dynamic_thing_group
    yield IoTResponse, "delete_dynamic_thing_group", thing_groups.delete_dynamic_thing_group


def _iot_methods(directory: Path | None) -> dict[str, Method]:
    issuing = certificates.issuing_methods(open_authority(directory) if directory else make_authority())
    simple = {name: getattr(module, name) for module, found in _IOT_OPERATIONS.items() for name in found}
    return {**simple, **issuing, **topic_rules.replacements()}


def constrained(owner: type[BaseResponse], code: str) -> Method:
    """``call_action`` that first checks the parameters against the service model, as AWS does, and opens page tokens.

    Args:
        owner: the response class of the service.
        code: what the service calls a parameter that it refuses.
    """
    original = owner.call_action

    def call_action(self: Any) -> Any:
        refusal = _find_refusal(self, code)
        return original(self) if refusal is None else self.serialized(ActionResult(refusal))

    return call_action


def _with_sealed_tokens(original: Method) -> Method:
    """``serialized`` that seals the page token of a listing."""

    def serialized(self: Any, action_result: ActionResult) -> Any:
        return original(self, seal_token(action_result, self._get_action()))

    return serialized


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
    try:
        open_token(self, action)
    except ForeignToken as error:
        return AwsError(code, f"Invalid token: {error}")
    shape = get_service_model(self.boto3_service_name).operation_model(action).input_shape
    problem = find_violations(shape, self.params) if shape else None
    return AwsError(code, problem) if problem else None
