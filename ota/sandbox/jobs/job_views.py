"""Jobs as an operator looks at them: describe and list.

Source: AWS IoT API reference, DescribeJob, ListJobs, GetJobDocument.
"""

from __future__ import annotations

from typing import Any

from ota.sandbox.moto.errors import not_found
from ota.sandbox.moto.pages import cut_page
from ota.sandbox.moto.registry_view import is_group

from .job_types import CONTINUOUS, Job, Reply
from .state import Region

_COUNTS = {
    "CANCELED": "numberOfCanceledThings",
    "SUCCEEDED": "numberOfSucceededThings",
    "FAILED": "numberOfFailedThings",
    "REJECTED": "numberOfRejectedThings",
    "QUEUED": "numberOfQueuedThings",
    "IN_PROGRESS": "numberOfInProgressThings",
    "REMOVED": "numberOfRemovedThings",
    "TIMED_OUT": "numberOfTimedOutThings",
}


def describe_job(region: Region, params: dict[str, Any]) -> Reply:
    """DescribeJob."""
    job = find_job(region, params["jobId"])
    seen = {
        "jobArn": job.arn,
        "jobId": job.job_id,
        "targetSelection": job.selection,
        "status": job.status,
        "forceCanceled": job.force_canceled,
        "reasonCode": job.reason_code,
        "comment": job.comment,
        "targets": job.targets,
        "createdAt": job.created_at,
        "lastUpdatedAt": job.last_updated_at,
        "completedAt": job.completed_at,
        "jobProcessDetails": _process_details(job),
        "isConcurrent": job.selection == CONTINUOUS,
        **{name: value for name, value in job.config.items() if name != "documentSource"},
    }
    body: dict[str, Any] = {"job": {name: value for name, value in seen.items() if value is not None}}
    if "documentSource" in job.config:
        body["documentSource"] = job.config["documentSource"]
    return Reply(body)


def get_job_document(region: Region, params: dict[str, Any]) -> Reply:
    """GetJobDocument: the stored text, placeholders unresolved."""
    return Reply({"document": find_job(region, params["jobId"]).document})


def list_jobs(region: Region, params: dict[str, Any]) -> Reply:
    """ListJobs, newest first."""
    group = params.get("thingGroupName")
    found = [
        job
        for job in reversed(list(region.jobs.values()))
        if params.get("status") in {None, job.status}
        and params.get("targetSelection") in {None, job.selection}
        and (group is None or region.arn(f"thinggroup/{group}") in job.targets)
    ]
    page, token = cut_page(found, params.get("maxResults"), params.get("nextToken"))
    return Reply({"jobs": [_summary(job) for job in page], "nextToken": token})


def find_job(region: Region, job_id: str) -> Job:
    """The job, or ResourceNotFoundException."""
    job = region.jobs.get(job_id)
    if job is None:
        raise not_found(f"Job {job_id} does not exist.")
    return job


def _summary(job: Job) -> dict[str, Any]:
    return {
        "jobArn": job.arn,
        "jobId": job.job_id,
        "targetSelection": job.selection,
        "status": job.status,
        "createdAt": job.created_at,
        "lastUpdatedAt": job.last_updated_at,
        "completedAt": job.completed_at,
        "isConcurrent": job.selection == CONTINUOUS,
    }


def _process_details(job: Job) -> dict[str, Any]:
    statuses = [execution.status for execution in job.latest()]
    counts: dict[str, Any] = {name: statuses.count(status) for status, name in _COUNTS.items()}
    if job.waiting:
        counts["processingTargets"] = [target for target in job.targets if is_group(target)] or job.targets
    return counts
