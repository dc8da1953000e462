"""Registration tasks for an operator, and how a task reads its input: line by line, in slices, by the sandbox's clock.

A task runs in entries of the agenda. Each works for a few milliseconds and lets others have their turn, so that ten
thousand lines do not keep a client waiting. With a pause, a task lasts ten pauses, or one for each ten lines when it
has fewer than a hundred. It runs with the caller's role, which must trust AWS IoT.

Source: AWS IoT API reference, StartThingRegistrationTask, DescribeThingRegistrationTask, StopThingRegistrationTask,
ListThingRegistrationTasks, ListThingRegistrationTaskReports, RegisterThing; Developer Guide, "Bulk registration"; AWS
IoT quotas (one task at a time for each account, 256 KiB a line).
"""

from __future__ import annotations

import json
import secrets
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from moto.core.base_backend import BackendDict, BaseBackend
from moto.core.exceptions import JsonRESTError, ServiceException

from ota.sandbox.jobs.model import Event, Reply
from ota.sandbox.jobs.progress import follow_registry
from ota.sandbox.jobs.service_roles import find_refusal
from ota.sandbox.jobs.state import Region
from ota.sandbox.moto.lookups import find_object
from ota.sandbox.moto.responses import AwsError, cut_page, invalid_request, not_found
from ota.sandbox.policy.permissions import is_allowed

from . import reports
from .provisioning import Provisioned, provision
from .reports import Report
from .templates import Template, TemplateError, read_template

IN_PROGRESS, COMPLETED, FAILED, CANCELLED, CANCELLING = "InProgress", "Completed", "Failed", "Cancelled", "Cancelling"
RESULTS, ERRORS = "RESULTS", "ERRORS"
MAX_LINE_BYTES = 256 * 1024
SLICE_S = 0.02  # of real time, during which other requests wait
REST_S = 0.005  # between two slices
PAUSES = 10  # of a task with a hundred lines or more
LEAST_PER_PAUSE = 10
_DESCRIBED = ("templateBody", "inputFileBucket", "inputFileKey", "roleArn")


@dataclass
class Task:
    """One task. ``content`` is the input file, ``offset`` the bytes of it that were read; times are epoch seconds."""

    task_id: str
    request: dict[str, str]
    created_at: float
    modified_at: float
    status: str = IN_PROGRESS
    message: str | None = None
    content: bytes = b""
    offset: int = 0
    line_count: int = 0
    started_at: float = 0.0
    succeeded: int = 0
    failed: int = 0
    reports: dict[str, Report] = field(default_factory=lambda: {RESULTS: Report(), ERRORS: Report()})

    @property
    def done(self) -> int:
        """The number of lines that were read."""
        return self.succeeded + self.failed

    @property
    def runs(self) -> bool:
        """Whether it still works, or is about to stop."""
        return self.status in {IN_PROGRESS, CANCELLING}


