"""Decides what a connected device may do by the IoT policies of its certificate, and explains a refusal.

Everything is read from the registry on each decision, so that a detached policy, a new default version or
a deactivated certificate takes effect at once, during a connection. Two differences from IAM: thing variables have
values only for a certificate that is attached to a thing whose name is the client id, and ``+`` and ``#`` are ordinary
characters.

Over MQTT a refusal is a closed connection or silence. The explanation made here names the statement that comes closest
and what keeps it from allowing the action: another resource, a variable without a value, a condition.

Source: AWS IoT Developer Guide, "AWS IoT Core policies", "Thing policy variables".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from moto.iot.models import iot_backends

from . import evaluation
from .callers import Caller, certificate_state, connection_context, find_thing, group_arns
from .conditions import meets_condition
from .patterns import listed, variable_names

CONNECT, PUBLISH, SUBSCRIBE, RECEIVE = "iot:Connect", "iot:Publish", "iot:Subscribe", "iot:Receive"
RETAIN_PUBLISH = "iot:RetainPublish"
_VARIABLE = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True)
class Decision:
    """Whether ``action`` on ``resource`` is allowed; ``why`` is a sentence when it is not."""

    allowed: bool
    action: str
    resource: str
    why: str = ""


@dataclass(frozen=True)
class Judgement:
    """A decision of :mod:`evaluation`, the policies that allow and deny, and the variables that have no value."""

    decision: str
    allowing: tuple[str, ...]
    denying: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Statement:
    """One statement, its place in its policy, and whether its document supports policy variables."""

    policy_name: str
    place: str
    body: dict[str, Any]
    variables: bool

    @property
    def name(self) -> str:
        """Its Sid or number, and its policy."""
        return f"{self.place} of policy {self.policy_name}"

    @property
    def resources(self) -> list[str]:
        """Its resources; with ``NotResource``, those it does not cover."""
        return listed(self.body.get("NotResource", self.body.get("Resource", [])))


@dataclass(frozen=True)
class Question:
    """One action of ``caller`` on ``resource``, an ARN, with its condition keys in ``context``."""

    caller: Caller
    action: str
    resource: str
    context: Mapping[str, str]

    def is_covered_by(self, statement: Statement) -> bool:
        """Whether the statement's resources cover this one."""
        return evaluation.covers_resource(statement.body, self.resource, self.context, variables=statement.variables)


def decide(caller: Caller, action: str, resource: str) -> Decision:
    """Decide one action, such as ``iot:Publish`` on ``topic/a/b`` (the resource without the ARN's prefix).

    Reads the registry, so the sandbox's lock must be held.
    """
    arn = caller.arn(resource)
    state = certificate_state(caller)
    if state != "ACTIVE":
        return Decision(False, action, arn, f"certificate {caller.certificate_id} is {state}")
    thing = find_thing(caller)
    question = Question(caller, action, arn, connection_context(caller, thing))
    statements = list(_statements(caller, thing))
    effects = {one.body.get("Effect"): one for one in statements if _applies(one, question)}
    if "Deny" in effects:
        return Decision(False, action, arn, f"{effects['Deny'].name} denies it")
    if "Allow" in effects:
        return Decision(True, action, arn)
    return Decision(False, action, arn, explain(statements, question))


def attached_policies(caller: Caller) -> dict[str, str]:
    """The policies of the certificate and of the groups of the connection's thing: names to documents."""
    return dict(_documents(caller, find_thing(caller)))


def judge(caller: Caller, action: str, arn: str, policies: Mapping[str, str]) -> Judgement:
    """What these policies (names to documents) say of one action of the caller, whatever its certificate's state."""
    question = Question(caller, action, arn, connection_context(caller, find_thing(caller)))
    statements = [one for name, document in policies.items() for one in _read(name, document)]
    applying = [one for one in statements if _applies(one, question)]
    allowing, denying = (
        tuple(dict.fromkeys(one.policy_name for one in applying if one.body.get("Effect") == effect))
        for effect in ("Allow", "Deny")
    )
    decision = evaluation.DENIED if denying else evaluation.ALLOWED if allowing else evaluation.NOT_ALLOWED
    covering = [one for one in statements if evaluation.covers_action(one.body, action)]
    missing = tuple(dict.fromkeys(name for one in covering for name in _valueless(one, question.context)))
    return Judgement(decision, allowing, denying, missing)


def explain(statements: list[Statement], question: Question) -> str:
    """Why no statement allows it, by the statements that come closest."""
    if not statements:
        return f"no policy is attached to certificate {question.caller.certificate_id}"
    allowing = [one for one in statements if one.body.get("Effect") == "Allow"]
    closest = [one for one in allowing if evaluation.covers_action(one.body, question.action)]
    if not closest:
        names = ", ".join(sorted({one.policy_name for one in statements}))
        return f"no statement of {names} allows {question.action}"
    return "; ".join(_why_not(one, question) for one in closest)


def _statements(caller: Caller, thing: Any | None) -> Iterator[Statement]:
    """The statements of all policies attached to the certificate, or to a group of its thing."""
    for name, document in _documents(caller, thing):
        yield from _read(name, document)


def _documents(caller: Caller, thing: Any | None) -> Iterator[tuple[str, str]]:
    targets = {caller.certificate_arn, *group_arns(caller, thing)}
    attached = iot_backends[caller.account_id][caller.region].principal_policies
    for (target, name), (_, policy) in attached.items():
        if target in targets:
            yield name, str(policy.document)


@lru_cache(maxsize=256)
def _read(policy_name: str, document: str) -> tuple[Statement, ...]:
    found = evaluation.read_document(document)
    return tuple(
        Statement(policy_name, body.get("Sid") or f"statement {number}", body, found.variables)
        for number, body in enumerate(found.statements, start=1)
    )


def _applies(statement: Statement, question: Question) -> bool:
    return (
        evaluation.covers_action(statement.body, question.action)
        and question.is_covered_by(statement)
        and meets_condition(statement.body, question.context, variables=statement.variables)
    )


def _why_not(statement: Statement, question: Question) -> str:
    missing = _valueless(statement, question.context)
    if missing:
        return f"{statement.name} has no value for {', '.join(missing)}: {_thing_state(question.caller)}"
    if not question.is_covered_by(statement):
        shown = ", ".join(_filled(one, statement.variables, question.context) for one in statement.resources)
        kind = "all but " if "NotResource" in statement.body else ""
        return f"{statement.name} covers {kind}{shown}"
    return f"the condition of {statement.name} is not met ({_actual_values(statement, question.context)})"


def _valueless(statement: Statement, context: Mapping[str, str]) -> list[str]:
    if not statement.variables:
        return []
    names = {name for one in statement.resources for name in variable_names(one)}
    return sorted(f"${{{name}}}" for name in names if name.lower() not in context)


def _thing_state(caller: Caller) -> str:
    return (
        f"client id {caller.client_id!r} is not the name of a thing that certificate {caller.certificate_id} "
        "is attached to, or the thing lacks it"
    )


def _filled(pattern: str, variables: bool, context: Mapping[str, str]) -> str:
    if not variables:
        return pattern
    return _VARIABLE.sub(lambda found: context.get(found.group(1).lower(), found.group(0)), pattern)


def _actual_values(statement: Statement, context: Mapping[str, str]) -> str:
    keys = sorted({key for wanted in statement.body.get("Condition", {}).values() for key in wanted})
    return ", ".join(f"{key}={context.get(key.lower(), 'absent')}" for key in keys)
