"""Jobs, job executions, streams and OTA updates as data; the other modules of this room depend on it.

Source: AWS IoT Developer Guide, "Jobs and job execution states"; botocore's ``iot`` model, Job, JobExecution,
StreamInfo and OTAUpdateInfo.
"""

from __future__ import annotations

from collections import Counter
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
        """Whether its status is terminal."""
        return self.status in TERMINAL

    @property
    def times_out_at(self) -> float | None:
        """When it becomes TIMED_OUT: the earlier of the job's limit and the step's."""
        limits = [limit for limit in (self.deadline, self.step_deadline) if limit is not None]
        return min(limits, default=None)

    def change(self, status: str, now: float) -> None:
        """Set ``status``; the version rises by one."""
        self.status = status
        self.version += 1
        self.last_updated_at = now
        if self.is_over:
            self.deadline = self.step_deadline = None


@dataclass
class Job:
    """One job.

    Attributes:
        config: rollout, abort, timeout …
        executions: each thing's, oldest first.
        counts: how many things there are by the status of their latest execution.
        waiting: the things that get an execution in a later minute of the rollout, in order.
        minute_at: when the current minute of the rollout began; the fields after it are about that minute.
        is_rolling: whether the next minute is scheduled.
    """

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
    counts: Counter[str] = field(default_factory=Counter)
    waiting: dict[str, None] = field(default_factory=dict)
    minute_at: float = 0.0
    minute_rate: float = 0.0
    minute_count: int = 0
    is_rolling: bool = False

    @property
    def open_count(self) -> int:
        """The number of things whose latest execution is not over."""
        return self.counts[QUEUED] + self.counts[IN_PROGRESS]

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
class StreamFile:
    """One file: the location as it was given, and the object version at that time."""

    file_id: int
    location: dict[str, str]
    version_id: str | None
    etag: str
    size_bytes: int


@dataclass
class Stream:
    """A stream. ``version`` counts its changes from 1."""

    stream_id: str
    arn: str
    role_arn: str
    files: tuple[StreamFile, ...]
    created_at: float
    last_updated_at: float
    description: str | None = None
    version: int = 1

    def find(self, file_id: int) -> StreamFile | None:
        """The file with this number."""
        return next((one for one in self.files if one.file_id == file_id), None)


@dataclass
class Update:
    """An OTA update.

    Attributes:
        request: the request with defaults filled in.
        made_stream: the stream that the service created for it; None until then, and without MQTT.
        stream_ids: the streams that send its files: the one created for it, or the caller's.
        error: ``{"code", "message"}`` of a failed creation or deletion.
    """

    update_id: str
    arn: str
    job_id: str
    job_arn: str
    request: dict[str, Any]
    created_at: float
    modified_at: float
    status: str = "CREATE_PENDING"
    made_stream: str | None = None
    stream_ids: frozenset[str] = frozenset()
    error: dict[str, str] | None = None

    @property
    def role_arn(self) -> str:
        """The service role."""
        return str(self.request["roleArn"])

    def become(self, status: str, now: float, error: dict[str, str] | None = None) -> None:
        """Set ``status``."""
        self.status = status
        self.error = error
        self.modified_at = now


@dataclass(frozen=True)
class Event:
    """A message that AWS IoT publishes by itself: topic without wildcard, JSON-able payload."""

    topic: str
    payload: dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """The answer of an operation, and the events that AWS IoT publishes because of it, in order."""

    body: dict[str, Any] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
