"""Jobs as an operator makes and changes them.

Owned wholly here, because moto's jobs take unknown targets, count no versions and vanish at once.

Source: AWS IoT API reference, CreateJob, UpdateJob, AssociateTargetsWithJob; AWS IoT Device Management quotas for jobs.
"""

from __future__ import annotations

import json
from typing import Any

from ota.sandbox.moto import tags
from ota.sandbox.moto.errors import AwsError, already_exists, invalid_request
from ota.sandbox.moto.registry_view import check_target, find_object, things_of

from . import job_progress
from .job_limits import check_limits
from .job_schedules import begin, read_schedule
from .job_types import CONTINUOUS, IN_PROGRESS, SCHEDULED, SNAPSHOT, Job, Reply
from .job_views import find_job
from .presigned_urls import split_url
from .state import Region

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


def create_job(region: Region, params: dict[str, Any]) -> Reply:
    """CreateJob."""
    job_id, targets = params["jobId"], list(params["targets"])
    arn = region.arn(f"job/{job_id}")
    if job_id in region.jobs:
        raise already_exists(f"Job {job_id} already exists.", job_id, arn)
    _check_targets(region, targets)
    _check_limits(params)
    document = _document(region, params)
    schedule = read_schedule(region, params.get("schedulingConfig") or {})
    tags.set_tags(region.account_id, region.name, arn, params.get("tags") or [])
    config = {name: params[name] for name in _CONFIG if params.get(name) is not None}
    now = region.now()
    job = Job(job_id, arn, targets, document, params.get("targetSelection") or SNAPSHOT, now, now, config)
    region.jobs[job_id] = job
    return Reply(_brief(job), begin(region, job, schedule))


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
    known = set(job.executions) | set(job.waiting)
    job.waiting += [name for name in things_of(region, targets) if name not in known]
    return Reply(_brief(job), job_progress.roll_out(region, job))


def _check_targets(region: Region, targets: list[str]) -> None:
    if len(targets) > MAX_TARGETS:
        raise AwsError("LimitExceededException", f"A job can have at most {MAX_TARGETS} targets, not {len(targets)}.")
    for target in targets:
        check_target(region, target)


def _check_limits(params: dict[str, Any]) -> None:
    check_limits(*(params.get(name) for name in ("presignedUrlConfig", "timeoutConfig", "jobExecutionsRolloutConfig")))


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
