"""Follows a job until every device has finished, and lists the likely causes when nothing changes.

A device reports little while it works, and nothing when it cannot verify a signature, loses a block or never asks for
its job. When nothing has changed for a while, the likely causes are listed, first those that can be seen from here.

Source: AWS IoT DescribeJob, DescribeJobExecution; FreeRTOS/iot-reference-arm-corstone3xx ``ota_orchestrator`` (asks for
its job only after a start; sends nothing when a download or a signature fails).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from ota.errors import OtaError, PermissionDenied, attempt
from ota.firmware import builds
from ota.look.failures import explain_failure
from ota.look.statuses import Verdict, judge_rollout
from ota.messages import Message, Text, command, message
from ota.outcomes import Action
from ota.plan import Plan
from ota.run import Run
from ota.settings.settings import Settings
from ota.things import Thing, find_thing
from ota.updates.jobs import QUEUED, Execution
from ota.updates.requests import BEING_CREATED, BEING_DELETED, Update
from ota.updates.rollouts import Rollout
from ota.updates.updates import find_update

TIMEOUT_S = 3600.0
POLL_S = 2.0
SILENCE_S = 90.0
PACE_WINDOW_S = 120.0  # the rate of a rollout is that of its last two minutes
RETRIED = "its call rate is used up, or it cannot be reached; this asks again until the time is up"
QUIET = (Action.REUSE, Action.SKIP)
NOT_MADE = (
    "There is no OTA update {update} yet. In case another run is about to make it, this waits for it, for {limit_s:g} "
    "seconds at most."
)


@dataclass(frozen=True)
class Moment:
    """One look at the job.

    Attributes:
        rollout: the job now; None where it does not exist any more. As at the look before where AWS did not return it.
        changed: the executions that have changed since the look before.
        quiet_s: for how long nothing has changed.
        waited_s: since the first look.
        is_last: no other look follows: the job is over or gone, the look is not allowed, or the time is up.
        unknown: why AWS did not return the job; None where it did.
        rate: how many devices finish in a minute; None where none has while this looked.
    """

    rollout: Rollout | None
    changed: tuple[Execution, ...]
    quiet_s: float
    waited_s: float
    is_last: bool
    unknown: OtaError | None = None
    rate: float | None = None

    @property
    def verdict(self) -> Verdict:
        """The result so far."""
        return judge_rollout(self.unknown or self.rollout)


def await_update(
    run: Run,
    tell: Callable[[str], None],
    *,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
    timeout_s: float = TIMEOUT_S,
    poll_s: float = POLL_S,
) -> Update | OtaError | None:
    """The update once AWS has made it, within ``timeout_s``; None where there is none.

    A missing update is waited for while another run may be about to make it. An error means that AWS does not allow the
    look, or has not answered it in all that time. ``tell`` gets a sentence about each wait, once.
    """
    begun = seen = clock()
    told = ""
    while True:
        found = attempt(partial(find_update, run.cloud.iot, run.settings.update_name))
        now = clock()
        awaited = _awaited(run, found)
        if awaited:
            seen = now
        elif found is None and now - seen < run.settings.update_timeout_s and _has_thing(run):
            awaited = NOT_MADE.format(update=run.settings.update_name, limit_s=run.settings.update_timeout_s)
        left_s = begun + timeout_s - now
        if not awaited or left_s <= 0:
            return found
        if awaited != told:
            tell(awaited)
            told = awaited
        sleep(min(poll_s, left_s))


def follow(
    look: Callable[[Rollout | None], Rollout | None],
    *,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
    timeout_s: float = TIMEOUT_S,
    poll_s: float = POLL_S,
) -> Iterator[Moment]:
    """Look at the job at once and then every ``poll_s`` seconds, until there is nothing to wait for.

    A look that AWS does not answer, or throttles, is retried; one that AWS does not allow is the last.

    Args:
        look: takes the result of the look before and returns the new one.
        sleep: waits so many seconds.
        clock: a monotonic clock, in seconds.
        timeout_s: when to give up.
        poll_s: the pause between two looks.
    """
    begun = moved = clock()
    before: Rollout | None = None
    pace = Pace()
    while True:
        found = attempt(partial(look, before))
        now = clock()
        unknown = found if isinstance(found, OtaError) else None
        rollout = before if isinstance(found, OtaError) else found
        changed = changes(before, rollout)
        if changed or _counts(before) != _counts(rollout):
            moved = now
        pace.take(now, rollout.finished_count if rollout else 0)
        is_last = _is_end(found) or now - begun >= timeout_s
        yield Moment(rollout, changed, now - moved, now - begun, is_last, unknown, pace.rate)
        if is_last:
            return
        before = rollout
        sleep(min(poll_s, timeout_s - (now - begun)))


class Pace:
    """How many devices finish in a minute, over the last two minutes of looks."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque()

    def take(self, now_s: float, finished: int) -> None:
        """Note how many devices have finished by now."""
        self._looks.append((now_s, finished))
        while len(self._looks) > 2 and now_s - self._looks[1][0] >= PACE_WINDOW_S:
            self._looks.popleft()

    @property
    def rate(self) -> float | None:
        """Devices a minute; None where none has finished meanwhile."""
        (begun, before), (now, finished) = self._looks[0], self._looks[-1]
        return 60 * (finished - before) / (now - begun) if now > begun and finished > before else None


