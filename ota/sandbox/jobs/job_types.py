"""Jobs and their executions as data.

Source: AWS IoT Developer Guide, "Jobs and job execution states"; botocore's ``iot`` model, Job and JobExecution.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

QUEUED = "QUEUED"
IN_PROGRESS = "IN_PROGRESS"
CANCELED = "CANCELED"
COMPLETED = "COMPLETED"
SCHEDULED = "SCHEDULED"
DELETION_IN_PROGRESS = "DELETION_IN_PROGRESS"
SNAPSHOT = "SNAPSHOT"
CONTINUOUS = "CONTINUOUS"
TERMINAL = frozenset({"SUCCEEDED", "FAILED", "TIMED_OUT", "REJECTED", "REMOVED", CANCELED})


@dataclass
class Execution:
    """One thing's run of one job. Times are epoch seconds; ``version`` counts its changes from 1."""

    job_id: str
    thing_name: str
    number: int
    queued_at: float
    last_updated_at: float
    status: str = QUEUED
    version: int = 1
    started_at: float | None = None
    details: dict[str, str] = field(default_factory=dict)
    force_canceled: bool = False
    retry_attempt: int = 0
    deadline: float | None = None
    step_deadline: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing can change it any more."""
        return self.status in TERMINAL

    @property
    def times_out_at(self) -> float | None:
        """When it becomes TIMED_OUT: the earlier of the job's limit and the step's."""
        limits = [limit for limit in (self.deadline, self.step_deadline) if limit is not None]
        return min(limits, default=None)

    def change(self, status: str, now: float) -> None:
        """Go over to ``status``; the version rises by one."""
        self.status = status
        self.version += 1
        self.last_updated_at = now
        if self.is_over:
            self.deadline = self.step_deadline = None


@dataclass
class Job:
    """One job. ``config`` is what the caller gave (rollout, abort, timeout …); ``waiting`` the things not yet told."""

    job_id: str
    arn: str
    targets: list[str]
    document: str
    selection: str
    created_at: float
    last_updated_at: float
    config: dict[str, Any] = field(default_factory=dict)
    status: str = IN_PROGRESS
    completed_at: float | None = None
    comment: str | None = None
    reason_code: str | None = None
    force_canceled: bool = False
    executions: dict[str, list[Execution]] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)

    def latest(self) -> list[Execution]:
        """The current execution of each thing."""
        return [tries[-1] for tries in self.executions.values() if tries]

    def find(self, thing_name: str, number: int | None = None) -> Execution | None:
        """This thing's execution: the latest, or the one with this number."""
        tries = self.executions.get(thing_name, [])
        if number is None:
            return tries[-1] if tries else None
        return next((one for one in tries if one.number == number), None)


@dataclass(frozen=True)
class Reply:
    """What an operation answers, and what AWS IoT publishes because of it, in order."""

    body: dict[str, Any] = field(default_factory=dict)
    events: list[Any] = field(default_factory=list)
