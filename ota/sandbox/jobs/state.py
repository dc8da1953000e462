"""The state that moto does not have: jobs, OTA updates and streams of each region, the clock, and scheduled work.

There is one :class:`Sandbox` for the process and one :class:`Region` for each account and region. Asynchronous work is
an entry of the agenda. It runs when it is due: in the ticking thread and before each request, so that a pause of zero
means "finished before the next call". Things, groups, buckets and roles stay in moto and are looked up there.

The operations in the other modules take a :class:`Region` and plain dicts and return plain dicts and events, so that
the HTTP server and the MQTT broker share them.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ota.sandbox.moto.lookups import AwsRegion, ContentCache

from .model import Event, Execution, Job, Stream, Update

log = logging.getLogger(__name__)

# The kinds of events for UpdateEventConfigurations; the sandbox publishes those of jobs and job executions.
EVENT_KINDS = (
    "THING",
    "THING_GROUP",
    "THING_TYPE",
    "THING_GROUP_MEMBERSHIP",
    "THING_GROUP_HIERARCHY",
    "THING_TYPE_ASSOCIATION",
    "JOB",
    "JOB_EXECUTION",
    "POLICY",
    "CERTIFICATE",
    "CA_CERTIFICATE",
)


Later = Callable[[], list[Event]]
Listener = Callable[[str, str, Event], None]


@dataclass
class Region(AwsRegion):
    """The state of one account in one region that moto does not have."""

    sandbox: Sandbox
    updates: dict[str, Update] = field(default_factory=dict)
    streams: dict[str, Stream] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    pending: dict[str, dict[str, Execution]] = field(default_factory=dict)  # of each thing, by job
    event_kinds: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(EVENT_KINDS, False))
    events_changed_at: float | None = None

    def now(self) -> float:
        """Epoch seconds by the sandbox's clock."""
        return self.sandbox.now()

    def later(self, delay_s: float, what: Later) -> None:
        """Run ``what`` after ``delay_s`` seconds and publish the events it returns."""
        self.sandbox.schedule(self, delay_s, what)


class Sandbox:
    """The state of the whole sandbox: regions, clock, agenda and the listeners to its events.

    Attributes:
        endpoint_url: where every call is answered, for links to reports.
        https_port: the port of S3 over TLS, for presigned URLs.
        url_secret: the secret key that they are signed with.
    """

    def __init__(self, *, pause_s: float = 0.0, clock: Callable[[], float] = time.time) -> None:
        self.pause_s = self._default_pause_s = pause_s
        self.endpoint_url = ""
        self.https_port = 0
        self.url_secret = secrets.token_urlsafe(30)
        self.lock = threading.RLock()
        self.listeners: list[Listener] = []
        self.iam_delay_s = 0.0
        self.iam_changes: dict[str, float] = {}
        self.lost_blocks: dict[int, int] = {}
        self.contents = ContentCache()
        self._clock = clock
        self._reset_clock()
        self._regions: dict[tuple[str, str], Region] = {}
        self._agenda: list[tuple[float, int, Region, Later]] = []
        self._order = itertools.count()
        self._changed = threading.Condition(self.lock)

    def now(self) -> float:
        """Epoch seconds by the sandbox's clock, which may have been moved ahead or run faster than the real one."""
        real, own = self._set_at
        return own + (self._clock() - real) * self._speed

    def move_clock(self, seconds: float) -> None:
        """Move the clock ahead by ``seconds`` and run what has become due."""
        with self._changed:
            self._set_at = self._clock(), self.now() + seconds
            self.run_due()

    def set_speed(self, factor: float) -> None:
        """Let the clock run ``factor`` times as fast as the real one: pauses, timeouts, the minutes of a rollout."""
        if factor <= 0:
            raise ValueError("the clock's speed must be above 0")
        with self._changed:
            self._set_at = self._clock(), self.now()
            self._speed = factor
            self._changed.notify()

    def region(self, account_id: str, name: str) -> Region:
        """The state of this account in this region; made on first use."""
        with self.lock:
            return self._regions.setdefault((account_id, name), Region(account_id, name, self))

    def regions(self) -> Iterator[Region]:
        """Every region in use."""
        return iter(list(self._regions.values()))

    def schedule(self, region: Region, delay_s: float, what: Later) -> None:
        """Add ``what`` to the agenda."""
        with self._changed:
            heapq.heappush(self._agenda, (self.now() + delay_s, next(self._order), region, what))
            self._changed.notify()

    def run_due(self) -> None:
        """Run everything that is due, in order, and publish the events it returns."""
        with self.lock:
            while self._agenda and self._agenda[0][0] <= self.now():
                _, _, region, what = heapq.heappop(self._agenda)
                try:
                    self.publish(region, what())
                except Exception:  # one entry's failure must not stop the next one or fail another client's call
                    log.exception("an entry of the agenda failed")

    def publish(self, region: Region, events: list[Event]) -> None:
        """Pass the events to every listener, in order."""
        for event in events:
            for listener in self.listeners:
                listener(region.account_id, region.name, event)

    def reset(self) -> None:
        """Delete all state and the agenda, and restore the default settings."""
        with self.lock:
            self._regions.clear()
            self._agenda.clear()
            self.iam_changes.clear()
            self.lost_blocks.clear()
            self.contents.clear()
            self.iam_delay_s = 0.0
            self.pause_s = self._default_pause_s
            self._reset_clock()

    def tick_forever(self) -> None:
        """Run what becomes due even when no request comes; runs in a thread of its own."""
        while True:
            with self._changed:
                self.run_due()
                self._changed.wait(self._until_next_s())

    def _until_next_s(self) -> float | None:
        return max(0.0, self._agenda[0][0] - self.now()) / self._speed if self._agenda else None

    def _reset_clock(self) -> None:
        """The real clock; ``_set_at`` is the moment by the real clock and by the own one when it was last set."""
        self._speed = 1.0
        self._set_at = self._clock(), self._clock()
