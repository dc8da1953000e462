"""Why an OTA update cannot be made, replaced or deleted, and what to do about it; nothing here calls AWS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ota.errors import InTheWay, NotOurs, UpdateFailed
from ota.messages import Message, aws_command, command, message
from ota.updates.jobs import Job
from ota.updates.requests import WITHOUT_JOB, Update, UpdateRequest
from ota.updates.rollout_rules import spoken_names, targets_name

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient


def not_ours(update: Update, thing_name: str) -> NotOurs:
    """Why an update that was not made for the thing is left as it is."""
    made_for = f", but for {update.thing_name}" if update.thing_name else ""
    return NotOurs(
        f"The OTA update {update.update_id} was not made by this tool for the thing {thing_name}{made_for}, so it "
        "stays. Write another update_name in config.json, or ",
        _way_out(update),
        ".",
    )


def job_problem(iot: IoTClient, job: Job, request: UpdateRequest) -> InTheWay | None:
    """Why the update cannot be made beside this job, which has the id that it needs."""
    if set(job.targets) == set(request.targets):
        return None
    return InTheWay(
        f"The job {job.job_id} was not made for {targets_name(request.targets)}, and the update {request.update_id} "
        "needs its id: delete it (",
        aws_command(iot, "delete-job", job_id=job.job_id, force=""),
        "), or write another update_name in config.json.",
    )


def deletion_problem(update: Update, job: Job | None) -> InTheWay | None:
    """Why an update without a job is not deleted: a job of somebody else has the id of its own, and could go too."""
    if job is None or update.status not in WITHOUT_JOB or set(job.targets) == set(update.targets):
        return None
    delete = command("delete.job", "--name", job.job_id, "--force")
    return InTheWay(
        f"The OTA update {update.update_id} has no job of its own. The job {job.job_id}, which has the id for it, was "
        f"made for {targets_name(job.targets)} and could be deleted with the update. If nobody needs that job, delete "
        "it first: ",
        delete,
        ", then run the same command.",
        remedy=delete,
    )


def running_problem(update: Update, names: Sequence[str], count: int = 0) -> InTheWay:
    """Why an update is not replaced: devices download it; those with these names, or so many."""
    count = max(count, len(names))
    who = spoken_names(names, count) if names else f"{count:,} {'device' if count == 1 else 'devices'}"
    verb, them = ("is", "device") if count == 1 else ("are", "devices")
    return InTheWay(
        f"{who} {verb} downloading {update.update_id} right now, and that has other content than is wanted. Let the "
        f"{them} finish, or replace it anyway: replace_running_update true in config.json, or "
        "OTA_REPLACE_RUNNING_UPDATE=true.",
        remedy=command("update", replace_running_update="true"),
    )


def lost_role_problem(update_id: str, role_name: str) -> UpdateFailed:
    """Why an update cannot be deleted: its role is gone."""
    make_role = command("role")
    return UpdateFailed(
        f"AWS could not delete the OTA update {update_id}: it uses the update's own role for that, and {role_name} "
        "does not exist or does not trust AWS IoT. Make it again: ",
        make_role,
        ", then run the same command.",
        remedy=make_role,
    )


def _way_out(update: Update) -> Message:
    """How an update that is not ours is deleted."""
    if update.thing_name:  # its device may be about to begin it
        return message("delete what that thing has first (", command("clean", thing_name=update.thing_name), ")")
    delete = command("delete.update", "--name", update.update_id, "--force")
    return message("delete that one (", delete, ") and run the same command again")
