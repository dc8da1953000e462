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
from functools import partial

from ota.errors import OtaError, PermissionDenied
from ota.firmware import builds
from ota.jobs import QUEUED, Execution, Rollout
from ota.look.explain import explain
from ota.look.statuses import Verdict, judge_rollout
from ota.outcomes import Action
from ota.plan import Plan, Site, attempt
from ota.things import Thing, find_thing
from ota.update_requests import BEING_CREATED, BEING_DELETED, Update
from ota.updates import find_update

TIMEOUT_S = 3600.0
POLL_S = 2.0
SILENCE_S = 90.0
RETRIED = "its call rate is used up, or it cannot be reached; this asks again until the time is up"
NOT_MADE = (
    "There is no OTA update {update} yet. In case another run is about to make it, this waits for it, for {limit_s:g} "
    "seconds at most."
)
SAID_ANYWAY = ("receive", "updatedBy")  # however it ends, so they are no reason


@dataclass(frozen=True)
class Moment:
    """One look at the job.

    Attributes:
        rollout: the job now; None where it is gone. Where AWS did not say, as it was at the look before.
        changed: the executions that are not as they were at the look before.
        quiet_s: for how long nothing has changed.
        waited_s: since the first look.
        is_last: nothing more will come: all is over, the job is gone, the look is not allowed, or the time is up.
        unknown: why AWS did not say how the job is now; None where it did.
    """

    rollout: Rollout | None
    changed: tuple[Execution, ...]
    quiet_s: float
    waited_s: float
    is_last: bool
    unknown: OtaError | None = None

    @property
    def verdict(self) -> Verdict:
        """What it has come to."""
        return judge_rollout(self.unknown or self.rollout)


def await_update(
    site: Site,
    tell: Callable[[str], None],
    *,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
    timeout_s: float = TIMEOUT_S,
    poll_s: float = POLL_S,
) -> Update | OtaError | None:
    """The update once AWS has made it, as far as ``timeout_s`` allows; None where there is none.

    One that is not there is waited for while another run may be about to make it. An error says that AWS does not allow
    the look, or has not answered it in all that time. ``tell`` gets what is waited for, once for each cause.
    """
    begun = seen = clock()
    told = ""
    while True:
        found = attempt(partial(find_update, site.cloud.iot, site.settings.update_name))
        now = clock()
        awaited = _awaited(site, found)
        if awaited:
            seen = now
        elif found is None and now - seen < site.settings.update_timeout_s and _has_thing(site):
            awaited = NOT_MADE.format(update=site.settings.update_name, limit_s=site.settings.update_timeout_s)
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
    """Look again and again, at once and then every ``poll_s`` seconds, until there is nothing to wait for.

    A look that AWS does not answer, or throttles, is made again; one that it does not allow is the last.

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
        found = attempt(partial(look, before))
        now = clock()
        unknown = found if isinstance(found, OtaError) else None
        rollout = before if isinstance(found, OtaError) else found
        changed = changes(before, rollout)
        if changed:
            moved = now
        is_last = _is_end(found) or now - begun >= timeout_s
        yield Moment(rollout, changed, now - moved, now - begun, is_last, unknown)
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


def _awaited(site: Site, found: Update | OtaError | None) -> str:
    """What there is to wait for, as a sentence; empty where there is nothing."""
    settings = site.settings
    name = settings.update_name
    if isinstance(found, OtaError):
        is_final = isinstance(found, PermissionDenied)
        return "" if is_final else f"AWS does not say how the OTA update {name} is: {RETRIED}."
    if found is not None and found.status in BEING_CREATED:
        return f"AWS is making the OTA update {name}; this waits for its job."
    if found is not None and found.status == BEING_DELETED:
        return f"AWS is deleting the OTA update {name}; this waits for one in its place."
    if found is None and builds.is_building(settings.build_script_path):
        return f"Another run builds in {settings.firmware_root}; this waits for the OTA update {name}."
    return ""


def _has_thing(site: Site) -> bool:
    """Whether a run has begun to set up: the thing is the first that it makes. Unknown counts as no."""
    return isinstance(attempt(partial(find_thing, site.cloud.iot, site.settings.thing_name)), Thing)


def _is_end(found: Rollout | OtaError | None) -> bool:
    """Whether looking again would find nothing else."""
    if isinstance(found, OtaError):
        return isinstance(found, PermissionDenied)
    return found is None or found.is_over


def _is_amiss(plan: Plan, noun: str) -> bool:
    quiet = (Action.REUSE, Action.SKIP)
    return any(step.noun == noun and step.action not in quiet for step in plan.steps)
