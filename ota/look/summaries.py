"""What `update` and `all` say of an update that was there before: its device may have taken it already, or failed.

A job is offered once. When its device has finished, nothing is offered any more, however often ``all`` is run; then the
end is told, with the command that sends the update again.

Source: ``ota/jobs.py``; AWS IoT JobExecutionStatus.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from ota.errors import OtaError
from ota.jobs import IN_PROGRESS, Execution
from ota.look.screens import age
from ota.look.watching import what_it_says, why_it_failed

if TYPE_CHECKING:
    from ota.firmware.builds import Image
    from ota.update_requests import Update

SEND_AGAIN = "`invoke delete.update update`"
NEXT = (
    "Next: start the device and it takes the update, or prove it first with a virtual one: `invoke device`; "
    "`invoke clean` takes everything down again."
)


def is_over(found: Execution | OtaError | None) -> bool:
    """Whether the device has finished with the update, so that nothing is offered to it."""
    return isinstance(found, Execution) and found.is_over


def end_text(execution: Execution, now: datetime) -> str:
    """How the device ended, when, and the command that sends the update again; with the cause where it failed."""
    name, when = execution.thing_name, age(execution.updated_at, now)
    if execution.has_succeeded:
        return f"{name} took this update {when}, so nothing is offered to it. To send it again: {SEND_AGAIN}."
    told = [
        f"{name} failed: {what_it_says(execution)}, {when}; nothing is offered to it any more.",
        why_it_failed(execution),
        f"Once the cause is gone, send the update again: {SEND_AGAIN}.",
    ]
    return "\n".join(filter(None, told))


def ready_text(
    thing_name: str, image: Image, update: Update, found: Execution | OtaError | None, *, is_new: bool
) -> str:
    """What is offered to the device, as far as it is known.

    Args:
        thing_name: the device's thing.
        image: what the update brings.
        update: it is there, and its job too.
        found: the device's part of the job, or why AWS did not tell; None where the job has not reached it.
        is_new: the update was made just now, so that nobody has looked at its job.
    """
    what = f"{image.path.name} ({image.size_bytes:,} bytes) as update {update.update_id}"
    if is_new:
        return f"Ready: {thing_name} is offered {what}."
    if isinstance(found, OtaError):
        return f"Ready: {what}. AWS did not say whether {thing_name} has taken it: `invoke status`.\n{found}"
    if found is None:
        return f"Ready: {what}. Its job has not reached {thing_name}: `invoke status` tells more."
    return f"Ready: {thing_name} {'is taking' if found.status == IN_PROGRESS else 'is offered'} {what}."
