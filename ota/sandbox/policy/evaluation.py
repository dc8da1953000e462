"""Decides what IAM policy documents say about one request, as IAM's own evaluation does.

Pure functions of documents and a request. moto's own enforcement evaluates the resource ``*`` only and ignores most
conditions, so that statements scoped to an ARN would always be refused.

Source: IAM User Guide, "Policy evaluation logic" and "IAM JSON policy elements reference".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from .conditions import meets_condition
from .patterns import WITH_VARIABLES, expand, listed, matches

ALLOWED, DENIED, NOT_ALLOWED = "allowed", "explicitDeny", "implicitDeny"


@dataclass(frozen=True)
class Request:
    """One action on one resource, with the condition keys that come with it.

    Attributes:
        action: ``service:Operation``.
        resource: the ARN it works on.
        context: condition keys (any case) to values.
        principals: for a trust policy: the names by which ``Principal`` may list the caller, by type:
            ``{"Service": {"iot.amazonaws.com"}}`` or ``{"AWS": {"arn:…", "123456789012"}}``.
    """

    action: str
    resource: str = "*"
    context: Mapping[str, str] = field(default_factory=dict)
    principals: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Document:
    """A parsed policy document. ``variables`` tells whether it supports policy variables."""

    statements: tuple[dict[str, Any], ...]
    variables: bool


def is_granted(documents: Iterable[str], request: Request) -> bool:
    """Whether the documents (JSON texts) together allow the request: one Allow, and no Deny."""
    return decide(documents, request) == ALLOWED


def decide(documents: Iterable[str], request: Request) -> str:
    """The decision of the documents (JSON texts) together: ``ALLOWED``, ``DENIED`` or ``NOT_ALLOWED``."""
    effects = {
        statement.get("Effect")
        for document in map(read_document, documents)
        for statement in document.statements
        if _applies(statement, request, variables=document.variables)
    }
    if "Deny" in effects:
        return DENIED
    return ALLOWED if "Allow" in effects else NOT_ALLOWED


@lru_cache(maxsize=256)
def read_document(text: str) -> Document:
    """Parse a policy document; ``Statement`` may be a list or a single statement."""
    parsed = json.loads(text)
    found = parsed.get("Statement", [])
    return Document(tuple(found if isinstance(found, list) else [found]), parsed.get("Version") == WITH_VARIABLES)


def names_principal(statement: Mapping[str, Any], principals: Mapping[str, frozenset[str]]) -> bool:
    """Whether a trust statement's ``Principal`` (or ``NotPrincipal``) covers one of these callers."""
    if "NotPrincipal" in statement:
        return not _principal_matches(statement["NotPrincipal"], principals)
    return _principal_matches(statement.get("Principal", {}), principals)


def covers_action(statement: Mapping[str, Any], action: str) -> bool:
    """Whether the statement's ``Action`` or ``NotAction`` covers ``service:Operation``, in any case."""
    if "NotAction" in statement:
        return not any(matches(one.lower(), action.lower()) for one in listed(statement["NotAction"]))
    return any(matches(one.lower(), action.lower()) for one in listed(statement.get("Action", [])))


def covers_resource(
    statement: Mapping[str, Any], resource: str, context: Mapping[str, str], *, variables: bool
) -> bool:
    """Whether the statement's ``Resource`` or ``NotResource`` covers this ARN."""
    keys = {key.lower(): value for key, value in context.items()}
    written = listed(statement.get("NotResource", statement.get("Resource", [])))
    covered = any(matches(one, resource) for one in (expand(written, keys) if variables else written))
    return covered != ("NotResource" in statement)


def _applies(statement: Mapping[str, Any], request: Request, *, variables: bool) -> bool:
    return (
        covers_action(statement, request.action)
        and _covers_object(statement, request, variables=variables)
        and meets_condition(statement, request.context, variables=variables)
    )


def _covers_object(statement: Mapping[str, Any], request: Request, *, variables: bool) -> bool:
    if "Resource" in statement or "NotResource" in statement:
        return covers_resource(statement, request.resource, request.context, variables=variables)
    return names_principal(statement, request.principals)


def _principal_matches(written: Any, principals: Mapping[str, frozenset[str]]) -> bool:
    if written == "*":
        return True
    return any(
        one == "*" or one in principals.get(kind, frozenset())
        for kind, names in written.items()
        for one in listed(names)
    )
