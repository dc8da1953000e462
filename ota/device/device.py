"""A virtual device: it takes an update as the firmware does, in the firmware's order and with its messages.

It connects, requests its job (start-next), subscribes to the stream, downloads the image, verifies the signature,
reports IN_PROGRESS with ``updatedBy``, installs the image, restarts and requests its job again. The version rule then
decides whether it keeps the new image (SUCCEEDED) or goes back to the old one (FAILED). This tests certificate, policy,
header, job document, stream and signature before any hardware is flashed. Where the firmware reports nothing to the
cloud, neither does this device; it raises an error here that says why.

One thing it does that the firmware does not: it reports the download's progress to the cloud, except with
``--faithful`` and where it is one of many.

Every report names the version of the job execution that it expects, so the device counts the versions. Arm's firmware
does not count: it assumes that only itself reports.

Source: ``ota_orchestrator.c`` of FreeRTOS/iot-reference-arm-corstone3xx (expectedVersion 2 before the restart, 3 after
it) and its logs in ``docs/applications``; AWS IoT Developer Guide, "Jobs device MQTT API".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ota.device import faults
from ota.device.connection import Connection
from ota.device.download import ImageLoader, Screen, make_opener
from ota.device.faults import FaultInjector
from ota.device.firmware import Firmware, Offer, offer_id, read_offer, version_of
from ota.device.flash import Download, Flash, PendingUpdate, Phase
from ota.device.identity import CloudEndpoint, DeviceIdentity
from ota.device.messages import OfferedJob, Topics, read_answer, read_job, start_next_request, update_request
from ota.device.options import FAITHFUL_PACE, DeviceOptions, Pace, Timing
from ota.device.refusals import Refused, Stage, Symptom
from ota.errors import DeviceFailed, SignatureError, WaitTimeout
from ota.firmware.image_versions import version_words
from ota.messages import Text

SUCCEEDED, FAILED, REJECTED, IN_PROGRESS, QUEUED = "SUCCEEDED", "FAILED", "REJECTED", "IN_PROGRESS", "QUEUED"
FAITHFUL_VERSIONS = {IN_PROGRESS: 2, SUCCEEDED: 3, FAILED: 3}
RECONNECT_S = 1.0
RECONNECT_LATER_S = 5.0
NOTIFY_POLL_S = 1.0
INFERENCE = b"_unknown_"


@dataclass(frozen=True)
class DeviceResult:
    """How one device's run ended.

    Attributes:
        thing_name: the device.
        status: SUCCEEDED, FAILED or REJECTED, as reported to the cloud; empty where no job was offered.
        job_id: the job.
        before: the version that ran before.
        now: the version that runs.
        why: why it failed.
        image_path: the image that runs; None where there is no file of it.
        size_bytes: the image's length.
        load_s: how long the download took.
        kind: what failures have in common that have the same cause; empty where the status tells it.
    """

    thing_name: str
    status: str = ""
    job_id: str = ""
    before: str = ""
    now: str = ""
    why: Text = ""
    image_path: Path | None = None
    size_bytes: int = 0
    load_s: float = 0.0
    kind: str = ""

    def as_json(self) -> dict[str, Any]:
        """The result as plain values, its message still to be rendered."""
        return {
            "thing": self.thing_name,
            "status": self.status or "NOTHING_OFFERED",
            "job": self.job_id or None,
            "before": self.before or None,
            "now": self.now or None,
            "why": self.why or None,
            "image": str(self.image_path) if self.image_path else None,
            "bytes": self.size_bytes,
            "seconds": round(self.load_s, 3),
        }


class JobsClient:
    """Requests and reports the jobs of one thing, over the connection that it has at the moment."""

    def __init__(self, topics: Topics, firmware: Firmware, screen: Screen) -> None:
        self._topics, self._firmware, self._screen = topics, firmware, screen
        self._version = 0

    def start_next(self, connection: Connection, *, only_look: bool = False) -> OfferedJob | None:
        """Start the next job, or with ``only_look`` read it; None where there is none.

        Raises:
            DeviceFailed: the message with the job does not fit into the firmware's buffer.
        """
        topic = self._topics.peek if only_look else self._topics.start_next
        response = connection.request(topic, start_next_request(self._topics.thing_name), Stage.JOB)
        job = read_job(response.members)
        if job is not None:
            self._version = job.version
            self._firmware.check_message(response.size_bytes)
        return job

    def report(
        self,
        connection: Connection,
        job: OfferedJob,
        status: str,
        details: dict[str, str] | None = None,
        *,
        step_minutes: int | None = None,
    ) -> None:
        """Report the job's status; ``step_minutes`` sets the timeout of this step."""
        has_fixed_version = self._firmware.is_faithful and details is not None
        version = FAITHFUL_VERSIONS[status] if has_fixed_version else self._version
        payload = update_request(status, details, version, step_minutes=step_minutes)
        connection.request(self._topics.update(job.job_id), payload, Stage.REPORT)
        self._version += 1
        if not details or "receive" not in details:
            words = "".join(f", {name} {value}" for name, value in (details or {}).items())
            self._screen.say(f"reports {status}{words}")


