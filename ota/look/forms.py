"""In which form `status` and `watch` answer: screen, JSON, CSV, the failed devices one by one, a report as a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ota.errors import OtaError
from ota.look.failures import explain_failure
from ota.updates.jobs import Execution, list_executions
from ota.updates.rollouts import UNSUCCESSFUL, Rollout

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

COLUMNS = ("thing_name", "status", "queued_at", "started_at", "updated_at", "cause")


@dataclass(frozen=True)
class Forms:
    """The flags of a task that shows a rollout.

    Attributes:
        as_json: one JSON document on stdout.
        as_csv: a row for each device on stdout.
        all_failed: every device that failed by its name; with CSV, rows of these alone.
        report_path: where the report is written; None for none.
    """

    as_json: bool = False
    as_csv: bool = False
    all_failed: bool = False
    report_path: Path | None = None

    @property
    def takes_stdout(self) -> bool:
        """Whether stdout is for a document."""
        return self.as_json or self.as_csv

    def check_report_path(self) -> None:
        """Refuse a report that could not be written, before an hour is spent watching.

        Raises:
            OtaError: its folder does not exist, or it is a folder itself.
        """
        path = self.report_path
        if path and (path.is_dir() or not path.parent.is_dir()):
            raise OtaError(f"--report {path}: name a file in a folder that exists.")


def read_forms(*, as_json: bool, as_csv: bool, all_failed: bool, report: str = "") -> Forms:
    """The flags as they were given.

    Raises:
        OtaError: two flags exclude each other.
    """
    if as_json and as_csv:
        raise OtaError("--json and --csv both want stdout: leave one out.")
    return Forms(as_json, as_csv, all_failed, Path(report).expanduser().absolute() if report else None)


def list_devices(iot: IoTClient, rollout: Rollout, *, only_failed: bool = False) -> Iterator[Execution]:
    """Every device's execution, page by page; with ``only_failed`` the pages of those without success alone.

    What is known of a device already, its reported details included, is taken from ``rollout``.
    """
    known = {one.thing_name: one for one in rollout.executions}
    if not rollout.is_large:
        yield from rollout.failed if only_failed else rollout.executions
        return
    statuses = [status for status in UNSUCCESSFUL if rollout.counts().get(status)] if only_failed else [""]
    for status in statuses:
        for one in list_executions(iot, rollout.job_id, status=status):
            before = known.get(one.thing_name)
            yield before if before and before.status == one.status else one


def device_rows(executions: Iterable[Execution]) -> Iterator[tuple[str, ...]]:
    """The rows of the CSV document: the columns' names, then a row for each device; times in ISO 8601."""
    yield COLUMNS
    for one in executions:
        times = (at.isoformat() if at else "" for at in (one.queued_at, one.started_at, one.updated_at))
        failed = one.is_over and not one.has_succeeded
        causes = [found.cause for found in explain_failure(one)] if failed else []
        yield one.thing_name, one.status, *times, "; ".join(causes)
