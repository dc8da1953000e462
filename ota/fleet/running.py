"""Runs one registration: uploads the input, starts the task, waits for it, and writes the certificates.

Every step can be cut off. What is needed to go on is on disk before AWS is asked, and :func:`carry_on` finishes what an
earlier run began. The input is deleted from the bucket once every certificate is written.

AWS may not know a new role for some seconds. A task that fails meanwhile without having read a line is started again.

Source: AWS IoT Developer Guide, "Bulk registration"; S3 PutObject, DeleteObject (a version is deleted for good).
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from ota import desired_state
from ota.aws_calls import answer_or_none, code_of
from ota.buckets.contents import delete_images
from ota.certificates.files import find_certificate_file, public_key_of, write_certificate_file
from ota.errors import CloudError, InTheWay, WaitTimeout
from ota.fleet.registrations import (
    COMPLETED,
    ERRORS,
    FAILED,
    RESULTS,
    Registration,
    ReportLine,
    find_by_input,
    find_registration,
    read_report,
    start_registration,
    wait_until_free,
)
from ota.fleet.signing_requests import public_key_of_request
from ota.fleet.states import StateFiles, Unfinished
from ota.fleet.templates import sha256_of
from ota.messages import shell
from ota.threads import side_by_side_map

if TYPE_CHECKING:
    from ota.cloud import Cloud
    from ota.report import Report
    from ota.roles.roles import Role
    from ota.settings.settings import Settings

WITHOUT_VERSIONS = "null"
FIRST_PAUSE_S = 0.5
LONGEST_FIRST_PAUSE_S = 10.0
LONGEST_PAUSE_S = 30.0
DEVICES_PER_SECOND = 200  # more than AWS registers; what the first look waits for
DEVICES_PER_LOOK = 200
STALLED_S = 900.0
SETTLE_POLL_S = 2.0
BATCH = 64
NOT_REPORTED = "AWS's reports do not mention it; run the same command again, which looks the thing up"
OTHER_KEY = "AWS reports a certificate of another key"

Causes = dict[str, str]


@dataclass(frozen=True)
class Site:
    """Where registrations take place.

    Attributes:
        cloud: the account.
        settings: the names of everything.
        report: prints progress.
        state: the files of a registration that is under way.
        sleep: waits so many seconds.
        clock: a monotonic clock, in seconds.
    """

    cloud: Cloud
    settings: Settings
    report: Report
    state: StateFiles
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic


def carry_on(site: Site) -> None:
    """Finish the registration that an earlier run began, if there is one; its devices have their certificates then.

    Raises:
        InTheWay: it is one of another account.
    """
    unfinished = site.state.find()
    if unfinished is None:
        return
    if unfinished.account != site.cloud.account_name:
        forget = shell("rm", site.state.state_path)
        raise InTheWay(
            f"A registration in {unfinished.account} was cut off, and this run is for {site.cloud.account_name}. "
            "Finish it there with the same command, or forget it: ",
            forget,
            ".",
        )
    iot = site.cloud.iot
    task = find_registration(iot, unfinished.task_id) if unfinished.task_id else find_by_input(iot, unfinished.key)
    if task is None:
        forget_registration(site, unfinished)
        return
    site.report.note(f"carrying on with the registration task {task.task_id} of an earlier run")
    if not unfinished.task_id:
        unfinished = replace(unfinished, task_id=task.task_id)
        site.state.write(unfinished)
    _wait(site, unfinished, task)
    _collect(site, unfinished)
    forget_registration(site, unfinished)


def run_registration(
    site: Site, template_body: str, lines: Iterable[str], role: Role, make_bucket: Callable[[], object]
) -> Causes:
    """Register the devices of these input lines; the names of those that AWS refused, each with the cause.

    The certificates of the others are on disk.

    Args:
        site: where.
        template_body: the template, as JSON.
        lines: the input; each line is asked for when it is written.
        role: the role of the registration service.
        make_bucket: makes the bucket, where there is none.

    Raises:
        CloudError: the task failed as a whole.
        InTheWay: a task of somebody else does not end.
    """
    count = site.state.write_input(lines)
    if not count:
        return {}
    key = f"{desired_state.registration_prefix(site.settings.thing_name)}{uuid.uuid4()}.jsonl"
    unfinished = Unfinished(site.cloud.account_name, site.settings.bucket_name, key, sha256_of(template_body), count)
    site.state.write(unfinished)
    unfinished = replace(unfinished, version_id=_upload(site, unfinished, make_bucket))
    wait_until_free(site.cloud.iot, site.report.note, timeout_s=site.settings.lock_timeout_s, sleep=site.sleep)
    unfinished, task = _run_task(site, unfinished, template_body, role)
    causes = _collect(site, unfinished)
    forget_registration(site, unfinished)
    if task.status != COMPLETED:
        raise _not_completed(task)
    return causes


def forget_registration(site: Site, unfinished: Unfinished) -> None:
    """Delete the input, in the bucket and here; absent is success."""
    from botocore.exceptions import ClientError

    s3, account_id = site.cloud.s3, site.cloud.account_id
    where = {"Bucket": unfinished.bucket, "ExpectedBucketOwner": account_id}
    absent = {"NoSuchBucket", "NoSuchVersion", "NoSuchKey"}
    if unfinished.version_id:
        answer_or_none(s3.delete_object, absent, **where, Key=unfinished.key, VersionId=unfinished.version_id)
    else:
        try:
            delete_images(s3, unfinished.bucket, account_id, unfinished.key)
        except ClientError as error:
            if code_of(error) not in absent:
                raise
    site.state.remove()


def pause_before_look(count: int, looks: int, percent: int, waited_s: float) -> float:
    """Seconds until the next look at a task of so many devices.

    One look for each two hundred devices is spent evenly over the time that the task will take, by its progress so far.
    """
    if not looks:
        return min(FIRST_PAUSE_S + count / DEVICES_PER_SECOND, LONGEST_FIRST_PAUSE_S)
    left_s = waited_s * (100 - percent) / max(percent, 1)
    looks_left = max(1.0, count / DEVICES_PER_LOOK - looks)
    return min(max(left_s / looks_left, FIRST_PAUSE_S), LONGEST_PAUSE_S)


def _upload(site: Site, unfinished: Unfinished, make_bucket: Callable[[], object]) -> str:
    """Put the input into the bucket, which is made where there is none; the input's version.

    S3 refuses it where it is there: the answer to the first try was lost, and with it the version.
    """
    from botocore.exceptions import ClientError

    put = partial(
        site.cloud.s3.put_object,
        Bucket=unfinished.bucket,
        Key=unfinished.key,
        ExpectedBucketOwner=site.cloud.account_id,
        IfNoneMatch="*",
    )
    for is_first in (True, False):
        try:
            with site.state.input_path.open("rb") as file:
                return put(Body=file).get("VersionId") or WITHOUT_VERSIONS
        except ClientError as error:
            if code_of(error) == "PreconditionFailed":
                return ""
            if not (is_first and code_of(error) == "NoSuchBucket"):
                raise
        make_bucket()
    raise AssertionError("the second try answers or raises")


def _run_task(site: Site, unfinished: Unfinished, template_body: str, role: Role) -> tuple[Unfinished, Registration]:
    """Start the task and wait until it has ended; once more while AWS may not know the role yet."""
    iot = site.cloud.iot
    known_at = site.clock() + role.left_to_settle_s(site.settings.role_settle_timeout_s)
    while True:
        may_retry = site.clock() < known_at
        try:
            task_id = start_registration(
                iot, template_body=template_body, bucket=unfinished.bucket, key=unfinished.key, role_arn=role.arn
            )
        except iot.exceptions.InvalidRequestException:
            if not may_retry:
                raise
        else:
            unfinished = replace(unfinished, task_id=task_id)
            site.state.write(unfinished)
            task = _wait(site, unfinished)
            if task.status != FAILED or task.done or not may_retry:
                return unfinished, task
        site.sleep(SETTLE_POLL_S)


def _wait(site: Site, unfinished: Unfinished, task: Registration | None = None) -> Registration:
    """The task once it has ended.

    Raises:
        WaitTimeout: it makes no progress for a quarter of an hour.
    """
    begun = moved = site.clock()
    looks = done = 0
    with site.report.count_bar("registering", unfinished.count) as on_progress:
        while task is None or task.is_running:
            waited_s = site.clock() - begun
            site.sleep(pause_before_look(unfinished.count, looks, task.percent if task else 0, waited_s))
            task = find_registration(site.cloud.iot, unfinished.task_id)
            looks += 1
            if task is None:
                raise CloudError(
                    f"AWS does not know the registration task {unfinished.task_id} any more. Run the same "
                    "command again; it begins that part anew."
                )
            on_progress(task.done)
            if task.done != done:
                done, moved = task.done, site.clock()
            if task.is_running and site.clock() - moved > STALLED_S:
                raise WaitTimeout(
                    f"The registration task {task.task_id} has made no progress for {STALLED_S / 60:g} minutes: {done} "
                    f"of {unfinished.count} devices. It goes on; run the same command again later, it carries on."
                )
    return task


def _collect(site: Site, unfinished: Unfinished) -> Causes:
    """Write the certificates of the task's reports; the names of the other devices, each with the cause."""
    names, missing = [], {}
    for name, csr in site.state.inputs():
        names.append(name)
        missing[name] = _digest(public_key_of_request(csr))
    causes: Causes = {}
    with site.report.count_bar("writing certificates", len(names)) as on_progress:
        results = read_report(site.cloud, unfinished.task_id, RESULTS)
        for batch in _batches(line for line in results if line.certificate_pem):
            known = [(name, line) for line in batch if (name := _name_of(line, names)) in missing]
            write = partial(_write_certificate, site, missing)
            for name, is_good in side_by_side_map(write, known):
                if not is_good:
                    causes[name] = OTHER_KEY
                missing.pop(name, None)
            on_progress(len(names) - len(missing))
    if missing:
        for line in read_report(site.cloud, unfinished.task_id, ERRORS):
            name = _name_of(line, names)
            if missing.pop(name, None):
                causes[name] = line.cause
    return {**causes, **dict.fromkeys(missing, NOT_REPORTED)}


