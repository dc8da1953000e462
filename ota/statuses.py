"""How one thing stands: each object against the settings, and how far its device is with the update.

The objects are the steps of the plan, read as states: what ``all`` would make is missing, what it would change
differs. So status and plan cannot disagree.

Source: ``ota/planning.py``; AWS IoT OTAUpdateStatus, JobExecutionStatus.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

from ota.executions import Rollout, find_rollout
from ota.planning import make_plan
from ota.plans import Action, Plan, Site, Step, attempt
from ota.threads import side_by_side
from ota.update_requests import Update, job_id_of
from ota.update_waits import BEING_CREATED, BEING_DELETED, find_update

FAILED_UPDATE = frozenset({"CREATE_FAILED", "DELETE_FAILED"})
# Parts of the update, which has a line of its own.
UNSEEN_NOUNS = frozenset({"object", "job"})


class State(str, Enum):
    """How an object is, beside the settings."""

    OK = "ok"
    MISSING = "missing"
    DIFFERS = "differs"
    BLOCKED = "blocked"
    UNKNOWN = "unknown"


class Verdict(Enum):
    """What it all comes to; each with the exit status of the task."""

    DONE = 0
    NOT_SET_UP = 2
    IN_PROGRESS = 3
    FAILED = 4

    @property
    def word(self) -> str:
        """The verdict in JSON and on the screen."""
        return self.name.lower().replace("_", " ")


STATES = {
    Action.REUSE: State.OK,
    Action.SKIP: State.OK,
    Action.CREATE: State.MISSING,
    Action.CHANGE: State.DIFFERS,
    Action.REPLACE: State.DIFFERS,
    Action.ASK: State.DIFFERS,
    Action.BLOCKED: State.BLOCKED,
}


@dataclass(frozen=True)
class ObjectState:
    """One object: its step in the plan, and what that means now."""

    step: Step
    state: State

    def as_json(self) -> dict[str, Any]:
        """The object as plain values."""
        step = self.step
        return {
            "noun": step.noun,
            "name": step.name,
            "state": self.state.value,
            "detail": step.detail,
            "difference": step.difference,
            "command": step.command,
        }


@dataclass(frozen=True)
class Status:
    """All objects, the update and its job, and what they come to.

    Attributes:
        thing_name: whose status it is.
        objects: in the order of the plan.
        update: the OTA update; None where there is none.
        rollout: its job with what devices have made of it; None where there is none.
        verdict: what it comes to.
        command: what to do next; empty where nothing is to be done.
    """

    thing_name: str
    objects: tuple[ObjectState, ...]
    update: Update | None
    rollout: Rollout | None
    verdict: Verdict
    command: str = ""

    @property
    def not_as_wanted(self) -> tuple[ObjectState, ...]:
        """The objects that are not as the settings ask for."""
        return tuple(one for one in self.objects if one.state in (State.MISSING, State.DIFFERS, State.BLOCKED))

    def as_json(self) -> dict[str, Any]:
        """The status as plain values."""
        update = self.update
        return {
            "thing": self.thing_name,
            "verdict": self.verdict.word,
            "exit_status": self.verdict.value,
            "command": self.command,
            "objects": [one.as_json() for one in self.objects],
            "update": {"name": update.update_id, "status": update.status, "error": update.error_message}
            if update
            else None,
            "job": self.rollout.as_json() if self.rollout else None,
        }


def find_status(site: Site) -> Status:
    """Everything about the thing of these settings; the plan's looks and the job's side by side."""
    iot, name = site.cloud.iot, site.settings.update_name
    plan, update, rollout = side_by_side(
        partial(make_plan, site),
        partial(attempt, partial(find_update, iot, name)),
        partial(attempt, partial(find_rollout, iot, job_id_of(name))),
    )
    update = update if isinstance(update, Update) else None
    rollout = rollout if isinstance(rollout, Rollout) else None
    objects = states_of(site, plan)
    verdict = judge(objects, update, rollout)
    return Status(site.settings.thing_name, objects, update, rollout, verdict, _next_command(site, verdict, objects))


def states_of(site: Site, plan: Plan) -> tuple[ObjectState, ...]:
    """The plan's steps read as states."""
    seen = (step for step in plan.steps if step.noun not in UNSEEN_NOUNS)
    return tuple(ObjectState(step, _state(site, step)) for step in seen)


def judge(objects: tuple[ObjectState, ...], update: Update | None, rollout: Rollout | None) -> Verdict:
    """What it all comes to. A failure says more than a difference, and what is under way may still become well."""
    if update is None:
        return Verdict.NOT_SET_UP
    if update.status in BEING_CREATED or update.status == BEING_DELETED:
        return Verdict.IN_PROGRESS
    if update.status in FAILED_UPDATE or rollout is None or rollout.failed:
        return Verdict.FAILED
    if not rollout.is_over:
        return Verdict.IN_PROGRESS
    if not rollout.has_succeeded:
        return Verdict.FAILED
    is_well = all(one.state in (State.OK, State.UNKNOWN) for one in objects)
    return Verdict.DONE if is_well else Verdict.NOT_SET_UP


def _state(site: Site, step: Step) -> State:
    if step.noun == "header" and step.action is Action.SKIP:
        return State.UNKNOWN
    if step.action is Action.BUILD:
        return State.OK if site.settings.image_path.is_file() else State.MISSING
    return STATES[step.action]


def _next_command(site: Site, verdict: Verdict, objects: tuple[ObjectState, ...]) -> str:
    if any(one.state is State.BLOCKED for one in objects):
        return site.command("invoke doctor")
    commands = {Verdict.IN_PROGRESS: "invoke watch", Verdict.NOT_SET_UP: "invoke all", Verdict.FAILED: "invoke doctor"}
    return site.command(commands.get(verdict, ""))
