"""Registration tasks as the AWS account has them: found, started, waited for, stopped, and their reports.

An account runs one task at a time. One of somebody else is waited for and never stopped.

A report is a series of files of JSON lines behind presigned links. A line has no name of its device for sure, so it is
matched by the thing's ARN in it, else by the number of its line. The links are secrets: none is ever printed.

Source: AWS IoT StartThingRegistrationTask, DescribeThingRegistrationTask, ListThingRegistrationTasks,
StopThingRegistrationTask, ListThingRegistrationTaskReports; Developer Guide, "Bulk registration". UNVERIFIED: the
refusal of a second task, and the members of a report's line beside ``response``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from ota.aws_calls import answer_or_none, pages, wait_until
from ota.errors import CloudError, InTheWay, WaitTimeout
from ota.messages import aws_command

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient
    from mypy_boto3_iot.literals import ReportTypeType

    from ota.cloud import Cloud

IN_PROGRESS, COMPLETED, FAILED, CANCELLED, CANCELLING = "InProgress", "Completed", "Failed", "Cancelled", "Cancelling"
RUNNING = frozenset({IN_PROGRESS, CANCELLING})
RESULTS: ReportTypeType = "RESULTS"
ERRORS: ReportTypeType = "ERRORS"
PAGE_SIZE = 250
MOST_SEARCHED = 100
LINK_TRIES = 3
POLL_S = 2.0
LONGEST_POLL_S = 30.0
CAUSE_MEMBERS = ("Error", "error", "errorMessage", "ErrorMessage", "message", "Message")


@dataclass(frozen=True)
class Registration:
    """A registration task.

    Attributes:
        task_id: its id.
        status: ``InProgress``, ``Completed``, ``Failed``, ``Cancelled`` or ``Cancelling``.
        message: why it failed; empty where AWS says nothing.
        succeeded: how many devices it has registered.
        failed: how many lines it has refused.
        percent: how far it is, 0 to 100.
        key: the key of its input in S3.
        role_arn: the role that it works with.
    """

    task_id: str
    status: str
    message: str = ""
    succeeded: int = 0
    failed: int = 0
    percent: int = 0
    key: str = ""
    role_arn: str = ""

    @property
    def done(self) -> int:
        """How many lines it has read."""
        return self.succeeded + self.failed

    @property
    def is_running(self) -> bool:
        """Whether it works, or is about to stop."""
        return self.status in RUNNING


@dataclass(frozen=True)
class ReportLine:
    """A line of a report.

    Attributes:
        number: the number of the input's line, from 1; 0 where the report does not say.
        thing_name: the thing's name; empty where the report does not say.
        certificate_pem: the certificate; empty where there is none.
        cause: why the device was refused; empty for a result.
    """

    number: int = 0
    thing_name: str = ""
    certificate_pem: str = ""
    cause: str = ""


def find_registration(iot: IoTClient, task_id: str) -> Registration | None:
    """The task by its id, or None; one call."""
    found: Any = answer_or_none(iot.describe_thing_registration_task, taskId=task_id)
    if found is None:
        return None
    return Registration(
        task_id,
        found["status"],
        found.get("message", ""),
        found.get("successCount", 0),
        found.get("failureCount", 0),
        found.get("percentageProgress", 0),
        found.get("inputFileKey", ""),
        found.get("roleArn", ""),
    )


def find_running(iot: IoTClient) -> Registration | None:
    """The task that runs in this account; one call where none does."""
    for task_id in _list_ids(iot, status=IN_PROGRESS):
        found = find_registration(iot, task_id)
        if found is not None and found.is_running:
            return found
    return None


def find_by_input(iot: IoTClient, key: str) -> Registration | None:
    """The task that was started with this input, running or not; for one whose id was lost with a killed run.

    The key of an input is unique, so the task is this one. Among tasks that have ended, 100 are searched.
    """
    running = find_running(iot)
    if running is not None and running.key == key:
        return running
    for task_id in islice(_list_ids(iot), MOST_SEARCHED):
        found = find_registration(iot, task_id)
        if found is not None and found.key == key:
            return found
    return None


def start_registration(iot: IoTClient, *, template_body: str, bucket: str, key: str, role_arn: str) -> str:
    """Start a task; its id.

    Where AWS refuses because a task runs, that may be this one: the answer to the first try was lost.
    """
    try:
        return iot.start_thing_registration_task(
            templateBody=template_body, inputFileBucket=bucket, inputFileKey=key, roleArn=role_arn
        )["taskId"]
    except iot.exceptions.InvalidRequestException:
        running = find_running(iot)
        if running is None or running.key != key:
            raise
        return running.task_id


def wait_until_free(
    iot: IoTClient,
    tell: Callable[[str], None],
    *,
    timeout_s: float,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until no task runs in the account; ``tell`` gets a sentence where there is something to wait for.

    Raises:
        InTheWay: a task of somebody else still runs after ``timeout_s``.
    """
    running = find_running(iot)
    if running is None:
        return
    tell(
        f"the registration task {running.task_id}, which this tool did not start here, is at work, and an account runs "
        f"one at a time: this run waits until it has ended, for {timeout_s:g} s at most (Ctrl-C ends it)"
    )
    stop = aws_command(iot, "stop-thing-registration-task", task_id=running.task_id)
    refusal = InTheWay(
        f"The registration task {running.task_id} of somebody else still runs, {running.percent} % done, with the role "
        f"{running.role_arn}. An account runs one at a time: run the same command again when it has ended. Whoever "
        "started it can stop it with ",
        stop,
        ".",
    )
    try:
        wait_until(
            lambda: True if find_running(iot) is None else None,
            lambda: WaitTimeout(refusal.message),
            timeout_s=timeout_s,
            poll_s=POLL_S,
            longest_poll_s=LONGEST_POLL_S,
            sleep=sleep,
        )
    except WaitTimeout:
        raise refusal from None


