"""Makes the resources of one device as a filled template declares them: thing, groups, certificate, policies.

Each step calls the operation that a client would call, so that it is refused for the same reasons. What was made
before a step fails stays. UNVERIFIED: whether AWS takes it back.

Source: AWS IoT Developer Guide, "Provisioning templates", resources and override settings; the actions of the AWS
managed policy AWSIoTThingsRegistration.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from moto.core.utils import camelcase_to_underscores, get_service_model
from moto.iot.models import iot_backends
from moto.iot.responses import IoTResponse

from ota.sandbox.moto.authority import BadRequestError, load_certificate
from ota.sandbox.moto.constraints import find_violations
from ota.sandbox.moto.lookups import AwsRegion
from ota.sandbox.moto.responses import AwsError, invalid_request, not_found
from ota.sandbox.moto.thing_groups import groups_of, is_dynamic

from .templates import CERTIFICATE, DO_NOTHING, FAIL, MERGE, POLICY, REPLACE, THING, Resource

Check = Callable[[str, str, Mapping[str, str]], None]
_STATUSES = ("ACTIVE", "INACTIVE")


@dataclass
class Provisioned:
    """What was made or found: the certificate (PEM), and the ARN of each resource by its logical name."""

    certificate_pem: str | None = None
    arns: dict[str, str] = field(default_factory=dict)


def provision(region: AwsRegion, resources: list[Resource], check: Check) -> Provisioned:
    """Make these resources.

    Args:
        region: where.
        resources: those of one filled template.
        check: refuses what the caller or the role may not do, by action, ARN and condition keys.

    Raises:
        AwsError: a refusal of one of the operations.
    """
    return _Provisioner(region, check).make({kind: _of(resources, kind) for kind in (THING, CERTIFICATE, POLICY)})


class _Provisioner:
    def __init__(self, region: AwsRegion, check: Check) -> None:
        self._region = region
        self._check = check
        self._backend: Any = iot_backends[region.account_id][region.name]
        self._made = Provisioned()

    def make(self, resources: Mapping[str, list[Resource]]) -> Provisioned:
        [declared] = resources[THING]
        thing_arn = self._make_thing(declared)
        for one in resources[CERTIFICATE]:
            if "CertificateSigningRequest" in one.properties:
                certificate_arn, is_new = self._issue_certificate(one), True
            else:
                certificate_arn, is_new = self._find_or_register(one), False
            self._keep_certificate(one, certificate_arn)
            self._check("iot:AttachThingPrincipal", certificate_arn, {"iot:thingArn": thing_arn})
            self._attach_thing(declared.properties["ThingName"], certificate_arn, is_new=is_new)
            for policy in resources[POLICY]:
                self._attach_policy(policy, certificate_arn)
        return self._made

    def _make_thing(self, declared: Resource) -> str:
        name = _text(declared, "ThingName")
        arn = self._made.arns[declared.name] = self._region.arn(f"thing/{name}")
        self._check("iot:DescribeThing", arn, {})
        found = self._backend.things.get(arn)
        if found is None:
            self._create_thing(declared, arn)
        else:
            self._update_thing(declared, found)
        self._join_groups(declared, arn, exists=found is not None)
        return arn

    def _create_thing(self, declared: Resource, arn: str) -> None:
        self._check("iot:CreateThing", arn, {})
        optional = {
            "thingTypeName": declared.properties.get("ThingTypeName"),
            "billingGroupName": declared.properties.get("BillingGroup"),
        }
        given = {name: value for name, value in optional.items() if value is not None}
        self._call(
            "CreateThing",
            thingName=declared.properties["ThingName"],
            attributePayload={"attributes": _attributes(declared)},
            **given,
        )

    def _update_thing(self, declared: Resource, thing: Any) -> None:
        changes: dict[str, Any] = {}
        for property_name in ("AttributePayload", "ThingTypeName"):
            setting = _setting(declared, property_name)
            if property_name not in declared.properties or setting == DO_NOTHING:
                continue
            _refuse_if_fail(setting, declared.name, thing.arn)
            if property_name == "ThingTypeName":
                changes["thingTypeName"] = declared.properties[property_name]
            else:
                changes["attributePayload"] = {"attributes": _attributes(declared), "merge": setting == MERGE}
        if changes:
            self._check("iot:UpdateThing", thing.arn, {})
            self._call("UpdateThing", thingName=thing.thing_name, **changes)

    def _join_groups(self, declared: Resource, thing_arn: str, *, exists: bool) -> None:
        setting = _setting(declared, "ThingGroups") if exists else MERGE
        if "ThingGroups" not in declared.properties or setting == DO_NOTHING:
            return
        _refuse_if_fail(setting, declared.name, thing_arn)
        wanted, name = declared.properties["ThingGroups"], declared.properties["ThingName"]
        if not isinstance(wanted, list) or not all(isinstance(one, str) for one in wanted):
            raise invalid_request("ThingGroups must be a list of names.")
        thing = self._backend.things[thing_arn]
        static = [one for one in groups_of(self._backend, thing) if not is_dynamic(one)]
        present = {one.thing_group_name for one in static}
        if setting == REPLACE:
            for group in sorted(present - set(wanted)):
                self._change_group("RemoveThingFromThingGroup", group, name)
        for group in wanted:
            if group not in present:
                self._change_group("AddThingToThingGroup", group, name)

    def _change_group(self, operation: str, group: str, thing_name: str) -> None:
        for resource in (f"thinggroup/{group}", f"thing/{thing_name}"):
            self._check(f"iot:{operation}", self._region.arn(resource), {})
        self._call(operation, thingGroupName=group, thingName=thing_name)

    def _issue_certificate(self, declared: Resource) -> str:
        self._check("iot:CreateCertificateFromCsr", "*", {})
        request, active = _text(declared, "CertificateSigningRequest"), _status(declared) == "ACTIVE"
        issued = self._call("CreateCertificateFromCsr", certificateSigningRequest=request, setAsActive=active)
        return str(issued["certificateArn"])

    def _keep_certificate(self, declared: Resource, arn: str) -> None:
        self._made.certificate_pem = self._backend.certificates[arn.rsplit("/", 1)[-1]].certificate_pem
        self._made.arns[declared.name] = arn

    def _attach_thing(self, thing_name: str, certificate_arn: str, *, is_new: bool) -> None:
        """A new certificate is on nothing else, so the search for what it is on is left out."""
        if is_new:
            self._backend.attach_thing_principal(thing_name, certificate_arn)
        else:
            self._call("AttachThingPrincipal", thingName=thing_name, principal=certificate_arn)

    def _find_or_register(self, declared: Resource) -> str:
        given = declared.properties
        certificate_id = given.get("CertificateId") or _id_of(_text(declared, "CertificatePem"))
        arn = self._region.arn(f"cert/{certificate_id}")
        self._check("iot:DescribeCertificate", arn, {})
        if certificate_id in self._backend.certificates:
            setting = _setting(declared, "Status")
            _refuse_if_fail(setting, declared.name, arn)
            if setting == REPLACE:
                self._check("iot:UpdateCertificate", arn, {})
                self._call("UpdateCertificate", certificateId=certificate_id, newStatus=_status(declared))
            return arn
        if "CertificatePem" not in given:
            raise not_found(f"Certificate {certificate_id} does not exist.")
        self._check("iot:RegisterCertificate", "*", {})
        request = {"certificatePem": given["CertificatePem"], "status": _status(declared)}
        operation = "RegisterCertificate" if "CACertificatePem" in given else "RegisterCertificateWithoutCA"
        ca = {"caCertificatePem": given["CACertificatePem"]} if "CACertificatePem" in given else {}
        return str(self._call(operation, **request, **ca)["certificateArn"])

    def _attach_policy(self, declared: Resource, certificate_arn: str) -> None:
        name = declared.properties.get("PolicyName") or self._create_policy(_text(declared, "PolicyDocument"))
        self._made.arns[declared.name] = self._region.arn(f"policy/{name}")
        self._check("iot:AttachPolicy", certificate_arn, {})
        self._call("AttachPolicy", policyName=name, target=certificate_arn)

    def _create_policy(self, document: str) -> str:
        """The name of the policy with this document, a hash of it; created when it is missing."""
        name = hashlib.sha1(document.encode(), usedforsecurity=False).hexdigest().upper()
        if name not in self._backend.policies:
            self._check("iot:CreatePolicy", self._region.arn(f"policy/{name}"), {})
            self._call("CreatePolicy", policyName=name, policyDocument=document)
        return name

    def _call(self, operation: str, **params: Any) -> Any:
        """An operation as it is installed in moto, with the checks of its parameters, without the way over HTTP."""
        problem = find_violations(get_service_model("iot").operation_model(operation).input_shape, params)
        if problem:
            raise invalid_request(problem)
        return _method(operation)(SimpleNamespace(params=params, iot_backend=self._backend)).result


@cache
def _method(operation: str) -> Callable[[Any], Any]:
    method: Callable[[Any], Any] = getattr(IoTResponse, camelcase_to_underscores(operation))
    return method


def _of(resources: list[Resource], kind: str) -> list[Resource]:
    return [one for one in resources if one.kind == kind]


def _setting(declared: Resource, property_name: str) -> str:
    """What is to happen to a property of a resource that exists. UNVERIFIED: what AWS does without a setting."""
    return declared.overrides.get(property_name, DO_NOTHING)


def _refuse_if_fail(setting: str, name: str, arn: str) -> None:
    """The refusal by FAIL. UNVERIFIED: the guide calls it ResourceConflictsException, which no model has."""
    if setting == FAIL:
        raise AwsError("ConflictingResourceUpdateException", f"The resource {name} already exists: {arn}")


def _text(declared: Resource, property_name: str) -> str:
    value = declared.properties.get(property_name)
    if not isinstance(value, str) or not value:
        raise invalid_request(f"{property_name} of {declared.name} must be a text.")
    return value


def _attributes(declared: Resource) -> dict[str, str]:
    given = declared.properties.get("AttributePayload", {})
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise invalid_request(f"AttributePayload of {declared.name} must be an object of texts.")
    return given


def _status(declared: Resource) -> str:
    status = str(declared.properties.get("Status", "ACTIVE")).upper()
    if status not in _STATUSES:
        raise invalid_request(f"Status of {declared.name} must be one of {', '.join(_STATUSES)}.")
    return status


def _id_of(pem: str) -> str:
    """A certificate's id: the hash of its DER form."""
    try:
        return hashlib.sha256(load_certificate(pem).public_bytes(Encoding.DER)).hexdigest()
    except BadRequestError as error:
        raise invalid_request(str(error)) from error