def changes(before: Rollout | None, now: Rollout | None) -> tuple[Execution, ...]:
    """The executions whose status or details have changed; of many devices none, because the counts tell."""
    if now is not None and now.is_large:
        return ()
    known = {one.thing_name: (one.status, one.details) for one in before.executions} if before else {}
    return tuple(
        one for one in (now.executions if now else ()) if known.get(one.thing_name) != (one.status, one.details)
    )


def what_it_says(execution: Execution) -> str:
    """Status, progress and details in words: ``IN_PROGRESS, 12 of 146 blocks``."""
    progress = f"{execution.received[0]} of {execution.received[1]} blocks" if execution.received else ""
    return ", ".join(filter(None, [execution.status, progress, execution.words]))


def why_it_failed(execution: Execution) -> str:
    """Cause and remedy of a failure, from the details that the device reported, else from the status; may be empty."""
    return "\n".join(str(one.in_one_line()) for one in explain_failure(execution))


def silence_causes(settings: Settings, plan: Plan, rollout: Rollout) -> list[Text]:
    """Why nothing changes: first the causes that can be seen from here, then the usual ones.

    Args:
        settings: of the device's thing.
        plan: what differs from the settings now.
        rollout: the job, which has not changed for a while.
    """
    algorithm = settings.signature_algorithm
    name = "Some device" if rollout.is_large else settings.thing_name
    amiss = {step.noun for step in plan.steps if step.action not in QUIET}
    seen: list[Text] = [cause for noun, cause in _visible_causes(settings.thing_name).items() if noun in amiss]
    if rollout.counts().get(QUEUED):
        return [*seen, *_causes_before_start(name)]
    doubt = settings.profile.doubts.get(algorithm)
    if doubt:
        seen.append(message(f"The update is signed with {algorithm}: {doubt}; ", command("verify"), "."))
    return [*seen, *_causes_after_start(name)]


def _visible_causes(thing_name: str) -> dict[str, Message]:
    """For each noun that the plan would change, what a device notices of it."""
    return {
        "header": message(
            "The firmware's header names another endpoint or thing: a device built with it connects elsewhere; ",
            command("thing").then("build"),
            ", then flash it.",
        ),
        "policy": message(
            "The policy is not the one that the device needs: without iot:Receive and iot:Subscribe no answer "
            "reaches it; ",
            command("policy"),
            ".",
        ),
        "certificate": message(
            "The certificate is not as it must be: AWS refuses the connection; ", command("doctor"), "."
        ),
        "thing": message(
            f"The certificate is not attached to {thing_name}: the policy then grants nothing; ", command("thing"), "."
        ),
    }


def _causes_before_start(thing_name: str) -> tuple[Text, ...]:
    return (
        f"{thing_name} has not asked for its job: is it switched on, connected, and built with this header?",
        "Some firmware asks only once after a start: reset the device.",
    )


def _causes_after_start(thing_name: str) -> tuple[Text, ...]:
    return (
        f"{thing_name} took the job and says nothing more: Arm's firmware says nothing when the signature does not "
        "match, when a block was lost, or while it installs and restarts.",
        message(
            "Look at the device's log, prove the signature with ",
            command("verify"),
            ", and reset the device: it asks again.",
        ),
    )


def _awaited(run: Run, found: Update | OtaError | None) -> str:
    """A sentence about what there is to wait for; empty where there is nothing."""
    settings = run.settings
    name = settings.update_name
    if isinstance(found, OtaError):
        is_final = isinstance(found, PermissionDenied)
        return "" if is_final else f"AWS does not say how the OTA update {name} is: {RETRIED}."
    if found is not None and found.status in BEING_CREATED:
        return f"AWS is making the OTA update {name}; this waits for its job."
    if found is not None and found.status == BEING_DELETED:
        return f"AWS is deleting the OTA update {name}; this waits for one in its place."
    if found is None and builds.is_building(settings.build_lock_path):
        return f"Another run builds in {settings.firmware_root}; this waits for the OTA update {name}."
    return ""


def _has_thing(run: Run) -> bool:
    """Whether a run has begun to set up, because the thing is the first object that it makes; no where unknown."""
    return isinstance(attempt(partial(find_thing, run.cloud.iot, run.settings.thing_name)), Thing)


def _counts(rollout: Rollout | None) -> Mapping[str, int]:
    return rollout.counts() if rollout else {}


def _is_end(found: Rollout | OtaError | None) -> bool:
    """Whether another look would find nothing new."""
    if isinstance(found, OtaError):
        return isinstance(found, PermissionDenied)
    return found is None or found.is_over
