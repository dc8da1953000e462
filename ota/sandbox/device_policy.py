"""Says what a connected device may do by the IoT policies of its certificate, and when it may not, why not.

Everything is read from the registry at the moment of the question, so that a detached policy, a new default version or
a deactivated certificate counts at once, in the middle of a connection. The differences from IAM that matter are here:
thing variables have values only for a certificate that is attached to a thing by which the client calls itself,
``+`` and ``#`` are ordinary characters, and a document without ``Version`` knows no variables.

Source: AWS IoT Developer Guide, "AWS IoT Core policies", "Thing policy variables", "X.509 certificate policy
variables", "Associating an AWS IoT thing to an MQTT client connection" (exclusive things).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cryptography.x509.oid import NameOID
from moto.iot.models import iot_backends

from . import evaluation

if TYPE_CHECKING:
    from cryptography import x509

CONNECT, PUBLISH, SUBSCRIBE, RECEIVE = "iot:Connect", "iot:Publish", "iot:Subscribe", "iot:Receive"
RETAIN_PUBLISH = "iot:RetainPublish"
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_LITERALS = ("*", "?", "$")
_WITH_VARIABLES = "2012-10-17"
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
    """A client: the account and region that know its certificate, and the name it gave itself.

    Attributes:
        facts: condition keys that stay for the whole connection; see ``certificate_facts``.
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


@dataclass(frozen=True)
class Decision:
    """Whether ``action`` on ``resource`` is allowed; ``why`` is a sentence when it is not."""

    allowed: bool
    action: str
    resource: str
    why: str = ""


@dataclass(frozen=True)
class _Statement:
    """One statement, where it stands, and whether its document knows variables."""

    policy_name: str
    place: str
    body: dict[str, Any]
    variables: bool


@dataclass(frozen=True)
class _Question:
    caller: Caller
    action: str
    resource: str
    context: Mapping[str, str]


def decide(caller: Caller, action: str, resource: str) -> Decision:
    """Judge one action, such as ``iot:Publish`` on ``topic/a/b`` (without the ARN's front).

    The caller holds the sandbox's lock, for the registry is read.
    """
    arn = caller.arn(resource)
    state = certificate_state(caller)
    if state != "ACTIVE":
        return Decision(False, action, arn, f"certificate {caller.certificate_id} is {state}")
    thing = _find_thing(caller)
    question = _Question(caller, action, arn, _context(caller, thing))
    statements = list(_statements(caller, thing))
    effects = {one.body.get("Effect"): one for one in statements if _applies(one, question)}
    if "Deny" in effects:
        return Decision(False, action, arn, f"{_name(effects['Deny'])} denies it")
    if "Allow" in effects:
        return Decision(True, action, arn)
    return Decision(False, action, arn, _explain(statements, question))


def certificate_state(caller: Caller) -> str:
    """The certificate's status now, such as ``ACTIVE``; "not registered" when the registry does not know it."""
    found = iot_backends[caller.account_id][caller.region].certificates.get(caller.certificate_id)
    return str(found.status) if found else "not registered"


def certificate_facts(certificate: x509.Certificate) -> dict[str, str]:
    """The condition keys that a certificate gives by itself: parts of subject and issuer, serial number."""
    facts = {"iot:Certificate.SerialNumber": f"{certificate.serial_number:x}"}
    for side, name in (("Subject", certificate.subject), ("Issuer", certificate.issuer)):
        facts.update(_name_facts(f"iot:Certificate.{side}", name))
    return {key.lower(): value for key, value in facts.items()}


def _name_facts(prefix: str, name: x509.Name) -> Iterator[tuple[str, str]]:
    """``prefix.CommonName`` for the first value of a kind, ``prefix.CommonName.1`` for the next."""
    for part, oid in _NAME_PARTS.items():
        for number, attribute in enumerate(name.get_attributes_for_oid(oid)):
            yield f"{prefix}.{part}" + (f".{number}" if number else ""), str(attribute.value)


def _context(caller: Caller, thing: Any | None) -> dict[str, str]:
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


def _find_thing(caller: Caller) -> Any | None:
    """The thing this connection stands for: attached to the certificate and named as the client, or exclusive to it."""
    backend = iot_backends[caller.account_id][caller.region]
    named = backend.principal_things.get((caller.certificate_arn, caller.client_id))
    if named is not None:
        return named[1]
    for pair, kind in vars(backend).get("thing_principal_types", {}).items():
        if pair[0] == caller.certificate_arn and kind == _EXCLUSIVE and pair in backend.principal_things:
            return backend.principal_things[pair][1]
    return None


