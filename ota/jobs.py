"""A job by itself: what is left of an update, or what somebody made without one; and who is at work on one.

The job of an update goes with its update, which is ``updates``' matter. Here is the job that somebody names. AWS lets
no more than ten be deleted at a time, so a deletion returns only when the job is gone.

Source: AWS IoT DeleteJob, DescribeJob, ListJobExecutionsForThing; AWS IoT quotas (concurrent DeleteJob).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ota.errors import InTheWay
from ota.outcomes import Outcome, Verb
from ota.update_waits import JOB_BEING_DELETED, UNFINISHED_JOB, Patience, find_job, wait_job_deleted

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

PAGE_SIZE = 250


def delete_job(iot: IoTClient, job_id: str, *, force: bool = False, patience: Patience | None = None) -> Outcome[None]:
    """Delete the job with its executions, and wait until it is gone; absent is success.

    ``force``: though its devices have not finished.

    Raises:
        InTheWay: its devices have not finished, and ``force`` is not given.
        WaitTimeout: it took longer than the bounds.
    """
    job = find_job(iot, job_id)
    if job is None:
        return Outcome("job", Verb.ABSENT, job_id)
    if job.status in UNFINISHED_JOB and not force:
        raise InTheWay(f"The job {job_id} is {job.status}: its devices have not finished.")
    if job.status != JOB_BEING_DELETED:
        _request_deletion(iot, job_id, force=force)
    wait_job_deleted(iot, job_id, patience or Patience())
    return Outcome("job", Verb.DELETED, job_id)


def list_jobs_at_work(iot: IoTClient, thing_name: str) -> list[str]:
    """Ids of the jobs that the thing's device is at work on right now."""
    return _list_ids(iot, thingName=thing_name, status="IN_PROGRESS")


def list_job_ids(iot: IoTClient, thing_name: str) -> list[str]:
    """Ids of the jobs that the thing has or had, as far back as AWS keeps their executions."""
    return _list_ids(iot, thingName=thing_name)


def _list_ids(iot: IoTClient, **query: Any) -> list[str]:
    paginator = iot.get_paginator("list_job_executions_for_thing")
    pages = paginator.paginate(**query, PaginationConfig={"PageSize": PAGE_SIZE})
    try:
        return [one["jobId"] for page in pages for one in page.get("executionSummaries", [])]
    except iot.exceptions.ResourceNotFoundException:
        return []


def _request_deletion(iot: IoTClient, job_id: str, *, force: bool) -> None:
    try:
        iot.delete_job(jobId=job_id, force=force)
    except iot.exceptions.ResourceNotFoundException:
        return
