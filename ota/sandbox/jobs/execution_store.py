"""Adds, changes and removes executions, and keeps what is counted and looked up with them.

A job counts its things by status, and a thing's pending executions are found by its name, so that neither
DescribeJob nor a device's request looks at ten thousand executions. Every change of an execution goes through here.
"""

from __future__ import annotations

from .model import DELETION_IN_PROGRESS, IN_PROGRESS, Execution, Job
from .state import Region


def add_execution(region: Region, job: Job, thing_name: str, retry_attempt: int = 0) -> Execution:
    """Queue a new execution, which becomes the thing's latest one."""
    tries = job.executions.setdefault(thing_name, [])
    if tries:
        job.counts[tries[-1].status] -= 1
    now = region.now()
    number = tries[-1].number + 1 if tries else 1
    execution = Execution(job.job_id, thing_name, number, now, now, retry_attempt=retry_attempt)
    tries.append(execution)
    job.counts[execution.status] += 1
    _index(region, job, thing_name)
    return execution


def change_execution(region: Region, execution: Execution, status: str) -> None:
    """Set the status; the version rises by one."""
    job = region.jobs[execution.job_id]
    is_latest = job.find(execution.thing_name) is execution
    if is_latest:
        job.counts[execution.status] -= 1
    execution.change(status, region.now())
    if is_latest:
        job.counts[execution.status] += 1
        _index(region, job, execution.thing_name)


def remove_execution(region: Region, execution: Execution) -> None:
    """Delete the execution; the one before it, if any, becomes the thing's latest again."""
    job = region.jobs[execution.job_id]
    tries = job.executions[execution.thing_name]
    job.counts[tries[-1].status] -= 1
    tries.remove(execution)
    if tries:
        job.counts[tries[-1].status] += 1
    else:
        del job.executions[execution.thing_name]
    _index(region, job, execution.thing_name)


def leave_queues(region: Region, job: Job) -> None:
    """Take the executions of a job that is being deleted out of their things' queues."""
    for thing_name in job.executions:
        _index(region, job, thing_name)


def pending(region: Region, thing_name: str) -> list[Execution]:
    """The thing's pending executions in order: those in progress, then those queued, each oldest first."""
    return sorted(region.pending.get(thing_name, {}).values(), key=_queue_order)


def _index(region: Region, job: Job, thing_name: str) -> None:
    """Keep the thing's latest execution of this job among its pending ones, as long as it is pending."""
    latest = job.find(thing_name)
    is_pending = latest is not None and not latest.is_over and job.status != DELETION_IN_PROGRESS
    queue = region.pending.setdefault(thing_name, {})
    if is_pending and latest is not None:
        queue[job.job_id] = latest
    else:
        queue.pop(job.job_id, None)
    if not queue:
        del region.pending[thing_name]


def _queue_order(execution: Execution) -> tuple[bool, float]:
    if execution.status == IN_PROGRESS:
        return False, execution.started_at or 0.0
    return True, execution.queued_at
