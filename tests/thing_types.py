"""A noun that the tool does not have, an IoT thing type, as a new module of ``ota`` would make it."""

from __future__ import annotations

from typing import Any

from ota.cloud import Cloud
from ota.outcomes import Action, Change, Outcome, Verb
from ota.records import Lazy, Noun
from ota.settings.settings import Settings

NAME = "lamps"
RECORD = Noun(
    "thing type",
    "thing types",
    set_up=65,
    teardown=75,
    find=Lazy("tests.thing_types:find_thing_type"),
    decide=Lazy("tests.thing_types:decide_thing_type"),
    make=Lazy("tests.thing_types:make_thing_type"),
    decide_deletion=Lazy("tests.thing_types:decide_thing_type_deletion"),
    delete=Lazy("tests.thing_types:delete_thing_type"),
)


def find_thing_type(cloud: Cloud, _settings: Settings) -> Any:
    try:
        return cloud.iot.describe_thing_type(thingTypeName=NAME)
    except cloud.iot.exceptions.ResourceNotFoundException:
        return None


def decide_thing_type(found: Any, _cloud: Cloud, _settings: Settings) -> Change:
    return Change(RECORD.name, Action.REUSE if found else Action.CREATE, NAME, found=found)


def make_thing_type(cloud: Cloud, change: Change) -> Outcome[str]:
    if change.action is Action.REUSE:
        return Outcome(RECORD.name, Verb.REUSED, NAME, value=NAME)
    cloud.iot.create_thing_type(thingTypeName=NAME)
    return Outcome(RECORD.name, Verb.CREATED, NAME, value=NAME)


def decide_thing_type_deletion(found: Any, _settings: Settings, _owner: str | None) -> Change:
    return Change(RECORD.name, Action.DELETE if found else Action.ABSENT, NAME)


def delete_thing_type(cloud: Cloud, _change: Change) -> Outcome[None]:
    cloud.iot.deprecate_thing_type(thingTypeName=NAME)
    cloud.iot.delete_thing_type(thingTypeName=NAME)
    return Outcome(RECORD.name, Verb.DELETED, NAME)
