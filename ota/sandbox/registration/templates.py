"""Reads provisioning templates, and fills them with the parameters of one device.

A template names its parameters, with defaults, and declares resources: one thing, at most one certificate, and
policies. Values refer to parameters by ``Ref`` and are put together by functions. Pure: nothing is looked up.

Source: AWS IoT Developer Guide, "Provisioning templates" (sections, properties, override settings), "Fleet
provisioning" (``Mappings`` and intrinsic functions).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

THING, CERTIFICATE, POLICY = "AWS::IoT::Thing", "AWS::IoT::Certificate", "AWS::IoT::Policy"
DO_NOTHING, REPLACE, FAIL, MERGE = "DO_NOTHING", "REPLACE", "FAIL", "MERGE"
_PROPERTIES: Mapping[str, frozenset[str]] = {
    THING: frozenset({"ThingName", "AttributePayload", "ThingTypeName", "ThingGroups", "BillingGroup"}),
    CERTIFICATE: frozenset(
        {"CertificateSigningRequest", "CertificateId", "CertificatePem", "CACertificatePem", "Status"}
    ),
    POLICY: frozenset({"PolicyName", "PolicyDocument"}),
}
# Exactly one of these properties says which resource it is.
_NAMING: Mapping[str, frozenset[str]] = {
    THING: frozenset({"ThingName"}),
    CERTIFICATE: frozenset({"CertificateSigningRequest", "CertificateId", "CertificatePem"}),
    POLICY: frozenset({"PolicyName", "PolicyDocument"}),
}
_WITHOUT_MERGE = frozenset({DO_NOTHING, REPLACE, FAIL})
_OVERRIDES: Mapping[str, Mapping[str, frozenset[str]]] = {
    THING: {
        "AttributePayload": _WITHOUT_MERGE | {MERGE},
        "ThingTypeName": _WITHOUT_MERGE,
        "ThingGroups": _WITHOUT_MERGE | {MERGE},
    },
    CERTIFICATE: {"Status": _WITHOUT_MERGE},
    POLICY: {},
}
_REFERENCE = re.compile(r"\$\{(!?)([^}]+)\}")


class TemplateError(ValueError):
    """A template that AWS would refuse, or parameters that do not fill it; the message says why."""


@dataclass(frozen=True)
class Resource:
    """One declared resource: its logical name, its type, its properties, and its override settings by property."""

    name: str
    kind: str
    properties: Mapping[str, Any]
    overrides: Mapping[str, str]


@dataclass(frozen=True)
class Template:
    """A template that was read. ``defaults`` has every parameter: its default, None where it has none."""

    defaults: Mapping[str, str | None]
    resources: tuple[Resource, ...]
    mappings: Mapping[str, Any] = field(default_factory=dict)

    def fill(self, parameters: Mapping[str, str]) -> list[Resource]:
        """The resources for these parameters.

        Raises:
            TemplateError: a parameter is missing, or a value cannot be made of them.
        """
        known = {name: parameters.get(name, default) for name, default in self.defaults.items()}
        missing = sorted(name for name, value in known.items() if value is None)
        if missing:
            raise TemplateError(f"no value for the parameters {', '.join(missing)}")
        values = {name: value for name, value in known.items() if value is not None}
        return [replace(one, properties=_resolve(one.properties, values, self.mappings)) for one in self.resources]


def read_template(body: str) -> Template:
    """Read a template (JSON text).

    Raises:
        TemplateError: not JSON, a section of the wrong form, or an unknown resource, property or override setting.
    """
    try:
        document = json.loads(body)
    except ValueError as error:
        raise TemplateError("the template is not valid JSON") from error
    parameters, resources, mappings = (_section(document, name) for name in ("Parameters", "Resources", "Mappings"))
    read = tuple(_read_resource(name, written) for name, written in resources.items())
    kinds = [one.kind for one in read]
    if kinds.count(THING) != 1 or kinds.count(CERTIFICATE) > 1:
        raise TemplateError("a template has one thing and at most one certificate")
    if POLICY in kinds and CERTIFICATE not in kinds:
        raise TemplateError("a policy needs a certificate that it is attached to")
    return Template({name: _default(name, written) for name, written in parameters.items()}, read, mappings)


def _section(document: Any, name: str) -> dict[str, Any]:
    section = document.get(name, {}) if isinstance(document, dict) else None
    if not isinstance(section, dict):
        raise TemplateError(f"{name} must be an object")
    return section


def _default(name: str, written: Any) -> str | None:
    if not isinstance(written, dict) or written.get("Type") != "String":
        raise TemplateError(f"the parameter {name} must have the Type String")
    default = written.get("Default")
    if default is not None and not isinstance(default, str):
        raise TemplateError(f"the Default of the parameter {name} must be a string")
    return default


def _read_resource(name: str, written: Any) -> Resource:
    kind = written.get("Type") if isinstance(written, dict) else None
    if not isinstance(kind, str) or kind not in _PROPERTIES:
        raise TemplateError(f"the resource {name} must have one of the types {', '.join(_PROPERTIES)}")
    properties, overrides = written.get("Properties", {}), written.get("OverrideSettings", {})
    if not isinstance(properties, dict) or not isinstance(overrides, dict):
        raise TemplateError(f"Properties and OverrideSettings of {name} must be objects")
    unknown = sorted(set(properties) - _PROPERTIES[kind])
    if unknown:
        raise TemplateError(f"{name} has unknown properties: {', '.join(unknown)}")
    if len(_NAMING[kind] & set(properties)) != 1:
        raise TemplateError(f"{name} needs exactly one of {', '.join(sorted(_NAMING[kind]))}")
    for property_name, setting in overrides.items():
        if setting not in _OVERRIDES[kind].get(property_name, ()):
            raise TemplateError(f"{name} has an unknown override setting: {property_name} {setting}")
    return Resource(name, kind, properties, overrides)


def _resolve(value: Any, parameters: Mapping[str, str], mappings: Mapping[str, Any]) -> Any:
    """The value with its references and functions replaced, from the inside out."""
    if isinstance(value, list):
        return [_resolve(one, parameters, mappings) for one in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        [(name, written)] = value.items()
        if name == "Ref":
            return _parameter(written, parameters)
        if name.startswith("Fn::"):
            return _call(name, _resolve(written, parameters, mappings), parameters, mappings)
    return {name: _resolve(one, parameters, mappings) for name, one in value.items()}


def _call(name: str, arguments: Any, parameters: Mapping[str, str], mappings: Mapping[str, Any]) -> Any:
    if name == "Fn::Sub":
        return _substitute(arguments, parameters)
    if name == "Fn::FindInMap":
        return _find_in_map(arguments, mappings)
    if name not in _FUNCTIONS:
        raise TemplateError(f"unknown function {name}")
    try:
        return _FUNCTIONS[name](*arguments)
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise TemplateError(f"{name} does not accept {json.dumps(arguments)}") from error


def _parameter(name: Any, parameters: Mapping[str, str]) -> str:
    if not isinstance(name, str) or name not in parameters:
        raise TemplateError(f"the template has no parameter {name}")
    return parameters[name]


def _substitute(arguments: Any, parameters: Mapping[str, str]) -> str:
    """``Fn::Sub``: ``text`` or ``[text, {name: value}]``; ``${!name}`` stands for ``${name}`` itself."""
    text, own = arguments if isinstance(arguments, list) and len(arguments) == 2 else (arguments, {})
    if not isinstance(text, str) or not isinstance(own, dict):
        raise TemplateError("Fn::Sub needs a text, or a text and an object")
    known = {**parameters, **own}
    return _REFERENCE.sub(lambda found: f"${{{found[2]}}}" if found[1] else str(_parameter(found[2], known)), text)


def _find_in_map(arguments: Any, mappings: Mapping[str, Any]) -> Any:
    found: Any = mappings
    for key in arguments if isinstance(arguments, list) and len(arguments) == 3 else [None]:
        if not isinstance(found, dict) or key not in found:
            raise TemplateError(f"Fn::FindInMap finds nothing at {json.dumps(arguments)}")
        found = found[key]
    return found


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "Fn::Join": lambda delimiter, values: delimiter.join(values),
    "Fn::Select": lambda index, values: values[int(index)],
    "Fn::Split": lambda delimiter, text: text.split(delimiter),
}