def stop_registration(
    iot: IoTClient, task: Registration, *, timeout_s: float, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Stop the task and wait until it has stopped; one that has ended is success.

    Raises:
        WaitTimeout: it still runs after ``timeout_s``.
    """
    # Refused where it has ended meanwhile; the look says so.
    with suppress(iot.exceptions.InvalidRequestException):
        answer_or_none(iot.stop_thing_registration_task, taskId=task.task_id)

    def look() -> bool | None:
        found = find_registration(iot, task.task_id)
        return None if found is not None and found.is_running else True

    wait_until(
        look,
        lambda: WaitTimeout(
            f"The registration task {task.task_id} still runs {timeout_s:g} s after it was stopped. Run the same "
            "command again in a minute."
        ),
        timeout_s=timeout_s,
        poll_s=POLL_S,
        sleep=sleep,
    )


def read_report(cloud: Cloud, task_id: str, kind: ReportTypeType) -> Iterator[ReportLine]:
    """The lines of one report of the task, as far as it is written, as they arrive; some may come twice.

    Raises:
        CloudError: a file of the report cannot be read.
    """
    links = _list_links(cloud.iot, task_id, kind)
    for place in range(len(links)):
        for tries_left in reversed(range(LINK_TRIES)):
            try:
                yield from _parsed(cloud.read_lines(links[place]), is_error=kind == ERRORS)
                break
            except CloudError:
                if not tries_left:
                    raise
                links = _list_links(cloud.iot, task_id, kind)  # a link ends after some time


def parse_line(line: Mapping[str, Any], *, is_error: bool) -> ReportLine:
    """A line of a report, with whatever it has; members that it lacks are empty."""
    response = line.get("response")
    found: Mapping[str, Any] = response if isinstance(response, dict) else {}
    number = line.get("lineNumber")
    return ReportLine(
        number if isinstance(number, int) else 0,
        _thing_name(line, found),
        "" if is_error else str(found.get("CertificatePem") or found.get("certificatePem") or ""),
        _cause(line, response) if is_error else "",
    )


def _thing_name(line: Mapping[str, Any], response: Mapping[str, Any]) -> str:
    arns = response.get("ResourceArns") or response.get("resourceArns")
    for arn in arns.values() if isinstance(arns, dict) else ():
        if isinstance(arn, str) and ":thing/" in arn:
            return arn.partition(":thing/")[2]
    named = line.get("ThingName") or line.get("thingName") or response.get("ThingName")
    return str(named or "")


def _cause(line: Mapping[str, Any], response: object) -> str:
    """What AWS says of a refused line, in one line."""
    for source in (response, line):
        if isinstance(source, str) and source:
            return " ".join(source.split())
        if isinstance(source, dict):
            told = [str(source[one]) for one in CAUSE_MEMBERS if source.get(one)]
            if told:
                return " ".join(told[0].split())
    return "AWS refused it and does not say why"


def _list_ids(iot: IoTClient, **request: Any) -> Iterator[str]:
    yield from pages(iot, "list_thing_registration_tasks", "taskIds", page_size=PAGE_SIZE, **request)


def _list_links(iot: IoTClient, task_id: str, kind: ReportTypeType) -> list[str]:
    listed = pages(
        iot,
        "list_thing_registration_task_reports",
        "resourceLinks",
        page_size=PAGE_SIZE,
        taskId=task_id,
        reportType=kind,
    )
    return list(listed)


def _parsed(written: Iterable[bytes], *, is_error: bool) -> Iterator[ReportLine]:
    for text in written:
        try:
            line = json.loads(text) if text.strip() else None
        except ValueError:
            line = None  # the device is looked up by its thing then
        if isinstance(line, dict):
            yield parse_line(line, is_error=is_error)