def _write_certificate(site: Site, wanted: dict[str, bytes], found: tuple[str, ReportLine]) -> tuple[str, bool]:
    """Write the certificate beside its key; False where it is one of another key."""
    name, line = found
    if _digest(public_key_of(line.certificate_pem)) != wanted.get(name):
        return name, False
    path = desired_state.registered_files(site.settings, name).certificate_path
    local = find_certificate_file(path)
    if local is None or local.pem != line.certificate_pem:
        write_certificate_file(path, line.certificate_pem, replaced=local)
    return name, True


def _name_of(line: ReportLine, names: list[str]) -> str:
    """The device of a report's line: by its thing, else by its number in the input; empty where neither is known."""
    if line.thing_name:
        return line.thing_name
    return names[line.number - 1] if 0 < line.number <= len(names) else ""


def _batches(lines: Iterable[ReportLine]) -> Iterator[list[ReportLine]]:
    remaining = iter(lines)
    while batch := list(islice(remaining, BATCH)):
        yield batch


def _digest(public_key: bytes) -> bytes:
    return hashlib.sha256(public_key).digest()


def _not_completed(task: Registration) -> CloudError:
    why = f" ({task.message})" if task.message else ""
    return CloudError(
        f"The registration task {task.task_id} ended as {task.status}{why} after {task.done} devices. The certificates "
        "that it made are written. Remove the cause, then run the same command again; it carries on where it stopped."
    )
