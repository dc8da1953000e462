"""Jobs for an operator: create, describe, list, update, cancel, delete.

Implemented here, because moto's jobs accept unknown targets, count no versions and vanish at once.

Source: AWS IoT API reference, CreateJob, DescribeJob, ListJobs, GetJobDocument, UpdateJob, AssociateTargetsWithJob,
CancelJob, DeleteJob, PresignedUrlConfig, TimeoutConfig, JobExecutionsRolloutConfig; AWS IoT Device Management quotas
for jobs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ota.sandbox.moto import tags
from ota.sandbox.moto.lookups import check_target, find_object, is_group, things_of
from ota.sandbox.moto.responses import AwsError, already_exists, cut_page, invalid_request, not_found

from . import progress
from .execution_store import leave_queues
from .model import (
    CANCELED,
    COMPLETED,
    CONTINUOUS,
    DELETION_IN_PROGRESS,
    IN_PROGRESS,
    SCHEDULED,
    SNAPSHOT,
    Event,
    Job,
    Reply,
)
from .notifications import collect_notifications, tell_job
from .presigned_urls import split_url
from .state import Region
from .templates import with_template

MAX_TARGETS = 100
MAX_DOCUMENT = 32768
_CONFIG = (
    "description",
    "presignedUrlConfig",
    "jobExecutionsRolloutConfig",
    "abortConfig",
    "timeoutConfig",
    "jobExecutionsRetryConfig",
    "documentParameters",
    "schedulingConfig",
    "namespaceId",
    "jobTemplateArn",
    "documentSource",
)
MAX_DELETIONS = 10
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
PRESIGNED_SECONDS = (60, 3600)
TIMEOUT_MINUTES = (1, 10080)
ROLLOUT_PER_MINUTE = (1, 1000)
INCREMENT_FACTOR = (1.1, 5)
THRESHOLD_PERCENTAGE = (0, 100)


def create_job(region: Region, params: dict[str, Any]) -> Reply:
    """CreateJob."""
    params = with_template(region, params)
    job_id, targets = params["jobId"], list(params["targets"])
    arn = region.arn(f"job/{job_id}")
    if job_id in region.jobs:
        raise already_exists(f"Job {job_id} already exists.", job_id, arn)
    _check_targets(region, targets)
    _check_limits(params)
    document = _document(region, params)
    schedule = progress.read_schedule(region, params.get("schedulingConfig") or {})
    tags.set_tags(region.account_id, region.name, arn, params.get("tags") or [])
    config = {name: params[name] for name in _CONFIG if params.get(name) is not None}
    now = region.now()
    job = Job(job_id, arn, targets, document, params.get("targetSelection") or SNAPSHOT, now, now, config)
    region.jobs[job_id] = job
    return Reply(_brief(job), progress.begin(region, job, schedule))


def update_job(region: Region, params: dict[str, Any]) -> Reply:
    """UpdateJob."""
    job = find_job(region, params["jobId"])
    if job.status not in {IN_PROGRESS, SCHEDULED}:
        raise invalid_request(f"Job {job.job_id} is {job.status} and can not be updated.")
    _check_limits(params)
    job.config.update({name: params[name] for name in _CONFIG if params.get(name) is not None})
    job.last_updated_at = region.now()
    return Reply()


def associate_targets_with_job(region: Region, params: dict[str, Any]) -> Reply:
    """AssociateTargetsWithJob: further targets for a continuous job that is in progress."""
    job = find_job(region, params["jobId"])
    if job.selection != CONTINUOUS or job.status != IN_PROGRESS:
        raise invalid_request(
            f"Targets can only be added to a continuous job that is in progress; {job.job_id} is not."
        )
    targets = list(dict.fromkeys([*job.targets, *params["targets"]]))
    _check_targets(region, targets)
    job.targets = targets
    job.comment = params.get("comment") or job.comment
    job.last_updated_at = region.now()
    job.waiting |= {name: None for name in things_of(region, targets) if name not in job.executions}
    return Reply(_brief(job), progress.roll_out(region, job))


def cancel_job(region: Region, params: dict[str, Any]) -> Reply:
    """CancelJob: without ``force`` executions in progress continue."""
    job = find_job(region, params["jobId"])
    if job.status not in {IN_PROGRESS, SCHEDULED}:
        raise invalid_request(f"Job {job.job_id} is {job.status} and can not be canceled.")
    why = progress.Reason(params.get("reasonCode"), params.get("comment"))
    events = progress.cancel(region, job, why, force=bool(params.get("force")))
    return Reply({"jobArn": job.arn, "jobId": job.job_id, "description": job.config.get("description")}, events)


def delete_job(region: Region, params: dict[str, Any]) -> Reply:
    """DeleteJob: DELETION_IN_PROGRESS for a while, then deleted with its executions."""
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
    """Remove the job from its things' queues now, and delete it after the pauses of AWS."""
    things = [execution.thing_name for execution in job.latest()]
    with collect_notifications(region, things) as events:
        job.status = DELETION_IN_PROGRESS
        job.waiting = {}
        leave_queues(region, job)
    events += tell_job(region, job, "deletion_in_progress")
    region.later(2 * region.sandbox.pause_s, partial(_remove, region, job))
    return events


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
        "isConcurrent": bool(job.waiting),
        **{name: value for name, value in job.config.items() if name != "documentSource"},
    }
    body: dict[str, Any] = {"job": {name: value for name, value in seen.items() if value is not None}}
    if "documentSource" in job.config:
        body["documentSource"] = job.config["documentSource"]
    return Reply(body)