class Device:
    """One device. Close it in the end."""

    def __init__(
        self,
        endpoint: CloudEndpoint,
        identity: DeviceIdentity,
        firmware: Firmware,
        flash: Flash,
        options: DeviceOptions,
        timing: Timing,
        screen: Screen,
    ) -> None:
        self._endpoint, self._identity, self._firmware = endpoint, identity, firmware
        self._flash, self._options, self._timing, self._screen = flash, options, timing, screen
        self._topics = Topics(identity.thing_name)
        self._injector = FaultInjector(options.fault)
        self._reports_progress = options.count == 1 and not firmware.is_faithful
        self._connection: Connection | None = None
        self._begun_s = timing.clock()
        self._seen: set[str] = set()
        self._jobs = JobsClient(self._topics, firmware, screen)
        pace = timing.pace or (FAITHFUL_PACE if firmware.is_faithful else Pace())
        self._loader = ImageLoader(
            self._topics,
            flash,
            screen,
            self._injector,
            encoding=options.encoding,
            pace=pace,
            timing=timing,
            opener=make_opener(endpoint.ca_path if endpoint.sandbox else None),
        )

    def take_update(self) -> DeviceResult:
        """Take the update that is offered, from the first start to the last report; a pending one is continued.

        Raises:
            DeviceFailed: it ended without a final report to the cloud; the message says what the cloud shows.
            SignatureError: the signature does not match the image.
            WaitTimeout: the time limit is reached.
        """
        if self._connection is None:
            self._start()
        while True:
            try:
                result = self._run()
            except Refused as refused:
                self._check_may_reconnect(refused)
                self._timing.sleep(RECONNECT_S)
                self._start()
                continue
            if result is not None:
                return result
            self._screen.say("restarts")
            self._start()

    def wait_for_job(self) -> None:
        """Return when the cloud announces a job, or when the connection is lost, after which there may be one.

        Raises:
            WaitTimeout: the time limit is reached.
        """
        while True:
            left_s = self._check_time()
            try:
                message = self._open.receive(min(NOTIFY_POLL_S, left_s), Stage.NOTIFY)
            except Refused:
                self.close()
                self._timing.sleep(RECONNECT_LATER_S)
                return
            if message and message.topic == self._topics.notify_next and "execution" in read_answer(message.payload):
                return

    def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def _open(self) -> Connection:
        if self._connection is None:
            raise Refused(Stage.CONNECT, Symptom.DROPPED)
        return self._connection

    def _start(self) -> None:
        """Start as after a reset: the boot loader chooses the image, then the firmware connects."""
        self.close()
        pending = self._flash.state.pending
        if pending is not None and pending.phase is Phase.INSTALLED:
            self._flash.save(replace(pending, phase=Phase.TRIAL))
            self._screen.say(f"starts {pending.image_name} {pending.version} on trial".replace("  ", " "))
        self._connection = Connection(self._endpoint, self._identity, self._timing)
        self._connection.open()
        self._loader.has_progressed = False
        self._screen.say(f"connected to {self._endpoint.name}")
        if self._options.is_forever:
            self._connection.subscribe(self._topics.notify_next, Stage.NOTIFY)

    def _check_may_reconnect(self, refused: Refused) -> None:
        """Raise the error again, unless the connection broke during a download that makes progress."""
        is_loading = refused.stage in (Stage.BLOCKS, Stage.REPORT) and self._loader.has_progressed
        if not (is_loading and refused.symptom is Symptom.DROPPED):
            raise refused
        self._check_time()
        self._screen.say(f"the connection broke ({refused}); connects again")

    def _check_time(self) -> float:
        """The seconds that are left; raises WaitTimeout where none are."""
        limit_s = self._options.timeout_s
        if limit_s is None:
            return math.inf
        left_s = limit_s - (self._timing.clock() - self._begun_s)
        if left_s <= 0:
            raise WaitTimeout(
                f"{self._identity.thing_name}: the {limit_s:g} s of --timeout are over; run it again to continue."
            )
        return left_s

    def _run(self) -> DeviceResult | None:
        """Run from one start to the next; the result, or None where a restart comes next."""
        self._check_time()
        job = self._jobs.start_next(self._open, only_look=self._injector.injects(faults.REJECTS))
        if job is None:
            return self._no_job("no job is offered any more")
        offer = read_offer(job.document, self._firmware.profile)
        pending = self._find_pending(job, offer)
        if pending is None:
            return self._no_job("the job has already failed in this run")
        if pending.phase is Phase.DOWNLOADING:
            return self._take(job, offer, pending)
        if pending.phase is Phase.TRIAL:
            pending = self._self_test(pending)
        return self._finish(job, pending)

    def _no_job(self, why: str) -> DeviceResult:
        self._drop(self._flash.state.pending, why)
        return DeviceResult(self._identity.thing_name)

    def _drop(self, pending: PendingUpdate | None, why: str) -> None:
        if pending is not None:
            if pending.phase is not Phase.CONFIRMED:
                self._screen.say(f"drops what it has of {pending.job_id}: {why}")
            self._flash.drop_pending()

    def _find_pending(self, job: OfferedJob, offer: Offer) -> PendingUpdate | None:
        """How far this offer has come; None where it has failed in this run: the firmware tries no offer twice."""
        identity = offer_id(job, offer)
        pending = self._flash.state.pending
        if pending is not None and pending.offer_id == identity:
            return pending
        if identity in self._seen:
            return None
        self._drop(pending, f"{job.job_id} offers another image")
        return PendingUpdate(identity, job.job_id, offer.file_path, offer.size_bytes)

    def _take(self, job: OfferedJob, offer: Offer, pending: PendingUpdate) -> DeviceResult | None:
        """Do everything up to the restart."""
        running = self._flash.running(offer.file_path)
        self._screen.say(
            f"offered {offer.file_path}, {offer.size_bytes:,} bytes, by job {job.job_id}; "
            f"runs {version_words(running.version)}"
        )
        self._seen.add(pending.offer_id)
        if self._injector.injects(faults.REJECTS):
            return self._reject(job, running.version)
        self._firmware.check_offer(offer)
        if self._injector.injects(faults.TIMES_OUT):
            raise self._go_silent(job)
        self._flash.save(pending)
        self._load(job, offer, pending)
        self._install(job, offer, pending)
        if self._injector.injects(faults.POWER_CUT):
            raise DeviceFailed(
                "the power is cut (--fault power-cut) before the restart. The cloud shows IN_PROGRESS with updatedBy; "
                "run the device again without the fault: it continues from here."
            )
        return None

    def _load(self, job: OfferedJob, offer: Offer, pending: PendingUpdate) -> None:
        """Download the image and report the progress, which a faithful device does not."""

        def on_step(download: Download) -> None:
            self._check_time()
            if self._reports_progress:
                received = f"{download.done_count}/{download.block_count}"
                self._jobs.report(self._open, job, IN_PROGRESS, {"receive": received})

        self._loader.load(self._open, offer, pending, on_step)

    def _install(self, job: OfferedJob, offer: Offer, pending: PendingUpdate) -> None:
        """Verify the image, report, and move the image into the other slot."""
        path = self._flash.part_path(pending.image_name)
        if self._injector.injects(faults.BAD_SIGNATURE):
            faults.corrupt(path)
        try:
            proof = self._firmware.verify(path, offer)
        except SignatureError:
            self._flash.drop_pending()
            raise
        self._screen.say(f"signature proven: {proof}")
        version = version_of(path)
        if self._injector.injects(faults.SAME_VERSION):
            self._flash.set_running_version(pending.image_name, version)
        before = self._flash.running(pending.image_name).version
        updated_by = self._firmware.number_of(before)
        self._jobs.report(self._open, job, IN_PROGRESS, {"updatedBy": str(updated_by)})
        installed = replace(pending, phase=Phase.INSTALLED, before=before, updated_by=updated_by, version=version)
        self._flash.install(installed)
        self._screen.say(f"installed {pending.image_name} {version}".rstrip())

    def _self_test(self, pending: PendingUpdate) -> PendingUpdate:
        """Keep the new image, or go back to the old one."""
        why = self._self_test_problem(pending)
        if not why:
            self._flash.confirm(pending)
            return replace(pending, phase=Phase.CONFIRMED)
        self._screen.say(f"the self-test fails: {why}; goes back to {version_words(pending.before)}")
        pending = replace(pending, phase=Phase.REVERTED)
        self._flash.save(pending)
        return pending

    def _self_test_problem(self, pending: PendingUpdate) -> str:
        return self._firmware.self_test(pending.version, pending.before, pending.updated_by) or ""

    def _finish(self, job: OfferedJob, pending: PendingUpdate) -> DeviceResult:
        """Report how the update ended; the application then publishes its inference result."""
        is_kept = pending.phase is Phase.CONFIRMED
        status = SUCCEEDED if is_kept else FAILED
        self._jobs.report(self._open, job, status, {"updatedBy": str(pending.updated_by)})
        self._flash.drop_pending()
        if is_kept and self._firmware.publishes_inference:
            self._open.publish_acknowledged(self._topics.inference, INFERENCE, Stage.INFERENCE)
        path = self._flash.image_path(pending.image_name)
        return DeviceResult(
            self._identity.thing_name,
            status,
            job.job_id,
            before=pending.before,
            now=self._flash.running(pending.image_name).version,
            why="" if is_kept else self._self_test_problem(pending),
            image_path=path if path.exists() else None,
            size_bytes=pending.size_bytes,
            load_s=self._loader.load_s,
        )

    def _reject(self, job: OfferedJob, version: str) -> DeviceResult:
        """Refuse the job; one that is already in progress can only fail."""
        status = REJECTED if job.status == QUEUED else FAILED
        self._jobs.report(self._open, job, status)
        thing_name = self._identity.thing_name
        return DeviceResult(thing_name, status, job.job_id, version, version, why=faults.REJECTS.happens)

    def _go_silent(self, job: OfferedJob) -> DeviceFailed:
        self._jobs.report(self._open, job, IN_PROGRESS, step_minutes=1)
        return DeviceFailed(
            "sends nothing more (--fault times-out). The cloud shows IN_PROGRESS, and in a minute TIMED_OUT: AWS ends "
            "a job when one of its steps takes longer than the device's own limit."
        )
