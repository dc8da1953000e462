"""A question to a device's policies, and why none of their statements allows it.

A refusal over MQTT is a closed connection or silence. The sentence made here names the statement that comes closest
and what keeps it from allowing the action: another resource, a variable without a value, a condition.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import evaluation
from .callers import Caller
from .policy_patterns import listed, variable_names

_VARIABLE = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True)
class Statement:
    """One statement, where it stands, and whether its document knows variables."""

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
        """What it covers, or with ``NotResource`` does not."""
        return listed(self.body.get("NotResource", self.body.get("Resource", [])))


@dataclass(frozen=True)
class Question:
    """Whether ``caller`` may do ``action`` on ``resource``, an ARN; ``context`` has its condition keys."""

    caller: Caller
    action: str
    resource: str
    context: Mapping[str, str]

    def is_covered_by(self, statement: Statement) -> bool:
        """Whether the statement's resources cover this one."""
        return evaluation.covers_resource(statement.body, self.resource, self.context, variables=statement.variables)


def explain(statements: list[Statement], question: Question) -> str:
    """Why nothing allows it, by the statements that come closest."""
    if not statements:
        return f"no policy is attached to certificate {question.caller.certificate_id}"
    allowing = [one for one in statements if one.body.get("Effect") == "Allow"]
    closest = [one for one in allowing if evaluation.covers_action(one.body, question.action)]
    if not closest:
        names = ", ".join(sorted({one.policy_name for one in statements}))
        return f"no statement of {names} allows {question.action}"
    return "; ".join(_why_not(one, question) for one in closest)


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
