"""Says what a connected device may do by the IoT policies of its certificate, and when it may not, why not.

Everything is read from the registry at the moment of the question, so that a detached policy, a new default version or
a deactivated certificate counts at once, in the middle of a connection. The differences from IAM that matter are here:
thing variables have values only for a certificate that is attached to a thing by which the client calls itself, and
``+`` and ``#`` are ordinary characters.

Source: AWS IoT Developer Guide, "AWS IoT Core policies", "Thing policy variables".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from moto.iot.models import iot_backends

from . import evaluation
from .callers import Caller, certificate_state, connection_context, find_thing, group_arns
from .conditions import meets_condition
from .policy_questions import Question, Statement, explain

CONNECT, PUBLISH, SUBSCRIBE, RECEIVE = "iot:Connect", "iot:Publish", "iot:Subscribe", "iot:Receive"
RETAIN_PUBLISH = "iot:RetainPublish"


@dataclass(frozen=True)
class Decision:
    """Whether ``action`` on ``resource`` is allowed; ``why`` is a sentence when it is not."""

    allowed: bool
    action: str
    resource: str
    why: str = ""


def decide(caller: Caller, action: str, resource: str) -> Decision:
    """Judge one action, such as ``iot:Publish`` on ``topic/a/b`` (without the ARN's front).

    The caller holds the sandbox's lock, for the registry is read.
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


def _statements(caller: Caller, thing: Any | None) -> Iterator[Statement]:
    """The statements of all policies attached to the certificate, or to a group of its thing."""
    targets = {caller.certificate_arn, *group_arns(caller, thing)}
    attached = iot_backends[caller.account_id][caller.region].principal_policies
    for (target, name), (_, policy) in attached.items():
        if target in targets:
            yield from _read(name, str(policy.document))


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
