"""How an operator ends a job: cancel it, or delete it.

Source: AWS IoT API reference, CancelJob, DeleteJob; AWS IoT Device Management quotas for jobs.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ota.sandbox.moto import tags
from ota.sandbox.moto.errors import AwsError

from . import job_progress
from .job_events import tell_job
from .job_queues import watched
from .job_types import CANCELED, COMPLETED, DELETION_IN_PROGRESS, IN_PROGRESS, SCHEDULED, Job, Reply
from .job_views import find_job
from .state import Event, Region

MAX_DELETIONS = 10


def cancel_job(region: Region, params: dict[str, Any]) -> Reply:
    """CancelJob: without ``force`` executions in progress go on."""
    job = find_job(region, params["jobId"])
    if job.status not in {IN_PROGRESS, SCHEDULED}:
        raise AwsError("InvalidStateTransitionException", f"Job {job.job_id} is {job.status} and can not be canceled.")
    job.reason_code = params.get("reasonCode")
    events = job_progress.cancel(region, job, comment=params.get("comment"), force=bool(params.get("force")))
    return Reply({"jobArn": job.arn, "jobId": job.job_id, "description": job.config.get("description")}, events)


def delete_job(region: Region, params: dict[str, Any]) -> Reply:
    """DeleteJob: the job is DELETION_IN_PROGRESS for a while, then gone with its executions."""
    job = find_job(region, params["jobId"])
    if job.status == DELETION_IN_PROGRESS:
        return Reply()
    if job.status not in {COMPLETED, CANCELED} and not params.get("force"):
        message = f"Job {job.job_id} is {job.status}; only a completed or canceled job can be deleted without force."
        raise AwsError("InvalidStateTransitionException", message)
    deletions = [one for one in region.jobs.values() if one.status == DELETION_IN_PROGRESS]
    if len(deletions) >= MAX_DELETIONS:
        raise AwsError("LimitExceededException", f"{MAX_DELETIONS} jobs are being deleted already.")
    return Reply(events=begin_deletion(region, job))


def begin_deletion(region: Region, job: Job) -> list[Event]:
    """Take the job out of its things' queues now, and away after the pauses that AWS takes for it."""
    things = [execution.thing_name for execution in job.latest()]
    with watched(region, things) as events:
        job.status = DELETION_IN_PROGRESS
        job.waiting = []
    events += tell_job(region, job, "deletion_in_progress")
    region.later(2 * region.sandbox.pause_s, partial(_remove, region, job))
    return events


def _remove(region: Region, job: Job) -> list[Event]:
    if region.jobs.get(job.job_id) is job:
        del region.jobs[job.job_id]
        tags.drop(region.account_id, region.name, job.arn)
        return tell_job(region, job, "deleted")
    return []
