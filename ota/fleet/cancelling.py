"""The task ``cancel``: stops the rollout of the update, and shows what stays done.

AWS cancels the executions a thousand a minute, after it has answered. So the job is looked at until nobody waits for
it any more, and what is told is what it came to.

Source: AWS IoT CancelJob (``force``), CancelJobExecution; Developer Guide, "Jobs" (a cancelled job cannot be resumed).
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING

from ota.errors import NotOurs, WaitTimeout
from ota.messages import Text, aws_command, command, joined, message
from ota.outcomes import Outcome, Verb
from ota.threads import side_by_side, side_by_side_map
from ota.updates.jobs import (
    IN_PROGRESS,
    QUEUED,
    UNFINISHED_JOB,
    Job,
    Patience,
    cancel_execution,
    cancel_job,
    find_job,
    job_id_of,
    list_things_at_work,
)
from ota.updates.requests import BEING_CREATED, Update
from ota.updates.updates import find_update, wait_at_rest

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

    from ota.run import Run

CANCELED = "CANCELED"


def cancel(run: Run, *, force: bool, as_json: bool) -> None:
    """Stop the rollout; an update that is absent or over is success.

    Args:
        run: the command line.
        force: take the update away from devices that are at work on it too.
        as_json: print one JSON document.

    Raises:
        NotOurs: this tool did not make the update for the thing of the settings.
    """
    name, job_id = run.settings.update_name, job_id_of(run.settings.update_name)
    run.take_turn()
    iot = run.cloud.iot
    update, before = side_by_side(partial(find_update, iot, name), partial(find_job, iot, job_id))
    if update is not None:
        _check_ours(iot, update, run.settings.thing_name)
    if update is not None and update.status in BEING_CREATED:
        with run.report.live_line(f"waiting for AWS to be done with {name}"):
            update = wait_at_rest(iot, update, run.patience_to_delete())
        before = find_job(iot, job_id)
    after = _stop(run, before, force=force) if update is not None and before is not None else None
    if before is None or after is None:
        detail = "there is no such update" if update is None else f"the update is {update.status} and has no job"
        run.report.outcome(Outcome("job", Verb.ABSENT, job_id, detail))
    if as_json:
        was = before.counts if before else {}
        now = after.counts if after else {}
        run.report.success(
            job=job_id,
            status=after.status if after else "",
            cancelled=now.get(CANCELED, 0) - was.get(CANCELED, 0),
            counts=dict(now),
        )


def _stop(run: Run, before: Job, *, force: bool) -> Job | None:
    """Cancel what may still go on; the job after that."""
    iot, job_id = run.cloud.iot, before.job_id
    at_work = before.counts.get(IN_PROGRESS, 0)
    if before.status in UNFINISHED_JOB:
        cancel_job(iot, job_id, force=force)
    elif at_work and force:
        list(side_by_side_map(partial(cancel_execution, iot, job_id), list_things_at_work(iot, job_id)))
    else:
        run.report.outcome(Outcome("job", Verb.SKIPPED, job_id, _ended_text(before)))
        return before
    with run.report.live_line(f"waiting for AWS to cancel {job_id}"):
        after = _settled(iot, job_id, run.patience_to_delete(), force=force)
    if after is not None:
        run.report.outcome(Outcome("job", Verb.CHANGED, job_id, _cancelled_text(before, after)))
        _tell(run, after)
    return after


def _settled(iot: IoTClient, job_id: str, patience: Patience, *, force: bool) -> Job | None:
    """The job once nobody waits for it, or as it is at the end of the time."""
    waiting = {QUEUED, IN_PROGRESS} if force else {QUEUED}

    def look() -> tuple[Job | None] | None:
        found = find_job(iot, job_id)
        is_settled = found is None or (found.has_ended and not waiting & found.counts.keys())
        return (found,) if is_settled else None

    with contextlib.suppress(WaitTimeout):
        return patience.wait_until(look, patience.timeout_s, f"AWS to cancel the job {job_id}")[0]
    return find_job(iot, job_id)


def _tell(run: Run, after: Job) -> None:
    at_work = after.counts.get(IN_PROGRESS, 0)
    lines: list[Text] = []
    if at_work:
        who = "1 device is" if at_work == 1 else f"{at_work:,} devices are"
        lines.append(message(f"{who} at work on it and may finish: ", command("cancel", "--force"), " cuts them off."))
    again = command("retry")
    lines.append(message("A cancelled rollout cannot go on: ", again, " sends it to those that did not take it."))
    run.report.say(joined("\n", lines))


def _cancelled_text(before: Job, after: Job) -> str:
    cancelled = after.counts.get(CANCELED, 0) - before.counts.get(CANCELED, 0)
    stays = _counts_text(after, but=(CANCELED, IN_PROGRESS))
    return f"{cancelled:,} cancelled; {f'stays done: {stays}' if stays else 'nothing was done yet'}"


def _ended_text(job: Job) -> str:
    return f"it is {job.status} already: {_counts_text(job) or 'no device'}"


def _counts_text(job: Job, but: tuple[str, ...] = ()) -> str:
    return ", ".join(f"{count:,} {status}" for status, count in job.counts.items() if status not in but)


def _check_ours(iot: IoTClient, update: Update, thing_name: str) -> None:
    if update.is_ours(thing_name):
        return
    stop = aws_command(iot, "cancel-job", job_id=job_id_of(update.update_id))
    raise NotOurs(
        f"The OTA update {update.update_id} was not made by this tool for the thing {thing_name}, so it goes on. To "
        "stop it anyway: ",
        stop,
        ".",
    )