def get_job_document(region: Region, params: dict[str, Any]) -> Reply:
    """GetJobDocument: the stored document, with its placeholders."""
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


def check_limits(
    presigned: Mapping[str, Any] | None,
    timeout: Mapping[str, Any] | None,
    rollout: Mapping[str, Any] | None,
    abort_criteria: Sequence[Mapping[str, Any]] | None,
) -> None:
    """Refuse a URL's lifetime, a timeout, a rate or a threshold out of range, as far as the service models do not."""
    _check("expiresInSec", presigned, PRESIGNED_SECONDS)
    _check("inProgressTimeoutInMinutes", timeout, TIMEOUT_MINUTES)
    _check("maximumPerMinute", rollout, ROLLOUT_PER_MINUTE)
    exponential = (rollout or {}).get("exponentialRate")
    if exponential:
        _check("baseRatePerMinute", exponential, ROLLOUT_PER_MINUTE)
        _check("incrementFactor", exponential, INCREMENT_FACTOR, digits=1)
        if len(exponential.get("rateIncreaseCriteria") or {}) != 1:
            raise invalid_request(
                "rateIncreaseCriteria must have either numberOfNotifiedThings or numberOfSucceededThings."
            )
    for criteria in abort_criteria or ():
        _check("thresholdPercentage", criteria, THRESHOLD_PERCENTAGE, digits=2)


def _check_targets(region: Region, targets: list[str]) -> None:
    if len(targets) > MAX_TARGETS:
        raise AwsError("LimitExceededException", f"A job can have at most {MAX_TARGETS} targets, not {len(targets)}.")
    for target in targets:
        check_target(region, target)


def _check_limits(params: dict[str, Any]) -> None:
    check_limits(
        params.get("presignedUrlConfig"),
        params.get("timeoutConfig"),
        params.get("jobExecutionsRolloutConfig"),
        (params.get("abortConfig") or {}).get("criteriaList"),
    )


def _document(region: Region, params: dict[str, Any]) -> str:
    document, source = params.get("document"), params.get("documentSource")
    if bool(document) == bool(source):
        raise invalid_request("A job needs either a document or a documentSource.")
    text = str(document or _fetch(region, source))
    if len(text.encode()) > MAX_DOCUMENT:
        raise invalid_request(f"The job document is larger than {MAX_DOCUMENT} bytes.")
    try:
        json.loads(text)
    except ValueError as error:
        raise invalid_request("The job document is not valid JSON.") from error
    if "${aws:iot:s3-presigned-url" in text and not params.get("presignedUrlConfig", {}).get("roleArn"):
        raise invalid_request("A document with presigned URLs needs presignedUrlConfig with a roleArn.")
    return text


def _fetch(region: Region, source: Any) -> str:
    bucket, key, version_id = split_url(str(source))
    found = find_object(region.account_id, bucket, key, version_id)
    if found is None:
        raise invalid_request(f"The job document {source} can not be read.")
    return found.read().decode("utf-8", errors="replace")


def _brief(job: Job) -> dict[str, Any]:
    return {"jobArn": job.arn, "jobId": job.job_id, "description": job.config.get("description")}


def _remove(region: Region, job: Job) -> list[Event]:
    if region.jobs.get(job.job_id) is job:
        del region.jobs[job.job_id]
        tags.drop(region.account_id, region.name, job.arn)
        return tell_job(region, job, "deleted")
    return []


def _summary(job: Job) -> dict[str, Any]:
    return {
        "jobArn": job.arn,
        "jobId": job.job_id,
        "targetSelection": job.selection,
        "status": job.status,
        "createdAt": job.created_at,
        "lastUpdatedAt": job.last_updated_at,
        "completedAt": job.completed_at,
        "isConcurrent": bool(job.waiting),
    }


def _process_details(job: Job) -> dict[str, Any]:
    counts: dict[str, Any] = {name: job.counts[status] for status, name in _COUNTS.items()}
    if job.waiting:
        counts["processingTargets"] = [target for target in job.targets if is_group(target)] or job.targets
    return counts


def _check(name: str, config: Mapping[str, Any] | None, limits: tuple[float, float], digits: int | None = None) -> None:
    """Refuse a value out of range, and one with more than ``digits`` digits after the decimal point."""
    value = (config or {}).get(name)
    if value is None:
        return
    if not limits[0] <= value <= limits[1]:
        raise invalid_request(f"{name} must be from {limits[0]} to {limits[1]}, not {value}.")
    if digits is not None and round(value, digits) != value:
        raise invalid_request(f"{name} can have at most {digits} digits after the decimal point, not {value}.")