class TaskBackend(BaseBackend):
    """The tasks of one account in one region, and the key that signs the links to their reports."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.tasks: dict[str, Task] = {}
        self.key = secrets.token_bytes(32)


task_backends = BackendDict(TaskBackend, "iot")


def start_thing_registration_task(region: Region, params: dict[str, Any]) -> Reply:
    """StartThingRegistrationTask: refuses a malformed template at once; everything else shows in the task."""
    _read(params["templateBody"])
    _check_alone(region)
    now = region.now()
    task = Task(str(uuid.uuid4()), {name: params[name] for name in _DESCRIBED}, now, now)
    _backend(region).tasks[task.task_id] = task
    region.later(region.sandbox.pause_s, partial(_open, region, task))
    return Reply({"taskId": task.task_id})


def describe_thing_registration_task(region: Region, params: dict[str, Any]) -> Reply:
    """DescribeThingRegistrationTask."""
    task = _find(region, params["taskId"])
    seen = {
        "taskId": task.task_id,
        "creationDate": task.created_at,
        "lastModifiedDate": task.modified_at,
        **task.request,
        "status": task.status,
        "message": task.message,
        "successCount": task.succeeded,
        "failureCount": task.failed,
        "percentageProgress": 100 * task.done // task.line_count if task.line_count else 0,
    }
    return Reply({name: value for name, value in seen.items() if value is not None})


def stop_thing_registration_task(region: Region, params: dict[str, Any]) -> Reply:
    """StopThingRegistrationTask: Cancelling for a while, then Cancelled. UNVERIFIED: the refusal for one that ended."""
    task = _find(region, params["taskId"])
    if not task.runs:
        raise invalid_request(f"Thing registration task {task.task_id} is {task.status} and can not be stopped.")
    _become(region, task, CANCELLING)
    return Reply()


def list_thing_registration_tasks(region: Region, params: dict[str, Any]) -> Reply:
    """ListThingRegistrationTasks, newest first."""
    tasks = reversed(list(_backend(region).tasks.values()))
    found = [task.task_id for task in tasks if params.get("status") in {None, task.status}]
    page, token = cut_page(found, params.get("maxResults"), params.get("nextToken"))
    return Reply({"taskIds": page, "nextToken": token})


def list_thing_registration_task_reports(region: Region, params: dict[str, Any]) -> Reply:
    """ListThingRegistrationTaskReports: new links at each call, for the files that are complete."""
    kind = params["reportType"]
    task, backend = _find(region, params["taskId"]), _backend(region)
    paths = [
        reports.report_path(region.name, region.account_id, task.task_id, kind, number)
        for number in range(len(task.reports[kind].files))
    ]
    page, token = cut_page(paths, params.get("maxResults"), params.get("nextToken"))
    links = [
        f"{region.sandbox.endpoint_url}{path}?{reports.sign(path, region.name, backend.key, region.now())}"
        for path in page
    ]
    return Reply({"resourceLinks": links, "reportType": kind, "nextToken": token})


def register_thing(region: Region, params: dict[str, Any]) -> Reply:
    """RegisterThing: one device, with the caller's own permissions, which the sandbox does not limit here."""
    template = _read(params["templateBody"])
    try:
        made = _provision(region, template, params.get("parameters") or {}, None)
    except AwsError as refusal:
        if refusal.code == "ConflictingResourceUpdateException":
            raise
        raise AwsError("ResourceRegistrationFailureException", f"{refusal.code}: {refusal.message}") from refusal
    return Reply({"certificatePem": made.certificate_pem, "resourceArns": made.arns})


def read_report(path: str, query: str, now: float) -> bytes | None:
    """The file at ``path``; None unless the query is that of a link to it that has not expired."""
    found = reports.split_path(path)
    if found is None:
        return None
    region, account_id, task_id, kind, number = found
    try:
        backend: TaskBackend = task_backends[account_id][region]
        is_signed = reports.is_signed(path, query, backend.key, now)
        return backend.tasks[task_id].reports[kind].files[number] if is_signed else None
    except KeyError:  # no such region
        return None


def _open(region: Region, task: Task) -> list[Event]:
    """Read the input with the role; the task fails when it cannot. UNVERIFIED: that AWS does not refuse it at once."""
    problem = _find_problem(region, task)
    if problem:
        return _fail(region, task, problem)
    found = find_object(region.account_id, task.request["inputFileBucket"], task.request["inputFileKey"])
    task.content = found.read() if found else b""
    task.line_count = sum(1 for line in task.content.splitlines() if line.strip())
    task.started_at = region.now()
    return _work(region, task, read_template(task.request["templateBody"]))


def _find_problem(region: Region, task: Task) -> str | None:
    bucket, key, role_arn = (task.request[name] for name in ("inputFileBucket", "inputFileKey", "roleArn"))
    refusal = find_refusal(region, role_arn, region.arn(f"thing-registration-task/{task.task_id}"))
    if refusal:
        return f"Cannot assume role {role_arn}: {refusal}"
    resource = f"arn:aws:s3:::{bucket}/{key}"
    if not is_allowed(region.account_id, role_arn, "s3:GetObject", resource):
        return f"The role {role_arn} is not allowed s3:GetObject on {resource}"
    if find_object(region.account_id, bucket, key) is None:
        return f"The input file s3://{bucket}/{key} does not exist"
    return None


def _work(region: Region, task: Task, template: Template) -> list[Event]:
    """Register lines until the slice is over or the pace is reached; the rest later."""
    if task.status == CANCELLING:
        return _end(region, task, CANCELLED)
    ends_at, due = time.monotonic() + SLICE_S, _lines_due(region, task)
    lines = _remaining_lines(task)
    while task.done < due and time.monotonic() < ends_at:
        _register(region, task, template, *next(lines))
    task.modified_at = region.now()
    if task.done == task.line_count:
        return [*_end(region, task, COMPLETED), *follow_registry(region)]
    pause_s = region.sandbox.pause_s if task.done == due else 0.0
    region.later(max(pause_s, REST_S), partial(_work, region, task, template))
    return follow_registry(region)


