"""What `update` and `all` print at their end: the offer to the device, and how the device takes it.

A job is offered once. When its device has finished, nothing more is offered, however often ``all`` is run; then the
result is printed with the command that sends the update again. Where a virtual device of the same thing runs in another
terminal, ``all`` follows it until the job is over, the device has ended, or nothing has changed for a while. A running
device holds a lock on its folder, so finding it takes no call to AWS.

Source: ``ota/updates/jobs.py``; AWS IoT JobExecutionStatus; ``ota/device/flash.py`` for the lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ota.device.flash import is_in_use
from ota.errors import OtaError
from ota.look import screens
from ota.look.watching import follow, what_it_says, why_it_failed
from ota.messages import Message, Text, command, message
from ota.updates.jobs import IN_PROGRESS, Execution, Job, job_id_of
from ota.updates.rollouts import find_rollout

if TYPE_CHECKING:
    from ota.run import Run
    from ota.set_up import Ready, UpdateOffer

POLL_S = 1.0
QUIET_S = 10.0
SEND_AGAIN = command("delete.update").then("update")
NEXT_OF_MANY = message(
    "Next: ",
    command("watch"),
    " follows it, ",
    command("cancel"),
    " stops it, ",
    command("retry"),
    " sends it again to those that fail; ",
    command("clean"),
    " takes everything down again.",
)
NEXT = message(
    "Next: start the device and it takes the update, or prove it first with a virtual one: ",
    command("device"),
    "; ",
    command("clean"),
    " takes everything down again.",
)


def show_update(run: Run, offer: UpdateOffer) -> None:
    """How the devices ended with an update that was there before; once in a command line, and only where they did."""
    if not offer.is_over:
        return
    if isinstance(offer.job, Job):
        run.steps.do("end of the update", partial(run.report.say, end_of_many(offer.job)))
    elif isinstance(offer.execution, Execution):
        text = end_text(offer.execution, datetime.now(timezone.utc))
        run.steps.do("end of the update", partial(run.report.say, text))


def show_summary(run: Run, ready: Ready, *, as_json: bool) -> None:
    """What is set up, and what comes next; where a virtual device runs, how it takes the update."""
    show_update(run, ready.offer)
    run.end_turn()
    if as_json:
        run.report.success(**_ready_as_json(ready))
        return
    if ready.offer.is_over:
        done = message(f"All is set up for {ready.thing_name}; ", command("clean"), " takes everything down again.")
        run.report.say(done)
        return
    run.report.say(ready_text(ready))
    if ready.is_for_many:
        run.report.say(NEXT_OF_MANY)
    elif not follow_device(run, run.scope.device_path / ready.thing_name):
        run.report.say(NEXT)


def _ready_as_json(ready: Ready) -> dict[str, Any]:
    """The image and its update as plain values; ``execution`` is None where AWS has none, or did not say."""
    update, execution = ready.offer.update, ready.offer.execution
    return {
        "thing": ready.thing_name,
        "image": {
            "path": str(ready.image.path),
            "bytes": ready.image.size_bytes,
            "sha256": ready.image.sha256,
        },
        "update": update.update_id,
        "job": job_id_of(update.update_id),
        "execution": execution.as_json() if isinstance(execution, Execution) else None,
    }


def end_text(execution: Execution, now: datetime) -> Message:
    """How the device ended, when, and the command that sends the update again; with the cause where it failed."""
    name, when = execution.thing_name, screens.age(execution.updated_at, now)
    if execution.has_succeeded:
        return message(
            f"{name} took this update {when}, so nothing is offered to it. To send it again: ", SEND_AGAIN, "."
        )
    why = why_it_failed(execution)
    return message(
        f"{name} failed: {what_it_says(execution)}, {when}; nothing is offered to it any more.\n",
        *([why, "\n"] if why else []),
        "Once the cause is gone, send the update again: ",
        SEND_AGAIN,
        ".",
    )


def end_of_many(job: Job) -> Message:
    """How a rollout ended, and the commands that send it again."""
    told = ", ".join(f"{count:,} {status}" for status, count in job.counts.items()) or "no device"
    return message(
        f"The rollout {job.job_id} is {job.status} ({told}), so nothing more is sent. Again to those that did not take "
        "it: ",
        command("retry"),
        "; to all: ",
        SEND_AGAIN,
        ".",
    )


def ready_text(ready: Ready) -> Text:
    """What is offered to the devices, as far as it is known."""
    name, image, offer = ready.target, ready.image, ready.offer
    what = f"{image.path.name} ({image.size_bytes:,} bytes) as update {offer.update.update_id}"
    if offer.is_new or ready.is_for_many:
        return f"Ready: {name} is offered {what}."
    found = offer.execution
    if isinstance(found, OtaError):
        told = message(f"Ready: {what}. AWS did not say whether {name} has taken it: ", command("status"), ".\n")
        return message(told, found.message)
    if found is None:
        return message(f"Ready: {what}. Its job has not reached {name}: ", command("status"), " tells more.")
    return f"Ready: {name} {'is taking' if found.status == IN_PROGRESS else 'is offered'} {what}."


def follow_device(
    run: Run,
    folder_path: Path,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> bool:
    """Show how the device that works in this folder takes the update; False, and nothing shown, where none does.

    A device that fails is no failure of this command line: the update is set up.
    """
    if not is_in_use(folder_path):
        return False
    job_id = job_id_of(run.settings.update_name)
    run.report.say(f"The virtual device {run.settings.thing_name} runs already; this is how it takes the update.")
    is_here = True
    with screens.watching(run.report, job_id, as_json=False) as screen:
        for moment in follow(partial(find_rollout, run.cloud.iot, job_id), sleep=sleep, clock=clock, poll_s=POLL_S):
            screen.show(moment)
            if not is_here or moment.quiet_s >= QUIET_S:
                break
            is_here = is_in_use(folder_path)  # one more look after it has ended: it may have reported last
    screen.end(moment)
    return True
