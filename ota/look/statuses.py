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

from ota.errors import OtaError
from ota.jobs import Rollout, find_rollout, job_id_of
from ota.outcomes import Action, Change
from ota.plan import Plan, Site, attempt
from ota.planning import make_plan
from ota.threads import side_by_side
from ota.update_requests import BEING_CREATED, BEING_DELETED, Update
from ota.updates import find_update

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
    UNKNOWN = 5

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

    step: Change
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
        update: the OTA update; None where there is none; else why AWS did not say.
        rollout: its job with what devices have made of it; None where there is none; else why AWS did not say.
        verdict: what it comes to.
        command: what to do next; empty where nothing is to be done.
    """

    thing_name: str
    objects: tuple[ObjectState, ...]
    update: Update | OtaError | None
    rollout: Rollout | OtaError | None
    verdict: Verdict
    command: str = ""

    @property
    def not_as_wanted(self) -> tuple[ObjectState, ...]:
        """The objects that are not as the settings ask for."""
        return tuple(one for one in self.objects if one.state in (State.MISSING, State.DIFFERS, State.BLOCKED))

    @property
    def unknown(self) -> dict[str, str]:
        """What AWS did not say, by its noun, and why."""
        looks = {"update": self.update, "job": self.rollout}
        refused = {noun: str(found) for noun, found in looks.items() if isinstance(found, OtaError)}
        return {**{one.step.noun: str(one.step.detail) for one in self.objects if one.step.is_unseen}, **refused}

    def as_json(self) -> dict[str, Any]:
        """The status as plain values."""
        update = self.update if isinstance(self.update, Update) else None
        return {
            "thing": self.thing_name,
            "verdict": self.verdict.word,
            "exit_status": self.verdict.value,
            "command": self.command,
            "objects": [one.as_json() for one in self.objects],
            "update": {"name": update.update_id, "status": update.status, "error": update.error_message}
            if update
            else None,
            "job": self.rollout.as_json() if isinstance(self.rollout, Rollout) else None,
            "unknown": self.unknown,
        }


def find_status(site: Site) -> Status:
    """Everything about the thing of these settings; the plan's looks and the job's side by side."""
    iot, name = site.cloud.iot, site.settings.update_name
    plan, update, rollout = side_by_side(
        partial(make_plan, site),
        partial(attempt, partial(find_update, iot, name)),
        partial(attempt, partial(find_rollout, iot, job_id_of(name))),
    )
    objects = states_of(site, plan)
    verdict = judge(objects, update, rollout)
    return Status(site.settings.thing_name, objects, update, rollout, verdict, _next_command(site, verdict, objects))


def states_of(site: Site, plan: Plan) -> tuple[ObjectState, ...]:
    """The plan's steps read as states."""
    seen = (step for step in plan.steps if step.noun not in UNSEEN_NOUNS)
    return tuple(ObjectState(step, _state(site, step)) for step in seen)


def judge(
    objects: tuple[ObjectState, ...], update: Update | OtaError | None, rollout: Rollout | OtaError | None
) -> Verdict:
    """What it all comes to. A failure says more than a difference, and what is under way may still become well.

    What AWS did not say is no failure and no lack: it is unknown, unless what it did say decides already.
    """
    if isinstance(update, OtaError):
        return Verdict.UNKNOWN
    if update is None:
        return Verdict.NOT_SET_UP
    if update.status in BEING_CREATED or update.status == BEING_DELETED:
        return Verdict.IN_PROGRESS
    if update.status in FAILED_UPDATE:
        return Verdict.FAILED
    verdict = judge_rollout(rollout)
    if verdict is not Verdict.DONE:
        return verdict
    if any(one.state not in (State.OK, State.UNKNOWN) for one in objects):
        return Verdict.NOT_SET_UP
    return Verdict.UNKNOWN if any(one.step.is_unseen for one in objects) else Verdict.DONE


def judge_rollout(rollout: Rollout | OtaError | None) -> Verdict:
    """What the devices have made of the job; a job that is gone reaches none any more."""
    if isinstance(rollout, OtaError):
        return Verdict.UNKNOWN
    if rollout is None or rollout.failed:
        return Verdict.FAILED
    if not rollout.is_over:
        return Verdict.IN_PROGRESS
    return Verdict.DONE if rollout.has_succeeded else Verdict.FAILED


def _state(site: Site, step: Change) -> State:
    if step.is_unseen or (step.noun == "header" and step.action is Action.SKIP):
        return State.UNKNOWN
    if step.action is Action.BUILD:
        return State.OK if site.settings.image_path.is_file() else State.MISSING
    return STATES[step.action]


def _next_command(site: Site, verdict: Verdict, objects: tuple[ObjectState, ...]) -> str:
    if verdict is Verdict.UNKNOWN:
        return site.command("invoke status")
    if any(one.state is State.BLOCKED for one in objects):
        return site.command("invoke doctor")
    commands = {Verdict.IN_PROGRESS: "invoke watch", Verdict.NOT_SET_UP: "invoke all", Verdict.FAILED: "invoke doctor"}
    return site.command(commands.get(verdict, ""))