def _lines_due(region: Region, task: Task) -> int:
    """How many lines are to be read by now."""
    pause_s = region.sandbox.pause_s
    if not pause_s:
        return task.line_count
    per_pause = max(LEAST_PER_PAUSE, -(-task.line_count // PAUSES))
    return min(task.line_count, per_pause * (1 + int((region.now() - task.started_at) / pause_s)))


def _remaining_lines(task: Task) -> Iterator[tuple[int, bytes]]:
    """Offset and content of the lines from ``task.offset`` on, which moves with them; blank ones are left out."""
    while task.offset < len(task.content):
        offset = task.offset
        end = task.content.find(b"\n", offset) + 1 or len(task.content)
        task.offset = end
        line = task.content[offset:end].strip()
        if line:
            yield offset, line


def _register(region: Region, task: Task, template: Template, offset: int, line: bytes) -> None:
    number = task.done + 1
    try:
        made = _provision(region, template, _read_line(line), task.request["roleArn"])
    except AwsError as refusal:
        task.failed += 1
        task.reports[ERRORS].add(number, offset, refusal.status, {"Error": f"{refusal.code}: {refusal.message}"})
        return
    task.succeeded += 1
    response: dict[str, Any] = {"ResourceArns": made.arns}
    if made.certificate_pem is not None:
        response["CertificatePem"] = made.certificate_pem
    task.reports[RESULTS].add(number, offset, 200, response)


def _read_line(line: bytes) -> dict[str, str]:
    if len(line) > MAX_LINE_BYTES:
        raise invalid_request(f"The line has {len(line)} bytes; the maximum is {MAX_LINE_BYTES}.")
    try:
        parameters = json.loads(line)
    except ValueError as error:
        raise invalid_request("The line is not valid JSON.") from error
    if not isinstance(parameters, dict) or not all(isinstance(value, str) for value in parameters.values()):
        raise invalid_request("The line must be an object of texts.")
    return parameters


def _provision(region: Region, template: Template, parameters: Mapping[str, str], role_arn: str | None) -> Provisioned:
    """Make one device's resources; every refusal comes as an AwsError."""

    def check(action: str, resource: str, context: Mapping[str, str]) -> None:
        if role_arn is not None and not is_allowed(region.account_id, role_arn, action, resource, context):
            text = f"The role {role_arn} is not authorized to perform: {action} on resource: {resource}"
            raise AwsError("AccessDeniedException", text)

    try:
        return provision(region, template.fill(parameters), check)
    except TemplateError as error:
        raise invalid_request(f"{error}.") from error
    except JsonRESTError as refusal:  # moto's own
        raise AwsError(refusal.error_type, refusal.message) from refusal
    except ServiceException as refusal:
        raise refusal if isinstance(refusal, AwsError) else AwsError(refusal.code, refusal.message) from refusal


def _read(template_body: str) -> Template:
    try:
        return read_template(template_body)
    except TemplateError as error:
        raise invalid_request(f"The provisioning template is not valid: {error}.") from error


def _check_alone(region: Region) -> None:
    """Refuse a second task. UNVERIFIED: the code; the model has only this one that fits."""
    for backend in list(task_backends[region.account_id].values()):
        for task in backend.tasks.values():
            if task.runs:
                raise invalid_request(f"Thing registration task {task.task_id} of this account is {task.status}.")


def _fail(region: Region, task: Task, message: str) -> list[Event]:
    task.message = message
    return _end(region, task, CANCELLED if task.status == CANCELLING else FAILED)


def _end(region: Region, task: Task, status: str) -> list[Event]:
    for report in task.reports.values():
        report.close()
    task.content = b""
    _become(region, task, status)
    return []


def _become(region: Region, task: Task, status: str) -> None:
    task.status = status
    task.modified_at = region.now()


def _find(region: Region, task_id: str) -> Task:
    task = _backend(region).tasks.get(task_id)
    if task is None:
        raise not_found(f"Thing registration task {task_id} does not exist.")
    return task


def _backend(region: Region) -> TaskBackend:
    backend: TaskBackend = task_backends[region.account_id][region.name]
    return backend


OPERATIONS = {
    "StartThingRegistrationTask": start_thing_registration_task,
    "DescribeThingRegistrationTask": describe_thing_registration_task,
    "StopThingRegistrationTask": stop_thing_registration_task,
    "ListThingRegistrationTasks": list_thing_registration_tasks,
    "ListThingRegistrationTaskReports": list_thing_registration_task_reports,
    "RegisterThing": register_thing,
}