def _statements(caller: Caller, thing: Any | None) -> Iterator[_Statement]:
    """The statements of all policies attached to the certificate, or to a group of its thing."""
    backend = iot_backends[caller.account_id][caller.region]
    targets = {caller.certificate_arn, *_group_arns(backend, thing)}
    for (target, name), (_, policy) in backend.principal_policies.items():
        if target in targets:
            yield from _parse(name, str(policy.document))


def _group_arns(backend: Any, thing: Any | None) -> Iterator[str]:
    """The groups of a thing, and the groups above these, whose policies they inherit."""
    if thing is None:
        return
    for group in backend.thing_groups.values():
        if thing.arn in group.things:
            yield group.arn
            yield from (above["groupArn"] for above in group.metadata.get("rootToParentThingGroups", []))


@lru_cache(maxsize=256)
def _parse(policy_name: str, document: str) -> tuple[_Statement, ...]:
    parsed = json.loads(document)
    variables = parsed.get("Version") == _WITH_VARIABLES
    return tuple(
        _Statement(policy_name, body.get("Sid") or f"statement {number}", body, variables)
        for number, body in enumerate(evaluation.statements(document), start=1)
    )


def _applies(statement: _Statement, question: _Question) -> bool:
    return (
        evaluation.covers_action(statement.body, question.action)
        and _covers_resource(statement, question)
        and evaluation.meets_condition(statement.body, question.context)
    )


def _covers_resource(statement: _Statement, question: _Question) -> bool:
    covered = any(
        re.fullmatch(pattern, question.resource, re.DOTALL)
        for pattern in (_regex(one, statement.variables, question.context) for one in _resources(statement))
        if pattern is not None
    )
    return covered != ("NotResource" in statement.body)


def _resources(statement: _Statement) -> list[str]:
    written = statement.body.get("NotResource", statement.body.get("Resource", []))
    return written if isinstance(written, list) else [written]


def _regex(pattern: str, variables: bool, context: Mapping[str, str]) -> str | None:
    """A resource pattern as a regular expression; None when one of its variables has no value.

    A variable's value is taken literally: a client that calls itself ``*`` gains nothing by it.
    """
    if not variables or "${" not in pattern:
        return _wildcards(pattern)
    pieces = _VARIABLE.split(pattern)
    values = [name if name in _LITERALS else context.get(name.lower()) for name in pieces[1::2]]
    if None in values:
        return None
    texts = [_wildcards(text) for text in pieces[::2]]
    return texts[0] + "".join(re.escape(value or "") + text for value, text in zip(values, texts[1:], strict=True))


@lru_cache(maxsize=1024)
def _wildcards(text: str) -> str:
    return "".join(".*" if one == "*" else "." if one == "?" else re.escape(one) for one in text)


def _explain(statements: list[_Statement], question: _Question) -> str:
    """Why nothing allows it, by the statement that comes closest."""
    if not statements:
        return f"no policy is attached to certificate {question.caller.certificate_id}"
    allowing = [one for one in statements if one.body.get("Effect") == "Allow"]
    closest = [one for one in allowing if evaluation.covers_action(one.body, question.action)]
    if not closest:
        names = ", ".join(sorted({one.policy_name for one in statements}))
        return f"no statement of {names} allows {question.action}"
    return "; ".join(_why_not(one, question) for one in closest)


def _why_not(statement: _Statement, question: _Question) -> str:
    missing = _valueless(statement, question.context)
    if missing:
        return f"{_name(statement)} has no value for {', '.join(missing)}: {_thing_state(question.caller)}"
    if not _covers_resource(statement, question):
        shown = ", ".join(_filled(one, statement.variables, question.context) for one in _resources(statement))
        kind = "all but " if "NotResource" in statement.body else ""
        return f"{_name(statement)} covers {kind}{shown}"
    return f"the condition of {_name(statement)} is not met ({_actual_values(statement, question.context)})"


def _valueless(statement: _Statement, context: Mapping[str, str]) -> list[str]:
    names = {name for one in _resources(statement) for name in _VARIABLE.findall(one)} if statement.variables else set()
    return sorted(f"${{{name}}}" for name in names if name not in _LITERALS and name.lower() not in context)


def _thing_state(caller: Caller) -> str:
    return (
        f"client id {caller.client_id!r} is not the name of a thing that certificate {caller.certificate_id} "
        "is attached to, or the thing lacks it"
    )


def _filled(pattern: str, variables: bool, context: Mapping[str, str]) -> str:
    if not variables:
        return pattern
    return _VARIABLE.sub(lambda found: context.get(found.group(1).lower(), found.group(0)), pattern)


def _actual_values(statement: _Statement, context: Mapping[str, str]) -> str:
    keys = sorted({key for wanted in statement.body.get("Condition", {}).values() for key in wanted})
    return ", ".join(f"{key}={context.get(key.lower(), 'absent')}" for key in keys)


def _name(statement: _Statement) -> str:
    return f"{statement.place} of policy {statement.policy_name}"
