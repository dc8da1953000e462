"""Job executions for an operator: describe, list, cancel, delete.

Source: AWS IoT API reference, DescribeJobExecution, ListJobExecutionsForJob, ListJobExecutionsForThing,
CancelJobExecution, DeleteJobExecution.
"""

from __future__ import annotations

from typing import Any

from ota.sandbox.moto.lookups import check_thing
from ota.sandbox.moto.responses import AwsError, cut_page, not_found

from . import progress
from .execution_store import change_execution, remove_execution
from .jobs import find_job
from .model import CANCELED, IN_PROGRESS, Execution, Reply
from .notifications import collect_notifications, seconds_left, tell_execution
from .state import Region


def describe_job_execution(region: Region, params: dict[str, Any]) -> Reply:
    """DescribeJobExecution."""
    execution = _find(region, params)
    seen = {
        "jobId": execution.job_id,
        "status": execution.status,
        "forceCanceled": execution.force_canceled,
        "statusDetails": {"detailsMap": dict(execution.details)},
        "thingArn": region.arn(f"thing/{execution.thing_name}"),
        "queuedAt": execution.queued_at,
        "startedAt": execution.started_at,
        "lastUpdatedAt": execution.last_updated_at,
        "executionNumber": execution.number,
        "versionNumber": execution.version,
        "approximateSecondsBeforeTimedOut": seconds_left(region, execution),
    }
    return Reply({"execution": {name: value for name, value in seen.items() if value is not None}})


def list_job_executions_for_job(region: Region, params: dict[str, Any]) -> Reply:
    """ListJobExecutionsForJob."""
    job = find_job(region, params["jobId"])
    found = [one for tries in job.executions.values() for one in tries if params.get("status") in {None, one.status}]
    page, token = cut_page(found, params.get("maxResults"), params.get("nextToken"))
    summaries = [
        {"thingArn": region.arn(f"thing/{one.thing_name}"), "jobExecutionSummary": _summary(one)} for one in page
    ]
    return Reply({"executionSummaries": summaries, "nextToken": token})


def list_job_executions_for_thing(region: Region, params: dict[str, Any]) -> Reply:
    """ListJobExecutionsForThing, newest first."""
    thing_name = params["thingName"]
    check_thing(region, thing_name)
    found = [
        one
        for job in reversed(list(region.jobs.values()))
        if params.get("jobId") in {None, job.job_id}
        for one in job.executions.get(thing_name, [])
        if params.get("status") in {None, one.status}
    ]
    page, token = cut_page(found, params.get("maxResults"), params.get("nextToken"))
    summaries = [{"jobId": one.job_id, "jobExecutionSummary": _summary(one)} for one in page]
    return Reply({"executionSummaries": summaries, "nextToken": token})


def cancel_job_execution(region: Region, params: dict[str, Any]) -> Reply:
    """CancelJobExecution: needs ``force`` while in progress."""
    execution = _find(region, params)
    expected = params.get("expectedVersion")
    if expected is not None and expected != execution.version:
        message = f"Expected version {expected} but found version {execution.version}."
        raise AwsError("VersionConflictException", message)
    if execution.is_over or (execution.status == IN_PROGRESS and not params.get("force")):
        raise _wrong_state(execution, "canceled")
    with collect_notifications(region, [execution.thing_name]) as events:
        if params.get("statusDetails") is not None:
            execution.details = dict(params["statusDetails"])
        execution.force_canceled = execution.status == IN_PROGRESS
        change_execution(region, execution, CANCELED)
    return Reply(events=[*events, *progress.after_change(region, execution)])


def delete_job_execution(region: Region, params: dict[str, Any]) -> Reply:
    """DeleteJobExecution: needs ``force`` unless terminal."""
    execution = _find(region, params)
    if not execution.is_over and not params.get("force"):
        raise _wrong_state(execution, "deleted")
    with collect_notifications(region, [execution.thing_name]) as events:
        remove_execution(region, execution)
    return Reply(events=[*events, *tell_execution(region, execution, "deleted")])


def _find(region: Region, params: dict[str, Any]) -> Execution:
    job_id, thing_name = params["jobId"], params["thingName"]
    number = params.get("executionNumber")
    execution = find_job(region, job_id).find(thing_name, number)
    if execution is None:
        raise not_found(f"Job execution of {job_id} on {thing_name} does not exist.")
    return execution


def _summary(execution: Execution) -> dict[str, Any]:
    seen = {
        "status": execution.status,
        "queuedAt": execution.queued_at,
        "startedAt": execution.started_at,
        "lastUpdatedAt": execution.last_updated_at,
        "executionNumber": execution.number,
        "retryAttempt": execution.retry_attempt or None,
    }
    return {name: value for name, value in seen.items() if value is not None}


def _wrong_state(execution: Execution, what: str) -> AwsError:
    message = f"Job execution {execution.job_id} on {execution.thing_name} is {execution.status} and can not be {what}."
    return AwsError("InvalidStateTransitionException", message)
