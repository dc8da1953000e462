"""The state of one thing: each object compared with the settings, and how far its device is with the update.

The objects are the changes of the plan, read as states: an object that ``all`` would create is missing, one that it
would change differs. So status and plan cannot disagree.

Source: ``ota/plan.py``; AWS IoT OTAUpdateStatus, JobExecutionStatus.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any

from ota.errors import OtaError, attempt
from ota.groups import list_members
from ota.look.failures import rollout_json
from ota.messages import Command, Text, command
from ota.outcomes import Action, Change
from ota.plan import Plan, make_plan
from ota.run import Run
from ota.targets import target_name
from ota.threads import side_by_side
from ota.updates.jobs import job_id_of
from ota.updates.requests import BEING_CREATED, BEING_DELETED, Update
from ota.updates.rollouts import Rollout, find_rollout
from ota.updates.updates import find_update

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

FAILED_UPDATE = frozenset({"CREATE_FAILED", "DELETE_FAILED"})
# Parts of the update, which has its own line.
UNSEEN_NOUNS = frozenset({"object", "job"})


class State(str, Enum):
    """An object's state, compared with the settings."""

    OK = "ok"
    MISSING = "missing"
    DIFFERS = "differs"
    BLOCKED = "blocked"
    UNKNOWN = "unknown"


class Verdict(Enum):
    """The overall result; its value is the exit status of the task."""

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
    """One object: its change in the plan, and the state that follows from it."""

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
    """All objects, the update and its job, and the overall result.

    Attributes:
        thing_name: the thing's name.
        target: who gets the update, in words: ``lamp``, ``the group lamps``.
        objects: in the order of the plan.
        update: the OTA update; None where there is none; an error where AWS did not return it.
        rollout: its job with the job executions; None where there is none; an error where AWS did not return it.
        verdict: the overall result.
        command: what to do next; None where there is nothing to do.
    """

    thing_name: str
    target: str
    objects: tuple[ObjectState, ...]
    update: Update | OtaError | None
    rollout: Rollout | OtaError | None
    verdict: Verdict
    command: Command | None = None

    @property
    def not_as_wanted(self) -> tuple[ObjectState, ...]:
        """The objects that are not as the settings ask for."""
        return tuple(one for one in self.objects if one.state in (State.MISSING, State.DIFFERS, State.BLOCKED))

    @property
    def unknown(self) -> dict[str, Text]:
        """The nouns whose state AWS did not return, and why."""
        looks = {"update": self.update, "job": self.rollout}
        refused = {noun: found.message for noun, found in looks.items() if isinstance(found, OtaError)}
        return {**{one.step.noun: one.step.detail for one in self.objects if one.step.is_unseen}, **refused}

    def as_json(self) -> dict[str, Any]:
        """The status as plain values, its messages and commands still to be rendered."""
        update = self.update if isinstance(self.update, Update) else None
        return {
            "thing": self.thing_name,
            "target": self.target,
            "verdict": self.verdict.word,
            "exit_status": self.verdict.value,
            "command": self.command or "",
            "objects": [one.as_json() for one in self.objects],
            "update": {"name": update.update_id, "status": update.status, "error": update.error_message}
            if update
            else None,
            "job": rollout_json(self.rollout) if isinstance(self.rollout, Rollout) else None,
            "unknown": self.unknown,
        }


def find_status(run: Run) -> Status:
    """The state of the settings' thing; the plan's looks, the update's and the job's run side by side."""
    iot, name = run.cloud.iot, run.settings.update_name
    plan, update, rollout = side_by_side(
        partial(make_plan, run),
        partial(attempt, partial(find_update, iot, name)),
        partial(attempt, partial(find_rollout, iot, job_id_of(name), count_things=partial(count_things, iot))),
    )
    objects = states_of(plan, has_image=run.settings.image_path.is_file())
    verdict = judge(objects, update, rollout)
    target = target_name(run.cloud, run.settings)
    return Status(run.settings.thing_name, target, objects, update, rollout, verdict, _next_command(verdict, objects))


def count_things(iot: IoTClient, targets: Iterable[str]) -> int:
    """How many things the targets of a job are; 0 where AWS does not tell the members of a group."""
    names: set[str] = set()
    for target in targets:
        kind, _, name = target.rpartition(":")[2].partition("/")
        found = attempt(partial(_members, iot, name)) if kind == "thinggroup" else {name}
        if isinstance(found, OtaError):
            return 0
        names |= found
    return len(names)


def states_of(plan: Plan, *, has_image: bool) -> tuple[ObjectState, ...]:
    """The plan's changes read as states; ``has_image`` says whether there is an image before the build."""
    seen = (step for step in plan.steps if step.noun not in UNSEEN_NOUNS)
    return tuple(ObjectState(step, _state(step, has_image=has_image)) for step in seen)


def judge(
    objects: tuple[ObjectState, ...], update: Update | OtaError | None, rollout: Rollout | OtaError | None
) -> Verdict:
    """The overall result. A failure counts before a difference; an update in progress is not a failure yet.

    A state that AWS did not return is neither a failure nor missing: the result is unknown, unless the states that AWS
    did return decide it.
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
    """The result of a job; one that does not exist any more has failed."""
    if isinstance(rollout, OtaError):
        return Verdict.UNKNOWN
    if rollout is None or rollout.failed_count:
        return Verdict.FAILED
    if not rollout.is_over:
        return Verdict.IN_PROGRESS
    return Verdict.DONE if rollout.has_succeeded else Verdict.FAILED


def _members(iot: IoTClient, group_name: str) -> set[str]:
    return set(list_members(iot, group_name, is_recursive=True))


def _state(step: Change, *, has_image: bool) -> State:
    if step.is_unseen or (step.noun == "header" and step.action is Action.SKIP):
        return State.UNKNOWN
    if step.action is Action.BUILD:
        return State.OK if has_image else State.MISSING
    return STATES[step.action]


def _next_command(verdict: Verdict, objects: tuple[ObjectState, ...]) -> Command | None:
    if verdict is Verdict.UNKNOWN:
        return command("status")
    if any(one.state is State.BLOCKED for one in objects):
        return command("doctor")
    tasks = {Verdict.IN_PROGRESS: "watch", Verdict.NOT_SET_UP: "all", Verdict.FAILED: "doctor"}
    return command(tasks[verdict]) if verdict in tasks else None
