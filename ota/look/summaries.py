"""What `update` and `all` print at their end: the offer to the device, and how the device takes it.

A job is offered once. When its device has finished, nothing more is offered, however often ``all`` is run; then the
result is printed with the command that sends the update again. Where a virtual device of the same thing runs in another
terminal, ``all`` follows it until the job is over, the device has ended, or nothing has changed for a while. A running
device holds a lock on its folder, so finding it takes no call to AWS.

Source: ``ota/jobs.py``; AWS IoT JobExecutionStatus; ``ota/device/flash.py`` for the lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ota.device.flash import is_in_use
from ota.errors import OtaError
from ota.jobs import IN_PROGRESS, Execution, find_rollout, job_id_of
from ota.look import screens
from ota.look.watching import follow, what_it_says, why_it_failed
from ota.messages import Message, Text, command, message

if TYPE_CHECKING:
    from ota.run import Run
    from ota.set_up import Ready, UpdateOffer

POLL_S = 1.0
QUIET_S = 10.0
SEND_AGAIN = command("delete.update").then("update")
NEXT = message(
    "Next: start the device and it takes the update, or prove it first with a virtual one: ",
    command("device"),
    "; ",
    command("clean"),
    " takes everything down again.",
)


def show_update(run: Run, offer: UpdateOffer) -> None:
    """How the device ended with an update that was there before; once in a command line, and only where it ended."""
    if offer.is_over and isinstance(offer.execution, Execution):
        text = end_text(offer.execution, datetime.now(timezone.utc))
        run.steps.do("end of the update", partial(run.report.say, text))


def show_summary(run: Run, ready: Ready) -> None:
    """What is set up, and what comes next; where a virtual device runs, how it takes the update."""
    show_update(run, ready.offer)
    run.end_turn()
    if ready.offer.is_over:
        done = message(f"All is set up for {ready.thing_name}; ", command("clean"), " takes everything down again.")
        run.report.say(done)
        return
    run.report.say(ready_text(ready))
    if not follow_device(run, run.scope.device_path / ready.thing_name):
        run.report.say(NEXT)


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


def ready_text(ready: Ready) -> Text:
    """What is offered to the device, as far as it is known."""
    name, image, offer = ready.thing_name, ready.image, ready.offer
    what = f"{image.path.name} ({image.size_bytes:,} bytes) as update {offer.update.update_id}"
    if offer.is_new:
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
