"""Identifies a connected device: its certificate, its client id, and the thing that the connection represents.

A certificate is attached to things. A connection represents one of them only when its client id is the thing's name, or
when the attachment is exclusive. Everything is read from the registry when it is asked for.

Source: AWS IoT Developer Guide, "X.509 certificate policy variables", "Thing policy variables", "Associating an AWS
IoT thing to an MQTT client connection" (exclusive things); moto 5.2.5, ``IoTBackend``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography.x509.oid import NameOID
from moto.iot.models import iot_backends

if TYPE_CHECKING:
    from cryptography import x509

_EXCLUSIVE = "EXCLUSIVE_THING"
_THING = "iot:connection.thing."
_NAME_PARTS = {
    "CommonName": NameOID.COMMON_NAME,
    "Country": NameOID.COUNTRY_NAME,
    "Organization": NameOID.ORGANIZATION_NAME,
    "OrganizationalUnit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "State": NameOID.STATE_OR_PROVINCE_NAME,
    "SerialNumber": NameOID.SERIAL_NUMBER,
    "DistinguishedNameQualifier": NameOID.DN_QUALIFIER,
}


@dataclass(frozen=True)
class Caller:
    """A client: the account and region where its certificate is registered, and its client id.

    Attributes:
        facts: condition keys that are constant during the connection; see ``certificate_facts``.
    """

    account_id: str
    region: str
    certificate_id: str
    client_id: str = ""
    facts: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def certificate_arn(self) -> str:
        """The principal that policies and things are attached to."""
        return self.arn(f"cert/{self.certificate_id}")

    def arn(self, resource: str) -> str:
        """The ARN of ``client/…``, ``topic/…`` or ``topicfilter/…`` in the caller's account and region."""
        return f"arn:aws:iot:{self.region}:{self.account_id}:{resource}"


def certificate_state(caller: Caller) -> str:
    """The certificate's status now, such as ``ACTIVE``; "not registered" when the registry does not know it."""
    found = iot_backends[caller.account_id][caller.region].certificates.get(caller.certificate_id)
    return str(found.status) if found else "not registered"


def certificate_facts(certificate: x509.Certificate) -> dict[str, str]:
    """The condition keys that come from a certificate: parts of subject and issuer, serial number."""
    facts = {"iot:Certificate.SerialNumber": f"{certificate.serial_number:x}"}
    for side, name in (("Subject", certificate.subject), ("Issuer", certificate.issuer)):
        facts.update(_name_facts(f"iot:Certificate.{side}", name))
    return {key.lower(): value for key, value in facts.items()}


def connection_context(caller: Caller, thing: Any | None) -> dict[str, str]:
    """The condition keys and policy variables of this caller, in lower case."""
    context = {
        **caller.facts,
        "iot:clientid": caller.client_id,
        "iot:certificateid": caller.certificate_id,
        "iot:sourceip": "127.0.0.1",
        "aws:sourceip": "127.0.0.1",
        f"{_THING}isattached": "false",
    }
    if thing is None:
        return context
    context |= {f"{_THING}isattached": "true", f"{_THING}thingname": thing.thing_name}
    if thing.thing_type:
        context[f"{_THING}thingtypename"] = thing.thing_type.thing_type_name
    if thing.billing_group_name:
        context[f"{_THING}billinggroupname"] = thing.billing_group_name
    return context | {f"{_THING}attributes[{key.lower()}]": value for key, value in thing.attributes.items()}


def find_thing(caller: Caller) -> Any | None:
    """The thing of this connection: attached to the certificate and named like the client, or exclusive."""
    backend = iot_backends[caller.account_id][caller.region]
    named = backend.principal_things.get((caller.certificate_arn, caller.client_id))
    if named is not None:
        return named[1]
    exclusive = find_exclusive_thing(caller)
    return None if exclusive is None else backend.principal_things[caller.certificate_arn, exclusive][1]


def find_exclusive_thing(caller: Caller) -> str | None:
    """The name of the thing that the certificate is attached to exclusively, or None."""
    backend = iot_backends[caller.account_id][caller.region]
    for pair, kind in vars(backend).get("thing_principal_types", {}).items():
        if pair[0] == caller.certificate_arn and kind == _EXCLUSIVE and pair in backend.principal_things:
            return str(pair[1])
    return None


def group_arns(caller: Caller, thing: Any | None) -> Iterator[str]:
    """The ARNs of a thing's groups and of their parent groups, whose policies they inherit."""
    if thing is None:
        return
    backend = iot_backends[caller.account_id][caller.region]
    for group in backend.thing_groups.values():
        if thing.arn in group.things:
            yield group.arn
            yield from (above["groupArn"] for above in group.metadata.get("rootToParentThingGroups", []))


def _name_facts(prefix: str, name: x509.Name) -> Iterator[tuple[str, str]]:
    """``prefix.CommonName`` for the first value of a kind, ``prefix.CommonName.1`` for the next."""
    for part, oid in _NAME_PARTS.items():
        for number, attribute in enumerate(name.get_attributes_for_oid(oid)):
            yield f"{prefix}.{part}" + (f".{number}" if number else ""), str(attribute.value)
