"""Follows a job until every device has finished, and says what silence may mean.

A device says little while it works, and nothing when it cannot verify a signature, lost a block or never asks. So what
has not moved for a while is named with the causes that fit, those first that can be seen from here.

Source: AWS IoT DescribeJob, DescribeJobExecution; FreeRTOS/iot-reference-arm-corstone3xx ``ota_orchestrator`` (asks for
its job only after a start; sends nothing when a download or a signature fails).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ota.executions import QUEUED, Execution, Rollout
from ota.explanations import explain
from ota.plans import Action, Plan, Site

TIMEOUT_S = 3600.0
POLL_S = 2.0
SILENCE_S = 90.0
SAID_ANYWAY = ("receive", "updatedBy")  # however it ends, so they are no reason


@dataclass(frozen=True)
class Moment:
    """One look at the job.

    Attributes:
        rollout: the job now; None where it is gone.
        changed: the executions that are not as they were at the look before.
        quiet_s: for how long nothing has changed.
        waited_s: since the first look.
        is_last: nothing more will come: all is over, the job is gone, or the time is up.
    """

    rollout: Rollout | None
    changed: tuple[Execution, ...]
    quiet_s: float
    waited_s: float
    is_last: bool


def follow(
    look: Callable[[Rollout | None], Rollout | None],
    *,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
    timeout_s: float = TIMEOUT_S,
    poll_s: float = POLL_S,
) -> Iterator[Moment]:
    """Look again and again, at once and then every ``poll_s`` seconds, until there is nothing to wait for.

    Args:
        look: makes the look; takes the one before.
        sleep: waits so many seconds.
        clock: a count of seconds that never goes back.
        timeout_s: when to give up.
        poll_s: the pause between two looks.
    """
    begun = moved = clock()
    before: Rollout | None = None
    while True:
        rollout = look(before)
        now = clock()
        changed = changes(before, rollout)
        if changed:
            moved = now
        is_over = rollout is None or rollout.is_over
        is_last = is_over or now - begun >= timeout_s
        yield Moment(rollout, changed, now - moved, now - begun, is_last)
        if is_last:
            return
        before = rollout
        sleep(min(poll_s, timeout_s - (now - begun)))


def changes(before: Rollout | None, now: Rollout | None) -> tuple[Execution, ...]:
    """The executions whose status or details are not what they were."""
    known = {one.thing_name: (one.status, one.details) for one in before.executions} if before else {}
    return tuple(
        one for one in (now.executions if now else ()) if known.get(one.thing_name) != (one.status, one.details)
    )


def what_it_says(execution: Execution) -> str:
    """Status and details in the words of people: ``IN_PROGRESS, 12 of 146 blocks``."""
    progress = f"{execution.received[0]} of {execution.received[1]} blocks" if execution.received else ""
    return ", ".join(filter(None, [execution.status, progress, execution.words]))


def why_it_failed(execution: Execution) -> str:
    """Cause and remedy of a failure, decoded from what the device said, else from the status; empty where unknown."""
    told = {key: value for key, value in execution.details.items() if key not in SAID_ANYWAY}
    for text in (json.dumps(told) if told else "", execution.status):
        found = explain(text) if text else ()
        if found:
            return "\n".join(str(one) for one in found)
    return ""


def silence_causes(site: Site, plan: Plan, rollout: Rollout) -> list[str]:
    """Why nothing moves: what can be seen from here, else what it most often is; a sentence each.

    Args:
        site: whose device it is.
        plan: a fresh one, for what differs now.
        rollout: the job, of which nothing has changed for a while.
    """
    seen = [sentence for noun, sentence in SEEN_CAUSES.items() if _is_amiss(plan, noun)]
    is_queued = any(one.status == QUEUED for one in rollout.executions)
    doubt = site.settings.profile.doubts.get(site.settings.signature_algorithm)
    if doubt and not is_queued:
        seen.append(f"The update is signed with {site.settings.signature_algorithm}: {doubt}; `{{prefix}} verify`.")
    usual = NEVER_ASKED if is_queued else WENT_SILENT
    name = site.settings.thing_name
    return [sentence.format(thing=name, prefix=site.prefix) for sentence in [*seen, *usual]]


# What the plan would change, and what the device notices of it.
SEEN_CAUSES = {
    "header": "The firmware's header names another endpoint or thing: a device built with it asks elsewhere; "
    "`{prefix} thing build`, then flash it.",
    "policy": "The policy is not the one that the device needs: without iot:Receive and iot:Subscribe no answer "
    "reaches it; `{prefix} policy`.",
    "certificate": "The certificate is not as it must be: AWS refuses the connection; `{prefix} doctor`.",
    "thing": "The certificate is not attached to {thing}: the policy then grants nothing; `{prefix} thing`.",
}
NEVER_ASKED = (
    "{thing} has not asked for its job: is it switched on, connected, and built with this header?",
    "Some firmware asks only once after a start: reset the device.",
)
WENT_SILENT = (
    "{thing} took the job and says nothing more: Arm's firmware says nothing when the signature does not match, when a "
    "block was lost, or while it installs and restarts.",
    "Look at the device's log, prove the signature with `{prefix} verify`, and reset the device: it asks again.",
)


def _is_amiss(plan: Plan, noun: str) -> bool:
    quiet = (Action.REUSE, Action.SKIP)
    return any(step.noun == noun and step.action not in quiet for step in plan.steps)
